//! The generation of packages that each node of a family shows.
//!
//! `.red/current` of a node is a link to it, and one rename of that link switches the node. Several nodes cannot switch
//! by one rename: the oldest of them has a durable list of what all of them switch to, which decides from the moment it is
//! there, whichever links have followed. What a generation has for the node's `var` arrives after the switch; until then
//! the node shows a mixture, and launches wait.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use super::family::STATUS_NAME;

/// The list of a switch of several nodes, in the oldest of them.
pub const PENDING: &str = ".red/pending.json";
/// What a generation has for the node's `var`, in the generation, until it is there.
pub const VARIABLE: &str = ".var";

/// How long a launch waits for what is missing.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long it has an interrupted switch completed. Nearly all end sooner by themselves.
const ALONE: Duration = Duration::from_secs(1);
/// A list that has more bytes is none.
pub const MAX_LIST: u64 = 1 << 20;

/// What becomes current where.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Switches {
    /// Directory of each node and the generation that it switches to, oldest node first.
    pub nodes: Vec<(PathBuf, u64)>,
}

impl Switches {
    /// The same where the oldest node is now: a pool may have been moved meanwhile.
    #[must_use]
    pub fn at(&self, first: &Path) -> Vec<(PathBuf, u64)> {
        let Some((before, _)) = self.nodes.first() else { return Vec::new() };
        // It decides for its own node and those below, and for no other: whoever owns a node may write any list there.
        let moved = |node: &PathBuf| {
            let below = node.strip_prefix(before).ok()?;
            let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
            plain.then(|| if below.as_os_str().is_empty() { first.to_owned() } else { first.join(below) })
        };
        self.nodes.iter().filter_map(|(node, number)| Some((moved(node)?, *number))).collect()
    }

    /// The list of a node, if it has one that can be read.
    fn of(node: &Path) -> Option<Vec<(PathBuf, u64)>> {
        // Nothing that stands in its place makes the caller wait, and there are no links on the way to a node.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = node.join(PENDING);
        let file = rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()?;
        let file = File::from(file);
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        let mut text = Vec::new();
        if size > MAX_LIST || file.take(MAX_LIST).read_to_end(&mut text).is_err() {
            return None;
        }
        Some(serde_json::from_slice::<Self>(&text).ok()?.at(node))
    }
}

/// The generations of a family's nodes, by directory of the node. Nodes without generations are not in it.
pub type Shown = BTreeMap<PathBuf, u64>;

/// What is missing of a node.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "an update of {} is under way or was interrupted: what generation {number} has for var is not there yet",
    .node.display()
)]
pub struct Unfinished {
    /// Its directory.
    pub node: PathBuf,
    /// The generation that it shows.
    pub number: u64,
}

/// The generations of nodes, oldest first, of one moment.
#[must_use]
pub fn shown(nodes: &[&Path]) -> Shown {
    let mut seen = look(nodes);
    // Links that follow a list are renamed one by one, and a list is there before the first of them: whoever finds
    // the same twice has not looked across the moment of a decision.
    for _ in 0..1000 {
        let again = look(nodes);
        if again == seen {
            break;
        }
        seen = again;
    }
    seen
}

/// The generation of one node, which may have ancestors.
#[must_use]
pub fn of(node: &Path) -> Option<u64> {
    let mut family: Vec<&Path> =
        node.ancestors().take_while(|above| rustix::fs::lstat(above.join(STATUS_NAME)).is_ok()).collect();
    family.reverse();
    if family.is_empty() {
        family.push(node);
    }
    shown(&family).remove(node)
}

/// One look: lists first, so that a list that is gone has been followed by every link.
fn look(nodes: &[&Path]) -> Shown {
    let lists: Vec<_> = nodes.iter().map(|node| Switches::of(node)).collect();
    let listed = |at: usize, node: &Path| {
        // Of several the youngest node's is the latest: nobody begins one below a list that is not finished.
        let lists =
            lists[..=at].iter().enumerate().rev().filter_map(|(of, list)| Some((nodes[of], list.as_ref()?)));
        let counting = lists.filter(|(of, _)| may_decide(of, node)).flat_map(|(_, list)| list);
        counting.filter(|(path, _)| path == node).map(|(_, number)| *number).find(|number| has(node, *number))
    };
    let each = nodes.iter().enumerate().filter_map(|(at, node)| {
        let number = listed(at, node).or_else(|| current(node))?;
        Some((node.to_path_buf(), number))
    });
    each.collect()
}

/// Whether the list of a node counts for one below: that of another user's node, which that user may write as he
/// likes, does not.
fn may_decide(above: &Path, node: &Path) -> bool {
    let owner = |path: &Path| rustix::fs::lstat(path).map(|stat| stat.st_uid);
    match (owner(above), owner(node)) {
        (Ok(above), Ok(node)) => above == 0 || above == node,
        _ => false,
    }
}

