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
mod spec;
mod start;
mod state;
mod update;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::conf;
use super::exit::Exit;
use super::output::Output;
use crate::launch::error::LaunchError;
use crate::launch::record::Store;

/// redpak nodes and OCI bundles as containers.
#[derive(Debug, Parser)]
#[command(name = "red-runtime", version, propagate_version = true, disable_help_subcommand = true)]
pub(super) struct Runtime {
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
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// In which form
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Accepted for the sake of engines; there is nothing more to say
    #[arg(long)]
    debug: bool,
    /// Have systemd make cgroups; `cgroupsPath` is `slice:prefix:name` then
    #[arg(long)]
    systemd_cgroup: bool,
    /// Who makes cgroups
    #[arg(long, value_name = "WHO")]
    cgroup_manager: Option<CgroupManager>,
    /// Accepted for the sake of engines; whether the caller is root is seen
    #[arg(long, value_name = "true|false|auto", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rootless: Option<String>,
}

impl Global {
    fn store(&self) -> Store {
        Store::of(self.root.as_deref())
    }

    fn systemd(&self) -> bool {
        self.systemd_cgroup || self.cgroup_manager == Some(CgroupManager::Systemd)
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
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// Runs the tool.
pub(super) fn main(runtime: &Runtime) -> Exit {
    let Runtime { global, command } = runtime;
    if let Command::Conf(conf) = command {
        return conf::run(conf, &mut Output::standard(conf.color()));
    }
    let mut out = Output::standard(anstream::ColorChoice::Auto);
    let result = match command {
        Command::Wrap(passed) => {
            let args = std::iter::once("red-wrap".into()).chain(passed.args.iter().cloned());
            return super::wrap::main(args.collect());
        }
        Command::Create(args) => create::run(global, args),
        Command::Start(args) => start::run(global, args),
        Command::State(args) => state::run(global, args, &mut out),
        Command::Kill(args) => kill::run(global, args),
        Command::Delete(args) => delete::run(global, args),
        Command::Run(args) => run::run(global, args),
        Command::Exec(args) => exec::run(global, args),
        Command::List(args) => list::run(global, args, &mut out),
        Command::Ps(args) => ps::run(global, args, &mut out),
        Command::Spec(args) => spec::run(args),
        Command::Features => features::run(&mut out),
        Command::Pause(args) => pause::run(global, args, true),
        Command::Resume(args) => pause::run(global, args, false),
        Command::Update(args) => update::run(global, args),
        Command::Events(args) => events::run(global, args, &mut out),
        Command::Checkpoint(_) => Err(RunError::Unsupported("checkpoint")),
        Command::Restore(_) => Err(RunError::Unsupported("restore")),
        Command::Gc(args) => gc::run(global, args, &mut out),
        Command::Doctor(args) => return super::doctor::run(args, &mut out),
        Command::Conf(_) => return Exit::Success,
    };
    result.unwrap_or_else(|error| {
        log::error(global, &error, &mut out);
        if matches!(command, Command::Exec(_)) { Exit::Enter } else { Exit::Failure }
    })
}
