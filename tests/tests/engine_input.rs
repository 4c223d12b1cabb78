//! What an engine sends is judged by what it is: namespaces by inode, mounts by type, source and what
//! they cover, annotations by what they say. Each through a bundle, as podman and containerd write them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::run;
use red_tests::engine::{Engine, add, annotate, named, volume};
use red_tests::stage::Stage;
use serde_json::json;

const LIVES: [&str; 2] = ["sleep", "1000"];

#[test]
fn a_hosts_namespace_by_path_is_the_hosts() {
    let mut engine = Engine::new(Stage::new());
    let own = |name: &str| PathBuf::from(format!("/proc/{}/ns/{name}", std::process::id()));
    let alias = engine.stage.pool.write("netns", "");
    engine.bind(&own("net"), &alias);
    let link = engine.stage.pool.join("link");
    symlink(own("net"), &link).expect("it is ours");
    // Another container that has the host's network: its path is not the host's, its namespace is.
    let shared = engine.stage.plain("shared", &LIVES, |spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("a list").retain(|one| one["type"] != "network");
    });
    engine.stage.start(&shared, "shared");
    let first = engine.stage.runtime(["state", "shared"]).good().json()["pid"].to_string();
    let theirs = PathBuf::from(format!("/proc/{first}/ns/net"));
    let config = engine.stage.pool.join("core/etc/redpak.yaml").display().to_string();
    for (kind, path, words) in [
        ("network", own("net"), "share_net: Disabled"),
        ("network", "/proc/1/ns/net".into(), "share_net: Disabled"),
        ("network", alias, "share_net: Disabled"),
        ("network", link, "share_net: Disabled"),
        ("network", theirs, "share_net: Disabled"),
        ("ipc", own("ipc"), "share_ipc: Disabled"),
        ("pid", own("pid"), "share_pid: Disabled"),
        ("pid", own("pid_for_children"), "share_pid: Disabled"),
        ("user", own("user"), "share_user: Disabled"),
        ("cgroup", own("cgroup"), "share_cgroup: Disabled"),
        ("mount", own("mnt"), "mount namespace"),
        ("network", own("pid"), "is not a network namespace"),
        ("network", "/etc/passwd".into(), "is not a namespace"),
        ("network", "/dev/null".into(), "is not a namespace"),
    ] {
        if fs::metadata(&path).is_err() {
            // Not even root may look at PID 1 everywhere.
            continue;
        }
        let said = engine.refusal(|spec| named(spec, kind, &path));
        assert!(said.contains(words), "{kind} {}: {said}", path.display());
    }
    // Where the node says it, the message says where.
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, text.replace("config: {", "config: {share_net: Disabled, ")).expect("it is ours");
    let said = engine.refusal(|spec| named(spec, "network", &own("net")));
    assert!(said.contains(&format!("{config}:2:")) && said.contains("--network host"), "{said}");
    fs::write(&config, text.replace("config: {", "config: {share_net: Enabled, ")).expect("it is ours");
    let joined =
        engine.node("b", &["readlink", "/proc/self/ns/net"], |spec| named(spec, "network", &own("net")));
    let host = fs::read_link(own("net")).expect("it is there").display().to_string();
    assert_eq!(engine.run(&joined).good().out.trim(), host);
}

#[test]
fn a_host_name_is_never_set_in_the_hosts_uts_namespace_and_mounts_never_in_its_mount_namespace() {
    let engine = Engine::new(Stage::new());
    let own = |name: &str| PathBuf::from(format!("/proc/{}/ns/{name}", std::process::id()));
    let script = "hostname; readlink /proc/self/ns/uts";
    let said =
        engine.run(&engine.node("b", &["sh", "-c", script], |spec| named(spec, "uts", &own("uts")))).good();
    let host = fs::read_link(own("uts")).expect("it is there").display().to_string();
    assert!(said.out.starts_with("box-app\n") && !said.out.contains(&host), "{}", said.out);
    // A plain bundle may be the host's in everything but this.
    let bundle = engine.stage.plain("p", &["true"], |spec| named(spec, "mount", &own("mnt")));
    let said = engine.run(&bundle);
    assert!(said.code == 1 && said.err.contains("host's mount namespace"), "{}", said.err);
}

