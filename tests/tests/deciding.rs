//! What decides is out of reach of what runs: nodes, configuration, package databases, what elders give
//! read-only, the kernel, and services of the host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use red_tests::broom::User;
use red_tests::call::{Said, built, conf, red_conf, red_runtime, red_wrap, run};
use red_tests::packages::Small;
use red_tests::skip;
use red_tests::stage::{CORE, Stage};
use red_tests::store::Ground;

/// A node of a stage gets exports, in the usual spelling, and other settings before them.
fn write(stage: &Stage, node: &str, config: &str, exports: &[String]) {
    let core = if node == "core" { CORE.replace("exports:\n", "") } else { String::new() };
    let list: String = exports.iter().map(|one| format!("  - {one}\n")).collect();
    let path = if node == "core" { "path: /usr/bin:/usr/sbin, hostname: box, " } else { "" };
    let list = if core.is_empty() && list.is_empty() {
        "exports: []\n".to_owned()
    } else {
        format!("exports:\n{core}{list}")
    };
    stage.pool.node(node, &format!("config: {{{path}{config}}}\n{list}"));
}

/// Runs a shell script in a node, by `red-wrap`.
fn wrap(stage: &Stage, node: &str, script: &str) -> Said {
    let mut command = red_wrap(&stage.root);
    command.arg(format!("--redpath={}", stage.pool.join(node).display())).args(["--", "sh", "-c", script]);
    run(&mut command)
}

