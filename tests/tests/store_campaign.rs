//! A campaign: every operation of the store is killed, or a call of it fails, at a moment that a seed chooses. After each
//! the family launches, every query answers, one of its members is removed with `rm -rf`, and the next command brings
//! what is left to where it was before or where it was to go.
//!
//! `RED_SEED` chooses the moments, `RED_CASES` how many there are; a case that fails prints its number.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, built, red_conf, run};
use red_tests::packages::Small;
use red_tests::random::{Random, chosen};
use red_tests::store::Ground;

/// Cases that the gate runs.
const CASES: u64 = 24;
const SEED: u64 = 20_261_130;

/// The nodes, oldest first.
const NODES: [&str; 3] = ["plat", "plat/mid", "plat/mid/leaf"];

/// What is done: its name, on which node, and how.
const OPERATIONS: [(&str, &str, &[&str]); 8] = [
    ("install", "plat/mid", &["install", "more"]),
    ("update", "plat/mid", &["update", "alone"]),
    ("remove", "plat/mid", &["remove", "extra"]),
    ("rollback", "plat/mid/leaf", &["rollback"]),
    ("undo", "plat/mid", &["history", "undo", "4"]),
    ("conversion", "plat/mid/leaf", &["install", "more"]),
    ("with descendants", "plat", &["--with-descendants", "update"]),
    ("collect", "plat/mid", &["--setopt=generations_keep=1", "generations", "collect"]),
];

/// Calls that are counted together, and an error that each of them can have.
const CALLS: [(&str, &str); 8] = [
    ("renameat,renameat2,rename", "EIO"),
    ("openat,openat2", "EMFILE"),
    ("mkdirat,linkat,symlinkat", "ENOSPC"),
    ("unlinkat", "EACCES"),
    ("write,pwrite64,copy_file_range", "ENOSPC"),
    ("fsync,fdatasync,syncfs", "EIO"),
    ("fchmod,fchown,fchmodat,fchownat,utimensat,fsetxattr", "EPERM"),
    ("mount,umount2,move_mount,open_tree,clone,clone3,vfork", "ENOMEM"),
];

/// Packages of three nodes that only fit each other, and others.
fn publish(ground: &Ground) {
    for version in ["1", "2"] {
        let texts: Vec<String> = (0..8).map(|at| format!("/usr/share/plat/file{at}")).collect();
        let mut of_plat: Vec<(&str, &str)> = texts.iter().map(|path| (path.as_str(), version)).collect();
        of_plat.push(("/usr/share/plat/v", version));
        let data = format!("mkdir -p /var/lib/plat; echo {version} > /var/lib/plat/state");
        let needs = [format!("in-plat = {version}"), format!("in-mid = {version}")];
        let (of_mid, of_leaf) = ([("/usr/share/mid/v", version)], [("/usr/share/leaf/v", version)]);
        let (plat, mid) = ([&*needs[0]], [&*needs[1]]);
        let all = [
            Small { name: "in-plat", version, files: &of_plat, post: &data, ..Small::default() },
            Small { name: "in-mid", version, files: &of_mid, requires: &plat, ..Small::default() },
            Small { name: "in-leaf", version, files: &of_leaf, requires: &mid, ..Small::default() },
            Small {
                name: "alone",
                version,
                files: &[("/usr/share/alone/file", "alone")],
                ..Small::default()
            },
            Small { name: "more", version, files: &[("/usr/share/more/file", "more")], ..Small::default() },
            Small {
                name: "extra",
                version,
                files: &[("/usr/share/extra/file", "extra")],
                ..Small::default()
            },
            Small {
                name: "other",
                version,
                files: &[("/usr/share/other/file", "other")],
                ..Small::default()
            },
        ];
        ground.publish("main", &all);
    }
}

