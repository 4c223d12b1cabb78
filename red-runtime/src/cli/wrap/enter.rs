//! `red-wrap enter`

use std::path::PathBuf;

use super::super::runtime::exec;
use super::{Exit, find};
use crate::launch::error::LaunchError;
use crate::launch::record::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What runs, by its name or the node's
    name: String,
    /// Directory of states
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The program and its arguments, `sh` if none is given
    #[arg(value_name = "PROGRAM", trailing_var_arg = true)]
    command: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, LaunchError> {
    let store = Store::of(args.root.as_deref());
    let record = find(&store, &args.name)?;
    let command = if args.command.is_empty() { vec!["sh".to_owned()] } else { args.command.clone() };
    exec::in_foreground(&store, &record, command)
}
