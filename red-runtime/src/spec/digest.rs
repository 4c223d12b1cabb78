//! What a plan is, in one number that does not depend on who starts it, when, or on which machine.
//!
//! The digest covers what the family decides: exports, environment, namespaces, capabilities,
//! limits, identity, with everything that differs per launch (`$UID`, `$PID`, `$(…)`, inherited
//! variables) kept as written, and with how this release translates it ([`TRANSLATION`]). It does
//! not cover comments, order, `info` and `warn` texts, the command that is run, or what happens to
//! exist on the machine. So a digest pinned by a proof in CI is the digest on the target.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::identity::Asked;
use crate::node::capability::capability_name;
use crate::node::config::Namespace;
use crate::node::expand::Text;
use crate::node::family::Family;
use crate::node::merge::{Merged, Resolved, Sharing, Source, Tightest};

/// Version of the translation from a merged family to an OCI configuration. It grows whenever the
/// same family would come out differently.
pub const TRANSLATION: u32 = 2;

/// SHA-256 of the canonical form of a plan.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

/// Bytes in hexadecimal digits.
pub(in crate::spec) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

/// SHA-256 of bytes in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first eight of these digits: enough to tell names apart, and no proof of anything.
#[must_use]
pub fn short(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..4])
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Digest {
    /// The digest of a merged family.
    #[must_use]
    pub fn of(family: &Family, merged: &Merged, asked: &Asked, smack: Option<&str>) -> Self {
        let mut hash = HashWriter(Sha256::new());
        // Hashing cannot fail, and the form has no map whose keys are not text.
        let written = write_canonical(&mut hash, family, merged, asked, smack);
        debug_assert!(written.is_ok(), "the canonical form is always writable");
        Self(hash.0.finalize().into())
    }
}

struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the canonical form: one JSON document without white space, keys in a fixed order,
/// whose SHA-256 is the digest.
///
/// # Errors
/// What the writer says.
pub fn write_canonical(
    writer: &mut dyn Write,
    family: &Family,
    merged: &Merged,
    asked: &Asked,
    smack: Option<&str>,
) -> io::Result<()> {
    let form = Canonical::of(family, merged, asked, smack);
    serde_json::to_writer(writer, &form).map_err(io::Error::from)
}

/// Parts of the canonical form, and its keys.
const PARTS: [(&str, &[&str]); 8] = [
    ("translation", &["schema", "translation"]),
    ("nodes", &["admin", "nodes"]),
    ("exports", &["exports"]),
    ("environment", &["environ", "path", "ldpath", "inherit_env"]),
    ("namespaces", &["namespaces", "hostname"]),
    ("capabilities", &["capabilities", "without_seccomp"]),
    (
        "process",
        &["chdir", "umask", "user", "group", "map_root_user", "smack", "die_with_parent", "new_session"],
    ),
    ("limits", &["cgrouproot", "limits"]),
];

/// Short digests of parts of the canonical form, such as `exports=0a1b2c3d`: where two plans have different
/// digests they tell what differs, and prove nothing.
#[must_use]
pub fn parts(family: &Family, merged: &Merged, asked: &Asked, smack: Option<&str>) -> String {
    let form = serde_json::to_value(Canonical::of(family, merged, asked, smack)).unwrap_or_default();
    let part = |(name, keys): &(&str, &[&str])| {
        let values: Vec<_> = keys.iter().map(|key| form.get(key)).collect();
        format!("{name}={}", short(&serde_json::to_vec(&values).unwrap_or_default()))
    };
    PARTS.iter().map(part).collect::<Vec<_>>().join(" ")
}

/// Names of the parts in which two plans differ, by their [`parts`].
#[must_use]
pub fn differing<'p>(one: &'p str, other: &str) -> Vec<&'p str> {
    let other: Vec<&str> = other.split(' ').collect();
    let parts = one.split(' ').filter(|part| !other.contains(part));
    parts.filter_map(|part| part.split_once('=').map(|(name, _)| name)).collect()
}

