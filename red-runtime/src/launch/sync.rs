//! What the launcher and the process inside say to each other while a container is made.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    recv, send, sendmsg, socketpair,
};

use super::error::LaunchError;
use crate::sys::{init, signal};

/// Bytes of the longest message; an error is cut to that.
const LONGEST: usize = 4096;

/// How long something that was asked to end may still take to be done: most is done in less, and the command
/// then gets the signal.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// One end of the conversation. Both ends close on exec, which is how the launcher learns that the
/// process inside has become the command.
#[derive(Debug)]
pub(crate) struct Sync {
    socket: OwnedFd,
    /// Where the launcher may be told to end while it waits: where to look, and how long it waits else.
    stop: Option<(OwnedFd, Duration)>,
}

impl From<OwnedFd> for Sync {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, stop: None }
    }
}

impl AsFd for Sync {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What is said.
#[derive(Debug)]
pub(crate) enum Message {
    /// Go on.
    Go,
    /// Everything is mounted; hooks of the runtime's namespace may run.
    Mounted,
    /// Everything is done but to become the command.
    Ready,
    /// Only its scheduling is missing.
    Unscheduled,
    /// It failed.
    Failed(LaunchError),
    /// A process was made, with this number.
    Made(i32),
    /// Something that changes nothing is to be told.
    Warning(String),
    /// A filter asks an agent; its descriptor comes next.
    Asks,
    /// The source of a mount, by its position, is to be opened and given.
    Wants(usize),
}

impl Sync {
    /// A conversation.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub(crate) fn pair() -> rustix::io::Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self::from(a), Self::from(b)))
    }

