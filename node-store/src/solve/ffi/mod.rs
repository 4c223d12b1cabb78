//! libsolv, in two layers: the raw bindings of `libsolv-sys`, and owned handles over them. All
//! `unsafe` of the node store is here.
//!
//! What makes it sound: a [`Pool`] owns everything that libsolv allocates for it and is neither
//! `Send` nor `Sync`; identifiers are plain numbers, checked against the pool before they become
//! pointers; every text is copied out before the pool can reuse its buffers (libsolv keeps a ring
//! of temporary strings); no `&mut` is ever made of what libsolv holds.

#![allow(unsafe_code, reason = "the bindings of a C library; each block says why it is sound")]

mod key;
mod package;
mod pool;
mod queue;
mod solver;
mod testcase;

use libsolv_sys::ffi as raw;

pub(crate) use key::{Keyring, sha1};
pub(crate) use pool::{Pool, RepoId, SolvError};
pub(crate) use solver::{Freedom, Outcome, Problem, Solver, Step, StepKind, Why};
pub(crate) use testcase::solve_testcase;

/// Number of a package, a name or a dependency in a pool.
pub(crate) type Id = raw::Id;

/// What a job does, and to what.
pub(crate) mod job {
    use super::raw;

    /// A set of packages: a name.
    pub(crate) const NAME: u32 = raw::SOLVER_SOLVABLE_NAME;
    /// One package.
    pub(crate) const SOLVABLE: u32 = raw::SOLVER_SOLVABLE;
    pub(crate) const INSTALL: u32 = raw::SOLVER_INSTALL;
    pub(crate) const ERASE: u32 = raw::SOLVER_ERASE;
    pub(crate) const UPDATE: u32 = raw::SOLVER_UPDATE;
    pub(crate) const LOCK: u32 = raw::SOLVER_LOCK;
    pub(crate) const VERIFY: u32 = raw::SOLVER_VERIFY;
    pub(crate) const USERINSTALLED: u32 = raw::SOLVER_USERINSTALLED;
    pub(crate) const MULTIVERSION: u32 = raw::SOLVER_MULTIVERSION;
    pub(crate) const CLEANDEPS: u32 = raw::SOLVER_CLEANDEPS;
    pub(crate) const FORCEBEST: u32 = raw::SOLVER_FORCEBEST;
}

/// What a text that a person typed may be.
pub(crate) mod selection {
    use super::raw;

    /// A name, as a glob, with or without architecture and version.
    pub(crate) const NAMED: u32 = raw::SELECTION_NAME
        | raw::SELECTION_CANON
        | raw::SELECTION_DOTARCH
        | raw::SELECTION_REL
        | raw::SELECTION_GLOB;
    /// The same, or something that packages provide, files included.
    pub(crate) const ANYTHING: u32 = NAMED | raw::SELECTION_PROVIDES | raw::SELECTION_FILELIST;
}

/// Operators of rich dependencies.
pub(crate) mod relation {
    use super::raw;

    pub(crate) const AND: u32 = raw::REL_AND;
    pub(crate) const OR: u32 = raw::REL_OR;
    pub(crate) const COND: u32 = raw::REL_COND;
    pub(crate) const ELSE: u32 = raw::REL_ELSE;
    pub(crate) const UNLESS: u32 = raw::REL_UNLESS;
}

/// Attributes of packages.
pub(crate) mod attribute {
    use super::raw;

    pub(crate) const SUMMARY: u32 = raw::solv_knownid_SOLVABLE_SUMMARY;
    pub(crate) const DESCRIPTION: u32 = raw::solv_knownid_SOLVABLE_DESCRIPTION;
    pub(crate) const LICENSE: u32 = raw::solv_knownid_SOLVABLE_LICENSE;
    pub(crate) const URL: u32 = raw::solv_knownid_SOLVABLE_URL;
    pub(crate) const SOURCE: u32 = raw::solv_knownid_SOLVABLE_SOURCENAME;
    pub(crate) const INSTALL_SIZE: u32 = raw::solv_knownid_SOLVABLE_INSTALLSIZE;
    pub(crate) const DOWNLOAD_SIZE: u32 = raw::solv_knownid_SOLVABLE_DOWNLOADSIZE;
    pub(crate) const REQUIRES: u32 = raw::solv_knownid_SOLVABLE_REQUIRES;
    pub(crate) const PROVIDES: u32 = raw::solv_knownid_SOLVABLE_PROVIDES;
    pub(crate) const CONFLICTS: u32 = raw::solv_knownid_SOLVABLE_CONFLICTS;
    pub(crate) const OBSOLETES: u32 = raw::solv_knownid_SOLVABLE_OBSOLETES;
    pub(crate) const RECOMMENDS: u32 = raw::solv_knownid_SOLVABLE_RECOMMENDS;
}
