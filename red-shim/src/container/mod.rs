//! A container and its operations.

mod launch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::context::ShimContext;
use crate::error::{Error, decode_json};
use crate::metrics::{self, Cgroup};
use crate::oom::OomWatch;
use crate::process::{Process, Status};
use crate::reaper::ExitFuture;
use crate::rootfs;
use crate::runtime::{self, CallFiles, Runtime};
use crate::stdio::StdioConfig;

/// A container of the shim.
#[derive(Debug)]
pub(crate) struct Container {
    /// Container ID.
    pub(crate) id: String,
    /// Bundle directory.
    pub(crate) bundle: PathBuf,
    /// Runtime of the container.
    runtime: Runtime,
    /// The container has its own PID namespace, so the kernel kills all processes after init exits.
    own_pid_namespace: bool,
    /// Init process.
    pub(crate) init: Arc<Process>,
    /// Cgroup of the init process before its start; `None` if it was not found.
    cgroup: Option<Cgroup>,
    execs: Mutex<HashMap<String, Arc<ExecProcess>>>,
    /// The init process has exited, though its exit may not be published yet: no exec process is started any more.
    init_exited: AtomicBool,
    /// Whether the container was deleted. Locked by calls of the runtime that name the container without holding the
    /// `state_lock` of init, so that they never reach a successor with the same ID.
    is_deleted: RwLock<bool>,
    shim: Arc<ShimContext>,
}

/// An exec process and its OCI process spec.
#[derive(Debug)]
pub(crate) struct ExecProcess {
    /// State of the process.
    pub(crate) process: Arc<Process>,
    spec: Vec<u8>,
}

/// Parameters of [`Container::create`].
#[derive(Debug)]
pub(crate) struct CreateRequest {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) runtime: Runtime,
    pub(crate) own_pid_namespace: bool,
    pub(crate) mounts: Vec<rootfs::Mount>,
    pub(crate) stdio: StdioConfig,
}

impl Container {
    /// Creates a container, and returns it with the exit of its init process.
    ///
    /// # Errors
    /// A mount, a stream or the runtime's `create` fails; everything is cleaned up then.
    pub(crate) async fn create(
        request: CreateRequest,
        shim: Arc<ShimContext>,
    ) -> Result<(Self, ExitFuture), Error> {
        let root = request.bundle.join("rootfs");
        request.runtime.save(&request.bundle)?;
        let files = CallFiles::new(&request.bundle)?;
        rootfs::mount_all(&request.mounts, &root)?;
        let mut this = Self::without_process(request, shim);
        let result = this
            .launch(
                &this.init,
                &files,
                |console| this.runtime.create(&this.id, &this.bundle, &files, console),
                "create",
            )
            .await;
        match result {
            Ok(exit) => {
                // Before its start: later it may move itself, and its PID may be reused.
                match Cgroup::of_process(this.init.pid()) {
                    Ok(cgroup) => this.cgroup = Some(cgroup),
                    Err(error) => crate::sys::log(&format!("container `{}`: {error}", this.id)),
                }
                Ok((this, exit))
            }
            Err(error) => {
                this.cleanup_failed_create().await;
                rootfs::unmount_all(&root);
                Err(error)
            }
        }
    }

    /// A container whose init process does not exist yet.
    #[must_use]
    pub(crate) fn without_process(request: CreateRequest, shim: Arc<ShimContext>) -> Self {
        Self {
            id: request.id,
            bundle: request.bundle,
            runtime: request.runtime,
            own_pid_namespace: request.own_pid_namespace,
            init: Arc::new(Process::new(String::new(), request.stdio)),
            cgroup: None,
            execs: Mutex::default(),
            init_exited: AtomicBool::new(false),
            is_deleted: RwLock::new(false),
            shim,
        }
    }

    /// Runs a subcommand of the runtime.
    async fn run_runtime(&self, subcommand: &'static str, args: &[&str]) -> Result<(), Error> {
        let files = CallFiles::new(&self.bundle)?;
        let mut command = self.runtime.command(&files, args);
        runtime::run(&self.shim.reaper, subcommand, &mut command, &files).await
    }

