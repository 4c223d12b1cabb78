//! Metadata of repositories: fetched when they are old, verified, turned into libsolv's own format
//! by a process that can crash alone, and kept.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::convert::CONVERT;
use super::fetch::{FetchError, Fetcher, Known, Target};
use super::repomd::{Data, parse};
use super::{Repo, mirrors};
use crate::sealed::{is_sealed, seal};

/// How old metadata may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Freshness {
    /// As each repository says.
    Usual,
    /// Asked for anew, now.
    Now,
    /// Whatever is here (`-C`).
    Cache,
}

/// Why a repository's metadata cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    /// A file did not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file that is wrong.
    #[error("{url}: {reason}")]
    Wrong {
        /// Where from.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing is here, and nothing may be fetched.
    #[error("repository `{id}` has no metadata here, and `-C` forbids to fetch them")]
    NotHere {
        /// Its id.
        id: String,
    },
    /// The cache.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The metadata are not signed by a key of the repository.
    #[error("repository `{id}`: {reason}")]
    Signature {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
}

const REPOMD_BYTES: u64 = 8 << 20;
const METADATA_BYTES: u64 = 1 << 30;

/// What is here of a repository.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct State {
    /// Where packages are: what their locations are relative to, any of them.
    pub(crate) bases: Vec<String>,
    /// When it was last asked, seconds since the epoch.
    checked: u64,
    /// Digest of what named it and of how it was verified, so that another URL under the same id is another
    /// repository, and what nobody verified is not taken for verified.
    source: String,
    etag: Option<String>,
    modified: Option<String>,
    /// Name of the file with primary metadata.
    primary: String,
    /// The lists of files: where they are, until somebody needs them, and under which name.
    filelists: Option<Data>,
}

/// What a repository's directory holds.
pub(crate) struct Here {
    pub(crate) dir: PathBuf,
    pub(crate) state: State,
}

impl Here {
    /// Primary metadata in libsolv's format.
    pub(crate) fn primary(&self) -> PathBuf {
        self.dir.join(&self.state.primary)
    }

    /// Lists of files in libsolv's format; fetched when somebody needs them.
    pub(crate) fn filelists(&self, repo: &Repo) -> Result<Option<PathBuf>, MetadataError> {
        let Some(data) = &self.state.filelists else { return Ok(None) };
        let path = self.dir.join(solv_name(data));
        if !is_sealed(&path) {
            let fetcher = Fetcher::new(repo)?;
            let place = Place { fetcher: &fetcher, repo, dir: &self.dir, bases: &self.state.bases };
            place.take(data, &path, Some(&self.primary()))?;
        }
        Ok(Some(path))
    }
}

/// Directory of a repository in the cache.
fn directory(cache: &Path, repo: &Repo) -> PathBuf {
    cache.join("repos").join(&repo.id)
}

