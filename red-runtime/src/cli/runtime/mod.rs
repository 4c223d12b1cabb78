//! `red-runtime`: an OCI runtime that engines call as they call runc, one file a subcommand.

mod create;
mod delete;
mod events;
pub(super) mod exec;
mod features;
mod gc;
mod kill;
mod list;
mod log;
mod pause;
mod ps;
mod run;
mod size;
mod spec;
mod start;
mod state;
mod update;
mod version;

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::conf;
use super::exit::Exit;
use super::output::Output;
use crate::launch::error::LaunchError;
use crate::launch::record::Store;

/// redpak nodes and OCI bundles as containers.
#[derive(Debug, Parser)]
#[command(
    name = "red-runtime",
    version,
    propagate_version = true,
    disable_version_flag = true,
    disable_help_subcommand = true
)]
pub(super) struct Runtime {
    /// Print the version, with that of the specification
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// In which form errors are logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum CgroupManager {
    /// This program.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: a container stays in its launcher's cgroup.
    Disabled,
}

/// Options before the subcommand.
#[derive(Clone, Debug, clap::Args)]
struct Global {
    /// Directory of states
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// File that errors are written to, besides stderr
    #[arg(long, value_name = "FILE", value_parser = log::parse)]
    log: Option<PathBuf>,
    /// In which form
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Accepted for the sake of engines; there is nothing more to say
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    debug: Option<bool>,
    /// Have systemd make cgroups; `cgroupsPath` is `slice:prefix:name` then
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    systemd_cgroup: Option<bool>,
    /// Who makes cgroups
    #[arg(long, value_name = "WHO")]
    cgroup_manager: Option<CgroupManager>,
    /// Accepted for crun compatibility; only errors are logged
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Change roots without pivot_root, as with `create --no-pivot`
    #[arg(long)]
    no_pivot: bool,
    /// Accepted for runc compatibility; checkpoints are not supported
    #[arg(long, value_name = "PROGRAM", hide = true)]
    criu: Option<PathBuf>,
    /// Accepted for the sake of engines; whether the caller is root is seen
    #[arg(long, value_name = "true|false|auto", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rootless: Option<String>,
}

impl Global {
    fn store(&self) -> Store {
        Store::of(self.root.as_deref())
    }

