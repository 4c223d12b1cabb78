//! Parts of a writable export that decide: refused, or mounted read-only over it.

use super::{Judge, Over};
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::{ADMIN_NAMES, CONFIG_NAMES, Layer};
use crate::node::guard::Location;
use crate::spec::host::Probe;
use crate::spec::layout::at;
use crate::spec::layout::kept::{self, Class, Kept};
use crate::spec::layout::sources::Created;

impl Judge<'_, '_> {
    /// Judges by what lies around and in a place. Says whether there is more to judge.
    pub(super) fn covered(&mut self, index: usize, place: &Location, real: &str) -> bool {
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
        match self.finder.host.probe(&source, node.as_deref()) {
            Probe::Dir { real: found, facts } | Probe::Other { real: found, facts } if found == source => {
                self.cover(index, (real, rest), kept, Some((facts.is_dir(), Some((facts.dev, facts.ino)))));
            }
            // Somebody could replace the link.
            Probe::Dir { .. } | Probe::Other { .. } if kept.class == Class::Config => {
                self.cover_around(index, real, rest, kept);
            }
            // A generation's database is reached by a link, and lies where no export reaches. The link
            // itself cannot be mounted over, and the store does not follow it; the way to it stays.
            Probe::Dir { .. } | Probe::Other { .. } => self.cover(index, (real, rest), kept, None),
            Probe::Missing => match self.missing(kept) {
                Missing::Fine => {}
                Missing::Made => {
                    if self.make(index, &source, node, kept) {
                        self.cover(index, (real, rest), kept, Some((true, None)));
                    }
                }
                Missing::Around => self.cover_around(index, real, rest, kept),
                Missing::Refused => self.refuse_missing(index, &source, kept),
            },
            Probe::Refused { reason } => {
                let message = format!("{source}, which decides, cannot be looked at: {reason}");
                self.refuse(index, message, "export a smaller directory");
            }
        }
    }

    /// Maintenance of a node leaves the nodes below it alone, but those it is started for.
    pub(super) fn keep_nodes_in(&mut self, index: usize, real: &str) {
        for name in self.finder.host.nodes_in(real) {
            let path = format!("{}/{name}", real.trim_end_matches('/'));
            let kept = Kept { class: Class::Node, tree: true, node: None, path: path.clone(), named: true };
            match self.finder.host.probe(&path, None) {
                Probe::Dir { real: found, facts }
                    if found == path && is_foreign(self, facts.mount, &path) =>
                {
                    self.cover(index, (real, &name), &kept, Some((true, Some((facts.dev, facts.ino)))));
                }
                _ => {}
            }
        }
    }

    fn refuse_missing(&mut self, index: usize, source: &str, kept: &Kept) {
        let words = kept.class.words();
        let message = format!("{source} is missing, and what is exported around it could make it: {words}");
        self.refuse(index, message, "make it, or export a smaller directory");
    }

    /// Keeps the directory that a part is in, or would be.
    fn cover_around(&mut self, index: usize, real: &str, rest: &str, kept: &Kept) {
        let source = format!("{}/{rest}", real.trim_end_matches('/'));
        let Some((dir, _)) = rest.rsplit_once('/') else { return self.refuse_missing(index, &source, kept) };
        let path = format!("{}/{dir}", real.trim_end_matches('/'));
        match self.finder.host.probe(&path, None) {
            Probe::Dir { real: found, facts } if found == path => {
                self.cover(index, (real, dir), kept, Some((true, Some((facts.dev, facts.ino)))));
            }
            _ => self.refuse_missing(index, &source, kept),
        }
    }

    /// Mounts a part, a directory or file with device and inode, read-only over an export, and the
    /// directories on the way to it over themselves.
    fn cover(
        &mut self,
        index: usize,
        (real, rest): (&str, &str),
        kept: &Kept,
        part: Option<(bool, Option<(u64, u64)>)>,
    ) {
        let source = format!("{}/{rest}", real.trim_end_matches('/'));
        if part.is_some() {
            let layer = self.layer(index).name();
            let words = kept.class.words();
            let message = format!("{source} stays read-only in what {layer} exports writable: {words}");
            self.push(Diagnostic::note(Code::ExportKept, message).at(at(self.export(index))));
        }
        let way = rest.match_indices('/').map(|(slash, _)| &rest[..slash]);
        let way: Vec<&str> = way.take_while(|at| self.is_plain_dir(&format!("{real}/{at}"), part)).collect();
        let over = self.verdict.over.entry(index).or_default();
        let mut add = |at: &str, dir: bool, writable: bool, id| {
            let source = format!("{}/{at}", real.trim_end_matches('/'));
            match over.iter_mut().find(|over| over.at == at) {
                Some(held) => held.writable &= writable,
                None => over.push(Over { at: at.to_owned(), source, dir, writable, id }),
            }
        };
        way.into_iter().for_each(|at| add(at, true, true, None));
        if let Some((dir, id)) = part {
            add(rest, dir, false, id);
        }
    }

