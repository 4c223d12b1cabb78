//! The manual says what the code says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use red_tests::pages::{OWNED, pages, root};

#[test]
fn generated_pages_are_current() {
    let pages = pages().expect("the pages can be written");
    for (page, text) in &pages {
        let there = fs::read_to_string(root().join(page)).unwrap_or_default();
        assert!(there == *text, "docs/{page} is old: `cargo run -p red-tests --bin red-pages`");
    }
    let kept: BTreeSet<_> = pages.keys().map(|page| root().join(page)).collect();
    for dir in OWNED {
        for entry in fs::read_dir(root().join(dir)).expect("it is there") {
            let path = entry.expect("it can be read").path();
            assert!(kept.contains(&path), "{} is generated no more", path.display());
        }
    }
}

/// Every page is in the summary, and every link of every page leads somewhere.
#[test]
fn links_lead_somewhere() {
    let repository = root().join("..");
    let summary = fs::read_to_string(root().join("src/SUMMARY.md")).expect("it is there");
    let mut files = vec![
        repository.join("README.md"),
        repository.join("CHANGELOG.md"),
        repository.join("CONTRIBUTING.md"),
    ];
    collect(&root().join("src"), &["md"], &mut files);
    for file in &files {
        let text = fs::read_to_string(file).expect("it is there");
        let above = file.parent().expect("it is in a directory");
        if let Ok(page) = file.strip_prefix(root().join("src")) {
            let listed = summary.contains(&format!("({})", page.display()));
            assert!(listed || page == Path::new("SUMMARY.md"), "{} is not in the summary", page.display());
        }
        for target in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
        {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") {
                assert!(above.join(path).exists(), "{}: {target} leads nowhere", file.display());
            }
        }
    }
}

fn collect(dir: &Path, extensions: &[&str], files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            collect(&path, extensions, files);
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
            files.push(path);
        }
    }
}

/// The repository stands alone: what it refers to is in it.
#[test]
fn nothing_outside_is_cited() {
    let repository = root().join("..");
    let mut files = Vec::new();
    for dir in ["red-runtime/src", "red-shim", "node-store", "conformance", "tests", "docs/src"] {
        collect(&repository.join(dir), &["rs", "md", "toml"], &mut files);
    }
    // In parts, so that this file has none of them.
    let words = [["..", "/shared"], ["DESIGN", " §"], ["HARD", "ENING"], ["REDPAK", ".md"]]
        .map(|parts| parts.concat());
    for file in files {
        let text = fs::read_to_string(&file).expect("it is text");
        for word in &words {
            assert!(!text.contains(word), "{} cites {word}", file.display());
        }
    }
}
