//! Repositories: their configuration, metadata and packages.

mod convert;
mod fetch;
mod ini;
mod keys;
mod metadata;
mod mirrors;
mod packages;
mod settings;

pub(crate) use convert::{CONVERT, main as convert};
pub(crate) use fetch::FetchError;
pub(crate) use fetch::{Fetcher, Target};
pub(crate) use keys::{KEYS, VERIFY, fingerprints, main as inspect_keys};
pub(crate) use metadata::{Freshness, MetadataError, refresh, state_of};
pub(crate) use packages::{Wanted, download};
pub(crate) use settings::{Repo, RepoError, Settings, Variables, add, load, remove, repo_of_url};
