//! `red-conf access`

use std::path::PathBuf;

use serde_json::Value;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Form, Output};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::source::Sources;
use crate::spec::access::access;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node
    redpath: PathBuf,
    /// The path inside, absolute
    path: String,
    #[command(flatten)]
    mode: ModeArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, ConfError> {
    if !args.path.starts_with('/') {
        let mut report = Report::default();
        let message = format!("`{}` is relative", args.path);
        report.push(Diagnostic::error(Code::BadPath, message).help("write it from `/`"));
        return Err(ConfError::Mistakes(report, std::sync::Arc::new(Sources::default())));
    }
    let session = Session::open(&args.redpath, &args.mode)?;
    let (plan, _) = session.planned(&PlanArgs::strict(false), Commands::Show)?;
    let answer = access(&session.family, &plan, &args.path);
    if args.json {
        let mut value = serde_json::to_value(&answer)?;
        if let Some(map) = value.as_object_mut() {
            map.insert("schema".into(), Value::from("red/access/v1"));
            map.insert("redpath".into(), plan.redpath.into());
        }
        out.json(&value)?;
    } else {
        let word = |may: bool| if may { "yes" } else { "no" };
        let mut text = format!(
            "{}\n  read   {}\n  write  {}\n  is     {}\n",
            answer.path,
            word(answer.read),
            word(answer.write),
            answer.what
        );
        for (label, value) in [
            ("service", &answer.service.map(str::to_owned)),
            ("host", &answer.host),
            ("entry", &answer.through),
            ("from", &answer.from.as_ref().map(crate::spec::provenance::From::show)),
        ] {
            if let Some(value) = value {
                text.push_str(&format!("  {label:<5}  {value}\n"));
            }
        }
        out.text(&text)?;
    }
    Ok(Exit::Success)
}
