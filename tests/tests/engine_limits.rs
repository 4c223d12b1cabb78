//! Limits that an engine sends: they are of the container's own cgroup, and lift none of the node's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, run};
use red_tests::engine::{Engine, add, volume};
use red_tests::stage::{Stage, eventually};
use serde_json::{Value, json};

const LIVES: [&str; 2] = ["sleep", "1000"];

/// A family with limits of its own.
fn limited() -> Engine {
    let limits = ", cgroups: {pids: {max: 20}, mem: {max: 100M}, cpu: {weight: 50, max: \"50000 100000\"}}";
    Engine::new(Stage::with(limits, ""))
}

/// A command with the cgroups of version 2 in a mount namespace of its own.
fn on_version_2(command: &Command) -> Command {
    let script = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let mut all = Command::new("unshare");
    all.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    all.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    all.env_clear();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            all.env(key, value);
        }
    }
    all
}

/// A file of a container's cgroup, under the name that this machine's version has.
fn file(cgroup: &str, controller: &str, v1: &str, v2: &str) -> String {
    let v1 = PathBuf::from(format!("/sys/fs/cgroup/{controller}{cgroup}/{v1}"));
    let v2 = PathBuf::from(format!("/sys/fs/cgroup{cgroup}/{v2}"));
    let text = fs::read_to_string(&v1).or_else(|_| fs::read_to_string(v2));
    text.expect("the cgroup is there").trim().to_owned()
}

fn pids(cgroup: &str) -> String {
    file(cgroup, "pids", "pids.max", "pids.max")
}

fn memory(cgroup: &str) -> String {
    file(cgroup, "memory", "memory.limit_in_bytes", "memory.max")
}

fn update(engine: &Engine, id: &str, resources: &Value) -> Said {
    let path = engine.stage.pool.join("resources.json");
    fs::write(&path, resources.to_string()).expect("it is ours");
    run(engine.command().args(["update", "--resources"]).arg(path).arg(id))
}

fn start(engine: &Engine, bundle: &Path, id: &str) {
    let mut create = engine.command();
    create.arg("create").arg("--bundle").arg(bundle).arg(id).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(create.stdin(Stdio::null()).status().expect("it starts").success());
    run(engine.command().args(["start", id])).good();
}

/// libcgroups joins a name to the cgroup's path and writes there as root.
#[test]
fn a_name_of_an_engine_is_a_file_of_the_cgroup() {
    let engine = limited();
    let canary = engine.stage.pool.write("canary", "good\n");
    let named = |name: &str| json!({"unified": {name: "EVIL\n"}});
    let absolute = canary.display().to_string();
    for name in [&absolute, "../../../../../../tmp/x", "./memory.max", "cgroup.procs", "below/memory.max"] {
        let node = engine.node("b", &["true"], |spec| spec["linux"]["resources"] = named(name));
        let plain = engine.stage.plain("p", &["true"], |spec| spec["linux"]["resources"] = named(name));
        for bundle in [&node, &plain] {
            let mut command = engine.command();
            command.arg("run").arg("--bundle").arg(bundle).arg("c");
            for said in [run(&mut on_version_2(&command)), run(&mut command)] {
                assert!(
                    said.code == 1 && said.err.contains("linux.resources.unified: invalid name"),
                    "{name}: {}{}",
                    said.out,
                    said.err
                );
            }
            fs::remove_dir_all(bundle).expect("it is ours");
        }
    }
    let size = json!({"hugepageLimits": [{"pageSize": "2/../../../x", "limit": 1}]});
    let bundle = engine.stage.plain("p", &["true"], |spec| spec["linux"]["resources"] = size.clone());
    let said = engine.run(&bundle);
    assert!(said.code == 1 && said.err.contains("hugepageLimits: invalid name"), "{}{}", said.out, said.err);
    let bundle = engine.stage.plain("p", &LIVES, |_| {});
    start(&engine, &bundle, "lives");
    for resources in [named(&absolute), size] {
        let said = update(&engine, "lives", &resources);
        assert!(said.code == 1 && said.err.contains("invalid name"), "{}{}", said.out, said.err);
    }
    assert_eq!(fs::read_to_string(canary).expect("it is there"), "good\n");
}

