//! The caller's side of the install view: a process of its own, because it becomes root of other
//! namespaces, because librpm knows one database a process, and because what parses foreign bytes
//! must be able to crash alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::{Done, Event, Job};

/// First argument of the process that makes namespaces.
pub(crate) const ENTER: &str = "__enter";
/// First argument of the process that works inside them.
pub(crate) const TRANSACT: &str = "__transact";
/// Variable with the job of a look.
pub(super) const JOB: &str = "RED_JOB";
/// Variable with the program of a look.
pub(super) const LOOK: &str = "RED_LOOK";
/// How a look says that there is no view.
pub(super) const NO_VIEW: &str = "red-rpm: the view of the node: ";

/// Bytes of scriptlets' output that are kept.
const OUTPUT: u64 = 256 << 10;

/// Who hears how it goes on.
pub(crate) type Runner<'a> = &'a mut dyn FnMut(&Event);

/// Why a transaction came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failed {
    /// Why.
    pub message: String,
    /// What scriptlets printed.
    pub output: String,
}

impl Failed {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), output: String::new() }
    }
}

/// Says something to the caller, on the stream that is the caller's.
pub(super) fn say(event: &Event) {
    let mut line = serde_json::to_string(event).unwrap_or_default();
    line.push('\n');
    // When the caller is gone, this process is about to be.
    drop(std::io::stdout().lock().write_all(line.as_bytes()));
}

/// Runs a transaction. Returns what it left, and what scriptlets printed.
pub(crate) fn run(job: &Job, tell: Runner<'_>) -> Result<(Done, String), Failed> {
    let text = serde_json::to_vec(job).map_err(|error| Failed::new(error.to_string()))?;
    let mut child = Command::new("/proc/self/exe")
        .arg(ENTER)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", "/root")
        .envs(super::view::bench::variable(&job.upper))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failed::new(format!("the install view cannot be started: {error}")))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let output = std::thread::Builder::new().spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut stderr) = stderr {
            // What is beyond is read and dropped, so that no scriptlet blocks.
            drop(stderr.by_ref().take(OUTPUT).read_to_end(&mut kept));
            drop(std::io::copy(&mut stderr, &mut std::io::sink()));
        }
        String::from_utf8_lossy(&kept).into_owned()
    });
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            // It waits for its orders.
            drop(stdin);
            drop(child.kill());
            drop(child.wait());
            return Err(Failed::new(format!(
                "the install view cannot be started: {error}; nothing has changed"
            )));
        }
    };
    if let Some(mut stdin) = stdin {
        // If it could not be written, the process has ended and says why.
        drop(stdin.write_all(&text));
    }
    let mut end = None;
    if let Some(stdout) = stdout {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Event::Done(done)) => end = Some(Ok(done)),
                Ok(Event::Failed(message)) => end = Some(Err(message)),
                Ok(event) => tell(&event),
                Err(_) => {}
            }
        }
    }
    let status = child.wait().map_err(|error| Failed::new(error.to_string()))?;
    let output = output.join().unwrap_or_default();
    match end {
        Some(Ok(done)) if status.success() => Ok((done, output)),
        Some(Err(message)) => Err(Failed { message, output }),
        _ => {
            let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
            Err(Failed { message: format!("rpm ended unexpectedly ({how}); nothing has changed"), output })
        }
    }
}
