//! Metadata of repositories: fetched when they are old, verified, turned into libsolv's own format
//! by a process that can crash alone, and kept.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::convert::CONVERT;
use super::fetch::{FetchError, Fetcher, Known, Target};
use super::repomd::{Data, parse};
use super::{Repo, mirrors};
use crate::cache::{Cache, Shelf};

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
    #[error("repository `{id}` has no metadata here that can be used, and `-C` forbids to fetch them")]
    NotHere {
        /// Its id.
        id: String,
    },
    /// The cache.
    #[error(transparent)]
    File(#[from] std::io::Error),
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
    shelf: Shelf,
    pub(crate) state: State,
    /// Primary metadata in libsolv's format.
    pub(crate) primary: Vec<u8>,
}

impl Here {
    /// Lists of files in libsolv's format; fetched when somebody needs them.
    pub(crate) fn filelists(&self, repo: &Repo) -> Result<Option<Vec<u8>>, MetadataError> {
        let Some(data) = &self.state.filelists else { return Ok(None) };
        if let Some(bytes) = self.shelf.believed(&solv_name(data)) {
            return Ok(Some(bytes));
        }
        let fetcher = Fetcher::new(repo)?;
        let place = Place { fetcher: &fetcher, repo, shelf: &self.shelf, bases: &self.state.bases };
        place.take(data, &solv_name(data), Some(&self.state.primary)).map(Some)
    }
}

/// Directory of a repository in the cache.
pub(super) fn directory(repo: &Repo) -> String {
    format!("repos/{}", repo.id)
}

