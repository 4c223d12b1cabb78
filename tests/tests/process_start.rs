//! What a process finds when it starts: signals, system call filter, environment, terminal.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use red_tests::call::{Said, built, red_runtime, run};
use red_tests::stage::{Stage, eventually};
use serde_json::{Value, json};

/// Prints which signals are blocked and which are ignored.
const SIGNALS: &str = "grep -E '^Sig(Blk|Ign)' /proc/self/status";

/// What it prints when none is.
const CLEAN: &str = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";

/// A bundle with a directory of the host at `/out`, which the test looks into.
fn bundle(stage: &Stage, name: &str, script: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let out = stage.pool.mkdir("out");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).expect("made by the test");
    stage.plain(name, &["sh", "-c", script], |spec| {
        let volume = json!({"destination": "/out", "type": "bind", "source": out, "options": ["rbind"]});
        spec["mounts"].as_array_mut().expect("made by the test").push(volume);
        change(spec);
    })
}

fn launch(stage: &Stage, bundle: &Path, id: &str) -> Said {
    run(red_runtime(&stage.root).arg("run").arg("--bundle").arg(bundle).arg(id))
}

/// A caller that ignores and blocks what it can, and then becomes a program under a name.
fn heedless(stage: &Stage, name: &str, args: &[&str]) -> Command {
    let script = "use POSIX qw(:signal_h);
        $SIG{$_} = 'IGNORE' for qw(HUP INT QUIT USR1 PIPE ALRM TERM CHLD TTOU);
        sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGINT, SIGTERM, SIGUSR2, SIGCHLD, 28));
        my $program = shift @ARGV; exec { $program } @ARGV;";
    let mut perl = Command::new("perl");
    perl.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(["-e", script]);
    perl.arg(built("red-runtime")).arg(name).arg("--root").arg(&stage.root).args(args).stdin(Stdio::null());
    perl
}

#[test]
fn every_command_starts_with_signals_at_their_default() {
    let leaf = format!("  - {{mode: Execfd, mount: /etc/signals, path: \"{SIGNALS}\"}}\n");
    let stage = Stage::with("", &leaf);
    let node = format!("--redpath={}", stage.leaf.display());
    let shared = Stage::with(", share_pid: Enabled", "");
    let others = format!("--redpath={}", shared.leaf.display());
    let out = |name: &str| fs::read_to_string(stage.pool.join("out").join(name)).unwrap_or_default();
    let hook = |kind: &str| {
        let file = if kind == "startContainer" {
            "/out".to_owned()
        } else {
            stage.pool.join("out").display().to_string()
        };
        json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("{SIGNALS} > {file}/{kind}")], "env": ["PATH=/bin:/usr/bin"]}])
    };
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let dir = bundle(&stage, "b", &format!("{SIGNALS} > /out/created; sleep 100"), |spec| {
        for kind in kinds {
            spec["hooks"][kind] = hook(kind);
        }
    });
    let dir = dir.display().to_string();
    let plain = bundle(&stage, "r", SIGNALS, |_| {}).display().to_string();
    // What lives on keeps pipes open, so there are none.
    let mut detach = heedless(&stage, "red-runtime", &["run", "--detach", "--bundle", &dir, "detached"]);
    assert!(detach.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    eventually("its command has started", || out("created").lines().count() == 2);
    for (path, mut call) in [
        ("run", heedless(&stage, "red-runtime", &["run", "--bundle", &plain, "r"])),
        ("exec", heedless(&stage, "red-runtime", &["exec", "detached", "sh", "-c", SIGNALS])),
        ("red-wrap", heedless(&stage, "red-wrap", &[&node, "--", "sh", "-c", SIGNALS])),
        (
            "red-wrap, the host's processes",
            heedless(&shared, "red-wrap", &[&others, "--", "sh", "-c", SIGNALS]),
        ),
        ("run --redpath", heedless(&stage, "red-runtime", &["run", &node, "--", "sh", "-c", SIGNALS])),
        ("a command of a node", heedless(&stage, "red-wrap", &[&node, "--", "cat", "/etc/signals"])),
    ] {
        let said = run(&mut call);
        assert_eq!((said.code, said.out.as_str()), (0, CLEAN), "{path}: {}", said.err);
    }
    run(&mut heedless(&stage, "red-runtime", &["delete", "--force", "detached"])).good();
    for kind in kinds.into_iter().chain(["created"]) {
        assert_eq!(out(kind), CLEAN, "{kind}");
    }
}