/// The same, in a mount namespace that was prepared by a script of its own.
fn wrap_after(stage: &Stage, prepare: &str, node: &str, script: &str) -> Said {
    let all = format!("{prepare} && exec -a red-wrap {} \"$@\"", built("red-runtime").display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", &all, "red-wrap", "--root"]).arg(&stage.root);
    command.arg(format!("--redpath={}", stage.pool.join(node).display())).args(["--", "sh", "-c", script]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("XDG_RUNTIME_DIR", &stage.root);
    run(command.stdin(std::process::Stdio::null()))
}

/// Starts a node as an engine does, by annotation, under a policy whose pool the stage is.
fn engine(stage: &Stage, node: &str, command: &[&str]) -> Said {
    let policy = format!("pools: [{{path: {}}}]\n", stage.pool.path().display());
    stage.pool.write("prefix/etc/redpak/policy.yaml", policy);
    let redpath = stage.pool.join(node).display().to_string();
    let bundle = stage.plain("engine", command, |spec| {
        spec["annotations"] = serde_json::json!({"bzh.redpesk.redpak.redpath": redpath});
        spec["mounts"] = serde_json::json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
    });
    let mut runtime = red_runtime(&stage.root);
    let said =
        run(runtime.env("NODE_PREFIX", stage.pool.join("prefix")).arg("run").arg("-b").arg(&bundle).arg("e"));
    fs::remove_dir_all(&bundle).expect("it is ours");
    said
}

/// Nothing started, and the message says where the mistake is and what it is about.
fn refused(said: &Said, code: &str, words: &[&str]) {
    assert!(said.code == 125 || said.code == 1, "{}: {}{}", said.code, said.out, said.err);
    assert_eq!(said.out, "", "it ran");
    for word in words {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    assert!(code.is_empty() || said.err.contains(&format!("error[{code}]")), "{code}: {}", said.err);
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root() || {
        skip("needs root");
        false
    }
}

#[test]
fn what_a_container_writes_is_no_node() {
    let stage = Stage::new();
    for (mode, dir) in [("Public", "data"), ("Private", "private"), ("Private", "$LEAF_ALIAS/deep")] {
        let own = format!("{{mode: {mode}, mount: /w, path: $NODE_PATH/{dir}}}");
        write(&stage, "core/mid", "", &[own]);
        let at = format!("core/mid/{}/x", dir.replace("$LEAF_ALIAS", "mid"));
        let node = stage.pool.join(&at);
        let script = format!(
            "mkdir -p /w/x/etc && printf 'headers: {{alias: x}}\\nconfig: {{capabilities: [{{cap: ALL, add: 1}}]}}\\nexports: [{{mode: Public, mount: /h, path: /root}}]\\n' > /w/x/etc/redpak.yaml && \
             printf 'realpath: {}\\ntimestamp: 1\\nstate: Enable\\n' > /w/x/.rednode.yaml && chmod -R go-w /w && echo written",
            node.display()
        );
        assert_eq!(wrap(&stage, "core/mid", &script).good().out, "written\n");
        assert!(node.join(".rednode.yaml").is_file(), "the container wrote a node");
        let words = [
            &*format!("{} lies in ", node.display()),
            "node `mid` exports writable",
            "core/mid/etc/redpak.yaml:",
        ];
        refused(&wrap(&stage, &at, "cat /h/.bashrc; grep CapEff /proc/self/status"), "node-writable", &words);
        refused(&engine(&stage, &at, &["sh", "-c", "ls /h"]), "", &words[..2]);
        // By a link that leads there, and as an ancestor of what is asked for.
        symlink(&node, stage.pool.join("core/link")).expect("it is ours");
        refused(&wrap(&stage, "core/link", "id"), "node-writable", &words);
        fs::remove_file(stage.pool.join("core/link")).expect("it is ours");
        write(&stage, &format!("{at}/below"), "", &[]);
        refused(&wrap(&stage, &format!("{at}/below"), "id"), "node-writable", &words);
        assert_eq!(conf([Path::new("check"), &node]).code, 1);
        let mut store = Command::new(built("red-dnf"));
        store
            .arg(format!("--redpath={}", node.display()))
            .arg("list")
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        refused(&run(&mut store), "", &words[..2]);
        // The node that gives the place away is as good as before.
        wrap(&stage, "core/mid", "test -e /w/x/.rednode.yaml").good();
    }
}

#[test]
fn nothing_that_decides_is_exported_writable() {
    let stage = Stage::new();
    let pool = stage.pool.path().display().to_string();
    stage.pool.mkdir("core/.red/gen/1");
    stage.pool.node("core/sibling", "");
    stage.pool.mkdir("core/sibling/data");
    stage.pool.node("other", "");
    stage.pool.mkdir("other/data");
    let before = fs::read_to_string(stage.pool.join("core/etc/redpak.yaml")).expect("it is there");
    for (mode, path) in [
        ("Public", "core/etc"),
        ("PublicFile", "core/etc/redpak.yaml"),
        ("Private", "core"),
        ("PrivateFile", "core/.rednode.yaml"),
        ("Public", "core/.red"),
        ("Public", "core/.red/gen/1"),
        ("Public", "core/mid/etc"),
        ("Public", "core/mid"),
        ("Public", "core/usr"),
        ("Public", "core/sibling"),
        ("Public", "core/sibling/data"),
        ("Public", "core/sibling/data/made"),
        ("Public", "other/data"),
        ("Public", "core/mid/app"),
        ("Public", "core/mid/app/etc"),
        ("Public", ""),
    ] {
        write(&stage, "core/mid/app", "", &[format!("{{mode: {mode}, mount: /p, path: {pool}/{path}}}")]);
        let said = wrap(&stage, "core/mid/app", "echo ran; echo x >> /p/redpak.yaml; touch /p/x");
        refused(&said, "export-decides", &[]);
        assert!(said.err.contains("core/mid/app/etc/redpak.yaml:4:"), "{path}: {}", said.err);
    }
    // What a policy stands for, whoever writes it.
    for path in ["/etc", "/"] {
        write(&stage, "core/mid/app", "", &[format!("{{mode: Public, mount: /p, path: {path}}}")]);
        refused(&wrap(&stage, "core/mid/app", "echo ran"), "export-decides", &[]);
    }
    // Directories between nodes, once the pool is one.
    stage.pool.mkdir("between");
    write(&stage, "core/mid/app", "", &[format!("{{mode: Public, mount: /p, path: {pool}/between}}")]);
    wrap(&stage, "core/mid/app", "touch /p/x").good();
    refused(
        &engine(&stage, "core/mid/app", &["touch", "/p/y"]),
        "",
        &["is in a pool, and in no node of this family"],
    );
    assert!(!stage.pool.join("between/y").exists());
    // Read-only it is fine, and what is its own is its own.
    let own = [
        "{mode: Restricted, mount: /p, path: $NODE_PATH/etc}",
        "{mode: Public, mount: /q, path: $NODE_PATH/data}",
        "{mode: Public, mount: /e, path: $NODE_PATH/etc/app}",
    ];
    write(&stage, "core/mid/app", "", &own.map(str::to_owned));
    let script = "cat /p/redpak.yaml > /q/copy && touch /e/settings && ! touch /p/x 2>/dev/null";
    wrap(&stage, "core/mid/app", script).good();
    assert_eq!(fs::read_to_string(stage.pool.join("core/etc/redpak.yaml")).expect("it is there"), before);
}

#[test]
fn another_name_is_the_same_place() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let pool = stage.pool.path().display().to_string();
    for dir in ["ro", "alias", "whole", "deep/er", "data"] {
        stage.pool.mkdir(dir);
    }
    stage.pool.write("ro/file", "as it was");
    fs::hard_link(stage.pool.join("ro/file"), stage.pool.join("data/link")).expect("one file system");
    write(&stage, "core", "", &[format!("{{mode: Restricted, mount: /ro, path: {pool}/ro}}")]);
    let bind = |from: &str, to: &str| format!("mount --bind {from} {pool}/{to}");
    let app = |path: &str, mode: &str| {
        write(&stage, "core/mid/app", "", &[format!("{{mode: {mode}, mount: /w, path: {pool}/{path}}}")]);
    };
    for (prepare, path, code) in [
        (bind(&format!("{pool}/ro"), "alias"), "alias", "export-writable"),
        (bind(&format!("{pool}/ro"), "deep/er"), "deep", "export-writable"),
        (bind(&pool, "alias"), "alias/ro", "export-writable"),
        (bind(&format!("{pool}/core/etc"), "alias"), "alias", "export-decides"),
        (bind(&pool, "whole"), "whole/core/etc", "export-decides"),
        (bind(&format!("{pool}/core/mid/etc"), "deep/er"), "deep", "export-decides"),
        ("true".to_owned(), "ro", "export-writable"),
    ] {
        app(path, "Public");
        let said =
            wrap_after(&stage, &prepare, "core/mid/app", "echo ran; echo x > /w/file; touch /w/redpak.yaml");
        refused(&said, code, &["core/mid/app/etc/redpak.yaml:4:"]);
    }
    app("data/link", "PublicFile");
    let said = wrap(&stage, "core/mid/app", "echo ran; echo x > /w");
    refused(&said, "export-decides", &["2 names (hard links)"]);
    // A node under another name of the place that its parent gives away.
    write(&stage, "core/mid", "", &[format!("{{mode: Private, mount: /w, path: {pool}/alias/mid/app}}")]);
    app("data", "Public");
    let said = wrap_after(&stage, &bind(&format!("{pool}/core"), "alias"), "core/mid/app", "echo ran");
    refused(&said, "node-writable", &[]);
    wrap(&stage, "core/mid/app", "touch /w/x").good();
    assert_eq!(fs::read_to_string(stage.pool.join("ro/file")).expect("it is there"), "as it was");
}

#[test]
fn a_child_stays_in_the_cgroups_of_its_parent() {
    let stage = Stage::new();
    let limit = "cgroups: {pids: {max: 30}}";
    for (elder, younger, wrong) in [
        (limit, "cgrouproot: /red-test-away", true),
        (limit, "cgrouproot: /sys/fs/cgroup/red-test-away, cgroups: {pids: {max: 9}}", true),
        ("cgrouproot: /red-test-there, cgroups: {mem: {max: 1G}}", "cgrouproot: /red-test-away", false),
        ("", "cgrouproot: /red-test-away, cgroups: {pids: {max: 30}}", false),
    ] {
        write(&stage, "core", elder, &[]);
        write(&stage, "core/mid/app", younger, &[]);
        let leaf = stage.leaf.display().to_string();
        let said = conf(["check", &leaf]);
        assert_eq!(said.code == 1, wrong, "{elder} {younger}: {}", said.err);
        if wrong {
            let words = [
                "error[cgroup-escape]",
                "node `app` sets `cgrouproot`",
                "node `core` limits",
                "app/etc/redpak.yaml:2:",
            ];
            words.iter().for_each(|word| assert!(said.err.contains(word), "{word}: {}", said.err));
            assert_eq!(wrap(&stage, "core/mid/app", "true").code, 125);
        }
    }
}

#[test]
fn root_believes_nobody_else_outside_pools() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let user = User::make();
    // Somebody's directory with a node in it, written by somebody or by root.
    for (owned, whole) in [("theirs", true), ("theirs/deep", false)] {
        let node =
            stage.pool.node(&format!("{owned}/node"), "exports: [{mode: Execfd, mount: /f, path: id}]");
        let all = if whole {
            vec![
                "theirs",
                "theirs/node",
                "theirs/node/etc",
                "theirs/node/etc/redpak.yaml",
                "theirs/node/.rednode.yaml",
            ]
        } else {
            vec!["theirs"]
        };
        for path in all {
            chown(stage.pool.join(path), Some(user.uid), Some(user.uid)).expect("root gives files away");
        }
        let said = wrap(&stage, &format!("{owned}/node"), "cat /f");
        refused(&said, "node-owner", &[&format!("belongs to user {}, not to 0", user.uid)]);
        assert!(
            !conf(["bundle".as_ref(), node.as_os_str(), stage.pool.join("out").as_os_str()]).err.is_empty()
        );
        assert!(!stage.pool.join("out").exists());
        // The user may start what is the user's.
        let program = stage.pool.join("red-conf");
        if !program.exists() {
            stage.pool.install("red-runtime", "red-conf");
        }
        let check = run(user.command(&program).arg("check").arg(&node));
        assert_eq!(check.code, 0, "{}", check.err);
    }
}

#[test]
fn whoever_writes_where_a_link_is_decides() {
    let stage = Stage::new();
    let node = stage.pool.node("core/s", "");
    fs::create_dir_all(node.join("real/a")).expect("it is ours");
    fs::rename(node.join("etc/redpak.yaml"), node.join("real/a/redpak.yaml")).expect("it is ours");
    symlink("../way/redpak.yaml", node.join("etc/redpak.yaml")).expect("it is ours");
    fs::create_dir(node.join("way")).expect("it is ours");
    symlink("../real/a/redpak.yaml", node.join("way/redpak.yaml")).expect("it is ours");
    wrap(&stage, "core/s", "true").good();
    for dir in ["etc", "way", "real", "real/a"] {
        let path = node.join(dir);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let word = format!("{} can be written by others", path.display());
        refused(&wrap(&stage, "core/s", "echo ran"), "node-owner", &[&word]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        // What is written there is out of reach of what runs, too.
        write_export(&stage, &node, dir);
        refused(&wrap(&stage, "core/s", "echo ran"), "export-decides", &[]);
        fs::write(node.join("real/a/redpak.yaml"), "headers: {alias: s}\n").expect("it is ours");
    }
}

fn write_export(stage: &Stage, node: &Path, dir: &str) {
    let text =
        format!("headers: {{alias: s}}\nexports: [{{mode: Public, mount: /w, path: $NODE_PATH/{dir}}}]\n");
    fs::write(node.join("real/a/redpak.yaml"), text).expect("it is ours");
    assert!(stage.pool.join("core/s/etc/redpak.yaml").is_file());
}

#[test]
fn the_kernel_is_no_export() {
    if !is_root() {
        return;
    }
    let stage = Stage::with(", share_pid: Disabled, capabilities: [{cap: ALL, add: 0}]", "");
    let pool = stage.pool.path().display().to_string();
    stage.pool.mkdir("hidden/proc");
    for (prepare, path) in [
        ("true".to_owned(), "/proc".to_owned()),
        ("true".to_owned(), "/proc/sys/kernel".to_owned()),
        ("true".to_owned(), "/sys".to_owned()),
        ("true".to_owned(), "/sys/fs/cgroup".to_owned()),
        ("true".to_owned(), "/dev".to_owned()),
        ("true".to_owned(), "/dev/pts".to_owned()),
        (format!("mount --bind /proc {pool}/hidden/proc"), format!("{pool}/hidden/proc")),
        (format!("mount --bind /proc {pool}/hidden/proc"), format!("{pool}/hidden")),
        (format!("mount -t proc proc {pool}/hidden/proc"), format!("{pool}/hidden")),
    ] {
        for mode in ["Public", "Restricted"] {
            write(&stage, "core/mid/app", "", &[format!("{{mode: {mode}, mount: /hp, path: {path}}}")]);
            let script = "echo ran; test -w /hp/sys/kernel/core_pattern && echo root";
            let said = wrap_after(&stage, &prepare, "core/mid/app", script);
            refused(&said, "export-kernel", &["app/etc/redpak.yaml:4:"]);
        }
    }
    // Shared memory of the host is its IPC; a process file system of the node's own is no such thing.
    let memory = "{mode: Public, mount: /shm, path: /dev/shm}".to_owned();
    write(&stage, "core/mid/app", "", std::slice::from_ref(&memory));
    let said = wrap(&stage, "core/mid/app", "echo ran");
    refused(&said, "export-kernel", &["share_ipc: Enabled", "app/etc/redpak.yaml:4:"]);
    let own = "{mode: Procfs, mount: /p}".to_owned();
    write(&stage, "core/mid/app", "share_ipc: Enabled", &[own, memory]);
    assert_eq!(wrap(&stage, "core/mid/app", "ls -d /p/1 /shm").good().out, "/p/1\n/shm\n");
}

#[test]
fn services_of_root_are_called_what_they_are() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let prepare = "mount -t tmpfs none /run && mkdir -p /run/systemd /run/platform /run/user/0 /run/app && \
                   for name in docker.sock systemd/notify systemd/private user/0/bus app/sock; do \
                   python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' /run/$name; done; \
                   ln /run/docker.sock /run/app/harmless; true";
    let app = |path: &str| {
        write(&stage, "core/mid/app", "", &[format!("{{mode: Public, mount: /s, path: {path}}}")])
    };
    for path in [
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run",
        "/run/systemd",
        "/run/systemd/private",
        "/run/user",
    ] {
        app(path);
        let said = wrap_after(&stage, prepare, "core/mid/app", "echo ran");
        refused(&said, "export-privileged", &["which gives access to", "exports: {allow: ["]);
    }
    // The templates name everybody's session; root's is left out, for its service manager is root's.
    app("/run/user/$UID");
    let said = wrap_after(&stage, prepare, "core/mid/app", "test -e /s || echo left out").good();
    assert!(said.out == "left out\n" && said.err.contains("root's session"), "{}{}", said.out, said.err);
    for path in ["/run/systemd/notify", "/run/platform", "/run/app/sock"] {
        app(path);
        let said = wrap_after(&stage, prepare, "core/mid/app", "test -e /s && echo there");
        assert_eq!(said.good().out, "there\n", "{path}");
    }
    // Where the policy names it, it is there, and said to be what it is.
    app("/run/docker.sock");
    let policy = stage.pool.write("prefix/etc/redpak/policy.yaml", "exports: {allow: [/run/docker.sock]}\n");
    let prefix = format!("export NODE_PREFIX={}; {prepare}", stage.pool.join("prefix").display());
    let said = wrap_after(&stage, &prefix, "core/mid/app", "test -S /s && echo there").good();
    assert_eq!(said.out, "there\n");
    assert!(
        said.err.contains("warning[export-privileged]") && said.err.contains("gives access to Docker"),
        "{}",
        said.err
    );
    let ask = |command: &str| {
        let all = format!("{prefix}; exec -a red-conf {} {command}", built("red-runtime").display());
        let mut command = Command::new("unshare");
        run(command
            .args(["--mount", "bash", "-c", &all])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
    };
    let leaf = stage.leaf.display();
    assert!(ask(&format!("access {leaf} /s")).good().out.contains("service  Docker"));
    assert!(ask(&format!("diff {} {leaf}", stage.pool.join("core/mid").display())).out.contains("Docker"));
    assert_eq!(ask(&format!("check {leaf}")).code, 0);
    fs::remove_file(policy).expect("it is ours");
}

/// Nodes as `red-conf create` makes them, and as it made them before: their package databases cannot be
/// written to, moved away, or replaced.
#[test]
fn package_databases_are_out_of_reach() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let old = "config: {rpmdir: $NODE_PATH/var/lib/rpm, persistdir: $NODE_PATH/var/lib/dnf, cachedir: $NODE_PATH/var/cache/dnf}
exports:
  - {mode: Private, mount: /nodes/_private, path: $NODE_PATH/private}
  - {mode: Private, mount: /var/lib/rpm, path: $NODE_PATH/var/lib/rpm}
  - {mode: Public, mount: /nodes/$NODE_ALIAS/var, path: $NODE_PATH/var}";
    stage.pool.node("core/old", old);
    stage.pool.node("core/old/child", "");
    let new = stage.pool.join("core/new");
    let create = run(red_conf().args(["create", "--alias", "new", "-c", "leaf"]).arg(&new));
    assert_eq!(create.code, 0, "{}", create.err);
    let script = "v=/nodes/$N/var; mkdir -p $v/app && touch $v/app/x || echo no var; \
        for f in /var/lib/rpm/x $v/lib/rpm/x $v/cache/dnf/x; do test -d ${f%/x} && touch $f 2>/dev/null && echo written $f; done; \
        rm -rf $v/lib/rpm 2>/dev/null; mv $v/lib/rpm $v/gone 2>/dev/null && echo moved rpm; mv $v/lib $v/lib2 2>/dev/null && echo moved lib; \
        ln -sfn /etc $v/lib/rpm 2>/dev/null; test -L $v/lib/rpm && echo replaced; \
        mkdir $v/lib/service && touch $v/lib/service/state || echo no state; echo done";
    for (node, name, warns) in
        [("core/old", "old", true), ("core/old/child", "old", false), ("core/new", "new", false)]
    {
        let said = wrap(&stage, node, &format!("N={name}; {script}")).good();
        assert_eq!(said.out, "done\n", "{node}: {}", said.err);
        assert_eq!(said.err.contains("warning[export-kept]"), warns, "{node}: {}", said.err);
        if warns {
            assert!(said.err.contains("core/old/etc/redpak.yaml:5:"), "the line is named: {}", said.err);
        }
        let var = stage.pool.join(if name == "old" { "core/old/var" } else { "core/new/var" });
        assert!(var.join("lib/rpm").is_dir() && !var.join("lib/rpm").is_symlink());
        assert_eq!(fs::read_dir(var.join("lib/rpm")).expect("it is there").count(), 0);
        assert!(var.join("app/x").exists() && var.join("lib/service/state").exists());
        fs::remove_dir_all(var.join("lib/service")).expect("it is ours");
    }
    // What is downloaded is kept elsewhere.
    let merged = conf(["mergeconfig", "--expand", &new.display().to_string()]).good().out;
    assert!(merged.contains(&format!("{}/.red/cache", new.display())), "{merged}");
}

#[test]
fn records_of_what_runs_are_out_of_reach() {
    let stage = Stage::new();
    stage.pool.mkdir("run/red-runtime");
    let export = format!("{{mode: Public, mount: /rt, path: {}}}", stage.pool.join("run").display());
    write(&stage, "core/mid/app", "", &[export]);
    let mut command = red_wrap(&stage.root);
    command.env("XDG_RUNTIME_DIR", stage.pool.join("run"));
    command.arg(format!("--redpath={}", stage.leaf.display()));
    let script = "touch /rt/x && ! touch /rt/red-runtime/x 2>/dev/null && ! mv /rt/red-runtime /rt/y 2>/dev/null && echo kept";
    assert_eq!(run(command.args(["--", "sh", "-c", script])).good().out, "kept\n");
    assert_eq!(fs::read_dir(stage.pool.join("run/red-runtime")).expect("it is there").count(), 0);
}

/// Mounts an overlay with one call of fsconfig(2) for each layer, as newer programs do.
const FSCONFIG: &str = r#"
import ctypes, sys
call = ctypes.CDLL(None, use_errno=True).syscall
def good(got):
    if got < 0: raise OSError(ctypes.get_errno(), 'mount')
    return got
fs = good(call(430, b'overlay', 1))
for option in sys.argv[2:]:
    key, value = option.split('=', 1)
    good(call(431, fs, 1, key.encode(), value.encode(), 0))
good(call(431, fs, 6, None, None, 0))
good(call(429, good(call(432, fs, 1, 0)), b'', -100, sys.argv[1].encode(), 4))
"#;

/// A node that is seen through an overlay is changed by whoever writes to a layer of it.
#[test]
fn layers_of_an_overlay_are_out_of_reach() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let pool = stage.pool.path().display().to_string();
    for dir in ["over", "low", "a:b", "up/x", "work", "low2", "up2", "work2", "inner", "elsewhere"] {
        stage.pool.mkdir(dir);
    }
    let fsconfig = stage.pool.write("fsconfig.py", FSCONFIG).display().to_string();
    let overlay = |options: &str, at: &str| format!("mount -t overlay overlay -o '{options}' {pool}/{at}");
    let whole = overlay(&format!("lowerdir={pool}/low,upperdir={pool}/up,workdir={pool}/work"), "over");
    let nested = format!(
        "{} && {}",
        overlay(&format!("lowerdir={pool}/low,upperdir={pool}/up,workdir={pool}/work"), "inner"),
        overlay(&format!("lowerdir={pool}/inner,upperdir={pool}/up2,workdir={pool}/work2"), "over")
    );
    let single = format!(
        "python3 {fsconfig} {pool}/over lowerdir+={pool}/low lowerdir+={pool}/low2 upperdir={pool}/up workdir={pool}/work"
    );
    let colon = overlay(&format!("lowerdir={pool}/a\\:b,upperdir={pool}/up,workdir={pool}/work"), "over");
    let relative = format!("cd {pool} && {}", overlay("lowerdir=low,upperdir=up,workdir=work", "over"));
    let node = |export: &str| {
        let text = format!(
            "config: {{path: /usr/bin}}\n{CORE}  - {{mode: Public, mount: /w, path: {pool}/{export}}}\n"
        );
        stage.pool.node("over/n", &text);
        for layer in ["low", "a:b"] {
            drop(fs::remove_dir_all(stage.pool.join(layer).join("n")));
            run(Command::new("cp").arg("-a").args([stage.pool.join("over/n"), stage.pool.join(layer)]))
                .good();
        }
        fs::remove_dir_all(stage.pool.join("over/n")).expect("it is ours");
    };
    for (export, prepare) in [
        ("up", &whole),
        ("low", &whole),
        ("up", &nested),
        ("low", &nested),
        ("up2", &nested),
        ("inner", &nested),
        ("up", &single),
        ("low", &single),
        ("low2", &single),
        ("a:b", &colon),
        ("up", &relative),
        ("elsewhere", &relative),
    ] {
        node(export);
        let said =
            wrap_after(&stage, prepare, "over/n", "echo ran; mkdir -p /w/n/etc; touch /w/n/etc/redpak.yaml");
        refused(&said, "export-decides", &[&format!("/{export}")]);
        assert_eq!(
            fs::read_dir(stage.pool.join("up")).expect("it is there").count(),
            1,
            "{prepare}: written"
        );
    }
    // What is no layer is as good as anywhere, and so is the overlay itself.
    for prepare in [&whole, &nested, &single] {
        node("elsewhere");
        wrap_after(&stage, prepare, "over/n", "touch /w/x").good();
    }
    node("over/n/data");
    stage.pool.mkdir("low/n/data");
    wrap_after(&stage, &relative, "over/n", "touch /w/x").good();
}