    /// Limits how long each message of the other end is waited for.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub(crate) fn limit(&self, limit: Duration) -> rustix::io::Result<()> {
        use rustix::net::sockopt::{Timeout, set_socket_timeout};
        set_socket_timeout(&self.socket, Timeout::Recv, Some(limit))
    }

    /// The end of a launcher that a signal may end while it waits for a message; unless it holds such signals
    /// back they end it anyway. No message is waited for longer than `limit`.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub(crate) fn interruptible(mut self, limit: Duration) -> rustix::io::Result<Self> {
        self.limit(limit)?;
        self.stop = Some((signal::ending()?, limit));
        Ok(self)
    }

    /// Says something.
    ///
    /// # Errors
    /// The other end is gone.
    pub(crate) fn say(&self, message: &Message) -> rustix::io::Result<()> {
        let mut bytes = match message {
            Message::Go => vec![b'g'],
            Message::Mounted => vec![b'm'],
            Message::Ready => vec![b'r'],
            Message::Unscheduled => vec![b's'],
            Message::Asks => vec![b'a'],
            Message::Warning(text) => format!("w{text}").into_bytes(),
            Message::Made(pid) => format!("p{pid}").into_bytes(),
            Message::Wants(index) => format!("o{index}").into_bytes(),
            Message::Failed(error) => match error {
                LaunchError::CommandMissing { program } => format!("n{program}").into_bytes(),
                LaunchError::CommandRefused { program, reason } => {
                    format!("i{reason}\0{program}").into_bytes()
                }
                other => format!("e{other}").into_bytes(),
            },
        };
        bytes.truncate(LONGEST);
        retry_on_intr(|| send(&self.socket, &bytes, SendFlags::NOSIGNAL)).map(drop)
    }

    /// Waits for the next message. `None` when the other end is gone.
    ///
    /// # Errors
    /// `ETIMEDOUT` when there is a limit and it is over, `ECANCELED` when a signal is to end this process, or
    /// what recv(2) says.
    pub(crate) fn hear(&self) -> rustix::io::Result<Option<Message>> {
        match self.stop {
            Some((_, limit)) => self.hear_within(limit),
            None => self.receive(),
        }
    }

    fn receive(&self) -> rustix::io::Result<Option<Message>> {
        let mut bytes = [0_u8; LONGEST];
        let mut received = || retry_on_intr(|| recv(&self.socket, &mut bytes, RecvFlags::empty()));
        // Told once by a socket whose other end closed before it had read everything, ahead of what that end
        // had said before (unix_release_sock in net/unix/af_unix.c).
        let once = match received() {
            Err(Errno::CONNRESET) => received(),
            other => other,
        };
        let (count, _) = match once {
            Err(Errno::CONNRESET) => return Ok(None),
            // The limit is over (socket(7), SO_RCVTIMEO).
            Err(Errno::AGAIN) => return Err(Errno::TIMEDOUT),
            other => other?,
        };
        let Some((kind, rest)) = bytes[..count].split_first() else { return Ok(None) };
        let text = || String::from_utf8_lossy(rest).into_owned();
        Ok(Some(match kind {
            b'g' => Message::Go,
            b'm' => Message::Mounted,
            b'r' => Message::Ready,
            b's' => Message::Unscheduled,
            b'a' => Message::Asks,
            b'w' => Message::Warning(text()),
            b'p' => Message::Made(text().parse().unwrap_or(0)),
            b'o' => Message::Wants(text().parse().unwrap_or(usize::MAX)),
            b'n' => Message::Failed(LaunchError::CommandMissing { program: text() }),
            b'i' => {
                let text = text();
                let (reason, program) = text.split_once('\0').unwrap_or((&text, ""));
                Message::Failed(LaunchError::CommandRefused {
                    program: program.into(),
                    reason: reason.into(),
                })
            }
            &init::FAILED => Message::Failed(super::reaper::failure(rest)),
            _ => Message::Failed(LaunchError::Inside(text())),
        }))
    }

    /// Waits for the next message, but no longer than that. `None` when the other end is gone.
    ///
    /// # Errors
    /// `ETIMEDOUT`, `ECANCELED` when a signal is to end this process, or what poll(2) and recv(2) say.
    pub(crate) fn hear_within(&self, limit: Duration) -> rustix::io::Result<Option<Message>> {
        let mut end = Instant::now() + limit;
        let mut stop = self.stop.as_ref().map(|(stop, _)| stop);
        let mut over = Errno::TIMEDOUT;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let rest = Timespec::try_from(rest).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
            let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
            fds.extend(stop.map(|stop| PollFd::new(stop, PollFlags::IN)));
            match poll(&mut fds, Some(&rest)) {
                Ok(0) => return Err(over),
                Ok(_) if !fds[0].revents().is_empty() => return self.receive(),
                Ok(_) => {
                    (stop, over) = (None, Errno::CANCELED);
                    end = end.min(Instant::now() + GRACE);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Gives the launcher the descriptor of a filter that has just been loaded and asks an agent.
    ///
    /// # Errors
    /// It was not loaded, or the launcher is gone.
    pub(crate) fn hand_over(&self, notify: rustix::io::Result<Option<OwnedFd>>) -> Result<(), LaunchError> {
        let failed = |errno| LaunchError::Call { what: "loading the filter of linux.seccomp".into(), errno };
        let Some(notify) = notify.map_err(failed)? else { return Ok(()) };
        self.say(&Message::Asks).and_then(|()| send_descriptor(&self.socket, b"a", &notify)).map_err(failed)
    }

    /// Takes what [`Sync::hand_over`] gives, after its message.
    ///
    /// # Errors
    /// It does not come.
    pub(crate) fn take_over(&self) -> Result<OwnedFd, LaunchError> {
        let failed = |errno| LaunchError::Call { what: "the filter's descriptor".into(), errno };
        receive_descriptor(&self.socket).map_err(failed)?.ok_or(LaunchError::Died("its preparation"))
    }

    /// Gives what the other end wants, or says that it cannot be had.
    ///
    /// # Errors
    /// The other end is gone.
    pub(crate) fn give(&self, fd: Option<&OwnedFd>) -> rustix::io::Result<()> {
        match fd {
            Some(fd) => send_descriptor(&self.socket, b"f", fd),
            None => retry_on_intr(|| send(&self.socket, b"f", SendFlags::NOSIGNAL)).map(drop),
        }
    }

    /// Takes what [`Sync::give`] gives; `None` when it cannot be had.
    ///
    /// # Errors
    /// What recvmsg(2) says.
    pub(crate) fn take(&self) -> rustix::io::Result<Option<OwnedFd>> {
        receive_descriptor(&self.socket)
    }

    /// Its number, for this process under another program.
    pub(crate) fn number(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.socket.as_raw_fd()
    }

    /// Keeps it open over the next exec.
    ///
    /// # Errors
    /// None for an open descriptor.
    pub(crate) fn keep_over_exec(&self) -> rustix::io::Result<()> {
        rustix::io::fcntl_setfd(&self.socket, rustix::io::FdFlags::empty())
    }

    /// Waits to be told to go on.
    ///
    /// # Errors
    /// The other end is gone, or what recv(2) says.
    pub(crate) fn wait_go(&self) -> Result<(), LaunchError> {
        match self.hear() {
            Ok(Some(Message::Go)) => Ok(()),
            Ok(_) => Err(LaunchError::Died("its preparation")),
            Err(errno) => Err(LaunchError::Call { what: "waiting for the launcher".into(), errno }),
        }
    }
}

/// Sends a descriptor with a few bytes over a connected socket (unix(7), SCM_RIGHTS).
///
/// # Errors
/// What sendmsg(2) says.
pub(crate) fn send_descriptor(socket: &OwnedFd, bytes: &[u8], fd: &OwnedFd) -> rustix::io::Result<()> {
    let fds = [fd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    let data = [std::io::IoSlice::new(bytes)];
    retry_on_intr(|| sendmsg(socket, &data, &mut control, SendFlags::NOSIGNAL)).map(drop)
}

/// Receives a descriptor. `None` when the other end is gone.
///
/// # Errors
/// What recvmsg(2) says.
pub(crate) fn receive_descriptor(socket: &OwnedFd) -> rustix::io::Result<Option<OwnedFd>> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, recvmsg};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0_u8; 256];
    let mut data = [std::io::IoSliceMut::new(&mut bytes)];
    retry_on_intr(|| recvmsg(socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}
