//! `red-runtime`, executed for each step of a container's life.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::options::Options;
use crate::reaper::Reaper;

/// How a container's runtime is called. Kept in the bundle too, for a `delete` without this shim.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runtime {
    program: PathBuf,
    states: PathBuf,
    systemd: bool,
    no_pivot: bool,
    no_new_keyring: bool,
}

/// File of a bundle in which a shim notes how the runtime is called.
const NOTE: &str = "red-shim.json";

/// The longest note, in bytes.
const LONGEST_NOTE: u64 = 64 << 10;

impl Runtime {
    /// The one that options name, else the one that lies beside the shim, else the one in `PATH`.
    #[must_use]
    pub(crate) fn of(options: &Options, namespace: &str, systemd: bool) -> Self {
        let program =
            if options.binary_name.is_empty() { beside() } else { PathBuf::from(&options.binary_name) };
        Self {
            program,
            states: options.states(namespace),
            systemd: options.systemd_cgroup || systemd,
            no_pivot: options.no_pivot_root,
            no_new_keyring: options.no_new_keyring,
        }
    }

    /// Notes it in a bundle.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn note(&self, bundle: &Path) -> Result<(), Error> {
        let path = bundle.join(NOTE);
        let text = serde_json::to_vec(self)
            .map_err(|source| Error::Json { what: path.display().to_string(), source })?;
        std::fs::write(&path, text).at("cannot write", &path)
    }

    /// The one that is noted in a bundle; the default where nothing is, since the shim was killed before it wrote.
    ///
    /// # Errors
    /// The note cannot be read.
    pub(crate) fn noted(bundle: &Path, namespace: &str) -> Result<Self, Error> {
        let path = bundle.join(NOTE);
        if !path.exists() {
            return Ok(Self::of(&Options::default(), namespace, false));
        }
        let bytes = crate::error::read_bounded(&path, LONGEST_NOTE)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { what: path.display().to_string(), source })
    }

    /// A subcommand, that tells its errors to a file.
    fn command(&self, log: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.states).arg("--log").arg(log).args(["--log-format", "json"]);
        if self.systemd {
            command.arg("--systemd-cgroup");
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // What the daemon's environment holds is nobody's business in a hook.
        command.env_clear();
        for name in ["PATH", "NODE_PREFIX", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// `create`, to which streams may still be given.
    #[must_use]
    pub(crate) fn create(&self, id: &str, bundle: &Path, files: &Files, console: Option<&Path>) -> Command {
        let mut command = self.command(&files.log);
        command.arg("create").arg("--bundle").arg(bundle).arg("--pid-file").arg(&files.pid);
        for (chosen, option) in [(self.no_pivot, "--no-pivot"), (self.no_new_keyring, "--no-new-keyring")] {
            if chosen {
                command.arg(option);
            }
        }
        if let Some(console) = console {
            command.arg("--console-socket").arg(console);
        }
        command.arg(id);
        command
    }

    /// `exec` of a process that a file describes.
    #[must_use]
    pub(crate) fn exec(&self, id: &str, process: &Path, files: &Files, console: Option<&Path>) -> Command {
        let mut command = self.command(&files.log);
        command.args(["exec", "--detach", "--process"]).arg(process).arg("--pid-file").arg(&files.pid);
        if let Some(console) = console {
            command.arg("--console-socket").arg(console);
        }
        command.arg(id);
        command
    }

    /// Any other subcommand with its arguments.
    #[must_use]
    pub(crate) fn verb(&self, files: &Files, args: &[&str]) -> Command {
        let mut command = self.command(&files.log);
        command.args(args);
        command
    }

    /// What `features` prints, for `-info`.
    ///
    /// # Errors
    /// It cannot be executed, or fails.
    pub(crate) fn features(&self) -> Result<Vec<u8>, Error> {
        let said = Command::new(&self.program)
            .arg("features")
            .stdin(Stdio::null())
            .output()
            .at("cannot execute", &self.program)?;
        if said.status.success() {
            return Ok(said.stdout);
        }
        let words = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Err(Error::Runtime { verb: "features", words })
    }

    /// `delete --force` where no shim is left to wait for it.
    ///
    /// # Errors
    /// It cannot be executed, or fails.
    pub(crate) fn remove(&self, id: &str) -> Result<(), Error> {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.states);
        if self.systemd {
            command.arg("--systemd-cgroup");
        }
        let said = command
            .args(["delete", "--force", id])
            .stdin(Stdio::null())
            .output()
            .at("cannot execute", &self.program)?;
        if said.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Err(Error::Runtime { verb: "delete", words })
    }
}

