//! Whether what is found may be exported as it is asked for (REDPAK §5, "What may not be exported
//! writable"). Everything is compared by place, that is file system and path in it, so that bind mounts,
//! views of the whole disk and symbolic links are no way around.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::at;
use super::kept::{self, Class, Kept, KeptPlaces, below};
use super::services::Others;
use super::sources::{Created, Finder, Found};
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::Layer;
use crate::node::guard::{Location, MountTable};
use crate::node::merge::binds::{self, Bind};
use crate::node::merge::{Export, Merged};
use crate::node::place::Facts;
use crate::spec::host::Probe;

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
    let any = merged
        .exports
        .iter()
        .zip(found)
        .any(|(export, found)| writable(export) && matches!(found, Found::Path { .. }));
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
    judge.read_only_of_elders();
    let mut others = Others::default();
    for index in 0..merged.exports.len() {
        if !judge.is_known(index) {
            continue;
        }
        others.check(&mut judge, index);
        if writable(&merged.exports[index]) {
            judge.writable(index);
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
    /// What elders export writable, with the age of who does.
    granted: Vec<(usize, Location)>,
    verdict: Verdict,
}

impl<'f> Judge<'_, 'f> {
    /// Whether there is something to judge: a source whose path is final.
    fn is_known(&self, index: usize) -> bool {
        let unresolved = self.merged.exports[index].source.text().is_some_and(|text| text.unresolved);
        matches!(self.found[index], Found::Path { .. }) && !unresolved
    }

    /// What an export is of: its path, whether it is a directory, and its facts where it is there.
    pub(super) fn source(&self, index: usize) -> (String, bool, Option<Facts>) {
        match &self.found[index] {
            Found::Path { real, dir, facts } => (real.clone(), *dir, *facts),
            _ => (String::new(), false, None),
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

    /// Refuses members of the family that lie in what an elder gives away, and remembers what elders
    /// give away.
    fn claims(&mut self) {
        let merged = self.merged;
        for claim in &merged.claims {
            let active = merged.exports.iter().position(|export| {
                let same = || export.source.text().is_some_and(|text| text.actual == claim.path);
                export.origin == claim.origin && same()
            });
            let place = match active {
                Some(index) => self.places[index].clone(),
                None => {
                    let node = self.finder.family.node_of(&claim.path).map(|node| node.path.as_path());
                    match self.finder.host.probe(&claim.path, node) {
                        Probe::Dir { real, facts } | Probe::Other { real, facts } => {
                            kept::place(&self.mounts, facts.mount, &real)
                        }
                        // What is not there holds no node.
                        _ => kept::place(&self.mounts, 0, &claim.path),
                    }
                }
            };
            let Some(place) = place else { continue };
            let lies = |bases: &Vec<Location>| bases.iter().any(|base| place.contains(base));
            let member = (claim.age..self.kept.nodes.len()).find(|&index| lies(&self.kept.nodes[index]));
            if let Some(index) = member {
                let node = &self.finder.family.nodes[index];
                let layer = self.layers[claim.origin.layer.index()].name();
                let message = format!(
                    "{} lies in {}, which {layer} exports writable: anything in there could have made it",
                    node.path.display(),
                    claim.path
                );
                let diagnostic = Diagnostic::error(Code::NodeWritable, message)
                    .at(claim.origin.at)
                    .label("containers may write there")
                    .related(node.status.state.at, "no node, whatever it says")
                    .help("move the node out of it, or export a smaller directory");
                self.push(diagnostic);
            }
            self.granted.push((claim.age, place));
        }
    }

    /// Refuses writable exports of what an elder exports read-only, by place. The merge has already
    /// looked at the paths as written. What a recursive bind brings along counts too.
    fn read_only_of_elders(&mut self) {
        let shown: Vec<String> = (0..self.found.len()).map(|index| self.source(index).0).collect();
        let mut all: Vec<(usize, Location)> = Vec::new();
        for (index, found) in self.found.iter().enumerate() {
            let Found::Path { real, dir, .. } = found else { continue };
            all.extend(self.places[index].clone().map(|place| (index, place)));
            let brought = self.mounts.below(real).filter(|_| *dir);
            all.extend(brought.map(|mount| (index, mount.location())));
        }
        let uses: Vec<Bind<'_>> = all
            .iter()
            .filter_map(|(index, place)| {
                let (export, layer) = (&self.merged.exports[*index], self.layer(*index));
                Some(Bind {
                    path: &shown[*index],
                    place: place.as_str(),
                    writable: export.mode.bind()?,
                    age: layer.age(),
                    admin: layer.admin,
                    origin: export.origin,
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
            self.finder.report.push(diagnostic);
        }
    }

    /// Judges a writable export.
    fn writable(&mut self, index: usize) {
        let (real, dir, facts) = self.source(index);
        if self.finder.terms.rules.allow(&real) {
            return;
        }
        let Some(place) = self.places[index].clone() else {
            let message =
                format!("{real} is on a mount that cannot be found, so nobody can tell what it covers");
            return self.refuse(index, message, "export it read-only");
        };
        if let Some(links) = facts.filter(|facts| facts.is_file() && facts.links > 1).map(|facts| facts.links)
            && !self.layer(index).admin
        {
            let message = format!(
                "{real} has {links} names (hard links): what else would be written to, nobody can tell"
            );
            return self.refuse(index, message, "export a copy of it, or its directory");
        }
        let brought: Vec<(String, Location)> = self
            .mounts
            .below(&real)
            .filter(|_| dir)
            .map(|mount| (mount.point.clone(), mount.location()))
            .collect();
        for (point, place) in brought {
            let hit = self.kept.around(&place).chain(self.kept.within(&place).map(|(_, kept)| kept)).next();
            if let Some(path) = hit.map(|kept| kept.path.clone()) {
                let message = format!("{real} brings along the mount at {point}, and with it {path}");
                return self.refuse(
                    index,
                    message,
                    "export the directories that are needed, without that one",
                );
            }
        }
        if self.covered(index, &place, &real) {
            self.owned(index, &place, &real);
        }
    }

    /// Judges by what lies around and in a place. Says whether there is more to judge.
    fn covered(&mut self, index: usize, place: &Location, real: &str) -> bool {
        let layer = self.layer(index);
        let hits = |around: bool, rest: &str, kept: &Kept| (around, rest.to_owned(), kept.clone());
        let around = self.kept.around(place).map(|kept| hits(true, "", kept));
        let within = self.kept.within(place).map(|(rest, kept)| hits(false, rest, kept));
        let hits: Vec<(bool, String, Kept)> = around.chain(within).collect();
        // A younger node that lies in it is refused as such, see `claims`.
        let younger = |kept: &Kept| kept.node.is_some_and(|node| node + 1 > layer.age()) && !layer.admin;
        let in_claim = |kept: &Kept| {
            let node = kept.node.filter(|_| younger(kept) && kept.class != Class::Packages);
            node.is_some_and(|node| self.kept.nodes[node].iter().any(|base| place.contains(base)))
        };
        let mut refused: Option<&Kept> = None;
        let mut parts: Vec<(&str, &Kept)> = Vec::new();
        for (around, rest, kept) in hits.iter().filter(|(_, _, kept)| !in_claim(kept)) {
            match treatment(&layer, *around, kept) {
                Treatment::Fine => {}
                Treatment::Refused => {
                    refused = refused.filter(|held| held.class <= kept.class).or(Some(kept))
                }
                Treatment::ReadOnly => return self.becomes_read_only(index, real, kept),
                Treatment::Over => parts.push((rest, kept)),
            }
        }
        if let Some(kept) = refused {
            let what = if kept.path == real { String::new() } else { format!(" and {}", kept.path) };
            let whose = kept.node.map_or_else(String::new, |node| {
                format!(" of node `{}`", self.finder.family.nodes[node].vars.alias)
            });
            let message = format!(
                "{} exports {real} writable{}: {}{whose}",
                layer.name(),
                if what.is_empty() {
                    String::new()
                } else {
                    format!(",{}", what.replacen(" and", " and with it", 1))
                },
                kept.class.words()
            );
            self.refuse(index, message, "what decides for nodes is out of reach of what runs in them: export another directory, or use a Restricted mode");
            return false;
        }
        for (rest, kept) in parts {
            self.keep_part(index, real, rest, kept);
        }
        true
    }

    /// An export of the package database or the like is not refused, since every tree of red-pak 2.5 has
    /// one; it is read-only.
    fn becomes_read_only(&mut self, index: usize, real: &str, kept: &Kept) -> bool {
        let (words, mount) = (kept.class.words(), self.export(index).mount.actual.clone());
        let layer = self.layer(index).name();
        let diagnostic = Diagnostic::warning(
            Code::ExportKept,
            format!("{mount} is read-only, although {layer} exports {real} writable: {words}"),
        )
        .at(at(self.export(index)))
        .help("write Restricted or PrivateRestricted, so that it says what it is");
        self.push(diagnostic);
        self.verdict.read_only.insert(index);
        false
    }

    /// Mounts a part of a writable export read-only over it.
    fn keep_part(&mut self, index: usize, real: &str, rest: &str, kept: &Kept) {
        let source = format!("{}/{rest}", real.trim_end_matches('/'));
        let node = self.finder.family.node_of(&source).map(|node| node.path.clone());
        let (dir, id) = match self.finder.host.probe(&source, node.as_deref()) {
            Probe::Dir { real, facts } if real == source => (true, Some((facts.dev, facts.ino))),
            Probe::Other { real, facts } if real == source => (false, Some((facts.dev, facts.ino))),
            Probe::Missing if kept.named && kept.class == Class::Packages => {
                if !self.make(index, &source, node) {
                    return;
                }
                (true, None)
            }
            // The store leads to its generations by links; what they lead to is no part of the export.
            _ => return,
        };
        let layer = self.layer(index).name();
        let diagnostic = Diagnostic::note(
            Code::ExportKept,
            format!("{source} stays read-only in what {layer} exports writable: {}", kept.class.words()),
        )
        .at(at(self.export(index)));
        self.push(diagnostic);
        let over = self.verdict.over.entry(index).or_default();
        let mut add = |at: &str, dir: bool, writable: bool, id| {
            let source = format!("{}/{at}", real.trim_end_matches('/'));
            match over.iter_mut().find(|over| over.at == at) {
                Some(held) => held.writable &= writable,
                None => over.push(Over { at: at.to_owned(), source, dir, writable, id }),
            }
        };
        let mut end = 0;
        while let Some(slash) = rest[end..].find('/') {
            end += slash;
            add(&rest[..end], true, true, None);
            end += 1;
        }
        add(rest, dir, false, id);
    }

    /// Sees to a directory that has to be there to be covered. Where the caller may not make it, nothing
    /// that the caller starts can.
    fn make(&mut self, index: usize, path: &str, node: Option<std::path::PathBuf>) -> bool {
        let above = std::path::Path::new(path).ancestors().skip(1).filter_map(std::path::Path::to_str);
        let mut above = above.map(str::to_owned);
        let there = above.find(|above| !matches!(self.finder.host.probe(above, None), Probe::Missing));
        let may = there.is_some_and(|there| self.finder.host.may_write(&there));
        let Some(node) = node.filter(|_| may) else { return false };
        if self.finder.terms.strict {
            let message = format!("{path} is missing, and what is exported around it could make it");
            let diagnostic = Diagnostic::error(Code::SourceMissing, message)
                .at(at(self.export(index)))
                .help("make it, or start without `--strict`");
            self.push(diagnostic);
            return false;
        }
        if self.finder.layout.create.iter().all(|created| created.path != path) {
            self.finder.layout.create.push(Created { node, path: path.to_owned(), export: index });
        }
        true
    }

    /// In a pool, or in the directory of a node, only the node it belongs to and its elders export
    /// something writable, and what they did not give away stays so.
    fn owned(&mut self, index: usize, place: &Location, real: &str) {
        let layer = self.layer(index);
        if layer.admin {
            return;
        }
        let last = self.finder.family.nodes.len() - 1;
        let Some(owner) = self.kept.owner(place) else {
            if self.kept.pools.iter().any(|pool| pool.contains(place)) {
                let message = format!("{real} is in a pool, and in no node of this family");
                return self.refuse(index, message, "export something of the node's own, or read-only");
            }
            if let Some(node) = self.foreign(real, "/") {
                let message = format!("{real} is part of another node, {node}");
                self.refuse(index, message, "export something of the node's own, or read-only");
            }
            return;
        };
        let node = &self.finder.family.nodes[owner];
        let given = |granted: &(usize, Location)| granted.0 <= owner + 1 && granted.1.contains(place);
        if self.granted.iter().any(given) {
            return;
        }
        let fixed = self.export(index).source.text().is_some_and(|text| !text.is_volatile());
        let elder = layer.age() <= owner && (fixed || owner == last);
        if layer.age() != owner + 1 && owner != last && !elder {
            let message = format!(
                "{} exports {real} writable, and it is node `{}`'s, which does not give it away",
                layer.name(),
                node.vars.alias
            );
            return self.refuse(index, message, "export it read-only, or let the elder node export it");
        }
        let top = node.vars.path.clone();
        if let Some(node) = self.foreign(real, &top) {
            let message = format!("{real} is part of another node, {node}");
            self.refuse(index, message, "export something of the node's own, or read-only");
        }
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
                .is_some_and(|place| self.granted.iter().any(|(_, granted)| granted.contains(&place)));
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

/// What is done about a place that decides.
enum Treatment {
    Fine,
    Refused,
    /// The export becomes read-only.
    ReadOnly,
    /// The part becomes read-only.
    Over,
}

fn treatment(layer: &Layer<'_>, around: bool, kept: &Kept) -> Treatment {
    let own = kept.node.is_some_and(|node| layer.node.is_some_and(|layer| layer <= node));
    match kept.class {
        Class::Pool | Class::Host => Treatment::Refused,
        Class::State if around => Treatment::Refused,
        Class::State => Treatment::Over,
        // Maintenance of a node writes in it, but not what it is started by.
        Class::Node if layer.admin && own => Treatment::Fine,
        Class::Config if layer.admin && own && !around => Treatment::Over,
        Class::Repositories | Class::Packages if layer.admin && own => Treatment::Fine,
        Class::Packages if around => Treatment::ReadOnly,
        Class::Packages => Treatment::Over,
        Class::Node | Class::Config | Class::Repositories => Treatment::Refused,
    }
}
