//! Output that somebody reads slowly, and log files.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::ttrpc::Code;
use red_tests::broom::Tmpfs;
use red_tests::call::run;
use red_tests::stage::{Stage, eventually};

use crate::client::Shim;

fn fifo(stage: &Stage, name: &str) -> PathBuf {
    let path = stage.pool.join(name);
    assert_eq!(run(Command::new("mkfifo").arg(&path)).code, 0);
    path
}

/// Mounts of a bundle whose process has a terminal.
fn add_devpts(spec: &mut serde_json::Value) {
    let mounts = spec["mounts"].as_array_mut().expect("mounts");
    let options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    mounts.push(serde_json::json!(
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options}
    ));
    spec["process"]["terminal"] = true.into();
}

/// Reads to EOF, slowly until `is_fast`.
fn read_slowly(mut from: fs::File, is_fast: &AtomicBool) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 100]);
    loop {
        let count = from.read(&mut buffer).expect("read");
        all.extend_from_slice(&buffer[..count]);
        if count == 0 {
            return all;
        }
        if !is_fast.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_slow_reader_does_not_hold_up_delete_and_gets_all() {
    let numbers: String = (1..=13_000).map(|number| format!("{number}\n")).collect();
    for terminal in [false, true] {
        let stage = Stage::new();
        let id = if terminal { "slow-t" } else { "slow-f" };
        // A terminal may lose output of a process whose shell does not wait for it: nothing is left to write here.
        let script = "stty -onlcr 2>/dev/null; seq 13000";
        let bundle = stage.plain("b", &["/usr/bin/sh", "-c", script], |spec| {
            if terminal {
                add_devpts(spec);
            }
        });
        let shim = Shim::start(&stage, &bundle, id);
        let path = fifo(&stage, "out");
        let stdout = path.display().to_string();
        let create = api::CreateTaskRequest { stdout, terminal, ..shim.create(id, &bundle) };
        let is_fast = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read_slowly(fs::File::open(&path).expect("FIFO"), &is_fast));
            // Whatever happens, the reader ends.
            let limit = scope.spawn(|| {
                let end = Instant::now() + red_tests::patience(20);
                while Instant::now() < end && !is_fast.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                is_fast.swap(true, Ordering::Relaxed)
            });
            shim.run(&create);
            assert_eq!(shim.wait(id, ""), Ok(0));
            shim.delete(id, "").expect("stopped");
            let was_fast = is_fast.swap(true, Ordering::Relaxed);
            shim.good("Shutdown", &api::ShutdownRequest::default());
            let all = reader.join().expect("no panic");
            assert!(limit.join().is_ok() && !was_fast, "Delete has waited for the reader");
            assert_eq!(String::from_utf8_lossy(&all), numbers, "terminal: {terminal}");
        });
        eventually("the shim exits", || !Path::new(&format!("/proc/{}", shim.pid)).exists());
    }
}

#[test]
fn a_container_has_no_descriptor_of_its_log_file() {
    for terminal in [false, true] {
        let stage = Stage::new();
        let id = if terminal { "log-t" } else { "log-f" };
        let script = "stty -onlcr 2>/dev/null; echo out; echo err >&2; : >/proc/self/fd/1; \
                      while [ ! -e /tmp/go ]; do sleep 0.05; done; seq 20000; exit 3";
        let bundle = stage.plain("b", &["/usr/bin/sh", "-c", script], |spec| {
            if terminal {
                add_devpts(spec);
            }
        });
        fs::create_dir(bundle.join("rootfs/tmp")).expect("test directory is writable");
        let log = stage.pool.write("log", "of others\n");
        let shim = Shim::start(&stage, &bundle, id);
        let stdout = format!("file://{}", log.display());
        let stderr = if terminal { String::new() } else { stdout.clone() };
        let pid = shim.run(&api::CreateTaskRequest { stdout, stderr, terminal, ..shim.create(id, &bundle) });
        let logged = || fs::read_to_string(&log).expect("exists");
        eventually("the first lines are logged", || logged().contains("err\n"));
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("running").flatten();
        for target in fds.filter_map(|fd| fs::read_link(fd.path()).ok()) {
            assert_ne!(target, log, "terminal: {terminal}");
        }
        fs::write(format!("/proc/{pid}/root/tmp/go"), "").expect("exists");
        assert_eq!(shim.wait(id, ""), Ok(3));
        shim.delete(id, "").expect("stopped");
        let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
        let text = logged();
        assert!(text.starts_with("of others\n") && text.ends_with(&numbers), "{}", &text[..40]);
        let mut lines: Vec<&str> = text.lines().skip(1).take(2).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["err", "out"]);
    }
}

#[test]
fn log_files_are_regular_files() {
    let stage = Stage::new();
    let (bundle, id) = (stage.plain("b", &["/usr/bin/true"], |_| {}), "log-r");
    let shim = Shim::start(&stage, &bundle, id);
    let target = stage.pool.write("target", "old\n");
    symlink(&target, stage.pool.join("link")).expect("test directory is writable");
    fifo(&stage, "fifo");
    stage.pool.mkdir("dir");
    for name in ["link", "fifo", "dir"] {
        let stdout = format!("file://{}", stage.pool.join(name).display());
        let (code, message) =
            shim.wrong("Create", &api::CreateTaskRequest { stdout, ..shim.create(id, &bundle) });
        assert_eq!(code, Code::INVALID_ARGUMENT, "{message}");
        assert!(message.ends_with(&format!("/{name}: not a regular file")), "{message}");
    }
    assert_eq!(fs::read_to_string(target).expect("exists"), "old\n");
}

/// Writers that are always ahead of a copy that never waits: the log's disk is full, and output is discarded.
#[test]
fn a_flood_of_output_does_not_hold_up_the_shim() {
    let stage = Stage::new();
    let id = "flood";
    let script = "cat /dev/zero & cat /dev/zero & cat /dev/zero";
    let bundle = stage.plain("b", &["/usr/bin/sh", "-c", script], |_| {});
    let disk = stage.pool.mkdir("small");
    let _disk = Tmpfs::sized(&disk, 64 << 10);
    let log = disk.join("log");
    let shim = Shim::start(&stage, &bundle, id);
    let stdout = format!("file://{}", log.display());
    shim.run(&api::CreateTaskRequest { stdout, ..shim.create(id, &bundle) });
    eventually("the disk is full", || fs::metadata(&log).is_ok_and(|about| about.len() >= 48 << 10));
    for _ in 0..20 {
        let begin = Instant::now();
        shim.status(id).expect("exists");
        assert!(begin.elapsed() < Duration::from_secs(5), "State takes {:?}", begin.elapsed());
    }
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
}
