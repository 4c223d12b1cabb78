//! Settings of a configuration: each is applied, or refused by its name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, built, run};
use red_tests::engine::{Engine, named};
use red_tests::stage::Stage;
use serde_json::{Value, json};

fn engine() -> Engine {
    Engine::new(Stage::new())
}

/// Whether this machine has cgroups of version 1, whose files the test reads; says so if not.
fn on_version_one() -> bool {
    let there = Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists();
    if !there {
        red_tests::remark("this machine has no cgroups of version 1");
    }
    there
}

#[test]
fn clocks_are_those_that_were_asked_for() {
    let engine = engine();
    let with = |spec: &mut Value, offsets: Value| {
        spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "time"}));
        spec["linux"]["timeOffsets"] = offsets;
    };
    let script = "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime";
    let said = engine.plain(script, |spec| {
        with(spec, json!({"boottime": {"secs": 9_000_000}, "monotonic": {"secs": 5, "nanosecs": 7}}));
    });
    let words: Vec<&str> = said.out.split_whitespace().collect();
    assert_eq!(words[..6], ["monotonic", "5", "7", "boottime", "9000000", "0"], "{}{}", said.out, said.err);
    assert!(words[6].parse::<u64>().expect("seconds") > 9_000_000, "{}", said.out);
    // Together with a user namespace too; and the launcher keeps its own.
    let said = engine.plain("cat /proc/self/timens_offsets", |spec| {
        with(spec, json!({"monotonic": {"secs": 3}}));
        spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
        spec["linux"]["gidMappings"] = spec["linux"]["uidMappings"].clone();
    });
    assert!(said.clone().good().out.split_whitespace().take(2).eq(["monotonic", "3"]), "{}", said.out);
    let said = engine.plain_refusal(|spec| with(spec, json!({"realtime": {"secs": 1}})));
    assert!(said.contains("linux.timeOffsets: unknown clock `realtime`"), "{said}");
    let said = engine.plain_refusal(|spec| with(spec, json!({"boottime": {"secs": -9_000_000_000_i64}})));
    assert!(said.contains("linux.timeOffsets (boottime -9000000000 0)"), "{said}");
    let said = engine.plain_refusal(|spec| spec["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 1}}));
    assert!(said.contains("no new time namespace"), "{said}");
    let said = engine.plain_refusal(|spec| {
        spec["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 1}});
        named(spec, "time", Path::new("/proc/self/ns/time"));
    });
    assert!(said.contains("no new time namespace"), "{said}");
}

#[test]
fn a_process_runs_in_its_domain_and_as_it_is_scheduled() {
    let engine = engine();
    let change = |spec: &mut Value| {
        spec["linux"]["personality"] = json!({"domain": "LINUX32"});
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 3});
        spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
    };
    let machine = run(Command::new("linux32").args(["uname", "-m"])).out;
    let wanted = format!("{machine}idle\nSCHED_BATCH\n7\n");
    let script = "uname -m; ionice; chrt -p $$ | sed -n 's/.*policy: //p'; nice";
    assert_eq!(engine.plain(script, change).good().out, wanted);
    // A further command has the same.
    let bundle = engine.stage.plain("q", &["sleep", "60"], change);
    engine.stage.start(&bundle, "c");
    assert_eq!(engine.stage.runtime(["exec", "c", "sh", "-c", script]).good().out, wanted);
    let process = json!({
        "cwd": "/", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}, "scheduler": {"policy": "SCHED_IDLE"},
    });
    let file = engine.stage.pool.write("process.json", process.to_string());
    let said = engine.stage.runtime(["exec", "--process", &file.display().to_string(), "c"]);
    let nice = rustix::process::getpriority_process(None).expect("the caller's own");
    assert_eq!(said.good().out, format!("{machine}best-effort: prio 6\nSCHED_IDLE\n{nice}\n"));
    engine.stage.runtime(["delete", "--force", "c"]).good();
    for (field, value, words) in [
        (
            "ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "process.ioPriority: invalid priority: 8",
        ),
        ("scheduler", json!({"policy": "SCHED_ISO"}), "process.scheduler: the kernel has no SCHED_ISO"),
        ("scheduler", json!({"policy": "SCHED_OTHER", "priority": 5}), "process.scheduler"),
        ("execCPUAffinity", json!({"initial": "0"}), "process.execCPUAffinity: is not supported"),
    ] {
        let said = engine.plain_refusal(|spec| spec["process"][field] = value.clone());
        assert!(said.contains(words), "{field}: {said}");
    }
    let said = engine.plain_refusal(|spec| {
        spec["linux"]["personality"] = json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]});
    });
    assert!(said.contains("linux.personality: unknown flag `ADDR_NO_RANDOMIZE`"), "{said}");
}

