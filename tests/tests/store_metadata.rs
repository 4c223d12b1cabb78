//! What metadata of a repository have to prove: who signed them, and that they are not old.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::signer::Signer;
use red_tests::store::{Ground, Served};

fn small<'a>(name: &'a str, version: &'a str) -> Small<'a> {
    Small { name, version, ..Small::default() }
}

/// Refused, for a reason, and without a word of how to do without the check.
fn refused(said: &Said, words: &str, what: &str) {
    assert!(said.code == 1 && said.err.contains(words), "{what}: {} {}", said.code, said.err);
    for way in ["`-C`", "nogpgcheck", "=0", "enabled", "skip_if", "allow_older", "otherwise"] {
        assert!(!said.err.contains(way), "{what} names {way}: {}", said.err);
    }
}

/// Refused as older than what was seen. Publishers go back at times, so the message names what takes it.
fn refused_as_older(said: &Said, words: &str, what: &str) {
    let hint = "`--setopt=a.allow_older=1`";
    assert!(said.err.contains(hint), "{what}: {}", said.err);
    refused(&Said { err: said.err.replace(hint, ""), ..said.clone() }, words, what);
}

/// A node with a repository file of its own.
fn node(ground: &Ground, node: &str, text: &str) -> PathBuf {
    ground.create(node, None);
    let file = ground.node(node).join("etc/yum.repos.d/a.repo");
    fs::create_dir_all(file.parent().expect("it has one")).expect("it is ours");
    fs::write(&file, text).expect("it is ours");
    file
}

/// A repository whose metadata must be signed.
fn signed(ground: &Ground, keys: &Path) -> String {
    format!(
        "[a]\nname=a\nbaseurl=file://{}\nrepo_gpgcheck=1\ngpgkey=file://{}\n",
        ground.repo("a").display(),
        keys.display()
    )
}

#[test]
fn keys_of_metadata_are_asked_for() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    ground.publish("a", &[small("one", "1")]);
    let repomd = ground.repo("a").join("repodata/repomd.xml");
    let sign = |key: &str| {
        let signature = signer.sign_apart(&[key], &repomd, &["--armor"]);
        fs::write(repomd.with_extension("xml.asc"), signature).expect("it is ours");
    };
    let (first, second) = (signer.key("first"), signer.key("second"));
    let keys = ground.pool.write("keys.asc", signer.armored(&["first"]));
    sign(&first);
    node(&ground, "n", &signed(&ground, &keys));
    for _ in 0..2 {
        let said = ground.dnf("n", &["makecache"]);
        refused(&said, "the key of its metadata was not agreed to", "nobody");
        assert!(said.err.contains(&format!("fingerprint {first}")), "{}", said.err);
        assert_eq!(ground.dnf("n", &["-C", "repoquery"]).code, 1);
    }
    let said = ground.dnf("n", &["-y", "makecache"]).good();
    assert!(said.err.contains(&format!("fingerprint {first}")), "{}", said.err);
    assert!(said.err.contains(&format!("  from file://{}", keys.display())), "{}", said.err);
    // Once, for the node and those below it.
    node(&ground, "n/below", &signed(&ground, &keys));
    for node in ["n", "n/below"] {
        let said = ground.dnf(node, &["makecache"]).good();
        assert!(!said.err.contains("fingerprint"), "{node}: {}", said.err);
    }
    // Whoever answers for the URL of the key says another one now.
    fs::write(&keys, signer.armored(&["second"])).expect("it is ours");
    assert_eq!(ground.dnf("n", &["-C", "repoquery"]).code, 1, "what the first key signed");
    refused(&ground.dnf("n", &["repoquery"]), "was not agreed to", "what the first key signed");
    sign(&second);
    let said = ground.dnf("n", &["makecache"]);
    refused(&said, "the key of its metadata was not agreed to", "another key");
    assert!(said.err.contains(&format!("fingerprint {second}")), "{}", said.err);
    sign(&first);
    refused(&ground.dnf("n", &["-y", "makecache"]), "not signed by any of its keys", "the wrong key");
    // What a descendant agreed to binds nobody above it.
    ground.create("other", None);
    fs::write(&keys, signer.armored(&["first"])).expect("it is ours");
    node(&ground, "other/below", &signed(&ground, &keys));
    ground.dnf("other/below", &["-y", "makecache"]).good();
    let file = ground.node("other").join("etc/yum.repos.d/a.repo");
    fs::create_dir_all(file.parent().expect("it has one")).expect("it is ours");
    fs::write(file, signed(&ground, &keys)).expect("it is ours");
    refused(&ground.dnf("other", &["makecache"]), "was not agreed to", "the parent");
}

