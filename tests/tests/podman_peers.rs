//! podman in the guest (`tests/guest run podman_peers user/podman_peers`), as root and as an ordinary user: with crun, with
//! runc and with red-runtime. Equal but for what the tables list.
//!
//! `RED_VARIANTS=NAME|NAME` runs the rows that are named, `RED_PEERS=crun` or `runc` compares with one peer.

use std::fs;

use red_tests::variants::{Row, Variants, rows};
use red_tests::{in_guest, remark, skip};

/// Prints values of files of the container's own cgroup.
const LIMITS: &str = "#!/bin/bash\ncd /sys/fs/cgroup\nfor file; do echo \"$file:\" $(cat $file 2>&1); done\n";

/// Runs a table, or the rows that are named.
fn table(name: &str, is_roots: bool, only: &[&str]) {
    if !in_guest() {
        return remark("not in the guest machine: `tests/guest run podman_peers user/podman_peers`");
    }
    if rustix::process::geteuid().is_root() != is_roots {
        return remark("for the other user");
    }
    let read = |name: &str| fs::read_to_string(format!("tests/{name}")).expect("it is in the checkout");
    let programs = [("see", &*read("podman_variants/see")), ("limits", LIMITS)];
    let prelude = read("podman_peers/prelude");
    let Some(variants) = Variants::in_guest(&programs, prelude) else {
        return skip("needs podman, crun and runc");
    };
    let common = format!("{}\n{}", read("podman_variants/common"), read("podman_peers/common"));
    let all = rows(&format!("{common}\n{}", read(&format!("podman_peers/{name}"))));
    let filter = std::env::var("RED_VARIANTS").ok();
    let is_chosen = |row: &Row| match &filter {
        Some(names) => names.split('|').any(|name| name == row.name),
        None => only.is_empty() || only.contains(&&*row.name),
    };
    let chosen: Vec<(usize, &Row)> = all.iter().enumerate().filter(|(_, row)| is_chosen(row)).collect();
    assert!(filter.is_some() || chosen.len() >= only.len().max(1), "no such rows: {only:?}");
    let failed = variants.differing(&chosen, 1, true);
    let of = format!("{}, {} of {} rows", variants.podman(), failed.len(), chosen.len());
    assert!(failed.is_empty(), "{of}:\n{}", failed.join("\n"));
    remark(&format!("nothing: {of} differ"));
}

/// For CI: a row of root's and one of a user's.
#[test]
fn few() {
    if std::env::var_os("RED_VARIANTS").is_none() {
        table("rootful", true, &["memory, swap and reservation"]);
        table("rootless", false, &["memory and processes"]);
    }
}

#[test]
fn containers_of_root() {
    table("rootful", true, &[]);
}

#[test]
fn containers_of_an_ordinary_user() {
    table("rootless", false, &[]);
}

#[test]
fn mappings_of_root() {
    table("mappings", true, &[]);
}

#[test]
fn mappings_of_an_ordinary_user() {
    table("mappings_user", false, &[]);
}