/// Of a node nothing has more of the machine than its limits leave it, from the start or later.
#[test]
fn no_process_of_a_node_is_scheduled_past_its_limits() {
    let engine = engine();
    let bundle = engine.node("n", &["sleep", "60"], |_| {});
    let mut create = engine.command();
    create.args(["create", "-b"]).arg(&bundle).arg("n").stdout(Stdio::null()).stderr(Stdio::null());
    assert!(create.status().expect("it starts").success());
    for (field, value) in [
        ("scheduler", json!({"policy": "SCHED_FIFO", "priority": 1})),
        ("scheduler", json!({"policy": "SCHED_OTHER", "nice": -20})),
        ("ioPriority", json!({"class": "IOPRIO_CLASS_RT", "priority": 0})),
        ("rlimits", json!([{"type": "RLIMIT_NICE", "soft": 40, "hard": 40}])),
    ] {
        let said = engine.refusal(|spec| spec["process"][field] = value.clone());
        assert!(said.contains("lifts limits of node"), "{said}");
        let mut process = json!({"cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}});
        process[field] = value;
        let file = engine.stage.pool.write("process.json", process.to_string());
        let said = engine.stage.runtime(["exec", "--process", &file.display().to_string(), "n"]);
        assert!(said.code != 0 && said.err.contains("lifts limits of the container's node"), "{}", said.err);
    }
}

/// A node's user is one of the host, whatever an engine calls him.
#[test]
fn a_users_number_on_the_host_is_the_nodes() {
    let engine = Engine::new(Stage::with(", set-user: '65534', set-group: '65534'", ""));
    let mapped = |maps: Value| {
        move |spec: &mut Value| {
            spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
            spec["linux"]["uidMappings"] = maps.clone();
            spec["linux"]["gidMappings"] = maps;
        }
    };
    let said = engine.refusal(mapped(json!([{"containerID": 0, "hostID": 100_000, "size": 65536}])));
    assert!(
        said.contains("makes 165534 on the host of user 65534, and the node has `set-user: 65534`"),
        "{said}"
    );
    let maps = json!([
        {"containerID": 0, "hostID": 100_000, "size": 65534}, {"containerID": 65534, "hostID": 65534, "size": 1}
    ]);
    let bundle = engine.node(
        "b",
        &["sh", "-c", "id -u; stat -c %u /nodes/app/private/x || touch /nodes/app/private/x"],
        |spec| mapped(maps)(spec),
    );
    std::os::unix::fs::chown(engine.stage.leaf.join("private"), Some(65534), None).expect("it is ours");
    assert_eq!(engine.run(&bundle).good().out, "65534\n");
    let made = fs::metadata(engine.stage.leaf.join("private/x")).expect("it was made");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 65534);
}

/// Runs a bundle whose root belongs to whom the first user of a namespace is on the host.
fn on_own_root(engine: &Engine, change: impl FnOnce(&mut Value)) -> Said {
    let bundle = engine.stage.plain("u", &["sh", "-c", "stat -c %u /run/below; id -u"], change);
    std::os::unix::fs::chown(bundle.join("rootfs"), Some(100_000), Some(100_000)).expect("it is ours");
    engine.run(&bundle)
}

/// Somebody in a user namespace, who ends with the test.
struct Unmapped(std::process::Child);

impl Drop for Unmapped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whoever makes a root in a user namespace is somebody there, and not the host's root that has come in.
#[test]
fn nobody_who_is_not_mapped_makes_a_root() {
    let engine = engine();
    let mapped = |inside: u32| {
        move |spec: &mut Value| {
            spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
            spec["linux"]["uidMappings"] = json!([{"containerID": inside, "hostID": 100_000, "size": 1}]);
            spec["linux"]["gidMappings"] = spec["linux"]["uidMappings"].clone();
            spec["process"]["user"] = json!({"uid": inside, "gid": inside});
            let mounts = spec["mounts"].as_array_mut().expect("a list");
            mounts.push(json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs"}));
            mounts.push(json!({"destination": "/run/below/it", "type": "tmpfs", "source": "tmpfs"}));
        }
    };
    for inside in [1000, 65534] {
        let said = on_own_root(&engine, mapped(inside));
        assert_eq!(said.clone().good().out, format!("{inside}\n{inside}\n"), "{}", said.err);
    }
    // The same in a namespace of others, of which the configuration says nothing.
    let mut holder = Command::new("unshare");
    holder.args(["--user", "sleep", "60"]);
    let holder = Unmapped(holder.spawn().expect("it starts"));
    let of = format!("/proc/{}", holder.0.id());
    red_tests::stage::eventually("a user namespace", || {
        fs::read_link(format!("{of}/ns/user")).ok() != fs::read_link("/proc/self/ns/user").ok()
    });
    let join = |spec: &mut Value| {
        named(spec, "user", Path::new(&format!("{of}/ns/user")));
        spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        let mounts = spec["mounts"].as_array_mut().expect("a list");
        mounts.push(json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs"}));
        mounts.push(json!({"destination": "/run/below/it", "type": "tmpfs", "source": "tmpfs"}));
    };
    let said = on_own_root(&engine, join);
    assert!(said.code == 1 && said.err.contains("its uid_map is empty"), "{}{}", said.out, said.err);
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("{of}/{file}"), "1000 100000 1").expect("it may be written");
    }
    let said = on_own_root(&engine, join);
    assert_eq!(said.clone().good().out, "1000\n1000\n", "{}", said.err);
}

/// A device that can only be the host's own has its owner, or is not there.
#[test]
fn a_device_belongs_to_whom_it_was_asked_for() {
    let engine = engine();
    let device = |uid: u32| {
        move |spec: &mut Value| {
            for mount in spec["mounts"].as_array_mut().expect("a list") {
                if mount["destination"] == "/dev" {
                    mount["options"] = json!(["nosuid", "nodev", "mode=755", "size=64k"]);
                }
            }
            spec["linux"]["devices"] =
                json!([{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "uid": uid, "gid": 0}]);
        }
    };
    assert_eq!(engine.plain("stat -c %u /dev/mine", device(0)).good().out, "0\n");
    let said = engine.plain_refusal(device(7));
    assert!(said.contains("device /dev/mine") && said.contains("belongs to 0:0 instead of 7:0"), "{said}");
}

#[test]
fn what_is_not_applied_is_refused_by_its_name() {
    let engine = engine();
    for (field, value, words) in [
        ("intelRdt", json!({"closID": "x"}), "linux.intelRdt: is not supported"),
        ("memoryPolicy", json!({"mode": "MPOL_DEFAULT"}), "linux.memoryPolicy: is not supported"),
        (
            "resources",
            json!({"rdma": {"mlx5_0": {"hcaHandles": 3}}}),
            "linux.resources.rdma: is not supported",
        ),
    ] {
        let said = engine.plain_refusal(|spec| spec["linux"][field] = value.clone());
        assert!(said.contains(words), "{field}: {said}");
    }
    for version in ["2.0.0", "banana", "", "1.0", "0.9.0"] {
        let said = engine.plain_refusal(|spec| spec["ociVersion"] = json!(version));
        assert!(said.contains("ociVersion"), "{version}: {said}");
    }
    let said =
        engine.plain_refusal(|spec| drop(spec.as_object_mut().expect("an object").remove("ociVersion")));
    assert!(said.contains("ociVersion"), "{said}");
    for version in ["1.0.0", "1.2.1", "1.3.0-rc.1+dev"] {
        engine.plain("true", |spec| spec["ociVersion"] = json!(version)).good();
    }
    let said = engine.plain_refusal(|spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("a list").retain(|one| one["type"] != "mount");
    });
    assert!(said.contains("there is no mount namespace"), "{said}");
}

