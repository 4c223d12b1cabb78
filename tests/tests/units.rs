//! The units of `docs/systemd` under a real service manager: systemd's user instance, run as root in pid and mount
//! namespaces of the test's own, in a cgroup of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use red_tests::call::{Said, built, conf, run};
use red_tests::stage::Stage;
use red_tests::{daemon, remark, skip};

const MANAGER: &str = "/lib/systemd/systemd";

/// Starts the manager, and then the script. A user instance wants a machine that was booted with systemd, whose mark is
/// a directory in /run.
const ENTER: &str = r#"
mount -t proc red-test /proc
mount -t tmpfs -o mode=755 red-test /run
mkdir -p /run/systemd/system
umount -R /sys/fs/cgroup
mount -t cgroup2 red-test /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$CGROUP"
(
    echo $BASHPID >"/sys/fs/cgroup/$CGROUP/cgroup.procs"
    exec /lib/systemd/systemd --user --unit=basic.target >"$XDG_RUNTIME_DIR/log" 2>&1
) &
for _ in $(seq 200); do
    ! systemctl --user show --property=Version >/dev/null 2>&1 || break
    sleep 0.1
done
systemctl() { command systemctl --user --no-pager "$@"; }
value() { systemctl show --property="$2" --value "$1"; }
eventually() {
    for _ in $(seq 200); do
        ! "$@" || return 0
        sleep 0.1
    done
    echo "never: $*" >&2
    return 1
}
trap '[ $? = 0 ] || systemctl status --all "*.service" >&2' EXIT
"#;

/// A directory of units, and the cgroup of their manager.
struct Manager {
    stage: Stage,
    cgroup: String,
}

impl Manager {
    /// `None`, with the reason told, where there is no systemd.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("needs root");
            return None;
        }
        let there = |program: &str| run(Command::new("which").arg(program)).code == 0;
        if !Path::new(MANAGER).is_file() || !there("systemctl") || !there("systemd-analyze") {
            remark("systemd is not installed");
            return None;
        }
        let stage = Stage::with(", share_net: Enabled", "");
        std::os::unix::fs::symlink(built("red-runtime"), stage.pool.join("red-wrap"))
            .expect("test directory");
        let run_dir = stage.pool.mkdir("run");
        fs::set_permissions(run_dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("test directory");
        let ready = "import os, signal, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
s.send(b'STATUS=serving\\nREADY=1')
signal.sigwait({signal.SIGTERM})
s.send(b'STOPPING=1')
";
        stage.pool.write("core/mid/app/private/notify.py", ready);
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("red-test-units-{}-{number}", std::process::id());
        Some(Self { stage, cgroup })
    }

    /// A unit that is shipped, with the test's program, node and command.
    fn unit(&self, name: &str, redpath: &Path, command: &str) -> PathBuf {
        self.unit_with(name, redpath, command, "")
    }

    /// The same, with another line.
    fn unit_with(&self, name: &str, redpath: &Path, command: &str, more: &str) -> PathBuf {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd").join(name);
        let text = fs::read_to_string(file).expect("exists");
        let line = text.lines().find(|line| line.starts_with("ExecStart=")).expect("it starts something");
        let shipped = "ExecStart=/usr/bin/red-wrap --redpath=/var/redpesk/core/app ";
        assert!(line.starts_with(shipped), "{line}");
        let red_wrap = self.stage.pool.join("red-wrap");
        let start = format!("ExecStart={} --redpath={} {command}", red_wrap.display(), redpath.display());
        // There is no journal, and a unit that has ended well is forgotten.
        let note = |file: &str| self.stage.pool.join(file).display().to_string();
        let ended = format!("/bin/sh -c 'echo $$SERVICE_RESULT $$EXIT_STATUS >>{}'", note("ended"));
        let start = format!("{start}\nStandardError=append:{}\nExecStopPost={ended}{more}", note("stderr"));
        let text =
            text.replace(line, &start).replace("/var/redpesk/core/app", &redpath.display().to_string());
        self.stage.pool.write(format!("config/systemd/user/{name}"), text)
    }

    /// Result and exit status each time that a service has ended.
    fn ended(&self) -> String {
        fs::read_to_string(self.stage.pool.join("ended")).unwrap_or_default()
    }

    fn sh(&self, script: &str) -> Said {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-euc",
        ]);
        unshare.arg(format!("{ENTER}{script}")).env("CGROUP", &self.cgroup).stdin(Stdio::null());
        unshare.env("POOL", self.stage.pool.path()).env("XDG_RUNTIME_DIR", self.stage.pool.join("run"));
        unshare.env("XDG_CONFIG_HOME", self.stage.pool.join("config"));
        let mut said = run(&mut unshare);
        said.err += &fs::read_to_string(self.stage.pool.join("run/log")).unwrap_or_default();
        said.err += &fs::read_to_string(self.stage.pool.join("stderr")).unwrap_or_default();
        daemon::remove_cgroups(&self.cgroup);
        said
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        daemon::remove_cgroups(&self.cgroup);
    }
}

#[test]
fn the_units_are_valid() {
    let Some(manager) = Manager::new() else { return };
    for name in ["node.service", "notify.service"] {
        let unit = manager.unit(name, &manager.stage.leaf, "true");
        let said = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{name}");
    }
}

/// Lines of a unit that are no comments.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])).collect()
}

