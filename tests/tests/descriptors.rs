//! What a launcher has open, and what a process inside inherits of it, leads nowhere
//! (CVE-2024-21626 and its neighbours), and what it shares with the caller is no way back
//! (CVE-2017-5226).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use red_tests::call::{Said, built, red_runtime, run};
use red_tests::podman::Podman;
use red_tests::skip;
use red_tests::stage::Stage;
use serde_json::json;

/// A file of the host that nothing inside is to read, and one that nothing inside is to make.
struct Host {
    secret: PathBuf,
    made: PathBuf,
}

const SECRET: &str = "a secret of the host";

impl Host {
    fn of(stage: &Stage) -> Self {
        let secret = stage.pool.write("outside/secret", SECRET);
        Self { made: secret.with_file_name("made"), secret }
    }

    /// A script that climbs from where it is to the host's files.
    fn climb(&self) -> String {
        let up = "../".repeat(24);
        let (secret, made) = (self.secret.display(), self.made.display());
        format!("cat {up}{secret} 2>/dev/null; echo x > {up}{made}; true")
    }

    /// Looks from outside.
    fn holds(&self, said: &Said, how: &str) {
        assert!(!said.out.contains(SECRET), "{how} read a file of the host");
        assert!(!self.made.exists(), "{how} made a file on the host");
    }

    /// Nothing was reached, and the launch said why it did not happen.
    fn refuses(&self, said: &Said, how: &str) {
        self.holds(said, how);
        let words = ["working directory", "magic link", "executable file not found", "cannot execute"];
        assert_ne!(said.code, 0, "{how}: {}{}", said.out, said.err);
        assert!(words.iter().any(|word| said.err.contains(word)), "{how}: {}", said.err);
    }
}

/// Numbers that descriptors of a launcher have; none of this test's own is among them.
const NUMBERS: std::ops::Range<u32> = 3..20;

#[test]
fn no_working_directory_of_a_bundle_is_a_descriptor_of_the_host() {
    let stage = Stage::new();
    let host = Host::of(&stage);
    let climb = host.climb();
    for number in NUMBERS {
        let straight = format!("/proc/self/fd/{number}");
        for (name, cwd) in
            [("s", straight.clone()), ("l", "/work".to_owned()), ("u", format!("{straight}/../.."))]
        {
            let name = format!("{name}{number}");
            let bundle = stage.plain(&name, &["sh", "-c", &climb], |spec| {
                spec["process"]["cwd"] = json!(cwd);
                spec["process"]["capabilities"] = json!({});
            });
            symlink(&straight, bundle.join("rootfs/work")).expect("it is ours");
            let said = stage.runtime(["run", "-b", &bundle.display().to_string(), &name]);
            host.refuses(&said, &format!("run with cwd {cwd}"));
            let said = stage.create(&bundle, &name);
            host.refuses(&said, &format!("create with cwd {cwd}"));
        }
    }
    assert!(stage.sweep());
}

#[test]
fn no_command_is_a_descriptor_of_the_host() {
    let stage = Stage::new();
    let host = Host::of(&stage);
    let script = stage.pool.write("outside/hostbin", "#!/bin/sh\necho a secret of the host\n");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let up = "../".repeat(24);
    for number in NUMBERS {
        for (args, env) in [
            (format!("/proc/self/fd/{number}/{up}{}", script.display()), "PATH=/usr/bin".to_owned()),
            (format!("/proc/self/fd/{number}"), "PATH=/usr/bin".to_owned()),
            (
                "hostbin".to_owned(),
                format!("PATH=/proc/self/fd/{number}/{up}{}", stage.pool.join("outside").display()),
            ),
        ] {
            let name = format!("c{number}");
            let bundle = stage.plain(&name, &[&args], |spec| spec["process"]["env"] = json!([env]));
            let said = stage.runtime(["run", "-b", &bundle.display().to_string(), &name]);
            host.refuses(&said, &format!("run of {args} with {env}"));
            fs::remove_dir_all(bundle).expect("it is ours");
        }
    }
    assert!(stage.sweep());
}

