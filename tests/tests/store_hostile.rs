//! Packages and repositories that mean harm, or lie.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use red_tests::call::run;
use red_tests::packages::{self, Small};
use red_tests::store::{Ground, Served, fingerprint};
use rpm::FileOptions;

fn small<'a>(name: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version: "1", files, ..Small::default() }
}

/// Replaces text in a package file by other text of the same length, then mends its digests the way
/// somebody would who makes packages on purpose: by not having any that are checked.
fn patch(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(path).expect("it is there");
    let mut any = false;
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|part| part == from.as_bytes()) {
        bytes[at + found..at + found + from.len()].copy_from_slice(to.as_bytes());
        at += found + from.len();
        any = true;
    }
    assert!(any, "{from} is not in the package");
    fs::write(path, bytes).expect("it is there");
}

#[test]
fn packages_that_mean_harm() {
    let ground = Ground::new().for_user();
    let dir = ground.repo("main");
    let secret = ground.pool.write("secret", "untouched");
    let outside = ground.pool.mkdir("outside");
    // A link, and a file that would be written through it.
    let mut through = small("through", &[("/usr/share/link/file", "harm")]).builder();
    through
        .with_symlink(FileOptions::symlink("/usr/share/link", outside.to_string_lossy()))
        .expect("it is there");
    ground.maker.built(&dir, "through-1-1.noarch.rpm", &mut through);
    let mut device = small("device", &[]).builder();
    device.with_special_file(FileOptions::character_device("/usr/share/disk", 8, 0)).expect("it is there");
    ground.maker.built(&dir, "device-1-1.noarch.rpm", &mut device);
    let mut owned = small("owned", &[]).builder();
    owned.with_file_contents("x", FileOptions::new("/usr/share/owned").user("daemon")).expect("it is there");
    ground.maker.built(&dir, "owned-1-1.noarch.rpm", &mut owned);
    ground.maker.small(&dir, &small("escape", &[("/usr/share/AA/AA/AA/AA/AA/AA/file", "harm")]));
    ground.maker.small(
        &dir,
        &Small {
            post: "echo harm > /run/../../../../../../../../../SECRET; echo harm > SECRET",
            ..small("script", &[])
        },
    );
    patch(
        &dir.join("escape-1-1.noarch.rpm"),
        "/usr/share/AA/AA/AA/AA/AA/AA/",
        "/usr/share/../../../../../../",
    );
    ground.maker.index(&dir);
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(ground.pool.join("repos"))).good();
    ground.create("node", Some("main"));
    ground.dnf("node", &["makecache"]).good();
    let (pool, before) = (ground.pool.path().to_owned(), fingerprint(&ground.node("node").join("etc")));
    for (name, wanted) in [
        ("through", "lies behind the symbolic link"),
        ("device", "is a device node"),
        ("owned", "belongs to user `daemon`"),
        ("escape", "nothing has changed"),
    ] {
        let refused = ground.dnf("node", &["-y", "-C", "install", name]);
        assert_eq!(refused.code, 1, "{name}: {}", refused.err);
        assert!(refused.err.contains(wanted), "{name}: {}", refused.err);
        assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
        assert_eq!(fingerprint(&ground.node("node").join("etc")), before, "{name}");
    }
    assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0);
    // A scriptlet runs in the view and nowhere else, as whoever it pretends to be.
    ground.dnf("node", &["-y", "-C", "install", "script"]);
    assert_eq!(fs::read_to_string(secret).expect("it is there"), "untouched");
    assert!(!Path::new("/SECRET").exists() && !pool.join("SECRET").exists());
}

#[test]
fn scriptlets_are_shut_in() {
    let ground = Ground::new();
    let mark = ground.pool.write("mark", "untouched");
    let post = format!(
        "echo harm > {0} 2>/dev/null; kill -9 1 2>/dev/null; ls -d {1}/nodes >&2; \
         (exec 3<>/dev/tcp/127.0.0.1/1) 2>/dev/null; mknod /tmp/d c 1 3 2>/dev/null && echo MADE-A-DEVICE >&2; \
         mount -t tmpfs x /tmp 2>/dev/null && echo MOUNTED >&2; ip -o link 2>/dev/null | grep -v ' lo' >&2; \
         grep CapEff /proc/self/status >&2; true",
        mark.display(),
        ground.pool.path().display()
    );
    ground.publish("main", &[Small { post: &post, ..small("shut", &[("/usr/share/shut", "s")]) }]);
    ground.create("node", Some("main"));
    let before = run(Command::new("sh").arg("-c").arg("cat /proc/mounts; ls /")).out;
    ground.dnf("node", &["-y", "install", "shut"]).good();
    assert_eq!(run(Command::new("sh").arg("-c").arg("cat /proc/mounts; ls /")).out, before);
    let info = ground.dnf("node", &["history", "info", "1"]).good().out;
    assert!(!info.contains("MADE-A-DEVICE") && !info.contains("MOUNTED"), "{info}");
    // Owning and writing files, changing ids, sending signals: nothing else.
    assert!(info.contains("CapEff:\t00000000800000fb"), "{info}");
    assert_eq!(fs::read_to_string(mark).expect("it is there"), "untouched");
}

