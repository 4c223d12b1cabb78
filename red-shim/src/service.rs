//! The Task API over ttrpc (containerd, api/runtime/task): requests are decoded and passed to [`TaskManager`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use containerd_shim_protos::events::task as event;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
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
use crate::args::validate_id;
use crate::container::CreateRequest;
use crate::error::{Error, bundle_path, encode};
use crate::events::enum_value;
use crate::options::Options;
use crate::process::Status;
use crate::rootfs::Mount;
use crate::runtime::Runtime;
use crate::stdio::StdioConfig;
use crate::tasks::TaskManager;

/// Task service on top of [`TaskManager`].
#[derive(Clone, Debug)]
pub(crate) struct TaskService(pub(crate) Arc<TaskManager>);

/// The service under its v2 and v3 names; both versions have the same methods.
#[must_use]
pub(crate) fn services(tasks: Arc<TaskManager>) -> HashMap<String, Service> {
    let service_map = || create_task(Arc::new(TaskService(tasks.clone())));
    let v2 = service_map().into_iter().map(|(name, service)| (name.replace(".v3.", ".v2."), service));
    service_map().into_iter().chain(v2).collect()
}

/// Runs an operation to completion, even if the client disconnects.
async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> ttrpc::Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Error::FailedPrecondition(format!("operation failed: {error}")).into()),
    }
}

fn json_body(any: &MessageField<Any>, type_suffix: &str, field: &str) -> Result<Vec<u8>, Error> {
    let any = any.as_ref().ok_or_else(|| Error::Invalid(format!("missing {field}")))?;
    if !any.type_url.ends_with(type_suffix) {
        return Err(Error::Invalid(format!(
            "invalid type of {field}: expected `{type_suffix}`, got `{}`",
            any.type_url
        )));
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
        let (create, created_event) = self.create_request(request)?;
        let pid = run_to_completion(self.0.clone().create(create, created_event)).await?;
        Ok(api::CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: api::StartRequest) -> ttrpc::Result<api::StartResponse> {
        let pid = run_to_completion(self.0.clone().start(request.id, request.exec_id)).await?;
        Ok(api::StartResponse { pid, ..Default::default() })
    }

    async fn delete(
        &self,
        _: &TtrpcContext,
        request: api::DeleteRequest,
    ) -> ttrpc::Result<api::DeleteResponse> {
        let (pid, exit) = run_to_completion(self.0.clone().delete(request.id, request.exec_id)).await?;
        Ok(api::DeleteResponse {
            pid,
            exit_status: exit.status,
            exited_at: MessageField::some(exit.at.into()),
            ..Default::default()
        })
    }

    async fn exec(&self, _: &TtrpcContext, request: api::ExecProcessRequest) -> ttrpc::Result<Empty> {
        validate_id("exec ID", &request.exec_id)?;
        let spec = json_body(&request.spec, "/Process", "process spec")?;
        let stdio = StdioConfig::new([request.stdin, request.stdout, request.stderr], request.terminal)?;
        self.0.add_exec(&request.id, &request.exec_id, stdio, spec)?;
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
            status: enum_value(status),
            stdin: process.stdio.stdin.clone(),
            stdout: process.stdio.stdout.clone(),
            stderr: process.stdio.stderr.clone(),
            terminal: process.stdio.terminal,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| exit.at.into()).into(),
            exec_id: request.exec_id,
            ..Default::default()
        })
    }

    async fn wait(&self, _: &TtrpcContext, request: api::WaitRequest) -> ttrpc::Result<api::WaitResponse> {
        let process = self.0.get(&request.id)?.process(&request.exec_id)?;
        let exit = process.wait().await;
        Ok(api::WaitResponse {
            exit_status: exit.status,
            exited_at: MessageField::some(exit.at.into()),
            ..Default::default()
        })
    }

    async fn kill(&self, _: &TtrpcContext, request: api::KillRequest) -> ttrpc::Result<Empty> {
        let container = self.0.get(&request.id)?;
        run_to_completion(async move { container.kill(&request.exec_id, request.signal, request.all).await })
            .await?;
        Ok(Empty::new())
    }

    async fn pids(&self, _: &TtrpcContext, request: api::PidsRequest) -> ttrpc::Result<api::PidsResponse> {
        let container = self.0.get(&request.id)?;
        let task = container.clone();
        let pids = run_to_completion(async move { task.pids().await }).await?;
        let mut processes = Vec::new();
        for pid in pids {
            let mut info = state::ProcessInfo { pid, ..Default::default() };
            if let Some(exec_id) = container.exec_id_of(pid) {
                let details = ProcessDetails { exec_id, ..Default::default() };
                let value = encode(&details, "ProcessDetails")?;
                let type_url = "containerd.runc.v1.ProcessDetails".into();
                info.info = MessageField::some(Any { type_url, value, ..Default::default() });
            }
            processes.push(info);
        }
        Ok(api::PidsResponse { processes, ..Default::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: api::PauseRequest) -> ttrpc::Result<Empty> {
        run_to_completion(self.0.clone().pause(request.id, true)).await?;
        Ok(Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, request: api::ResumeRequest) -> ttrpc::Result<Empty> {
        run_to_completion(self.0.clone().pause(request.id, false)).await?;
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
        self.0.get(&request.id)?;
        let resources = json_body(&request.resources, "/LinuxResources", "resources")?;
        run_to_completion(self.0.clone().update(request.id, resources)).await?;
        Ok(Empty::new())
    }

    async fn stats(&self, _: &TtrpcContext, request: api::StatsRequest) -> ttrpc::Result<api::StatsResponse> {
        let stats = self.0.get(&request.id)?.metrics()?;
        Ok(api::StatsResponse { stats: MessageField::some(stats), ..Default::default() })
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: api::CheckpointTaskRequest) -> ttrpc::Result<Empty> {
        Err(Error::Unsupported("operation: checkpoint").into())
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
        self.0.request_shutdown();
        Ok(Empty::new())
    }
}

impl TaskService {
    /// Validates a create request; also returns its event.
    ///
    /// # Errors
    /// An invalid or unsupported field, or a bundle without a valid configuration.
    pub(crate) fn create_request(
        &self,
        request: api::CreateTaskRequest,
    ) -> Result<(CreateRequest, event::TaskCreate), Error> {
        validate_id("container ID", &request.id)?;
        if !request.checkpoint.is_empty() || !request.parent_checkpoint.is_empty() {
            return Err(Error::Unsupported("operation: restore from a checkpoint"));
        }
        let bundle = bundle_path(&request.bundle)?;
        if !bundle.join("config.json").exists() {
            return Err(Error::NotFound(format!("config.json not found in bundle {}", bundle.display())));
        }
        let config = Config::load(&bundle)?;
        let options = Options::from_any(request.options.as_ref())?;
        let runtime = Runtime::from_options(&options, &self.0.shim.namespace, config.is_systemd_cgroup());
        let mounts = request.rootfs.iter().map(Mount::try_from).collect::<Result<_, _>>()?;
        let io = event::TaskIO {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
            ..Default::default()
        };
        let stdio = StdioConfig::new([request.stdin, request.stdout, request.stderr], request.terminal)?;
        let event = event::TaskCreate {
            container_id: request.id.clone(),
            bundle: request.bundle,
            rootfs: request.rootfs,
            io: MessageField::some(io),
            ..Default::default()
        };
        let create = CreateRequest {
            id: request.id,
            bundle,
            runtime,
            own_pid_namespace: config.has_own_pid_namespace(),
            mounts,
            stdio,
        };
        Ok((create, event))
    }
}
