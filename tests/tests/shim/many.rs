//! Many at once, and several in one shim.

use std::process::{Child, Command, Stdio};

use red_tests::containerd::{Containerd, Rootfs};
use red_tests::stage::eventually;

use crate::{assert_no_leftovers, for_each_rootfs, setup};

fn all(commands: Vec<Command>) {
    let begun: Vec<Child> = commands
        .into_iter()
        .map(|mut command| command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("spawn"))
        .collect();
    for child in begun {
        let output = child.wait_with_output().expect("wait");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn count(containerd: &Containerd, status: &str) -> usize {
    containerd.ctr(&["task", "list"]).out.lines().filter(|line| line.contains(status)).count()
}

#[test]
fn fifty_at_once() {
    const MANY: usize = 50;
    let Some((stage, containerd)) = setup() else { return };
    let roots = Rootfs::both(&stage);
    let id = |number: usize| format!("many-{number}");
    let sleep = ["/usr/bin/sleep", "1000"];
    all((0..MANY)
        .map(|n| containerd.run_command(&["-d", "--null-io"], &roots[n % 2], &id(n), &sleep))
        .collect());
    assert_eq!(count(&containerd, "RUNNING"), MANY);
    all((0..MANY).map(|n| containerd.command(&["task", "kill", "--signal", "KILL", &id(n)])).collect());
    eventually("all have ended", || count(&containerd, "STOPPED") == MANY);
    all((0..MANY).map(|n| containerd.command(&["task", "delete", "--force", &id(n)])).collect());
    all((0..MANY).map(|n| containerd.command(&["container", "delete", &id(n)])).collect());
    assert!(containerd.ctr(&["task", "list", "-q"]).out.is_empty());
    assert_no_leftovers(&containerd);
}

#[test]
fn a_group_has_one_shim() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, group| {
        let annotation = format!("io.containerd.runc.v2.group={group}");
        let ids = ["one", "two", "three"].map(|name| format!("{}-{name}", root.name));
        let run = |id: &str| {
            let options = ["-d", "--annotation", &annotation];
            containerd
                .run(
                    &options,
                    root,
                    id,
                    &["/usr/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"],
                )
                .good();
        };
        for id in &ids {
            run(id);
            let address = std::fs::read_to_string(containerd.bundle(id).join("address")).expect("exists");
            assert_eq!(address, format!("unix://{}", containerd.shim_socket(group).display()));
        }
        eventually("one shim is there", || containerd.shim_pids().len() == 1);
        let shim = containerd.shim_pids();
        for id in &ids {
            assert_eq!(containerd.exec(id, "x", "exit 4").code, 4);
        }
        // The first one may go before the others, and come back.
        for _ in 0..2 {
            containerd.ctr(&["task", "kill", &ids[0]]).good();
            containerd.wait_status(&ids[0], "STOPPED");
            assert_eq!(containerd.delete_stopped(&ids[0]), 3);
            assert_eq!(containerd.exec(&ids[1], "x", "exit 4").code, 4);
            run(&ids[0]);
        }
        eventually("it is the same", || containerd.shim_pids() == shim);
        for id in &ids {
            containerd.remove(id);
        }
        eventually("it goes with the last", || containerd.shim_pids().is_empty());
        assert!(!containerd.shim_socket(group).exists());
    });
    assert_no_leftovers(&containerd);
}
