//! `red-runtime gc`

use super::{Exit, Global, Output, RunError};
use crate::launch::container;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(global: &Global, _args: &Args, out: &mut Output) -> Result<Exit, RunError> {
    let mut exit = Exit::Success;
    for (id, result) in container::collect(&global.store())? {
        match result {
            Ok(()) => out.data(&format!("{id}\n"))?,
            Err(error) => {
                out.say(&format!("red-runtime: {id}: {error}\n"));
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}
