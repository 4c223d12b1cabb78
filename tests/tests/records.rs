//! Records that are damaged, or came from elsewhere: what they name is not believed, and they can be removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use red_tests::broom::User;
use red_tests::call::{Said, red_runtime, run};
use red_tests::pool::Pool;
use red_tests::stage::{Stage, eventually};
use red_tests::{remark, skip};
use serde_json::{Value, json};

/// What is changed in a record.
type Change = Box<dyn Fn(&mut Value)>;

/// Set for a test that runs itself again in a pid namespace of its own.
const INSIDE: &str = "RED_RECORDS_INSIDE";

/// Runs a test again where nobody else can be killed. Whether this is already there.
fn alone(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        skip("needs root for namespaces");
        return false;
    }
    let mut again = Command::new("timeout");
    again.args([
        "--kill-after=5",
        "3000",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
    ]);
    again.arg(std::env::current_exe().expect("a test knows its own path"));
    let said = run(again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").stdin(Stdio::null()));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("1 passed"), "{}", said.out);
    false
}

/// Somebody else's process in a cgroup of somebody else's.
struct Innocent {
    child: Child,
    cgroups: Vec<PathBuf>,
    name: String,
}

impl Innocent {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // In a pid namespace the number would be another test's, too.
        let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos());
        let name = format!("redtest-innocent-{time}-{next}");
        let child = Command::new("sleep").arg("5000").spawn().expect("it starts");
        let mut cgroups = Vec::new();
        for hierarchy in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"] {
            let cgroup = Path::new(hierarchy).join(&name);
            if Path::new(hierarchy).join("cgroup.procs").exists() && fs::create_dir(&cgroup).is_ok() {
                fs::write(cgroup.join("cgroup.procs"), child.id().to_string()).expect("root may");
                cgroups.push(cgroup);
            }
        }
        Self { child, cgroups, name }
    }

    fn unharmed(&mut self) -> bool {
        let alive = self.child.try_wait().expect("it is ours").is_none();
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let frozen = self.cgroups.iter().any(|cgroup| {
            fs::read_to_string(cgroup.join("freezer.state")).is_ok_and(|state| state.trim() != "THAWED")
        });
        alive && !stat.contains(") Z ") && !frozen && self.cgroups.iter().all(|cgroup| cgroup.exists())
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        for cgroup in &self.cgroups {
            for _ in 0..2000 {
                if fs::remove_dir(cgroup).is_ok() || !cgroup.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

fn record(stage: &Stage, id: &str) -> PathBuf {
    stage.root.join(id).join("record.json")
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).expect("it is there")).expect("it is JSON")
}

fn pid(stage: &Stage, id: &str) -> u64 {
    read(&record(stage, id))["process"]["pid"].as_u64().expect("a number")
}

fn gone(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// A call that must not hang.
fn within(stage: &Stage, args: &[&str]) -> Said {
    let red = red_runtime(&stage.root);
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "30"]).arg(red.get_program()).args(red.get_args()).args(args);
    run(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null()))
}

