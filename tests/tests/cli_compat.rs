//! The command line of runc and crun: each line of docs/src/cli-compat.md, and what its options do.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::broom::Tmpfs;
use red_tests::call::{Said, red_runtime, run};
use red_tests::pages;
use red_tests::skip;
use red_tests::stage::{Stage, eventually};
use serde_json::{Value, json};

/// A call whose streams are files: what lives on would keep pipes open. Descriptor 3 is open in it.
fn call(stage: &Stage, args: &[&str]) -> Said {
    let (out, err) = (stage.pool.join("call.out"), stage.pool.join("call.err"));
    let mut red = red_runtime(&stage.root);
    if args.first() == Some(&"--root") {
        red = Command::new(red.get_program());
    }
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "60", "sh", "-c", "exec \"$@\" 3</dev/null", "sh"]);
    command.arg(red.get_program()).args(red.get_args()).args(args);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
        .stdout(fs::File::create(&out).expect("it is ours"))
        .stderr(fs::File::create(&err).expect("it is ours"));
    let code = command.status().expect("it starts").code().unwrap_or(255);
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    Said { code, out: read(&out), err: read(&err) }
}

/// One line that is tried.
struct Line {
    command: String,
    option: String,
    here: String,
    tried: Vec<String>,
}

fn lines() -> Vec<Line> {
    let text = fs::read_to_string(pages::root().join("src/cli-compat.md")).expect("the page is there");
    let mut command = String::new();
    let mut all = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut command);
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [option, _, _, here, tried] = cells.as_slice() else { continue };
        if !line.starts_with('|') || *option == "option" {
            continue;
        }
        let tried: Vec<String> = tried.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        all.push(Line {
            command: command.clone(),
            option: (*option).to_owned(),
            here: (*here).to_owned(),
            tried,
        });
    }
    all
}

fn value(text: &str) -> serde_json::Map<String, Value> {
    serde_json::from_str(text).expect("it is JSON")
}

