//! Trees of red-pak 2.5 work unchanged, for root and for an ordinary user.

use std::path::PathBuf;

use red_tests::broom::User;
use red_tests::call::{Said, conf, run};
use red_tests::pool::Pool;
use red_tests::skip;

/// The core OS's layer as it was deployed: a node of its own, in the old spelling of file names,
/// keys and words as people wrote them.
const CORE: &str = "#---------------------------
# core OS, written by hand
#---------------------------
headers:
  alias: core-os
  name: 0a1b2c3d
  info: Node created by builder(localhost.localdomain) the 16-May-2022 May:29 (CEST)

config:
    # package tools
    rpmdir: /var/lib/rpm
    persistdir: /var/lib/dnf
    cachedir: $NODE_PATH/var/cache/dnf
    gpgcheck: true
    verbose: 0
    maxage: 0
    inherit: true
    umask: 027
    path: '/bin'
    ldpath: '/lib64'
    share_all: disabled
    share_user: unset
    share_cgroup: unset
    share_net: enabled
    share_pid: unset
    share_ipc: unset
    share_time: unset
    hostname: $LEAF_ALIAS
    chdir: /home/$LEAF_ALIAS
    die-with-parent: enabled
    new-session: unset
    cgrouproot: /sys/fs/cgroup/user.slice/user-$UID.slice/user@$UID.service

environ:
  - key: PS1
    value: Rednode($LEAF_ALIAS)>
    mode: Default
  - key: SHELL_SESSION_ID
    mode: Remove
  - key: HOME
    value: /home/$LEAF_ALIAS

exports:
  - mode: Public
    mount: /run/systemd/notify
    path: /run/systemd/notify
  - mode: Public
    mount: /run/user/$UID
    path: /run/user/$UID
  - mount: /lib64
    path: /usr/lib64
    mode: Restricted
  - mount: /lib
    path: /usr/lib
    mode: Restricted
  - mount: /bin
    path: /usr/bin
    mode: Restricted
  - mount: /etc/resolv.conf
    path: /etc/resolv.conf
    mode: Restricted
  - mount: /home/$LEAF_ALIAS
    path: /nodes/_private
    mode: Symlink
  - mount: /var
    mode: Anonymous
  - mount: /etc/passwd
    path: getent passwd $UID 65534
    mode: Execfd
  - mount: /etc/group
    path: getent group $(id -g) 65534
    mode: Execfd
  - mount: /proc
    mode: Procfs
  - mount: /dev
    mode: Devfs
  - mount: /tmp
    mode: Tmpfs
  - mount: /run
    mode: Anonymous
  - mount: /usr/lib/rpm
    path: /lib/rpm
    mode: Symlink
  - mount: /usr/share
    path: /usr/share
    mode: Restricted
";

/// An admin file as the old tool left it: variables in its alias, a mount point spelled twice, one
/// that goes up.
const CORE_ADMIN: &str = "headers:
  alias: $NODE_ALIAS-admin
  name: $UUID
  info:  \"Node created by $LOGNAME($HOSTNAME) the $TODAY\"
environ:
- mode: Default
  key: AFMPKG_REDPAKID
  value: $LEAF_NAME
exports:
- mode: Restricted
  mount: $NODE_PATH/var/lib/rpm
  path: /var/lib/rpm
- mode: Restricted
  mount: $NODE_PATH/../var/lib/rpm
  path: /var/lib/rpm
- mode: Restricted
  mount: $NODE_PATH/var/lib/rpm/
  path: $NODE_PATH/var/lib/rpm/
- mount: /etc/dnf/vars/releasever
  path: grep VERSION_CODENAME /etc/os-release|cut -d= -f2|tr -d '\"'
  mode: Execfd
- mode: Restricted
  mount: $NODE_PATH/etc/redpack.yaml
  path: $NODE_PATH/etc/redpack.yaml
- mode: Restricted
  mount: $NODE_PATH/.rednode.yaml
  path: $NODE_PATH/.rednode.yaml
- mode: Private
  mount: $NODE_PATH
  path: $NODE_PATH
";

const LEAF: &str = "headers:
    alias: navigation
    name: 9f8e7d
    info: default leaf node configuration
config:
    rpmdir: $NODE_PATH/var/lib/rpm
    persistdir: $NODE_PATH/var/lib/dnf
    path: /nodes/$NODE_ALIAS/usr/bin
    ldpath: /nodes/$NODE_ALIAS/usr/lib:/nodes/$NODE_ALIAS/usr/lib64
    verbose: 1
    share_net: enabled