#[test]
fn signals_do_in_a_bundle_what_they_do_elsewhere() {
    let stage = Stage::new();
    let (ended, broken) =
        ("sleep 100 & kill $!; wait $! 2>/dev/null; echo $?", "(yes; echo $? >&2) | head -1 >/dev/null");
    for (script, out, err) in [(ended, "143\n", None), (broken, "", Some("141\n"))] {
        let dir = bundle(&stage, "b", script, |_| {});
        let said = launch(&stage, &dir, "c");
        // A shell may say that its child was ended.
        assert_eq!((said.out.as_str(), err.unwrap_or(&said.err)), (out, &*said.err), "{script}");
        fs::remove_dir_all(dir).unwrap();
    }
    // To the launcher and to the container.
    for to_launcher in [true, false] {
        let dir = bundle(&stage, "b", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done", |_| {});
        let mut command = red_runtime(&stage.root);
        command.arg("run").arg("--bundle").arg(&dir).arg("c").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        if to_launcher {
            run(Command::new("kill").arg(child.id().to_string())).good();
        } else {
            stage.runtime(["kill", "c", "TERM"]).good();
        }
        assert_eq!(child.wait().unwrap().code(), Some(5), "{to_launcher}");
        fs::remove_dir_all(dir).unwrap();
    }
}

/// A launcher that is to outlive its terminal does not take its command away with it.
#[test]
fn what_nohup_ignores_is_not_passed_on() {
    let stage = Stage::new();
    let dir = bundle(
        &stage,
        "b",
        "trap 'exit 5' HUP; trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done",
        |_| {},
    );
    let mut nohup = Command::new("nohup");
    nohup.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(built("red-runtime"));
    nohup.arg("--root").arg(&stage.root).arg("run").arg("--bundle").arg(&dir).arg("c");
    nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = nohup.spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    for signal in ["-HUP", "-TERM"] {
        run(Command::new("kill").arg(signal).arg(child.id().to_string())).good();
    }
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

/// Calls of which only we make use while a container starts. `true` needs none of them.
const OURS: [&str; 19] = [
    "close_range",
    "faccessat2",
    "setresuid",
    "setresgid",
    "setgroups",
    "rt_sigprocmask",
    "rt_sigaction",
    "sendto",
    "sendmsg",
    "recvfrom",
    "accept4",
    "prctl",
    "capset",
    "openat2",
    "fchdir",
    "getcwd",
    "umask",
    "fchown",
    "dup2",
];

#[test]
fn a_filter_never_meets_a_call_of_ours() {
    let stage = Stage::new();
    let dead = |calls: &[&str]| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": calls, "action": "SCMP_ACT_KILL_PROCESS"}]});
    let mut profiles: Vec<(String, Value)> =
        OURS.iter().map(|call| ((*call).to_owned(), dead(&[call]))).collect();
    profiles.push(("all of them".into(), dead(&OURS)));
    // A list of what is allowed, which no call of ours is on.
    let needed = [
        "execve",
        "brk",
        "mmap",
        "access",
        "openat",
        "fstat",
        "newfstatat",
        "close",
        "pread64",
        "read",
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "mprotect",
        "prlimit64",
        "munmap",
        "getrandom",
        "exit_group",
    ];
    let list = json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{"names": needed, "action": "SCMP_ACT_ALLOW"}]});
    profiles.push(("a list of what is allowed".into(), list));
    for (what, profile) in profiles {
        for never_gains in [true, false] {
            let dir = stage.plain("b", &["true"], |spec| {
                spec["process"]["noNewPrivileges"] = json!(never_gains);
                spec["linux"]["seccomp"] = profile.clone();
            });
            let said = launch(&stage, &dir, "c");
            assert_eq!(said.code, 0, "{what}, noNewPrivileges {never_gains}: {}", said.err);
            fs::remove_dir_all(dir).unwrap();
        }
    }
    // A further process, which says that it has the filter, no more capabilities, and no more privileges.
    for never_gains in [true, false] {
        let dir = stage.plain("b", &["sleep", "100"], |spec| {
            spec["process"]["noNewPrivileges"] = json!(never_gains);
            spec["linux"]["seccomp"] =
                dead(&["accept4", "recvfrom", "sendto", "setresuid", "capset", "openat2"]);
        });
        stage.start(&dir, "c");
        let said = stage
            .runtime(["exec", "c", "grep", "-E", "^(CapPrm|CapEff|NoNewPrivs|Seccomp):", "/proc/self/status"])
            .good();
        let wanted = format!(
            "CapPrm:\t0000000000000020\nCapEff:\t0000000000000020\nNoNewPrivs:\t{}\nSeccomp:\t2\n",
            u8::from(never_gains)
        );
        assert_eq!(said.out, wanted);
        stage.runtime(["delete", "--force", "c"]).good();
        fs::remove_dir_all(dir).unwrap();
    }
}

