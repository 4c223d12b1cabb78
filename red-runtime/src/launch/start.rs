//! Starting a container that was created: a socket in its record, at which its first process waits.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};

use super::error::{Doing, LaunchError};
use super::sync::{Message, Sync};

/// How long a start may take, with the hooks that run inside: their own limits are shorter.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Name of the socket in a container's directory.
pub(super) const NAME: &str = "start";

fn socket() -> Result<OwnedFd, LaunchError> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).doing(|| "a socket")
}

/// The address of the socket below an open directory. Paths of sockets are short (unix(7)), those
/// of directories are not.
fn address(directory: &OwnedFd) -> Result<SocketAddrUnix, LaunchError> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd());
    SocketAddrUnix::new(path).doing(|| "the start socket")
}

/// Makes the socket in a container's directory.
///
/// # Errors
/// What the kernel says.
pub(super) fn offer(directory: &OwnedFd) -> Result<OwnedFd, LaunchError> {
    let socket = socket()?;
    bind(&socket, &address(directory)?).doing(|| "the start socket")?;
    listen(&socket, 1).doing(|| "the start socket")?;
    Ok(socket)
}

/// Waits, inside, for somebody to say that the container is to be started. Whoever only looks in
/// and leaves has not said so.
///
/// # Errors
/// What the kernel says.
pub(super) fn wait(socket: &OwnedFd) -> Result<Sync, LaunchError> {
    loop {
        let accepted = rustix::io::retry_on_intr(|| accept_with(socket, SocketFlags::CLOEXEC));
        let starter = Sync::from(accepted.doing(|| "waiting to be started")?);
        if starter.wait_go().is_ok() {
            return Ok(starter);
        }
    }
}

/// A process inside that was told nothing yet.
#[derive(Debug)]
pub(super) struct Waiting(Sync);

/// Reaches the process that waits at the socket of a container's directory.
///
/// # Errors
/// There is none.
pub(super) fn reach(directory: &OwnedFd) -> Result<Waiting, LaunchError> {
    let socket = socket()?;
    connect(&socket, &address(directory)?).doing(|| "the start socket")?;
    Ok(Waiting(Sync::from(socket)))
}

impl Waiting {
    /// Starts it, and returns once it has become the command; `schedule` is asked for what comes last.
    ///
    /// # Errors
    /// It could not.
    pub(super) fn go(self, schedule: impl Fn() -> Result<(), LaunchError>) -> Result<(), LaunchError> {
        let inside = self.0.interruptible(PATIENCE).doing(|| "the start socket")?;
        inside.say(&Message::Go).doing(|| "the start socket")?;
        let end = Instant::now() + PATIENCE;
        // Each is said once, and nothing that is said makes the start last longer.
        let (mut ready, mut scheduled) = (false, false);
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            match inside.hear_within(rest).doing(|| "the container's start")? {
                None => return Ok(()),
                // A first process of ours says so before it starts the command.
                Some(Message::Ready) if !ready => ready = true,
                Some(Message::Unscheduled) if !scheduled => {
                    scheduled = true;
                    schedule()?;
                    inside.say(&Message::Go).doing(|| "the container's start")?;
                }
                Some(Message::Failed(error)) => return Err(error),
                Some(_) => return Err(LaunchError::Died("its start")),
            }
        }
    }
}