/// What was verified once is verified anew, also where the server says that nothing changed.
#[test]
fn a_key_that_is_revoked_later_signs_nothing_any_more() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    ground.publish("a", &[small("one", "1")]);
    let repomd = ground.repo("a").join("repodata/repomd.xml");
    let key = signer.key("vendor");
    fs::write(repomd.with_extension("xml.asc"), signer.sign_apart(&[&key], &repomd, &[]))
        .expect("it is ours");
    let keys = ground.pool.write("keys.asc", signer.armored(&["vendor"]));
    let served = Served::start(&ground.pool.join("repos"));
    let here = format!("baseurl=file://{}", ground.repo("a").display());
    let text = signed(&ground, &keys).replace(&here, &format!("baseurl={}/a", served.url));
    node(&ground, "n", &text);
    ground.dnf("n", &["-y", "makecache"]).good();
    ground.dnf("n", &["makecache"]).good();
    signer.revoke(&key);
    fs::write(&keys, signer.armored(&["vendor"])).expect("it is ours");
    refused(&ground.dnf("n", &["makecache"]), "is revoked", "the same metadata");
}

/// What is wrong with the URL of a key is nothing that the publisher of metadata can do anything about.
#[test]
fn a_key_that_cannot_be_had_is_named() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    ground.publish("a", &[small("one", "1")]);
    let repomd = ground.repo("a").join("repodata/repomd.xml");
    let key = signer.key("vendor");
    fs::write(repomd.with_extension("xml.asc"), signer.sign_apart(&[&key], &repomd, &[]))
        .expect("it is ours");
    let url = server(|_, _| ("403 Forbidden".into(), Vec::new()));
    let page = ground.pool.write("page.html", "<html>404</html>");
    let page = format!("file://{}", page.display());
    for (at, (key, why)) in [
        ("file:///nosuch.asc", "No such file"),
        ("/nosuch.asc", "No such file"),
        (&*format!("{url}/key.asc"), "the server answers 403"),
        (&page, "no OpenPGP public key in it"),
    ]
    .into_iter()
    .enumerate()
    {
        let text =
            format!("[a]\nbaseurl=file://{}\nrepo_gpgcheck=1\ngpgkey={key}\n", ground.repo("a").display());
        let name = format!("n{at}");
        let file = node(&ground, &name, &text);
        let said = ground.dnf(&name, &["-y", "makecache"]);
        let start =
            format!("repository `a`: a key that `gpgkey` of {} names cannot be used: ", file.display());
        refused(&said, &start, key);
        let whole =
            said.err.lines().any(|line| line.contains(&start) && line.contains(key) && line.contains(why));
        assert!(whole && !said.err.contains("publishes"), "{key}: {}", said.err);
    }
}

