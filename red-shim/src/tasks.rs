//! All containers of a shim.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use containerd_shim_protos::events::task as event;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::topics;
use tokio::sync::Notify;

use crate::container::{Added, Container, New};
use crate::error::Error;
use crate::events::{Publisher, timestamp};
use crate::oom;
use crate::process::{Process, Status};
use crate::reaper::{Ended, Exit, Reaper};
use crate::stdio::Wanted;

/// How long the ends of added processes are waited for once the first one has ended: the kernel ends them with it.
const REST: Duration = Duration::from_secs(10);

/// What a shim serves.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// containerd's namespace.
    pub(crate) namespace: String,
    /// Address of containerd's socket, or nothing.
    pub(crate) daemon: Arc<str>,
    containers: Mutex<HashMap<String, Slot>>,
    reaper: Reaper,
    publisher: Publisher,
    /// Told when the shim may go.
    pub(crate) done: Notify,
}

/// A name is taken as soon as its container is begun.
#[derive(Debug)]
enum Slot {
    Begun,
    There(Arc<Container>),
}

impl Tasks {
    /// None yet.
    #[must_use]
    pub(crate) fn new(namespace: String, daemon: &str, reaper: Reaper, publisher: Publisher) -> Self {
        Self {
            namespace,
            daemon: daemon.into(),
            containers: Mutex::default(),
            reaper,
            publisher,
            done: Notify::new(),
        }
    }

