//! The plug is pulled at any moment of what the store does: a family is as it was before a command or as it is after it,
//! and what ended well is there. Every write to the disk is logged, and made again up to a moment.
//!
//! CI tries a few moments of each file system; `RED_SOAK=full` tries 100, `RED_MOMENTS` says how many, and `RED_POWER` on
//! which file system.

use std::fs;
use std::process::Command;

use red_tests::broom::Disk;
use red_tests::call::run;
use red_tests::logged::{LoggedDisk, can_log};
use red_tests::packages::Small;
use red_tests::store::Ground;

/// Makes the file system, and options of the mount.
const FILE_SYSTEMS: [(&str, &[&str], &str); 4] = [
    ("ext4", &["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0"], "rw"),
    (
        "ext4 without delayed allocation's guard",
        &["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0"],
        "noauto_da_alloc",
    ),
    ("xfs", &["mkfs.xfs", "-q"], "rw"),
    ("btrfs", &["mkfs.btrfs", "-q"], "rw"),
];

/// What is done, one after another: on which node, and how.
const STEPS: [(&str, &[&str]); 7] = [
    ("disk/plat", &["--with-descendants", "update"]),
    ("disk/plat/app", &["install", "more"]),
    ("disk/plat/app", &["remove", "more"]),
    ("disk/plat/app", &["history", "undo", "4"]),
    ("disk/plat/app", &["red-rollback"]),
    ("disk/plat", &["install", "wide"]),
    ("disk/plat", &["--setopt=generations_keep=1", "generations", "collect"]),
];

/// Packages of a parent and of a node below it that only fit each other, in two versions, and others.
fn publish(ground: &Ground, version: &str) {
    let text = format!("{version}\n").repeat(3000);
    let names: Vec<String> = (0..12).map(|at| format!("/usr/share/base/file{at}")).collect();
    let mut of_base: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text.as_str())).collect();
    let data = format!("mkdir -p /var/lib/base; echo {version} > /var/lib/base/state");
    of_base.push(("/usr/share/base/v", version));
    let needs = format!("base = {version}");
    let (of_own, requires) = ([("/usr/share/own/v", version)], [&*needs]);
    let mut packages = vec![
        Small { name: "base", version, files: &of_base, post: &data, ..Small::default() },
        Small { name: "own", version, files: &of_own, requires: &requires, ..Small::default() },
    ];
    if version == "1" {
        packages.push(Small {
            name: "more",
            version,
            files: &[("/usr/share/more/v", "more")],
            ..Small::default()
        });
        packages.push(Small {
            name: "wide",
            version,
            files: &[("/usr/share/wide/v", "wide")],
            ..Small::default()
        });
    }
    ground.publish("main", &packages);
}

/// What a family has: the packages of both nodes.
type State = [Vec<String>; 2];

fn state(ground: &Ground) -> State {
    ["disk/plat", "disk/plat/app"].map(|node| ground.rpm_says(node))
}

/// What a launch of the node below sees, as [`seen`] has it of a state.
fn launched(ground: &Ground, what: &str) -> String {
    let script = "for f in plat/usr/share/base plat/usr/share/wide app/usr/share/own app/usr/share/more; do \
                  test ! -e /nodes/disk/$f/v || cat /nodes/disk/$f/v; test ! -e /nodes/${f#*/}/v || cat /nodes/${f#*/}/v; \
                  printf ' '; done; cat /nodes/*/var/lib/base/state";
    let said = run(&mut ground.wrap("disk/plat/app", &["sh", "-c", script]));
    if said.code != 0 {
        let completed = ground.dnf("disk/plat/app", &["generations", "complete"]);
        panic!("{what}: {}\nand completing says {}: {}", said.err, completed.code, completed.err);
    }
    said.out
}

