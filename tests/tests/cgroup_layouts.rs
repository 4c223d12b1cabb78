//! Machines whose cgroups lack something: what needs it is refused, by its name, and all else works.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use red_tests::call::{Said, run};
use red_tests::daemon::{has_controller, remove_cgroups};
use red_tests::engine::Engine;
use red_tests::podman::{Podman, through_files};
use red_tests::stage::Stage;
use red_tests::{in_guest, remark, skip};
use serde_json::{Value, json};

/// A command in a mount namespace of its own whose cgroups a script arranged.
fn arranged(script: &str, command: &Command) -> Command {
    let mut all = Command::new("unshare");
    let script = format!("{script}\nexec \"$@\"");
    all.args(["--mount", "--propagation", "private", "bash", "-ec", &script, "bash"]);
    all.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    all.env_clear();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            all.env(key, value);
        }
    }
    all
}

/// What is said where something is refused, and never in words from which podman makes "command not found".
fn refused(said: &Said) -> &str {
    assert!(said.code == 1 && said.out.is_empty(), "{}{}", said.out, said.err);
    assert!(!said.err.to_lowercase().contains("no such file"), "{}", said.err);
    &said.err
}

/// `red-wrap` of a stage's leaf, by a program of that name.
fn wrapped(stage: &Stage) -> Command {
    let program = stage.pool.join("red-wrap");
    if !program.exists() {
        stage.pool.install("red-runtime", "red-wrap");
    }
    let mut command = Command::new(program);
    command.arg("--root").arg(&stage.root).arg("--redpath").arg(&stage.leaf).args(["--", "true"]);
    command
}

