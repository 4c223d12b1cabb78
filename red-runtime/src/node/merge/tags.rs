//! Tags of which a family has one: the oldest node that sets one decides, redmain's is only the
//! default, an admin file beats every normal one. And the package directories each node has.

use super::{Lost, Merger, Resolved, Shell};
use crate::node::config;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::expand::Text;
use crate::node::family::{Layer, Origin};
use crate::node::source::Located;

/// The single tags of a family. `None` is a tag nobody set.
#[derive(Clone, Debug)]
pub struct Tags {
    /// Host name inside.
    pub hostname: Option<Resolved<Text>>,
    /// Working directory.
    pub chdir: Option<Resolved<Text>>,
    /// Mode bits new files do not get.
    pub umask: Option<Resolved<u32>>,
    /// Cgroup below which the family's cgroups are made.
    pub cgrouproot: Option<Resolved<Text>>,
    /// End with the launcher.
    pub die_with_parent: Option<Resolved<bool>>,
    /// A session of its own.
    pub new_session: Option<Resolved<bool>>,
    /// The standard system call filter of our own launches.
    pub seccomp: Option<Resolved<bool>>,
    /// How much the tools say.
    pub verbose: Option<Resolved<i64>>,
    /// Start nodes that were moved.
    pub unsafe_: Option<Resolved<bool>>,
    /// Start from the launching environment.
    pub inherit_env: Option<Resolved<bool>>,
    /// Packages must be signed, somewhere in the family.
    pub gpgcheck: Resolved<bool>,
    /// Who the command runs as.
    pub identity: Identity,
}

/// Who the command runs as, as the family says.
#[derive(Clone, Debug)]
pub struct Identity {
    /// User, by name or number.
    pub user: Option<Resolved<Text>>,
    /// Group, by name or number.
    pub group: Option<Resolved<Text>>,
    /// Smack label.
    pub smack: Option<Resolved<Text>>,
    /// Appear as uid 0 inside a user namespace.
    pub map_root_user: Option<Resolved<bool>>,
}

/// Where a node keeps its packages.
#[derive(Clone, Debug)]
pub struct Packages {
    /// Position in [`Family::nodes`](crate::node::family::Family::nodes).
    pub node: usize,
    /// Package database.
    pub rpmdir: Resolved<Text>,
    /// State of the package manager.
    pub persistdir: Resolved<Text>,
    /// Downloads.
    pub cachedir: Resolved<Text>,
}

pub(super) fn identity(merger: &mut Merger<'_>) -> Identity {
    Identity {
        user: owner(merger, "set-user", |tags| tags.set_user.as_ref()),
        group: owner(merger, "set-group", |tags| tags.set_group.as_ref()),
        smack: owner(merger, "smack", |tags| tags.smack.as_ref()),
        map_root_user: copied(merger, "map-root-user", |tags| tags.map_root_user.as_ref()),
    }
}

pub(super) fn merge(merger: &mut Merger<'_>) -> Tags {
    Tags {
        hostname: text(merger, "hostname", |tags| tags.hostname.as_ref()),
        chdir: text(merger, "chdir", |tags| tags.chdir.as_ref()),
        umask: copied(merger, "umask", |tags| tags.umask.as_ref()),
        cgrouproot: cgrouproot(merger),
        die_with_parent: copied(merger, "die-with-parent", |tags| tags.die_with_parent.as_ref()),
        new_session: copied(merger, "new-session", |tags| tags.new_session.as_ref()),
        seccomp: copied(merger, "seccomp", |tags| tags.seccomp.as_ref()),
        verbose: copied(merger, "verbose", |tags| tags.verbose.as_ref()),
        unsafe_: copied(merger, "unsafe", |tags| tags.unsafe_.as_ref()),
        inherit_env: copied(merger, "inherit-env", |tags| tags.inherit_env.as_ref()),
        gpgcheck: gpgcheck(merger),
        identity: identity(merger),
    }
}

type Read<'a, T> = fn(&'a config::Tags) -> Option<&'a Located<T>>;

fn text<'a>(merger: &mut Merger<'a>, tag: &str, read: Read<'a, String>) -> Option<Resolved<Text>> {
    let (layer, value, over) =
        merger.oldest(tag, |layer: &Layer<'a>| read(&layer.config.tags), String::clone)?;
    let text = merger.expand(&layer, value, Shell::Never)?;
    Some(Resolved { value: text, origin: Some(layer.origin(value.at)), over })
}

/// A tag that says with whose rights the command runs. Elders say it, and what a leaf calls itself does
/// not, but for a label that begins as the elder wrote it.
fn owner<'a>(merger: &mut Merger<'a>, tag: &str, read: Read<'a, String>) -> Option<Resolved<Text>> {
    let (layer, value, over) =
        merger.oldest(tag, |layer: &Layer<'a>| read(&layer.config.tags), String::clone)?;
    let (text, from) = merger.expand_told(&layer, value, Shell::Never)?;
    let elder = layer.age() != merger.family.nodes.len();
    let chosen = from.iter().find(|part| elder && (tag != "smack" || part.at == Some(0)));
    if let Some(part) = chosen {
        let alias = &merger.family.leaf().vars.alias;
        let message = format!(
            "`{tag}: {}` of {} lets node `{alias}` choose with whose rights its command runs",
            value.value,
            layer.name()
        );
        let diagnostic = Diagnostic::error(Code::BadUser, message)
            .at(value.at)
            .related(merger.said_by_leaf(part.variable), "the leaf calls itself so here")
            .help(format!("write which one it is; a leaf may set `{tag}` in its own file"));
        merger.report.push(diagnostic);
    }
    Some(Resolved { value: text, origin: Some(layer.origin(value.at)), over })
}

