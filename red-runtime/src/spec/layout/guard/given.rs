//! What members of a family give away to be written to: no node lies there, and no link that stands
//! there is followed, since contents could have put them there.

use std::collections::HashMap;

use super::Judge;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::Origin;
use crate::node::guard::{Location, MountTable};
use crate::node::merge::{Claim, Names, Sharing};
use crate::spec::crossing::Link;
use crate::spec::host::Probe;
use crate::spec::layout::at;
use crate::spec::layout::kept;

/// What a member exports writable.
pub(super) struct Granted {
    /// Age of the member's layer.
    pub(super) age: usize,
    /// Whether descendants get it too.
    pub(super) shared: bool,
    place: Location,
    /// Which names in the place it is about; all of it without any.
    names: Option<Names>,
    /// Position of the claim.
    claim: usize,
}

impl Judge<'_, '_> {
    /// Whether a writable export leads only where it is known to lead in any launch. Where it leads into
    /// the directory of the node that has it, descendants of that node may stand, and what this launch
    /// lets contents write there another one would believe.
    pub(super) fn bounded(&self, index: usize) -> bool {
        let (origin, layer) = (self.export(index).origin, self.layer(index));
        let mut claims = self.merged.claims.iter().filter(|claim| claim.origin == origin);
        if layer.admin || !claims.any(|claim| !claim.bounded || claim.names.is_some()) {
            return true;
        }
        let own = self.territory(layer.node.unwrap_or(0));
        let known = |place: &Location| {
            self.granted.iter().any(|granted| {
                let claim = &self.merged.claims[granted.claim];
                claim.origin == origin && claim.bounded && granted.holds(place)
            })
        };
        let reached = self.reached(index);
        let mut inside = reached.iter().map(|(place, _)| place);
        !inside.any(|place| own.iter().any(|own| own.contains(place)) && !known(place))
    }

    /// The places that are a node's directory, with what is mounted in it.
    fn territory(&self, node: usize) -> Vec<Location> {
        let node = &self.finder.family.nodes[node];
        reached(&self.mounts, node.facts.mount, &node.vars.path, true)
    }

    /// Refuses namespaces by a path that contents can lead elsewhere: to the host's own.
    pub(super) fn namespaces(&mut self) {
        let merged = self.merged;
        for (_, share) in merged.shares.iter() {
            let (Sharing::Join(path), Some(origin)) = (&share.value, share.origin) else { continue };
            let Some(trace) = self.finder.host.trace(&path.actual, None) else { continue };
            let end = Link { path: trace.real, mount: trace.facts.map_or(0, |facts| facts.mount) };
            let by = trace.links.iter().chain([&end]).find_map(|link| {
                let place = self.link_place(link)?;
                let granted = self.granted.iter().find(|granted| granted.holds(&place))?;
                Some((link.path.clone(), &merged.claims[granted.claim]))
            });
            let Some((link, claim)) = by else { continue };
            let message = format!(
                "{} names the namespace {} by {link}, which lies in {}, and {} exports that writable: contents could put another one there",
                self.layers[origin.layer.index()].name(),
                path.actual,
                claim.path,
                self.layers[claim.origin.layer.index()].name()
            );
            let diagnostic = Diagnostic::error(Code::ExportDecides, message)
                .at(origin.at)
                .related(claim.origin.at, "writable here")
                .help("keep it where no container writes, such as /run/netns");
            // `share_all` says it for all of them.
            if !self.finder.report.diagnostics().contains(&diagnostic) {
                self.push(diagnostic);
            }
        }
    }
}

/// Places, each with the names that a directory right below it must have to count.
type Places = Vec<(Location, Option<Names>)>;

impl Granted {
    /// Whether a place is, or lies in, what is given away.
    pub(super) fn holds(&self, place: &Location) -> bool {
        let Some(rest) = self.place.rest(place) else { return false };
        self.names.as_ref().is_none_or(|names| {
            let name = rest.split('/').next().unwrap_or_default();
            !name.is_empty() && names.has(name)
        })
    }
}

/// The places that are reached through a path without links: itself, what is mounted below where it is
/// a directory, and the layers of overlays.
pub(super) fn reached(mounts: &MountTable, id: u64, real: &str, dir: bool) -> Vec<Location> {
    let mut all: Vec<Location> = kept::place(mounts, id, real).into_iter().collect();
    all.extend(mounts.layers(id, real));
    for mount in mounts.below(real).filter(|_| dir) {
        all.push(mount.location());
        all.extend(mounts.layers(mount.id, &mount.point));
    }
    all
}