/// The same words of three runtimes, where they are installed: what is left of a process's privileges.
#[test]
fn a_filter_without_no_new_privs_leaves_no_capability_behind() {
    let stage = Stage::new();
    for (uid, ambient) in [(0, false), (1000, false), (1000, true)] {
        let dir = stage.plain("b", &["grep", "-E", "^(Cap|Seccomp:|Uid)", "/proc/self/status"], |spec| {
            spec["process"]["noNewPrivileges"] = json!(false);
            spec["process"]["user"] = json!({"uid": uid, "gid": uid});
            if ambient {
                for set in ["inheritable", "ambient"] {
                    spec["process"]["capabilities"][set] = json!(["CAP_KILL"]);
                }
            }
            spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]});
        });
        let ours = launch(&stage, &dir, "c").good().out;
        assert!(ours.contains("Seccomp:\t2"), "{ours}");
        let kill = if uid == 0 || ambient { "20" } else { "00" };
        for line in [
            format!("CapPrm:\t00000000000000{kill}"),
            format!("CapEff:\t00000000000000{kill}"),
            "CapBnd:\t0000000000000020".into(),
        ] {
            assert!(ours.contains(&line), "uid {uid}: {line} in {ours}");
        }
        if Path::new("/usr/sbin/runc").exists() {
            let mut runc = Command::new("runc");
            runc.arg("--root")
                .arg(stage.pool.join("runc"))
                .arg("run")
                .arg("--bundle")
                .arg(&dir)
                .arg("red-peer");
            assert_eq!(ours, run(runc.stdin(Stdio::null())).good().out, "uid {uid}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn a_masked_rule_tells_namespaces_apart() {
    let stage = Stage::new();
    // unshare(2) fails but for a new user namespace.
    let rule = json!({"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": [
        {"index": 0, "value": 0x1000_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]});
    let dir = stage.plain("b", &["sh", "-c", "unshare -U true; echo $?; unshare -u true"], |spec| {
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    });
    let said = launch(&stage, &dir, "c");
    assert!(said.out == "0\n" && said.err.contains("Cannot assign"), "{}{}", said.out, said.err);
}

/// What an agent is sent.
fn received(listener: &UnixListener) -> Value {
    let (mut stream, _) = listener.accept().expect("made by the test");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("made by the test");
    serde_json::from_str(&text).expect("made by the test")
}

#[test]
fn an_agent_has_the_filter_before_create_returns_and_that_of_further_processes() {
    let stage = Stage::new();
    let socket = stage.pool.join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    for never_gains in [true, false] {
        let dir = bundle(&stage, "b", "mkdir /out/x 2>/out/said; echo $? >>/out/said; sleep 100", |spec| {
            spec["process"]["noNewPrivileges"] = json!(never_gains);
            spec["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "listenerMetadata": "meta",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
            });
        });
        stage.create(&dir, "c").good();
        let told = received(&listener);
        let pid = stage.runtime(["state", "c"]).good().json()["pid"].clone();
        assert_eq!(
            (&told["pid"], &told["metadata"], &told["fds"]),
            (&pid, &json!("meta"), &json!(["seccompFd"]))
        );
        assert_eq!(
            (&told["state"]["id"], &told["state"]["status"], &told["state"]["pid"]),
            (&json!("c"), &json!("creating"), &pid)
        );
        stage.runtime(["start", "c"]).good();
        // Nobody holds what the agent was sent any more: the call is not there.
        let said = stage.pool.join("out/said");
        eventually("it has called", || fs::read_to_string(&said).is_ok_and(|text| text.ends_with("1\n")));
        assert!(fs::read_to_string(&said).unwrap().contains("not implemented"));
        // It waits for the agent, which has a connection of its own for each process.
        let mut exec = red_runtime(&stage.root);
        exec.args(["exec", "c", "sh", "-c", "mkdir /out/y; echo $?"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let exec = exec.spawn().unwrap();
        listener.set_nonblocking(false).unwrap();
        let told = received(&listener);
        listener.set_nonblocking(true).unwrap();
        let said = exec.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(out == "1\n" && err.contains("not implemented"), "{out}{err}");
        assert_eq!((&told["state"]["status"], &told["state"]["pid"]), (&json!("running"), &pid));
        assert_ne!(told["pid"], pid);
        stage.runtime(["delete", "--force", "c"]).good();
        fs::remove_dir_all(dir).unwrap();
        fs::remove_dir_all(stage.pool.join("out")).unwrap();
    }
    // Nobody listens: nothing is made.
    drop(listener);
    let dir = bundle(&stage, "b", "true", |spec| {
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket,
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]});
    });
    assert!(stage.create(&dir, "c").err.contains("agent"));
    assert!(stage.sweep(), "nothing is left");
}