fn source_of(repo: &Repo) -> String {
    let mut said = format!("{:?} {:?} {:?}", repo.baseurl, repo.mirrorlist, repo.metalink);
    if repo.repo_gpgcheck {
        // What was fetched under another policy, or verified with other keys, is not what is asked for.
        said.push_str(&format!(" signed by {:?}", repo.gpgkey));
    }
    Sha256::digest(said).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is here of a repository, however old.
pub(crate) fn state_of(cache: &Path, repo: &Repo) -> Option<Here> {
    let dir = directory(cache, repo);
    let text = std::fs::read(dir.join("state.json")).ok()?;
    let state: State = serde_json::from_slice(&text).ok()?;
    let whole = state.source == source_of(repo) && dir.join(&state.primary).is_file();
    whole.then_some(Here { dir, state })
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Metadata of a repository, as fresh as is asked for. When a fresh copy cannot be had, what was here
/// stays usable with [`Freshness::Cache`].
pub(crate) fn refresh(
    cache: &Path,
    repo: &Repo,
    freshness: Freshness,
    keys: &mut dyn FnMut(&Repo) -> Result<Vec<PathBuf>, String>,
) -> Result<Here, MetadataError> {
    // Damaged metadata are fetched anew.
    let here = state_of(cache, repo).filter(|here| is_sealed(&here.primary()));
    match (&here, freshness) {
        (Some(_), Freshness::Cache) => {}
        (None, Freshness::Cache) => return Err(MetadataError::NotHere { id: repo.id.clone() }),
        (Some(found), Freshness::Usual) => {
            let age = Duration::from_secs(seconds().saturating_sub(found.state.checked));
            if repo.expire.is_some_and(|limit| age >= limit) {
                return fetch(cache, repo, here, keys);
            }
        }
        _ => return fetch(cache, repo, here, keys),
    }
    here.ok_or_else(|| MetadataError::NotHere { id: repo.id.clone() })
}

struct Place<'a> {
    fetcher: &'a Fetcher,
    repo: &'a Repo,
    dir: &'a Path,
    bases: &'a [String],
}

fn fetch(
    cache: &Path,
    repo: &Repo,
    here: Option<Here>,
    keys: &mut dyn FnMut(&Repo) -> Result<Vec<PathBuf>, String>,
) -> Result<Here, MetadataError> {
    let dir = directory(cache, repo);
    std::fs::create_dir_all(&dir).map_err(|source| MetadataError::File { path: dir.clone(), source })?;
    let fetcher = Fetcher::new(repo)?;
    let (bases, announced) = mirrors::bases(&fetcher, repo, &dir)?;
    let place = Place { fetcher: &fetcher, repo, dir: &dir, bases: &bases };
    let known = here
        .as_ref()
        .map(|here| Known { etag: here.state.etag.clone(), modified: here.state.modified.clone() });
    let repomd = dir.join("repomd.xml.new");
    let target = Target {
        urls: bases.iter().map(|base| join(base, "repodata/repomd.xml")).collect(),
        path: repomd.clone(),
        size: announced.as_ref().and_then(|announced| announced.size),
        most: REPOMD_BYTES,
        checksum: announced.and_then(|announced| announced.checksum),
    };
    let answer = fetcher.fetch(&target, &known.unwrap_or_default(), &mut |_| ())?;
    let (Some(answer), here) = (answer, here) else {
        // It is as it was.
        let mut here = state_of(cache, repo).ok_or_else(|| MetadataError::NotHere { id: repo.id.clone() })?;
        here.state.checked = seconds();
        write_state(&here.dir, &here.state)?;
        return Ok(here);
    };
    if repo.repo_gpgcheck {
        place.verify(&repomd, keys)?;
    }
    let text = std::fs::read_to_string(&repomd)
        .map_err(|source| MetadataError::File { path: repomd.clone(), source })?;
    let url = target.urls.first().cloned().unwrap_or_default();
    let data = parse(&text).map_err(|reason| MetadataError::Wrong { url: url.clone(), reason })?;
    let primary = data.iter().find(|data| data.kind == "primary").cloned().ok_or_else(|| {
        MetadataError::Wrong { url: url.clone(), reason: "it names no primary metadata".into() }
    })?;
    let state = State {
        checked: seconds(),
        source: source_of(repo),
        etag: answer.etag,
        modified: answer.modified,
        primary: solv_name(&primary),
        filelists: data.into_iter().find(|data| data.kind == "filelists"),
        bases: bases.clone(),
    };
    let path = dir.join(&state.primary);
    if !is_sealed(&path) {
        place.take(&primary, &path, None)?;
    }
    write_state(&dir, &state)?;
    sweep(&dir, &state, here.is_some());
    Ok(Here { dir, state })
}

/// Removes what belongs to older metadata. What cannot be removed is only in the way of nobody.
fn sweep(dir: &Path, state: &State, had: bool) {
    let filelists = state.filelists.as_ref().map(solv_name);
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten().filter(|_| had) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".solv") && name != state.primary && Some(&name) != filelists.as_ref() {
            drop(std::fs::remove_file(entry.path()));
        }
    }
    drop(std::fs::remove_file(dir.join("repomd.xml.new")));
}

