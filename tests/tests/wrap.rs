//! Commands in nodes, launched by ourselves.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use red_tests::broom::User;
use red_tests::call::{built, red_conf, red_runtime, run};
use red_tests::stage::{Stage, eventually};

#[test]
fn a_command_sees_the_sum_of_its_family() {
    let stage = Stage::new();
    stage.pool.write("core/mid/shared/file", "from mid\n");
    let script = "echo $WHO $HOME; hostname; cat /nodes/mid/shared/file; echo mine > /nodes/app/private/f; \
                  touch /usr/x 2>&1; touch /run/x && ls /; id -u; umask; pwd";
    let said = stage.wrap(&["sh", "-c", script]).good();
    let mut lines = said.out.lines();
    assert_eq!(lines.next(), Some("app /tmp"));
    assert_eq!(lines.next(), Some("box-app"));
    assert_eq!(lines.next(), Some("from mid"));
    assert!(lines.next().is_some_and(|line| line.contains("Read-only")), "{}", said.out);
    let rest: Vec<&str> = lines.collect();
    assert_eq!(
        rest,
        ["bin", "dev", "etc", "lib", "lib64", "nodes", "proc", "run", "sbin", "tmp", "usr", "0", "0022", "/"]
    );
    let private = stage.pool.join("core/mid/app/private/f");
    assert_eq!(std::fs::read_to_string(private).expect("it was written through the export"), "mine\n");
    assert!(stage.sweep(), "nothing is left of a launch");
}

#[test]
fn the_status_is_the_commands_own() {
    let stage = Stage::new();
    for (command, code) in [
        (&["sh", "-c", "exit 42"][..], 42),
        (&["true"], 0),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["no-such-command"], 127),
        (&["/no/such/command"], 127),
        (&["/etc/passwd"], 126),
        (&["/usr"], 126),
    ] {
        let said = stage.wrap(command);
        assert_eq!(said.code, code, "{command:?}: {}", said.err);
    }
    assert_eq!(run(&mut stage.wrap_command(&[], &[])).code, 125, "no program");
    assert_eq!(run(&mut stage.wrap_command(&["--no-such-option"], &["true"])).code, 125);
    stage.pool.status("core/mid", "Disable");
    let said = stage.wrap(&["true"]);
    assert_eq!(said.code, 125);
    assert!(said.err.contains("node `mid` is not enabled"), "{}", said.err);
    assert!(stage.sweep());
}

#[test]
fn the_founding_documents_example_works_as_written() {
    let stage = Stage::new();
    let shell = format!(
        "TIMEMS=`echo \"- $(($(date +%s%N)/1000000))  + \"  && \"$1\" --root {} --rpath={} -- cat </dev/null ; echo $(($(date +%s%N)/1000000))`; echo $TIMEMS",
        stage.root.display(),
        stage.leaf.display()
    );
    let link = stage.pool.join("red-wrap");
    std::os::unix::fs::symlink(built("red-runtime"), &link).expect("it is ours");
    let said = run(Command::new("bash").args(["-c", &shell, "bash"]).arg(&link)).good();
    let words: Vec<&str> = said.out.split_ascii_whitespace().collect();
    assert!(matches!(words.as_slice(), ["-", _, "+", _]), "{}", said.out);
}

#[test]
fn input_and_output_pass_through_pipes() {
    let stage = Stage::new();
    let mut child = stage
        .wrap_command(&[], &["sh", "-c", "cat; echo error >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("it is piped").write_all(b"through\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error\n");
}

#[test]
fn signals_reach_the_command() {
    let stage = Stage::new();
    let script = "trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.05; done";
    let mut child =
        stage.wrap_command(&[], &["sh", "-c", script]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().expect("it is piped"), &mut ready).expect("it says so");
    send(child.id(), "USR1");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(9), &b"got\n"[..]));
    // One without a handler ends a command that is not the first process.
    let mut child = stage.wrap_command(&[], &["sleep", "100"]).spawn().expect("it starts");
    eventually("it runs", || stage.tool("ps", &[]).out.contains("running"));
    send(child.id(), "INT");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(stage.sweep());
}

