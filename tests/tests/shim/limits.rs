//! A machine, or a shim, that has run out of file descriptors, processes, memory or disk space.

use std::path::{Path, PathBuf};
use std::process::Command;

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::Options;
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::ttrpc::Code;
use red_tests::broom::{LimitedCgroup, Tmpfs};
use red_tests::call::run;
use red_tests::remark;
use red_tests::stage::{Stage, eventually};

use crate::client::{Shim, any, binary_option, exec, mounts, runtime_wrapper};

/// More places at which a request may fail than there are.
const PLACES: usize = 200;

/// A bundle in which terminals can be made, and whose own process may have one.
fn sleeping(stage: &Stage, name: &str, terminal: bool) -> PathBuf {
    stage.plain(name, &["/usr/bin/sleep", "1000"], |spec| {
        let options = ["newinstance", "ptmxmode=0666"];
        spec["mounts"].as_array_mut().expect("mounts").push(serde_json::json!(
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options}
        ));
        spec["process"]["terminal"] = terminal.into();
    })
}

/// Process spec of a script with or without a terminal.
fn exit_6(terminal: bool) -> MessageField<Any> {
    let spec = serde_json::json!({
        "cwd": "/", "args": ["/usr/bin/sh", "-c", "exit 6"], "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0},
        "terminal": terminal,
    });
    any("types.containerd.io/opencontainers/runtime-spec/1/Process", spec.to_string())
}

/// Number of open file descriptors of a process, but for the inotify instance that the first stdin makes.
fn count_fds(pid: i32) -> usize {
    let target = |fd: &usize| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default();
    open_fds(pid).iter().filter(|fd| !target(fd).ends_with("anon_inode:inotify")).count()
}

/// Open file descriptors of a process.
pub(crate) fn open_fds(pid: i32) -> Vec<usize> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Limits the file descriptors of a process to those below a number.
pub(crate) fn limit_fds(pid: i32, limit: usize) {
    run(Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")])).good();
}

/// What the requests of a test have in common.
struct Run<'a> {
    stage: &'a Stage,
    shim: &'a Shim,
    /// A running container, which limits of the shim must not harm.
    id: &'a str,
    /// Container that is created again and again, and its bundle.
    other: &'a str,
    /// Bundles of the other container, without and with a terminal.
    bundles: &'a [PathBuf; 2],
}

