//! The places that decide for a family and its host, by where they are in their file systems.

use std::collections::BTreeMap;
use std::path::Path;

use super::sources::Finder;
use crate::node::guard::{Decides, Location, MountTable, PLACES};
use crate::node::merge::Merged;
use crate::spec::crossing::Link;
use crate::spec::host::{Host, Probe};

/// What a place decides.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::spec) enum Class {
    /// A node's directory: whoever may write there may exchange everything in it.
    Node,
    /// Status, configuration, generations.
    Config,
    /// A directory that holds nodes.
    Pool,
    /// Policy, redmain, templates.
    Host,
    /// Where packages come from, and whose signatures count.
    Repositories,
    /// Package database, downloads, state of the package manager.
    Packages,
    /// Records of what runs.
    State,
}

impl Class {
    /// The class of a place of the list that launches and the store have in common.
    fn of(decides: Decides) -> Self {
        match decides {
            Decides::Configuration => Self::Config,
            Decides::Repositories => Self::Repositories,
            Decides::Packages => Self::Packages,
            Decides::Policy => Self::Host,
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Node => "the node's directory",
            Self::Config => "status, configuration and generations",
            Self::Pool => "a pool",
            Self::Host => "the host's policy and defaults",
            Self::Repositories => "repositories and keys",
            Self::Packages => "package database and cache",
            Self::State => "records of what runs",
        }
    }
}

/// A place that decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Kept {
    pub(super) class: Class,
    /// Whether everything in it decides too. Otherwise a part of it may be written to.
    pub(super) tree: bool,
    /// The node that it decides for.
    pub(super) node: Option<usize>,
    /// Its path, as people know it.
    pub(super) path: String,
    /// Whether a configuration names it, or it is where it is by rule.
    pub(super) named: bool,
}

/// The places that decide.
#[derive(Debug, Default)]
pub(super) struct KeptPlaces {
    all: BTreeMap<Location, Vec<Kept>>,
    /// The places of each node's directory; more than one on an overlay, whose layers are places too.
    pub(super) nodes: Vec<Vec<Location>>,
    /// The places of each pool.
    pub(super) pools: Vec<Location>,
    /// Overlays that show something of these and have a layer that cannot be found, with what they show.
    unknown: BTreeMap<Location, String>,
}

/// Where the core OS's packages come from, whose signatures count, where its package database is, and
/// downloads and state of its package manager, which fills nodes too.
pub(in crate::spec) const CORE: [(&str, Class); 10] = [
    ("/etc/dnf", Class::Repositories),
    ("/etc/pki", Class::Repositories),
    ("/etc/rpm", Class::Repositories),
    ("/etc/yum", Class::Repositories),
    ("/etc/yum.repos.d", Class::Repositories),
    ("/etc/zypp", Class::Repositories),
    ("/usr/lib/sysimage/rpm", Class::Packages),
    ("/var/cache/dnf", Class::Packages),
    ("/var/lib/dnf", Class::Packages),
    ("/var/lib/rpm", Class::Packages),
];

/// Below `etc`: directories each of whose files is read, and may be a link.
const FILES: [&str; 2] = ["dnf/vars", "yum.repos.d"];

/// The place of a path without symbolic links. Without a mount table its name has to do.
pub(super) fn place(mounts: &MountTable, id: u64, path: &str) -> Option<Location> {
    if mounts.is_empty() { Some(Location::by_name(path)) } else { mounts.locate(id, path) }
}

impl KeptPlaces {
    /// Looks them up.
    pub(super) fn of(finder: &mut Finder<'_>, merged: &Merged) -> Self {
        let mounts = finder.host.mounts();
        let mut kept = Self::default();
        for index in 0..finder.family.nodes.len() {
            kept.node(finder, index, &mounts);
        }
        for packages in &merged.packages {
            for dir in [&packages.rpmdir, &packages.persistdir, &packages.cachedir] {
                let named = dir.origin.is_some();
                kept.packages(finder, packages.node, (&dir.value.actual, named), &mounts);
            }
        }
        kept.host(finder, &mounts);
        kept.core(finder, &mounts, merged);
        kept
    }

