//! What a node says of itself: its record, its history, and the list of an interrupted update.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| node_store::fuzzing::state(data));
