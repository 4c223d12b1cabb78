//! Whether what is found may be exported as it is asked for (REDPAK §5, "What may not be exported
//! writable"). Everything is compared by place, that is file system and path in it, so that bind mounts,
//! views of the whole disk and symbolic links are no way around.

mod given;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use self::given::{Granted, reached};
use super::at;
use super::kept::{self, Class, KeptPlaces, below};
use super::services::Others;
use super::sources::{Finder, Found};
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::expand::Text;
use crate::node::family::{Layer, Origin, STATUS_NAME};
use crate::node::guard::{Location, MountTable};
use crate::node::merge::binds::{self, Bind};
use crate::node::merge::{Export, Merged};
use crate::node::place::Facts;
use crate::spec::crossing::Trace;

/// Something mounted over a part of a writable export.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Over {
    /// The way there from the export.
    pub(super) at: String,
    /// What is mounted: that very part.
    pub(super) source: String,
    pub(super) dir: bool,
    /// A directory on the way to a read-only part, writable as before: nobody inside can rename or
    /// remove a mount point (rename(2), EBUSY), and with it what is mounted below.
    pub(super) writable: bool,
    pub(super) id: Option<(u64, u64)>,
}

/// What becomes of exports that are not refused.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Writable exports that become read-only, by position.
    pub(super) read_only: BTreeSet<usize>,
    /// What lies over writable exports, by position.
    pub(super) over: BTreeMap<usize, Vec<Over>>,
}

/// Judges all exports. Refusals go to the report.
pub(super) fn judge(finder: &mut Finder<'_>, merged: &Merged, found: &[Found]) -> Verdict {
    let mounts = finder.host.mounts();
    let places: Vec<Option<Location>> = found.iter().map(|found| place_of(found, &mounts)).collect();
    let writable = |export: &Export| export.mode.bind() == Some(true);
    let any = merged.exports.iter().zip(found).any(|(export, found)| match found {
        Found::Path { facts, .. } => writable(export) || facts.is_none(),
        _ => false,
    });
    let kept =
        if any || !merged.claims.is_empty() { KeptPlaces::of(finder, merged) } else { KeptPlaces::default() };
    let layers = finder.family.layers();
    let mut judge = Judge {
        finder,
        merged,
        found,
        places,
        mounts,
        kept,
        layers,
        granted: Vec::new(),
        verdict: Verdict::default(),
    };
    judge.claims();
    judge.links();
    judge.namespaces();
    judge.read_only_of_elders();
    let mut others = Others::default();
    for index in 0..merged.exports.len() {
        if !judge.is_known(index) {
            continue;
        }
        others.check(&mut judge, index);
        if writable(&merged.exports[index]) {
            judge.writable(index);
        } else {
            judge.made(index);
        }
    }
    judge.verdict
}

fn place_of(found: &Found, mounts: &MountTable) -> Option<Location> {
    let Found::Path { real, facts, .. } = found else { return None };
    kept::place(mounts, facts.map_or(0, |facts| facts.mount), real)
}

pub(super) struct Judge<'j, 'f> {
    pub(super) finder: &'j mut Finder<'f>,
    pub(super) merged: &'j Merged,
    found: &'j [Found],
    pub(super) places: Vec<Option<Location>>,
    pub(super) mounts: Rc<MountTable>,
    pub(super) kept: KeptPlaces,
    layers: Vec<Layer<'f>>,
    granted: Vec<Granted>,
    verdict: Verdict,
}

impl<'j, 'f> Judge<'j, 'f> {
    /// Whether there is something to judge: a source whose path is final.
    fn is_known(&self, index: usize) -> bool {
        let unresolved = self.merged.exports[index].source.text().is_some_and(|text| text.unresolved);
        matches!(self.found[index], Found::Path { .. }) && !unresolved
    }

    /// What an export is of: its path, whether it is a directory, and its facts where it is there.
    pub(super) fn source(&self, index: usize) -> (&'j str, bool, Option<Facts>) {
        match &self.found[index] {
            Found::Path { real, dir, facts } => (real, *dir, *facts),
            _ => ("", false, None),
        }
    }