#[test]
fn the_units_are_those_that_red_conf_prints() {
    let stage = Stage::new();
    let shared = Stage::with(", share_net: Enabled", "");
    for (name, stage, options, command) in [
        ("node.service", &stage, &[][..], &["sleep", "infinity"][..]),
        (
            "notify.service",
            &shared,
            &["--type", "notify"],
            &["mosquitto", "-c", "/nodes/_private/mosquitto.conf"],
        ),
    ] {
        let leaf = stage.leaf.display().to_string();
        let printed = conf([&["unit", &leaf][..], options, &["--"], command].concat()).good().out;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd").join(name);
        let shipped = fs::read_to_string(file).expect("exists").replace("/var/redpesk/core/app", &leaf);
        let rest = |text: &str| {
            let lines = lines(text).into_iter().filter(|line| !line.starts_with("Description="));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(rest(&printed), rest(&shipped), "{name}");
    }
}

#[test]
fn words_of_a_unit_that_is_printed_arrive_as_they_are() {
    let Some(manager) = Manager::new() else { return };
    let pool = manager.stage.pool.path();
    let leaf = manager.stage.leaf.display().to_string();
    let wrap = format!("--red-wrap={}", pool.join("red-wrap").display());
    let words = ["", ";", "a b", "$HOME ${HOME} 100%", "%n", "\\ \"quoted\" 'too'", "two\nlines\t", "\u{e9}"];
    let script = "printf '<%s>' \"$@\" >/nodes/app/private/words";
    let options = ["unit", &leaf, "--user", &wrap, "--name=a", "--", "sh", "-c", script, "sh"];
    let text = conf([&options[..], &words].concat()).good().out;
    let unit = manager.stage.pool.write("config/systemd/user/words.service", &text);
    let said = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{text}");
    let written = manager.stage.leaf.join("private/words");
    let script = format!("systemctl start words\neventually test -s {}", written.display());
    manager.sh(&script).good();
    let wanted: String = words.iter().map(|word| format!("<{word}>")).collect();
    assert_eq!(fs::read_to_string(written).expect("exists"), wanted, "{text}");
    for (words, why) in [
        (&["--", "a\u{1b}b"][..], "control characters"),
        (&["--red-wrap=bin/red-wrap", "--", "a"], "not an absolute path"),
        (&["--name=", "--", "a"], "container name ``"),
        (&["--name=br%1", "--", "a"], "container name `br%1`"),
        (&["--", ""], "the command is empty"),
        (&[], "required"),
    ] {
        let said = conf([&["unit", &leaf], words].concat());
        assert!(said.code != 0 && said.out.is_empty() && said.err.contains(why), "{why}: {}", said.err);
    }
}

#[test]
fn a_command_of_a_node_is_a_service() {
    let Some(manager) = Manager::new() else { return };
    manager.unit("node.service", &manager.stage.leaf, "sleep infinity");
    let script = r#"
systemctl start node
[ "$(value node ActiveState)" = active ]
main=$(value node MainPID)
grep -q '^NoNewPrivs:.1' "/proc/$main/status"
cgroup=/sys/fs/cgroup$(value node ControlGroup)
inside() { grep -lqs '^sleep$' $(sed 's,.*,/proc/&/comm,' "$cgroup/cgroup.procs"); }
eventually inside
# A command that fails is started again.
for pid in $(cat "$cgroup/cgroup.procs"); do
    [ "$(cat "/proc/$pid/comm")" != sleep ] || kill -KILL "$pid"
done
restarted() { [ "$(value node NRestarts)" = 1 ] && [ "$(value node ActiveState)" = active ]; }
eventually restarted
eventually inside
systemctl stop node
value node ActiveState
[ ! -e "$cgroup" ] || [ -z "$(cat "$cgroup/cgroup.procs")" ]
"#;
    let said = manager.sh(script).good();
    assert_eq!(said.out, "inactive\n", "{}", said.err);
    assert_eq!(manager.ended(), "exit-code 137\nsuccess 143\n");
}

#[test]
fn a_node_that_does_not_start_is_not_started_again() {
    let Some(manager) = Manager::new() else { return };
    manager.unit("node.service", &manager.stage.pool.join("core/mid/none"), "sleep infinity");
    let script = "
systemctl start node || true
ended() { [ \"$(value node ActiveState)\" = failed ]; }
eventually ended
echo \"$(value node Result) $(value node ExecMainStatus) $(value node NRestarts)\"
";
    let said = manager.sh(script).good();
    assert_eq!(said.out, "exit-code 125 0\n", "{}", said.err);
}

#[test]
fn a_command_of_a_node_tells_when_it_is_ready() {
    let Some(manager) = Manager::new() else { return };
    manager.unit("notify.service", &manager.stage.leaf, "python3 /nodes/app/private/notify.py");
    let script = r#"
systemctl start notify
echo "$(value notify ActiveState) $(value notify StatusText)"
systemctl stop notify
value notify ActiveState
"#;
    let said = manager.sh(script).good();
    assert_eq!(said.out, "active serving\ninactive\n", "{}", said.err);
    assert_eq!(manager.ended(), "success 0\n");
}

/// What the comment in the unit says of other options.
#[test]
fn options_that_a_launch_does_not_stand() {
    let Some(manager) = Manager::new() else { return };
    for option in ["RestrictSUIDSGID=yes", "RestrictNamespaces=yes"] {
        manager.unit_with("node.service", &manager.stage.leaf, "true", &format!("\n{option}"));
        let said =
            manager.sh("systemctl start node || true\nended() { [ -s \"$POOL/ended\" ]; }\neventually ended");
        assert_eq!(manager.ended(), "exit-code 125\n", "{option}");
        assert!(said.err.contains("Function not implemented"), "{option}: {}", said.err);
        let name = option.trim_end_matches("yes");
        assert!(
            said.err.contains("a system call filter denies it: ") && said.err.contains(name),
            "{}",
            said.err
        );
        fs::remove_file(manager.stage.pool.join("ended")).expect("exists");
    }
}
