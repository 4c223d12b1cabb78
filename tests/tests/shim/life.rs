//! From create to delete, step by step.

use red_tests::stage::eventually;

use crate::{assert_no_leftovers, for_each_rootfs, setup};

#[test]
fn run_says_how_it_ended() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        let output = containerd.sh(root, id, "echo out; echo err >&2");
        assert_eq!(
            (output.code, output.out.as_str(), output.err.as_str()),
            (0, "out\n", "err\n"),
            "{root:?}"
        );
        assert_eq!(containerd.sh(root, id, "exit 7").code, 7);
        assert_eq!(containerd.sh(root, id, "sh -c 'kill -KILL $$'; exit $?").code, 137);
        // At once, before anybody could look.
        assert_eq!(containerd.run(&["--rm"], root, id, &["/usr/bin/false"]).code, 1);
        for (command, message) in
            [("no-such-command", "executable file not found in $PATH"), ("/tmp", "permission denied")]
        {
            let output = containerd.run(&["--rm"], root, id, &[command]);
            assert!(output.code != 0 && output.err.contains("OCI runtime create failed: "), "{}", output.err);
            assert!(output.err.contains(message) && output.err.contains(command), "{}", output.err);
            containerd.ctr(&["container", "delete", id]);
        }
    });
    let output = containerd.sh(&red_tests::containerd::Rootfs::node(&stage), "node-b", "echo $WHO; hostname");
    assert_eq!(output.good().out, "app\nbox-app\n");
    assert_no_leftovers(&containerd);
}

#[test]
fn steps_of_a_life() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        containerd.run_detached(root, id, "trap 'exit 3' USR1; while :; do sleep 0.05; done");
        assert_eq!(containerd.status(id), "RUNNING");
        let output = containerd.exec(id, "x", "echo $0; echo e >&2; exit 4");
        assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (4, "/usr/bin/sh\n", "e\n"));
        // Its name is free again, also after one that did not start.
        let output = containerd.ctr(&["task", "exec", "--exec-id", "x", id, "/no/such/command"]);
        assert!(output.code != 0 && output.err.contains("OCI runtime exec failed: "), "{}", output.err);
        assert!(output.err.contains("/no/such/command"), "{}", output.err);
        assert_eq!(containerd.exec(id, "x", "kill -KILL $$").code, 137);
        let output = containerd.ctr(&["task", "ps", id]).good();
        assert!(output.out.contains(&containerd.pid(id).to_string()), "{}", output.out);
        let output = containerd.ctr(&["task", "metrics", id]).good();
        assert!(output.out.contains("memory.usage") || output.out.contains("pids.current"), "{}", output.out);
        containerd.ctr(&["task", "pause", id]).good();
        assert_eq!(containerd.status(id), "PAUSED");
        containerd.ctr(&["task", "resume", id]).good();
        assert_eq!(containerd.status(id), "RUNNING");
        containerd.ctr(&["task", "kill", "--signal", "SIGUSR1", id]).good();
        containerd.wait_status(id, "STOPPED");
        let output = containerd.ctr(&["task", "kill", id]);
        assert!(output.code != 0 && output.err.contains("process already finished"), "{}", output.err);
        assert_eq!(containerd.delete_stopped(id), 3);
    });
    assert_no_leftovers(&containerd);
}

#[test]
fn signals_by_number_to_all_and_to_those_that_are_paused() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        let ended = |options: &[&str], code: i32| {
            let mut args = vec!["task", "kill"];
            args.extend(options);
            args.push(id);
            containerd.ctr(&args).good();
            containerd.wait_status(id, "STOPPED");
            assert_eq!(containerd.delete_stopped(id), code, "{options:?}");
        };
        containerd.run_detached(root, id, "sleep 1000");
        ended(&["--signal", "9"], 137);
        containerd.run_detached(root, id, "sleep 1000 & sleep 1000 & trap 'wait; exit 5' TERM; wait; wait");
        containerd.ctr(&["task", "exec", "-d", "--exec-id", "y", id, "/usr/bin/sleep", "1000"]).good();
        ended(&["--all", "--signal", "TERM"], 5);
        containerd.run_detached(root, id, "sleep 1000");
        containerd.ctr(&["task", "exec", "-d", "--exec-id", "y", id, "/usr/bin/sleep", "1000"]).good();
        let count = || containerd.ctr(&["task", "ps", id]).out.lines().count();
        let before = count();
        containerd.ctr(&["task", "kill", "--signal", "KILL", "--exec-id", "y", id]).good();
        eventually("the added one has ended", || count() < before);
        assert_eq!(containerd.status(id), "RUNNING");
        // cgroup v1 delivers the signal after the resume, as with the runc shim: the others stay paused.
        containerd.ctr(&["task", "exec", "-d", "--exec-id", "z", id, "/usr/bin/sleep", "1000"]).good();
        containerd.ctr(&["task", "pause", id]).good();
        let before = count();
        containerd.ctr(&["task", "kill", "--signal", "KILL", "--exec-id", "z", id]).good();
        assert_eq!(containerd.status(id), "PAUSED");
        containerd.ctr(&["task", "resume", id]).good();
        eventually("the added one has ended", || count() < before);
        containerd.ctr(&["task", "pause", id]).good();
        ended(&["--signal", "KILL"], 137);
    });
    assert_no_leftovers(&containerd);
}

#[test]
fn processes_of_the_host_are_ended_with_the_first() {
    let Some((stage, containerd)) = setup() else { return };
    // Without a pid namespace of its own the kernel ends nothing.
    let root = red_tests::containerd::Rootfs::plain(&stage);
    let own = format!("pid:/proc/{}/ns/pid", std::process::id());
    let output = containerd.run(
        &["--rm", "--with-ns", &own],
        &root,
        "plain-h",
        &["/usr/bin/sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 6"],
    );
    assert_eq!(output.code, 6, "{}", output.err);
    assert_no_leftovers(&containerd);
}