/// Whoever writes a key file without the vendor's secret key cannot give the vendor another subkey.
#[test]
fn subkeys_that_their_key_did_not_sign_sign_no_metadata() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    ground.publish("a", &[small("one", "1")]);
    let repomd = ground.repo("a").join("repodata/repomd.xml");
    let (vendor, subkey) = signer.with_subkey("vendor");
    signer.gpg(&["--quick-gen-key", "attacker", "rsa2048", "sign", "never"]);
    let attacker = signer.fingerprints("attacker").remove(0);
    // The signature that the subkey made over its key is no part of what the key signed.
    let mut half = signer.binary(&["vendor"]);
    let at = half.len() - 100;
    half[at] ^= 1;
    let forged = signer.forged("vendor", "attacker");
    for (at, (what, keys, by, good)) in [
        ("the attacker's", &forged, &attacker, false),
        ("the vendor's, beside it", &forged, &subkey, true),
        ("one that did not sign its key", &half, &subkey, false),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(repomd.with_extension("xml.asc"), signer.sign_apart(&[by], &repomd, &[]))
            .expect("it is ours");
        let keys = ground.pool.write(format!("keys{at}"), keys);
        let name = format!("n{at}");
        node(&ground, &name, &signed(&ground, &keys));
        let said = ground.dnf(&name, &["-y", "makecache"]);
        if good {
            assert_eq!(said.code, 0, "{what}: {}", said.err);
            assert!(said.err.contains(&vendor) && said.err.contains(&subkey), "{what}: {}", said.err);
        } else {
            refused(&said, "not signed by any of its keys", what);
        }
        assert!(!said.err.contains(&attacker), "{what}: {}", said.err);
    }
    // Nobody agreed to the attacker's key.
    let keys = ground.pool.write("attacker", signer.binary(&["attacker"]));
    fs::write(repomd.with_extension("xml.asc"), signer.sign_apart(&[&attacker], &repomd, &[]))
        .expect("it is ours");
    fs::write(ground.node("n0").join("etc/yum.repos.d/a.repo"), signed(&ground, &keys)).expect("it is ours");
    refused(&ground.dnf("n0", &["makecache"]), "was not agreed to", "the attacker's own key");
}

/// Whether dnf accepts the metadata; `None` without dnf.
fn dnf_accepts(ground: &Ground, at: usize, keys: &Path) -> Option<bool> {
    if run(Command::new("sh").args(["-c", "command -v dnf"])).code != 0 {
        return None;
    }
    let root = ground.pool.mkdir(format!("dnf{at}"));
    let mut dnf = Command::new("dnf");
    dnf.args([
        "-y",
        "--releasever=1",
        "--setopt=reposdir=/nonexistent",
        "--setopt=a.repo_gpgcheck=1",
        "--repo=a",
    ]);
    dnf.arg(format!("--installroot={}", root.display()));
    dnf.arg(format!("--setopt=cachedir={}/cache", root.display()));
    dnf.arg(format!("--repofrompath=a,file://{}", ground.repo("a").display()));
    dnf.arg(format!("--setopt=a.gpgkey=file://{}", keys.display())).args(["repoquery", "one"]);
    let said = run(dnf.stdin(std::process::Stdio::null()));
    Some(said.code == 0 && said.out.contains("one-"))
}

