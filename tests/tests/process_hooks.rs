//! Hooks: where they run, what they see, and what their failure means (runtime specification, config.md,
//! "POSIX-platform Hooks"; runtime.md, "Lifecycle", of version 1.3). runc and crun are asked the same where they are
//! installed and can run, and what they do otherwise is printed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, built, run};
use red_tests::engine::Engine;
use red_tests::remark;
use red_tests::stage::{Stage, eventually};
use serde_json::{Value, json};

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A runtime that is asked.
struct Runtime {
    program: PathBuf,
    root: PathBuf,
}

impl Runtime {
    fn call(&self, args: &[&str]) -> Said {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("OF_THE_CALLER", "1");
        run(command.arg("--root").arg(&self.root).args(args).stdin(Stdio::null()))
    }

    /// Runs a bundle to its end.
    fn run(&self, dir: &Path) -> Said {
        self.call(&["run", "--bundle", dir.to_str().expect("a path of a test is text"), "red-hooks"])
    }
}

/// Ours, and what it is compared with: runc, and crun where it can run (not on control groups of both versions).
fn runtimes(stage: &Stage) -> Vec<Runtime> {
    let ours = Runtime { program: built("red-runtime"), root: stage.root.clone() };
    let mut all = vec![ours];
    for name in ["runc", "crun"] {
        let places = ["/usr/sbin", "/usr/bin"].map(|dir| Path::new(dir).join(name));
        let Some(program) = places.into_iter().find(|path| path.exists()) else {
            remark(&format!("{name} is not installed"));
            continue;
        };
        let runtime = Runtime { program, root: stage.pool.mkdir(format!("peer-{name}")) };
        let dir = stage.plain("tried", &["true"], |_| {});
        for name in ["proc", "dev", "usr"] {
            stage.pool.mkdir(format!("tried/rootfs/{name}"));
        }
        let tried = runtime.run(&dir);
        fs::remove_dir_all(&dir).expect("it is ours");
        if tried.code == 0 {
            all.push(runtime);
        } else {
            runtime.call(&["delete", "--force", "red-hooks"]);
            remark(&format!("{name} does not run here: {}", tried.err.trim()));
        }
    }
    all
}

/// A bundle whose hooks can say something at `out`, which is `/out` inside.
fn bundle(stage: &Stage, command: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let out = stage.pool.mkdir("out");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let dir = stage.plain("b", &["sh", "-c", command], |spec| {
        let volume = json!({"destination": "/out", "type": "bind", "source": out, "options": ["rbind"]});
        spec["mounts"].as_array_mut().expect("a bundle has mounts").push(volume);
        change(spec);
    });
    for name in ["home", "out", "proc", "dev", "usr", "etc"] {
        stage.pool.mkdir(format!("b/rootfs/{name}"));
    }
    dir
}

fn remove(stage: &Stage, dir: &Path) {
    fs::remove_dir_all(dir).expect("it is ours");
    fs::remove_dir_all(stage.pool.join("out")).expect("it is ours");
}

/// A hook that runs a script of the shell, in which `$OUT` is where it says something, `$ROOT` the root of
/// the bundle and `$PID` the container's process.
fn hook(stage: &Stage, kind: &str, script: &str) -> Value {
    let out = if kind == "startContainer" { "/out".into() } else { stage.pool.join("out") };
    let root = stage.pool.join("b/rootfs");
    let begin = "PID=$(grep -o '\"pid\": *[0-9]*' | grep -o '[0-9]*$');";
    let words = format!("OUT={}; ROOT={}; {begin} {script}", out.display(), root.display());
    json!({"path": "/bin/sh", "args": ["sh", "-c", words], "env": ["PATH=/usr/bin:/bin:/usr/sbin"]})
}

fn said(stage: &Stage, name: &str) -> String {
    fs::read_to_string(stage.pool.join("out").join(name)).unwrap_or_default()
}