    fn containers(&self) -> std::sync::MutexGuard<'_, HashMap<String, Slot>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.containers().is_empty()
    }

    /// A container.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Container>, Error> {
        match self.containers().get(id) {
            Some(Slot::There(container)) => Ok(container.clone()),
            Some(Slot::Begun) => Err(Error::State(format!("container `{id}` is being created"))),
            None => Err(Error::Unknown(format!("container `{id}` does not exist"))),
        }
    }

    /// Makes a container. Gives the number of its first process.
    ///
    /// # Errors
    /// There is one of that name, or it cannot be made.
    pub(crate) async fn create(self: Arc<Self>, new: New, told: event::TaskCreate) -> Result<u32, Error> {
        let id = new.id.clone();
        if self.containers().contains_key(&id) {
            return Err(Error::Exists(format!("container `{id}` is there")));
        }
        self.containers().insert(id.clone(), Slot::Begun);
        let made = Container::create(new, &self.reaper).await;
        let (container, ended) = match made {
            Ok(made) => made,
            Err(error) => {
                self.containers().remove(&id);
                return Err(error);
            }
        };
        let container = Arc::new(container);
        let pid = container.init.pid();
        self.containers().insert(id, Slot::There(container.clone()));
        self.publisher.publish(
            topics::TASK_CREATE_EVENT_TOPIC,
            "TaskCreate",
            &event::TaskCreate { pid, ..told },
        );
        tokio::spawn(self.clone().watch_first(container.clone(), ended));
        let publisher = self.publisher.clone();
        tokio::spawn(oom::watch(pid, container.init.clone(), move || {
            let event = event::TaskOOM { container_id: container.id.clone(), ..event::TaskOOM::default() };
            publisher.publish(topics::TASK_OOM_EVENT_TOPIC, "TaskOOM", &event);
        }));
        Ok(pid)
    }

    /// Starts a container's command, or a process that was added. Gives its number.
    ///
    /// # Errors
    /// There is none, it was started before, or it cannot be.
    pub(crate) async fn start(self: Arc<Self>, id: String, exec_id: String) -> Result<u32, Error> {
        let container = self.get(&id)?;
        if exec_id.is_empty() {
            let process = container.init.clone();
            let _held = process.gate.lock().await;
            container.start().await?;
            let event =
                event::TaskStart { container_id: id, pid: process.pid(), ..event::TaskStart::default() };
            self.publisher.publish(topics::TASK_START_EVENT_TOPIC, "TaskStart", &event);
            return Ok(process.pid());
        }
        let added = container.added_one(&exec_id)?;
        let process = added.process.clone();
        let _held = process.gate.lock().await;
        self.start_added(&container, &added).await?;
        let event = event::TaskExecStarted {
            container_id: id,
            exec_id,
            pid: process.pid(),
            ..event::TaskExecStarted::default()
        };
        self.publisher.publish(topics::TASK_EXEC_STARTED_EVENT_TOPIC, "TaskExecStarted", &event);
        Ok(process.pid())
    }

    async fn start_added(self: &Arc<Self>, container: &Arc<Container>, added: &Added) -> Result<(), Error> {
        let ended = container.start_added(added).await?;
        let (this, container, process) = (self.clone(), container.clone(), added.process.clone());
        tokio::spawn(async move {
            let exit = ended.await;
            let _held = process.gate.lock().await;
            this.ended(&container, &process, exit);
        });
        Ok(())
    }

    /// Adds a process to a container.
    ///
    /// # Errors
    /// There is no such container, or one of that name.
    pub(crate) fn add(&self, id: &str, exec_id: &str, wanted: Wanted, spec: Vec<u8>) -> Result<(), Error> {
        self.get(id)?.add(exec_id, wanted, spec)?;
        let event = event::TaskExecAdded {
            container_id: id.to_owned(),
            exec_id: exec_id.to_owned(),
            ..event::TaskExecAdded::default()
        };
        self.publisher.publish(topics::TASK_EXEC_ADDED_EVENT_TOPIC, "TaskExecAdded", &event);
        Ok(())
    }

    async fn watch_first(self: Arc<Self>, container: Arc<Container>, ended: Ended) {
        let exit = ended.await;
        container.end_rest().await;
        // The end of a container is the last that is told of it.
        let rest = async {
            for process in container.running() {
                process.wait().await;
            }
        };
        if tokio::time::timeout(REST, rest).await.is_err() {
            crate::sys::log(&format!(
                "container `{}` has ended, but not all that was added to it",
                container.id
            ));
        }
        let process = container.init.clone();
        let _held = process.gate.lock().await;
        self.ended(&container, &process, exit);
    }

    fn ended(&self, container: &Container, process: &Process, exit: Exit) {
        process.end(exit);
        let id = if process.exec_id.is_empty() { &container.id } else { &process.exec_id };
        let event = event::TaskExit {
            container_id: container.id.clone(),
            id: id.clone(),
            pid: process.pid(),
            exit_status: exit.status,
            exited_at: MessageField::some(timestamp(exit.at)),
            ..event::TaskExit::default()
        };
        self.publisher.publish(topics::TASK_EXIT_EVENT_TOPIC, "TaskExit", &event);
    }

    /// Removes a container, or forgets a process that was added. Gives its number and how it ended.
    ///
    /// # Errors
    /// There is none, it has not ended, or it cannot be removed.
    pub(crate) async fn delete(self: Arc<Self>, id: String, exec_id: String) -> Result<(u32, Exit), Error> {
        let container = self.get(&id)?;
        let process = container.process(&exec_id)?;
        let _held = process.gate.lock().await;
        let exit = match process.status() {
            Status::Stopped => process.exit().unwrap_or_else(|| Exit::now(255)),
            // One that was added and never started has nothing to end.
            Status::Created if !exec_id.is_empty() && process.pid() == 0 => Exit::now(0),
            _ => return Err(Error::State(format!("{} is not stopped", name(&id, &exec_id)))),
        };
        if let Some(streams) = process.take_streams() {
            streams.finish().await;
        }
        if exec_id.is_empty() {
            container.delete().await?;
            self.containers().remove(&id);
            let event = event::TaskDelete {
                container_id: id,
                pid: process.pid(),
                exit_status: exit.status,
                exited_at: MessageField::some(timestamp(exit.at)),
                ..event::TaskDelete::default()
            };
            self.publisher.publish(topics::TASK_DELETE_EVENT_TOPIC, "TaskDelete", &event);
        } else {
            container.forget(&exec_id);
        }
        Ok((process.pid(), exit))
    }

    /// Stops everything in a container, or lets it go on.
    ///
    /// # Errors
    /// There is none, or what the runtime says.
    pub(crate) async fn pause(self: Arc<Self>, id: String, paused: bool) -> Result<(), Error> {
        let container = self.get(&id)?;
        let _held = container.init.gate.lock().await;
        container.pause(paused).await?;
        if paused {
            let event = event::TaskPaused { container_id: id, ..event::TaskPaused::default() };
            self.publisher.publish(topics::TASK_PAUSED_EVENT_TOPIC, "TaskPaused", &event);
        } else {
            let event = event::TaskResumed { container_id: id, ..event::TaskResumed::default() };
            self.publisher.publish(topics::TASK_RESUMED_EVENT_TOPIC, "TaskResumed", &event);
        }
        Ok(())
    }

    /// Lets the shim go, if it serves nothing any more.
    pub(crate) fn shut_down(&self) {
        if self.is_empty() {
            self.done.notify_one();
        }
    }

    /// Waits until containerd has every event.
    pub(crate) async fn flush(&self) {
        self.publisher.flush().await;
    }
}

fn name(id: &str, exec_id: &str) -> String {
    if exec_id.is_empty() {
        format!("container `{id}`")
    } else {
        format!("process `{exec_id}` of container `{id}`")
    }
}
