//! Errors, as engines read them: podman takes the whole log file as one JSON object, containerd its
//! last line. One line serves both.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Global, LogFormat, Output, RunError};
use crate::launch::cause;
use crate::node::render;

/// Reads where the log goes: a path, or `file:` and a path, as crun has it.
///
/// # Errors
/// It is another kind of log.
pub(super) fn parse(text: &str) -> Result<PathBuf, String> {
    for kind in ["journald:", "syslog:"] {
        if text.starts_with(kind) {
            return Err(format!(
                "{kind} is not supported; name a file, and have the caller log what it reads"
            ));
        }
    }
    Ok(text.strip_prefix("file:").unwrap_or(text).into())
}

/// Sees that the log can be written before anything is done: an engine that finds none has nothing to show.
///
/// # Errors
/// It cannot be.
pub(super) fn open(global: &Global) -> Result<(), RunError> {
    let Some(path) = &global.log else { return Ok(()) };
    append(path).map(drop).map_err(|error| super::unreadable(path, &error).into())
}

fn append(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Writes an error where it was asked for, and to stderr.
pub(super) fn error(global: &Global, error: &RunError, out: &mut Output) {
    let text = cause::with_cause(&error.to_string());
    if let Some(path) = &global.log {
        let time = jiff::Timestamp::now().to_string();
        let line = match global.log_format {
            LogFormat::Json => json!({"level": "error", "msg": text, "time": time}).to_string(),
            LogFormat::Text => format!("time=\"{time}\" level=error msg={}", json!(text)),
        };
        let written = append(path).and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            out.say(&format!("red-runtime: {}\n", super::unreadable(path, &error)));
        }
    }
    out.say(&format!("red-runtime: {}\n", render::visible(&text)));
}
