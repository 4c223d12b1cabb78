//! Which node a configuration names, if it names one: by annotation, by its root, or by a reference in
//! the root. What is said twice has to be said alike, and what is not understood is an error: it could
//! have pinned something.

use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Spec;

use super::NodeError;
use crate::node::decode;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::STATUS_NAME;
use crate::node::place::{self, PlaceError};
use crate::node::source::Sources;
use crate::node::value;

/// Prefix of the annotations that are ours.
const PREFIX: &str = "bzh.redpesk.redpak";

/// Annotations that name a node and say how to start it.
const KEYS: [&str; 4] = ["redpath", "admin", "strict", "plan-digest"];

/// Annotations that a plan leaves in its configuration. They tell where it came from and ask for
/// nothing.
const ORIGIN: [&str; 2] = ["origin.redpath", "origin.digest"];

/// Annotations that say what a container is to Kubernetes: of containerd, of cri-o.
const CONTAINER_TYPES: [&str; 2] = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

/// Name of the file that stands for a node in an image.
const REFERENCE: &str = ".redpath.yaml";

/// What is started.
#[derive(Debug)]
pub(super) enum Selection {
    /// The bundle as it is.
    Plain {
        /// It keeps the namespaces of a pod, and is no application.
        sandbox: bool,
    },
    /// A node.
    Node(Choice),
}

/// Which node, and how.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Its path.
    pub(super) redpath: PathBuf,
    /// In admin mode.
    pub(super) admin: bool,
    /// With every source there.
    pub(super) strict: bool,
    /// Digest that its plan must have: 64 hexadecimal digits.
    pub(super) digest: Option<String>,
    /// Node that the root is, or refers to, when an annotation has named one.
    pub(super) rival: Option<PathBuf>,
    /// The root of the bundle where that is the node itself: the engine may have made a link in it.
    root: Option<OwnedFd>,
}

impl Choice {
    /// Removes what an engine has made in a node, once that is known to be one that may start: until then
    /// its contents say what they like.
    ///
    /// # Errors
    /// unlinkat(2) failed.
    pub(super) fn undo(&self) -> Result<(), NodeError> {
        self.root.as_ref().map_or(Ok(()), undo_mtab)
    }
}

/// What the annotations say.
#[derive(Debug, Default)]
struct Said {
    redpath: Option<PathBuf>,
    admin: Option<bool>,
    strict: Option<bool>,
    digest: Option<String>,
}

/// The node that a configuration names (docs/src/engines.md).
///
/// # Errors
/// An annotation of ours is unknown or invalid, two ways of naming disagree, or a pause container has a
/// node for its root.
pub(super) fn choose(spec: &Spec, bundle: &Path) -> Result<Selection, NodeError> {
    let annotations = spec.annotations().clone().unwrap_or_default();
    let said = Said::of(annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())))?;
    let root = spec.root().as_ref().map(|root| bundle.join(root.path()));
    let holds = |name: &str| root.as_ref().filter(|root| root.join(name).symlink_metadata().is_ok());
    let (node, refers) = (holds(STATUS_NAME), holds(REFERENCE));
    if CONTAINER_TYPES.iter().any(|key| annotations.get(*key).is_some_and(|kind| kind == "sandbox")) {
        // Of the pod's annotations a pause container gets all; a node it is only by its root.
        return match node.or(refers) {
            None => Ok(Selection::Plain { sandbox: true }),
            Some(root) => Err(refused(
                Code::EngineConflict,
                format!("the root of a pause container is a node, or names one: {}", root.display()),
            )),
        };
    }
    let of_root = match (node, refers) {
        (Some(root), _) if root.join(STATUS_NAME).is_file() => Some(itself(root.clone())?),
        (_, Some(root)) => Some(reference(root)?),
        _ => None,
    };
    match of_root {
        Some(choice) => said.over(choice).map(Selection::Node),
        None => said.alone(),
    }
}

/// What a configuration says that it was written from.
#[derive(Debug)]
pub(super) struct Origin {
    /// Path of the node.
    pub(super) redpath: String,
    /// Digest of the plan.
    pub(super) digest: Option<String>,
}

/// The node that a configuration says it was written from.
pub(super) fn origin(spec: &Spec) -> Option<Origin> {
    let said = spec.annotations().as_ref()?;
    let [redpath, digest] = ORIGIN.map(|key| said.get(&format!("{PREFIX}.{key}")).cloned());
    Some(Origin { redpath: redpath.filter(|path| path.starts_with('/'))?, digest })
}