/// Hierarchies' roots, paths elsewhere, and cgroups that somebody else made.
#[test]
fn what_a_record_names_and_was_not_made_by_us_is_neither_killed_nor_removed() {
    let test = "what_a_record_names_and_was_not_made_by_us_is_neither_killed_nor_removed";
    if !alone(test) {
        return;
    }
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let mut innocent = Innocent::new();
    if innocent.cgroups.is_empty() {
        return skip("there are no cgroups to make");
    }
    let theirs = format!("/{}", innocent.name);
    let leaf = |path: &str| -> Vec<String> {
        innocent
            .cgroups
            .iter()
            .map(|one| one.parent().expect("a hierarchy").join(&path[1..]).display().to_string())
            .collect()
    };
    let (all, roots) = (leaf(&theirs), leaf("/"));
    let roots: Vec<&str> = roots.iter().map(|root| root.trim_end_matches('/')).collect();
    let verbs: [&[&str]; 8] = [
        &["kill", "--all", "c", "KILL"],
        &["pause", "c"],
        &["ps", "c"],
        &["events", "--stats", "c"],
        &["update", "--pids-limit", "10", "c"],
        &["exec", "c", "true"],
        &["delete", "c"],
        &["delete", "--force", "c"],
    ];
    let changes: Vec<(&str, Change)> = vec![
        (
            "roots",
            Box::new({
                let roots: Vec<String> = roots.iter().map(|&root| root.to_owned()).collect();
                move |cgroups| {
                    cgroups["path"] = json!("/");
                    cgroups["made"] = json!(roots);
                }
            }),
        ),
        (
            "roots of an earlier version",
            Box::new(|cgroups| {
                cgroups["path"] = json!("/");
                cgroups["made"] = json!(["/sys/fs/cgroup/pids"]);
                drop(cgroups.as_object_mut().expect("an object").remove("inodes"));
            }),
        ),
        (
            "another cgroup",
            Box::new({
                let (all, theirs) = (all.clone(), theirs.clone());
                move |cgroups| {
                    cgroups["path"] = json!(theirs);
                    cgroups["made"] = json!(all);
                }
            }),
        ),
        (
            "another cgroup without inodes",
            Box::new({
                let (all, theirs) = (all.clone(), theirs.clone());
                move |cgroups| {
                    cgroups["path"] = json!(theirs);
                    cgroups["made"] = json!(all);
                    drop(cgroups.as_object_mut().expect("an object").remove("inodes"));
                }
            }),
        ),
        (
            "another inode",
            Box::new({
                let (all, theirs) = (all.clone(), theirs.clone());
                move |cgroups| {
                    cgroups["path"] = json!(theirs);
                    cgroups["made"] = json!(all);
                    cgroups["inodes"] = all
                        .iter()
                        .map(|leaf| (leaf.clone(), json!(4)))
                        .collect::<serde_json::Map<_, _>>()
                        .into();
                }
            }),
        ),
        (
            "only made",
            Box::new({
                let all = all.clone();
                move |cgroups| cgroups["made"] = json!(all)
            }),
        ),
        (
            "upwards",
            Box::new({
                let theirs = theirs.clone();
                move |cgroups| cgroups["path"] = json!(format!("/red-runtime/..{theirs}"))
            }),
        ),
        (
            "the unit of somebody else",
            Box::new({
                let theirs = theirs.clone();
                move |cgroups| cgroups["systemd"] = json!(theirs)
            }),
        ),
        ("elsewhere", Box::new(|cgroups| cgroups["made"] = json!(["/tmp", "/etc"]))),
    ];
    for (name, change) in &changes {
        for stage_of in ["started", "creating"] {
            for verb in verbs {
                stage.start(&bundle, "c");
                let first = pid(&stage, "c");
                let file = record(&stage, "c");
                let mut text = read(&file);
                let made = text["cgroups"]["made"].clone();
                change(&mut text["cgroups"]);
                text["stage"] = json!(stage_of);
                fs::write(&file, text.to_string()).expect("it is ours");
                let said = within(&stage, verb);
                assert!(said.code != 124, "{name} {stage_of} {verb:?} hangs");
                assert!(innocent.unharmed(), "{name} {stage_of} {verb:?}: {}{}", said.out, said.err);
                assert_eq!(within(&stage, &["list"]).code, 0, "{name}");
                if stage.root.join("c").exists() {
                    let removed = within(&stage, &["delete", "--force", "c"]);
                    // One that is being made, and names others, is not removed while they run.
                    let refused = removed.code == 1
                        && removed.err.contains("nothing shows that they are of this container");
                    assert!(removed.code == 0 || refused, "{name} {stage_of} {verb:?}: {}", removed.err);
                    assert!(innocent.unharmed(), "{name} {stage_of} {verb:?}: {}", removed.err);
                    if refused {
                        drop(fs::remove_dir_all(stage.root.join("c")));
                    }
                }
                eventually("its own process has ended", || gone(first));
                for leaf in made.as_array().into_iter().flatten().rev().filter_map(Value::as_str) {
                    // What is left is that of records that were not believed.
                    drop(fs::remove_dir(leaf));
                }
            }
        }
    }
}