impl Run<'_> {
    /// Ends the running container where nothing is left of what is limited: signals need none, `Delete` does, and can be
    /// repeated.
    fn kill_and_delete(&self, mut limit: impl FnMut(Option<usize>)) {
        limit(Some(0));
        self.shim.kill(self.id, "");
        assert_eq!(self.shim.wait(self.id, ""), Ok(137));
        let (code, message) = self.shim.delete(self.id, "").expect_err("the runtime cannot be executed");
        assert_eq!(code, Code::RESOURCE_EXHAUSTED, "{message}");
        limit(None);
        self.shim.delete(self.id, "").expect("stopped");
    }

    /// Creates the other container with a little more at each attempt, until it succeeds. Whatever was missing, the status
    /// is the right one, and nothing of the attempt is left. `limit` gets how much there is.
    fn create_until_success(&self, request: &api::CreateTaskRequest, mut limit: impl FnMut(Option<usize>)) {
        let fds = count_fds(self.shim.pid);
        for place in 0..PLACES {
            limit(Some(place));
            let answer: Result<api::CreateTaskResponse, _> = self.shim.call("Create", request);
            assert!(self.shim.status(self.id).is_ok(), "the shim responds");
            limit(None);
            match answer {
                Ok(_) => {
                    assert!(place > 0, "nothing was missing");
                    remark(&format!("`create` succeeds at place {place}"));
                    self.shim.kill(self.other, "");
                    assert_eq!(self.shim.wait(self.other, ""), Ok(137));
                    self.shim.delete(self.other, "").expect("stopped");
                    return self.assert_clean(fds);
                }
                Err((code, message)) => {
                    assert_eq!(code, Code::RESOURCE_EXHAUSTED, "place {place}: {message}");
                    self.assert_clean(fds);
                }
            }
        }
        panic!("no success");
    }

    /// Starts an exec process with a little more at each attempt, until it succeeds.
    fn exec_until_success(&self, request: &api::ExecProcessRequest, mut limit: impl FnMut(Option<usize>)) {
        let fds = count_fds(self.shim.pid);
        for place in 0..PLACES {
            let exec_id = format!("x{place}");
            self.shim.good("Exec", &api::ExecProcessRequest { exec_id: exec_id.clone(), ..request.clone() });
            limit(Some(place));
            let answer = self.shim.start_process(self.id, &exec_id);
            assert!(self.shim.status(self.id).is_ok(), "the shim responds");
            limit(None);
            let status = self.shim.wait(self.id, &exec_id);
            self.shim.delete(self.id, &exec_id).expect("stopped");
            match answer {
                Ok(_) => {
                    assert!(place > 0, "nothing was missing");
                    remark(&format!("`exec` succeeds at place {place}"));
                    assert_eq!(status, Ok(6));
                    return self.assert_clean(fds);
                }
                Err((code, message)) => {
                    assert_eq!(code, Code::RESOURCE_EXHAUSTED, "place {place}: {message}");
                    assert_eq!(status, Ok(255));
                    self.assert_clean(fds);
                }
            }
        }
        panic!("no success");
    }

    /// Only the first container is there, and its shim has as many descriptors as before.
    fn assert_clean(&self, fds: usize) {
        eventually("no descriptor is left", || count_fds(self.shim.pid) <= fds);
        let states = std::fs::read_dir(self.shim.state_dir()).into_iter().flatten().flatten();
        let names = states.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names: Vec<String> = names.filter(|name| !name.ends_with(".lock")).collect();
        assert_eq!(names, [self.id]);
        for bundle in self.bundles {
            assert_eq!(mounts(bundle), Vec::<String>::new());
            let files = std::fs::read_dir(bundle).expect("bundle exists").flatten();
            let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
            let known = ["config.json", "rootfs", "red-shim.json"];
            let others: Vec<String> = names.filter(|name| !known.contains(&name.as_str())).collect();
            assert_eq!(others, Vec::<String>::new());
            let bundle = bundle.display().to_string();
            let pgrep = || run(Command::new("pgrep").args(["-f", &bundle])).out;
            eventually("no process is left", || pgrep().is_empty());
        }
        assert_eq!(self.shim.status(self.other).expect_err("not created").0, Code::NOT_FOUND);
    }

    /// Requests with each kind of streams.
    fn requests(&self) -> Vec<(api::CreateTaskRequest, api::ExecProcessRequest)> {
        let fifo = |name: &str| {
            let path = self.stage.pool.join(name);
            if !path.exists() {
                run(Command::new("mkfifo").arg(&path)).good();
            }
            path.display().to_string()
        };
        let log = format!("file://{}", self.stage.pool.join("log").display());
        let streams = [
            (String::new(), String::new(), false),
            (fifo("in"), log, false),
            (fifo("in"), fifo("out"), true),
        ];
        let requests = streams.into_iter().map(|(stdin, stdout, terminal)| {
            let create = api::CreateTaskRequest {
                stdin: stdin.clone(),
                stdout: stdout.clone(),
                terminal,
                ..self.shim.create(self.other, &self.bundles[usize::from(terminal)])
            };
            let exec = exec(self.id, "", exit_6(terminal));
            (create, api::ExecProcessRequest { stdin, stdout, terminal, ..exec })
        });
        requests.collect()
    }
}

#[test]
fn file_descriptors_run_out() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping(&stage, "a", false), "limit-a");
    let bundles = [sleeping(&stage, "b", false), sleeping(&stage, "t", true)];
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&shim.create(id, &bundle));
    let run = Run { stage: &stage, shim: &shim, id, other: "limit-a2", bundles: &bundles };
    let limit = |place: Option<usize>| {
        let used = open_fds(shim.pid);
        let free = (0..).find(|fd| !used.contains(fd)).expect("a number");
        limit_fds(shim.pid, place.map_or(1024, |place| free + place));
    };
    for (create, exec) in run.requests() {
        run.create_until_success(&create, limit);
        // Signals need no descriptor.
        run.exec_until_success(&exec, limit);
    }
    run.kill_and_delete(limit);
}

