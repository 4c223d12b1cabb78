//! A merged family → a [`Plan`](plan::Plan): an OCI configuration, what it was made from, and its digest.

pub mod access;
pub mod accounts;
pub mod annotation;
pub mod bundle;
#[cfg(feature = "launch")]
pub(crate) mod config_json;
pub mod crossing;
pub mod diff;
pub mod digest;
pub mod engine;
pub mod environment;
pub mod files;
pub mod guard;
pub mod host;
pub mod identity;
pub mod image;
pub mod json;
pub mod layout;
pub mod new_dir;
pub mod oci;
pub mod plan;
#[cfg(test)]
mod property;
pub mod provenance;
pub mod quadlet;
pub mod resources;
pub(crate) mod shm;
pub mod unit;
