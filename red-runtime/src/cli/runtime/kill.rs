//! `red-runtime kill`

use super::super::signal;
use super::{Exit, Global, RunError};
use crate::launch::container;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Every process of the container
    #[arg(short, long)]
    all: bool,
    /// Not supported
    #[arg(short, long, hide = true)]
    regex: bool,
    /// Name of the container
    id: String,
    /// The signal, by name or number
    #[arg(default_value = "TERM", value_parser = signal::parse)]
    signal: i32,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    if args.regex {
        return Err(RunError::Unsupported(
            "--regex: a container is named in full; `list -q` prints the names",
        ));
    }
    container::kill(&global.store(), &args.id, args.signal, args.all)?;
    Ok(Exit::Success)
}
