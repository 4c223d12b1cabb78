//! Entry point of the fuzz target `shim` (tests/fuzz), not an interface.
//!
//! Requests are decoded and handled as in a running shim, up to the point where a program would be executed, a file
//! system mounted or a stream opened.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use containerd_shim_protos::ttrpc::{self, Code};

use crate::annotations::Config;
use crate::args::{Args, validate_id};
use crate::container::{Container, CreateRequest};
use crate::context::ShimContext;
use crate::error::{decode_json, runtime_code};
use crate::events::Publisher;
use crate::reaper::Exit;
use crate::runtime::{Runtime, last_message};
use crate::service::TaskService;
use crate::tasks::TaskManager;

/// IDs of the containers that requests find: one that was not started, and one that has exited.
const CONTAINERS: [&str; 2] = ["c", "d"];

thread_local! {
    static TOKIO: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio runtime"),
    );
}

/// Handles the requests of a fuzzer's input: each is a kind, a length of two bytes, and a payload. `bundle` is a directory
/// with a `config.json`, which files are written to.
///
/// # Panics
/// A promise of the shim is broken.
pub fn handle(mut input: &[u8], bundle: &Path) {
    let shim = Arc::new(ShimContext::new("fuzz", ""));
    shim.reaper.refuse();
    TOKIO.with_borrow(|tokio| {
        tokio.block_on(async {
            let tasks = Arc::new(TaskManager::new(shim.clone(), Publisher::new("", "fuzz")));
            let service = TaskService(tasks);
            for id in CONTAINERS {
                add_container(&service, &shim, id, bundle);
            }
            while let Some((&[kind, high, low], rest)) = input.split_first_chunk() {
                let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
                let (payload, rest) = rest.split_at(length);
                input = rest;
                match kind {
                    0..20 => request(&service, kind, payload, bundle).await,
                    _ => document(kind, payload),
                }
            }
        });
    });
}

fn add_container(service: &TaskService, shim: &Arc<ShimContext>, id: &str, bundle: &Path) {
    let runtime = Runtime::from_options(&Default::default(), "fuzz", false);
    let request = CreateRequest {
        id: id.into(),
        bundle: bundle.into(),
        runtime,
        own_pid_namespace: false,
        mounts: Vec::new(),
        stdio: Default::default(),
    };
    let container = Container::without_process(request, shim.clone());
    if id == CONTAINERS[1] {
        container.init.set_exited(Exit::now(0));
    }
    service.0.insert(Arc::new(container));
}

/// Decodes a request and calls its method.
async fn request(service: &TaskService, kind: u8, payload: &[u8], bundle: &Path) {
    let context = TtrpcContext::default();
    macro_rules! call {
        ($method:ident, $request:ty) => {{
            let Ok(request) = <$request>::parse_from_bytes(payload) else { return };
            // `Wait` has no response before the exit.
            let limit = if stringify!($method) == "wait" { Duration::ZERO } else { Duration::from_secs(60) };
            match tokio::time::timeout(limit, service.$method(&context, request)).await {
                Ok(answer) => check(answer),
                Err(_) => assert!(limit.is_zero(), "{} does not respond", stringify!($method)),
            }
        }};
    }
    match kind {
        0 => create(service, payload, bundle).await,
        1 => {
            let Ok(mut request) = api::ExecProcessRequest::parse_from_bytes(payload) else { return };
            check(service.exec(&context, request.clone()).await);
            // Again without streams, which its start would open.
            request.exec_id.push('0');
            (request.stdin, request.stdout, request.stderr, request.terminal) = Default::default();
            check(service.exec(&context, request).await);
        }
        2 => {
            let Ok(request) = api::StartRequest::parse_from_bytes(payload) else { return };
            let found = service.0.get(&request.id).and_then(|container| container.process(&request.exec_id));
            if found.is_ok_and(|process| process.stdio == Default::default()) {
                check(service.start(&context, request).await);
            }
        }
        3 => call!(delete, api::DeleteRequest),
        4 => call!(state, api::StateRequest),
        5 => call!(wait, api::WaitRequest),
        6 => call!(kill, api::KillRequest),
        7 => call!(pids, api::PidsRequest),
        8 => call!(pause, api::PauseRequest),
        9 => call!(resume, api::ResumeRequest),
        10 => call!(resize_pty, api::ResizePtyRequest),
        11 => call!(close_io, api::CloseIORequest),
        12 => call!(update, api::UpdateTaskRequest),
        13 => call!(stats, api::StatsRequest),
        14 => call!(checkpoint, api::CheckpointTaskRequest),
        15 => call!(connect, api::ConnectRequest),
        _ => call!(shutdown, api::ShutdownRequest),
    }
}

