//! Packages, scriptlets and containers that would decide for a node: none of them does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::store::{Ground, Served, fingerprint};
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
        assert_ne!(said.code, 0, "{option}: {}", said.err);
        assert!(said.err.contains(option), "{option}: {}", said.err);
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
        ("rm -rf /etc/pki/rpm-gpg; ln -s /opt /etc/pki/rpm-gpg", &["/etc/pki/rpm-gpg"]),
        ("mkdir -p /var/n/etc; echo x > /var/n/.rednode.yaml; echo x > /var/n/etc/redpak.yaml", &["/var/n/.rednode.yaml", "/var/n/etc/redpak.yaml"]),
        ("mkdir -p /opt/n/.red/gen", &["/opt/n/.red"]),
        ("ln /etc/redpak.yaml /etc/hard; chmod 666 /etc/hard", &["/etc/redpak.yaml"]),
        ("chmod 777 /etc /etc/yum.repos.d", &["/etc", "/etc/yum.repos.d"]),
        ("chown 1 /etc/yum.repos.d/main.repo", &["/etc/yum.repos.d/main.repo"]),
        ("rm -rf /etc/pki; mkdir -p /etc/pki/tls; echo c > /etc/pki/tls/c", &["/etc/pki/rpm-gpg"]),
        ("mkdir -p /usr/lib/sysimage; ln -s /var/lib/rpm /usr/lib/sysimage/rpm", &["/usr/lib/sysimage/rpm"]),
    ]
    .into_iter()
    .enumerate()
    {
        let ground = Ground::of_this_machine(&[]);
        let name = format!("script{at}");
        ground.publish("main", &[Small { post, ..small(&name, &[("/usr/share/s", "s")]) }, small("good", &[])]);
        ground.create("node", Some("main"));
        fs::create_dir_all(ground.node("node/etc/pki/rpm-gpg")).expect("it is ours");
        fs::write(ground.node("node/etc/pki/rpm-gpg/ours"), "key").expect("it is ours");
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
        ("hard", "ln /var/lib/rpm/rpmdb.sqlite /var/lib/rpm/x"),
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

/// Runs a script in a node's container.
fn inside(ground: &Ground, node: &str, script: &str) -> Said {
    let state = ground.pool.mkdir("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("it is ours");
    if !ground.pool.join("red-runtime").exists() {
        ground.pool.install("red-runtime", "red-runtime");
    }
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("exec -a red-wrap {} \"$@\"", ground.pool.join("red-runtime").display()));
    command.arg("red-wrap").arg("--root").arg(&state);
    command.arg(format!("--redpath={}", ground.node(node).display())).args(["--force", "bash", "-c", script]);
    command.env("NODE_PREFIX", ground.pool.join("prefix")).env("XDG_RUNTIME_DIR", &state);
    run(command.stdin(std::process::Stdio::null()))
}

/// The core OS's layer as `red-conf create` ships it, with the database of a ground.
fn core_view(ground: &Ground) {
    let template = include_str!("../../red-runtime/src/node/create/templates/root-normal.yaml");
    let text = template
        .replace("rpmdir: /var/lib/rpm", &format!("rpmdir: {}", ground.pool.join("core-db").display()))
        .replace("name: $UUID", "name: core-os")
        .replace("gpgcheck: true", "gpgcheck: false");
    ground.pool.write("prefix/etc/redpak/main.yaml", text);
}

/// What a deployed node of red-pak 2.5 says of itself.
const DEPLOYED: &str = "headers: {alias: NAME, name: NAME}
config: {rpmdir: $NODE_PATH/var/lib/rpm, persistdir: $NODE_PATH/var/lib/dnf, cachedir: $NODE_PATH/var/cache/dnf}
exports:
  - {mode: Private, mount: /nodes/_private, path: $NODE_PATH/private}
  - {mode: Private, mount: /var/lib/rpm, path: $NODE_PATH/var/lib/rpm}
  - {mode: Public, mount: /nodes/$NODE_ALIAS/var, path: $NODE_PATH/var}
";

#[test]
fn containers_import_no_keys() {
    let ground = Ground::of_this_machine(&[]);
    core_view(&ground);
    let key = fs::read_to_string(ground.maker.key()).expect("it is there");
    let dir = ground.repo("main");
    ground.publish("main", &[small("honest", &[("/usr/share/honest", "h")])]);
    let signed = ground.maker.small(&dir, &small("theirs", &[("/usr/share/theirs", "t")]));
    ground.maker.sign("red-test", &[signed]);
    ground.maker.index(&dir);
    for (template, converted) in
        [("leaf", true), ("full", true), ("deployed", false), ("deployed", true), ("leaf", false)]
    {
        let node = format!("{template}-{converted}");
        let name = if template == "deployed" { "leaf" } else { template };
        ground.dnf(&node, &["red-manager", "--create", "--template", name]).good();
        ground.dnf(&node, &["red-manager", "--add-repo", &dir.to_string_lossy(), "--id", "main"]).good();
        if template == "deployed" {
            fs::write(ground.node(&node).join("etc/redpak.yaml"), DEPLOYED.replace("NAME", &node))
                .expect("it is ours");
        }
        if converted {
            ground.dnf(&node, &["-y", "install", "honest"]).good();
        }
        let script = format!(
            "echo began; cat > /tmp/key <<'EOF'\n{key}\nEOF\n\
             mkdir -p /tmp/own && rpmkeys --dbpath /tmp/own --import /tmp/key && echo it works\n\
             for db in /var/lib/rpm /nodes/{node}/var/lib/rpm /nodes/*/var/lib/rpm; do\n\
             rpmkeys --dbpath $db --import /tmp/key 2>/dev/null && echo imported $db\n\
             cp /tmp/own/rpmdb.sqlite $db/ 2>/dev/null && echo copied $db\n\
             test -d $db && touch $db/x 2>/dev/null && echo touched $db\ndone; echo ended"
        );
        let said = inside(&ground, &node, &script);
        assert_eq!(said.out, "began\nit works\nended\n", "{node}: {}", said.err);
        let own = ground.node(&node).join("var/lib/rpm");
        let keys = run(Command::new("rpm").arg("--dbpath").arg(&own).args(["-q", "gpg-pubkey"])).out;
        assert!(!keys.contains("gpg-pubkey-"), "{node}: {keys}");
        let refused = ground.dnf(&node, &["-y", "--setopt=gpgcheck=1", "install", "theirs"]);
        assert_eq!(refused.code, 1, "{node}: {}", refused.err);
        assert!(!ground.node(&node).join("usr/share/theirs").exists(), "{node}");
    }
}

#[test]
fn a_cache_that_contents_reach_is_not_used() {
    let ground = Ground::new();
    ground.publish("main", &[small("honest", &[("/usr/share/honest", "h")])]);
    ground.publish("evil", &[small("honest", &[("/usr/share/evil", "e")]), small("evil", &[])]);
    ground.create("node", Some("main"));
    let node = ground.node("node");
    fs::write(node.join("etc/redpak.yaml"), DEPLOYED.replace("NAME", "node")).expect("it is ours");
    // Contents that lead the cache to a directory of the host.
    let outside = ground.pool.mkdir("outside");
    fs::create_dir_all(node.join("var/cache")).expect("it is ours");
    symlink(&outside, node.join("var/cache/dnf")).expect("it is ours");
    let said = ground.dnf("node", &["-y", "install", "honest"]).good();
    assert!(said.err.contains("`cachedir`") && said.err.contains("is not used"), "{}", said.err);
    assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0);
    assert!(node.join(".red/cache/repos/main").exists());
    // One that no export reaches is used; links in it lead nowhere, and nothing in it is believed.
    let kept = DEPLOYED.replace("NAME", "node").replace("$NODE_PATH/var/cache/dnf", "$NODE_PATH/kept/dnf");
    fs::write(node.join("etc/redpak.yaml"), kept).expect("it is ours");
    symlink(&outside, node.join("kept")).expect("it is ours");
    let said = ground.dnf("node", &["makecache"]);
    assert!(
        said.code == 1 && said.err.contains("kept") && said.err.contains("symbolic link"),
        "{}",
        said.err
    );
    assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0);
    fs::remove_file(node.join("kept")).expect("it is ours");
    assert!(!ground.dnf("node", &["makecache"]).good().err.contains("is not used"));
    // The attacker's own cache, made by the same program for the same repository.
    let repos = node.join("kept/dnf/repos");
    ground.dnf("node", &["repoquery"]).good();
    let honest = ground.pool.join("honest");
    run(Command::new("cp").args(["-a"]).arg(ground.repo("main")).arg(&honest)).good();
    run(Command::new("cp")
        .args(["-a", "--remove-destination", "-T"])
        .arg(ground.repo("evil"))
        .arg(ground.repo("main")))
    .good();
    run(Command::new("cp").args(["-a"]).arg(&node).arg(ground.pool.join("nodes/attacker"))).good();
    fs::remove_dir_all(ground.repo("main")).expect("it is ours");
    fs::rename(honest, ground.repo("main")).expect("it is ours");
    for part in ["state.json", "primary"] {
        for entry in fs::read_dir(repos.join("main")).expect("it is there").flatten() {
            if entry.file_name().to_string_lossy().starts_with(part) {
                let path = entry.path();
                let text =
                    String::from_utf8_lossy(&fs::read(&path).expect("it is there")).replace("main", "evil");
                fs::write(&path, text).expect("it is ours");
            }
        }
        let found = ground.dnf("node", &["repoquery"]).good().out;
        assert_eq!(found, "honest-1-1.noarch\n", "{part}");
    }
    fs::create_dir_all(repos.join("main/packages")).expect("it is ours");
    fs::remove_dir_all(repos.join("main/packages")).expect("it is ours");
    symlink(&outside, repos.join("main/packages")).expect("it is ours");
    let served = Served::start(&ground.pool.join("repos"));
    let from = format!("main,{}/main", served.url);
    let said = ground.dnf("node", &["-y", "--repofrompath", &from, "reinstall", "honest"]);
    assert!(said.code == 1 && said.err.contains("symbolic link"), "{}", said.err);
    assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0);
}

