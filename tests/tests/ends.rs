//! What is left of commands of nodes when they have ended, and what is told of their end.

use std::path::Path;
use std::process::{Command, Stdio};

use red_tests::call::{built, run};
use red_tests::stage::{Stage, eventually};

/// Makes a container of that name whose command ends at once.
fn ended(stage: &Stage, name: &str, script: &str) {
    run(&mut stage.wrap_command(&["--detach", "--name", name], &["sh", "-c", script])).good();
    let runs = || stage.tool("ps", &[]).good().out.contains(name);
    eventually("it has ended", || !runs());
}

#[test]
fn the_end_of_a_detached_command_is_told() {
    let stage = Stage::new();
    for (name, script, status, words) in [
        ("well", "echo out", 0, "status 0"),
        ("badly", "echo out; exit 7", 7, "status 7"),
        ("signalled", "echo out; kill -TERM $$", 143, "status 143, signal 15"),
    ] {
        ended(&stage, name, script);
        let listed = stage.tool("ps", &["--all", "--json"]).good().json();
        let all = listed["running"].as_array().expect("a list");
        let one = all.iter().find(|one| one["name"] == name).expect("it is listed");
        assert_eq!(
            (&one["status"], &one["exit_status"], &one["oom"]),
            (&"stopped".into(), &status.into(), &false.into())
        );
        assert!(one["pid"].is_null(), "{one}");
        let table = stage.tool("ps", &["--all"]).good().out;
        assert!(table.contains(&format!("stopped ({words})")), "{table}");
        let logs = stage.tool("logs", &[name]).good();
        assert_eq!(
            (logs.out.as_str(), logs.err),
            ("out\n", format!("red-wrap: `{name}` has ended: {words}\n"))
        );
        let kill = stage.tool("kill", &[name]);
        assert!(
            kill.code == 125 && kill.err.contains(&format!("container not running: {words}")),
            "{}",
            kill.err
        );
    }
    // Also of one that was killed as a whole, and its name is free.
    run(&mut stage.wrap_command(&["--detach", "--name", "well"], &["sleep", "100"])).good();
    assert_eq!(stage.tool("logs", &["well"]).good().err, "");
    stage.tool("kill", &["well", "KILL"]).good();
    let killed = "container not running: status 137, signal 9\n";
    eventually("it has ended", || stage.tool("kill", &["well"]).err.ends_with(killed));
    assert!(stage.tool("ps", &["--all"]).good().out.contains("stopped (status 137, signal 9)"));
    stage.sweep();
    for name in ["well", "badly", "signalled"] {
        assert_eq!(stage.left(name), Vec::<String>::new());
    }
}

/// Cgroups of the nodes of a pool.
fn cgroups(stage: &Stage) -> Vec<String> {
    let digest =
        run(Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-path", "*/core-*/mid-*/app-*"])).out;
    let own = format!("-{}", name_of(stage));
    digest.lines().filter(|line| line.contains(&own)).map(str::to_owned).collect()
}

/// The name of a container that no other test has.
fn name_of(stage: &Stage) -> String {
    stage.pool.path().file_name().unwrap_or_default().to_string_lossy().replace('.', "")
}

#[test]
fn the_cgroups_of_a_chain_go_with_the_last_container_in_them() {
    let stage = Stage::with(", cgroups: {pids: {max: 50}}", "");
    let (first, second) = (format!("a-{}", name_of(&stage)), format!("b-{}", name_of(&stage)));
    for name in [&first, &second] {
        run(&mut stage.wrap_command(&["--detach", "--name", name], &["sleep", "100"])).good();
    }
    let both = cgroups(&stage);
    assert!(both.len() >= 2, "{both:?}");
    let above = Path::new(&both[0]).parent().expect("that of the node").to_owned();
    for (name, remains) in [(&first, true), (&second, false)] {
        stage.runtime(["delete", "--force", name]).good();
        assert_eq!(above.is_dir(), remains, "{}", above.display());
    }
    let chain = above.parent().and_then(Path::parent).expect("the core's");
    assert!(!chain.exists(), "{}", chain.display());
}

#[test]
fn the_watchdog_of_a_service_is_told_to_its_command() {
    let stage = Stage::new();
    let socket = stage.pool.join("notify");
    let _bound = std::os::unix::net::UnixDatagram::bind(&socket).expect("it is ours");
    let run_with = |pid: &str| {
        let call = format!("export WATCHDOG_PID={pid} WATCHDOG_USEC=5000; exec -a red-wrap \"$@\"");
        let mut shell = Command::new("bash");
        shell.args(["-c", &call, "bash"]).arg(built("red-runtime")).arg("--root").arg(&stage.root);
        shell.arg("--redpath").arg(&stage.leaf).args(["--", "sh", "-c", "echo $WATCHDOG_USEC.$WATCHDOG_PID"]);
        shell.env_clear().env("PATH", "/usr/bin:/bin").env("NOTIFY_SOCKET", &socket).stdin(Stdio::null());
        run(&mut shell).good().out
    };
    assert_eq!(run_with("$$"), "5000.\n");
    assert_eq!(run_with("1"), ".\n", "it is another process's");
}

#[test]
fn a_limit_on_sizes_of_files_is_told() {
    let stage = Stage::new();
    let limited = |script: &str| {
        let mut shell = Command::new("bash");
        let call = "ulimit -f 0; exec -a red-wrap \"$@\"";
        shell.args(["-c", call, "bash"]).arg(built("red-runtime")).arg("--root").arg(&stage.root);
        shell.arg("--redpath").arg(&stage.leaf).args(["--", "sh", "-c", script]);
        run(shell.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()))
    };
    let said = limited("true");
    assert!(said.code == 125 && said.err.contains("ulimit -f"), "{} {}", said.code, said.err);
    assert_eq!(stage.left("app"), Vec::<String>::new());
    // To the command the signal means what it always does.
    let command = ["sh", "-c", "grep SigIgn /proc/self/status"];
    assert_eq!(stage.wrap(&command).good().out, "SigIgn:\t0000000000000000\n");
}