#[test]
fn an_engines_zero_lifts_no_limit_of_a_node() {
    let engine = limited();
    let cgroup = format!("/red-zero-{}", std::process::id());
    for resources in [
        json!({}),
        json!({"pids": {"limit": 0}, "memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0}}),
    ] {
        let bundle = engine.node("b", &LIVES, |spec| {
            spec["linux"]["cgroupsPath"] = json!(cgroup);
            spec["linux"]["resources"] = resources.clone();
        });
        start(&engine, &bundle, "zero");
        fs::remove_dir_all(bundle).expect("it is ours");
        assert_eq!((pids(&cgroup), memory(&cgroup)), ("20".into(), "104857600".into()), "{resources}");
        let shares = file(&cgroup, "cpu", "cpu.shares", "cpu.weight");
        assert!(["1287", "50"].contains(&&*shares), "{resources}: {shares}");
        for resources in [
            json!({"pids": {"limit": 0}}),
            json!({"memory": {"limit": 0, "swap": 0}}),
            json!({"cpu": {"shares": 0, "quota": 0, "period": 1_000_000}}),
        ] {
            update(&engine, "zero", &resources).good();
            assert_eq!((pids(&cgroup), memory(&cgroup)), ("20".into(), "104857600".into()), "{resources}");
        }
        // A quota alone is of the usual period, not of one that was set before.
        update(&engine, "zero", &json!({"cpu": {"quota": 1000, "period": 10_000}})).good();
        update(&engine, "zero", &json!({"cpu": {"quota": 9000}})).good();
        let period = file(&cgroup, "cpu", "cpu.cfs_period_us", "cpu.max");
        assert!(period.ends_with("100000"), "{period}");
        run(engine.command().args(["delete", "--force", "zero"])).good();
    }
}

/// podman takes "no such file" for a command that is missing, and ends with 127.
#[test]
fn a_controller_that_is_missing_is_no_missing_command() {
    let engine = limited();
    let probe = run(&mut on_version_2(
        Command::new("cat").arg("/sys/fs/cgroup/cgroup.controllers").env("PATH", "/usr/bin:/bin"),
    ));
    if probe.code != 0 || probe.out.contains("pids") {
        return;
    }
    let bundle = engine.node("b", &["true"], |_| {});
    let mut command = engine.command();
    command.arg("run").arg("--bundle").arg(&bundle).arg("c");
    let said = run(&mut on_version_2(&command));
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(!said.err.to_lowercase().contains("no such file"), "{}", said.err);
    assert!(said.err.contains("controllers that are available here"), "{}", said.err);
}

/// What a process may have open is its own limit, and not of what makes its root.
#[test]
fn few_open_files_keep_no_root_from_being_made() {
    let engine = Engine::new(Stage::new());
    let source = engine.stage.pool.mkdir("source");
    for user in [true, false] {
        let said = engine.plain("ulimit -n; ulimit -Hn; ls / | grep -c ^m", |spec| {
            spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 12}]);
            if user {
                let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("a list");
                namespaces.push(json!({"type": "user"}));
                let maps = json!([{"containerID": 0, "hostID": 0, "size": 70000}]);
                spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
                spec["linux"]["gidMappings"] = maps;
            }
            for number in 0..40 {
                add(spec, volume(&source, &format!("/m{number}"), &["rbind"]));
            }
        });
        assert_eq!(said.clone().good().out, "10\n12\n40\n", "{user} {}", said.err);
    }
}

/// Whoever waits to get into a paused container can be told to stop.
#[test]
fn a_signal_ends_an_exec_that_waits_for_a_paused_container() {
    let engine = Engine::new(Stage::new());
    let bundle = engine.stage.plain("b", &LIVES, |_| {});
    start(&engine, &bundle, "still");
    run(engine.command().args(["pause", "still"])).good();
    for detach in [false, true] {
        let mut exec = engine.command();
        exec.args(["exec", "--ignore-paused"]).args(detach.then_some("--detach"));
        exec.args(["still", "sleep", "998"]).stdin(Stdio::null()).stdout(Stdio::null());
        let err = engine.stage.pool.join("err");
        let mut exec = exec.stderr(fs::File::create(&err).expect("it is ours")).spawn().expect("it starts");
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(exec.try_wait().expect("it is ours").is_none(), "it did not wait");
        let pid = rustix::process::Pid::from_child(&exec);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
        eventually("it ends", || exec.try_wait().expect("it is ours").is_some());
        let said = fs::read_to_string(&err).expect("it is ours");
        assert!(said.contains("a signal came"), "{said}");
    }
    run(engine.command().args(["resume", "still"])).good();
    eventually("nothing is left of it", || {
        !run(engine.command().args(["ps", "still"])).good().out.contains("998")
    });
    run(engine.command().args(["delete", "--force", "still"])).good();
}