fn refused(code: Code, message: String) -> NodeError {
    let mut report = Report::default();
    report.push(Diagnostic::error(code, message));
    NodeError::Mistakes(report, Arc::new(Sources::default()))
}

fn invalid(key: &str, value: &str, why: impl Display) -> NodeError {
    refused(Code::BadValue, format!("invalid annotation {PREFIX}.{key} = `{value}`: {why}"))
}

impl Said {
    /// Reads the annotations that are ours.
    fn of<'a>(annotations: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, NodeError> {
        let mut said = Self::default();
        let mut ours: Vec<(&str, &str)> = annotations.filter(|(key, _)| is_ours(key)).collect();
        ours.sort_unstable();
        for (key, value) in ours {
            let name = key.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.')).unwrap_or("");
            let flag =
                || value::boolean(value).map_err(|_wrong| invalid(name, value, "expected `true` or `false`"));
            match name {
                "redpath" if Path::new(value).is_absolute() => said.redpath = Some(value.into()),
                "redpath" => return Err(invalid(name, value, "expected an absolute path")),
                "admin" => said.admin = Some(flag()?),
                "strict" => said.strict = Some(flag()?),
                "plan-digest" => {
                    let digest = digest(value).ok_or_else(|| invalid(name, value, DIGEST_FORM))?;
                    said.digest = Some(digest);
                }
                name if ORIGIN.contains(&name) => {}
                _ => return Err(unknown(key, name)),
            }
        }
        Ok(said)
    }

    /// Where the root says which node it is. An annotation may say the same, or add what the root
    /// leaves open.
    fn over(self, mut choice: Choice) -> Result<Choice, NodeError> {
        for (key, said, own) in [("admin", self.admin, choice.admin), ("strict", self.strict, choice.strict)]
        {
            if own && said == Some(false) {
                return Err(disagree(key, "false", "true"));
            }
        }
        if let (Some(said), Some(own)) = (&self.digest, &choice.digest)
            && said != own
        {
            return Err(disagree("plan-digest", said, own));
        }
        choice.admin |= self.admin == Some(true);
        choice.strict |= self.strict == Some(true);
        choice.digest = self.digest.or(choice.digest);
        if let Some(redpath) = self.redpath {
            choice.rival = Some(std::mem::replace(&mut choice.redpath, redpath));
        }
        Ok(choice)
    }

    /// Where nothing but annotations says anything.
    fn alone(self) -> Result<Selection, NodeError> {
        let pins = [
            ("admin", self.admin.is_some()),
            ("strict", self.strict.is_some()),
            ("plan-digest", self.digest.is_some()),
        ];
        match (self.redpath, pins.iter().find(|(_, said)| *said)) {
            (Some(redpath), _) => Ok(Selection::Node(Choice {
                redpath,
                admin: self.admin == Some(true),
                strict: self.strict == Some(true),
                digest: self.digest,
                ..Choice::default()
            })),
            (None, Some((key, _))) => Err(refused(
                Code::MissingKey,
                format!(
                    "annotation {PREFIX}.{key} is about a node, and neither {PREFIX}.redpath nor the root names one"
                ),
            )),
            (None, None) => Ok(Selection::Plain { sandbox: false }),
        }
    }
}

/// Whether a key is ours, or was meant to be.
fn is_ours(key: &str) -> bool {
    let rest = key.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX));
    rest.is_some() && !key[PREFIX.len()..].starts_with(|next: char| next.is_ascii_alphanumeric())
}

fn unknown(key: &str, name: &str) -> NodeError {
    let hint = if name.starts_with("redpath.") {
        ": a node cannot be named for one container of a pod yet".to_owned()
    } else {
        match value::nearest(name, KEYS) {
            Some(near) => format!(": did you mean `{PREFIX}.{near}`?"),
            None => format!(": those there are: {}", KEYS.map(|key| format!("{PREFIX}.{key}")).join(", ")),
        }
    };
    refused(Code::UnknownKey, format!("unknown annotation `{key}`{hint}"))
}

fn disagree(key: &str, said: &str, own: &str) -> NodeError {
    refused(
        Code::EngineConflict,
        format!("annotation {PREFIX}.{key} is `{said}`, and the root's {REFERENCE} says `{own}`"),
    )
}

const DIGEST_FORM: &str = "expected `sha256:` and 64 hexadecimal digits";

