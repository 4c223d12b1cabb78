//! The shim that stays: it serves the Task API until nothing is left to serve.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Doing, Error};
use crate::events::Publisher;
use crate::reaper::{Reaper, children};
use crate::service::services;
use crate::tasks::Tasks;

/// What a shim serves with.
#[derive(Debug)]
pub(crate) struct Serving<'a> {
    /// Where it listens.
    pub(crate) listener: UnixListener,
    /// The same as a path; it goes with the shim.
    pub(crate) socket: &'a Path,
    /// containerd's namespace.
    pub(crate) namespace: &'a str,
    /// Where containerd takes events.
    pub(crate) events: &'a str,
}

/// Serves, in one thread: a thread for each connection would multiply the shim's memory.
///
/// # Errors
/// It cannot begin.
pub(crate) fn serve(serving: Serving<'_>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .doing(|| "cannot begin".into())?;
    runtime.block_on(run(&serving))
}

async fn run(serving: &Serving<'_>) -> Result<(), Error> {
    let what = || "cannot begin".to_owned();
    let mut terminated = signal(SignalKind::terminate()).doing(what)?;
    let reaper = Reaper::default();
    tokio::spawn(reaper.clone().run(children().doing(what)?));
    let publisher = Publisher::new(serving.events, serving.namespace);
    let tasks = Arc::new(Tasks::new(serving.namespace.to_owned(), serving.events, reaper, publisher));
    let listener = Listener::try_from(serving.listener.try_clone().doing(what)?).doing(what)?;
    let mut server = Server::new().add_listener(listener).register_service(services(tasks.clone()));
    server.start().await.map_err(|error| Error::State(format!("cannot serve: {error}")))?;
    loop {
        tokio::select! {
            () = tasks.done.notified() => break,
            // The machine goes down, or somebody tidies up; containers are ended by whoever has started them.
            _ = terminated.recv() => if tasks.is_empty() { break },
        }
    }
    // Whoever wants a shim from now on starts another, whose socket has the same name; so this one's goes while
    // it still answers.
    drop(std::fs::remove_file(serving.socket));
    tasks.flush().await;
    server.shutdown().await.map_err(|error| Error::State(format!("cannot end: {error}")))
}
