//! `red-runtime pause` and `resume`

use super::{Exit, Global, RunError};
use crate::launch::container;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the container
    id: String,
}

pub(super) fn run(global: &Global, args: &Args, pause: bool) -> Result<Exit, RunError> {
    container::pause(&global.store(), &args.id, pause)?;
    Ok(Exit::Success)
}