    pub(super) fn layer(&self, index: usize) -> Layer<'f> {
        self.layers[self.merged.exports[index].origin.layer.index()]
    }

    pub(super) fn export(&self, index: usize) -> &Export {
        &self.merged.exports[index]
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.finder.report.push(diagnostic);
    }

    /// Refuses writable exports of what an elder exports read-only, by place. The merge has already
    /// looked at the paths as written. What a recursive bind brings along counts too.
    fn read_only_of_elders(&mut self) {
        // Position of the export, origin, path, place.
        let mut all: Vec<(usize, Origin, &str, Location)> = Vec::new();
        let merged = self.merged;
        let mounts = Rc::clone(&self.mounts);
        for (index, export) in merged.exports.iter().enumerate() {
            let (real, dir, facts) = self.source(index);
            if self.places[index].is_some() {
                let places = reached(&mounts, facts.map_or(0, |facts| facts.mount), real, dir);
                all.extend(places.into_iter().map(|place| (index, export.origin, real, place)));
            }
            // What is missing could be made, where it would be.
            let own = export.source.text().filter(|_| self.found[index] == Found::Skipped);
            let own = own.filter(|_| export.mode.bind() == Some(false)).map(|path| (path, export.origin));
            let lost = export.read_only.iter().map(|(path, origin)| (path, *origin));
            for (path, origin) in own.into_iter().chain(lost).filter(|(path, _)| !path.unresolved) {
                let places = self.would_be(&path.actual);
                all.extend(places.into_iter().map(|place| (index, origin, path.actual.as_str(), place)));
            }
        }
        let uses: Vec<Bind<'_>> = all
            .iter()
            .filter_map(|(index, origin, path, place)| {
                let (export, layer) = (&merged.exports[*index], &self.layers[origin.layer.index()]);
                let holds = export.origin == *origin;
                Some(Bind {
                    path,
                    place: place.as_str(),
                    writable: holds && export.mode.bind()?,
                    age: layer.age(),
                    admin: layer.admin,
                    origin: *origin,
                })
            })
            .collect();
        let nodes: Vec<Option<Location>> = self
            .finder
            .family
            .nodes
            .iter()
            .map(|node| kept::place(&self.mounts, node.facts.mount, &node.vars.path))
            .collect();
        let nodes: Vec<&str> =
            nodes.iter().map(|place| place.as_ref().map_or("?", Location::as_str)).collect();
        for conflict in binds::conflicts(&nodes, &uses) {
            let diagnostic = conflict.diagnostic(self.finder.family);
            // What the texts told the merge already said.
            let same = |other: &Diagnostic| {
                let places = |one: &Diagnostic| one.related.iter().map(|label| label.at).collect::<Vec<_>>();
                (other.code, other.at) == (diagnostic.code, diagnostic.at)
                    && places(other) == places(&diagnostic)
            };
            if !self.finder.report.diagnostics().iter().any(same) {
                self.push(diagnostic);
            }
        }
    }

    /// The places that a path of a configuration leads to, or would once something is there.
    fn would_be(&mut self, path: &str) -> Vec<Location> {
        let node = self.finder.family.node_of(path).map(|node| node.path.as_path());
        match self.finder.host.trace(path, node) {
            Some(Trace { real, facts: Some(facts), .. }) => {
                reached(&self.mounts, facts.mount, &real, facts.is_dir())
            }
            Some(Trace { real, .. }) => kept::place(&self.mounts, 0, &real).into_iter().collect(),
            None => kept::place(&self.mounts, 0, path).into_iter().collect(),
        }
    }

    /// Judges a read-only export of a directory that is missing, and that the launch would make.
    fn made(&mut self, index: usize) {
        let (real, _, facts) = self.source(index);
        let Some(place) = self.places[index].as_ref().filter(|_| facts.is_none()) else { return };
        let decides = self.kept.around(place).find(|kept| kept.class != Class::Packages);
        if decides.is_some() {
            let message = format!("{real} is missing, and a launch does not make what decides for a node");
            let diagnostic = Diagnostic::error(Code::ExportDecides, message)
                .at(at(self.export(index)))
                .help("drop the export, or use a File mode for a file");
            self.push(diagnostic);
        }
    }

    /// Judges a writable export.
    fn writable(&mut self, index: usize) {
        let (real, dir, facts) = self.source(index);
        if self.finder.terms.rules.allow(real) {
            return;
        }
        let Some(place) = self.places[index].clone() else {
            let message =
                format!("{real} is on a mount that cannot be found, so nobody can tell what it covers");
            return self.refuse(index, message, "export it read-only");
        };
        if let Some(untold) = self.kept.untold(&place).map(str::to_owned) {
            let message = format!(
                "{untold} is on an overlay, and its layers cannot be found: {real} could be one of them"
            );
            return self.refuse(index, message, "mount the overlay by absolute paths");
        }
        if let Some(links) = facts.filter(|facts| facts.is_file() && facts.links > 1).map(|facts| facts.links)
            && !self.layer(index).admin
        {
            let message = format!(
                "{real} has {links} names (hard links): what else would be written to, nobody can tell"
            );
            return self.refuse(index, message, "export a copy of it, or its directory");
        }
        let mounts = Rc::clone(&self.mounts);
        let layers = |id: u64, path: &str| {
            mounts.layers(id, path).into_iter().map(|layer| (path.to_owned(), layer)).collect::<Vec<_>>()
        };
        let mut brought = layers(facts.map_or(0, |facts| facts.mount), real);
        for mount in mounts.below(real).filter(|_| dir) {
            brought.push((mount.point.clone(), mount.location()));
            brought.extend(layers(mount.id, &mount.point));
        }
        for (point, place) in brought {
            let hit = self.kept.around(&place).chain(self.kept.within(&place).map(|(_, kept)| kept)).next();
            if let Some(path) = hit.map(|kept| kept.path.clone()) {
                let message = if point == real {
                    format!("{real} is an overlay of {path}")
                } else {
                    format!("{real} brings along the mount at {point}, and with it {path}")
                };
                return self.refuse(
                    index,
                    message,
                    "export the directories that are needed, without that one",
                );
            }
        }
        if self.layer(index).admin && dir {
            self.keep_nodes_in(index, real);
        }
        if self.covered(index, &place, real) && self.owned(index, &place, real) && !self.bounded(index) {
            self.refuse_unbounded(index, real);
        }
    }

    fn refuse_unbounded(&mut self, index: usize, real: &str) {
        let text = self.export(index).source.text().map_or("", Text::written);
        let message = format!(
            "`{text}` leads to {real} in the node, and where it leads in other launches nobody can tell"
        );
        let help =
            "write what is fixed of it first, from `$NODE_PATH/`, or export something outside the node";
        self.refuse(index, message, help);
    }

    /// In a pool, or in the directory of a node, only the node it belongs to and its elders export
    /// something writable, and what they did not give away stays so. Says whether that is so here.
    fn owned(&mut self, index: usize, place: &Location, real: &str) -> bool {
        let layer = self.layer(index);
        let last = self.finder.family.nodes.len() - 1;
        let Some(owner) = self.kept.owner(place) else { return self.nobodys(index, place, real) };
        let node = &self.finder.family.nodes[owner];
        let fixed = self.export(index).source.text().is_some_and(|text| !text.is_volatile());
        let elder = layer.age() <= owner && (fixed || owner == last);
        let maintained = layer.admin && layer.node.is_none_or(|node| node <= owner);
        if maintained {
            return true;
        }
        if layer.age() != owner + 1 && (layer.admin || owner != last) && !elder {
            let given =
                |granted: &Granted| granted.shared && granted.age <= owner + 1 && granted.holds(place);
            if self.granted.iter().any(given) {
                return true;
            }
            let message = format!(
                "{} exports {real} writable, and it is node `{}`'s, which does not give it away",
                layer.name(),
                node.vars.alias
            );
            self.refuse(index, message, "export it read-only, or let the elder node export it");
            return false;
        }
        let top = node.vars.path.clone();
        self.not_foreign(index, real, &top)
    }

    /// The same for what no member of the family has.
    fn nobodys(&mut self, index: usize, place: &Location, real: &str) -> bool {
        if self.kept.pools.iter().any(|pool| pool.contains(place)) {
            let message = format!("{real} is in a pool, and in no node of this family");
            self.refuse(index, message, "export something of the node's own, or read-only");
            return false;
        }
        // An elder that gives it away has no node there, whatever contents made of it.
        let age = self.layer(index).age();
        let given = |granted: &Granted| granted.age < age && granted.holds(place);
        if !self.granted.iter().any(given) && self.finder.host.is_node(real) {
            let message = format!("{real} is a node");
            let help = format!("export something else; if it is none, remove {real}/{STATUS_NAME}");
            self.refuse(index, message, &help);
            return false;
        }
        self.not_foreign(index, real, "/")
    }

    fn not_foreign(&mut self, index: usize, real: &str, top: &str) -> bool {
        let Some(node) = self.foreign(real, top) else { return true };
        let message = format!("{real} is part of another node, {node}");
        self.refuse(index, message, "export something of the node's own, or read-only");
        false
    }

    /// A node that is no member of the family, strictly between `top` and `path`. What stands at `path`
    /// itself is contents: a container could have put it there.
    fn foreign(&mut self, path: &str, top: &str) -> Option<String> {
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            if parent.is_empty() || below(parent, top).is_none_or(str::is_empty) {
                return None;
            }
            let given = kept::place(&self.mounts, 0, parent)
                .is_some_and(|place| self.granted.iter().any(|granted| granted.holds(&place)));
            if given {
                return None;
            }
            if self.finder.host.is_node(parent) {
                return Some(parent.to_owned());
            }
            above = parent;
        }
        None
    }

    fn refuse(&mut self, index: usize, message: String, help: &str) {
        let export = self.export(index);
        let diagnostic = Diagnostic::error(Code::ExportDecides, message)
            .at(at(export))
            .label(format!("writable at {}", export.mount.actual))
            .help(help);
        self.push(diagnostic);
    }
}
