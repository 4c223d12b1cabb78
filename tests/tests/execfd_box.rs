//! What a command of a node could do to the host, tried from inside its box: all of it fails.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use red_tests::broom::User;
use red_tests::call::{Said, built, red_conf, run};
use red_tests::pool::Pool;
use red_tests::skip;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat};

/// A pool with one node, whose only export is the output of a command.
struct Trial {
    pool: Pool,
}

impl Trial {
    fn of(command: &str) -> Self {
        let pool = Pool::new();
        let quoted = command.replace('\'', "''");
        pool.node("a", &format!("exports: [{{mode: Execfd, mount: /f, path: '{quoted}'}}]"));
        Self { pool }
    }

    fn bundle(&self) -> Said {
        run(red_conf().arg("bundle").arg(self.pool.join("a")).arg(self.pool.join("bundle")))
    }

    /// The same, by a script that prepares the mount namespace it runs in. `$1` is the pool.
    fn bundle_after(&self, prepare: &str) -> Said {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-ec"]);
        command.arg(format!("{prepare}\nexec -a red-conf \"$2\" bundle \"$1/a\" \"$1/bundle\""));
        command.arg("bash").arg(self.pool.path()).arg(built("red-runtime"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        run(&mut command)
    }

    fn printed(&self, said: Said) -> String {
        said.good();
        fs::read_to_string(self.pool.join("bundle/files/1")).expect("it is the only file")
    }
}

fn printed(command: &str) -> String {
    let trial = Trial::of(command);
    trial.printed(trial.bundle())
}

/// A Python program as a shell command without a character that anything on the way would expand.
fn python(program: &str) -> String {
    let hex: String = program.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("python3 -c \"exec(bytes.fromhex('{hex}'))\" 2>&1")
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("needs root: what is tried is what root could do");
    }
    root
}

/// Connects to each path and says whom it reached.
fn connects(places: &[String]) -> String {
    python(&format!(
        "
import socket
for place in {places:?}:
    try:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(1)
        s.connect(place.replace('@', chr(0)))
        s.send(b'hello')
        print('CONNECTED', place)
    except OSError as error:
        print('refused', error.errno)
"
    ))
}

#[test]
fn no_socket_of_the_host_can_be_reached() {
    if !is_root() {
        return;
    }
    // Below /usr as well, where the box can see it: a read-only mount does not stop connect(2).
    let sockets = Pool::new();
    let run_place = tempfile::Builder::new().prefix("red-test-").tempdir_in("/run").expect("root may");
    let places = [
        sockets.join("sock").display().to_string(),
        run_place.path().join("docker.sock").display().to_string(),
        "/usr/local/sock".to_owned(),
    ];
    let _listeners: Vec<UnixListener> = places[..2]
        .iter()
        .map(|place| {
            let listener = UnixListener::bind(place).expect("it is ours");
            fs::set_permissions(place, fs::Permissions::from_mode(0o600)).expect("it is ours");
            listener
        })
        .collect();
    let open = UnixListener::bind(sockets.join("local.sock")).expect("it is ours");
    fs::rename(sockets.join("local.sock"), sockets.mkdir("local").join("sock")).expect("it is ours");
    fs::set_permissions(sockets.join("local/sock"), fs::Permissions::from_mode(0o666)).expect("it is ours");
    let mut all = places.to_vec();
    all.push(format!("@red-test-{}", std::process::id()));
    let trial = Trial::of(&connects(&all));
    let local = sockets.join("local").display().to_string();
    let said = trial.bundle_after(&format!("mount --bind {local} /usr/local"));
    let output = trial.printed(said);
    assert_eq!(output, "refused 1\n".repeat(all.len()), "EPERM for each");
    open.set_nonblocking(true).expect("it is ours");
    assert!(open.accept().is_err(), "nobody came");
}

#[test]
fn no_socket_can_be_made_at_all() {
    let output = printed(&python(
        "
import socket, os
for family in range(0, 46):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind)
            print('MADE', family, kind)
        except OSError as error:
            if error.errno != 1: print('errno', family, kind, error.errno)
try:
    socket.socketpair()
    print('PAIR')
except OSError as error: print(error.errno)
",
    ));
    assert_eq!(output, "1\n");
}

