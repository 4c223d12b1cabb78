//! A family: redmain, and the nodes of a redpath from the oldest to the leaf.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{Config, Status};
use super::diagnostic::{Code, Diagnostic, Report};
use super::expand::NodeVars;
use super::place::{Deciding, Facts, is_normal};
use super::source::{At, Sources};
use super::text_path::is_within;
use super::value::State;

/// Names of a node's configuration below its directory, the current one first.
pub const CONFIG_NAMES: [&str; 2] = ["etc/redpak.yaml", "etc/redpack.yaml"];
/// Names of a node's admin configuration below its directory, the current one first.
pub const ADMIN_NAMES: [&str; 2] = ["etc/redpak-admin.yaml", "etc/redpack-admin.yaml"];
/// Name of a node's status file. A directory that holds one is a node.
pub const STATUS_NAME: &str = ".rednode.yaml";

/// One node, read.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its directory, without symbolic links.
    pub path: PathBuf,
    /// Facts of its directory.
    pub facts: Facts,
    /// Its status file.
    pub status: Status,
    /// Whether it stands elsewhere than its status file says.
    pub moved: bool,
    /// Its configuration.
    pub config: Config,
    /// Its admin configuration, in admin mode.
    pub admin: Option<Config>,
    /// What it gives to texts.
    pub vars: NodeVars,
}

/// The core OS's own layer.
#[derive(Clone, Debug, Default)]
pub struct Main {
    /// `main.yaml`.
    pub config: Option<Config>,
    /// `main-admin.yaml`, in admin mode.
    pub admin: Option<Config>,
    /// What it gives to texts.
    pub vars: NodeVars,
}

/// A family whose every file could be read.
#[derive(Clone, Debug)]
pub struct Family {
    /// The core OS's layer.
    pub main: Main,
    /// The nodes, oldest first. Never empty.
    pub nodes: Vec<Node>,
    /// Whether admin files are in force.
    pub admin: bool,
    /// The texts.
    pub sources: Arc<Sources>,
    /// Every file and directory that decided what is in here.
    pub deciding: Vec<Deciding>,
    /// The directories and links that the redpath led through; empty where no link was in the way.
    pub way: Vec<Deciding>,
}

/// Position of a layer in [`Family::layers`]; a greater one is stronger within its kind.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LayerId(u16);

impl LayerId {
    /// As an index into [`Family::layers`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Where an entry of a merged configuration was written.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    /// In which layer.
    pub layer: LayerId,
    /// At which place.
    pub at: At,
}

/// One file in force.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'f> {
    /// Its position.
    pub id: LayerId,
    /// The node, by position in [`Family::nodes`]; `None` is redmain.
    pub node: Option<usize>,
    /// Whether it is an admin file.
    pub admin: bool,
    /// Its contents.
    pub config: &'f Config,
    /// What its node gives to its texts.
    pub vars: &'f NodeVars,
}

impl Layer<'_> {
    /// An origin in this layer.
    #[must_use]
    pub fn origin(&self, at: At) -> Origin {
        Origin { layer: self.id, at }
    }

    /// Age within the family: 0 is redmain, 1 the oldest node.
    #[must_use]
    pub fn age(&self) -> usize {
        self.node.map_or(0, |node| node + 1)
    }

    /// How people call it.
    #[must_use]
    pub fn name(&self) -> String {
        let admin = if self.admin { " (admin)" } else { "" };
        match self.node {
            None => format!("redmain{admin}"),
            Some(_) => format!("node `{}`{admin}", self.vars.alias),
        }
    }
}

impl Family {
    /// The terminal node.
    #[must_use]
    pub fn leaf(&self) -> &Node {
        let last = self.nodes.len().saturating_sub(1);
        &self.nodes[last]
    }

    /// The files in force, weakest first: redmain, root node, …, leaf, each followed by its admin
    /// file.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer<'_>> {
        let main = [(false, self.main.config.as_ref()), (true, self.main.admin.as_ref())]
            .map(|(admin, config)| (None, admin, config, &self.main.vars));
        let nodes = self.nodes.iter().enumerate().flat_map(|(index, node)| {
            [(false, Some(&node.config)), (true, node.admin.as_ref())]
                .map(|(admin, config)| (Some(index), admin, config, &node.vars))
        });
        main.into_iter()
            .chain(nodes)
            .filter_map(|(node, admin, config, vars)| Some((node, admin, config?, vars)))
            .zip(0_u16..)
            .map(|((node, admin, config, vars), id)| Layer { id: LayerId(id), node, admin, config, vars })
            .collect()
    }

    /// The innermost node of the family whose directory holds `path`, by text.
    #[must_use]
    pub fn node_of(&self, path: &str) -> Option<&Node> {
        self.nodes.iter().rev().find(|node| match node.path.to_str() {
            Some(above) if is_normal(path) => is_within(path, above),
            _ => Path::new(path).starts_with(&node.path),
        })
    }

    /// What forbids the family to start whatever its configuration says: a node that is not
    /// enabled, or one that was moved unless its safety checks are off.
    #[must_use]
    pub fn startable(&self, unsafe_: bool) -> Report {
        let mut report = Report::default();
        for node in &self.nodes {
            let status = &node.status;
            if status.state.value != State::Enable {
                report.push(
                    Diagnostic::error(
                        Code::NodeDisabled,
                        format!("node `{}` is not enabled ({})", node.vars.alias, status.state.value),
                    )
                    .at(status.state.at)
                    .help("write `state: Enable` once it is fit to run"),
                );
            }
            let unsafe_ = unsafe_ || node.config.tags.unsafe_.as_ref().is_some_and(|on| on.value);
            if node.moved && !unsafe_ {
                let path = node.path.display();
                report.push(
                    Diagnostic::error(
                        Code::NodeMoved,
                        format!(
                            "node `{}` was made at {}, and is at {path}",
                            node.vars.alias, status.realpath.value
                        ),
                    )
                    .at(status.realpath.at)
                    .help(format!("`red-conf create --update {path}` adopts it, `--unsafe` ignores it")),
                );
            }
        }
        report
    }
}
