//! `exports` cumulate, keyed by the expanded mount point. Of one mount point the younger node's
//! entry wins with a warning, but it may not turn an elder's read-only export writable.

use std::collections::BTreeMap;

use super::binds::{self, Bind};
use super::{Lost, Merger, Shell, Why};
use crate::node::config;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::expand::Text;
use crate::node::family::{Layer, Origin};
use crate::node::limits;
use crate::node::source::{At, Located};
use crate::node::text_path::clean;
use crate::node::value::{ExportMode, PathUse};

/// One export of the merged configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Export {
    /// Mount point: absolute, without `.`, `..` or doubled slashes.
    pub mount: Text,
    /// How it becomes visible.
    pub mode: ExportMode,
    /// Where it comes from.
    pub source: Source,
    /// Where it was written.
    pub origin: Origin,
    /// What does not hold.
    pub over: Vec<Lost>,
    /// Paths that entries which do not hold would have shown read-only. That they lost their mount
    /// point does not make them writable.
    pub read_only: Vec<(Text, Origin)>,
}

/// Where an export comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// Nothing outside.
    None,
    /// A path of the host, absolute and clean.
    Path(Text),
    /// The target of a link.
    Target(Text),
    /// A command for the shell.
    Command(Text),
    /// An open descriptor of the launcher.
    Descriptor(u32),
}

impl Source {
    /// Its text, if it has one.
    #[must_use]
    pub fn text(&self) -> Option<&Text> {
        match self {
            Self::Path(text) | Self::Target(text) | Self::Command(text) => Some(text),
            Self::None | Self::Descriptor(_) => None,
        }
    }

    /// As people read it.
    #[must_use]
    pub fn show(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Descriptor(number) => format!("descriptor {number}"),
            Self::Path(text) | Self::Target(text) | Self::Command(text) => text.actual.clone(),
        }
    }
}

/// An export that the leaf does not get because it is private to an ancestor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hidden {
    /// Mount point as written.
    pub mount: String,
    /// How it would become visible.
    pub mode: ExportMode,
    /// Where it was written.
    pub origin: Origin,
}

/// One export, expanded but not yet set against others.
struct Entry<'a> {
    layer: Layer<'a>,
    export: &'a config::Export,
    mount: Text,
    /// The mount point before it was cleaned.
    spelled: String,
    source: Source,
}

pub(super) fn merge(merger: &mut Merger<'_>) -> (Vec<Export>, Vec<Hidden>) {
    let mut hidden = Vec::new();
    let mut mounts: BTreeMap<String, Vec<Entry<'_>>> = BTreeMap::new();
    let leaf = merger.family.nodes.len();
    for layer in merger.layers.clone() {
        for export in &layer.config.exports {
            if export.mode.is_private() && layer.age() != leaf {
                let origin = layer.origin(export.mount.at);
                hidden.push(Hidden { mount: export.mount.value.clone(), mode: export.mode, origin });
                continue;
            }
            if let Some(entry) = expand(merger, layer, export) {
                mounts.entry(entry.mount.actual.clone()).or_default().push(entry);
            }
        }
    }
    writable(merger, mounts.values().flatten());
    let exports = mounts.into_values().filter_map(|entries| one(merger, entries)).collect();
    (exports, hidden)
}

fn expand<'a>(merger: &mut Merger<'a>, layer: Layer<'a>, export: &'a config::Export) -> Option<Entry<'a>> {
    let mount = merger.expand(&layer, &export.mount, Shell::Substitution)?;
    let spelled = mount.actual.clone();
    let mount = cleaned(merger, "mount", mount, export.mount.at)?;
    if mount.actual == "/" {
        merger.report.push(
            Diagnostic::error(Code::BadPath, "`mount: /` would replace the root itself")
                .at(export.mount.at)
                .help("the root is a fresh tmpfs: export the directories below it"),
        );
        return None;
    }
    let source = source(merger, &layer, export, &mount)?;
    Some(Entry { layer, export, mount, spelled, source })
}

