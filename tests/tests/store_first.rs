//! What must never destroy, and what must never fail open: doors of the store that stood open once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{Said, built, run};
use red_tests::packages::Small;
use red_tests::store::Ground;

fn small<'a>(name: &'a str, version: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version, files, ..Small::default() }
}

/// Every file below a directory whose name ends so.
fn ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(ending(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_damaged_cache_is_made_again() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[("/usr/lib/one/f", "1")]), small("two", "1", &[])]);
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "one"]).good();
    ground.dnf("n", &["repoquery", "-l", "one"]).good();
    let caches = ending(&ground.node("n"), ".solv");
    assert!(caches.len() >= 4, "two databases, packages and lists of files: {caches:?}");
    for cache in &caches {
        let whole = fs::read(cache).unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x7f;
            bytes
        };
        let middle = whole.len() / 2;
        let damaged = [
            whole[..8].to_vec(),
            whole[..10].to_vec(),
            Vec::new(),
            whole[..middle].to_vec(),
            flipped(middle),
        ];
        for bytes in damaged {
            let what = format!("{} with {} bytes", cache.display(), bytes.len());
            fs::write(cache, &bytes).unwrap();
            let commands: [&[&str]; 4] =
                [&["list"], &["repoquery", "-l", "one"], &["check"], &["-y", "--assumeno", "install", "two"]];
            for command in commands {
                let said = ground.dnf("n", command);
                assert_eq!(said.code, 0, "{what}: {command:?}: {}", said.err);
            }
        }
        fs::write(cache, &whole).unwrap();
    }
    assert!(ground.dnf("n", &["repoquery", "-l", "one"]).out.contains("/usr/lib/one/f"));
}
