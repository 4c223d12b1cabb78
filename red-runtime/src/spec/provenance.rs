//! Where every entry of a merged family came from and whom it overrode, as data for people and
//! machines.

use serde::Serialize;

use crate::node::capability::capability_name;
use crate::node::family::{Family, Origin};
use crate::node::merge::{Lost, Merged, PathItem, Resolved, Sharing};

/// A place, spelled out.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct From {
    /// `redmain`, or the alias of the node.
    pub node: String,
    /// Whether it is an admin file.
    pub admin: bool,
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl From {
    /// `node file:line`, for people.
    #[must_use]
    pub fn show(&self) -> String {
        let admin = if self.admin { " (admin)" } else { "" };
        format!("{}{admin}  {}:{}", self.node, self.file, self.line)
    }
}

/// What another entry took the place of.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Over {
    /// What it said.
    pub value: String,
    /// Why it does not hold.
    pub why: &'static str,
    /// Where it was written.
    pub from: From,
}

/// One entry of a merged family.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// Its name: a tag, a mount point, a variable.
    pub name: String,
    /// The mode, for exports and variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Its value.
    pub value: String,
    /// Where it was written; absent for a built-in default.
    pub from: Option<From>,
    /// What it overrode.
    pub over: Vec<Over>,
}

/// All entries of a merged family, by section.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Provenance {
    /// Tags, namespaces and search paths.
    pub config: Vec<Entry>,
    /// Capabilities that are named.
    pub capabilities: Vec<Entry>,
    /// Limits, the tightest of the family.
    pub limits: Vec<Entry>,
    /// Variables.
    pub environ: Vec<Entry>,
    /// Exports.
    pub exports: Vec<Entry>,
    /// Exports the leaf does not get.
    pub hidden: Vec<Entry>,
}

/// Spells out origins of one family.
pub struct Speller<'a> {
    family: &'a Family,
    names: Vec<(String, bool)>,
}

impl<'a> Speller<'a> {
    /// For a family.
    #[must_use]
    pub fn new(family: &'a Family) -> Self {
        let name = |layer: &crate::node::family::Layer<'_>| match layer.node {
            None => "redmain".to_owned(),
            Some(_) => layer.vars.alias.clone(),
        };
        let names = family.layers().iter().map(|layer| (name(layer), layer.admin)).collect();
        Self { family, names }
    }

    /// Spells out one origin.
    #[must_use]
    pub fn from(&self, origin: Origin) -> From {
        let (node, admin) = self.names.get(origin.layer.index()).cloned().unwrap_or_default();
        let file = self.family.sources.path(origin.at.file).display().to_string();
        From { node, admin, file, line: origin.at.line, column: origin.at.column }
    }

    fn over(&self, over: &[Lost]) -> Vec<Over> {
        over.iter()
            .map(|lost| Over {
                value: lost.value.clone(),
                why: lost.why.words(),
                from: self.from(lost.origin),
            })
            .collect()
    }

    fn entry<T>(&self, name: &str, resolved: &Resolved<T>, value: String) -> Entry {
        Entry {
            name: name.to_owned(),
            mode: None,
            value,
            from: resolved.origin.map(|origin| self.from(origin)),
            over: self.over(&resolved.over),
        }
    }
}

/// Whether texts are shown expanded or as written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Show {
    /// As a launch would use them.
    Expanded,
    /// As they stand in the files.
    Written,
}

impl Show {
    /// One text.
    #[must_use]
    pub fn text(self, text: &crate::node::expand::Text) -> String {
        match self {
            Self::Expanded => text.actual.clone(),
            Self::Written => text.written().to_owned(),
        }
    }
}

