//! A container of a shim, and what is done with it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Doing, Error, tried};
use crate::process::{Process, Status};
use crate::reaper::{Ended, Held, Reaper};
use crate::rootfs;
use crate::runtime::{self, Files, Runtime};
use crate::stdio::{Socket, Streams, Wanted, Whose};

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its name.
    pub(crate) id: String,
    /// containerd's namespace.
    namespace: String,
    /// Address of containerd's socket, or nothing.
    daemon: Arc<str>,
    /// Directory with its configuration.
    pub(crate) bundle: PathBuf,
    /// How its runtime is called.
    runtime: Runtime,
    /// What its first process leaves is ended by the kernel.
    own_pids: bool,
    /// Its first process.
    pub(crate) init: Arc<Process>,
    added: Mutex<HashMap<String, Arc<Added>>>,
    reaper: Reaper,
}

/// A process that was added, with its description.
#[derive(Debug)]
pub(crate) struct Added {
    /// The process.
    pub(crate) process: Arc<Process>,
    spec: Vec<u8>,
}

/// A container that is wanted.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) daemon: Arc<str>,
    pub(crate) bundle: PathBuf,
    pub(crate) runtime: Runtime,
    pub(crate) own_pids: bool,
    pub(crate) mounts: Vec<rootfs::Mount>,
    pub(crate) wanted: Wanted,
}

/// Ends a process that was made and is not wanted.
fn end(held: &Held, files: &Files) {
    let Ok(pid) = files.made() else { return };
    // One that has been waited for has no number any more.
    let (_ended, over) = held.claim(pid);
    if let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|_| !over) {
        tried(rustix::process::kill_process(pid, rustix::process::Signal::KILL));
    }
}

impl Container {
    /// Makes it; it waits to be started. The second is the end of its first process.
    ///
    /// # Errors
    /// What the runtime says, or what is missing. Nothing is left then.
    pub(crate) async fn create(new: New, reaper: &Reaper) -> Result<(Self, Ended), Error> {
        let root = new.bundle.join("rootfs");
        new.runtime.note(&new.bundle)?;
        rootfs::mount(&new.mounts, &root)?;
        let this = Self {
            id: new.id,
            namespace: new.namespace,
            daemon: new.daemon,
            bundle: new.bundle,
            runtime: new.runtime,
            own_pids: new.own_pids,
            init: Arc::new(Process::new(String::new(), new.wanted)),
            added: Mutex::default(),
            reaper: reaper.clone(),
        };
        let files = Files::new(&this.bundle);
        let made = this
            .launch(
                &this.init,
                &files,
                |console| this.runtime.create(&this.id, &this.bundle, &files, console),
                "create",
            )
            .await;
        match made {
            Ok(ended) => Ok((this, ended)),
            Err(error) => {
                this.remove_quietly().await;
                rootfs::unmount_all(&root);
                Err(error)
            }
        }
    }

