//! Holds an OCI runtime to a configuration.
//!
//! A *probe* runs inside and tells what it sees; the host looks at it from outside; `compare` sets
//! both against the configuration. What holds runc and crun to a plan today holds our own launcher
//! to it tomorrow.
//!
//! * [`report`] what the probe tells
//! * [`probe`] how it finds out
//! * [`runtime`] the runtimes, and how each is called on this machine
//! * [`container`] one run of a bundle, looked at from both sides
//! * [`compare`] configuration against observation
//! * [`mutate`] configurations that are wrong in one entry, which a comparison must notice

pub mod compare;
pub mod container;
pub mod mutate;
pub mod probe;
pub mod report;
pub mod runtime;
