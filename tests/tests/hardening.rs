//! Weaknesses that a container engine can have, each shown not to be ours (docs/src/security.md).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use red_tests::call::{built, red_runtime, run};
use red_tests::stage::{Stage, eventually};
use serde_json::{Value, json};

const LIVES: [&str; 2] = ["sleep", "1000"];

/// How many times something is tried: a share of what a person can ask for with `RED_SOAK=full`.
fn times(share: usize, full: usize) -> usize {
    if std::env::var_os("RED_SOAK").is_some_and(|value| value == "full") { full } else { share }
}

/// A filter of system calls, a user namespace, limits: everything a first process can be under.
fn under_everything(spec: &mut Value) {
    spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 111, "hard": 222}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    spec["process"]["oomScoreAdj"] = json!(77);
    spec["process"]["user"] = json!({"uid": 0, "gid": 0, "additionalGids": [5]});
    spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["personality", "swapon"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}],
    });
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    spec["linux"]["uidMappings"] = map.clone();
    spec["linux"]["gidMappings"] = map;
    let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("it is a list");
    namespaces.extend([json!({"type": "user"}), json!({"type": "cgroup"})]);
}

/// libcontainer's exec drops the filter, the limits and the user namespace.
#[test]
fn a_process_that_enters_is_under_all_that_the_first_is_under() {
    for never_gains in [true, false] {
        let stage = Stage::new();
        let bundle = stage.plain("b", &LIVES, |spec| {
            under_everything(spec);
            spec["process"]["noNewPrivileges"] = json!(never_gains);
        });
        stage.start(&bundle, "c");
        let facts = "for p in 1 self; do { grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask)' /proc/$p/status; cat /proc/$p/limits /proc/$p/uid_map /proc/$p/gid_map /proc/$p/oom_score_adj; \
                     for n in cgroup ipc mnt net pid user uts time; do readlink /proc/$p/ns/$n; done; cat /proc/$p/cgroup; } > /dev/shm-$p; done; \
                     diff /dev/shm-1 /dev/shm-self && grep -E 'Seccomp:|NoNew' /dev/shm-self && head -c 40 /proc/self/uid_map";
        let said = stage.runtime(["exec", "c", "sh", "-c", &facts.replace("/dev/shm-", "/dev/x")]);
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        let wanted = format!("NoNewPrivs:\t{}\nSeccomp:\t2\n", u8::from(never_gains));
        assert!(said.out.starts_with(&wanted), "{}", said.out);
        assert!(said.out.contains("1000"), "{}", said.out);
    }
}

/// libcontainer follows a link of the root on the host.
#[test]
fn a_dev_that_is_a_link_is_refused() {
    for name in ["dev", "proc", "sys"] {
        let stage = Stage::new();
        let outside = stage.pool.mkdir("outside");
        let bundle = stage.plain("b", &["true"], |_| {});
        symlink(&outside, bundle.join("rootfs").join(name)).expect("it is ours");
        let said = stage.create(&bundle, "c");
        assert!(said.code == 1 && said.err.contains("not a directory"), "{name}: {}", said.err);
        assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0, "{name}");
        // A node's own contents never decide where these go.
        symlink(&outside, stage.leaf.join(name)).expect("it is ours");
        stage.wrap(&["true"]).good();
        assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0, "{name}");
    }
}

#[test]
fn devices_are_denied_that_no_rule_allows() {
    let stage = Stage::new();
    let script = "mknod /dev/kmsg c 1 11 && echo made; mknod /dev/mem2 c 1 1 && echo made; \
                  mknod /dev/null2 c 1 3 && echo > /dev/null2 && echo usual; head -c 1 /dev/zero | wc -c";
    let bundle = stage.plain("b", &["sh", "-c", script], |spec| {
        let all = json!(["CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        spec["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    });
    let said = stage.runtime(["run", "--bundle", &bundle.display().to_string(), "c"]);
    assert_eq!(said.out, "usual\n1\n", "{}", said.err);
}

/// `state`, `kill` and `delete` of libcontainer act on whoever has the number now.
#[test]
fn a_number_that_somebody_else_has_by_now_is_nobodys() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &LIVES, |_| {});
    for _ in 0..times(5, 1000) {
        let mut innocent = Innocent::new();
        stage.start(&bundle, "c");
        let record = stage.root.join("c/record.json");
        let mut value: Value =
            serde_json::from_slice(&fs::read(&record).expect("it is there")).expect("it is JSON");
        let first = value["process"]["pid"].to_string();
        run(Command::new("kill").args(["-9", &first])).good();
        eventually("it has ended", || stage.status("c") == "stopped");
        value["process"]["pid"] = json!(innocent.0.id());
        fs::write(&record, value.to_string()).expect("it is ours");
        assert_eq!(stage.status("c"), "stopped");
        assert!(stage.runtime(["kill", "c", "KILL"]).err.contains("not running"));
        assert_ne!(stage.runtime(["exec", "c", "true"]).code, 0);
        stage.runtime(["delete", "--force", "c"]).good();
        assert!(innocent.0.try_wait().expect("it is ours").is_none(), "an innocent was hit");
    }
}

