//! A client that sends what containerd never would, straight to the shim.

use std::path::Path;
use std::process::Command;

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageDyn, MessageField};
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::ttrpc::Code;
use red_tests::call::run;
use red_tests::stage::{Stage, eventually};

use crate::client::{Shim, any, exec, process};

/// Requests of every kind for a container.
pub(crate) fn everything(id: &str) -> Vec<(&'static str, Box<dyn MessageDyn>)> {
    let id = || id.to_owned();
    vec![
        ("State", Box::new(api::StateRequest { id: id(), ..Default::default() })),
        ("Start", Box::new(api::StartRequest { id: id(), ..Default::default() })),
        ("Delete", Box::new(api::DeleteRequest { id: id(), ..Default::default() })),
        ("Pids", Box::new(api::PidsRequest { id: id(), ..Default::default() })),
        ("Pause", Box::new(api::PauseRequest { id: id(), ..Default::default() })),
        ("Resume", Box::new(api::ResumeRequest { id: id(), ..Default::default() })),
        ("Kill", Box::new(api::KillRequest { id: id(), signal: 15, ..Default::default() })),
        ("Exec", Box::new(exec(&id(), "x", process("true")))),
        (
            "ResizePty",
            Box::new(api::ResizePtyRequest { id: id(), width: 1, height: 1, ..Default::default() }),
        ),
        ("CloseIO", Box::new(api::CloseIORequest { id: id(), stdin: true, ..Default::default() })),
        ("Update", Box::new(api::UpdateTaskRequest { id: id(), ..Default::default() })),
        ("Wait", Box::new(api::WaitRequest { id: id(), ..Default::default() })),
        ("Stats", Box::new(api::StatsRequest { id: id(), ..Default::default() })),
    ]
}

#[test]
fn names_that_nobody_has() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["/usr/bin/sleep", "1000"], |_| {});
    let shim = Shim::start(&stage, &bundle, "wrong-a");
    for id in ["nobody", "", "../..", "a/b", &"x".repeat(100_000)] {
        for (method, request) in everything(id) {
            let payload = request.write_to_bytes_dyn().expect("complete message");
            let (code, message) = shim.raw("v2", method, payload).expect_err(method);
            assert_eq!(code, Code::NOT_FOUND, "{method} {message}");
        }
        // Unsupported whatever the container.
        let checkpoint = api::CheckpointTaskRequest { id: id.into(), ..Default::default() };
        assert_eq!(shim.wrong("Checkpoint", &checkpoint).0, Code::UNIMPLEMENTED);
    }
}

#[test]
fn creations_that_are_refused_keep_no_name() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["/usr/bin/sleep", "1000"], |_| {});
    let shim = Shim::start(&stage, &bundle, "wrong-a");
    let refused = |request: &api::CreateTaskRequest, expected: Code| {
        let (code, message) = shim.wrong("Create", request);
        assert_eq!(code, expected, "{message}");
    };
    for id in ["", "../x", "a/b", "a b", ".", &"x".repeat(77)] {
        refused(&shim.create(id, &bundle), Code::INVALID_ARGUMENT);
    }
    let broken = stage.pool.mkdir("broken");
    refused(&shim.create("wrong-a", &broken), Code::NOT_FOUND);
    stage.pool.write("broken/config.json", "{}x");
    refused(&shim.create("wrong-a", &broken), Code::INVALID_ARGUMENT);
    stage.pool.write("broken/config.json", "{}");
    let (_, message) = shim.wrong("Create", &shim.create("wrong-a", &broken));
    assert!(message.contains("OCI runtime create failed: "), "{message}");
    refused(&shim.create("wrong-a", Path::new("relative")), Code::INVALID_ARGUMENT);
    // A FIFO without a writer would block the shim.
    std::fs::remove_file(broken.join("config.json")).expect("exists");
    run(Command::new("mkfifo").arg(broken.join("config.json"))).good();
    refused(&shim.create("wrong-a", &broken), Code::INVALID_ARGUMENT);
    for options in [
        any("google.protobuf.Empty", ""),
        any("containerd.runc.v1.Options", [0xff; 3]),
        any("runtimeoptions.v1.Options", [0x1a, 4, b'x', b'=', b'1', b'\n']),
    ] {
        refused(
            &api::CreateTaskRequest { options, ..shim.create("wrong-a", &bundle) },
            Code::INVALID_ARGUMENT,
        );
    }
    for stream in ["relative", "npipe:///x", "file://host/x"] {
        let stdout = stream.to_owned();
        refused(
            &api::CreateTaskRequest { stdout, ..shim.create("wrong-a", &bundle) },
            Code::INVALID_ARGUMENT,
        );
    }
    let _: api::CreateTaskResponse =
        shim.call("Create", &shim.create("wrong-a", &bundle)).expect("valid request");
}

