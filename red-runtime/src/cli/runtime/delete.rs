//! `red-runtime delete`

use super::{Exit, Global, RunError};
use crate::launch::container;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End it first, whatever its state; one that does not exist is fine
    #[arg(short, long)]
    force: bool,
    /// Name of the container
    id: String,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    container::delete(&global.store(), &args.id, args.force)?;
    Ok(Exit::Success)
}
