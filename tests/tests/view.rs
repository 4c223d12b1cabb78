//! One node by every launcher: the same plan, the same view from inside but for what an engine adds.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use red_tests::call::{Said, built, conf, red_runtime, run};
use red_tests::containerd::{Containerd, RED, STOCK};
use red_tests::daemon::has_controller;
use red_tests::podman::Podman;
use red_tests::skip;
use red_tests::stage::Stage;

/// Prints what a command sees, a fact a line: mounts, files, variables, identity.
const LOOK: &str = r#"
sed -E 's/^([^ ]+ ){4}([^ ]+) (r[ow])[^ ]*( .*)? - ([^ ]+) .*/mount \2 \3 \5/' /proc/self/mountinfo
env | sed 's/^/env /'
echo "user $(id -u):$(id -g)"
echo "directory $(pwd)"
echo "umask $(umask)"
echo "host $(cat /proc/sys/kernel/hostname)"
grep NoNewPrivs /proc/self/status
cd /
for file in * nodes/* nodes/*/* nodes/*/*/*; do [ ! -e "$file" ] || stat -c 'file %n %F %a %u:%g' "$file"; done
"#;

/// What a launcher prints.
fn facts(said: &Said, launcher: &str) -> BTreeSet<String> {
    assert_eq!(said.code, 0, "{launcher}: {}", said.err);
    said.out.lines().map(str::to_owned).collect()
}

/// What an engine adds to a node, by the beginning of the fact.
const ADDED: [&str; 14] = [
    // The engine's own mounts, and kernel file systems that it brings to every container.
    "mount /etc/hosts ",
    "mount /etc/hostname ",
    "mount /etc/resolv.conf ",
    "mount /run/.containerenv ",
    "mount /sys",
    "mount /dev/",
    "mount /proc/",
    "mount /run ",
    "file etc ",
    "file sys ",
    "file run ",
    // Variables that it sets.
    "env HOSTNAME=",
    "env TERM=",
    "env container=",
];

/// What differs from a launch of our own, without what an engine is known to add or to decide.
fn unexpected(own: &BTreeSet<String>, engine: &BTreeSet<String>) -> Vec<String> {
    let known = |fact: &str| ADDED.iter().any(|added| fact.starts_with(added));
    let added = engine.difference(own).filter(|fact| !known(fact)).map(|fact| format!("+ {fact}"));
    let lost = own.difference(engine).filter(|fact| !known(fact)).map(|fact| format!("- {fact}"));
    added.chain(lost).collect()
}

fn launch(root: &Path, args: &[&str]) -> Said {
    let mut command: Command = red_runtime(root);
    run(command.args(args).env_remove("TERM"))
}

#[test]
fn every_launcher_has_the_same_plan_and_view() {
    let stage = Stage::new();
    let leaf = stage.leaf.display().to_string();
    let digest = conf(["plan", "--digest", &leaf]).good().out;
    let pinned = format!("bzh.redpesk.redpak.plan-digest={}", digest.trim());
    let look = ["sh", "-c", LOOK];
    let redpath = format!("--redpath={leaf}");
    let root = stage.root.display().to_string();
    let program = built("red-runtime");
    let mut wrap = Command::new(program);
    wrap.args(["wrap", "--root", &root, &redpath, "--"]).args(look).env_remove("TERM");
    let own = facts(&run(&mut wrap), "red-wrap");
    assert!(own.iter().any(|fact| fact.starts_with("mount /nodes/mid/shared rw ")), "{own:?}");
    let ours = facts(&launch(&stage.root, &[&["run", &redpath, "--"], &look[..]].concat()), "run");
    assert_eq!(unexpected(&own, &ours), Vec::<String>::new(), "red-runtime run");
    let Some(podman) = Podman::new(&stage.pool, None) else { return skip("podman is not installed") };
    let said = podman.run_root(&["--annotation", &pinned], &stage.leaf, true, &look);
    let differences = unexpected(&own, &facts(&said, "podman"));
    assert_eq!(differences, Vec::<String>::new(), "podman");
    let Some(containerd) = Containerd::new(&stage) else { return skip("containerd is not installed") };
    let red = built("red-runtime").display().to_string();
    for (shim, options) in [(RED, &[][..]), (STOCK, &["--runc-binary", &red])] {
        let mut args = vec!["run", "--rm", "--runtime", shim, "--annotation", &pinned];
        args.extend(options);
        if !has_controller("cpu") {
            args.extend(["--cpu-shares", "0"]);
        }
        args.extend(["--rootfs", &leaf, "view"]);
        args.extend(look);
        let differences = unexpected(&own, &facts(&containerd.ctr(&args), shim));
        assert_eq!(differences, Vec::<String>::new(), "{shim}");
    }
}
