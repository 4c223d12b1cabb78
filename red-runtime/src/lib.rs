//! redpak node families as OCI containers. The tree of modules is the way a redpath takes:
//! YAML → node → plan → bundle.

pub mod cli;
pub mod command;
pub mod confine;
#[cfg(feature = "launch")]
pub mod launch;
pub mod node;
pub mod policy;
pub mod spec;
mod sys;
#[cfg(feature = "launch")]
pub use sys::heap::Heap;
#[cfg(test)]
mod testing;
