//! Requests of containerd to the shim, and what else it reads: each is a kind, a length of two bytes, and a payload.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// A bundle, to which requests write.
static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz/bundle");
    std::fs::create_dir_all(&dir).expect("the target directory is writable");
    std::fs::write(dir.join("config.json"), "{}").expect("the target directory is writable");
    dir
});

fuzz_target!(|data: &[u8]| red_shim::fuzzing::handle(data, &BUNDLE));