#[test]
fn a_further_process_finds_no_descriptor_of_the_host() {
    let stage = Stage::new();
    let host = Host::of(&stage);
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    symlink("/proc/self/fd/5", bundle.join("rootfs/work")).expect("it is ours");
    stage.start(&bundle, "c");
    for number in NUMBERS {
        for cwd in [format!("/proc/self/fd/{number}"), "/work".to_owned(), format!("/proc/1/fd/{number}")] {
            let said = stage.runtime(["exec", "--cwd", &cwd, "c", "sh", "-c", &host.climb()]);
            host.refuses(&said, &format!("exec with cwd {cwd}"));
        }
        let command = format!("/proc/self/fd/{number}/{}usr/bin/true", "../".repeat(24));
        host.refuses(&stage.runtime(["exec", "c", &command]), &format!("exec of {command}"));
    }
    stage.sweep();
}

#[test]
fn no_node_is_led_out_by_its_working_directory() {
    let host_script = |stage: &Stage| Host::of(stage).climb();
    for number in NUMBERS {
        let stage =
            Stage::with(&format!(", chdir: /proc/self/fd/{number}, cgroups: {{pids: {{max: 100}}}}"), "");
        let host = Host::of(&stage);
        let climb = host_script(&stage);
        host.refuses(&stage.wrap(&["sh", "-c", &climb]), "red-wrap");
        let said = run(&mut stage.wrap_command(&["--detach", "--name", "d"], &["sh", "-c", &climb]));
        host.refuses(&said, "red-wrap --detach");
        assert!(stage.sweep());
    }
}

/// The same where cgroups are a single hierarchy: there the launcher has its directory open, too.
#[test]
fn no_descriptor_of_a_cgroup_is_reached_on_a_unified_hierarchy() {
    let stage = Stage::new();
    let host = Host::of(&stage);
    let runtime = built("red-runtime");
    for number in NUMBERS {
        let name = format!("v{number}");
        let bundle = stage.plain(&name, &["sh", "-c", "pwd -P; ls; cat cgroup.procs"], |spec| {
            spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        });
        let script = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";
        let mut unshared = Command::new("unshare");
        unshared.args(["-m", "sh", "-c", script, "sh"]).arg(&runtime).arg("--root").arg(&stage.root);
        let said = run(unshared.args(["run", "-b"]).arg(&bundle).arg(&name).stdin(Stdio::null()));
        host.refuses(&said, &format!("cwd /proc/self/fd/{number} on a unified hierarchy"));
        assert!(!said.out.contains("cgroup"), "{}", said.out);
    }
}

/// There `exec` has the directory of the container's cgroup open, too.
#[test]
fn a_further_process_finds_no_cgroup_on_a_unified_hierarchy() {
    let stage = Stage::new();
    let bundle = stage.plain("u", &["sleep", "1000"], |_| {});
    let script = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 9
        r() { \"$0\" --root \"$1\" \"${@:3}\"; }
        r \"$@\" create -b \"$2\" u </dev/null >/dev/null 2>&1 && r \"$@\" start u || exit 8
        for n in $(seq 3 20); do r \"$@\" exec --cwd /proc/self/fd/$n u sh -c 'pwd -P; ls; cat cgroup.procs'; done
        r \"$@\" delete --force u";
    let mut unshared = Command::new("unshare");
    unshared.args(["-m", "bash", "-c", script]).arg(built("red-runtime")).arg(&stage.root).arg(&bundle);
    let said = run(unshared.stdin(Stdio::null()));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.is_empty(), "{}", said.out);
    assert_eq!(said.err.matches("working directory").count(), 18, "{}", said.err);
}

#[test]
fn podman_starts_nothing_in_a_descriptor_of_the_host() {
    let stage = Stage::new();
    let Some(podman) = Podman::new(&stage.pool, None) else { return skip("podman is not installed") };
    let host = Host::of(&stage);
    for number in NUMBERS {
        let cwd = format!("/proc/self/fd/{number}");
        let said = podman.run_root(&["-w", &cwd], &stage.leaf, true, &["sh", "-c", &host.climb()]);
        host.holds(&said, &format!("podman -w {cwd}"));
        assert_ne!(said.code, 0, "podman -w {cwd}: {}", said.out);
    }
}

