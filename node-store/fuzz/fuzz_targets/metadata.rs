//! Files of a repository: `.repo`, `dnf.conf`, `repomd.xml`, metalinks and lists of mirrors, and the note of what is in the cache.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| node_store::fuzzing::metadata(data));