impl Provenance {
    /// Lists a merged family.
    #[must_use]
    pub fn of(family: &Family, merged: &Merged, show: Show) -> Self {
        let speller = Speller::new(family);
        let granted = |on: bool| if on { "added" } else { "dropped" }.to_owned();
        Self {
            config: config(&speller, merged, show),
            capabilities: merged
                .capabilities
                .iter()
                .map(|(one, resolved)| speller.entry(capability_name(one), resolved, granted(resolved.value)))
                .collect(),
            limits: merged
                .tightest
                .shown()
                .into_iter()
                .map(|(name, value, origin, over)| Entry {
                    name: name.to_owned(),
                    mode: None,
                    value,
                    from: origin.map(|origin| speller.from(origin)),
                    over: speller.over(over),
                })
                .collect(),
            environ: merged
                .environ
                .iter()
                .map(|one| Entry {
                    name: one.key.clone(),
                    mode: Some(one.mode.to_string()),
                    value: show.text(&one.value),
                    from: Some(speller.from(one.origin)),
                    over: speller.over(&one.over),
                })
                .collect(),
            exports: merged
                .exports
                .iter()
                .map(|one| Entry {
                    name: show.text(&one.mount),
                    mode: Some(one.mode.to_string()),
                    value: one.source.text().map_or_else(|| one.source.show(), |text| show.text(text)),
                    from: Some(speller.from(one.origin)),
                    over: speller.over(&one.over),
                })
                .collect(),
            hidden: merged
                .hidden
                .iter()
                .map(|one| Entry {
                    name: one.mount.clone(),
                    mode: Some(one.mode.to_string()),
                    value: crate::node::merge::Why::Private.words().to_owned(),
                    from: Some(speller.from(one.origin)),
                    over: Vec::new(),
                })
                .collect(),
        }
    }
}

fn config(speller: &Speller<'_>, merged: &Merged, show: Show) -> Vec<Entry> {
    let tags = &merged.tags;
    let identity = &tags.identity;
    let mut all = Vec::new();
    for (name, items) in [("path", &merged.path), ("ldpath", &merged.ldpath)] {
        all.extend(items.iter().map(|item| path_item(speller, name, item, show)));
    }
    for (name, tag) in [
        ("hostname", &tags.hostname),
        ("chdir", &tags.chdir),
        ("set-user", &identity.user),
        ("set-group", &identity.group),
        ("smack", &identity.smack),
        ("cgrouproot", &tags.cgrouproot),
    ] {
        all.extend(tag.iter().map(|tag| speller.entry(name, tag, show.text(&tag.value))));
    }
    all.extend(tags.umask.iter().map(|tag| speller.entry("umask", tag, format!("{:03o}", tag.value))));
    all.extend(tags.verbose.iter().map(|tag| speller.entry("verbose", tag, tag.value.to_string())));
    all.push(speller.entry("gpgcheck", &tags.gpgcheck, tags.gpgcheck.value.to_string()));
    for (name, tag) in [
        ("unsafe", &tags.unsafe_),
        ("inherit-env", &tags.inherit_env),
        ("map-root-user", &identity.map_root_user),
    ] {
        all.extend(tag.iter().map(|tag| speller.entry(name, tag, tag.value.to_string())));
    }
    for (name, tag) in [
        ("die-with-parent", &tags.die_with_parent),
        ("new-session", &tags.new_session),
        ("seccomp", &tags.seccomp),
    ] {
        let word = |on: bool| if on { "Enabled" } else { "Disabled" }.to_owned();
        all.extend(tag.iter().map(|tag| speller.entry(name, tag, word(tag.value))));
    }
    for (namespace, share) in merged.shares.iter() {
        let value = match &share.value {
            Sharing::Join(path) => show.text(path),
            other => other.show().to_owned(),
        };
        all.push(speller.entry(namespace.tag(), share, value));
    }
    if let Some(packages) = merged.packages.last() {
        for (name, tag) in [
            ("rpmdir", &packages.rpmdir),
            ("persistdir", &packages.persistdir),
            ("cachedir", &packages.cachedir),
        ] {
            all.push(speller.entry(name, tag, show.text(&tag.value)));
        }
    }
    all
}

fn path_item(speller: &Speller<'_>, name: &str, item: &PathItem, show: Show) -> Entry {
    Entry {
        name: name.to_owned(),
        mode: None,
        value: show.text(&item.text),
        from: Some(speller.from(item.origin)),
        over: Vec::new(),
    }
}
