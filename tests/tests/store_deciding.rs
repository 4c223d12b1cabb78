//! Packages, scriptlets and containers that would decide for a node: none of them does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::store::{Ground, fingerprint};
use rpm::FileOptions;

fn small<'a>(name: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version: "1", files, ..Small::default() }
}

/// A node, what its configuration is, and a package file of one kind of harm.
fn refused(ground: &Ground, package: &Path, words: &[&str]) {
    let etc = ground.node("node/etc");
    let (before, had) = (fingerprint(&etc), ground.rpm_says("node"));
    for said in [
        ground.dnf("node", &["-y", "install", &package.to_string_lossy()]),
        ground.rpm("node", &["-U", &package.to_string_lossy()]),
    ] {
        assert_eq!(said.code, 1, "{}: {}", package.display(), said.err);
        for word in words.iter().chain(&["nothing has changed", "--allow-file"]) {
            assert!(said.err.contains(word), "{}: {word}: {}", package.display(), said.err);
        }
    }
    assert_eq!(fingerprint(&etc), before, "{}", package.display());
    assert_eq!(ground.rpm_says("node"), had);
}

#[test]
fn packages_do_not_decide() {
    let ground = Ground::new();
    let dir = ground.repo("main");
    ground.publish("main", &[small("good", &[("/usr/share/good", "g")])]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "good"]).good();
    for (at, path) in [
        "/etc/redpak.yaml",
        "/etc/redpack.yaml",
        "/etc/redpak-admin.yaml",
        "/etc/redpack-admin.yaml",
        "/etc/RedPak.yaml",
        "/.rednode.yaml",
        "/.red/current",
        "/var/x/.rednode.yaml",
        "/opt/y/etc/redpak.yaml",
        "/etc/yum.repos.d/evil.repo",
        "/etc/dnf/dnf.conf",
        "/etc/dnf/vars/releasever",
        "/etc/pki/rpm-gpg/RPM-GPG-KEY-evil",
        "/etc/rpm/macros.evil",
        "/etc/redpak/main.yaml",
        "/var/lib/rpm/rpmdb.sqlite",
        "/var/lib/rpm/.hidden",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("evil{at}");
        let package = ground.maker.small(&dir, &small(&name, &[(path, "harm")]));
        refused(&ground, &package, &[&name, path]);
    }
    for (name, options) in [
        ("ghost", FileOptions::ghost("/etc/redpak.yaml")),
        ("config", FileOptions::new("/etc/redpak.yaml").config().noreplace().into()),
    ] {
        let mut builder = small(name, &[]).builder();
        if name == "ghost" {
            builder.with_ghost(options).expect("a path");
        } else {
            builder.with_file_contents("harm", options).expect("a path");
        }
        let package = ground.maker.built(&dir, &format!("{name}.rpm"), &mut builder);
        refused(&ground, &package, &[name, "/etc/redpak.yaml"]);
    }
    let mut open = small("open", &[]).builder();
    open.with_dir_entry(FileOptions::dir("/etc/yum.repos.d").permissions(0o777)).expect("a path");
    let package = ground.maker.built(&dir, "open.rpm", &mut open);
    refused(&ground, &package, &["open-1", "/etc/yum.repos.d"]);
    for (name, link) in [("links", "/etc/yum.repos.d"), ("lib", "/var/lib")] {
        let mut builder = small(name, &[]).builder();
        builder.with_symlink(FileOptions::symlink(link, "/usr/share")).expect("a path");
        let package = ground.maker.built(&dir, &format!("{name}.rpm"), &mut builder);
        refused(&ground, &package, &[name, link]);
    }
}
