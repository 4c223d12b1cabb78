//! The command line: one binary that answers to several names, one file a subcommand.

pub mod conf;
pub mod exit;
mod output;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use exit::Exit;
use output::Output;

/// The names under which the binary is `red-conf`.
const CONF_NAMES: [&str; 2] = ["red-conf", "redconf"];

/// redpak nodes as OCI containers.
#[derive(Debug, Parser)]
#[command(name = "red-runtime", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Runtime {
    #[command(subcommand)]
    command: RuntimeCommand,
}

#[derive(Debug, Subcommand)]
enum RuntimeCommand {
    /// Look at nodes and their configuration, the same as `red-conf`
    Conf(conf::Conf),
}

/// The command tree of `red-conf`, for man pages and completion scripts.
#[must_use]
pub fn conf_command() -> clap::Command {
    conf::Conf::command()
}

/// The command tree of `red-runtime`, for man pages and completion scripts.
#[must_use]
pub fn runtime_command() -> clap::Command {
    Runtime::command()
}

/// Runs the tool that the first argument names.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let name = args.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let is_conf = name.is_some_and(|name| CONF_NAMES.contains(&name));
    let conf = if is_conf {
        parse::<conf::Conf>(args)
    } else {
        parse::<Runtime>(args).map(|Runtime { command: RuntimeCommand::Conf(conf) }| conf)
    };
    let exit = match conf {
        Ok(conf) => conf::run(&conf, &mut Output::standard(conf.color())),
        Err(error) => usage(&error),
    };
    exit.into()
}

fn parse<T: CommandFactory + FromArgMatches>(args: Vec<OsString>) -> Result<T, clap::Error> {
    let matches = T::command().try_get_matches_from(args)?;
    T::from_arg_matches(&matches)
}

/// Help and version go to stdout and succeed; everything else is a wrong call.
fn usage(error: &clap::Error) -> Exit {
    // There is nobody left to tell when that fails.
    drop(error.print());
    drop(std::io::stdout().flush());
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}