#[test]
fn what_does_not_count_any_more_signs_no_metadata() {
    const YEARS_AGO: [&str; 2] = ["--faked-system-time", "20240101T000000"];
    const LATER: [&str; 2] = ["--faked-system-time", "20240101T120000"];
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    ground.publish("a", &[small("one", "1")]);
    let repomd = ground.repo("a").join("repodata/repomd.xml");
    let make = |user: &str, usage: &str, expires: &str| {
        signer.gpg(&[&YEARS_AGO[..], &["--quick-gen-key", user, "rsa2048", usage, expires]].concat());
        signer.fingerprints(user).remove(0)
    };
    let (good, gone, old) =
        (make("good", "sign", "never"), make("gone", "sign", "never"), make("old", "sign", "1d"));
    let parent = make("parent", "cert", "never");
    signer.gpg(&[&YEARS_AGO[..], &["--quick-add-key", &parent, "rsa2048", "sign", "2d"]].concat());
    let expired = signer.fingerprints(&parent).pop().expect("it was made");
    signer.gpg(&[&YEARS_AGO[..], &["--quick-add-key", &parent, "rsa2048", "sign", "never"]].concat());
    let current = signer.fingerprints(&parent).pop().expect("it was made");
    let sign = |key: &str, options: &[&str]| signer.sign_apart(&[key], &repomd, options);
    let over = [&LATER[..], &["--default-sig-expire", "1d"]].concat();
    let cases = [
        ("good", sign(&good, &[]), "good", None),
        ("made long ago", sign(&good, &LATER), "good", None),
        ("SHA-512", sign(&good, &["--digest-algo", "SHA512"]), "good", None),
        ("a subkey beside an expired one", sign(&current, &[]), "parent", None),
        ("a revoked key", sign(&gone, &[]), "gone", Some("is revoked")),
        ("a revocation apart", sign(&gone, &[]), "appended", Some("is revoked")),
        ("one of the first key", sign(&gone, &[]), "appended to several", Some("is revoked")),
        ("an expired key", sign(&old, &LATER), "old", Some("expired on 2024-01-02")),
        ("an expired subkey", sign(&expired, &LATER), "parent", Some("expired on 2024-01-03")),
        ("an expired signature", sign(&good, &over), "good", Some("a signature expired on 2024-01-02")),
        ("MD5", sign(&good, &["--digest-algo", "MD5", "--allow-weak-digest-algos"]), "good", Some("MD5")),
    ];
    // Revoked after it signed.
    let unrevoked = signer.armored(&["gone"]);
    signer.revoke(&gone);
    let apart =
        fs::read_to_string(signer.home.join(format!("openpgp-revocs.d/{gone}.rev"))).expect("it is there");
    for (at, (what, signature, user, wanted)) in cases.into_iter().enumerate() {
        fs::write(repomd.with_extension("xml.asc"), signature).expect("it is ours");
        let text = match user {
            "appended" => format!("{unrevoked}{apart}"),
            "appended to several" => format!("{unrevoked}{}{apart}", signer.armored(&["good"])),
            user => signer.armored(&[user]),
        };
        let keys = ground.pool.write(format!("keys{at}.asc"), text);
        let name = format!("n{at}");
        node(&ground, &name, &signed(&ground, &keys));
        let said = ground.dnf(&name, &["-y", "makecache"]);
        match wanted {
            None => assert_eq!(said.code, 0, "{what}: {}", said.err),
            Some(words) => refused(&said, words, what),
        }
        // Nothing passes that dnf refuses.
        if let Some(accepted) = dnf_accepts(&ground, at, &keys) {
            assert!(accepted || wanted.is_some(), "{what}: dnf refuses it");
        }
    }
}

/// What its owner made for something else signs no metadata, even where it could.
#[test]
fn keys_that_may_not_sign_sign_no_metadata() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    ground.publish("a", &[small("one", "1")]);
    let repomd = ground.repo("a").join("repodata/repomd.xml");
    for (at, (what, by_subkey, main, sub, good)) in [
        ("as it was made", false, "", "", true),
        ("a certify-only key", false, "S", "", false),
        ("the subkey of a certify-only key", true, "S", "", true),
        ("an encryption subkey", true, "", "SE", false),
        ("an authentication subkey", true, "", "SA", false),
        ("beside one", false, "", "SE", true),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("user{at}");
        signer.gpg(&["--quick-gen-key", &user, "rsa2048", "sign,cert", "never"]);
        let key = signer.fingerprints(&user).remove(0);
        let subkey = signer.add_subkey(&key, "rsa2048");
        let by = if by_subkey { &subkey } else { &key };
        fs::write(repomd.with_extension("xml.asc"), signer.sign_apart(&[by], &repomd, &[]))
            .expect("it is ours");
        for (is_subkey, letters) in [(false, main), (true, sub)] {
            if !letters.is_empty() {
                signer.toggle_usage(&key, is_subkey, letters);
            }
        }
        let keys = ground.pool.write(format!("keys{at}.asc"), signer.armored(&[&user]));
        let name = format!("n{at}");
        node(&ground, &name, &signed(&ground, &keys));
        let said = ground.dnf(&name, &["-y", "makecache"]);
        if good {
            assert_eq!(said.code, 0, "{what}: {}", said.err);
        } else {
            refused(&said, "may not sign data", what);
        }
    }
}

