//! `red-conf quadlet`

use std::path::PathBuf;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Output};
use crate::node::diagnostic::{Code, Diagnostic, Report, Severity};
use crate::spec::quadlet;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node
    redpath: PathBuf,
    #[command(flatten)]
    mode: ModeArgs,
    /// Word of the command to run; repeat for each argument [default: sh]
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let session = Session::open(&args.redpath, &args.mode)?;
    let (plan, report) = session.planned(&PlanArgs::strict(false), Commands::Show)?;
    let unit = quadlet::unit(&plan, &session.family, &args.cmd).map_err(|error| {
        let mut report = Report::default();
        report.push(Diagnostic::error(Code::BadValue, error.to_string()));
        ConfError::Mistakes(report, std::sync::Arc::clone(&session.family.sources))
    })?;
    out.report(&report, &session.family.sources, least);
    out.data(&unit)?;
    Ok(Exit::Success)
}