#[test]
fn a_cache_heals_whatever_happens_to_it() {
    let ground = Ground::new();
    let many: Vec<(String, String)> =
        (0..40).map(|at| (format!("many{at}"), format!("/usr/share/many/{at}"))).collect();
    let files: Vec<[(&str, &str); 1]> = many.iter().map(|(_, path)| [(path.as_str(), "m")]).collect();
    let packages: Vec<Small<'_>> =
        many.iter().zip(&files).map(|((name, _), files)| small(name, files)).collect();
    ground.publish("main", &packages);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "many1"]).good();
    let expected = ground.dnf("node", &["repoquery", "-l", "many*"]).good().out;
    let list = ground.dnf("node", &["list"]).good().out;
    let cache = ground.node("node/.red");
    let found =
        run(Command::new("find").arg(&cache).args(["-path", "*/gen", "-prune", "-o", "-type", "f"]).args([
            "(",
            "-name",
            "*.solv",
            "-o",
            "-name",
            "state.json",
            "-o",
            "-path",
            "*/sums/*",
            ")",
            "-print",
        ]));
    let paths: Vec<&str> = found.out.lines().collect();
    assert!(paths.len() >= 4, "{paths:?}");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        // xorshift64: the same mutations in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 11).expect("it fits") % below.max(1)
    };
    for round in 0..120 {
        let path = paths[random(paths.len())];
        let Ok(mut bytes) = fs::read(path) else { continue };
        match round % 4 {
            0 => bytes.truncate(random(bytes.len())),
            1 => {
                let at = random(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random(8);
                }
            }
            2 => {
                let (at, with) = (random(bytes.len()), u8::try_from(random(256)).expect("it fits"));
                bytes.iter_mut().skip(at).take(16).for_each(|byte| *byte = with);
            }
            _ => bytes.extend_from_within(..random(bytes.len())),
        }
        fs::write(path, &bytes).expect("it is ours");
        let said = if round % 2 == 0 {
            ground.dnf("node", &["list"])
        } else {
            ground.dnf("node", &["repoquery", "-l", "many*"])
        };
        assert_eq!(said.code, 0, "{round} {path}: {}", said.err);
        assert_eq!(
            said.out,
            if round % 2 == 0 { list.as_str() } else { expected.as_str() },
            "{round} {path}"
        );
    }
    assert_eq!(ground.dnf("node", &["list"]).good().out, list);
    // Without leave to fetch there is a word, not a signal.
    for path in paths.iter().filter(|path| path.contains("primary")) {
        fs::write(path, "SOLV").expect("it is ours");
    }
    let said = ground.dnf("node", &["-C", "repoquery"]);
    assert!(said.code == 1 && said.err.contains("no metadata here that can be used"), "{}", said.err);
    assert_eq!(ground.dnf("node", &["repoquery", "-l", "many*"]).good().out, expected);
}

