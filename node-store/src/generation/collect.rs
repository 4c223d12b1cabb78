//! Generations that nobody needs any more.

use std::collections::BTreeSet;
use std::path::Path;

use red_runtime::node::guard::{Location, MountTable};

use super::variable::KEPT;
use super::{Store, StoreError, names, remove};

/// Numbers of a node's generations that some running process has mounted.
pub(crate) fn mounted(store: &Store) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return found };
    let mut seen = BTreeSet::new();
    let generations = Generations::of(store.path(), &MountTable::read());
    for process in processes.flatten() {
        let path = process.path();
        // Another user's namespace cannot be told from others (ptrace(2)), and its mounts can still be read.
        if std::fs::read_link(path.join("ns/mnt")).is_ok_and(|namespace| !seen.insert(namespace)) {
            continue;
        }
        let Ok(mounts) = MountTable::read_at(path.join("mountinfo")) else { continue };
        found.extend(mounts.entries().iter().filter_map(|mount| generations.number(&mount.location())));
    }
    found
}

/// Where a node's generations are.
struct Generations {
    /// By file system and path in it, which are the same in every mount namespace.
    place: Option<Location>,
    /// Name of the node's directory.
    node: String,
}

impl Generations {
    fn of(node: &Path, mounts: &MountTable) -> Self {
        let name = node.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let real = std::fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
        let place = real.to_str().and_then(|real| mounts.locate(0, real)).map(|place| place.join(".red/gen"));
        Self { place, node: name }
    }

    /// The generation that a mounted place is, or lies in. Where it cannot be told where the node is (a
    /// chroot), its name decides; what is kept for a namesake elsewhere goes once that has ended.
    fn number(&self, mounted: &Location) -> Option<u64> {
        if let Some(place) = &self.place {
            return place.rest(mounted)?.split('/').next()?.parse().ok();
        }
        let (before, after) = mounted.as_str().rsplit_once("/.red/gen/")?;
        // A file system of the node's own has no name of it.
        let same = before.rfind('/') == Some(0) || before.rsplit('/').next() == Some(&self.node);
        after.split('/').next()?.parse().ok().filter(|_| same)
    }
}

/// What may go: all but the current one, pinned ones, the last `keep`, and mounted ones.
pub(crate) fn unused(store: &Store, keep: usize) -> Result<Vec<u64>, StoreError> {
    let numbers = store.numbers()?;
    let current = store.current()?;
    let newest: BTreeSet<u64> = numbers.iter().rev().take(keep).copied().collect();
    let mounted = mounted(store);
    Ok(numbers
        .into_iter()
        .filter(|number| {
            Some(*number) != current
                && !newest.contains(number)
                && !mounted.contains(number)
                && !store.is_pinned(*number)
        })
        .collect())
}

impl Store {
    /// Removes what is kept of generations that are gone, which nothing leads to any more. Returns their numbers.
    pub(crate) fn forget_kept(&self) -> Result<BTreeSet<u64>, StoreError> {
        let numbers = self.numbers()?;
        let mut gone = BTreeSet::new();
        for name in names(&self.dir, &self.path.join(KEPT), KEPT)? {
            // `7`, or `7.1` where that was taken.
            let number = name.split('.').next().and_then(|number| number.parse().ok());
            if let Some(number) = number.filter(|number| !numbers.contains(number)) {
                remove(&self.dir, &self.path, &format!("{KEPT}/{name}"))?;
                gone.insert(number);
            }
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "27 1 254:0 / / rw - ext4 /dev/vda rw
28 27 254:0 /srv/data/appnode /pool/app rw - ext4 /dev/vda rw
29 27 0:40 /@/pool /sub rw - btrfs /dev/vdb rw
";

    /// The generation that a mount of another process shows.
    fn number(node: &str, mounts: &str, fs: &str, root: &str) -> Option<u64> {
        let mount = MountTable::parse(&format!("9 1 {fs} {root} /x rw - ext4 none rw\n"));
        let place = mount.entries().first()?.location();
        Generations::of(Path::new(node), &MountTable::parse(mounts)).number(&place)
    }

    #[test]
    fn a_generation_is_in_use_under_every_name_of_its_node() {
        let found = |node, root| number(node, MOUNTS, "254:0", root);
        assert_eq!(found("/pool/app", "/srv/data/appnode/.red/gen/3/usr"), Some(3));
        assert_eq!(found("/srv/data/appnode", "/srv/data/appnode/.red/gen/3"), Some(3));
        assert_eq!(found("/pool/other", "/pool/other/.red/gen/12/etc"), Some(12));
        assert_eq!(number("/sub/a", MOUNTS, "0:40", "/@/pool/a/.red/gen/4/usr"), Some(4), "a subvolume");
        assert_eq!(number("/sub/a", MOUNTS, "254:0", "/@/pool/a/.red/gen/4/usr"), None, "another disk");
        assert_eq!(found("/pool/app", "/pool/app/.red/gen/3/usr"), None, "what is mounted over");
        assert_eq!(found("/pool/other", "/elsewhere/other/.red/gen/3/usr"), None, "a namesake");
        assert_eq!(found("/pool/other", "/pool/other/.red/gen/x/usr"), None);
        assert_eq!(found("/pool/other", "/pool/other/usr"), None);
    }

    #[test]
    fn without_a_place_the_name_decides() {
        let found = |root| number("/var/redpesk/a", "", "254:0", root);
        assert_eq!(found("/chroot/var/redpesk/a/.red/gen/12/usr"), Some(12));
        assert_eq!(found("/.red/gen/3/etc"), Some(3), "a file system of its own");
        assert_eq!(found("/var/redpesk/aa/.red/gen/3/etc"), None);
        assert_eq!(found("/usr"), None);
        assert_eq!(found("/var/redpesk/a/.red/gen/x/usr"), None);
    }
}
