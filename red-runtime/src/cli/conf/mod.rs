//! `red-conf`: looks at nodes, explains what they amount to, makes them.

mod access;
mod bundle;
mod check;
mod config;
mod create;
mod diff;
mod image;
mod mergeconfig;
pub(super) mod plan;
mod quadlet;
mod schema;
pub(super) mod session;
pub(super) mod table;
mod tree;
mod unit;
mod yaml;

use std::io;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};

use super::exit::Exit;
use super::output::Output;
use crate::node::create::CreateError;
use crate::node::diagnostic::{Code, Report, Severity};
use crate::node::load::LoadError;
use crate::node::place::PlaceError;
use crate::node::render;
use crate::node::source::Sources;
use crate::spec::bundle::BundleError;

/// Look at redpak nodes and their configuration
///
/// A redpath names a node; its family is that node and every node above it. Every command that
/// takes one reads the family's files and says what they amount to, and from which line.
#[derive(Debug, Parser)]
#[command(name = "red-conf", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 nothing wrong, 1 failed or something wrong, 2 called wrongly.")]
pub struct Conf {
    #[command(flatten)]
    color: colorchoice_clap::Color,
    /// Say more: notes too
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw the nodes below a directory
    Tree(tree::Args),
    /// Show a node's own configuration
    Config(config::Args),
    /// Show what a family amounts to, and where each entry came from
    Mergeconfig(mergeconfig::Args),
    /// Make a node
    Create(create::Args),
    /// Find all that is wrong with a family
    Check(check::Args),
    /// Show the whole plan of a launch
    Plan(plan::Args),
    /// Show what one node may touch that another may not
    Diff(diff::Args),
    /// Say whether a path may be read or written inside, and through which entry
    Access(access::Args),
    /// Write a bundle that any OCI runtime runs
    Bundle(bundle::Args),
    /// Write an OCI image that references a node, or has its contents
    Image(image::Args),
    /// Print a podman unit (quadlet) that runs a node
    Quadlet(quadlet::Args),
    /// Print a systemd service that runs a command in a node
    Unit(unit::Args),
    /// Print the JSON Schema of a file
    Schema(schema::Args),
}

impl Conf {
    /// What `--color` says.
    #[must_use]
    pub fn color(&self) -> anstream::ColorChoice {
        self.color.as_choice()
    }

    /// From which weight on remarks are shown.
    fn least(&self) -> Severity {
        if self.verbose { Severity::Note } else { Severity::Warning }
    }
}

/// In which form data is printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Text,
    /// YAML in the schema of the files.
    Yaml,
    /// One JSON document.
    Json,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfError {
    /// There is no family.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A directory or file cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Mistakes in files.
    #[error("{}", .0.one_line(.1))]
    Mistakes(Report, Arc<Sources>),
    /// No bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// No image.
    #[error(transparent)]
    Image(#[from] crate::spec::image::ImageError),
    /// No node.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// Nothing can be launched, for there is no state directory.
    #[cfg(feature = "launch")]
    #[error(transparent)]
    State(#[from] crate::launch::error::LaunchError),
    /// The output could not be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    /// The output could not be put into words.
    #[error("cannot write: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs a command.
#[must_use]
pub fn run(conf: &Conf, out: &mut Output) -> Exit {
    let least = conf.least();
    let (result, form) = match &conf.command {
        Command::Tree(args) => (tree::run(args, out), args.form()),
        Command::Config(args) => (config::run(args, out), args.form()),
        Command::Mergeconfig(args) => (mergeconfig::run(args, out, least), args.form()),
        Command::Create(args) => (create::run(args, out), Form::Text),
        Command::Check(args) => (check::run(args, out, least), args.form()),
        Command::Plan(args) => (plan::run(args, out, least), args.form()),
        Command::Diff(args) => (diff::run(args, out), args.form()),
        Command::Access(args) => (access::run(args, out), args.form()),
        Command::Bundle(args) => (bundle::run(args, out, least), args.form()),
        Command::Image(args) => (image::run(args, out, least), args.form()),
        Command::Quadlet(args) => (quadlet::run(args, out, least), Form::Text),
        Command::Unit(args) => (unit::run(args, out, least), Form::Text),
        Command::Schema(args) => (schema::run(args, out), Form::Text),
    };
    result.unwrap_or_else(|error| failed(&error, form, least, out))
}

/// Shows why a command failed: to the person on stderr, or as the one document on stdout.
fn failed(error: &ConfError, form: Form, least: Severity, out: &mut Output) -> Exit {
    let (report, sources) = match error {
        ConfError::Mistakes(report, sources) => (report.clone(), Arc::clone(sources)),
        other => {
            let mut report = Report::default();
            report.push(crate::node::diagnostic::Diagnostic::error(Code::Failed, other.to_string()));
            (report, Arc::new(Sources::default()))
        }
    };
    if form == Form::Json {
        let written =
            render::json(&report, &sources).map_err(io::Error::from).and_then(|json| out.json(&json));
        if let Err(error) = written {
            out.say(&format!("cannot write: {error}\n"));
        }
    } else {
        out.report(&report, &sources, least);
        #[cfg(feature = "launch")]
        if let Some(cause) = crate::launch::cause::of(&report.one_line(&sources)) {
            out.say(&format!("red-conf: {cause}\n"));
        }
    }
    Exit::Failure
}