fn source<'a>(
    merger: &mut Merger<'a>,
    layer: &Layer<'a>,
    export: &'a config::Export,
    mount: &Text,
) -> Option<Source> {
    let Some(path) = &export.path else {
        return Some(match export.mode.wants_path() {
            PathUse::DefaultsToMount => Source::Path(mount.clone()),
            PathUse::Needed | PathUse::Unused => Source::None,
        });
    };
    match export.mode {
        ExportMode::Execfd => Some(Source::Command(merger.expand(layer, path, Shell::Whole)?)),
        ExportMode::Internal => {
            let text = merger.expand(layer, path, Shell::Substitution)?;
            match text.actual.parse::<u32>() {
                Ok(number) if i32::try_from(number).is_ok() => Some(Source::Descriptor(number)),
                _ => {
                    let message = format!("`path: {}` is not the number of a descriptor", text.actual);
                    merger.report.push(
                        Diagnostic::error(Code::BadValue, message).at(path.at).help(
                            "mode Internal copies an open descriptor of the launcher, such as `path: 9`",
                        ),
                    );
                    None
                }
            }
        }
        ExportMode::Symlink => {
            let text = merger.expand(layer, path, Shell::Substitution)?;
            if text.actual.is_empty() || text.actual.len() >= limits::PATH_BYTES {
                merger.report.push(
                    Diagnostic::error(Code::BadPath, "the target of a link must have from 1 to 4095 bytes")
                        .at(path.at),
                );
                return None;
            }
            Some(Source::Target(text))
        }
        _ if export.mode.bind().is_none() => Some(Source::None),
        _ => host_path(merger, layer, path).map(Source::Path),
    }
}

fn host_path<'a>(merger: &mut Merger<'a>, layer: &Layer<'a>, path: &'a Located<String>) -> Option<Text> {
    let text = merger.expand(layer, path, Shell::Substitution)?;
    cleaned(merger, "path", text, path.at)
}

/// A path without doubled and closing slashes, `.` and `..`; `None` after reporting why it is none.
fn cleaned(merger: &mut Merger<'_>, key: &str, text: Text, at: At) -> Option<Text> {
    if let Err(why) = check_path(&text.actual) {
        bad_path(merger, key, &text.actual, at, why);
        return None;
    }
    if text.actual.split('/').any(|part| part == "..") {
        let path = clean(&text.actual);
        merger.report.push(
            Diagnostic::warning(Code::ParentPath, format!("`{key}: {}` is taken as {path}", text.actual))
                .at(at)
                .help("write it without `..`"),
        );
    }
    Some(text.map(clean))
}

/// Why a text is no path of an export.
#[derive(Clone, Copy)]
enum BadPath {
    Empty,
    Relative,
    AboveRoot,
    Control,
    Long,
    LongName,
}

fn check_path(path: &str) -> Result<(), BadPath> {
    if path.is_empty() {
        return Err(BadPath::Empty);
    }
    if !path.starts_with('/') {
        return Err(BadPath::Relative);
    }
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or(BadPath::AboveRoot)?,
            _ => depth += 1,
        }
    }
    if path.chars().any(char::is_control) {
        return Err(BadPath::Control);
    }
    if path.split('/').any(|part| part.len() > limits::NAME_BYTES) {
        return Err(BadPath::LongName);
    }
    if path.len() >= limits::PATH_BYTES {
        return Err(BadPath::Long);
    }
    Ok(())
}

fn bad_path(merger: &mut Merger<'_>, key: &str, path: &str, at: At, why: BadPath) {
    let shown = crate::node::fields::shorten(path);
    let (message, help) = match why {
        BadPath::Empty => (format!("`{key}` is empty"), "is a variable in it unset?"),
        BadPath::Relative => (
            format!("`{key}: {shown}` is relative"),
            "write it from `/`, or from `$NODE_PATH/` for a path of this node",
        ),
        BadPath::AboveRoot => {
            (format!("`{key}: {shown}` goes up beyond the root with `..`"), "write the path it means")
        }
        BadPath::Control => (format!("`{key}: {shown}` has a control character in it"), "remove it"),
        BadPath::Long => (format!("`{key}` has {} bytes", path.len()), "the kernel takes at most 4095"),
        BadPath::LongName => (
            format!("`{key}: {shown}` has a name of more than {} bytes in it", limits::NAME_BYTES),
            "no file system takes a longer one",
        ),
    };
    merger.report.push(Diagnostic::error(Code::BadPath, message).at(at).help(help));
}

