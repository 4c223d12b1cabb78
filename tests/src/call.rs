//! Calls of the built binaries.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The built binary `name`, beside the test that asks.
///
/// # Panics
/// It is not built: `cargo build --workspace` does that, and the test command before anything else.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let dir = test.parent().and_then(Path::parent).expect("tests stand in target/<profile>/deps");
    let program = dir.join(name);
    assert!(program.is_file(), "{} is not built: run `cargo build --workspace` first", program.display());
    program
}

/// `red-conf`, with an environment of the test's own.
#[must_use]
pub fn red_conf() -> Command {
    let mut command = Command::new(built("red-runtime"));
    command.arg0("red-conf").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
    command.stdin(Stdio::null());
    command
}

/// What a call printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Exit status; 128 + signal when a signal ended it.
    pub code: i32,
    /// Data.
    pub out: String,
    /// Everything else.
    pub err: String,
}

impl Said {
    /// The data as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.out, self.err))
    }

    /// Itself, when it ended well.
    ///
    /// # Panics
    /// It did not.
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }
}

/// Runs a command to its end.
///
/// # Panics
/// It cannot be started.
pub fn run(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().expect("the command starts");
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    Said {
        code: status.code().or(signal).unwrap_or(255),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Runs `red-conf` with arguments.
pub fn conf<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Said {
    run(red_conf().args(args))
}

/// `red-wrap`, with an environment of the test's own and states below `root`.
#[must_use]
pub fn red_wrap(root: &Path) -> Command {
    let mut command = Command::new(built("red-runtime"));
    command.arg0("red-wrap").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("LANG", "C.UTF-8").env("XDG_RUNTIME_DIR", root).arg("--root").arg(root);
    command.stdin(Stdio::null());
    command
}

/// `red-runtime`, with states below `root`.
#[must_use]
pub fn red_runtime(root: &Path) -> Command {
    let mut command = Command::new(built("red-runtime"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg("--root").arg(root);
    command.stdin(Stdio::null());
    command
}
