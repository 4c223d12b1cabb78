//! Between the caller and the install view: a process that makes the namespaces which have to be there
//! before the next one starts, and stays outside of them. It holds the node's locks until everything
//! inside has ended, watches the clock, and looks at what came of it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::bounds::{Bounds, Crowd};
use super::call::{NO_VIEW, TRANSACT, say};
use super::job::Message;
use super::view::Scaffold;
use super::view::bench::{BENCH, Bench};
use super::watchdog::{SECONDS, Watchdog};
use super::{Done, Event, Job};
use crate::generation::DIRECTORY;

/// Bytes of one line from inside. A list of all files of a large node is some 30 MB.
const LINE: usize = 256 << 20;
/// How often the clock and the processes are looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long the process inside may take to end once its last message has come.
const END: Duration = Duration::from_secs(10);

/// Dies with the parent (pr_set_pdeathsig(2)), also when it is gone already.
pub(super) fn die_with_parent() -> std::io::Result<()> {
    let parent = rustix::process::getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if parent.is_none() || rustix::process::getppid() == parent {
        return Ok(());
    }
    Err(std::io::Error::other("the process that asked is gone"))
}

/// An ordinary user becomes root of a user namespace of its own: one id, mapped to 0.
fn map_ids(uid: u32, gid: u32) -> std::io::Result<()> {
    let write = |name: &str, text: String| {
        std::fs::OpenOptions::new()
            .write(true)
            .open(Path::new("/proc/self").join(name))
            .and_then(|mut file| file.write_all(text.as_bytes()))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// Makes the namespaces, the program to run in them, and a staging area in memory where one is needed.
fn prepare() -> Result<(OwnedFd, Option<Bench>), Box<dyn std::error::Error>> {
    // Nothing of the caller's goes on to the next process, the locks least of all.
    red_runtime::confine::close_on_exec()?;
    // No terminal, and no signal that is meant for the caller: its end is seen otherwise.
    rustix::process::setsid()?;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() {
        unshare(CloneFlags::CLONE_NEWNS)?;
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        map_ids(uid.as_raw(), gid.as_raw())?;
    }
    let bench = Bench::open()?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    Ok((red_runtime::confine::own_program()?, bench))
}

/// The process inside. It runs from a file that nobody can write to.
fn inside(program: &OwnedFd) -> Command {
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg(TRANSACT).env_remove(BENCH);
    command
}

/// Makes the namespaces, has the transaction done in them and ends as it does.
pub(crate) fn main() -> ExitCode {
    if std::env::var_os(super::call::LOOK).is_some() {
        return look_inside();
    }
    match transact() {
        Ok(done) => {
            say(&Event::Done(done));
            ExitCode::SUCCESS
        }
        Err(message) => {
            say(&Event::Failed(message));
            ExitCode::FAILURE
        }
    }
}

fn transact() -> Result<Done, String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    let job: Job = serde_json::from_str(&text).map_err(|error| format!("no job: {error}"))?;
    let (program, bench) =
        prepare().map_err(|error| format!("no namespaces for the install view: {error}"))?;
    // In memory, it is another directory from here on.
    let upper = rustix::fs::open(&job.upper, DIRECTORY, Mode::empty())
        .map_err(|errno| format!("{}: {}", job.upper.display(), std::io::Error::from(errno)))?;
    let started = |error: std::io::Error| format!("the transaction cannot be started: {error}");
    let (ours, theirs) = UnixStream::pair().map_err(started)?;
    let mut child = inside(&program)
        .stdin(Stdio::piped())
        .stdout(OwnedFd::from(theirs))
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(started)?;
    let bounds = Bounds::new(job.limits, upper.try_clone().map_err(started)?, &job.upper);
    // It waits for the job.
    bounds.hold(&child);
    if let Some(mut stdin) = child.stdin.take() {
        // If it could not be written, the process has ended and says why.
        drop(stdin.write_all(text.as_bytes()));
    }
    let packages = job.install.len() + job.erase.len();
    let mut report = Report::default();
    let mut watchdog = Watchdog::new(job.limits.seconds, packages, Instant::now());
    let heard = listen(&child, ours, (&mut watchdog, &bounds), &mut report);
    let ended = end(&mut child, heard.is_err());
    heard?;
    if let Some(why) = bounds.exceeded(Crowd::default(), watchdog.who()) {
        return Err(why);
    }
    let done = report.done(ended, &upper, &job.upper)?;
    // Nothing listens any more: when the one who asked is gone, nobody wants it.
    die_with_parent().map_err(|error| error.to_string())?;
    bench.map_or(Ok(()), Bench::close).map_err(|error| format!("the staging area: {error}"))?;
    Ok(done)
}

/// What was said by the process inside.
#[derive(Default)]
struct Report {
    scaffold: Option<Scaffold>,
    packages: Option<Vec<super::Planned>>,
    left: Option<(Vec<OsString>, Vec<OsString>)>,
    failed: Option<String>,
}

impl Report {
    fn hear(&mut self, message: Message) {
        match message {
            Message::Event(Event::Failed(message)) => self.failed = Some(message),
            // Only this process knows that.
            Message::Event(Event::Done(_)) | Message::Begins { .. } | Message::Ends | Message::Alive => {}
            Message::Event(event) => say(&event),
            // It is told before anything of a package runs; a second one is a scriptlet's.
            Message::Scaffold(scaffold) => drop(self.scaffold.get_or_insert(scaffold)),
            // The same.
            Message::Packages(packages) => drop(self.packages.get_or_insert(packages)),
            Message::Left { gone, emptied } => self.left = Some((gone, emptied)),
        }
    }

    /// Everything inside has ended: what is in the staging area now stays as it is.
    fn done(self, ended: std::io::Result<bool>, upper: &OwnedFd, shown: &Path) -> Result<Done, String> {
        if let Some(message) = self.failed {
            return Err(message);
        }
        let ended = ended.map_err(|error| error.to_string())?;
        let Some((gone, emptied)) = self.left.filter(|_| ended) else {
            return Err("rpm ended unexpectedly; nothing has changed".into());
        };
        let scaffold = self.scaffold.unwrap_or_default();
        crate::generation::unforge(upper, shown, &scaffold.overlays, super::view::in_user_namespace())
            .map_err(|error| error.to_string())?;
        let spare = scaffold.remove(upper, shown).map_err(|error| format!("the staging area: {error}"))?;
        // Of the names that could have gone without a mark, and of no others.
        let gone = gone.into_iter().filter(|name| scaffold.own.contains(Path::new(name))).collect();
        let emptied = emptied.into_iter().filter(|name| scaffold.own.contains(Path::new(name))).collect();
        let names = |paths: &[PathBuf]| paths.iter().cloned().map(OsString::from).collect();
        let (points, made) = (names(&scaffold.points), names(&scaffold.dirs));
        let packages = self.packages.unwrap_or_default();
        Ok(Done { packages, gone, emptied, spare, points, made })
    }
}

/// Listens until the process inside has closed its end, or has to be stopped.
fn listen(
    child: &Child,
    mut link: UnixStream,
    (watchdog, bounds): (&mut Watchdog, &Bounds),
    report: &mut Report,
) -> Result<(), String> {
    let mut line = Vec::new();
    let mut bytes = vec![0; 64 << 10];
    let mut counted = Instant::now();
    loop {
        let stdout = std::io::stdout();
        let mut fds = [PollFd::new(&link, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut fds, Some(&tick())) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(std::io::Error::from(errno).to_string()),
        }
        let (readable, gone) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if gone {
            return Err("the process that asked is gone".into());
        }
        if readable {
            let count = link.read(&mut bytes).map_err(|error| error.to_string())?;
            if count == 0 {
                return Ok(());
            }
            feed(&mut line, &bytes[..count], &mut |message| {
                watchdog.hear(&message, Instant::now());
                report.hear(message);
            })?;
        }
        if let Some(why) = watchdog.overdue(Instant::now()) {
            return Err(why);
        }
        if counted.elapsed() >= TICK {
            counted = Instant::now();
            let crowd = bounds.crowd(child);
            let bound = watchdog.too_many(crowd.processes);
            if let Some(why) = bound.or_else(|| bounds.exceeded(crowd, watchdog.who())) {
                return Err(why);
            }
        }
    }
}

/// Takes bytes in, and hands each line on that is complete.
fn feed(line: &mut Vec<u8>, bytes: &[u8], hear: &mut dyn FnMut(Message)) -> Result<(), String> {
    let mut parts = bytes.split(|&byte| byte == b'\n').peekable();
    while let Some(part) = parts.next() {
        if line.len() + part.len() > LINE {
            return Err("rpm: message longer than 256 MiB, killed; nothing has changed".into());
        }
        line.extend_from_slice(part);
        if parts.peek().is_some() {
            // What is no message of ours comes from a scriptlet that got hold of the socket.
            if let Ok(message) = serde_json::from_slice(line) {
                hear(message);
            }
            line.clear();
        }
    }
    Ok(())
}

/// Waits until the process inside has ended, and with it every process of its pid namespace: the kernel
/// lets nobody see the end of the first before that of the others (pid_namespaces(7)). Whether it ended
/// well.
fn end(child: &mut Child, now: bool) -> std::io::Result<bool> {
    let begun = Instant::now();
    while !now && begun.elapsed() < END {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait().map(|_status| false)
}

/// Runs a program that only looks at a node, inside a view of its family that is thrown away.
pub(crate) fn look(job: &Job, program: &[String]) -> std::io::Result<std::process::ExitStatus> {
    let text = serde_json::to_string(job)?;
    let mut child = Command::new("/proc/self/exe")
        .arg(super::call::ENTER)
        .env(super::call::JOB, text)
        .env(super::call::LOOK, serde_json::to_string(program)?)
        .envs(super::view::bench::variable(&job.upper))
        .spawn()?;
    child.wait()
}

/// The same from between. The program's streams are pipes: those of the caller lead to its terminal, or
/// to whatever it has open.
fn look_inside() -> ExitCode {
    let prepared = die_with_parent().map_err(Into::into).and_then(|()| prepare());
    let (program, _bench) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{NO_VIEW}{error}"));
            return ExitCode::FAILURE;
        }
    };
    let looked = (|| {
        let mut command = inside(&program);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let passed = pass(&mut child);
        if passed.is_err() {
            child.kill()?;
        }
        let status = child.wait();
        passed.and(status)
    })();
    match looked {
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            code.map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{NO_VIEW}{error}"));
            ExitCode::FAILURE
        }
    }
}

