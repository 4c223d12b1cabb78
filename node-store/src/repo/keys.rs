//! Keys of repositories. They are foreign bytes: a process of its own looks into them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use crate::solve::ffi::Keyring;

/// First argument of the process that tells fingerprints.
pub(crate) const KEYS: &str = "__keys";
/// First argument of the process that verifies a signature.
pub(crate) const VERIFY: &str = "__verify";

/// A key, for a person to agree to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) fingerprint: String,
    pub(crate) user: String,
}

/// The keys in an armored file.
pub(crate) fn fingerprints(path: &Path) -> Result<Vec<Found>, String> {
    let said = ask(Command::new("/proc/self/exe").arg(KEYS).arg(path))?;
    let found: Vec<Found> = serde_json::from_str(&said).map_err(|error| error.to_string())?;
    if found.is_empty() { Err(format!("{}: no OpenPGP key in it", path.display())) } else { Ok(found) }
}

/// Whether one of the keys made a detached signature.
pub(super) fn verifies(data: &Path, signature: &Path, keys: &[PathBuf]) -> Result<bool, String> {
    let said = ask(Command::new("/proc/self/exe").arg(VERIFY).arg(data).arg(signature).args(keys))?;
    Ok(said.trim() == "true")
}

fn ask(command: &mut Command) -> Result<String, String> {
    let output = command.env_clear().stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if words.is_empty() { format!("the reader of keys ended by {}", output.status) } else { words })
}

/// The process behind both.
pub(crate) fn main(verb: &str, args: &[std::ffi::OsString]) -> ExitCode {
    let said = if verb == KEYS { tell(args) } else { verify(args) };
    match said {
        Ok(words) => {
            drop(writeln!(std::io::stdout(), "{words}"));
            ExitCode::SUCCESS
        }
        Err(words) => {
            drop(writeln!(std::io::stderr(), "{words}"));
            ExitCode::FAILURE
        }
    }
}

fn tell(args: &[std::ffi::OsString]) -> Result<String, String> {
    let [path] = args else { return Err("called wrongly".into()) };
    let keys = Keyring::new().add(Path::new(path)).map_err(|error| error.to_string())?;
    let found: Vec<Found> = keys
        .into_iter()
        .map(|key| Found { id: key.id, fingerprint: key.fingerprint, user: key.user })
        .collect();
    serde_json::to_string(&found).map_err(|error| error.to_string())
}

fn verify(args: &[std::ffi::OsString]) -> Result<String, String> {
    let [data, signature, keys @ ..] = args else { return Err("called wrongly".into()) };
    let mut keyring = Keyring::new();
    for key in keys {
        keyring.add(Path::new(key)).map_err(|error| error.to_string())?;
    }
    let good = keyring.verifies(Path::new(data), Path::new(signature)).map_err(|error| error.to_string())?;
    Ok(good.to_string())
}
