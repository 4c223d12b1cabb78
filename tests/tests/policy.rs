//! Whose files are believed, and whose nodes an engine may start.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use red_tests::call::{Said, red_conf, run};
use red_tests::pool::Pool;
use red_tests::skip;

fn family() -> (Pool, std::path::PathBuf) {
    let pool = Pool::new();
    pool.node("pool/a", "");
    let leaf = pool.node("pool/a/b", "exports: [{mode: Execfd, mount: /f, path: 'echo hello; true'}]");
    (pool, leaf)
}

fn check(pool: &Pool, leaf: &Path, args: &[&str]) -> Said {
    run(red_conf().env("NODE_PREFIX", pool.join("prefix")).arg("check").args(args).arg(leaf))
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn files_that_others_could_have_written_are_refused() {
    let (pool, leaf) = family();
    check(&pool, &leaf, &[]).good();
    for below in
        ["pool", "pool/a", "pool/a/b", "pool/a/b/etc", "pool/a/etc/redpak.yaml", "pool/a/b/.rednode.yaml"]
    {
        let path = pool.join(below);
        let before = fs::metadata(&path).expect("it is there").permissions().mode();
        for bits in [0o020, 0o002] {
            mode(&path, before | bits);
            let said = check(&pool, &leaf, &[]);
            assert_eq!(said.code, 1, "{below} {bits:o}");
            assert!(
                said.err.contains(&format!("{} can be written by others", path.display())),
                "{}",
                said.err
            );
            let bundle = run(red_conf().arg("bundle").arg(&leaf).arg(pool.join("out")));
            assert_eq!(bundle.code, 1, "nothing is made of it either");
            assert!(!pool.join("out").exists());
        }
        mode(&path, before);
    }
    // Others may make entries in a sticky directory, but not replace those of others.
    mode(&pool.join("pool"), 0o1777);
    check(&pool, &leaf, &[]).good();
}

#[test]
fn files_of_others_are_refused() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to give files away");
    }
    let (pool, leaf) = family();
    for below in ["pool/a", "pool/a/b/etc", "pool/a/b/etc/redpak.yaml", "pool/a/.rednode.yaml"] {
        let path = pool.join(below);
        chown(&path, Some(12_345), None).expect("root gives files away");
        let said = check(&pool, &leaf, &[]);
        assert_eq!(said.code, 1, "{below}");
        assert!(said.err.contains(&format!("{} belongs to user 12345", path.display())), "{}", said.err);
        chown(&path, Some(0), None).expect("root takes files back");
    }
    // The owner of a pool may write in it; the owner of a directory that is none may not.
    chown(pool.join("pool"), Some(12_345), None).expect("root gives files away");
    chown(pool.join("pool/a/b/etc/redpak.yaml"), Some(12_345), None).expect("root gives files away");
    assert_eq!(check(&pool, &leaf, &[]).code, 1);
    let policy = format!("pools: [{{path: {}}}]\n", pool.join("pool").display());
    pool.write("prefix/etc/redpak/policy.yaml", policy);
    check(&pool, &leaf, &[]).good();
}

#[test]
fn engines_start_nodes_of_listed_pools_only() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root: the policy is root's");
    }
    let (pool, leaf) = family();
    let said = check(&pool, &leaf, &["--engine"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("is in no pool whose nodes engines may start"), "{}", said.err);
    assert!(said.err.contains("pools: /var/redpesk"), "without a policy there is one pool: {}", said.err);
    let policy = pool.write(
        "prefix/etc/redpak/policy.yaml",
        format!("pools: [{{path: {}}}]\n", pool.join("pool").display()),
    );
    check(&pool, &leaf, &["--engine"]).good();
    pool.write(
        "prefix/etc/redpak/policy.yaml",
        format!("pools: [{{path: {}}}]\n", pool.join("poo").display()),
    );
    assert_eq!(check(&pool, &leaf, &["--engine"]).code, 1, "a prefix of a name is no pool above it");
    // The owner the policy names counts, not the one of the directory.
    chown(pool.join("pool"), Some(12_345), None).expect("root gives files away");
    pool.write(
        "prefix/etc/redpak/policy.yaml",
        format!("pools: [{{path: {}, owner: '77'}}]\n", pool.join("pool").display()),
    );
    assert!(check(&pool, &leaf, &["--engine"]).err.contains("belongs to user 12345, not to 0 or 77"));
    // A policy that others could have written decides nothing.
    mode(&policy, 0o666);
    let said = check(&pool, &leaf, &[]);
    assert!(said.code == 1 && said.err.contains("the policy must belong to root"), "{}", said.err);
}

