//! From create to delete, step by step.

use red_tests::stage::eventually;

use crate::{begin, each, nothing_left};

#[test]
fn run_says_how_it_ended() {
    let Some((stage, containerd)) = begin() else { return };
    each(&stage, |root, id| {
        let said = containerd.sh(root, id, "echo out; echo err >&2");
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "out\n", "err\n"), "{root:?}");
        assert_eq!(containerd.sh(root, id, "exit 7").code, 7);
        assert_eq!(containerd.sh(root, id, "sh -c 'kill -KILL $$'; exit $?").code, 137);
        // At once, before anybody could look.
        assert_eq!(containerd.run(&["--rm"], root, id, &["/usr/bin/false"]).code, 1);
        for (command, words) in
            [("no-such-command", "executable file not found in $PATH"), ("/tmp", "permission denied")]
        {
            let said = containerd.run(&["--rm"], root, id, &[command]);
            assert!(said.code != 0 && said.err.contains("OCI runtime create failed: "), "{}", said.err);
            assert!(said.err.contains(words) && said.err.contains(command), "{}", said.err);
            containerd.ctr(&["container", "delete", id]);
        }
    });
    let said = containerd.sh(&red_tests::containerd::Root::node(&stage), "node-b", "echo $WHO; hostname");
    assert_eq!(said.good().out, "app\nbox-app\n");
    nothing_left(&containerd);
}

#[test]
fn steps_of_a_life() {
    let Some((stage, containerd)) = begin() else { return };
    each(&stage, |root, id| {
        containerd.detached(root, id, "trap 'exit 3' USR1; while :; do sleep 0.05; done");
        assert_eq!(containerd.status(id), "RUNNING");
        let said = containerd.exec(id, "x", "echo $0; echo e >&2; exit 4");
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (4, "/usr/bin/sh\n", "e\n"));
        // Its name is free again, also after one that did not start.
        let said = containerd.ctr(&["task", "exec", "--exec-id", "x", id, "/no/such/command"]);
        assert!(said.code != 0 && said.err.contains("OCI runtime exec failed: "), "{}", said.err);
        assert!(said.err.contains("/no/such/command"), "{}", said.err);
        assert_eq!(containerd.exec(id, "x", "kill -KILL $$").code, 137);
        let said = containerd.ctr(&["task", "ps", id]).good();
        assert!(said.out.contains(&containerd.pid(id).to_string()), "{}", said.out);
        let said = containerd.ctr(&["task", "metrics", id]).good();
        assert!(said.out.contains("memory.usage") || said.out.contains("pids.current"), "{}", said.out);
        containerd.ctr(&["task", "pause", id]).good();
        assert_eq!(containerd.status(id), "PAUSED");
        containerd.ctr(&["task", "resume", id]).good();
        assert_eq!(containerd.status(id), "RUNNING");
        containerd.ctr(&["task", "kill", "--signal", "SIGUSR1", id]).good();
        containerd.wait_status(id, "STOPPED");
        let said = containerd.ctr(&["task", "kill", id]);
        assert!(said.code == 0 || said.err.contains("process already finished"), "{}", said.err);
        assert_eq!(containerd.ended(id), 3);
    });
    nothing_left(&containerd);
}

#[test]
fn signals_by_number_to_all_and_to_those_that_are_paused() {
    let Some((stage, containerd)) = begin() else { return };
    each(&stage, |root, id| {
        let ended = |options: &[&str], code: i32| {
            let mut args = vec!["task", "kill"];
            args.extend(options);
            args.push(id);
            containerd.ctr(&args).good();
            containerd.wait_status(id, "STOPPED");
            assert_eq!(containerd.ended(id), code, "{options:?}");
        };
        containerd.detached(root, id, "sleep 1000");
        ended(&["--signal", "9"], 137);
        containerd.detached(root, id, "sleep 1000 & sleep 1000 & trap 'wait; exit 5' TERM; wait; wait");
        containerd.ctr(&["task", "exec", "-d", "--exec-id", "y", id, "/usr/bin/sleep", "1000"]).good();
        ended(&["--all", "--signal", "TERM"], 5);
        containerd.detached(root, id, "sleep 1000");
        containerd.ctr(&["task", "exec", "-d", "--exec-id", "y", id, "/usr/bin/sleep", "1000"]).good();
        let count = || containerd.ctr(&["task", "ps", id]).out.lines().count();
        let before = count();
        containerd.ctr(&["task", "kill", "--signal", "KILL", "--exec-id", "y", id]).good();
        eventually("the added one has ended", || count() < before);
        assert_eq!(containerd.status(id), "RUNNING");
        containerd.ctr(&["task", "pause", id]).good();
        ended(&["--signal", "KILL"], 137);
    });
    nothing_left(&containerd);
}

#[test]
fn processes_of_the_host_are_ended_with_the_first() {
    let Some((stage, containerd)) = begin() else { return };
    // Without a pid namespace of its own the kernel ends nothing.
    let root = red_tests::containerd::Root::plain(&stage);
    let own = format!("pid:/proc/{}/ns/pid", std::process::id());
    let said = containerd.run(
        &["--rm", "--with-ns", &own],
        &root,
        "plain-h",
        &["/usr/bin/sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 6"],
    );
    assert_eq!(said.code, 6, "{}", said.err);
    nothing_left(&containerd);
}