/// A plain bundle and a node with resources, each run in an arrangement.
fn both(engine: &Engine, script: &str, resources: &Value) -> [Said; 2] {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    ["plain", "node"].map(|kind| {
        let cgroup = format!("/red-test-layout-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed));
        let change = |spec: &mut Value| {
            spec["linux"]["resources"] = resources.clone();
            spec["linux"]["cgroupsPath"] = json!(cgroup);
        };
        let bundle = match kind {
            "plain" => engine.stage.plain("plain-layout", &["true"], change),
            _ => engine.node("node-layout", &["true"], change),
        };
        let mut command = engine.command();
        command.args(["run", "--bundle"]).arg(&bundle).arg("c");
        let said = run(&mut arranged(script, &command));
        run(engine.command().args(["delete", "--force", "c"])).good();
        fs::remove_dir_all(bundle).expect("it is ours");
        said
    })
}

/// Each limit with the controllers of version 1 and 2 that it needs.
fn limits() -> [(&'static str, &'static str, &'static str, Value); 5] {
    [
        ("memory", "memory", "--memory=64m", json!({"memory": {"limit": 67_108_864}})),
        ("pids", "pids", "--pids-limit=50", json!({"pids": {"limit": 50}})),
        ("cpu", "cpu", "--cpus=0.5", json!({"cpu": {"quota": 50_000, "period": 100_000}})),
        ("cpuset", "cpuset", "--cpuset-cpus=0", json!({"cpu": {"cpus": "0"}})),
        ("blkio", "io", "--blkio-weight=300", json!({"blockIO": {"weight": 300}})),
    ]
}

fn hybrid() -> bool {
    Path::new("/sys/fs/cgroup/memory/tasks").exists()
}

/// One controller after the other is taken away: the limits of the others hold, its own is refused.
#[test]
fn a_missing_controller_is_named_by_what_needs_it() {
    if !hybrid() {
        return remark("not on hierarchies of version 1, one for each controller");
    }
    let engine = Engine::new(Stage::new());
    for (missing, ..) in limits() {
        if !has_controller(missing) {
            remark(&format!("this kernel has no controller {missing}"));
            continue;
        }
        let script = format!("umount /sys/fs/cgroup/{missing}");
        for (controller, _, _, resources) in limits() {
            for said in both(&engine, &script, &resources) {
                if controller == missing {
                    let wanted = format!("controller `{missing}` is missing; controllers that are available");
                    assert!(refused(&said).contains(&wanted), "{}", said.err);
                } else if has_controller(controller) {
                    assert_eq!(said.code, 0, "{controller} without {missing}: {}", said.err);
                }
            }
        }
        assert!(both(&engine, &script, &json!({})).iter().all(|said| said.code == 0), "without {missing}");
    }
}

/// Through podman, whose words for a missing command come from ours.
#[test]
fn podman_passes_on_which_controller_is_missing() {
    if !hybrid() || in_guest() {
        return remark("not on hierarchies of version 1, one for each controller");
    }
    let stage = Stage::new();
    let Some(engine) = Podman::new(&stage.pool, None) else { return skip("needs podman") };
    stage.plain("plain", &["true"], |_| ());
    let root = stage.pool.join("plain/rootfs").display().to_string();
    let podman = |script: &str, options: &[&str]| {
        let mut command = engine.command();
        command.args(["run", "--rm", "--network=none", "--volume=/usr:/usr:ro"]).args(options);
        command.args(["--rootfs", &root, "true"]);
        through_files(stage.pool.path(), arranged(script, &command))
    };
    let said = podman("true", &[]);
    assert_eq!(said.code, 0, "as the machine is: {}", said.err);
    for (missing, _, option, _) in limits() {
        let script = format!("umount /sys/fs/cgroup/{missing}");
        // podman itself looks for the controllers of memory and of processes, and warns and goes on without.
        let said = podman(&script, &[option]);
        let told = said.err.contains(&format!("`{missing}` is missing")) && said.code == 126;
        let by_podman = said.code == 0 && said.err.to_lowercase().contains("cgroup");
        let unasked = said.code == 0 && !said.err.contains("not found");
        assert!(told || by_podman || unasked, "{missing}: {} {}", said.code, said.err);
        let said = podman(&script, &[]);
        assert!(
            said.code == 0 || said.code == 126 && said.err.contains("is missing"),
            "{missing}: {}",
            said.err
        );
    }
}

/// Devices are kept from a container by nothing else.
#[test]
fn without_the_means_to_keep_devices_a_container_of_root_is_refused() {
    let engine = Engine::new(Stage::new());
    let run_with = |script: &str, options: &[&str], bundle: &Path| {
        let mut command = engine.command();
        command.args(options).args(["run", "--bundle"]).arg(bundle).arg("c");
        let said = run(&mut arranged(script, &command));
        run(engine.command().args(["delete", "--force", "c"])).good();
        said
    };
    let plain = engine.stage.plain("plain", &["true"], |_| ());
    let node = engine.node("node", &["true"], |_| ());
    let gone = "umount --recursive /sys/fs/cgroup";
    let said = run_with(gone, &[], &plain);
    assert!(refused(&said).contains("linux.resources.devices: this machine has no cgroups"), "{}", said.err);
    assert_eq!(run_with(gone, &["--cgroup-manager", "disabled"], &plain).code, 0);
    // A node's mounts have no devices, and it can make none.
    assert_eq!(run_with(gone, &[], &node).code, 0);
    run(&mut arranged(gone, &wrapped(&engine.stage))).good();
    let users = engine.stage.plain("users", &["true"], |spec| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
        spec["linux"]["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
        spec["root"]["path"] = json!("rootfs");
    });
    std::os::unix::fs::chown(users.join("rootfs"), Some(100_000), Some(100_000)).expect("root may");
    assert_eq!(run_with(gone, &[], &users).code, 0, "in its own user namespace it can use none");
    // Whom the machine's root is in it, or a group of the machine, opens devices all the same.
    for (uid, gid) in [(0, 0), (100_000, 0)] {
        let name = format!("users-{uid}-{gid}");
        let bundle = engine.stage.plain(&name, &["true"], |spec| {
            let map = |first: u32| json!([{"containerID": 0, "hostID": first, "size": 1000}]);
            spec["linux"]["uidMappings"] = map(uid);
            spec["linux"]["gidMappings"] = map(gid);
            spec["linux"]["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
        });
        assert!(refused(&run_with(gone, &[], &bundle)).contains("this machine has no cgroups"), "{name}");
    }
    // A volume may hold devices, which a node's own mounts do not.
    for (options, accepted) in [(json!(["rbind", "rw"]), false), (json!(["rbind", "rw", "rnodev"]), true)] {
        let bundle = engine.node(&format!("volume-{accepted}"), &["true"], |spec| {
            let volume =
                json!({"destination": "/volume", "type": "bind", "source": "/opt", "options": options});
            spec["mounts"].as_array_mut().expect("it is a list").push(volume);
        });
        let said = run_with(gone, &[], &bundle);
        assert!(
            accepted && said.code == 0
                || !accepted && refused(&said).contains("/volume is mounted without `nodev`"),
            "{options}: {}",
            said.err
        );
    }
    let long =
        engine.stage.plain("long", &["true"], |spec| spec["linux"]["cgroupsPath"] = json!("x".repeat(5000)));
    assert!(refused(&run_with("true", &[], &long)).contains("too long"));
    if hybrid() {
        let script = "umount /sys/fs/cgroup/devices";
        for resources in [json!({}), json!({"pids": {"limit": 9}})] {
            for said in both(&engine, script, &resources) {
                assert!(refused(&said).contains("devices: controller `devices` is missing"), "{}", said.err);
            }
        }
    }
    let able = Stage::with(", share_user: Enabled", "config: {capabilities: [{cap: MKNOD, add: 1}]}\n");
    let able = Engine::new(able);
    for options in [&[][..], &["--cgroup-manager", "disabled"]] {
        let bundle = able.node("node", &["true"], |spec| {
            spec["process"]["capabilities"] = json!({"bounding": ["CAP_MKNOD"], "permitted": ["CAP_MKNOD"]});
        });
        let mut command = able.command();
        command.args(options).args(["run", "--bundle"]).arg(&bundle).arg("c");
        let said = run(&mut arranged(gone, &command));
        assert!(refused(&said).contains("the node may make devices"), "{options:?}: {}", said.err);
        fs::remove_dir_all(bundle).expect("it is ours");
    }
    let said = run(&mut arranged(gone, &wrapped(&able.stage)));
    assert!(said.code == 125 && said.err.contains("no cgroups"), "{}", said.err);
}

/// No cgroups, cgroups of version 2 without controllers, and those that nobody may write to.
#[test]
fn what_is_not_there_is_said() {
    let engine = Engine::new(Stage::new());
    let bare = "umount --recursive /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup";
    if hybrid() {
        for (_, controller, _, resources) in limits() {
            for said in both(&engine, bare, &resources) {
                let wanted = format!("controller `{controller}` is missing; controllers that are available");
                assert!(refused(&said).contains(&wanted), "{}", said.err);
            }
        }
        let high = json!({"unified": {"memory.high": "100000000"}});
        for said in both(&engine, bare, &high) {
            assert!(
                refused(&said).contains("unified `memory.high`: controller `memory` is missing"),
                "{}",
                said.err
            );
        }
    }
    assert!(both(&engine, bare, &json!({})).iter().all(|said| said.code == 0));
    let read_only = "for one in /sys/fs/cgroup /sys/fs/cgroup/*; do mountpoint -q $one && mount -o remount,bind,ro $one || true; done";
    for said in both(&engine, read_only, &json!({})) {
        assert!(refused(&said).contains("/sys/fs/cgroup is read-only"), "{}", said.err);
    }
    // Nodes without limits need none, those with limits do.
    let limited = Stage::with("", "config: {cgroups: {pids: {max: 20}}}\n");
    let gone = "umount --recursive /sys/fs/cgroup";
    let wrap = |stage: &Stage, script| run(&mut arranged(script, &wrapped(stage)));
    for (script, words) in [(gone, "no cgroups"), (read_only, "read-only")] {
        assert_eq!(wrap(&engine.stage, script).good().err, "");
        let said = wrap(&limited, script);
        assert!(said.code == 125 && said.err.contains(words), "{script}: {} {}", said.code, said.err);
    }
}

/// A cgroup of the machine that is removed in the end, with what is in it.
struct Parent(String);

impl Parent {
    fn make(what: &str) -> Self {
        let parent = Self(format!("red-test-{what}-{}", std::process::id()));
        for hierarchy in parent.places() {
            fs::create_dir(&hierarchy).expect("root may");
            for name in ["cpuset.cpus", "cpuset.mems"] {
                let above = hierarchy.parent().expect("it is below").join(name);
                if let Ok(text) = fs::read_to_string(above).as_deref().map(str::trim) {
                    fs::write(hierarchy.join(name), text).expect("root may");
                }
            }
        }
        parent
    }

    fn places(&self) -> Vec<PathBuf> {
        let mount = Path::new("/sys/fs/cgroup");
        if !hybrid() {
            return vec![mount.join(&self.0)];
        }
        let all = fs::read_dir(mount).expect("cgroups are mounted").flatten();
        all.filter(|one| one.path().join("cgroup.procs").exists())
            .map(|one| one.path().join(&self.0))
            .collect()
    }

    /// Writes to a file of the parent, by its name in either version.
    fn set(&self, first: (&str, &str), second: (&str, &str)) {
        let (file, value) = if hybrid() { first } else { second };
        let place = self.places().into_iter().find(|place| place.join(file).exists());
        fs::write(place.expect("the controller is there").join(file), value).expect("root may");
    }

    /// What is said of a plain bundle whose cgroup is in it.
    fn run(&self, stage: &Stage) -> Said {
        let path = format!("/{}/c", self.0);
        let bundle = stage.plain("b", &["true"], |spec| spec["linux"]["cgroupsPath"] = json!(path));
        let mut command = Command::new("timeout");
        command.arg("60").arg(red_tests::call::built("red-runtime")).arg("--root").arg(&stage.root);
        command.args(["run", "--bundle"]).arg(&bundle).arg("c");
        let said = run(&mut command);
        stage.runtime(["delete", "--force", "c"]).good();
        fs::remove_dir_all(bundle).expect("it is ours");
        said
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        remove_cgroups(&self.0);
    }
}

/// What is above a container's cgroup lets nothing run in it: that is said, and nothing waits for it.
#[test]
fn a_parent_that_lets_nothing_run_is_told() {
    let stage = Stage::new();
    let parent = Parent::make("frozen");
    parent.set(("freezer.state", "FROZEN"), ("cgroup.freeze", "1"));
    assert!(refused(&parent.run(&stage)).contains("is frozen"));
    parent.set(("freezer.state", "THAWED"), ("cgroup.freeze", "0"));
    parent.run(&stage).good();
    let parent = Parent::make("full");
    if !hybrid() {
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+pids +memory").expect("root may");
    }
    parent.set(("pids.max", "0"), ("pids.max", "0"));
    let said = parent.run(&stage);
    // On version 1 the process joins by itself, which no limit counts (pids.rst), and needs no further one.
    assert!(hybrid() && said.code == 0 || refused(&said).contains("pids.max"), "{}", said.err);
    let parent = Parent::make("small");
    parent.set(("memory.limit_in_bytes", "4096"), ("memory.max", "4096"));
    let said = parent.run(&stage);
    assert!(refused(&said).contains("memory"), "{}", said.err);
    // Where it is enough for us it may still not be for the command, which is ended then.
    parent.set(("memory.limit_in_bytes", "100000"), ("memory.max", "100000"));
    let said = parent.run(&stage);
    assert!(
        said.code == 137 || refused(&said).contains("memory limits are the usual reason"),
        "{}",
        said.err
    );
    if hybrid() {
        return remark("threaded cgroups are of version 2");
    }
    let parent = Parent::make("threaded");
    parent.set(("", ""), ("cgroup.type", "threaded"));
    let said = parent.run(&stage);
    assert!(refused(&said).contains("threaded"), "{}", said.err);
}