/// One mount point twice in one file: an error when the two differ, unless they spell it in two
/// ways (`/x` and `/x/`). The known admin templates do that, and the longer spelling wins.
fn twice(merger: &mut Merger<'_>, entries: &mut [Entry<'_>]) {
    entries.sort_by(|a, b| (a.layer.id, &a.spelled).cmp(&(b.layer.id, &b.spelled)));
    for pair in entries.windows(2) {
        let [first, second] = pair else { continue };
        if first.layer.id != second.layer.id || same(first, second) {
            continue;
        }
        let mount = &second.mount.actual;
        let name = second.layer.name();
        merger.report.push(if first.spelled == second.spelled {
            Diagnostic::error(
                Code::ConflictDuplicate,
                format!("{mount} is exported twice, differently, in {name}"),
            )
            .at(second.export.mount.at)
            .related(first.export.mount.at, "the first one")
            .help("keep one of the two")
        } else {
            let spelled = &second.spelled;
            Diagnostic::warning(
                Code::Redefined,
                format!("{mount} is exported twice in {name}: the one spelled {spelled} holds"),
            )
            .at(second.export.mount.at)
            .related(first.export.mount.at, "the other one")
            .help("keep one of the two")
        });
    }
}

/// All entries of one mount point, weakest layer first.
fn one<'a>(merger: &mut Merger<'a>, mut entries: Vec<Entry<'a>>) -> Option<Export> {
    twice(merger, &mut entries);
    let by_admin = entries.iter().any(|entry| entry.layer.admin);
    let winner = entries.iter().rposition(|entry| entry.layer.admin == by_admin)?;
    let (mut over, mut read_only) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        if let (true, Some(false), Source::Path(path)) =
            (index != winner, entry.export.mode.bind(), &entry.source)
        {
            read_only.push((path.clone(), entry.layer.origin(entry.export.mount.at)));
        }
        let won = &entries[winner];
        if index == winner || same(entry, won) {
            continue;
        }
        let why = if entry.layer.admin != by_admin { Why::Admin } else { Why::Younger };
        if why == Why::Younger {
            redefined(merger, entry, won);
        }
        let value = format!("{} {}", entry.export.mode, entry.source.show()).trim_end().to_owned();
        over.push(Lost { origin: entry.layer.origin(entry.export.mount.at), value, why });
    }
    let won = entries.into_iter().nth(winner)?;
    let origin = won.layer.origin(won.export.mount.at);
    Some(Export { mount: won.mount, mode: won.export.mode, source: won.source, origin, over, read_only })
}

fn same(a: &Entry<'_>, b: &Entry<'_>) -> bool {
    a.export.mode == b.export.mode && a.source == b.source
}

fn redefined(merger: &mut Merger<'_>, elder: &Entry<'_>, younger: &Entry<'_>) {
    let warn = elder.export.warn.as_ref().map(|warn| format!(": {warn}")).unwrap_or_default();
    merger.report.push(
        Diagnostic::warning(
            Code::Redefined,
            format!(
                "{} of {} is redefined by {}{warn}",
                elder.mount.actual,
                elder.layer.name(),
                younger.layer.name()
            ),
        )
        .at(younger.export.mount.at)
        .related(elder.export.mount.at, "exported here"),
    );
}

/// Refuses writable exports of what an elder exports read-only, as far as texts tell. The plan
/// looks again once it knows where the paths really lead.
fn writable<'e, 'a: 'e>(merger: &mut Merger<'a>, entries: impl Iterator<Item = &'e Entry<'a>>) {
    let entries: Vec<&Entry<'_>> = entries.collect();
    let uses: Vec<Bind<'_>> = entries
        .iter()
        .filter_map(|entry| {
            let Source::Path(path) = &entry.source else { return None };
            Some(Bind {
                path: &path.actual,
                place: &path.actual,
                writable: entry.export.mode.bind()?,
                age: entry.layer.age(),
                admin: entry.layer.admin,
                origin: entry.layer.origin(entry.export.mount.at),
            })
        })
        .collect();
    let nodes: Vec<&str> = merger.family.nodes.iter().map(|node| node.vars.path.as_str()).collect();
    for conflict in binds::conflicts(&nodes, &uses) {
        let diagnostic = conflict.diagnostic(merger.family);
        merger.report.push(diagnostic);
    }
}
