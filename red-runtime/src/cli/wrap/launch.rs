//! `red-wrap --redpath=PATH PROGRAM`, and `red-runtime run --redpath PATH`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::ValueEnum;

use super::super::conf::ConfError;
use super::super::conf::plan as show;
use super::super::conf::session::{Commands, ModeArgs, PlanArgs, Session};
use super::super::exit::Exit;
use super::super::output::Output;
use super::super::watch::Watch;
use super::{exit, say};
use crate::launch::standalone::{self, Options, Phases};
use crate::node::diagnostic::{Report, Severity};
use crate::node::family::Family;
use crate::spec::identity::Asked;
use crate::spec::plan::{Plan, Request};

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The node
    #[arg(short = 'r', long, visible_aliases = ["rpath", "rp"], value_name = "PATH")]
    redpath: PathBuf,
    #[command(flatten)]
    plain: Plain,
    /// Show the plan on stderr before the launch
    #[arg(long, visible_alias = "dump")]
    show: bool,
    /// Show the plan and launch nothing
    #[arg(long)]
    dump_only: bool,
    /// Print the plan as one JSON document and launch nothing
    #[arg(long)]
    plan: bool,
    /// The program and its arguments
    #[arg(value_name = "PROGRAM", trailing_var_arg = true)]
    command: Vec<String>,
}

/// What `red-wrap` and `red-runtime run` have in common.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Plain {
    /// Admin mode: admin files are in force; FILE replaces main-admin.yaml
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    admin: Option<Option<PathBuf>>,
    /// Replaces main.yaml
    #[arg(long, value_name = "FILE")]
    rmain: Option<PathBuf>,
    /// What is missing is an error
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    strict: Option<YesNo>,
    /// The opposite of --strict
    #[arg(long, conflicts_with = "strict")]
    force: bool,
    /// Nodes that were moved start all the same
    #[arg(long = "unsafe")]
    unsafe_: bool,
    /// User the command runs as, by name or number
    #[arg(long)]
    user: Option<String>,
    /// Group the command runs as, by name or number
    #[arg(long)]
    group: Option<String>,
    /// Smack label of the command
    #[arg(long, value_name = "LABEL")]
    smack: Option<String>,
    /// Set a variable for the command, or pass on the launcher's
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// Run it in the background; its output goes to a file (`red-wrap logs`)
    #[arg(short, long)]
    detach: bool,
    /// Name of what runs, for `red-wrap ps` and the like
    #[arg(long)]
    name: Option<String>,
    /// It ends with the launcher
    #[arg(long)]
    die_with_parent: bool,
    /// It is in a session of its own
    #[arg(long)]
    new_session: bool,
    /// Say when each phase of the launch was over, on stderr
    #[arg(long)]
    timings: bool,
    /// Say more
    #[arg(short, long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    verbose: Option<u8>,
    /// Directory of states
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Runs the tool.
pub(in crate::cli) fn run(args: &Args) -> Exit {
    let what = if args.plan {
        What::Json
    } else if args.dump_only {
        What::Text
    } else if args.show {
        What::TextAndLaunch
    } else {
        What::Launch
    };
    let command = if args.command.first().is_some_and(|first| first == "--") {
        &args.command[1..]
    } else {
        &args.command[..]
    };
    args.plain.run(&args.redpath, command, what)
}

/// What is done with the plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cli) enum What {
    /// It is launched.
    Launch,
    /// It is shown and launched.
    TextAndLaunch,
    /// It is shown.
    Text,
    /// It is printed for machines.
    Json,
}

impl Plain {
    /// Where states are kept, when that was said here and not before the subcommand.
    pub(in crate::cli) fn or_root(mut self, root: Option<&PathBuf>) -> Self {
        self.root = self.root.or_else(|| root.cloned());
        self
    }

    /// Whether nobody waits for it.
    pub(in crate::cli) fn detaches(&self) -> bool {
        self.detach
    }