/// Says what a peer does otherwise; that is no fault of either.
fn note(text: &str) {
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()));
}

#[test]
fn every_hook_runs_where_it_should_and_sees_what_it_should() {
    let stage = Stage::new();
    let own = format!("mnt:[{}]", fs::metadata("/proc/self/ns/mnt").unwrap().ino());
    let script = "readlink /proc/self/ns/mnt >$OUT/$KIND.ns
        grep -c \" $ROOT/proc \" /proc/self/mountinfo >$OUT/$KIND.mounts
        ls $ROOT/usr/bin/env >$OUT/$KIND.root 2>/dev/null
        [ $KIND = poststop ] || nsenter --mount=/proc/$PID/ns/mnt ls $ROOT/usr/bin/env >$OUT/$KIND.entered 2>/dev/null
        true";
    for runtime in runtimes(&stage) {
        let ours = runtime.program == built("red-runtime");
        let dir = bundle(&stage, "readlink /proc/self/ns/mnt >/out/inside; sleep 0.5", |spec| {
            for kind in KINDS {
                spec["hooks"][kind] = json!([hook(&stage, kind, &format!("KIND={kind}; {script}"))]);
            }
        });
        let ended = runtime.run(&dir);
        assert!(ended.code == 0 || !ours, "{}", ended.err);
        if ended.code != 0 {
            note(&format!("{}: {}", runtime.program.display(), ended.err));
            remove(&stage, &dir);
            continue;
        }
        let inside = said(&stage, "inside").trim().to_owned();
        for kind in KINDS {
            let get = |what: &str| said(&stage, &format!("{kind}.{what}")).trim().to_owned();
            let in_container = ["createContainer", "startContainer"].contains(&kind);
            let (ns, mounts) = (get("ns"), get("mounts"));
            let found = [
                // In the container's mount namespace or in that of the runtime.
                if ns == own {
                    "runtime"
                } else if ns == inside {
                    "container"
                } else {
                    "?"
                },
                // The container's proc below the bundle's root, as a mount of that namespace.
                if mounts == "1" { "mounted" } else { "-" },
                // What is mounted in the root, by the path of the bundle.
                if get("root").is_empty() { "-" } else { "seen" },
                // The same for whoever enters the container's mount namespace by its process.
                if get("entered").is_empty() { "-" } else { "entered" },
            ];
            let wanted = match kind {
                // The process of the state is known by its number inside: nobody else can be entered.
                "createContainer" => ["container", "mounted", "seen", "-"],
                "prestart" | "createRuntime" => ["runtime", "-", "-", "entered"],
                // The root has changed.
                "startContainer" => ["container", "-", "-", "-"],
                _ => ["runtime", "-", "-", "-"],
            };
            assert!(!in_container || found[0] == "container", "{kind}: {found:?}");
            if ours {
                assert_eq!(found, wanted, "{kind}");
            } else if found != wanted {
                note(&format!("{}: {kind} hook: {found:?}, ours {wanted:?}", runtime.program.display()));
            }
        }
        remove(&stage, &dir);
    }
}