    /// Whether a directory on the way to a part can be mounted on: it is there, or will be, and is no
    /// link. What the part was found through by its own path is.
    fn is_plain_dir(&mut self, path: &str, part: Option<(bool, Option<(u64, u64)>)>) -> bool {
        part.is_some()
            || matches!(self.finder.host.probe(path, None), Probe::Dir { real, .. } if real == path)
    }

    /// What is to be done about a place that is missing. Records of what runs are made before anybody
    /// else makes some, and of two spellings of a configuration the first one that is there counts: where it
    /// is the second, nobody may add the first.
    fn missing(&mut self, kept: &Kept) -> Missing {
        let names = [CONFIG_NAMES, ADMIN_NAMES];
        let spelling = names.iter().find_map(|names| {
            let position = names.iter().position(|name| kept.path.ends_with(&format!("/{name}")))?;
            Some((names, position))
        });
        match (kept.class, spelling, kept.node) {
            (Class::State | Class::Packages, ..) => Missing::Made,
            (Class::Config, Some((names, position)), Some(node)) => {
                let path = self.finder.family.nodes[node].path.clone();
                let there = names.iter().position(|name| {
                    let file = format!("{}/{name}", path.display());
                    matches!(self.finder.host.probe(&file, Some(&path)), Probe::Other { .. })
                });
                match there {
                    Some(there) if there < position => Missing::Fine,
                    Some(_) => Missing::Around,
                    // Said of the first.
                    None if position > 0 => Missing::Fine,
                    None => Missing::Refused,
                }
            }
            (Class::Config, ..) if kept.path.ends_with("/.red") => Missing::Made,
            _ => Missing::Refused,
        }
    }

    /// Sees to a directory that has to be there to be covered. Where the caller may not make it, nothing
    /// that the caller starts can.
    fn make(&mut self, index: usize, path: &str, node: Option<std::path::PathBuf>, kept: &Kept) -> bool {
        let above = std::path::Path::new(path).ancestors().skip(1).filter_map(std::path::Path::to_str);
        let mut above = above.map(str::to_owned);
        let there = above.find(|above| !matches!(self.finder.host.probe(above, None), Probe::Missing));
        let may = there.as_ref().is_some_and(|there| self.finder.host.may_write(there));
        if !may {
            return false;
        }
        // Records of what runs lie in no node.
        let private = kept.class == Class::State;
        let node = node.or(there.filter(|_| private).map(std::path::PathBuf::from));
        let Some(node) = node else {
            self.refuse_missing(index, path, kept);
            return false;
        };
        if self.finder.terms.strict && kept.named && !private {
            let message = format!("{path} is missing, and what is exported around it could make it");
            let diagnostic = Diagnostic::error(Code::SourceMissing, message)
                .at(at(self.export(index)))
                .help("make it, or start without `--strict`");
            self.push(diagnostic);
            return false;
        }
        if self.finder.layout.create.iter().all(|created| created.path != path) {
            self.finder.layout.create.push(Created { node, path: path.to_owned(), export: index, private });
        }
        true
    }
}

/// Whether a node is none of the family.
fn is_foreign(judge: &Judge<'_, '_>, mount: u64, path: &str) -> bool {
    let place = kept::place(&judge.mounts, mount, path);
    let member = |place: &Location| judge.kept.nodes.iter().flatten().any(|base| base == place);
    place.is_none_or(|place| !member(&place))
}

/// What is done about a place that decides and is missing.
enum Missing {
    Fine,
    /// It is made, an empty directory.
    Made,
    /// The directory it would be in becomes read-only.
    Around,
    Refused,
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
        Class::Config if layer.admin && own && !kept.tree => Treatment::Fine,
        Class::Config if layer.admin && own && !around => Treatment::Over,
        Class::Repositories | Class::Packages if layer.admin && own => Treatment::Fine,
        Class::Packages if around => Treatment::ReadOnly,
        Class::Packages => Treatment::Over,
        Class::Node | Class::Config | Class::Repositories => Treatment::Refused,
    }
}