    /// Starts the init process.
    ///
    /// # Errors
    /// The container is not in the created state, or the runtime's `start` fails.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        match self.init.status() {
            Status::Created => {}
            Status::Stopped => return Err(Error::FailedPrecondition("the container has stopped".into())),
            Status::Running | Status::Paused => {
                return Err(Error::FailedPrecondition("the container is already running".into()));
            }
        }
        self.run_runtime("start", &["start", &self.id]).await?;
        self.init.set_started();
        Ok(())
    }

    /// Adds an exec process, without starting it.
    ///
    /// # Errors
    /// The container has stopped, or the exec ID is in use.
    pub(crate) fn add_exec(&self, exec_id: &str, stdio: StdioConfig, spec: Vec<u8>) -> Result<(), Error> {
        self.refuse_stopped()?;
        let mut execs = self.execs();
        if execs.contains_key(exec_id) {
            return Err(Error::AlreadyExists(format!(
                "exec `{exec_id}` of container `{}` already exists",
                self.id
            )));
        }
        let process = Arc::new(Process::new(exec_id.to_owned(), stdio));
        execs.insert(exec_id.to_owned(), Arc::new(ExecProcess { process, spec }));
        Ok(())
    }

    fn refuse_stopped(&self) -> Result<(), Error> {
        if self.init_exited.load(Ordering::Relaxed) || self.init.status() == Status::Stopped {
            return Err(Error::FailedPrecondition("the container has stopped".into()));
        }
        Ok(())
    }

    fn execs(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<ExecProcess>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an exec process, and returns its exit.
    ///
    /// # Errors
    /// The process was started before, the container has stopped, a stream cannot be opened, or the runtime's `exec`
    /// fails. The process counts as exited after a failed `exec`.
    pub(crate) async fn start_exec(&self, exec: &ExecProcess) -> Result<ExitFuture, Error> {
        let process = &exec.process;
        if process.pid() != 0 || process.exit().is_some() {
            return Err(Error::FailedPrecondition(format!("exec `{}` was already started", process.exec_id)));
        }
        self.refuse_stopped()?;
        let result = async {
            let files = CallFiles::new(&self.bundle)?;
            let spec = files.write_input(&exec.spec)?;
            let command = |console: Option<&Path>| self.runtime.exec(&self.id, spec, &files, console);
            self.launch(process, &files, command, "exec").await
        };
        match result.await {
            Ok(exit) => {
                process.set_started();
                Ok(exit)
            }
            Err(error) => {
                process.set_never_started();
                Err(error)
            }
        }
    }

    /// Process by exec ID; the init process for an empty one.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown exec ID.
    pub(crate) fn process(&self, exec_id: &str) -> Result<Arc<Process>, Error> {
        if exec_id.is_empty() {
            Ok(self.init.clone())
        } else {
            Ok(self.exec_process(exec_id)?.process.clone())
        }
    }

    /// Exec process by exec ID.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown exec ID.
    pub(crate) fn exec_process(&self, exec_id: &str) -> Result<Arc<ExecProcess>, Error> {
        let not_found = || Error::NotFound(format!("exec `{exec_id}` of container `{}` not found", self.id));
        self.execs().get(exec_id).cloned().ok_or_else(not_found)
    }

    /// Whether this is the process of its exec ID, and not a deleted one.
    #[must_use]
    pub(crate) fn is_current(&self, process: &Arc<Process>) -> bool {
        self.process(&process.exec_id).is_ok_and(|current| Arc::ptr_eq(&current, process))
    }

    /// Removes an exec process.
    pub(crate) fn remove_exec(&self, exec_id: &str) {
        self.execs().remove(exec_id);
    }

    fn exec_processes(&self) -> Vec<Arc<Process>> {
        self.execs().values().map(|exec| exec.process.clone()).collect()
    }

    /// Ends all exec processes after the exit of init, and waits for their exits. No other is started any more.
    pub(crate) async fn end_execs(&self) {
        self.init_exited.store(true, Ordering::Relaxed);
        let execs = self.exec_processes();
        let is_starting = execs.iter().any(|process| process.state_lock.try_lock().is_err());
        self.kill_remaining().await;
        for process in &execs {
            // A start in progress either fails, or publishes its start event first.
            drop(process.state_lock.lock().await);
        }
        if is_starting {
            self.kill_remaining().await;
        }
        for process in execs.iter().filter(|process| process.pid() != 0) {
            process.wait().await;
        }
    }

    /// Exec ID of the running exec process with this PID.
    #[must_use]
    pub(crate) fn exec_id_of(&self, pid: u32) -> Option<String> {
        self.exec_processes()
            .into_iter()
            .find(|process| process.pid() == pid && process.exit().is_none())
            .map(|process| process.exec_id.clone())
    }

    /// Kills the processes that outlive init in a shared PID namespace.
    async fn kill_remaining(&self) {
        if !self.own_pid_namespace
            && let Err(error) = self.run_runtime("kill", &["kill", "--all", &self.id, "KILL"]).await
        {
            crate::sys::log(&format!("cannot kill remaining processes of container `{}`: {error}", self.id));
        }
    }

    /// Sends a signal to a process, or to all processes of the container.
    ///
    /// # Errors
    /// The process has exited, the signal is invalid, or the runtime's `kill` fails.
    pub(crate) async fn kill(&self, exec_id: &str, signal: u32, all: bool) -> Result<(), Error> {
        let process = self.process(exec_id)?;
        if process.exit().is_some() && (!all || self.own_pid_namespace) {
            return Err(Error::NotFound("process already finished".into()));
        }
        if exec_id.is_empty() && (all || self.init.status() == Status::Paused) {
            let signal_number = signal.to_string();
            let args = if all {
                vec!["kill", "--all", &self.id, &signal_number]
            } else {
                vec!["kill", &self.id, &signal_number]
            };
            let _deletion_lock = self.lock_deletion().await?;
            return self.run_runtime("kill", &args).await;
        }
        process.signal(signal)
    }

    /// Defers the deletion of the container.
    async fn lock_deletion(&self) -> Result<RwLockReadGuard<'_, bool>, Error> {
        let is_deleted = self.is_deleted.read().await;
        if *is_deleted {
            return Err(Error::NotFound(format!("container `{}` was deleted", self.id)));
        }
        Ok(is_deleted)
    }

    /// Pauses or resumes all processes.
    ///
    /// # Errors
    /// The runtime's `pause` or `resume` fails.
    pub(crate) async fn pause(&self, paused: bool) -> Result<(), Error> {
        let subcommand = if paused { "pause" } else { "resume" };
        self.run_runtime(subcommand, &[subcommand, &self.id]).await?;
        self.init.set_paused(paused);
        Ok(())
    }

    /// Updates the resource limits from a `LinuxResources` of the OCI runtime specification, in JSON.
    ///
    /// # Errors
    /// The runtime's `update` fails.
    pub(crate) async fn update(&self, resources: &[u8]) -> Result<(), Error> {
        let files = CallFiles::new(&self.bundle)?;
        let path = files.write_input(resources)?.display().to_string();
        let mut command = self.runtime.command(&files, &["update", "--resources", &path, &self.id]);
        runtime::run(&self.shim.reaper, "update", &mut command, &files).await
    }

    /// Metrics of the container's cgroup.
    ///
    /// # Errors
    /// The cgroup was not found at creation, or does not exist any more.
    pub(crate) fn metrics(&self) -> Result<Any, Error> {
        let not_found = || Error::FailedPrecondition(format!("cgroup of container `{}` not found", self.id));
        metrics::collect(self.cgroup.as_ref().ok_or_else(not_found)?)
    }

    /// Watches the container's cgroup for OOM kills.
    pub(crate) fn watch_oom(&self) -> OomWatch {
        self.cgroup.as_ref().map_or(OomWatch::Unavailable, |cgroup| OomWatch::new(cgroup, &self.shim.inotify))
    }

    /// PIDs of all processes.
    ///
    /// # Errors
    /// The runtime's `ps` fails.
    pub(crate) async fn pids(&self) -> Result<Vec<u32>, Error> {
        // A restarted containerd deletes a task without PIDs, and its exit status is lost.
        if self.init.exit().is_some() {
            return Ok(vec![self.init.pid()]);
        }
        let _deletion_lock = self.lock_deletion().await?;
        let files = CallFiles::new(&self.bundle)?;
        let mut command = self.runtime.command(&files, &["ps", "--format", "json", &self.id]);
        let out = runtime::output(&self.shim.reaper, "ps", &mut command, &files).await?;
        let pids: Option<Vec<u32>> = decode_json(&out, "output of `ps`")?;
        Ok(pids.unwrap_or_default())
    }

    /// Deletes the container, by force if the first attempt fails.
    ///
    /// # Errors
    /// The container has not stopped, or the runtime's `delete` fails.
    pub(crate) async fn delete(&self) -> Result<(), Error> {
        if self.init.exit().is_none() {
            return Err(Error::FailedPrecondition(format!("container `{}` is not stopped", self.id)));
        }
        let mut is_deleted = self.is_deleted.write().await;
        if let Err(error) = self.run_runtime("delete", &["delete", &self.id]).await {
            crate::sys::log(&format!("container `{}`: {error}; retrying with --force", self.id));
            self.run_runtime("delete", &["delete", "--force", &self.id]).await?;
        }
        *is_deleted = true;
        rootfs::unmount_all(&self.bundle.join("rootfs"));
        // Clients may still wait for exec processes that were never started.
        for process in self.exec_processes() {
            process.set_never_started();
        }
        Ok(())
    }

    async fn cleanup_failed_create(&self) {
        if let Some(streams) = self.init.take_streams() {
            self.shim.finish(streams).await;
        }
        // A runtime that was killed during `create` leaves state behind.
        if let Err(error) = self.run_runtime("delete", &["delete", "--force", &self.id]).await {
            crate::sys::log(&format!("container `{}`: {error}", self.id));
        }
    }
}
