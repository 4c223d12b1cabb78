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
    let mut ghost = small("ghost", &[]).builder();
    ghost.with_ghost(FileOptions::ghost("/etc/redpak.yaml")).expect("a path");
    let package = ground.maker.built(&dir, "ghost.rpm", &mut ghost);
    refused(&ground, &package, &["ghost-1", "/etc/redpak.yaml"]);
    let config = Small { config: &[("/etc/redpak.yaml", "harm")], ..small("config", &[]) };
    refused(&ground, &ground.maker.small(&dir, &config), &["config-1", "/etc/redpak.yaml"]);
    let mut hard = small("hard", &[]).builder();
    for path in ["/usr/share/hard", "/etc/redpak.yaml"] {
        hard.with_file_contents("harm", FileOptions::new(path).hardlink("one")).expect("a path");
    }
    refused(&ground, &ground.maker.built(&dir, "hard.rpm", &mut hard), &["hard-1", "/etc/redpak.yaml"]);
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

/// A symbolic link in a package.
fn with_link(ground: &Ground, name: &str, link: &str, target: &str) -> std::path::PathBuf {
    let mut builder = small(name, &[]).builder();
    builder.with_symlink(FileOptions::symlink(link, target)).expect("a path");
    ground.maker.built(&ground.repo("main"), &format!("{name}-1-1.noarch.rpm"), &mut builder)
}

#[test]
fn links_lead_packages_nowhere_else() {
    let ground = Ground::new();
    let dir = ground.repo("main");
    ground.publish("main", &[small("good", &[("/usr/share/good", "g")])]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "good"]).good();
    // A link that is there, one that comes along in another package, one of the core OS's kind.
    let there = with_link(&ground, "there", "/usr/share/there", "../../etc");
    ground.dnf("node", &["-y", "install", &there.to_string_lossy()]).good();
    let through = ground.maker.small(&dir, &small("through", &[("/usr/share/there/redpak.yaml", "harm")]));
    refused(&ground, &through, &["through-1", "/usr/share/there/redpak.yaml", "/etc/redpak.yaml"]);
    let link = with_link(&ground, "along", "/opt/along", "/etc/yum.repos.d");
    let behind = ground.maker.small(&dir, &small("behind", &[("/opt/along/evil.repo", "harm")]));
    let said = ground.dnf("node", &["-y", "install", &link.to_string_lossy(), &behind.to_string_lossy()]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("/opt/along/evil.repo (which is /etc/yum.repos.d/evil.repo)"), "{}", said.err);
    assert!(!ground.node("node/etc/yum.repos.d/evil.repo").exists());
    // The configuration itself may be a link; what it leads to decides then.
    let etc = ground.node("node/.red/current/etc");
    fs::rename(etc.join("redpak.yaml"), etc.join("real.yaml")).expect("it is ours");
    symlink("real.yaml", etc.join("redpak.yaml")).expect("it is ours");
    let real = ground.maker.small(&dir, &small("real", &[("/etc/real.yaml", "harm")]));
    refused(&ground, &real, &["real-1", "/etc/real.yaml"]);
    // rpm's own ways to put files elsewhere are not for nodes.
    for option in ["--prefix=/etc", "--relocate=/usr/share=/etc", "--root=/", "--dbpath=/x", "--badreloc"] {
        let said = ground.rpm("node", &["-U", option, &through.to_string_lossy()]);
        assert_eq!(said.code, 1, "{option}: {}", said.err);
        assert!(said.err.contains("is not for nodes"), "{option}: {}", said.err);
    }
}