#[test]
fn servers_name_no_files_of_this_machine() {
    let ground = Ground::new();
    ground.publish("main", &[small("one", &[])]);
    ground.create("node", None);
    let lists = ground.pool.mkdir("lists");
    let file = format!("file://{}", ground.repo("main").display());
    fs::write(lists.join("files"), format!("{file}\n")).expect("it is ours");
    fs::write(
        lists.join("metalink"),
        format!("<metalink><files><file name=\"repomd.xml\"><resources><url>{file}/repodata/repomd.xml</url></resources></file></files></metalink>"),
    )
    .expect("it is ours");
    let served = Served::start(&lists);
    let write = |key: &str, url: &str| {
        let text = format!("[mirrors]\nname=m\n{key}={url}\n");
        fs::write(ground.node("node/etc/yum.repos.d/mirrors.repo"), text).expect("it is ours");
    };
    fs::create_dir_all(ground.node("node/etc/yum.repos.d")).expect("it is ours");
    for (key, name, words) in [
        ("mirrorlist", "files", "names a mirror by `file://`"),
        ("mirrorlist", "metalink", "no mirror"),
        ("metalink", "metalink", "no mirror"),
    ] {
        write(key, &format!("{}/{name}", served.url));
        let said = ground.dnf("node", &["makecache"]);
        assert_eq!(said.code, 1, "{key} {name}: {}", said.err);
        assert!(said.err.contains(words), "{key} {name}: {}", said.err);
    }
    // A list that is a file here was written by whoever may name files here.
    write("mirrorlist", &format!("file://{}/files", lists.display()));
    assert!(ground.dnf("node", &["repoquery"]).good().out.contains("one-1"));
}

