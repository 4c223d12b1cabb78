//! Whose links are believed, and what becomes of a path that somebody else can lead elsewhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::broom::{Bound, User};
use red_tests::call::{Said, red_conf, red_wrap, run};
use red_tests::skip;
use red_tests::stage::{CORE, Stage};

const PRIVILEGED: &str = "config: {path: /usr/bin, unsafe: true, capabilities: [{cap: ALL, add: 1}]}";

/// A stage, a directory for the host's own configuration, and somebody else.
struct Host {
    stage: Stage,
    prefix: PathBuf,
    user: User,
}

impl Host {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("needs root: what is believed of others is the question");
            return None;
        }
        let stage = Stage::new();
        let prefix = stage.pool.mkdir("prefix");
        fs::create_dir_all(prefix.join("etc/redpak")).expect("it is ours");
        let host = Self { stage, prefix, user: User::make() };
        host.policy("");
        Some(host)
    }

    fn at(&self, below: &str) -> PathBuf {
        self.stage.pool.join(below)
    }

    /// Writes the policy: the stage's pool, and more.
    fn policy(&self, more: &str) {
        let text = format!("pools: [{{path: {}}}]\n{more}", self.stage.pool.path().display());
        fs::write(self.prefix.join("etc/redpak/policy.yaml"), text).expect("it is ours");
    }

    fn wrap(&self, options: &[&str], redpath: &Path, script: &str) -> Said {
        let mut wrap = red_wrap(&self.stage.root);
        wrap.env("NODE_PREFIX", &self.prefix).arg(format!("--redpath={}", redpath.display()));
        run(wrap.args(options).args(["--", "sh", "-c", script]))
    }

    fn check(&self, redpath: &Path, args: &[&str]) -> Said {
        run(red_conf().env("NODE_PREFIX", &self.prefix).arg("check").args(args).arg(redpath))
    }

    /// A symbolic link that is the user's.
    fn theirs(&self, target: impl AsRef<Path>, link: impl AsRef<Path>) {
        symlink(target, &link).expect("root may write there");
        lchown(&link, Some(self.user.uid), Some(self.user.uid)).expect("root gives files away");
    }

    /// A directory that is the user's.
    fn their_dir(&self, below: &str) -> PathBuf {
        let dir = self.stage.pool.mkdir(below);
        chown(&dir, Some(self.user.uid), Some(self.user.uid)).expect("root gives files away");
        dir
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn refused(said: &Said, code: &str, words: &[&str]) {
    assert!(said.code == 125 || said.code == 1, "{}: {}{}", said.code, said.out, said.err);
    assert!(!said.out.contains("ran"), "it ran");
    assert!(said.err.contains(&format!("error[{code}]")), "{code}: {}", said.err);
    for word in words {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
}

const CAPABILITIES: &str = "grep CapEff /proc/self/status";
const NONE: &str = "CapEff:\t0000000000000000\n";

#[test]
fn links_of_others_make_no_elder() {
    let Some(host) = Host::new() else { return };
    let privileged = host.stage.pool.node("priv", &format!("{PRIVILEGED}\n{CORE}"));
    let leaf = host.at("core/mid");
    assert_eq!(host.wrap(&[], &leaf, CAPABILITIES).good().out, NONE);
    // A link of root's says what root says, be it wise or not.
    let pool = host.stage.pool.path().to_owned();
    symlink("priv/.rednode.yaml", pool.join(".rednode.yaml")).expect("it is ours");
    symlink("priv/etc", pool.join("etc")).expect("it is ours");
    assert_ne!(host.wrap(&[], &leaf, CAPABILITIES).good().out, NONE);
    for name in [".rednode.yaml", "etc"] {
        fs::remove_file(pool.join(name)).expect("it is ours");
    }
    mode(&pool, 0o1777);
    host.theirs("priv/.rednode.yaml", pool.join(".rednode.yaml"));
    host.theirs("priv/etc", pool.join("etc"));
    let said = host.wrap(&[], &leaf, CAPABILITIES).good();
    assert_eq!(said.out, NONE);
    assert!(said.err.contains("is ignored: it belongs to user"), "{}", said.err);
    // With a status of root's in the way, the link to a configuration is refused by itself.
    fs::remove_file(pool.join(".rednode.yaml")).expect("root may");
    symlink("priv/.rednode.yaml", pool.join(".rednode.yaml")).expect("it is ours");
    refused(&host.wrap(&[], &leaf, "echo ran"), "node-owner", &["the symbolic link", "/etc belongs to user"]);
    for name in [".rednode.yaml", "etc"] {
        fs::remove_file(pool.join(name)).expect("root may");
    }
    // An admin file likewise.
    host.stage.pool.write("priv/etc/redpak-admin.yaml", format!("headers: {{alias: a}}\n{PRIVILEGED}\n"));
    mode(&host.at("core/etc"), 0o1777);
    host.theirs(privileged.join("etc/redpak-admin.yaml"), host.at("core/etc/redpak-admin.yaml"));
    refused(&host.wrap(&["--admin"], &leaf, "echo ran"), "unreadable", &["leads out of the node"]);
    host.stage.pool.write("core/adm.yaml", format!("headers: {{alias: a}}\n{PRIVILEGED}\n"));
    fs::remove_file(host.at("core/etc/redpak-admin.yaml")).expect("root may");
    host.theirs("../adm.yaml", host.at("core/etc/redpak-admin.yaml"));
    refused(
        &host.wrap(&["--admin"], &leaf, "echo ran"),
        "node-owner",
        &["core/etc/redpak-admin.yaml belongs to"],
    );
}

#[test]
fn the_hosts_configuration_is_not_read_through_links_of_others() {
    let Some(host) = Host::new() else { return };
    let leaf = host.at("core/mid");
    let etc = host.prefix.join("etc/redpak");
    let home = host.their_dir("home");
    let real = host.stage.pool.mkdir("real");
    fs::rename(etc.join("policy.yaml"), real.join("policy.yaml")).expect("it is ours");
    fs::write(real.join("main.yaml"), "headers: {alias: main}\n").expect("it is ours");
    host.theirs(&real, home.join("cur"));
    for (name, code) in [("policy.yaml", "policy-owner"), ("main.yaml", "node-owner")] {
        let link = etc.join(name);
        symlink(home.join("cur").join(name), &link).expect("it is ours");
        let said = host.wrap(&[], &leaf, "echo ran");
        refused(&said, code, &[&home.join("cur").display().to_string()]);
        // Through a link of root's in a directory of root's it is fine.
        fs::remove_file(&link).expect("it is ours");
        symlink(real.join(name), &link).expect("it is ours");
        host.wrap(&[], &leaf, "true").good();
        fs::remove_file(&link).expect("it is ours");
        if name == "policy.yaml" {
            // Not even for there being none: whoever owns the link says so.
            symlink(home.join("cur/none.yaml"), &link).expect("it is ours");
            refused(&host.wrap(&[], &leaf, "echo ran"), "unreadable", &["none.yaml, which is missing"]);
            fs::remove_file(&link).expect("it is ours");
        }
        host.policy("");
    }
    fs::remove_dir_all(&etc).expect("it is ours");
    host.theirs(&real, &etc);
    refused(&host.wrap(&[], &leaf, "echo ran"), "policy-owner", &["etc/redpak"]);
    fs::remove_file(&etc).expect("root may");
    symlink(&real, &etc).expect("it is ours");
    host.wrap(&[], &leaf, "true").good();
}

#[test]
fn templates_of_others_make_no_node_of_roots() {
    let Some(host) = Host::new() else { return };
    let templates = host.stage.pool.mkdir("prefix/etc/redpak/templates.d");
    let home = host.their_dir("home");
    let real = host.stage.pool.write("real/mine-normal.yaml", "headers: {alias: leaf}\n");
    host.theirs(&real, home.join("cur.yaml"));
    let create = |name: &str| {
        let node = host.at(name);
        run(red_conf().env("NODE_PREFIX", &host.prefix).args(["create", "-a", "x", "-c", "mine"]).arg(&node))
    };
    let link = templates.join("mine-normal.yaml");
    symlink(home.join("cur.yaml"), &link).expect("it is ours");
    let said = create("made");
    assert!(said.code == 1 && said.err.contains("home belongs to user"), "{}{}", said.out, said.err);
    assert!(!host.at("made").exists());
    fs::remove_file(&link).expect("it is ours");
    symlink(&real, &link).expect("it is ours");
    create("made").good();
}

#[test]
fn links_of_the_host_that_lead_nowhere_are_not_made_by_what_runs() {
    let Some(host) = Host::new() else { return };
    let data = host.stage.pool.mkdir("outside/data");
    let pool = host.stage.pool.path().display().to_string();
    let pools = format!("pools: [{{path: {pool}/core}}, {{path: {pool}/plink}}]\n");
    fs::write(host.prefix.join("etc/redpak/policy.yaml"), &pools).expect("it is ours");
    let export = format!("exports: [{{mode: Public, mount: /x, path: {}}}]", data.display());
    let leaf = host.stage.pool.node("core/mid/x", &export);
    host.wrap(&[], &leaf, "touch /x/made").good();
    for link in ["prefix/etc/redpak/policy.yaml", "prefix/etc/redpak/main.yaml"] {
        let at = host.at(link);
        let aside = at.with_extension("aside");
        if at.exists() {
            fs::rename(&at, &aside).expect("it is ours");
        }
        symlink(data.join("target.yaml"), &at).expect("it is ours");
        let words = [&*format!("{} leads to", at.display()), "target.yaml, which is missing"];
        refused(&host.wrap(&[], &leaf, "echo ran; touch /x/target.yaml"), "unreadable", &words);
        fs::remove_file(&at).expect("it is ours");
        if aside.exists() {
            fs::rename(&aside, &at).expect("it is ours");
        }
    }
    // A pool, templates and one template need not be there, but are not made either.
    host.stage.pool.mkdir("prefix/etc/redpak/templates.d");
    for link in ["plink", "prefix/etc/redpak/templates.d/leaf.yaml", "prefix/etc/redpak/templates.d"] {
        let at = host.at(link);
        if at.is_dir() {
            fs::remove_dir_all(&at).expect("it is ours");
        }
        symlink(data.join("target"), &at).expect("it is ours");
        refused(&host.wrap(&[], &leaf, "echo ran; mkdir /x/target"), "export-decides", &["data/target"]);
        fs::remove_file(&at).expect("it is ours");
        host.wrap(&[], &leaf, "true").good();
    }
    assert!(!data.join("target").exists() && !data.join("target.yaml").exists());
}

/// Writes a node that can be read, and gives it away.
fn node_at(path: &Path, owner: u32) {
    fs::create_dir_all(path.join("etc")).expect("root may");
    fs::write(path.join("etc/redpak.yaml"), "headers: {alias: n}\n").expect("root may");
    let status = format!("realpath: {}\ntimestamp: 1\nstate: Enable\n", path.display());
    fs::write(path.join(".rednode.yaml"), status).expect("root may");
    for part in ["etc/redpak.yaml", "etc", ".rednode.yaml", ""] {
        chown(path.join(part), Some(owner), Some(owner)).expect("root gives files away");
    }
}

#[test]
fn a_user_namespace_does_not_believe_strangers() {
    let Some(host) = Host::new() else { return };
    let alice = User::make();
    if run(alice.command("unshare").args(["-r", "true"])).code != 0 {
        return skip("needs user namespaces of ordinary users");
    }
    host.stage.pool.install("red-runtime", "red-conf");
    let program = host.at("red-conf");
    let check = |inside: bool, node: &Path| {
        let mut command = if inside { alice.command("unshare") } else { alice.command(&program) };
        if inside {
            command.arg("-r").arg(&program);
        }
        run(command.env("NODE_PREFIX", &host.prefix).arg("check").arg(node))
    };
    // Not below /tmp, where everybody can make what is no longer told apart from root's.
    let place = tempfile::tempdir_in("/var/lib").expect("root may");
    mode(place.path(), 0o755);
    let dir = |name: &str, owner: u32| {
        let dir = place.path().join(name);
        fs::create_dir(&dir).expect("root may");
        chown(&dir, Some(owner), Some(owner)).expect("root gives files away");
        dir
    };
    fs::remove_file(host.prefix.join("etc/redpak/policy.yaml")).expect("it is ours");
    let shared = dir("shared", 0);
    mode(&shared, 0o1777);
    let node = shared.join("an");
    node_at(&node, alice.uid);
    for inside in [false, true] {
        check(inside, &node).good();
    }
    // An elder by somebody else.
    node_at(&shared, host.user.uid);
    chown(&shared, Some(0), Some(0)).expect("root takes it back");
    refused(&check(true, &node), "node-owner", &[".rednode.yaml", "does not map"]);
    check(false, &node).good();
    // A whole node of somebody else, and one of root's that is in no pool: they look the same.
    let (theirs, listed) = (dir("theirs", host.user.uid), dir("listed", 0));
    node_at(&theirs.join("node"), host.user.uid);
    refused(&check(true, &theirs.join("node")), "node-owner", &["does not map"]);
    refused(&check(false, &theirs.join("node")), "node-owner", &["belongs to user"]);
    node_at(&listed.join("node"), 0);
    check(false, &listed.join("node")).good();
    refused(&check(true, &listed.join("node")), "node-owner", &["list its pool"]);
    // The policy cannot be told to be root's in /tmp, either.
    let etc = place.path().join("etc/redpak");
    fs::create_dir_all(&etc).expect("root may");
    let text = format!("pools: [{{path: {}}}]\n", listed.display());
    fs::write(etc.join("policy.yaml"), text).expect("root may");
    let check = |inside: bool, prefix: &Path| {
        let mut command = if inside { alice.command("unshare") } else { alice.command(&program) };
        if inside {
            command.arg("-r").arg(&program);
        }
        run(command.env("NODE_PREFIX", prefix).arg("check").arg(listed.join("node")))
    };
    check(true, place.path()).good();
    fs::write(host.prefix.join("etc/redpak/policy.yaml"), "pools: []\n").expect("it is ours");
    refused(&check(true, &host.prefix), "policy-owner", &[]);
    // Not in a pool that others may write to.
    mode(&listed, 0o1777);
    refused(&check(true, place.path()), "node-owner", &["does not map"]);
}

#[test]
fn who_owns_a_pool_is_not_for_those_above_it_to_say() {
    let Some(host) = Host::new() else { return };
    let home = host.their_dir("home");
    let node = host.stage.pool.node("home/pool/core", &format!("config: {{path: /usr/bin}}\n{CORE}"));
    let list = |path: &Path, owner: &str| {
        let text = format!("pools: [{{path: {}{owner}}}]\n", path.display());
        fs::write(host.prefix.join("etc/redpak/policy.yaml"), text).expect("it is ours");
    };
    let give = || {
        let uid = host.user.uid.to_string();
        assert_eq!(run(Command::new("chown").args(["-R", &uid]).arg(home.join("pool"))).code, 0);
    };
    let owner = format!(", owner: {}", host.user.name);
    list(&home.join("pool"), "");
    let words = ["whoever owns it can exchange pool", "name the pool's `owner`"];
    refused(&host.wrap(&[], &node, "echo ran"), "node-owner", &words);
    list(&home.join("pool"), ", owner: root");
    host.wrap(&[], &node, "true").good();
    give();
    refused(&host.wrap(&[], &node, "echo ran"), "node-owner", &[]);
    list(&home.join("pool"), "");
    refused(&host.wrap(&[], &node, "echo ran"), "node-owner", &words);
    list(&home.join("pool"), &owner);
    host.wrap(&[], &node, "true").good();
    // By a link of the owner's, and not by one of somebody else.
    fs::rename(home.join("pool"), home.join("real")).expect("it is ours");
    host.theirs("real", home.join("pool"));
    let moved = home.join("real/core");
    host.wrap(&["--unsafe"], &moved, "true").good();
    list(&home.join("pool"), ", owner: root");
    refused(&host.wrap(&["--unsafe"], &moved, "echo ran"), "node-owner", &[]);
    assert!(host.check(&moved, &["--engine"]).err.contains("is not used"), "and says why");
    // Whoever comes first in a directory for everybody is no owner.
    let sticky = host.stage.pool.mkdir("sticky");
    mode(&sticky, 0o1777);
    fs::rename(home.join("real"), sticky.join("pool")).expect("it is ours");
    list(&sticky.join("pool"), "");
    refused(&host.wrap(&["--unsafe"], &sticky.join("pool/core"), "echo ran"), "node-owner", &[]);
    mode(&sticky, 0o755);
    host.wrap(&["--unsafe"], &sticky.join("pool/core"), "true").good();
}

#[test]
fn a_redpath_through_a_link_of_contents_names_no_node() {
    let Some(host) = Host::new() else { return };
    let data = "exports: [{mode: Private, mount: /d, path: $NODE_PATH/data}]";
    host.stage.pool.mkdir("core/mid/data");
    host.stage.pool.node("core/mid", data);
    let sibling = host.stage.pool.node("core/sibling", "");
    let stranger = host.stage.pool.node("other", &format!("{PRIVILEGED}\n{CORE}"));
    let inside = host.stage.pool.node("core/mid/app", "");
    for target in [&sibling, &stranger, &inside] {
        let made = format!("ln -sfn {} /d/cur", target.display());
        host.wrap(&[], &host.at("core/mid"), &made).good();
        let words = ["core/mid/data/cur", "which node `mid` exports writable"];
        refused(&host.wrap(&[], &host.at("core/mid/data/cur"), "echo ran"), "node-writable", &words);
        refused(&host.check(&host.at("core/mid/data/cur"), &["--engine"]), "node-writable", &words);
        host.wrap(&[], target, "true").good();
        // A link beside the exports is whose it is.
        let link = host.at("core/mid/link");
        symlink(target, &link).expect("it is ours");
        host.wrap(&[], &link, "true").good();
        fs::remove_file(&link).expect("it is ours");
        host.theirs(target, &link);
        refused(&host.wrap(&[], &link, "echo ran"), "node-owner", &["the symbolic link"]);
        fs::remove_file(&link).expect("root may");
    }
    // Whoever makes a link in a directory of their own may use it.
    let program = host.at("red-conf");
    host.stage.pool.install("red-runtime", "red-conf");
    let home = host.their_dir("home");
    host.theirs(host.at("core/sibling"), home.join("mine"));
    let check = run(host.user.command(&program).arg("check").arg(home.join("mine")));
    assert_eq!(check.code, 0, "{}", check.err);
    refused(&host.wrap(&[], &home.join("mine"), "echo ran"), "node-owner", &["belongs to user"]);
}

#[test]
fn a_bind_mount_of_a_node_is_not_where_it_was_made() {
    let Some(host) = Host::new() else { return };
    let core = fs::read_to_string(host.at("core/etc/redpak.yaml")).expect("it is there");
    let closed = core.replace("config: {", "config: {share_net: Disabled, ");
    fs::write(host.at("core/etc/redpak.yaml"), closed).expect("it is ours");
    let open = format!("config: {{path: /usr/bin, share_net: Enabled}}\n{CORE}");
    let node = host.stage.pool.node("core/open", &open);
    refused(&host.wrap(&[], &node, "echo ran"), "share-loosened", &[]);
    let alias = host.stage.pool.mkdir("alias");
    let bound = Bound::mount(&node, &alias);
    refused(&host.wrap(&[], &alias, "echo ran"), "node-moved", &[&node.display().to_string()]);
    drop(bound);
    // Its record may be spelled by a link.
    symlink(host.at("core"), host.at("short")).expect("it is ours");
    let status = fs::read_to_string(host.at("core/mid/.rednode.yaml")).expect("it is there");
    let status = status
        .replace(&host.at("core/mid").display().to_string(), &host.at("short/mid").display().to_string());
    fs::write(host.at("core/mid/.rednode.yaml"), status).expect("it is ours");
    host.wrap(&[], &host.at("core/mid"), "true").good();
    host.wrap(&[], &host.at("short/mid"), "true").good();
}

#[test]
fn what_others_plant_neither_stops_nodes_nor_is_listed() {
    let Some(host) = Host::new() else { return };
    let pool = host.stage.pool.path().to_owned();
    let leaf = host.at("core/mid");
    let status = pool.join(".rednode.yaml");
    mode(&pool, 0o1777);
    for kind in ["mkfifo", "mkdir", "touch", "ln -s loop"] {
        let mut shell = host.user.command("sh");
        let made = run(shell
            .args(["-c", &format!("{kind} \"$1\"; ln -sn /none \"$1\" 2>/dev/null"), "sh"])
            .arg(&status));
        assert!(fs::symlink_metadata(&status).is_ok(), "{kind}: {}", made.err);
        let said = host.wrap(&[], &leaf, "echo ran").good();
        assert!(said.out == "ran\n" && said.err.contains("is ignored"), "{kind}: {}", said.err);
        let tree = run(red_conf().arg("tree").arg(&pool)).good();
        assert!(tree.out.contains("mid  Enable"), "{}", tree.out);
        if fs::symlink_metadata(&status).is_ok_and(|facts| facts.is_dir()) {
            fs::remove_dir_all(&status).expect("root may");
        } else {
            fs::remove_file(&status).expect("root may");
        }
    }
    mode(&pool, 0o755);
    // What contents make is no node, and does not keep the list from being made.
    host.stage.pool.mkdir("core/mid/data");
    host.stage.pool.node("core/mid", "exports: [{mode: Public, mount: /d, path: $NODE_PATH/data}]");
    host.stage.pool.node("core/mid/data/fake", "");
    let fifo = host.stage.pool.mkdir("core/mid/data/bad").join(".rednode.yaml");
    assert_eq!(run(Command::new("mkfifo").arg(&fifo)).code, 0);
    let tree = run(red_conf().args(["tree", "-r"]).arg(&pool)).good();
    assert!(!tree.out.contains("fake") && tree.out.contains("app  Enable"), "{}", tree.out);
}

#[test]
fn what_the_policy_allows_is_found_through_links_of_roots() {
    let Some(host) = Host::new() else { return };
    let leaf =
        host.stage.pool.node("core/mid/x", "exports: [{mode: Restricted, mount: /k, path: /sys/kernel/mm}]");
    let link = host.at("kernel");
    let allow = |entry: &str| host.policy(&format!("exports: {{allow: [{entry}]}}\n"));
    refused(&host.wrap(&[], &leaf, "echo ran"), "export-kernel", &[]);
    symlink("/sys/kernel", &link).expect("it is ours");
    let shown = link.display();
    for entry in [format!("{shown}/"), format!("{shown}/mm"), format!("{shown}/mm/")] {
        allow(&entry);
        host.wrap(&[], &leaf, "test -d /k").good();
    }
    allow(&format!("{shown}/m"));
    refused(&host.wrap(&[], &leaf, "echo ran"), "export-kernel", &[]);
    // A link of somebody else's would say what is allowed.
    fs::remove_file(&link).expect("it is ours");
    host.theirs("/sys/kernel", &link);
    allow(&format!("{shown}/"));
    refused(&host.wrap(&[], &leaf, "echo ran"), "export-kernel", &[]);
}
