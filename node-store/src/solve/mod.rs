//! Which packages: libsolv over core OS, ancestors, node and repositories.

mod change;
mod explain;
pub(crate) mod ffi;
mod load;
mod request;

pub(crate) use explain::explain;
pub(crate) use load::LoadError;
pub(crate) use load::{Packages, arch};
pub(crate) use request::{Answer, Ask, Refusal, Wish, solve};