#[test]
fn every_line_of_the_table_is_true() {
    let stage = Stage::new();
    let sleeps = stage.plain("sleeps", &["sleep", "1000"], |spec| {
        let pts = json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]});
        spec["mounts"].as_array_mut().expect("a list").push(pts);
    });
    let ends = stage.plain("ends", &["true"], |_| {});
    let terminal =
        stage.plain("terminal", &["sleep", "1000"], |spec| spec["process"]["terminal"] = json!(true));
    stage.pool.write(
        "sleeps/process.json",
        json!({"cwd": "/", "args": ["true"], "env": ["PATH=/usr/bin"]}).to_string(),
    );
    stage.pool.write(
        "sleeps/resources.json",
        json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 20}}).to_string(),
    );
    let all = lines();
    assert!(all.len() > 90, "only {} lines", all.len());
    let mut wrong = Vec::new();
    for (number, line) in all.iter().enumerate() {
        assert!(!line.tried.is_empty(), "{} {} is not tried", line.command, line.option);
        for (turn, tried) in line.tried.iter().enumerate() {
            let dir = stage.pool.mkdir(format!("d{number}-{turn}"));
            let socket = stage.pool.join(format!("s{number}-{turn}"));
            let _listener = UnixListener::bind(&socket).expect("it is ours");
            let verb = tried
                .split(' ')
                .find(|word| !word.starts_with('-') && !word.contains(['/', '$']))
                .unwrap_or("");
            match verb {
                "start" => drop(stage.create(&sleeps, "c").good()),
                "kill" | "delete" | "exec" | "state" | "ps" | "pause" | "resume" | "events" | "update"
                | "checkpoint" | "mounts" => {
                    stage.start(&sleeps, "c");
                }
                _ => {}
            }
            if verb == "resume" {
                stage.runtime(["pause", "c"]).good();
            }
            let words: Vec<String> = tried
                .split(' ')
                .map(|word| {
                    word.replace("$B", &sleeps.display().to_string())
                        .replace("$R", &ends.display().to_string())
                        .replace("$T", &terminal.display().to_string())
                        .replace("$D", &dir.display().to_string())
                        .replace("$S", &socket.display().to_string())
                })
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let said = call(&stage, &words);
            let refused = line.here.starts_with("refused");
            assert!(
                refused || line.here.starts_with("supported") || line.here.starts_with("ignored: "),
                "{}",
                line.here
            );
            let wanted = match (refused, verb) {
                (false, _) => said.code == 0,
                (true, "exec") => (said.code == 255 || said.code == 1) && !said.err.is_empty(),
                (true, _) => said.code == 1 && !said.err.is_empty(),
            };
            if !wanted {
                wrong.push(format!("{tried} ({}): {} {}{}", line.here, said.code, said.out, said.err));
            }
            if refused {
                // Nothing was made of it, and its words are nobody's name.
                let listed = stage.runtime(["list", "-q"]).out;
                assert!(listed.lines().all(|id| id == "c"), "{tried}: {listed}");
            }
            stage.sweep();
            fs::remove_dir_all(&dir).expect("it is ours");
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What clap knows and the table does not, and the other way round for the options that are supported.
#[test]
fn the_table_has_every_option_that_there_is() {
    let all = lines();
    let said = run(red_runtime(Path::new("/nonexistent")).arg("--help")).good().out;
    let mut missing = Vec::new();
    for command in ["create", "run", "exec", "kill", "delete", "list", "ps", "events", "update", "spec"] {
        let help = run(red_runtime(Path::new("/nonexistent")).args([command, "--help"])).good().out;
        let mut known: Vec<String> = Vec::new();
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            known.extend(
                line.split([' ', ',', '=', '[', '<'])
                    .filter(|word| word.starts_with("--"))
                    .take(1)
                    .map(str::to_owned),
            );
        }
        let has = |option: &str| {
            all.iter().any(|line| line.command == command && line.option.contains(&format!("`{option}")))
        };
        // Those of `run --redpath` are ours alone.
        let ours = [
            "--help",
            "--version",
            "--redpath",
            "--admin",
            "--rmain",
            "--strict",
            "--force",
            "--unsafe",
            "--user",
            "--group",
            "--smack",
            "--env",
            "--name",
            "--die-with-parent",
            "--new-session",
            "--timings",
            "--verbose",
            "--root",
        ];
        for option in known {
            if !has(&option)
                && !(ours.contains(&option.as_str())
                    && (command == "run" || option == "--help" || option == "--version"))
            {
                missing.push(format!("{command} {option}"));
            }
        }
    }
    assert!(said.contains("--log"), "{said}");
    assert!(missing.is_empty(), "{missing:?}");
}

/// Calls that are not understood end as runc's do, and nothing is made of their words.
#[test]
fn what_is_not_understood_is_an_error_and_no_name() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["true"], |_| {}).display().to_string();
    for args in [
        &["run", "--bundle", &bundle, "--nonsense"][..],
        &["run", "--nonsense", "--bundle", &bundle],
        &["run", "--bundle", &bundle, "--nonsense", "c"],
        &["create", "--bundle", &bundle, "--nonsense"],
        &["create", "--bundle", &bundle, "--", "--nonsense"],
        &["run", "--bundle", &bundle, "--", "--nonsense"],
        &["create", "--bundle", &bundle],
        &["create", "--bundle", &bundle, "a", "b"],
        &["start"],
        &["start", "--nonsense"],
        &["state"],
        &["kill"],
        &["kill", "c", "NOSIGNAL"],
        &["delete", "--nonsense", "c"],
        &["exec"],
        &["update", "--nonsense", "1", "c"],
        &["update", "--memory", "64X", "c"],
        &["update", "--memory", "", "c"],
        &["update", "--blkio-weight", "5", "c"],
        &["events", "--interval", "0s", "c"],
        &["list", "--format", "xml"],
        &["--nonsense", "list"],
        &["--cgroup-manager", "nobody", "list"],
        &["nonsense"],
        &[],
    ] {
        let said = call(&stage, args);
        assert_eq!(said.code, 1, "{args:?}: {}{}", said.out, said.err);
        assert!(!said.err.is_empty(), "{args:?}");
        assert_eq!(stage.runtime(["list", "-q"]).good().out, "", "{args:?}");
    }
    // The others' statuses stay theirs.
    assert_eq!(run(&mut stage.wrap_command(&["--nonsense"], &["true"])).code, 125);
    assert_eq!(call(&stage, &["conf", "--nonsense"]).code, 2);
}