/// Writes another revision into the metadata of a repository.
fn revise(dir: &Path, revision: &str) {
    let path = dir.join("repodata/repomd.xml");
    let text = fs::read_to_string(&path).expect("it is there");
    let (before, rest) = text.split_once("<revision>").expect("createrepo_c writes one");
    let (_, after) = rest.split_once("</revision>").expect("it ends");
    fs::write(path, format!("{before}<revision>{revision}</revision>{after}")).expect("it is ours");
}

#[test]
fn older_metadata_are_refused() {
    let ground = Ground::new();
    for (repo, version, revision) in [("old", "1", "100"), ("new", "2", "200")] {
        ground.publish(repo, &[small("app", version)]);
        revise(&ground.repo(repo), revision);
    }
    let place = ground.pool.join("repos/a");
    let show = |repo: &str| {
        drop(fs::remove_file(&place));
        std::os::unix::fs::symlink(ground.repo(repo), &place).expect("it is ours");
    };
    show("new");
    let text = format!("[a]\nname=a\nbaseurl=file://{}\n", place.display());
    let file = node(&ground, "n", &text);
    ground.dnf("n", &["makecache"]).good();
    show("old");
    let older = |args: &[&str], what: &str| {
        let said = ground.dnf("n", args);
        refused_as_older(&said, "revision 100", what);
        assert!(said.err.contains("revision 200"), "{what}: {}", said.err);
    };
    older(&["makecache"], "refresh");
    older(&["-y", "--refresh", "install", "app"], "install");
    ground.dnf("n", &["clean"]).good();
    older(&["makecache"], "after red-clean");
    older(&["-y", "install", "app"], "nothing cached");
    // A mirror that is behind is no obstacle.
    let both = format!("{}  file://{}\n", text, ground.repo("new").display());
    fs::write(&file, &both).expect("it is ours");
    show("new");
    ground.dnf("n", &["makecache"]).good();
    show("old");
    ground.dnf("n", &["makecache"]).good();
    assert_eq!(ground.dnf("n", &["repoquery", "app"]).good().out.trim(), "app-2-1.noarch");
    show("new");
    fs::write(&file, &text).expect("it is ours");
    ground.dnf("n", &["makecache"]).good();
    // Whoever goes back on purpose says so, once.
    show("old");
    older(&["makecache"], "again");
    ground.dnf("n", &["--setopt=a.allow_older=1", "makecache"]).good();
    ground.dnf("n", &["makecache"]).good();
    assert_eq!(ground.dnf("n", &["repoquery", "app"]).good().out.trim(), "app-1-1.noarch");
    show("new");
    ground.dnf("n", &["makecache"]).good();
}