/// The family, with some history; in the copy `plain` its leaf is one that no transaction has made.
fn family(ground: &Ground) -> [PathBuf; 2] {
    for node in NODES {
        ground.create(node, Some("main"));
    }
    for (node, words) in [
        ("plat", &["in-plat-1"][..]),
        ("plat/mid", &["in-mid-1", "alone-1"]),
        ("plat/mid", &["extra-1"]),
        ("plat/mid/leaf", &["in-leaf-1"]),
    ] {
        ground.dnf(node, &[&["-y", "install"], words].concat()).good();
    }
    ground.dnf("plat/mid/leaf", &["-y", "install", "other"]).good();
    ground.dnf("plat/mid", &["-y", "install", "more-1"]).good();
    ground.dnf("plat/mid", &["-y", "remove", "more"]).good();
    for node in NODES {
        ground.dnf(node, &["makecache"]).good();
    }
    let copies = ["pristine", "plain"].map(|name| ground.pool.join(name));
    copies.iter().for_each(|to| copy(&ground.node("plat"), to));
    let leaf = copies[1].join("mid/leaf");
    let current = leaf.join(".red").join(fs::read_link(leaf.join(".red/current")).expect("a link"));
    // As rpm itself leaves a node: its directories are directories.
    for name in ["usr", "etc", "var", "opt"] {
        let shown = leaf.join(name);
        if shown.is_symlink() && current.join(name).exists() {
            fs::remove_file(&shown).expect("it is ours");
            run(Command::new("cp").arg("--archive").arg(current.join(name)).arg(&shown)).good();
        }
    }
    for database in ["var/lib/rpm", "usr/lib/sysimage/rpm"].map(|below| leaf.join(below)) {
        if database.is_symlink() {
            let real = fs::canonicalize(&database).expect("it leads somewhere");
            fs::remove_file(&database).expect("it is ours");
            run(Command::new("cp").arg("--archive").arg(real).arg(&database)).good();
        }
    }
    fs::remove_dir_all(leaf.join(".red")).expect("it is ours");
    copies
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    run(Command::new("cp").arg("--archive").arg(from).arg(to)).good();
}

/// An operation, its calls watched or meddled with.
fn operate(ground: &Ground, (_, node, words): (&str, &str, &[&str]), how: &[&str]) -> Said {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(ground.pool.join("trace")).args(how).arg(built("red-dnf"));
    strace.arg(format!("--redpath={}", ground.node(node).display())).arg("-y").args(words);
    strace.env("TMPDIR", ground.pool.mkdir("tmp")).env("NODE_PREFIX", ground.pool.join("prefix"));
    run(strace.stdin(Stdio::null()))
}

/// How many of some calls the process has that does most of them.
fn count(ground: &Ground) -> BTreeMap<&'static str, usize> {
    let trace = fs::read_to_string(ground.pool.join("trace")).expect("it was made");
    let mut found = BTreeMap::new();
    for (calls, _) in CALLS {
        let mut of = BTreeMap::<&str, usize>::new();
        for line in trace.lines() {
            let Some((pid, call)) = line.split_once(' ') else { continue };
            let name = call.trim_start().split('(').next().unwrap_or_default();
            if calls.split(',').any(|call| call == name) {
                *of.entry(pid).or_default() += 1;
            }
        }
        found.insert(calls, of.into_values().max().unwrap_or_default());
    }
    found
}

/// The packages of all nodes that are there.
fn packages(ground: &Ground) -> Vec<(&'static str, Vec<String>)> {
    NODES
        .into_iter()
        .filter(|node| ground.node(node).exists())
        .map(|node| (node, ground.rpm_says(node)))
        .collect()
}

/// What a launch of the youngest node that is there sees of the versions.
fn launched(ground: &Ground, what: &str) -> String {
    let youngest = NODES.into_iter().rfind(|node| ground.node(node).exists()).expect("one is left");
    let script = "for name in plat mid leaf; do for dir in /nodes/$name/usr /usr; do \
                  test ! -e $dir/share/$name/v || cat $dir/share/$name/v; done; done; cat /nodes/plat/var/lib/plat/state";
    let said = run(&mut ground.wrap(youngest, &["sh", "-c", script]));
    assert_eq!(said.code, 0, "{what}: launching {youngest}: {}", said.err);
    said.out
}

/// Every query answers for every node that is there.
fn ask(ground: &Ground, what: &str) {
    let queries: [&[&str]; 11] = [
        &["list"],
        &["info", "in-plat"],
        &["-C", "search", "alone"],
        &["-C", "repolist"],
        &["-C", "repoquery", "-l", "more"],
        &["-C", "provides", "/usr/share/more/file"],
        &["history"],
        &["generations"],
        &["why", "in-plat"],
        &["-C", "--assumeno", "install", "more"],
        &["doctor"],
    ];
    for node in NODES.into_iter().filter(|node| ground.node(node).exists()) {
        for query in queries {
            let said = ground.dnf(node, query);
            // Nothing found, and refusal to go on, are answers.
            assert!(matches!(said.code, 0 | 1), "{what}: {node}: {query:?}: {} {}", said.code, said.err);
            let bad = ["panicked", "os error", "no such table", "damaged"];
            let found = bad.iter().find(|bad| said.err.contains(**bad));
            assert!(found.is_none(), "{what}: {node}: {query:?}: {}", said.err);
        }
        ground.rpm(node, &["-qa"]).good();
        ground.rpm(node, &["--family", "-qa"]).good();
        let mut check = red_conf();
        let check = check.arg("check").arg(ground.node(node)).env("NODE_PREFIX", ground.pool.join("prefix"));
        let said = run(check);
        assert!(!said.err.contains("panicked"), "{what}: {node}: {}", said.err);
    }
}