#[test]
fn a_home_is_the_containers_own() {
    let stage = Stage::new();
    let listed = "root:x:0:0:root:/of-root:/bin/sh\nsome:x:7:7::/of-some:\n";
    let long = format!("{}{listed}", "x:x:9:9::/x:\n".repeat(20_000));
    type Given<'a> = (&'a str, Option<&'a str>, u32, &'a [&'a str], &'a str);
    let cases: [Given<'_>; 9] = [
        ("root", Some(listed), 0, &[], "/of-root"),
        ("another user", Some(listed), 7, &[], "/of-some"),
        ("a user who is not listed", Some(listed), 4242, &[], "/"),
        ("no list", None, 0, &[], "/"),
        ("a long list", Some(&long), 7, &[], "/of-some"),
        ("nothing in it", Some(""), 0, &[], "/"),
        ("an empty one is none", Some(listed), 0, &["HOME="], "/of-root"),
        ("one that is given", Some(listed), 0, &["HOME=/given"], "/given"),
        ("the last that is given", Some(listed), 0, &["HOME=/a", "HOME=/b"], "/b"),
    ];
    for (what, text, uid, env, home) in cases {
        let dir = stage.plain("b", &["sh", "-c", "echo $HOME"], |spec| {
            spec["process"]["user"] = json!({"uid": uid, "gid": 0});
            spec["process"]["env"].as_array_mut().unwrap().extend(env.iter().map(|one| json!(one)));
        });
        if let Some(text) = text {
            stage.pool.write("b/rootfs/etc/passwd", text);
        }
        assert_eq!(launch(&stage, &dir, "c").good().out, format!("{home}\n"), "{what}");
        fs::remove_dir_all(dir).unwrap();
    }
    // What waits for ever when it is opened, and what leads out of the root.
    for odd in
        ["mkfifo etc/passwd", "ln -s ../../../../../../../../../../etc/passwd etc/passwd", "mkdir etc/passwd"]
    {
        let dir = stage.plain("b", &["sh", "-c", "echo $HOME"], |_| {});
        let root = dir.join("rootfs");
        run(Command::new("sh").args(["-c", &format!("mkdir etc; {odd}")]).current_dir(root)).good();
        assert_eq!(launch(&stage, &dir, "c").good().out, "/\n", "{odd}");
        fs::remove_dir_all(dir).unwrap();
    }
    let dir = stage.plain("b", &["sleep", "100"], |_| {});
    stage.pool.write("b/rootfs/etc/passwd", listed);
    stage.start(&dir, "c");
    for (options, home) in [
        (&[][..], "/of-root"),
        (&["--user", "7"], "/of-some"),
        (&["--user", "9"], "/"),
        (&["--env", "HOME=/e"], "/e"),
    ] {
        let call: Vec<&str> =
            ["exec"].iter().chain(options).chain(&["c", "sh", "-c", "echo $HOME"]).copied().collect();
        assert_eq!(stage.runtime(call).good().out, format!("{home}\n"), "exec {options:?}");
    }
}

