//! Annotations that name a node: those of a container, and those that a pod has for one of its containers.
//!
//! Kubernetes passes annotations of a pod to every container of it and has none for a single one. So a key
//! may end in the name of a container, as keys of AppArmor and NRI do.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::NodeError;
use super::choice::{Choice, REFERENCE, RootNode, Selection, refused};
use crate::node::diagnostic::Code;
use crate::node::value;
use crate::spec::annotation::{self, KEYS, PREFIX};

/// Annotations that a plan leaves in its configuration. They tell where it came from and ask for
/// nothing.
pub(super) const ORIGIN: [&str; 2] = [annotation::ORIGIN_REDPATH, annotation::ORIGIN_DIGEST];

/// Annotations that say what a container is to Kubernetes: of containerd, of cri-o.
pub(super) const CONTAINER_TYPES: [&str; 2] =
    ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

/// Annotation with the name of a container in its pod: containerd's (`internal/cri/annotations`).
const CONTAINER_NAME: &str = "io.kubernetes.cri.container-name";

/// What is started, as far as annotations of its pod are for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Member<'a> {
    /// The container that keeps the namespaces of a pod: it has the annotations of the others.
    Sandbox,
    /// A container of a pod, by name.
    Container(&'a str),
    /// A container without a name.
    Unnamed,
}

impl<'a> Member<'a> {
    /// What a configuration says of itself.
    pub(super) fn of(annotations: &'a HashMap<String, String>) -> Self {
        let is_sandbox = |key: &str| annotations.get(key).is_some_and(|kind| kind == "sandbox");
        if CONTAINER_TYPES.into_iter().any(is_sandbox) {
            return Self::Sandbox;
        }
        match annotations.get(CONTAINER_NAME).filter(|name| !name.is_empty()) {
            Some(name) => Self::Container(name),
            None => Self::Unnamed,
        }
    }
}

/// A value, and the annotation that has it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Setting<T> {
    value: T,
    key: String,
}

/// What the annotations say.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    redpath: Option<Setting<PathBuf>>,
    admin: Option<Setting<bool>>,
    strict: Option<Setting<bool>>,
    digest: Option<Setting<String>>,
    /// A node is named for another container of the pod: what is said of all nodes of the pod need not be of
    /// this one.
    elsewhere: bool,
}

impl Annotations {
    /// Reads the annotations that are ours. One that names the container comes before one of the whole pod.
    ///
    /// # Errors
    /// One of them is unknown or invalid, or names a container where this one has no name.
    pub(super) fn read(all: &HashMap<String, String>, member: Member<'_>) -> Result<Self, NodeError> {
        let mut read = Self::default();
        let mut ours: Vec<(&String, &String)> = all.iter().filter(|(key, _)| is_ours(key)).collect();
        // A key with the name of a container sorts behind the one without.
        ours.sort_unstable();
        for (key, value) in ours {
            let name = key.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.')).unwrap_or("");
            if ORIGIN.contains(&name) {
                continue;
            }
            let (what, container) = split(name).ok_or_else(|| unknown(key, name))?;
            match (container, member) {
                (None, _) => {}
                (Some(container), _) if !is_label(container) => return Err(unnameable(key, container)),
                (Some(container), Member::Container(own)) if container == own => {}
                (Some(_), Member::Container(_) | Member::Sandbox) => {
                    read.elsewhere |= what == annotation::REDPATH;
                    continue;
                }
                (Some(container), Member::Unnamed) => return Err(nameless(key, what, container)),
            }
            read.set(what, key, value)?;
        }
        Ok(read)
    }

    fn set(&mut self, what: &str, key: &str, value: &str) -> Result<(), NodeError> {
        let key = key.to_owned();
        let flag =
            || value::boolean(value).map_err(|_wrong| invalid(&key, value, "expected `true` or `false`"));
        match what {
            annotation::REDPATH if Path::new(value).is_absolute() => {
                self.redpath = Some(Setting { value: value.into(), key });
            }
            annotation::REDPATH => return Err(invalid(&key, value, "expected an absolute path")),
            annotation::ADMIN => self.admin = Some(Setting { value: flag()?, key }),
            annotation::STRICT => self.strict = Some(Setting { value: flag()?, key }),
            _ => {
                let value = digest(value).ok_or_else(|| invalid(&key, value, DIGEST_FORM))?;
                self.digest = Some(Setting { value, key });
            }
        }
        Ok(())
    }

