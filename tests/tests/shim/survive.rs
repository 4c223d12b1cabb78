//! What is killed in the middle.

use std::fs;

use red_tests::call::built;
use red_tests::containerd::{Containerd, Rootfs};
use red_tests::daemon::kill;
use red_tests::killer::Killer;
use red_tests::skip;
use red_tests::stage::{Stage, eventually};
use red_tests::terminal::Terminal;

use crate::{assert_no_leftovers, for_each_rootfs, setup};

#[test]
fn containerd_is_killed_and_started_again() {
    let Some((stage, mut containerd)) = setup() else { return };
    for root in Rootfs::both(&stage) {
        let id = |name: &str| format!("{}-{name}", root.name);
        let (stays, ends, talks) = (id("stays"), id("ends"), id("talks"));
        let log = containerd.dir().join(format!("{stays}.log"));
        let uri = format!("file://{}", log.display());
        let shell = ["/usr/bin/sh", "-c", "trap 'exit 3' USR1; while :; do echo x; sleep 0.02; done"];
        containerd.run(&["-d", "--log-uri", &uri], &root, &stays, &shell).good();
        containerd.run_detached(&root, &ends, "sleep 0.5; exit 7");
        let shell = ["/usr/bin/sh", "-c", "stty -echo; while read word; do echo got $word; done"];
        let run = Terminal::spawn(containerd.run_command(&["-d", "-t"], &root, &talks, &shell), 80, 24);
        assert_eq!(run.wait().0, 0);
        let shims = containerd.shim_pids();
        containerd.kill_daemon();
        let length = || fs::metadata(&log).map_or(0, |about| about.len());
        let before = length();
        eventually("it goes on", || length() > before + 100);
        containerd.start_daemon();
        assert_eq!(containerd.status(&stays), "RUNNING");
        containerd.wait_status(&ends, "STOPPED");
        assert_eq!(containerd.delete_stopped(&ends), 7);
        let output = containerd.exec(&stays, "x", "seq 3; exit 4");
        assert_eq!((output.code, output.out.as_str()), (4, "1\n2\n3\n"), "{}", output.err);
        let before = length();
        eventually("it still goes on", || length() > before + 10);
        let mut terminal = Terminal::spawn(containerd.command(&["task", "attach", &talks]), 80, 24);
        terminal.send("word\n");
        terminal.expect("got word");
        drop(terminal);
        containerd.ctr(&["task", "kill", "--signal", "USR1", &stays]).good();
        containerd.wait_status(&stays, "STOPPED");
        assert_eq!(containerd.delete_stopped(&stays), 3);
        assert!(containerd.shim_pids().iter().all(|pid| shims.contains(pid)), "nothing was started again");
        containerd.remove(&talks);
    }
    assert_no_leftovers(&containerd);
}

#[test]
fn a_shim_is_killed() {
    let Some((stage, mut containerd)) = setup() else { return };
    for root in Rootfs::both(&stage) {
        for group in [false, true] {
            let annotation = format!("io.containerd.runc.v2.group={}-g", root.name);
            let options: &[&str] = if group { &["-d", "--annotation", &annotation] } else { &["-d"] };
            let ids = ["one", "two"].map(|name| format!("{}-{name}", root.name));
            let start = || {
                for id in &ids {
                    containerd
                        .run(options, &root, id, &["/usr/bin/sh", "-c", "sleep 1000 & sleep 1000"])
                        .good();
                    containerd
                        .ctr(&["task", "exec", "-d", "--exec-id", "y", id, "/usr/bin/sleep", "1000"])
                        .good();
                }
                eventually("shims are there", || containerd.shim_pids().len() == if group { 1 } else { 2 });
            };
            let gone = |containerd: &Containerd| {
                eventually("containerd has seen it", || {
                    ids.iter().all(|id| ["", "STOPPED", "UNKNOWN"].contains(&containerd.status(id).as_str()))
                });
                for id in &ids {
                    containerd.ctr(&["task", "delete", "--force", id]);
                    containerd.ctr(&["container", "delete", id]).good();
                }
                assert_no_leftovers(containerd);
                assert!(!containerd.shim_socket(&format!("{}-g", root.name)).exists());
            };
            start();
            containerd.shim_pids().into_iter().for_each(kill);
            gone(&containerd);
            // And with containerd.
            start();
            let shims = containerd.shim_pids();
            containerd.kill_daemon();
            shims.into_iter().for_each(kill);
            containerd.start_daemon();
            gone(&containerd);
        }
    }
}

/// A directory with our shim, and a runtime whose `create` is killed at the system call that a file names.
fn deadly(stage: &Stage, killer: &Killer) -> std::path::PathBuf {
    let dir = stage.pool.mkdir("deadly");
    stage.pool.install("containerd-shim-red-v2", "deadly/containerd-shim-red-v2");
    let text = format!(
        "#!/bin/sh\ncase \" $* \" in *' create '*) ;; *) exec {0} \"$@\" ;; esac\n\
         at=$(cat {1}/at)\n{2} \"$at\" red-runtime {0} \"$@\" 2>{1}/calls\n\
         calls=$(tail -n 1 {1}/calls)\n[ \"$at\" = 0 ] || [ \"$calls\" -lt \"$at\" ] || exit 137\n",
        built("red-runtime").display(),
        dir.display(),
        killer.program().display(),
    );
    let wrapper = stage.pool.write("deadly/red-runtime", text);
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("test directory is writable");
    dir
}

#[test]
fn the_runtime_is_killed_in_the_middle_of_create() {
    const PLACES: usize = 14;
    let stage = Stage::new();
    let Some(killer) = Killer::build(&stage.pool) else { return skip("there is no C compiler") };
    let dir = deadly(&stage, &killer);
    let Some(containerd) = Containerd::with_programs(&stage, &dir) else {
        return skip("containerd is not installed");
    };
    for_each_rootfs(&stage, |root, id| {
        let run = |at: usize| {
            fs::write(dir.join("at"), at.to_string()).expect("test directory is writable");
            let output = containerd.run(&["--rm", "--null-io"], root, id, &["/usr/bin/true"]);
            containerd.ctr(&["container", "delete", id]);
            output
        };
        let output = run(0);
        assert_eq!(output.code, 0, "{}", output.err);
        let text = fs::read_to_string(dir.join("calls")).expect("exists");
        let calls: usize = text.lines().last().and_then(|line| line.parse().ok()).expect("valid number");
        let mut failed = 0;
        for place in 1..=PLACES {
            let at = calls * place / (PLACES + 1);
            let output = run(at);
            if output.code != 0 {
                assert!(output.err.contains("OCI runtime create failed: "), "at {at}: {}", output.err);
                failed += 1;
            }
            assert_no_leftovers(&containerd);
        }
        assert!(failed > 0, "create was never killed");
    });
}
