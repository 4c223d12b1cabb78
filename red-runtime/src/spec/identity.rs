//! Who the command is: on the host, inside, and how the two are mapped.

use oci_spec::OciSpecError;
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};

use super::host::Host;
use crate::node::config::Namespace;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Text;
use crate::node::merge::{self, Resolved, Shares, Sharing};

/// Who asks for the launch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

impl Caller {
    /// Whether it may do on the host what only root may.
    #[must_use]
    pub fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Who the command runs as on the host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// User and group of a request, by name or number; they come before the family's.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// User.
    pub user: Option<String>,
    /// Group.
    pub group: Option<String>,
}

/// Finds who the command runs as. Mistakes go to `report`; the caller stands in for what cannot
/// be found, so that everything else can still be looked at.
pub fn target(
    asked: &Asked,
    family: &merge::Identity,
    caller: Caller,
    host: &mut dyn Host,
    report: &mut Report,
) -> Target {
    let user = wanted(asked.user.as_deref(), family.user.as_ref());
    let group = wanted(asked.group.as_deref(), family.group.as_ref());
    let mut target = Target { uid: caller.uid, gid: caller.gid };
    if let Some((name, origin)) = &user {
        match host.user(name) {
            None => report.push(placed(
                Diagnostic::error(Code::BadUser, format!("there is no user `{name}`"))
                    .help("name one that exists, or give its number"),
                *origin,
            )),
            Some(account) => {
                target.uid = account.uid;
                match (account.gid, &group) {
                    (Some(gid), _) => target.gid = gid,
                    (None, Some(_)) => {}
                    (None, None) if account.uid == caller.uid => {}
                    (None, None) => report.push(placed(
                        Diagnostic::error(Code::BadUser, format!("user {name} has no account, so no group"))
                            .help("set `set-group` (or `--group`) too"),
                        *origin,
                    )),
                }
            }
        }
    }
    if let Some((name, origin)) = &group {
        match host.group(name) {
            Some(gid) => target.gid = gid,
            None => report.push(placed(
                Diagnostic::error(Code::BadUser, format!("there is no group `{name}`"))
                    .help("name one that exists, or give its number"),
                *origin,
            )),
        }
    }
    if !caller.is_root() && (target.uid, target.gid) != (caller.uid, caller.gid) {
        let origin = user.or(group).and_then(|(_, origin)| origin);
        report.push(placed(
            Diagnostic::error(
                Code::BadUser,
                format!("user {} may not run as {}:{}", caller.uid, target.uid, target.gid),
            )
            .help("only root changes users: start it as root, or drop `set-user` and `set-group`"),
            origin,
        ));
    }
    target
}

type Wanted = (String, Option<crate::node::source::At>);

fn wanted(asked: Option<&str>, family: Option<&Resolved<Text>>) -> Option<Wanted> {
    match (asked, family) {
        (Some(name), _) => Some((name.to_owned(), None)),
        (None, Some(tag)) => Some((tag.value.actual.clone(), tag.origin.map(|origin| origin.at))),
        (None, None) => None,
    }
}

fn placed(diagnostic: Diagnostic, at: Option<crate::node::source::At>) -> Diagnostic {
    match at {
        Some(at) => diagnostic.at(at),
        None => diagnostic,
    }
}

/// Identity of the command as the container sees it.
#[derive(Clone, Debug)]
pub struct Inside {
    /// User inside.
    pub uid: u32,
    /// Group inside.
    pub gid: u32,
    /// What becomes of the user namespace.
    pub user_namespace: Sharing,
    /// Mapping of users; empty without a new user namespace.
    pub uid_map: Vec<LinuxIdMapping>,
    /// Mapping of groups; empty without a new user namespace.
    pub gid_map: Vec<LinuxIdMapping>,
}

/// Decides the user namespace and its mapping.
///
/// An unprivileged caller always gets a user namespace, in which it is itself or uid 0, beside the
/// subordinate ids it may map. Root gets every id mapped to itself, so that files keep their
/// owners, or only the target mapped to uid 0 when the family asks for that.
///
/// # Errors
/// None in practice: the mappings are always complete.
pub fn inside(
    caller: Caller,
    target: Target,
    shares: &Shares,
    map_root: bool,
    host: &mut dyn Host,
) -> Result<Inside, OciSpecError> {
    let said = &shares.get(Namespace::User).value;
    let user_namespace = match said {
        Sharing::Host if !caller.is_root() => Sharing::New,
        other => other.clone(),
    };
    let new = user_namespace == Sharing::New;
    let mapped = new && map_root;
    let (uid, gid) = if mapped { (0, 0) } else { (target.uid, target.gid) };
    let (uid_map, gid_map) = if !new {
        (Vec::new(), Vec::new())
    } else if caller.is_root() && !(mapped && target.uid != 0) {
        let [users, groups] = host.mapped();
        (themselves(&users)?, themselves(&groups)?)
    } else {
        let others = if caller.is_root() { None } else { host.subordinate(caller.uid) };
        let users = map(uid, target.uid, others.map(|others| others.users))?;
        (users, map(gid, target.gid, others.map(|others| others.groups))?)
    };
    Ok(Inside { uid, gid, user_namespace, uid_map, gid_map })
}

/// Every id that there is, mapped to itself.
fn themselves(ranges: &[(u32, u32)]) -> Result<Vec<LinuxIdMapping>, OciSpecError> {
    ranges.iter().map(|(first, count)| mapping(*first, *first, *count)).collect()
}

/// One id mapped to another, and as many around it as there are others to map them to.
fn map(inside: u32, outside: u32, others: Option<(u32, u32)>) -> Result<Vec<LinuxIdMapping>, OciSpecError> {
    let Some((start, count)) = others else { return Ok(vec![mapping(inside, outside, 1)?]) };
    let below = inside.min(count);
    let mut all = Vec::new();
    if below > 0 {
        all.push(mapping(0, start, below)?);
    }
    all.push(mapping(inside, outside, 1)?);
    if count > below {
        all.push(mapping(inside + 1, start + below, count - below)?);
    }
    Ok(all)
}

fn mapping(inside: u32, outside: u32, size: u32) -> Result<LinuxIdMapping, OciSpecError> {
    LinuxIdMappingBuilder::default().container_id(inside).host_id(outside).size(size).build()
}