struct Innocent(Child);

impl Innocent {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Of two creates of one name, libcontainer's loser destroys the winner.
#[test]
fn of_eight_creates_of_one_name_one_wins_and_lives() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &LIVES, |_| {});
    for round in 0..times(6, 100) {
        let create = || {
            let mut command = red_runtime(&stage.root);
            command.arg("create").arg("--bundle").arg(&bundle).arg("c");
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
        };
        let all: Vec<Child> = (0..8).map(|_| create()).collect();
        let won = all
            .into_iter()
            .filter_map(|mut one| one.wait().ok())
            .filter(std::process::ExitStatus::success)
            .count();
        assert_eq!(won, 1, "round {round}");
        assert_eq!(stage.status("c"), "created", "round {round}");
        stage.runtime(["start", "c"]).good();
        stage.runtime(["delete", "--force", "c"]).good();
    }
    assert!(stage.sweep());
}

/// One torn file of libcontainer's breaks `list` for all.
#[test]
fn damaged_records_are_named_and_can_be_removed() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &LIVES, |_| {});
    stage.start(&bundle, "good");
    let mut seed = 7_usize;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below.max(1)
    };
    for round in 0..times(24, 1000) {
        stage.start(&bundle, "bad");
        let file = stage.root.join("bad/record.json");
        let mut bytes = fs::read(&file).expect("it is there");
        let pid = stage.runtime(["state", "bad"]).good().json()["pid"].to_string();
        match round % 6 {
            0 => bytes.truncate(random(bytes.len())),
            1 => bytes.clear(),
            2 => {
                let at = random(bytes.len());
                bytes[at] ^= 1 << random(8);
            }
            3 => bytes = b"{\"schema\":\"red/container/v1\",\"id\":\"good\"}".to_vec(),
            4 => bytes = vec![0; 5000],
            _ => bytes = b"[[[[[[[[[[[[".repeat(500),
        }
        fs::write(&file, &bytes).expect("it is ours");
        let listed = stage.runtime(["list", "--format", "json"]).good();
        let names: Vec<String> =
            listed.json().as_array().into_iter().flatten().map(|one| one["id"].to_string()).collect();
        assert!(names.contains(&"\"good\"".to_owned()), "{names:?}");
        if names.len() == 1 {
            assert!(listed.err.contains("`bad`"), "{}", listed.err);
        }
        stage.runtime(["delete", "--force", "bad"]).good();
        eventually("its process has ended", || !Path::new("/proc").join(&pid).exists());
        assert!(!stage.root.join("bad").exists());
    }
    for (name, make) in [("empty", None), ("foreign", Some("notes.txt"))] {
        let dir = stage.root.join(name);
        fs::create_dir(&dir).expect("it is ours");
        if let Some(file) = make {
            fs::write(dir.join(file), "x").expect("it is ours");
        }
        assert!(stage.runtime(["list"]).good().err.contains(name));
        assert!(stage.runtime(["state", name]).err.contains("damaged"));
        stage.runtime(["delete", "--force", name]).good();
        assert!(!dir.exists());
    }
    stage.runtime(["delete", "--force", "good"]).good();
    assert!(stage.sweep());
}

