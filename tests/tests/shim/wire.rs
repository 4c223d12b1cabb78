//! Bytes on the shim's socket that no ttrpc client sends, and clients that hang up.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::ttrpc::{Code, Request};
use red_tests::stage::{Stage, eventually};

use crate::client::Shim;
use crate::wrong::everything;

/// A bundle whose `log` is a file, where the shim logs to.
fn logged_bundle(stage: &Stage) -> PathBuf {
    let bundle = stage.plain("b", &["/usr/bin/sleep", "1000"], |_| {});
    stage.pool.write("b/log", "");
    bundle
}

/// The shim has one thread and few descriptors, and nothing in it has panicked.
fn assert_sound(shim: &Shim, bundle: &Path) {
    let count = |dir: &str| std::fs::read_dir(format!("/proc/{}/{dir}", shim.pid)).map_or(0, Iterator::count);
    eventually("all connections are closed", || count("fd") < 25);
    let opened = std::fs::read_dir(format!("/proc/{}/fd", shim.pid)).into_iter().flatten().flatten();
    let mut targets = opened.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    assert!(targets.all(|target| target != Path::new("/dev/zero")), "it was inherited");
    assert_eq!(count("task"), 1);
    let log = std::fs::read_to_string(bundle.join("log")).expect("exists");
    assert!(!log.contains("panicked"), "{log}");
}

/// Resident memory of the shim in bytes.
fn resident(shim: &Shim) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", shim.pid)).expect("running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("exists");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

fn connect(shim: &Shim) -> UnixStream {
    let stream = UnixStream::connect(&shim.socket).expect("connect");
    stream.set_read_timeout(Some(red_tests::patience(20))).expect("valid timeout");
    stream
}

/// A frame as ttrpc has it: length, stream, kind, flags, and what follows.
fn frame(length: u32, stream: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], &stream.to_be_bytes(), &[kind, 0], payload].concat()
}

/// A complete request frame.
fn whole(payload: &[u8]) -> Vec<u8> {
    frame(u32::try_from(payload.len()).expect("short payload"), 1, 1, payload)
}

fn request(service: &str, method: &str, payload: Vec<u8>) -> Vec<u8> {
    let request = Request { service: service.into(), method: method.into(), payload, ..Default::default() };
    request.write_to_bytes().expect("complete message")
}

/// A complete request frame of a method.
fn method(method: &str, payload: Vec<u8>) -> Vec<u8> {
    whole(&request("containerd.task.v2.Task", method, payload))
}

#[test]
fn frames_that_are_none() {
    let stage = Stage::new();
    let bundle = logged_bundle(&stage);
    let shim = Shim::start(&stage, &bundle, "wire-a");
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
        method("Frobnicate", Vec::new()),
        method("Create", vec![0xff; 64]),
    ] {
        let mut stream = connect(&shim);
        // It may have hung up already.
        drop(stream.write_all(&bytes));
        drop(stream);
        assert!(shim.status("wire-a").is_err_and(|(code, _)| code == Code::NOT_FOUND));
    }
    for (version, method, payload, expected) in [
        ("v2", "Frobnicate", Vec::new(), Code::UNIMPLEMENTED),
        ("v9", "State", Vec::new(), Code::INVALID_ARGUMENT),
        ("v2", "Create", vec![0xff; 64], Code::UNKNOWN),
    ] {
        let (code, message) = shim.raw(version, method, payload).expect_err(method);
        assert_eq!(code, expected, "{method}: {message}");
    }
    assert_sound(&shim, &bundle);
}

#[test]
fn clients_that_hang_up() {
    let stage = Stage::new();
    let bundle = logged_bundle(&stage);
    let shim = Shim::start(&stage, &bundle, "wire-b");
    // What was begun is done, though nobody waits for it.
    let create = shim.create("wire-b", &bundle).write_to_bytes().expect("complete message");
    let mut stream = connect(&shim);
    stream.write_all(&method("Create", create)).expect("write");
    drop(stream);
    eventually("it is made", || shim.status("wire-b").is_ok());
    let wait = api::WaitRequest { id: "wire-b".into(), ..Default::default() };
    let wait = wait.write_to_bytes().expect("complete message");
    let waiting: Vec<UnixStream> = (0..50)
        .map(|_| {
            let mut stream = connect(&shim);
            stream.write_all(&method("Wait", wait.clone())).expect("write");
            stream
        })
        .collect();
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", shim.pid)).map_or(0, Iterator::count);
    eventually("all are served", || fds() > 50);
    drop(waiting);
    assert_sound(&shim, &bundle);
}