fn source_of(repo: &Repo) -> String {
    let mut said = format!("{:?} {:?} {:?}", repo.baseurl, repo.mirrorlist, repo.metalink);
    if repo.repo_gpgcheck {
        // What was fetched under another policy, or verified with other keys, is not what is asked for.
        said.push_str(&format!(" signed by {:?}", repo.gpgkey));
    }
    Sha256::digest(said).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known here of a repository, however old.
pub(crate) fn state_of(cache: &Cache, repo: &Repo) -> Option<State> {
    believed_state(&cache.open(&directory(repo)).ok()?, repo)
}

fn believed_state(shelf: &Shelf, repo: &Repo) -> Option<State> {
    let state: State = serde_json::from_slice(&shelf.believed(STATE)?).ok()?;
    (state.source == source_of(repo)).then_some(state)
}

/// What is here of a repository and whole; what was damaged is fetched anew.
fn here(cache: &Cache, repo: &Repo) -> Option<Here> {
    let shelf = cache.open(&directory(repo)).ok()?;
    let state = believed_state(&shelf, repo)?;
    let primary = shelf.believed(&state.primary)?;
    Some(Here { shelf, state, primary })
}

const STATE: &str = "state.json";

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Metadata of a repository, as fresh as is asked for. When a fresh copy cannot be had, what was here
/// stays usable with [`Freshness::Cache`].
pub(crate) fn refresh(
    cache: &Cache,
    repo: &Repo,
    freshness: Freshness,
    keys: &mut dyn FnMut(&Repo) -> Result<Vec<PathBuf>, String>,
) -> Result<Here, MetadataError> {
    let here = here(cache, repo);
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
    shelf: &'a Shelf,
    bases: &'a [String],
}

fn fetch(
    cache: &Cache,
    repo: &Repo,
    here: Option<Here>,
    keys: &mut dyn FnMut(&Repo) -> Result<Vec<PathBuf>, String>,
) -> Result<Here, MetadataError> {
    let shelf = cache.make(&directory(repo))?;
    let fetcher = Fetcher::new(repo)?;
    let (bases, announced) = mirrors::bases(&fetcher, repo, shelf.dir())?;
    let place = Place { fetcher: &fetcher, repo, shelf: &shelf, bases: &bases };
    let known = here
        .as_ref()
        .map(|here| Known { etag: here.state.etag.clone(), modified: here.state.modified.clone() });
    let target = Target {
        urls: bases.iter().map(|base| join(base, "repodata/repomd.xml")).collect(),
        dir: shelf.dir(),
        name: REPOMD.into(),
        size: announced.as_ref().and_then(|announced| announced.size),
        most: REPOMD_BYTES,
        checksum: announced.and_then(|announced| announced.checksum),
    };
    let answer = fetcher.fetch(&target, &known.unwrap_or_default(), &mut |_| ())?;
    let url = target.urls.first().cloned().unwrap_or_default();
    let Some(answer) = answer else {
        // It is as it was.
        let mut here = here.ok_or_else(|| MetadataError::NotHere { id: repo.id.clone() })?;
        here.state.checked = seconds();
        write_state(&here.shelf, &here.state)?;
        return Ok(here);
    };
    if repo.repo_gpgcheck {
        place.verify(keys)?;
    }
    let wrong = |_utf8| MetadataError::Wrong { url: url.clone(), reason: "not a text in UTF-8".into() };
    let text = String::from_utf8(shelf.dir().read(REPOMD)?).map_err(wrong)?;
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
    let bytes = match shelf.believed(&state.primary) {
        Some(bytes) => bytes,
        None => place.take(&primary, &state.primary, None)?,
    };
    write_state(&shelf, &state)?;
    sweep(&shelf, &state, here.is_some());
    Ok(Here { shelf, state, primary: bytes })
}

const REPOMD: &str = "repomd.xml.new";

/// Removes what belongs to older metadata. What cannot be removed is only in the way of nobody.
fn sweep(shelf: &Shelf, state: &State, had: bool) {
    let filelists = state.filelists.as_ref().map(solv_name);
    for name in shelf.names().unwrap_or_default().into_iter().filter(|_| had) {
        if name.ends_with(".solv") && name != state.primary && Some(&name) != filelists.as_ref() {
            drop(shelf.remove(&name));
        }
    }
    drop(shelf.dir().remove(REPOMD));
}

fn write_state(shelf: &Shelf, state: &State) -> Result<(), MetadataError> {
    shelf.write(STATE, &serde_json::to_vec(state).unwrap_or_default())?;
    Ok(())
}

fn solv_name(data: &Data) -> String {
    let digits = data.checksum.as_ref().map_or("unverified", |(_, digits)| digits.as_str());
    let digits: String = digits.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("{}-{digits}.solv", data.kind)
}

impl Place<'_> {
    /// Fetches a file of metadata and turns it into libsolv's format.
    fn take(&self, data: &Data, solv: &str, primary: Option<&str>) -> Result<Vec<u8>, MetadataError> {
        let url = join(self.bases.first().map_or("", String::as_str), &data.location);
        let wrong = |reason: String| MetadataError::Wrong { url: url.clone(), reason };
        if data.checksum.is_none() {
            return Err(wrong("repomd.xml gives no checksum for it".into()));
        }
        if data.open_size.or(data.size).is_some_and(|size| size > METADATA_BYTES) {
            return Err(wrong(format!("it would be larger than {METADATA_BYTES} bytes")));
        }
        if !is_below(&data.location) {
            return Err(wrong("it is not below the repository".into()));
        }
        let name = data.location.rsplit('/').next().unwrap_or("metadata");
        let target = Target {
            urls: self.bases.iter().map(|base| join(base, &data.location)).collect(),
            dir: self.shelf.dir(),
            name: format!("new-{name}"),
            size: data.size,
            most: METADATA_BYTES,
            checksum: data.checksum.clone(),
        };
        self.fetcher.fetch(&target, &Known::default(), &mut |_| ())?;
        let most = data.open_size.unwrap_or(METADATA_BYTES);
        let converted = convert(self.shelf, (&target.name, solv), primary, most).map_err(wrong);
        self.shelf.dir().remove(&target.name)?;
        converted
    }

    /// Verifies the signature of `repomd.xml`.
    fn verify(
        &self,
        keys: &mut dyn FnMut(&Repo) -> Result<Vec<PathBuf>, String>,
    ) -> Result<(), MetadataError> {
        let bad = |reason: String| MetadataError::Signature { id: self.repo.id.clone(), reason };
        let dir = self.shelf.dir();
        let target = Target {
            urls: self.bases.iter().map(|base| join(base, "repodata/repomd.xml.asc")).collect(),
            dir,
            name: "repomd.xml.asc".into(),
            size: None,
            most: 1 << 20,
            checksum: None,
        };
        self.fetcher
            .fetch(&target, &Known::default(), &mut |_| ())
            .map_err(|error| bad(format!("`repo_gpgcheck` is set, and there is no signature: {error}")))?;
        let keys = keys(self.repo).map_err(bad)?;
        match super::keys::verifies(&dir.path().join(REPOMD), &dir.path().join(&target.name), &keys) {
            Ok(true) => Ok(()),
            Ok(false) => Err(bad("repomd.xml is not signed by any of its keys".into())),
            Err(reason) => Err(bad(reason)),
        }
    }
}

/// Lets a process of its own read foreign XML, which writes to its stdout what is believed from then on.
fn convert(
    shelf: &Shelf,
    (xml, solv): (&str, &str),
    primary: Option<&str>,
    open_size: u64,
) -> Result<Vec<u8>, String> {
    let dir = shelf.dir();
    let aside = format!(".new-{solv}");
    let (input, output) = (dir.file(xml), dir.create(&aside));
    let (input, output) =
        (input.map_err(|error| error.to_string())?, output.map_err(|error| error.to_string())?);
    let mut command = Command::new("/proc/self/exe");
    command.arg(CONVERT).arg(open_size.to_string()).args(primary.map(|primary| dir.path().join(primary)));
    command.env_clear().stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        drop(stderr.take(4096).read_to_string(&mut words));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        dir.remove(&aside).map_err(|error| error.to_string())?;
        let words = words.trim();
        return Err(if words.is_empty() {
            format!("its reader ended by {status}")
        } else {
            words.to_owned()
        });
    }
    shelf.keep(&aside, solv).map_err(|error| error.to_string())
}

/// Whether a location stays below its repository.
pub(crate) fn is_below(location: &str) -> bool {
    !location.is_empty() && !location.starts_with('/') && location.split('/').all(|part| part != "..")
}

/// A URL below another.
pub(super) fn join(base: &str, below: &str) -> String {
    format!("{}/{below}", base.trim_end_matches('/'))
}