/// Words that podman takes for a missing command are not in what is said of other things.
#[test]
fn what_is_missing_is_not_taken_for_the_command() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["true"], |_| {}).display().to_string();
    let nowhere = stage.pool.join("nowhere").display().to_string();
    for args in [
        &["create", "--bundle", &nowhere, "c"][..],
        &["run", "--bundle", &nowhere, "c"],
        &["create", "--bundle", &bundle, "--config", &nowhere, "c"],
        &["create", "--bundle", &bundle, "--console-socket", &nowhere, "c"],
        &["create", "--bundle", &bundle, "--pid-file", &format!("{nowhere}/pid"), "c"],
        &["--log", &format!("{nowhere}/log"), "list"],
        &["spec", "--bundle", &nowhere],
        &["update", "--resources", &nowhere, "c"],
        &["exec", "--process", &nowhere, "c"],
        &["state", "nobody"],
        &["--root", &nowhere, "start", "c"],
    ] {
        let said = call(&stage, args);
        let lower = said.err.to_lowercase();
        assert!(said.code != 0 && !said.err.is_empty(), "{args:?}: {}", said.out);
        for words in ["no such file", "executable file not found", "open executable"] {
            assert!(!lower.contains(words), "{args:?}: {}", said.err);
        }
    }
}

/// A process of which nobody would know does not stay, and half a file neither.
#[test]
fn a_pid_file_that_cannot_be_written_ends_the_process() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {}).display().to_string();
    stage.start(Path::new(&bundle), "x");
    let disk = Tmpfs::sized(&stage.pool.mkdir("disk"), 64 << 10);
    disk.fill(0);
    let taken = stage.pool.mkdir("pids/taken");
    for (file, why) in [
        (PathBuf::from("/nonexistent/pid"), "missing"),
        (stage.pool.join("disk/pid"), "No space left on device"),
        (taken, "Is a directory"),
    ] {
        let file = file.display().to_string();
        for command in [
            &["create", "--bundle", &bundle, "--pid-file", &file, "c"][..],
            &["exec", "--detach", "--pid-file", &file, "x", "sleep", "999"],
        ] {
            let said = call(&stage, command);
            assert_ne!(said.code, 0, "{command:?}");
            assert!(said.err.contains("pid file") && said.err.contains(why), "{command:?}: {}", said.err);
            let left = stage.runtime(["ps", "x"]).good().out;
            assert!(left.contains("sleep 1000") && !left.contains("sleep 999"), "{command:?}: {left}");
            assert_eq!(stage.runtime(["list", "-q"]).good().out.trim(), "x", "{command:?}");
        }
    }
    for (dir, known) in [("disk", "filler"), ("pids", "taken")] {
        let files = fs::read_dir(stage.pool.join(dir)).expect("it is ours").flatten();
        let names: Vec<_> = files.map(|entry| entry.file_name()).collect();
        assert_eq!(names, [known], "{dir}");
    }
    stage.runtime(["delete", "--force", "x"]).good();
    drop(disk);
    assert_eq!(stage.left("c"), Vec::<String>::new());
}

fn leaf(stage: &Stage, id: &str, controller: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(stage.root.join(id).join("record.json")).expect("it is there");
    let record: Value = serde_json::from_str(&text).expect("it is JSON");
    let path = record["cgroups"]["path"].as_str()?.trim_start_matches('/').to_owned();
    let v1 = Path::new("/sys/fs/cgroup").join(controller).join(&path);
    let v2 = Path::new("/sys/fs/cgroup").join(&path);
    [v1, v2].into_iter().find(|leaf| leaf.is_dir())
}

