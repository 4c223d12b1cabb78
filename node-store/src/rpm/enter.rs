//! Between the caller and the install view: a process that only makes the namespaces which have to
//! be there before the next one starts. It and what it starts die with their parent.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::call::TRANSACT;
use super::view::bench::Bench;

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
fn user_namespace(uid: u32, gid: u32) -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
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

fn prepare() -> Result<Option<Bench>, Box<dyn std::error::Error>> {
    die_with_parent()?;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if !uid.is_root() {
        user_namespace(uid.as_raw(), gid.as_raw())?;
    }
    let bench = Bench::open()?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    Ok(bench)
}

/// Makes the namespaces, starts the transaction in them and ends as it does.
pub(crate) fn main() -> ExitCode {
    let bench = match prepare() {
        Ok(bench) => bench,
        Err(error) => {
            super::call::say(&super::Event::Failed(format!("no namespaces for the install view: {error}")));
            return ExitCode::FAILURE;
        }
    };
    let status = Command::new("/proc/self/exe")
        .arg(TRANSACT)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .status();
    match status {
        Ok(status) if status.success() => match bench.map_or(Ok(()), Bench::close) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                super::call::say(&super::Event::Failed(format!("the staging area: {error}")));
                ExitCode::FAILURE
            }
        },
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            super::call::say(&super::Event::Failed(format!("the transaction cannot be started: {error}")));
            ExitCode::FAILURE
        }
    }
}

/// Runs a program that only looks at a node, inside a view of its family that is thrown away.
pub(crate) fn look(job: &super::Job, program: &[String]) -> std::io::Result<std::process::ExitStatus> {
    let text = serde_json::to_string(job)?;
    let mut child = Command::new("/proc/self/exe")
        .arg(super::call::ENTER)
        .env(super::call::JOB, text)
        .env(super::call::LOOK, serde_json::to_string(program)?)
        .envs(super::view::bench::variable(&job.upper))
        .spawn()?;
    child.wait()
}
