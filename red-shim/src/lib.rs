//! `containerd-shim-red-v2`, the containerd shim of gateways.
//!
//! Nothing is here yet: it needs the launcher of `red-runtime`, which it will exec and never link
//! (docs/src/design.md, "Parts").