/// The cgroup that a record says was made is no longer that one.
#[test]
fn a_cgroup_that_was_made_again_by_somebody_else_is_theirs() {
    if !alone("a_cgroup_that_was_made_again_by_somebody_else_is_theirs") {
        return;
    }
    let stage = Stage::new();
    let name = format!("redtest-again-{}", std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos()));
    let bundle = stage.plain("b", &["true"], |spec| spec["linux"]["cgroupsPath"] = json!(format!("/{name}")));
    stage.start(&bundle, "c");
    stage.wait_status("c", "stopped");
    let file = record(&stage, "c");
    let made = read(&file)["cgroups"]["made"].as_array().cloned().unwrap_or_default();
    if made.is_empty() {
        return skip("there are no cgroups to make");
    }
    let mut innocent = Innocent::new();
    for leaf in &made {
        let leaf = Path::new(leaf.as_str().expect("a path"));
        fs::remove_dir(leaf).expect("it is empty");
        fs::create_dir(leaf).expect("root may");
        innocent.cgroups.push(leaf.to_owned());
    }
    let pids = made
        .iter()
        .filter_map(Value::as_str)
        .find(|path| path.contains("/pids/"))
        .unwrap_or(made[0].as_str().expect("a path"));
    fs::write(Path::new(pids).join("cgroup.procs"), innocent.child.id().to_string()).expect("root may");
    for verb in [&["kill", "--all", "c", "KILL"][..], &["delete", "c"], &["delete", "--force", "c"]] {
        let said = within(&stage, verb);
        assert!(innocent.unharmed(), "{verb:?}: {}", said.err);
    }
    assert!(!stage.root.join("c").exists());
}

/// A container whose record lost its cgroups, its process, or is something else.
#[test]
fn whatever_is_in_a_record_the_container_can_be_removed() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    for kind in [
        "cgroups: null",
        "process: null",
        "no json",
        "empty",
        "directory",
        "fifo",
        "missing",
        "lock is a directory",
        "lock is a full directory",
        "lock is a fifo",
        "a file for a container",
        "a fifo for a container",
    ] {
        stage.start(&bundle, "whatever");
        let first = pid(&stage, "whatever");
        let file = record(&stage, "whatever");
        let lock = stage.root.join(".whatever.lock");
        let fifo = |path: &Path| {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )
            .expect("it is ours");
        };
        let own = !kind.contains("for a container");
        match kind {
            "cgroups: null" | "process: null" => {
                let mut text = read(&file);
                text[kind.split(':').next().expect("a key")] = Value::Null;
                fs::write(&file, text.to_string()).expect("it is ours");
            }
            "no json" => fs::write(&file, "{\"id\": \"whatever\"").expect("it is ours"),
            "empty" => fs::write(&file, "").expect("it is ours"),
            "directory" | "fifo" | "missing" => {
                fs::remove_file(&file).expect("it is ours");
                match kind {
                    "directory" => fs::create_dir(&file).expect("it is ours"),
                    "fifo" => fifo(&file),
                    _ => {}
                }
            }
            "lock is a directory" | "lock is a full directory" | "lock is a fifo" => {
                drop(fs::remove_file(&lock));
                match kind {
                    "lock is a fifo" => fifo(&lock),
                    _ => fs::create_dir(&lock).expect("it is ours"),
                }
                if kind.contains("full") {
                    fs::write(lock.join("x"), "").expect("it is ours");
                }
            }
            _ => {
                within(&stage, &["delete", "--force", "whatever"]).good();
                if kind.contains("fifo") {
                    fifo(&stage.root.join("whatever"))
                } else {
                    fs::write(stage.root.join("whatever"), "").expect("it is ours")
                }
            }
        }
        for verb in [&["list"][..], &["state", "whatever"], &["gc"]] {
            let said = within(&stage, verb);
            assert!(said.code != 124, "{kind}: {verb:?} hangs");
        }
        let said = within(&stage, &["delete", "--force", "whatever"]);
        assert_eq!(said.code, 0, "{kind}: {}", said.err);
        if own {
            eventually(&format!("{kind}: its process has ended"), || gone(first));
        }
        assert!(!stage.root.join("whatever").exists(), "{kind}");
        drop(fs::remove_dir_all(stage.root.join(".whatever.lock.aside")));
        // The name can be used again.
        stage.start(&bundle, "whatever");
        within(&stage, &["delete", "--force", "whatever"]).good();
    }
    let left = stage.left("whatever");
    assert!(left.is_empty(), "{left:?}");
}

