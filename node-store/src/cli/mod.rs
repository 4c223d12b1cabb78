//! The command line: one binary that answers to several names, one file a group of verbs.

#![allow(clippy::print_stdout, reason = "this is where data is printed")]

mod dnf;
mod output;
mod rpm;
mod talk;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use red_runtime::cli::exit::Exit;

use crate::repo::{CONVERT, KEYS, VERIFY};

/// The names under which the binary is `red-rpm`.
const RPM_NAMES: [&str; 2] = ["red-rpm", "redrpm"];

/// The command tree of `red-dnf`, for man pages and completion scripts.
#[must_use]
pub fn dnf_command() -> clap::Command {
    dnf::Dnf::command()
}

/// The command tree of `red-rpm`, for man pages and completion scripts.
#[must_use]
pub fn rpm_command() -> clap::Command {
    rpm::Rpm::command()
}

/// Runs the tool that the first argument names.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Processes of our own, see `rpm` and `repo`.
    match args.get(1).and_then(|arg| arg.to_str()) {
        Some(crate::rpm::ENTER) => return crate::rpm::enter(),
        Some(crate::rpm::TRANSACT) => return crate::rpm::transact(),
        Some(crate::rpm::database::DATABASE) => return crate::rpm::database::main(&args[2..]),
        Some(CONVERT) => return crate::repo::convert(&args[2..]),
        Some(verb @ (KEYS | VERIFY)) => return crate::repo::inspect_keys(verb, &args[2..]),
        _ => {}
    }
    let name = args.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let exit = if name.is_some_and(|name| RPM_NAMES.contains(&name)) {
        rpm::main(&args)
    } else {
        match dnf::Dnf::try_parse_from(&args) {
            Ok(call) => dnf::run(&call, &args),
            Err(error) => usage(&error),
        }
    };
    exit.into()
}

/// Help and version go to stdout and succeed; everything else is a wrong call.
fn usage(error: &clap::Error) -> Exit {
    // There is nobody left to tell when that fails.
    drop(error.print());
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}