fn send(pid: u32, signal: &str) {
    run(Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string())).good();
}

#[test]
fn ends_with_its_launcher_when_that_was_asked_for() {
    let stage = Stage::new();
    for (options, ends) in [(&["--die-with-parent"][..], true), (&[], false)] {
        let mut child = stage.wrap_command(options, &["sleep", "100"]).spawn().expect("it starts");
        eventually("it runs", || {
            stage.tool("ps", &["--json"]).json()["running"].as_array().is_some_and(|all| all.len() == 1)
        });
        let pid = stage.tool("ps", &["--json"]).json()["running"][0]["pid"].to_string();
        let alive = || Path::new("/proc").join(&pid).join("exe").exists();
        eventually("it has become the command", &alive);
        child.kill().expect("it is ours");
        assert_eq!(child.wait().expect("it ends").signal(), Some(9));
        if ends {
            eventually("it has ended", || !alive());
        } else {
            assert!(alive());
            assert!(!stage.sweep(), "it is on record");
        }
        // What a killed launcher leaves is found and removed, once the kernel has reaped it.
        eventually("what is left is removed", || {
            run(red_runtime(&stage.root).arg("gc")).good();
            stage.sweep()
        });
    }
}

#[test]
fn sessions() {
    let stage = Stage::new();
    let session = |options: &[&str]| {
        // A session of outside has no number inside.
        let script = "import os; print(os.getsid(0))";
        run(&mut stage.wrap_command(options, &["python3", "-c", script])).good().out
    };
    assert_eq!(session(&["--new-session"]), "1\n");
    assert_eq!(session(&[]), "0\n");
}

#[test]
fn detached_ones_are_listed_entered_and_ended() {
    let stage = Stage::new();
    let said = run(&mut stage.wrap_command(
        &["--detach", "--name", "one", "-e", "KEY=value"],
        &["sh", "-c", "echo out; echo err >&2; trap 'exit 0' TERM; while :; do sleep 0.05; done"],
    ));
    assert_eq!(said.code, 0, "{}", said.err);
    eventually("its output is there", || stage.tool("logs", &["one"]).out == "out\nerr\n");
    let listed = stage.tool("ps", &["--json"]).good().json();
    assert_eq!(listed["schema"], "red/ps/v1");
    assert_eq!(listed["running"][0]["name"], "one");
    let digest = run(red_conf().args(["plan", "--digest"]).arg(&stage.leaf)).good().out;
    assert_eq!(listed["running"][0]["digest"].as_str(), Some(digest.trim()));
    // By the name of the node, too.
    let script = "hostname; tr '\\0' '\\n' < /proc/2/environ | grep KEY; grep -E 'Cap|NoNew|Seccomp' /proc/self/status > /tmp/me; \
                  grep -E 'Cap|NoNew|Seccomp' /proc/2/status | diff - /tmp/me && echo same";
    assert_eq!(stage.tool("enter", &["app", "sh", "-c", script]).good().out, "box-app\nKEY=value\nsame\n");
    assert_eq!(stage.tool("enter", &["one", "sh", "-c", "exit 5"]).code, 5);
    assert_eq!(stage.tool("enter", &["one", "no-such"]).code, 127);
    assert_eq!(
        run(&mut stage.wrap_command(&["--detach", "--name", "one"], &["true"])).code,
        125,
        "the name is taken"
    );
    stage.tool("kill", &["app"]).good();
    eventually("it has ended", || {
        stage.tool("ps", &["--json"]).json()["running"].as_array().is_some_and(Vec::is_empty)
    });
    assert!(stage.tool("enter", &["app", "true"]).err.contains("does not exist"));
    run(red_runtime(&stage.root).arg("gc")).good();
    assert!(stage.sweep());
}