/// The digits of a digest.
fn digest(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let valid = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| digits.to_ascii_lowercase())
}

/// The node that a root is: itself, or the one it is an overlay or a copy of. That one is then
/// chosen as a reference would choose it; nothing of the copy is believed but its name.
fn itself(root: PathBuf) -> Result<Choice, NodeError> {
    let node = |redpath| Choice { redpath, ..Choice::default() };
    let directory = open_directory(&root)?;
    let mut sources = Sources::default();
    let text = place::text_below(&directory, &root, STATUS_NAME)?.map(|text| text.text).unwrap_or_default();
    let file = sources.add(root.join(STATUS_NAME), text);
    let status = decode::status(file, sources.text(file), &mut Report::default());
    let Some(status) = status else { return Ok(node(root)) };
    let recorded = PathBuf::from(status.realpath.value);
    let same = |a: &Path, b: &Path| match (rustix::fs::stat(a), rustix::fs::stat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    };
    if same(&root, &recorded) {
        // A bind mount of it has other parents: it is where its record says.
        return Ok(Choice { root: Some(directory), ..node(recorded) });
    }
    // A node that was moved is no copy: its record leads nowhere, and the plan says so.
    Ok(node(if recorded.join(STATUS_NAME).is_file() { recorded } else { root }))
}

fn open_directory(path: &Path) -> Result<OwnedFd, NodeError> {
    use rustix::fs::{Mode, OFlags, open};
    let opened = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    Ok(opened.map_err(|errno| PlaceError::Refused { path: path.display().to_string(), errno })?)
}

/// podman makes a link `etc/mtab` in every root it is given (libpod, `createEtcMtab`). In a node
/// nothing is made: a link of just now that is exactly that one goes again. No link of the node's leads out
/// of it.
fn undo_mtab(node: &OwnedFd) -> Result<(), NodeError> {
    use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat, unlinkat};
    const MTAB: &str = "mtab";
    let scope = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(etc) = openat2(node, "etc", flags, Mode::empty(), scope) else { return Ok(()) };
    let is_podmans =
        readlinkat(&etc, MTAB, Vec::new()).is_ok_and(|target| target.as_bytes() == b"/proc/mounts");
    let fresh = || {
        let made = statat(&etc, MTAB, AtFlags::SYMLINK_NOFOLLOW).ok()?.st_ctime;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
        Some(i64::try_from(now).ok()? - made < 10)
    };
    if is_podmans && fresh().unwrap_or(false) {
        unlinkat(&etc, MTAB, AtFlags::empty()).map_err(|errno| PlaceError::Refused {
            path: format!("etc/{MTAB} that the engine made"),
            errno,
        })?;
    }
    Ok(())
}

