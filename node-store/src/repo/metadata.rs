//! Metadata of repositories: fetched when they are old, verified, turned into libsolv's own format
//! by a process that can crash alone, and kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fetch::{FetchError, Fetcher, Known, local};
use super::place::{FETCHED, Keys, Place, REPOMD};
use super::repomd::Data;
use super::seen::Moment;
use super::{Repo, mirrors, seen};
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
    /// They are older than what was here before.
    #[error(
        "repository `{id}`: its metadata are older ({now}) than what was seen before ({seen}): a mirror is behind, or \
         somebody offers an old copy; where its publisher went back on purpose, `--setopt={id}.allow_older=1` takes them"
    )]
    Older {
        /// Its id.
        id: String,
        /// What is offered.
        now: String,
        /// What was seen.
        seen: String,
    },
    /// There is no key to verify them with.
    #[error("repository `{id}`: {reason}")]
    Key {
        /// Its id.
        id: String,
        /// Which key, and why.
        reason: String,
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
    /// How old they are.
    #[serde(default)]
    pub(crate) moment: Moment,
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

fn said_of(repo: &Repo) -> String {
    format!("{:?} {:?} {:?}", repo.baseurl, repo.mirrorlist, repo.metalink)
}

fn digest(said: impl AsRef<[u8]>) -> String {
    Sha256::digest(said).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digest of where a repository is, however it is verified.
pub(super) fn places_of(repo: &Repo) -> String {
    digest(said_of(repo))
}

fn source_of(repo: &Repo) -> String {
    let mut said = said_of(repo);
    if repo.repo_gpgcheck {
        // What was fetched under another policy, or verified with other keys, is not what is asked for.
        said.push_str(&format!(" signed by {:?}", repo.gpgkey));
        for url in &repo.gpgkey {
            let url = if url.contains("://") { url.clone() } else { format!("file://{url}") };
            // A file of this machine may have become another: then the old one's word is none.
            if let Some(file) = local(&url).and_then(|path| crate::regular::read(&path, 1 << 20).ok()) {
                said.push_str(&format!(" which is {}", digest(file)));
            }
        }
    }
    digest(said)
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

pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Metadata of a repository, as fresh as is asked for. When a fresh copy cannot be had, what was here
/// stays usable with [`Freshness::Cache`].
pub(crate) fn refresh(
    cache: &Cache,
    repo: &Repo,
    freshness: Freshness,
    keys: &mut Keys<'_>,
) -> Result<Here, MetadataError> {
    let here = here(cache, repo);
    match (&here, freshness) {
        (Some(_), Freshness::Cache) => {}
        (None, Freshness::Cache) => return Err(MetadataError::NotHere { id: repo.id.clone() }),
        (Some(found), Freshness::Usual) => {
            if !is_fresh(found.state.checked, seconds(), repo.expire) {
                return fetch(cache, repo, here, keys);
            }
        }
        _ => return fetch(cache, repo, here, keys),
    }
    here.ok_or_else(|| MetadataError::NotHere { id: repo.id.clone() })
}

/// Whether what was asked for at a time needs not be asked for again. What claims to be of the future is not fresh: the
/// clock was wrong, or is.
fn is_fresh(checked: u64, now: u64, limit: Option<Duration>) -> bool {
    let age = now.checked_sub(checked).map(Duration::from_secs);
    age.is_some_and(|age| limit.is_none_or(|limit| age < limit))
}

fn fetch(cache: &Cache, repo: &Repo, here: Option<Here>, keys: &mut Keys<'_>) -> Result<Here, MetadataError> {
    let shelf = cache.make(&directory(repo))?;
    let fetcher = Fetcher::new(repo)?;
    let (bases, announced) = mirrors::bases(&fetcher, repo, shelf.dir())?;
    let place = Place { fetcher: &fetcher, repo, shelf: &shelf, bases: &bases };
    let had = here.as_ref().map(|here| &here.state);
    let had = had.map(|state| Known { etag: state.etag.clone(), modified: state.modified.clone() });
    let came = place.index(had, announced.as_ref())?;
    if repo.repo_gpgcheck {
        // Anew also where nothing changed: keys are revoked, and expire.
        place.verify(&came.bytes, keys)?;
    }
    let moment = Moment::of(&came.index);
    let Some(answer) = came.answer else {
        // It is as it was.
        seen::note(&shelf, repo, moment)?;
        let mut here = here.ok_or_else(|| MetadataError::NotHere { id: repo.id.clone() })?;
        here.state.checked = seconds();
        write_state(&here.shelf, &here.state)?;
        return Ok(here);
    };
    let primary = came.index.data.iter().find(|data| data.kind == "primary").cloned().ok_or_else(|| {
        MetadataError::Wrong { url: came.url.clone(), reason: "it names no primary metadata".into() }
    })?;
    let state = State {
        checked: seconds(),
        source: source_of(repo),
        etag: answer.etag,
        modified: answer.modified,
        moment,
        primary: solv_name(&primary),
        filelists: came.index.data.into_iter().find(|data| data.kind == "filelists"),
        bases: bases.clone(),
    };
    let bytes = match shelf.believed(&state.primary) {
        Some(bytes) => bytes,
        None => place.take(&primary, &state.primary, None)?,
    };
    // Only now: a mirror that announces more than it has makes nothing older.
    seen::note(&shelf, repo, state.moment.clone())?;
    shelf.write(REPOMD, &came.bytes)?;
    write_state(&shelf, &state)?;
    sweep(&shelf, &state, here.is_some());
    Ok(Here { shelf, state, primary: bytes })
}

/// Removes what belongs to older metadata. What cannot be removed is only in the way of nobody.
fn sweep(shelf: &Shelf, state: &State, had: bool) {
    let filelists = state.filelists.as_ref().map(solv_name);
    for name in shelf.names().unwrap_or_default().into_iter().filter(|_| had) {
        if name.ends_with(".solv") && name != state.primary && Some(&name) != filelists.as_ref() {
            drop(shelf.remove(&name));
        }
    }
    drop(shelf.dir().remove(FETCHED));
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

/// Whether a location stays below its repository.
pub(crate) fn is_below(location: &str) -> bool {
    !location.is_empty() && !location.starts_with('/') && location.split('/').all(|part| part != "..")
}

/// A URL below another.
pub(super) fn join(base: &str, below: &str) -> String {
    format!("{}/{below}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_stay_fresh_for_a_while() {
        let hour = Some(Duration::from_secs(3600));
        for (checked, limit, fresh) in [
            (1_000_000, hour, true),
            (1_000_000 - 3599, hour, true),
            (1_000_000 - 3600, hour, false),
            (0, hour, false),
            (0, None, true),
            // Of the future: it would be so for ever.
            (1_000_001, hour, false),
            (u64::MAX, hour, false),
            (u64::MAX, None, false),
        ] {
            assert_eq!(is_fresh(checked, 1_000_000, limit), fresh, "{checked} {limit:?}");
        }
    }
}