#[test]
fn small_things_of_a_process() {
    let stage = Stage::new();
    type Change = fn(&mut Value);
    let cases: [(&str, &str, Change, &str, &str); 8] = [
        (
            "an unknown capability is left out",
            "grep CapBnd /proc/self/status",
            |spec| spec["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_OF_TOMORROW"]),
            "CapBnd:\t0000000000000020\n",
            "CAP_OF_TOMORROW",
        ),
        (
            "no user is root",
            "id -u",
            |spec| drop(spec["process"].as_object_mut().unwrap().remove("user")),
            "0\n",
            "",
        ),
        ("an empty host name is none", "hostname", |spec| spec["hostname"] = json!(""), "HOST\n", ""),
        ("an empty domain name is none", "echo ok", |spec| spec["domainname"] = json!(""), "ok\n", ""),
        (
            "a variable is what it was said last",
            "env | grep ^A",
            |spec| spec["process"]["env"] = json!(["PATH=/bin:/usr/bin", "A=1", "AB=3", "A=2"]),
            "AB=3\nA=2\n",
            "",
        ),
        (
            "a missing command of $PATH",
            "",
            |spec| spec["process"]["args"] = json!(["nope"]),
            "",
            "not found in $PATH",
        ),
        (
            "a missing command",
            "",
            |spec| spec["process"]["args"] = json!(["/nope"]),
            "",
            "`/nope`: no such file or directory",
        ),
        (
            "a missing working directory of a read-only root",
            "",
            |spec| spec["process"]["cwd"] = json!("/usr/nope"),
            "",
            "working directory /usr/nope: no such file or directory",
        ),
    ];
    let host = run(&mut Command::new("hostname")).out;
    for (what, script, change, out, err) in cases {
        let dir = bundle(&stage, "b", script, change);
        let said = launch(&stage, &dir, "c");
        assert_eq!(said.out, out.replace("HOST\n", &host), "{what}: {}", said.err);
        assert!(said.err.contains(err) && said.err.is_empty() == err.is_empty(), "{what}: {}", said.err);
        fs::remove_dir_all(dir).unwrap();
    }
    // A launcher that lacks a capability gives what it has.
    let dir = bundle(&stage, "b", "grep CapPrm /proc/self/status", |spec| {
        for set in ["bounding", "permitted", "effective"] {
            spec["process"]["capabilities"][set] = json!(["CAP_KILL", "CAP_NET_RAW"]);
        }
    });
    let mut lacks = Command::new("setpriv");
    lacks.args(["--bounding-set=-net_raw", "--inh-caps=-net_raw"]).arg(built("red-runtime"));
    lacks.arg("--root").arg(&stage.root).arg("run").arg("--bundle").arg(&dir).arg("c").stdin(Stdio::null());
    let said = run(&mut lacks);
    assert_eq!(said.out, "CapPrm:\t0000000000000020\n", "{}", said.err);
    assert!(said.err.contains("the launcher lacks CAP_NET_RAW"), "{}", said.err);
    fs::remove_dir_all(dir).unwrap();
    // A further process says less than a first one.
    let dir = stage.plain("b", &["sleep", "100"], |_| {});
    stage.start(&dir, "c");
    let process = json!({"args": ["id", "-u"], "cwd": "/", "env": ["PATH=/usr/bin"],
        "capabilities": {"bounding": ["CAP_OF_TOMORROW"]}});
    let file = stage.pool.write("p.json", process.to_string());
    let said = stage.runtime(["exec", "--process", file.to_str().unwrap(), "c"]);
    assert!(said.out == "0\n" && said.err.contains("CAP_OF_TOMORROW"), "{}{}", said.out, said.err);
    let said = stage.runtime(["exec", "--cwd", "/nope", "c", "true"]);
    assert!(said.code == 255 && said.err.contains("no such file or directory"), "{}", said.err);
    let said = stage.runtime(["exec", "c", "/nope"]);
    assert!(said.code == 255 && said.err.contains("`/nope`: no such file or directory"), "{}", said.err);
}

