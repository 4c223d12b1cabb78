//! How packages and metadata are signed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::run;
use red_tests::packages::Small;
use red_tests::signer::Signer;
use red_tests::store::Ground;
use rpm::BuildConfig;

/// A repository whose package `one` and metadata are signed in one way.
pub(crate) struct Column {
    pub(crate) what: &'static str,
    /// Directory among the repositories.
    pub(crate) dir: String,
    /// Files with keys.
    pub(crate) keys: Vec<PathBuf>,
    /// Whether the package and the metadata are accepted, by red-dnf as by dnf.
    pub(crate) accepted: (bool, bool),
}

/// The column with signatures that are wrong ones of a key that counts.
pub(crate) const DAMAGED: &str = "damaged";

impl Column {
    /// URLs of the keys.
    pub(crate) fn key_urls(&self) -> String {
        let urls: Vec<String> = self.keys.iter().map(|key| format!("file://{}", key.display())).collect();
        urls.join(" ")
    }

    /// The line of a repository that names the keys.
    pub(crate) fn key_lines(&self) -> String {
        if self.keys.is_empty() { String::new() } else { format!("gpgkey={}\n", self.key_urls()) }
    }
}

/// When keys were made that are out of date now, and when they signed.
const YEARS_AGO: &str = "20240101T000000";
const LATER: &str = "20240101T120000";

/// A certificate of version 6, which rpm 4 does not know.
const VERSION_6: &str = include_str!("../../src/rfc9580-a3.asc");

