//! Packages of redpak nodes, on real rpm databases, with atomic generations. The tree of modules is
//! the way a package takes: repositories → solver → plan → rpm in the install view → generation.

mod audit;
pub mod cli;
mod family;
mod generation;
mod history;
mod plan;
mod repo;
mod rpm;
mod sealed;
mod session;
mod solve;
mod transaction;
