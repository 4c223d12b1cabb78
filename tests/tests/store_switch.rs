//! Switches of a family are one instant for whoever looks, however they end.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use red_tests::call::{Said, built, red_conf, run};
use red_tests::packages::Small;
use red_tests::store::Ground;

fn small<'a>(name: &'a str, version: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version, files, ..Small::default() }
}

/// A node and one below it, with packages in version 1 that only fit each other, and version 2 in the repository.
fn family(ground: &Ground) {
    for version in ["1", "2"] {
        let needs = format!("app = {version}");
        let of_app = [("/usr/share/app/v", version), ("/var/lib/app/v", version)];
        let of_child = [("/usr/share/child/v", version)];
        let child = Small { requires: &[&needs], ..small("child", version, &of_child) };
        ground.publish("a", &[small("app", version, &of_app), child]);
    }
    ground.create("plat", Some("a"));
    ground.create("plat/mid", Some("a"));
    ground.dnf("plat", &["-y", "install", "app-1"]).good();
    ground.dnf("plat/mid", &["-y", "install", "child-1"]).good();
}

/// What launches need.
fn launches(ground: &Ground) {
    ground.pool.write("prefix/etc/redpak/main.yaml", ground.core_os());
    ground.pool.install("red-runtime", "red-runtime");
    ground.pool.install("red-dnf", "red-dnf");
    let state = ground.pool.mkdir("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("it is ours");
}

/// The versions that a launch of the child sees: of the parent's program, the parent's data and the child's program.
fn launch(ground: &Ground, data: bool) -> Said {
    let data = if data { "/nodes/plat/var/lib/app/v" } else { "" };
    let script =
        format!("for f in /nodes/plat/usr/share/app/v {data} /nodes/mid/usr/share/child/v; do cat $f; done");
    run(&mut ground.wrap("plat/mid", &["sh", "-c", &script]))
}

/// `red-dnf` on the parent, its system calls watched or meddled with.
fn traced(ground: &Ground, how: &[&str], args: &[&str]) -> Said {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o"]).arg(ground.pool.join("trace")).args(how).arg(built("red-dnf"));
    strace.arg(format!("--redpath={}", ground.node("plat").display())).args(args);
    strace.env("TMPDIR", ground.pool.mkdir("tmp")).env("NODE_PREFIX", ground.pool.join("prefix"));
    run(strace.stdin(Stdio::null()))
}

const UPDATE: [&str; 4] = ["-y", "-C", "--with-descendants", "update"];

/// The renames of the process that switches, in their order, on a copy as all that follow are: what is kept of databases
/// is made anew for each.
fn renames(ground: &Ground, pristine: &Path) -> Vec<String> {
    copy(pristine, &ground.node("plat"));
    traced(ground, &["-e", "trace=renameat"], &UPDATE).good();
    let trace = fs::read_to_string(ground.pool.join("trace")).expect("it was made");
    let calls = trace.lines().filter_map(|line| line.trim_start().split_once(' '));
    let calls: Vec<_> = calls.filter(|(_, call)| call.trim_start().starts_with("renameat(")).collect();
    let main = calls.iter().find(|(_, call)| call.contains("\"current.new\"")).expect("it switches").0;
    calls.iter().filter(|(pid, _)| *pid == main).map(|(_, call)| (*call).to_owned()).collect()
}

/// The parent, a copy of it from before its update, and the renames of that.
fn rehearsed(ground: &Ground) -> (PathBuf, PathBuf, Vec<String>) {
    for node in ["plat", "plat/mid"] {
        ground.dnf(node, &["makecache"]).good();
    }
    let (node, pristine) = (ground.node("plat"), ground.pool.join("pristine"));
    copy(&node, &pristine);
    let calls = renames(ground, &pristine);
    (node, pristine, calls)
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    run(Command::new("cp").arg("--archive").arg(from).arg(to)).good();
}

fn has_strace() -> bool {
    Command::new("strace").arg("--version").output().is_ok()
}

/// The numbers of the current generations, and what the parent has for data.
fn links(ground: &Ground) -> [String; 3] {
    let link = |node: &str| {
        fs::read_link(ground.node(node).join(".red/current")).expect("a link").display().to_string()
    };
    let data = fs::read_to_string(ground.node("plat/var/lib/app/v")).unwrap_or_default();
    [link("plat"), link("plat/mid"), data]
}

#[test]
fn no_launch_sees_half_a_switch() {
    if !has_strace() {
        return red_tests::skip("strace is not installed");
    }
    let ground = Ground::new();
    family(&ground);
    launches(&ground);
    assert_eq!(launch(&ground, true).good().out, "111");
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::SeqCst) {
                seen.push(launch(&ground, false));
            }
            seen
        });
        // Long enough between the renames that nobody passes by.
        let slow = ["-e", "trace=renameat", "-e", "inject=renameat:delay_exit=150000"];
        let said = traced(&ground, &slow, &UPDATE);
        done.store(true, Ordering::SeqCst);
        said.good();
        looking.join().expect("it does not panic")
    });
    let halves: Vec<_> = seen.iter().filter(|said| !["11", "22"].contains(&&*said.out)).collect();
    assert!(halves.is_empty(), "{} of {}: {halves:?}", halves.len(), seen.len());
    assert!(seen.iter().any(|said| said.out == "11"), "none began before the switch");
    assert_eq!(launch(&ground, true).good().out, "222");
}

