//! The OCI command line, as engines call it (docs/src/reference/engines.md has the table).

use std::path::Path;
use std::process::{Command, Stdio};

use red_tests::call::{Said, red_runtime, run};
use red_tests::stage::{Stage, eventually};
use serde_json::{Value, json};

const LIVES: [&str; 3] = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"];

/// Every argument list that conmon, podman, cri-o and go-runc send (ENGINES), on one container.
#[test]
fn engines_argument_lists_are_understood() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &LIVES, |_| {});
    let (pid, log) = (stage.pool.join("pid"), stage.pool.join("log"));
    let process = stage.pool.write(
        "process.json",
        json!({"args": ["sh", "-c", "exit 3"], "cwd": "/", "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0}}).to_string(),
    );
    let resources = stage.pool.write("resources.json", json!({"pids": {"limit": 77}}).to_string());
    let text = |path: &Path| path.display().to_string();
    let (pid, log, process, resources, dir) =
        (text(&pid), text(&log), text(&process), text(&resources), text(&bundle));
    let calls: Vec<(Vec<&str>, i32)> = vec![
        // conmon
        (
            vec![
                "--log-format=json",
                "--log",
                &log,
                "create",
                "--bundle",
                &dir,
                "--pid-file",
                &pid,
                "--no-new-keyring",
                "c",
            ],
            0,
        ),
        // podman
        (vec!["start", "c"], 0),
        (
            vec![
                "--log-format=json",
                "--log",
                &log,
                "exec",
                "--pid-file",
                &pid,
                "--process",
                &process,
                "--detach",
                "c",
            ],
            0,
        ),
        (vec!["exec", "--process", &process, "c"], 3),
        (vec!["kill", "c", "0"], 0),
        (vec!["kill", "--all", "c", "0"], 0),
        (vec!["pause", "c"], 0),
        (vec!["resume", "c"], 0),
        (vec!["--rootless=false", "update", "--resources", &resources, "c"], 0),
        (vec!["update", "--resources=-", "c"], 0),
        // cri-o, go-runc
        (vec!["--systemd-cgroup=false", "state", "c"], 0),
        (vec!["state", "c"], 0),
        (vec!["list", "--format=json"], 0),
        (vec!["ps", "--format", "json", "c"], 0),
        (vec!["events", "--stats", "c"], 0),
        (vec!["features"], 0),
        (vec!["--version"], 0),
        (vec!["kill", "c", "KILL"], 0),
        (vec!["delete", "--force", "c"], 0),
        (vec!["delete", "--force", "c"], 0),
        (vec!["restore", "--detach", "--image-path", "/x", "--work-path", "/y", "c"], 1),
        (vec!["checkpoint", "c"], 1),
    ];
    for (args, code) in calls {
        let said = if args[0].contains("create") || args.contains(&"create") {
            let mut command = red_runtime(&stage.root);
            command.args(&args).stdout(Stdio::null()).stderr(Stdio::null());
            Said {
                code: command.status().expect("it starts").code().unwrap_or(255),
                out: String::new(),
                err: String::new(),
            }
        } else if args.contains(&"--resources=-") {
            let mut shell = Command::new("bash");
            shell
                .args(["-c", "echo '{\"pids\":{\"limit\":66}}' | \"$@\"", "bash"])
                .arg(red_runtime(&stage.root).get_program());
            run(shell.arg("--root").arg(&stage.root).args(&args))
        } else {
            stage.runtime(&args)
        };
        assert_eq!(said.code, code, "{args:?}: {}{}", said.out, said.err);
        if args.contains(&"create") {
            eventually("the pid file is whole", || {
                std::fs::read_to_string(&pid).is_ok_and(|pid| pid.parse::<u32>().is_ok())
            });
        }
    }
    assert!(stage.sweep());
}

#[test]
fn a_container_goes_through_its_states() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &LIVES, |_| {});
    stage.create(&bundle, "c").good();
    assert_eq!(stage.status("c"), "created");
    for (args, words) in [(&["resume", "c"][..], "cannot be resumed"), (&["exec", "c"], "no command")] {
        let said = stage.runtime(args);
        assert!(said.code != 0 && said.err.contains(words), "{}", said.err);
    }
    assert!(stage.create(&bundle, "c").err.contains("exists already"));
    stage.runtime(["start", "c"]).good();
    assert_eq!(stage.status("c"), "running");
    assert!(stage.runtime(["start", "c"]).err.contains("cannot be started"));
    assert!(stage.runtime(["delete", "c"]).err.contains("--force"));
    stage.runtime(["pause", "c"]).good();
    assert_eq!(stage.status("c"), "paused");
    assert!(stage.runtime(["exec", "c", "true"]).err.contains("paused"));
    stage.runtime(["resume", "c"]).good();
    let state = stage.runtime(["state", "c"]).good().json();
    assert_eq!((state["id"].as_str(), state["bundle"].as_str()), (Some("c"), bundle.to_str()));
    assert!(state["pid"].as_i64().is_some_and(|pid| pid > 1));
    stage.runtime(["kill", "c"]).good();
    stage.wait_status("c", "stopped");
    let late = stage.runtime(["kill", "c"]);
    assert!(late.code == 1 && late.err.contains("container not running"), "{}", late.err);
    stage.runtime(["delete", "c"]).good();
    let unknown = stage.runtime(["state", "c"]);
    assert!(unknown.code == 1 && unknown.err.contains("does not exist"), "{}", unknown.err);
    assert!(stage.sweep());
}

