//! `red-dnf` and `red-rpm`: a node's packages in generations, beside its configuration.
//!
//! Nothing is here yet: the store builds on the node model of `red-runtime`
//! (docs/src/design.md, "Parts").
