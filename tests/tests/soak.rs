//! The same over and over, under load, killed anywhere. CI runs a share; `RED_SOAK=full` runs all
//! of it (about an hour).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use red_tests::call::{red_runtime, run};
use red_tests::killer::Killer;
use red_tests::skip;
use red_tests::stage::{Stage, eventually};

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
    let each = times(25, 625);
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

#[test]
fn killed_at_every_system_call_a_container_can_be_removed_and_its_name_used_again() {
    let stage = Stage::new();
    let Some(killer) = Killer::build(&stage.pool) else { return skip("there is no C compiler") };
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let kill =
        |at: usize, args: &[&str]| killer.kill_at(at, "red-runtime", red_runtime(&stage.root).args(args));
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

/// Processes whose command line has a word.
fn running(word: &str) -> bool {
    fs::read_dir("/proc").expect("it is there").flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|arg| arg == word.as_bytes())
    })
}

/// A launcher that is killed leaves a container that is on record, or none at all.
#[test]
fn killed_at_every_system_call_a_launch_is_on_record_or_gone() {
    let stage = Stage::new();
    let Some(killer) = Killer::build(&stage.pool) else { return skip("there is no C compiler") };
    let bundle = stage.plain("b", &["sleep", "1000"], |spec| {
        spec["process"]["args"] = serde_json::json!(["sleep", format!("{}", 70_000 + std::process::id())]);
    });
    let ends = stage.plain("ends", &["true"], |_| {});
    let mut points = 0;
    for way in ["red-wrap", "run"] {
        let number = |at: usize| format!("{}.{at}", 90_000 + std::process::id());
        let launch = |at: usize| {
            if way == "red-wrap" {
                let word = number(at);
                killer.kill_at(at, way, &mut stage.wrap_command(&["--name", "w"], &["sleep", &word]))
            } else {
                let mut run = red_runtime(&stage.root);
                killer.kill_at(at, "red-runtime", run.args(["run", "--bundle"]).arg(&bundle).arg("w"))
            }
        };
        let word = |at: usize| {
            if way == "red-wrap" { number(at) } else { format!("{}", 70_000 + std::process::id()) }
        };
        let all = match way {
            "red-wrap" => killer.kill_at(0, way, &mut stage.wrap_command(&["--name", "w"], &["true"])),
            _ => killer.kill_at(
                0,
                "red-runtime",
                red_runtime(&stage.root).args(["run", "--bundle"]).arg(&ends).arg("w"),
            ),
        };
        assert!(all > 100, "{way}: {all} system calls");
        // The last ones are when there is something to lose; the others only with RED_SOAK=full.
        let from = times(all * 3 / 5, 1);
        let step = times(((all - from) / 35).max(1), 1);
        for at in (from..=all).step_by(step) {
            // One that is killed late enough waits for its command, which has to be ended.
            launch(at);
            let listed = |stage: &Stage| stage.runtime(["list", "-q"]).good().out.contains('w');
            eventually(&format!("what {way} killed at {at} has started is on record or gone"), || {
                listed(&stage) || !running(&word(at))
            });
            stage.runtime(["delete", "--force", "w"]).good();
            eventually(&format!("the command of {way} killed at {at} has ended"), || !running(&word(at)));
            let left = stage.left("w");
            assert!(left.is_empty(), "{way} killed at {at}: {left:?}");
            points += 1;
        }
    }
    assert!(points > 20, "only {points} points");
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