/// A signal changes nothing but what it does.
#[test]
fn a_signal_leaves_the_status_alone() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &LIVES, |_| {});
    stage.create(&bundle, "c").good();
    for signal in ["CONT", "USR1", "0"] {
        stage.runtime(["kill", "c", signal]).good();
        assert_eq!(stage.status("c"), "created", "after {signal}");
    }
    stage.runtime(["start", "c"]).good();
    stage.runtime(["pause", "c"]).good();
    stage.runtime(["kill", "c", "CONT"]).good();
    assert_eq!(stage.status("c"), "paused");
    stage.runtime(["kill", "c", "KILL"]).good();
    stage.wait_status("c", "stopped");
    stage.runtime(["delete", "c"]).good();
    stage.create(&bundle, "c").good();
    stage.runtime(["kill", "c", "KILL"]).good();
    stage.wait_status("c", "stopped");
    stage.runtime(["delete", "c"]).good();
    assert!(stage.sweep());
}

#[test]
fn errors_are_one_json_object() {
    let stage = Stage::new();
    let log = stage.pool.join("log.json");
    let bundle = stage.plain("b", &["no-such-command"], |_| {});
    let mut command = red_runtime(&stage.root);
    command.arg("--log").arg(&log).args(["--log-format", "json", "create", "--bundle"]).arg(&bundle).arg("c");
    assert_eq!(run(&mut command).code, 1);
    let text = std::fs::read_to_string(&log).expect("it was written");
    let error: Value = serde_json::from_str(&text).expect("it is one JSON object");
    assert_eq!(error["level"], "error");
    assert!(error["msg"].as_str().is_some_and(|msg| msg.contains("executable file not found in")), "{text}");
    assert!(error["time"].as_str().is_some_and(|time| time.contains('T')), "{text}");
    // What is missing of ours is never taken for the command.
    for (change, words) in [
        (json!({"root": {"path": "nowhere"}}), "missing (ENOENT)"),
        (
            json!({"mounts": [{"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["rbind"]}]}),
            "missing (ENOENT)",
        ),
        (json!({"process": {"args": []}}), "no command"),
        (json!({"process": {"args": ["true"], "cwd": "relative"}}), "absolute"),
        (json!({"linux": {"cgroupsPath": "/"}}), "cgroup of everything"),
        (json!({"linux": {"cgroupsPath": "/./"}}), "cgroup of everything"),
        (json!({"linux": {"cgroupsPath": "/red-test/../.."}}), "upwards"),
        (json!({"linux": {"namespaces": []}}), "no mount namespace"),
        (
            json!({"mounts": [{"destination": "/x", "type": "bind", "source": "/usr", "options": ["rbind", "idmap"]}]}),
            "`idmap` needs mappings",
        ),
        (
            json!({"mounts": [{"destination": "/a/../..", "type": "tmpfs", "source": "tmpfs"}]}),
            "cover the root",
        ),
        (json!({"process": {"selinuxLabel": "x"}}), "SELinux"),
    ] {
        let bundle = stage.plain(&format!("b{}", words.len()), &["true"], |spec| merge(spec, &change));
        let said = stage.create(&bundle, "c");
        assert_eq!(said.code, 1, "{change}");
        assert!(said.err.contains(words), "{change}: {}", said.err);
        assert!(!said.err.to_lowercase().contains("no such file"), "{}", said.err);
        std::fs::remove_dir_all(&bundle).expect("it is ours");
    }
    assert!(stage.sweep(), "nothing is left of what was refused");
}

/// Puts the values of one document over those of another.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

#[test]
fn an_absolute_command_needs_no_path() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["/usr/bin/echo", "ran"], |spec| spec["process"]["env"] = json!([]));
    let said = stage.runtime(["run", "--bundle", &bundle.display().to_string(), "c"]);
    assert_eq!((said.code, said.out.as_str()), (0, "ran\n"), "{}", said.err);
    assert!(stage.sweep());
}

#[test]
fn what_runs_is_what_the_configuration_says() {
    let stage = Stage::new();
    let script = "id -u; id -g; id -G; umask; pwd; hostname; ulimit -n; cat /proc/self/oom_score_adj; \
                  grep -E 'Cap|NoNew' /proc/self/status | tr -d '\\n\\t'; echo; ls /dev | tr '\\n' ' '; cat /proc/sys/net/ipv4/ip_default_ttl; \
                  touch /ro 2>/dev/null || echo read-only; cat /proc/timer_list | wc -c; ls -l /proc/self/fd | wc -l";
    let bundle = stage.plain("b", &["sh", "-c", script], |spec| {
        merge(
            spec,
            &json!({
                "root": {"path": "rootfs", "readonly": true},
                "process": {
                    "user": {"uid": 12, "gid": 13, "additionalGids": [14, 15], "umask": 0o77},
                    "cwd": "/usr", "oomScoreAdj": 100,
                    "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
                    "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
                },
                "linux": {"maskedPaths": ["/proc/timer_list", "/not/there"], "readonlyPaths": ["/proc/sys"],
                          "sysctl": {"net.ipv4.ip_default_ttl": "33"}},
            }),
        );
    });
    let said = stage.runtime(["run", "--bundle", &bundle.display().to_string(), "c"]).good();
    let wanted = "12\n13\n13 14 15\n0077\n/usr\nplain\n100\n100\n\
                  CapInh:0000000000000020CapPrm:0000000000000020CapEff:0000000000000020CapBnd:0000000000000021CapAmb:0000000000000020NoNewPrivs:1\n\
                  fd full null ptmx random stderr stdin stdout tty urandom zero 33\nread-only\n0\n5\n";
    assert_eq!(said.out, wanted);
}

#[test]
fn hooks_run_in_order_and_their_failure_counts() {
    let stage = Stage::new();
    let trace = stage.pool.join("trace");
    let hook = |name: &str, code: i32| {
        let script = format!(
            "printf '%s ' {name} >> {}; python3 -c 'import json,sys; print(json.load(sys.stdin)[\"status\"])' >> {}; exit {code}",
            trace.display(),
            trace.display()
        );
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}])
    };
    let bundle = stage.plain("b", &["true"], |spec| {
        spec["hooks"] = json!({
            "prestart": hook("prestart", 0), "createRuntime": hook("createRuntime", 0),
            "createContainer": hook("createContainer", 0), "poststart": hook("poststart", 0), "poststop": hook("poststop", 0),
        });
    });
    stage.create(&bundle, "c").good();
    stage.runtime(["start", "c"]).good();
    stage.wait_status("c", "stopped");
    stage.runtime(["delete", "c"]).good();
    let text = std::fs::read_to_string(&trace).expect("hooks ran");
    assert_eq!(
        text,
        "prestart creating\ncreateRuntime creating\ncreateContainer creating\npoststart running\npoststop stopped\n"
    );
    let failing =
        stage.plain("f", &["true"], |spec| spec["hooks"] = json!({"createRuntime": hook("fails", 4)}));
    let said = stage.create(&failing, "f");
    assert!(said.code == 1 && said.err.contains("createRuntime hook"), "{}", said.err);
    let hanging = stage.plain("h", &["true"], |spec| {
        spec["hooks"] =
            json!({"createContainer": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]});
    });
    let said = stage.create(&hanging, "h");
    assert!(said.code == 1 && said.err.contains("more than 1 s"), "{}", said.err);
    assert!(stage.sweep());
}

