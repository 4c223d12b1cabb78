//! Cycles of create, start, kill and delete, in the middle of which something is killed.

use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use red_tests::containerd::{Containerd, Rootfs};
use red_tests::daemon::{kill, runtime_pids};

use crate::{assert_no_leftovers, setup};

/// Cycles in CI, and with `RED_SOAK=full`.
fn cycles() -> u64 {
    if std::env::var_os("RED_SOAK").is_some_and(|value| value == "full") { 1000 } else { 30 }
}

/// What is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Victim {
    Shim,
    Runtime,
    Daemon,
    ShimAndDaemon,
    Nothing,
}

/// A generator of numbers that is the same in every run with the same seed (xorshift64).
struct Random(u64);

impl Random {
    /// A number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn victim(&mut self) -> Victim {
        match self.below(10) {
            0..=3 => Victim::Shim,
            4..=6 => Victim::Runtime,
            7 => Victim::Daemon,
            8 => Victim::ShimAndDaemon,
            _ => Victim::Nothing,
        }
    }
}

/// A client that is given up after a while.
fn bounded(command: &Command) -> Command {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=5", "20"]).arg(command.get_program()).args(command.get_args());
    bounded.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    bounded
}

/// Runs the clients of a container's life one after the other; each may fail. Returns whether none was given up.
fn live(steps: Vec<Command>) -> bool {
    steps.into_iter().all(|mut step| step.status().expect("timeout(1) is installed").code() != Some(124))
}

#[test]
fn whatever_is_killed_nothing_is_left() {
    let Some((stage, mut containerd)) = setup() else { return };
    let seed = std::env::var("RED_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1 << 40);
    let mut random = Random(seed);
    let roots = Rootfs::both(&stage);
    // How long a cycle takes when nothing is killed: the moments are anywhere within it.
    let begin = Instant::now();
    assert!(live(steps(&containerd, &roots[0], "chaos-first")));
    let usual = u64::try_from(begin.elapsed().as_micros()).expect("below ages");
    let (mut killed, mut stale) = ([0_u32; 5], 0);
    for cycle in 0..cycles() {
        let (victim, root) = (random.victim(), &roots[usize::try_from(cycle % 2).expect("small")]);
        let id = format!("chaos-{cycle}");
        let moment = Duration::from_micros(random.below(usual));
        let what = format!("seed {seed}, cycle {cycle}: {victim:?} killed after {moment:?}");
        let life = steps(&containerd, root, &id);
        let life = std::thread::spawn(move || live(life));
        std::thread::sleep(moment);
        let pids = match victim {
            Victim::Shim | Victim::ShimAndDaemon => containerd.shim_pids(),
            Victim::Runtime => runtime_pids(containerd.dir()),
            Victim::Daemon | Victim::Nothing => Vec::new(),
        };
        let daemon = matches!(victim, Victim::Daemon | Victim::ShimAndDaemon);
        if daemon {
            containerd.kill_daemon();
        }
        killed[victim as usize] += u32::from(daemon || !pids.is_empty());
        pids.into_iter().for_each(kill);
        if daemon {
            containerd.start_daemon();
        }
        let ended = life.join().expect("no panic");
        // `ctr task exec -d` waits for the process's output where containerd dies before it has answered
        // (containerd, process.go, `Start`).
        assert!(ended || daemon, "{what}: a client hangs\n{}", containerd.log());
        // Whoever operates it tidies up, and is obeyed in the end.
        let end = Instant::now() + red_tests::patience(30);
        loop {
            containerd.remove(&id);
            if containerd.ctr(&["task", "list", "-q"]).out.is_empty()
                && containerd.ctr(&["container", "list", "-q"]).out.is_empty()
            {
                break;
            }
            assert!(
                Instant::now() < end,
                "{what}: {}{}\n{}",
                containerd.ctr(&["task", "list"]).out,
                containerd.ctr(&["container", "list"]).out,
                containerd.log()
            );
        }
        // A shim whose `start` command or daemon was killed before `Create` waits half a minute for it.
        let end = Instant::now() + red_tests::patience(60);
        while !containerd.shim_pids().is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        // Of a shim that is killed before containerd has its address nobody removes the socket, but the next shim of the
        // same container (binary.go, `Start`: nothing is deleted then).
        let socket = containerd.shim_socket(&id);
        if matches!(victim, Victim::Shim | Victim::ShimAndDaemon) && UnixStream::connect(&socket).is_err() {
            stale += u32::from(std::fs::remove_file(socket).is_ok());
        }
        let mut leftovers = containerd.leftovers();
        if daemon {
            // containerd renames a bundle to `.ID` before it removes it, and does not go on with that when it is
            // started again (bundle.go, `Delete`; shim_load.go skips hidden directories).
            // Alone: nothing is mounted below it then.
            if let [path] = &leftovers[..]
                && path.ends_with(&format!("/.{id}"))
                && std::fs::remove_dir_all(path).is_ok()
            {
                leftovers.clear();
            }
        }
        assert_eq!(leftovers, Vec::<String>::new(), "{what}\n{}", containerd.log());
    }
    red_tests::remark(&format!(
        "seed {seed}: {} shims, {} runtimes, {} daemons and {} pairs killed, {stale} stale sockets",
        killed[0], killed[1], killed[2], killed[3]
    ));
    assert!(u64::from(stale) * 4 <= cycles(), "{stale} stale sockets");
    assert!(killed.iter().sum::<u32>() > 0, "nothing was killed");
    assert_no_leftovers(&containerd);
}

/// The clients of a container's life.
fn steps(containerd: &Containerd, root: &Rootfs, id: &str) -> Vec<Command> {
    let shell = ["/usr/bin/sh", "-c", "sleep 1000 & sleep 1000"];
    let all = [
        containerd.run_command(&["-d", "--null-io"], root, id, &shell),
        containerd.command(&["task", "exec", "-d", "--exec-id", "x", id, "/usr/bin/sleep", "1000"]),
        containerd.command(&["task", "kill", "--all", "--signal", "KILL", id]),
        containerd.command(&["task", "delete", "--force", id]),
        containerd.command(&["container", "delete", id]),
    ];
    all.iter().map(bounded).collect()
}
