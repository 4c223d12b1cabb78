//! Command lines of podman, with runc and with red-runtime: equal but for what the tables list.
//!
//! CI runs a share of the rows; `RED_SOAK=full` runs all, `RED_VARIANTS=TEXT` those whose name has it.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use red_tests::variants::{Row, Variants, rows};
use red_tests::{remark, skip};

/// One row of so many is run in CI.
const SHARE: usize = 4;

/// Runs a table, two rows at a time.
fn table(name: &str) {
    let read = |name: &str| {
        fs::read_to_string(format!("tests/podman_variants/{name}")).expect("it is in the checkout")
    };
    let Some(variants) = Variants::new(&read("see")) else { return skip("needs podman and runc") };
    let all = rows(&format!("{}\n{}", read("common"), read(name)));
    let filter = std::env::var("RED_VARIANTS").ok();
    let full = std::env::var_os("RED_SOAK").is_some_and(|value| value == "full");
    let chosen: Vec<(usize, &Row)> = all
        .iter()
        .enumerate()
        .filter(|(number, row)| match &filter {
            Some(text) => row.name.contains(text),
            None => full || number % SHARE == 0,
        })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some((number, row)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (found, known) = variants.compare(row, *number);
            if !known.is_empty() && filter.is_some() {
                remark(&format!("{}: {}: listed:\n{}", variants.podman(), row.name, known.join("\n")));
            }
            if !found.is_empty() {
                failed.push(format!("== {}\n{}", row.name, found.join("\n")));
            }
        }
        failed
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let both = [scope.spawn(work), scope.spawn(work)];
        both.into_iter().flat_map(|one| one.join().expect("it does not panic")).collect()
    });
    assert!(
        failed.is_empty(),
        "{}, {} of {} rows:\n{}",
        variants.podman(),
        failed.len(),
        chosen.len(),
        failed.join("\n")
    );
}

#[test]
fn users_rights_and_processes() {
    table("process");
}

#[test]
fn volumes_mounts_and_devices() {
    table("mounts");
}

#[test]
fn namespaces_and_limits() {
    table("limits");
}

#[test]
fn life_of_a_container() {
    table("life");
}

/// What differs is what users are told.
#[test]
fn differences_are_documented() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = words(&fs::read_to_string("../docs/src/engines.md").expect("it is in the checkout"));
    for table in ["common", "process", "mounts", "limits", "life"] {
        let text = fs::read_to_string(format!("tests/podman_variants/{table}")).expect("it is there");
        let reasons = text.lines().filter_map(|line| line.strip_prefix("but: "));
        let untold: Vec<&str> = reasons.filter(|reason| !told.contains(&words(reason))).collect();
        assert!(untold.is_empty(), "{table}: {untold:?}");
    }
}