#[test]
fn whatever_fails_a_family_is_whole() {
    if Command::new("strace").arg("--version").output().is_err() {
        return red_tests::skip("strace is not installed");
    }
    let ground = Ground::new();
    publish(&ground);
    let [pristine, plain] = family(&ground);
    let (seed, cases) = (chosen("RED_SEED", SEED), chosen("RED_CASES", CASES));
    let from = |operation: &str| if operation == "conversion" { &plain } else { &pristine };
    let mut known = Vec::new();
    for operation in OPERATIONS {
        copy(from(operation.0), &ground.node("plat"));
        let (before, seen) = (packages(&ground), launched(&ground, operation.0));
        let all: Vec<&str> = CALLS.iter().map(|(calls, _)| *calls).collect();
        let said = operate(&ground, operation, &["-e", &format!("trace={}", all.join(","))]);
        assert_eq!(said.code, 0, "{}: {}", operation.0, said.err);
        let calls = count(&ground);
        let after = (packages(&ground), launched(&ground, operation.0));
        assert!(after.0 != before || matches!(operation.0, "collect"), "{} changes something", operation.0);
        known.push((calls, (before, seen), after));
    }
    let mut tally = BTreeMap::<(&str, &str), usize>::new();
    let mut injected = 0;
    for case in 0..cases {
        let mut random = Random(seed.wrapping_add(case));
        let at = random.below(OPERATIONS.len());
        let (operation, (counts, before, after)) = (OPERATIONS[at], &known[at]);
        let (calls, error) = CALLS[random.below(CALLS.len())];
        let when = 1 + random.below(counts[calls].max(1));
        let is_kill = random.below(2) == 0;
        let how = if is_kill { "signal=KILL".to_owned() } else { format!("error={error}") };
        // Without what is not there.
        copy(from(operation.0), &ground.node("plat"));
        let inject = format!("inject={calls}:{how}:when={when}");
        let said = operate(&ground, operation, &["-e", &format!("trace={calls}"), "-e", &inject]);
        let trace = fs::read_to_string(ground.pool.join("trace")).unwrap_or_default();
        injected += usize::from(trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL"));
        let hit = trace.lines().find(|line| line.contains("(INJECTED)")).unwrap_or_default();
        let what = format!("seed {seed}, case {case}: {}, {inject} {hit}, ended {}", operation.0, said.code);
        assert!(!said.err.contains("panicked"), "{what}: {}", said.err);
        let both = [before, after];
        let seen = launched(&ground, &what);
        assert!(both.iter().any(|(_, launch)| *launch == seen), "{what}: a launch sees {seen:?}");
        ask(&ground, &what);
        // Of one that is removed nothing is needed, at any time.
        let gone = [None, Some("plat/mid/leaf"), Some("plat/mid")][random.below(3)];
        if let Some(gone) = gone {
            fs::remove_dir_all(ground.node(gone)).expect("it is ours");
            launched(&ground, &format!("{what}, without {gone}"));
            ask(&ground, &format!("{what}, without {gone}"));
        }
        let what = format!("{what}, {gone:?} removed");
        for node in NODES.into_iter().rev().filter(|node| ground.node(node).exists()) {
            let next = ground.dnf(node, &["-y", "-C", "--wait=30", "autoremove"]);
            assert_eq!(next.code, 0, "{what}: {node}: {}", next.err);
        }
        let is = packages(&ground);
        let fits = |(all, _): &&(Vec<(&str, Vec<String>)>, String)| is.iter().all(|node| all.contains(node));
        let fitting: Vec<_> = both.into_iter().filter(|state| fits(state)).collect();
        assert!(!fitting.is_empty(), "{what}: {is:?}, and neither {before:?} nor {after:?}");
        if gone.is_none() {
            assert!(fitting.iter().any(|(_, launch)| *launch == seen), "{what}: {is:?} after {seen:?}");
            assert!(said.code != 0 || fitting.contains(&after), "{what}: it ended well, and {is:?}");
        }
        for (node, _) in &is {
            ground.rpm_verifies(node).unwrap_or_else(|wrong| panic!("{what}: {node}: {wrong}"));
        }
        let check = ground.dnf("plat", &["check", "--files"]);
        assert_eq!(check.code, 0, "{what}: {}", check.out);
        let result = if fitting.contains(&after) { "new" } else { "old" };
        *tally.entry((operation.0, result)).or_default() += 1;
    }
    red_tests::progress(&format!(
        "{cases} cases from seed {seed}, {injected} of them took effect: {tally:?}"
    ));
    assert!(
        injected * 2 > usize::try_from(cases).expect("a small number"),
        "{injected} of {cases} took effect"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it is there");
    assert!(!mounts.contains(&*ground.node("").to_string_lossy()), "a mount is left");
}