#[test]
fn whoever_comes_after_a_kill_sees_all_or_nothing() {
    if !has_strace() {
        return red_tests::skip("strace is not installed");
    }
    let ground = Ground::new();
    family(&ground);
    launches(&ground);
    let (node, pristine, calls) = rehearsed(&ground);
    let first = calls.iter().position(|call| call.contains("\"current.new\"")).expect("it switches");
    let mut mixtures = 0;
    for when in first.max(1)..=calls.len() {
        copy(&pristine, &node);
        let kill = format!("inject=renameat:signal=KILL:when={when}");
        traced(&ground, &["-e", "trace=renameat", "-e", &kill], &UPDATE);
        let what = format!("killed at {when} of {}: {:?}", calls.len(), links(&ground));
        let [plat, mid, data] = links(&ground);
        mixtures += usize::from(plat != mid || !plat.ends_with(&data));
        // Whoever only looks completes nothing, and sees one of both.
        let said = ground.rpm("plat/mid", &["--family", "-qa"]).good();
        let of = |version| {
            said.out.contains(&format!("app-{version}")) && said.out.contains(&format!("child-{version}"))
        };
        assert!(of(1) != of(2), "{what}: {}", said.out);
        assert_eq!(links(&ground), [plat, mid, data], "{what}: looking changes nothing");
        let seen = launch(&ground, true);
        let version = if of(2) { "222" } else { "111" };
        assert_eq!((seen.code, &*seen.out), (0, version), "{what}: {}", seen.err);
        ground.dnf("plat/mid", &["-y", "-C", "autoremove"]).good();
        let check = ground.dnf("plat", &["check"]);
        assert_eq!(check.code, 0, "{what}: {}", check.out);
        assert_eq!(launch(&ground, true).good().out, version, "{what}");
    }
    assert!(mixtures > 0, "no kill left nodes of two generations");
}

