//! Who is believed.

use std::path::Path;

use super::Pool;
use crate::node::place::{Deciding, Way};

/// Directories that are the host's own, whatever user namespace looks at them.
const SYSTEM: [&str; 3] = ["/etc", "/opt", "/usr"];

/// Who is believed, by user number.
pub(super) struct Believed {
    /// Users by the numbers that this user namespace has for them.
    users: Vec<u32>,
    /// What every owner is called that this user namespace does not map: root outside, or anybody.
    unmapped: Option<u32>,
}

impl Believed {
    /// Root, and `users`.
    pub(super) fn new(users: impl IntoIterator<Item = u32>, unmapped: Option<u32>) -> Self {
        let mut all = vec![0];
        for user in users {
            if !all.contains(&user) && unmapped != Some(user) {
                all.push(user);
            }
        }
        Self { users: all, unmapped }
    }

    /// The users, for messages.
    pub(super) fn users(&self) -> &[u32] {
        &self.users
    }

    /// Whether the owner cannot be told in this user namespace.
    pub(super) fn is_unmapped(&self, one: &Deciding) -> bool {
        self.unmapped == Some(one.facts.uid)
    }

    /// Whether the owner is believed. `elsewhere` says whether it would be, were it root outside of this
    /// user namespace; that is taken for granted only where nobody else can have made the entry.
    pub(super) fn owner(
        &self,
        one: &Deciding,
        all: &[Deciding],
        elsewhere: impl Fn(&Deciding) -> bool,
    ) -> bool {
        if self.is_unmapped(one) {
            firm(one, all) && elsewhere(one)
        } else {
            self.users.contains(&one.facts.uid)
        }
    }

    /// Whether all of them are believed, and nobody else can write there.
    fn all(&self, all: &[Deciding]) -> bool {
        all.iter().all(|one| self.owner(one, all, |_| true) && !is_open(one))
    }

    /// Whether the owner of a pool can be told by whose directory it is: not if somebody else can put
    /// another in its place, or has made it first.
    pub(super) fn derives(&self, pool: &Pool, all: &[Deciding]) -> bool {
        let mut above = all.iter().filter(|one| pool.real != one.path && pool.real.starts_with(&one.path));
        let parent = |one: &Deciding| pool.real.parent() == Some(one.path.as_path());
        above.all(|one| {
            self.owner(one, all, |_| true) && !is_open(one) && !(parent(one) && one.facts.is_open())
        })
    }
}

/// Whether others can exchange what is in it or what it says. In a sticky directory nobody can rename or
/// remove what belongs to somebody else (inode(7)), and what is in it is judged by itself.
pub(super) fn is_open(one: &Deciding) -> bool {
    one.facts.is_open() && !one.facts.is_sticky()
}

/// Whether only the owner of the directory that it is in can have made an entry.
fn firm(one: &Deciding, all: &[Deciding]) -> bool {
    match one.path.parent() {
        None => true,
        Some(parent) if parent == Path::new("/") => true,
        Some(parent) => {
            all.iter().any(|other| other.path == parent && other.facts.is_dir() && !other.facts.is_open())
        }
    }
}

/// Whether a path is in a directory of the host's own.
pub(super) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|dir| path.starts_with(dir))
}

/// Whether a way has no links, or only those who are believed can lead it elsewhere. Whose its end is does
/// not matter for that.
pub(super) fn steady(way: &Way, believed: &Believed) -> bool {
    let before: Vec<Deciding> = way.deciding.iter().filter(|one| one.path != way.path).cloned().collect();
    !way.has_links() || believed.all(&before)
}
