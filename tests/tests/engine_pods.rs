//! Containers of a pod, as containerd's CRI sends them: each may be a node of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use red_tests::call::{red_conf, run};
use red_tests::engine::{Engine, Pod, add, annotate, named, volume};
use red_tests::stage::Stage;
use serde_json::{Value, json};

fn key(name: &str) -> String {
    format!("bzh.redpesk.redpak.{name}")
}

#[test]
fn each_container_of_a_pod_is_the_node_that_is_named_for_it() {
    let engine = Engine::new(Stage::new());
    let pod = Pod::new(&engine);
    let leaf = engine.stage.leaf.display().to_string();
    let other = engine.stage.pool.join("core/mid").display().to_string();
    let empty = engine.stage.pool.mkdir("empty");
    let image = engine.stage.pool.mkdir("image");
    engine.stage.pool.write("image/.redpath.yaml", format!("redpath: {other}\n"));
    // What a pod's annotations are for its containers: `app` is the leaf, all others without an image of
    // theirs have none.
    let said = |name: &str, annotations: &[(&str, &str)], root: &Path| {
        let bundle = engine.node("b", &["sh", "-c", "echo $WHO; ls -d /nodes/*/*"], |spec| {
            pod.member(spec, name);
            spec["root"]["path"] = json!(root);
            annotations.iter().for_each(|(name, value)| annotate(spec, &key(name), value));
        });
        engine.run(&bundle)
    };
    let named = [("redpath.app", &*leaf), ("redpath.log", &*other)];
    let out = said("app", &named, &empty).good().out;
    assert_eq!(out, "app\n/nodes/app/private\n/nodes/core/usr\n/nodes/mid/shared\n");
    let out = said("log", &named, &empty).good().out;
    assert_eq!(out, "\n/nodes/core/usr\n/nodes/mid/shared\n");
    // A key of its own comes before the pod's; a sidecar without one gets the pod's.
    let both = [("redpath", &*other), ("redpath.app", &*leaf)];
    assert!(said("app", &both, &empty).good().out.starts_with("app\n"));
    assert!(said("log", &both, &empty).good().out.starts_with("\n"));
    // A sidecar for which nothing is said is what its image is.
    let bundle = engine.stage.plain("p", &["sh", "-c", "echo plain $WHO"], |spec| {
        pod.member(spec, "sidecar");
        annotate(spec, &key("redpath.app"), &leaf);
        annotate(spec, &key("strict"), "true");
    });
    assert_eq!(engine.run(&bundle).good().out, "plain\n");
    // A reference image says it too, and not another node than an annotation.
    assert!(said("log", &[("redpath.app", &leaf)], &image).good().out.starts_with("\n"));
    assert!(said("log", &[("redpath", &other)], &image).good().out.starts_with("\n"));
    for name in ["redpath", "redpath.log"] {
        let refused = said("log", &[(name, &leaf)], &image);
        let words = format!(
            "annotation {} names node {leaf}, and the root's .redpath.yaml:1:10 refers to node {other}",
            key(name)
        );
        assert!(refused.code == 1 && refused.err.contains(&words), "{}", refused.err);
    }
    // Without a name for the container nobody knows whose a key is.
    let refused = engine.refusal(|spec| annotate(spec, &key("plan-digest.app"), "x"));
    let words = "annotation `bzh.redpesk.redpak.plan-digest.app` is for container `app` of a pod";
    assert!(refused.contains(words), "{refused}");
}

/// What a kubelet makes for a pod, where kubelets make it; removed in the end.
struct Kubelet(PathBuf);

/// Held while directories above are made or removed.
static KUBELETS: Mutex<()> = Mutex::new(());