    fn whose(&self) -> Whose<'_> {
        Whose { id: &self.id, namespace: &self.namespace, daemon: &self.daemon }
    }

    /// Has the runtime make a process, with the streams that are wanted.
    async fn launch(
        &self,
        process: &Process,
        files: &Files,
        command: impl FnOnce(Option<&std::path::Path>) -> std::process::Command,
        verb: &'static str,
    ) -> Result<Ended, Error> {
        let held = self.reaper.hold();
        let streams = if process.wanted.terminal {
            let socket = Socket::new(std::path::Path::new(crate::address::DIR))?;
            let mut command = command(Some(socket.path()));
            runtime::run(&self.reaper, verb, &mut command, files).await?;
            let connected = async {
                let master = socket.take().await?;
                Streams::connect(&self.reaper, &process.wanted, self.whose(), master).await
            };
            match connected.await {
                Ok(streams) => streams,
                Err(error) => {
                    // It is there, but nobody will know of it.
                    end(&held, files);
                    return Err(error);
                }
            }
        } else {
            let mut command = command(None);
            let streams = Streams::give(&self.reaper, &process.wanted, self.whose(), &mut command).await?;
            let made = runtime::run(&self.reaper, verb, &mut command, files).await;
            // The command holds the process's ends.
            drop(command);
            if let Err(error) = made {
                streams.finish().await;
                return Err(error);
            }
            streams
        };
        process.keep(streams);
        let pid = files.made()?;
        let (ended, over) = held.claim(pid);
        process.made(pid, over)?;
        Ok(ended)
    }

    /// Runs a subcommand of the runtime on it.
    async fn verb(&self, verb: &'static str, args: &[&str]) -> Result<(), Error> {
        let files = Files::new(&self.bundle);
        let mut command = self.runtime.verb(&files, args);
        runtime::run(&self.reaper, verb, &mut command, &files).await
    }

    /// Starts its command.
    ///
    /// # Errors
    /// It was started before, or what the runtime says.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        match self.init.status() {
            Status::Created => {}
            Status::Stopped => return Err(Error::State("the container has ended".into())),
            Status::Running | Status::Paused => {
                return Err(Error::State("the container runs already".into()));
            }
        }
        self.verb("start", &["start", &self.id]).await?;
        self.init.start();
        Ok(())
    }

    /// Adds a process; it waits to be started.
    ///
    /// # Errors
    /// There is one of that name.
    pub(crate) fn add(&self, exec_id: &str, wanted: Wanted, spec: Vec<u8>) -> Result<(), Error> {
        if self.init.status() == Status::Stopped {
            return Err(Error::State("the container has ended".into()));
        }
        let mut added = self.added();
        if added.contains_key(exec_id) {
            return Err(Error::Exists(format!("process `{exec_id}` of container `{}` is there", self.id)));
        }
        let process = Arc::new(Process::new(exec_id.to_owned(), wanted));
        added.insert(exec_id.to_owned(), Arc::new(Added { process, spec }));
        Ok(())
    }

    fn added(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Added>>> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process that was added. The second is its end.
    ///
    /// # Errors
    /// It was started before, the container does not run, or what the runtime says.
    pub(crate) async fn start_added(&self, added: &Added) -> Result<Ended, Error> {
        let process = &added.process;
        if process.pid() != 0 {
            return Err(Error::State(format!("process `{}` was started before", process.exec_id)));
        }
        let files = Files::new(&self.bundle);
        let path = self.bundle.join(format!("red-exec.{}.json", process.exec_id));
        std::fs::write(&path, &added.spec).at("cannot write", &path)?;
        let made = self
            .launch(process, &files, |console| self.runtime.exec(&self.id, &path, &files, console), "exec")
            .await;
        // The bundle goes with the container anyway.
        drop(std::fs::remove_file(&path));
        // One that did not start is as before: it can be forgotten.
        let ended = made?;
        process.start();
        Ok(ended)
    }

    /// One of its processes: the first where no name is given.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn process(&self, exec_id: &str) -> Result<Arc<Process>, Error> {
        if exec_id.is_empty() { Ok(self.init.clone()) } else { Ok(self.added_one(exec_id)?.process.clone()) }
    }

    /// One that was added.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn added_one(&self, exec_id: &str) -> Result<Arc<Added>, Error> {
        let unknown = || Error::Unknown(format!("container `{}` has no process `{exec_id}`", self.id));
        self.added().get(exec_id).cloned().ok_or_else(unknown)
    }

    /// Forgets one that was added.
    pub(crate) fn forget(&self, exec_id: &str) {
        self.added().remove(exec_id);
    }

    /// Those that were added and still run.
    #[must_use]
    pub(crate) fn running(&self) -> Vec<Arc<Process>> {
        let added = self.added();
        let all = added.values().map(|one| one.process.clone());
        all.filter(|process| process.pid() != 0 && process.exit().is_none()).collect()
    }

    /// Which of its processes has this number: a name, empty for the first.
    #[must_use]
    pub(crate) fn name_of(&self, pid: u32) -> Option<String> {
        self.running().into_iter().find(|process| process.pid() == pid).map(|process| process.exec_id.clone())
    }

    /// Ends what its first process has left, where the kernel does not.
    pub(crate) async fn end_rest(&self) {
        if !self.own_pids
            && let Err(error) = self.verb("kill", &["kill", "--all", &self.id, "KILL"]).await
        {
            crate::sys::log(&format!("what container `{}` left running: {error}", self.id));
        }
    }

    /// Sends a signal to one process, or to all of the container.
    ///
    /// # Errors
    /// It has ended, or what the kernel or the runtime says.
    pub(crate) async fn kill(&self, exec_id: &str, signal: u32, all: bool) -> Result<(), Error> {
        let process = self.process(exec_id)?;
        if process.exit().is_some() && (!all || self.own_pids) {
            return Err(Error::Unknown("process already finished".into()));
        }
        if exec_id.is_empty() && (all || self.init.status() == Status::Paused) {
            let number = signal.to_string();
            let args =
                if all { vec!["kill", "--all", &self.id, &number] } else { vec!["kill", &self.id, &number] };
            return self.verb("kill", &args).await;
        }
        process.signal(signal)
    }

    /// Stops everything in it, or lets it go on.
    ///
    /// # Errors
    /// It does not run, or what the runtime says.
    pub(crate) async fn pause(&self, paused: bool) -> Result<(), Error> {
        let verb = if paused { "pause" } else { "resume" };
        self.verb(verb, &[verb, &self.id]).await?;
        self.init.pause(paused);
        Ok(())
    }

    /// Changes its limits, as a `LinuxResources` of the runtime specification.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn update(&self, resources: &[u8]) -> Result<(), Error> {
        let files = Files::new(&self.bundle);
        let path = self.bundle.join("red-resources.json");
        std::fs::write(&path, resources).at("cannot write", &path)?;
        let from = path.display().to_string();
        let mut command = self.runtime.verb(&files, &["update", "--resources", &from, &self.id]);
        let done = runtime::run(&self.reaper, "update", &mut command, &files).await;
        drop(std::fs::remove_file(&path));
        done
    }

    /// Numbers of all its processes.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn pids(&self) -> Result<Vec<u32>, Error> {
        // containerd that was started again removes whatever has no process, and with it how it ended.
        if self.init.exit().is_some() {
            return Ok(vec![self.init.pid()]);
        }
        let files = Files::new(&self.bundle);
        let mut command = self.runtime.verb(&files, &["ps", "--format", "json", &self.id]);
        let out = runtime::ask(&self.reaper, "ps", &mut command, &files).await?;
        let pids: Option<Vec<u32>> = serde_json::from_slice(&out)
            .map_err(|source| Error::Json { what: "processes of the container".into(), source })?;
        Ok(pids.unwrap_or_default())
    }

    /// Removes it.
    ///
    /// # Errors
    /// It runs, or what the runtime says.
    pub(crate) async fn delete(&self) -> Result<(), Error> {
        if self.init.exit().is_none() {
            return Err(Error::State(format!("container `{}` is not stopped", self.id)));
        }
        if let Err(error) = self.verb("delete", &["delete", &self.id]).await {
            crate::sys::log(&format!("container `{}`: {error}; it is removed by force", self.id));
            self.verb("delete", &["delete", "--force", &self.id]).await?;
        }
        rootfs::unmount_all(&self.bundle.join("rootfs"));
        Ok(())
    }

    async fn remove_quietly(&self) {
        if let Some(streams) = self.init.take_streams() {
            streams.finish().await;
        }
        // The runtime that failed to create it has left nothing; one that was killed may have.
        if let Err(error) = self.verb("delete", &["delete", "--force", &self.id]).await {
            crate::sys::log(&format!("container `{}`: {error}", self.id));
        }
    }
}