#[test]
fn limits_are_set_and_changed() {
    let stage = Stage::new();
    let name = format!("/red-test-limits-{}", std::process::id());
    let bundle = stage.plain("b", &LIVES, |spec| {
        spec["linux"]["cgroupsPath"] = json!(name);
        spec["linux"]["resources"] = json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 55}, "cpu": {"quota": 40_000, "period": 100_000}});
    });
    stage.start(&bundle, "c");
    let read = |v1: &str, v2: &str| {
        let v1 = format!("/sys/fs/cgroup/{}", v1.replace("{}", &name[1..]));
        let v2 = format!("/sys/fs/cgroup{name}/{v2}");
        std::fs::read_to_string(v1)
            .or_else(|_| std::fs::read_to_string(v2))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    assert_eq!(read("memory/{}/memory.limit_in_bytes", "memory.max"), "33554432");
    assert_eq!(read("pids/{}/pids.max", "pids.max"), "55");
    assert!(read("cpu/{}/cpu.cfs_quota_us", "cpu.max").starts_with("40000"));
    stage
        .runtime(["update", "--pids-limit", "66", "--memory", "67108864", "--memory-swap", "-1", "c"])
        .good();
    assert_eq!(read("pids/{}/pids.max", "pids.max"), "66");
    let pids = stage.runtime(["ps", "--format", "json", "c"]).good().json();
    assert!(pids.as_array().is_some_and(|pids| !pids.is_empty()));
    let stats = stage.runtime(["events", "--stats", "c"]).good().json();
    assert_eq!(stats["data"]["pids"]["limit"], 66);
    // The same cgroup is nobody else's.
    let second = stage.create(&bundle, "d");
    assert!(second.code == 1 && second.err.contains("has processes of others"), "{}", second.err);
    stage.runtime(["delete", "--force", "c"]).good();
    assert!(stage.sweep());
    let left = run(Command::new("find").args(["/sys/fs/cgroup", "-name", &name[1..]])).out;
    assert_eq!(left, "");
}