impl Kubelet {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let _held = KUBELETS.lock().unwrap_or_else(PoisonError::into_inner);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let this = Self(format!("/var/lib/kubelet/pods/red-test-{}-{number}", std::process::id()).into());
        let token = "volumes/kubernetes.io~projected/token";
        fs::create_dir_all(this.0.join(token)).expect("root may");
        fs::write(this.0.join(token).join("token"), "secret\n").expect("root may");
        fs::write(this.0.join("etc-hosts"), "127.0.0.1 pod\n").expect("root may");
        this
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _held = KUBELETS.lock().unwrap_or_else(PoisonError::into_inner);
        drop(fs::remove_dir_all(&self.0));
        for above in ["/var/lib/kubelet/pods", "/var/lib/kubelet"] {
            // Only where nobody else has anything there.
            drop(fs::remove_dir(above));
        }
    }
}

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The mounts of a kubelet and of containerd's CRI. A bundle of containerd's tells where its files are.
fn of_kubelet(engine: &Engine, kubelet: &Kubelet, spec: &mut Value) {
    let sandbox = "containerd/io.containerd.grpc.v1.cri/sandboxes/p";
    for name in ["hostname", "resolv.conf"] {
        let file = engine.stage.pool.write(format!("{sandbox}/{name}"), format!("the pod's {name}\n"));
        add(spec, volume(&file, &format!("/etc/{name}"), &["rbind", "rprivate", "rw"]));
    }
    add(spec, volume(&kubelet.at("etc-hosts"), "/etc/hosts", &["rbind", "rprivate", "rw"]));
    let token = kubelet.at("volumes/kubernetes.io~projected/token");
    add(spec, volume(&token, TOKEN, &["rbind", "rprivate", "ro"]));
}

const BUNDLE: &str = "containerd/io.containerd.runtime.v2.task/k8s.io/b";

/// A leaf that exports `/etc` and `/var` of its own, without any place for what a kubelet mounts.
fn with_own(etc: &str, var: &str) -> Engine {
    let leaf = format!(
        "  - {{mode: {etc}, mount: /etc, path: $NODE_PATH/own}}\n  - {{mode: {var}, mount: /var, path: $NODE_PATH/var}}\n  - {{mode: RestrictedFile, mount: /etc/passwd, path: $NODE_PATH/own/passwd}}\n"
    );
    let stage = Stage::with("", &leaf);
    stage.pool.write("core/mid/app/own/passwd", "root:x:0:0::/:/bin/sh\n");
    stage.pool.write("core/mid/app/own/conf.d/x", "x\n");
    stage.pool.write("core/mid/app/var/lib/x", "x\n");
    Engine::new(stage)
}

/// Names and kinds of everything below a directory.
fn tree(dir: &Path) -> String {
    run(Command::new("find").arg(dir).args(["-printf", "%P %y %m\n"])).good().out
}

#[test]
fn what_a_kubelet_mounts_is_there_where_a_node_exports_its_etc_and_var_read_only() {
    let engine = with_own("Restricted", "Restricted");
    let kubelet = Kubelet::new();
    let own = engine.stage.leaf.join("own");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o751)).expect("it is ours");
    let before = tree(&engine.stage.leaf);
    let script = format!(
        "cat /etc/hosts /etc/hostname /etc/resolv.conf {TOKEN}/token /etc/conf.d/x /etc/passwd /var/lib/x; \
         stat -c %a /etc; for place in /etc /etc/conf.d /var /var/lib /var/run; do touch $place/y 2>/dev/null && echo $place; done; \
         ls /etc"
    );
    let bundle = engine.node(BUNDLE, &["sh", "-c", &script], |spec| of_kubelet(&engine, &kubelet, spec));
    let said = engine.run(&bundle).good();
    let wanted = "127.0.0.1 pod\nthe pod's hostname\nthe pod's resolv.conf\nsecret\nx\nroot:x:0:0::/:/bin/sh\nx\n751\nconf.d\nhostname\nhosts\npasswd\nresolv.conf\n";
    assert_eq!(said.out, wanted, "{}", said.err);
    assert_eq!(tree(&engine.stage.leaf), before, "nothing is made in a node");
    // In a pod, where the node has no user namespace of its own, too.
    let pod = Pod::new(&engine);
    let bundle = engine.node(BUNDLE, &["sh", "-c", &script], |spec| {
        of_kubelet(&engine, &kubelet, spec);
        pod.member(spec, "app");
    });
    assert_eq!(engine.run(&bundle).good().out, wanted);
    // Where something else is mounted in what is exported, a layer would uncover what is below it.
    let mut engine = engine;
    let inner = engine.stage.pool.join("core/mid/app/own/conf.d");
    let other = engine.stage.pool.mkdir("other");
    engine.bind(&other, &inner);
    let bundle = engine.node(BUNDLE, &["true"], |spec| of_kubelet(&engine, &kubelet, spec));
    let said = engine.run(&bundle);
    let words = "cannot add the mount points /etc/hostname, /etc/hosts, /etc/resolv.conf to what the node exports: other file systems are mounted below it";
    assert!(said.code == 1 && said.err.contains(words), "{}", said.err);
}

