//! A bundle as an engine hands it over: plain, or one that names a node.

use std::io::Read;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::launch::error::LaunchError;
use crate::launch::root::{Root, oci};

/// Bytes of the largest configuration that is read.
const LARGEST: u64 = 16 << 20;

/// Why a node is not started for an engine.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// Mistakes, in one line.
    #[error("{0}")]
    Mistakes(String),
}

/// A bundle, read.
pub(super) struct Loaded {
    /// Where it is.
    pub(super) bundle: PathBuf,
    /// Its configuration, with what the node says in it.
    pub(super) spec: Spec,
    /// Its root.
    pub(super) root: Root,
    /// The node it names, and the digest of the plan.
    pub(super) node: Option<(String, String)>,
}

impl Loaded {
    /// Reads a bundle.
    ///
    /// # Errors
    /// There is none, its configuration is wrong, or the node it names may not start.
    pub(super) fn read(bundle: &Path) -> Result<Self, super::runtime::RunError> {
        let at = |path: &Path, why: String| LaunchError::Refused {
            what: format!("bundle {}", path.display()),
            why,
        };
        let bundle = std::fs::canonicalize(bundle).map_err(|error| at(bundle, error.to_string()))?;
        let path = bundle.join("config.json");
        let mut text = String::new();
        std::fs::File::open(&path)
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
            .map_err(|error| at(&bundle, format!("config.json: {}", error.to_string().to_lowercase())))?;
        let spec: Spec = serde_json::from_str(&text)
            .map_err(|source| LaunchError::Json { path: path.display().to_string(), source })?;
        let root = oci::root(&spec, &bundle)?;
        Ok(Self { bundle, spec, root, node: None })
    }

    /// Whether its process gets a terminal.
    pub(super) fn terminal(&self) -> bool {
        self.spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false))
    }
}
