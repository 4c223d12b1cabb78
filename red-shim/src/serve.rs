//! The shim process: serves the Task API until its last container is deleted.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use tokio::signal::unix::{SignalKind, signal};

use crate::accept::Connections;
use crate::context::ShimContext;
use crate::error::{Context, Error};
use crate::events::Publisher;
use crate::reaper::sigchld;
use crate::service::services;
use crate::sys;
use crate::tasks::TaskManager;

/// Timeout of open connections at the exit of the shim.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

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
    let mut terminate = signal(SignalKind::terminate()).context(context)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(context)?;
    let shim = Arc::new(ShimContext::new(config.namespace, config.ttrpc_address));
    tokio::spawn(shim.reaper.clone().run(sigchld().context(context)?));
    let publisher = Publisher::new(config.ttrpc_address, config.namespace);
    let tasks = Arc::new(TaskManager::new(shim, publisher));
    let connections = Connections::new(config.listener.try_clone().context(context)?).context(context)?;
    let mut server =
        Server::new().add_listener(Listener::new(connections)).register_service(services(tasks.clone()));
    server
        .start()
        .await
        .map_err(|error| Error::FailedPrecondition(format!("cannot start the ttrpc server: {error}")))?;
    tokio::select! {
        () = tasks.closed() => {}
        // As in containerd's runc shim: containerd sees the closed connection, and calls `delete` for each container.
        // At the shutdown of the machine, which signals the containers too, the shim delays nothing.
        _ = terminate.recv() => sys::log("exiting after SIGTERM"),
        _ = interrupt.recv() => sys::log("exiting after SIGINT"),
    }
    // A new shim of the group binds the same path, so the socket is removed while this shim still responds.
    drop(std::fs::remove_file(config.socket));
    tasks.flush().await;
    // Responses are sent; clients that still wait for a process get none.
    match tokio::time::timeout(SHUTDOWN_TIMEOUT, server.shutdown()).await {
        Ok(Err(error)) => Err(Error::FailedPrecondition(format!("cannot stop the ttrpc server: {error}"))),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}
