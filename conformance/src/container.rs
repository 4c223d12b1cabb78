//! One run of a bundle, looked at from both sides.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::probe;
use crate::report::Report;
use crate::runtime::Runtime;

/// Why a container could not be observed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Something on the way to it failed.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The probe said nothing; the runtime may have said why.
    #[error("{runtime} gave no report: {stderr}")]
    Silent {
        /// The runtime.
        runtime: &'static str,
        /// What it printed.
        stderr: String,
    },
}

/// What was seen, inside and from outside.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What the probe told.
    pub report: Report,
    /// Namespaces of the host, by the same names.
    pub host_namespaces: BTreeMap<String, u64>,
    /// Files of the container's cgroups that were found: `memory/memory.limit_in_bytes`,
    /// `memory.max` and so on.
    pub limits: BTreeMap<String, String>,
    /// What the runtime and the probe printed on stderr.
    pub stderr: String,
}

/// A container that is removed when it is dropped.
struct Running<'r> {
    runtime: &'r Runtime,
    id: String,
    child: Child,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Either may have ended by itself; both are gone afterwards.
        drop(self.child.kill());
        drop(self.child.wait());
        self.runtime.delete(&self.id);
    }
}

/// Runs a bundle whose command is the probe, looks at it, and ends it.
///
/// # Errors
/// The runtime does not start it, or the probe says nothing.
pub fn observe(runtime: &Runtime, bundle: &Path) -> Result<Observed, ContainerError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = format!("red-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let pid_file = bundle.with_extension("pid");
    let mut command: Command = runtime.command();
    command.arg("run").arg("--bundle").arg(bundle).arg("--pid-file").arg(&pid_file).arg(&id);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|source| io_error(runtime.name, source))?;
    let mut running = Running { runtime, id, child };
    let stdout = running.child.stdout.take();
    let mut line = String::new();
    if let Some(stdout) = stdout {
        BufReader::new(stdout).read_line(&mut line).map_err(|source| io_error("the report", source))?;
    }
    if line.is_empty() {
        let stderr = rest(&mut running);
        return Err(ContainerError::Silent { runtime: runtime.name, stderr });
    }
    let report: Report = serde_json::from_str(&line).map_err(|error| io_error("the report", error.into()))?;
    let pid = pid_of(&pid_file)?;
    let host_namespaces =
        probe::namespaces(Path::new("/proc/self/ns")).map_err(|source| io_error("/proc/self/ns", source))?;
    let limits = limits(pid.trim());
    drop(running.child.stdin.take());
    let stderr = rest(&mut running);
    drop(running);
    drop(fs::remove_file(&pid_file));
    Ok(Observed { report, host_namespaces, limits, stderr })
}

/// Reads a pid file. runc writes it once the container runs, which the probe may be faster than.
fn pid_of(file: &Path) -> Result<String, ContainerError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match fs::read_to_string(file) {
            Ok(pid) if !pid.is_empty() => return Ok(pid),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("the pid file", error));
            }
            _ if Instant::now() > deadline => {
                return Err(io_error("the pid file", io::ErrorKind::TimedOut.into()));
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn rest(running: &mut Running<'_>) -> String {
    let mut text = String::new();
    drop(running.child.stdin.take());
    if let Some(stderr) = running.child.stderr.as_mut() {
        // What cannot be read is not there to be shown.
        drop(stderr.read_to_string(&mut text));
    }
    text
}

fn io_error(what: &str, source: io::Error) -> ContainerError {
    ContainerError::Io { what: what.to_owned(), source }
}

/// Reads every file of a process's cgroups that says what is limited.
fn limits(pid: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let mount = match controllers {
            "" => PathBuf::from("/sys/fs/cgroup"),
            name => Path::new("/sys/fs/cgroup").join(name.trim_start_matches("name=")),
        };
        let dir = mount.join(path.trim_start_matches('/'));
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Ok(text) = fs::read_to_string(entry.path()) {
                all.insert(name, text.trim().to_owned());
            }
        }
    }
    all
}
