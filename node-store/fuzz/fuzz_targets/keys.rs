//! Keys and signatures, armored or not.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| node_store::fuzzing::keys(data));