/// Wherever records of the caller's containers are, and whether they are there yet: no container makes
/// one.
#[test]
fn state_directories_are_out_of_reach_before_they_are_there() {
    let (stage, other) = (Stage::new(), red_tests::pool::Pool::new());
    let script = |name: &str| {
        format!(
            "touch /rt/x && ! mkdir -p /rt/{name}/forged 2>/dev/null && ! mv /rt/{name} /rt/y 2>/dev/null && echo kept"
        )
    };
    let export = |path: &Path| {
        let export = format!("{{mode: Public, mount: /rt, path: {}}}", path.display());
        write(&stage, "core/mid/app", "", &[export]);
    };
    // The one that the caller names, as containerd does.
    let rt = other.mkdir("rt");
    export(&rt);
    let policy = format!("pools: [{{path: {}}}]\n", stage.pool.path().display());
    stage.pool.write("prefix/etc/redpak/policy.yaml", policy);
    let redpath = stage.leaf.display().to_string();
    let bundle = stage.plain("engine", &["sh", "-c", &script("named")], |spec| {
        spec["annotations"] = serde_json::json!({"bzh.redpesk.redpak.redpath": redpath});
        spec["mounts"] = serde_json::json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
    });
    let mut runtime = red_runtime(&rt.join("named"));
    runtime.env("NODE_PREFIX", stage.pool.join("prefix")).arg("run").arg("-b").arg(&bundle).arg("e");
    assert_eq!(run(&mut runtime).good().out, "kept\n");
    let mut command = red_wrap(&rt.join("wrapped"));
    command.arg(format!("--redpath={}", stage.leaf.display()));
    assert_eq!(run(command.args(["--", "sh", "-c", &script("wrapped")])).good().out, "kept\n");
    // As a volume, it is refused.
    let volume = serde_json::json!({"destination": "/v", "type": "bind", "source": rt.join("named"), "options": ["bind"]});
    let plain = stage.plain("p", &["true"], |spec| {
        spec["mounts"].as_array_mut().expect("it is a list").push(volume);
    });
    let said = run(red_runtime(&rt.join("named")).arg("run").arg("-b").arg(&plain).arg("p"));
    assert!(said.code != 0 && said.err.contains("records of what runs"), "{}", said.err);
    // That of a user, when no variable says where it is.
    if !is_root() {
        return;
    }
    let user = User::make();
    let run_dir = RunDir(format!("/run/user/{}", user.uid).into());
    fs::create_dir_all(&run_dir.0).expect("it is ours");
    chown(&run_dir.0, Some(user.uid), Some(user.uid)).expect("root gives it away");
    fs::set_permissions(&run_dir.0, fs::Permissions::from_mode(0o700)).expect("it is ours");
    write(&stage, "core/mid/app", "", &["{mode: Public, mount: /rt, path: /run/user/$UID}".to_owned()]);
    let red = stage.pool.install("red-runtime", "red-wrap");
    for state in [None, Some("named")] {
        let mut wrap = user.command(&red);
        if let Some(state) = state {
            wrap.arg("--root").arg(run_dir.0.join(state));
        }
        wrap.arg(format!("--redpath={}", stage.leaf.display())).args(["--", "sh", "-c"]);
        let said = run(wrap.arg(script(state.unwrap_or("red-runtime")))).good();
        assert_eq!(said.out, "kept\n");
        drop(fs::remove_dir_all(run_dir.0.join("red-runtime")));
    }
}

