//! Start and stop of the seed's case, by ourselves and by peers, in turn in one run. Prints medians
//! and their ratio to crun. `.ci/static` builds what is measured; an argument is the number of runs.
//! `RED_BEFORE` names an earlier build of the runtime that is measured beside it, in the same run.

#![allow(clippy::print_stdout, reason = "what it measured goes to whoever asked")]

use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use red_tests::call::run;
use serde_json::Value;

mod cases;

/// A peer, and the calls that make one start and stop.
struct Peer {
    name: &'static str,
    calls: Vec<Call>,
}

/// One process.
struct Call {
    program: PathBuf,
    name: &'static str,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
}

impl Call {
    fn new(
        program: impl Into<PathBuf>,
        name: &'static str,
        args: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            program: program.into(),
            name,
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0(self.name).args(&self.args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}

fn main() {
    // crun refuses a hybrid hierarchy: everybody runs where version 2 is alone.
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() && std::env::var_os("RED_BENCH").is_none() {
        let own = std::env::current_exe().expect("a bench knows its own path");
        let unified = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
        let mut again = Command::new("unshare");
        again.args(["--mount", "--propagation", "private", "bash", "-c", unified, "bash"]).arg(own);
        let error = again.args(std::env::args_os().skip(1)).env("RED_BENCH", "1").exec();
        panic!("unshare: {error}");
    }
    let runs = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(60);
    let red = std::env::var_os("RED_RUNTIME").map(PathBuf::from).unwrap_or_else(|| {
        let own = std::env::current_exe().expect("a bench knows its own path");
        own.ancestors().nth(2).expect("it is in target/release/deps").join("red-runtime")
    });
    assert!(red.is_file(), "{} is missing: run .ci/static first", red.display());
    println!("{} bytes in {}", std::fs::metadata(&red).expect("it is there").len(), red.display());
    for mounts in [25, 100, 400, 1000] {
        measure(&red, mounts, if mounts > 100 { runs / 3 } else { runs });
    }
}

fn measure(red: &Path, mounts: usize, runs: usize) {
    let case = cases::runnable(mounts);
    // In memory, where states belong, for everybody.
    let states = PathBuf::from(format!("/dev/shm/red-bench-{}", std::process::id()));
    std::fs::create_dir_all(&states).expect("there is room");
    let peers = peers(red, &case, &states);
    let mut all: Vec<Vec<Duration>> = vec![Vec::new(); peers.len()];
    let mut peak = vec![0; peers.len()];
    let mut order: Vec<usize> = (0..peers.len()).collect();
    for round in 0..runs + 3 {
        // What one leaves the kernel to tidy up is paid by the next, which is not to be always the same.
        shuffle(&mut order, round);
        for &index in &order {
            let peer = &peers[index];
            let begin = Instant::now();
            for call in &peer.calls {
                let mut child = call.command().spawn().expect("it starts");
                let status = child.wait().expect("it ends");
                assert!(status.success(), "{}: {status}", peer.name);
            }
            // The first few warm the caches.
            if round >= 3 {
                all[index].push(begin.elapsed());
            }
        }
    }
    for (index, peer) in peers.iter().enumerate() {
        peak[index] = peer.calls.iter().map(|call| memory(call, &states)).max().unwrap_or(0);
    }
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    let base = peers.iter().position(|peer| peer.name == "crun").map(|crun| median(&all[crun]));
    let mut text = format!("{mounts} mounts, medians of {runs}\n");
    for (index, peer) in peers.iter().enumerate() {
        let own = median(&all[index]);
        let ratio = base.map_or(String::new(), |base| format!("{:.2} x crun", own / base));
        let _never = writeln!(text, "  {:<38} {own:7.2} ms  {ratio:<12} peak {} kB", peer.name, peak[index]);
    }
    println!("{text}");
    drop(std::fs::remove_dir_all(&states));
}

/// Another order for every round, the same in every run (Knuth's multiplier for a linear generator).
fn shuffle(order: &mut [usize], round: usize) {
    let mut state = round as u64 + 1;
    for last in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
}

/// Peak resident memory of a call in kB, as wait4(2) counts it. A small program asks: what a child
/// is before it becomes the call counts too.
fn memory(call: &Call, states: &Path) -> u64 {
    let (source, program) = (states.join("peak.c"), states.join("peak"));
    if !program.exists() {
        let text = "#include <fcntl.h>\n#include <stdio.h>\n#include <sys/resource.h>\n#include <sys/wait.h>\n#include <unistd.h>\n\
            int main(int c, char **v) { pid_t p = vfork(); if (!p) { int n = open(\"/dev/null\", O_RDWR); dup2(n, 0); dup2(n, 1); dup2(n, 2); execv(v[1], v + 2); _exit(127); }\n\
            struct rusage u; wait4(p, 0, 0, &u); printf(\"%ld\\n\", u.ru_maxrss); }\n";
        std::fs::write(&source, text).expect("there is room");
        run(Command::new("cc").args(["-O1", "-static", "-o"]).arg(&program).arg(&source)).good();
    }
    let mut command = Command::new(&program);
    command.arg(&call.program).arg(call.name).args(&call.args);
    command.envs(call.env.iter().map(|(key, value)| (key, value)));
    run(&mut command).out.trim().parse().unwrap_or(0)
}

fn peers(red: &Path, case: &cases::Case, states: &Path) -> Vec<Peer> {
    let node = format!("--redpath={}", case.redpath().display());
    let main = format!("--rmain={}", case.main().display());
    let state = states.join("red").display().to_string();
    let bundle = case.join("bundle");
    let written = Command::new(red)
        .arg0("red-conf")
        .args(["bundle", &main])
        .arg(case.redpath())
        .arg(&bundle)
        .args(["--", "cat"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("it starts");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let bundle = bundle.display().to_string();
    let before = std::env::var_os("RED_BEFORE").map(PathBuf::from);
    let mut peers: Vec<Peer> = before
        .iter()
        .map(|before| Peer {
            name: "red-wrap, before",
            calls: vec![Call::new(before, "red-wrap", ["--root", &state, &main, &node, "--", "cat"])],
        })
        .collect();
    peers.extend(before.iter().map(|before| Peer {
        name: "red-runtime create…, before",
        calls: engine_calls(before, &state, &bundle),
    }));
    peers.extend([
        Peer {
            name: "red-wrap",
            calls: vec![Call::new(red, "red-wrap", ["--root", &state, &main, &node, "--", "cat"])],
        },
        Peer {
            name: "red-runtime run --redpath",
            calls: vec![Call::new(red, "red-runtime", ["--root", &state, "run", &main, &node, "--", "cat"])],
        },
        Peer { name: "red-runtime create, start, delete", calls: engine_calls(red, &state, &bundle) },
    ]);
    if Path::new("/usr/bin/bwrap").exists() {
        peers.push(Peer {
            name: "bwrap",
            calls: vec![Call::new("/usr/bin/bwrap", "bwrap", bubblewrap(&bundle))],
        });
    }
    let crun_state = states.join("crun").display().to_string();
    if Path::new("/usr/bin/crun").exists() {
        let call = |args: &[&str]| {
            let mut all = vec!["--root", &crun_state, "--cgroup-manager=disabled"];
            all.extend(args);
            let mut call = Call::new("/usr/bin/crun", "crun", all);
            call.env.extend(preload(states).map(|library| ("LD_PRELOAD", library)));
            call
        };
        peers.push(Peer { name: "crun", calls: vec![call(&["run", "--bundle", &bundle, "c"])] });
        let three = vec![
            call(&["create", "--bundle", &bundle, "d"]),
            call(&["start", "d"]),
            call(&["delete", "--force", "d"]),
        ];
        peers.push(Peer { name: "crun create, start, delete", calls: three });
    }
    if Path::new("/usr/sbin/runc").exists() {
        let state = states.join("runc").display().to_string();
        let call = Call::new("/usr/sbin/runc", "runc", ["--root", &state, "run", "--bundle", &bundle, "r"]);
        // It cannot in every hierarchy.
        if call.command().stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            peers.push(Peer { name: "runc", calls: vec![call] });
        }
    }
    peers
}

/// The three calls of an engine.
fn engine_calls(red: &Path, state: &str, bundle: &str) -> Vec<Call> {
    let call = |args: &[&str]| {
        Call::new(red, "red-runtime", ["--root", state].into_iter().chain(args.iter().copied()))
    };
    vec![call(&["create", "--bundle", bundle, "b"]), call(&["start", "b"]), call(&["delete", "--force", "b"])]
}

/// crun 1.8 asks for a limit that it does not need; see the conformance kit.
fn preload(states: &Path) -> Option<String> {
    let (source, library) = (states.join("memlock.c"), states.join("memlock.so"));
    if !library.exists() {
        let text = "#define _GNU_SOURCE\n#include <sys/resource.h>\n#include <sys/syscall.h>\n#include <unistd.h>\nint setrlimit(__rlimit_resource_t r, const struct rlimit *l) { return r == RLIMIT_MEMLOCK ? 0 : syscall(SYS_prlimit64, 0, r, l, 0); }\n";
        std::fs::write(&source, text).ok()?;
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().ok()?;
        built.success().then_some(())?;
    }
    Some(library.display().to_string())
}

/// The same mounts, namespaces and environment as arguments of bubblewrap.
fn bubblewrap(bundle: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(bundle).join("config.json")).expect("it was written");
    let spec: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut args: Vec<String> = [
        "--unshare-all",
        "--share-net",
        "--die-with-parent",
        "--hostname",
        "app",
        "--uid",
        "0",
        "--gid",
        "0",
        "--clearenv",
    ]
    .map(str::to_owned)
    .to_vec();
    for entry in spec["process"]["env"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        args.extend(["--setenv", key, value].map(str::to_owned));
    }
    for mount in spec["mounts"].as_array().into_iter().flatten() {
        let word = |key: &str| mount[key].as_str().unwrap_or_default().to_owned();
        let (destination, source) = (word("destination"), word("source"));
        let read_only = mount["options"].as_array().is_some_and(|all| all.iter().any(|one| one == "ro"));
        match word("type").as_str() {
            "bind" => {
                args.extend([if read_only { "--ro-bind" } else { "--bind" }.to_owned(), source, destination])
            }
            "proc" => args.extend(["--proc".to_owned(), destination]),
            "tmpfs" if destination == "/dev" => args.extend(["--dev".to_owned(), destination]),
            "tmpfs" if destination != "/dev/shm" => args.extend(["--tmpfs".to_owned(), destination]),
            _ => {}
        }
    }
    for (target, link) in [("usr/lib64", "/lib64"), ("usr/lib", "/lib"), ("/nodes/_private", "/home/app")] {
        args.extend(["--symlink", target, link].map(str::to_owned));
    }
    args.extend(["--", "/usr/bin/cat"].map(str::to_owned));
    args
}