/// The power fails at moments of all that is done on a file system.
fn fails_on((name, make, options): (&str, &[&str], &str), moments: usize) {
    let ground = Ground::new();
    publish(&ground, "1");
    let point = ground.pool.mkdir("nodes/disk");
    let disk = LoggedDisk::mount(&ground.pool.mkdir("logged"), make, options, &point);
    for node in ["disk/plat", "disk/plat/app"] {
        ground.create(node, Some("main"));
    }
    ground.dnf("disk/plat", &["-y", "install", "base"]).good();
    ground.dnf("disk/plat/app", &["-y", "install", "own"]).good();
    publish(&ground, "2");
    for node in ["disk/plat", "disk/plat/app"] {
        ground.dnf(node, &["makecache"]).good();
    }
    run(Command::new("sync").arg("-f").arg(&point)).good();
    // After each step: how many writes there are, the packages, and what a launch sees.
    let look = |disk: &LoggedDisk, what: &str| (disk.entries(), state(&ground), launched(&ground, what));
    let mut known = vec![look(&disk, "before")];
    for (node, words) in STEPS {
        ground.dnf(node, &[&["-y", "-C"], words].concat()).good();
        let entries = disk.entries();
        known.push((entries, state(&ground), launched(&ground, &format!("{words:?}"))));
    }
    let mut log = disk.end();
    let (first, last) = (known[0].0, known[STEPS.len()].0);
    assert!(last - first > moments, "{name}: only {} writes", last - first);
    let mut begun = 0;
    for moment in 0..moments {
        let at = first + (last - first) * moment / moments.saturating_sub(1).max(1);
        let image = log.cut(at);
        let done = known.iter().rposition(|(entries, ..)| *entries <= at).expect("the first is before all");
        let allowed = &known[done..known.len().min(done + 2)];
        let what = format!("{name}: write {at} of {first} to {last}, after {done} steps");
        let found = Disk::mount(&image, &point, options);
        // Before anybody mends anything.
        let seen = launched(&ground, &what);
        let fitting: Vec<&State> =
            allowed.iter().filter(|(_, _, launch)| *launch == seen).map(|(_, state, _)| state).collect();
        assert!(!fitting.is_empty(), "{what}: a launch sees {seen:?}, and not one of {allowed:#?}");
        for node in ["disk/plat", "disk/plat/app"] {
            let next = ground.dnf(node, &["-y", "-C", "--wait=30", "autoremove"]);
            assert_eq!(next.code, 0, "{what}: {}", next.err);
        }
        let is = state(&ground);
        assert!(fitting.contains(&&is), "{what}: {is:?}, and not one of {fitting:#?}");
        begun += usize::from(is != known[done].1);
        for node in ["disk/plat", "disk/plat/app"] {
            ground.rpm_verifies(node).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            let check = ground.dnf(node, &["red-check", "--files"]);
            assert_eq!(check.code, 0, "{what}: {}", check.out);
        }
        assert_eq!(launched(&ground, &what), seen, "{what}: what is there after the next command");
        drop(found);
    }
    red_tests::progress(&format!(
        "{name}: {moments} moments of {} writes, {begun} of them new",
        last - first
    ));
}

#[test]
fn without_power_a_family_is_as_before_or_as_after() {
    if !can_log() {
        return red_tests::skip("needs qemu-storage-daemon and /dev/fuse");
    }
    let full = std::env::var("RED_SOAK").is_ok_and(|soak| soak == "full");
    let only = std::env::var("RED_POWER").ok();
    let moments = std::env::var("RED_MOMENTS").ok().and_then(|text| text.parse().ok());
    let moments = moments.unwrap_or(if full { 100 } else { 6 });
    let chosen = FILE_SYSTEMS.into_iter().filter(|system| only.as_ref().is_none_or(|only| only == system.0));
    let chosen: Vec<_> = chosen.collect();
    assert!(!chosen.is_empty(), "{only:?} is none of {FILE_SYSTEMS:?}");
    chosen.into_iter().for_each(|system| fails_on(system, moments));
    assert!(fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| !mounts.contains("logged/export")));
}
