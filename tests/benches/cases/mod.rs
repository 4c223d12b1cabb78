//! Families for benches, with what a launch does before it launches.

#![allow(dead_code, reason = "each bench uses a part")]

use std::path::PathBuf;

use red_runtime::node::expand::Launch;
use red_runtime::node::load::{LoadOptions, MainFile, load};
use red_runtime::spec::host::SystemHost;
use red_runtime::spec::identity::Caller;
use red_runtime::spec::plan::{Plan, Request, plan};
use red_tests::pool::Pool;

/// A pool that lives as long as the bench, with what is to be planned in it.
pub(crate) struct Case {
    pool: Pool,
    redpath: PathBuf,
    main: PathBuf,
}

impl Case {
    /// Everything a launch does before it launches.
    pub(crate) fn plan(&self) -> Plan {
        let launch = Launch::of_this_process();
        let options = LoadOptions { main: MainFile::Path(self.main.clone()), ..LoadOptions::default() };
        let loaded = load(&self.redpath, &options).expect("the family is there");
        let family = loaded.family.expect("the family is good");
        let request = Request::new(Caller { uid: launch.uid, gid: launch.gid });
        let planned = plan(&family, &request, launch, &mut SystemHost::default(), None);
        planned.plan.expect("the plan is good")
    }
}

/// The seed's case: three nodes and redmain, 25 mounts, and 9 that keep package databases read-only.
pub(crate) fn seed() -> Case {
    let pool = Pool::new();
    let dir = |below: &str| pool.mkdir(below).display().to_string();
    let shared: Vec<String> = (0..9).map(|n| dir(&format!("host/{n}"))).collect();
    let exports: String = shared.iter().enumerate().fold(String::new(), |text, (n, path)| {
        format!("{text}  # what the core OS gives to every node, number {n}\n  - mode: Restricted\n    mount: /host/{n}\n    path: {path}\n\n")
    });
    let main = pool.write(
        "main.yaml",
        format!(
            "# the core OS\nheaders:\n  alias: core-os\n  name: core\nconfig:\n  umask: 027\n  path: /bin\n  ldpath: /lib64\n  share_all: disabled\n  share_net: enabled\n  hostname: $LEAF_ALIAS\n  chdir: /home/$LEAF_ALIAS\n  die-with-parent: enabled\nenviron:\n  - key: PS1\n    value: Rednode($LEAF_ALIAS)>\n  - key: HOME\n    value: /home/$LEAF_ALIAS\nexports:\n{exports}  - mount: /proc\n    mode: Procfs\n  - mount: /dev\n    mode: Devfs\n  - mount: /tmp\n    mode: Tmpfs\n  - mount: /run\n    mode: Anonymous\n  - mount: /var\n    mode: Anonymous\n  - mount: /etc/passwd\n    path: getent passwd $UID 65534\n    mode: Execfd\n  - mount: /etc/group\n    path: getent group $(id -g) 65534\n    mode: Execfd\n  - mount: /home/$LEAF_ALIAS\n    path: /nodes/_private\n    mode: Symlink\n"
        ),
    );
    let mut redpath = PathBuf::new();
    for (index, below) in
        ["platform", "platform/middleware", "platform/middleware/app"].into_iter().enumerate()
    {
        for part in ["usr", "var", "private", "local", "rpm"] {
            pool.mkdir(format!("{below}/{part}"));
        }
        let private = "  - {mode: Private, mount: /nodes/_private, path: $NODE_PATH/private}\n  - {mode: Private, mount: /var/local, path: $NODE_PATH/local}\n  - {mode: Private, mount: /var/lib/rpm, path: $NODE_PATH/rpm}\n";
        redpath = pool.node(
            below,
            &format!(
                "config:\n  path: /nodes/$NODE_ALIAS/usr/bin\n  ldpath: /nodes/$NODE_ALIAS/usr/lib:/nodes/$NODE_ALIAS/usr/lib64\nenviron:\n  - {{key: VAR_{index}, value: $NODE_NAME}}\nexports:\n{private}  - {{mode: Restricted, mount: /nodes/$NODE_ALIAS/usr, path: $NODE_PATH/usr}}\n  - {{mode: Public, mount: /nodes/$NODE_ALIAS/var, path: $NODE_PATH/var}}"
            ),
        );
    }
    let case = Case { pool, redpath, main };
    let plan = case.plan();
    let what = "nine of the host, nine of the nodes, seven of the kernel's, three a node that keep what is in its var";
    assert_eq!(plan.layout.mounts.len(), 34, "{what}");
    case
}