#[test]
fn lists_and_features_are_json() {
    let stage = Stage::new();
    assert_eq!(stage.runtime(["list", "--format", "json"]).good().json(), json!([]));
    let features = stage.runtime(["features"]).good();
    assert_eq!(features.err, "");
    let features = features.json();
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], false);
    assert_eq!(features["linux"]["selinux"]["enabled"], false);
    let dir = stage.pool.mkdir("spec");
    stage.runtime(["spec", "--bundle", &dir.display().to_string()]).good();
    assert!(stage.runtime(["spec", "--bundle", &dir.display().to_string()]).err.contains("not overwritten"));
    assert!(
        stage.runtime(["create", "--bundle", "/no/such/bundle", "x"]).err.contains("config.json")
            || stage.sweep()
    );
    for bad in ["", ".x", "a/b", "../x", &"x".repeat(300)] {
        assert_eq!(stage.runtime(["state", bad]).code, 1, "{bad}");
    }
}

#[test]
fn a_console_arrives_over_its_socket() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sh", "-c", "tty; stty size; read line; echo got $line"], |spec| {
        merge(spec, &json!({"process": {"terminal": true, "consoleSize": {"height": 12, "width": 34}}}));
        let pts = json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]});
        spec["mounts"].as_array_mut().expect("it is a list").push(pts);
    });
    let program = format!(
        "import array, os, socket, subprocess
s = socket.socket(socket.AF_UNIX); s.bind('{dir}/console'); s.listen(1)
red = ['{red}', '--root', '{root}']
p = subprocess.Popen(red + ['create', '--bundle', '{bundle}', '--console-socket', '{dir}/console', 'c'])
c, _ = s.accept()
data, anc, _, _ = c.recvmsg(4096, socket.CMSG_LEN(4))
fd = array.array('i', anc[0][2])[0]
assert p.wait() == 0
subprocess.check_call(red + ['start', 'c'])
os.write(fd, b'hello\\n')
text = b''
while True:
    try: part = os.read(fd, 1000)
    except OSError: break
    if not part: break
    text += part
print(text.decode().replace('\\r', ''))",
        dir = stage.pool.path().display(),
        red = red_tests::call::built("red-runtime").display(),
        root = stage.root.display(),
        bundle = bundle.display()
    );
    let said = run(Command::new("python3").args(["-c", &program])).good();
    for words in ["/dev/pts/0", "12 34", "got hello"] {
        assert!(said.out.contains(words), "{}", said.out);
    }
    stage.wait_status("c", "stopped");
    stage.runtime(["delete", "c"]).good();
}

