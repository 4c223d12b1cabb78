//! `red-conf check`

use super::session::{Commands, ModeArgs, PlanArgs, RedpathArgs, Session, load_options};
use super::{ConfError, Exit, Form, Output};
use crate::node::diagnostic::{Code, Diagnostic, Report, Severity};
use crate::node::expand::Launch;
use crate::node::family::Family;
use crate::node::load;
use crate::node::render;
use crate::policy::{self, Starter};
use crate::spec::engine::room;
use crate::spec::host::SystemHost;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    redpath: RedpathArgs,
    #[command(flatten)]
    mode: ModeArgs,
    /// What is missing is an error
    #[arg(long)]
    strict: bool,
    /// Check as if podman, containerd or cri-o started the node
    #[arg(long)]
    engine: bool,
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
    let launch = Launch::of_this_process();
    let options = load_options(&args.mode, &launch);
    let loaded = load::load(&args.redpath.path(), &options)?;
    let mut report = loaded.report.clone();
    let sources = std::sync::Arc::clone(&loaded.sources);
    if loaded.family.is_some() {
        let session = Session::of(loaded, launch)?;
        let starter = if args.engine { Starter::Engine } else { session.starter() };
        let policy = session.policy()?;
        report = aliases(&session.family);
        let plan = PlanArgs::strict(args.strict);
        let planned = session.plan(&plan, Commands::Show)?;
        report.append(planned.report);
        if let Some(plan) = planned.plan.as_ref().filter(|_| args.engine) {
            room::check(plan, &session.family, &mut SystemHost::default(), &mut report);
        }
        report.append(policy::verify(&policy, &session.family, starter));
    }
    let errors = report.count(Severity::Error);
    let warnings = report.count(Severity::Warning);
    if args.json {
        out.json(&render::json(&report, &sources)?)?;
    } else {
        out.report(&report, &sources, least);
        let path = args.redpath.path();
        out.text(&format!("{}: {errors} errors, {warnings} warnings\n", path.display()))?;
    }
    Ok(if report.has_errors() { Exit::Failure } else { Exit::Success })
}

/// Two nodes of one alias in a family would share `/nodes/ALIAS` (seed, "Alias").
fn aliases(family: &Family) -> Report {
    let mut report = Report::default();
    for (index, node) in family.nodes.iter().enumerate() {
        let elder = family.nodes[..index].iter().find(|elder| elder.vars.alias == node.vars.alias);
        if let Some(elder) = elder {
            report.push(
                Diagnostic::warning(
                    Code::AliasRepeated,
                    format!("two nodes of the family are called `{}`", node.vars.alias),
                )
                .at(node.config.headers.alias.at)
                .related(elder.config.headers.alias.at, "the elder one")
                .help("give one of them another alias: it names their directories under /nodes"),
            );
        }
    }
    report
}
