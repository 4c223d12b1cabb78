//! The shim process: serves the Task API until its last container is deleted.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Context, Error};
use crate::events::Publisher;
use crate::reaper::{Reaper, sigchld};
use crate::service::services;
use crate::tasks::TaskManager;

/// Configuration of the server.
#[derive(Debug)]
pub(crate) struct ServerConfig<'a> {
    /// Listening socket.
    pub(crate) listener: UnixListener,
    /// Path of the socket, which is removed at shutdown.
    pub(crate) socket: &'a Path,
    /// containerd namespace.
    pub(crate) namespace: &'a str,
    /// Address of containerd's ttrpc socket; empty if none.
    pub(crate) ttrpc_address: &'a str,
}

/// Runs the server in one thread, since a thread per connection multiplies the memory footprint.
///
/// # Errors
/// The tokio runtime, a signal handler or the server cannot be started or stopped.
pub(crate) fn serve(config: ServerConfig<'_>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context(|| "cannot start the shim".into())?;
    runtime.block_on(run(&config))
}

async fn run(config: &ServerConfig<'_>) -> Result<(), Error> {
    let context = || "cannot start the shim".to_owned();
    let mut terminated = signal(SignalKind::terminate()).context(context)?;
    let reaper = Reaper::default();
    tokio::spawn(reaper.clone().run(sigchld().context(context)?));
    let publisher = Publisher::new(config.ttrpc_address, config.namespace);
    let tasks =
        Arc::new(TaskManager::new(config.namespace.to_owned(), config.ttrpc_address, reaper, publisher));
    let listener = Listener::try_from(config.listener.try_clone().context(context)?).context(context)?;
    let mut server = Server::new().add_listener(listener).register_service(services(tasks.clone()));
    server
        .start()
        .await
        .map_err(|error| Error::FailedPrecondition(format!("cannot start the ttrpc server: {error}")))?;
    loop {
        tokio::select! {
            () = tasks.shutdown.notified() => break,
            // SIGTERM must not orphan containers: containerd stops them first.
            _ = terminated.recv() => if tasks.is_empty() { break },
        }
    }
    // A new shim of the group binds the same path, so the socket is removed while this shim still responds.
    drop(std::fs::remove_file(config.socket));
    tasks.flush().await;
    server
        .shutdown()
        .await
        .map_err(|error| Error::FailedPrecondition(format!("cannot stop the ttrpc server: {error}")))
}
