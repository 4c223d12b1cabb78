//! Commands of nodes as services: what the service manager says to them and hears of them.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use red_tests::call::{conf, run};
use red_tests::stage::eventually;

use super::{Service, Wrapped, here, hierarchy, is_root, of_manager, processes, property};

/// A service that does all that a manager can ask for. It ends with status 42 on SIGTERM, and on SIGUSR1 no longer
/// tells that it lives.
const SERVICE: &str = r#"
import os, signal, socket, time
where = os.environ["NOTIFY_SOCKET"]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect("\0" + where[1:] if where[0] == "@" else where)
alive = True
def say(text):
    print(text, flush=True)
    manager.send(("STATUS=" + text).encode())
def reload(*_): say("reloaded")
def mute(*_):
    global alive
    alive = False
def stop(*_):
    say("stopping")
    os._exit(42)
signal.signal(signal.SIGHUP, reload)
signal.signal(signal.SIGUSR1, mute)
signal.signal(signal.SIGTERM, stop)
say("serving")
manager.send(b"READY=1")
while True:
    if alive and "WATCHDOG_USEC" in os.environ: manager.send(b"WATCHDOG=1")
    time.sleep(0.5)
"#;

/// What it prints when sockets are handed to it, before it answers on the first of them.
const LISTENER: &str = r#"
import os, socket
own = os.environ["LISTEN_PID"] == str(os.getpid())
print("listens", own, os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"], flush=True)
peer, _ = socket.socket(fileno=3).accept()
peer.send(b"served")
"#;

/// Path of the service inside; tests run beside each other.
fn path(node: &Wrapped) -> String {
    let pool = node.stage.pool.path().file_name().unwrap_or_default().to_string_lossy();
    format!("/nodes/core/usr/{pool}.py")
}

fn write(node: &Wrapped) -> String {
    let path = path(node);
    node.stage.pool.write(path.replacen("/nodes/", "", 1), SERVICE);
    node.stage.pool.write("core/usr/listener.py", LISTENER);
    path
}

/// The user manager's journal is a part of the system's.
fn journal(unit: &str) -> String {
    let field = if is_root() { "_SYSTEMD_UNIT" } else { "_SYSTEMD_USER_UNIT" };
    run(Command::new("journalctl").args([
        "--quiet",
        "--no-pager",
        "--output=cat",
        &format!("{field}={unit}"),
    ]))
    .out
}

/// PIDs of the command, wherever it runs.
fn commands(node: &Wrapped) -> Vec<String> {
    let is_one = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(format!("python3\0{}\0", path(node)).as_bytes())
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(is_one).collect()
}

/// A life of a service with `Type=notify`: started, reloaded, killed in each way, silent, stopped.
fn lives(node: &Wrapped, delegate: bool, ways: &[&str]) {
    let script = write(node);
    let service = Service::named(if delegate { "delegated" } else { "plain" });
    let name = service.name.as_str();
    let unit = format!("--unit={name}");
    let mut options = vec!["--quiet", &unit];
    for property in [
        "--property=Type=notify",
        "--property=NotifyAccess=all",
        "--property=WatchdogSec=30",
        "--property=Restart=on-failure",
        "--property=KillMode=mixed",
        "--property=StartLimitIntervalSec=0",
        "--property=ExecReload=/bin/kill -HUP $MAINPID",
        // With time for what is slow here.
        "--property=TimeoutStartSec=300",
    ] {
        options.push(property);
    }
    if delegate {
        options.push("--property=Delegate=yes");
    }
    node.by_manager(&options, &["python3", &script]).good();
    assert_eq!(property(name, "ActiveState"), "active", "it is started once it is ready");
    assert_eq!(property(name, "StatusText"), "serving");
    let shown = of_manager("systemctl", &["status", "--no-pager", name]).out;
    assert!(shown.contains(&format!("python3 {script}")), "{shown}");

    of_manager("systemctl", &["reload", name]).good();
    eventually("the command is sent SIGHUP", || property(name, "StatusText") == "reloaded");

    for (way, restarts) in ways.iter().zip(1..) {
        let before = commands(node);
        assert_eq!(before.len(), 1, "{way}: {before:?}");
        match *way {
            "command" => drop(run(Command::new("kill").args(["-KILL", &before[0]])).good()),
            "watchdog" => {
                let whom = ["kill", "--signal=USR1", "--kill-whom=main", name];
                of_manager("systemctl", &whom).good();
            }
            whom => {
                let whom = format!("--kill-whom={whom}");
                of_manager("systemctl", &["kill", "--signal=KILL", &whom, name]).good();
            }
        }
        let again = || property(name, "NRestarts") == restarts.to_string();
        eventually(&format!("{way}: it is started again"), again);
        eventually(&format!("{way}: it serves again"), || {
            property(name, "ActiveState") == "active" && property(name, "StatusText") == "serving"
        });
        let now = commands(node);
        assert!(now.len() == 1 && now != before, "{way}: {before:?}, {now:?}");
    }

    let inside = hierarchy(&property(name, "ControlGroup"));
    let pids = processes(&inside);
    of_manager("systemctl", &["stop", name]).good();
    assert_eq!(property(name, "ExecMainStatus"), "42", "of the command, which was sent SIGTERM");
    let there = |pid: &&String| Path::new("/proc").join(pid).exists();
    eventually("no process is left", || pids.iter().find(there).is_none());
    assert!(!inside.exists(), "{}", inside.display());
    eventually("its last words are in the journal", || journal(name).contains("stopping\n"));
    let said = journal(name);
    for text in ["serving\n", "reloaded\n"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    drop(service);
    // Launchers that were killed leave records.
    node.stage.runtime(["gc"]).good();
    assert_eq!(node.stage.left("app"), Vec::<String>::new());
}

#[test]
fn a_service_of_a_node_lives_as_any_other() {
    if here() {
        lives(&Wrapped::new(), false, &["command", "main", "all", "watchdog"]);
    }
}

#[test]
fn a_service_of_a_node_with_limits_lives_as_any_other_where_its_unit_delegates() {
    if here() {
        lives(&Wrapped::limited(), true, &["command", "main", "all", "watchdog"]);
    }
}

/// What the warning says of such a unit.
#[test]
fn a_node_with_limits_is_beside_a_unit_that_does_not_delegate_and_ends_with_it() {
    if !here() {
        return;
    }
    let node = Wrapped::limited();
    let service = Service::named("beside");
    let name = service.name.as_str();
    let unit = format!("--unit={name}");
    let again = "--property=Restart=always";
    node.by_manager(&["--quiet", &unit, again], &["sh", "-c", "echo speaks; exec sleep 1000"]).good();
    let scopes = || {
        let listed = ["list-units", "--no-legend", "--plain", "--state=active", "red-app*.scope"];
        let text = of_manager("systemctl", &listed).out;
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("it is in a scope", || scopes().len() == 1);
    for whom in ["main", "all"] {
        let before = scopes();
        let whom = format!("--kill-whom={whom}");
        of_manager("systemctl", &["kill", "--signal=KILL", &whom, name]).good();
        eventually("there is another one, alone", || scopes().len() == 1 && scopes() != before);
    }
    eventually("the warning is in the journal", || journal(name).contains("has no `Delegate=yes`"));
    assert!(!journal(name).contains("speaks\n"), "its log is the unit's: {}", journal(name));
    of_manager("systemctl", &["stop", name]).good();
    eventually("the scope is gone", || scopes().is_empty());
    drop(service);
    // Launchers that were killed leave records.
    node.stage.runtime(["gc"]).good();
    assert_eq!(node.stage.left("app"), Vec::<String>::new());
}

#[test]
fn a_service_of_a_node_is_started_by_its_socket() {
    if !here() {
        return;
    }
    for (node, delegate) in [(Wrapped::new(), "no"), (Wrapped::limited(), "no"), (Wrapped::limited(), "yes")]
    {
        write(&node);
        let service = Service::named(&format!("socket-{delegate}"));
        let socket = Service { name: service.name.replace(".service", ".socket") };
        let place = node.stage.pool.join("web.sock");
        let unit = format!("--unit={}", service.name);
        let listen = format!("--socket-property=ListenStream={}", place.display());
        let second = format!("--socket-property=ListenStream={}", node.stage.pool.join("b.sock").display());
        let (names, delegate) =
            ("--socket-property=FileDescriptorName=web", format!("--property=Delegate={delegate}"));
        node.by_manager(
            &["--quiet", &unit, &listen, &second, names, &delegate],
            &["python3", "/nodes/core/usr/listener.py"],
        )
        .good();
        let mut peer = UnixStream::connect(&place).expect("the manager listens");
        peer.set_read_timeout(Some(red_tests::patience(20))).expect("it is no zero");
        let mut answer = String::new();
        let read = std::io::Read::read_to_string(&mut peer, &mut answer);
        assert!(read.is_ok() && answer == "served", "{read:?} {answer}: {}", journal(&service.name));
        // The log of one that is beside its unit is not the unit's.
        if delegate.ends_with("yes") {
            let said = || journal(&service.name).contains("listens True 2 web:web\n");
            eventually("what it was handed is in the journal", said);
        }
        drop((service, socket));
        assert_eq!(node.stage.left("app"), Vec::<String>::new());
    }
}

/// The unit that `red-conf unit` prints, for this machine's managers.
#[test]
fn a_unit_that_was_printed_starts() {
    if !here() {
        return;
    }
    for (node, start) in [(Wrapped::limited(), "notify"), (Wrapped::new(), "exec")] {
        let script = write(&node);
        let service = Service::named(&format!("printed-{start}"));
        let leaf = node.stage.leaf.display().to_string();
        let wrap = format!("--red-wrap={}", node.words[0]);
        let mut words = vec!["unit", &leaf, "--type", start, "--reload", &wrap];
        if !is_root() {
            words.push("--user");
        }
        let command = if start == "notify" { ["python3", &script] } else { ["sleep", "infinity"] };
        let text = conf([&words[..], &["--"], &command].concat()).good().out;
        let home = std::env::var("HOME").unwrap_or_default();
        let directory =
            if is_root() { "/run/systemd/system".to_owned() } else { format!("{home}/.config/systemd/user") };
        fs::create_dir_all(&directory).expect("it is ours");
        let file = Path::new(&directory).join(&service.name);
        fs::write(&file, text).expect("it is ours");
        let verified = of_manager("systemd-analyze", &["verify", "--man=no", &file.display().to_string()]);
        of_manager("systemctl", &["daemon-reload"]).good();
        let started = of_manager("systemctl", &["start", &service.name]);
        let (active, status) =
            (property(&service.name, "ActiveState"), property(&service.name, "StatusText"));
        if start == "notify" {
            of_manager("systemctl", &["reload", &service.name]).good();
            eventually("it is reloaded", || property(&service.name, "StatusText") == "reloaded");
        }
        of_manager("systemctl", &["stop", &service.name]);
        fs::remove_file(&file).expect("it is ours");
        of_manager("systemctl", &["daemon-reload"]).good();
        assert_eq!((verified.code, verified.err.as_str()), (0, ""));
        started.good();
        let wanted = if start == "notify" { "serving" } else { "" };
        assert_eq!((active.as_str(), status.as_str()), ("active", wanted), "{}", journal(&service.name));
        drop(service);
        assert_eq!(node.stage.left("app"), Vec::<String>::new());
    }
}
