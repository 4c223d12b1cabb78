//! Execution of `red-runtime` subcommands.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::annotations::Config;
use crate::error::{Context, Error, decode_json};
use crate::files;
use crate::options::Options;
use crate::reaper::Reaper;
use crate::sys;

/// Runtime of a container: binary and global options. Saved in the bundle for `delete` after the shim has died.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Runtime {
    program: PathBuf,
    state_dir: PathBuf,
    systemd: bool,
    no_pivot: bool,
    no_new_keyring: bool,
}

/// File of the bundle in which the runtime's configuration is saved.
const CONFIG_FILE: &str = "red-shim.json";

/// Maximum size of the file in bytes.
const MAX_CONFIG_BYTES: u64 = 64 << 10;

impl Runtime {
    /// The binary of the options, else `red-runtime` in the shim's directory, else in `PATH`.
    #[must_use]
    pub(crate) fn from_options(options: &Options, namespace: &str, systemd: bool) -> Self {
        let program = if options.binary_name.is_empty() {
            default_binary()
        } else {
            PathBuf::from(&options.binary_name)
        };
        Self {
            program,
            state_dir: options.state_dir(namespace),
            systemd: options.systemd_cgroup || systemd,
            no_pivot: options.no_pivot_root,
            no_new_keyring: options.no_new_keyring,
        }
    }

    /// Saves the configuration in the bundle.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, bundle: &Path) -> Result<(), Error> {
        let path = bundle.join(CONFIG_FILE);
        let text = serde_json::to_vec(self)
            .map_err(|source| Error::Json { context: path.display().to_string(), source })?;
        files::replace(&path, &text)
    }

    /// Loads the configuration from the bundle; the default if the shim was killed before it was saved, or if the file
    /// is damaged, so that cleanup is tried in any case.
    #[must_use]
    pub(crate) fn load(bundle: &Path, namespace: &str) -> Self {
        let path = bundle.join(CONFIG_FILE);
        let saved = files::read_bounded(&path, MAX_CONFIG_BYTES)
            .and_then(|bytes| decode_json(&bytes, path.display()));
        saved.unwrap_or_else(|error| {
            if path.exists() {
                crate::sys::log(&format!("{error}; using the default runtime"));
            }
            let systemd = Config::load(bundle).is_ok_and(|config| config.is_systemd_cgroup());
            Self::from_options(&Options::default(), namespace, systemd)
        })
    }

    /// The runtime with its global options, which logs to a file.
    fn base_command(&self, log: &Path) -> Command {
        let mut command = self.stateful_command();
        command.arg("--log").arg(log).args(["--log-format", "json"]);
        command
    }

    /// The runtime with its state directory and cgroup manager.
    fn stateful_command(&self) -> Command {
        let mut command = self.clean_command();
        command.arg("--root").arg(&self.state_dir);
        if self.systemd {
            command.arg("--systemd-cgroup");
        }
        command
    }

    /// The runtime without stdio, in an environment without variables of the daemon. It dies with this process.
    fn clean_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // OCI hooks inherit the environment, which may hold secrets of the daemon.
        command.env_clear();
        for name in ["PATH", "NODE_PREFIX", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        sys::kill_with_parent(&mut command);
        command
    }

    /// `create`, without stdio.
    #[must_use]
    pub(crate) fn create(
        &self,
        id: &str,
        bundle: &Path,
        files: &CallFiles,
        console: Option<&Path>,
    ) -> Command {
        let mut command = self.base_command(&files.log_path());
        command.arg("create").arg("--bundle").arg(bundle).arg("--pid-file").arg(&files.pid);
        for (enabled, option) in [(self.no_pivot, "--no-pivot"), (self.no_new_keyring, "--no-new-keyring")] {
            if enabled {
                command.arg(option);
            }
        }
        if let Some(console) = console {
            command.arg("--console-socket").arg(console);
        }
        command.arg(id);
        command
    }

    /// `exec` of the process spec in a file, without stdio.
    #[must_use]
    pub(crate) fn exec(
        &self,
        id: &str,
        process: &Path,
        files: &CallFiles,
        console: Option<&Path>,
    ) -> Command {
        let mut command = self.base_command(&files.log_path());
        command.args(["exec", "--detach", "--process"]).arg(process).arg("--pid-file").arg(&files.pid);
        if let Some(console) = console {
            command.arg("--console-socket").arg(console);
        }
        command.arg(id);
        command
    }

    /// Any other subcommand with its arguments.
    #[must_use]
    pub(crate) fn command(&self, files: &CallFiles, args: &[&str]) -> Command {
        let mut command = self.base_command(&files.log_path());
        command.args(args);
        command
    }

    /// Output of `features` in JSON.
    ///
    /// # Errors
    /// The runtime cannot be executed, or fails.
    pub(crate) fn features(&self) -> Result<Vec<u8>, Error> {
        self.run_blocking("features", self.clean_command().arg("features"))
    }

    /// Runs `delete --force`, without a reaper.
    ///
    /// # Errors
    /// The runtime cannot be executed, or fails.
    pub(crate) fn force_delete(&self, id: &str) -> Result<(), Error> {
        self.run_blocking("delete", self.stateful_command().args(["delete", "--force", id])).map(drop)
    }

    /// Runs a subcommand without a reaper, and returns its stdout.
    fn run_blocking(&self, subcommand: &'static str, command: &mut Command) -> Result<Vec<u8>, Error> {
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .context(|| cannot_execute(&self.program))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Runtime { subcommand, message })
    }
}