#[test]
fn what_a_hook_mounts_or_makes_before_the_start_is_in_the_container() {
    let stage = Stage::new();
    let here = "mount -t tmpfs hooked $ROOT/home && touch $ROOT/home/$KIND && ln -s null $ROOT/dev/$KIND";
    for runtime in runtimes(&stage) {
        for (kind, enter, no_pivot) in [
            ("createContainer", "", false),
            ("createContainer", "", true),
            ("createRuntime", "nsenter --mount=/proc/$PID/ns/mnt ", false),
            ("prestart", "nsenter --mount=/proc/$PID/ns/mnt ", false),
        ] {
            let script = format!("export KIND={kind} ROOT; {enter}sh -c '{here}'");
            let dir = bundle(&stage, "ls /home; readlink /dev/$0; ls /usr/bin/env; true", |spec| {
                spec["process"]["args"].as_array_mut().unwrap().push(json!(kind));
                spec["hooks"][kind] = json!([hook(&stage, kind, &script)]);
            });
            let bundle = dir.to_str().unwrap();
            let mut call = vec!["run", "--bundle", bundle];
            call.extend(no_pivot.then_some("--no-pivot"));
            call.push("red-hooks");
            let ended = runtime.call(&call);
            let wanted = format!("{kind}\nnull\n/usr/bin/env\n");
            let what = format!("{} {kind} {no_pivot}: {}", runtime.program.display(), ended.err);
            if runtime.program == built("red-runtime") {
                assert_eq!(ended.out, wanted, "{what}");
            } else if ended.out != wanted {
                note(&format!("{what}: {:?}, ours {wanted:?}", ended.out));
            }
            remove(&stage, &dir);
        }
    }
    // Nothing of it is on the host.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("hooked"), "{mounts}");
}

/// The root is put together by whom the user namespace calls root, who may not get to the bundle.
#[test]
fn hooks_find_the_root_where_only_the_launcher_may_look() {
    let stage = Stage::new();
    let script = "nsenter --mount=/proc/$PID/ns/mnt ls $ROOT/usr/bin/env >$OUT/entered";
    let dir = bundle(&stage, "cat /proc/self/uid_map", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        for map in ["uidMappings", "gidMappings"] {
            spec["linux"][map] = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        }
        spec["hooks"]["createRuntime"] = json!([hook(&stage, "createRuntime", script)]);
    });
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let [ours, ..] = &runtimes(&stage)[..] else { panic!("there is no runtime") };
    let ended = ours.run(&dir);
    assert!(ended.out.contains("100000"), "{} {}", ended.out, ended.err);
    assert!(said(&stage, "entered").contains("/usr/bin/env"), "{}", ended.err);
}

#[test]
fn a_hook_that_fails_or_hangs_ends_what_it_should() {
    let stage = Stage::new();
    let broken = |kind: &str, hangs: bool| {
        let mut one = hook(&stage, kind, if hangs { "exec sleep 100" } else { "exit 3" });
        if hangs {
            one["timeout"] = json!(1);
        }
        one
    };
    let told = |kind: &str, name: &str| hook(&stage, kind, &format!("echo ran >>$OUT/{name}"));
    for runtime in runtimes(&stage) {
        let ours = runtime.program == built("red-runtime");
        for kind in KINDS {
            for hangs in [false, true] {
                let dir = bundle(&stage, "echo ran >/out/command; sleep 0.3", |spec| {
                    spec["hooks"]["poststop"] = json!([told("poststop", "poststop")]);
                    let list = json!([broken(kind, hangs), told(kind, "next")]);
                    match spec["hooks"][kind].as_array_mut() {
                        Some(all) => all.splice(0..0, list.as_array().unwrap().clone()).for_each(drop),
                        None => spec["hooks"][kind] = list,
                    }
                });
                let bundle = dir.to_str().unwrap();
                let what = format!("{} {kind} hangs {hangs}", runtime.program.display());
                let err = stage.pool.join("err");
                let mut command = Command::new(&runtime.program);
                command
                    .env_clear()
                    .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                    .arg("--root")
                    .arg(&runtime.root);
                command
                    .args(["create", "--bundle", bundle, "red-ends"])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null());
                let created = command.stderr(fs::File::create(&err).unwrap()).status().unwrap().success();
                let started = created && runtime.call(&["start", "red-ends"]).code == 0;
                let status = match created {
                    true => {
                        let mut status = String::new();
                        for _ in 0..2000 {
                            let state = runtime.call(&["state", "red-ends"]);
                            status = serde_json::from_str::<Value>(&state.out).map_or_else(
                                |_| "gone".into(),
                                |state| state["status"].as_str().unwrap_or_default().to_owned(),
                            );
                            if status == "stopped" || status == "gone" {
                                break;
                            }
                            std::thread::sleep(std::time::Duration::from_millis(10));
                        }
                        status
                    }
                    false => if runtime.call(&["state", "red-ends"]).code == 0 { "left" } else { "gone" }
                        .to_owned(),
                };
                let deleted = runtime.call(&["delete", "--force", "red-ends"]);
                let found = (
                    created,
                    started,
                    &*status,
                    !said(&stage, "next").is_empty(),
                    said(&stage, "poststop").lines().count(),
                    deleted.code,
                );
                let wanted = match kind {
                    "prestart" | "createRuntime" | "createContainer" => (false, false, "gone", false, 1, 0),
                    "startContainer" | "poststart" => (true, false, "stopped", false, 1, 0),
                    _ => (true, true, "stopped", true, 1, 0),
                };
                if ours {
                    let words = fs::read_to_string(&err).unwrap();
                    assert_eq!(found, wanted, "{what}: {words}{}", deleted.err);
                    let words = words + &deleted.err;
                    if kind != "startContainer" && kind != "poststart" {
                        let why = if hangs { "took more than 1 s" } else { "failed (exit status: 3)" };
                        assert!(words.contains(&format!("{kind} hook /bin/sh: {why}")), "{what}: {words}");
                    }
                    assert_eq!(stage.left("red-ends"), Vec::<String>::new(), "{what}");
                } else if found != wanted {
                    note(&format!(
                        "{what}: created, started, status, next, poststop, delete: {found:?}, ours {wanted:?}"
                    ));
                }
                remove(&stage, &dir);
            }
        }
    }
}

