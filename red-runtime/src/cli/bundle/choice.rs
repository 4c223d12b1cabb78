//! Which node a configuration names, if it names one: by annotation, by its root, or by a reference in
//! the root. What is said twice has to be said alike, and what is not understood is an error: it could
//! have pinned something.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Spec;

use super::NodeError;
use super::annotations::{Annotations, DIGEST_FORM, Member, ORIGIN, digest};
use crate::node::decode;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::STATUS_NAME;
use crate::node::place::{self, PlaceError};
use crate::node::source::Sources;
use crate::spec::annotation;

/// Name of the file that stands for a node in an image.
pub(super) const REFERENCE: &str = ".redpath.yaml";

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
    /// Digests of parts of that plan.
    pub(super) parts: Option<String>,
    /// What the root says, when an annotation has named a node.
    pub(super) root_node: Option<RootNode>,
    /// Where the root says it, when that is a file of an image.
    pub(super) reference: Option<String>,
    /// The root of the bundle where that is the node itself: the engine may have made a link in it.
    pub(super) root: Option<OwnedFd>,
}

/// The node of a root beside that of an annotation.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct RootNode {
    /// Node that the root is, or refers to.
    pub(super) path: PathBuf,
    /// The annotation that names a node too.
    pub(super) annotation: String,
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