/// The file of a container's cgroup of version 1.
fn file(path: &str, name: &str) -> PathBuf {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("it is there").flatten();
    let found = hierarchies.map(|one| one.path().join(path).join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no {name} of {path}"))
}

/// Cgroups of the test's own, gone in the end.
struct Made(&'static str);

impl Drop for Made {
    fn drop(&mut self) {
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let path = hierarchy.path().join(self.0);
            let state = path.join("freezer.state");
            if state.exists() {
                fs::write(state, "THAWED").ok();
            }
            run(Command::new("find").arg(&path).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]));
        }
    }
}

#[test]
fn limits_are_set_or_named() {
    if !on_version_one() {
        return;
    }
    let engine = engine();
    let made = Made("red-test-limits");
    let said = engine
        .plain_refusal(|spec| spec["linux"]["resources"] = json!({"unified": {"memory.high": "1000000"}}));
    assert!(said.contains("linux.resources.unified `memory.high`") && said.contains("version 1"), "{said}");
    let bundle = engine.stage.plain("p", &["sleep", "60"], |spec| {
        spec["linux"]["cgroupsPath"] = json!("/red-test-limits/c");
        spec["linux"]["resources"] = json!({"memory": {"disableOOMKiller": true}, "cpu": {"burst": 4000}});
    });
    engine.stage.start(&bundle, "c");
    let read = |name: &str| fs::read_to_string(file("red-test-limits/c", name)).expect("it is there");
    assert!(read("memory.oom_control").contains("oom_kill_disable 1"));
    assert_eq!(read("cpu.cfs_burst_us").trim(), "4000");
    let update = |resources: Value| {
        let file = engine.stage.pool.write("resources.json", resources.to_string());
        engine.stage.runtime(["update", "--resources", &file.display().to_string(), "c"])
    };
    update(json!({"cpu": {"burst": 3000}})).good();
    assert_eq!(read("cpu.cfs_burst_us").trim(), "3000");
    // Another limit says nothing of it.
    update(json!({"memory": {"limit": 64 << 20}})).good();
    assert!(read("memory.oom_control").contains("oom_kill_disable 1"));
    update(json!({"memory": {"disableOOMKiller": false}})).good();
    assert!(read("memory.oom_control").contains("oom_kill_disable 0"));
    let said = update(json!({"unified": {"memory.high": "1"}}));
    assert!(said.code == 1 && said.err.contains("version 1"), "{}", said.err);
    engine.stage.runtime(["delete", "--force", "c"]).good();
    drop(made);
}