#[test]
fn packages_beyond_all_measure() {
    let ground = Ground::new();
    let dir = ground.repo("main");
    // 10 GB that are one hole: what matters is what the header says.
    let mut sparse = small("sparse", &[]).builder();
    sparse.with_file_contents("x", FileOptions::new("/usr/share/sparse")).expect("it is there");
    ground.maker.built(&dir, "sparse-1-1.noarch.rpm", &mut sparse);
    let spec = ground.pool.write(
        "huge.spec",
        "Name: huge\nVersion: 1\nRelease: 1\nSummary: s\nLicense: n\nBuildArch: noarch\n%description\nd\n%install\n\
         mkdir -p %{buildroot}/usr/share\ntruncate -s 10G %{buildroot}/usr/share/huge\n%files\n/usr/share/huge\n",
    );
    let build = run(Command::new("rpmbuild")
        .args(["-bb", "--quiet", "--define", "_binary_payload w1.zstdio", "--define"])
        .arg(format!("_topdir {}/top", ground.pool.path().display()))
        .arg("--define")
        .arg(format!("_rpmdir {}", dir.display()))
        .arg(&spec));
    assert_eq!(build.code, 0, "{}", build.err);
    let mut many = small("many", &[]).builder();
    for at in 0..1_000_000 {
        many.with_ghost(FileOptions::ghost(format!("/usr/share/many/{at}"))).expect("it is there");
    }
    ground.maker.built(&dir, "many-1-1.noarch.rpm", &mut many);
    ground.create("node", None);
    for (name, wanted) in
        [("noarch/huge-1-1.noarch.rpm", "larger than any file"), ("many-1-1.noarch.rpm", "1000000 files")]
    {
        let path = dir.join(name);
        let refused = ground.dnf("node", &["-y", "install", &path.to_string_lossy()]);
        assert_eq!(refused.code, 1, "{name}: {}", refused.err);
        assert!(refused.err.contains(wanted), "{name}: {}", refused.err);
    }
    assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
}

/// A server that answers every request by a function.
fn server(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
            answer(&path, &mut stream);
        }
    });
    format!("http://127.0.0.1:{port}")
}

fn reply(stream: &mut TcpStream, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Whoever asked may be gone.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}

#[test]
fn repositories_that_lie() {
    let ground = Ground::new();
    ground.publish("main", &[small("honest", &[("/usr/share/honest", "h")])]);
    let honest = ground.repo("main");
    // A copy of an honest repository, one thing wrong in each.
    let copy = |name: &str| {
        let to = ground.repo(name);
        run(Command::new("cp").arg("--archive").arg(&honest).arg(&to)).good();
        to
    };
    let primary = |dir: &Path| {
        let mut files =
            fs::read_dir(dir.join("repodata")).expect("it is there").flatten().map(|entry| entry.path());
        files.find(|path| path.to_string_lossy().contains("primary.xml")).expect("it is there")
    };
    let checksum = copy("checksum");
    let path = primary(&checksum);
    let mut bytes = fs::read(&path).expect("it is there");
    let end = bytes.len() - 5;
    bytes[end] ^= 0xff;
    fs::write(&path, bytes).expect("it is there");
    let size = copy("size");
    let path = primary(&size);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes.extend([0; 1000]);
    fs::write(&path, bytes).expect("it is there");
    // Four gigabytes of nothing that say they are a few bytes.
    let bomb = copy("bomb");
    let file = bomb.join("repodata/bomb.xml.gz");
    run(Command::new("sh").arg("-c").arg(format!("head -c 400M /dev/zero | gzip -1 > {}", file.display())))
        .good();
    packages::repomd(&bomb, "bomb.xml.gz");
    let text = fs::read_to_string(bomb.join("repodata/repomd.xml")).expect("it is there");
    fs::write(
        bomb.join("repodata/repomd.xml"),
        text.replace("</size>", "</size><open-size>2000</open-size>"),
    )
    .expect("it is there");
    let nonsense = copy("nonsense");
    fs::write(nonsense.join("repodata/repomd.xml"), "<repomd><data type='primary'></repomd>")
        .expect("it is there");
    let served = Served::start(&ground.pool.join("repos"));
    ground.create("node", None);
    for (name, wanted) in [
        ("checksum", "checksum"),
        ("size", "bytes"),
        ("bomb", "more than the 2000 bytes"),
        ("nonsense", "repomd.xml"),
        ("missing", "404"),
    ] {
        let from = format!("lying,{}/{name}", served.url);
        let begun = Instant::now();
        let refused = ground.dnf("node", &["--repofrompath", &from, "search", "honest"]);
        assert_eq!(refused.code, 1, "{name}: {}", refused.out);
        assert!(refused.err.contains(wanted), "{name}: {}", refused.err);
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}: {:?}", begun.elapsed());
    }
    let looping = server(|path, stream| {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {path}x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        drop(stream.write_all(head.as_bytes()));
    });
    let refused = ground.dnf("node", &["--repofrompath", &format!("lying,{looping}"), "search", "honest"]);
    assert!(refused.code == 1 && refused.err.contains("redirect"), "{}", refused.err);
    let truncating = server(|_, stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<repomd>"));
    });
    let refused = ground.dnf("node", &["--repofrompath", &format!("lying,{truncating}"), "search", "honest"]);
    assert_eq!(refused.code, 1, "{}", refused.out);
    let endless = server(|_, stream| {
        if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_ok() {
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        }
    });
    let refused = ground.dnf("node", &["--repofrompath", &format!("lying,{endless}"), "search", "honest"]);
    assert!(refused.code == 1 && refused.err.contains("more than"), "{}", refused.err);
}

