//! Who the process is: the engine's user, unless the node says who its commands are.
//!
//! A node names users of the host. Behind a mapping of the engine's the same number is somebody else there, so
//! it is the number on the host that has to be the node's.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Process};

use super::facts::EngineFacts;
use super::refused;
use crate::node::diagnostic::Report;
use crate::node::expand::Text;
use crate::node::merge::{Resolved, Sharing};
use crate::spec::plan::Plan;

/// What numbers of users or groups inside are on the host.
#[derive(Clone, Copy)]
enum Ids<'a> {
    /// The same.
    Same,
    /// What the mapping says.
    Mapped(&'a [LinuxIdMapping]),
    /// What whoever made this namespace has said.
    Unknown(&'a Path),
}

impl<'a> Ids<'a> {
    /// Those of the namespace that the container gets.
    fn of(linux: &'a Linux, facts: &EngineFacts, plan: &Plan) -> (Self, Self) {
        let all = linux.namespaces().as_deref().unwrap_or_default();
        let user = all.iter().find(|one| one.typ() == LinuxNamespaceType::User);
        let Some(user) = user.filter(|_| !matches!(plan.inside.user_namespace, Sharing::Join(_))) else {
            return (Self::Same, Self::Same);
        };
        if let Some(path) = user.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
            let known = facts.namespaces.iter().find(|known| known.typ == user.typ() && known.path == path);
            let ids = if known.is_some_and(|known| known.hosts) { Self::Same } else { Self::Unknown(path) };
            return (ids, ids);
        }
        let of = |maps: &'a Option<Vec<LinuxIdMapping>>| Self::Mapped(maps.as_deref().unwrap_or_default());
        (of(linux.uid_mappings()), of(linux.gid_mappings()))
    }

    /// Who somebody inside is on the host.
    fn outside(self, id: u32) -> Option<u32> {
        match self {
            Self::Same => Some(id),
            Self::Mapped(maps) => {
                maps.iter().find_map(|map| moved(id, (map.container_id(), map.host_id(), map.size())))
            }
            Self::Unknown(_) => None,
        }
    }
}

fn moved(id: u32, (from, to, size): (u32, u32, u32)) -> Option<u32> {
    let offset = id.checked_sub(from).filter(|offset| *offset < size)?;
    to.checked_add(offset)
}

/// A user or a group of the node's.
struct Said<'a> {
    /// `user` or `group`.
    what: &'static str,
    /// The key of its mapping.
    mapping: &'static str,
    /// The tag that says it.
    tag: &'static str,
    said: &'a Resolved<Text>,
    /// Its number inside, by the node.
    inside: u32,
    /// Its number on the host.
    host: u32,
}

impl Said<'_> {
    /// The number inside. An engine's 0 asks for nobody.
    fn among(&self, ids: Ids<'_>, theirs: u32, report: &mut Report) -> u32 {
        let Self { what, mapping, inside, host, .. } = self;
        if theirs != 0 && theirs != *inside {
            let help = format!("start it without a {what}, or with that one");
            self.refuse(&format!("the engine demands {what} {theirs}, and the node has"), help, report);
            return *inside;
        }
        let message = match (ids, ids.outside(*inside)) {
            (_, Some(outside)) if outside == *host => return *inside,
            (Ids::Unknown(path), _) => format!(
                "the engine names user namespace {}, of which nobody knows who its {what} {inside} is on the host, and the node has",
                path.display()
            ),
            (_, Some(outside)) => format!(
                "linux.{mapping} of the engine makes {outside} on the host of {what} {inside}, and the node has"
            ),
            (_, None) => {
                format!("linux.{mapping} of the engine leaves out {what} {inside}, and the node has")
            }
        };
        let help = format!("map it (`{inside}:{host}:1`), or leave the user namespace to the node");
        self.refuse(&message, help, report);
        *inside
    }

    fn refuse(&self, message: &str, help: String, report: &mut Report) {
        let mut diagnostic = refused(format!("{message} `{}: {}`", self.tag, self.said.value.actual));
        if let Some(origin) = self.said.origin {
            diagnostic = diagnostic.at(origin.at);
        }
        report.push(diagnostic.help(help));
    }
}

/// Sets the user: the engine's, unless it names none and the node does. Where the node says who the process
/// is, it says so wholly: additional groups of the engine would be rights that nobody gave it.
pub(super) fn combine(
    process: &mut Process,
    linux: &Linux,
    facts: &EngineFacts,
    plan: &Plan,
    report: &mut Report,
) {
    let mut user = process.user().clone();
    let (users, groups) = Ids::of(linux, facts, plan);
    let identity = &plan.merged.tags.identity;
    if let Some(said) = &identity.user {
        let (inside, host) = (plan.inside.uid, plan.target.uid);
        let said = Said { what: "user", mapping: "uidMappings", tag: "set-user", said, inside, host };
        if user.uid() == 0 {
            // Who names no user names no group either.
            user.set_gid(0);
        }
        user.set_uid(said.among(users, user.uid(), report));
    }
    if let Some(said) = identity.group.as_ref().or(identity.user.as_ref()) {
        let tag = if identity.group.is_some() { "set-group" } else { "set-user" };
        let (inside, host) = (plan.inside.gid, plan.target.gid);
        let said = Said { what: "group", mapping: "gidMappings", tag, said, inside, host };
        user.set_gid(said.among(groups, user.gid(), report));
        user.set_additional_gids(None);
    }
    let umask = plan.merged.tags.umask.as_ref().map(|umask| umask.value);
    // What either of them takes from new files is taken.
    let both = match (umask, user.umask()) {
        (Some(own), Some(theirs)) => Some(own | theirs),
        (own, theirs) => own.or(theirs),
    };
    user.set_umask(both);
    process.set_user(user);
}