fn beside() -> PathBuf {
    let exe = std::env::current_exe().ok();
    let beside = exe.as_deref().and_then(Path::parent).map(|dir| dir.join("red-runtime"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("red-runtime"))
}

/// Files of one call of the runtime; they go with it.
#[derive(Debug)]
pub(crate) struct Files {
    log: PathBuf,
    pid: PathBuf,
}

impl Files {
    /// In a bundle, with a number that no other call has.
    #[must_use]
    pub(crate) fn new(bundle: &Path) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { log: bundle.join(format!("red-log.{number}")), pid: bundle.join(format!("red-pid.{number}")) }
    }

    /// The process that `create` or `exec` made.
    ///
    /// # Errors
    /// It did not say.
    pub(crate) fn made(&self) -> Result<i32, Error> {
        let text = std::fs::read_to_string(&self.pid).at("cannot read", &self.pid)?;
        text.trim()
            .parse()
            .ok()
            .filter(|pid| *pid > 0)
            .ok_or_else(|| Error::Invalid(format!("{} names no process", self.pid.display())))
    }

    /// What went wrong, in the runtime's words.
    fn words(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Line {
            msg: String,
        }
        let text = std::fs::read_to_string(&self.log).ok()?;
        let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(serde_json::from_str::<Line>(last).map_or_else(|_| last.to_owned(), |line| line.msg))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.log, &self.pid] {
            // Most calls make none of them.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Runs a command of the runtime to its end.
///
/// # Errors
/// It cannot be executed, or fails; then with its words.
pub(crate) async fn run(
    reaper: &Reaper,
    verb: &'static str,
    command: &mut Command,
    files: &Files,
) -> Result<(), Error> {
    let program = PathBuf::from(command.get_program());
    let ended = reaper.spawn(command).at("cannot execute", &program)?;
    let exit = ended.ended.await;
    if exit.status == 0 {
        return Ok(());
    }
    let words = files.words().unwrap_or_else(|| {
        let name = program.file_name().unwrap_or(OsStr::new("runtime"));
        format!("{} ended with status {} and said nothing", name.display(), exit.status)
    });
    Err(Error::Runtime { verb, words })
}

/// Runs one, and gives what it prints.
///
/// # Errors
/// As of [`run`]; or it prints too much.
pub(crate) async fn ask(
    reaper: &Reaper,
    verb: &'static str,
    command: &mut Command,
    files: &Files,
) -> Result<Vec<u8>, Error> {
    use std::io::{Read, Seek};
    // A file in memory never blocks whoever writes it, however much that is.
    let memory = rustix::fs::memfd_create(c"red-shim", rustix::fs::MemfdFlags::CLOEXEC)
        .doing(|| "memory for an answer".into())?;
    let mut file = std::fs::File::from(memory);
    command.stdout(file.try_clone().doing(|| "memory for an answer".into())?);
    run(reaper, verb, command, files).await?;
    file.rewind().doing(|| "an answer".into())?;
    let mut out = Vec::new();
    file.read_to_end(&mut out).doing(|| "an answer".into())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_with_what_options_say() {
        let mut options = Options::default();
        options.binary_name = "/opt/red".into();
        options.no_pivot_root = true;
        let runtime = Runtime::of(&options, "default", true);
        let bundle = Path::new("/b");
        let files = Files { log: "/b/log".into(), pid: "/b/pid".into() };
        let command = runtime.create("c", bundle, &files, Some(Path::new("/s")));
        let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        assert_eq!(
            words.join(" "),
            "--root /run/containerd/red/default --log /b/log --log-format json --systemd-cgroup \
             create --bundle /b --pid-file /b/pid --no-pivot --console-socket /s c"
        );
    }

    #[test]
    fn a_note_is_read_again() {
        let bundle = tempfile::tempdir().expect("there is room");
        let runtime = Runtime::of(&Options::default(), "k8s.io", true);
        runtime.note(bundle.path()).expect("it is ours");
        assert_eq!(Runtime::noted(bundle.path(), "k8s.io").expect("it is there"), runtime);
    }
}
