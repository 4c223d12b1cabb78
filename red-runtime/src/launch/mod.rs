//! Starts containers and looks after them. The only module that names libcontainer.
//!
//! What is started is a `job::Job`: an OCI configuration with a root as data. A plan and a plain
//! bundle both become one, and everything from there on is one path: `spawn` clones, and
//! `inside` is what the new process does, stage by stage, until it is the command. Nothing here knows what a node is.

pub(crate) mod cause;
pub(crate) mod cgroup;
pub(crate) mod console;
pub(crate) mod container;
pub(crate) mod create;
pub(crate) mod ended;
pub(crate) mod enter;
pub mod error;
mod filter;
pub(crate) mod foreground;
mod hooks;
mod inside;
pub(crate) mod job;
pub(crate) mod namespaces;
pub(crate) mod process;
pub(crate) mod reaper;
pub(crate) mod record;
mod relay;
pub(crate) mod root;
mod schedule;
mod seccomp;
mod settings;
mod sibling;
pub(crate) mod smack;
pub(crate) mod spawn;
pub mod standalone;
mod start;
mod streams;
pub(crate) mod sync;
pub(crate) mod sysctl;
pub(crate) mod warning;
mod without_cgroups;