#[test]
fn plans_are_shown_without_a_launch() {
    let stage = Stage::new();
    let plan = run(&mut stage.wrap_command(&["--plan"], &["true"])).good().json();
    assert_eq!(plan["schema"], "red/plan/v1");
    let text = run(&mut stage.wrap_command(&["--dump-only"], &["touch", "/nodes/app/private/no"])).good();
    assert!(text.out.contains("/nodes/app/private"), "{}", text.out);
    assert!(!stage.pool.join("core/mid/app/private/no").exists());
    let both = run(&mut stage.wrap_command(&["--dump", "--timings"], &["echo", "ran"])).good();
    assert_eq!(both.out, "ran\n");
    assert!(both.err.contains("mounts") && both.err.contains("spawn"), "{}", both.err);
}

#[test]
fn locks_are_held_and_contents_are_handed_in() {
    let leaf = "  - {mode: Lock, mount: /run/app.lock}\n  - {mode: Lock, mount: /nodes/app/private/host.lock}\n  - {mode: Internal, mount: /run/internal, path: 9}\n  - {mode: Execfd, mount: /run/sum, path: 'echo \\$((6 * 7))'}\n";
    let stage = Stage::with("", leaf);
    let internal = stage.pool.write("internal", "from nine\n");
    // An exclusive lock is refused while the shared one is held (flock(1) takes locks of another
    // kind, so the test asks for the right one).
    let probe = "import fcntl, sys\ntry: fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\nexcept OSError: print('held')";
    let inside = format!("python3 -c \"{probe}\" /run/app.lock; cat /run/internal /run/sum");
    let mut shell = Command::new("bash");
    shell.args(["-c", "exec 9<\"$1\"; shift; exec -a red-wrap \"$@\"", "bash"]).arg(&internal);
    shell.arg(built("red-runtime")).arg("--root").arg(&stage.root).arg("--redpath").arg(&stage.leaf);
    shell.args(["--", "sh", "-c", &inside]).env_clear().env("PATH", "/usr/bin:/bin");
    assert_eq!(run(&mut shell).good().out, "held\nfrom nine\n42\n");
    let host = stage.pool.join("core/mid/app/private/host.lock");
    let mut shell = Command::new("bash");
    let outside = format!(
        "exec 9<\"$1\"; shift; (exec -a red-wrap \"$@\") & until [ -e {1}/started ]; do sleep 0.05; done; \
         python3 -c \"{probe}\" {0}; touch {1}/stop; wait; python3 -c \"{probe}\" {0}",
        host.display(),
        host.with_file_name("").display(),
    );
    let waits = "cd /nodes/app/private; touch started; until [ -e stop ]; do sleep 0.05; done";
    shell
        .args(["-c", &outside, "bash"])
        .arg(&internal)
        .arg(built("red-runtime"))
        .arg("--root")
        .arg(&stage.root);
    shell.arg("--redpath").arg(&stage.leaf).args(["--", "sh", "-c", waits]);
    assert_eq!(run(&mut shell).good().out, "held\nfree\n");
}

#[test]
fn a_command_that_fails_or_hangs_fails_the_launch() {
    for (command, words) in [("false", "status 1"), ("sleep 60", "2000 ms"), ("yes", "bytes")] {
        let stage = Stage::with("", &format!("  - {{mode: Execfd, mount: /run/x, path: '{command}'}}\n"));
        let said = stage.wrap(&["true"]);
        assert_eq!(said.code, 125, "{command}");
        assert!(said.err.contains(words), "{command}: {}", said.err);
        assert!(said.err.contains("redpak.yaml:"), "{}", said.err);
        assert!(stage.sweep());
    }
}