fn write_state(dir: &Path, state: &State) -> Result<(), MetadataError> {
    let path = dir.join("state.json");
    let failed = |source| MetadataError::File { path: path.clone(), source };
    let aside = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    std::fs::write(aside.path(), serde_json::to_vec(state).unwrap_or_default()).map_err(failed)?;
    aside.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn solv_name(data: &Data) -> String {
    let digits = data.checksum.as_ref().map_or("unverified", |(_, digits)| digits.as_str());
    let digits: String = digits.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("{}-{digits}.solv", data.kind)
}

impl Place<'_> {
    /// Fetches a file of metadata and turns it into libsolv's format.
    fn take(&self, data: &Data, solv: &Path, primary: Option<&Path>) -> Result<(), MetadataError> {
        let url = join(self.bases.first().map_or("", String::as_str), &data.location);
        let wrong = |reason: String| MetadataError::Wrong { url: url.clone(), reason };
        if data.checksum.is_none() {
            return Err(wrong("repomd.xml gives no checksum for it".into()));
        }
        if data.open_size.or(data.size).is_some_and(|size| size > METADATA_BYTES) {
            return Err(wrong(format!("it would be larger than {METADATA_BYTES} bytes")));
        }
        if data.location.contains("..") || data.location.starts_with('/') {
            return Err(wrong("it is not below the repository".into()));
        }
        let name = data.location.rsplit('/').next().unwrap_or("metadata");
        let path = self.dir.join(format!("new-{name}"));
        let target = Target {
            urls: self.bases.iter().map(|base| join(base, &data.location)).collect(),
            path: path.clone(),
            size: data.size,
            most: METADATA_BYTES,
            checksum: data.checksum.clone(),
        };
        self.fetcher.fetch(&target, &Known::default(), &mut |_| ())?;
        let converted =
            convert(&path, solv, primary, data.open_size.unwrap_or(METADATA_BYTES)).map_err(wrong);
        std::fs::remove_file(&path).map_err(|source| MetadataError::File { path, source })?;
        converted
    }

    /// Verifies the signature of `repomd.xml`.
    fn verify(
        &self,
        repomd: &Path,
        keys: &mut dyn FnMut(&Repo) -> Result<Vec<PathBuf>, String>,
    ) -> Result<(), MetadataError> {
        let bad = |reason: String| MetadataError::Signature { id: self.repo.id.clone(), reason };
        let signature = self.dir.join("repomd.xml.asc");
        let target = Target {
            urls: self.bases.iter().map(|base| join(base, "repodata/repomd.xml.asc")).collect(),
            path: signature.clone(),
            size: None,
            most: 1 << 20,
            checksum: None,
        };
        self.fetcher
            .fetch(&target, &Known::default(), &mut |_| ())
            .map_err(|error| bad(format!("`repo_gpgcheck` is set, and there is no signature: {error}")))?;
        let keys = keys(self.repo).map_err(bad)?;
        match super::keys::verifies(repomd, &signature, &keys) {
            Ok(true) => Ok(()),
            Ok(false) => Err(bad("repomd.xml is not signed by any of its keys".into())),
            Err(reason) => Err(bad(reason)),
        }
    }
}

/// Lets a process of its own read foreign XML.
fn convert(xml: &Path, solv: &Path, primary: Option<&Path>, open_size: u64) -> Result<(), String> {
    let dir = solv.parent().unwrap_or(Path::new("/"));
    let mut aside = tempfile::NamedTempFile::new_in(dir).map_err(|error| error.to_string())?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(CONVERT).arg(xml).arg(aside.path()).arg(open_size.to_string()).args(primary);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        drop(stderr.take(4096).read_to_string(&mut words));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        let words = words.trim();
        return Err(if words.is_empty() {
            format!("its reader ended by {status}")
        } else {
            words.to_owned()
        });
    }
    seal(aside.as_file_mut()).map_err(|error| error.to_string())?;
    aside.persist(solv).map_err(|error| error.to_string())?;
    Ok(())
}

/// A URL below another.
pub(super) fn join(base: &str, below: &str) -> String {
    format!("{}/{below}", base.trim_end_matches('/'))
}
