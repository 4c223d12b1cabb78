//! Repositories: their configuration, metadata and packages.

mod added;
mod convert;
mod fetch;
mod files;
mod fuzz;
mod ini;
mod keys;
mod metadata;
mod mirrors;
mod options;
mod packages;
mod place;
mod repomd;
mod seen;
mod settings;
mod variables;
mod written;
mod xml;

pub(crate) use added::{add, remove};
pub(crate) use convert::{CONVERT, main as convert};
pub(crate) use fetch::{FetchError, Fetcher, Target, checksum, local};
pub(crate) use fuzz::fuzz;
pub(crate) use keys::{Found, KEYS, VERIFY, fingerprints, main as inspect_keys};
/// Directory of a repository's keys in the cache.
pub(crate) fn keys_of(repo: &Repo) -> String {
    format!("{}/keys", metadata::directory(repo))
}

pub(crate) use metadata::{Freshness, MetadataError, is_below, refresh, seconds, state_of};
pub(crate) use packages::{Wanted, download};
pub(crate) use settings::{Overrides, Repo, RepoError, Settings};
pub(crate) use variables::Variables;
pub(crate) use written::{Loaded, load};
