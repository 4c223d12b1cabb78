//! Limits of nodes in units, scopes and sessions.

use std::fs;
use std::path::Path;
use std::process::Command;

use red_tests::call::run;
use red_tests::stage::eventually;

use super::{Service, Wrapped, cgroup, here, hierarchy, of_manager, processes, property};

#[test]
fn the_limits_of_a_node_hold_wherever_it_is_started() {
    if !here() {
        return;
    }
    let node = Wrapped::limited();
    // Until the memory is at its end.
    let command = ["sh", "-c", "tail /dev/zero; echo status $?"];
    let session = run(Command::new(&node.words[0]).args(&node.words[1..]).args(command));
    let wait = ["--quiet", "--wait", "--pipe"];
    let delegated = ["--quiet", "--wait", "--pipe", "--property=Delegate=yes"];
    let handed_on = [&delegated[..], &["--property=DelegateSubgroup=main"]].concat();
    let scope = ["--quiet", "--scope", "--property=Delegate=yes"];
    let all = [
        ("session", session),
        ("service", node.by_manager(&wait, &command)),
        ("delegated service", node.by_manager(&delegated, &command)),
        ("delegated service with a subgroup", node.by_manager(&handed_on, &command)),
        ("delegated scope", node.by_manager(&scope, &command)),
    ];
    for (place, said) in all {
        assert!(said.out.contains("status 137"), "{place}: {}{}", said.out, said.err);
        let is_warned = said.err.contains("has no `Delegate=yes`");
        assert_eq!(is_warned, place == "service", "{place}: {}", said.err);
    }
    assert_eq!(node.stage.left("app"), Vec::<String>::new());
    assert_eq!(of_manager("systemctl", &["list-units", "--all", "--no-legend", "red-app*"]).out, "");
}

#[test]
fn a_node_with_limits_stays_in_a_unit_that_delegates() {
    if !here() {
        return;
    }
    let node = Wrapped::limited();
    let service = Service { name: format!("red-test-limited-{}.service", std::process::id()) };
    let unit = format!("--unit={}", service.name);
    let again =
        ["--quiet", &unit, "--property=Delegate=yes", "--property=Restart=always", "--property=RestartSec=1"];
    node.by_manager(&again, &["sh", "-c", "echo speaks; exec sleep 1000"]).good();
    let inside = || hierarchy(&property(&service.name, "ControlGroup"));
    let sleeps = || {
        let line = |pid: &String| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        processes(&inside()).into_iter().filter(|pid| line(pid).starts_with(b"sleep\0")).collect::<Vec<_>>()
    };
    eventually("it runs in the unit", || sleeps().len() == 1);
    // Killed from outside, with its launcher or whole, it is started again, once.
    for whom in ["main", "all"] {
        let before = sleeps();
        of_manager("systemctl", &["kill", "--signal=KILL", &format!("--kill-whom={whom}"), &service.name])
            .good();
        eventually("it runs again", || sleeps().len() == 1 && sleeps() != before);
        assert!(!Path::new("/proc").join(&before[0]).exists(), "{whom}: two of them run");
    }
    let place = cgroup(&sleeps()[0]);
    assert!(place.contains(&service.name) && place.contains("/app-"), "{place}");
    let limit = |directory: &Path| fs::read_to_string(directory.join("memory.max")).unwrap_or_default();
    let limits: Vec<String> = hierarchy(&place).ancestors().map(limit).collect();
    assert!(limits.contains(&format!("{}\n", 60 << 20)), "{place}: {limits:?}");
    let pids = processes(&inside());
    of_manager("systemctl", &["stop", &service.name]).good();
    let there = |pid: &&String| Path::new("/proc").join(pid).exists();
    eventually("no process is left", || pids.iter().find(there).is_none());
    assert!(!hierarchy(&place).exists(), "{place}");
}

/// From a user's session nobody but systemd reaches the scope.
#[test]
fn a_detached_node_with_limits_is_entered() {
    if !here() {
        return;
    }
    let node = Wrapped::limited();
    run(&mut node.stage.wrap_command(&["--detach", "--name", "held+1"], &["sleep", "1000"])).good();
    let said = node.stage.tool("enter", &["held+1", "sh", "-c", "tail /dev/zero; echo status $?"]);
    assert!(said.out.contains("status 137"), "{}{}", said.out, said.err);
    node.stage.tool("kill", &["held+1", "KILL"]).good();
    node.stage.sweep();
    assert_eq!(of_manager("systemctl", &["list-units", "--all", "--no-legend", "red-held*"]).out, "");
}

/// Whichever is smaller: that of the unit, or that of the node.
#[test]
fn limits_of_a_unit_and_of_a_node_hold_both() {
    if !here() {
        return;
    }
    let node = Wrapped::limited();
    for delegate in ["no", "yes"] {
        for (unit, size, wanted) in [("30M", "45M", 137), ("200M", "80M", 137), ("200M", "45M", 0)] {
            let delegate = format!("--property=Delegate={delegate}");
            let most = format!("--property=MemoryMax={unit}");
            // Without a line in it all is kept.
            let script = format!("head -c {size} /dev/zero | tail >/dev/null; echo status $?");
            let said =
                node.by_manager(&["--quiet", "--wait", "--pipe", &delegate, &most], &["sh", "-c", &script]);
            assert!(
                said.out == format!("status {wanted}\n"),
                "{delegate} {unit} {size}: {}{}",
                said.out,
                said.err
            );
        }
    }
    assert_eq!(node.stage.left("app"), Vec::<String>::new());
}

/// What nobody waited for: in a scope, whose cgroup is gone at once, and in a unit.
#[test]
fn that_memory_ran_out_of_a_detached_node_is_told() {
    if !here() {
        return;
    }
    let node = Wrapped::limited();
    let command = ["sh", "-c", "echo begins; exec tail /dev/zero"];
    run(&mut node.stage.wrap_command(&["--detach", "--name", "greedy"], &command)).good();
    eventually("it has ended", || !node.stage.tool("ps", &[]).out.contains("greedy"));
    let all = node.stage.tool("ps", &["--all"]).good().out;
    assert!(all.contains("greedy") && all.contains("status 137") && all.contains("memory"), "{all}");
    let logs = node.stage.tool("logs", &["greedy"]).good();
    assert!(logs.out == "begins\n" && logs.err.contains("memory"), "{}{}", logs.out, logs.err);
    let kill = node.stage.tool("kill", &["greedy"]);
    assert!(
        kill.code == 125 && kill.err.contains("not running") && kill.err.contains("memory"),
        "{}",
        kill.err
    );
    // Its name is free.
    run(&mut node.stage.wrap_command(&["--detach", "--name", "greedy"], &["sleep", "1000"])).good();
    node.stage.tool("kill", &["greedy", "KILL"]).good();
    node.stage.sweep();
    assert_eq!(of_manager("systemctl", &["list-units", "--all", "--no-legend", "red-greedy*"]).out, "");
}