/// A directory below `/run/user` that is removed in the end.
struct RunDir(std::path::PathBuf);

impl Drop for RunDir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A policy that cannot be used starts nothing, and hides nothing.
#[test]
fn a_broken_policy_does_not_keep_plans_from_being_seen() {
    let stage = Stage::new();
    stage.pool.write("prefix/etc/redpak/policy.yaml", "pools: 3\n");
    let prefixed = |mut command: Command| {
        run(command.env("NODE_PREFIX", stage.pool.join("prefix")).stdin(std::process::Stdio::null()))
    };
    for verb in ["plan", "access"] {
        let mut command = red_conf();
        command.arg(verb).arg(&stage.leaf).args((verb == "access").then_some("/usr"));
        let said = prefixed(command);
        assert_eq!(said.code, 0, "{verb}: {}", said.err);
        assert!(verb == "access" || said.err.contains("policy.yaml"), "{verb}: {}", said.err);
    }
    let said = prefixed(stage.wrap_command(&[], &["echo", "ran"]));
    assert!(said.code == 125 && said.out.is_empty() && said.err.contains("policy.yaml"), "{}", said.err);
}

/// What a container may do in its node's `var` leads red-dnf nowhere: not to a directory of the host, nor
/// to a database that the container brings.
#[test]
fn the_store_does_not_follow_what_is_put_in_the_place_of_its_database() {
    let ground = Ground::new();
    let small = |name| Small { name, version: "1", ..Small::default() };
    ground.publish("main", &[small("one"), small("two"), small("three")]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "one"]).good();
    let (node, secret) = (ground.node("node"), ground.pool.mkdir("secret"));
    fs::write(secret.join("secret"), "secret").expect("it is ours");
    let database = node.join("var/lib/rpm");
    let stolen = || {
        let found = run(Command::new("find").arg(&node).args(["-name", "secret"])).out;
        assert_eq!(found, "", "something of the host is in the node");
    };
    fs::remove_file(&database).expect("it is a link");
    symlink(&secret, &database).expect("it is ours");
    assert!(ground.dnf("node", &["list"]).good().out.contains("one."), "what is installed is known");
    ground.dnf("node", &["-y", "install", "two"]).good();
    stolen();
    let installed = |names: [&str; 3], count: usize| {
        let listed = ground.dnf("node", &["list"]).good().out;
        let found = names.iter().filter(|name| listed.contains(&format!("{name}."))).count();
        assert_eq!(found, count, "{listed}");
    };
    installed(["one", "two", "three"], 2);
    assert!(database.join("rpmdb.sqlite").is_file() && database.is_symlink(), "the link is mended");
    // A database of the container's own.
    fs::remove_file(&database).expect("it is a link");
    fs::create_dir(&database).expect("it is ours");
    fs::write(database.join("secret"), "a key").expect("it is ours");
    ground.dnf("node", &["-y", "install", "three"]).good();
    stolen();
    installed(["one", "two", "three"], 3);
    // A directory above it.
    fs::rename(node.join("var/lib"), node.join("var/aside")).expect("it is ours");
    symlink(ground.pool.path(), node.join("var/lib")).expect("it is ours");
    fs::create_dir(ground.pool.join("rpm")).expect("it is ours");
    fs::write(ground.pool.join("rpm/secret"), "secret").expect("it is ours");
    assert_eq!(ground.dnf("node", &["-y", "remove", "three"]).code, 1);
    stolen();
    assert!(ground.pool.join("rpm/secret").is_file(), "what is the host's stays there");
}