/// Ten nodes with so many exports in all.
pub(crate) fn wide(exports: usize) -> Case {
    let pool = Pool::new();
    let main = pool.write("main.yaml", "headers: {alias: core-os}\n");
    let mut below = String::new();
    let mut redpath = PathBuf::new();
    for node in 0..10 {
        below = if below.is_empty() { "n0".to_owned() } else { format!("{below}/n{node}") };
        let list: String = (0..exports / 10).fold("exports:\n".to_owned(), |text, n| {
            pool.mkdir(format!("{below}/d{n}"));
            let mode = if n % 2 == 0 { "Restricted" } else { "Public" };
            format!("{text}  - {{mode: {mode}, mount: /nodes/$NODE_ALIAS/d{n}, path: $NODE_PATH/d{n}}}\n")
        });
        redpath = pool.node(&below, &list);
    }
    Case { pool, redpath, main }
}

/// The seed's case with so many mounts in all (at least 25), and programs in it that can run.
pub(crate) fn runnable(mounts: usize) -> Case {
    let pool = Pool::new();
    let extra = mounts.saturating_sub(25);
    let host: String = (0..6 + extra)
        .map(|n| {
            format!(
                "  - {{mode: Restricted, mount: /host/{n}, path: {}}}\n",
                pool.mkdir(format!("host/{n}")).display()
            )
        })
        .collect();
    let main = pool.write(
        "main.yaml",
        format!(
            "headers: {{alias: core-os, name: core}}
config: {{umask: 027, path: /usr/bin, share_all: disabled, share_net: enabled, hostname: $LEAF_ALIAS, chdir: /home/$LEAF_ALIAS, die-with-parent: enabled}}
environ:
  - {{key: PS1, value: Rednode($LEAF_ALIAS)>}}
  - {{key: HOME, value: /home/$LEAF_ALIAS}}
exports:
{host}  - {{mount: /usr, mode: Restricted}}
  - {{mount: /bin, path: /usr/bin, mode: Restricted}}
  - {{mount: /sbin, path: /usr/sbin, mode: Restricted}}
  - {{mount: /lib, path: usr/lib, mode: Symlink}}
  - {{mount: /lib64, path: usr/lib64, mode: Symlink}}
  - {{mount: /proc, mode: Procfs}}
  - {{mount: /dev, mode: Devfs}}
  - {{mount: /tmp, mode: Tmpfs}}
  - {{mount: /run, mode: Anonymous}}
  - {{mount: /var, mode: Anonymous}}
  - {{mount: /etc/passwd, path: getent passwd $UID 65534, mode: Execfd}}
  - {{mount: /etc/group, path: getent group $(id -g) 65534, mode: Execfd}}
  - {{mount: /home/$LEAF_ALIAS, path: /nodes/_private, mode: Symlink}}
"
        ),
    );
    let mut redpath = PathBuf::new();
    for (index, below) in
        ["platform", "platform/middleware", "platform/middleware/app"].into_iter().enumerate()
    {
        for part in ["usr", "var", "private", "local", "rpm"] {
            pool.mkdir(format!("{below}/{part}"));
        }
        redpath = pool.node(
            below,
            &format!(
                "config: {{path: /nodes/$NODE_ALIAS/usr/bin, ldpath: '/nodes/$NODE_ALIAS/usr/lib:/nodes/$NODE_ALIAS/usr/lib64'}}
environ: [{{key: VAR_{index}, value: $NODE_NAME}}]
exports:
  - {{mode: Private, mount: /nodes/_private, path: $NODE_PATH/private}}
  - {{mode: Private, mount: /var/local, path: $NODE_PATH/local}}
  - {{mode: Private, mount: /var/lib/rpm, path: $NODE_PATH/rpm}}
  - {{mode: Restricted, mount: /nodes/$NODE_ALIAS/usr, path: $NODE_PATH/usr}}
  - {{mode: Public, mount: /nodes/$NODE_ALIAS/var, path: $NODE_PATH/var}}"
            ),
        );
    }
    let case = Case { pool, redpath, main };
    // And those that keep the package databases in `var` read-only.
    assert!(case.plan().layout.mounts.len() >= mounts.max(25));
    case
}

impl Case {
    /// The node.
    pub(crate) fn redpath(&self) -> &std::path::Path {
        &self.redpath
    }

    /// The core OS's layer.
    pub(crate) fn main(&self) -> &std::path::Path {
        &self.main
    }

    /// A path in the pool.
    pub(crate) fn join(&self, below: &str) -> PathBuf {
        self.pool.join(below)
    }
}