/// What signs a package.
enum By<'a> {
    Nobody,
    Key(&'a str),
    /// A key, years ago.
    Then(&'a str),
    /// The header and the payload together.
    Payload(&'a str),
    /// The header by one key, header and payload by another.
    Two(&'a str, &'a str),
    Damaged(&'a str),
}

/// Signs a package by a gpg with more options.
fn sign(signer: &Signer, key: &str, package: &Path, options: &[&str]) {
    let gpg = signer.home.join("gpg");
    let text = format!("#!/bin/sh\nexec /usr/bin/gpg {} \"$@\"\n", options.join(" "));
    fs::write(&gpg, text).expect("it is ours");
    fs::set_permissions(&gpg, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut sign = Command::new("rpmsign");
    sign.env("GNUPGHOME", &signer.home).args(["--define", &format!("_gpg_name {key}!")]);
    sign.args(["--define", &format!("__gpg {}", gpg.display()), "--addsign"]).arg(package);
    run(&mut sign).good();
}

/// Name, what signs the package, who signs the metadata with which options of gpg, users whose keys are in each of the files,
/// what is accepted.
type Way<'a> = (&'static str, By<'a>, Option<(&'a str, &'a [&'a str])>, &'a [&'a [&'a str]], (bool, bool));

impl By<'_> {
    fn sign(&self, signer: &Signer, package: &Path) {
        match self {
            Self::Nobody => {}
            Self::Key(key) => sign(signer, key, package, &[]),
            Self::Then(key) => sign(signer, key, package, &["--faked-system-time", LATER]),
            Self::Payload(key) => signer.sign_whole(key, package),
            Self::Two(key, other) => {
                sign(signer, key, package, &[]);
                signer.sign_whole(other, package);
            }
            Self::Damaged(key) => {
                sign(signer, key, package, &[]);
                damage(package);
            }
        }
    }
}

/// A key or, of a key, a subkey that was made years ago.
fn old(signer: &Signer, user: &str, what: [&str; 3]) -> String {
    let time = ["--faked-system-time", YEARS_AGO];
    signer.gpg(&[&time[..], &[what[0], user, "rsa2048"], &what[1..]].concat());
    signer.fingerprints(user).pop().expect("it was made")
}

/// A repository with the package `one`. Returns its directory.
fn publish(
    ground: &Ground,
    name: &str,
    package: &Small<'_>,
    format: BuildConfig,
    sign: &dyn Fn(&Path),
) -> PathBuf {
    let repo = ground.repo(name);
    let mut builder = package.builder();
    builder.using_config(format).release("1");
    sign(&ground.maker.built(&repo, &format!("{}-1-1.noarch.rpm", package.name), &mut builder));
    ground.maker.index(&repo);
    repo
}

/// Makes all of them, and a repository `seed`, by whose package the keys of a file become known.
pub(crate) fn all(ground: &Ground, signer: &Signer) -> Vec<Column> {
    const NONE: &[&str] = &[];
    const AGO: &[&str] = &["--faked-system-time", LATER];
    const OVER: &[&str] = &["--faked-system-time", LATER, "--default-sig-expire", "1d"];
    let [good, other, seed] = &["good", "other", "seed"].map(|user| signer.key(user));
    let (_, subkey) = &signer.with_subkey("parent");
    let gone = &old(signer, "gone", ["--quick-gen-key", "sign", "never"]);
    let past = &old(signer, "past", ["--quick-gen-key", "sign", "1d"]);
    let aged = &old(signer, "aged", ["--quick-gen-key", "cert", "never"]);
    let [over, current] = &["2d", "never"].map(|ends| old(signer, aged, ["--quick-add-key", "sign", ends]));
    // rpm 4.18 looks neither at when keys expire nor at revocations; libdnf and red-dnf do for metadata.
    let (both, none, package, metadata) = ((true, true), (false, false), (true, false), (false, true));
    let both_ways = "signed, and by a wrong key with the payload";
    let table: Vec<Way<'_>> = vec![
        ("unsigned", By::Nobody, None, &[&["good"]], none),
        ("signed", By::Key(good), Some((good, NONE)), &[&["good"]], both),
        ("wrong key", By::Key(other), Some((other, NONE)), &[&["good"]], none),
        ("no gpgkey", By::Key(good), Some((good, NONE)), &[], none),
        ("subkey", By::Key(subkey), Some((subkey, NONE)), &[&["parent"]], both),
        ("second of two keys", By::Key(good), Some((good, NONE)), &[&["other", "good"]], both),
        ("second of two files", By::Key(good), Some((good, NONE)), &[&["other"], &["good"]], both),
        ("expired key", By::Then(past), Some((past, AGO)), &[&["past"]], package),
        ("expired subkey", By::Then(over), Some((over, AGO)), &[&["aged"]], package),
        ("beside an expired subkey", By::Key(current), Some((current, NONE)), &[&["aged"]], both),
        ("revoked key", By::Then(gone), Some((gone, AGO)), &[&["gone"]], package),
        // rpm signs no package so.
        ("expired signature of metadata", By::Key(current), Some((current, OVER)), &[&["aged"]], package),
        (DAMAGED, By::Damaged(good), Some((good, NONE)), &[&["good"]], none),
        ("header and payload", By::Payload(good), Some((good, NONE)), &[&["good"]], both),
        ("header and payload, wrong key", By::Payload(other), Some((other, NONE)), &[&["good"]], none),
        (both_ways, By::Two(good, other), Some((good, NONE)), &[&["good"]], metadata),
        ("key of version 6", By::Key(good), Some((good, NONE)), &[&["version 6"]], none),
        ("format 6, unsigned", By::Nobody, None, &[&["good"]], none),
    ];
    let one = Small { name: "one", version: "1", files: &[("/usr/share/one", "1")], ..Small::default() };
    let mut dirs = Vec::new();
    for (at, (what, by, metadata, _, _)) in table.iter().enumerate() {
        let format = if what.starts_with("format 6") { BuildConfig::v6() } else { BuildConfig::v4() };
        let repo = publish(ground, &format!("c{at}"), &one, format, &|made| by.sign(signer, made));
        if let Some((key, options)) = metadata {
            let repomd = repo.join("repodata/repomd.xml");
            let mut signature = signer.sign_apart(&[key], &repomd, options);
            if *what == DAMAGED {
                *signature.last_mut().expect("it has some") ^= 1;
            }
            fs::write(repomd.with_extension("xml.asc"), signature).expect("there is room");
        }
        dirs.push(format!("c{at}"));
    }
    let small = Small { name: "seed", files: &[("/usr/share/seed", "1")], ..one };
    publish(ground, "seed", &small, BuildConfig::v4(), &|made| sign(signer, seed, made, &[]));
    ground.pool.write("seed.asc", signer.armored(&["seed"]));
    // After it signed.
    signer.revoke(gone);
    let file = |users: &&[&str]| {
        let text = if *users == ["version 6"] { VERSION_6.to_owned() } else { signer.armored(users) };
        ground.pool.write(format!("keys/{}.asc", users.join("-").replace(' ', "_")), text)
    };
    let columns = table.into_iter().zip(dirs);
    let column = |((what, _, _, keys, accepted), dir)| Column {
        what,
        dir,
        keys: <[&[&str]]>::iter(keys).map(file).collect(),
        accepted,
    };
    columns.map(column).collect()
}

/// Changes the last byte of the first signature of a package: the tag `RPMSIGTAG_DSA` (267) or `RPMSIGTAG_RSA` (268).
fn damage(package: &Path) {
    const LEAD: usize = 96;
    const INTRO: usize = 16;
    const ENTRY: usize = 16;
    let mut bytes = fs::read(package).expect("it was made");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let count = number(LEAD + 8);
    let entries = LEAD + INTRO;
    let entry = (0..count).map(|at| entries + at * ENTRY).find(|&at| matches!(number(at), 267 | 268));
    let entry = entry.expect("it is signed");
    let last = entries + count * ENTRY + number(entry + 8) + number(entry + 12) - 1;
    bytes[last] ^= 1;
    fs::write(package, bytes).expect("it is ours");
}