#[test]
fn a_terminal_has_its_size_when_the_command_starts() {
    let stage = Stage::new();
    let terminal = |spec: &mut Value| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["consoleSize"] = json!({"height": 21, "width": 99});
        let options = ["newinstance", "ptmxmode=0666", "mode=0620"];
        let mount =
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options});
        spec["mounts"].as_array_mut().unwrap().push(mount);
    };
    // Standard input is no terminal here.
    let dir = bundle(&stage, "b", "stty size; tty -s && echo tty", terminal);
    for _ in 0..5 {
        assert_eq!(launch(&stage, &dir, "c").good().out, "21 99\r\ntty\r\n");
    }
    let plain = bundle(&stage, "p", "sleep 100", |spec| {
        terminal(spec);
        spec["process"]["terminal"] = json!(false);
        spec["process"].as_object_mut().unwrap().remove("consoleSize");
    });
    stage.start(&plain, "d");
    let process = json!({"args": ["stty", "size"], "cwd": "/", "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0},
        "terminal": true, "consoleSize": {"height": 33, "width": 77}});
    let file = stage.pool.write("p.json", process.to_string());
    for _ in 0..5 {
        let said = stage.runtime(["exec", "--process", file.to_str().unwrap(), "d"]).good();
        assert_eq!(said.out, "33 77\r\n");
    }
    // That of the launcher's terminal, where the configuration says none.
    let inside = |words: String| {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("stty rows 40 cols 111; {words}"), "/dev/null"]).stdin(Stdio::null());
        run(script.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")).out
    };
    let (program, root) = (built("red-runtime").display().to_string(), stage.root.display().to_string());
    let free = bundle(&stage, "f", "stty size", |spec| {
        terminal(spec);
        spec["process"].as_object_mut().unwrap().remove("consoleSize");
    });
    for words in [
        format!("{program} --root {root} run --bundle {} c", free.display()),
        format!("{program} --root {root} exec -t d stty size"),
        format!("{program} wrap --root {root} --redpath={} -- stty size", stage.leaf.display()),
    ] {
        for _ in 0..5 {
            let out = inside(words.clone());
            assert!(out.contains("40 111"), "{words}: {out}");
        }
    }
}

/// Processor time that a process has used, in clock ticks (proc_pid_stat(5), fields 14 and 15).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("made by the test");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("made by the test").1.split_whitespace().collect();
    fields[11].parse::<u64>().expect("made by the test")
        + fields[12].parse::<u64>().expect("made by the test")
}

/// A bundle with a terminal, started; its streams are pipes.
fn on_terminal(stage: &Stage, script: &str) -> std::process::Child {
    let dir = bundle(stage, "b", script, |spec| {
        spec["process"]["terminal"] = json!(true);
        let options = ["newinstance", "ptmxmode=0666", "mode=0620"];
        let mount =
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options});
        spec["mounts"].as_array_mut().expect("made by the test").push(mount);
    });
    let mut command = red_runtime(&stage.root);
    command.arg("run").arg("--bundle").arg(&dir).arg("c").stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("made by the test")
}

#[test]
fn a_terminal_that_its_command_has_closed_costs_nothing_and_may_be_opened_again() {
    let stage = Stage::new();
    let script = "tty >/out/name; exec </dev/null >/dev/null 2>&1; until [ -e /out/go ]; do sleep 0.05; done; echo again >$(cat /out/name); sleep 0.3";
    let mut child = on_terminal(&stage, script);
    let out = stage.pool.join("out");
    eventually("it has closed its terminal", || {
        fs::read_to_string(out.join("name")).is_ok_and(|name| name.ends_with('\n'))
    });
    std::thread::sleep(Duration::from_millis(300));
    let before = ticks(child.id());
    std::thread::sleep(Duration::from_millis(1500));
    let used = ticks(child.id()) - before;
    assert!(used < 15, "{used} ticks of processor time while nothing happens");
    fs::write(out.join("go"), "").unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), "again\r\n"));
}

#[test]
fn both_directions_of_a_terminal_may_be_full_at_once() {
    let stage = Stage::new();
    // It writes much before it reads anything, and is sent much before it has written.
    let script = "stty raw -echo; echo ready; head -c 500000 /dev/zero; head -c 300000 | wc -c";
    let mut child = on_terminal(&stage, script);
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut ready = [0; 6];
    output.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    let writer = std::thread::spawn(move || {
        let written = input.write_all(&vec![b'x'; 300_000]);
        (input, written)
    });
    let reader = std::thread::spawn(move || {
        // Not before the other direction is full.
        std::thread::sleep(Duration::from_millis(500));
        let mut all = Vec::new();
        output.read_to_end(&mut all).map(|_| all)
    });
    let end = Instant::now() + red_tests::patience(30);
    while !reader.is_finished() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let finished = reader.is_finished();
    if !finished {
        stage.runtime(["delete", "--force", "c"]);
        child.kill().unwrap();
    }
    child.wait().unwrap();
    let all = reader.join().unwrap().unwrap();
    writer.join().unwrap().1.ok();
    assert!(finished, "both wait for the other after {} bytes", all.len());
    assert!(all.len() > 500_000 && all.ends_with(b"300000\n"), "{} bytes", all.len());
}
