//! Packages of redpak nodes, on real rpm databases, with atomic generations. The tree of modules is
//! the way a package takes: repositories → solver → plan → rpm in the install view → generation.

mod audit;
mod beneath;
mod cache;
pub mod cli;
mod family;
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod history;
mod memory;
mod plan;
mod regular;
mod repo;
mod rpm;
mod session;
mod solve;
mod transaction;
