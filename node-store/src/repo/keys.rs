//! Keys of repositories. They are foreign bytes: a process of its own looks into them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use red_runtime::node::render::visible;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::metadata::seconds;
use crate::regular;
use crate::rpm::public_key::signed_by;
use crate::rpm::{armor, binding, openpgp, validity};

/// First argument of the process that tells fingerprints.
pub(crate) const KEYS: &str = "__keys";
/// First argument of the process that verifies a signature.
pub(crate) const VERIFY: &str = "__verify";

/// How long a file with keys or signatures may be; those of metadata are all in one.
const BYTES: u64 = 64 << 20;

/// Seconds that the process may compute.
const CPU: u64 = 20;

/// Bytes of memory that it may map, libraries included.
const MEMORY: u64 = 768 << 20;

/// A key, for a person to agree to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) fingerprint: String,
    pub(crate) user: String,
    /// Fingerprints of subkeys.
    pub(crate) subkeys: Vec<String>,
    /// The key itself: what is agreed to is what becomes trusted, whatever the file has become since.
    pub(crate) armored: String,
    /// Whether this version of rpm can do anything with it. Files of vendors have keys for older and for newer ones.
    pub(crate) known: bool,
    /// Whether metadata can be verified with it: libsolv knows its algorithm.
    pub(crate) verifies: bool,
    /// Where it was fetched from.
    #[serde(default)]
    pub(crate) url: String,
    /// Fingerprints of those of its keys that do not count, and why.
    pub(crate) dead: Vec<(String, String)>,
}

impl Found {
    /// Fingerprints of the key and its subkeys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.fingerprint).chain(&self.subkeys)
    }

    /// Lines that show it to whoever is asked.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let subkeys = self.subkeys.iter().map(|subkey| format!("  with subkey {}", subkey.to_uppercase()));
        let dead = self
            .dead
            .iter()
            .map(|(key, why)| format!("  {} {why}: what it signed is refused", key.to_uppercase()));
        let from = (!self.url.is_empty()).then(|| format!("  from {}", visible(&anonymous(&self.url))));
        let own = format!("  fingerprint {}", self.fingerprint.to_uppercase());
        from.into_iter().chain([own]).chain(subkeys).chain(dead)
    }
}

/// A URL without user and password.
fn anonymous(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The keys in a file, binary or armored.
pub(crate) fn fingerprints(path: &Path) -> Result<Vec<Found>, String> {
    let said = ask(Command::new("/proc/self/exe").arg(KEYS).arg(path))?;
    serde_json::from_str(&said).map_err(|error| error.to_string())
}

/// Verifies a detached signature with armored keys. Returns why it does not count, as far as there is more to say than
/// that none of the keys made it.
pub(super) fn verifies(data: &[u8], signature: &[u8], keys: &[String]) -> Result<Option<String>, String> {
    if keys.is_empty() {
        return Ok(Some(String::new()));
    }
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).map(|()| path).map_err(|error| format!("{name}: {error}"))
    };
    let files =
        [write("data", data)?, write("signature", signature)?, write("keys", keys.concat().as_bytes())?];
    let said = ask(Command::new("/proc/self/exe").arg(VERIFY).args(files))?;
    Ok(Some(said.trim().to_owned()).filter(|words| words != GOOD))
}

/// What the process says of a good signature.
const GOOD: &str = "good";

fn ask(command: &mut Command) -> Result<String, String> {
    let output = command.env_clear().stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if std::os::unix::process::ExitStatusExt::signal(&output.status)
        == Some(rustix::process::Signal::XCPU.as_raw())
    {
        return Err(format!("its signatures take more than {CPU} s to verify"));
    }
    if std::os::unix::process::ExitStatusExt::signal(&output.status)
        == Some(rustix::process::Signal::ABORT.as_raw())
    {
        return Err(format!("its keys and signatures take more than {} MiB of memory", MEMORY >> 20));
    }
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if words.is_empty() { format!("the reader of keys ended by {}", output.status) } else { words })
}