/// Lengths that are announced take no memory before the bytes are there.
#[test]
fn announced_lengths_take_no_memory() {
    const MANY: usize = 200;
    let stage = Stage::new();
    let bundle = logged_bundle(&stage);
    let shim = Shim::start(&stage, &bundle, "wire-c");
    let before = resident(&shim);
    let streams: Vec<UnixStream> = (0..MANY)
        .map(|number| {
            let mut stream = connect(&shim);
            let length = if number % 2 == 0 { 4 << 20 } else { u32::MAX };
            stream.write_all(&frame(length, 1, 1, &[0; 100])).expect("write");
            stream
        })
        .collect();
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", shim.pid)).map_or(0, Iterator::count);
    eventually("all are served", || fds() > MANY);
    assert!(shim.status("wire-c").is_err());
    let grown = resident(&shim).saturating_sub(before);
    assert!(grown < MANY * (64 << 10), "{grown} bytes for {MANY} connections");
    drop(streams);
    assert_sound(&shim, &bundle);
}

/// A generator of numbers, the same at every run (Knuth's MMIX constants).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }

    /// Changes bytes, removes or repeats some, or cuts the end off.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] = self.byte(),
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, self.byte()),
                4 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
    }
}

/// Whatever comes, the client gets responses or a closed connection, and the next client is served.
#[test]
fn mutated_frames() {
    const ROUNDS: usize = 2000;
    let stage = Stage::new();
    let bundle = logged_bundle(&stage);
    let shim = Shim::start(&stage, &bundle, "wire-d");
    shim.run(&shim.create("wire-d", &bundle));
    let before = resident(&shim);
    let mut numbers = Numbers(12);
    let mut requests: Vec<(&str, Vec<u8>)> = everything("nobody")
        .into_iter()
        .map(|(method, request)| (method, request.write_to_bytes_dyn().expect("complete message")))
        .collect();
    let create = shim.create("other", Path::new("/no/bundle"));
    requests.push(("Create", create.write_to_bytes().expect("complete message")));
    let state = api::StateRequest { id: "wire-d".into(), ..Default::default() };
    requests.push(("State", state.write_to_bytes().expect("complete message")));
    for round in 0..ROUNDS {
        let mut bytes = Vec::new();
        for _ in 0..=numbers.below(3) {
            let (name, payload) = &requests[numbers.below(requests.len())];
            let mut payload = payload.clone();
            // In the message, in the request around it, or anywhere in the frame.
            let place = numbers.below(4);
            if place == 0 {
                numbers.mutate(&mut payload);
            }
            let mut inner = request("containerd.task.v3.Task", name, payload);
            if place == 1 {
                numbers.mutate(&mut inner);
            }
            let mut whole = whole(&inner);
            if place == 2 {
                numbers.mutate(&mut whole);
            }
            bytes.extend(whole);
        }
        let mut stream = connect(&shim);
        drop(stream.write_all(&bytes));
        // Some hang up, the others get what there is.
        if round % 2 == 0 {
            stream.shutdown(Shutdown::Write).expect("connected");
            let mut response = Vec::new();
            let read = stream.read_to_end(&mut response);
            assert!(
                read.as_ref().err().is_none_or(|error| error.kind() != std::io::ErrorKind::WouldBlock),
                "no end of the connection after {bytes:?}"
            );
        }
        if round % 100 == 0 {
            assert!(shim.status("wire-d").is_ok());
            assert!(shim.status("other").is_err());
        }
    }
    assert_sound(&shim, &bundle);
    let grown = resident(&shim).saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
    assert!(shim.connect().status("wire-d").is_ok());
}
