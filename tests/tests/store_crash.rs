//! A node is the old one or the new one: killed, without room, with a disk that fails. Without power: `store_power`.
//!
//! CI runs a share of the points; `RED_SOAK=full` runs all of them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use red_tests::broom::Disk;
use red_tests::call::run;
use red_tests::packages::Small;
use red_tests::store::Ground;

fn points(share: usize, full: usize) -> usize {
    if std::env::var("RED_SOAK").is_ok_and(|soak| soak == "full") { full } else { share }
}

/// A node with packages, and newer ones in its repository.
fn ground() -> Ground {
    let ground = Ground::new();
    let big = "0123456789abcdef\n".repeat(6000);
    for version in ["1", "2"] {
        let mut packages = Vec::new();
        let names: Vec<String> = (0..8).map(|at| format!("part{at}")).collect();
        let paths: Vec<Vec<String>> = names
            .iter()
            .map(|name| (0..6).map(|at| format!("/usr/share/{name}/file{at}")).collect())
            .collect();
        let contents: Vec<String> = (0..6).map(|at| format!("{version} {at} {big}")).collect();
        let files: Vec<Vec<(&str, &str)>> = paths
            .iter()
            .map(|paths| paths.iter().map(String::as_str).zip(contents.iter().map(String::as_str)).collect())
            .collect();
        let post = format!(
            "mkdir -p /var/lib/parts; echo {version} > /var/lib/parts/state; echo {version} > /etc/parts-state"
        );
        for (name, files) in names.iter().zip(&files) {
            packages.push(Small { name, version, files, post: &post, ..Small::default() });
        }
        if version == "2" {
            // What is removed, and what is new.
            packages.push(Small {
                name: "extra",
                version,
                files: &[("/opt/extra/x", "x")],
                ..Small::default()
            });
        }
        ground.publish("main", &packages);
        if version == "1" {
            ground.create("node", Some("main"));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            ground.dnf("node", &[&["-y", "install"], names.as_slice()].concat()).good();
        }
    }
    ground.dnf("node", &["makecache"]).good();
    ground
}

/// How it went, for whoever runs it by hand.
fn tell(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    writeln!(std::io::stderr(), "{line}").unwrap_or(());
}