/// The process behind both.
pub(crate) fn main(verb: &str, args: &[std::ffi::OsString]) -> ExitCode {
    // A key can be made so that each of its signatures takes long.
    let limit = Rlimit { current: Some(CPU), maximum: Some(CPU + 1) };
    let memory = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    let limited = setrlimit(Resource::Cpu, limit).and_then(|()| setrlimit(Resource::As, memory));
    let limited = limited.map_err(|error| error.to_string());
    let said = if let Err(error) = limited {
        Err(error)
    } else if verb == KEYS {
        tell(args)
    } else {
        verify(args)
    };
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
    let certificates = certificates(Path::new(path))?;
    crate::rpm::read_configuration().map_err(|error| error.to_string())?;
    let (mut found, mut budget) = (Vec::new(), binding::Budget::default());
    for key in certificates {
        let bound = binding::bound(&key, &mut budget)?;
        let verifies = bound.is_some();
        // A subkey that its key did not sign is nobody's to agree to.
        let key = bound.map_or(key, |bound| bound.certificate);
        let usable = validity::usable(std::slice::from_ref(&key), seconds())?;
        found.push(Found {
            known: librpm::PubKey::new(&key.packets).is_ok(),
            verifies,
            armored: armor::wrap(&key.packets, armor::KEY),
            id: key.id,
            fingerprint: key.fingerprint,
            user: visible(&key.user).into_owned(),
            subkeys: key.subkeys,
            url: String::new(),
            dead: usable.dead.into_iter().map(|dead| (dead.fingerprint, dead.why)).collect(),
        });
    }
    serde_json::to_string(&found).map_err(|error| error.to_string())
}

fn certificates(path: &Path) -> Result<Vec<openpgp::Certificate>, String> {
    let file = regular::read(path, BYTES).map_err(|error| format!("{}: {error}", path.display()))?;
    openpgp::certificates(&file).map_err(|why| format!("{}: {why}", path.display()))
}

/// What does not count any more is left out before.
fn verify(args: &[std::ffi::OsString]) -> Result<String, String> {
    let [data, signature, keys] = args else { return Err("called wrongly".into()) };
    let now = seconds();
    let (mut proven, mut dead) = (Vec::new(), Vec::new());
    let mut budget = binding::Budget::default();
    for certificate in certificates(Path::new(keys))? {
        if let Some(bound) = binding::proven(&certificate, &mut budget)? {
            proven.push(bound.certificate);
            dead.extend(bound.dead);
        }
    }
    let mut usable = validity::usable(&proven, now)?;
    usable.dead.extend(dead);
    let (data, signature) = (Path::new(data), Path::new(signature));
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", signature.display());
    let file = regular::read(signature, BYTES).map_err(|error| failed(&error))?;
    let data = std::fs::read(data).map_err(|error| format!("{}: {error}", data.display()))?;
    let mut budget = binding::Budget::default();
    let mut reasons = Vec::new();
    for packet in openpgp::signatures(&file).map_err(|why| failed(&why))? {
        if let Err(why) = validity::counts(&packet, now) {
            reasons.push(why);
            continue;
        }
        for certificate in &usable.packets {
            if signed_by(certificate, &packet, &data, &mut budget).map_err(|why| failed(&why))? {
                return Ok(GOOD.into());
            }
        }
        reasons.extend(validity::dead_maker(&packet, &usable.dead));
    }
    reasons.dedup();
    Ok(reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("https://me:secret@host/key@2.asc", "https://host/key@2.asc"),
            ("http://a:b@c@host", "http://host"),
            ("file:///etc/pki/key", "file:///etc/pki/key"),
            ("/etc/pki/key", "/etc/pki/key"),
        ] {
            assert_eq!(anonymous(url), shown);
        }
    }

    #[test]
    fn a_person_sees_where_a_key_is_from_and_what_is_wrong_with_it() {
        let key = Found {
            id: "1".into(),
            fingerprint: "ab1".into(),
            user: "vendor".into(),
            subkeys: vec!["cd2".into()],
            armored: String::new(),
            known: true,
            verifies: true,
            url: "https://host/key".into(),
            dead: vec![("cd2".into(), "expired on 2024-01-02".into())],
        };
        let lines = [
            "  from https://host/key",
            "  fingerprint AB1",
            "  with subkey CD2",
            "  CD2 expired on 2024-01-02: what it signed is refused",
        ];
        assert_eq!(key.lines().collect::<Vec<_>>(), lines);
    }
}