#[test]
fn a_cgroup_made_beforehand_is_filled_and_a_frozen_one_is_refused() {
    if !on_version_one() {
        return;
    }
    let engine = engine();
    let _made = Made("red-test-before");
    let below = |hierarchy: &str, path: &str| PathBuf::from("/sys/fs/cgroup").join(hierarchy).join(path);
    for path in ["red-test-before/a/b", "red-test-before/leaf"] {
        fs::create_dir_all(below("cpuset", path)).expect("the test is root's");
    }
    for path in ["/red-test-before/a/b/c", "/red-test-before/leaf"] {
        let said = engine.plain("echo ran", |spec| spec["linux"]["cgroupsPath"] = json!(path));
        assert_eq!(said.good().out, "ran\n", "{path}");
    }
    for path in ["red-test-before/f/there", "red-test-before/f"] {
        fs::create_dir_all(below("freezer", path)).expect("the test is root's");
    }
    fs::write(below("freezer", "red-test-before/f/freezer.state"), "FROZEN").expect("the test is root's");
    for path in ["/red-test-before/f/there", "/red-test-before/f/new"] {
        let said = engine.plain_refusal(|spec| spec["linux"]["cgroupsPath"] = json!(path));
        assert!(said.contains("is frozen, and nothing would run in it"), "{path}: {said}");
    }
    // An empty path is none.
    engine.plain("true", |spec| spec["linux"]["cgroupsPath"] = json!("")).good();
}

