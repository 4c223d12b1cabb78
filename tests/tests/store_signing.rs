//! What packages and metadata are signed with, the same with every version of rpm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::run;
use red_tests::packages::Small;
use red_tests::signer::Signer;
use red_tests::store::{self, Ground};
use rpm::BuildConfig;

fn small<'a>(name: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version: "1", files, ..Small::default() }
}

/// A package of each name in a repository that is not indexed yet.
fn packages(ground: &Ground, names: &[&str]) -> Vec<PathBuf> {
    let dir = ground.repo("main");
    names
        .iter()
        .map(|name| ground.maker.small(&dir, &small(name, &[(&format!("/usr/share/{name}"), name)])))
        .collect()
}

/// A node that demands signatures, with a repository that has a key file.
fn node(ground: &Ground, node: &str, key: &Path, more: &str) {
    ground.create(node, None);
    let dir = ground.repo("main");
    let repo = format!(
        "[main]\nname=main\nbaseurl=file://{}\ngpgcheck=1\ngpgkey=file://{}\n{more}",
        dir.display(),
        key.display()
    );
    let file = ground.pool.write(format!("{node}.repo"), repo);
    ground.dnf(node, &["red-manager", "--add-repo", &file.to_string_lossy()]).good();
}

#[test]
fn subkeys_sign_for_their_key() {
    let ground = Ground::new();
    let made = packages(&ground, &["one", "two", "three", "alien"]);
    let signer = Signer::new(&ground);
    let (key, subkey) = signer.with_subkey("vendor");
    signer.sign(&subkey, &made[..3]);
    let (_, alien) = signer.with_subkey("alien");
    signer.sign(&alien, &made[3..]);
    ground.maker.index(&ground.repo("main"));
    let file = ground.pool.write("vendor.asc", signer.armored(&["vendor"]));
    node(&ground, "node", &file, "");
    let said = ground.dnf("node", &["-y", "install", "one"]).good();
    assert!(said.err.contains(&format!("fingerprint {key}")), "{}", said.err);
    // From now on the key is in the database: of the node, and of the ancestor of another.
    node(&ground, "node/child", &file, "");
    for (node, name) in [("node", "two"), ("node/child", "three")] {
        let said = ground.dnf(node, &["-y", "install", name]).good();
        assert!(!said.err.contains("fingerprint"), "asked once: {}", said.err);
    }
    let refused = ground.dnf("node", &["-y", "install", "alien"]);
    assert!(refused.code == 1 && refused.err.contains("not accepted"), "{}", refused.err);
    assert_eq!(ground.rpm_says("node"), ["one-1", "two-1"]);
    // rpm itself verifies with what it was given.
    let database = ground.node("node").join("var/lib/rpm");
    let mut check = Command::new("rpmkeys");
    check.arg("--dbpath").arg(database).args(["-Kv"]).arg(&made[0]);
    let said = run(&mut check).good();
    assert!(said.out.contains("OK") && !said.out.contains("NOKEY"), "{}", said.out);
}

#[test]
fn key_files_are_read_however_they_are_written() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    let made = packages(&ground, &["one", "two"]);
    let (one, (two, subkey)) = (signer.key("first"), signer.with_subkey("second"));
    signer.sign(&one, &made[..1]);
    signer.sign(&subkey, &made[1..]);
    ground.maker.index(&ground.repo("main"));
    let (first, second) = (signer.armored(&["first"]), signer.armored(&["second"]));
    let together = signer.armored(&["first", "second"]);
    let latin = [b"Clef de Jos\xe9:\n".as_slice(), first.as_bytes(), second.as_bytes()].concat();
    for (at, (what, file)) in [
        ("one block", together.clone().into_bytes()),
        ("several blocks", format!("{first}{second}").into_bytes()),
        ("binary", signer.binary(&["first", "second"])),
        ("lines end with carriage returns", together.replace('\n', "\r\n").into_bytes()),
        ("byte order mark", format!("\u{feff}{together}").into_bytes()),
        ("comments in another encoding", latin),
        ("the same key twice", format!("{together}{first}").into_bytes()),
    ]
    .into_iter()
    .enumerate()
    {
        let file = ground.pool.write(format!("keys-{at}"), file);
        let name = format!("node{at}");
        node(&ground, &name, &file, "");
        let said = ground.dnf(&name, &["-y", "install", "one"]);
        assert_eq!(said.code, 0, "{what}: {}", said.err);
        for fingerprint in [&one, &two] {
            assert!(said.err.contains(fingerprint), "{what}: {}", said.err);
        }
        let said = ground.dnf(&name, &["-y", "install", "two"]);
        assert_eq!(said.code, 0, "{what}: {}", said.err);
        assert!(!said.err.contains("fingerprint"), "{what} asks once: {}", said.err);
        let keys = ground.rpm(&name, &["-q", "gpg-pubkey"]).good().out;
        assert_eq!(keys.lines().count(), 2, "{what}: {keys}");
    }
}

