//! `red-wrap`: runs a command in a node, and looks after what it runs.

mod enter;
mod kill;
mod launch;
mod logs;
mod ps;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::conf::ConfError;
use super::exit::Exit;
use super::output::Output;
use crate::launch::container::{self, Status};
use crate::launch::error::{Fault, LaunchError};
use crate::launch::record::{Record, Store};
use crate::node::diagnostic::Severity;
use crate::node::render;

pub(in crate::cli) use launch::{Plain, What};

/// Run a command in a redpak node
///
/// The command sees the sum of the node's family: what the core OS and every node above it export,
/// and what the node has for itself. Nothing is copied, and nothing outside the exports outlives it.
#[derive(Debug, Parser)]
#[command(
    name = "red-wrap",
    version,
    override_usage = "red-wrap --redpath=PATH [OPTIONS] [--] PROGRAM [ARGS]...\n       red-wrap ps|enter|kill|logs ..."
)]
struct Launch {
    #[command(flatten)]
    args: launch::Args,
}

/// Look after what runs in nodes
#[derive(Debug, Parser)]
#[command(name = "red-wrap", version, propagate_version = true, disable_help_subcommand = true)]
struct Tools {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// List what runs
    Ps(ps::Args),
    /// Run a further command in what runs
    Enter(enter::Args),
    /// Send a signal
    Kill(kill::Args),
    /// Show what a detached command has printed
    Logs(logs::Args),
}

/// Words that make a call one of a tool. A program of that name is run with `--` before it, or with
/// an option.
const TOOLS: [&str; 4] = ["ps", "enter", "kill", "logs"];

/// The command trees, for man pages and completion scripts: the launch with its tools.
pub(in crate::cli) fn command() -> clap::Command {
    let tools = Tools::command();
    let mut all = Launch::command().propagate_version(true).disable_help_subcommand(true);
    for tool in tools.get_subcommands() {
        all = all.subcommand(tool.clone());
    }
    all
}

/// Runs the tool.
pub(in crate::cli) fn main(args: Vec<OsString>) -> Exit {
    let tool = args.get(1).and_then(|word| word.to_str()).is_some_and(|word| TOOLS.contains(&word));
    if !tool {
        return match parse::<Launch>(args) {
            Ok(call) => launch::run(&call.args),
            Err(error) => usage(&error),
        };
    }
    match parse::<Tools>(args) {
        Ok(call) => {
            let mut out = Output::standard(anstream::ColorChoice::Auto);
            let result = match &call.tool {
                Tool::Ps(args) => ps::run(args, &mut out),
                Tool::Enter(args) => enter::run(args),
                Tool::Kill(args) => kill::run(args),
                Tool::Logs(args) => logs::run(args, &mut out),
            };
            result.unwrap_or_else(|error| {
                failed(&error, &mut out);
                exit(&error)
            })
        }
        Err(error) => usage(&error),
    }
}

fn parse<T: CommandFactory + FromArgMatches>(args: Vec<OsString>) -> Result<T, clap::Error> {
    T::from_arg_matches(&T::command().try_get_matches_from(args)?)
}

fn usage(error: &clap::Error) -> Exit {
    match super::usage(error) {
        Exit::Usage => Exit::Launch,
        other => other,
    }
}

/// Says why something failed, and what is known of the cause.
fn failed(error: &LaunchError, out: &mut Output) {
    let text = crate::launch::cause::with_cause(&error.to_string());
    out.say(&format!("red-wrap: {}\n", render::visible(&text)));
}

/// The status for a launch that failed.
fn exit(error: &LaunchError) -> Exit {
    match error.fault() {
        Fault::Launch => Exit::Launch,
        Fault::CannotInvoke => Exit::CannotInvoke,
        Fault::NotFound => Exit::NotFound,
    }
}

/// Shows why there is no plan.
fn say(error: &ConfError, out: &mut Output) {
    match error {
        ConfError::Mistakes(report, sources) => {
            out.report(report, sources, Severity::Warning);
            if let Some(cause) = crate::launch::cause::of(&report.one_line(sources)) {
                out.say(&format!("red-wrap: {cause}\n"));
            }
        }
        other => {
            let text = crate::launch::cause::with_cause(&other.to_string());
            out.say(&format!("red-wrap: {}\n", render::visible(&text)));
        }
    }
}

/// Which of those that run is meant: one by its own name, or the only one of a node.
///
/// # Errors
/// None or several are.
fn find(store: &Store, name: &str) -> Result<Record, LaunchError> {
    let running = |record: &Record| record.status(store) != Status::Stopped;
    let all = container::list(store)?.records;
    if let Some(record) = all.iter().find(|record| record.id == name) {
        return Ok(record.clone());
    }
    let last =
        |path: &str| std::path::Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let of_node = |record: &&Record| {
        record
            .redpath
            .as_deref()
            .is_some_and(|path| path == name.trim_end_matches('/') || last(path).as_deref() == Some(name))
    };
    let found: Vec<&Record> = all.iter().filter(of_node).filter(|record| running(record)).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(LaunchError::Unknown { id: name.to_owned() }),
        several => {
            let ids: Vec<&str> = several.iter().map(|record| record.id.as_str()).collect();
            Err(LaunchError::refused(format!("`{name}`"), format!("several run: {}", ids.join(", "))))
        }
    }
}