#[test]
fn another_containers_namespaces_are_joined_by_a_node() {
    let engine = Engine::new(Stage::new());
    let map = json!([{"containerID": 0, "hostID": 0, "size": u32::MAX}]);
    let first = engine.stage.plain("a", &LIVES, |spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map.clone();
    });
    engine.stage.start(&first, "a");
    let pid = engine.stage.runtime(["state", "a"]).good().json()["pid"].to_string();
    let path = |name: &str| PathBuf::from(format!("/proc/{pid}/ns/{name}"));
    let bundle = engine.node("b", &["readlink", "/proc/self/ns/net", "/proc/self/ns/ipc"], |spec| {
        for (kind, name) in [("user", "user"), ("network", "net"), ("ipc", "ipc")] {
            named(spec, kind, &path(name));
        }
    });
    let said = engine.run(&bundle).good();
    let wanted = ["net", "ipc"].map(|name| fs::read_link(path(name)).expect("it runs").display().to_string());
    assert_eq!(said.out.lines().collect::<Vec<_>>(), wanted);
}

/// A leaf with `/etc` of its own, read-only, and two writable directories.
const LEAF: &str = "  - {mode: Restricted, mount: /etc, path: $NODE_PATH/own}
  - {mode: RestrictedFile, mount: /etc/passwd, path: $NODE_PATH/own/passwd}
  - {mode: Public, mount: /data, path: $NODE_PATH/data}
  - {mode: Public, mount: /zdata, path: $NODE_PATH/zdata}
";

fn with_etc() -> Engine {
    let stage = Stage::with("", LEAF);
    for name in ["passwd", "hosts", "hostname", "resolv.conf", "shadow"] {
        stage.pool.write(format!("core/mid/app/own/{name}"), format!("the node's {name}\n"));
    }
    for name in ["data", "zdata"] {
        stage.pool.mkdir(format!("core/mid/app/{name}"));
    }
    Engine::new(stage)
}