#[test]
fn what_was_fetched_stays_usable() {
    let ground = Ground::new();
    ground.publish("main", &[small("honest", &[("/usr/share/honest", "h")])]);
    let served = Served::start(&ground.pool.join("repos"));
    ground.create("node", None);
    ground
        .dnf("node", &["red-manager", "--add-repo", &format!("{}/main", served.url), "--id", "main"])
        .good();
    ground.dnf("node", &["makecache"]).good();
    ground.dnf("node", &["-y", "--downloadonly", "install", "honest"]).good();
    assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
    drop(served);
    let refused = ground.dnf("node", &["--refresh", "search", "honest"]);
    assert!(refused.code == 1 && refused.err.contains("`-C`"), "{}", refused.err);
    ground.dnf("node", &["-y", "-C", "install", "honest"]).good();
    assert_eq!(ground.rpm_says("node"), ["honest-1"]);
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let ground = Ground::new();
    let text: String = (0..40_000).map(|at| format!("{:x}", at * 7919 % 104_729)).collect();
    let dir = ground.repo("main");
    let package = ground.maker.small(&dir, &small("large", &[("/usr/share/large", &text)]));
    ground.maker.index(&dir);
    let bytes = fs::read(&package).expect("it is there");
    let root = dir.clone();
    let ranges = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = ranges.clone();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let file = fs::read(root.join(&path)).unwrap_or_default();
            let range = text.to_lowercase().lines().find_map(|line| {
                line.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok()
            });
            if !path.ends_with(".rpm") {
                reply(&mut stream, &file);
                continue;
            }
            seen.lock().expect("it is there").push(range);
            match range {
                None => {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
                    drop(
                        stream
                            .write_all(head.as_bytes())
                            .and_then(|()| stream.write_all(&file[..file.len() / 2])),
                    );
                }
                Some(from) => {
                    let head = format!(
                        "HTTP/1.1 206 Partial\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        file.len() - from
                    );
                    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&file[from..])));
                }
            }
        }
    });
    ground.create("node", None);
    ground.dnf("node", &["red-manager", "--add-repo", &url, "--id", "main"]).good();
    assert_eq!(ground.dnf("node", &["-y", "install", "large"]).code, 1);
    ground.dnf("node", &["-y", "install", "large"]).good();
    assert_eq!(*ranges.lock().expect("it is there"), [None, Some(bytes.len() / 2)]);
}

#[test]
fn signed_metadata() {
    let ground = Ground::new();
    ground.publish("main", &[small("honest", &[("/usr/share/honest", "h")])]);
    let dir = ground.repo("main");
    let key = ground.maker.key();
    ground.create("node", None);
    let repo = format!(
        "[main]\nname=main\nbaseurl=file://{}\nrepo_gpgcheck=1\ngpgkey=file://{}\n",
        dir.display(),
        key.display()
    );
    let file = ground.pool.write("signed.repo", repo);
    ground.dnf("node", &["red-manager", "--add-repo", &file.to_string_lossy()]).good();
    let refused = ground.dnf("node", &["search", "honest"]);
    assert!(refused.code == 1 && refused.err.contains("no signature"), "{}", refused.err);
    ground.maker.sign_apart("somebody-else", &dir.join("repodata/repomd.xml"));
    let refused = ground.dnf("node", &["-y", "search", "honest"]);
    assert!(refused.code == 1 && refused.err.contains("not signed by any"), "{}", refused.err);
    ground.maker.sign_apart("red-test", &dir.join("repodata/repomd.xml"));
    ground.dnf("node", &["search", "honest"]).good();
}