fn default_binary() -> PathBuf {
    let exe = std::env::current_exe().ok();
    let sibling = exe.as_deref().and_then(Path::parent).map(|dir| dir.join("red-runtime"));
    sibling.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("red-runtime"))
}

fn cannot_execute(program: &Path) -> String {
    let place =
        if program.is_absolute() { "" } else { ", which is neither in the shim's directory nor in PATH" };
    format!("cannot execute {}{place}", program.display())
}

/// Maximum size of the part of a runtime's log that is read, in bytes.
const MAX_LOG_BYTES: u64 = 64 << 10;

/// Exit status of a process that SIGKILL has ended.
const SIGKILL_STATUS: u32 = 128 + 9;

/// Files of one runtime call, removed on drop.
#[derive(Debug)]
pub(crate) struct CallFiles {
    /// Log of the runtime, in memory: on a full disk it would have no place for its error message, and red-runtime
    /// refuses every command, also `delete`, whose log it cannot create.
    log: File,
    pid: PathBuf,
    input: PathBuf,
}

impl CallFiles {
    /// A log, and unique paths in the bundle.
    ///
    /// # Errors
    /// memfd_create(2) fails.
    pub(crate) fn new(bundle: &Path) -> Result<Self, Error> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = |name: &str| bundle.join(format!("{name}.{number}"));
        Ok(Self { log: memory_file()?, pid: path("red-pid"), input: path("red-input") })
    }

    /// Path under which the runtime opens the log (proc_pid_fd(5)).
    fn log_path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.log.as_raw_fd()).into()
    }

    /// Writes an input file of the call, and returns its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_input(&self, bytes: &[u8]) -> Result<&Path, Error> {
        files::write_private(&self.input, bytes)?;
        Ok(&self.input)
    }

    /// Reads the PID of the process that `create` or `exec` has created.
    ///
    /// # Errors
    /// The PID file cannot be read, or has no valid PID.
    pub(crate) fn read_pid(&self) -> Result<i32, Error> {
        let text = match std::fs::read_to_string(&self.pid) {
            // Another program, or an empty file, under the runtime's name.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Invalid(
                    "the runtime has exited with status 0, and has made no process".into(),
                ));
            }
            text => text.path_context("cannot read", &self.pid)?,
        };
        text.trim()
            .parse()
            .ok()
            .filter(|pid| *pid > 0)
            .ok_or_else(|| Error::Invalid(format!("{}: invalid PID", self.pid.display())))
    }

    /// Last error message in the log.
    fn error_message(&self) -> Option<String> {
        use std::io::{Read, Seek, SeekFrom};
        let mut log = &self.log;
        let length = log.metadata().ok()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(MAX_LOG_BYTES))).ok()?;
        let mut bytes = Vec::new();
        log.take(MAX_LOG_BYTES).read_to_end(&mut bytes).ok()?;
        last_message(&bytes)
    }
}

/// Message of the last line of a runtime's log.
#[must_use]
pub(crate) fn last_message(log: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        msg: String,
    }
    let text = String::from_utf8_lossy(log);
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(serde_json::from_str::<Line>(last).map_or_else(|_| last.to_owned(), |line| line.msg))
}