#[derive(Serialize)]
struct Canonical<'a> {
    schema: &'static str,
    translation: u32,
    admin: bool,
    nodes: Vec<(&'a str, &'a str)>,
    exports: Vec<[String; 3]>,
    environ: Vec<[String; 3]>,
    path: Vec<String>,
    ldpath: Vec<String>,
    inherit_env: bool,
    namespaces: Vec<(&'static str, String)>,
    capabilities: Vec<&'static str>,
    hostname: Option<String>,
    chdir: Option<String>,
    umask: Option<u32>,
    user: Option<String>,
    group: Option<String>,
    map_root_user: bool,
    smack: Option<String>,
    die_with_parent: bool,
    new_session: bool,
    /// Said only where a family does without the filter, so that other digests are as they were.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    without_seccomp: bool,
    cgrouproot: Option<String>,
    limits: Vec<Vec<(&'static str, String)>>,
}

impl<'a> Canonical<'a> {
    fn of(family: &'a Family, merged: &Merged, asked: &Asked, smack: Option<&str>) -> Self {
        let tags = &merged.tags;
        let identity = &tags.identity;
        let list = |items: &[crate::node::merge::PathItem]| {
            items.iter().map(|item| item.text.canonical().into_owned()).collect()
        };
        Self {
            schema: "red/plan-digest/v1",
            translation: TRANSLATION,
            admin: family.admin,
            nodes: family
                .nodes
                .iter()
                .map(|node| (node.vars.alias.as_str(), node.vars.path.as_str()))
                .collect(),
            exports: exports(merged),
            environ: merged
                .environ
                .iter()
                .map(|one| [one.key.clone(), one.mode.to_string(), one.value.canonical().into_owned()])
                .collect(),
            path: list(&merged.path),
            ldpath: list(&merged.ldpath),
            inherit_env: on(&tags.inherit_env),
            namespaces: merged
                .shares
                .iter()
                .map(|(namespace, share)| share_of(namespace, &share.value))
                .collect(),
            capabilities: merged.capabilities.granted().map(|(one, _)| capability_name(one)).collect(),
            hostname: text(&tags.hostname),
            chdir: text(&tags.chdir),
            umask: tags.umask.as_ref().map(|umask| umask.value),
            user: asked.user.clone().or_else(|| text(&identity.user)),
            group: asked.group.clone().or_else(|| text(&identity.group)),
            map_root_user: on(&identity.map_root_user),
            smack: smack.map(str::to_owned),
            die_with_parent: on(&tags.die_with_parent),
            new_session: on(&tags.new_session),
            without_seccomp: tags.seccomp.as_ref().is_some_and(|on| !on.value),
            cgrouproot: text(&tags.cgrouproot),
            limits: merged.levels.iter().map(|level| limits(&level.limits)).collect(),
        }
    }
}

/// Mount point, mode and source of each export, sorted by mount point as the digest sees it.
fn exports(merged: &Merged) -> Vec<[String; 3]> {
    let mut exports: Vec<[String; 3]> = merged
        .exports
        .iter()
        .map(|export| {
            let source = match &export.source {
                Source::None => String::new(),
                Source::Descriptor(number) => number.to_string(),
                Source::Path(text) | Source::Target(text) | Source::Command(text) => {
                    text.canonical().into_owned()
                }
            };
            [export.mount.canonical().into_owned(), export.mode.to_string(), source]
        })
        .collect();
    exports.sort();
    exports
}

fn share_of(namespace: Namespace, sharing: &Sharing) -> (&'static str, String) {
    let value = match sharing {
        Sharing::Join(path) => path.canonical().into_owned(),
        other => other.show().to_owned(),
    };
    (namespace.tag(), value)
}

fn limits(limits: &Tightest) -> Vec<(&'static str, String)> {
    limits.shown().into_iter().map(|(name, value, ..)| (name, value)).collect()
}

fn text(tag: &Option<Resolved<Text>>) -> Option<String> {
    tag.as_ref().map(|tag| tag.value.canonical().into_owned())
}

fn on(tag: &Option<Resolved<bool>>) -> bool {
    tag.as_ref().is_some_and(|on| on.value)
}

#[cfg(test)]
mod tests;
