//! A ttrpc client that calls a shim directly, without containerd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::Options;
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::ttrpc::{self, Client, Code, Request};
use containerd_shim_protos::types::empty::Empty;
use red_tests::call::{built, run};
use red_tests::daemon::kill;
use red_tests::stage::Stage;

/// A further connection to a shim.
pub(crate) struct Connection(Client);

impl Connection {
    /// State of a container's init process.
    pub(crate) fn status(&self, id: &str) -> Answer<api::StateResponse> {
        let request = api::StateRequest { id: id.into(), ..Default::default() };
        let payload = request.write_to_bytes().expect("complete message");
        let bytes = call(&self.0, "v3", "State", payload)?;
        Ok(api::StateResponse::parse_from_bytes(&bytes).expect("valid message"))
    }
}

fn call(client: &Client, version: &str, method: &str, payload: Vec<u8>) -> Answer<Vec<u8>> {
    try_call(client, version, method, payload).unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// Calls a method; an error if the connection ends before the response.
fn try_call(
    client: &Client,
    version: &str,
    method: &str,
    payload: Vec<u8>,
) -> Result<Answer<Vec<u8>>, ttrpc::Error> {
    let request = Request {
        service: format!("containerd.task.{version}.Task"),
        method: method.into(),
        timeout_nano: 30_000_000_000,
        payload,
        ..Default::default()
    };
    match client.request(request) {
        Ok(response) => Ok(Ok(response.payload)),
        Err(ttrpc::Error::RpcStatus(status)) => Ok(Err((status.code(), status.message))),
        Err(error) => Err(error),
    }
}

/// A shim that was started without containerd; killed on drop with all of its containers.
pub(crate) struct Shim {
    client: Client,
    /// Path of its socket.
    pub(crate) socket: PathBuf,
    namespace: String,
    bundle: PathBuf,
    /// PID of the shim.
    pub(crate) pid: i32,
}

/// Result of a call, or its gRPC status.
pub(crate) type Answer<T> = Result<T, (Code, String)>;

impl Shim {
    /// Starts a shim in a bundle directory.
    pub(crate) fn start(stage: &Stage, bundle: &Path, id: &str) -> Self {
        Self::with_env(stage, bundle, id, &[])
    }

    /// Starts a shim with variables in its environment.
    pub(crate) fn with_env(stage: &Stage, bundle: &Path, id: &str, env: &[(&str, &str)]) -> Self {
        let namespace = format!("red-test-{}-{id}", std::process::id());
        // A descriptor that the shim has to close.
        let mut command = Command::new("sh");
        command.args(["-c", "exec 9</dev/zero; exec \"$@\"", "sh"]).arg(built("containerd-shim-red-v2"));
        command.args(["-namespace", &namespace, "-address"]).arg(stage.pool.join("sock"));
        command.args(["-publish-binary", "/no/containerd", "-id", id, "start"]).current_dir(bundle);
        command.env_clear().env("PATH", "/usr/bin").env("NODE_PREFIX", stage.pool.join("prefix"));
        let address = run(command.envs(env.iter().copied()).stdin(Stdio::null())).good().out;
        assert_eq!(address, std::fs::read_to_string(bundle.join("address")).expect("exists"));
        let client = Client::connect(&address).expect("connect");
        let socket = address.strip_prefix("unix://").expect("unix:// address").into();
        let mut this = Self { client, socket, namespace, bundle: bundle.into(), pid: 0 };
        let connect = api::ConnectRequest { id: id.into(), ..Default::default() };
        let response: api::ConnectResponse = this.call("Connect", &connect).expect("response");
        this.pid = i32::try_from(response.shim_pid).expect("valid number");
        this
    }

    /// Calls a method with an encoded request.
    pub(crate) fn raw(&self, version: &str, method: &str, payload: Vec<u8>) -> Answer<Vec<u8>> {
        call(&self.client, version, method, payload)
    }

    /// A further connection.
    pub(crate) fn connect(&self) -> Connection {
        Connection(Client::connect(&format!("unix://{}", self.socket.display())).expect("connect"))
    }

    /// Calls a method; `None` if the shim exits before it responds.
    pub(crate) fn try_raw(&self, method: &str, payload: Vec<u8>) -> Option<Answer<Vec<u8>>> {
        try_call(&self.client, "v3", method, payload).ok()
    }

    /// Calls a method.
    pub(crate) fn call<T: Message>(&self, method: &str, request: &impl Message) -> Answer<T> {
        let payload = request.write_to_bytes().expect("complete message");
        let answer = self.raw("v3", method, payload);
        Ok(T::parse_from_bytes(&answer?).expect("valid message"))
    }

    /// Calls a method without a result, which has to succeed.
    pub(crate) fn good(&self, method: &str, request: &impl Message) {
        let _: Empty = self.call(method, request).expect(method);
    }

    /// Calls a method that has to fail.
    pub(crate) fn wrong(&self, method: &str, request: &impl Message) -> (Code, String) {
        let answer = self.raw("v2", method, request.write_to_bytes().expect("complete message"));
        answer.expect_err(method)
    }

    /// Request to create a container without streams.
    pub(crate) fn create(&self, id: &str, bundle: &Path) -> api::CreateTaskRequest {
        api::CreateTaskRequest { id: id.into(), bundle: bundle.display().to_string(), ..Default::default() }
    }

    /// Creates and starts a container. Returns its PID.
    pub(crate) fn run(&self, request: &api::CreateTaskRequest) -> u32 {
        let created: api::CreateTaskResponse = self.call("Create", request).expect("valid request");
        self.start_process(&request.id, "").expect("created");
        created.pid
    }

    /// Starts the init process or an exec process.
    pub(crate) fn start_process(&self, id: &str, exec_id: &str) -> Answer<api::StartResponse> {
        let start = api::StartRequest { id: id.into(), exec_id: exec_id.into(), ..Default::default() };
        self.call("Start", &start)
    }

    /// Sends SIGKILL to the init process or an exec process.
    pub(crate) fn kill(&self, id: &str, exec_id: &str) {
        let kill =
            api::KillRequest { id: id.into(), exec_id: exec_id.into(), signal: 9, ..Default::default() };
        self.good("Kill", &kill);
    }

    /// Exit status of the init process or an exec process, once it has exited.
    pub(crate) fn wait(&self, id: &str, exec_id: &str) -> Answer<u32> {
        let wait = api::WaitRequest { id: id.into(), exec_id: exec_id.into(), ..Default::default() };
        self.call("Wait", &wait).map(|response: api::WaitResponse| response.exit_status)
    }

    /// Deletes a container or an exec process.
    pub(crate) fn delete(&self, id: &str, exec_id: &str) -> Answer<api::DeleteResponse> {
        let delete = api::DeleteRequest { id: id.into(), exec_id: exec_id.into(), ..Default::default() };
        self.call("Delete", &delete)
    }

    /// State of a container's init process.
    pub(crate) fn status(&self, id: &str) -> Answer<api::StateResponse> {
        self.call("State", &api::StateRequest { id: id.into(), ..Default::default() })
    }

    /// Kills the shim only; its containers keep running.
    pub(crate) fn kill_shim(&self) {
        kill(self.pid);
    }

    /// Command `delete` of the shim's binary, which cleans up after a killed shim.
    pub(crate) fn delete_command(&self, id: &str) -> Command {
        let mut command = Command::new(built("containerd-shim-red-v2"));
        command.args(["-namespace", &self.namespace, "-address", "/no/sock", "-id", id, "-bundle"]);
        command.arg(&self.bundle).arg("delete").current_dir("/").stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/bin");
        command
    }

    /// State directory of the shim's runtime.
    pub(crate) fn state_dir(&self) -> PathBuf {
        Path::new("/run/containerd/red").join(&self.namespace)
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        kill(self.pid);
        let states = self.state_dir();
        let runtime =
            |args: &[&str]| run(Command::new(built("red-runtime")).arg("--root").arg(&states).args(args));
        if states.exists() {
            for id in runtime(&["list", "-q"]).out.lines() {
                runtime(&["delete", "--force", id]);
            }
            drop(std::fs::remove_dir_all(&states));
        }
        for mount_point in mounts(&self.bundle).iter().rev() {
            run(Command::new("umount").args(["--lazy", mount_point]));
        }
        drop(std::fs::remove_file(&self.socket));
    }
}

/// Mount points at or below a directory.
pub(crate) fn mounts(dir: &Path) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount_points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    mount_points.filter(|mount_point| Path::new(mount_point).starts_with(dir)).map(str::to_owned).collect()
}