#[test]
fn no_package_steers_a_terminal() {
    // rpmbuild takes no such characters from a file, but from a command.
    const EVIL: &str = "%{evil}";
    let ground = Ground::of_this_machine(&[]);
    let dir = ground.pool.mkdir("repos/main");
    let text = ground.pool.write("evil", "\x1b]0;TITLE\x07\x1b[2J\u{9b}31m\u{202e}end");
    let define = format!("%global evil %(cat {})", text.display());
    let spec = format!(
        "{define}\nName: evil\nVersion: 1\nRelease: 1\nSummary: summary {EVIL}\nLicense: license {EVIL}\nVendor: vendor {EVIL}\n\
         URL: http://{EVIL}\nBuildArch: noarch\n%description\nfirst {EVIL}\nsecond {EVIL}\n%install\n\
         mkdir -p %{{buildroot}}/usr/share/evil\necho x > '%{{buildroot}}/usr/share/evil/f\u{202e}end'\n\
         %files\n/usr/share/evil\n%post\nprintf 'out \\033]0;T\\007 end\\n'\nprintf x > '/usr/share/g{EVIL}'\n"
    );
    let spec = ground.pool.write("evil.spec", spec);
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}/top", ground.pool.path().display()));
    build.arg("--define").arg(format!("_rpmdir {}", dir.display()));
    run(build.arg(&spec)).good();
    let package = dir.join("noarch/evil-1-1.noarch.rpm").to_string_lossy().into_owned();
    // createrepo_c 1 (Debian trixie and later) leaves such packages out, and would have to be written anew for them.
    let version = run(Command::new("createrepo_c").arg("--version")).good().out;
    if !version.contains("Version: 0.") {
        red_tests::remark("createrepo_c writes no such metadata");
        return;
    }
    ground.maker.index(&dir);
    ground.create("node", Some("main"));
    let steers =
        |text: &str| text.contains(|c: char| c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}');
    let commands: &[&[&str]] = &[
        &["info", "evil"],
        &["search", "summary"],
        &["search", "--all", "second"],
        &["list", "--available"],
        &["provides", "evil"],
        &["repoquery", "--provides", "evil"],
        &["--assumeno", "install", &package],
        &["-y", "install", &package],
        &["info", "evil"],
        &["search", "summary"],
        &["repoquery", "--installed", "-l", "evil"],
        &["--json", "info", "evil"],
        &["check", "--files"],
        &["why", "evil"],
        &["history"],
        &["history", "info", "1"],
        &["-y", "reinstall", &package],
        &["-y", "remove", "evil"],
        &["repoquery", "-l", "evil"],
        &["--json", "repoquery", "evil"],
        &["--json", "info", "evil"],
        &["--assumeno", "install", "evil"],
        &["-y", "install", "evil"],
        &["history"],
        &["history", "info", "1"],
        &["list"],
        &["info", "evil"],
        &["check", "--files"],
        &["why", "evil"],
        &["-y", "reinstall", "evil"],
        &["-y", "remove", "evil"],
    ];
    let mut shown = 0;
    for command in commands {
        let said = ground.dnf("node", command);
        assert!(!steers(&said.out) && !steers(&said.err), "{command:?}: {:?} {:?}", said.out, said.err);
        shown += said.out.matches('\u{fffd}').count();
    }
    assert!(shown > 20, "its texts were shown: {shown}");
    // rpm's own words on a terminal, and its own bytes elsewhere.
    ground.dnf("node", &["-y", "install", &package]).good();
    assert!(ground.rpm("node", &["-qi", "evil"]).good().out.contains('\u{1b}'));
    let on_terminal = |args: &str| {
        let program = red_tests::call::built("red-dnf");
        let line = format!(
            "exec -a red-rpm {} --redpath {} {args}",
            program.display(),
            ground.node("node").display()
        );
        let mut script = Command::new("script");
        script.args(["-qec", &format!("bash -c '{line}'"), "/dev/null"]);
        run(script.env("NODE_PREFIX", ground.pool.join("prefix")).stdin(std::process::Stdio::null())).out
    };
    for args in ["-qi evil", "-ql evil", "-q --scripts evil", "-V evil"] {
        let text = on_terminal(args).replace("\r\n", "\n");
        assert!(!steers(&text), "{args}: {text:?}");
        assert!(args.starts_with("-V") || text.contains("end"), "{args}: {text:?}");
    }
}