impl Judge<'_, '_> {
    /// Refuses members of the family that lie in what an elder gives away, and remembers what members
    /// give away.
    pub(super) fn claims(&mut self) {
        let merged = self.merged;
        let active: HashMap<Origin, usize> =
            merged.exports.iter().enumerate().map(|(index, export)| (export.origin, index)).collect();
        let mut all: Vec<Granted> = Vec::new();
        let mut led: Vec<Vec<Location>> = Vec::new();
        for (position, claim) in merged.claims.iter().enumerate() {
            let active = active.get(&claim.origin).filter(|&&index| {
                merged.exports[index].source.text().is_some_and(|text| text.actual == claim.path)
            });
            let (places, links) = match active.filter(|_| claim.names.is_none()) {
                Some(&index) => (self.reached(index), self.finder.links.get(&index).cloned()),
                None => self.locate(claim),
            };
            led.push(links.iter().flatten().filter_map(|link| self.link_place(link)).collect());
            // Of a directory outside the node, some names of which lead elsewhere: nothing is known.
            let own = claim.names.as_ref().map(|_| self.territory(claim.age.saturating_sub(1)));
            let is_own =
                |place: &Location| own.as_ref().is_none_or(|own| own.iter().any(|own| own.contains(place)));
            for (place, names) in places.into_iter().filter(|(place, _)| is_own(place)) {
                let (age, shared) = (claim.age, claim.shared);
                all.push(Granted { age, shared, place, names, claim: position });
            }
        }
        // A link that contents can place is not followed, so what it leads to is not given away.
        let by_contents =
            |links: &Vec<Location>| links.iter().any(|link| all.iter().any(|granted| granted.holds(link)));
        let dropped: Vec<bool> = led.iter().map(by_contents).collect();
        all.retain(|granted| !dropped[granted.claim]);
        for (position, claim) in merged.claims.iter().enumerate() {
            let given: Vec<&Granted> = all.iter().filter(|granted| granted.claim == position).collect();
            let lies = |base: &Location| given.iter().any(|granted| granted.holds(base));
            let mut members = claim.age..self.kept.nodes.len();
            if let Some(index) = members.find(|&index| self.kept.nodes[index].iter().any(lies)) {
                self.refuse_member(index, claim);
            }
        }
        self.granted = all;
    }

    fn refuse_member(&mut self, index: usize, claim: &Claim) {
        let node = &self.finder.family.nodes[index];
        let layer = self.layers[claim.origin.layer.index()].name();
        let names = claim.names.as_ref().map(|names| format!("/{names}")).unwrap_or_default();
        let message = format!(
            "{} lies in {}{names}, which {layer} exports writable: anything in there could have made it",
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

    /// What an export of this launch gives away: nothing where its source is missing.
    fn reached(&self, index: usize) -> Places {
        let (real, dir, facts) = self.source(index);
        let all = match facts {
            Some(facts) => reached(&self.mounts, facts.mount, real, dir),
            None => self.places[index].iter().cloned().collect(),
        };
        all.into_iter().map(|place| (place, None)).collect()
    }

    /// Where a claim leads that this launch does not export.
    fn locate(&mut self, claim: &Claim) -> (Places, Option<Vec<Link>>) {
        let (probe, links) = self.follow(&claim.path);
        let (real, facts) = match probe {
            Probe::Dir { real, facts } | Probe::Other { real, facts } => (real, Some(facts)),
            // What is not there holds no node.
            _ => (claim.path.clone(), None),
        };
        let id = facts.map_or(0, |facts| facts.mount);
        let dir = facts.is_some_and(|facts| facts.is_dir());
        let all = match &claim.names {
            None => reached(&self.mounts, id, &real, dir).into_iter().map(|place| (place, None)).collect(),
            Some(names) => {
                let here = reached(&self.mounts, id, &real, false);
                let named = |point: &str| {
                    let rest = kept::below(point, &real).unwrap_or_default();
                    names.has(rest.split('/').next().unwrap_or_default())
                };
                let below = self.mounts.below(&real).filter(|mount| dir && named(&mount.point));
                let below = below.map(|mount| (mount.location(), None));
                here.into_iter().map(|place| (place, claim.names.clone())).chain(below).collect()
            }
        };
        (all, Some(links))
    }

    /// What stands at a path of a configuration, with the links on the way.
    pub(super) fn follow(&mut self, path: &str) -> (Probe, Vec<Link>) {
        let node = self.finder.family.node_of(path).map(|node| node.path.as_path());
        self.finder.host.follow(path, node)
    }

    /// Whether a link is one that the kernel makes for each process (proc_pid_cwd(5) and the like).
    fn is_of_process(&self, link: &Link) -> bool {
        self.mounts.mount_of(link.mount, &link.path).is_some_and(|mount| mount.fstype == "proc")
    }

    fn link_place(&self, link: &Link) -> Option<Location> {
        kept::place(&self.mounts, link.mount, &link.path)
    }

    /// Refuses exports whose sources are reached through a link that contents could have put there:
    /// they would say what is exported.
    pub(super) fn links(&mut self) {
        for (index, links) in std::mem::take(&mut self.finder.links) {
            let by = links.iter().find_map(|link| {
                let place = self.link_place(link)?;
                let granted = self.granted.iter().find(|granted| granted.holds(&place))?;
                Some((link, &self.merged.claims[granted.claim]))
            });
            let unknown = || links.iter().find(|link| self.link_place(link).is_none());
            let changing = || {
                let writable = self.export(index).mode.bind() == Some(true);
                links.iter().find(|link| writable && self.is_of_process(link))
            };
            let (link, claim) = match by {
                Some((link, claim)) => (link, Some(claim)),
                None => match unknown().or_else(changing) {
                    Some(link) => (link, None),
                    None => continue,
                },
            };
            let export = self.export(index);
            let why = match claim {
                Some(claim) => format!(
                    "in {}, which {} exports writable: contents could have put it there",
                    claim.path,
                    self.layers[claim.origin.layer.index()].name()
                ),
                None if self.is_of_process(link) => {
                    "which leads elsewhere from process to process: nobody can tell where in other launches"
                        .to_owned()
                }
                None => "on a mount that cannot be found".to_owned(),
            };
            let source = export.source.show();
            let message = format!("{source} is reached through the symbolic link {}, {why}", link.path);
            let mut diagnostic = Diagnostic::error(Code::ExportDecides, message)
                .at(at(export))
                .help(format!("remove the link, or export what it is to lead to ({})", self.source(index).0));
            if let Some(claim) = claim {
                diagnostic = diagnostic.related(claim.origin.at, "writable here");
            }
            self.push(diagnostic);
        }
    }
}