/// What `update` says is what the kernel has.
#[test]
fn limits_are_changed_as_they_are_written() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    stage.start(&bundle, "c");
    let mut seen = 0;
    for (args, controller, v1, v2, wanted) in [
        (&["--memory", "64M"][..], "memory", "memory.limit_in_bytes", "memory.max", "67108864"),
        (&["--memory", "0.5g"], "memory", "memory.limit_in_bytes", "memory.max", "536870912"),
        (
            &["--memory-reservation", "32MiB"],
            "memory",
            "memory.soft_limit_in_bytes",
            "memory.low",
            "33554432",
        ),
        (&["--pids-limit", "50"], "pids", "pids.max", "pids.max", "50"),
        (&["--cpu-share", "512"], "cpu", "cpu.shares", "", "512"),
        (&["--cpu-period", "50000", "--cpu-quota", "20000"], "cpu", "cpu.cfs_quota_us", "cpu.max", "20000"),
        (&["--cpuset-cpus", "0"], "cpuset", "cpuset.cpus", "cpuset.cpus", "0"),
        (&["--cpuset-mems", "0"], "cpuset", "cpuset.mems", "cpuset.mems", "0"),
        (
            &["--cpu-quota", "20000", "--cpu-burst", "1000"],
            "cpu",
            "cpu.cfs_burst_us",
            "cpu.max.burst",
            "1000",
        ),
        (&["--cpu-idle", "1"], "cpu", "cpu.idle", "cpu.idle", "1"),
    ] {
        let Some(leaf) = leaf(&stage, "c", controller) else { continue };
        let Some(file) = [v1, v2].into_iter().map(|name| leaf.join(name)).find(|file| file.is_file()) else {
            continue;
        };
        let mut all = vec!["update"];
        all.extend(args);
        all.push("c");
        call(&stage, &all).good();
        let now = fs::read_to_string(&file).expect("it is there");
        assert!(now.split_whitespace().next() == Some(wanted), "{args:?}: {} is {now}", file.display());
        seen += 1;
    }
    if seen == 0 {
        return skip("there are no controllers");
    }
    stage.runtime(["delete", "--force", "c"]).good();
}

/// One that waits to be started can be paused, is told to be, and is started after it was resumed.
#[test]
fn a_created_container_can_be_paused() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["sleep", "1000"], |_| {});
    stage.create(&bundle, "c").good();
    stage.runtime(["pause", "c"]).good();
    assert_eq!(stage.status("c"), "paused");
    assert_eq!(stage.runtime(["pause", "c"]).code, 1);
    let said = stage.runtime(["start", "c"]);
    assert!(said.code == 1 && said.err.contains("paused"), "{}", said.err);
    stage.runtime(["resume", "c"]).good();
    assert_eq!(stage.status("c"), "created");
    stage.runtime(["start", "c"]).good();
    assert_eq!(stage.status("c"), "running");
    stage.runtime(["pause", "c"]).good();
    assert_eq!(stage.status("c"), "paused");
    // A paused one is entered when that is asked for; the command runs once it is resumed.
    assert_eq!(call(&stage, &["exec", "c", "true"]).code, 255);
    let red = red_runtime(&stage.root);
    let mut exec = Command::new(red.get_program());
    exec.args(red.get_args()).args(["exec", "--ignore-paused", "c", "sh", "-c", "exit 9"]);
    let mut child =
        exec.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).spawn().expect("it starts");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().expect("it is ours").is_none(), "it did not wait");
    stage.runtime(["resume", "c"]).good();
    assert_eq!(child.wait().expect("it is ours").code(), Some(9));
    // And killed while it waits, paused.
    stage.create(&bundle, "d").good();
    stage.runtime(["pause", "d"]).good();
    stage.runtime(["delete", "--force", "d"]).good();
    stage.runtime(["kill", "c", "KILL"]).good();
    stage.wait_status("c", "stopped");
    stage.runtime(["kill", "--all", "c", "KILL"]).good();
    assert_eq!(stage.runtime(["kill", "c", "KILL"]).code, 1);
    stage.runtime(["delete", "c"]).good();
}