/// The node that a configuration names (docs/src/engines.md).
///
/// # Errors
/// An annotation of ours is unknown or invalid, two ways of naming disagree, or a pause container has a
/// node for its root.
pub(super) fn choose(spec: &Spec, bundle: &Path) -> Result<Selection, NodeError> {
    let annotations = spec.annotations().clone().unwrap_or_default();
    let member = Member::of(&annotations);
    let said = Annotations::read(&annotations, member)?;
    let root = spec.root().as_ref().map(|root| bundle.join(root.path()));
    let holds = |name: &str| root.as_ref().filter(|root| root.join(name).symlink_metadata().is_ok());
    let (node, refers) = (holds(STATUS_NAME), holds(REFERENCE));
    if member == Member::Sandbox {
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
    let [redpath, digest] = ORIGIN.map(|key| said.get(&annotation::full(key)).cloned());
    Some(Origin { redpath: redpath.filter(|path| path.starts_with('/'))?, digest })
}

pub(super) fn refused(code: Code, message: String) -> NodeError {
    let mut report = Report::default();
    report.push(Diagnostic::error(code, message));
    NodeError::Mistakes(report, Arc::new(Sources::default()))
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
    // Its path is that of a snapshot, which nobody knows.
    let file = sources.add(REFERENCE, text);
    let read = decode::reference(file, sources.text(file), &mut report);
    let Some(read) = read else { return Err(NodeError::Mistakes(report, Arc::new(sources))) };
    let pinned = match read.digest {
        None => None,
        Some(text) => Some(digest(&text).ok_or_else(|| {
            refused(Code::BadValue, format!("{REFERENCE}: invalid plan-digest `{text}`: {DIGEST_FORM}"))
        })?),
    };
    Ok(Choice {
        reference: Some(sources.show(read.redpath.at)),
        redpath: read.redpath.value.into(),
        admin: read.admin,
        strict: read.strict,
        digest: pinned,
        parts: read.parts,
        ..Choice::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::annotation::PREFIX;

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
            (
                "bzh.redpesk.redpak.redpath.app",
                "/n",
                "this container has no name (io.kubernetes.cri.container-name)",
            ),
            ("bzh.redpesk.redpak.redpth.app", "/n", "did you mean `bzh.redpesk.redpak.redpath.app`?"),
            ("bzh.redpesk.redpak.redpath.", "/n", "is not a container name"),
            ("bzh.redpesk.redpak.redpath.App", "/n", "`App` is not a container name"),
            ("bzh.redpesk.redpak.redpath.a.b", "/n", "`a.b` is not a container name"),
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
        assert!(choice.strict && choice.admin && choice.digest == Some(zeros) && choice.root_node.is_none());
        let Ok(Selection::Node(choice)) = chosen(dir.path(), &[(&key("redpath"), "/other")]) else {
            panic!("it names a node")
        };
        let root_node = RootNode { path: "/n".into(), annotation: key("redpath") };
        assert_eq!((choice.redpath, choice.root_node), ("/other".into(), Some(root_node)));
        assert_eq!(choice.reference.as_deref(), Some(".redpath.yaml:1:10"));
        std::fs::write(dir.path().join(REFERENCE), "redpath: /n\nplan-digest: abc\n").unwrap();
        assert!(chosen(dir.path(), &[]).unwrap_err().contains("64 hexadecimal digits"));
    }

    /// A container of a pod, as containerd's CRI writes it.
    fn member(name: &str, more: &[(&str, &str)]) -> Result<Selection, String> {
        let dir = tempfile::tempdir().unwrap();
        let kind = [
            ("io.kubernetes.cri.container-type", "container"),
            ("io.kubernetes.cri.sandbox-id", "abc"),
            ("io.kubernetes.cri.container-name", name),
        ];
        let more: Vec<(String, &str)> =
            more.iter().map(|(key, value)| (format!("{PREFIX}.{key}"), *value)).collect();
        let all: Vec<(&str, &str)> =
            kind.into_iter().chain(more.iter().map(|(key, value)| (key.as_str(), *value))).collect();
        chosen(dir.path(), &all)
    }

    #[test]
    fn each_container_of_a_pod_has_annotations_of_its_own() {
        let node = |name: &str, more: &[(&str, &str)]| match member(name, more) {
            Ok(Selection::Node(choice)) => choice,
            other => panic!("{name}: {other:?}"),
        };
        let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
        let pod = [
            ("redpath", "/n/all"),
            ("redpath.app", "/n/app"),
            ("redpath.web-2", "/n/web"),
            ("strict", "true"),
            ("strict.app", "false"),
            ("admin.web-2", "true"),
            ("plan-digest", zeros.as_str()),
            ("plan-digest.app", ones.as_str()),
        ];
        let app = node("app", &pod);
        assert_eq!((app.redpath, app.strict, app.admin), ("/n/app".into(), false, false));
        assert_eq!(app.digest, Some(ones.clone()));
        let web = node("web-2", &pod);
        assert_eq!((web.redpath, web.strict, web.admin), ("/n/web".into(), true, true));
        assert_eq!(web.digest, Some(zeros.clone()));
        // What is said of the pod is for whoever has nothing of its own.
        let other = node("log", &pod);
        assert_eq!((other.redpath, other.digest), ("/n/all".into(), Some(zeros.clone())));
        // Where the pod has no node for all, another container's image is as it is, whatever holds for nodes.
        let named = [("redpath.app", "/n/app"), ("strict", "true"), ("plan-digest", zeros.as_str())];
        assert!(matches!(member("log", &named), Ok(Selection::Plain { sandbox: false })));
        // What is wrong with another's is that one's to tell.
        let others = [("redpath.app", "relative"), ("strict.app", "perhaps")];
        assert!(matches!(member("log", &others), Ok(Selection::Plain { sandbox: false })));
        let error = member("app", &others).unwrap_err();
        assert!(
            error.contains("bzh.redpesk.redpak.redpath.app = `relative`: expected an absolute"),
            "{error}"
        );
        // What is its own has to be about a node.
        for (own, key) in [
            (vec![("redpath.app", "/n/app"), ("strict.log", "true")], "strict.log"),
            (vec![("strict", "true")], "strict"),
            (vec![("plan-digest.log", zeros.as_str())], "plan-digest.log"),
        ] {
            let error = member("log", &own).unwrap_err();
            assert!(error.contains(&format!("annotation {PREFIX}.{key} is about a node")), "{error}");
        }
        // An engine that names no container has none of a pod.
        assert!(
            member("", &[("redpath.app", "/n")]).unwrap_err().contains("`bzh.redpesk.redpak.redpath.app`")
        );
    }

    #[test]
    fn a_pause_container_is_no_node() {
        for key in super::super::annotations::CONTAINER_TYPES {
            for name in [STATUS_NAME, REFERENCE] {
                let dir = tempfile::tempdir().unwrap();
                let redpath = format!("{PREFIX}.redpath");
                let of_one = format!("{redpath}.app");
                let said = [(key, "sandbox"), (redpath.as_str(), "/n"), (of_one.as_str(), "/n")];
                assert!(matches!(chosen(dir.path(), &said), Ok(Selection::Plain { sandbox: true })));
                std::os::unix::fs::symlink("nowhere", dir.path().join(name)).unwrap();
                let error = chosen(dir.path(), &said).unwrap_err();
                assert!(error.contains("pause container"), "{name}: {error}");
            }
        }
    }
}