    /// The place of a path, and those that decide what is seen there.
    fn places(&mut self, mounts: &MountTable, id: u64, path: &str) -> Vec<Location> {
        let mut all: Vec<Location> = place(mounts, id, path).into_iter().collect();
        all.extend(mounts.layers(id, path));
        if let Some(overlay) = mounts.with_unknown_layers(id, path) {
            self.unknown.entry(overlay).or_insert_with(|| path.to_owned());
        }
        all
    }

    /// What decides and has a layer that cannot be found, which could be this place. A layer is of another
    /// file system.
    pub(super) fn untold(&self, place: &Location) -> Option<&str> {
        self.unknown.iter().find(|(overlay, _)| !overlay.contains(place)).map(|(_, path)| path.as_str())
    }

    fn add(&mut self, place: Location, kept: Kept) {
        let here = self.all.entry(place).or_default();
        if !here.contains(&kept) {
            here.push(kept);
        }
    }

    fn node(&mut self, finder: &mut Finder<'_>, index: usize, mounts: &MountTable) {
        let family = finder.family;
        let node = &family.nodes[index];
        let path = node.vars.path.as_str();
        let bases = self.places(mounts, node.facts.mount, path);
        let etc = match finder.host.probe(&format!("{path}/etc"), Some(&node.path)) {
            Probe::Dir { real, .. } => below(&real, path).map_or_else(|| "etc".to_owned(), str::to_owned),
            _ => "etc".to_owned(),
        };
        for base in &bases {
            let mut add = |rest: &str, class: Class, tree: bool| {
                let place = if rest.is_empty() { base.clone() } else { base.join(rest) };
                let shown = if rest.is_empty() { path.to_owned() } else { format!("{path}/{rest}") };
                self.add(place, Kept { class, tree, node: Some(index), path: shown, named: true });
            };
            add("", Class::Node, false);
            for place in PLACES.iter().filter(|place| place.exported) {
                let class = Class::of(place.decides);
                match place.path.strip_prefix("etc/") {
                    Some(name) => add(&format!("{etc}/{name}"), class, place.tree),
                    None => add(place.path, class, place.tree),
                }
            }
        }
        self.behind_links(finder, index, &etc, mounts);
        // What was read through links stands elsewhere in the node.
        for read in &family.deciding {
            let Some(rest) = read.path.to_str().and_then(|read| below(read, path)) else { continue };
            let deeper = family.nodes.get(index + 1).is_some_and(|next| read.path.starts_with(&next.path));
            if rest.is_empty() || deeper {
                continue;
            }
            for base in &bases {
                let kept = Kept {
                    class: Class::Config,
                    tree: read.facts.is_file(),
                    node: Some(index),
                    path: format!("{path}/{rest}"),
                    named: true,
                };
                self.add(base.join(rest), kept);
            }
        }
        self.nodes.push(bases);
    }

    /// What a node's files lead to where they are links, whichever of them this launch reads: another one
    /// reads the rest, and of a link that dangles whoever makes its target says what is read.
    fn behind_links(&mut self, finder: &mut Finder<'_>, index: usize, etc: &str, mounts: &MountTable) {
        let node = &finder.family.nodes[index];
        let (top, path) = (node.path.as_path(), node.vars.path.as_str());
        let all = PLACES.iter().filter(|place| place.exported && place.tree).map(|place| {
            let name = place.path.strip_prefix("etc/").map(|name| format!("{etc}/{name}"));
            (name.unwrap_or_else(|| place.path.to_owned()), Class::of(place.decides))
        });
        let mut links: Vec<(String, Class)> = all
            .map(|(name, class)| (format!("{path}/{name}"), class))
            .filter(|(name, _)| finder.host.is_link(name, top))
            .collect();
        for dir in FILES.map(|dir| format!("{path}/{etc}/{dir}")) {
            let files = finder.host.links_in(&dir).into_iter();
            links.extend(files.map(|name| (format!("{dir}/{name}"), Class::Repositories)));
        }
        for (link, class) in links {
            let kept = Kept { class, tree: true, node: Some(index), path: link.clone(), named: true };
            // Not everybody who reads it takes the node for a root.
            self.led(finder, mounts, (&link, Some(top)), &kept);
            self.led(finder, mounts, (&link, None), &kept);
        }
    }