/// CVE-2019-5736: whoever is inside overwrites the runtime of the host.
#[test]
fn the_runtimes_own_file_is_out_of_reach() {
    let stage = Stage::new();
    let red = stage.pool.install("red-runtime", "red-runtime");
    let before = (fs::read(&red).expect("it is there"), fs::metadata(&red).expect("it is there").mode());
    // Opens whatever runs, waits until it no longer does, writes to it, changes its mode.
    let attack = "
import os, signal, sys, time
end = time.time() + float(sys.argv[1])
held, told = {}, []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
tries = memory = 0
while time.time() < end and not told:
    for pid in os.listdir('/proc'):
        if not pid.isdigit() or pid == str(os.getpid()): continue
        try: held[pid] = held.get(pid) or os.open(f'/proc/{pid}/exe', os.O_PATH)
        except OSError: pass
    for fd in held.values():
        for path in (f'/proc/self/fd/{fd}',):
            tries += 1
            init = os.readlink(path).startswith('/memfd:')
            if init: memory += 1
            if not os.path.isfile(path) or os.stat(path).st_size != int(sys.argv[2]) and not init: continue
            try: os.write(os.open(path, os.O_WRONLY), b'owned'); print('WRITTEN')
            except OSError: pass
            # The memory is the container's own, and the kernel heeds no set-user-ID there.
            if init: continue
            try: os.chmod(path, 0o4777); print('CHANGED')
            except OSError: pass
print('tried', tries > 0, memory > 0)
";
    let size = before.0.len().to_string();
    let all = json!(["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SYS_PTRACE", "CAP_CHOWN"]);
    let bundle = stage.plain("b", &["python3", "-c", attack, "600", &size], |spec| {
        spec["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    });
    let with = |args: &[&str]| {
        let mut command = Command::new(&red);
        command.env_clear().env("PATH", "/usr/bin:/bin").arg("--root").arg(&stage.root).args(args);
        command.stdin(Stdio::null());
        command
    };
    let out = stage.pool.join("out");
    let mut create = with(&["create", "--bundle"]);
    create.arg(&bundle).arg("c").stdout(fs::File::create(&out).expect("it is ours")).stderr(Stdio::null());
    assert!(create.status().expect("it starts").success());
    assert!(with(&["start", "c"]).status().expect("it starts").success());
    for _ in 0..times(10, 200) {
        run(&mut with(&["exec", "c", "true"])).good();
        // The command is the runtime itself, by every name it has.
        run(&mut with(&["exec", "c", "/proc/self/exe", "--version"]));
    }
    run(&mut with(&["kill", "c", "TERM"])).good();
    stage.wait_status("c", "stopped");
    let said = fs::read_to_string(&out).unwrap_or_default();
    assert_eq!(said, "tried True False\n");
    // And in a launch of our own, as the command, its interpreter, and beside the first process.
    stage.pool.write("core/mid/app/private/script", "#!/proc/self/exe\n");
    let script = stage.pool.join("core/mid/app/private/script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    for command in [
        &["/proc/self/exe", "--version"][..],
        &["/nodes/app/private/script"],
        &["python3", "-c", attack, "1", &size],
    ] {
        let mut launch = Command::new("bash");
        launch.args(["-c", "exec -a red-wrap \"$@\"", "bash"]).arg(&red).arg("--root").arg(&stage.root);
        launch
            .arg("--redpath")
            .arg(&stage.leaf)
            .arg("--")
            .args(command)
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        let said = run(&mut launch);
        // What the first process runs from is not even seen.
        assert!(command.len() < 3 || said.out == "tried False False\n", "{}", said.out);
        assert!(!said.out.contains("WRITTEN") && !said.out.contains("CHANGED"), "{}", said.out);
    }
    let after = (fs::read(&red).expect("it is there"), fs::metadata(&red).expect("it is there").mode());
    assert!(before == after, "the runtime's file was changed");
}

/// A host may forbid programs in memory (`vm.memfd_noexec`): then the first process is the runtime's own file, on
/// a mount that nobody writes to.
#[test]
fn the_first_process_needs_no_program_in_memory() {
    const SETTING: &str = "/proc/sys/vm/memfd_noexec";
    if !Path::new(SETTING).exists() {
        return red_tests::skip("the kernel is older than 6.3");
    }
    let stage = Stage::new();
    let red = built("red-runtime");
    // The setting is one of the PID namespace.
    let under = |setting: &str, script: &str, wrap: &Command| {
        let mut command = Command::new("unshare");
        command.args(["--fork", "--pid", "--mount-proc", "bash", "-c"]);
        command.arg(format!("echo {setting} > {SETTING} && {script}")).arg("bash");
        run(command.arg(&red).args(wrap.get_args()).stdin(Stdio::null()))
    };
    let go = stage.pool.join("core/mid/app/private/go");
    let waits = "until [ -e /nodes/app/private/go ]; do sleep 0.05; done; exit 7";
    // Seen from outside: inside nobody may look.
    let look = format!(
        "(exec -a red-wrap \"$@\") & \
         until init=$(grep -lE '^NSpid:.*[^0-9]1$' $(grep -l '^red-init' /proc/[0-9]*/cmdline | sed s/cmdline$/status/)); \
         do kill -0 $! || exit 1; sleep 0.05; done 2>/dev/null; readlink ${{init%/status}}/exe; touch {}; wait $!",
        go.display()
    );
    // Of a file that is mounted by itself nothing is left of its path.
    for (setting, file) in
        [("0", "/memfd:red-init (deleted)\n"), ("1", "/memfd:red-init (deleted)\n"), ("2", "/\n")]
    {
        let said = under(setting, &look, &stage.wrap_command(&[], &["sh", "-c", waits]));
        assert_eq!((said.code, said.out.as_str()), (7, file), "{setting}: {}", said.err);
        fs::remove_file(&go).expect("it was made");
        let launch = "exec -a red-wrap \"$@\"";
        let said = under(setting, launch, &stage.wrap_command(&[], &["/no/such/command"]));
        assert!(said.code == 127 && said.err.contains("no such file or directory"), "{}", said.err);
    }
    assert!(stage.sweep());
}

/// The command has the first process's user, and is no more to it than anybody else: it can neither take its
/// descriptors, one of which is the conversation with the launcher, nor have it forget that it ends with that.
#[test]
fn the_first_process_is_out_of_reach() {
    let script = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def told(result): return 'done' if result >= 0 else os.strerror(ctypes.get_errno())
pidfd = os.pidfd_open(1)
print({told(libc.syscall(438, pidfd, number, 0)) for number in range(32)})
print(told(libc.ptrace(0x4206, 1, 0, 0)))
for name in ('exe', 'environ', 'mem'):
    try:
        path = '/proc/1/' + name
        os.readlink(path) if name == 'exe' else open(path, 'rb').read(1)
        print(name)
    except OSError as error: print(error.strerror)
";
    // The filter denies some of it as well; a node without one is kept out by the kernel alone.
    for config in ["", ", seccomp: Disabled"] {
        let stage = Stage::with(config, "");
        let filtered = stage.wrap(&["grep", "Seccomp:", "/proc/self/status"]).good().out;
        assert_eq!(filtered, format!("Seccomp:\t{}\n", if config.is_empty() { 2 } else { 0 }));
        let said = stage.wrap(&["python3", "-c", script]).good().out;
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!((lines[0], lines.len()), ("{'Operation not permitted'}", 5), "{config}: {said}");
        assert!(
            lines[1..].iter().all(|line| *line == "Operation not permitted" || *line == "Permission denied"),
            "{config}: {said}"
        );
    }
}

/// Launches a node with a lock by red-wrap, which is passed one descriptor and told of more: that one is 3 inside, and
/// none is the lock's.
fn passed_one_of_many(announced: &str) {
    let stage = Stage::with("", "  - {mode: Lock, mount: /nodes/app/private/lock}\n");
    stage.pool.write("core/mid/app/private/lock", "");
    let mut launch = Command::new("bash");
    let call = format!("exec 3</dev/null; {announced} LISTEN_PID=$$; exec -a red-wrap \"$@\"");
    launch.args(["-c", &call, "bash"]).arg(built("red-runtime"));
    let inside = "readlink /proc/self/fd/3; readlink /proc/self/fd/* | grep -c lock";
    launch.args(stage.wrap_command(&[], &["bash", "-c", inside]).get_args());
    let said = run(launch.stdin(Stdio::null()));
    assert_eq!(said.out, "/dev/null\n0\n", "{}", said.err);
    assert!(stage.sweep());
}

/// Fewer descriptors may be passed than were announced; a lock of the first process is never one of them.
#[test]
fn no_lock_takes_the_place_of_what_was_passed() {
    passed_one_of_many("export LISTEN_FDS=12");
}

/// More descriptors may be announced than there can be: a lock is below the limit, and still none of them.
#[test]
fn a_lock_is_held_below_the_limit_of_open_files() {
    passed_one_of_many("ulimit -Sn 256; export LISTEN_FDS=1000");
}

/// No descriptor of the host is open inside, and nothing of it can be reached through one.
#[test]
fn no_descriptor_leaks() {
    let stage = Stage::new();
    // The first process lets go of the streams, and of its word to the launcher, once the command runs.
    let script = "sleep 0.5; ls -l /proc/self/fd /proc/1/fd 2>/dev/null | grep -c -- '->'; ls -l /proc/self/fd | grep -E '/(sys|run|etc)' || true";
    let count = |said: red_tests::call::Said| said.good().out;
    // Three streams each of the command and ls, and the directory that ls reads.
    assert_eq!(count(stage.wrap(&["sh", "-c", script])), "4\n");
    let mut noisy = Command::new("bash");
    let call = "exec 7</etc/passwd 8</sys 9</proc; exec -a red-wrap \"$@\"";
    noisy
        .args(["-c", call, "bash"])
        .arg(built("red-runtime"))
        .arg("--root")
        .arg(&stage.root)
        .arg("--redpath");
    noisy
        .arg(&stage.leaf)
        .args(["--", "sh", "-c", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null());
    assert_eq!(count(run(&mut noisy)), "4\n");
    let bundle = stage.plain("b", &LIVES, |_| {});
    stage.start(&bundle, "c");
    let inside = "ls -l /proc/1/fd | grep -c -- '->'; ls /proc/self/fd | tr '\\n' ' '";
    assert_eq!(count(stage.runtime(["exec", "c", "sh", "-c", inside])), "3\n0 1 2 3 ");
}

#[test]
fn read_only_exports_stay_read_only() {
    let stage = Stage::new();
    let script = "grep CapEff /proc/self/status | cut -f2; mount -o remount,rw,bind /nodes/core/usr 2>/dev/null && echo again; \
                  touch /nodes/core/usr/x 2>/dev/null && echo written; unshare -Urm sh -c 'mount -o remount,rw,bind /nodes/core/usr && touch /nodes/core/usr/x' 2>/dev/null && echo nested; \
                  umount -l /nodes/core/usr 2>/dev/null && echo gone; echo done";
    let said = stage.wrap(&["sh", "-c", script]).good();
    assert_eq!(said.out, "0000000000000000\ndone\n");
    assert!(!stage.pool.join("core/usr/x").exists());
}

#[test]
fn capabilities_are_those_of_the_plan() {
    let stage = Stage::with(", capabilities: [{cap: CHOWN, add: 1}, {cap: KILL, add: 1}]", "");
    let script = "grep -E '^Cap' /proc/self/status | cut -f2 | sort -u";
    assert_eq!(stage.wrap(&["sh", "-c", script]).good().out, "0000000000000021\n");
    let other = Stage::new();
    assert_eq!(other.wrap(&["sh", "-c", script]).good().out, "0000000000000000\n");
}

/// A process that flips directories of a node between launches and checks never gets anything of
/// outside mounted.
#[test]
fn nothing_from_outside_is_mounted_while_directories_are_swapped() {
    let leaf = "  - {mode: Restricted, mount: /nodes/a, path: $NODE_PATH/a/b}\n  - {mode: Public, mount: /nodes/d, path: $NODE_PATH/d}\n";
    let stage = Stage::with("", leaf);
    let outside = stage.pool.mkdir("outside/b");
    fs::write(outside.join("secret"), "secret").expect("it is ours");
    fs::write(stage.pool.join("outside/secret"), "secret").expect("it is ours");
    for dir in ["core/mid/app/a/b", "core/mid/app/d"] {
        stage.pool.mkdir(dir);
    }
    symlink(stage.pool.join("outside"), stage.leaf.join("evil")).expect("it is ours");
    let flip = format!(
        "import ctypes, os
libc = ctypes.CDLL(None)
os.chdir('{}')
while True:
    for name in (b'a', b'd'):
        libc.renameat2(-100, name, -100, b'evil', 2)",
        stage.leaf.display()
    );
    let flipper = Innocent(Command::new("python3").args(["-c", &flip]).spawn().expect("it starts"));
    let mut ran = 0;
    for _ in 0..times(60, 1000) {
        let said = stage.wrap(&["sh", "-c", "ls /nodes/a /nodes/d"]);
        assert!(!said.out.contains("secret"), "something of outside was mounted");
        ran += usize::from(said.code == 0);
    }
    drop(flipper);
    assert!(ran > 0, "none of them ran, so nothing was shown");
    assert!(stage.sweep());
}

/// Another user's file or directory in the way of our own is not trusted.
#[test]
fn a_directory_of_states_that_others_can_write_to_is_refused() {
    let stage = Stage::new();
    let shared = stage.pool.mkdir("shared");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let bundle = stage.plain("b", &["true"], |_| {});
    let said = run(red_runtime(&shared).arg("run").arg("--bundle").arg(&bundle).arg("c"));
    assert!(said.code == 1 && said.err.contains("others could write"), "{}", said.err);
    assert_eq!(fs::metadata(&shared).expect("it is there").mode() & 0o777, 0o777);
}
