//! Accepting connections.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use rustix::event::{EventfdFlags, eventfd};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Sleep, sleep};

use crate::error::is_exhausted;

/// Pause after a failed accept(2).
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Connections of a listening socket. At the limit of file descriptors accept(2) fails at once and leaves the connection
/// in the backlog, where a client waits for its response: containerd has a connection for each container. So a spare
/// descriptor is kept for one connection more, whose requests get `ResourceExhausted`. Without a pause after that the
/// shim would use all of a CPU until the limit is raised.
#[derive(Debug)]
pub(crate) struct Connections {
    listener: UnixListener,
    spare: Option<OwnedFd>,
    /// Set after a failed accept(2).
    pause: Option<Pin<Box<Sleep>>>,
    /// A failure was logged, and no connection was accepted since.
    is_failing: bool,
}

impl Connections {
    /// Connections of a listener, which is made non-blocking.
    ///
    /// # Errors
    /// ioctl(2) or epoll_ctl(2) fails.
    pub(crate) fn new(listener: StdListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            spare: spare_fd(),
            pause: None,
            is_failing: false,
        })
    }
}

/// A descriptor to give up; `None` at the limit of file descriptors.
fn spare_fd() -> Option<OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC).ok()
}

impl Stream for Connections {
    type Item = io::Result<UnixStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, _)) => {
                    self.is_failing = false;
                    self.spare = self.spare.take().or_else(spare_fd);
                    return Poll::Ready(Some(Ok(stream)));
                }
                Err(error) if is_exhausted(&error) && self.spare.take().is_some() => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        crate::sys::log(&format!("cannot accept a connection: {error}; retrying"));
                    }
                    self.pause = Some(Box::pin(sleep(RETRY_DELAY)));
                }
            }
        }
    }
}