#[test]
fn a_hook_need_not_read_its_state_however_long_that_is() {
    let stage = Stage::new();
    let long = "x".repeat(300_000);
    // It ends, closes its input and goes on, or goes on with its input open.
    for script in ["true", "exec <&-; sleep 0.1", "exec 3<&0; sleep 0.1 </dev/null"] {
        let dir = bundle(&stage, "true", |spec| {
            spec["annotations"]["org.example.long"] = json!(long);
            for kind in KINDS {
                spec["hooks"][kind] = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 20}]);
            }
        });
        let runtime = runtimes(&stage).remove(0);
        let ended = runtime.run(&dir);
        assert!(ended.code == 0 && ended.err.is_empty(), "{script}: {}", ended.err);
        remove(&stage, &dir);
    }
    // One that neither reads nor ends is ended.
    let dir = bundle(&stage, "true", |spec| {
        spec["annotations"]["org.example.long"] = json!(long);
        spec["hooks"]["createRuntime"] =
            json!([{"path": "/bin/sleep", "args": ["sleep", "20"], "timeout": 1}]);
    });
    let ended = runtimes(&stage).remove(0).run(&dir);
    assert!(ended.code == 1 && ended.err.contains("took more than 1 s"), "{}", ended.err);
    remove(&stage, &dir);
    // Nor does what it has started keep whoever reads our stderr.
    let name = stage.pool.join("sleeper").display().to_string();
    std::os::unix::fs::symlink("/bin/sleep", &name).unwrap();
    let dir = bundle(&stage, "true", |spec| {
        let script = format!("sh -c '{name} 1000; true'; true");
        spec["hooks"]["createRuntime"] =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1}]);
    });
    let ended = runtimes(&stage).remove(0).run(&dir);
    assert!(ended.code == 1 && ended.err.contains("took more than 1 s"), "{}", ended.err);
    assert_eq!(run(Command::new("pgrep").args(["-f", &name])).out, "");
    remove(&stage, &dir);
    // One that reads all of it has all of it.
    let dir = bundle(&stage, "true", |spec| {
        spec["annotations"]["org.example.long"] = json!(long);
        let out = stage.pool.join("out/state").display().to_string();
        spec["hooks"]["createRuntime"] =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("sleep 0.1; cat >{out}")]}]);
    });
    let runtime = runtimes(&stage).remove(0);
    assert_eq!(runtime.run(&dir).good().err, "");
    let state: Value = serde_json::from_str(&said(&stage, "state")).unwrap();
    assert_eq!(state["annotations"]["org.example.long"], json!(long));
    assert_eq!((&state["status"], &state["id"]), (&json!("creating"), &json!("red-hooks")));
}

