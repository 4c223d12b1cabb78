//! Generations that nobody needs any more.

use std::collections::BTreeSet;

use super::{Store, StoreError};

/// Numbers of a node's generations that some running process has mounted, by `/proc/*/mountinfo`
/// (proc_pid_mountinfo(5): the fourth field is the path within the file system).
pub(crate) fn mounted(store: &Store) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return found };
    let mut seen = BTreeSet::new();
    let node = store.path().to_string_lossy().into_owned();
    for process in processes.flatten() {
        let path = process.path();
        let Ok(namespace) = std::fs::read_link(path.join("ns/mnt")) else { continue };
        if !seen.insert(namespace) {
            continue;
        }
        let Ok(mounts) = std::fs::read_to_string(path.join("mountinfo")) else { continue };
        for root in mounts.lines().filter_map(|line| line.split(' ').nth(3)) {
            found.extend(number_in(root, &node));
        }
    }
    found
}

/// Generation that a mount's root lies in: `…/NODE/.red/gen/<n>/…`. The path is one within its file system, which may
/// begin above the node, or (chroot, btrfs subvolume, bind mount of a pool) with directories that the node's path does
/// not have. So the node's name decides; what is kept for a namesake elsewhere goes once that has ended.
fn number_in(root: &str, node: &str) -> Option<u64> {
    let (before, after) = root.split_once("/.red/gen/")?;
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let same = before.is_empty() || name(before) == name(node);
    let digits = after.split('/').next()?;
    same.then(|| digits.parse().ok()).flatten()
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

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn finds_the_generation_of_a_mount() {
        assert_eq!(number_in("/var/redpesk/a/.red/gen/12/usr", "/var/redpesk/a"), Some(12));
        assert_eq!(number_in("/redpesk/a/.red/gen/3/etc", "/var/redpesk/a"), Some(3));
        assert_eq!(number_in("/@/var/redpesk/a/.red/gen/3/etc", "/var/redpesk/a"), Some(3), "a subvolume");
        assert_eq!(number_in("/pool/a/.red/gen/3/etc", "/var/redpesk/a"), Some(3), "a bind mount");
        assert_eq!(number_in("/.red/gen/3/etc", "/var/redpesk/a"), Some(3), "a file system of its own");
        assert_eq!(number_in("/var/redpesk/aa/.red/gen/3/etc", "/var/redpesk/a"), None);
        assert_eq!(number_in("/var/redpesk/b/.red/gen/3/etc", "/var/redpesk/a"), None);
        assert_eq!(number_in("/usr", "/var/redpesk/a"), None);
        assert_eq!(number_in("/var/redpesk/a/.red/gen/x/usr", "/var/redpesk/a"), None);
    }
}