#[test]
fn mistakes_in_a_policy_have_their_place() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root: the policy is root's");
    }
    let (pool, leaf) = family();
    for (text, word) in [
        ("pool: []\n", "did you mean `pools`?"),
        ("pools: [{path: relative}]\n", "is not an absolute path"),
        ("pools: [{path: /a/../b}]\n", "is not an absolute path without `..`"),
        ("pools: [{path: /a, owner: nobody-of-that-name}]\n", "there is no user"),
        ("execfd: {node: []}\n", "did you mean `nodes`?"),
        ("execfd: {nodes: [[a]]}\n", "must be a single value"),
        ("execfd: {nodes: [a/b/]}\n", "`a/b/` is not an absolute path"),
    ] {
        pool.write("prefix/etc/redpak/policy.yaml", text);
        let said = check(&pool, &leaf, &["--engine"]);
        assert!(
            said.code == 1 && said.err.contains(word) && said.err.contains("policy.yaml:1:"),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_configuration_that_leads_out_of_its_node_is_refused() {
    let (pool, leaf) = family();
    let outside = pool.write("outside.yaml", "headers: {alias: b}\n");
    let config = leaf.join("etc/redpak.yaml");
    fs::remove_file(&config).expect("it is ours");
    std::os::unix::fs::symlink(&outside, &config).expect("the pool is writable");
    let said = check(&pool, &leaf, &[]);
    assert!(said.code == 1 && said.err.contains("leads out of the node"), "{}", said.err);
    // Within the node a link is how a generation of packages brings its files.
    fs::remove_file(&config).expect("it is ours");
    pool.write("pool/a/b/.red/gen/1/redpak.yaml", "headers: {alias: b}\n");
    std::os::unix::fs::symlink("../.red/gen/1/redpak.yaml", &config).expect("the pool is writable");
    check(&pool, &leaf, &[]).good();
    mode(&pool.join("pool/a/b/.red/gen"), 0o777);
    let said = check(&pool, &leaf, &[]);
    assert!(
        said.err.contains(".red/gen can be written by others"),
        "directories on the way count: {}",
        said.err
    );
}

#[test]
fn sources_that_leave_their_node_by_a_link_stay_inside() {
    let pool = Pool::new();
    pool.mkdir("a/data");
    let node = pool.node("a", "exports: [{mode: Public, mount: /d, path: $NODE_PATH/data/srv}]");
    pool.mkdir("a/srv");
    fs::remove_dir(pool.join("a/data")).expect("it is empty");
    std::os::unix::fs::symlink("/", pool.join("a/data")).expect("the pool is writable");
    let plan = run(red_conf().args(["plan", "--json"]).arg(&node)).good().json();
    // Within the node `/` is the node itself.
    assert_eq!(plan["spec"]["mounts"][0]["source"].as_str(), node.join("srv").to_str());
}

#[test]
fn a_fifo_or_a_device_in_place_of_a_file_does_not_hold_anybody_up() {
    let (pool, leaf) = family();
    let config = leaf.join("etc/redpak.yaml");
    fs::remove_file(&config).expect("it is ours");
    assert_eq!(run(std::process::Command::new("mkfifo").arg(&config)).code, 0);
    let said = check(&pool, &leaf, &[]);
    assert!(said.code == 1 && said.err.contains("not a regular file"), "{}", said.err);
    fs::remove_file(&config).expect("it is ours");
    std::os::unix::fs::symlink("/dev/zero", &config).expect("the pool is writable");
    assert_eq!(check(&pool, &leaf, &[]).code, 1);
}
