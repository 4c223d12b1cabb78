//! `red-wrap kill`

use std::path::PathBuf;

use super::super::signal;
use super::{Exit, find};
use crate::launch::container;
use crate::launch::ended::End;
use crate::launch::error::LaunchError;
use crate::launch::record::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What runs, by its name or the node's
    name: String,
    /// The signal, by name or number
    #[arg(default_value = "TERM", value_parser = signal::parse)]
    signal: i32,
    /// Directory of states
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Exit, LaunchError> {
    let store = Store::of(args.root.as_deref());
    let record = find(&store, &args.name)?;
    match (container::kill(&store, &record.id, args.signal, false), End::of(&record, &store)) {
        (Err(error @ LaunchError::NotRunning { .. }), Some(end)) => {
            Err(LaunchError::refused(error.to_string(), end.words()))
        }
        (killed, _) => killed.map(|()| Exit::Success),
    }
}
