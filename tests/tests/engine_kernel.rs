//! What of the kernel an engine's configuration reaches: proc, devices, sysctls, and copies of what a
//! tmpfs covers.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use red_tests::call::run;
use red_tests::engine::{Engine, add, named, volume};
use red_tests::skip;
use red_tests::stage::Stage;
use serde_json::{Value, json};

const LIVES: [&str; 2] = ["sleep", "1000"];

/// A child that is ended with the test.
struct Background(Child);

impl Background {
    fn python(program: &str) -> Self {
        let mut command = Command::new("python3");
        Self(command.args(["-c", program]).stdin(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Exchanges two names for as long as it lives.
fn exchanger(directory: &Path, one: &str, other: &str) -> Background {
    Background::python(&format!(
        "import ctypes, os
libc = ctypes.CDLL(None)
os.chdir('{}')
while True: libc.renameat2(-100, b'{one}', -100, b'{other}', 2)",
        directory.display()
    ))
}

/// Masks and read-only parts of proc hold while somebody exchanges `/proc` of a shared root for a link:
/// what starts has them, what cannot have them does not start.
#[test]
fn masks_of_proc_hold_on_a_root_that_others_change() {
    let engine = Engine::new(Stage::new());
    let script = "test -w /proc/sys/kernel/core_pattern && echo WRITABLE; test -s /proc/timer_list && echo UNMASKED; \
                  test -w /sys/kernel/uevent_helper && echo SYS; echo ran";
    let bundle = engine.stage.plain("b", &["sh", "-c", script], |spec| {
        add(spec, json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}));
        spec["linux"]["maskedPaths"] =
            json!(["/proc/timer_list", "/proc/kcore", "/sys/firmware", "/not/there"]);
        spec["linux"]["readonlyPaths"] = json!(["/proc/sys", "/proc/sysrq-trigger", "/proc/bus"]);
    });
    let root = bundle.join("rootfs");
    for name in ["proc", "sys", "dev", "away"] {
        fs::create_dir_all(root.join(name)).expect("it is ours");
    }
    let once = || run(engine.command().arg("run").arg("--bundle").arg(&bundle).arg("c"));
    assert_eq!(once().good().out, "ran\n");
    symlink("/away", root.join("link")).expect("it is ours");
    for name in ["proc", "sys"] {
        let flipper = exchanger(&root, name, "link");
        for _ in 0..40 {
            let said = once();
            let fine = (said.code == 0 && said.out == "ran\n") || (said.code != 0 && said.out.is_empty());
            assert!(fine, "{}{}", said.out, said.err);
        }
        drop(flipper);
        if root.join("link").is_dir() && !root.join("link").is_symlink() {
            fs::remove_file(root.join(name)).expect("it is the link");
            fs::rename(root.join("link"), root.join(name)).expect("it is ours");
            symlink("/away", root.join("link")).expect("it is ours");
        }
    }
}

#[test]
fn nothing_stands_in_for_proc() {
    let engine = Engine::new(Stage::new());
    let other = engine.stage.pool.mkdir("other");
    for (mount, words) in [
        (json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}), "is not of type proc"),
        (volume(&other, "/proc", &["rbind"]), "is not of type proc"),
        (json!({"destination": "/proc/sys", "type": "tmpfs", "source": "tmpfs"}), "lies in /proc"),
        (volume(&other, "/proc/self", &["rbind"]), "lies in /proc"),
        (volume(&other, "/proc/acpi", &["rbind"]), "lies in /proc"),
    ] {
        let bundle = engine.stage.plain("b", &["echo", "started"], |spec| {
            if mount["destination"] == "/proc" {
                spec["mounts"]
                    .as_array_mut()
                    .expect("it is a list")
                    .retain(|one| one["destination"] != "/proc");
            }
            add(spec, mount.clone());
        });
        let said = engine.run(&bundle);
        assert!(said.code == 1 && said.out.is_empty() && said.err.contains(words), "{mount}: {}", said.err);
    }
    let meminfo = engine.stage.pool.write("meminfo", "MemTotal: 1 kB\n");
    let bundle = engine.stage.plain("b", &["cat", "/proc/meminfo"], |spec| {
        add(spec, volume(&meminfo, "/proc/meminfo", &["bind", "ro"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "MemTotal: 1 kB\n");
}

/// A copy of what a tmpfs covers has nothing of what links lead to that somebody puts there meanwhile.
#[test]
fn a_copy_up_follows_no_link() {
    let engine = Engine::new(Stage::new());
    let data = engine.stage.pool.mkdir("data/d");
    engine.stage.pool.write("data/d/sub/public", "public\n");
    let secret = engine.stage.pool.mkdir("secret");
    engine.stage.pool.write("secret/file", "HOSTSECRET\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).expect("it is ours");
    symlink(&secret, data.join("link")).expect("it is ours");
    let volume_of = engine.stage.pool.join("data");
    let bundle = engine.stage.plain("b", &["sh", "-c", "cat /data/d/*/* 2>/dev/null; echo ran"], |spec| {
        add(spec, volume(&volume_of, "/data", &["rbind"]));
        add(spec, json!({"destination": "/data/d", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=755"]}));
    });
    let once = || run(engine.command().arg("run").arg("--bundle").arg(&bundle).arg("c"));
    assert_eq!(once().good().out, "public\nran\n");
    let flipper = exchanger(&data, "sub", "link");
    for _ in 0..60 {
        let said = once();
        assert!(!said.out.contains("HOSTSECRET"), "the host's file was copied");
        assert_eq!(said.code, 0, "{}", said.err);
    }
    drop(flipper);
}

#[test]
fn device_rules_that_do_not_fit_are_refused() {
    let engine = Engine::new(Stage::new());
    for (rule, words) in [
        (
            json!({"allow": true, "type": "b", "major": 4_294_967_296_i64, "minor": 4_294_967_296_i64, "access": "rwm"}),
            "major",
        ),
        (json!({"allow": true, "type": "b", "major": 8, "minor": 1_048_576, "access": "rwm"}), "minor"),
        (json!({"allow": true, "type": "p", "access": "rwm"}), "invalid type"),
        (json!({"allow": false, "type": "b", "major": 8, "access": "rx"}), "invalid access"),
    ] {
        let bundle = engine.stage.plain("b", &["echo", "started"], |spec| {
            spec["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}, rule]);
        });
        let said = engine.run(&bundle);
        let named = said.err.contains("linux.resources.devices[1]") && said.err.contains(words);
        assert!(said.code == 1 && said.out.is_empty() && named, "{rule}: {}", said.err);
    }
    let bundle = engine.stage.plain("b", &["echo", "started"], |spec| {
        spec["linux"]["devices"] = json!([{"path": "/dev/x", "type": "c", "major": 4097, "minor": 3}]);
    });
    let said = engine.run(&bundle);
    assert!(said.code == 1 && said.err.contains("invalid major number"), "{}", said.err);
}

#[test]
fn an_update_leaves_the_devices_alone() {
    let engine = Engine::new(Stage::new());
    let list = |name: &str| PathBuf::from(format!("/sys/fs/cgroup/devices{name}/devices.list"));
    if !Path::new("/sys/fs/cgroup/devices/devices.list").exists() {
        return skip("this machine has no devices cgroup of version 1");
    }
    let number = std::process::id();
    let name = |kind: &str| format!("/red-test-devices-{kind}-{number}");
    let plain = engine.stage.plain("a", &LIVES, |spec| spec["linux"]["cgroupsPath"] = json!(name("plain")));
    let node = engine.node("b", &LIVES, |spec| spec["linux"]["cgroupsPath"] = json!(name("node")));
    for (id, bundle, name) in [("plain", plain, name("plain")), ("node", node, name("node"))] {
        let mut create = engine.command();
        create.arg("create").arg("--bundle").arg(&bundle).arg(id);
        assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it starts").success());
        engine.stage.runtime(["start", id]).good();
        let before = fs::read_to_string(list(&name)).expect("it is there");
        assert!(before.lines().count() > 3, "{before}");
        let resources = engine.stage.pool.write(
            "resources.json",
            json!({"pids": {"limit": 44}, "devices": [{"allow": true, "access": "rwm"}]}).to_string(),
        );
        let resources = resources.display().to_string();
        for update in [&["--pids-limit", "55"][..], &["--memory", "67108864"], &["--resources", &resources]] {
            let mut all = vec!["update"];
            all.extend(update);
            all.push(id);
            engine.stage.runtime(all).good();
            assert_eq!(fs::read_to_string(list(&name)).expect("it is there"), before, "{id} {update:?}");
        }
        let pids = format!("/sys/fs/cgroup/pids{name}/pids.max");
        assert_eq!(fs::read_to_string(pids).expect("it is there").trim(), "44");
    }
}

#[test]
fn only_sysctls_of_its_own_namespaces_are_a_containers() {
    let engine = Engine::new(Stage::new());
    let value = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(path).map(|text| text.trim().replace('\t', " "))
    };
    let without = |kind: &'static str| {
        move |spec: &mut Value| {
            spec["linux"]["namespaces"].as_array_mut().expect("a list").retain(|one| one["type"] != kind);
            spec.as_object_mut().expect("it is one").remove("hostname");
        }
    };
    let own_net = PathBuf::from(format!("/proc/{}/ns/net", std::process::id()));
    type Change<'a> = Box<dyn Fn(&mut Value) + 'a>;
    let cases: Vec<(&str, Change<'_>, &str)> = vec![
        ("vm.swappiness", Box::new(|_| {}), "is not in a separate kernel namespace"),
        ("fs.file-max", Box::new(|_| {}), "is not in a separate kernel namespace"),
        ("kernel.core_pattern", Box::new(|_| {}), "is not in a separate kernel namespace"),
        ("kernel.msgmax", Box::new(without("ipc")), "host's IPC namespace"),
        ("fs.mqueue.msg_max", Box::new(without("ipc")), "host's IPC namespace"),
        ("net.ipv4.ip_forward", Box::new(without("network")), "host's network namespace"),
        (
            "net.ipv4.ip_forward",
            Box::new(|spec| named(spec, "network", &own_net)),
            "host's network namespace",
        ),
        ("kernel.domainname", Box::new(without("uts")), "host's UTS namespace"),
        ("kernel.hostname", Box::new(|_| {}), "conflicts with `hostname`"),
        ("net/../vm/swappiness", Box::new(|_| {}), "invalid name"),
    ];
    for (name, change, words) in cases {
        // What is there already: a runtime that writes it changes nothing for the machine.
        let same = value(name).unwrap_or_else(|_| "60".to_owned());
        // A node with a host name has it in a UTS namespace of its own.
        for node in [false, true].into_iter().filter(|node| !node || name != "kernel.domainname") {
            let set = |spec: &mut Value| {
                change(spec);
                spec["linux"]["sysctl"] = json!({name: same});
            };
            let bundle = match node {
                true => engine.node("b", &["echo", "started"], set),
                false => engine.stage.plain("b", &["echo", "started"], set),
            };
            let said = engine.run(&bundle);
            assert!(said.code == 1 && said.out.is_empty(), "{name}: {}{}", said.out, said.err);
            // A node has namespaces of its own where the engine has none, and says so first.
            assert!(node || said.err.contains(words), "{name}: {}", said.err);
        }
    }
    let bundle = engine.stage.plain(
        "b",
        &["cat", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_default_ttl"],
        |spec| {
            spec["linux"]["sysctl"] = json!({"kernel.msgmax": "9001", "net/ipv4/ip_default_ttl": "33"});
        },
    );
    let before = (value("kernel.msgmax").ok(), value("net.ipv4.ip_default_ttl").ok());
    assert_eq!(engine.run(&bundle).good().out, "9001\n33\n");
    assert_eq!((value("kernel.msgmax").ok(), value("net.ipv4.ip_default_ttl").ok()), before);
}