#[test]
fn a_key_gets_another_subkey() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    let made = packages(&ground, &["old", "new"]);
    let (key, subkey) = signer.with_subkey("vendor");
    signer.sign(&subkey, &made[..1]);
    let file = ground.pool.write("vendor.asc", signer.armored(&["vendor"]));
    let next = signer.add_subkey(&key, "ed25519");
    signer.sign(&next, &made[1..]);
    ground.maker.index(&ground.repo("main"));
    node(&ground, "node", &file, "");
    ground.dnf("node", &["-y", "install", "old"]).good();
    let refused = ground.dnf("node", &["-y", "install", "new"]);
    assert!(refused.code == 1 && refused.err.contains("not accepted"), "{}", refused.err);
    fs::write(&file, signer.armored(&["vendor"])).expect("it is there");
    let said = ground.dnf("node", &["-y", "install", "new"]).good();
    assert!(said.err.contains(&format!("fingerprint {key}")), "{}", said.err);
    let said = ground.dnf("node", &["-y", "reinstall", "old", "new"]).good();
    assert!(!said.err.contains("fingerprint"), "asked once: {}", said.err);
    let keys = ground.rpm("node", &["-q", "gpg-pubkey"]).good().out;
    assert_eq!(keys.lines().count(), 1, "{keys}");
    assert_eq!(ground.rpm_says("node"), ["new-1", "old-1"]);
}

#[test]
fn what_is_no_key_is_told() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    let made = packages(&ground, &["one"]);
    signer.sign(&signer.key("vendor"), &made);
    ground.maker.index(&ground.repo("main"));
    let good = signer.armored(&["vendor"]);
    let middle = good.len() / 2;
    let digit = if good.as_bytes()[middle] == b'A' { 'B' } else { 'A' };
    let flipped = format!("{}{digit}{}", &good[..middle], &good[middle + 1..]);
    let binary = signer.binary(&["vendor"]);
    for (at, (file, wanted)) in [
        (
            signer.gpg(&["--armor", "--export-secret-keys", "vendor"]).out.into_bytes(),
            "no OpenPGP public key",
        ),
        (flipped.into_bytes(), "damaged"),
        (good.as_bytes()[..middle].to_vec(), "cut off"),
        (binary[..binary.len() - 1].to_vec(), "cut off"),
        (b"<html>404</html>".to_vec(), "no OpenPGP public key"),
        (Vec::new(), "no OpenPGP public key"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = ground.pool.write(format!("keys-{at}"), file);
        let name = format!("node{at}");
        node(&ground, &name, &file, "");
        let refused = ground.dnf(&name, &["-y", "install", "one"]);
        assert!(refused.code == 1 && refused.err.contains(wanted), "{wanted}: {}", refused.err);
        assert!(refused.err.contains("repository `main`"), "{wanted}: {}", refused.err);
        assert_eq!(ground.rpm_says(&name), Vec::<String>::new());
    }
}

