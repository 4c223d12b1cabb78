//! The Task API over ttrpc (containerd, api/runtime/task): messages become calls of [`Tasks`] and back.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use containerd_shim_protos::events::task as event;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::ProcessDetails;
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::shim_async::{Task, create_task};
use containerd_shim_protos::ttrpc::{
    self,
    r#async::{Service, TtrpcContext},
};
use containerd_shim_protos::types::empty::Empty;
use containerd_shim_protos::types::task as state;

use crate::annotations::Config;
use crate::args::identifier;
use crate::container::New;
use crate::error::{Error, bundle_path};
use crate::events::{choice, timestamp};
use crate::metrics;
use crate::options::Options;
use crate::process::Status;
use crate::rootfs::Mount;
use crate::runtime::Runtime;
use crate::stdio::Wanted;
use crate::tasks::Tasks;

/// Serves [`Tasks`].
#[derive(Clone, Debug)]
pub(crate) struct TaskService(pub(crate) Arc<Tasks>);

/// The service under both its names: version 3 is version 2 under another one.
#[must_use]
pub(crate) fn services(tasks: Arc<Tasks>) -> HashMap<String, Service> {
    let one = || create_task(Arc::new(TaskService(tasks.clone())));
    let second = one().into_iter().map(|(name, service)| (name.replace(".v3.", ".v2."), service));
    one().into_iter().chain(second).collect()
}

/// Does something to its end, also when whoever asked for it hangs up in the middle.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> ttrpc::Result<T> {
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Error::State(format!("it was given up: {error}")).into()),
    }
}

fn json(any: &MessageField<Any>, kind: &str, what: &str) -> Result<Vec<u8>, Error> {
    let any = any.as_ref().ok_or_else(|| Error::Invalid(format!("{what} is missing")))?;
    if !any.type_url.ends_with(kind) {
        return Err(Error::Invalid(format!("{what} is a `{}` and not a `{kind}`", any.type_url)));
    }
    Ok(any.value.clone())
}