#[test]
fn contents_lead_the_store_nowhere() {
    let ground = Ground::new();
    ground.publish("main", &[small("data", &[("/var/data/a", "a"), ("/var/data/b", "b")])]);
    ground.create("node", Some("main"));
    let node = ground.node("node");
    let outside = ground.pool.mkdir("outside");
    // A node that no transaction has touched, as red-pak made them.
    fs::create_dir_all(node.join("var/lib")).expect("it is ours");
    for (at, way) in ["var/lib/rpm", "var/lib"].into_iter().enumerate() {
        let aside = ground.pool.join(format!("aside{at}"));
        if node.join(way).exists() {
            fs::rename(node.join(way), &aside).expect("it is ours");
        }
        symlink(&outside, node.join(way)).expect("it is ours");
        run(Command::new("cp").arg("-a").arg(ground.pool.join("core-db")).arg(outside.join("rpm"))).good();
        run(Command::new("cp").args(["-a", "-T"]).arg(ground.pool.join("core-db")).arg(&outside)).good();
        for command in [&["list"][..], &["-y", "install", "data"], &["check"]] {
            let said = ground.dnf("node", command);
            assert_eq!(said.code, 1, "{way} {command:?}: {}", said.out);
            assert!(said.err.contains("no package database of the node"), "{way} {command:?}: {}", said.err);
        }
        fs::remove_file(node.join(way)).expect("it is ours");
        if aside.exists() {
            fs::rename(&aside, node.join(way)).expect("it is ours");
        }
        drop(fs::remove_dir_all(outside.join("rpm")));
    }
    fs::create_dir_all(node.join("var/lib/rpm")).expect("it is ours");
    symlink("/etc/shadow", node.join("var/lib/rpm/rpmdb.sqlite")).expect("it is ours");
    let said = ground.dnf("node", &["list"]);
    assert!(said.code == 1 && said.err.contains("rpmdb.sqlite"), "{}", said.err);
    fs::remove_dir_all(node.join("var/lib/rpm")).expect("it is ours");
    ground.dnf("node", &["-y", "install", "data"]).good();
    assert_eq!(ground.dnf("node", &["check", "--files"]).good().out, "");
    // Files of packages in `var`, replaced by what would be waited for, or read elsewhere.
    fs::remove_file(node.join("var/data/a")).expect("it is ours");
    run(Command::new("mkfifo").arg(node.join("var/data/a"))).good();
    fs::write(outside.join("b"), "b").expect("it is ours");
    let said = ground.dnf("node", &["check", "--files"]);
    assert!(
        said.code == 1 && said.out.contains("/var/data/a") && !said.out.contains("/var/data/b"),
        "{}",
        said.out
    );
    fs::rename(node.join("var/data"), node.join("var/gone")).expect("it is ours");
    symlink(&outside, node.join("var/data")).expect("it is ours");
    let said = ground.dnf("node", &["check", "--files"]);
    assert!(said.out.contains("/var/data/b of data-1-1.noarch is missing"), "{}", said.out);
}