environ:
  - key: XDG_RUNTIME_DIR
    value: /run/user/$UID
    mode: Default
  - mode: Default
    key: LISTEN_PID
    value: 2
exports:
  - mode: Private
    mount: /var/local
    path: $NODE_PATH/var/local
  - mount: /nodes/_private
    path:  $NODE_PATH/private
    mode:  Private
  - mount: /var/lib/rpm
    path:  $NODE_PATH/var/lib/rpm
    mode:  Private
  - mount: /nodes/$NODE_ALIAS/usr
    path: $NODE_PATH/usr
    mode: Restricted
  - mount: /nodes/$NODE_ALIAS/var
    path: $NODE_PATH/var
    mode: Public
";

/// A tree in a pool that is itself a node, as the old tool made them.
fn tree() -> (Pool, PathBuf) {
    let pool = Pool::new();
    let leaf = pool.join("var/redpesk/boat/navigation");
    for (node, config, admin) in [
        ("var/redpesk", CORE, Some(CORE_ADMIN)),
        ("var/redpesk/boat", &LEAF.replace("navigation", "boat"), None),
        ("var/redpesk/boat/navigation", LEAF, None),
    ] {
        pool.write(format!("{node}/etc/redpack.yaml"), config);
        if let Some(admin) = admin {
            pool.write(format!("{node}/etc/redpack-admin.yaml"), admin);
        }
        let status = format!(
            "---\nrealpath: {}\ntimestamp: 1652706000000\nstate: Enable\ninfo: created by red-manager the 16-May-2022\n",
            pool.join(node).display()
        );
        pool.write(format!("{node}/.rednode.yaml"), status);
    }
    (pool, leaf)
}

fn expect_clean(said: &Said, what: &str) {
    assert_eq!(said.code, 0, "{what}: {}\n{}", said.out, said.err);
    assert!(!said.err.contains("error"), "{what}: {}", said.err);
}

#[test]
fn loads_as_root() {
    let (_pool, leaf) = tree();
    let leaf = leaf.display().to_string();
    for args in
        [vec!["check"], vec!["plan"], vec!["mergeconfig"], vec!["mergeconfig", "--expand"], vec!["config"]]
    {
        expect_clean(&conf(args.iter().copied().chain([leaf.as_str()])), &args.join(" "));
    }
    let admin = conf(["plan", "--admin", &leaf]);
    expect_clean(&admin, "admin mode");
    assert!(admin.err.contains("is exported twice"), "the doubled mount point is warned of: {}", admin.err);
    let plan = conf(["plan", "--json", &leaf]).good().json();
    let mount = |at: &str| {
        plan["spec"]["mounts"].as_array().expect("a list").iter().any(|one| one["destination"] == at)
    };
    assert!(mount("/nodes/boat/usr") && mount("/nodes/navigation/var") && mount("/nodes/_private"));
    assert_eq!(plan["spec"]["hostname"], "navigation");
    assert_eq!(plan["spec"]["process"]["cwd"], "/nodes/_private");
}

#[test]
fn loads_and_starts_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make a user");
    }
    let user = User::make();
    let (pool, leaf) = tree();
    let program = pool.install("red-runtime", "red-conf");
    pool.chown(user.uid);
    for args in [vec!["check"], vec!["plan"], vec!["mergeconfig", "--expand"]] {
        expect_clean(&run(user.command(&program).args(&args).arg(&leaf)), &args.join(" "));
    }
    // What is decided does not depend on who looks.
    let digest = |said: Said| said.good().out;
    assert_eq!(
        digest(run(user.command(&program).args(["plan", "--digest"]).arg(&leaf))),
        digest(conf(["plan".as_ref(), "--digest".as_ref(), leaf.as_os_str()])),
    );
    let bundle = pool.join("bundle");
    let made =
        run(user.command(&program).arg("bundle").arg(&leaf).arg(&bundle).args(["--", "cat", "/etc/passwd"]));
    expect_clean(&made, "bundle");
    let passwd = std::fs::read_to_string(bundle.join("files/2")).expect("the second file is /etc/passwd");
    assert!(passwd.starts_with(&format!("{}:x:{}:", user.name, user.uid)), "{passwd}");
}