#[test]
fn the_environment_of_a_hook_is_its_own() {
    let stage = Stage::new();
    let print = |kind: &str| {
        let out = if kind == "startContainer" { "/out".into() } else { stage.pool.join("out") };
        let script = format!("tr '\\0' '\\n' </proc/self/environ >{}/{kind}", out.display());
        json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
    };
    let dir = bundle(&stage, "true", |spec| {
        spec["process"]["env"] = json!(["PATH=/usr/bin:/bin", "OF_THE_CONTAINER=1", "HOME=/h"]);
        for kind in KINDS {
            let mut own = print(kind);
            own["env"] = json!(["PATH=/usr/bin:/bin", "A=1", "A=2"]);
            own["args"][2] = json!(own["args"][2].as_str().unwrap().to_owned() + ".own");
            spec["hooks"][kind] = json!([print(kind), own]);
        }
    });
    let runtime = runtimes(&stage).remove(0);
    let ended = runtime.run(&dir);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for kind in KINDS {
        let lines = |name: &str| {
            let text = said(&stage, name);
            let mut lines: Vec<String> =
                text.lines().filter(|line| !line.starts_with("PWD=")).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&format!("{kind}.own")), ["A=2", "PATH=/usr/bin:/bin"], "{kind}");
        // What an image says is no word to a program of the host (CVE-2025-23266).
        let wanted: &[&str] = if kind == "startContainer" {
            &["HOME=/h", "OF_THE_CONTAINER=1", "PATH=/usr/bin:/bin"]
        } else {
            &[]
        };
        assert_eq!(lines(kind), wanted, "{kind}");
    }
}

#[test]
fn a_start_hook_is_under_the_filter_of_its_container() {
    let stage = Stage::new();
    for never_gains in [true, false] {
        let dir = bundle(&stage, "grep ^Seccomp: /proc/self/status >/out/command", |spec| {
            spec["process"]["noNewPrivileges"] = json!(never_gains);
            spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]});
            let script =
                "grep ^Seccomp: /proc/self/status >$OUT/hook; grep ^CapEff /proc/self/status >$OUT/caps";
            spec["hooks"]["startContainer"] = json!([hook(&stage, "startContainer", script)]);
        });
        let runtime = runtimes(&stage).remove(0);
        assert_eq!(runtime.run(&dir).good().err, "");
        assert_eq!(
            (said(&stage, "hook"), said(&stage, "command")),
            ("Seccomp:\t2\n".into(), "Seccomp:\t2\n".into())
        );
        assert_eq!(said(&stage, "caps"), "CapEff:\t0000000000000020\n");
        remove(&stage, &dir);
    }
}

#[test]
fn a_missing_hook_is_never_a_missing_command() {
    let stage = Stage::new();
    for kind in ["prestart", "createContainer", "startContainer"] {
        let dir = bundle(&stage, "true", |spec| spec["hooks"][kind] = json!([{"path": "/no/such/hook"}]));
        let ended = runtimes(&stage).remove(0).run(&dir);
        assert!(
            ended.code == 1 && ended.err.contains(&format!("{kind} hook /no/such/hook")),
            "{}",
            ended.err
        );
        assert!(!ended.err.to_lowercase().contains("no such file"), "{}", ended.err);
        remove(&stage, &dir);
    }
}