/// Numbers that are the same on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % below.max(1)
    }
}

/// Replaces the value at a place, counted from the outermost.
fn replace(value: &mut Value, place: &mut usize, with: &Value) -> bool {
    if *place == 0 {
        *value = with.clone();
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| replace(item, place, with)),
        Value::Object(items) => items.values_mut().any(|item| replace(item, place, with)),
        _ => false,
    }
}

/// The number of values in one.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(items) => items.values().map(count).sum(),
        _ => 0,
    }
}

/// A thousand records with `RED_SOAK=full`, changed at one place each.
#[test]
fn mutated_records_harm_nobody_and_can_be_removed() {
    if !alone("mutated_records_harm_nobody_and_can_be_removed") {
        return;
    }
    let full = std::env::var_os("RED_SOAK").is_some_and(|value| value == "full");
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    let mut innocent = Innocent::new();
    stage.start(&bundle, "other");
    let other = pid(&stage, "other");
    let path = read(&record(&stage, "other"))["cgroups"]["path"].clone();
    let with: Vec<Value> = vec![
        Value::Null,
        json!(""),
        json!("/"),
        json!("//"),
        json!("/sys/fs/cgroup"),
        json!("/sys/fs/cgroup/pids"),
        json!(0),
        json!(-1),
        json!(1),
        json!(u64::MAX),
        json!(1e300),
        json!([]),
        json!({}),
        json!([[], {}]),
        json!(true),
        json!("\u{0}"),
        json!("../.."),
        json!("x".repeat(5000)),
        json!(innocent.child.id()),
        json!(other),
        path,
        json!("other"),
        json!(format!("/{}", innocent.name)),
        json!(innocent.cgroups),
        json!(["/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer"]),
        json!("started"),
        json!("creating"),
        json!("v1"),
        json!("v2"),
        json!("none"),
    ];
    let mut numbers = Numbers(42);
    let rounds = if full { 1000 } else { 40 };
    for round in 0..rounds {
        stage.start(&bundle, "mutated");
        let first = pid(&stage, "mutated");
        let file = record(&stage, "mutated");
        let text = fs::read(&file).expect("it is there");
        let changed: Vec<u8> = match numbers.next(5) {
            0 => text[..numbers.next(text.len())].to_vec(),
            1 => {
                let mut text = text.clone();
                let at = numbers.next(text.len());
                text[at] ^= 1 << numbers.next(8);
                text
            }
            _ => {
                let mut value: Value = serde_json::from_slice(&text).expect("it is JSON");
                let mut place = 1 + numbers.next(count(&value) - 1);
                replace(&mut value, &mut place, &with[numbers.next(with.len())]);
                value.to_string().into_bytes()
            }
        };
        fs::write(&file, &changed).expect("it is ours");
        let shown = || format!("round {round}: {}", String::from_utf8_lossy(&changed));
        assert_eq!(within(&stage, &["list"]).code, 0, "{}", shown());
        let verb: &[&str] = [
            &["kill", "--all", "mutated", "KILL"][..],
            &["state", "mutated"],
            &["pause", "mutated"],
            &["ps", "mutated"],
        ][numbers.next(4)];
        assert_ne!(within(&stage, verb).code, 124, "{verb:?} hangs: {}", shown());
        let said = within(&stage, &["delete", "--force", "mutated"]);
        assert!(innocent.unharmed(), "{}", shown());
        assert!(!gone(other), "{}", shown());
        let refused = said.code == 1 && said.err.contains("nothing shows that they are of this container");
        assert!(said.code == 0 || refused, "{}: {}", said.err, shown());
        if refused {
            fs::write(&file, &text).expect("it is ours");
            within(&stage, &["delete", "--force", "mutated"]).good();
        }
        eventually(&shown(), || gone(first));
    }
    assert_eq!(stage.status("other"), "running");
    stage.runtime(["delete", "--force", "other"]).good();
    let left = stage.left("mutated");
    assert!(left.is_empty(), "{left:?}");
}

