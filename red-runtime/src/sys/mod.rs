//! The only place with `unsafe`: system calls that no safe wrapper offers.
//!
//! Each block says which invariant makes it sound. Everything above this module sees owned
//! descriptors and plain values.

#![allow(unsafe_code, reason = "system calls without a safe wrapper; everything else goes through rustix")]

pub(crate) mod confined;