#[test]
fn terminals_devices_and_fifos_of_the_host_are_not_there() {
    if !is_root() {
        return;
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let terminal = openat(CWD, "/dev/ptmx", flags, Mode::empty()).expect("there are terminals");
    rustix::pty::unlockpt(&terminal).expect("it is ours");
    let name =
        rustix::pty::ptsname(&terminal, Vec::new()).expect("it has a name").into_string().expect("text");
    let held = openat(CWD, &*name, flags, Mode::empty()).expect("it is ours");
    let fifos = Pool::new();
    for fifo in ["fifo", "local/fifo"] {
        fifos.mkdir("local");
        mknodat(CWD, fifos.join(fifo), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("it is ours");
    }
    let reads: Vec<_> = ["fifo", "local/fifo"]
        .iter()
        .map(|fifo| openat(CWD, fifos.join(fifo), flags, Mode::empty()).expect("it is ours"))
        .collect();
    let places =
        format!("{name} /dev/kmsg {}/fifo /usr/local/fifo /dev/tty /dev/console", fifos.path().display());
    let trial = Trial::of(&format!(
        "for place in {places}; do echo INJECTED 2>/dev/null > \\$place && echo written \\$place; done 2>/dev/null; ls /dev"
    ));
    let local = fifos.join("local").display().to_string();
    let output = trial.printed(trial.bundle_after(&format!("mount --bind {local} /usr/local")));
    assert_eq!(output, "fd\nnull\nstderr\nstdin\nstdout\nurandom\nzero\n");
    for fd in reads.iter().chain([&terminal]) {
        let mut buffer = [0_u8; 64];
        assert!(!matches!(rustix::io::read(fd, &mut buffer), Ok(count) if count > 0), "something arrived");
    }
    drop(held);
    // What is there works, and is the host's.
    assert_eq!(
        printed("head -c 3 /dev/zero | od -An -tx1; echo x > /dev/null; head -c 9 /dev/urandom | wc -c"),
        " 00 00 00\n9\n"
    );
}

#[test]
fn the_root_has_programs_and_configuration_and_nothing_else() {
    let mut wanted: Vec<String> = ["dev", "etc", "proc", "tmp", "usr"].map(str::to_owned).to_vec();
    for top in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        if Path::new("/").join(top).symlink_metadata().is_ok() {
            wanted.push(top.to_owned());
        }
    }
    wanted.sort();
    assert_eq!(printed("ls -A /").lines().collect::<Vec<_>>(), wanted);
    assert_eq!(printed("pwd; ls -A /tmp"), "/\n");
    let mounts = printed("cut -d\" \" -f5,6 /proc/self/mountinfo");
    for line in mounts.lines() {
        let (place, options) = line.split_once(' ').expect("two fields");
        let ours = ["/usr", "/etc", "/proc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
        let known = ours.iter().any(|top| Path::new(place).starts_with(top))
            || ["/", "/dev/null", "/dev/zero", "/dev/urandom"].contains(&place);
        assert!(known, "{line}");
        let has = |option: &str| options.split(',').any(|one| one == option);
        assert!(has("ro") && has("nosuid"), "{line}");
        assert!(has("nodev") || place.starts_with("/dev/"), "{line}");
    }
}

#[test]
fn it_is_nobody_and_reads_what_everybody_may() {
    let status = printed(
        "grep -E \"^(Uid|Gid|Groups|Seccomp|NoNewPrivs|CapBnd):\" /proc/self/status | tr -s \"\\t \" \" \"",
    );
    let nobody = "65534 65534 65534 65534";
    if is_root() {
        assert!(status.contains(&format!("Uid: {nobody}\nGid: {nobody}\nGroups: \n")), "{status}");
        let outside = printed("tr -s \" \" < /proc/self/uid_map; tr -s \" \" < /proc/self/gid_map");
        assert_eq!(outside, " 65534 65534 1\n".repeat(2), "and nobody outside");
        assert_eq!(printed("cat /etc/shadow >/dev/null 2>&1 || echo closed"), "closed\n");
    }
    assert!(status.contains("Seccomp: 2\n") && status.contains("NoNewPrivs: 1\n"), "{status}");
    assert_eq!(printed("grep -c ^root: /etc/passwd"), "1\n");
}

/// Numbers that are the same everywhere, and those of this architecture.
#[test]
fn calls_that_reach_the_kernel_or_others_are_denied() {
    let x86 = cfg!(target_arch = "x86_64");
    if !x86 {
        return skip("the numbers are those of x86_64; a unit test has the whole list");
    }
    let output = printed(&python(
        "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *args):
    if libc.syscall(number, *args) >= 0: print('DONE', name)
    elif ctypes.get_errno() not in (1, 38): print('errno', name, ctypes.get_errno())
buffer = ctypes.create_string_buffer(4096)
call('keyctl get session', 250, 0, -3, 0)
call('keyctl describe user', 250, 6, -4, buffer, 4096)
call('add_key', 248, b'user', b'red-test', b'x', 1, -4)
call('ptrace traceme', 101, 0, 0, 0, 0)
call('process_vm_readv', 310, 1, 0, 0, 0, 0, 0)
call('bpf', 321, 5, buffer, 64)
call('io_uring_setup', 425, 1, buffer)
call('userfaultfd', 323, 1)
call('perf_event_open', 298, buffer, 0, -1, -1, 0)
call('memfd_create', 319, b'x', 0)
call('shmget', 29, 0, 4096, 0o1600)
call('mount', 165, b'none', b'/tmp', b'tmpfs', 0, 0)
call('open_tree', 428, -100, b'/usr', 1)
call('fsopen', 430, b'tmpfs', 0)
call('unshare user', 272, 0x10000000)
call('unshare mount', 272, 0x20000)
call('clone user', 56, 0x10000011, 0, 0, 0, 0)
call('clone3', 435, buffer, 88)
call('setns', 308, 0, 0)
call('chroot', 161, b'/usr')
call('personality', 135, 0x40000)
call('TIOCSTI', 16, 0, 0x5412, buffer)
call('TIOCSTI, high bits', 16, 0, ctypes.c_ulong(0x100005412), buffer)
call('a call of tomorrow', 500, 0)
print('end')
",
    ));
    assert_eq!(output, "end\n");
}

/// Processes are counted for this command alone: it can start some, and not any number.
#[test]
fn it_cannot_start_any_number_of_processes() {
    let count = |most: u32| {
        python(&format!(
            "
import os, signal
held = []
try:
    for i in range({most}):
        pid = os.fork()
        if pid == 0: signal.pause()
        held.append(pid)
    print('ALL')
except OSError as error: print('stopped', error.errno)
print(len(held))
"
        ))
    };
    assert_eq!(printed(&count(20)), "ALL\n20\n");
    let output = printed(&count(300));
    let number: u32 = output.strip_prefix("stopped 11\n").expect(&output).trim().parse().expect("a number");
    assert!((20..=64).contains(&number), "{number}");
}

#[test]
fn processes_of_the_host_are_out_of_reach() {
    let mut innocent = Command::new("sleep").arg("100").spawn().expect("it starts");
    let pid = innocent.id();
    let output = printed(&format!(
        "test -e /proc/{pid}/cmdline && echo SEEN; kill -9 {pid} 2>/dev/null && echo KILLED; kill -9 -1 2>/dev/null; echo done"
    ));
    assert_eq!(output, "done\n");
    assert!(innocent.try_wait().expect("it is ours").is_none(), "it was killed");
    innocent.kill().expect("it is ours");
    innocent.wait().expect("it is ours");
}

/// A file that belongs to root and sets the user id gains nothing, and nothing can be written.
#[test]
fn nothing_can_be_written_or_gained() {
    if !is_root() {
        return;
    }
    let place = Pool::new();
    fs::copy("/usr/bin/id", place.join("id")).expect("it is there");
    fs::set_permissions(place.join("id"), fs::Permissions::from_mode(0o4755)).expect("it is ours");
    place.write("open", "as it was");
    fs::set_permissions(place.join("open"), fs::Permissions::from_mode(0o666)).expect("it is ours");
    place.write("closed", "secret");
    fs::set_permissions(place.join("closed"), fs::Permissions::from_mode(0o600)).expect("it is ours");
    let device = rustix::fs::makedev(1, 3);
    let (kind, all) = (FileType::CharacterDevice, Mode::from_raw_mode(0o666));
    // Where the machine makes device files, they do not work there.
    if mknodat(CWD, place.join("null"), kind, all, device).is_err() {
        skip("this machine makes no device files");
    }
    let trial = Trial::of(
        "cd /usr/local; cat null 2>/dev/null && echo OPENED; ./id -u; for file in open new /tmp/new /dev/new /new /etc/new /proc/sys/kernel/core_pattern; do \
         echo x 2>/dev/null > \\$file && echo WRITTEN \\$file; done 2>/dev/null; cat closed 2>/dev/null; chmod 777 open 2>/dev/null && echo CHANGED; echo done",
    );
    let path = place.path().display().to_string();
    let output = trial.printed(trial.bundle_after(&format!("mount --bind {path} /usr/local")));
    assert_eq!(output, "65534\ndone\n");
    assert_eq!(fs::read_to_string(place.join("open")).expect("it is there"), "as it was");
}

/// Where the box cannot be made nothing runs in less than it.
#[test]
fn without_user_namespaces_nothing_runs() {
    if !is_root() {
        return;
    }
    let trial = Trial::of("echo ran; true");
    let refused = |said: Said, words: &str| {
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        assert!(said.err.contains(words), "{}", said.err);
        assert!(!trial.pool.join("bundle").exists());
    };
    // In a chroot the kernel makes none (user_namespaces(7), EPERM).
    let said = trial.bundle_after("mount --rbind / /mnt; exec chroot /mnt bash -ec 'exec -a red-conf \"$2\" bundle \"$1/a\" \"$1/bundle\"' bash \"$@\"");
    refused(said, "namespaces: not allowed (EPERM); commands of nodes run in a user namespace only");
    // With root as the only user there is nobody to be.
    let mut as_conf = Command::new("bash");
    as_conf.args([
        "-c",
        "exec unshare --user --map-root-user bash -c 'exec -a red-conf \"$@\"' bash \"$@\"",
        "bash",
    ]);
    as_conf.arg(built("red-runtime")).arg("bundle").arg(trial.pool.join("a")).arg(trial.pool.join("bundle"));
    as_conf.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    refused(run(&mut as_conf), "no user or group but root's is mapped");
}

/// `/bin` and the others may be directories of their own, and the host's root need not be a mount
/// that anybody else has.
#[test]
fn it_works_where_bin_is_a_directory() {
    if !is_root() {
        return;
    }
    let trial =
        Trial::of("ls -ld /bin /lib | cut -c1; /bin/ls /usr >/dev/null && /bin/bash -c \"echo works\"");
    let tops: Vec<&str> =
        ["bin", "sbin", "lib", "lib64"].into_iter().filter(|top| Path::new("/").join(top).exists()).collect();
    let said = trial.bundle_after(&format!(
        "mount -t tmpfs none /mnt
cd /mnt
mkdir -p usr etc dev proc tmp old \".$1\" {tops}
for top in {tops}; do mount --bind \"/usr/$top\" $top; done
for top in usr etc dev proc; do mount --rbind /$top $top; done
mount --bind \"$1\" \".$1\"
mkdir -p \".${{2%/*}}\"; mount --bind \"${{2%/*}}\" \".${{2%/*}}\"
pivot_root . old
cd /
umount -l old",
        tops = tops.join(" ")
    ));
    assert_eq!(trial.printed(said), "d\nd\nworks\n");
}

/// Of a caller that ignores SIGCHLD, children are gone before they can be waited for.
#[test]
fn a_caller_that_ignores_the_end_of_children_changes_nothing() {
    let ignoring = |trial: &Trial| {
        let program = "import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], ['red-conf'] + sys.argv[2:])";
        let mut command = Command::new("python3");
        command.args(["-c", program]).arg(built("red-runtime")).arg("bundle");
        command.arg(trial.pool.join("a")).arg(trial.pool.join("bundle"));
        run(command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()))
    };
    let trial = Trial::of("echo still; exit 0");
    assert_eq!(trial.printed(ignoring(&trial)), "still\n");
    let failing = Trial::of("exit 3");
    assert!(ignoring(&failing).err.contains("ended with status 3"));
}

/// An ordinary user's command is in the same box: only its rights outside are the user's own.
#[test]
fn an_ordinary_users_command_reaches_nothing_of_the_user() {
    if !is_root() {
        return;
    }
    let user = User::make();
    let trial = Trial::of(&format!(
        "ls -A / | tr \"\\n\" \" \"; ls /home 2>/dev/null; cat /home/{}/secret 2>/dev/null; id -u; {}",
        user.name,
        connects(&[format!("/home/{}/sock", user.name), "/run/user/0/bus".to_owned()])
    ));
    let home = format!("/home/{}", user.name);
    let _listener = UnixListener::bind(format!("{home}/sock")).expect("root may");
    rustix::fs::chown(format!("{home}/sock"), Some(rustix::fs::Uid::from_raw(user.uid)), None)
        .expect("root may");
    let mut secret = fs::File::create(format!("{home}/secret")).expect("root may");
    secret.write_all(b"secret").expect("root may");
    fs::set_permissions(format!("{home}/secret"), fs::Permissions::from_mode(0o644)).expect("root may");
    let program = trial.pool.install("red-runtime", "red-conf");
    trial.pool.chown(user.uid);
    let said =
        run(user.command(program).arg("bundle").arg(trial.pool.join("a")).arg(trial.pool.join("bundle")));
    let output = trial.printed(said);
    assert!(
        output.ends_with(" \n65534\nrefused 1\nrefused 1\n")
            || output.ends_with(" 65534\nrefused 1\nrefused 1\n"),
        "{output}"
    );
    assert!(!output.contains("home") && !output.contains("secret"), "{output}");
}