/// Reads the file of an image that stands for a node. Whoever made the image wrote it.
fn reference(root: &Path) -> Result<Choice, NodeError> {
    let mut sources = Sources::default();
    let mut report = Report::default();
    let directory = open_directory(root)?;
    let text = place::text_below(&directory, root, REFERENCE)?.map(|text| text.text).unwrap_or_default();
    let file = sources.add(root.join(REFERENCE), text);
    let read = decode::reference(file, sources.text(file), &mut report);
    let Some(read) = read else { return Err(NodeError::Mistakes(report, Arc::new(sources))) };
    let pinned = match read.digest {
        None => None,
        Some(text) => Some(digest(&text).ok_or_else(|| {
            refused(Code::BadValue, format!("{REFERENCE}: invalid plan-digest `{text}`: {DIGEST_FORM}"))
        })?),
    };
    Ok(Choice {
        redpath: read.redpath.value.into(),
        admin: read.admin,
        strict: read.strict,
        digest: pinned,
        ..Choice::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(root: &Path, annotations: &[(&str, &str)]) -> Result<Selection, String> {
        let annotations: serde_json::Map<String, serde_json::Value> =
            annotations.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        let spec =
            serde_json::json!({"ociVersion": "1.0.2", "root": {"path": root}, "annotations": annotations});
        let spec: Spec = serde_json::from_value(spec).unwrap();
        choose(&spec, Path::new("/bundle")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_annotation_that_is_not_understood_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let zeros = "0".repeat(64);
        for (key, value, words) in [
            ("bzh.redpesk.redpak.redpth", "/n", "did you mean `bzh.redpesk.redpak.redpath`?"),
            ("bzh.redpesk.redpak.plandigest", &zeros, "did you mean `bzh.redpesk.redpak.plan-digest`?"),
            ("bzh.redpesk.redpak.plan_digest", &zeros, "did you mean `bzh.redpesk.redpak.plan-digest`?"),
            ("bzh.redpesk.redpak.RedPath", "/n", "unknown annotation"),
            ("BZH.redpesk.redpak.redpath", "/n", "unknown annotation"),
            ("bzh.redpesk.redpak/redpath", "/n", "unknown annotation"),
            ("bzh.redpesk.redpak", "/n", "unknown annotation"),
            ("bzh.redpesk.redpak.", "/n", "unknown annotation"),
            ("bzh.redpesk.redpak.redpath.app", "/n", "one container of a pod"),
            ("bzh.redpesk.redpak.origin.x", "/n", "unknown annotation"),
            ("bzh.redpesk.redpak.admin", "yess", "expected `true` or `false`"),
            ("bzh.redpesk.redpak.strict", "", "expected `true` or `false`"),
            ("bzh.redpesk.redpak.plan-digest", "sha256:00", "64 hexadecimal digits"),
            ("bzh.redpesk.redpak.plan-digest", "", "64 hexadecimal digits"),
            ("bzh.redpesk.redpak.redpath", "", "absolute"),
            ("bzh.redpesk.redpak.redpath", "a/b", "absolute"),
            // Understood, and about nothing.
            ("bzh.redpesk.redpak.plan-digest", &zeros, "names one"),
            ("bzh.redpesk.redpak.strict", "false", "names one"),
        ] {
            let error = chosen(dir.path(), &[(key, value)]).unwrap_err();
            assert!(error.contains(words), "{key} = {value}: {error}");
        }
        for (key, value) in [
            ("bzh.redpesk.redpakx.redpth", "/n"),
            ("org.example", "x"),
            ("bzh.redpesk.redpak.origin.redpath", "/n"),
            ("bzh.redpesk.redpak.origin.digest", "x"),
        ] {
            let plain = chosen(dir.path(), &[(key, value)]);
            assert!(matches!(plain, Ok(Selection::Plain { sandbox: false })), "{key}: {plain:?}");
        }
    }

    #[test]
    fn annotations_and_a_reference_agree_or_nothing_starts() {
        let dir = tempfile::tempdir().unwrap();
        let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
        let text = format!("redpath: /n\nstrict: true\nplan-digest: sha256:{zeros}\n");
        std::fs::write(dir.path().join(REFERENCE), text).unwrap();
        let key = |name: &str| format!("{PREFIX}.{name}");
        for (name, value) in [("plan-digest", ones.as_str()), ("strict", "false")] {
            let error = chosen(dir.path(), &[(&key(name), value)]).unwrap_err();
            assert!(error.contains("and the root's .redpath.yaml says"), "{error}");
        }
        let agreed = [("plan-digest", zeros.as_str()), ("strict", "yes"), ("admin", "1")];
        let agreed = agreed.map(|(name, value)| (key(name), value));
        let agreed: Vec<(&str, &str)> = agreed.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let Ok(Selection::Node(choice)) = chosen(dir.path(), &agreed) else { panic!("it agrees") };
        assert!(choice.strict && choice.admin && choice.digest == Some(zeros) && choice.rival.is_none());
        let Ok(Selection::Node(choice)) = chosen(dir.path(), &[(&key("redpath"), "/other")]) else {
            panic!("it names a node")
        };
        assert_eq!((choice.redpath, choice.rival), ("/other".into(), Some("/n".into())));
        std::fs::write(dir.path().join(REFERENCE), "redpath: /n\nplan-digest: abc\n").unwrap();
        assert!(chosen(dir.path(), &[]).unwrap_err().contains("64 hexadecimal digits"));
    }

    #[test]
    fn a_pause_container_is_no_node() {
        for key in CONTAINER_TYPES {
            for name in [STATUS_NAME, REFERENCE] {
                let dir = tempfile::tempdir().unwrap();
                let redpath = format!("{PREFIX}.redpath");
                let said = [(key, "sandbox"), (redpath.as_str(), "/n")];
                assert!(matches!(chosen(dir.path(), &said), Ok(Selection::Plain { sandbox: true })));
                std::os::unix::fs::symlink("nowhere", dir.path().join(name)).unwrap();
                let error = chosen(dir.path(), &said).unwrap_err();
                assert!(error.contains("pause container"), "{name}: {error}");
            }
        }
    }
}