#[test]
fn a_launch_does_not_start_without_its_data() {
    let ground = Ground::new();
    family(&ground);
    launches(&ground);
    // What a command leaves that is killed right after its switch.
    let late = ground.node("plat/.red/gen/1/.var");
    fs::create_dir(&late).expect("it is ours");
    let program = ground.pool.join("red-dnf");
    fs::rename(&program, ground.pool.join("aside")).expect("it is ours");
    let said = launch(&ground, true);
    assert!(said.code == 125 && said.out.is_empty(), "{} {}", said.code, said.out);
    for words in ["update-interrupted", "what generation 1 has for var", "red-generations complete"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(said.err.matches("error[").count(), 1, "{}", said.err);
    let mut check = red_conf();
    let check =
        check.arg("check").arg(ground.node("plat/mid")).env("NODE_PREFIX", ground.pool.join("prefix"));
    assert!(run(check).err.contains("update-interrupted"), "looking does not wait, and tells");
    assert!(late.exists());
    // With it the launch has it completed.
    fs::rename(ground.pool.join("aside"), &program).expect("it is ours");
    assert_eq!(launch(&ground, true).good().out, "111");
    assert!(!late.exists());
}

/// A switch that was decided and of which nothing has followed.
fn decided(ground: &Ground) {
    let mut nodes = Vec::new();
    for node in ["plat", "plat/mid"] {
        let red = ground.node(node).join(".red");
        fs::remove_file(red.join("current")).expect("it is there");
        symlink("gen/1", red.join("current")).expect("there is room");
        drop(fs::remove_file(red.join("history/2.json")));
        nodes.push(format!("[\"{}\", 2]", ground.node(node).display()));
    }
    ground.pool.write("nodes/plat/.red/pending.json", format!("{{\"nodes\": [{}]}}", nodes.join(", ")));
}

#[test]
fn an_interrupted_update_is_told_and_completed() {
    let ground = Ground::new();
    family(&ground);
    ground.dnf("plat", &["-y", "--with-descendants", "update"]).good();
    let looks: [(&str, &[&str]); 4] = [
        ("plat", &["list"]),
        ("plat/mid", &["generations"]),
        ("plat/mid", &["why", "child"]),
        ("plat", &["history"]),
    ];
    decided(&ground);
    for (node, args) in looks {
        let said = ground.dnf(node, args).good();
        assert!(said.err.contains("was interrupted and holds"), "{args:?}: {}", said.err);
    }
    let said = ground.rpm("plat/mid", &["--family", "-qa"]).good();
    assert!(said.err.contains("red-generations complete"), "{}", said.err);
    assert!(said.out.contains("app-2") && said.out.contains("child-2"), "{}", said.out);
    let said = ground.dnf("plat", &["generations"]).good();
    assert!(said.out.lines().any(|line| line.starts_with("2 ") && line.contains("current")), "{}", said.out);
    let changes: [(&str, &[&str]); 4] = [
        ("plat/mid", &["--assumeno", "-C", "remove", "child"]),
        ("plat", &["-y", "-C", "autoremove"]),
        ("plat", &["generations", "complete"]),
        ("plat/mid", &["generations", "complete"]),
    ];
    for (node, args) in changes {
        decided(&ground);
        let said = ground.dnf(node, args).good();
        assert!(
            said.err.contains("the interrupted update is complete: generation 2 of"),
            "{args:?}: {}",
            said.err
        );
        assert!(!ground.node("plat/.red/pending.json").exists(), "{args:?}");
        ground.dnf("plat", &["check"]).good();
        let said = ground.dnf(node, &["list"]).good();
        assert!(!said.err.contains("interrupted"), "{}", said.err);
    }
}

#[test]
fn a_list_that_cannot_be_read_stands_in_nobodys_way() {
    let ground = Ground::new();
    family(&ground);
    let pending = ground.node("plat/.red/pending.json");
    let commands: [(&str, &[&str]); 4] = [
        ("plat", &["-y", "-C", "autoremove"]),
        ("plat/mid", &["generations", "collect"]),
        ("plat", &["-y", "install", "app-1"]),
        ("plat/mid", &["-y", "-C", "autoremove"]),
    ];
    for (text, (node, args)) in ["{", "", "[]", "\u{0}"].into_iter().zip(commands) {
        fs::write(&pending, text).expect("it is ours");
        let check = ground.dnf("plat", &["check"]);
        assert!(check.code == 1 && check.out.contains("plat: damaged: "), "{}", check.out);
        let said = ground.dnf(node, args).good();
        assert!(said.err.contains("not a valid list of an interrupted update"), "{args:?}: {}", said.err);
        assert!(!pending.exists() && ground.node("plat/.red/pending.json.damaged").exists(), "{args:?}");
        ground.dnf("plat", &["check"]).good();
    }
}

#[test]
fn an_error_after_the_decision_says_what_completes_it() {
    if !has_strace() {
        return red_tests::skip("strace is not installed");
    }
    let ground = Ground::new();
    family(&ground);
    let (node, pristine, calls) = rehearsed(&ground);
    let switches: Vec<usize> =
        (1..=calls.len()).filter(|at| calls[at - 1].contains("\"current.new\"")).collect();
    let [_, second] = switches[..] else { panic!("two nodes switch: {calls:?}") };
    let fail = |when: &str| {
        copy(&pristine, &node);
        traced(
            &ground,
            &["-e", "trace=renameat", "-e", &format!("inject=renameat:error=EIO:when={when}")],
            &UPDATE,
        )
    };
    let said = fail(&second.to_string()).good();
    assert!(said.err.contains("tried again"), "{}", said.err);
    assert!(links(&ground).iter().all(|link| link.ends_with('2')), "{:?}", links(&ground));
    ground.dnf("plat", &["check"]).good();
    let said = fail(&format!("{second}+"));
    assert!(said.code == 1 && said.err.contains("the update is decided and not complete"), "{}", said.err);
    assert!(said.err.contains("red-generations complete"), "{}", said.err);
    ground.dnf("plat", &["generations", "complete"]).good();
    assert!(links(&ground).iter().all(|link| link.ends_with('2')), "{:?}", links(&ground));
    ground.dnf("plat", &["check"]).good();
}

#[test]
fn what_a_kill_leaves_below_is_swept_from_above() {
    if !has_strace() {
        return red_tests::skip("strace is not installed");
    }
    let ground = Ground::new();
    family(&ground);
    let (node, pristine, calls) = rehearsed(&ground);
    let published = |call: &String| call.contains("\".red/stage/2\"") && call.contains("\".red/gen/2\"");
    let last = calls.iter().rposition(published).expect("the child's stage becomes a generation");
    copy(&pristine, &node);
    let kill = format!("inject=renameat:signal=KILL:when={}", last + 1);
    traced(&ground, &["-e", "trace=renameat", "-e", &kill], &UPDATE);
    let stage = ground.node("plat/mid/.red/stage/2");
    assert!(stage.exists(), "the child's part was killed");
    let check = ground.dnf("plat", &["check"]);
    assert!(
        check.out.contains("mid: interrupted: ") && check.out.contains("plat: interrupted: "),
        "{}",
        check.out
    );
    ground.dnf("plat", &["-y", "-C", "autoremove"]).good();
    assert!(!stage.exists() && !ground.node("plat/.red/moving.json").exists());
    ground.dnf("plat", &["check"]).good();
}

#[test]
fn rollback_leads_to_what_was_current_before() {
    let ground = Ground::new();
    ground.publish("a", &[small("a", "1", &[]), small("b", "1", &[]), small("c", "1", &[])]);
    ground.create("n", Some("a"));
    let current = || fs::read_link(ground.node("n/.red/current")).expect("a link").display().to_string();
    let steps: [(&[&str], &str); 7] = [
        (&["-y", "install", "a"], "gen/1"),
        (&["-y", "install", "b"], "gen/2"),
        (&["-y", "rollback"], "gen/1"),
        (&["-y", "install", "c"], "gen/3"),
        (&["-y", "rollback"], "gen/1"),
        (&["-y", "rollback"], "gen/3"),
        (&["-y", "rollback"], "gen/1"),
    ];
    for (args, generation) in steps {
        ground.dnf("n", args).good();
        assert_eq!(current(), generation, "{args:?}");
    }
    // What was current before is gone: the next lower one.
    ground.dnf("n", &["-y", "rollback", "3"]).good();
    fs::remove_dir_all(ground.node("n/.red/gen/1")).expect("it is there");
    ground.dnf("n", &["-y", "rollback"]).good();
    assert_eq!(current(), "gen/2");
}

/// A list is written by whoever owns the node, and leads nobody else's nodes anywhere.
#[test]
fn the_list_of_another_users_node_switches_nothing() {
    if !rustix::process::geteuid().is_root() {
        return red_tests::skip("needs root to give a node away");
    }
    let ground = Ground::new();
    family(&ground);
    for node in ["plat", "plat/mid"] {
        ground.dnf(node, &["makecache"]).good();
    }
    ground.dnf("plat", &UPDATE).good();
    let before = links(&ground);
    assert!(before.iter().all(|link| link.ends_with('2')), "{before:?}");
    let (plat, mid) = (ground.node("plat"), ground.node("plat/mid"));
    let list = format!("{{\"nodes\": [[\"{}\", 1], [\"{}\", 1]]}}", plat.display(), mid.display());
    fs::write(plat.join(".red/pending.json"), list).expect("it is ours");
    let shown = || run(ground.tool("red-rpm").arg("--redpath").arg(&mid).args(["-q", "child"])).out;
    // It is root's, and counts.
    assert!(shown().starts_with("child-1-"), "{}", shown());
    std::os::unix::fs::chown(&plat, Some(65534), Some(65534)).expect("root may");
    assert!(shown().starts_with("child-2-"), "{}", shown());
    let said = ground.dnf("plat/mid", &["generations", "complete"]);
    assert_eq!(links(&ground), before, "{}{}", said.out, said.err);
    assert!(plat.join(".red/pending.json").exists());
}

/// What cannot be a list makes nobody wait, and fills no memory.
#[test]
fn what_stands_in_the_place_of_a_list_holds_nobody_up() {
    let ground = Ground::new();
    family(&ground);
    for name in ["pending.json", "moving.json", "rollback.json", "history/9.json"] {
        for kind in ["pipe", "link"] {
            let path = ground.node("plat/.red").join(name);
            if kind == "pipe" {
                run(Command::new("mkfifo").arg(&path)).good();
            } else {
                symlink("/dev/zero", &path).expect("it is ours");
            }
            for words in [&["check"][..], &["-y", "-C", "autoremove"], &["generations", "complete"]] {
                let mut command = Command::new("timeout");
                command.arg("60").arg(built("red-dnf")).arg("--redpath").arg(ground.node("plat"));
                command.env("NODE_PREFIX", ground.pool.join("prefix")).stdin(Stdio::null());
                let said = run(command.args(words));
                assert!(said.code < 100, "{name} {kind} {words:?}: {} {}", said.code, said.err);
            }
            drop(fs::remove_file(&path));
        }
    }
}
