//! The containers of a shim, their lifecycle and events.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use containerd_shim_protos::events::task as event;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::topics;
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::container::{Container, CreateRequest, ExecProcess};
use crate::context::ShimContext;
use crate::error::Error;
use crate::events::Publisher;
use crate::oom::OomWatch;
use crate::process::Process;
use crate::reaper::{Exit, ExitFuture};
use crate::stdio::StdioConfig;

/// Timeout of waiting for exec processes after init has exited; the kernel kills them with it.
const EXEC_EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a shim without containers waits for a shutdown request. None comes after containerd was killed between the
/// start of the shim and `Create`, or between the last `Delete` and `Shutdown`; containerd 1.6 does not even list such a
/// shim.
const UNUSED_TIMEOUT: Duration = Duration::from_secs(30);

/// All containers of the shim.
#[derive(Debug)]
pub(crate) struct TaskManager {
    /// State shared with the containers.
    pub(crate) shim: Arc<ShimContext>,
    containers: Mutex<HashMap<String, Slot>>,
    publisher: Publisher,
    /// Notified when the shim may shut down.
    shutdown: Notify,
    /// The shim shuts down: no container is created any more.
    is_closed: AtomicBool,
    /// Number of `Create` requests.
    creations: AtomicU64,
    /// Notified when the last container is deleted, or was not created.
    emptied: Notify,
}

/// Entry of a container ID, which is reserved while the container is being created.
#[derive(Debug)]
enum Slot {
    Creating,
    Created(Arc<Container>),
}

/// A process of a container whose state does not change while this exists.
struct LockedProcess {
    container: Arc<Container>,
    process: Arc<Process>,
    _guard: OwnedMutexGuard<()>,
}

impl TaskManager {
    /// An empty task manager.
    #[must_use]
    pub(crate) fn new(shim: Arc<ShimContext>, publisher: Publisher) -> Self {
        Self {
            shim,
            containers: Mutex::default(),
            publisher,
            shutdown: Notify::new(),
            is_closed: AtomicBool::new(false),
            creations: AtomicU64::new(0),
            emptied: Notify::new(),
        }
    }

