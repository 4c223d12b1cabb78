//! Volumes and roots that an engine sends: what a node has read-only in its writable exports, files with
//! several names, bundles that say which node they are of, and the kernel's file systems.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use red_tests::call::run;
use red_tests::engine::{Engine, add, annotate, volume};
use red_tests::stage::Stage;
use serde_json::{Value, json};

/// A leaf that exports its `/var` writable, with a package database in it.
fn with_var() -> Engine {
    let stage = Stage::with("", "  - {mode: Public, mount: /var, path: $NODE_PATH/var}\n");
    stage.pool.mkdir("core/mid/app/var/log");
    stage.pool.write("core/mid/app/var/lib/rpm/rpmdb.sqlite", "packages\n");
    Engine::new(stage)
}

/// What is said of a plain bundle that is refused.
fn plain_refusal(engine: &Engine, change: impl FnOnce(&mut Value)) -> String {
    let said = engine.run(&engine.stage.plain("p", &["echo", "started"], change));
    assert!(said.code == 1 && said.out.is_empty(), "{}{}", said.out, said.err);
    said.err
}

fn layers(upper: &Path, work: &Path) -> Value {
    let options = [
        format!("lowerdir={}", work.display()),
        format!("upperdir={}", upper.display()),
        format!("workdir={}", work.display()),
    ];
    json!({"destination": "/o", "type": "overlay", "source": "overlay", "options": options})
}

/// The configuration of a bundle that `red-conf` writes.
fn changed(bundle: &Path, change: impl FnOnce(&mut Value)) {
    let path = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&path).expect("it is there")).expect("it is JSON");
    change(&mut spec);
    fs::write(path, spec.to_string()).expect("it is ours");
}

