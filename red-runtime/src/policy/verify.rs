//! Could anybody have written this plan who should not?

use super::owners::{Believed, is_open, is_system};
use super::{Policy, Pool, Starter};
use crate::node::contents;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::Family;
use crate::node::place::Deciding;

/// Checks that the family may be started at all by `starter`, and that every file, directory and
/// symbolic link that decides its plan, up to its pool, belongs to root, the pool's owner or the caller
/// who named it, and can be written by nobody else. Outside all pools nobody but root and the caller is
/// believed, and directories count up to the root: whoever owns one of them can exchange what is
/// below. That holds above a pool too, unless the policy names the pool's owner.
#[must_use]
pub fn verify(policy: &Policy, family: &Family, starter: Starter) -> Report {
    let leaf = family.leaf().path.as_path();
    let pool = policy.pool_of(leaf);
    if starter == Starter::Engine && pool.is_none() {
        let mut report = Report::default();
        report.push(in_no_pool(policy, family));
        return report;
    }
    let caller = match starter {
        Starter::Direct { uid } => Some(uid),
        Starter::Engine => None,
    };
    let unmapped = policy.root_elsewhere;
    let strict = Believed::new(caller, unmapped);
    let owner = pool.and_then(|pool| {
        let directory = || family.deciding.iter().find(|one| one.path == pool.real);
        let derived = || directory().filter(|_| strict.derives(pool, &family.deciding));
        pool.owner.or_else(|| derived().map(|one| one.facts.uid))
    });
    let believed = Believed::new(owner.into_iter().chain(caller), unmapped);
    let mut judge = Judge { family, pool, believed, report: Report::default() };
    judge.all(&family.deciding, &[]);
    judge.all(&family.way, &family.deciding);
    judge.links();
    judge.report
}

fn in_no_pool(policy: &Policy, family: &Family) -> Diagnostic {
    let pools: Vec<String> = policy.pools.iter().map(|pool| pool.path.display().to_string()).collect();
    let unused = policy.pools.iter().filter_map(|pool| pool.unused.as_deref());
    let unused: String = unused.map(|why| format!("; {why}")).collect();
    let leaf = family.leaf().path.display();
    Diagnostic::error(Code::PolicyPool, format!("node {leaf} is in no pool whose nodes engines may start"))
        .help(format!("pools: {}; /etc/redpak/policy.yaml lists them{unused}", pools.join(", ")))
}

struct Judge<'v> {
    family: &'v Family,
    pool: Option<&'v Pool>,
    believed: Believed,
    report: Report,
}

impl Judge<'_> {
    /// Judges all of a list, but for what was judged before.
    fn all(&mut self, all: &[Deciding], judged: &[Deciding]) {
        for (index, one) in all.iter().enumerate() {
            let again = all[..index].contains(one) || judged.contains(one);
            let exempt = self.pool.is_some_and(|pool| pool.owner.is_some() && above(pool, one));
            if again || (exempt && one.facts.is_dir()) {
                continue;
            }
            if !self.believed.owner(one, all, |one| self.elsewhere(one)) {
                self.owner(one);
            }
            if is_open(one) {
                let path = one.path.display();
                let message =
                    format!("{path} can be written by others (mode {:04o})", one.facts.mode & 0o7777);
                self.push(message, format!("`chmod go-w {path}`"));
            }
        }
    }

    /// Whether something could be root's, in a user namespace that does not map root: it is in a pool, or
    /// the host's own, or only a directory that the way to the caller's own nodes leads through.
    fn elsewhere(&self, one: &Deciding) -> bool {
        let in_pool = self.pool.is_some_and(|pool| one.path.starts_with(&pool.real));
        let passed = || one.facts.is_dir() && !self.inside(one);
        in_pool || is_system(&one.path) || passed()
    }

    /// Whether it is, or is in, a node of the family.
    fn inside(&self, one: &Deciding) -> bool {
        self.family.nodes.first().is_some_and(|node| one.path.starts_with(&node.path))
    }

    fn owner(&mut self, one: &Deciding) {
        let path = one.path.display();
        let users = self.believed.users();
        let names: Vec<String> = users.iter().map(u32::to_string).collect();
        let names = names.join(" or ");
        if self.believed.is_unmapped(one) {
            let message = format!(
                "{path} belongs to a user whom this user namespace does not map, who could be anybody, not to {names}"
            );
            let help =
                "start the node outside of the user namespace, or list its pool in /etc/redpak/policy.yaml";
            return self.push(message, help.to_owned());
        }
        let what = if one.facts.is_link() { "the symbolic link " } else { "" };
        let message = format!("{what}{path} belongs to user {}, not to {names}", one.facts.uid);
        // What is above the node, a home for one, is rightly somebody's.
        let listed = self.pool.filter(|pool| pool.owner.is_none() && pool.real.starts_with(&one.path));
        let help = match listed {
            Some(pool) => format!(
                "whoever owns it can exchange pool {}: name the pool's `owner` in /etc/redpak/policy.yaml",
                pool.path.display()
            ),
            None if one.facts.is_link() => {
                "remove the link, or make one of your own: whoever owns it can lead it elsewhere".to_owned()
            }
            None if self.inside(one) => {
                format!("chown it: `chown -h {} {path}`", users.last().copied().unwrap_or(0))
            }
            None => format!(
                "start the node as user {}, move it, or list its pool and the pool's owner in /etc/redpak/policy.yaml",
                one.facts.uid
            ),
        };
        self.push(message, help);
    }

    /// Refuses a redpath that leads through a link of contents: whoever starts the node by it would start
    /// what a container chose, so that it names none (REDPAK §5).
    fn links(&mut self) {
        for link in self.family.way.iter().filter(|one| one.facts.is_link()) {
            let why = match contents::place_of(&link.path) {
                Ok(None) => continue,
                Ok(Some(place)) => format!("{place}: what is reached through it is no node"),
                Err(why) => format!("in a node that cannot be read: {why}"),
            };
            let shown = link.path.display();
            let message = format!("the redpath leads through the symbolic link {shown}, {why}");
            let help = format!("name the node by its own path: {}", self.family.leaf().path.display());
            self.report.push(Diagnostic::error(Code::NodeWritable, message).help(help));
        }
    }

    fn push(&mut self, message: String, help: String) {
        self.report.push(Diagnostic::error(Code::NodeOwner, message).help(help));
    }
}

/// Whether it is strictly above a pool.
fn above(pool: &Pool, one: &Deciding) -> bool {
    pool.real != one.path && pool.real.starts_with(&one.path)
}