/// Protobuf `Any`.
pub(crate) fn any(type_url: &str, value: impl Into<Vec<u8>>) -> MessageField<Any> {
    MessageField::some(Any { type_url: type_url.into(), value: value.into(), ..Default::default() })
}

/// Process spec of a shell script.
pub(crate) fn process(script: &str) -> MessageField<Any> {
    let spec = serde_json::json!({
        "cwd": "/", "args": ["/usr/bin/sh", "-c", script], "env": ["PATH=/usr/bin"], "user": {"uid": 0, "gid": 0},
    });
    any("types.containerd.io/opencontainers/runtime-spec/1/Process", spec.to_string())
}

/// Request to add an exec process without streams.
pub(crate) fn exec(id: &str, exec_id: &str, spec: MessageField<Any>) -> api::ExecProcessRequest {
    api::ExecProcessRequest { id: id.into(), exec_id: exec_id.into(), spec, ..Default::default() }
}

/// Runtime options that name a binary.
pub(crate) fn binary_option(program: &Path) -> MessageField<Any> {
    let options = Options { binary_name: program.display().to_string(), ..Options::default() };
    any("containerd.runc.v1.Options", options.write_to_bytes().expect("complete message"))
}

/// Writes a program that calls red-runtime, with shell code around it: `$runtime "$@"`.
pub(crate) fn runtime_wrapper(stage: &Stage, name: &str, script: &str) -> PathBuf {
    let text = format!("#!/bin/sh\nruntime={}\n{script}\n", built("red-runtime").display());
    let program = stage.pool.write(name, text);
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("test directory is writable");
    program
}
