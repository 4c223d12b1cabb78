//! `red-runtime doctor`

use super::exit::Exit;
use super::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(_args: &Args, _out: &mut Output) -> Exit {
    Exit::Success
}