/// A shim with a container that exits with 3 at SIGTERM.
struct Case {
    id: &'static str,
    shim: Shim,
    bundle: std::path::PathBuf,
    _stage: Stage,
}

impl Case {
    fn new(id: &'static str) -> Self {
        let stage = Stage::new();
        let script = "trap 'exit 3' TERM; while :; do sleep 0.05; done";
        let bundle = stage.plain("b", &["/usr/bin/sh", "-c", script], |_| {});
        let shim = Shim::start(&stage, &bundle, id);
        Self { id, shim, bundle, _stage: stage }
    }

    fn running(id: &'static str) -> Self {
        let this = Self::new(id);
        this.shim.run(&this.shim.create(id, &this.bundle));
        this
    }

    fn code(&self, method: &str, request: &impl Message) -> Code {
        self.shim.wrong(method, request).0
    }

    fn start(&self, exec_id: &str) -> api::StartRequest {
        api::StartRequest { id: self.id.into(), exec_id: exec_id.into(), ..Default::default() }
    }

    fn delete(&self, exec_id: &str) -> api::DeleteRequest {
        api::DeleteRequest { id: self.id.into(), exec_id: exec_id.into(), ..Default::default() }
    }

    fn kill(&self, signal: u32, exec_id: &str) -> api::KillRequest {
        api::KillRequest { id: self.id.into(), signal, exec_id: exec_id.into(), ..Default::default() }
    }

    fn exec(&self, exec_id: &str, spec: MessageField<Any>) -> api::ExecProcessRequest {
        exec(self.id, exec_id, spec)
    }
}

#[test]
fn out_of_order_and_again() {
    let case = Case::new("wrong-b");
    let (id, shim) = (case.id, &case.shim);
    let create = shim.create(id, &case.bundle);
    let created: api::CreateTaskResponse = shim.call("Create", &create).expect("plain bundle");
    assert_eq!(case.code("Create", &create), Code::ALREADY_EXISTS);
    assert_eq!(case.code("Delete", &case.delete("")), Code::FAILED_PRECONDITION);
    assert_eq!(shim.start_process(id, "").expect("created").pid, created.pid);
    assert_eq!(case.code("Start", &case.start("")), Code::FAILED_PRECONDITION);
    assert_eq!(case.code("Delete", &case.delete("")), Code::FAILED_PRECONDITION);
    for number in [65, 1 << 31, u32::MAX] {
        assert_eq!(case.code("Kill", &case.kill(number, "")), Code::INVALID_ARGUMENT);
    }
    let checkpoint = api::CheckpointTaskRequest { id: id.into(), ..Default::default() };
    assert_eq!(case.code("Checkpoint", &checkpoint), Code::UNIMPLEMENTED);
    // It does not go while a container is there.
    let shutdown = api::ShutdownRequest { id: id.into(), ..Default::default() };
    shim.good("Shutdown", &shutdown);
    shim.good("Kill", &case.kill(15, ""));
    assert_eq!(shim.wait(id, ""), Ok(3));
    assert_eq!(case.code("Start", &case.start("")), Code::FAILED_PRECONDITION);
    assert_eq!(case.code("Exec", &case.exec("y", process("true"))), Code::FAILED_PRECONDITION);
    let removed = shim.delete(id, "").expect("stopped");
    assert_eq!((removed.exit_status, removed.pid), (3, created.pid));
    assert_eq!(case.code("Delete", &case.delete("")), Code::NOT_FOUND);
    shim.good("Shutdown", &shutdown);
    eventually("it goes", || !shim.socket.exists() && !Path::new(&format!("/proc/{}", shim.pid)).exists());
}

