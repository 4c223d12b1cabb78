//! `red-conf unit`

use std::path::PathBuf;

use clap::ValueEnum;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Output};
use crate::node::diagnostic::{Code, Diagnostic, Report, Severity};
use crate::node::place::{CONTAINER_NAME, is_container_name};
use crate::spec::quadlet;
use crate::spec::unit::{Service, Start};

/// When the service counts as started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Type {
    /// Once red-wrap is executed
    #[default]
    Exec,
    /// Once the command says so (sd_notify(3))
    Notify,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node
    redpath: PathBuf,
    #[command(flatten)]
    mode: ModeArgs,
    /// When the service counts as started
    #[arg(long = "type", value_enum, default_value_t)]
    start: Type,
    /// Print a unit for the service manager of an ordinary user (systemctl --user)
    #[arg(long)]
    user: bool,
    /// Container name (used by red-wrap ps, kill, enter, logs) [default: the node's alias]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Send the command SIGHUP on `systemctl reload`
    #[arg(long)]
    reload: bool,
    /// Path of red-wrap on the machine that runs the unit
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/red-wrap")]
    red_wrap: PathBuf,
    /// The command
    #[arg(last = true, value_name = "COMMAND", required = true)]
    command: Vec<String>,
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let session = Session::open(&args.redpath, &args.mode)?;
    let (plan, report) = session.planned(&PlanArgs::strict(false), Commands::Show)?;
    let mut options = args.mode.words();
    // With one name for all its runs a launcher that was killed leaves one record, which the next run replaces.
    let broken = |message: String| {
        let mut report = Report::default();
        report.push(Diagnostic::error(Code::BadValue, message));
        ConfError::Mistakes(report, std::sync::Arc::clone(&session.family.sources))
    };
    if let Some(name) = args.name.as_ref().filter(|name| !is_container_name(name)) {
        return Err(broken(format!("container name `{name}`: {CONTAINER_NAME}")));
    }
    if args.command.first().is_none_or(String::is_empty) {
        return Err(broken("the command is empty".to_owned()));
    }
    let alias = || quadlet::container(&session.family.leaf().vars.alias);
    options.push(format!("--name={}", args.name.clone().unwrap_or_else(alias)));
    let service = Service {
        program: &args.red_wrap,
        start: match args.start {
            Type::Exec => Start::Exec,
            Type::Notify => Start::Notify,
        },
        user: args.user,
        reload: args.reload,
        options: &options,
        command: &args.command,
    };
    let unit = service.unit(&plan, &session.family).map_err(|error| broken(error.to_string()))?;
    out.report(&report, &session.family.sources, least);
    out.data(&unit)?;
    Ok(Exit::Success)
}
