//! Command lines of podman, with runc and with red-runtime: equal but for what the tables list.
//!
//! CI runs a share of the rows; `RED_SOAK=full` runs all, `RED_VARIANTS=TEXT` those whose name has it.

use std::fs;

use red_tests::skip;
use red_tests::variants::{Row, Variants, reason, rows};

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
    let failed = variants.differing(&chosen, 2, filter.is_some());
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
    let variants =
        ["common", "process", "mounts", "limits", "life"].map(|name| format!("podman_variants/{name}"));
    let peers = ["common", "rootful", "rootless", "mappings", "mappings_user"];
    for table in variants.into_iter().chain(peers.map(|name| format!("podman_peers/{name}"))) {
        let text = fs::read_to_string(format!("tests/{table}")).expect("it is there");
        let reasons = text.lines().filter_map(|line| reason(line).map(|(_, reason)| reason));
        let untold: Vec<&str> = reasons.filter(|reason| !told.contains(&words(reason))).collect();
        assert!(untold.is_empty(), "{table}: {untold:?}");
    }
}