/// What a container puts in the place of a directory of its own, or of an elder's, leads no later launch
/// elsewhere.
#[test]
fn links_of_contents_lead_nowhere() {
    let stage = Stage::new();
    let node = stage.pool.join("core/t");
    let create = run(red_conf().args(["create", "--alias", "t", "-c", "leaf"]).arg(&node));
    assert_eq!(create.code, 0, "{}", create.err);
    stage.pool.node("core/t/kid", "");
    let config = node.join("kid/etc/redpak.yaml");
    let before = fs::read_to_string(&config).expect("it is there");
    let local = node.join("var/local");
    wrap(&stage, "core/t", "touch /var/local/x && rm /var/local/x").good();
    for target in ["../kid", "../usr", "/etc", "../private"] {
        let script = format!("rmdir /nodes/t/var/local; ln -s {target} /nodes/t/var/local && echo linked");
        assert_eq!(wrap(&stage, "core/t", &script).good().out, "linked\n");
        let said = wrap(&stage, "core/t", "echo ran; echo '# owned' >> /var/local/etc/redpak.yaml");
        let words = ["t/var/local is reached through the symbolic link", "contents could have put it there"];
        refused(&said, "export-decides", &words);
        // It stops no child.
        wrap(&stage, "core/t/kid", "true").good();
        fs::remove_file(&local).expect("it is a link");
        fs::create_dir(&local).expect("it is ours");
    }
    wrap(&stage, "core/t", "true").good();
    assert_eq!(fs::read_to_string(&config).expect("it is there"), before);
    // The same outside of nodes, where an elder shares a directory.
    let (shared, secret) = (stage.pool.mkdir("sh/sub"), stage.pool.write("secret/file", "secret"));
    stage.pool.write("sh/conf/c.txt", "as it was");
    let (sh, out) = (stage.pool.join("sh"), secret.parent().expect("it is in a directory"));
    write(&stage, "core", "", &[format!("{{mode: Public, mount: /sh, path: {}}}", sh.display())]);
    let own = [("Public", "/x", "sub"), ("RestrictedFile", "/c", "conf/c.txt")]
        .map(|(mode, at, path)| format!("{{mode: {mode}, mount: {at}, path: {}/{path}}}", sh.display()));
    write(&stage, "core/mid/app", "", &own);
    assert_eq!(wrap(&stage, "core/mid/app", "touch /x/y && cat /c").good().out, "as it was");
    let script =
        format!("rm -r /sh/sub 2>/dev/null; mv /sh/sub /sh/gone; ln -s {} /sh/sub && echo ok", out.display());
    assert_eq!(wrap(&stage, "core/mid", &script).good().out, "ok\n");
    refused(&wrap(&stage, "core/mid/app", "cat /x/file"), "export-decides", &["sh/sub"]);
    fs::remove_file(&shared).expect("it is a link");
    fs::create_dir(&shared).expect("it is ours");
    let script = format!("rm /sh/conf/c.txt && ln -s {} /sh/conf/c.txt && echo ok", secret.display());
    assert_eq!(wrap(&stage, "core/mid", &script).good().out, "ok\n");
    refused(&wrap(&stage, "core/mid/app", "cat /c"), "export-decides", &["sh/conf/c.txt"]);
}

