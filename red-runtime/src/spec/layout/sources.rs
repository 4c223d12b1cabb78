//! What stands behind every bind export on this machine.

use std::collections::BTreeMap;

use super::{Layout, Skipped, Terms, at};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::{Family, Node, STATUS_NAME};
use crate::node::merge::{Export, Merged, Source};
use crate::node::place::Facts;
use crate::node::text_path::is_within;
use crate::spec::crossing::Link;
use crate::spec::host::{Host, Probe};

/// A directory, usually of a node, that a launch makes before it mounts it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    /// The node it belongs to, or another directory that is there and that it is made in.
    pub node: std::path::PathBuf,
    /// Its path.
    pub path: String,
    /// Position of the export in [`Merged::exports`].
    pub export: usize,
    /// Whether it is its owner's alone: records of what runs.
    pub private: bool,
}

/// What one export stands on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// It has no source on the host.
    Nothing,
    /// A path of the host, without symbolic links; what the kernel says of it unless it is yet to be
    /// made, or not known before a command has run.
    Path { real: String, dir: bool, facts: Option<Facts> },
    /// It is left out.
    Skipped,
}

/// Looks at every source.
pub(super) struct Finder<'a> {
    pub(super) family: &'a Family,
    pub(super) terms: Terms<'a>,
    pub(super) host: &'a mut dyn Host,
    pub(super) layout: Layout,
    /// The symbolic links on the way to sources, by position of the export.
    pub(super) links: BTreeMap<usize, Vec<Link>>,
    pub(super) report: &'a mut Report,
}

impl Finder<'_> {
    /// What every export stands on, in their order.
    pub(super) fn all(&mut self, merged: &Merged) -> Vec<Found> {
        merged.exports.iter().enumerate().map(|(index, export)| self.one(index, export)).collect()
    }

    fn one(&mut self, index: usize, export: &Export) -> Found {
        let Source::Path(path) = &export.source else { return Found::Nothing };
        if path.unresolved {
            let dir = !export.mode.is_file();
            return Found::Path { real: path.actual.clone(), dir, facts: None };
        }
        let node = self.family.node_of(&path.actual);
        let (probe, links) = self.host.follow(&path.actual, node.map(|node| node.path.as_path()));
        if !links.is_empty() {
            self.links.insert(index, links);
        }
        if let Probe::Dir { real, .. } | Probe::Other { real, .. } = &probe
            && self.is_roots_session(real, export)
        {
            return self.without_session(index, export);
        }
        match probe {
            Probe::Dir { real, facts } => Found::Path { real, dir: true, facts: Some(facts) },
            Probe::Other { real, facts } => {
                if facts.is_device() {
                    self.report.push(
                        Diagnostic::warning(
                            Code::DeviceExport,
                            format!("{real} is a device, and exports carry `nodev`"),
                        )
                        .at(at(export))
                        .help("it will be visible but cannot be opened; Devfs brings the usual ones"),
                    );
                }
                Found::Path { real, dir: false, facts: Some(facts) }
            }
            Probe::Missing => self.missing(index, export, &path.actual, node),
            Probe::Refused { reason } => self.skip(index, export, &format!("{}: {reason}", path.actual)),
        }
    }

    fn missing(&mut self, index: usize, export: &Export, path: &str, node: Option<&Node>) -> Found {
        match node {
            Some(node) if !export.mode.is_file() && !self.terms.strict && self.makes(export, node, path) => {
                let (node, path) = (node.path.clone(), path.to_owned());
                let created = Created { node, path: path.clone(), export: index, private: false };
                self.layout.create.push(created);
                Found::Path { real: path, dir: true, facts: None }
            }
            Some(node) => {
                let alias = &node.vars.alias;
                let why = if export.mode.is_file() || self.makes(export, node, path) {
                    ""
                } else {
                    ", and what a launch makes of a node is for that node and its elders to say"
                };
                self.skip(index, export, &format!("{path} is missing from node `{alias}`{why}"))
            }
            None => self.skip(index, export, &format!("{path} is missing")),
        }
    }

    /// Whether a path is in root's own session, where root's service manager starts what it is told to.
    /// The templates export everybody's; root's is for those who may name services.
    fn is_roots_session(&self, real: &str, export: &Export) -> bool {
        if self.terms.uid != 0 || !is_within(real, "/run/user/0") {
            return false;
        }
        let layers = self.family.layers();
        let layer = layers.iter().find(|layer| layer.id == export.origin.layer);
        let may = layer.is_none_or(|layer| layer.admin || layer.node.is_none());
        !may && !self.terms.rules.allow(real)
    }

    fn without_session(&mut self, index: usize, export: &Export) -> Found {
        let reason = "root's session and its service manager do what they are told as root";
        let message = format!("export of {} is left out: {reason}", export.mount.actual);
        let warning = Diagnostic::warning(Code::ExportPrivileged, message).at(at(export));
        self.report.push(
            warning.help("an admin file, redmain or `exports: {allow: [...]}` in the policy may name it"),
        );
        self.layout.skipped.push(Skipped { export: index, reason: reason.to_owned() });
        Found::Skipped
    }

    /// Whether an export makes what is missing of a node: of its own node and those below it. What would
    /// look like a node's status stops every node below.
    fn makes(&self, export: &Export, node: &Node, path: &str) -> bool {
        let layers = self.family.layers();
        let age = layers.iter().find(|layer| layer.id == export.origin.layer).map(|layer| layer.age());
        let owner = self.family.nodes.iter().position(|one| one.path == node.path);
        let own = age.zip(owner).is_some_and(|(age, owner)| age <= owner + 1);
        // A writable one is judged by whose it is, and may be given away.
        (own || export.mode.bind() == Some(true)) && !path.split('/').any(|name| name == STATUS_NAME)
    }

    fn skip(&mut self, index: usize, export: &Export, reason: &str) -> Found {
        let mount = &export.mount.actual;
        self.report.push(if self.terms.strict {
            Diagnostic::error(Code::SourceMissing, format!("export of {mount}: {reason}"))
                .at(at(export))
                .help("make it, remove the export, or start without `--strict`")
        } else {
            Diagnostic::warning(Code::SourceMissing, format!("export of {mount} is left out: {reason}"))
                .at(at(export))
        });
        self.layout.skipped.push(Skipped { export: index, reason: reason.to_owned() });
        Found::Skipped
    }
}
