//! Trees that are not as they should be: each does what REDPAK says, or says clearly why not.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use red_tests::call::{Said, conf, red_conf, run};
use red_tests::pool::Pool;

fn check(path: &Path) -> Said {
    run(red_conf().arg("check").arg(path))
}

/// A call that fails with exit status 1 and says each of these.
fn fails(said: &Said, words: &[&str]) {
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    for word in words {
        assert!(said.err.contains(word), "`{word}` is not in:\n{}", said.err);
    }
    assert!(
        !said.err.to_lowercase().contains("no such file or directory"),
        "podman would take it for a command"
    );
}

fn aliases(path: &Path) -> Vec<String> {
    let said = run(red_conf().args(["mergeconfig", "--json"]).arg(path)).good().json();
    let nodes = said["nodes"].as_array().expect("a list").iter();
    nodes.map(|node| node["alias"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_symlinked_redpath_is_the_node_it_leads_to() {
    let pool = Pool::new();
    pool.node("a", "");
    let leaf = pool.node("a/b", "exports: [{mode: Private, mount: /x, path: $NODE_PATH/x}]");
    let link = pool.join("link");
    symlink(&leaf, &link).expect("the pool is writable");
    symlink(pool.join("a"), pool.join("short")).expect("the pool is writable");
    for path in [&link, &pool.join("short/b"), &pool.join("a/../a/./b/")] {
        assert_eq!(aliases(path), ["a", "b"], "{}", path.display());
        let digest = |path: &Path| run(red_conf().args(["plan", "--digest"]).arg(path)).good().out;
        assert_eq!(digest(path), digest(&leaf));
    }
}

#[test]
fn a_directory_between_that_is_no_node_is_skipped() {
    let pool = Pool::new();
    pool.node("a", "");
    pool.write("a/plain/etc/redpak.yaml", "this is not read");
    let leaf = pool.node("a/plain/deep/b", "");
    assert_eq!(aliases(&leaf), ["a", "b"]);
    let tree = conf(["tree".as_ref(), pool.path().as_os_str()]).good().out;
    assert!(tree.contains("plain/deep/b"), "{tree}");
}

#[test]
fn a_redpath_must_be_a_node() {
    let pool = Pool::new();
    let plain = pool.mkdir("plain");
    fails(&check(&plain), &["is not a node: it has no `.rednode.yaml`"]);
    fails(&check(&pool.join("missing")), &["missing (ENOENT)"]);
    let file = pool.write("file", "");
    fails(&check(&file), &["not a directory"]);
    fails(&check(Path::new("/")), &["is not a node"]);
    pool.status("half", "Enable");
    fails(&check(&pool.join("half")), &["has a `.rednode.yaml` but no `etc/redpak.yaml`", "create --update"]);
}

#[test]
fn a_family_with_a_disabled_node_can_be_looked_at_but_not_planned() {
    for state in ["Disable", "Unknown", "Error"] {
        let pool = Pool::new();
        pool.node("a", "");
        let leaf = pool.node("a/b", "");
        pool.status("a", state);
        let words = ["node `a` is not enabled", state, "state:"];
        fails(&check(&leaf), &words);
        fails(&run(red_conf().arg("plan").arg(&leaf)), &words);
        fails(&run(red_conf().arg("bundle").arg(&leaf).arg(pool.join("out"))), &words);
        assert!(!pool.join("out").exists());
        assert_eq!(aliases(&leaf), ["a", "b"], "what it amounts to can be shown");
        let tree = conf(["tree".as_ref(), pool.path().as_os_str()]).good().out;
        assert!(tree.contains(state), "{tree}");
    }
}

#[test]
fn a_moved_node_starts_only_when_somebody_says_so() {
    let pool = Pool::new();
    pool.node("a", "");
    std::fs::rename(pool.join("a"), pool.join("moved")).expect("the pool is writable");
    let moved = pool.join("moved");
    fails(&check(&moved), &["was made at", "create --update", "--unsafe"]);
    run(red_conf().args(["plan", "--unsafe"]).arg(&moved)).good();
    pool.write("moved/etc/redpak.yaml", "headers: {alias: a}\nconfig: {unsafe: true}\n");
    run(red_conf().arg("plan").arg(&moved)).good();
    pool.write("moved/etc/redpak.yaml", "headers: {alias: a}\n");
    run(red_conf().args(["create", "--update"]).arg(&moved)).good();
    check(&moved).good();
    // Another name for the same directory is no move.
    std::fs::create_dir(pool.join("real")).expect("the pool is writable");
    symlink(pool.join("real"), pool.join("alias")).expect("the pool is writable");
    pool.node("real/n", "");
    let status = format!("realpath: {}\ntimestamp: 1\nstate: Enable\n", pool.join("alias/n").display());
    pool.write("real/n/.rednode.yaml", status);
    check(&pool.join("real/n")).good();
}

#[test]
fn names_and_paths_that_cannot_be() {
    for (text, words) in [
        ("headers: {alias: ../x}", vec!["`alias: ../x` is not an alias", "redpak.yaml:1:18"]),
        (
            "headers: {alias: a}\nexports: [{mode: Tmpfs, mount: ..}]",
            vec!["`mount: ..` is relative", "redpak.yaml:2:32"],
        ),
        (
            "headers: {alias: a}\nexports: [{mode: Tmpfs, mount: tmp}]",
            vec!["`mount: tmp` is relative", "redpak.yaml:2:32"],
        ),
        (
            "headers: {alias: a}\nexports: [{mode: Public, mount: /x, path: x}]",
            vec!["`path: x` is relative", "$NODE_PATH"],
        ),
        (
            "headers: {alias: a}\nexports: [{mode: Internal, mount: /x, path: nine}]",
            vec!["is not the number of a descriptor"],
        ),
        ("headers: {alias: a}\nconfig: {hostname: $(hostname)}", vec!["commands are not run here"]),
        ("headers: {alias: a}\nconfig: {chdir: home}", vec!["`chdir: home` is relative"]),
        ("headers: {alias: a}\nconfig: {set-user: nobody-of-that-name}", vec!["there is no user"]),
    ] {
        let pool = Pool::new();
        pool.status("a", "Enable");
        pool.write("a/etc/redpak.yaml", text);
        fails(&check(&pool.join("a")), &words);
    }
}

#[test]
fn a_mount_inside_a_read_only_export_needs_a_place_there() {
    let pool = Pool::new();
    pool.mkdir("a/usr/share");
    pool.node("a", "exports: [{mode: Restricted, mount: /usr, path: $NODE_PATH/usr}]");
    let leaf = pool.node("a/b", "exports: [{mode: Private, mount: /usr/share/app, path: $NODE_PATH/app}]");
    fails(
        &check(&leaf),
        &[
            "/usr/share/app lies in the export of /usr",
            "which does not exist",
            "/usr is exported here",
            "a/etc/redpak.yaml:2",
            "b/etc/redpak.yaml:2",
        ],
    );
    assert!(!pool.join("a/usr/share/app").exists(), "nothing was made in the node");
    pool.mkdir("a/usr/share/app");
    check(&leaf).good();
}

#[test]
fn long_paths_work_and_long_names_are_refused() {
    let pool = Pool::new();
    let deep = ["abcdefghijklmnopqrstuvwxyz"; 12].join("/");
    pool.node("root", "");
    let leaf = pool.node(
        &format!("root/{deep}/leaf"),
        "exports: [{mode: Private, mount: $NODE_PATH/x, path: $NODE_PATH/x}]",
    );
    assert!(leaf.as_os_str().len() > 300);
    check(&leaf).good();
    let plan = run(red_conf().args(["plan", "--json"]).arg(&leaf)).good().json();
    assert_eq!(plan["mounts"][0]["destination"].as_str(), leaf.join("x").to_str());
    let name = "n".repeat(300);
    pool.write(
        "root/etc/redpak.yaml",
        format!("headers: {{alias: root}}\nexports: [{{mode: Tmpfs, mount: /{name}}}]\n"),
    );
    fails(&check(&pool.join("root")), &["a name of more than 255 bytes"]);
    fails(&check(&pool.join(&name)), &["too long"]);
}

#[test]
fn what_is_not_utf8_is_refused_by_name() {
    let pool = Pool::new();
    let odd = pool.path().join(OsStr::from_bytes(b"n\xffde"));
    std::fs::create_dir_all(odd.join("etc")).expect("the pool is writable");
    fails(&check(&odd), &["the path is not UTF-8"]);
    pool.status("a", "Enable");
    pool.write("a/etc/redpak.yaml", b"headers: {alias: a}\n# \xff\n");
    fails(&check(&pool.join("a")), &["a/etc/redpak.yaml: not UTF-8 from byte 22 on"]);
    pool.write("a/etc/redpak.yaml", "\u{feff}headers: {alias: a}\n");
    check(&pool.join("a")).good();
}

#[test]
fn both_spellings_of_file_names() {
    let pool = Pool::new();
    pool.status("old", "Enable");
    pool.write("old/etc/redpack.yaml", "headers: {alias: old}\nconfig: {hostname: a}\n");
    pool.write("old/etc/redpack-admin.yaml", "headers: {alias: old}\nconfig: {hostname: b}\n");
    let old = pool.join("old");
    let hostname = |args: &[&str]| {
        let plan = run(red_conf().args(["plan", "--json"]).args(args).arg(&old)).good().json();
        plan["spec"]["hostname"].as_str().expect("a text").to_owned()
    };
    assert_eq!((hostname(&[]), hostname(&["--admin"])), ("a".into(), "b".into()));
    pool.write("old/etc/redpak.yaml", "headers: {alias: new}\nconfig: {hostname: c}\n");
    assert_eq!(hostname(&[]), "c", "the new name is looked for first");
}

#[test]
fn redmain_and_its_admin_file_come_from_the_prefix_or_from_options() {
    let pool = Pool::new();
    pool.write("prefix/etc/redpak/main.yaml", "headers: {alias: core}\nconfig: {hostname: main}\n");
    pool.write("prefix/etc/redpak/main-admin.yaml", "headers: {alias: core}\nconfig: {hostname: admin}\n");
    let other = pool.write("other.yaml", "headers: {alias: other}\nconfig: {hostname: other}\n");
    let node = pool.node("a", "");
    let hostname = |prefix: &str, args: &[&str]| {
        let mut command = red_conf();
        command.env("NODE_PREFIX", pool.join(prefix)).args(["plan", "--json"]).args(args).arg(&node);
        run(&mut command).good().json()["spec"]["hostname"].clone()
    };
    assert_eq!(hostname("prefix", &[]), "main");
    assert_eq!(hostname("prefix", &["--admin"]), "admin");
    assert_eq!(hostname("nowhere", &[]), serde_json::Value::Null);
    let rmain = format!("--rmain={}", other.display());
    assert_eq!(hostname("prefix", &[&rmain]), "other");
    assert_eq!(hostname("nowhere", &[&format!("--admin={}", other.display())]), "other");
    let gone = run(red_conf().args(["plan", "--rmain=/nowhere.yaml"]).arg(&node));
    fails(&gone, &["/nowhere.yaml: missing (ENOENT)"]);
}

#[test]
fn all_mistakes_of_all_files_come_at_once() {
    let pool = Pool::new();
    pool.node("a", "config: {umask: 9z, colour: red}");
    let leaf = pool.node("a/b", "exports: [{mode: Publik, mount: /x}]");
    pool.write("a/b/.rednode.yaml", "realpath: x\nstate: Enabled\n");
    fails(
        &check(&leaf),
        &["9z", "colour", "Publik", "timestamp", "`state: Enabled`", "did you mean `Enable`?"],
    );
    let json = run(red_conf().args(["check", "--json"]).arg(&leaf));
    assert_eq!((json.code, json.json()["errors"].as_u64()), (1, Some(5)));
}