/// A terminal that an image brings along is none.
#[test]
fn the_terminal_of_a_further_process_is_a_real_one() {
    let stage = Stage::new();
    for (name, make) in
        [("file", "echo > ptmx"), ("link", "ln -s /proc/self/fd/4 ptmx"), ("fifo", "mkfifo ptmx")]
    {
        let bundle = stage.plain(name, &["sleep", "1000"], |spec| {
            let mounts = spec["mounts"].as_array_mut().expect("it is a list");
            mounts.retain(|mount| mount["destination"] != "/dev");
            mounts.push(
                json!({"destination": "/dev", "type": "bind", "source": "dev-of-image", "options": ["bind"]}),
            );
        });
        stage.pool.mkdir(format!("{name}/dev-of-image/pts"));
        let made = format!("cd {}/dev-of-image/pts && {make}", bundle.display());
        assert!(Command::new("sh").args(["-c", &made]).status().expect("it runs").success());
        stage.start(&bundle, name);
        let mut script = Command::new("timeout");
        script.args(["20", "script", "-qec"]).arg(format!(
            "{} --root {} exec -t {name} true",
            built("red-runtime").display(),
            stage.root.display()
        ));
        let said = run(script.arg("/dev/null").stdin(Stdio::null()));
        assert!(said.code != 0 && said.code != 124, "{name}: {} {}", said.code, said.out);
        assert!(said.out.contains("/dev/ptmx inside"), "{name}: {}", said.out);
    }
    stage.sweep();
}

/// A process that says nothing of capabilities gets none.
#[test]
fn silence_about_capabilities_is_no_permission() {
    let stage = Stage::new();
    let show = ["grep", "Cap[PEB]", "/proc/self/status"];
    let bundle = stage.plain("b", &show, |spec| {
        spec["process"].as_object_mut().expect("it is an object").remove("capabilities");
    });
    let said = run(red_runtime(&stage.root).args(["run", "-b"]).arg(&bundle).arg("c")).good();
    let none = "0000000000000000";
    assert_eq!(said.out, format!("CapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\n"));
    let bundle = stage.plain("d", &["sleep", "1000"], |spec| {
        spec["process"].as_object_mut().expect("it is an object").remove("capabilities");
    });
    stage.start(&bundle, "d");
    let said = stage.runtime(["exec", "d", show[0], show[1], show[2]]).good();
    assert_eq!(said.out, format!("CapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\n"));
    stage.sweep();
}

/// Runs a command of Python with a terminal as standard input, and optionally as its controlling
/// terminal; prints what is left in the terminal's input.
fn with_terminal(program: &[String], streams: &str) -> Said {
    let script = r#"
import array, fcntl, os, subprocess, sys, termios, time
outer, inner = os.openpty()
def session():
    os.setsid()
    fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
which = sys.argv[1]
def stream(name):
    return inner if name in which else subprocess.DEVNULL
out = inner if "1" in which else subprocess.PIPE
done = subprocess.run(sys.argv[2:], stdin=stream("0"), stdout=out, stderr=stream("2"),
                      preexec_fn=session, pass_fds=())
if done.stdout: sys.stdout.write(done.stdout.decode(errors="replace"))
waiting = array.array("i", [0])
fcntl.ioctl(inner, termios.FIONREAD, waiting)
print("typed", waiting[0])
os.set_blocking(outer, False)
try: shown = os.read(outer, 65536)
except BlockingIOError: shown = b""
print("shown", b"STI-DONE" in shown)
"#;
    run(Command::new("python3").args(["-c", script, streams]).args(program).stdin(Stdio::null()))
}

/// Types into every terminal it finds: the standard streams and the controlling one.
const TYPIST: &str = r#"
import fcntl, os, termios
for fd in (0, 1, 2):
    try: fcntl.ioctl(fd, termios.TIOCSTI, b"\n"); print("STI-DONE", fd)
    except OSError: pass
try:
    tty = os.open("/dev/tty", os.O_RDWR)
    fcntl.ioctl(tty, termios.TIOCSTI, b"\n"); print("STI-DONE tty")