    fn systemd(&self) -> bool {
        self.systemd_cgroup == Some(true) || self.cgroup_manager == Some(CgroupManager::Systemd)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a container from a bundle; it waits to be started
    Create(create::Args),
    /// Start a container that was made
    Start(start::Args),
    /// Print the state of a container
    State(state::Args),
    /// Send a signal to a container
    Kill(kill::Args),
    /// Remove a container
    Delete(delete::Args),
    /// Make and start a container from a bundle or a node, and wait for it
    Run(Box<run::Args>),
    /// Run a further process in a container
    Exec(Box<exec::Args>),
    /// List containers
    List(list::Args),
    /// List the processes of a container
    Ps(ps::Args),
    /// Write a configuration to start from
    Spec(spec::Args),
    /// Print what this runtime can do, as JSON
    Features,
    /// Stop everything in a container
    Pause(pause::Args),
    /// Let what was stopped go on
    Resume(pause::Args),
    /// Change the limits of a container
    Update(update::Args),
    /// Print what the cgroups of a container have counted
    Events(events::Args),
    /// Not supported
    Checkpoint(Unsupported),
    /// Not supported
    Restore(Unsupported),
    /// Not supported
    #[command(hide = true)]
    Mounts(Unsupported),
    /// Remove what interrupted commands have left behind
    Gc(gc::Args),
    /// Say what this machine lacks, and how to get it
    Doctor(super::doctor::Args),
    /// Look at nodes and their configuration, the same as `red-conf`
    Conf(conf::Conf),
    /// Run a command in a node, the same as `red-wrap`
    #[command(disable_help_flag = true)]
    Wrap(Passed),
}

/// Arguments that are passed on.
#[derive(Debug, clap::Args)]
struct Passed {
    /// Arguments of red-wrap
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<std::ffi::OsString>,
}

/// Arguments that nothing is done with.
#[derive(Debug, clap::Args)]
struct Unsupported {
    /// Whatever is asked for
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    _args: Vec<String>,
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// The container.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The node.
    #[error(transparent)]
    Node(#[from] super::bundle::NodeError),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// The output cannot be put into words.
    #[error("cannot write: {0}")]
    Json(#[from] serde_json::Error),
    /// It is not done.
    #[error("{}", unsupported(.0))]
    Unsupported(&'static str),
    /// It was called wrongly.
    #[error("{0}")]
    Usage(String),
}

/// Why a file that was named cannot be read; not in the C library's words, from which podman would take it
/// that the command is missing.
fn unreadable(path: &std::path::Path, error: &std::io::Error) -> LaunchError {
    let why =
        rustix::io::Errno::from_io_error(error).map_or_else(|| error.to_string(), crate::node::place::plain);
    LaunchError::refused(path.display().to_string(), why)
}

/// `what` or `what: why`.
fn unsupported(what: &str) -> String {
    match what.split_once(": ") {
        Some((what, why)) => format!("{what} is not supported: {why}"),
        None => format!("{what} is not supported"),
    }
}

/// The command line, understood.
///
/// # Errors
/// It is not, or asks for help or the version.
pub(super) fn parse(args: Vec<std::ffi::OsString>) -> Result<Runtime, clap::Error> {
    let mut command = Runtime::command();
    if args.iter().skip(1).any(|arg| ["-v", "-V", "--version"].iter().any(|known| arg == known)) {
        command = command.version(&*version::text().leak());
    }
    Runtime::from_arg_matches(&command.try_get_matches_from(args)?)
}

/// Status of a call that is not understood: that of the tool that is meant, and runc's own for what runc
/// has.
pub(super) fn usage(args: &[std::ffi::OsString]) -> Exit {
    let with_value = ["--root", "--log", "--log-format", "--log-level", "--cgroup-manager", "--criu"];
    let mut words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    while let Some(word) = words.next() {
        if with_value.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return if matches!(word, "conf" | "doctor" | "gc") { Exit::Usage } else { Exit::Failure };
        }
    }
    Exit::Failure
}

/// Runs the tool.
pub(super) fn main(runtime: &Runtime) -> Exit {
    let Runtime { global, command, .. } = runtime;
    if let Command::Conf(conf) = command {
        return conf::run(conf, &mut Output::standard(conf.color()));
    }
    let mut out = Output::standard(anstream::ColorChoice::Auto);
    if let Command::Wrap(passed) = command {
        let args = std::iter::once("red-wrap".into()).chain(passed.args.iter().cloned());
        return super::wrap::main(args.collect());
    }
    if let Err(error) = log::open(global) {
        log::error(&Global { log: None, ..global.clone() }, &error, &mut out);
        return Exit::Failure;
    }
    run_command(global, command, &mut out).unwrap_or_else(|error| {
        log::error(global, &error, &mut out);
        match (command, &error) {
            (_, RunError::Usage(_)) => Exit::Failure,
            (Command::Exec(_), _) => Exit::Enter,
            _ => Exit::Failure,
        }
    })
}

fn run_command(global: &Global, command: &Command, out: &mut Output) -> Result<Exit, RunError> {
    match command {
        Command::Create(args) => create::run(global, args),
        Command::Start(args) => start::run(global, args),
        Command::State(args) => state::run(global, args, out),
        Command::Kill(args) => kill::run(global, args),
        Command::Delete(args) => delete::run(global, args),
        Command::Run(args) => run::run(global, args),
        Command::Exec(args) => exec::run(global, args),
        Command::List(args) => list::run(global, args, out),
        Command::Ps(args) => ps::run(global, args, out),
        Command::Spec(args) => spec::run(args),
        Command::Features => features::run(out),
        Command::Pause(args) => pause::run(global, args, true),
        Command::Resume(args) => pause::run(global, args, false),
        Command::Update(args) => update::run(global, args),
        Command::Events(args) => events::run(global, args, out),
        Command::Checkpoint(_) => Err(RunError::Unsupported("checkpoint")),
        Command::Restore(_) => Err(RunError::Unsupported("restore")),
        Command::Mounts(_) => Err(RunError::Unsupported("mounts: mounts are part of the configuration")),
        Command::Gc(args) => gc::run(global, args, out),
        Command::Doctor(args) => Ok(super::doctor::run(args, out)),
        Command::Conf(_) | Command::Wrap(_) => Ok(Exit::Success),
    }
}