    /// Keeps where a path leads, and the links on the way there. Without links that is what it says. Says
    /// whether there are some.
    fn led(
        &mut self,
        finder: &mut Finder<'_>,
        mounts: &MountTable,
        (path, node): (&str, Option<&Path>),
        kept: &Kept,
    ) -> bool {
        let Some(trace) = finder.host.trace(path, node).filter(|trace| !trace.links.is_empty()) else {
            return false;
        };
        for link in trace.links {
            if let Some(place) = place(mounts, link.mount, &link.path) {
                self.add(place, Kept { tree: true, path: link.path, ..kept.clone() });
            }
        }
        for place in self.places(mounts, trace.facts.map_or(0, |facts| facts.mount), &trace.real) {
            self.add(place, Kept { path: trace.real.clone(), ..kept.clone() });
        }
        true
    }

    fn packages(
        &mut self,
        finder: &mut Finder<'_>,
        index: usize,
        (dir, named): (&str, bool),
        mounts: &MountTable,
    ) {
        let node = finder.family.node_of(dir);
        let owner = node.and_then(|node| finder.family.nodes.iter().position(|one| one.path == node.path));
        let kept =
            Kept { class: Class::Packages, tree: true, node: Some(index), path: dir.to_owned(), named };
        let node_path = node.map(|node| node.vars.path.clone()).unwrap_or_default();
        let rest = node.and_then(|_| below(dir, &node_path)).filter(|rest| !rest.is_empty());
        match (owner, rest) {
            (Some(owner), Some(rest)) => {
                // A node that the store has changed has its database in the current generation.
                let path = &finder.family.nodes[owner].path;
                let stored = match finder.host.probe(dir, Some(path)) {
                    Probe::Dir { real, .. } => below(&real, &node_path).map(str::to_owned),
                    _ => None,
                };
                let stored = stored.filter(|stored| stored.starts_with(".red/gen/"));
                for base in self.nodes[owner].clone() {
                    self.add(base.join(rest), kept.clone());
                    if let Some(stored) = &stored {
                        self.add(base.join(stored), kept.clone());
                    }
                }
            }
            _ => {
                for place in self.places(mounts, 0, dir) {
                    self.add(place, kept.clone());
                }
            }
        }
        let top = node.map(|node| node.path.as_path());
        if self.led(finder, mounts, (dir, None), &kept) && top.is_some() {
            self.led(finder, mounts, (dir, top), &kept);
        }
    }

    /// What decides for the core OS, whose files the package manager reads for nodes too. What is not
    /// there decides nothing, but for what redmain names.
    fn core(&mut self, finder: &mut Finder<'_>, mounts: &MountTable, merged: &Merged) {
        for (path, class) in CORE {
            if finder.host.trace(path, None).is_some_and(|trace| trace.facts.is_some()) {
                self.of_host(finder, mounts, Path::new(path), class);
            }
        }
        for dir in FILES.map(|dir| format!("/etc/{dir}")) {
            for name in finder.host.links_in(&dir) {
                self.of_host(finder, mounts, &Path::new(&dir).join(name), Class::Repositories);
            }
        }
        for dir in &merged.core_packages {
            self.of_host(finder, mounts, Path::new(&dir.actual), Class::Packages);
        }
    }