#[async_trait::async_trait]
impl Task for TaskService {
    async fn create(
        &self,
        _: &TtrpcContext,
        request: api::CreateTaskRequest,
    ) -> ttrpc::Result<api::CreateTaskResponse> {
        let (new, told) = self.wanted(request)?;
        let pid = whole(self.0.clone().create(new, told)).await?;
        Ok(api::CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: api::StartRequest) -> ttrpc::Result<api::StartResponse> {
        let pid = whole(self.0.clone().start(request.id, request.exec_id)).await?;
        Ok(api::StartResponse { pid, ..Default::default() })
    }

    async fn delete(
        &self,
        _: &TtrpcContext,
        request: api::DeleteRequest,
    ) -> ttrpc::Result<api::DeleteResponse> {
        let (pid, exit) = whole(self.0.clone().delete(request.id, request.exec_id)).await?;
        Ok(api::DeleteResponse {
            pid,
            exit_status: exit.status,
            exited_at: MessageField::some(timestamp(exit.at)),
            ..Default::default()
        })
    }

    async fn exec(&self, _: &TtrpcContext, request: api::ExecProcessRequest) -> ttrpc::Result<Empty> {
        identifier("process", &request.exec_id)?;
        let spec = json(&request.spec, "/Process", "the description of the process")?;
        let wanted = Wanted {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        self.0.add(&request.id, &request.exec_id, wanted, spec)?;
        Ok(Empty::new())
    }

    async fn state(&self, _: &TtrpcContext, request: api::StateRequest) -> ttrpc::Result<api::StateResponse> {
        let container = self.0.get(&request.id)?;
        let process = container.process(&request.exec_id)?;
        let exit = process.exit();
        let status = match process.status() {
            Status::Created => state::Status::CREATED,
            Status::Running => state::Status::RUNNING,
            Status::Paused => state::Status::PAUSED,
            Status::Stopped => state::Status::STOPPED,
        };
        Ok(api::StateResponse {
            id: request.id,
            bundle: container.bundle.display().to_string(),
            pid: process.pid(),
            status: choice(status),
            stdin: process.wanted.stdin.clone(),
            stdout: process.wanted.stdout.clone(),
            stderr: process.wanted.stderr.clone(),
            terminal: process.wanted.terminal,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| timestamp(exit.at)).into(),
            exec_id: request.exec_id,
            ..Default::default()
        })
    }

    async fn wait(&self, _: &TtrpcContext, request: api::WaitRequest) -> ttrpc::Result<api::WaitResponse> {
        let process = self.0.get(&request.id)?.process(&request.exec_id)?;
        let exit = process.wait().await;
        Ok(api::WaitResponse {
            exit_status: exit.status,
            exited_at: MessageField::some(timestamp(exit.at)),
            ..Default::default()
        })
    }

    async fn kill(&self, _: &TtrpcContext, request: api::KillRequest) -> ttrpc::Result<Empty> {
        let container = self.0.get(&request.id)?;
        whole(async move { container.kill(&request.exec_id, request.signal, request.all).await }).await?;
        Ok(Empty::new())
    }

    async fn pids(&self, _: &TtrpcContext, request: api::PidsRequest) -> ttrpc::Result<api::PidsResponse> {
        let container = self.0.get(&request.id)?;
        let named = container.clone();
        let pids = whole(async move { container.pids().await }).await?;
        let mut processes = Vec::new();
        for pid in pids {
            let mut one = state::ProcessInfo { pid, ..Default::default() };
            if let Some(exec_id) = named.name_of(pid) {
                let details = ProcessDetails { exec_id, ..Default::default() };
                let value = details
                    .write_to_bytes()
                    .map_err(|source| Error::Message { what: "a process", source })?;
                let type_url = "containerd.runc.v1.ProcessDetails".into();
                one.info = MessageField::some(Any { type_url, value, ..Default::default() });
            }
            processes.push(one);
        }
        Ok(api::PidsResponse { processes, ..Default::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: api::PauseRequest) -> ttrpc::Result<Empty> {
        whole(self.0.clone().pause(request.id, true)).await?;
        Ok(Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, request: api::ResumeRequest) -> ttrpc::Result<Empty> {
        whole(self.0.clone().pause(request.id, false)).await?;
        Ok(Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: api::ResizePtyRequest) -> ttrpc::Result<Empty> {
        let process = self.0.get(&request.id)?.process(&request.exec_id)?;
        process.with_streams(|streams| streams.resize(request.width, request.height))??;
        Ok(Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, request: api::CloseIORequest) -> ttrpc::Result<Empty> {
        let process = self.0.get(&request.id)?.process(&request.exec_id)?;
        if request.stdin {
            process.with_streams(crate::stdio::Streams::close_stdin)?;
        }
        Ok(Empty::new())
    }

    async fn update(&self, _: &TtrpcContext, request: api::UpdateTaskRequest) -> ttrpc::Result<Empty> {
        let container = self.0.get(&request.id)?;
        let resources = json(&request.resources, "/LinuxResources", "what is to be changed")?;
        whole(async move { container.update(&resources).await }).await?;
        Ok(Empty::new())
    }

    async fn stats(&self, _: &TtrpcContext, request: api::StatsRequest) -> ttrpc::Result<api::StatsResponse> {
        let container = self.0.get(&request.id)?;
        let stats = metrics::of(container.init.pid())?;
        Ok(api::StatsResponse { stats: MessageField::some(stats), ..Default::default() })
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: api::CheckpointTaskRequest) -> ttrpc::Result<Empty> {
        Err(Error::Unsupported("checkpoint").into())
    }

    async fn connect(
        &self,
        _: &TtrpcContext,
        request: api::ConnectRequest,
    ) -> ttrpc::Result<api::ConnectResponse> {
        let task_pid = self.0.get(&request.id).map_or(0, |container| container.init.pid());
        Ok(api::ConnectResponse {
            shim_pid: std::process::id(),
            task_pid,
            version: crate::VERSION.into(),
            ..Default::default()
        })
    }

    async fn shutdown(&self, _: &TtrpcContext, _: api::ShutdownRequest) -> ttrpc::Result<Empty> {
        self.0.shut_down();
        Ok(Empty::new())
    }
}

impl TaskService {
    /// What is asked for, checked before anything is done.
    fn wanted(&self, request: api::CreateTaskRequest) -> Result<(New, event::TaskCreate), Error> {
        identifier("container", &request.id)?;
        if !request.checkpoint.is_empty() || !request.parent_checkpoint.is_empty() {
            return Err(Error::Unsupported("a container from a checkpoint"));
        }
        let bundle = bundle_path(&request.bundle)?;
        if !bundle.join("config.json").exists() {
            return Err(Error::Unknown(format!("bundle {} has no config.json", bundle.display())));
        }
        let config = Config::of(&bundle)?;
        let options = Options::of(request.options.as_ref())?;
        let runtime = Runtime::of(&options, &self.0.namespace, config.is_systemd());
        let mounts = request.rootfs.iter().map(Mount::try_from).collect::<Result<_, _>>()?;
        let io = event::TaskIO {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
            ..Default::default()
        };
        let told = event::TaskCreate {
            container_id: request.id.clone(),
            bundle: request.bundle,
            rootfs: request.rootfs,
            io: MessageField::some(io),
            ..Default::default()
        };
        let new = New {
            id: request.id,
            namespace: self.0.namespace.clone(),
            daemon: self.0.daemon.clone(),
            bundle,
            runtime,
            own_pids: config.has_pid_namespace(),
            mounts,
            wanted: Wanted {
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
                terminal: request.terminal,
            },
        };
        Ok((new, told))
    }
}