/// What nobody named, and what is not there yet, is not made by what runs.
#[test]
fn what_is_missing_is_not_made_by_contents() {
    let stage = Stage::new();
    stage.pool.node("core/n", "exports: [{mode: Public, mount: /v, path: $NODE_PATH/var}]");
    let script = "mkdir -p /v/lib/rpm; touch /v/lib/rpm/rpmdb.sqlite 2>/dev/null && echo made; \
        mv /v/lib /v/x 2>/dev/null && echo moved; touch /v/app && echo done";
    assert_eq!(wrap(&stage, "core/n", script).good().out, "done\n");
    assert!(!stage.pool.join("core/n/var/lib/rpm/rpmdb.sqlite").exists());
    // A pool that is listed and missing, and one that is a link.
    let (pool, opt) = (stage.pool.path().display().to_string(), stage.pool.mkdir("opt"));
    stage.pool.mkdir("data/pool");
    symlink(stage.pool.join("data/pool"), opt.join("link")).expect("it is ours");
    write(&stage, "core/mid/app", "", &[format!("{{mode: Public, mount: /o, path: {}}}", opt.display())]);
    for listed in ["opt/missing", "opt/link", "opt/link/missing"] {
        let policy = format!("pools: [{{path: {pool}/{listed}}}]\n");
        stage.pool.write("prefix/etc/redpak/policy.yaml", policy);
        let mut command = red_wrap(&stage.root);
        command.env("NODE_PREFIX", stage.pool.join("prefix"));
        command.arg(format!("--redpath={}", stage.leaf.display())).args(["--", "echo", "ran"]);
        refused(&run(&mut command), "export-decides", &["a pool"]);
    }
}