#[test]
fn namespaces_of_another_container_are_joined() {
    let stage = Stage::new();
    let map = json!([{"containerID": 0, "hostID": 0, "size": 5000}]);
    let first = stage.plain("a", &LIVES, |spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map.clone();
    });
    stage.start(&first, "a");
    let pid = stage.runtime(["state", "a"]).good().json()["pid"].to_string();
    let inode = |kind: &str| {
        std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("it runs").display().to_string()
    };
    let names = [("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];
    let script = "for n in user net ipc uts pid; do readlink /proc/self/ns/$n; done; hostname; id -u";
    let second = stage.plain("b", &["sh", "-c", script], |spec| {
        let joined =
            names.map(|(kind, file)| json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}));
        let mut all = joined.to_vec();
        all.push(json!({"type": "mount"}));
        spec["linux"]["namespaces"] = json!(all);
        // The name of a namespace that is shared is not this container's to set.
        spec["hostname"] = json!("other");
    });
    let said = stage.runtime(["run", "--bundle", &second.display().to_string(), "b"]).good();
    let wanted: Vec<String> = names.iter().map(|(_, file)| inode(file)).collect();
    assert_eq!(said.out, format!("{}\nplain\n0\n", wanted.join("\n")), "{}", said.err);
    // Without a user namespace the launcher goes there and back.
    let third = stage.plain("c", &["readlink", "/proc/self/ns/net"], |spec| {
        let net = json!({"type": "network", "path": format!("/proc/{pid}/ns/net")});
        spec["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "pid"}, net]);
    });
    let said = stage.runtime(["run", "--bundle", &third.display().to_string(), "c"]).good();
    assert_eq!(said.out.trim(), inode("net"));
}

/// A pause container is no application, whatever stands in its annotations.
#[test]
fn a_sandbox_of_kubernetes_is_never_translated() {
    let stage = Stage::new();
    for (key, value) in
        [("io.kubernetes.cri.container-type", "sandbox"), ("io.kubernetes.cri-o.ContainerType", "sandbox")]
    {
        let redpath = stage.leaf.display().to_string();
        let bundle = stage.plain("b", &["hostname"], |spec| {
            spec["annotations"] = json!({"bzh.redpesk.redpak.redpath": redpath, key: value});
        });
        let said = stage.runtime(["run", "--bundle", &bundle.display().to_string(), "c"]).good();
        assert_eq!(said.out, "plain\n");
        std::fs::remove_dir_all(&bundle).expect("it is ours");
    }
}
