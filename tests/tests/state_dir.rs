//! What a state directory must be, and what becomes of one that somebody else had a hand in.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use red_tests::broom::User;
use red_tests::call::{Said, built, red_runtime, run};
use red_tests::pool::Pool;
use red_tests::skip;
use red_tests::stage::{Stage, eventually};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A process that ends with the test.
struct Innocent(std::process::Child);

impl Innocent {
    fn new(user: Option<&User>) -> Self {
        let mut command = user.map_or_else(|| Command::new("sleep"), |user| user.command("sleep"));
        Self(command.arg("1000").spawn().expect("it starts"))
    }

    fn alive(&mut self) -> bool {
        self.0.try_wait().expect("it is ours").is_none()
    }

    /// As a record has it: PID, and when it started.
    fn process(&self) -> Value {
        let pid = self.0.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let start = stat.rsplit_once(')').expect("it has a name").1.split_ascii_whitespace().nth(19);
        serde_json::json!({"pid": pid, "start": start.expect("field 22").parse::<u64>().expect("a number")})
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A copy of what a container left in a state directory, of another process.
fn forge(from: &Path, to: &Path, id: &str, process: &Value) {
    fs::create_dir_all(to.join(id)).expect("it is ours");
    let text = fs::read_to_string(from.join("record.json")).expect("it is there");
    let mut record: Value = serde_json::from_str(&text).expect("it is JSON");
    record["id"] = id.into();
    record["redpath"] = "/var/redpesk/app".into();
    record["process"] = process.clone();
    record["cgroups"] = Value::Null;
    record["stage"] = "started".into();
    record["output"] = "/etc/passwd".into();
    fs::write(to.join(id).join("record.json"), record.to_string()).expect("it is ours");
    fs::copy(from.join("config.json"), to.join(id).join("config.json")).expect("it is ours");
}

const READERS: [&[&str]; 13] = [
    &["list"],
    &["state", "app"],
    &["kill", "app", "KILL"],
    &["exec", "app", "true"],
    &["ps", "app"],
    &["events", "--stats", "app"],
    &["pause", "app"],
    &["resume", "app"],
    &["update", "--pids-limit", "10", "app"],
    &["start", "app"],
    &["delete", "app"],
    &["delete", "--force", "app"],
    &["gc"],
];

/// Whoever only reads is not told a lie, either: all of them refuse what others could have written.
#[test]
fn readers_refuse_a_state_directory_that_others_can_write_to() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    stage.start(&bundle, "c");
    for (number, open) in [0o777, 0o770, 0o702, 0o1777].into_iter().enumerate() {
        let mut innocent = Innocent::new(None);
        let shared = stage.pool.mkdir(format!("shared{number}"));
        forge(&stage.root.join("c"), &shared, "app", &innocent.process());
        mode(&shared.join("app"), 0o700);
        mode(&shared, open);
        for args in READERS {
            let said = run(red_runtime(&shared).args(args));
            assert!(
                said.code != 0 && said.err.contains("insecure state"),
                "{open:o} {args:?}: {}{}",
                said.out,
                said.err
            );
            assert!(said.err.contains(&shared.display().to_string()), "where: {}", said.err);
            assert!(!said.out.contains("app"), "{args:?}: {}", said.out);
        }
        for args in [&["ps"][..], &["kill", "app", "KILL"], &["enter", "app", "true"], &["logs", "app"]] {
            let mut wrap = Command::new(built("red-runtime"));
            std::os::unix::process::CommandExt::arg0(&mut wrap, "red-wrap");
            wrap.arg(args[0]).arg("--root").arg(&shared).args(&args[1..]).stdin(Stdio::null());
            let said = run(&mut wrap);
            assert!(
                said.code != 0 && said.err.contains("insecure state"),
                "{args:?}: {}{}",
                said.out,
                said.err
            );
        }
        assert!(innocent.alive(), "{open:o}: a process that a stranger named was killed");
        assert!(shared.join("app/record.json").exists(), "{open:o}: removed");
        // The same records are believed where nobody else can write.
        mode(&shared, 0o700);
        run(red_runtime(&shared).args(["kill", "app", "KILL"])).good();
        eventually("it is killed", || !innocent.alive());
        run(red_runtime(&shared).args(["delete", "--force", "app"])).good();
    }
    // A link to one that is fine is somebody's word for it.
    symlink(&stage.root, stage.pool.join("link")).expect("it is ours");
    assert_ne!(run(red_runtime(&stage.pool.join("link")).arg("list")).code, 0);
    stage.runtime(["delete", "--force", "c"]).good();
}

#[test]
fn somebody_elses_state_directory_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make a user");
    }
    let user = User::make();
    let pool = Pool::new();
    let state = pool.mkdir("state");
    mode(&state, 0o700);
    rustix::fs::chown(&state, Some(rustix::fs::Uid::from_raw(user.uid)), None).expect("root may");
    // Root would kill, enter and remove what the user says.
    let said = run(red_runtime(&state).arg("list"));
    assert!(said.code == 1 && said.err.contains("insecure state"), "{}{}", said.out, said.err);
    assert!(said.err.contains(&format!("uid {}", user.uid)), "{}", said.err);
}