/// What a mirror announces and does not have, and times that nobody signed and that have not come yet, make nothing older.
#[test]
fn no_mirror_makes_the_others_older_for_ever() {
    let ground = Ground::new();
    let signer = Signer::new(&ground);
    let key = signer.key("vendor");
    let keys = ground.pool.write("keys.gpg", signer.binary(&["vendor"]));
    // The newest files are those of the one that is served again and again.
    for (repo, version) in [("future", "2"), ("counter", "2"), ("next", "2"), ("now", "1")] {
        ground.publish(repo, &[small("app", version)]);
    }
    for (repo, revision) in
        [("now", "1700000100"), ("next", "1700000200"), ("future", "4000000000"), ("counter", "900000000")]
    {
        revise(&ground.repo(repo), revision);
        let repomd = ground.repo(repo).join("repodata/repomd.xml");
        fs::write(repomd.with_extension("xml.asc"), signer.sign_apart(&[&key], &repomd, &[]))
            .expect("it is ours");
    }
    let repodata = ground.repo("next").join("repodata");
    for entry in fs::read_dir(repodata).expect("it is there").flatten() {
        if entry.file_name().to_string_lossy().contains("primary") {
            fs::remove_file(entry.path()).expect("it is ours");
        }
    }
    let place = ground.pool.join("repos/a");
    let show = |repo: &str| {
        drop(fs::remove_file(&place));
        std::os::unix::fs::symlink(ground.repo(repo), &place).expect("it is ours");
    };
    let text = format!("[a]\nname=a\nbaseurl=file://{}\n", place.display());
    node(&ground, "n", &text);
    node(&ground, "signed", &format!("{text}repo_gpgcheck=1\ngpgkey=file://{}\n", keys.display()));
    show("now");
    ground.dnf("n", &["makecache"]).good();
    ground.dnf("signed", &["-y", "makecache"]).good();
    show("next");
    for node in ["n", "signed"] {
        assert_eq!(ground.dnf(node, &["makecache"]).code, 1, "{node}: it has no primary metadata");
    }
    show("now");
    ground.dnf("n", &["makecache"]).good();
    ground.dnf("signed", &["makecache"]).good();
    // Its own publisher may number as it likes.
    show("future");
    ground.dnf("n", &["makecache"]).good();
    ground.dnf("signed", &["makecache"]).good();
    show("now");
    ground.dnf("n", &["makecache"]).good();
    refused_as_older(&ground.dnf("signed", &["makecache"]), "revision 1700000100", "signed");
    show("counter");
    ground.dnf("n", &["--setopt=a.allow_older=1", "makecache"]).good();
    show("now");
    ground.dnf("n", &["makecache"]).good();
}

/// A server whose answers the test chooses: paths, and what is said of them.
fn server(answer: impl Fn(&str, &str) -> (String, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let path = text.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let (head, body) = answer(&path, &text);
            send(&mut stream, &head, &body);
        }
    });
    url
}

fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Who asked may be gone.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}