/// The root of a node is put together elsewhere, and shown where the engine's configuration has it.
#[test]
fn hooks_see_the_root_of_a_node_and_not_its_directory() {
    let engine = Engine::new(Stage::new());
    let leaf = engine.stage.leaf.clone();
    let before: Vec<_> = fs::read_dir(&leaf).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let here = format!(
        "ls {0}/usr/bin/env {0}/nodes/app/private >/dev/null && mount -t tmpfs hooked {0}/tmp && touch {0}/tmp/made",
        leaf.display()
    );
    for (kind, script) in [
        ("createContainer", here.clone()),
        (
            "createRuntime",
            format!(
                "PID=$(grep -o '\"pid\": *[0-9]*' | grep -o '[0-9]*$'); nsenter --mount=/proc/$PID/ns/mnt sh -c '{here}'"
            ),
        ),
    ] {
        let dir = engine.node("b", &["sh", "-c", "ls /tmp /nodes/app; echo $WHO"], |spec| {
            spec["hooks"][kind] = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin:/usr/sbin"]}]);
        });
        let said = engine.run(&dir);
        assert_eq!(said.out, "/nodes/app:\nprivate\n\n/tmp:\nmade\napp\n", "{kind}: {}", said.err);
    }
    let after: Vec<_> = fs::read_dir(&leaf).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before, after, "nothing is made in the node");
}

/// Whoever makes a container can be told to stop while a hook takes its time, and takes everything away.
#[test]
fn a_signal_ends_a_creation_that_takes_long() {
    let stage = Stage::new();
    for (command, kind) in [
        ("create", "createRuntime"),
        ("create", "createContainer"),
        ("run", "prestart"),
        ("run", "startContainer"),
    ] {
        let dir = bundle(&stage, "echo ran >/out/command", |spec| {
            let slow = hook(&stage, kind, "echo ran >$OUT/slow; exec sleep 100");
            spec["hooks"][kind] = json!([slow]);
            spec["hooks"]["poststop"] = json!([hook(&stage, "poststop", "echo ran >$OUT/poststop")]);
        });
        let mut launcher = red_tests::call::red_runtime(&stage.root);
        launcher
            .arg(command)
            .arg("--bundle")
            .arg(&dir)
            .arg("red-slow")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let err = stage.pool.join("err");
        let mut launcher = launcher.stderr(fs::File::create(&err).unwrap()).spawn().unwrap();
        eventually("the hook runs", || !said(&stage, "slow").is_empty());
        let pid = rustix::process::Pid::from_child(&launcher);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("it ends", || launcher.try_wait().unwrap().is_some());
        let words = fs::read_to_string(&err).unwrap();
        assert!(words.contains("signal"), "{command} {kind}: {words}");
        assert_eq!(stage.left("red-slow"), Vec::<String>::new(), "{command} {kind}: {words}");
        assert_eq!((said(&stage, "command"), said(&stage, "poststop")), (String::new(), "ran\n".to_owned()));
        remove(&stage, &dir);
    }
}

/// What has a deadline makes no processes, so it gets that when its hooks have run.
#[test]
fn a_deadline_keeps_no_hook_from_running() {
    let stage = Stage::new();
    let dir = bundle(&stage, "", |spec| {
        spec["hooks"]["startContainer"] =
            json!([hook(&stage, "startContainer", "cat /dev/null | cat; echo ran >$OUT/hook")]);
        spec["process"]["args"] = json!(["cut", "-d ", "-f41", "/proc/self/stat"]);
        spec["process"]["scheduler"] = json!({"policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 20_000_000, "period": 20_000_000});
    });
    let done = stage.runtime(["run", "--bundle", dir.to_str().unwrap(), "red-deadline"]);
    assert_eq!(said(&stage, "hook"), "ran\n", "{}", done.err);
    // Not every root may give one.
    let refused = done.code == 1 && done.err.contains("process.scheduler");
    assert!(refused || (done.code == 0 && done.out == "6\n"), "{}{}", done.out, done.err);
    assert_eq!(stage.left("red-deadline"), Vec::<String>::new());
    remove(&stage, &dir);
}