/// Memory that ran out is an event, before the end of the container ends them.
#[test]
fn memory_that_ran_out_is_an_event() {
    let stage = Stage::new();
    let bundle =
        stage.plain("b", &["sh", "-c", "sleep 1; python3 -c 'x = bytearray(100 << 20)'; sleep 1"], |spec| {
            spec["linux"]["resources"] = json!({"memory": {"limit": 30 << 20, "swap": 30 << 20}});
        });
    if stage.create(&bundle, "c").code != 0 {
        return skip("memory cannot be limited here");
    }
    let red = red_runtime(&stage.root);
    let mut events = Command::new("timeout");
    events.args(["60"]).arg(red.get_program()).args(red.get_args()).args(["events", "--interval", "1h", "c"]);
    let out = stage.pool.join("events");
    let mut events = events.stdout(fs::File::create(&out).expect("it is ours")).spawn().expect("it starts");
    eventually("statistics", || fs::read_to_string(&out).is_ok_and(|text| text.contains("\"stats\"")));
    stage.runtime(["start", "c"]).good();
    assert!(events.wait().expect("it is ours").success());
    let text = fs::read_to_string(&out).expect("it is there");
    assert!(text.lines().any(|line| value(line)["type"] == "oom" && value(line)["id"] == "c"), "{text}");
    stage.runtime(["delete", "--force", "c"]).good();
}

#[test]
fn the_version_has_the_lines_that_engines_read() {
    for option in ["--version", "-v", "-V"] {
        let said = run(red_runtime(Path::new("/nonexistent")).arg(option)).good();
        let lines: Vec<&str> = said.out.lines().collect();
        let wanted = ["red-runtime version ", "commit: ", "spec: 1."];
        assert_eq!(lines.len(), wanted.len(), "{}", said.out);
        assert!(lines.iter().zip(wanted).all(|(line, wanted)| line.starts_with(wanted)), "{}", said.out);
    }
}

#[test]
fn a_configuration_to_begin_with_has_a_terminal_and_fits_an_ordinary_user() {
    let stage = Stage::new();
    for (name, args) in [("plain", &["spec"][..]), ("rootless", &["spec", "--rootless"])] {
        let dir = stage.pool.mkdir(name);
        call(&stage, &[args, &["--bundle", &dir.display().to_string()]].concat()).good();
        let spec = value(&fs::read_to_string(dir.join("config.json")).expect("it was written"));
        assert_eq!(spec["process"]["terminal"], true, "{name}");
        let users =
            spec["linux"]["namespaces"].as_array().expect("a list").iter().any(|one| one["type"] == "user");
        assert_eq!(users, name == "rootless");
        assert_eq!(
            spec["linux"].get("uidMappings").is_some_and(|maps| maps[0]["size"] == 1),
            name == "rootless"
        );
        // What is there is not written over.
        assert_eq!(call(&stage, &[args, &["--bundle", &dir.display().to_string()]].concat()).code, 1);
    }
}

/// Everything that runc and crun say of themselves is said, in the form of the specification.
#[test]
fn features_have_what_the_others_report() {
    let said = run(red_runtime(Path::new("/nonexistent")).arg("features")).good().json();
    for pointer in [
        "/ociVersionMin",
        "/ociVersionMax",
        "/hooks",
        "/mountOptions",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/cgroup/v1",
        "/linux/cgroup/v2",
        "/linux/cgroup/systemd",
        "/linux/cgroup/systemdUser",
        "/linux/cgroup/rdma",
        "/linux/seccomp/enabled",
        "/linux/seccomp/actions",
        "/linux/seccomp/operators",
        "/linux/seccomp/archs",
        "/linux/seccomp/knownFlags",
        "/linux/seccomp/supportedFlags",
        "/linux/apparmor/enabled",
        "/linux/selinux/enabled",
        "/linux/intelRdt/enabled",
        "/linux/mountExtensions/idmap/enabled",
        "/annotations/bzh.redpesk.redpak.version",
        "/annotations/bzh.redpesk.redpak.commit",
        "/annotations/bzh.redpesk.redpak.checkpoint.enabled",
        "/potentiallyUnsafeConfigAnnotations",
    ] {
        assert!(said.pointer(pointer).is_some(), "{pointer} is missing");
    }
    // One that ends in a dot stands for all that begin with it: those for one container of a pod.
    let names = said["potentiallyUnsafeConfigAnnotations"].as_array().expect("it is a list");
    for name in ["redpath", "redpath.", "admin", "admin.", "strict", "strict."] {
        let name = serde_json::Value::from(format!("bzh.redpesk.redpak.{name}"));
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}