/// Processes: wrong ones, one twice, one that never starts, one of which nothing is known.
#[test]
fn exec_processes_out_of_order_and_again() {
    let case = Case::running("wrong-d");
    let (id, shim) = (case.id, &case.shim);
    for (exec_id, spec, code) in [
        ("", process("true"), Code::INVALID_ARGUMENT),
        ("../x", process("true"), Code::INVALID_ARGUMENT),
        ("x", MessageField::none(), Code::INVALID_ARGUMENT),
        ("x", any("google.protobuf.Empty", ""), Code::INVALID_ARGUMENT),
    ] {
        assert_eq!(case.code("Exec", &case.exec(exec_id, spec)), code, "{exec_id}");
    }
    let stream = api::ExecProcessRequest { stdout: "relative".into(), ..case.exec("x", process("true")) };
    assert_eq!(case.code("Exec", &stream), Code::INVALID_ARGUMENT);
    assert_eq!(case.code("Start", &case.start("x")), Code::NOT_FOUND);
    assert_eq!(case.code("Delete", &case.delete("x")), Code::NOT_FOUND);
    let broken = any("types.containerd.io/opencontainers/runtime-spec/1/Process", "{x");
    shim.good("Exec", &case.exec("x", broken));
    assert_eq!(case.code("Exec", &case.exec("x", process("true"))), Code::ALREADY_EXISTS);
    assert_eq!(case.code("Kill", &case.kill(9, "x")), Code::FAILED_PRECONDITION);
    assert!(shim.wrong("Start", &case.start("x")).1.contains("OCI runtime exec failed: "));
    shim.delete(id, "x").expect("never started");
    shim.good("Exec", &case.exec("x", process("exit 6")));
    shim.start_process(id, "x").expect("valid process");
    assert_eq!(case.code("Start", &case.start("x")), Code::FAILED_PRECONDITION);
    assert_eq!(shim.wait(id, "x"), Ok(6));
    assert_eq!(case.code("Kill", &case.kill(9, "x")), Code::NOT_FOUND);
    shim.delete(id, "x").expect("stopped");
    assert_eq!(case.code("Delete", &case.delete("x")), Code::NOT_FOUND);
}

/// Terminals and input that are not there, and limits.
#[test]
fn what_a_container_does_not_have() {
    let case = Case::running("wrong-e");
    let (id, shim) = (case.id, &case.shim);
    let resize = api::ResizePtyRequest { id: id.into(), width: 1, height: 1, ..Default::default() };
    assert_eq!(case.code("ResizePty", &resize), Code::FAILED_PRECONDITION);
    for _ in 0..2 {
        shim.good("CloseIO", &api::CloseIORequest { id: id.into(), stdin: true, ..Default::default() });
    }
    let update = |kind: &str, text: &str| {
        let kind = format!("types.containerd.io/opencontainers/runtime-spec/1/{kind}");
        api::UpdateTaskRequest { id: id.into(), resources: any(&kind, text), ..Default::default() }
    };
    assert_eq!(case.code("Update", &update("Process", "{}")), Code::INVALID_ARGUMENT);
    let (_, message) = shim.wrong("Update", &update("LinuxResources", "{x"));
    assert!(message.contains("OCI runtime update failed: "), "{message}");
    let pids = run(Command::new("find").args(["/sys/fs/cgroup", "-name", "pids.max", "-print", "-quit"]));
    if pids.out.is_empty() {
        return red_tests::remark("no pids controller here");
    }
    shim.good("Update", &update("LinuxResources", r#"{"pids":{"limit":77}}"#));
    let stats: api::StatsResponse =
        shim.call("Stats", &api::StatsRequest { id: id.into(), ..Default::default() }).expect("running");
    assert!(stats.stats.value.windows(2).any(|pair| pair == [0x10, 77]), "{:?}", stats.stats);
}
