//! `red-runtime start`

use super::{Exit, Global, RunError};
use crate::launch::container;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the container
    id: String,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    container::start(&global.store(), &args.id)?;
    Ok(Exit::Success)
}