/// A layer is over the deepest directory that is there: a socket beside it is the very one that somebody listens at,
/// which it would not be through an overlay. And it forbids what the mount below it forbids.
#[test]
fn a_layer_covers_no_more_than_it_must_and_keeps_the_flags_of_what_it_covers() {
    let leaf = "  - {mode: Restricted, mount: /var, path: $NODE_PATH/var}\n";
    let mut engine = Engine::new(Stage::with("", leaf));
    let var = engine.stage.pool.mkdir("core/mid/app/var");
    engine.mount("tmpfs", &var);
    for dir in ["lib/deep", "run/secrets", "there"] {
        fs::create_dir_all(var.join(dir)).expect("it is ours");
    }
    fs::write(var.join("run/secrets/run"), "#!/bin/sh\necho ran\n").expect("it is ours");
    fs::set_permissions(var.join("run/secrets/run"), fs::Permissions::from_mode(0o755)).expect("it is ours");
    symlink("run", var.join("run/secrets/link")).expect("it is ours");
    let listener = std::os::unix::net::UnixListener::bind(var.join("lib/socket")).expect("it is ours");
    let flags = "remount,noexec,nosymfollow,noatime,nodiratime";
    run(Command::new("mount").args(["-o", flags]).arg(&var)).good();
    let kubelet = Kubelet::new();
    let token = kubelet.at("volumes/kubernetes.io~projected/token");
    let script = format!(
        "cat {TOKEN}/token; python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"/var/lib/socket\")' && echo connected; \
         /var/run/secrets/run; cat /var/run/secrets/link; \
         grep -c ' /var/run/secrets .*overlay' /proc/self/mounts; grep ' /var/run/secrets ' /proc/self/mounts; ls /var /var/run/secrets"
    );
    let bundle = engine.node(BUNDLE, &["sh", "-c", &script], |spec| {
        add(spec, volume(&token, TOKEN, &["rbind", "rprivate", "ro"]));
    });
    let said = engine.run(&bundle).good();
    drop(listener);
    assert!(said.out.starts_with("secret\nconnected\n1\n"), "{}{}", said.out, said.err);
    assert!(said.out.ends_with("/var/run/secrets:\nkubernetes.io\nlink\nrun\n"), "{}", said.out);
    let line = said.out.lines().find(|line| line.contains(" /var/run/secrets ")).expect("it is mounted");
    for flag in ["ro", "nosuid", "nodev", "noexec", "nosymfollow", "noatime"] {
        let options = line.split(' ').nth(3).unwrap_or_default();
        assert!(options.split(',').any(|one| one == flag), "{flag}: {line}");
    }
    assert!(said.err.contains("Permission denied") && said.err.contains("symbolic links"), "{}", said.err);
    // Beside another file system, which stays what it is.
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(var.join("there"))).good();
    fs::write(var.join("there/x"), "other\n").expect("it is ours");
    let bundle = engine.node(BUNDLE, &["sh", "-c", &format!("cat /var/there/x {TOKEN}/token")], |spec| {
        add(spec, volume(&token, TOKEN, &["rbind", "rprivate", "ro"]));
    });
    let said = engine.run(&bundle);
    run(Command::new("umount").arg("--lazy").arg(var.join("there")));
    assert_eq!(said.good().out, "other\nsecret\n");
}

