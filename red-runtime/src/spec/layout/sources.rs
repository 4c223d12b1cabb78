//! What stands behind every bind export on this machine.

use super::{Layout, Skipped, Terms, at};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::{Family, Node};
use crate::node::merge::binds::{self, Bind};
use crate::node::merge::{Export, Merged, Source};
use crate::spec::host::{Host, Probe};

/// A directory of a node that a launch makes before it mounts it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    /// The node it belongs to.
    pub node: std::path::PathBuf,
    /// Its path.
    pub path: String,
    /// Position of the export in [`Merged::exports`].
    pub export: usize,
}

/// What one export stands on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// It has no source on the host.
    Nothing,
    /// A path of the host, without symbolic links.
    Path { real: String, dir: bool },
    /// It is left out.
    Skipped,
}

/// Looks at every source.
pub(super) struct Finder<'a> {
    pub(super) family: &'a Family,
    pub(super) terms: Terms,
    pub(super) host: &'a mut dyn Host,
    pub(super) layout: Layout,
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
            return Found::Path { real: path.actual.clone(), dir: !export.mode.is_file() };
        }
        let node = self.family.node_of(&path.actual);
        match self.host.probe(&path.actual, node.map(|node| node.path.as_path())) {
            Probe::Dir { real } => Found::Path { real, dir: true },
            Probe::Other { real, device } => {
                if device {
                    self.report.push(
                        Diagnostic::warning(
                            Code::DeviceExport,
                            format!("{real} is a device, and exports carry `nodev`"),
                        )
                        .at(at(export))
                        .help("it will be visible but cannot be opened; Devfs brings the usual ones"),
                    );
                }
                Found::Path { real, dir: false }
            }
            Probe::Missing => self.missing(index, export, &path.actual, node),
            Probe::Refused { reason } => self.skip(index, export, &format!("{}: {reason}", path.actual)),
        }
    }

    fn missing(&mut self, index: usize, export: &Export, path: &str, node: Option<&Node>) -> Found {
        match node {
            Some(node) if !export.mode.is_file() && !self.terms.strict => {
                let created = Created { node: node.path.clone(), path: path.to_owned(), export: index };
                self.layout.create.push(created);
                Found::Path { real: path.to_owned(), dir: true }
            }
            Some(node) => {
                let alias = &node.vars.alias;
                self.skip(index, export, &format!("{path} is missing from node `{alias}`"))
            }
            None => self.skip(index, export, &format!("{path} is missing")),
        }
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

/// Refuses writable exports of what an elder exports read-only, by where the paths really lead.
/// The merge has already looked at the paths as written.
pub(super) fn check_writable(family: &Family, exports: &[Export], found: &[Found], report: &mut Report) {
    let layers = family.layers();
    let uses: Vec<Bind<'_>> = exports
        .iter()
        .zip(found)
        .filter_map(|(export, found)| {
            let Found::Path { real, .. } = found else { return None };
            let layer = layers.iter().find(|layer| layer.id == export.origin.layer)?;
            Some(Bind {
                path: real,
                writable: export.mode.bind()?,
                age: layer.age(),
                admin: layer.admin,
                origin: export.origin,
            })
        })
        .collect();
    for conflict in binds::conflicts(family, &uses) {
        report.push(conflict.diagnostic(family));
    }
}