/// The name of a detached one of ours is free when it has ended, and that of one that runs is not.
#[test]
fn a_name_is_free_again_when_its_container_has_ended() {
    let stage = Stage::new();
    let launch = |args: &[&str]| run(&mut stage.wrap_command(&["--detach", "--name", "z"], args));
    launch(&["sh", "-c", "echo first; sleep 1000"]).good();
    eventually("it has said so", || stage.tool("logs", &["z"]).out == "first\n");
    let said = launch(&["sleep", "1000"]);
    assert!(said.code == 125 && said.err.contains("exists already"), "{} {}", said.code, said.err);
    assert_eq!(stage.status("z"), "running");
    assert!(stage.tool("logs", &["z"]).out.contains("first"), "its output was emptied");
    stage.tool("kill", &["z", "KILL"]).good();
    stage.wait_status("z", "stopped");
    launch(&["sh", "-c", "echo second"]).good();
    eventually("it has said so", || stage.tool("logs", &["z"]).out == "second\n");
    stage.wait_status("z", "stopped");
    // In the foreground too, after one of either kind.
    assert_eq!(run(&mut stage.wrap_command(&["--name", "z"], &["sh", "-c", "exit 7"])).code, 7);
    assert_eq!(run(&mut stage.wrap_command(&["--name", "z"], &["sh", "-c", "exit 8"])).code, 8);
    // An engine's own is not taken away from it.
    let bundle = stage.plain("b", &["true"], |_| {});
    stage.start(&bundle, "e");
    stage.wait_status("e", "stopped");
    let said = stage.create(&bundle, "e");
    assert!(said.code == 1 && said.err.contains("exists already"), "{} {}", said.code, said.err);
    assert_eq!(run(&mut stage.wrap_command(&["--name", "e"], &["true"])).code, 125);
    stage.runtime(["delete", "e"]).good();
    // Nor is one that was asked to be kept.
    let kept = ["run", "--keep", "--bundle", &bundle.display().to_string(), "k"].map(str::to_owned);
    stage.runtime(&kept).good();
    assert_eq!(stage.status("k"), "stopped");
    assert_eq!(stage.runtime(&kept).code, 1);
    stage.runtime(["gc"]).good();
    assert_eq!(stage.status("k"), "stopped");
    stage.runtime(["delete", "k"]).good();
    assert!(stage.sweep());
}

/// What is left of its cgroups is in nobody's way either: one that ended by itself leaves them until then.
#[test]
fn a_name_is_free_again_with_limits_too() {
    let stage = Stage::with(", cgroups: {pids: {max: 100}}", "");
    for round in ["first", "second", "third"] {
        let script = format!("echo {round}");
        run(&mut stage.wrap_command(&["--detach", "--name", "z"], &["sh", "-c", &script])).good();
        eventually("it has said so", || stage.tool("logs", &["z"]).out == format!("{round}\n"));
        stage.wait_status("z", "stopped");
    }
    assert_eq!(run(&mut stage.wrap_command(&["--name", "z"], &["sh", "-c", "exit 7"])).code, 7);
    assert!(stage.left("z").is_empty(), "{:?}", stage.left("z"));
    assert!(stage.sweep());
}