#[test]
fn what_a_service_manager_hands_down_arrives() {
    let stage = Stage::new();
    let socket = stage.pool.join("notify");
    let notify = std::os::unix::net::UnixDatagram::bind(&socket).expect("it is ours");
    let script = "echo $LISTEN_FDS $((LISTEN_PID - $$)) $LISTEN_FDNAMES; cat <&3; ls /proc/self/fd | tr '\\n' ' '; \
                  python3 -c \"import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(os.environ['NOTIFY_SOCKET']); s.send(b'READY=1')\"";
    let file = stage.pool.write("listening", "descriptor three\n");
    let mut shell = Command::new("bash");
    let call =
        "exec 3<\"$1\"; shift; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec -a red-wrap \"$@\"";
    shell.args(["-c", call, "bash"]).arg(&file).arg(built("red-runtime")).arg("--root").arg(&stage.root);
    shell.arg("--redpath").arg(&stage.leaf).args(["--", "sh", "-c", script]);
    shell.env_clear().env("PATH", "/usr/bin:/bin").env("NOTIFY_SOCKET", &socket).stdin(Stdio::null());
    let said = run(&mut shell).good();
    assert_eq!(said.out, "1 0 web\ndescriptor three\n0 1 2 3 4 ", "{}", said.err);
    let mut got = [0; 16];
    let count = notify.recv(&mut got).expect("it was sent");
    assert_eq!(&got[..count], b"READY=1");
}

#[test]
fn a_terminal_of_its_own() {
    let stage = Stage::new();
    // A pseudo terminal on our side, of a known size, whose interrupt key ends the command.
    let program = format!(
        "import os, pty, select, fcntl, termios, struct
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 77, 0, 0))
    os.execv('{red}', ['red-wrap', '--root', '{root}', '--redpath={leaf}', '--', 'sh', '-c', 'tty; stty size; sleep 100'])
text = b''
while b'33 77' not in text: text += os.read(fd, 1000)
# Again and again: a shell between two commands remembers the key until the second one has ended.
while True:
    try:
        while not select.select([fd], [], [], 0.5)[0]: os.write(fd, b'\\x03')
        part = os.read(fd, 1000)
    except OSError: break
    if not part: break
    text += part
print(text.decode().replace('\\r', ''), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
        red = built("red-runtime").display(),
        root = stage.root.display(),
        leaf = stage.leaf.display()
    );
    let said = run(Command::new("python3").args(["-c", &program])).good();
    assert!(said.out.contains("/dev/pts/0") && said.out.trim_end().ends_with("130"), "{}", said.out);
}

#[test]
fn every_launcher_has_the_same_plan_and_the_same_view() {
    let stage = Stage::new();
    let view = "cat /proc/self/mountinfo | sed -E 's/^[0-9]+ [0-9]+ [0-9]+:[0-9]+ //' | sort; env | sort; \
                grep -E 'Cap|NoNew|Groups' /proc/self/status; hostname; umask; pwd; readlink /proc/self/ns/user | wc -c";
    let wrap = stage.wrap(&["sh", "-c", view]).good().out;
    let run_ = stage
        .runtime(["run", "--redpath", &stage.leaf.display().to_string(), "--", "sh", "-c", view])
        .good()
        .out;
    assert_eq!(wrap, run_);
    assert!(wrap.contains("/nodes/mid/shared") && wrap.contains("NoNewPrivs:\t1"));
}