except OSError: pass
"#;

#[test]
fn nothing_inside_types_into_the_terminal_of_its_launcher() {
    let stage = Stage::new();
    let wrap = stage.wrap_command(&[], &["python3", "-c", TYPIST]);
    let mut program = vec!["env".to_owned(), "-a".to_owned(), "red-wrap".to_owned()];
    program.push(built("red-runtime").display().to_string());
    program.extend(wrap.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    for streams in ["0", "2", "02", "12", "-"] {
        // A file of that name is red-wrap by its first argument.
        let link = stage.pool.join("red-wrap");
        if !link.exists() {
            symlink(built("red-runtime"), &link).expect("it is ours");
        }
        let mut words = vec![link.display().to_string()];
        words.extend_from_slice(&program[4..]);
        let said = with_terminal(&words, streams);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(!said.out.contains("STI-DONE"), "streams {streams}: {}", said.out);
        assert!(said.out.contains("typed 0\nshown False"), "streams {streams}: {}", said.out);
    }
    // The same program types where nothing stops it, so the test can fail.
    let legacy = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").unwrap_or_default();
    if legacy.trim() == "1" {
        let words = ["python3", "-c", TYPIST].map(str::to_owned);
        assert!(with_terminal(&words, "0").out.contains("STI-DONE 0"));
    }
}

/// Searches the session keyring for a key of the launcher, and tries what the standard filter denies.
const SEARCHER: &str = r#"
import ctypes, errno, os, platform
c = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
keyctl, bpf, userfaultfd, io_uring = (250, 321, 323, 425) if x86 else (219, 280, 282, 425)
def call(*args):
    ctypes.set_errno(0)
    return c.syscall(*args), errno.errorcode.get(ctypes.get_errno(), "0")
print("key", call(keyctl, 10, ctypes.c_int(-3), b"user", b"red-test", 0)[0] > 0)
print("bpf", call(bpf, 0, None, 0)[1], "uffd", call(userfaultfd, 0)[1], "uring", call(io_uring, 1, None)[1])
print(open("/proc/self/status").read().split("Seccomp:\t")[1][0])
"#;

#[test]
fn a_launch_of_ours_shares_no_keyring_and_is_under_the_standard_filter() {
    let stage = Stage::new();
    let link = stage.pool.join("red-wrap");
    symlink(built("red-runtime"), &link).expect("it is ours");
    let wrap = stage.wrap_command(&["--name", "k"], &["python3", "-c", SEARCHER]);
    let args: Vec<String> = wrap.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let holder = r#"
import ctypes, os, platform, sys
c = ctypes.CDLL(None, use_errno=True)
add, keyctl = (248, 250) if platform.machine() == "x86_64" else (217, 219)
assert c.syscall(keyctl, 1, None) > 0
assert c.syscall(add, b"user", b"red-test", b"S", 1, ctypes.c_int(-3)) > 0
os.execvp(sys.argv[1], sys.argv[1:])
"#;
    let said = run(Command::new("python3").args(["-c", holder]).arg(&link).args(&args)).good();
    assert_eq!(said.out, "key False\nbpf EPERM uffd ENOSYS uring ENOSYS\n2\n");
    // The key is there for whoever shares the keyring, so the test can fail.
    let plain = run(Command::new("python3").args(["-c", holder, "python3", "-c", SEARCHER])).good();
    assert!(plain.out.starts_with("key True"), "{}", plain.out);
    // A node may do without, unless an ancestor says otherwise.
    let filtered = |config: &str, leaf: &str| {
        let stage = Stage::with(config, "");
        let text = format!("config: {{seccomp: {leaf}}}");
        stage.pool.node("core/mid/app", &text);
        stage.wrap(&["grep", "Seccomp:", "/proc/self/status"]).good().out
    };
    assert_eq!(filtered("", "Disabled"), "Seccomp:\t0\n");
    assert_eq!(filtered(", seccomp: Enabled", "Disabled"), "Seccomp:\t2\n");
    // A further command of the same container is under the same.
    let mut sleeping = stage.wrap_command(&["--detach", "--name", "s"], &["sleep", "1000"]);
    run(&mut sleeping).good();
    let entered = ["enter", "--root", &stage.root.display().to_string(), "s", "python3", "-c", SEARCHER]
        .map(str::to_owned);
    let said = run(Command::new("python3").args(["-c", holder]).arg(&link).args(&entered)).good();
    assert_eq!(said.out, "key False\nbpf EPERM uffd ENOSYS uring ENOSYS\n2\n");
    stage.sweep();
}

/// Looks at every process of the launcher's that comes by, for as long as nobody says stop.
const WATCHER: &str = r#"
import os
seen = set()
while not os.path.exists("/stop"):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) in (1, os.getpid()): continue
        try:
            name = open(f"/proc/{pid}/comm").read().strip()
            if name not in ("true", "sh", "python3"):
                links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]
                # One that has become its command meanwhile has a loader that opens libraries.
                if links and open(f"/proc/{pid}/comm").read().strip() == name: seen.add(f"{name} has {links}")
        except OSError: pass