#[test]
fn what_a_kubelet_mounts_is_refused_with_the_nodes_line_where_it_could_not_be_there() {
    let engine = with_own("Public", "Restricted");
    let kubelet = Kubelet::new();
    let config = engine.stage.leaf.join("etc/redpak.yaml").display().to_string();
    let refused = || {
        let bundle = engine.node(BUNDLE, &["true"], |spec| of_kubelet(&engine, &kubelet, spec));
        engine.run(&bundle)
    };
    let said = refused();
    for name in ["hosts", "hostname", "resolv.conf"] {
        let words = format!(
            "at /etc/{name} has no mount point, and nothing is made in /etc, which node `app` exports: make the empty file {}/own/{name}, or export /etc `Restricted`",
            engine.stage.leaf.display()
        );
        assert!(said.code == 1 && said.err.contains(&words), "{}", said.err);
    }
    assert!(said.err.contains(&format!("{config}:5:")), "{}", said.err);
    // `check` says so beforehand, and only of what is missing.
    let leaf = engine.stage.leaf.display().to_string();
    let check = run(red_conf().args(["check", "--engine", &leaf]).env("NODE_PREFIX", &engine.prefix));
    assert_eq!(check.err.matches("warning[mount-point]").count(), 3, "{}{}", check.out, check.err);
    for name in ["hosts", "hostname", "resolv.conf"] {
        engine.stage.pool.write(format!("core/mid/app/own/{name}"), "");
    }
    let check = run(red_conf().args(["check", "--engine", &leaf]).env("NODE_PREFIX", &engine.prefix));
    assert!(!check.err.contains("warning[mount-point]"), "{}", check.err);
    refused().good();
    // podman's own, for whoever wants it, may be missing; a link of the contents leads into the launch only.
    let own = engine.stage.leaf.join("own");
    fs::remove_file(own.join("resolv.conf")).expect("it is ours");
    symlink("/run/systemd/resolve/stub.conf", own.join("resolv.conf")).expect("it is ours");
    let bundle =
        engine.node(BUNDLE, &["cat", "/etc/resolv.conf"], |spec| of_kubelet(&engine, &kubelet, spec));
    assert_eq!(engine.run(&bundle).good().out, "the pod's resolv.conf\n");
    fs::remove_file(own.join("resolv.conf")).expect("it is ours");
    symlink("/nodes/app/private/x", own.join("resolv.conf")).expect("it is ours");
    let said = refused();
    let words = "mount point /etc/resolv.conf: is a symbolic link into another mount";
    assert!(said.code == 1 && said.err.contains(words), "{}", said.err);
    assert!(!engine.stage.leaf.join("private/x").exists());
}

#[test]
fn places_of_a_kubelet_are_checked_beforehand_too() {
    let leaf = "  - {mode: Public, mount: /var, path: $NODE_PATH/var}\n  - {mode: Public, mount: /dev, path: $NODE_PATH/dev}\n";
    let stage = Stage::with("", leaf);
    for dir in ["var", "dev/pts", "dev/shm", "dev/mqueue"] {
        stage.pool.mkdir(format!("core/mid/app/{dir}"));
    }
    let engine = Engine::new(stage);
    let leaf = engine.stage.leaf.display().to_string();
    let check = || run(red_conf().args(["check", "--engine", &leaf]).env("NODE_PREFIX", &engine.prefix)).err;
    let said = check();
    for (place, kind) in [(TOKEN, "directory"), ("/dev/termination-log", "empty file")] {
        let words = format!("what engines mount at {place} has no mount point");
        assert!(said.contains(&words), "{said}");
        assert!(said.contains(&format!("make the {kind} {}{place}", engine.stage.leaf.display())), "{said}");
    }
    assert_eq!(said.matches("warning[mount-point]").count(), 2, "{said}");
    engine.stage.pool.mkdir(format!("core/mid/app{TOKEN}"));
    engine.stage.pool.write("core/mid/app/dev/termination-log", "");
    assert!(!check().contains("warning[mount-point]"), "{}", check());
}