    /// Where the root says which node it is. An annotation may say the same, or add what the root
    /// leaves open.
    ///
    /// # Errors
    /// Both say something, and not the same.
    pub(super) fn over(self, mut choice: Choice) -> Result<Choice, NodeError> {
        for (said, own) in [(&self.admin, choice.admin), (&self.strict, choice.strict)] {
            if let Some(said) = said.as_ref().filter(|said| own && !said.value) {
                return Err(disagree(&said.key, "false", "true"));
            }
        }
        if let (Some(said), Some(own)) = (&self.digest, &choice.digest)
            && said.value != *own
        {
            return Err(disagree(&said.key, &said.value, own));
        }
        choice.admin |= is_true(self.admin.as_ref());
        choice.strict |= is_true(self.strict.as_ref());
        choice.digest = self.digest.map(|said| said.value).or(choice.digest);
        if let Some(Setting { value, key }) = self.redpath {
            let path = std::mem::replace(&mut choice.redpath, value);
            choice.root_node = Some(RootNode { path, annotation: key });
        }
        Ok(choice)
    }

    /// Where nothing but annotations says anything.
    ///
    /// # Errors
    /// They are about a node, and name none.
    pub(super) fn alone(self) -> Result<Selection, NodeError> {
        let pin = self.pin().map(str::to_owned);
        match (self.redpath, pin) {
            (Some(said), _) => Ok(Selection::Node(Choice {
                redpath: said.value,
                admin: is_true(self.admin.as_ref()),
                strict: is_true(self.strict.as_ref()),
                digest: self.digest.map(|said| said.value),
                ..Choice::default()
            })),
            (None, Some(key)) => Err(refused(
                Code::MissingKey,
                format!(
                    "annotation {key} is about a node, and neither {PREFIX}.redpath nor the root names one"
                ),
            )),
            (None, None) => Ok(Selection::Plain { sandbox: false }),
        }
    }
}

impl Annotations {
    /// The key of something that is about a node, and has to be about this container.
    fn pin(&self) -> Option<&str> {
        let flags = [&self.admin, &self.strict].into_iter().flatten().map(|said| said.key.as_str());
        let mut keys = flags.chain(self.digest.iter().map(|said| said.key.as_str()));
        let of_pod =
            |key: &str| KEYS.iter().any(|plain| key.strip_prefix(PREFIX) == Some(&format!(".{plain}")));
        keys.find(|key| !self.elsewhere || !of_pod(key))
    }
}

fn is_true(said: Option<&Setting<bool>>) -> bool {
    said.is_some_and(|said| said.value)
}

/// A key of ours, and the container that it is for.
fn split(name: &str) -> Option<(&'static str, Option<&str>)> {
    KEYS.into_iter().find_map(|key| match name.strip_prefix(key)? {
        "" => Some((key, None)),
        rest => rest.strip_prefix('.').map(|container| (key, Some(container))),
    })
}

/// Whether a text can be the name of a container: a DNS label (Kubernetes, "Object Names and IDs").
fn is_label(text: &str) -> bool {
    let inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a key is ours, or was meant to be.
fn is_ours(key: &str) -> bool {
    let rest = key.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX));
    rest.is_some() && !key[PREFIX.len()..].starts_with(|next: char| next.is_ascii_alphanumeric())
}

fn unknown(key: &str, name: &str) -> NodeError {
    let (what, container) = match name.split_once('.') {
        Some((what, container)) => (what, format!(".{container}")),
        None => (name, String::new()),
    };
    let hint = match value::nearest(what, KEYS) {
        Some(near) => format!(": did you mean `{PREFIX}.{near}{container}`?"),
        None => format!(": those there are: {}", KEYS.map(|key| format!("{PREFIX}.{key}")).join(", ")),
    };
    refused(Code::UnknownKey, format!("unknown annotation `{key}`{hint}"))
}

fn unnameable(key: &str, container: &str) -> NodeError {
    refused(
        Code::BadValue,
        format!(
            "invalid annotation `{key}`: `{container}` is not a container name (lower-case letters, digits and `-`)"
        ),
    )
}

fn nameless(key: &str, what: &str, container: &str) -> NodeError {
    refused(
        Code::MissingKey,
        format!(
            "annotation `{key}` is for container `{container}` of a pod, and this container has no name ({CONTAINER_NAME}); outside of pods use `{PREFIX}.{what}`"
        ),
    )
}

fn invalid(key: &str, value: &str, why: impl Display) -> NodeError {
    refused(Code::BadValue, format!("invalid annotation {key} = `{value}`: {why}"))
}

fn disagree(key: &str, said: &str, own: &str) -> NodeError {
    refused(
        Code::EngineConflict,
        format!("annotation {key} is `{said}`, and the root's {REFERENCE} says `{own}`"),
    )
}

/// How a digest is written.
pub(super) const DIGEST_FORM: &str = "expected `sha256:` and 64 hexadecimal digits";

/// The digits of a digest.
pub(super) fn digest(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let valid = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| digits.to_ascii_lowercase())
}