#[test]
fn a_missing_controller_is_named() {
    if !on_version_one() {
        return;
    }
    let engine = engine();
    let bundle = engine.stage.plain("p", &["echo", "ran"], |_| {});
    let config = bundle.join("config.json");
    let text = fs::read_to_string(&config).expect("it is there");
    for (hierarchy, resources, controller) in [
        ("pids", json!({"pids": {"limit": 5}}), "pids"),
        ("memory", json!({"memory": {"limit": 64 << 20}}), "memory"),
        ("cpuset", json!({"cpu": {"cpus": "0"}}), "cpuset"),
        ("blkio", json!({"blockIO": {"weight": 100}}), "blkio"),
    ] {
        let mut spec: Value = serde_json::from_str(&text).expect("it is JSON");
        spec["linux"]["resources"] = resources;
        fs::write(&config, spec.to_string()).expect("it is ours");
        let script = format!(
            "umount -l /sys/fs/cgroup/{hierarchy} && exec {} --root {} run --bundle {} c",
            built("red-runtime").display(),
            engine.stage.root.display(),
            bundle.display()
        );
        let said = run(Command::new("unshare").args(["-m", "sh", "-c", &script]));
        let words = format!("controller `{controller}` is missing; controllers that are available here: ");
        assert!(said.code == 1 && said.err.contains(&words), "{hierarchy}: {}{}", said.out, said.err);
        let low = said.err.to_lowercase();
        assert!(!low.contains("no such file") && !low.contains("not found"), "{}", said.err);
        // Without a limit of it nothing is missed, nor where its cgroups are shown.
        let mut spec: Value = serde_json::from_str(&text).expect("it is JSON");
        spec["linux"]["resources"] =
            json!({"memory": {"swap": -1}, "cpu": {}, "blockIO": {}, "pids": {"limit": 0}});
        for (at, kind) in [("/sys", "sysfs"), ("/sys/fs/cgroup", "cgroup")] {
            red_tests::engine::add(&mut spec, json!({"destination": at, "type": kind, "source": kind}));
        }
        fs::write(&config, spec.to_string()).expect("it is ours");
        assert_eq!(run(Command::new("unshare").args(["-m", "sh", "-c", &script])).good().out, "ran\n");
    }
}

/// A process in namespaces of its own, for others to join; it ends with the test.
struct Holder(std::process::Child);

impl Holder {
    fn new() -> Self {
        let child = Command::new("unshare").args(["-n", "-i", "sleep", "100"]).spawn().expect("it starts");
        let own = |kind: &str, of: &str| fs::read_link(format!("/proc/{of}/ns/{kind}")).ok();
        let id = child.id().to_string();
        red_tests::stage::eventually("the holder is there", || own("ipc", &id) != own("ipc", "self"));
        Self(child)
    }

