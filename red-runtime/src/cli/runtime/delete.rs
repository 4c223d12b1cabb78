//! `red-runtime delete`

use super::{Exit, Global, RunError};
use crate::launch::container;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End it first, whatever its state; one that does not exist is fine
    #[arg(short, long)]
    force: bool,
    /// Not supported
    #[arg(short, long, hide = true)]
    regex: bool,
    /// Name of the container
    id: String,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    if args.regex {
        return Err(RunError::Unsupported(
            "--regex: a container is named in full; `list -q` prints the names",
        ));
    }
    container::delete(&global.store(), &args.id, args.force)?;
    Ok(Exit::Success)
}