    /// Runs a command in a node, or shows how.
    pub(in crate::cli) fn run(&self, redpath: &std::path::Path, command: &[String], what: What) -> Exit {
        let mut out = Output::standard(anstream::ColorChoice::Auto);
        let mut phases = Phases::default();
        let watch = Watch::begin(|error| {
            super::failed(error, &mut Output::standard(anstream::ColorChoice::Auto));
        });
        let result = self.planned(redpath, command, what, &mut phases);
        drop(watch);
        let (mut plan, family, report) = match result {
            Ok(planned) => planned,
            Err(error) => {
                say(&error, &mut out);
                return Exit::Launch;
            }
        };
        phases.mark("plan");
        if let Some(exit) = shown(what, &family, &plan, &report, &mut out) {
            return exit;
        }
        let least = if self.verbose.unwrap_or(0) > 0 { Severity::Note } else { Severity::Warning };
        if !report.diagnostics().is_empty() {
            out.report(&report, &family.sources, least);
        }
        if command.is_empty() {
            out.say("red-wrap: no program to run; name one after the options\n");
            return Exit::Launch;
        }
        let options = Options {
            name: self.name.clone(),
            root: self.root.clone(),
            detach: self.detach,
            die_with_parent: self.die_with_parent,
            new_session: self.new_session,
        };
        let result = standalone::launch(&mut plan, &family, &options, &mut phases);
        if self.timings {
            let words = phases.micros().into_iter().map(|(name, micros)| format!("{name} {micros} µs"));
            out.say(&format!("red-wrap: {}\n", words.collect::<Vec<_>>().join(", ")));
        }
        match result {
            Ok(ended) => {
                if let Some(error) = &ended.left {
                    super::failed(error, &mut out);
                }
                Exit::Command(u8::try_from(ended.code).unwrap_or(255))
            }
            Err(error) => {
                super::failed(&error, &mut out);
                exit(&error)
            }
        }
    }

    fn planned(
        &self,
        redpath: &std::path::Path,
        command: &[String],
        what: What,
        phases: &mut Phases,
    ) -> Result<(Plan, Family, Report), ConfError> {
        let mode = ModeArgs::of(self.admin.clone(), self.rmain.clone());
        let session = Session::open(redpath, &mode)?;
        phases.mark("load");
        let mut request = Request::new(session.caller());
        if !command.is_empty() {
            request.args = command.to_vec();
        }
        request.strict = self.strict == Some(YesNo::Yes);
        request.unsafe_ = self.unsafe_;
        request.asked = Asked { user: self.user.clone(), group: self.group.clone() };
        request.smack.clone_from(&self.smack);
        request.terminal = !self.detach && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let (mut plan, report) = match what {
            What::Launch | What::TextAndLaunch => session.launchable(&request, self.root.as_deref())?,
            // Nothing is run to show what would be.
            What::Text | What::Json => session.planned(&PlanArgs::like(&request), Commands::Show)?,
        };
        self.set_env(&mut plan);
        Ok((plan, session.family, report))
    }

    fn set_env(&self, plan: &mut Plan) {
        if self.env.is_empty() {
            return;
        }
        let own = plan.launch.environment.clone();
        let Some(process) = plan.spec.process_mut() else { return };
        let mut env = process.env().clone().unwrap_or_default();
        for one in &self.env {
            let (key, value) = match one.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (one.as_str(), own.get(one).cloned()),
            };
            env.retain(|held| held.split_once('=').is_none_or(|(held, _)| held != key));
            env.extend(value.map(|value| format!("{key}={value}")));
        }
        process.set_env(Some(env));
    }
}

/// Shows a plan; the exit when that was all.
fn shown(what: What, family: &Family, plan: &Plan, report: &Report, out: &mut Output) -> Option<Exit> {
    match what {
        What::Launch => None,
        What::TextAndLaunch => {
            out.say(&show::as_text(family, plan));
            None
        }
        What::Text => Some(match out.text(&show::as_text(family, plan)) {
            Ok(()) => Exit::Success,
            Err(_) => Exit::Launch,
        }),
        What::Json => {
            let printed = show::as_json(family, plan, report).and_then(|json| Ok(out.json(&json)?));
            Some(if printed.is_ok() { Exit::Success } else { Exit::Launch })
        }
    }
}
