//! State that all containers of a shim share.

use std::time::Duration;

use tokio::sync::watch;

use crate::inotify::Inotify;
use crate::reaper::Reaper;
use crate::stdio::Streams;

/// Maximum time that `Delete` waits for the output of a process. CRI gives up after 10 seconds (containerd,
/// `handleEventTimeout`).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Shared state of a shim.
#[derive(Debug)]
pub(crate) struct ShimContext {
    /// containerd namespace.
    pub(crate) namespace: String,
    /// Address of containerd's ttrpc socket; empty if none.
    pub(crate) ttrpc_address: String,
    /// Reaper of child processes.
    pub(crate) reaper: Reaper,
    /// File watches.
    pub(crate) inotify: Inotify,
    /// Has a receiver for each unfinished drain.
    drains: watch::Sender<()>,
}

impl ShimContext {
    /// A context without containers.
    #[must_use]
    pub(crate) fn new(namespace: &str, ttrpc_address: &str) -> Self {
        Self {
            namespace: namespace.into(),
            ttrpc_address: ttrpc_address.into(),
            reaper: Reaper::default(),
            inotify: Inotify::default(),
            drains: watch::Sender::new(()),
        }
    }

    /// Drains and closes the streams of a process. A drain that takes longer than [`DRAIN_TIMEOUT`] continues in the
    /// background, so that a slow reader gets all output.
    pub(crate) async fn finish(&self, streams: Streams) {
        let guard = self.drains.subscribe();
        let drain = tokio::spawn(async move {
            streams.drain().await;
            drop(guard);
        });
        if tokio::time::timeout(DRAIN_TIMEOUT, drain).await.is_err() {
            crate::sys::log("output of a process is not drained yet; its deletion continues");
        }
    }

    /// Waits until no drain is left.
    pub(crate) async fn drained(&self) {
        self.drains.closed().await;
    }
}