/// Where a node's link leads.
fn current(node: &Path) -> Option<u64> {
    let link = rustix::fs::readlink(node.join(".red/current"), Vec::new()).ok()?;
    let number = link.to_str().ok()?.strip_prefix("gen/")?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

/// Directory of a generation.
fn generation(node: &Path, number: u64) -> PathBuf {
    node.join(format!(".red/gen/{number}"))
}

fn has(node: &Path, number: u64) -> bool {
    rustix::fs::lstat(generation(node, number)).is_ok()
}

/// A node that shows a generation and has not got what that has for `var`.
#[must_use]
pub fn unfinished(shown: &Shown) -> Option<Unfinished> {
    let waits = |node: &Path, number| rustix::fs::lstat(generation(node, number).join(VARIABLE)).is_ok();
    let (node, number) = shown.iter().find(|&(node, &number)| waits(node, number))?;
    Some(Unfinished { node: node.clone(), number: *number })
}

/// The generations of nodes, oldest first, of one moment in which each of them is whole: waits for a switch
/// that is under way, and has one completed that was interrupted.
///
/// # Errors
/// A node is not whole after ten seconds.
pub fn settled(nodes: &[&Path]) -> Result<Shown, Unfinished> {
    let (begun, mut asked) = (Instant::now(), false);
    loop {
        let shown = shown(nodes);
        let Some(unfinished) = unfinished(&shown) else { return Ok(shown) };
        if begun.elapsed() > PATIENCE {
            return Err(unfinished);
        }
        if !asked && begun.elapsed() > ALONE {
            asked = true;
            complete(&unfinished.node);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Has `red-dnf` complete what was interrupted, where the caller may and it is installed beside this program. It takes
/// the node's lock and waits for whoever has it.
fn complete(node: &Path) {
    let lock = node.join(".red/lock");
    let may = rustix::fs::accessat(CWD, &lock, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    let Ok(program) = std::env::current_exe().map(|program| program.with_file_name("red-dnf")) else {
        return;
    };
    if !may || !program.is_file() {
        return;
    }
    let mut command = Command::new(program);
    command.arg("--redpath").arg(node).args(["--wait=8", "red-generations", "complete"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Whether it did is seen in the node.
    drop(command.status());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn node(path: &Path, current: u64) {
        for number in [1, 2] {
            fs::create_dir_all(generation(path, number)).unwrap();
        }
        fs::write(path.join(STATUS_NAME), "").unwrap();
        drop(fs::remove_file(path.join(".red/current")));
        symlink(format!("gen/{current}"), path.join(".red/current")).unwrap();
    }

    fn family() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (parent, child) = (dir.path().join("parent"), dir.path().join("parent/child"));
        node(&parent, 1);
        node(&child, 1);
        (dir, parent, child)
    }

    fn list(above: &Path, nodes: &[(&Path, u64)]) {
        let nodes = nodes.iter().map(|(node, number)| (node.to_path_buf(), *number)).collect();
        fs::write(above.join(PENDING), serde_json::to_vec(&Switches { nodes }).unwrap()).unwrap();
    }

    #[test]
    fn a_list_decides_for_all_its_nodes() {
        let (_dir, parent, child) = family();
        let numbers = || {
            let found = shown(&[&parent, &child]);
            (found[&parent], found[&child], of(&child))
        };
        assert_eq!(numbers(), (1, 1, Some(1)));
        list(&parent, &[(&parent, 2), (&child, 2)]);
        assert_eq!(numbers(), (2, 2, Some(2)), "no link has followed");
        node(&parent, 2);
        assert_eq!(numbers(), (2, 2, Some(2)), "one has");
        node(&child, 2);
        fs::remove_file(parent.join(PENDING)).unwrap();
        assert_eq!(numbers(), (2, 2, Some(2)));
        // What cannot be followed, or read, decides nothing.
        list(&parent, &[(&parent, 2), (&child, 7)]);
        assert_eq!(numbers(), (2, 2, Some(2)));
        node(&child, 1);
        for text in ["{", "", "{\"nodes\": [[\"/a\", 7]]}"] {
            fs::write(parent.join(PENDING), text).unwrap();
            assert_eq!(numbers(), (2, 1, Some(1)), "{text}");
        }
        fs::remove_file(parent.join(PENDING)).unwrap();
        rustix::fs::mknodat(CWD, parent.join(PENDING), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(numbers(), (2, 1, Some(1)), "a pipe makes nobody wait");
    }

    #[test]
    fn a_list_decides_for_no_node_elsewhere() {
        let (dir, parent, child) = family();
        let other = dir.path().join("other");
        node(&other, 1);
        let up = parent.join("child/../../other");
        list(&parent, &[(&parent, 2), (&other, 2), (&up, 2), (&child, 2)]);
        let text = fs::read(parent.join(PENDING)).unwrap();
        let read: Switches = serde_json::from_slice(&text).unwrap();
        assert_eq!(read.at(&parent), [(parent.clone(), 2), (child, 2)]);
        assert_eq!(of(&other), Some(1));
    }

    #[test]
    fn a_list_counts_where_its_nodes_are_now() {
        let (dir, parent, child) = family();
        list(&parent, &[(&parent, 2), (&child, 2)]);
        let moved = dir.path().join("moved");
        fs::rename(&parent, &moved).unwrap();
        assert_eq!(of(&moved.join("child")), Some(2));
    }

    #[test]
    fn a_node_without_its_data_is_not_whole() {
        let (_dir, parent, child) = family();
        fs::create_dir(generation(&child, 2).join(VARIABLE)).unwrap();
        let nodes = [parent.as_path(), child.as_path()];
        assert_eq!(settled(&nodes).unwrap().len(), 2, "it does not show that generation");
        list(&parent, &[(&parent, 2), (&child, 2)]);
        let missing = unfinished(&shown(&nodes)).unwrap();
        assert_eq!(missing, Unfinished { node: child.clone(), number: 2 });
        // Somebody completes it while a launch waits.
        let late = generation(&child, 2).join(VARIABLE);
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            fs::remove_dir(late).unwrap();
        });
        assert_eq!(settled(&nodes).unwrap()[&child], 2);
        other.join().unwrap();
    }
}