/// A pool that is a mount of its own, or that is reached through a link, is as good as any.
#[test]
fn pools_are_known_by_what_they_are() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let pool = stage.pool.path().display().to_string();
    write(&stage, "core", "", &["{mode: Public, mount: /none, path: /run/red-test-none}".to_owned()]);
    write(&stage, "core/mid/app", "", &[]);
    let bind = format!("mount --bind {pool} {pool}");
    wrap_after(&stage, &bind, "core/mid/app", "true").good();
    // A user's, in a directory of root's.
    let user = User::make();
    stage.pool.mkdir("data/pool/core/usr");
    stage.pool.node("data/pool/core", &format!("config: {{path: /usr/bin}}\n{CORE}"));
    symlink(stage.pool.join("data/pool"), stage.pool.join("linked")).expect("it is ours");
    run(Command::new("chown").arg("-R").arg(user.uid.to_string()).arg(stage.pool.join("data/pool"))).good();
    let start = |listed: &str| {
        let policy = format!("pools: [{{path: {pool}/{listed}}}]\n");
        stage.pool.write("prefix/etc/redpak/policy.yaml", policy);
        let mut command = red_wrap(&stage.root);
        command.env("NODE_PREFIX", stage.pool.join("prefix"));
        command.arg(format!("--redpath={pool}/linked/core")).args(["--", "echo", "ran"]);
        run(&mut command)
    };
    assert_eq!(start("linked").good().out, "ran\n");
    assert_eq!(start("data/pool").good().out, "ran\n");
    let said = start("elsewhere");
    refused(&said, "node-owner", &[&format!("belongs to user {}, not to 0\n", user.uid)]);
    assert!(!said.err.contains("chown -R"), "{}", said.err);
}