#[test]
fn an_option_names_files_that_packages_may_bring() {
    let ground = Ground::new();
    let dir = ground.repo("main");
    ground.publish("main", &[small("good", &[("/usr/share/good", "g")])]);
    ground.create("node", Some("main"));
    let text = "[ours]\nname=ours\nbaseurl=file:///nowhere\nenabled=0\n";
    let config = [("/etc/yum.repos.d/ours.repo", text), ("/etc/pki/rpm-gpg/ours", "key")];
    let repos = |version: &'static str| Small { version, config: &config, ..small("our-repos", &[]) };
    let first = ground.maker.small(&dir, &repos("1")).to_string_lossy().into_owned();
    let second = ground.maker.small(&dir, &repos("2")).to_string_lossy().into_owned();
    let repo = ground.node("node/etc/yum.repos.d/ours.repo");
    let one = ground.dnf("node", &["-y", "--allow-file=/etc/yum.repos.d/ours.repo", "install", &first]);
    assert!(
        one.code == 1 && one.err.contains("rpm-gpg/ours") && !one.err.contains("ours.repo"),
        "{}",
        one.err
    );
    let both = ["--allow-file=/etc/yum.repos.d/ours.repo", "--allow-file=/etc/pki/rpm-gpg/"];
    ground.dnf("node", &[&["-y"], &both[..], &["install", &first]].concat()).good();
    assert_eq!(fs::read_to_string(&repo).expect("it is there"), text);
    // Each version anew; an option or the node's own dnf.conf.
    refused(&ground, Path::new(&second), &["our-repos-2", "ours.repo"]);
    ground.rpm("node", &[&["-U"], &both[..], &[second.as_str()]].concat()).good();
    // A package that goes takes its files along, and a scriptlet takes no others.
    fs::write(ground.node("node/etc/dnf-keep"), "").expect("it is ours");
    ground.dnf("node", &["-y", "remove", "our-repos"]).good();
    assert!(!repo.exists(), "{}", fs::read_to_string(&repo).unwrap_or_default());
    fs::create_dir_all(ground.node("node/etc/dnf")).expect("it is ours");
    fs::write(
        ground.node("node/etc/dnf/dnf.conf"),
        "[main]\nallow_files=/etc/yum.repos.d/ours.repo, /etc/pki/rpm-gpg/\n",
    )
    .expect("it is ours");
    ground.dnf("node", &["-y", "install", &second]).good();
    assert!(repo.exists());
}

/// What a scriptlet did is undone, told, and in the history.
fn undone(ground: &Ground, said: &Said, paths: &[&str]) {
    let info = ground.dnf("node", &["history", "info", "2"]).good().out;
    for path in paths {
        assert!(said.err.contains(&format!("{path}: a scriptlet changed it")), "{path}: {}", said.err);
        assert!(info.contains(path) && info.contains("as they were"), "{path}: {info}");
    }
}

#[test]
fn scriptlets_do_not_decide() {
    for (at, (post, told)) in [
        ("echo harm > /etc/redpak.yaml", &["/etc/redpak.yaml"][..]),
        ("echo harm > /etc/redpak-admin.yaml", &["/etc/redpak-admin.yaml"]),
        ("rm /etc/redpak.yaml", &["/etc/redpak.yaml"]),
        ("rm -rf /etc/yum.repos.d", &["/etc/yum.repos.d"]),
        ("rm -rf /etc/yum.repos.d; mkdir /etc/yum.repos.d", &["/etc/yum.repos.d/main.repo"]),
        ("rm -rf /etc/yum.repos.d; mkdir /opt/r; echo x > /opt/r/main.repo; ln -s /opt/r /etc/yum.repos.d", &["/etc/yum.repos.d"]),
        ("printf '[e]\nbaseurl=http://e\n' > /etc/yum.repos.d/e.repo; cp /etc/yum.repos.d/e.repo /etc/yum.repos.d/main.repo", &["/etc/yum.repos.d/e.repo", "/etc/yum.repos.d/main.repo"]),
        ("mkdir -p /etc/dnf/vars; echo evil > /etc/dnf/vars/basearch", &["/etc/dnf/vars/basearch"]),
        ("mkdir -p /etc/pki; ln -s /opt /etc/pki/rpm-gpg", &["/etc/pki/rpm-gpg"]),
        ("mkdir -p /var/n/etc; echo x > /var/n/.rednode.yaml; echo x > /var/n/etc/redpak.yaml", &["/var/n/.rednode.yaml", "/var/n/etc/redpak.yaml"]),
        ("mkdir -p /opt/n/.red/gen", &["/opt/n/.red"]),
        ("ln /etc/redpak.yaml /etc/hard; chmod 666 /etc/hard", &["/etc/redpak.yaml"]),
        ("chmod 777 /etc /etc/yum.repos.d", &["/etc", "/etc/yum.repos.d"]),
        ("chown 1 /etc/yum.repos.d/main.repo", &["/etc/yum.repos.d/main.repo"]),
        ("mkdir -p /usr/lib/sysimage; ln -s /var/lib/rpm /usr/lib/sysimage/rpm", &["/usr/lib/sysimage/rpm"]),
    ]
    .into_iter()
    .enumerate()
    {
        let ground = Ground::of_this_machine(&[]);
        let name = format!("script{at}");
        ground.publish("main", &[Small { post, ..small(&name, &[("/usr/share/s", "s")]) }, small("good", &[])]);
        ground.create("node", Some("main"));
        ground.dnf("node", &["-y", "install", "good"]).good();
        let etc = ground.node("node/etc");
        let before = fingerprint(&etc);
        let said = ground.dnf("node", &["-y", "install", &name]).good();
        let output = ground.dnf("node", &["history", "info", "2"]).good().out;
        let after = fingerprint(&etc);
        assert!(before.iter().all(|line| after.contains(line)), "{post}: {output}\n{after:?}");
        let more = |part: &str| after.iter().any(|line| line.contains(part) && !before.contains(line));
        for part in [".repo ", "redpak", "vars/", "rpm-gpg"] {
            assert!(!more(part), "{post}: {part}: {after:?}");
        }
        undone(&ground, &said, told);
        let real = fs::canonicalize(etc).expect("it is there");
        let facts = fs::metadata(real.join("redpak.yaml")).expect("it is there");
        assert_eq!((facts.nlink(), facts.permissions().mode() & 0o022), (1, 0), "{post}");
        assert_eq!(fs::metadata(&real).expect("it is there").permissions().mode() & 0o022, 0, "{post}");
        assert!(!ground.node("node/var/n/.rednode.yaml").exists() && !ground.node("node/opt/n/.red").exists());
        ground.dnf("node", &["check"]).good();
        ground.dnf("node", &["-y", "remove", &name]).good();
    }
}