#[test]
fn an_ordinary_user_launches_too() {
    let user = User::make();
    let stage = Stage::new();
    stage.pool.chown(user.uid);
    let red = stage.pool.install("red-runtime", "red-wrap");
    let launch = |options: &[&str], script: &str| {
        let mut command = user.command(&red);
        command
            .arg("--root")
            .arg(&stage.root)
            .arg("--redpath")
            .arg(&stage.leaf)
            .args(options)
            .args(["--", "sh", "-c", script]);
        run(&mut command)
    };
    let said = launch(&[], "id -u; touch /nodes/app/private/mine; touch /usr/x 2>/dev/null || echo refused; cat /proc/self/setgroups").good();
    assert!(said.out.starts_with(&format!("{}\nrefused\n", user.uid)), "{}", said.out);
    let owner = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(stage.pool.join("core/mid/app/private/mine")).expect("it was made"),
    );
    assert_eq!(owner, user.uid);
    let said = launch(&["--user", "root"], "true");
    assert_eq!(said.code, 125);
    assert!(said.err.contains("may not run as 0:0"), "{}", said.err);
    assert_eq!(launch(&["--detach", "--name", "mine"], "sleep 100").code, 0);
    let mut enter = user.command("bash");
    enter
        .args(["-c", "exec -a red-wrap \"$@\"", "bash"])
        .arg(&red)
        .arg("enter")
        .arg("--root")
        .arg(&stage.root);
    enter.args(["mine", "sh", "-c", "id -u; cat /proc/2/cmdline | tr '\\0' ' '"]);
    let entered = run(&mut enter).good().out;
    assert!(entered.starts_with(&format!("{}\n", user.uid)) && entered.contains("sleep 100"), "{entered}");
    let mut kill = user.command("bash");
    kill.args(["-c", "exec -a red-runtime \"$@\"", "bash"])
        .arg(&red)
        .arg("--root")
        .arg(&stage.root)
        .args(["delete", "--force", "mine"]);
    run(&mut kill).good();
    assert!(stage.sweep());
}

#[test]
fn a_family_is_a_chain_of_cgroups() {
    let stage = Stage::with("", "");
    let limits = |alias: &str, pids: u32| {
        format!("config: {{cgroups: {{pids: {{max: {pids}}}}}}}\nenviron: [{{key: BY, value: {alias}}}]")
    };
    let app = std::fs::read_to_string(stage.leaf.join("etc/redpak.yaml")).expect("it is there");
    stage.pool.node("core/mid", &limits("mid", 33));
    stage.pool.write(
        "core/mid/app/etc/redpak.yaml",
        format!("{app}\nconfig: {{cgroups: {{pids: {{max: 11}}}}}}\n"),
    );
    run(&mut stage.wrap_command(&["--detach", "--name", "limited"], &["sleep", "100"])).good();
    let find = |pattern: &str| {
        let found = run(Command::new("find").args(["/sys/fs/cgroup", "-path", pattern])).out;
        found
            .lines()
            .map(|dir| std::fs::read_to_string(Path::new(dir).join("pids.max")).unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let has = |pattern: &str, value: &str| find(pattern).iter().any(|found| found == value);
    assert!(has("*/core-*/mid-????????", "33\n"));
    assert!(has("*/core-*/mid-*/app-????????", "11\n"));
    let pid = stage.tool("ps", &["--json"]).json()["running"][0]["pid"].to_string();
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    assert!(own.contains("/app-") && own.contains("/limited"), "{own}");
    // The limit of the sum holds: eleven processes and no more.
    let script = "import os, signal
children = []
try:
    while len(children) < 40:
        pid = os.fork()
        if pid == 0: signal.pause()
        children.append(pid)
except BlockingIOError: pass
print(len(children))
for pid in children: os.kill(pid, 9)";
    let said = stage.tool("enter", &["limited", "python3", "-c", script]).good();
    // Besides them: the first process, the command, and the one that counts.
    assert_eq!(said.out, "8\n", "{}", said.err);
    stage.sweep();
    assert!(find("*/mid-*/app-*/limited*").is_empty());
}

#[test]
fn a_namespace_is_joined_that_a_node_names() {
    let mut other = Command::new("unshare").args(["--net", "sleep", "100"]).spawn().expect("it starts");
    eventually("it has a network of its own", || {
        let own = std::fs::read_link("/proc/self/ns/net").ok();
        std::fs::read_link(format!("/proc/{}/ns/net", other.id())).ok() != own
    });
    let stage = Stage::with(&format!(", share_net: /proc/{}/ns/net", other.id()), "");
    let said = stage.wrap(&["readlink", "/proc/self/ns/net"]);
    let wanted = std::fs::read_link(format!("/proc/{}/ns/net", other.id())).expect("it runs");
    other.kill().expect("it is ours");
    other.wait().expect("it ends");
    assert_eq!(said.good().out.trim(), wanted.display().to_string());
}