/// Passes on what a program prints until it has ended. This process may have no threads: its next child
/// is of another pid namespace (pid_namespaces(7)).
fn pass(child: &mut Child) -> std::io::Result<()> {
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else { return Ok(()) };
    // The whole of a large node is read, and a %verifyscript of a package may not end.
    let end = Instant::now() + Duration::from_secs(SECONDS * 10);
    let mut bytes = vec![0; 64 << 10];
    let mut open = [true, true];
    while open.contains(&true) {
        // One that is closed would be ready for ever: the other takes its place.
        let (first, second) = match open {
            [true, true] => (out.as_fd(), err.as_fd()),
            [true, false] => (out.as_fd(), out.as_fd()),
            _ => (err.as_fd(), err.as_fd()),
        };
        let mut fds =
            [PollFd::from_borrowed_fd(first, PollFlags::IN), PollFd::from_borrowed_fd(second, PollFlags::IN)];
        match poll(&mut fds, Some(&tick())) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = [0, 1].map(|at| open[at] && !fds[at].revents().is_empty());
        if ready[0] {
            let count = out.read(&mut bytes)?;
            open[0] = count > 0;
            std::io::stdout().lock().write_all(&bytes[..count])?;
            std::io::stdout().lock().flush()?;
        }
        if ready[1] {
            let count = err.read(&mut bytes)?;
            open[1] = count > 0;
            std::io::stderr().lock().write_all(&bytes[..count])?;
        }
        if Instant::now() > end {
            return Err(std::io::Error::other("rpm: timed out, killed"));
        }
        if Crowd::of(child).processes > super::watchdog::PROCESSES {
            return Err(std::io::Error::other("rpm: too many processes, killed"));
        }
        // Whoever still has the pipes is of the same pid namespace, and ends with it.
        if open.contains(&true) && !ready.contains(&true) && child.try_wait()?.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn tick() -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_the_view_put_into_the_stage_is_told_once() {
        let scaffold = |name: &str| Scaffold { dirs: vec![name.into()], ..Scaffold::default() };
        let mut report = Report::default();
        report.hear(Message::Scaffold(scaffold("first")));
        report.hear(Message::Scaffold(scaffold("forged")));
        assert_eq!(report.scaffold.unwrap().dirs, [PathBuf::from("first")]);
    }

    #[test]
    fn what_was_verified_is_told_once_and_owned_by_nobodys_word() {
        let packages = |nevra: &str| {
            format!("{{\"packages\":[{{\"nevra\":\"{nevra}\",\"identity\":\"00\",\"signatures\":{{}}}}]}}")
        };
        let left = "{\"left\":{\"gone\":[],\"owned\":[\"/etc/evil\"]}}".to_owned();
        let mut report = Report::default();
        for line in [packages("first"), packages("forged"), left] {
            let line = format!("{line}\n");
            feed(&mut Vec::new(), line.as_bytes(), &mut |message| report.hear(message)).unwrap();
        }
        let told: Vec<String> = report.packages.unwrap().into_iter().map(|package| package.nevra).collect();
        assert_eq!(told, ["first"]);
        assert_eq!(report.left.unwrap(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn lines_come_in_pieces_and_strange_ones_are_nobodys() {
        let (mut line, mut messages) = (Vec::new(), 0);
        for bytes in ["\"ali", "ve\"\n\"en", "ds\"\n{\"rm\": \"-rf\"}\n\n\"alive\"\n\"al"] {
            feed(&mut line, bytes.as_bytes(), &mut |_message| messages += 1).unwrap();
        }
        assert_eq!((messages, line.as_slice()), (3, b"\"al".as_slice()));
    }
}