#[test]
fn scriptlets_leave_the_database_alone() {
    let ground = Ground::of_this_machine(&[]);
    let secret = ground.pool.mkdir("secret");
    fs::write(secret.join("file"), "secret").expect("it is ours");
    let away = format!("mv /var/lib/rpm /var/lib/gone; ln -s {} /var/lib/rpm", secret.display());
    let scripts = [
        ("away", away.as_str()),
        ("link", "ln -s /etc/shadow /var/lib/rpm/shadow"),
        ("hard", "echo x > /var/lib/x; ln /var/lib/x /var/lib/rpm/x"),
    ];
    let packages: Vec<Small<'_>> =
        scripts.iter().map(|(name, post)| Small { post, ..small(name, &[("/usr/share/s", "s")]) }).collect();
    ground.publish("main", &packages);
    ground.create("node", Some("main"));
    for (name, _) in scripts {
        let said = ground.dnf("node", &["-y", "install", name]);
        assert_eq!(said.code, 1, "{name}: {}", said.err);
        assert!(said.err.contains("nothing has changed"), "{name}: {}", said.err);
        assert_eq!(ground.rpm_says("node"), Vec::<String>::new(), "{name}");
    }
    // A key in the database counts for signatures.
    let key = ground.maker.key();
    let text = fs::read_to_string(&key).expect("it is there");
    let import = format!(
        "cat > /tmp/key <<'EOF'\n{text}\nEOF\nmkdir /tmp/db; rpmkeys --dbpath /tmp/db --import /tmp/key\n\
         cat > /tmp/insert.py <<'EOF'\nimport sqlite3\n\
         blob = sqlite3.connect('/tmp/db/rpmdb.sqlite').execute('select blob from Packages').fetchone()[0]\n\
         db = sqlite3.connect('/var/lib/rpm/rpmdb.sqlite', timeout=20)\n\
         db.execute('insert into Packages (hnum, blob) values (7777, ?)', (blob,))\n\
         db.execute('insert into Name (key, hnum, idx) values (?, 7777, 0)', ('gpg-pubkey',))\n\
         db.commit()\nEOF\npython3 /tmp/insert.py && echo inserted"
    );
    ground.publish("main", &[Small { post: &import, ..small("import", &[("/usr/share/i", "i")]) }]);
    let said = ground.dnf("node", &["-y", "--refresh", "install", "import"]);
    assert!(said.code == 1 && said.err.contains("put a key"), "{}", said.err);
    let keys = run(Command::new("rpm")
        .arg("--dbpath")
        .arg(ground.node("node/var/lib/rpm"))
        .args(["-q", "gpg-pubkey"]));
    assert!(!keys.out.contains("gpg-pubkey-"), "{}{}", keys.out, said.err);
}
