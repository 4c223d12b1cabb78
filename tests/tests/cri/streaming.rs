//! `kubectl exec` and `kubectl attach`: CRI answers with a URL of containerd's streaming server, which speaks SPDY and
//! WebSocket. This client speaks WebSocket, with the subprotocol that containerd 1.6 and 2.x have in common.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use k8s_cri::v1::{AttachRequest, ContainerConfig, ContainerState, ExecRequest};
use red_tests::stage::eventually;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Bytes, Message, WebSocket};

use crate::pod::Pod;
use crate::{assert_no_leftovers, setup};

/// Each message begins with a byte that names its channel; the last one on channel 3 is the exit status.
const SUBPROTOCOL: &str = "v4.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

/// Limit for what never comes.
const TIMEOUT: u64 = 20;

/// A connection to the streaming server, and what was read from it so far.
struct Stream {
    socket: WebSocket<TcpStream>,
    output: [Vec<u8>; 4],
    closed: bool,
}

impl Stream {
    fn connect(url: &str) -> Self {
        let authority =
            url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("HTTP URL");
        let tcp = TcpStream::connect(authority).expect("the streaming server listens");
        tcp.set_read_timeout(Some(Duration::from_millis(50))).expect("not zero");
        let mut request = url.replacen("http", "ws", 1).into_client_request().expect("URL");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let mut handshake = tungstenite::client(request, tcp);
        let end = Instant::now() + red_tests::patience(TIMEOUT);
        let socket = loop {
            match handshake {
                Ok((socket, _response)) => break socket,
                Err(tungstenite::HandshakeError::Interrupted(unfinished)) if Instant::now() < end => {
                    handshake = unfinished.handshake();
                }
                Err(error) => panic!("{url}: {error}"),
            }
        };
        Self { socket, output: Default::default(), closed: false }
    }

    fn send(&mut self, channel: u8, data: &[u8]) {
        let message: Bytes = [&[channel], data].concat().into();
        self.socket.send(Message::Binary(message)).expect("connected");
    }

    /// Reads one message, if one comes soon.
    fn read(&mut self) {
        match self.socket.read() {
            Ok(Message::Binary(message)) => {
                if let Some((channel, data)) = message.split_first() {
                    self.output[usize::from(*channel)].extend(data);
                }
            }
            Ok(Message::Close(_)) => self.closed = true,
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
    }

    fn text(&self, channel: u8) -> String {
        String::from_utf8_lossy(&self.output[usize::from(channel)]).into_owned()
    }

    fn wait_for(&mut self, channel: u8, expected: &str) {
        let end = Instant::now() + red_tests::patience(TIMEOUT);
        while !self.text(channel).contains(expected) {
            assert!(Instant::now() < end && !self.closed, "no {expected:?}: {:?}", self.text(channel));
            self.read();
        }
    }

    /// The exit status, and the output up to it.
    fn finish(mut self) -> Finished {
        let end = Instant::now() + red_tests::patience(TIMEOUT);
        while self.output[usize::from(STATUS)].is_empty() {
            assert!(Instant::now() < end && !self.closed, "no status: {:?}", self.text(STDOUT));
            self.read();
        }
        let status: Value = serde_json::from_slice(&self.output[usize::from(STATUS)]).expect("valid JSON");
        let code = if status["status"] == "Success" {
            0
        } else {
            assert_eq!(status["reason"], "NonZeroExitCode", "{status}");
            let code = status["details"]["causes"][0]["message"].as_str().expect("exit code");
            code.parse().expect("exit code")
        };
        Finished { code, stdout: self.text(STDOUT), stderr: self.text(STDERR) }
    }
}

#[derive(Debug, PartialEq)]
struct Finished {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn new(code: i32, stdout: &str, stderr: &str) -> Self {
        Self { code, stdout: stdout.into(), stderr: stderr.into() }
    }
}

fn exec(pod: &Pod, id: &str, tty: bool, stdin: bool, script: &str) -> Stream {
    let request = ExecRequest {
        container_id: id.into(),
        cmd: ["sh", "-c", script].map(str::to_owned).to_vec(),
        tty,
        stdin,
        stdout: true,
        // A terminal has one output.
        stderr: !tty,
    };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.exec(request).await });
    Stream::connect(&output.unwrap_or_else(|status| panic!("{status}")).url)
}

fn attach(pod: &Pod, id: &str, tty: bool) -> Stream {
    let request = AttachRequest { container_id: id.into(), tty, stdin: true, stdout: true, stderr: !tty };
    let output = pod.cri.cri().ask(|mut cri| async move { cri.attach(request).await });
    Stream::connect(&output.unwrap_or_else(|status| panic!("{status}")).url)
}