    fn host(&mut self, finder: &mut Finder<'_>, mounts: &MountTable) {
        let rules = finder.terms.rules;
        for pool in &rules.pools {
            let places = self.of_host(finder, mounts, pool, Class::Pool);
            self.pools.extend(places);
        }
        let states = rules.states.iter().map(|path| (path, Class::State));
        for (path, class) in rules.deciding.iter().map(|path| (path, Class::Host)).chain(states) {
            self.of_host(finder, mounts, path, class);
        }
        // Files in there that are links: redmain, templates.
        for dir in rules.deciding.iter().flat_map(|dir| [dir.clone(), dir.join("templates.d")]) {
            for name in finder.host.links_in(&dir.to_string_lossy()) {
                self.of_host(finder, mounts, &dir.join(name), Class::Host);
            }
        }
        for main in [&finder.family.main.config, &finder.family.main.admin].into_iter().flatten() {
            let path = finder.family.sources.path(main.file);
            if path.is_absolute() {
                self.of_host(finder, mounts, path, Class::Host);
            }
        }
    }

    /// Keeps what a path of the host leads to, and every link on the way: whoever writes where one stands
    /// leads the path elsewhere. What is not there is kept too, since somebody could make it.
    fn of_host(
        &mut self,
        finder: &mut Finder<'_>,
        mounts: &MountTable,
        path: &Path,
        class: Class,
    ) -> Vec<Location> {
        let kept =
            |path: &str, tree: bool| Kept { class, tree, node: None, path: path.to_owned(), named: true };
        let Walk { real, mount, links } = walk(finder.host, path);
        for link in links {
            if let Some(place) = place(mounts, link.mount, &link.path) {
                self.add(place, kept(&link.path, true));
            }
        }
        let all = self.places(mounts, mount, &real);
        for place in &all {
            self.add(place.clone(), kept(&real, class != Class::Pool));
        }
        all
    }

    /// What a place is, or lies in, if that decides as a whole.
    pub(super) fn around<'k>(&'k self, place: &'k Location) -> impl Iterator<Item = &'k Kept> {
        let above = place.ancestors().filter_map(|above| self.all.get(above));
        above
            .flatten()
            .filter(|kept| kept.tree)
            .chain(self.all.get(place).into_iter().flatten().filter(|kept| !kept.tree))
    }

    /// What lies in a place, with the way from there.
    pub(super) fn within<'k>(&'k self, place: &'k Location) -> impl Iterator<Item = (&'k str, &'k Kept)> {
        let prefix = place.join("");
        let from = self.all.range(prefix..);
        let inside = from.map_while(move |(other, kept)| Some((place.rest(other)?, kept)));
        inside
            .filter(|(rest, _)| !rest.is_empty())
            .flat_map(|(rest, all)| all.iter().map(move |kept| (rest, kept)))
    }

    /// The innermost node of the family whose directory holds a place.
    pub(super) fn owner(&self, place: &Location) -> Option<usize> {
        self.nodes.iter().rposition(|bases| bases.iter().any(|base| base.contains(place)))
    }
}

/// Where a path of the host leads.
pub(crate) struct Walk {
    /// The path without links. What is not there is named as it would be made.
    pub(crate) real: String,
    /// ID of the mount it was reached through; 0 for what is not there.
    pub(crate) mount: u64,
    /// The links on the way: whoever writes where one stands leads the path elsewhere.
    pub(crate) links: Vec<Link>,
}

/// Follows a path of the host; where it cannot be followed to its end, as far as it can.
pub(crate) fn walk(host: &mut dyn Host, path: &Path) -> Walk {
    for above in path.ancestors() {
        if let Some(trace) = host.trace(&above.to_string_lossy(), None) {
            let rest = path.strip_prefix(above).unwrap_or(Path::new("")).to_string_lossy();
            let slash = if rest.is_empty() { "" } else { "/" };
            let mount = trace.facts.filter(|_| rest.is_empty()).map_or(0, |facts| facts.mount);
            let real = format!("{}{slash}{rest}", trace.real.trim_end_matches('/'));
            return Walk { real, mount, links: trace.links };
        }
    }
    Walk { real: path.to_string_lossy().into_owned(), mount: 0, links: Vec::new() }
}

/// The way from `above` to `path`.
pub(super) fn below<'p>(path: &'p str, above: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(above.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
}