/// A launcher that is still busy when its container has ended leaves the next one of that name alone.
#[test]
fn a_launcher_takes_away_its_own_container_only() {
    use std::io::Write;
    // Without cgroups, and with some that the next one has too.
    for config in ["", ", cgroups: {pids: {max: 100}}"] {
        let stage = Stage::with(config, "");
        let mut first = stage.wrap_command(&["--name", "z"], &["sh", "-c", "read line; exit 7"]);
        let mut first = first.stdin(std::process::Stdio::piped()).spawn().expect("a launcher");
        let launcher = rustix::process::Pid::from_child(&first);
        let signal = |signal| rustix::process::kill_process(launcher, signal).expect("it is ours");
        eventually("it runs", || {
            let said = stage.runtime(["state", "z"]);
            said.code == 0 && said.json()["status"] == "running"
        });
        // It is no longer being worked on either: a launcher that stands still would keep others out.
        eventually("it is let go", || {
            let said = stage.runtime(["delete", "z"]);
            assert_ne!(said.code, 0, "it runs");
            !said.err.contains("being worked on")
        });
        signal(rustix::process::Signal::STOP);
        first.stdin.take().expect("a pipe").write_all(b"go on\n").expect("it reads");
        stage.wait_status("z", "stopped");
        run(&mut stage.wrap_command(&["--detach", "--name", "z"], &["sleep", "1000"])).good();
        signal(rustix::process::Signal::CONT);
        assert_eq!(first.wait().expect("it is ours").code(), Some(7));
        assert_eq!(stage.status("z"), "running");
        stage.tool("kill", &["z", "KILL"]).good();
        stage.wait_status("z", "stopped");
        stage.runtime(["delete", "z"]).good();
        assert!(stage.sweep());
    }
}

/// A process that nobody would hear of does not stay.
#[test]
fn an_exec_that_cannot_say_which_process_it_is_ends_it() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    stage.start(&bundle, "x");
    let said = stage.runtime(["exec", "--pid-file", "/nonexistent/x", "x", "sleep", "999"]);
    assert_ne!(said.code, 0);
    let left = stage.runtime(["ps", "x"]).good().out;
    assert!(left.contains("sleep 1000") && !left.contains("sleep 999"), "{left}");
    stage.runtime(["delete", "--force", "x"]).good();
    assert!(stage.sweep());
}

/// What cannot be cleaned up does not change how the command ended.
#[test]
fn the_status_is_the_commands_whatever_becomes_of_its_remains() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sh", "-c", "exit 7"], |_| {});
    for way in ["red-wrap", "run"] {
        // What is beside a container and no file of ours cannot be removed.
        let log = stage.root.join(".s.log");
        fs::create_dir_all(log.join("x")).expect("it is ours");
        let said = if way == "run" {
            stage.runtime(["run", "--bundle", &bundle.display().to_string(), "s"])
        } else {
            run(&mut stage.wrap_command(&["--name", "s"], &["sh", "-c", "exit 7"]))
        };
        assert_eq!(said.code, 7, "{way}: {}", said.err);
        assert!(said.err.contains("not a regular file"), "{way}: {}", said.err);
        fs::remove_dir_all(&log).expect("it is ours");
        stage.runtime(["delete", "--force", "s"]).good();
    }
    assert!(stage.sweep());
}