    fn containers(&self) -> std::sync::MutexGuard<'_, HashMap<String, Slot>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.containers().is_empty()
    }

    /// Container by ID.
    ///
    /// # Errors
    /// The container does not exist, or is being created.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Container>, Error> {
        match self.containers().get(id) {
            Some(Slot::Created(container)) => Ok(container.clone()),
            Some(Slot::Creating) => {
                Err(Error::FailedPrecondition(format!("container `{id}` is being created")))
            }
            None => Err(Error::NotFound(format!("container `{id}` not found"))),
        }
    }

    /// Adds a container.
    pub(crate) fn insert(&self, container: Arc<Container>) {
        self.containers().insert(container.id.clone(), Slot::Created(container));
    }

    /// Locks the state of a process. After waiting for the lock it is checked that the container and the process were
    /// not deleted meanwhile: their IDs may belong to others then.
    async fn lock(&self, id: &str, exec_id: &str) -> Result<LockedProcess, Error> {
        let container = self.get(id)?;
        let process = container.process(exec_id)?;
        let guard = process.state_lock.clone().lock_owned().await;
        if !self.get(id).is_ok_and(|current| Arc::ptr_eq(&current, &container)) {
            return Err(Error::NotFound(format!("container `{id}` was deleted")));
        }
        if !container.is_current(&process) {
            return Err(Error::NotFound(format!("{} was deleted", describe(id, exec_id))));
        }
        Ok(LockedProcess { container, process, _guard: guard })
    }

    /// Creates a container. Returns the PID of its init process.
    ///
    /// # Errors
    /// The container ID is in use, or [`Container::create`] fails.
    pub(crate) async fn create(
        self: Arc<Self>,
        request: CreateRequest,
        created_event: event::TaskCreate,
    ) -> Result<u32, Error> {
        let id = request.id.clone();
        self.creations.fetch_add(1, Ordering::Relaxed);
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::FailedPrecondition("the shim is shutting down".into()));
        }
        if self.containers().contains_key(&id) {
            return Err(Error::AlreadyExists(format!("container `{id}` already exists")));
        }
        self.containers().insert(id.clone(), Slot::Creating);
        let result = Container::create(request, self.shim.clone()).await;
        let (container, exit) = match result {
            Ok(created) => created,
            Err(error) => {
                self.remove(&id);
                return Err(error);
            }
        };
        let container = Arc::new(container);
        let oom_watch = container.watch_oom();
        let pid = container.init.pid();
        self.insert(container.clone());
        self.publisher.publish(
            topics::TASK_CREATE_EVENT_TOPIC,
            "TaskCreate",
            &event::TaskCreate { pid, ..created_event },
        );
        tokio::spawn(self.clone().watch_init(container, exit, oom_watch));
        Ok(pid)
    }

    /// Starts the init process or an exec process. Returns its PID.
    ///
    /// # Errors
    /// The process does not exist, was started before, or cannot be started.
    pub(crate) async fn start(self: Arc<Self>, id: String, exec_id: String) -> Result<u32, Error> {
        let locked = self.lock(&id, &exec_id).await?;
        let (container, process) = (&locked.container, &locked.process);
        if exec_id.is_empty() {
            container.start().await?;
            let event =
                event::TaskStart { container_id: id, pid: process.pid(), ..event::TaskStart::default() };
            self.publisher.publish(topics::TASK_START_EVENT_TOPIC, "TaskStart", &event);
            return Ok(process.pid());
        }
        let exec = container.exec_process(&exec_id)?;
        self.start_exec(container, &exec).await?;
        let event = event::TaskExecStarted {
            container_id: id,
            exec_id,
            pid: process.pid(),
            ..event::TaskExecStarted::default()
        };
        self.publisher.publish(topics::TASK_EXEC_STARTED_EVENT_TOPIC, "TaskExecStarted", &event);
        Ok(process.pid())
    }

    async fn start_exec(
        self: &Arc<Self>,
        container: &Arc<Container>,
        exec: &ExecProcess,
    ) -> Result<(), Error> {
        let exit = container.start_exec(exec).await?;
        let (this, container, process) = (self.clone(), container.clone(), exec.process.clone());
        tokio::spawn(async move {
            let exit = exit.await;
            let _lock = process.state_lock.lock().await;
            this.publish_exit(&container, &process, exit);
        });
        Ok(())
    }

    /// Adds an exec process to a container.
    ///
    /// # Errors
    /// The container does not exist or has stopped, or the exec ID is in use.
    pub(crate) fn add_exec(
        &self,
        id: &str,
        exec_id: &str,
        stdio: StdioConfig,
        spec: Vec<u8>,
    ) -> Result<(), Error> {
        self.get(id)?.add_exec(exec_id, stdio, spec)?;
        let event = event::TaskExecAdded {
            container_id: id.to_owned(),
            exec_id: exec_id.to_owned(),
            ..event::TaskExecAdded::default()
        };
        self.publisher.publish(topics::TASK_EXEC_ADDED_EVENT_TOPIC, "TaskExecAdded", &event);
        Ok(())
    }

    async fn watch_init(
        self: Arc<Self>,
        container: Arc<Container>,
        mut exit: ExitFuture,
        mut oom_watch: OomWatch,
    ) {
        let exit = loop {
            tokio::select! {
                () = oom_watch.next() => {
                    // Not before the start event, while `start` still runs.
                    let _lock = container.init.state_lock.lock().await;
                    self.publish_oom(&container);
                }
                exit = &mut exit => break exit,
            }
        };
        // The exit event of init comes after those of the exec processes.
        if tokio::time::timeout(EXEC_EXIT_TIMEOUT, container.end_execs()).await.is_err() {
            crate::sys::log(&format!(
                "timed out waiting for the exec processes of container `{}`",
                container.id
            ));
        }
        let process = container.init.clone();
        let _lock = process.state_lock.lock().await;
        // An OOM kill is often the cause of the exit, so it is reported first.
        if oom_watch.take_pending() {
            self.publish_oom(&container);
        }
        self.publish_exit(&container, &process, exit);
    }

    fn publish_oom(&self, container: &Container) {
        let event = event::TaskOOM { container_id: container.id.clone(), ..event::TaskOOM::default() };
        self.publisher.publish(topics::TASK_OOM_EVENT_TOPIC, "TaskOOM", &event);
    }

    fn publish_exit(&self, container: &Container, process: &Process, exit: Exit) {
        process.set_exited(exit);
        let id = if process.exec_id.is_empty() { &container.id } else { &process.exec_id };
        let event = event::TaskExit {
            container_id: container.id.clone(),
            id: id.clone(),
            pid: process.pid(),
            exit_status: exit.status,
            exited_at: MessageField::some(exit.at.into()),
            ..event::TaskExit::default()
        };
        self.publisher.publish(topics::TASK_EXIT_EVENT_TOPIC, "TaskExit", &event);
    }

    /// Deletes a container or an exec process. Returns its PID and exit.
    ///
    /// # Errors
    /// The process does not exist or has not stopped, or the runtime's `delete` fails.
    pub(crate) async fn delete(self: Arc<Self>, id: String, exec_id: String) -> Result<(u32, Exit), Error> {
        let locked = self.lock(&id, &exec_id).await?;
        let (container, process) = (&locked.container, &locked.process);
        if !exec_id.is_empty() {
            process.set_never_started();
        }
        let Some(exit) = process.exit() else {
            return Err(Error::FailedPrecondition(format!("{} is not stopped", describe(&id, &exec_id))));
        };
        if let Some(streams) = process.take_streams() {
            self.shim.finish(streams).await;
        }
        if exec_id.is_empty() {
            container.delete().await?;
            self.remove(&id);
            let event = event::TaskDelete {
                container_id: id,
                pid: process.pid(),
                exit_status: exit.status,
                exited_at: MessageField::some(exit.at.into()),
                ..event::TaskDelete::default()
            };
            self.publisher.publish(topics::TASK_DELETE_EVENT_TOPIC, "TaskDelete", &event);
        } else {
            container.remove_exec(&exec_id);
        }
        Ok((process.pid(), exit))
    }

    /// Pauses or resumes a container.
    ///
    /// # Errors
    /// The container does not exist, or the runtime's `pause` or `resume` fails.
    pub(crate) async fn pause(self: Arc<Self>, id: String, paused: bool) -> Result<(), Error> {
        let locked = self.lock(&id, "").await?;
        locked.container.pause(paused).await?;
        if paused {
            let event = event::TaskPaused { container_id: id, ..event::TaskPaused::default() };
            self.publisher.publish(topics::TASK_PAUSED_EVENT_TOPIC, "TaskPaused", &event);
        } else {
            let event = event::TaskResumed { container_id: id, ..event::TaskResumed::default() };
            self.publisher.publish(topics::TASK_RESUMED_EVENT_TOPIC, "TaskResumed", &event);
        }
        Ok(())
    }

    /// Updates the resource limits of a container.
    ///
    /// # Errors
    /// The container does not exist, or the runtime's `update` fails.
    pub(crate) async fn update(self: Arc<Self>, id: String, resources: Vec<u8>) -> Result<(), Error> {
        self.lock(&id, "").await?.container.update(&resources).await
    }

    /// Shuts the shim down if it has no containers.
    pub(crate) fn request_shutdown(&self) {
        if self.is_empty() {
            self.shutdown.notify_one();
        }
    }

    /// Removes a container.
    fn remove(&self, id: &str) {
        let mut containers = self.containers();
        containers.remove(id);
        if containers.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// Waits until there was no container for [`UNUSED_TIMEOUT`]. No timer runs while there are containers.
    async fn unused(&self) {
        loop {
            if !self.is_empty() {
                self.emptied.notified().await;
                continue;
            }
            let creations = self.creations.load(Ordering::Relaxed);
            tokio::time::sleep(UNUSED_TIMEOUT).await;
            if self.is_empty() && creations == self.creations.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Waits for a shutdown request or an unused shim, and until all events are forwarded and all output is read. No
    /// container is left or created then.
    pub(crate) async fn closed(&self) {
        loop {
            tokio::select! {
                () = self.shutdown.notified() => {}
                () = self.unused() => {}
            }
            self.flush().await;
            self.shim.drained().await;
            // A container may have been created meanwhile.
            if self.is_empty() {
                return self.is_closed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Waits until all events are forwarded, with a timeout.
    pub(crate) async fn flush(&self) {
        self.publisher.flush().await;
    }
}

fn describe(id: &str, exec_id: &str) -> String {
    if exec_id.is_empty() {
        format!("container `{id}`")
    } else {
        format!("exec `{exec_id}` of container `{id}`")
    }
}
