//! `ctr run --rm` and the resident memory of shims: `io.containerd.red.v2`, and `io.containerd.runc.v2` with runc and
//! with red-runtime, in turn in one run under one containerd. `.ci/static` builds what is measured; an argument is the
//! number of rounds. It needs containerd and runc.

#![allow(clippy::print_stdout, reason = "what it measured goes to whoever asked")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use red_tests::call::{built, run};
use red_tests::containerd::{Containerd, RED, Rootfs, STOCK};
use red_tests::daemon::has_controller;
use red_tests::stage::{Stage, eventually};

/// A shim with its runtime.
struct Peer {
    name: &'static str,
    options: Vec<String>,
}

fn main() {
    let rounds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(60);
    let stage = Stage::new();
    let Some(containerd) = Containerd::new(&stage) else { return println!("containerd is not installed") };
    let peers = peers();
    for program in ["containerd", "runc"] {
        println!("{}", run(Command::new(program).arg("--version")).out.lines().next().unwrap_or_default());
    }
    let root = Rootfs::plain(&stage);
    time(&containerd, &peers, &root, rounds);
    memory(&containerd, &peers, &root);
}

fn peers() -> [Peer; 3] {
    let options = |runtime: &str, more: &[&str]| {
        ["--runtime", runtime].into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
    };
    let red = built("red-runtime").display().to_string();
    [
        Peer { name: "runc.v2 with runc", options: options(STOCK, &[]) },
        Peer { name: "runc.v2 with red-runtime", options: options(STOCK, &["--runc-binary", &red]) },
        Peer { name: "red.v2", options: options(RED, &[]) },
    ]
}

/// `ctr run` in a root, by a peer; `call` is the container ID and the command.
fn ctr(containerd: &Containerd, peer: &Peer, root: &Rootfs, more: &[&str], call: &[&str]) -> Command {
    let mut args = vec!["run", "--null-io"];
    if !has_controller("cpu") {
        args.extend(["--cpu-shares", "0"]);
    }
    args.extend(peer.options.iter().chain(&root.options).map(String::as_str));
    args.extend(more);
    args.extend(["--rootfs", &root.path]);
    args.extend(call);
    let mut command = containerd.command(&args);
    command.stdout(Stdio::null());
    command
}

/// Medians of create, start, wait and delete, as `ctr` takes for them.
fn time(containerd: &Containerd, peers: &[Peer], root: &Rootfs, rounds: usize) {
    let mut all = vec![Vec::new(); peers.len()];
    for round in 0..rounds + 3 {
        for turn in 0..peers.len() {
            // Each comes after each other one.
            let index = (turn * (1 + round % 2) + round) % peers.len();
            let mut command = ctr(containerd, &peers[index], root, &["--rm"], &["bench", "/usr/bin/true"]);
            let begin = Instant::now();
            let status = command.status().expect("ctr is installed");
            let elapsed = begin.elapsed();
            assert!(status.success(), "{}: {status}", peers[index].name);
            // The shim may go on for a moment, which is not to be the next one's.
            eventually("the shim is gone", || containerd.shim_pids().is_empty());
            if round >= 3 {
                all[index].push(elapsed);
            }
        }
    }
    println!("ctr run --rm, medians of {rounds}");
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    let base = median(&all[0]);
    for (peer, times) in peers.iter().zip(&all) {
        let own = median(times);
        println!("  {:<26} {own:7.2} ms  {:.2}", peer.name, own / base);
    }
}

/// Memory of the shims with 1, 10 and 50 containers, in one shim (a pod) and in one each.
fn memory(containerd: &Containerd, peers: &[Peer], root: &Rootfs) {
    println!("shims, kB: PSS, private dirty, threads; of many shims the mean");
    for peer in peers {
        for (count, group) in [(1, true), (10, true), (50, true), (10, false)] {
            let ids: Vec<String> = (0..count).map(|number| format!("bench-{number}")).collect();
            for id in &ids {
                let annotation = ["--annotation", "io.containerd.runc.v2.group=bench"];
                let more = if group { &annotation[..] } else { &[] };
                let more = [&["-d"], more].concat();
                let status = ctr(containerd, peer, root, &more, &[id, "/usr/bin/sleep", "1000"]).status();
                assert!(status.is_ok_and(|status| status.success()), "{}", peer.name);
            }
            std::thread::sleep(Duration::from_millis(500));
            let shims = containerd.shim_pids();
            let mean = |what: &dyn Fn(i32) -> u64| {
                shims.iter().map(|pid| what(*pid)).sum::<u64>()
                    / u64::try_from(shims.len()).expect("few").max(1)
            };
            println!(
                "  {:<26} {count:>2} containers, {:>2} shims: {:>6} {:>6} {:>3}",
                peer.name,
                shims.len(),
                mean(&|pid| field(pid, "smaps_rollup", "Pss:")),
                mean(&|pid| field(pid, "smaps_rollup", "Private_Dirty:")),
                mean(&|pid| field(pid, "status", "Threads:")),
            );
            for id in &ids {
                containerd.remove(id);
            }
            eventually("the shims are gone", || containerd.shim_pids().is_empty());
        }
    }
}

/// A number of a file of a process (proc_pid_smaps(5), proc_pid_status(5)).
fn field(pid: i32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
