//! The command line: one binary that answers to several names, one file a subcommand.

#[cfg(feature = "launch")]
mod bundle;
pub mod conf;
#[cfg(feature = "launch")]
mod doctor;
pub mod exit;
mod output;
#[cfg(feature = "launch")]
mod runtime;
#[cfg(feature = "launch")]
mod seal;
#[cfg(feature = "launch")]
mod signal;
#[cfg(feature = "launch")]
mod watch;
#[cfg(feature = "launch")]
mod wrap;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use exit::Exit;
use output::Output;

/// The names under which the binary is `red-conf`.
const CONF_NAMES: [&str; 2] = ["red-conf", "redconf"];

/// The names under which the binary is `red-wrap`.
const WRAP_NAMES: [&str; 2] = ["red-wrap", "redwrap"];

/// The command tree of `red-conf`, for man pages and completion scripts.
#[must_use]
pub fn conf_command() -> clap::Command {
    conf::Conf::command()
}

/// The command tree of `red-runtime`, for man pages and completion scripts.
#[cfg(feature = "launch")]
#[must_use]
pub fn runtime_command() -> clap::Command {
    runtime::Runtime::command()
}

/// The command tree of `red-wrap`, for man pages and completion scripts.
#[cfg(feature = "launch")]
#[must_use]
pub fn wrap_command() -> clap::Command {
    wrap::command()
}

/// Runs the tool that the first argument names.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let name = args.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str());
    let is = |names: &[&str]| name.is_some_and(|name| names.contains(&name));
    crate::sys::keep_children();
    crate::sys::report_file_sizes();
    #[cfg(feature = "launch")]
    if is(&[crate::launch::reaper::NAME]) {
        crate::launch::reaper::main(args);
    }
    let exit = if is(&CONF_NAMES) {
        match parse::<conf::Conf>(args) {
            Ok(conf) => conf::run(&conf, &mut Output::standard(conf.color())),
            Err(error) => usage(&error),
        }
    } else {
        launching(is(&WRAP_NAMES), args)
    };
    exit.into()
}

#[cfg(feature = "launch")]
fn launching(wrap: bool, args: Vec<OsString>) -> Exit {
    if seal::enters(wrap, &args)
        && let Err(error) = seal::seal()
    {
        Output::standard(anstream::ColorChoice::Auto).say(&format!("red-runtime: {error}\n"));
        return if wrap { Exit::Launch } else { Exit::Failure };
    }
    if wrap {
        return wrap::main(args);
    }
    let named = args.clone();
    match runtime::parse(args) {
        Ok(call) => runtime::main(&call),
        Err(error) => match usage(&error) {
            Exit::Usage => runtime::usage(&named),
            other => other,
        },
    }
}

#[cfg(not(feature = "launch"))]
fn launching(_wrap: bool, args: Vec<OsString>) -> Exit {
    match parse::<conf::Conf>(args) {
        Ok(conf) => conf::run(&conf, &mut Output::standard(conf.color())),
        Err(error) => usage(&error),
    }
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
