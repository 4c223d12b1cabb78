//! One command, from its start to its end or its last moment.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::host;
use crate::node::limits;
use crate::node::place;
use crate::sys::confined::{self, STEPS};

/// Why a command gave no output. The words end a sentence that begins with the command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no shell to run it.
    #[error("needs bash, which is neither at /bin/bash nor at /usr/bin/bash")]
    NoShell,
    /// A NUL byte in it.
    #[error("contains a NUL byte")]
    ZeroByte,
    /// Its sandbox could not be made. There is no other way to run it.
    #[error("could not be started in its sandbox: {step}: {reason}")]
    Sandbox {
        /// Which step of the confinement failed.
        step: &'static str,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("took longer than {} ms and was killed", limits::COMMAND_MILLIS)]
    TimedOut,
    /// It printed too much.
    #[error("printed more than {} bytes and was killed", limits::COMMAND_OUTPUT)]
    TooMuch,
    /// It said that it failed.
    #[error("ended with status {status}{complaint}")]
    Status {
        /// Exit status, or 128 + signal.
        status: i32,
        /// What it said about it, with a colon before it.
        complaint: String,
        /// What it had printed.
        output: Vec<u8>,
    },
    /// The kernel refused something on the way.
    #[error("could not be watched: {0}")]
    Watch(#[from] Errno),
}

/// Bytes of complaints that are kept.
const COMPLAINT: usize = 2 << 10;

/// What to look at where namespaces are not allowed: how this is switched off differs between systems.
const NAMESPACES: &str = "; commands of nodes run in a user namespace only, which a chroot, a seccomp filter or one of \
    the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and \
    kernel.apparmor_restrict_unprivileged_userns may forbid";

impl From<confined::Refused> for CommandError {
    fn from(refused: confined::Refused) -> Self {
        let hint = match refused.errno {
            Errno::PERM | Errno::NOSPC | Errno::USERS if refused.step == confined::NAMESPACES => NAMESPACES,
            _ => "",
        };
        Self::Sandbox { step: refused.step, reason: format!("{}{hint}", place::plain(refused.errno)) }
    }
}

/// Runs a command in the box and waits for its end.
pub(super) fn run(restricted: bool, command: &str) -> Result<Vec<u8>, CommandError> {
    let (program, args) = shell(restricted, command)?;
    let outside = host::nobody()
        .map_err(|reason| CommandError::Sandbox { step: "user nobody", reason: reason.to_owned() })?;
    let command = confined::Command { program, args, outside, tops: host::tops() };
    let child = confined::spawn(&command)?;
    let deadline = Instant::now() + Duration::from_millis(limits::COMMAND_MILLIS);
    let watched = watch(&child, deadline);
    if watched.is_err() {
        // Its first process is the init of its namespace: with it goes everything it started.
        // It may have ended by itself meanwhile, which is as good.
        match pidfd_send_signal(&child.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let status = reap(&child.pidfd)?;
    let (output, complaint) = watched?;
    if let Some(trouble) = trouble(child.trouble) {
        return Err(trouble);
    }
    if status != 0 {
        let complaint = String::from_utf8_lossy(&complaint);
        let line = complaint.lines().map(str::trim).find(|line| !line.is_empty());
        let complaint =
            line.map(|line| format!(": {}", line.chars().take(200).collect::<String>())).unwrap_or_default();
        return Err(CommandError::Status { status, complaint, output });
    }
    Ok(output)
}

/// The shell and its arguments.
fn shell(restricted: bool, command: &str) -> Result<(CString, Vec<CString>), CommandError> {
    let program = ["/bin/bash", "/usr/bin/bash"].into_iter().find(|path| Path::new(path).exists());
    let program = match (program, restricted) {
        (Some(program), _) => program,
        // Only bash has a restricted mode; plain commands are content with any shell.
        (None, false) if Path::new("/bin/sh").exists() => "/bin/sh",
        (None, _) => return Err(CommandError::NoShell),
    };
    let words: &[&str] = if restricted { &["bash", "-r", "-c", command] } else { &["sh", "-c", command] };
    let words = if program.ends_with("bash") && !restricted { &["bash", "-c", command] } else { words };
    let args: Result<Vec<CString>, _> = words.iter().map(|word| CString::new(*word)).collect();
    let args = args.map_err(|_zero| CommandError::ZeroByte)?;
    let program = CString::new(program).map_err(|_zero| CommandError::ZeroByte)?;
    Ok((program, args))
}

/// Collects output until both streams end and the process with them.
fn watch(child: &confined::Child, deadline: Instant) -> Result<(Vec<u8>, Vec<u8>), CommandError> {
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let (mut out_open, mut err_open, mut alive) = (true, true, true);
    while out_open || err_open || alive {
        let wanted = [
            (child.stdout.as_fd(), out_open),
            (child.stderr.as_fd(), err_open),
            (child.pidfd.as_fd(), alive),
        ];
        let [out_ready, err_ready, ended] = wait(wanted, deadline)?;
        if out_ready {
            out_open = take(&child.stdout, &mut output)?;
            if output.len() > limits::COMMAND_OUTPUT {
                return Err(CommandError::TooMuch);
            }
        }
        if err_ready {
            err_open = take(&child.stderr, &mut complaint)?;
            complaint.truncate(COMPLAINT);
        }
        alive &= !ended;
    }
    Ok((output, complaint))
}

/// Everything that comes from a descriptor until it ends; `None` when that takes too long or is too much.
pub(super) fn all(fd: &impl AsFd, deadline: Instant) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    loop {
        let [ready] = wait([(fd.as_fd(), true)], deadline).ok()?;
        if ready && !take(fd, &mut output).ok()? {
            return Some(output);
        }
        if output.len() > limits::COMMAND_OUTPUT {
            return None;
        }
    }
}

/// Waits until one of the wanted descriptors has something to say; says which have.
fn wait<const N: usize>(
    fds: [(BorrowedFd<'_>, bool); N],
    deadline: Instant,
) -> Result<[bool; N], CommandError> {
    let left = deadline.checked_duration_since(Instant::now()).ok_or(CommandError::TimedOut)?;
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().filter(|(_, wanted)| *wanted).map(|(fd, _)| PollFd::new(fd, PollFlags::IN)).collect();
    match poll(&mut polled, Some(&timeout)) {
        Ok(0) => return Err(CommandError::TimedOut),
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut polled = polled.iter();
    Ok(fds.map(|(_, wanted)| wanted && polled.next().is_some_and(|fd| !fd.revents().is_empty())))
}

/// Reads what is there; `false` at the end.
fn take(fd: impl AsFd, into: &mut Vec<u8>) -> Result<bool, CommandError> {
    let mut buffer = [0_u8; 4096];
    match rustix::io::read(fd, &mut buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            into.extend_from_slice(&buffer[..count]);
            Ok(true)
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits for the end. It is near: the streams are closed or the process is killed.
fn reap(pidfd: &OwnedFd) -> Result<i32, CommandError> {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                return Ok(status.exit_status().or(signal).unwrap_or(255));
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What the child said of its confinement, if it never became the command.
fn trouble(fd: OwnedFd) -> Option<CommandError> {
    let mut said = Vec::new();
    // An error here is as good as silence: then the exit status speaks.
    std::fs::File::from(fd).read_to_end(&mut said).ok()?;
    let &[step, errno @ 1..=u8::MAX] = said.as_slice() else { return None };
    let errno = Errno::from_raw_os_error(i32::from(errno));
    // Some systems let anybody make a user namespace, and then do nothing in it.
    let hint = if step < 2 && errno == Errno::PERM { NAMESPACES } else { "" };
    let step = STEPS.get(usize::from(step)).copied().unwrap_or("?");
    let reason = format!("{}{hint}", place::plain(errno));
    Some(CommandError::Sandbox { step, reason })
}