/// A file in memory, which unlike a pipe never blocks its writer.
fn memory_file() -> Result<File, Error> {
    let memory = rustix::fs::memfd_create(c"red-shim", rustix::fs::MemfdFlags::CLOEXEC);
    memory.map(File::from).context(|| "cannot create a memfd".into())
}

impl Drop for CallFiles {
    fn drop(&mut self) {
        for path in [&self.pid, &self.input] {
            // Most calls create none of them.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Runs a runtime command, and waits for its exit.
///
/// # Errors
/// The runtime cannot be executed, or fails; then with its last error message.
pub(crate) async fn run(
    reaper: &Reaper,
    subcommand: &'static str,
    command: &mut Command,
    files: &CallFiles,
) -> Result<(), Error> {
    let program = PathBuf::from(command.get_program());
    let child = reaper.spawn(command).context(|| cannot_execute(&program))?;
    let exit = child.exit.await;
    if exit.status == 0 {
        return Ok(());
    }
    if let Some(message) = files.error_message() {
        return Err(Error::Runtime { subcommand, message });
    }
    let program = program.file_name().unwrap_or(OsStr::new("runtime")).display().to_string();
    if exit.status == SIGKILL_STATUS {
        return Err(Error::Killed { subcommand, program });
    }
    let message = format!("{program} exited with status {} without an error message", exit.status);
    Err(Error::Runtime { subcommand, message })
}

/// Runs a runtime command, and returns its stdout.
///
/// # Errors
/// See [`run`]; or a memfd cannot be created or read.
pub(crate) async fn output(
    reaper: &Reaper,
    subcommand: &'static str,
    command: &mut Command,
    files: &CallFiles,
) -> Result<Vec<u8>, Error> {
    use std::io::{Read, Seek};
    let mut file = memory_file()?;
    command.stdout(file.try_clone().context(|| "cannot create a memfd".into())?);
    run(reaper, subcommand, command, files).await?;
    file.rewind().context(|| "cannot read the output of the runtime".into())?;
    let mut out = Vec::new();
    file.read_to_end(&mut out).context(|| "cannot read the output of the runtime".into())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_runtime_arguments() {
        let mut options = Options::default();
        options.binary_name = "/opt/red".into();
        options.no_pivot_root = true;
        let runtime = Runtime::from_options(&options, "default", true);
        let bundle = Path::new("/b");
        let files =
            CallFiles { log: memory_file().expect("memfd"), pid: "/b/pid".into(), input: "/b/input".into() };
        let command = runtime.create("c", bundle, &files, Some(Path::new("/s")));
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        let log = files.log_path().display().to_string();
        assert_eq!(
            args.join(" "),
            format!(
                "--root /run/containerd/red/default --systemd-cgroup --log {log} --log-format json \
                 create --bundle /b --pid-file /b/pid --no-pivot --console-socket /s c"
            )
        );
        std::fs::write(log, "{\"msg\": \"a\"}\n{\"msg\": \"last\"}\n\n").expect("open through procfs");
        assert_eq!(files.error_message().as_deref(), Some("last"));
    }

    #[test]
    fn saved_configuration_is_loaded() {
        let bundle = tempfile::tempdir().expect("temporary directory");
        let runtime = Runtime::from_options(&Options::default(), "k8s.io", true);
        runtime.save(bundle.path()).expect("save");
        assert_eq!(Runtime::load(bundle.path(), "k8s.io"), runtime);
    }

    #[test]
    fn damaged_configuration_is_replaced_by_the_default() {
        let bundle = tempfile::tempdir().expect("temporary directory");
        let write = |name: &str, text: &str| std::fs::write(bundle.path().join(name), text).expect("write");
        let default = |systemd| Runtime::from_options(&Options::default(), "k8s.io", systemd);
        assert_eq!(Runtime::load(bundle.path(), "k8s.io"), default(false));
        write(CONFIG_FILE, r#"{"program": "/opt/r"#);
        assert_eq!(Runtime::load(bundle.path(), "k8s.io"), default(false));
        write("config.json", r#"{"linux": {"cgroupsPath": "a.slice:red:c"}}"#);
        assert_eq!(Runtime::load(bundle.path(), "k8s.io"), default(true));
    }
}