fn start(ground: &Ground, node: &str) -> Child {
    let mut command = ground.tool("red-dnf");
    // One that is killed leaves copies there.
    command.env("TMPDIR", ground.pool.mkdir("tmp"));
    command.arg(format!("--redpath={}", ground.node(node).display()));
    command.args(["-y", "-C", "update"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

/// The same tree again.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    run(Command::new("cp").arg("--archive").arg(from).arg(to)).good();
}

/// After a crash: the next command works, and the node is one of both.
fn is_old_or_new(ground: &Ground, node: &str, what: &str) -> bool {
    let next = ground.dnf(node, &["-y", "-C", "--wait=30", "autoremove"]);
    assert!(next.code == 0 && next.err.contains("nothing to do"), "{what}: {}", next.err);
    let left = fs::read_dir(ground.node(node).join(".red/stage")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{what}: stages are left");
    let says = ground.rpm_says(node);
    let versions: Vec<&str> = says.iter().filter_map(|name| name.rsplit('-').next()).collect();
    let new = versions.iter().all(|version| *version == "2");
    assert!(says.len() == 8 && (new || versions.iter().all(|version| *version == "1")), "{what}: {says:?}");
    ground.rpm_verifies(node).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    let check = ground.dnf(node, &["red-check", "--files"]);
    assert_eq!(check.code, 0, "{what}: {}", check.out);
    let mut integrity = Command::new("rpmdb");
    integrity.arg("--dbpath").arg(ground.node(node).join("var/lib/rpm")).arg("--verifydb");
    assert_eq!(run(&mut integrity).code, 0, "{what}: the database");
    let version = if new { "2\n" } else { "1\n" };
    // What a scriptlet could not write itself is the scriptlet's own matter.
    for state in ["etc/parts-state", "var/lib/parts/state"].into_iter().filter(|_| !what.starts_with("EIO")) {
        let text = fs::read_to_string(ground.node(node).join(state)).unwrap_or_default();
        assert_eq!(text, version, "{what}: {state}");
    }
    new
}

#[test]
fn killed_at_any_moment() {
    let ground = ground();
    let (node, pristine) = (ground.node("node"), ground.pool.join("pristine"));
    copy(&node, &pristine);
    let begun = Instant::now();
    assert!(start(&ground, "node").wait().expect("it ends").success());
    let whole = begun.elapsed();
    assert!(is_old_or_new(&ground, "node", "not killed"));
    let (count, mut new) = (points(40, 330), 0);
    for at in 0..count {
        copy(&pristine, &node);
        let mut child = start(&ground, "node");
        // A little beyond the usual end, since some runs take longer than others.
        std::thread::sleep(
            whole.mul_f64(1.1) * u32::try_from(at).unwrap_or(0) / u32::try_from(count).unwrap_or(1),
        );
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        new += usize::from(is_old_or_new(&ground, "node", &format!("killed at point {at} of {count}")));
    }
    tell(format_args!("{count} kills over {whole:?}: {new} new, {} old", count - new));
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it is there");
    assert!(!mounts.contains(&*node.to_string_lossy()), "a mount is left");
}

/// Data that go with their package are there with it, or gone without it: a command that is killed while it removes them
/// leaves no half of them for ever.
#[test]
fn data_that_leave_are_whole_or_gone() {
    if Command::new("strace").arg("--version").output().is_err() {
        return red_tests::skip("strace is not installed");
    }
    let ground = Ground::new();
    let make = "cd %{buildroot}\nfor dir in $(seq 12); do mkdir -p var/lib/tree/$dir/sub; \
                for file in $(seq 5); do echo $file > var/lib/tree/$dir/$file; ln var/lib/tree/$dir/$file var/lib/tree/$dir/sub/$file; \
                done; done\n";
    ground.build("tree", "1", &format!("%install\n{make}%files\n%defattr(-,root,root)\n/var/lib/tree\n"));
    let node = ground.with_repository("node");
    let (tree, pristine) = (node.join("var/lib/tree"), ground.pool.join("pristine"));
    ground.dnf("node", &["-y", "install", "tree"]).good();
    ground.dnf("node", &["makecache"]).good();
    copy(&node, &pristine);
    let trace = ground.pool.join("trace");
    let remove = |how: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=unlinkat", "-o"]).arg(&trace).args(how);
        strace.arg(red_tests::call::built("red-dnf")).arg(format!("--redpath={}", node.display()));
        strace.args(["-y", "-C", "remove", "tree"]);
        strace.env("TMPDIR", ground.pool.mkdir("tmp"));
        run(strace.env("NODE_PREFIX", ground.pool.join("prefix")).stdin(Stdio::null()))
    };
    remove(&[]).good();
    assert!(!tree.exists(), "also where files have several names");
    let mut calls = std::collections::BTreeMap::<String, usize>::new();
    for line in fs::read_to_string(&trace).expect("it was made").lines() {
        *calls.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let (most, count) = (calls.into_values().max().unwrap_or_default(), points(12, 150));
    let mut new = 0;
    for at in 1..=count {
        copy(&pristine, &node);
        let when = most * at / count;
        let said = remove(&[&format!("--inject=unlinkat:signal=KILL:when={when}")]);
        let what = format!("killed at call {when} of {most}, ended {}", said.code);
        let next = ground.dnf("node", &["-y", "-C", "--wait=30", "autoremove"]);
        assert!(next.code == 0, "{what}: {}", next.err);
        let left = run(Command::new("find").arg(node.join("var/lib")).args(["-type", "f"])).good().out;
        let files = if ground.rpm_says("node").is_empty() { 0 } else { 120 };
        let trees: Vec<_> = left.lines().filter(|path| !path.contains("/rpm/")).collect();
        assert_eq!(trees.len(), files, "{what}: {trees:?} {}", next.err);
        assert!(files > 0 || !tree.exists(), "{what}: {}", next.err);
        new += usize::from(files == 0);
    }
    tell(format_args!("{count} kills of {most} calls: {new} new, {} old", count - new));
    assert!(new > 1, "no removal was killed after the switch");
}

#[test]
fn no_room_at_any_stage() {
    let ground = ground();
    let pristine = ground.pool.join("pristine");
    fs::rename(ground.node("node"), &pristine).expect("it is ours");
    let disk_at = ground.pool.mkdir("nodes/disk");
    let image = ground.pool.join("disk.img");
    Disk::make(&image, "mke2fs -q -F -t ext4", 48);
    let disk = Disk::mount(&image, &disk_at, "rw");
    let node = ground.node("disk/node");
    let count = points(8, 40);
    let mut refused = 0;
    for at in 0..count {
        copy(&pristine, &node);
        run(Command::new("sync").arg("-f").arg(&node)).good();
        // Leave a little more room each time.
        let room = 6 * at * 1024 / count;
        let filler = disk_at.join("filler");
        run(Command::new("sh").arg("-c").arg(format!(
            "free=$(df --output=avail -k {0} | tail -1); dd if=/dev/zero of={1} bs=1k count=$((free - {room})) status=none || true",
            disk_at.display(),
            filler.display()
        )));
        let ended = start(&ground, "disk/node").wait().expect("it ends");
        refused += usize::from(!ended.success());
        fs::remove_file(&filler).expect("it is ours");
        let what = format!("{room} KiB of room, ended {ended}");
        let new = is_old_or_new(&ground, "disk/node", &what);
        assert_eq!(new, ended.success(), "{what}");
    }
    assert!(refused > 0, "no attempt was without room");
    drop(disk);
}

#[test]
fn a_disk_that_fails() {
    let ground = ground();
    let (node, pristine) = (ground.node("node"), ground.pool.join("pristine"));
    copy(&node, &pristine);
    let mut refused = 0;
    let sets = [
        "write,pwrite64",
        "fsync,fdatasync,syncfs",
        "rename,renameat,renameat2",
        "mkdirat,linkat,symlinkat",
        "openat",
        "ftruncate,fchmod,fchown",
    ];
    for set in sets {
        for at in 0..points(3, 25) {
            copy(&pristine, &node);
            // Spread over what a run has of them: a few at first, then ever farther.
            let when = 1 + at * at * 5 + at;
            let program = red_tests::call::built("red-dnf");
            let mut strace = Command::new("strace");
            strace
                .args(["-f", "-o", "/dev/null", &format!("--inject={set}:error=EIO:when={when}")])
                .arg(program);
            strace.arg(format!("--redpath={}", node.display())).args(["-y", "-C", "update"]);
            strace.env("TMPDIR", ground.pool.mkdir("tmp"));
            strace.env("NODE_PREFIX", ground.pool.join("prefix")).stdin(Stdio::null());
            let said = run(&mut strace);
            refused += usize::from(said.code != 0);
            let what = format!("EIO at call {when} of {set}, ended {}: {}", said.code, said.err);
            is_old_or_new(&ground, "node", &what);
            assert!(!said.err.contains("panicked"), "{what}");
        }
    }
    assert!(refused > 0, "no error was ever injected");
}