fn copied<'a, T: Copy + PartialEq + std::fmt::Display>(
    merger: &mut Merger<'a>,
    tag: &str,
    read: Read<'a, T>,
) -> Option<Resolved<T>> {
    let (layer, value, over) =
        merger.oldest(tag, |layer: &Layer<'a>| read(&layer.config.tags), T::to_string)?;
    Some(Resolved { value: value.value, origin: Some(layer.origin(value.at)), over })
}

/// The cgroups of a family start where its oldest node says. A younger node that says it would start
/// them elsewhere, and an elder's limits, which are those of the elder's cgroup, would no longer hold for
/// the sum of what runs below the elder.
fn cgrouproot(merger: &mut Merger<'_>) -> Option<Resolved<Text>> {
    let resolved = text(merger, "cgrouproot", |tags| tags.cgrouproot.as_ref())?;
    let winner = resolved.origin.and_then(|origin| merger.layer(origin))?;
    // What redmain limits is limited for each oldest node by itself.
    let limited = merger.layers.iter().find(|layer| {
        layer.node.is_some()
            && layer.age() < winner.age()
            && layer.config.tags.cgroups != config::Limits::default()
    });
    if let (Some(limited), Some(tag), false) = (limited, &winner.config.tags.cgrouproot, winner.admin) {
        let diagnostic = Diagnostic::error(
            Code::CgroupEscape,
            format!(
                "{} sets `cgrouproot`, but {} limits what runs in its descendants",
                winner.name(),
                limited.name()
            ),
        )
        .at(tag.at)
        .label("its processes would be elsewhere")
        .related(limited.config.headers.alias.at, "limits under `cgroups`")
        .help("remove it, or set it in the elder node or in redmain");
        merger.report.push(diagnostic);
    }
    Some(resolved)
}

/// True anywhere in the family holds for all descendants: the oldest that demands it is named.
fn gpgcheck(merger: &mut Merger<'_>) -> Resolved<bool> {
    let said: Vec<(Origin, bool)> = merger
        .layers
        .iter()
        .filter_map(|layer| {
            let tag = layer.config.tags.gpgcheck.as_ref()?;
            Some((layer.origin(tag.at), tag.value))
        })
        .collect();
    let demanded = said.iter().find(|(_, on)| *on).or(said.first()).copied();
    let Some((origin, value)) = demanded else { return Resolved::default(false) };
    let mut over = Vec::new();
    for (other, on) in said.into_iter().filter(|(_, on)| *on != value) {
        over.push(Lost { origin: other, value: on.to_string(), why: super::Why::Older });
        merger.report.push(
            Diagnostic::note(
                Code::Overloaded,
                format!(
                    "`gpgcheck` of {} does not hold: {} demands signatures",
                    merger.name(other),
                    merger.name(origin)
                ),
            )
            .at(other.at)
            .related(origin.at, "demanded here"),
        );
    }
    Resolved { value, origin: Some(origin), over }
}

/// Default of `cachedir`, where no export reaches: what is downloaded and parsed there is root's.
const CACHE: &str = ".red/cache";

pub(super) fn packages(merger: &mut Merger<'_>) -> Vec<Packages> {
    (0..merger.family.nodes.len())
        .map(|node| Packages {
            node,
            rpmdir: own(merger, node, "var/lib/rpm", |tags| tags.rpmdir.as_ref()),
            persistdir: own(merger, node, "var/lib/dnf", |tags| tags.persistdir.as_ref()),
            cachedir: nearest(merger, node, CACHE, |tags| tags.cachedir.as_ref()),
        })
        .collect()
}

/// The directories that redmain names.
pub(super) fn core_packages(merger: &mut Merger<'_>) -> Vec<Text> {
    let mut all = Vec::new();
    for layer in merger.layers.clone().into_iter().filter(|layer| layer.node.is_none()) {
        let tags = &layer.config.tags;
        for dir in [&tags.rpmdir, &tags.persistdir, &tags.cachedir].into_iter().flatten() {
            all.extend(merger.expand(&layer, dir, Shell::Never).filter(|dir| dir.actual.starts_with('/')));
        }
    }
    all
}

/// A directory the node's own files name, admin before normal, else the default.
fn own<'a>(merger: &mut Merger<'a>, node: usize, default: &str, read: Read<'a, String>) -> Resolved<Text> {
    let layers: Vec<Layer<'a>> =
        merger.layers.iter().rev().filter(|layer| layer.node == Some(node)).copied().collect();
    first(merger, &layers, read).unwrap_or_else(|| default_dir(merger, node, default))
}

/// The same, from the nearest ancestor that names one.
fn nearest<'a>(
    merger: &mut Merger<'a>,
    node: usize,
    default: &str,
    read: Read<'a, String>,
) -> Resolved<Text> {
    let layers: Vec<Layer<'a>> = merger
        .layers
        .iter()
        .rev()
        .filter(|layer| layer.node.is_some_and(|other| other <= node))
        .copied()
        .collect();
    first(merger, &layers, read).unwrap_or_else(|| default_dir(merger, node, default))
}

fn first<'a>(
    merger: &mut Merger<'a>,
    layers: &[Layer<'a>],
    read: Read<'a, String>,
) -> Option<Resolved<Text>> {
    let (layer, value) = layers.iter().find_map(|layer| Some((*layer, read(&layer.config.tags)?)))?;
    let text = merger.expand(&layer, value, Shell::Never)?;
    Some(Resolved { value: text, origin: Some(layer.origin(value.at)), over: Vec::new() })
}

fn default_dir(merger: &Merger<'_>, node: usize, default: &str) -> Resolved<Text> {
    let path = merger.family.nodes[node].path.join(default);
    Resolved::default(Text::literal(path.to_string_lossy()))
}
