//! `red-conf bundle`

use std::path::PathBuf;

use serde_json::json;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Form, Output};
use crate::node::diagnostic::Severity;
use crate::node::render;
use crate::spec::bundle;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node
    redpath: PathBuf,
    /// Where the bundle goes: a directory that does not exist or is empty
    dir: PathBuf,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let session = Session::open(&args.redpath, &args.mode)?;
    let (plan, report) = session.planned(&args.plan, Commands::Run)?;
    bundle::write(&plan, &args.dir)?;
    if args.json {
        out.json(&json!({
            "schema": "red/bundle/v1",
            "redpath": plan.redpath,
            "digest": plan.digest.to_string(),
            "bundle": args.dir.display().to_string(),
            "diagnostics": render::json(&report, &session.family.sources)?,
        }))?;
    } else {
        out.report(&report, &session.family.sources, least);
        out.data(&format!("{}\n", plan.digest))?;
    }
    Ok(Exit::Success)
}
