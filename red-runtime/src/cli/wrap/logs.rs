//! `red-wrap logs`

use std::path::PathBuf;

use super::{Exit, Output, find};
use crate::launch::error::LaunchError;
use crate::launch::record::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What runs, by its name or the node's
    name: String,
    /// Directory of states
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, LaunchError> {
    let store = Store::of(args.root.as_deref());
    let record = find(&store, &args.name)?;
    let Some(path) = record.output else {
        return Err(LaunchError::refused(
            format!("`{}`", record.id),
            "it runs in somebody's foreground, and its output went there",
        ));
    };
    let text = std::fs::read(&path)
        .map_err(|error| LaunchError::refused(path.display().to_string(), error.to_string()))?;
    // What it printed is passed on as it is, as it would be in the foreground.
    let written = out.data(&String::from_utf8_lossy(&text));
    Ok(if written.is_ok() { Exit::Success } else { Exit::Launch })
}