#[test]
fn nothing_of_an_engine_covers_what_a_node_exports_read_only() {
    let engine = with_etc();
    let user = engine.stage.pool.mkdir("user");
    for name in ["hosts", "passwd"] {
        engine.stage.pool.write(format!("user/{name}"), "EVIL\n");
    }
    for name in ["upper", "work", "lower"] {
        engine.stage.pool.mkdir(format!("user/{name}"));
    }
    let at = |name: &str| user.join(name);
    let layers = format!("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", user.display());
    let layers: Vec<&str> = layers.split(',').collect();
    let tmpfs = |at: &str| json!({"destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["rw", "tmpcopyup"]});
    let config = engine.stage.pool.join("core/etc/redpak.yaml").display().to_string();
    for (mount, words) in [
        (tmpfs("/usr/sbin"), "would cover a part of /usr, which node `core` exports read-only"),
        (tmpfs("/usr"), "would cover /usr"),
        (tmpfs("/proc/sys"), "a part of /proc"),
        (
            json!({"destination": "/usr/share", "type": "overlay", "source": "overlay", "options": layers}),
            "a part of /usr",
        ),
        (json!({"destination": "/usr/bin", "type": "devpts", "source": "devpts"}), "a part of /usr"),
        (
            json!({"destination": "/usr/bin", "type": "proc", "source": at("lower"), "options": ["bind"]}),
            "a part of /usr",
        ),
        (volume(&at("hosts"), "/etc/hosts", &["bind"]), "a part of /etc"),
        (volume(&at("passwd"), "/etc/passwd", &["bind"]), "would cover /etc/passwd"),
        (volume(&at("hosts"), "/etc/shadow", &["bind"]), "a part of /etc"),
        (json!({"destination": "/p", "type": "proc", "source": "proc"}), "at its usual place only"),
        (
            json!({"destination": "/x", "type": "debugfs", "source": "debugfs"}),
            "no file system of type `debugfs`",
        ),
        (volume(Path::new("/proc"), "/p", &["rbind"]), "host's processes"),
        (volume(Path::new("/sys"), "/s", &["rbind"]), "whose place is /sys"),
        (volume(Path::new("/dev"), "/d", &["rbind"]), "shows the host's"),
    ] {
        let said = engine.refusal(|spec| add(spec, mount.clone()));
        assert!(said.contains(words), "{mount}: {said}");
        if words.contains("a part of /usr") {
            assert!(said.contains(&config), "{mount}: {said}");
        }
    }
    // Beside and in what is writable they stand.
    let script = "touch /data/cache/x /srv/x /tmp/x && cat /etc/hosts";
    engine.stage.pool.mkdir("core/mid/app/data/cache");
    let bundle = engine.node("b", &["sh", "-c", script], |spec| {
        for place in ["/data/cache", "/srv", "/tmp"] {
            add(spec, tmpfs(place));
        }
    });
    assert_eq!(engine.run(&bundle).good().out, "the node's hosts\n");
    assert!(!engine.stage.pool.join("core/mid/app/data/cache/x").exists());
}

#[test]
fn a_link_in_the_contents_of_a_node_leads_no_volume_elsewhere() {
    let engine = with_etc();
    let evil = engine.stage.pool.write("user/true", "#!/bin/sh\necho EVIL\n");
    let dir = engine.stage.pool.mkdir("user/dir");
    for data in ["data", "zdata"] {
        let data = engine.stage.pool.join("core/mid/app").join(data);
        symlink("/usr/bin", data.join("l")).expect("it is ours");
        symlink("../usr/bin", data.join("relative")).expect("it is ours");
        symlink("/usr/bin/true", data.join("file")).expect("it is ours");
        symlink("l", data.join("again")).expect("it is ours");
        symlink("/nodes", data.join("above")).expect("it is ours");
    }
    let config = json!({"destination": "/srv", "type": "tmpfs", "source": "tmpfs", "options": ["rw"]});
    for data in ["/zdata", "/data"] {
        for mount in [
            volume(&evil, &format!("{data}/l/true"), &["bind"]),
            volume(&evil, &format!("{data}/relative/true"), &["bind"]),
            volume(&evil, &format!("{data}/again/true"), &["bind"]),
            volume(&evil, &format!("{data}/file"), &["bind"]),
            volume(&dir, &format!("{data}/l"), &["rbind"]),
            volume(&dir, &format!("{data}/above"), &["rbind"]),
            json!({"destination": format!("{data}/l"), "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}),
        ] {
            let said = engine.refusal(|spec| {
                add(spec, config.clone());
                add(spec, mount.clone());
            });
            assert!(said.contains("a symbolic link inside leads elsewhere"), "{mount}: {said}");
        }
    }
    // A link that a copy brings into a new file system leads nowhere else either.
    symlink("/usr/bin", engine.stage.pool.mkdir("core/mid/app/data/sub").join("l")).expect("it is ours");
    let said = engine.refusal(|spec| {
        add(
            spec,
            json!({"destination": "/data/sub", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}),
        );
        add(spec, volume(&evil, "/data/sub/l/true", &["bind"]));
    });
    assert!(said.contains("a symbolic link inside leads elsewhere"), "{said}");
    let said = engine.refusal(|spec| add(spec, volume(&evil, "/data/../usr/bin/true", &["bind"])));
    assert!(said.contains("`..`") || said.contains("a part of /usr"), "{said}");
}

#[test]
fn an_annotation_makes_no_node_a_pause_container() {
    let mut engine = Engine::new(Stage::new());
    let leaf = engine.stage.leaf.clone();
    let config = leaf.join("etc/redpak.yaml");
    let before = fs::read_to_string(&config).expect("it is there");
    let copy = engine.stage.pool.join("copy");
    run(Command::new("cp").arg("-a").arg(&leaf).arg(&copy)).good();
    let reference = engine.stage.pool.mkdir("reference");
    engine.stage.pool.write("reference/.redpath.yaml", format!("redpath: {}\n", leaf.display()));
    let (alias, inner) = (engine.stage.pool.mkdir("alias"), engine.stage.pool.mkdir("inner"));
    engine.bind(&leaf, &alias);
    engine.bind(&leaf.join("private"), &inner);
    let link = engine.stage.pool.join("link-to-node");
    symlink(&leaf, &link).expect("it is ours");
    for key in ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"] {
        for root in
            [&leaf, &copy, &reference, &alias, &link, &inner, &leaf.join("private"), &leaf.join("etc")]
        {
            let said = engine.refusal(|spec| {
                spec["root"] = json!({"path": root, "readonly": true});
                annotate(spec, key, "sandbox");
            });
            let known = said.contains("pause container") || said.contains("would make writable what decides");
            assert!(known, "{key} {}: {said}", root.display());
        }
    }
    // Nor does a plain bundle get a part of a node, or what it is in, for a root to write to.
    let above = engine.stage.pool.join("core");
    fs::remove_file(above.join(".rednode.yaml")).expect("it is ours");
    for root in [&leaf.join("private"), &inner, &above, engine.stage.pool.path()] {
        let said = engine.refusal(|spec| spec["root"]["path"] = json!(root));
        assert!(said.contains("would make writable what decides"), "{}: {said}", root.display());
    }
    assert_eq!(fs::read_to_string(&config).expect("it is there"), before);
}

#[test]
fn an_annotation_that_is_not_understood_starts_nothing() {
    let engine = Engine::new(Stage::new());
    let zeros = "0".repeat(64);
    let other = engine.stage.pool.join("core/mid").display().to_string();
    for (key, value, words) in [
        ("redpth", "/x", "did you mean `bzh.redpesk.redpak.redpath`?"),
        ("plandigest", &*zeros, "did you mean `bzh.redpesk.redpak.plan-digest`?"),
        ("plan-digest", "sha256:00", "64 hexadecimal digits"),
        ("plan-digest", &zeros, "plan digest mismatch"),
        ("admin", "yess", "expected `true` or `false`"),
        ("redpath.app", "/x", "this container has no name"),
        ("redpath", &other, "and the root is, or is a copy of, node"),
    ] {
        let said = engine.refusal(|spec| annotate(spec, &format!("bzh.redpesk.redpak.{key}"), value));
        assert!(said.contains(words), "{key}: {said}");
    }
    // On a plain bundle a pin would pin nothing.
    for (key, value, words) in [("plan-digest", &*zeros, "names one"), ("redpth", "/x", "did you mean")] {
        let bundle = engine.stage.plain("p", &["echo", "started"], |spec| {
            annotate(spec, &format!("bzh.redpesk.redpak.{key}"), value);
        });
        let said = engine.run(&bundle);
        assert!(said.code == 1 && said.out.is_empty() && said.err.contains(words), "{key}: {}", said.err);
    }
    // What a bundle of `red-conf` says of its origin asks for nothing.
    let bundle = engine.stage.bundle("bundle", &["echo", "started"]);
    assert_eq!(engine.run(&bundle).good().out, "started\n");
}

#[test]
fn no_volume_makes_what_decides_writable() {
    let mut engine = with_etc();
    let (pool, leaf) = (engine.stage.pool.join("core"), engine.stage.leaf.clone());
    let config = leaf.join("etc/redpak.yaml");
    let before = fs::read_to_string(&config).expect("it is there");
    let alias = engine.stage.pool.mkdir("alias");
    engine.bind(&pool, &alias);
    let link = engine.stage.pool.join("link");
    symlink(&pool, &link).expect("it is ours");
    let policy = engine.prefix.join("etc/redpak");
    let sources = [&pool, &leaf, &leaf.join("etc"), &config, &alias, &link, &alias.join("mid"), &policy];
    for source in sources {
        for options in [&["rbind", "rw"][..], &["bind"], &["rbind", "ro", "rw"]] {
            let mount = volume(source, "/host", options);
            let said = engine.refusal(|spec| add(spec, mount.clone()));
            assert!(said.contains("would make writable what decides"), "{mount}: {said}");
            let plain = engine.stage.plain("p", &["echo", "started"], |spec| add(spec, mount.clone()));
            let said = engine.run(&plain);
            assert!(
                said.code == 1 && said.err.contains("would make writable what decides"),
                "{mount}: {}",
                said.err
            );
        }
    }
    // For a node's container nothing above them either, and no overlay that writes there.
    let said = engine.refusal(|spec| add(spec, volume(engine.stage.pool.path(), "/host", &["rbind"])));
    assert!(said.contains("would make writable what decides"), "{said}");
    let layers = [format!("lowerdir={}", pool.display()), format!("upperdir={}", leaf.join("etc").display())];
    let said = engine.refusal(|spec| {
        add(spec, json!({"destination": "/o", "type": "overlay", "source": "overlay", "options": layers}));
    });
    assert!(said.contains("would make writable what decides"), "{said}");
    // Read-only they may be looked at, with all that is mounted below; what is exported stays writable.
    let script = "cat /host/etc/redpak.yaml >/dev/null && ! touch /host/etc/x 2>/dev/null && ! touch /host/mounted/x 2>/dev/null && touch /data/v/x && echo held";
    let (mounted, other) = (engine.stage.pool.mkdir("core/mounted"), engine.stage.pool.mkdir("other"));
    engine.bind(&other, &mounted);
    let v = engine.stage.pool.mkdir("core/mid/app/data/v");
    let bundle = engine.node("b", &["sh", "-c", script], |spec| {
        add(spec, volume(&pool, "/host", &["rbind", "ro"]));
        add(spec, volume(&v, "/data/v", &["rbind"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "held\n");
    assert!(v.join("x").exists());
    assert_eq!(fs::read_to_string(&config).expect("it is there"), before);
}

#[test]
fn a_user_of_the_nodes_has_no_groups_of_the_engines() {
    let engine = Engine::new(Stage::with(", set-user: '65534', set-group: '65534'", ""));
    let bundle = engine.node("b", &["sh", "-c", "id -u; id -g; id -G"], |spec| {
        spec["process"]["user"] = json!({"uid": 0, "gid": 0, "additionalGids": [0, 4]});
    });
    assert_eq!(engine.run(&bundle).good().out, "65534\n65534\n65534\n");
    let said = engine.refusal(|spec| spec["process"]["user"] = json!({"uid": 65534, "gid": 4}));
    assert!(said.contains("set-group: 65534"), "{said}");
}