fn sha256(file: &Path) -> String {
    let said = run(Command::new("sha256sum").arg(file)).good().out;
    said.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn a_mirror_cannot_keep_back_what_is_announced() {
    let ground = Ground::new();
    for (repo, version, revision) in [("old", "1", "100"), ("new", "2", "200")] {
        ground.publish(repo, &[small("app", version)]);
        revise(&ground.repo(repo), revision);
    }
    // What the metalink announces, what the mirror serves, whether it says that nothing changed whatever it is asked.
    let state = Arc::new(Mutex::new(("old", "old", false)));
    let (shared, repos) = (state.clone(), ground.pool.join("repos"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let url = server(move |path, request| {
        let (announced, serves, frozen) = *shared.lock().expect("it is there");
        if path.starts_with("metalink") {
            let file = repos.join(announced).join("repodata/repomd.xml");
            let host =
                request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().trim();
            let hash =
                if path.ends_with("weak") { ("md5", "0".repeat(32)) } else { ("sha256", sha256(&file)) };
            let size = fs::metadata(&file).map_or(0, |facts| facts.len());
            let text = format!(
                "<metalink xmlns:mm0=\"x\"><files><file name=\"repomd.xml\"><size>{size}</size><verification>\
                 <hash type=\"{}\">{}</hash></verification><mm0:alternates><mm0:alternate><size>1</size><verification>\
                 <hash type=\"sha256\">0</hash></verification></mm0:alternate></mm0:alternates><resources>\
                 <url>http://{host}/m?a=1&amp;b=/repodata/repomd.xml</url></resources></file></files></metalink>",
                hash.0, hash.1
            );
            return ("200 OK".into(), text.into_bytes());
        }
        let path = path.strip_prefix("m?a=1&b=/").unwrap_or_default();
        if path == "repodata/repomd.xml" {
            let conditional = request.contains("if-none-match: \"tag\"");
            seen.lock().expect("it is there").push(conditional);
            if frozen || conditional && announced == serves {
                return ("304 Not Modified\r\nETag: \"tag\"".into(), Vec::new());
            }
        }
        match fs::read(repos.join(serves).join(path)) {
            Ok(file) => ("200 OK\r\nETag: \"tag\"".into(), file),
            Err(_) => ("404 Not Found".into(), Vec::new()),
        }
    });
    node(&ground, "n", &format!("[a]\nname=a\nmetalink={url}/metalink\n"));
    let newest = || ground.dnf("n", &["-C", "repoquery", "app"]).good().out.trim().to_owned();
    ground.dnf("n", &["makecache"]).good();
    ground.dnf("n", &["makecache"]).good();
    assert_eq!(
        *asked.lock().expect("it is there"),
        [false, true],
        "asked whether it changed, the second time"
    );
    for (frozen, what) in [(true, "says that nothing changed"), (false, "serves the old one")] {
        *state.lock().expect("it is there") = ("new", "old", frozen);
        let said = ground.dnf("n", &["makecache"]);
        assert_eq!(said.code, 1, "{what}: {}", said.err);
        assert_eq!(newest(), "app-1-1.noarch", "{what}");
    }
    *state.lock().expect("it is there") = ("new", "new", false);
    ground.dnf("n", &["makecache"]).good();
    assert_eq!(newest(), "app-2-1.noarch");
    // An older announcement is no better than an older repository.
    *state.lock().expect("it is there") = ("old", "old", false);
    refused_as_older(&ground.dnf("n", &["makecache"]), "revision 100", "an old announcement");
    node(&ground, "weak", &format!("[a]\nname=a\nmetalink={url}/metalink-weak\n"));
    let said = ground.dnf("weak", &["makecache"]);
    assert!(
        said.code == 1 && said.err.contains("no checksum that proves anything (md5 only)"),
        "{}",
        said.err
    );
}

#[test]
fn metadata_that_do_not_change_are_told() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1")]);
    let served = Served::start(&ground.pool.join("repos"));
    node(&ground, "n", &format!("[a]\nname=a\nbaseurl={}/a\n", served.url));
    let said = ground.dnf("n", &["makecache"]).good();
    assert!(!said.err.contains("have not changed"), "{}", said.err);
    // 2020-09-13.
    let path = ground.repo("a").join("repodata/repomd.xml");
    let mut text = String::new();
    for part in fs::read_to_string(&path).expect("it is there").split_inclusive('>') {
        match part.strip_suffix("</timestamp>") {
            Some(_) => text.push_str("1600000000</timestamp>"),
            None => text.push_str(part),
        }
    }
    fs::write(&path, text).expect("it is ours");
    revise(&ground.repo("a"), "1600000000");
    node(&ground, "later", &format!("[a]\nname=a\nbaseurl={}/a\n", served.url));
    for args in [&["makecache"][..], &["-C", "repoquery"], &["--assumeno", "install", "one"]] {
        let said = ground.dnf("later", args);
        assert!(
            said.err.contains("metadata of repository `a` have not changed for "),
            "{args:?}: {}",
            said.err
        );
        assert!(said.err.contains("days (since 2020-09-13)"), "{args:?}: {}", said.err);
    }
    let listed = ground.dnf("later", &["repolist"]).good().out;
    assert!(listed.contains("2020-09-13 ("), "{listed}");
    // Directories of this machine change when somebody here changes them.
    node(&ground, "here", &format!("[a]\nname=a\nbaseurl=file://{}\n", ground.repo("a").display()));
    let said = ground.dnf("here", &["makecache"]).good();
    assert!(!said.err.contains("have not changed"), "{}", said.err);
}