#[test]
fn a_shim_without_file_descriptors_answers_one_more_client_and_rests() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping(&stage, "a", false), "limit-b");
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&shim.create(id, &bundle));
    let used = open_fds(shim.pid);
    limit_fds(shim.pid, (0..).find(|fd| !used.contains(fd)).expect("a number"));
    let second = shim.connect();
    assert!(second.status(id).is_ok());
    let waiting = shim.connect();
    let time = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", shim.pid)).expect("running");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum::<u64>()
    };
    let before = time();
    std::thread::sleep(std::time::Duration::from_secs(1));
    // Of 100 ticks a second; waiting for connections in vain takes all of them.
    assert!(time() - before < 50, "{} ticks", time() - before);
    drop(second);
    assert!(waiting.status(id).is_ok());
    limit_fds(shim.pid, 1024);
    assert!(shim.connect().status(id).is_ok());
    drop(waiting);
    eventually("all connections are closed", || open_fds(shim.pid).len() <= used.len());
}

#[test]
fn processes_run_out() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping(&stage, "a", false), "limit-c");
    let bundles = [sleeping(&stage, "b", false), sleeping(&stage, "t", true)];
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&shim.create(id, &bundle));
    let Some(cgroup) = LimitedCgroup::enter("pids", shim.pid) else {
        return remark("no pids controller here");
    };
    let run = Run { stage: &stage, shim: &shim, id, other: "limit-c2", bundles: &bundles };
    let limit = |place: Option<usize>| {
        let used =
            cgroup.read("pids.current").and_then(|count| count.parse::<usize>().ok()).expect("a number");
        cgroup.write("pids.max", &place.map_or("max".to_owned(), |place| (used + place).to_string()));
    };
    for (create, exec) in run.requests() {
        run.create_until_success(&create, limit);
        run.exec_until_success(&exec, limit);
    }
    run.kill_and_delete(limit);
}

/// Options with another root of the runtime's state directories.
fn root_option(
    root: &Path,
) -> containerd_shim_protos::protobuf::MessageField<
    containerd_shim_protos::protobuf::well_known_types::any::Any,
> {
    let options = Options { root: root.display().to_string(), ..Options::default() };
    any("containerd.runc.v1.Options", options.write_to_bytes().expect("complete message"))
}

#[test]
fn the_disk_is_full() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping(&stage, "a", false), "limit-d");
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&shim.create(id, &bundle));
    let disk = Tmpfs::sized(&stage.pool.mkdir("disk"), 1 << 20);
    let bundles = [sleeping(&stage, "disk/b", false), sleeping(&stage, "disk/t", true)];
    let run = Run { stage: &stage, shim: &shim, id, other: "limit-d2", bundles: &bundles };
    let limit = |place: Option<usize>| match place {
        Some(place) => disk.fill(place as u64 * 4096),
        None => disk.empty(),
    };
    let states = stage.pool.join("disk/states");
    for options in [root_option(&states), Default::default()] {
        let create = api::CreateTaskRequest { options, ..shim.create(run.other, &bundles[0]) };
        run.create_until_success(&create, limit);
    }
    // What is there can be started, executed in, and ended.
    let create =
        api::CreateTaskRequest { options: root_option(&states), ..shim.create(run.other, &bundles[0]) };
    let _: api::CreateTaskResponse = shim.call("Create", &create).expect("there is space");
    disk.fill(0);
    shim.start_process(run.other, "").expect("needs no space");
    shim.good("Exec", &exec(run.other, "x", exit_6(false)));
    let (code, message) = shim.start_process(run.other, "x").expect_err("no space");
    assert_eq!(code, Code::RESOURCE_EXHAUSTED, "{message}");
    shim.delete(run.other, "x").expect("never started");
    shim.kill(run.other, "");
    assert_eq!(shim.wait(run.other, ""), Ok(137));
    shim.delete(run.other, "").expect("a full disk does not keep it");
    disk.empty();
}

