//! `red-conf config`

use serde_json::json;

use super::session::{ModeArgs, RedpathArgs, load_options};
use super::{ConfError, Exit, Form, Output, yaml};
use crate::node::expand::Launch;
use crate::node::load::{LoadError, Loader, single};
use crate::node::normalize::normalize;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    redpath: RedpathArgs,
    #[command(flatten)]
    mode: ModeArgs,
    /// Print YAML without the remark where it came from
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn form(&self) -> Form {
        match (self.yaml, self.json) {
            (_, true) => Form::Json,
            (true, _) => Form::Yaml,
            _ => Form::Text,
        }
    }
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, ConfError> {
    let launch = Launch::of_this_process();
    let admin = load_options(&args.mode, &launch).admin;
    let path = args.redpath.path();
    let mut loader = Loader::default();
    let draft = single(&mut loader, &path, admin)?
        .ok_or_else(|| LoadError::NotANode { path: path.display().to_string() })?;
    let wanted = if admin { draft.admin.as_ref() } else { draft.config.as_ref() };
    let sources = std::sync::Arc::new(loader.sources);
    let Some(config) = wanted.filter(|_| !loader.report.has_errors()) else {
        if loader.report.has_errors() {
            return Err(ConfError::Mistakes(loader.report, sources));
        }
        // Admin mode on a node without an admin file: nothing is in force.
        return Ok(Exit::Success);
    };
    let file = sources.path(config.file).display().to_string();
    let tree = normalize(config.file, sources.text(config.file));
    match args.form() {
        Form::Json => out.json(&json!({
            "schema": "red/config/v1",
            "path": draft.path.display().to_string(),
            "file": file,
            "config": tree.json(),
        }))?,
        Form::Yaml => out.data(&yaml::document(&tree))?,
        Form::Text => out.text(&format!("# {file}\n{}", yaml::document(&tree)))?,
    }
    Ok(Exit::Success)
}
