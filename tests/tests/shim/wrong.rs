//! A client that sends what containerd never would, straight to the shim.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use containerd_shim_protos::protobuf::{Message, MessageDyn, MessageField};
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::ttrpc::{Code, Request};
use red_tests::call::run;
use red_tests::stage::{Stage, eventually};

use crate::client::{Shim, any, exec, process};

/// Requests of every kind for a container.
fn everything(id: &str) -> Vec<(&'static str, Box<dyn MessageDyn>)> {
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
    for id in ["", "../x", "a/b", "a b", ".", &"x".repeat(77)] {
        let (code, message) = shim.wrong("Create", &shim.create(id, &bundle));
        assert_eq!(code, Code::INVALID_ARGUMENT, "{id}: {message}");
    }
    // A name is not kept by a container that was never made.
    let broken = stage.pool.mkdir("broken");
    let (code, message) = shim.wrong("Create", &shim.create("wrong-a", &broken));
    assert_eq!(code, Code::NOT_FOUND, "{message}");
    stage.pool.write("broken/config.json", "{}x");
    let (code, message) = shim.wrong("Create", &shim.create("wrong-a", &broken));
    assert_eq!(code, Code::INVALID_ARGUMENT, "{message}");
    stage.pool.write("broken/config.json", "{}");
    let (_, message) = shim.wrong("Create", &shim.create("wrong-a", &broken));
    assert!(message.contains("OCI runtime create failed: "), "{message}");
    let (code, message) = shim.wrong("Create", &shim.create("wrong-a", Path::new("relative")));
    assert_eq!(code, Code::INVALID_ARGUMENT, "{message}");
    for options in [
        any("google.protobuf.Empty", ""),
        any("containerd.runc.v1.Options", [0xff; 3]),
        any("runtimeoptions.v1.Options", [0x1a, 4, b'x', b'=', b'1', b'\n']),
    ] {
        let (code, message) =
            shim.wrong("Create", &api::CreateTaskRequest { options, ..shim.create("wrong-a", &bundle) });
        assert_eq!(code, Code::INVALID_ARGUMENT, "{message}");
    }
    for stream in ["relative", "npipe:///x", "file://host/x"] {
        let stdout = stream.to_owned();
        let (code, message) =
            shim.wrong("Create", &api::CreateTaskRequest { stdout, ..shim.create("wrong-a", &bundle) });
        assert_eq!(code, Code::INVALID_ARGUMENT, "{message}");
    }
    let _: api::CreateTaskResponse =
        shim.call("Create", &shim.create("wrong-a", &bundle)).expect("valid request");
}