/// Records that are no plain files of ours are damaged, and nothing hangs on them or follows them.
#[test]
fn records_that_are_something_else_are_damaged() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let within = |args: &[&str]| {
        let red = red_runtime(&stage.root);
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "10"]).arg(red.get_program()).args(red.get_args()).args(args);
        run(command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()))
    };
    let outside = stage.pool.join("outside.json");
    for kind in ["fifo", "link", "open", "huge", "open directory", "link to a directory"] {
        stage.start(&bundle, "c");
        let record = stage.root.join("c/record.json");
        match kind {
            "fifo" => {
                fs::remove_file(&record).expect("it is ours");
                mknodat(CWD, &record, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("it is ours");
            }
            "link" => {
                fs::rename(&record, &outside).expect("it is ours");
                symlink(&outside, &record).expect("it is ours");
            }
            "open" => mode(&record, 0o666),
            "huge" => fs::OpenOptions::new()
                .write(true)
                .open(&record)
                .and_then(|file| file.set_len(17 << 20))
                .expect("it is ours"),
            "open directory" => mode(&stage.root.join("c"), 0o777),
            _ => {
                fs::rename(stage.root.join("c"), stage.pool.join("moved")).expect("it is ours");
                symlink(stage.pool.join("moved"), stage.root.join("c")).expect("it is ours");
            }
        }
        let said = within(&["state", "c"]);
        let listed = within(&["list"]);
        if said.code == 124 {
            // It hangs: so would whatever cleans up.
            drop(fs::remove_file(&record));
        }
        let wanted = if kind == "link to a directory" { "does not exist" } else { "damaged" };
        assert!(said.code == 1 && said.err.contains(wanted), "{kind}: {} {}", said.code, said.err);
        assert_eq!(listed.code, 0, "{kind}");
        if kind == "link to a directory" {
            fs::remove_file(stage.root.join("c")).expect("it is ours");
            fs::rename(stage.pool.join("moved"), stage.root.join("c")).expect("it is ours");
        }
        let said = within(&["delete", "--force", "c"]);
        assert_eq!(said.code, 0, "{kind}: {}", said.err);
        assert!(!stage.root.join("c").exists(), "{kind}");
    }
    // A lock that is something else is not waited for.
    mknodat(CWD, stage.root.join(".d.lock"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .expect("it is ours");
    let said = within(&["run", "--bundle", &bundle.display().to_string(), "d"]);
    assert!(said.code == 1 && said.err.contains("not a regular file"), "{} {}", said.code, said.err);
}

/// A state directory may outlive the machine's boot: then its PIDs are of others.
#[test]
fn a_record_of_an_earlier_boot_is_of_no_process() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    stage.start(&bundle, "c");
    let file = stage.root.join("c/record.json");
    let text = fs::read_to_string(&file).expect("it is there");
    let mut record: Value = serde_json::from_str(&text).expect("it is JSON");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("the kernel says");
    assert_eq!(record["boot"], boot.trim());
    assert_eq!(stage.status("c"), "running");
    record["boot"] = "00000000-0000-0000-0000-000000000000".into();
    fs::write(&file, record.to_string()).expect("it is ours");
    assert_eq!(stage.status("c"), "stopped");
    assert_ne!(stage.runtime(["kill", "c", "KILL"]).code, 0);
    fs::write(&file, &text).expect("it is ours");
    assert_eq!(stage.status("c"), "running", "it was killed by its number");
    stage.runtime(["delete", "--force", "c"]).good();
}

/// Names that lead elsewhere name nothing.
#[test]
fn names_stay_in_the_directory() {
    let stage = Stage::new();
    for id in ["..", ".", "../b", "a/../../b", "/etc", ".hidden", ""] {
        for verb in [&["state"][..], &["delete", "--force"], &["kill"], &["ps"]] {
            let said = stage.runtime(verb.iter().chain([&id]));
            assert!(said.code != 0, "{verb:?} {id}: {}", said.out);
        }
    }
    assert!(stage.root.exists());
}

/// No container's name is that of another one's lock or output.
#[test]
fn names_of_containers_are_apart_from_what_lies_beside_them() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let all = ["q", "q.lock", "q.log", "q.new", "q.old"];
    for id in all {
        stage.start(&bundle, id);
    }
    stage.runtime(["delete", "--force", "q"]).good();
    for id in &all[1..] {
        assert_eq!(stage.status(id), "running", "{id}");
        stage.runtime(["delete", "--force", id]).good();
        stage.start(&bundle, "q");
        stage.runtime(["delete", "--force", "q"]).good();
    }
    // A detached one of red-wrap has its output beside it.
    run(&mut stage.wrap_command(&["--detach", "--name", "q"], &["sh", "-c", "echo said; sleep 1000"])).good();
    stage.start(&bundle, "q.log");
    eventually("it has said so", || stage.tool("logs", &["q"]).out == "said\n");
    stage.runtime(["delete", "--force", "q"]).good();
    assert_eq!(stage.status("q.log"), "running");
    stage.runtime(["delete", "--force", "q.log"]).good();
    let left: Vec<_> =
        fs::read_dir(&stage.root).expect("it is there").flatten().map(|one| one.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    // What is no file there is not ours to remove.
    fs::create_dir_all(stage.root.join(".q.log/precious")).expect("it is ours");
    stage.start(&bundle, "q");
    let said = stage.runtime(["delete", "--force", "q"]);
    assert!(said.code != 0 && said.err.contains("not a regular file"), "{}", said.err);
    assert!(stage.root.join(".q.log/precious").exists());
    fs::remove_dir_all(stage.root.join(".q.log")).expect("it is ours");
}

/// A user without XDG_RUNTIME_DIR, and somebody who was there first with every name that can be guessed.
#[test]
fn without_a_runtime_directory_nobody_else_can_be_first() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make users");
    }
    let (victim, attacker) = (User::make(), User::make());
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    stage.start(&bundle, "c");
    let mut innocent = Innocent::new(Some(&victim));
    let guessed = format!("/tmp/red-runtime-{}", victim.uid);
    let _guard = Removed(guessed.clone());
    forge(&stage.root.join("c"), Path::new(&guessed), "app", &innocent.process());
    run(Command::new("chown").args(["-R", &attacker.name, &guessed])).good();
    let red = stage.pool.install("red-runtime", "red-wrap");
    let call = |args: &[&str]| -> Said { run(victim.command(&red).args(args)) };
    let said = call(&["ps"]).good();
    assert!(!said.out.contains("app"), "a forged record was believed: {}", said.out);
    assert_ne!(call(&["kill", "app", "KILL"]).code, 0);
    assert!(innocent.alive(), "a process of the victim was killed");
    // Nor does it keep the victim from launching anything.
    let node = stage.pool.node("own", red_tests::pool::PROGRAMS);
    let redpath = format!("--redpath={}", node.display());
    call(&[&redpath, "--detach", "--name", "mine", "--", "sleep", "1000"]).good();
    assert!(call(&["ps"]).good().out.contains("mine"));
    let home = format!("/home/{}/.local/state/red-runtime", victim.name);
    let facts = fs::metadata(&home).expect("states are there, for there is no /run/user of this user");
    assert_eq!(facts.permissions().mode() & 0o777, 0o700);
    call(&["kill", "mine", "KILL"]).good();
    eventually("it has ended", || !call(&["ps"]).good().out.contains("mine"));
    stage.runtime(["delete", "--force", "c"]).good();
}

struct Removed(String);

impl Drop for Removed {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The name beside a pid file can be guessed; a link there is not written through.
#[test]
fn a_link_beside_the_pid_file_is_not_written_through() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let kept = stage.pool.write("kept", "as it was");
    let place = stage.pool.mkdir("pids");
    // exec keeps the PID, so the shell knows what the runtime's will be.
    let mut command = Command::new("bash");
    command.args(["-c", "ln -s \"$1\" \"$2/.pid.$$\"; exec \"$3\" --root \"$4\" create --pid-file \"$2/pid\" --bundle \"$5\" c >/dev/null 2>&1", "bash"]);
    command
        .arg(&kept)
        .arg(&place)
        .arg(built("red-runtime"))
        .arg(&stage.root)
        .arg(&bundle)
        .stdin(Stdio::null());
    run(&mut command).good();
    assert_eq!(fs::read_to_string(&kept).expect("it is there"), "as it was");
    let pid = fs::read_to_string(place.join("pid")).expect("it was written");
    assert_eq!(stage.runtime(["state", "c"]).good().json()["pid"].to_string(), pid);
    stage.runtime(["delete", "--force", "c"]).good();
}