/// A generation has names of its own right below its root. Whatever a package or scriptlet makes of them,
/// nothing is written through it.
#[test]
fn a_generations_own_names_lead_nowhere() {
    let ground = Ground::of_this_machine(&[]);
    let away = ground.pool.write("away", "as it was");
    let link = format!("ln -s {0} /.generation.json; ln -s {0} /.var", away.display());
    let pipe = "mkfifo /.generation.json; mkdir /.var; echo x > /.var/x";
    ground.publish(
        "main",
        &[
            Small { post: &link, ..small("link", &[("/usr/share/l", "l")]) },
            Small { post: pipe, ..small("pipe", &[("/usr/share/p", "p")]) },
            small("named", &[("/.generation.json", "{}")]),
            small("data", &[("/.var/x", "x")]),
        ],
    );
    ground.create("node", Some("main"));
    for name in ["named", "data"] {
        let said = ground.dnf("node", &["-y", "install", name]);
        assert_eq!(said.code, 1, "{name}: {}", said.err);
        assert!(said.err.contains("a generation keeps for itself"), "{name}: {}", said.err);
    }
    for name in ["link", "pipe"] {
        ground.dnf("node", &["-y", "install", name]).good();
        let current = fs::canonicalize(ground.node("node/.red/current")).expect("there is one");
        let about = fs::symlink_metadata(current.join(".generation.json")).expect("it is described");
        assert!(about.is_file() && !current.join(".var").exists(), "{name}");
    }
    assert_eq!(fs::read_to_string(&away).expect("it is ours"), "as it was");
    assert_eq!(ground.rpm_says("node"), ["link-1", "pipe-1"]);
}

/// Whoever may write to the root of a generation, to its database or to a directory that its configuration
/// will be in decides for the node later.
#[test]
fn scriptlets_open_nothing_to_others() {
    let ground = Ground::of_this_machine(&[]);
    let open = "chmod 777 / /var/lib/rpm; chmod 666 /var/lib/rpm/*; \
                mkdir -p /etc/rpm /etc/zypp /etc/pki/rpm-gpg; chmod 777 /etc/rpm /etc/zypp /etc/pki /etc/pki/rpm-gpg; \
                chown 1234 /etc/rpm /var/lib/rpm";
    ground.publish("main", &[Small { post: open, ..small("open", &[("/usr/share/o", "o")]) }]);
    ground.create("node", Some("main"));
    let said = ground.dnf("node", &["-y", "install", "open"]).good();
    assert!(said.err.contains("/etc/rpm: a scriptlet changed it"), "{}", said.err);
    let current = fs::canonicalize(ground.node("node/.red/current")).expect("there is one");
    let own = fs::metadata(ground.node("node")).expect("it is there").uid();
    let mut seen = 0;
    for below in ["", "var/lib/rpm", "etc", "etc/rpm", "etc/zypp", "etc/pki", "etc/pki/rpm-gpg"] {
        let dir = current.join(below);
        let Ok(facts) = fs::metadata(&dir) else { continue };
        let files = fs::read_dir(&dir).expect("it is open").flatten().filter(|_| below == "var/lib/rpm");
        let files = files.map(|entry| (entry.path(), entry.metadata().expect("it is there")));
        for (path, facts) in files.chain([(dir.clone(), facts)]) {
            seen += 1;
            let mode = facts.permissions().mode() & 0o022;
            assert_eq!((mode, facts.uid()), (0, own), "{}", path.display());
        }
    }
    assert!(seen > 4, "only {seen}");
}

/// An index of rpm's database is a table like any other: who hides a key from it hides nothing.
#[test]
fn a_key_that_the_index_does_not_have_is_found() {
    let ground = Ground::of_this_machine(&[]);
    let key = fs::read_to_string(ground.maker.key()).expect("it is there");
    let insert = format!(
        "cat > /tmp/key <<'EOF'\n{key}\nEOF\nmkdir /tmp/db; rpmkeys --dbpath /tmp/db --import /tmp/key\n\
         cat > /tmp/insert.py <<'EOF'\nimport sqlite3\n\
         blob = sqlite3.connect('/tmp/db/rpmdb.sqlite').execute('select blob from Packages').fetchone()[0]\n\
         db = sqlite3.connect('/var/lib/rpm/rpmdb.sqlite', timeout=20)\n\
         db.execute('insert into Packages (hnum, blob) values (7777, ?)', (blob,))\n\
         db.commit()\nEOF\npython3 /tmp/insert.py && echo inserted"
    );
    ground.publish("main", &[Small { post: &insert, ..small("insert", &[("/usr/share/i", "i")]) }]);
    ground.create("node", Some("main"));
    let said = ground.dnf("node", &["-y", "install", "insert"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("put a key into it that its index does not lead to"), "{}", said.err);
}
