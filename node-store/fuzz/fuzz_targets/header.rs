//! Headers of packages, as rpm's database has them, and package files.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| node_store::fuzzing::header(data));