/// A source in a file system whose daemon never answers: the launch ends with a reason, nothing is left, and
/// it can be ended before. It takes as long as the limit is, so only `RED_SOAK=full` waits for it.
#[test]
fn a_source_that_never_answers_ends_the_launch() {
    let full = std::env::var_os("RED_SOAK").is_some_and(|value| value == "full");
    if !alone("a_source_that_never_answers_ends_the_launch") {
        return;
    }
    let Ok(device) = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") else {
        return remark("the kernel of this machine has no FUSE");
    };
    let stage = Stage::with("", "  - {mode: Restricted, mount: /silent, path: $NODE_PATH/silent/x}\n");
    let silent = stage.pool.mkdir("core/mid/app/silent");
    let options =
        format!("fd={},rootmode=40000,user_id=0,group_id=0", std::os::fd::AsRawFd::as_raw_fd(&device));
    let options = std::ffi::CString::new(options).expect("no NUL");
    rustix::mount::mount(
        "red-test",
        &silent,
        "fuse",
        rustix::mount::MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .expect("root may");
    let bundle = stage.plain("b", &["true"], |spec| {
        let source = silent.join("x");
        let mounts = spec["mounts"].as_array_mut().expect("a list");
        mounts
            .push(json!({"destination": "/silent", "type": "bind", "source": source, "options": ["rbind"]}));
    });
    let start = |mut command: Command, name: &str| {
        let err = stage.pool.join(name);
        let file = fs::File::create(&err).expect("it is ours");
        (command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("it starts"), err)
    };
    let create = || {
        let mut create = red_runtime(&stage.root);
        create.args(["create", "--bundle"]).arg(&bundle).arg("silent");
        create
    };
    let wrap = || stage.wrap_command(&["--name", "silentw"], &["true"]);
    for command in [create(), wrap()] {
        let (mut child, _) = start(command, "killed.err");
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert!(child.try_wait().expect("it is ours").is_none(), "it did not wait");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
        eventually("it can be ended", || child.try_wait().expect("it is ours").is_some());
        assert_eq!(within(&stage, &["list"]).code, 0);
        within(&stage, &["delete", "--force", "silent"]).good();
    }
    if full {
        let mut both = [start(create(), "create.err"), start(wrap(), "wrap.err")];
        let begin = std::time::Instant::now();
        for (child, err) in &mut both {
            let status = loop {
                if let Some(status) = child.try_wait().expect("it is ours") {
                    break status;
                }
                assert!(begin.elapsed().as_secs() < 300, "it has no limit");
                std::thread::sleep(std::time::Duration::from_millis(50));
            };
            let said = fs::read_to_string(err).expect("it is ours");
            assert!(!status.success() && said.contains("does not answer"), "{status:?}: {said}");
        }
        assert_eq!(within(&stage, &["list", "-q"]).good().out, "");
        within(&stage, &["delete", "--force", "silent"]).good();
    }
    // Whoever waits is told that the connection is gone.
    drop(device);
    rustix::mount::unmount(&silent, rustix::mount::UnmountFlags::DETACH).expect("it is mounted");
    let left = stage.left("silent");
    assert!(left.is_empty(), "{left:?}");
}

/// Where /proc shows users only what they may trace, a first process is hidden from its own user while it is
/// made (proc(5), "hidepid").
#[test]
fn a_hidden_first_process_is_on_record() {
    if !alone("a_hidden_first_process_is_on_record") {
        return;
    }
    run(Command::new("mount").args(["-o", "remount,hidepid=2", "/proc"])).good();
    let user = User::make();
    let pool = Pool::new();
    let red = pool.install("red-runtime", "red-wrap");
    let node = pool.node("own", red_tests::pool::PROGRAMS);
    let redpath = format!("--redpath={}", node.display());
    let call = |args: &[&str]| run(user.command(&red).args(args));
    call(&[&redpath, "--", "true"]).good();
    for _ in 0..2 {
        call(&[&redpath, "--detach", "--name", "mine", "--", "sleep", "1000"]).good();
        assert!(call(&["ps"]).good().out.contains("running"));
        call(&["kill", "mine", "KILL"]).good();
        eventually("it has ended", || !call(&["ps"]).good().out.contains("mine"));
    }
}