#[test]
fn out_of_order_and_again() {
    let stage = Stage::new();
    let bundle =
        stage.plain("b", &["/usr/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"], |_| {});
    let id = "wrong-b";
    let shim = Shim::start(&stage, &bundle, id);
    let nothing = |method: &str, request: &dyn MessageDyn| {
        shim.raw("v3", method, request.write_to_bytes_dyn().expect("complete message")).expect(method);
    };
    let made: api::CreateTaskResponse = shim.call("Create", &shim.create(id, &bundle)).expect("plain bundle");
    assert_eq!(shim.wrong("Create", &shim.create(id, &bundle)).0, Code::ALREADY_EXISTS);
    let start = api::StartRequest { id: id.into(), ..Default::default() };
    let delete = api::DeleteRequest { id: id.into(), ..Default::default() };
    assert_eq!(shim.wrong("Delete", &delete).0, Code::FAILED_PRECONDITION);
    let started: api::StartResponse = shim.call("Start", &start).expect("exists");
    assert_eq!(started.pid, made.pid);
    assert_eq!(shim.wrong("Start", &start).0, Code::FAILED_PRECONDITION);
    assert_eq!(shim.wrong("Delete", &delete).0, Code::FAILED_PRECONDITION);
    let signal = |signal, exec_id: &str| api::KillRequest {
        id: id.into(),
        signal,
        exec_id: exec_id.into(),
        ..Default::default()
    };
    for number in [65, 1 << 31, u32::MAX] {
        assert_eq!(shim.wrong("Kill", &signal(number, "")).0, Code::INVALID_ARGUMENT);
    }
    // Processes: wrong ones, one twice, one that never starts, one of which nothing is known.
    for (exec_id, spec, code) in [
        ("", process("true"), Code::INVALID_ARGUMENT),
        ("../x", process("true"), Code::INVALID_ARGUMENT),
        ("x", MessageField::none(), Code::INVALID_ARGUMENT),
        ("x", any("google.protobuf.Empty", ""), Code::INVALID_ARGUMENT),
    ] {
        assert_eq!(shim.wrong("Exec", &exec(id, exec_id, spec)).0, code, "{exec_id}");
    }
    let of =
        |exec_id: &str| api::StartRequest { id: id.into(), exec_id: exec_id.into(), ..Default::default() };
    let gone =
        |exec_id: &str| api::DeleteRequest { id: id.into(), exec_id: exec_id.into(), ..Default::default() };
    for method in ["Start", "Delete"] {
        assert_eq!(shim.wrong(method, &of("x")).0, Code::NOT_FOUND);
    }
    nothing("Exec", &exec(id, "x", any("types.containerd.io/opencontainers/runtime-spec/1/Process", "{x")));
    assert_eq!(shim.wrong("Exec", &exec(id, "x", process("true"))).0, Code::ALREADY_EXISTS);
    assert_eq!(shim.wrong("Kill", &signal(9, "x")).0, Code::FAILED_PRECONDITION);
    assert!(shim.wrong("Start", &of("x")).1.contains("OCI runtime exec failed: "));
    nothing("Delete", &gone("x"));
    nothing("Exec", &exec(id, "x", process("exit 6")));
    nothing("Start", &of("x"));
    assert!(matches!(shim.wrong("Start", &of("x")).0, Code::FAILED_PRECONDITION));
    let wait = api::WaitRequest { id: id.into(), exec_id: "x".into(), ..Default::default() };
    let ended: api::WaitResponse = shim.call("Wait", &wait).expect("exists");
    assert_eq!(ended.exit_status, 6);
    assert_eq!(shim.wrong("Kill", &signal(9, "x")).0, Code::NOT_FOUND);
    nothing("Delete", &gone("x"));
    assert_eq!(shim.wrong("Delete", &gone("x")).0, Code::NOT_FOUND);
    // Terminals and input that are not there.
    let resize = api::ResizePtyRequest { id: id.into(), width: 1, height: 1, ..Default::default() };
    assert_eq!(shim.wrong("ResizePty", &resize).0, Code::FAILED_PRECONDITION);
    for _ in 0..2 {
        nothing("CloseIO", &api::CloseIORequest { id: id.into(), stdin: true, ..Default::default() });
    }
    let update = |kind: &str, text: &str| {
        let kind = format!("types.containerd.io/opencontainers/runtime-spec/1/{kind}");
        api::UpdateTaskRequest { id: id.into(), resources: any(&kind, text), ..Default::default() }
    };
    assert_eq!(shim.wrong("Update", &update("Process", "{}")).0, Code::INVALID_ARGUMENT);
    assert!(shim.wrong("Update", &update("LinuxResources", "{x")).1.contains("OCI runtime update failed: "));
    if run(Command::new("find").args(["/sys/fs/cgroup", "-name", "pids.max", "-print", "-quit"]))
        .out
        .is_empty()
    {
        red_tests::remark("no pids controller here");
    } else {
        nothing("Update", &update("LinuxResources", r#"{"pids":{"limit":77}}"#));
        let stats: api::StatsResponse =
            shim.call("Stats", &api::StatsRequest { id: id.into(), ..Default::default() }).expect("running");
        assert!(stats.stats.value.windows(2).any(|pair| pair == [0x10, 77]), "{:?}", stats.stats);
    }
    assert_eq!(
        shim.wrong("Checkpoint", &api::CheckpointTaskRequest { id: id.into(), ..Default::default() }).0,
        Code::UNIMPLEMENTED
    );
    // It does not go while a container is there.
    nothing("Shutdown", &api::ShutdownRequest { id: id.into(), ..Default::default() });
    nothing("Kill", &signal(15, ""));
    let ended: api::WaitResponse =
        shim.call("Wait", &api::WaitRequest { id: id.into(), ..Default::default() }).expect("exists");
    assert_eq!(ended.exit_status, 3);
    assert_eq!(shim.wrong("Start", &start).0, Code::FAILED_PRECONDITION);
    assert_eq!(shim.wrong("Exec", &exec(id, "y", process("true"))).0, Code::FAILED_PRECONDITION);
    let removed: api::DeleteResponse = shim.call("Delete", &delete).expect("stopped");
    assert_eq!((removed.exit_status, removed.pid), (3, made.pid));
    assert_eq!(shim.wrong("Delete", &delete).0, Code::NOT_FOUND);
    nothing("Shutdown", &api::ShutdownRequest { id: id.into(), ..Default::default() });
    eventually("it goes", || !shim.socket.exists() && !Path::new(&format!("/proc/{}", shim.pid)).exists());
}

/// A frame as ttrpc has it: length, stream, kind, flags, and what follows.
fn frame(length: u32, stream: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &stream.to_be_bytes(), &[kind, 0], payload].concat()
}

#[test]
fn rubbish_and_clients_that_hang_up() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["/usr/bin/sleep", "1000"], |_| {});
    let shim = Shim::start(&stage, &bundle, "wrong-c");
    let connect = || UnixStream::connect(&shim.socket).expect("connect");
    let request = |service: &str, method: &str, payload: Vec<u8>| {
        let request =
            Request { service: service.into(), method: method.into(), payload, ..Default::default() };
        request.write_to_bytes().expect("complete message")
    };
    let whole = |payload: &[u8]| frame(u32::try_from(payload.len()).expect("short payload"), 1, 1, payload);
    for bytes in [
        vec![0xff; 10],
        vec![0; 9],
        frame(u32::MAX, 1, 1, b""),
        frame(1 << 23, 1, 1, &[0; 4096]),
        frame(100, 1, 1, &[1; 10]),
        frame(4, 2, 1, &[1; 4]),
        frame(4, 1, 9, &[1; 4]),
        frame(0, 1, 3, b""),
        whole(&[0xff; 64]),
        whole(&request("nobody", "Create", Vec::new())),
        whole(&request("containerd.task.v2.Task", "Frobnicate", Vec::new())),
        whole(&request("containerd.task.v2.Task", "Create", vec![0xff; 64])),
    ] {
        let mut stream = connect();
        // It may have hung up already.
        drop(stream.write_all(&bytes));
        drop(stream);
        assert!(shim.status("wrong-c").is_err_and(|(code, _)| code == Code::NOT_FOUND));
    }
    for (version, method, payload, expected) in [
        ("v2", "Frobnicate", Vec::new(), Code::UNIMPLEMENTED),
        ("v9", "State", Vec::new(), Code::INVALID_ARGUMENT),
        ("v2", "Create", vec![0xff; 64], Code::UNKNOWN),
    ] {
        let (code, message) = shim.raw(version, method, payload).expect_err(method);
        assert_eq!(code, expected, "{method}: {message}");
    }
    // What was begun is done, though nobody waits for it.
    let create = shim.create("wrong-c", &bundle).write_to_bytes().expect("complete message");
    let mut stream = connect();
    stream.write_all(&whole(&request("containerd.task.v2.Task", "Create", create))).expect("write");
    drop(stream);
    eventually("it is made", || shim.status("wrong-c").is_ok());
    let wait = api::WaitRequest { id: "wrong-c".into(), ..Default::default() }
        .write_to_bytes()
        .expect("complete message");
    let waiting: Vec<UnixStream> = (0..50)
        .map(|_| {
            let mut stream = connect();
            stream
                .write_all(&whole(&request("containerd.task.v2.Task", "Wait", wait.clone())))
                .expect("write");
            stream
        })
        .collect();
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", shim.pid)).map_or(0, Iterator::count);
    eventually("all are served", || fds() > 50);
    drop(waiting);
    eventually("all are forgotten", || fds() < 25);
    let opened = std::fs::read_dir(format!("/proc/{}/fd", shim.pid)).into_iter().flatten().flatten();
    let targets = opened.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    assert!(targets.into_iter().all(|target| target != Path::new("/dev/zero")));
    let threads = std::fs::read_dir(format!("/proc/{}/task", shim.pid)).map_or(0, Iterator::count);
    assert_eq!(threads, 1);
}
