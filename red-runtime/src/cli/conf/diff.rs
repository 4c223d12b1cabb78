//! `red-conf diff`

use std::path::PathBuf;

use serde_json::json;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::table::Table;
use super::{ConfError, Exit, Form, Output};
use crate::spec::diff;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first node
    a: PathBuf,
    /// The second node
    b: PathBuf,
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
    let plan = |path: &PathBuf| -> Result<_, ConfError> {
        let session = Session::open(path, &args.mode)?;
        Ok(session.planned(&PlanArgs::strict(false), Commands::Show)?.0)
    };
    let (a, b) = (plan(&args.a)?, plan(&args.b)?);
    let more = diff::more(&a, &b);
    if args.json {
        let side = |plan: &crate::spec::plan::Plan| json!({"redpath": plan.redpath, "digest": plan.digest.to_string()});
        out.json(&json!({"schema": "red/diff/v1", "first": side(&a), "second": side(&b), "more": more}))?;
    } else if more.is_empty() {
        out.text(&format!("{} may touch nothing that {} may not\n", b.redpath, a.redpath))?;
    } else {
        let mut table = Table::default();
        table.heading(format!("what {} may and {} may not", b.redpath, a.redpath));
        for one in &more {
            table.row([one.kind, &one.what, &format!("{} -> {}", one.first, one.second)]);
        }
        out.text(&table.render())?;
    }
    Ok(if more.is_empty() { Exit::Success } else { Exit::Failure })
}