#[test]
fn accounts_of_a_users_are_honoured_or_refused() {
    let map = |engine: &Engine| engine.stage.pool.write("config-map/passwd", "me:x:0:0::/me:/bin/sh\n");
    for name in ["passwd", "group"] {
        let engine = with_own("Restricted", "Restricted");
        engine.stage.pool.write("core/mid/app/own/group", "root:x:0:\n");
        let file = map(&engine);
        let said = engine.refusal(|spec| {
            add(spec, volume(&file, &format!("/etc/{name}"), &["rbind", "ro"]));
        });
        assert!(said.contains(&format!("/etc/{name}")) && said.contains("would cover"), "{said}");
    }
    let engine = Engine::new(Stage::new());
    let file = map(&engine);
    let bundle = engine.node("b", &["cat", "/etc/group"], |spec| {
        add(spec, volume(&file, "/etc/group", &["rbind", "ro"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "me:x:0:0::/me:/bin/sh\n");
}

#[test]
fn a_hardened_pod_has_the_directories_that_are_its_own() {
    let stage = Stage::with("", "  - {mode: Anonymous, mount: /tmp}\n  - {mode: Anonymous, mount: /work}\n");
    let engine = Engine::new(stage);
    let script = "stat -c %a /tmp; for place in /tmp /work /run /usr / /nodes; do touch $place/x 2>/dev/null && echo $place; done; id -u";
    for uid in [0, 1000] {
        let bundle = engine.node("b", &["sh", "-c", script], |spec| {
            spec["root"]["readonly"] = json!(true);
            spec["process"]["user"] = json!({"uid": uid, "gid": uid});
        });
        let said = engine.run(&bundle).good();
        assert_eq!(said.out, format!("1777\n/tmp\n/work\n/run\n{uid}\n"), "{}", said.err);
    }
    // Where it lies in a node's own directory it is a file system of its own, and the command's all the same.
    let leaf =
        "  - {mode: Public, mount: /work, path: $NODE_PATH/work}\n  - {mode: Anonymous, mount: /work/own}\n";
    let inner = Engine::new(Stage::with("", leaf));
    inner.stage.pool.mkdir("core/mid/app/work/own");
    for (uid, gid) in [(0, 0), (1000, 2000)] {
        let script = "touch /work/own/x && stat -c '%u %g %a' /work/own; id -u";
        let bundle = inner.node("b", &["sh", "-c", script], |spec| {
            spec["root"]["readonly"] = json!(true);
            spec["process"]["user"] = json!({"uid": uid, "gid": gid});
        });
        let said = inner.run(&bundle).good();
        assert_eq!(said.out, format!("{uid} {gid} 755\n{uid}\n"), "{}", said.err);
    }
    // A volume takes the place of a directory of the launch, whatever it is made of.
    let user = engine.stage.pool.mkdir("user");
    for readonly in [false, true] {
        let script = "echo here >/tmp/kept && touch /run/x /work/x";
        let bundle = engine.node("b", &["sh", "-c", script], |spec| {
            spec["root"]["readonly"] = json!(readonly);
            add(spec, volume(&user, "/tmp", &["rbind", "rw"]));
        });
        engine.run(&bundle).good();
        assert_eq!(fs::read_to_string(user.join("kept")).expect("it was written"), "here\n");
        fs::remove_file(user.join("kept")).expect("it is ours");
    }
    // Of a tmpfs too, and of what has nothing of the node's below.
    let stage = Stage::with(
        ", chdir: /tmp/cwd",
        "  - {mode: Public, mount: /work, path: $NODE_PATH/work}\n  - {mode: Tmpfs, mount: /a}\n  - {mode: Public, mount: /a/b, path: $NODE_PATH/work}\n",
    );
    stage.pool.mkdir("core/mid/app/work");
    let engine = Engine::new(stage);
    let user = engine.stage.pool.mkdir("user");
    let bundle = engine.node("b", &["sh", "-c", "pwd; touch /tmp/kept /run/x"], |spec| {
        add(spec, volume(&user, "/tmp", &["rbind", "rw"]));
        add(spec, volume(&user, "/run", &["rbind", "rw"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "/tmp/cwd\n");
    assert!(user.join("kept").exists() && user.join("x").exists());
    for (place, words) in
        [("/a", "would cover /a/b"), ("/work", "would cover /work"), ("/a/b", "would cover /a/b")]
    {
        let said = engine.refusal(|spec| add(spec, volume(&user, place, &["rbind"])));
        assert!(said.contains(words), "{place}: {said}");
    }
}

#[test]
fn a_node_in_a_pod_is_in_the_user_namespace_of_the_pod() {
    let script = "readlink /proc/self/ns/user; ls /sys/class/net; ls -d /dev/mqueue; cut -d' ' -f2,3 /proc/self/mounts | grep -E '^/(sys|dev/mqueue) '";
    let mounts = |spec: &mut Value| {
        for (kind, place) in [("sysfs", "/sys"), ("mqueue", "/dev/mqueue")] {
            add(spec, json!({"destination": place, "type": kind, "source": kind}));
        }
    };
    for config in ["", ", share_all: Disabled", ", share_user: Enabled"] {
        let engine = Engine::new(Stage::with(config, ""));
        let pod = Pod::new(&engine);
        let bundle = engine.node("b", &["sh", "-c", script], |spec| {
            pod.member(spec, "app");
            mounts(spec);
        });
        let said = engine.run(&bundle).good();
        let own = fs::read_link("/proc/self/ns/user").expect("it is there").display().to_string();
        assert!(said.out.starts_with(&format!("{own}\nlo\n/dev/mqueue\n")), "{config}: {}", said.out);
        assert!(
            said.out.contains("/sys sysfs\n") && said.out.contains("/dev/mqueue mqueue\n"),
            "{config}: {}",
            said.out
        );
    }
    // A node that wants one of its own says so.
    let engine = Engine::new(Stage::with(", share_user: Disabled", ""));
    let pod = Pod::new(&engine);
    let said = engine.refusal(|spec| pod.member(spec, "app"));
    assert!(said.contains("redpak.yaml:2:") && said.contains("`share_user: Disabled`"), "{said}");
    // Processes of the pod are shared, as shareProcessNamespace and debugging containers have it.
    let engine = Engine::new(Stage::with(", share_pid: Enabled", ""));
    let pod = Pod::new(&engine);
    let bundle = engine.node("b", &["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"], |spec| {
        pod.member(spec, "app");
        named(spec, "pid", &pod.namespace("pid"));
    });
    assert_eq!(engine.run(&bundle).good().out, "sleep 1000 ");
}

#[test]
fn namespaces_of_another_user_namespace_come_with_that_one_or_not_at_all() {
    let engine = Engine::new(Stage::new());
    let map = json!([{"containerID": 0, "hostID": 0, "size": u32::MAX}]);
    let pause = engine.stage.plain("pause", &["sleep", "1000"], |spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map.clone();
    });
    engine.stage.start(&pause, "pause");
    let pid = engine.stage.runtime(["state", "pause"]).good().json()["pid"].to_string();
    let pod = Pod { pid };
    let words = "which another user namespace owns, and does not name that one";
    let said = engine.refusal(|spec| pod.member(spec, "app"));
    assert!(said.contains(words), "{said}");
    // Whatever kind it is of, and whatever the node says of its own.
    for config in ["", ", share_user: Enabled"] {
        let other = Engine::new(Stage::with(config, ""));
        for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
            let said = other.refusal(|spec| named(spec, kind, &pod.namespace(file)));
            assert!(said.contains(words), "{config} {kind}: {said}");
        }
    }
    let joins = format!(", share_net: {}", pod.namespace("net").display());
    let other = Engine::new(Stage::with(&joins, ""));
    let said = other.refusal(|spec| {
        let all = spec["linux"]["namespaces"].as_array_mut().expect("it is a list");
        all.retain(|one| one["type"] != "network");
    });
    assert!(said.contains(words), "{said}");
    let bundle = engine.node("b", &["readlink", "/proc/self/ns/user"], |spec| {
        pod.member(spec, "app");
        named(spec, "user", &pod.namespace("user"));
    });
    let wanted = fs::read_link(pod.namespace("user")).expect("it runs").display().to_string();
    assert_eq!(engine.run(&bundle).good().out.trim(), wanted);
}