/// A container of a node and one of an image, with standard input.
fn containers(pod: &Pod, name: &str, tty: bool, script: &str) -> [(String, ContainerConfig); 2] {
    let names = ["node", "image"].map(|root| format!("{name}-{root}"));
    let configs = [pod.node(&names[0], &pod.cri.stage.leaf, script), pod.plain(&names[1], script)];
    let mut configs = configs.map(|config| ContainerConfig { stdin: true, tty, ..config }).into_iter();
    names.map(|name| (name, configs.next().expect("one per name")))
}

/// Resizes a terminal in which each line of input is answered with the size.
fn resizes(stream: &mut Stream) {
    for (width, height) in [(120, 50), (77, 22)] {
        stream.send(RESIZE, json!({"Width": width, "Height": height}).to_string().as_bytes());
        // The server handles resizing and standard input in two threads.
        let expected = format!("{height} {width}\r\n");
        let end = Instant::now() + red_tests::patience(TIMEOUT);
        while !stream.text(STDOUT).contains(&expected) {
            assert!(Instant::now() < end && !stream.closed, "no {expected:?}: {:?}", stream.text(STDOUT));
            stream.send(STDIN, b"go\n");
            stream.read();
        }
    }
}

#[test]
fn exec_streams() {
    let Some((cri, _)) = setup() else { return };
    let pod = Pod::run(&cri, "red", "exec");
    for (_, config) in containers(&pod, "exec", false, "exec sleep 1000") {
        let id = pod.started(config);
        let stream = exec(&pod, &id, false, false, "echo out; echo err >&2; exit 5");
        assert_eq!(stream.finish(), Finished::new(5, "out\n", "err\n"));

        let mut stream = exec(
            &pod,
            &id,
            false,
            true,
            "while read word; do echo \"<$word>\"; [ $word = end ] && exit; done",
        );
        for word in ["one", "end"] {
            stream.send(STDIN, format!("{word}\n").as_bytes());
            stream.wait_for(STDOUT, &format!("<{word}>\n"));
        }
        assert_eq!(stream.finish(), Finished::new(0, "<one>\n<end>\n", ""));

        let stream = exec(&pod, &id, false, false, "head -c 3000000 /dev/zero | tr '\\0' x");
        let output = stream.finish();
        assert_eq!((output.code, output.stdout.len()), (0, 3_000_000));

        let script =
            "test -t 0 && test -t 1 && while read word; do [ $word = end ] && exit 7; stty size; done";
        let mut stream = exec(&pod, &id, true, true, script);
        resizes(&mut stream);
        stream.send(STDIN, b"end\n");
        assert_eq!(stream.finish().code, 7);

        // A client that hangs up: its command gets EOF and ends, the container goes on.
        let mut stream = exec(&pod, &id, false, true, "echo $$; cat; sleep 0");
        stream.wait_for(STDOUT, "\n");
        let gone = format!("! kill -0 {} 2>/dev/null", stream.text(STDOUT).trim());
        drop(stream);
        eventually("the command has ended", || {
            pod.exec(&id, &["sh", "-c", &gone]).is_ok_and(|output| output.exit_code == 0)
        });
        pod.stop(&id, 0);
        pod.remove(&id);
    }
    pod.end();
    assert_no_leftovers(&cri);
}

#[test]
fn attach_streams() {
    let Some((cri, _)) = setup() else { return };
    let pod = Pod::run(&cri, "red", "attach");
    let echoes = "while read word; do echo \"<$word>\"; echo \"!$word\" >&2; done; sleep 1000";
    for (name, config) in containers(&pod, "pipes", false, echoes) {
        let id = pod.started(config);
        // Standard input stays open for the next client.
        for word in ["one", "two"] {
            let mut stream = attach(&pod, &id, false);
            stream.send(STDIN, format!("{word}\n").as_bytes());
            stream.wait_for(STDOUT, &format!("<{word}>\n"));
            stream.wait_for(STDERR, &format!("!{word}\n"));
        }
        eventually("the log has it too", || pod.log(&name, "stdout") == "<one>\n<two>\n");
        assert_eq!(pod.log(&name, "stderr"), "!one\n!two\n");
        assert_eq!(pod.status(&id).state, i32::from(ContainerState::ContainerRunning));
        pod.stop(&id, 0);
    }
    for (_, config) in containers(&pod, "terminal", true, "while read word; do stty size; done") {
        let id = pod.started(config);
        let mut stream = attach(&pod, &id, true);
        resizes(&mut stream);
        pod.stop(&id, 0);
    }
    pod.end();
    assert_no_leftovers(&cri);
}