    fn path(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.0.id()).into()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a pod's container gets: namespaces of the pod by path, and the file systems that show them.
fn in_pod(spec: &mut Value, holder: &Holder) {
    spec["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list")
        .retain(|one| one["type"] != "network" && one["type"] != "ipc");
    named(spec, "network", &holder.path("net"));
    named(spec, "ipc", &holder.path("ipc"));
    for (at, kind) in [("/sys", "sysfs"), ("/dev/mqueue", "mqueue")] {
        spec["mounts"]
            .as_array_mut()
            .expect("a list")
            .push(json!({"destination": at, "type": kind, "source": kind}));
    }
}

#[test]
fn what_is_handed_over_decides_the_user_namespace() {
    let holder = Holder::new();
    let engine = engine();
    let script = "ls /sys/class/net; grep -c ' /dev/mqueue .* mqueue ' /proc/self/mountinfo; readlink /proc/self/ns/user";
    let own = fs::read_link("/proc/self/ns/user").expect("it is there").display().to_string();
    let bundle = engine.node("b", &["sh", "-c", script], |spec| in_pod(spec, &holder));
    assert_eq!(engine.run(&bundle).good().out, format!("lo\n1\n{own}\n"));
    // A bundle that wants both has a /sys of nobody's.
    let said = engine.plain_refusal(|spec| {
        in_pod(spec, &holder);
        spec["mounts"].as_array_mut().expect("a list").retain(|one| one["type"] != "mqueue");
        spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
        spec["linux"]["gidMappings"] = spec["linux"]["uidMappings"].clone();
    });
    assert!(said.contains("mount /sys: the network namespace belongs to another user namespace"), "{said}");
    // A node that says so itself is refused, with its line.
    let engine = Engine::new(Stage::with(", share_user: Disabled", ""));
    let said = engine.refusal(|spec| in_pod(spec, &holder));
    let words = ["the engine hands over net namespace", "`share_user: Disabled`", "core/etc/redpak.yaml:2:"];
    assert!(words.iter().all(|words| said.contains(words)), "{said}");
}

#[test]
fn an_account_file_stands_in_what_a_leaf_exports_or_it_is_said_beforehand() {
    for made in [false, true] {
        let stage = Stage::with("", "  - {mode: Public, mount: /etc, path: $NODE_PATH/own-etc}\n");
        stage.pool.mkdir("core/mid/app/own-etc");
        if made {
            stage.pool.write("core/mid/app/own-etc/passwd", "");
        }
        let ran = stage.wrap(&["grep", "-c", "root", "/etc/passwd"]);
        let checked = run(red_tests::call::red_conf().arg("check").arg(&stage.leaf));
        if made {
            assert_eq!(ran.good().out, "1\n");
            checked.good();
        } else {
            for said in [ran, checked] {
                assert!(said.code != 0, "{}", said.out);
                let text = format!("{}{}", said.out, said.err);
                assert!(text.contains("/etc/passwd lies in the export of /etc: it needs"), "{text}");
            }
        }
    }
}

#[test]
fn a_place_is_where_its_path_leads() {
    let engine = engine();
    let at = |path: &str| json!({"destination": path, "type": "tmpfs", "source": "tmpfs"});
    let said = engine.plain("ls -d /b /c/d; grep -c ' /[bc].* tmpfs ' /proc/self/mountinfo", |spec| {
        let mounts = spec["mounts"].as_array_mut().expect("a list");
        mounts.extend([at("/a/../b"), at("/../c/./x/../d")]);
    });
    assert_eq!(said.good().out, "/b\n/c/d\n2\n");
    // What is judged is where it stands.
    for (path, words) in [("/x/../proc/sys", "lies in /proc"), ("/x/..", "would cover the root")] {
        let said = engine.plain_refusal(|spec| spec["mounts"].as_array_mut().expect("a list").push(at(path)));
        assert!(said.contains(words), "{path}: {said}");
    }
    let dir = engine.stage.pool.mkdir("dir");
    for path in ["/x/../usr/bin", "/tmp/../usr"] {
        let volume = red_tests::engine::volume(&dir, path, &["rbind"]);
        let said = engine.refusal(|spec| red_tests::engine::add(spec, volume));
        assert!(said.contains("would cover"), "{path}: {said}");
    }
}

#[test]
fn sockets_of_a_service_manager_reach_a_bundle() {
    let engine = engine();
    let script = "echo $LISTEN_FDS $LISTEN_FDNAMES; test $LISTEN_PID = $$ && cat <&3; ls /proc/self/fd | grep -c '^4$'";
    let bundle = engine.stage.plain("p", &["sh", "-c", script], |_| {});
    let file = engine.stage.pool.write("handed", "contents\n");
    let start = |variables: &str| {
        let script = format!(
            "exec 3<{} 4</dev/null; export {variables}; exec {} --root {} run --bundle {} c",
            file.display(),
            built("red-runtime").display(),
            engine.stage.root.display(),
            bundle.display()
        );
        run(Command::new("bash").args(["-c", &script]))
    };
    let said = start("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web");
    assert!(said.out.starts_with("1 web\ncontents\n"), "{}{}", said.out, said.err);
    // Those of another process are none of ours.
    let said = start("LISTEN_PID=1 LISTEN_FDS=1");
    assert!(said.out.starts_with('\n') && !said.out.contains("contents"), "{}{}", said.out, said.err);
}