/// The kernel's OOM killer ends the runtime, or the shim as if it was killed.
#[test]
fn memory_runs_out() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping(&stage, "a", false), "limit-e");
    let other = sleeping(&stage, "b", false);
    let shim = Shim::start(&stage, &bundle, id);
    let pid = shim.run(&shim.create(id, &bundle));
    let Some(cgroup) = LimitedCgroup::enter("memory", shim.pid) else {
        return remark("no memory controller here");
    };
    let v1 = cgroup.read("memory.limit_in_bytes").is_some();
    let (usage, max) = if v1 {
        ("memory.usage_in_bytes", "memory.limit_in_bytes")
    } else {
        ("memory.current", "memory.max")
    };
    let request = shim.create("limit-e2", &other).write_to_bytes().expect("complete message");
    let mut failures = 0;
    for place in 0..PLACES {
        let used: usize = cgroup.read(usage).and_then(|bytes| bytes.parse().ok()).expect("a number");
        cgroup.write(max, &(used + (place + 2) * (128 << 10)).to_string());
        let answer = shim.try_raw("Create", request.clone());
        let is_alive = Path::new(&format!("/proc/{}/exe", shim.pid)).read_link().is_ok();
        if is_alive {
            cgroup.write(max, if v1 { "-1" } else { "max" });
        }
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "the container runs");
        match answer {
            Some(Ok(_)) => break,
            Some(Err((code, message))) => {
                assert_eq!(code, Code::RESOURCE_EXHAUSTED, "place {place}: {message}")
            }
            None => {
                remark(&format!("the shim was killed at place {place}"));
                assert!(!is_alive);
                run(&mut shim.delete_command(id)).good();
                return eventually("the container is removed", || {
                    !Path::new(&format!("/proc/{pid}")).exists()
                });
            }
        }
        failures += 1;
        assert!(shim.status(id).is_ok());
        assert_eq!(shim.status("limit-e2").expect_err("not created").0, Code::NOT_FOUND);
    }
    remark(&format!("`create` succeeds at place {failures}"));
    assert!(failures > 0, "nothing was missing");
    for id in [id, "limit-e2"] {
        shim.kill(id, "");
        assert_eq!(shim.wait(id, ""), Ok(137));
        shim.delete(id, "").expect("stopped");
    }
}

/// Without a message of the runtime, SIGKILL is the only sign of the OOM killer.
#[test]
fn a_runtime_that_the_oom_killer_ends() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping(&stage, "a", false), "limit-g");
    let killed = r#"case " $* " in *" create "*) kill -9 $$ ;; esac; exec $runtime "$@""#;
    let options = binary_option(&runtime_wrapper(&stage, "killed", killed));
    let shim = Shim::start(&stage, &bundle, id);
    let (code, message) =
        shim.wrong("Create", &api::CreateTaskRequest { options, ..shim.create(id, &bundle) });
    assert_eq!(code, Code::RESOURCE_EXHAUSTED);
    assert!(message.contains("OCI runtime create failed: killed was killed by SIGKILL"), "{message}");
    shim.run(&shim.create(id, &bundle));
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
}

/// A file that the log of a container fills is no concern of the container's, and is written again when there is space.
#[test]
fn a_full_disk_of_logs_stops_no_container() {
    let stage = Stage::new();
    let id = "limit-f";
    let script = "while :; do echo 0123456789012345678901234567890123456789; echo x >>/tmp/ticks; done";
    let bundle = stage.plain("a", &["/usr/bin/sh", "-c", script], |spec| {
        let mounts = spec["mounts"].as_array_mut().expect("mounts");
        mounts.push(
            serde_json::json!({"destination": "/tmp", "type": "bind", "source": stage.pool.mkdir("ticks"),
            "options": ["bind"]}),
        );
    });
    let disk = Tmpfs::sized(&stage.pool.mkdir("disk"), 256 << 10);
    let log = stage.pool.join("disk/log");
    let shim = Shim::start(&stage, &bundle, id);
    let stdout = format!("file://{}", log.display());
    shim.run(&api::CreateTaskRequest { stdout, ..shim.create(id, &bundle) });
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |about| about.len());
    eventually("the disk is full", || length(&log) + 8192 > 256 << 10);
    let ticks = stage.pool.join("ticks/ticks");
    let before = length(&ticks);
    eventually("the container goes on", || length(&ticks) > before + 1000);
    assert!(shim.status(id).is_ok());
    std::fs::File::options().write(true).open(&log).and_then(|file| file.set_len(0)).expect("root may");
    eventually("the log is written again", || length(&log) > 1000);
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
    disk.empty();
}
