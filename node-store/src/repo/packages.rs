//! Package files, several at once.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Repo;
use super::fetch::{FetchError, Fetcher, Known, Target, checksum};
use super::metadata::{directory, is_below, join};
use crate::beneath::Dir;
use crate::cache::Cache;

/// A package to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) repo: &'a Repo,
    pub(crate) bases: Vec<String>,
    pub(crate) location: String,
    pub(crate) size: u64,
    pub(crate) checksum: Option<(String, String)>,
    pub(crate) nevra: String,
}

/// No package is larger.
const PACKAGE_BYTES: u64 = 8 << 30;

/// Fetches packages into the cache, `at_once` at a time, and returns where they are, in the order of
/// `wanted`. `told` hears of every file that is there.
pub(crate) fn download(
    cache: &Cache,
    wanted: &[Wanted<'_>],
    at_once: usize,
    told: &(dyn Fn(&str, u64) + Sync),
) -> Result<Vec<PathBuf>, FetchError> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<PathBuf, FetchError>>>> =
        Mutex::new((0..wanted.len()).map(|_| None).collect());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = wanted.get(at) else { break };
            let result = fetch(cache, one);
            if result.is_ok() {
                told(&one.nevra, one.size);
            } else {
                // The rest would come for nothing.
                next.store(wanted.len(), Ordering::Relaxed);
            }
            if let Ok(mut results) = results.lock() {
                results[at] = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..at_once.clamp(1, 20).min(wanted.len()) {
            // Where there can be no more threads, fewer packages come at a time.
            if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let results = results.into_inner().unwrap_or_default();
    let mut paths = Vec::new();
    let mut stopped = false;
    for result in results {
        match result {
            Some(result) => paths.push(result?),
            None => stopped = true,
        }
    }
    if stopped { Err(FetchError::NoPlace { path: cache.path().to_owned() }) } else { Ok(paths) }
}

fn fetch(cache: &Cache, wanted: &Wanted<'_>) -> Result<PathBuf, FetchError> {
    let shelf = cache.make(&format!("{}/packages", directory(wanted.repo))).map_err(FetchError::File)?;
    let dir = shelf.dir();
    let name = wanted.location.rsplit('/').next().filter(|name| !name.is_empty() && !name.starts_with('.'));
    let Some(name) = name.filter(|_| is_below(&wanted.location)) else {
        return Err(FetchError::NoPlace { path: dir.path().to_owned() });
    };
    if wanted.checksum.is_none() {
        return Err(FetchError::NoChecksum { path: wanted.location.clone() });
    }
    let path = dir.path().join(name);
    if is_right(dir, name, wanted) {
        return Ok(path);
    }
    let target = Target {
        urls: wanted.bases.iter().map(|base| join(base, &wanted.location)).collect(),
        dir,
        name: name.to_owned(),
        size: (wanted.size > 0).then_some(wanted.size),
        most: PACKAGE_BYTES,
        checksum: wanted.checksum.clone(),
    };
    Fetcher::new(wanted.repo)?.fetch(&target, &Known::default(), &mut |_| ())?;
    Ok(path)
}

/// Whether a package is in the cache already.
fn is_right(dir: &Dir, name: &str, wanted: &Wanted<'_>) -> bool {
    let Some((kind, digits)) = &wanted.checksum else { return false };
    dir.file(name)
        .and_then(|file| checksum(kind, file))
        .is_ok_and(|got| got.as_deref() == Some(digits.as_str()))
}
