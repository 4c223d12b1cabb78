//! Errors, as engines read them: podman takes the whole log file as one JSON object, containerd its
//! last line. One line serves both.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use serde_json::json;

use super::{Global, LogFormat, Output, RunError};
use crate::node::render;

/// Writes an error where it was asked for, and to stderr.
pub(super) fn error(global: &Global, error: &RunError, out: &mut Output) {
    let text = error.to_string();
    if let Some(path) = &global.log {
        let time = jiff::Timestamp::now().to_string();
        let line = match global.log_format {
            LogFormat::Json => json!({"level": "error", "msg": text, "time": time}).to_string(),
            LogFormat::Text => format!("time=\"{time}\" level=error msg={}", json!(text)),
        };
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            out.say(&format!("red-runtime: {}: {error}\n", path.display()));
        }
    }
    out.say(&format!("red-runtime: {}\n", render::visible(&text)));
}