#[test]
fn metadata_signed_by_subkeys_and_by_several() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    packages(&ground, &["one"]);
    ground.maker.index(&ground.repo("main"));
    let repomd = ground.repo("main").join("repodata/repomd.xml");
    let (_, subkey) = signer.with_subkey("vendor");
    let other = signer.key("other");
    let armored = format!("{VERSION_6}{}", signer.armored(&["vendor"])).replace('\n', "\r\n");
    for (at, (what, key, signature, good)) in [
        ("subkey", armored.clone().into_bytes(), signer.sign_apart(&[&subkey], &repomd, &["--armor"]), true),
        (
            "binary key and signature",
            signer.binary(&["vendor"]),
            signer.sign_apart(&[&subkey], &repomd, &[]),
            true,
        ),
        (
            "several signatures",
            signer.binary(&["vendor"]),
            signer.sign_apart(&[&other, &subkey], &repomd, &["--armor"]),
            true,
        ),
        ("another key", armored.into_bytes(), signer.sign_apart(&[&other], &repomd, &["--armor"]), false),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(repomd.with_extension("xml.asc"), signature).expect("there is room");
        let key = ground.pool.write(format!("keys-{at}"), key);
        let name = format!("node{at}");
        node(&ground, &name, &key, "repo_gpgcheck=1\n");
        let said = ground.dnf(&name, &["-y", "search", "one"]);
        assert_eq!(said.code == 0, good, "{what}: {}", said.err);
        assert!(good || said.err.contains("not signed by any"), "{what}: {}", said.err);
    }
}

/// A certificate of version 6 (RFC 9580, appendix A.3), which most versions of rpm know nothing of.
const VERSION_6: &str = include_str!("../src/rfc9580-a3.asc");