open("/seen", "w").write(" ".join(sorted(seen)) + "\n")
"#;

/// CVE-2016-9962: a container with the right to trace looked into a process that entered it, and had
/// the directories of the host that were still open there.
#[test]
fn nobody_inside_looks_at_a_process_that_enters() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["python3", "-c", WATCHER], |spec| {
        let map = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
        spec["linux"]["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set] =
                json!(["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_KILL"]);
        }
    });
    stage.start(&bundle, "c");
    for _ in 0..40 {
        stage.runtime(["exec", "c", "true"]).good();
    }
    fs::write(bundle.join("rootfs/stop"), "").expect("it is ours");
    stage.wait_status("c", "stopped");
    assert_eq!(fs::read_to_string(bundle.join("rootfs/seen")).expect("it ended well"), "\n");
    stage.sweep();
}

/// What was handed to a launcher for the command is the command's alone once that runs: when it lets go of it,
/// whoever is at the other end notices, and does not wait for the launcher to end.
#[test]
fn a_launcher_lets_go_of_what_it_has_handed_on() {
    let stage = Stage::new();
    let pipe = stage.pool.join("pipe");
    run(Command::new("mkfifo").arg(&pipe)).good();
    let inside = ["sh", "-c", "echo here >&3; exec 3>&-; sleep 1000"];
    let bundle = stage.plain("b", &inside, |_| {});
    let bundle = bundle.display().to_string();
    let running = stage.plain("r", &["sleep", "1000"], |_| {});
    stage.start(&running, "r");
    let wrap = stage.wrap_command(&["--name", "w"], &inside);
    let wrap: Vec<String> = wrap.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let root = stage.root.display().to_string();
    let words = |all: &[&str]| all.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut exec = words(&["--root", &root, "exec", "--preserve-fds", "1", "r"]);
    exec.extend(words(&inside));
    for (name, args) in [
        ("red-wrap", wrap),
        ("red-runtime", words(&["--root", &root, "run", "--bundle", &bundle, "--preserve-fds", "1", "p"])),
        ("red-runtime", words(&["--root", &root, "run", "--bundle", &bundle, "l"])),
        ("red-runtime", exec),
    ] {
        let call = format!("exec 3>{}; LISTEN_FDS=1 LISTEN_PID=$$ exec -a {name} \"$@\"", pipe.display());
        let mut launcher = Command::new("bash");
        launcher.args(["-c", &call, "bash"]).arg(built("red-runtime")).args(&args);
        launcher.stdin(Stdio::null()).stdout(Stdio::null());
        let mut launcher = launcher.spawn().expect("it starts");
        let (told, heard) = std::sync::mpsc::channel();
        let from = pipe.clone();
        // It ends when nobody has the other end open any more.
        std::thread::spawn(move || told.send(fs::read_to_string(from)));
        let said = heard.recv_timeout(red_tests::patience(20));
        let lives = launcher.try_wait().is_ok_and(|ended| ended.is_none());
        drop(launcher.kill());
        drop(launcher.wait());
        let said = said.expect("the pipe is still open").expect("it can be read");
        assert_eq!((said.as_str(), lives), ("here\n", true), "{args:?}");
    }
    stage.sweep();
}
