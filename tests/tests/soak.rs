//! The same over and over, under load, killed anywhere. CI runs a share; `RED_SOAK=full` runs all
//! of it (about twenty minutes).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use red_tests::call::{red_runtime, run};
use red_tests::skip;
use red_tests::stage::Stage;

fn times(share: usize, full: usize) -> usize {
    if std::env::var_os("RED_SOAK").is_some_and(|value| value == "full") { full } else { share }
}

/// Keeps both processors busy until it is dropped.
struct Load(Vec<std::process::Child>);

impl Load {
    fn new() -> Self {
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("it starts");
        Self((0..2).map(|_| busy()).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// libcontainer's foreground run loses the end of one in twenty, and of nearly half under load.
#[test]
fn no_end_is_lost_in_the_foreground() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["/usr/bin/true"], |_| {});
    let each = times(25, 320);
    // A caller that ignores SIGCHLD, as some service managers do.
    let deaf = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
    let mut wrong = Vec::new();
    for loaded in [false, true] {
        let load = loaded.then(Load::new);
        for ignores in [false, true] {
            for round in 0..each {
                let id = format!("r{}", u8::from(ignores));
                let calls: [(Command, i32); 4] = [
                    (stage.wrap_command(&[], &["/usr/bin/true"]), 0),
                    (stage.wrap_command(&[], &["sh", "-c", "kill -9 $$"]), 137),
                    (stage.wrap_command(&[], &["sh", "-c", "exit 3"]), 3),
                    (
                        {
                            let mut command = red_runtime(&stage.root);
                            command.arg("run").arg("--bundle").arg(&bundle).arg(&id);
                            command
                        },
                        0,
                    ),
                ];
                for (command, wanted) in calls {
                    let mut outer = Command::new("timeout");
                    outer.args(["--kill-after=1", "60"]);
                    let is_wrap =
                        command.get_args().any(|arg| arg.to_string_lossy().starts_with("--redpath"));
                    let name = if is_wrap { "red-wrap" } else { "red-runtime" };
                    if ignores {
                        outer.args(["python3", "-c", deaf]);
                    }
                    outer
                        .args(["bash", "-c", "exec -a \"$0\" \"$@\"", name])
                        .arg(command.get_program())
                        .args(command.get_args());
                    outer.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
                    if ignores {
                        // execv wants a path.
                        let args: Vec<std::ffi::OsString> = outer.get_args().map(ToOwned::to_owned).collect();
                        let args: Vec<_> = args
                            .into_iter()
                            .map(|arg| if arg == "bash" { "/bin/bash".into() } else { arg })
                            .collect();
                        let mut again = Command::new("timeout");
                        again.args(args).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
                        outer = again;
                    }
                    let said = run(&mut outer);
                    if said.code != wanted {
                        wrong.push(format!(
                            "{name} {round} loaded {loaded} deaf {ignores}: {} for {wanted}: {}",
                            said.code, said.err
                        ));
                    }
                }
            }
        }
        drop(load);
    }
    assert!(wrong.is_empty(), "{} wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert!(stage.sweep());
}

/// A program that kills a command at its n-th system call; compiled for the test.
fn killer(stage: &Stage) -> Option<PathBuf> {
    let source = stage.pool.write("killat.c", KILLER);
    let program = stage.pool.join("killat");
    let built = Command::new("cc").args(["-O1", "-w", "-o"]).arg(&program).arg(&source).status().ok()?;
    built.success().then_some(program)
}

const KILLER: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
/* killat N COMMAND...: prints how many system calls it made when N is 0, else kills it at the N-th. */
int main(int argc, char **argv) {
    long at = atol(argv[1]), calls = 0;
    pid_t pid = fork();
    if (pid == 0) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); execvp(argv[2], argv + 2); _exit(127); }
    int status, pass = 0, inside = 0;
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    for (;;) {
        ptrace(PTRACE_SYSCALL, pid, 0, pass);
        pass = 0;
        if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status)) break;
        int stop = WSTOPSIG(status);
        if (stop == (SIGTRAP | 0x80)) {
            inside = !inside;
            if (inside && ++calls == at) { kill(pid, SIGKILL); waitpid(pid, &status, 0); break; }
        } else if (stop != SIGTRAP && stop != SIGSTOP) pass = stop;
    }
    fprintf(stderr, "%ld\n", calls);
    return 0;
}
"#;

#[test]
fn killed_at_every_system_call_a_container_can_be_removed_and_its_name_used_again() {
    let stage = Stage::new();
    let Some(killer) = killer(&stage) else { return skip("there is no C compiler") };
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let red = red_runtime(&stage.root);
    let kill = |at: usize, args: &[&str]| -> usize {
        let mut command = Command::new(&killer);
        command.arg(at.to_string()).arg(red.get_program()).args(red.get_args()).args(args);
        let err = stage.pool.join("killed");
        // The container would keep a pipe open.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&err).expect("it is ours"));
        command.env_clear().env("PATH", "/usr/bin:/bin").status().expect("it starts");
        let text = fs::read_to_string(&err).unwrap_or_default();
        text.lines().last().and_then(|line| line.parse().ok()).unwrap_or(0)
    };
    let dir = bundle.display().to_string();
    let create = ["create", "--bundle", &dir, "k"];
    let mut points = 0;
    for verb in ["create", "start", "delete"] {
        let prepare = || match verb {
            "start" => drop(stage.create(&bundle, "k").good()),
            "delete" => stage.start(&bundle, "k"),
            _ => {}
        };
        let args: Vec<&str> = match verb {
            "create" => create.to_vec(),
            "delete" => vec!["delete", "--force", "k"],
            verb => vec![verb, "k"],
        };
        prepare();
        let calls = kill(0, &args);
        assert!(calls > 50, "{verb}: {calls} system calls");
        stage.runtime(["delete", "--force", "k"]).good();
        let step = (calls / times(25, calls)).max(1);
        for at in (1..=calls).step_by(step) {
            prepare();
            kill(at, &args);
            let removed = stage.runtime(["delete", "--force", "k"]);
            assert_eq!(removed.code, 0, "{verb} killed at {at}: {}", removed.err);
            points += 1;
            if at % 10 == 1 {
                let left = stage.left("k");
                assert!(left.is_empty(), "{verb} killed at {at}: {left:?}");
            }
        }
        stage.start(&bundle, "k");
        stage.runtime(["delete", "--force", "k"]).good();
    }
    let left = stage.left("k");
    assert!(left.is_empty(), "after {points} kills: {left:?}");
}

#[test]
fn killed_at_any_moment_nothing_is_left() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let mut seed = 42_u64;
    for round in 0..times(40, 500) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut command = red_runtime(&stage.root);
        command.arg("create").arg("--bundle").arg(&bundle).arg("m");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_micros((seed >> 33) % 30_000));
        drop(child.kill());
        drop(child.wait());
        let removed = stage.runtime(["delete", "--force", "m"]);
        assert_eq!(removed.code, 0, "round {round}: {}", removed.err);
    }
    let left = stage.left("m");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_hundred_at_once() {
    let stage = Stage::new();
    let launch = |number: usize| {
        let script = format!("test $WHO = app && exit {}", number % 100);
        stage.wrap_command(&[], &["sh", "-c", &script]).stdout(Stdio::null()).spawn().expect("it starts")
    };
    let all: Vec<_> = (0..100).map(launch).collect();
    for (number, mut child) in all.into_iter().enumerate() {
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), i32::try_from(number % 100).ok());
    }
    assert!(stage.sweep());
    assert!(!Path::new(&stage.root).join("app").exists());
}
