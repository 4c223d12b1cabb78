//! Processes of a container are told by what the kernel says of them, whatever they call themselves.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use red_tests::call::{red_runtime, run};
use red_tests::skip;
use red_tests::stage::{Stage, eventually};

/// A first process whose name is no text, or looks like the fields after it.
#[test]
fn a_container_cannot_make_itself_look_stopped() {
    for (number, name) in ["\\377\\376", "x) Z 1 (", "a\\nb", ")))", ""].into_iter().enumerate() {
        let stage = Stage::new();
        let id = format!("named{number}");
        let script = format!(
            "printf '{name}' > /proc/self/comm; mkdir -p /dev/ready; while :; do read -t 1 x <> /dev/pipe; done"
        );
        let bundle = stage.plain(
            "b",
            &["bash", "-c", &format!("mkfifo /dev/pipe; {}", script.replace("/proc/self", "/proc/$$"))],
            |_| {},
        );
        stage.start(&bundle, &id);
        let pid = stage.runtime(["state", &id]).good().json()["pid"].to_string();
        eventually("it has its name", || fs::exists(format!("/proc/{pid}/root/dev/ready")).unwrap_or(false));
        assert_eq!(stage.status(&id), "running", "{name:?}");
        assert_eq!(stage.runtime(["delete", &id]).code, 1, "{name:?}: deleted while it runs");
        stage.runtime(["exec", &id, "true"]).good();
        stage.runtime(["pause", &id]).good();
        assert_eq!(stage.status(&id), "paused", "{name:?}");
        stage.runtime(["resume", &id]).good();
        stage.runtime(["kill", &id, "KILL"]).good();
        stage.wait_status(&id, "stopped");
        stage.runtime(["delete", &id]).good();
        let left = stage.left(&id);
        assert!(left.is_empty(), "{left:?}");
    }
}

/// The command below a first process of ours gets the signals, whatever its name is.
#[test]
fn a_signal_reaches_a_command_whatever_its_name_is() {
    let stage = Stage::new();
    let ready = stage.pool.join("core/mid/app/private/ready");
    let script = "trap 'echo got > /nodes/app/private/got; exit 0' USR1; printf '\\377) R 7 (' > /proc/$$/comm; \
                  echo > /nodes/app/private/ready; while :; do sleep 0.05; done";
    run(&mut stage.wrap_command(&["--detach", "--name", "n"], &["bash", "-c", script])).good();
    eventually("it is ready", || ready.exists());
    assert!(stage.tool("ps", &[]).good().out.contains("running"));
    stage.tool("kill", &["n", "USR1"]).good();
    eventually("the signal arrived", || stage.pool.join("core/mid/app/private/got").exists());
    eventually("it has ended", || !stage.tool("ps", &[]).good().out.contains("running"));
}

/// Where a process cannot be killed, its cgroup is not left frozen.
#[test]
fn what_was_frozen_to_be_killed_goes_on_when_that_fails() {
    if Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("strace is not installed");
    }
    let freezer = PathBuf::from("/sys/fs/cgroup/freezer");
    if !rustix::process::geteuid().is_root() || !freezer.exists() {
        return skip("needs root and a freezer of cgroup version 1");
    }
    let stage = Stage::new();
    // Without processes of its own, so that more than the first has to be killed.
    let bundle = stage.plain("b", &["sh", "-c", "sleep 1000 & sleep 1000"], |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("it is a list");
        namespaces.retain(|one| one["type"] != "pid");
    });
    stage.start(&bundle, "frozen");
    let states = || {
        let found = run(Command::new("find").arg(&freezer).args([
            "-path",
            "*red-runtime/frozen*",
            "-name",
            "freezer.state",
        ]));
        found.out.lines().map(|file| fs::read_to_string(file).unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(states(), ["THAWED\n"]);
    let red = red_runtime(&stage.root);
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", "strace", "-f", "-o", "/dev/null"]);
    // The first process is killed; the others are not.
    command.args(["-e", "inject=pidfd_send_signal:error=EPERM:when=2+", "-e", "inject=kill:error=EPERM"]);
    command.arg(red.get_program()).args(red.get_args()).args(["delete", "--force", "frozen"]);
    let said = run(command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()));
    assert!(said.code != 0 && said.err.contains("EPERM"), "{} {}", said.code, said.err);
    assert_eq!(states(), ["THAWED\n"]);
    stage.runtime(["delete", "--force", "frozen"]).good();
    let left = stage.left("frozen");
    assert!(left.is_empty(), "{left:?}");
}