#[test]
fn a_key_that_rpm_does_not_know_is_no_obstacle() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    let made = packages(&ground, &["one", "two"]);
    let key = signer.key("vendor");
    signer.sign(&key, &made);
    ground.maker.index(&ground.repo("main"));
    let file = ground.pool.write("both.asc", format!("{VERSION_6}{}", signer.armored(&["vendor"])));
    node(&ground, "node", &file, "");
    let said = ground.dnf("node", &["-y", "install", "one"]).good();
    // Agreed to, or told that it cannot be: not passed over.
    let shown = said.err.to_lowercase();
    assert!(shown.contains("cb186c4f0609a697") && said.err.contains(&key), "{}", said.err);
    let said = ground.dnf("node", &["-y", "install", "two"]).good();
    assert!(!said.err.contains("fingerprint"), "asked once: {}", said.err);
    // Alone it verifies nothing.
    let file = ground.pool.write("alone.asc", VERSION_6);
    node(&ground, "alone", &file, "");
    let refused = ground.dnf("alone", &["-y", "install", "one"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert_eq!(ground.rpm_says("alone"), Vec::<String>::new());
}

#[test]
fn keys_of_version_six_sign() {
    // Older versions: see the test before.
    if store::rpm_version().0 < 6 {
        return;
    }
    if run(Command::new("sh").args(["-c", "command -v sq"])).code != 0 {
        return red_tests::skip("keys of version 6 are made by sq");
    }
    let ground = Ground::new();
    // They do not sign packages of an older format.
    let mut builder = small("one", &[("/usr/share/one", "1")]).builder();
    builder.using_config(BuildConfig::v6()).release("1");
    let made = ground.maker.built(&ground.repo("main"), "one-1-1.noarch.rpm", &mut builder);
    let home = ground.pool.mkdir("sq");
    let sq = |args: &[&str]| run(Command::new("sq").env("HOME", &home).args(args)).good().out;
    let rev = home.join("revocation").to_string_lossy().into_owned();
    sq(&[
        "key",
        "generate",
        "--profile",
        "rfc9580",
        "--own-key",
        "--name",
        "vendor",
        "--without-password",
        "--rev-cert",
        &rev,
    ]);
    let exported = ground.pool.write("vendor.asc", sq(&["cert", "export", "--all"]));
    let listed = sq(&["cert", "list", "vendor"]);
    let hex = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let key = listed.split_whitespace().find(hex).expect("it was made").to_owned();
    let mut sign = Command::new("rpmsign");
    sign.env("HOME", &home).args(["--define", "_openpgp_sign sq", "--define"]);
    run(sign.arg(format!("_openpgp_sign_id {key}")).arg("--addsign").arg(&made)).good();
    ground.maker.index(&ground.repo("main"));
    node(&ground, "node", &exported, "");
    let said = ground.dnf("node", &["-y", "install", "one"]).good();
    assert!(said.err.contains(&format!("fingerprint {key}")), "{}", said.err);
    let said = ground.dnf("node", &["-y", "reinstall", "one"]).good();
    assert!(!said.err.contains("fingerprint"), "asked once: {}", said.err);
    let whence = ground.rpm("node", &["whence", "/nodes/node/usr/share/one"]).good().out;
    assert!(whence.contains("Ed25519"), "{whence}");
}

/// rpm 6 has a format of its own, without the digests and the tags for signatures that older versions look at.
#[test]
fn packages_of_format_six() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    let (_, subkey) = signer.with_subkey("vendor");
    let dir = ground.repo("main");
    let make = |name: &str| {
        let mut builder = small(name, &[]).builder();
        builder.using_config(BuildConfig::v6()).release("1");
        ground.maker.built(&dir, &format!("{name}-1-1.noarch.rpm"), &mut builder)
    };
    let (signed, _) = (make("signed"), make("unsigned"));
    let new = store::rpm_version().0 >= 6;
    if new {
        signer.sign(&subkey, &[signed]);
    }
    ground.maker.index(&dir);
    let file = ground.pool.write("vendor.asc", signer.armored(&["vendor"]));
    node(&ground, "node", &file, "");
    if new {
        ground.dnf("node", &["-y", "install", "signed"]).good();
        let refused = ground.dnf("node", &["-y", "install", "unsigned"]);
        assert!(refused.code == 1 && refused.err.contains("not signed"), "{}", refused.err);
        assert_eq!(ground.rpm_says("node"), ["signed-1"]);
    } else {
        // Whatever an older version makes of it: without a signature that it verifies, nothing is installed.
        for name in ["signed", "unsigned"] {
            let refused = ground.dnf("node", &["-y", "install", name]);
            assert!(refused.code == 1 && refused.err.contains(name), "{}", refused.err);
        }
        assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
    }
}

/// What one package needs, no other one of the same transaction makes less.
#[test]
fn strangers_sign_nothing_beside_packages_that_need_no_signature() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    let made = packages(&ground, &["header", "whole", "stranger", "both", "none"]);
    let (vendor, stranger) = (signer.key("vendor"), signer.key("stranger"));
    signer.sign(&vendor, &made[..1]);
    signer.sign_whole(&vendor, &made[1]);
    signer.sign_whole(&stranger, &made[2]);
    signer.sign(&stranger, &made[3..4]);
    ground.maker.index(&ground.repo("main"));
    ground.publish("free", &[small("foo", &[])]);
    let file = ground.pool.write("vendor.asc", signer.armored(&["vendor"]));
    node(&ground, "n", &file, "");
    let free = ground.repo("free");
    ground.dnf("n", &["red-manager", "--add-repo", &free.to_string_lossy(), "--id", "free"]).good();
    for name in ["stranger", "both", "none"] {
        for more in [&["foo"][..], &["header", "foo"], &["header"], &[]] {
            let said = ground.dnf("n", &[&["-y", "install", name], more].concat());
            assert!(said.code == 1 && said.err.contains(name), "{name} {more:?}: {}", said.err);
            assert_eq!(ground.rpm_says("n"), Vec::<String>::new(), "{name} {more:?}: {}", said.err);
        }
    }
    ground.dnf("n", &["-y", "install", "header", "whole", "foo"]).good();
    assert_eq!(ground.rpm_says("n"), ["foo-1", "header-1", "whole-1"]);
}
