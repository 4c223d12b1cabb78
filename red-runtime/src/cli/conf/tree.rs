//! `red-conf tree`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ConfError, Exit, Form, Output};
use crate::node::load::Loader;
use crate::node::scan::{self, Found};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to start, as an option
    #[arg(short = 'r', long, value_name = "DIR", conflicts_with = "dir")]
    redroot: Option<PathBuf>,
    /// Where to start
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

#[derive(Serialize)]
struct JsonTree {
    schema: &'static str,
    root: String,
    nodes: Vec<JsonNode>,
}

#[derive(Serialize)]
struct JsonNode {
    path: String,
    alias: Option<String>,
    name: Option<String>,
    info: Option<String>,
    state: Option<String>,
    children: Vec<JsonNode>,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<Exit, ConfError> {
    let dir = args.redroot.as_deref().or(args.dir.as_deref()).unwrap_or(Path::new("."));
    let mut loader = Loader::default();
    let (root, nodes) = scan::scan(&mut loader, dir)?;
    if args.json {
        let nodes = nodes.iter().map(json).collect();
        let tree = JsonTree { schema: "red/tree/v1", root: root.display().to_string(), nodes };
        out.json(&serde_json::to_value(tree)?)?;
    } else {
        let mut text = String::new();
        match nodes.as_slice() {
            [one] if one.path == root => {
                text.push_str(&format!("{}{}\n", root.display(), label(one)));
                draw(&one.children, &one.path, "", out.unicode, &mut text);
            }
            nodes => {
                text.push_str(&format!("{}\n", root.display()));
                draw(nodes, &root, "", out.unicode, &mut text);
            }
        }
        out.text(&text)?;
    }
    out.report(&loader.report, &loader.sources, crate::node::diagnostic::Severity::Error);
    Ok(if loader.report.has_errors() { Exit::Failure } else { Exit::Success })
}

/// What is written behind a node's path.
fn label(node: &Found) -> String {
    let config = node.draft.config.as_ref();
    let alias = config.map_or("(unreadable)", |config| config.headers.alias.value.as_str());
    let state =
        node.draft.status.as_ref().map_or("(no state)".to_owned(), |status| status.state.value.to_string());
    let name = config.and_then(|config| config.headers.name.as_ref()).map_or("", |name| name.value.as_str());
    format!("  {alias}  {state}  {name}").trim_end().to_owned()
}

fn draw(nodes: &[Found], above: &Path, prefix: &str, unicode: bool, text: &mut String) {
    let (tee, elbow, bar) =
        if unicode { ("├── ", "└── ", "│   ") } else { ("|-- ", "`-- ", "|   ") };
    for (index, node) in nodes.iter().enumerate() {
        let last = index + 1 == nodes.len();
        let shown = node.path.strip_prefix(above).unwrap_or(&node.path).display();
        let branch = if last { elbow } else { tee };
        text.push_str(&format!("{prefix}{branch}{shown}{}\n", label(node)));
        let deeper = format!("{prefix}{}", if last { "    " } else { bar });
        draw(&node.children, &node.path, &deeper, unicode, text);
    }
}

fn json(node: &Found) -> JsonNode {
    let headers = node.draft.config.as_ref().map(|config| &config.headers);
    let text = |text: Option<&crate::node::source::Located<String>>| text.map(|text| text.value.clone());
    JsonNode {
        path: node.path.display().to_string(),
        alias: headers.map(|headers| headers.alias.value.clone()),
        name: text(headers.and_then(|headers| headers.name.as_ref())),
        info: text(headers.and_then(|headers| headers.info.as_ref())),
        state: node.draft.status.as_ref().map(|status| status.state.value.to_string()),
        children: node.children.iter().map(json).collect(),
    }
}