/// A create request of a valid bundle, which is handled without its mounts and streams.
async fn create(service: &TaskService, payload: &[u8], bundle: &Path) {
    let Ok(mut request) = api::CreateTaskRequest::parse_from_bytes(payload) else { return };
    if request.bundle.starts_with('/') {
        request.bundle = bundle.display().to_string();
    }
    let created = service.create_request(request).map_err(ttrpc::Error::from);
    let Ok((mut create, event)) = created else {
        return check(created.map(|_| api::CreateTaskResponse::new()));
    };
    assert!(validate_id("container ID", &create.id).is_ok(), "{:?}", create.id);
    let saved = serde_json::to_vec(&create.runtime).expect("a runtime is JSON");
    assert_eq!(decode_json::<Runtime>(&saved, "runtime").expect("it reads back"), create.runtime);
    create.mounts.clear();
    create.stdio = Default::default();
    let error = service.0.clone().create(create, event).await.expect_err("nothing is executed");
    check::<api::CreateTaskResponse>(Err(error.into()));
}

/// A response can be encoded, an error has a status and a message.
fn check<T: Message>(answer: ttrpc::Result<T>) {
    match answer {
        Ok(response) => drop(response.write_to_bytes().expect("complete message")),
        Err(ttrpc::Error::RpcStatus(status)) => {
            assert!(status.code() != Code::OK && !status.message.is_empty(), "{status:?}");
        }
        Err(error) => panic!("not a status: {error}"),
    }
}

/// Input that is not a request: of containerd at the start, of the runtime, of the bundle.
fn document(kind: u8, bytes: &[u8]) {
    match kind {
        20 => {
            let params = crate::start::parse_bootstrap_params(bytes, "c");
            assert!(params.is_none_or(|params| params.instance_id == "c"));
        }
        21 => {
            if let Ok(runtime) = decode_json::<Runtime>(bytes, "runtime") {
                let saved = serde_json::to_vec(&runtime).expect("a runtime is JSON");
                assert_eq!(decode_json::<Runtime>(&saved, "runtime").expect("it reads back"), runtime);
            }
        }
        22 => {
            if let Some(message) = last_message(bytes) {
                assert!(matches!(runtime_code(&message), Code::RESOURCE_EXHAUSTED | Code::UNKNOWN));
            }
        }
        23 => drop(decode_json::<Option<Vec<u32>>>(bytes, "output of `ps`")),
        24 => {
            if let Ok(config) = decode_json::<Config>(bytes, "config.json") {
                let _read = (config.group(), config.is_systemd_cgroup(), config.has_own_pid_namespace());
            }
        }
        25 => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let below = crate::rootfs::mount_points_below(Path::new("/b"), text);
            assert!(below.iter().all(|point| point.starts_with("/b")));
        }
        26 => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            drop(Args::parse(text.split('\n').map(OsString::from).collect()));
            let _socket = crate::address::parse(text);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of numbers, the same at every run (Knuth's MMIX constants).
    fn next(state: &mut u64) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).expect("31 bits")
    }

    #[test]
    fn corpus_and_its_mutations_break_no_promise() {
        let bundle = tempfile::tempdir().expect("temporary directory");
        std::fs::write(bundle.path().join("config.json"), "{}").expect("write");
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../red-runtime/fuzz/corpus/shim");
        let mut inputs: Vec<_> =
            std::fs::read_dir(corpus).expect("corpus").flatten().map(|entry| entry.path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 5, "{inputs:?}");
        let mut state = 1;
        for path in inputs {
            let input = std::fs::read(path).expect("read");
            handle(&input, bundle.path());
            for _ in 0..200 {
                let mut mutated = input.clone();
                for _ in 0..=next(&mut state) % 4 {
                    let at = next(&mut state) % mutated.len();
                    match next(&mut state) % 3 {
                        0 => mutated[at] = u8::try_from(next(&mut state) % 256).expect("a byte"),
                        1 => drop(mutated.remove(at)),
                        _ => mutated.insert(at, 0xff),
                    }
                    if mutated.is_empty() {
                        mutated.push(0);
                    }
                }
                handle(&mutated, bundle.path());
            }
        }
    }
}
