//! `red-runtime state`

use super::{Exit, Global, Output, RunError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the container
    id: String,
}

pub(super) fn run(global: &Global, args: &Args, out: &mut Output) -> Result<Exit, RunError> {
    let store = global.store();
    let record = store.read(&args.id)?;
    out.json(&record.state(record.status(&store)))?;
    Ok(Exit::Success)
}