#[test]
fn a_volume_has_no_more_of_an_export_than_the_node() {
    let engine = with_var();
    let leaf = engine.stage.leaf.clone();
    let work = engine.stage.pool.mkdir("work");
    for part in ["var", "var/lib", "var/lib/rpm", "var/lib/rpm/rpmdb.sqlite"] {
        let source = leaf.join(part);
        let said = engine.refusal(|spec| add(spec, volume(&source, "/x", &["rbind", "rw"])));
        assert!(said.contains("would make writable what decides"), "{part}: {said}");
        if source.is_dir() {
            let said = engine.refusal(|spec| add(spec, layers(&source, &work)));
            assert!(said.contains("would make writable what decides"), "{part}: {said}");
        }
    }
    let script = "touch /x/file /var/lib/file && ! touch /var/lib/rpm/x 2>/dev/null && echo held";
    let bundle = engine.node("b", &["sh", "-c", script], |spec| {
        add(spec, volume(&leaf.join("var/log"), "/x", &["rbind", "rw"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "held\n");
    assert!(leaf.join("var/log/file").exists());
}

#[test]
fn a_bundle_of_a_node_has_what_the_node_has_and_says_which_plan_it_is_of() {
    let engine = with_var();
    let leaf = engine.stage.leaf.clone();
    let script = "touch /var/log/x && ! touch /var/lib/rpm/x 2>/dev/null && echo held";
    let bundle = |change: &dyn Fn(&mut Value)| {
        let bundle = engine.stage.bundle("bundle", &["sh", "-c", script]);
        changed(&bundle, |spec| change(spec));
        engine.run(&bundle)
    };
    assert_eq!(bundle(&|_| {}).good().out, "held\n");
    // Nothing is made in what it exports, neither for a mount nor for a device.
    let said = bundle(&|spec| {
        add(spec, json!({"destination": "/var/made", "type": "tmpfs", "source": "tmpfs"}));
    });
    assert!(said.err.contains("nothing is made in /var, which a node exports"), "{}", said.err);
    let said = bundle(&|spec| {
        spec["linux"]["devices"] = json!([{"path": "/var/made", "type": "c", "major": 1, "minor": 3}]);
    });
    assert!(said.err.contains("nothing is made in /var, which a node exports"), "{}", said.err);
    assert!(!leaf.join("var/made").exists());
    let at = |spec: &Value, destination: &str| {
        let all = spec["mounts"].as_array().expect("it is a list");
        all.iter().position(|one| one["destination"] == destination).expect("it is there")
    };
    for (what, change) in [
        (
            "without the read-only part",
            &(|spec: &mut Value| {
                let index = at(spec, "/var/lib/rpm");
                spec["mounts"].as_array_mut().expect("a list").remove(index);
            }) as &dyn Fn(&mut Value),
        ),
        ("with it beforehand", &|spec: &mut Value| {
            let index = at(spec, "/var/lib/rpm");
            let part = spec["mounts"].as_array_mut().expect("a list").remove(index);
            spec["mounts"].as_array_mut().expect("a list").insert(0, part);
        }),
        ("without the way to it, which could be renamed", &|spec: &mut Value| {
            let index = at(spec, "/var/lib");
            spec["mounts"].as_array_mut().expect("a list").remove(index);
        }),
        ("with something in between", &|spec: &mut Value| {
            let index = at(spec, "/var/lib");
            let between = json!({"destination": "/var", "type": "tmpfs", "source": "tmpfs"});
            spec["mounts"].as_array_mut().expect("a list").insert(index, between);
        }),
        ("with it writable", &|spec: &mut Value| {
            let index = at(spec, "/var/lib/rpm");
            spec["mounts"][index]["options"] = json!(["rbind", "rw"]);
        }),
        ("elsewhere too", &|spec: &mut Value| add(spec, volume(&leaf.join("var"), "/x", &["rbind", "rw"]))),
        ("a part of it", &|spec: &mut Value| {
            add(spec, volume(&leaf.join("var/lib/rpm"), "/x", &["rbind", "rw"]))
        }),
    ] {
        let said = bundle(change);
        assert!(
            said.code == 1 && said.err.contains("would make writable what decides"),
            "{what}: {}{}",
            said.out,
            said.err
        );
    }
    for (what, change) in [
        (
            "another digest",
            &(|spec: &mut Value| annotate(spec, "bzh.redpesk.redpak.origin.digest", "sha256:00"))
                as &dyn Fn(&mut Value),
        ),
        ("no digest", &|spec: &mut Value| {
            spec["annotations"]
                .as_object_mut()
                .expect("an object")
                .remove("bzh.redpesk.redpak.origin.digest");
        }),
    ] {
        let said = bundle(change);
        assert!(
            said.code == 1 && said.err.contains("write the bundle again"),
            "{what}: {}{}",
            said.out,
            said.err
        );
    }
    // Nor does a foreign bundle get anything by saying so.
    let log = leaf.join("var/log");
    let said = plain_refusal(&engine, |spec| {
        annotate(spec, "bzh.redpesk.redpak.origin.redpath", &leaf.display().to_string());
        add(spec, volume(&log, "/x", &["rbind"]));
    });
    assert!(said.contains("would make writable what decides") && said.contains("gives it nothing"), "{said}");
    let config = leaf.join("etc/redpak.yaml");
    let text = fs::read_to_string(&config).expect("it is there");
    let bundle = engine.stage.bundle("bundle", &["echo", "started"]);
    fs::write(&config, text.replace("WHO", "WHOSE")).expect("it is ours");
    let said = engine.run(&bundle);
    assert!(said.code == 1 && said.err.contains("its plan is sha256:"), "{}{}", said.out, said.err);
}

#[test]
fn a_root_that_holds_what_decides_is_read_only_with_all_below() {
    let mut engine = Engine::new(Stage::new());
    let top = engine.stage.pool.mkdir("top");
    for dir in ["pool", "proc", "dev", "usr", "tmp"] {
        engine.stage.pool.mkdir(format!("top/{dir}"));
    }
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        symlink(target, top.join(link)).expect("it is ours");
    }
    let pool = engine.stage.pool.join("core");
    engine.bind(&pool, &top.join("pool"));
    let script = "touch /pool/x 2>/dev/null; touch /pool/mid/app/private/x 2>/dev/null; touch /tmp/x 2>/dev/null; echo ran";
    let bundle = engine.stage.plain("p", &["sh", "-c", script], |spec| {
        spec["root"] = json!({"path": top, "readonly": true});
    });
    assert_eq!(engine.run(&bundle).good().out, "ran\n");
    assert!(
        !pool.join("x").exists() && !pool.join("mid/app/private/x").exists() && !top.join("tmp/x").exists()
    );
    // No mount point is made in it, nor a working directory or a device.
    let etc = engine.stage.leaf.join("etc");
    let tmpfs = |at: &str| json!({"destination": at, "type": "tmpfs", "source": "tmpfs"});
    for (root, mount) in [
        (etc.clone(), tmpfs("/redpak-admin.yaml")),
        (etc.clone(), volume(&engine.stage.pool.write("file", ""), "/redpak-admin.yaml", &["bind"])),
        (
            engine.stage.leaf.join("private"),
            volume(&engine.stage.pool.join("file"), "/.rednode.yaml", &["bind"]),
        ),
    ] {
        let said = plain_refusal(&engine, |spec| {
            spec["root"] = json!({"path": root, "readonly": true});
            spec["process"]["cwd"] = json!("/made");
            spec["mounts"] = json!([mount]);
        });
        assert!(said.contains("nothing is made in a root that holds what decides"), "{mount}: {said}");
        let left: Vec<PathBuf> =
            fs::read_dir(&root).expect("it is there").flatten().map(|one| one.path()).collect();
        assert!(left.iter().all(|one| one.ends_with("redpak.yaml")), "{left:?}");
    }
    plain_refusal(&engine, |spec| {
        spec["root"] = json!({"path": etc, "readonly": true});
        spec["process"]["cwd"] = json!("/made");
        spec["mounts"] = json!([]);
    });
    assert!(!etc.join("made").exists() && !etc.join("dev").exists());
}

#[test]
fn a_file_with_another_name_that_decides_is_no_volume() {
    let engine = with_var();
    let user = engine.stage.pool.mkdir("user");
    for (name, of) in
        [("config", "etc/redpak.yaml"), ("status", ".rednode.yaml"), ("packages", "var/lib/rpm/rpmdb.sqlite")]
    {
        let file = user.join(name);
        fs::hard_link(engine.stage.leaf.join(of), &file).expect("both are in one file system");
        let said = engine.refusal(|spec| add(spec, volume(&file, "/f", &["bind", "rw"])));
        assert!(said.contains("hard links"), "{of}: {said}");
        let said = plain_refusal(&engine, |spec| add(spec, volume(&file, "/f", &["bind", "rw"])));
        assert!(said.contains("hard links"), "{of}: {said}");
    }
    let bundle = engine.node("b", &["sh", "-c", "test -s /f && ! test -w /f && echo held"], |spec| {
        add(spec, volume(&user.join("config"), "/f", &["bind", "ro"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "held\n");
}

#[test]
fn a_secret_is_the_engines_at_its_place_only() {
    let leaf = "  - {mode: Restricted, mount: /etc, path: $NODE_PATH/own}\n";
    let stage = Stage::with("", leaf);
    for name in ["passwd", "hosts"] {
        stage.pool.write(format!("core/mid/app/own/{name}"), "the node's\n");
    }
    let engine = Engine::new(stage);
    let at = "overlay-containers/abc/userdata";
    let secret = engine.stage.pool.write(format!("{at}/secrets/hosts"), "EVIL\n");
    let hosts = engine.stage.pool.write(format!("{at}/hosts"), "the engine's\n");
    let node = |source: &Path, destination: &str| {
        engine.node(at, &["cat", "/etc/hosts", "/run/secrets/hosts"], |spec| {
            add(spec, volume(source, destination, &["bind"]))
        })
    };
    let started = |bundle: &Path| run(engine.command().arg("run").arg("--bundle").arg(bundle).arg("c"));
    for place in ["/etc/hosts", "/etc/passwd", "/etc/localtime"] {
        let said = started(&node_once(&engine, at, || node(&secret, place)));
        assert!(said.code == 1 && said.err.contains("would cover"), "{place}: {}{}", said.out, said.err);
    }
    let said = started(&node_once(&engine, at, || node(&secret, "/run/secrets/hosts"))).good();
    assert_eq!(said.out, "the node's\nEVIL\n");
    assert!(
        started(&node_once(&engine, at, || node(&hosts, "/etc/hosts"))).out.starts_with("the engine's\n")
    );
}

/// A bundle at a place where there may be one already.
fn node_once(engine: &Engine, at: &str, make: impl FnOnce() -> PathBuf) -> PathBuf {
    match fs::remove_dir_all(engine.stage.pool.join(at).join("rootfs")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => make(),
    }
}

#[test]
fn the_kernels_file_systems_are_the_containers_own_or_to_look_at() {
    let engine = Engine::new(Stage::new());
    for (mount, words) in [
        (volume(Path::new("/dev/pts"), "/dev/pts", &["rbind"]), "the host's terminals"),
        (volume(Path::new("/proc"), "/proc", &["rbind", "ro"]), "the host's processes"),
        (volume(Path::new("/sys"), "/sys", &["rbind"]), "not read-only"),
    ] {
        let said = engine.refusal(|spec| add(spec, mount.clone()));
        assert!(said.contains(words), "{mount}: {said}");
    }
    let queues = engine.stage.pool.mkdir("queues");
    let mounted = run(std::process::Command::new("mount").args(["-t", "mqueue", "none"]).arg(&queues));
    if mounted.code == 0 {
        let said = engine.refusal(|spec| add(spec, volume(&queues, "/dev/mqueue", &["rbind"])));
        run(std::process::Command::new("umount").arg(&queues)).good();
        assert!(said.contains("share_ipc: Disabled"), "{said}");
    }
    let script = "for at in $(awk '$3 ~ /^(sysfs|cgroup2?)$/ {print $2 \":\" $4}' /proc/mounts); do case $at in *:ro,*|*:ro) ;; *) echo $at;; esac; done; echo ran";
    let bundle = engine.node("b", &["sh", "-c", script], |spec| {
        add(
            spec,
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["rw", "nosuid"]}),
        );
        add(
            spec,
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}),
        );
    });
    assert_eq!(engine.run(&bundle).good().out, "ran\n");
}

#[test]
fn a_mount_or_mask_of_the_root_itself_is_refused_with_words() {
    let engine = Engine::new(Stage::new());
    let other = engine.stage.pool.mkdir("other");
    let said = plain_refusal(&engine, |spec| add(spec, volume(&other, "/", &["rbind"])));
    assert!(said.contains("would cover the root"), "{said}");
    for (list, words) in [("maskedPaths", "masked path /"), ("readonlyPaths", "read-only path /")] {
        for path in ["/", "//.", "/./"] {
            let said = plain_refusal(&engine, |spec| spec["linux"][list] = json!([path]));
            assert!(said.contains(words) && said.contains("the root itself"), "{said}");
        }
    }
}

#[test]
fn a_directory_above_a_pool_is_one_under_every_name() {
    let mut engine = Engine::new(Stage::new());
    let alias = engine.stage.pool.mkdir("alias");
    let above = engine.stage.pool.mkdir("above/pool");
    engine.bind(&engine.stage.pool.join("core"), &above);
    let pool = engine.stage.pool.path().to_owned();
    engine.bind(&pool, &alias);
    let pool = engine.stage.pool.path().to_owned();
    for source in [&pool, &alias] {
        let bundle =
            engine.stage.plain("p", &["echo", "started"], |spec| add(spec, volume(source, "/x", &["rbind"])));
        assert_eq!(engine.run(&bundle).good().out, "started\n", "{}", source.display());
    }
    // What only brings a pool along is not what the pool is in.
    let above = above.parent().expect("it has one").to_owned();
    let said = plain_refusal(&engine, |spec| add(spec, volume(&above, "/x", &["rbind"])));
    assert!(said.contains("would make writable what decides"), "{said}");
}

#[test]
fn links_of_sysfs_are_followed_in_a_plain_bundle() {
    let engine = Engine::new(Stage::new());
    let other = engine.stage.pool.mkdir("other");
    engine.stage.pool.write("other/mark", "");
    let bundle = engine.stage.plain("p", &["ls", "/sys/class/net/lo"], |spec| {
        add(spec, json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}));
        add(spec, volume(&other, "/sys/class/net/lo", &["rbind", "ro"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "mark\n");
}

#[test]
fn a_file_system_that_is_mounted_in_a_pool_is_a_part_of_it() {
    let mut engine = Engine::new(Stage::new());
    let (part, alias) = (engine.stage.pool.mkdir("core/part"), engine.stage.pool.mkdir("alias"));
    engine.mount("tmpfs", &part);
    fs::create_dir(part.join("node")).expect("it is ours");
    engine.bind(&part, &alias);
    for source in [&alias, &alias.join("node"), &part] {
        let said = plain_refusal(&engine, |spec| add(spec, volume(source, "/x", &["rbind"])));
        assert!(said.contains("would make writable what decides"), "{}: {said}", source.display());
        let said = engine.refusal(|spec| add(spec, volume(source, "/x", &["rbind"])));
        assert!(said.contains("would make writable what decides"), "{}: {said}", source.display());
    }
    // What the node exports it is given with all that is mounted below.
    let private = engine.stage.leaf.join("private");
    let below = engine.stage.pool.mkdir("core/mid/app/private/part");
    engine.mount("tmpfs", &below);
    let bundle = engine.node("b", &["sh", "-c", "touch /x/part/file /y/file && echo done"], |spec| {
        add(spec, volume(&private, "/x", &["rbind"]));
        add(spec, volume(&below, "/y", &["rbind"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "done\n");
}

/// Parts that are read-only stand on the mount that they are of, whatever its name leads to by then.
#[test]
fn a_link_in_the_root_leads_no_read_only_part_elsewhere() {
    let engine = with_var();
    let script = "touch /real/log/x && ! touch /real/lib/rpm/x 2>/dev/null && echo held";
    let bundle = engine.stage.bundle("bundle", &["sh", "-c", script]);
    let root = bundle.join("rootfs");
    fs::remove_dir_all(root.join("var")).ok();
    fs::create_dir_all(root.join("real")).expect("it is ours");
    symlink("/real", root.join("var")).expect("it is ours");
    assert_eq!(engine.run(&bundle).good().out, "held\n");
}

#[test]
fn links_to_pools_and_pools_that_are_missing_are_kept() {
    let engine = Engine::new(Stage::new());
    let pool = &engine.stage.pool;
    let (srv, real) = (pool.mkdir("srv"), pool.mkdir("real/pool"));
    let empty = pool.mkdir("empty");
    symlink(&real, srv.join("pool")).expect("it is ours");
    let core = pool.join("core");
    let policy = |more: &Path| {
        let text = format!("pools: [{{path: {}}}, {{path: {}}}]\n", core.display(), more.display());
        pool.write("prefix/etc/redpak/policy.yaml", text);
    };
    for more in [srv.join("pool"), srv.join("later"), srv.join("later/deeper")] {
        policy(&more);
        let said = engine.refusal(|spec| add(spec, volume(&srv, "/srv", &["rbind", "rw"])));
        assert!(said.contains("would make writable what decides"), "{}: {said}", more.display());
        for (source, options) in [(&srv, &["rbind", "ro"][..]), (&empty, &["rbind", "rw"])] {
            let bundle =
                engine.node("b", &["echo", "started"], |spec| add(spec, volume(source, "/srv", options)));
            assert_eq!(engine.run(&bundle).good().out, "started\n");
        }
    }
}

#[test]
fn an_overlay_is_what_it_writes_to() {
    let mut engine = Engine::new(Stage::new());
    let aside = engine.stage.pool.mkdir("aside");
    engine.mount("tmpfs", &aside);
    for below in ["low", "seen", "other", "up", "up-work"] {
        fs::create_dir(aside.join(below)).expect("it is ours");
    }
    let upper = engine.stage.pool.mkdir("core/other");
    let work = engine.stage.pool.mkdir("core/work");
    let mounted = |at: &Path, upper: &Path, work: &Path| {
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            aside.join("low").display(),
            upper.display(),
            work.display()
        );
        run(std::process::Command::new("mount").args(["-t", "overlay", "none", "-o", &options]).arg(at)).code
            == 0
    };
    let seen = aside.join("seen");
    if !mounted(&seen, &upper, &work) {
        return red_tests::skip("this needs overlays");
    }
    let node =
        engine.node("b", &["echo", "started"], |spec| add(spec, volume(&seen, "/x", &["rbind", "rw"])));
    let node = engine.run(&node);
    let above =
        engine.node("b", &["echo", "started"], |spec| add(spec, volume(&aside, "/x", &["rbind", "rw"])));
    let above = engine.run(&above);
    let plain = engine
        .stage
        .plain("p", &["echo", "started"], |spec| add(spec, volume(&seen, "/x", &["rbind", "rw"])));
    let plain = engine.run(&plain);
    let root = engine.stage.plain("p", &["echo", "started"], |spec| spec["root"]["path"] = json!(seen));
    let root = engine.run(&root);
    run(std::process::Command::new("umount").arg(&seen)).good();
    for said in [node, above, plain, root] {
        assert!(
            said.code == 1 && said.err.contains("would make writable what decides"),
            "{}{}",
            said.out,
            said.err
        );
    }
    // One that is made of nothing that decides is a directory like others.
    assert!(mounted(&seen, &aside.join("up"), &aside.join("up-work")));
    let node =
        engine.node("b", &["touch", "/x/file"], |spec| add(spec, volume(&seen, "/x", &["rbind", "rw"])));
    let node = engine.run(&node);
    run(std::process::Command::new("umount").arg(&seen)).good();
    node.good();
    assert!(aside.join("up/file").exists());
}

#[test]
fn an_overlay_writes_to_what_was_judged() {
    let engine = Engine::new(Stage::new());
    let pool = &engine.stage.pool;
    let (low, work, upper) = (pool.mkdir("low"), pool.mkdir("work"), pool.mkdir("core/other"));
    // overlayfs reads the path of the directory as that of the link.
    pool.mkdir("aside/a\\b");
    symlink(&upper, pool.join("aside/ab")).expect("it is ours");
    symlink("a\\b", pool.join("aside/link")).expect("it is ours");
    let said = plain_refusal(&engine, |spec| {
        let options = [
            format!("lowerdir={}", low.display()),
            format!("upperdir={}", pool.join("aside/link").display()),
            format!("workdir={}", work.display()),
        ];
        add(spec, json!({"destination": "/o", "type": "overlay", "source": "overlay", "options": options}));
        spec["process"]["args"] = json!(["touch", "/o/file"]);
    });
    assert!(said.contains("a backslash") && !upper.join("file").exists(), "{said}");
    // File systems that are made of another directory write to it too.
    let said = plain_refusal(&engine, |spec| {
        add(spec, json!({"destination": "/o", "type": "ecryptfs", "source": upper, "options": ["rw"]}));
    });
    assert!(said.contains("would make writable what decides"), "{said}");
    // The kernel takes a relative one from the directory that the runtime is called in.
    let relative = format!("{}{}", "../".repeat(20), &upper.display().to_string()[1..]);
    let said = plain_refusal(&engine, |spec| {
        add(spec, json!({"destination": "/o", "type": "ecryptfs", "source": relative, "options": ["rw"]}));
    });
    assert!(said.contains("would make writable what decides"), "{said}");
}

#[test]
fn no_mount_point_is_made_in_an_export_by_another_name() {
    let stage = Stage::with("", "  - {mode: Public, mount: /data, path: $NODE_PATH/data}\n");
    let sub = stage.pool.mkdir("core/mid/app/data/sub");
    let mut engine = Engine::new(stage);
    let alias = engine.stage.pool.mkdir("alias");
    engine.bind(&sub, &alias);
    let inner = engine.stage.pool.mkdir("inner");
    let work = engine.stage.pool.mkdir("core/mid/app/data/work");
    let mut layers = layers(&sub, &work);
    layers["destination"] = json!("/vv");
    layers["options"][0] = json!(format!("lowerdir={}", inner.display()));
    for (name, mount) in [
        ("direct", volume(&sub, "/vv", &["rbind", "rw"])),
        ("alias", volume(&alias, "/vv", &["rbind", "rw"])),
        ("overlay", layers),
    ] {
        let said = engine.refusal(|spec| {
            add(spec, mount.clone());
            add(spec, volume(&inner, "/vv/deep", &["rbind"]));
        });
        assert!(said.contains("nothing is made in /vv, which a node exports"), "{name}: {said}");
        let left = fs::read_dir(&sub).expect("it is there").count();
        assert_eq!(left, 0, "{name}");
    }
    // What is there is mounted on.
    fs::create_dir(sub.join("deep")).expect("it is ours");
    let bundle = engine.node("b", &["ls", "-d", "/vv/deep"], |spec| {
        add(spec, volume(&alias, "/vv", &["rbind", "rw"]));
        add(spec, volume(&inner, "/vv/deep", &["rbind"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "/vv/deep\n");
}

#[test]
fn the_file_system_of_a_pool_is_not_mounted_anew() {
    let engine = Engine::new(Stage::new());
    let image = engine.stage.pool.write("image", "");
    let at = engine.stage.pool.mkdir("core/disk");
    let size = fs::File::options().write(true).open(&image).and_then(|file| file.set_len(20 << 20));
    size.expect("it is ours");
    let made =
        run(std::process::Command::new("mkfs.ext4").arg("-q").arg(&image).stdin(std::process::Stdio::null()));
    let device = run(std::process::Command::new("losetup").args(["--find", "--show"]).arg(&image));
    if made.code != 0 || device.code != 0 {
        return red_tests::skip("this needs mkfs.ext4 and loop devices");
    }
    let device = device.out.trim().to_owned();
    run(std::process::Command::new("mount").arg(&device).arg(&at)).good();
    let bundle = |options: Value| {
        let mount = json!({"destination": "/x", "type": "ext4", "source": device, "options": options});
        engine.run(
            &engine.stage.plain("p", &["sh", "-c", "touch /x/file; echo started"], |spec| add(spec, mount)),
        )
    };
    let (writable, node) = (bundle(json!(["rw"])), at.join("file").exists());
    run(std::process::Command::new("umount").arg(&at)).good();
    run(std::process::Command::new("losetup").args(["--detach", &device])).good();
    assert!(
        writable.code == 1 && writable.err.contains("holds what decides for others") && !node,
        "{}{}",
        writable.out,
        writable.err
    );
}

#[test]
fn shared_memory_of_the_host_is_its_ipc() {
    let engine = Engine::new(Stage::new());
    let below = PathBuf::from(format!("/dev/shm/red-test-{}", std::process::id()));
    fs::create_dir(&below).expect("it is ours");
    let said = [Path::new("/dev/shm"), &below].map(|source| {
        let at = |destination: &str, options: &[&str]| {
            engine.run(
                &engine
                    .node("b", &["echo", "started"], |spec| add(spec, volume(source, destination, options))),
            )
        };
        [at("/dev/shm", &["rbind", "rw"]), at("/x", &["rbind", "ro"])]
    });
    fs::remove_dir(&below).expect("it is ours");
    for said in said.iter().flatten() {
        assert!(said.code == 1 && said.err.contains("share_ipc: Disabled"), "{}{}", said.out, said.err);
    }
    let exports = "  - {mode: Public, mount: /memory, path: /dev/shm}\n";
    let said = Stage::with("", exports).wrap(&["echo", "started"]);
    assert!(
        said.code != 0 && said.err.contains("shows the host's shared memory"),
        "{}{}",
        said.out,
        said.err
    );
    Stage::with(", share_ipc: Enabled", exports).wrap(&["test", "-w", "/memory"]).good();
}

#[test]
fn a_volume_of_a_node_follows_nothing_and_covers_no_read_only_part() {
    let engine = with_var();
    let other = engine.stage.pool.mkdir("other");
    for how in ["slave", "rslave", "shared", "rshared"] {
        let said = engine.refusal(|spec| add(spec, volume(&other, "/x", &["rbind", "ro", how])));
        assert!(said.contains("what the host mounts later"), "{how}: {said}");
    }
    for at in ["/var/lib/rpm", "/var/lib"] {
        let said = engine.refusal(|spec| add(spec, volume(&other, at, &["rbind", "rw"])));
        assert!(said.contains("would cover /var/lib/"), "{at}: {said}");
    }
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    for field in ["uidMappings", "gidMappings"] {
        let mapped = |spec: &mut Value| {
            let mut mount = volume(&other, "/x", &["rbind", "rw"]);
            mount[field] = map.clone();
            add(spec, mount);
        };
        assert!(engine.refusal(mapped).contains("are both needed"));
        assert!(plain_refusal(&engine, mapped).contains("are both needed"));
    }
    let said = engine.refusal(|spec| add(spec, volume(&other, "/x", &["rbind", "idmap"])));
    assert!(said.contains("owners of a node's volumes cannot be mapped"), "{said}");
    let said = plain_refusal(&engine, |spec| add(spec, volume(&other, "/x", &["rbind", "idmap"])));
    assert!(said.contains("`idmap` needs mappings"), "{said}");
}

#[test]
fn owners_of_a_plain_bundles_volume_are_mapped() {
    let engine = Engine::new(Stage::new());
    let data = engine.stage.pool.mkdir("data");
    std::os::unix::fs::chown(engine.stage.pool.write("data/in", ""), Some(7), Some(8)).expect("it is ours");
    let script = "stat -c '%u %g' /x /x/in; : >/x/$0; stat -c '%u %g' /x/$0";
    let map = |first: u32| json!([{"containerID": 0, "hostID": first, "size": 1000}]);
    let owner = |name: &str| {
        let facts = fs::metadata(data.join(name)).expect("it was made");
        (facts.uid(), facts.gid())
    };
    // In a user namespace of the same mapping the owners are those of the host's.
    for (name, options) in [("option", vec!["rbind", "idmap"]), ("mappings", vec!["rbind"])] {
        let bundle = engine.stage.plain("p", &["sh", "-c", script, name], |spec| {
            spec["linux"]["namespaces"].as_array_mut().expect("it is a list").push(json!({"type": "user"}));
            spec["linux"]["uidMappings"] = map(100_000);
            spec["linux"]["gidMappings"] = map(200_000);
            let mut mount = volume(&data, "/x", &options);
            if name == "mappings" {
                mount["uidMappings"] = map(100_000);
                mount["gidMappings"] = map(200_000);
            }
            add(spec, mount);
        });
        for point in ["proc", "dev", "usr", "x"] {
            fs::create_dir_all(bundle.join("rootfs").join(point)).expect("it is ours");
        }
        let said = engine.run(&bundle);
        assert_eq!((said.code, &*said.out), (0, "0 0\n7 8\n0 0\n"), "{name}: {}", said.err);
        assert_eq!(owner(name), (0, 0), "{name}");
    }
    // Without a user namespace somebody else owns what is there.
    let said = engine.plain("stat -c '%u %g' /x/in; touch /x/new 2>/dev/null || echo nobody may", |spec| {
        let mut mount = volume(&data, "/x", &["rbind"]);
        (mount["uidMappings"], mount["gidMappings"]) = (map(5000), map(6000));
        add(spec, mount);
    });
    assert_eq!((said.code, &*said.out), (0, "5007 6008\nnobody may\n"), "{}", said.err);
    // A file system that cannot.
    let said = plain_refusal(&engine, |spec| {
        let mut mount = volume(Path::new("/proc/sys"), "/x", &["rbind"]);
        (mount["uidMappings"], mount["gidMappings"]) = (map(5000), map(6000));
        add(spec, mount);
    });
    assert!(said.contains("its owners cannot be mapped"), "{said}");
}

#[test]
fn the_link_of_an_image_removes_nothing_of_the_host() {
    let engine = Engine::new(Stage::new());
    let victim = engine.stage.pool.mkdir("victim");
    symlink("/proc/mounts", victim.join("mtab")).expect("it is ours");
    let bundle = engine.stage.plain("p", &["echo", "started"], |_| {});
    let root = bundle.join("rootfs");
    symlink(&victim, root.join("etc")).expect("it is ours");
    let status = format!("realpath: {}\ntimestamp: 1\nstate: Enable\n", root.display());
    fs::write(root.join(".rednode.yaml"), status).expect("it is ours");
    assert_ne!(engine.run(&bundle).code, 0);
    assert!(victim.join("mtab").is_symlink());
    // In a node that may start it goes.
    symlink("/proc/mounts", engine.stage.leaf.join("etc/mtab")).expect("it is ours");
    engine.run(&engine.node("b", &["true"], |_| {})).good();
    assert!(!engine.stage.leaf.join("etc/mtab").is_symlink());
}

#[test]
fn a_dev_that_a_node_exports_has_the_devices_that_it_has() {
    let engine = Engine::new(Stage::with("", "  - {mode: Public, mount: /dev, path: $NODE_PATH/devices}\n"));
    engine.stage.pool.write("core/mid/app/devices/own", "");
    let bundle = engine.node("b", &["ls", "/dev"], |spec| {
        spec["mounts"].as_array_mut().expect("a list").retain(|one| one["destination"] != "/dev");
    });
    assert_eq!(engine.run(&bundle).good().out, "own\n");
}

#[test]
fn what_a_node_has_already_an_engine_may_bring_again() {
    let host = "/etc/resolv.conf";
    let export = format!("  - {{mode: RestrictedFile, mount: {host}, path: {host}}}\n");
    let engine = Engine::new(Stage::with("", &export));
    let bundle = engine.node("b", &["cat", host], |spec| {
        add(spec, volume(Path::new(host), host, &["rbind", "ro"]));
    });
    let same = fs::read_to_string(host).expect("this machine has one");
    assert_eq!(engine.run(&bundle).good().out, same);
    // Neither with the right to write, nor another file.
    let said = engine.refusal(|spec| add(spec, volume(Path::new(host), host, &["rbind"])));
    assert!(said.contains("would cover /etc/resolv.conf"), "{said}");
    let other = engine.stage.pool.write("other", "nameserver 192.0.2.1\n");
    let said = engine.refusal(|spec| add(spec, volume(&other, host, &["rbind", "ro"])));
    assert!(said.contains("would cover /etc/resolv.conf"), "{said}");
}
