//! What the process in the install view is told, and what it tells.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::database::Planned;

/// A layer of the install view.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Lower {
    /// Who it belongs to, for messages: `node `app``, `the core OS`.
    pub(crate) owner: String,
    /// Its root.
    pub(crate) root: PathBuf,
    /// Where its `var` is, when that is not in its root.
    pub(crate) variable: Option<PathBuf>,
    /// Its rpm database, to find conflicts of files; none for the node itself.
    pub(crate) database: Option<super::Unread>,
}

/// A package file to install.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Install {
    pub(crate) file: PathBuf,
    /// It takes the place of other versions of itself.
    pub(crate) upgrade: bool,
    /// The same version is there already.
    pub(crate) reinstall: bool,
    /// It must be signed by a key that is known.
    pub(crate) signed: bool,
    /// Who demands that, for messages.
    pub(crate) demanded: String,
    /// Kind and digits of the checksum that metadata give; the file must have it.
    pub(crate) checksum: Option<(String, String)>,
    /// Bytes of the file as metadata say, 0 where they do not.
    pub(crate) bytes: u64,
    /// What metadata says it is; the header must agree.
    pub(crate) nevra: Option<String>,
}

/// An installed package to remove.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Erase {
    pub(crate) name: String,
    pub(crate) nevra: String,
}

/// A whole transaction.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Job {
    /// Where overlayfs writes, see [`crate::generation::Stage`].
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    /// Layers below it, strongest first: the node, its parent, …, the core OS.
    pub(crate) lowers: Vec<Lower>,
    pub(crate) install: Vec<Install>,
    pub(crate) erase: Vec<Erase>,
    /// Keys that are trusted in the node and its ancestors.
    pub(crate) trusted: Vec<super::TrustedKey>,
    /// Keys that the person just agreed to, one armored block each. They become part of the node's database.
    pub(crate) import: Vec<String>,
    /// Places of this node that decide, besides those that every node has.
    pub(crate) deciding: Vec<String>,
    /// Files that decide and that packages may bring all the same.
    pub(crate) allowed: Vec<String>,
    pub(crate) scriptlets: bool,
    pub(crate) documentation: bool,
    /// Check everything, change nothing.
    pub(crate) test: bool,
    /// Only look: nothing of it is kept.
    pub(crate) read_only: bool,
    /// What scriptlets may take.
    pub(crate) limits: super::bounds::Limits,
}

/// One line of what the process in the view says to the one outside. Once scriptlets have run, they are
/// who speaks: nothing of it is more than data.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// For the caller.
    Event(Event),
    /// What was put into the staging area before.
    Scaffold(super::view::Scaffold),
    /// The packages that were verified, before anything of them runs.
    Packages(Vec<Planned>),
    /// A scriptlet begins.
    Begins { nevra: String, tag: u64 },
    /// It has ended.
    Ends,
    /// rpm goes on.
    Alive,
    /// rpm is done. Which names of the scaffold are gone; what is installed now, and what packages own, is read from
    /// outside.
    Left {
        /// Names that are missing.
        gone: Vec<OsString>,
        /// Directories that are empty.
        #[serde(default)]
        emptied: Vec<OsString>,
    },
}

/// One line of what the caller is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// It begins with a package.
    Package { nevra: String, removes: bool },
    /// How far it is, in steps of rpm.
    Progress { done: u64, total: u64 },
    /// A scriptlet failed, in rpm's words. After most kinds rpm goes on.
    Scriptlet { words: String, goes_on: bool },
    /// It is done.
    Done(Done),
    /// It could not be done. Nothing has changed.
    Failed(String),
}

/// What a finished transaction left besides packages. No more of it than names of the scaffold comes from where
/// scriptlets ran.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Done {
    /// What was verified before.
    pub(crate) packages: Vec<Planned>,
    /// Names that are gone, and what only the view needed: see [`crate::generation::Store::tidy`].
    pub(crate) gone: Vec<OsString>,
    /// Directories that are empty, and gone too unless packages have them.
    pub(crate) emptied: Vec<OsString>,
    pub(crate) spare: Vec<OsString>,
    /// Files that others were mounted on.
    pub(crate) points: Vec<OsString>,
    /// Directories that the view made in the staging area.
    pub(crate) made: Vec<OsString>,
}
