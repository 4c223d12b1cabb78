//! Roots as engines ask for them: volumes in volumes, read-only file systems with mounts below, long options,
//! devices, user namespaces that leave the launcher out.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::run;
use red_tests::engine::{Engine, add, volume};
use red_tests::stage::Stage;
use serde_json::{Value, json};

fn engine() -> Engine {
    Engine::new(Stage::new())
}

fn tmpfs(at: &str, options: &[&str]) -> Value {
    json!({"destination": at, "type": "tmpfs", "source": "tmpfs", "options": options})
}

#[test]
fn a_volume_stands_in_a_volume() {
    let mut engine = engine();
    // On a file system of its own, as a volume on another disk.
    let outer = engine.stage.pool.mkdir("outer");
    engine.mount("tmpfs", &outer);
    let inner = engine.stage.pool.mkdir("inner");
    let file = engine.stage.pool.write("file", "contents\n");
    engine.stage.pool.write("inner/there", "");
    let script = "test -e /v/in/there && test -d /v/in/deep/er && cat /v/a/file";
    let volumes = |spec: &mut Value| {
        add(spec, volume(&outer, "/v", &["rbind"]));
        add(spec, volume(&inner, "/v/in", &["rbind"]));
        add(spec, volume(&inner, "/v/in/deep/er", &["rbind"]));
        add(spec, volume(&file, "/v/a/file", &["bind"]));
        add(spec, tmpfs("/v/a/fresh", &[]));
    };
    assert_eq!(engine.plain(script, volumes).good().out, "contents\n");
    assert!(outer.join("in").is_dir() && outer.join("a/file").is_file() && inner.join("deep/er").is_dir());
    // What is read-only gets nothing, and says so.
    let said = engine.plain_refusal(|spec| {
        add(spec, volume(&outer, "/v", &["rbind", "ro"]));
        add(spec, volume(&inner, "/v/other", &["rbind"]));
    });
    assert!(said.contains("cannot be made in /v, which is read-only"), "{said}");
    assert!(!outer.join("other").exists());
}

#[test]
fn a_node_is_not_written_to_for_a_volume() {
    let stage = Stage::with("", "  - {mode: Public, mount: /data, path: $NODE_PATH/data}\n");
    stage.pool.mkdir("core/mid/app/data/sub");
    let mut engine = Engine::new(stage);
    let outer = engine.stage.pool.mkdir("outer");
    engine.mount("tmpfs", &outer);
    let inner = engine.stage.pool.mkdir("inner");
    engine.stage.pool.write("inner/there", "");
    let file = engine.stage.pool.write("file", "contents\n");
    let bundle = engine.node("b", &["sh", "-c", "ls /data/sub/in /v/deep/er"], |spec| {
        add(spec, volume(&outer, "/v", &["rbind"]));
        add(spec, volume(&inner, "/v/deep/er", &["rbind"]));
        // In a volume that stands on a directory of the node's.
        add(spec, volume(&outer, "/data/sub", &["rbind"]));
        add(spec, volume(&inner, "/data/sub/in", &["rbind"]));
    });
    assert_eq!(engine.run(&bundle).good().out, "/data/sub/in:\nthere\n\n/v/deep/er:\nthere\n");
    assert!(outer.join("deep/er").is_dir() && outer.join("in").is_dir());
    for (what, mount) in [
        ("a directory", volume(&inner, "/data/sub/deep", &["rbind"])),
        ("a file", volume(&file, "/data/conf.yaml", &["bind"])),
        ("a file system", tmpfs("/data/fresh/x", &[])),
    ] {
        let said = engine.refusal(|spec| add(spec, mount.clone()));
        let reason = "has no mount point, and nothing is made in /data, which node `app` exports: make the";
        assert!(said.contains(reason), "{what}: {said}");
    }
    let mut left: Vec<_> =
        fs::read_dir(engine.stage.leaf.join("data")).expect("it is there").flatten().collect();
    assert_eq!(left.pop().expect("the one that was there").file_name(), "sub");
    assert!(
        left.is_empty() && fs::read_dir(engine.stage.leaf.join("data/sub")).expect("it").next().is_none()
    );
}

#[test]
fn a_read_only_file_system_is_filled_first() {
    let engine = engine();
    let shared = engine.stage.pool.mkdir("shared");
    let script = "for at in /dev /m /rr; do ! touch $at/new 2>/dev/null || echo $at is writable; done
        touch /m/x/file /m/v/file && ls -d /dev/null /dev/fd /dev/pts/ptmx && echo > /dev/null";
    let said = engine.plain(script, |spec| {
        spec["mounts"][1]["options"] = json!(["nosuid", "mode=755", "ro"]);
        add(
            spec,
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}),
        );
        add(spec, tmpfs("/m", &["ro"]));
        add(spec, tmpfs("/m/x", &[]));
        add(spec, volume(&shared, "/m/v", &["rbind"]));
        add(spec, tmpfs("/rr", &["rro"]));
        add(spec, tmpfs("/rr/below", &[]));
    });
    assert_eq!(said.good().out, "/dev/fd\n/dev/null\n/dev/pts/ptmx\n");
    assert!(shared.join("file").exists());
    // One with nothing below it, and one in a node.
    let said = engine.plain("touch /m/x 2>&1", |spec| add(spec, tmpfs("/m", &["ro"])));
    assert!(said.code == 1 && said.out.contains("Read-only"), "{}{}", said.out, said.err);
    let bundle =
        engine.node("b", &["sh", "-c", "touch /m/x/y; touch /m/z 2>/dev/null || echo held"], |spec| {
            add(spec, tmpfs("/m", &["ro"]));
            add(spec, tmpfs("/m/x", &[]));
        });
    assert_eq!(engine.run(&bundle).good().out, "held\n");
}

#[test]
fn options_are_as_long_as_they_have_to_be() {
    let engine = engine();
    let long = "x".repeat(120);
    let layers: Vec<String> = ["a", "b,c", "d"]
        .iter()
        .map(|name| {
            let dir = engine.stage.pool.mkdir(format!("{long}/{name}"));
            fs::write(dir.join(format!("of-{name}")), "").expect("it is ours");
            dir.display().to_string()
        })
        .collect();
    let overlay = |lower: &str| json!({"destination": "/o", "type": "overlay", "source": "overlay", "options": [format!("lowerdir={lower}"), "ro"]});
    let lower = layers.join(":");
    assert!(lower.len() > 255);
    let said = engine.plain("ls /o", |spec| add(spec, overlay(&lower)));
    assert_eq!(said.good().out, "of-a\nof-b,c\nof-d\n");
    let said = engine.plain("touch /o/x 2>&1", |spec| add(spec, overlay(&lower)));
    assert!(said.out.contains("Read-only"), "{}{}", said.out, said.err);
    let source = "s".repeat(300);
    let said = engine.plain("grep -c sssss /proc/self/mountinfo; stat -c %a /s; ! touch /sys/x 2>/dev/null",
        |spec| {
            add(
                spec,
                json!({"destination": "/s", "type": "tmpfs", "source": source, "options": ["mode=711", "size=1m"]}),
            );
        },
    );
    assert_eq!(said.good().out, "1\n711\n");
    let many = vec![layers[0].as_str(); 40].join(":");
    let said = engine.plain_refusal(|spec| add(spec, overlay(&many)));
    assert!(said.contains("more than mount(2) takes"), "{said}");
    let said =
        engine.plain_refusal(|spec| add(spec, tmpfs("/s", &[&format!("mpol=bind:0,{long}{long}{long}")])));
    assert!(said.contains("has a comma"), "{said}");
    // Nothing of it was left on the host.
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it is there");
    assert!(!mounts.contains(&long));
}

/// Devices of a configuration, without any rule but those in `rules`.
fn devices(spec: &mut Value, devices: Value, rules: Value) {
    spec["linux"]["devices"] = devices;
    spec["linux"]["resources"] = json!({"devices": rules});
}

#[test]
fn devices_are_made_as_they_are_asked_for() {
    let engine = engine();
    let script = "stat -c '%n %A %u:%g %t:%T' /dev/lx /dev/kmsg /dev/own /dev/pipe; head -c1 /dev/lx 2>&1 | head -1; head -c 1 /dev/own | wc -c";
    let said = engine.plain(script, |spec| {
        let all = json!([
            {"path": "/dev/lx", "type": "b", "major": 7, "minor": 0},
            {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o642, "uid": 1000, "gid": 5},
            {"path": "/dev/own", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
        ]);
        let rules = json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"},
        ]);
        devices(spec, all, rules);
    });
    let made = "/dev/lx brw-rw-rw- 0:0 7:0\n/dev/kmsg crw-r---w- 1000:5 1:b\n/dev/own crw------- 0:0 1:5\n/dev/pipe prw--w--w- 0:0 0:0\n";
    let denied = "head: cannot open '/dev/lx' for reading: Operation not permitted\n";
    assert_eq!(said.good().out, format!("{made}{denied}1\n"));
    // The rules hold from the first moment of the command.
    let said = engine.plain("mknod /dev/x c 10 229 2>&1; mknod /dev/y b 7 1 2>&1", |spec| {
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
        }
        devices(spec, json!([{"path": "/dev/lx", "type": "b", "major": 7, "minor": 0}]), json!([]));
    });
    assert_eq!(said.out.matches("Operation not permitted").count(), 2, "{}{}", said.out, said.err);
}

#[test]
fn where_no_device_can_be_made_the_hosts_is_bound_or_it_is_said_why_not() {
    let engine = engine();
    let mode = fs::metadata("/dev/fuse").expect("a device of every host").mode() & 0o777;
    let of = |path: &str, mode: Option<u32>, minor: u32| {
        let mut device = json!({"path": path, "type": "c", "major": 10, "minor": minor});
        if let Some(mode) = mode {
            device["fileMode"] = json!(mode);
        }
        json!([device])
    };
    let in_user = |spec: &mut Value, all: Value| {
        spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
        devices(spec, all, json!([]));
    };
    for (path, mode) in [("/dev/fuse", Some(mode)), ("/dev/another", None)] {
        let said = engine.plain(&format!("stat -c %t:%T {path}"), |spec| in_user(spec, of(path, mode, 229)));
        assert_eq!(said.good().out, "a:e5\n", "{path}");
    }
    let said = engine.plain_refusal(|spec| in_user(spec, of("/dev/fuse", Some(0o751), 229)));
    assert!(said.contains("no device can be made here, and the host's has mode"), "{said}");
    let said = engine.plain_refusal(|spec| in_user(spec, of("/dev/nothing", None, 253)));
    assert!(said.contains("the host has none with number 10:253"), "{said}");
}

/// A user namespace with a mapping of users and groups.
fn user(spec: &mut Value, maps: &[(u32, u32, u32)]) {
    spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
    let maps: Vec<Value> = maps
        .iter()
        .map(|(inside, host, size)| json!({"containerID": inside, "hostID": host, "size": size}))
        .collect();
    spec["linux"]["uidMappings"] = json!(maps);
    spec["linux"]["gidMappings"] = json!(maps);
}

fn owned(directory: &Path, owner: u32) {
    chown(directory, Some(owner), Some(owner)).expect("the test is root's");
}

#[test]
fn a_user_namespace_need_not_have_the_launcher_in_it() {
    let engine = engine();
    // Only root may enter what the volume is in.
    let closed = engine.stage.pool.mkdir("closed");
    engine.stage.pool.mkdir("closed/v");
    engine.stage.pool.write("closed/v/there", "");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let own = |spec: &mut Value| {
        add(spec, tmpfs("/dev/shm", &["mode=1777"]));
        add(
            spec,
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}),
        );
        add(spec, tmpfs("/t", &[]));
        add(spec, volume(&closed.join("v"), "/v", &["rbind"]));
        spec["linux"]["sysctl"] = json!({"kernel.msgmax": "9001", "net.ipv4.ip_forward": "1"});
    };
    let script = "stat -c '%n %u:%g' /dev /dev/fd /dev/pts/ptmx /t /made /v; touch /t/f /made/f && ls /v; cat /proc/sys/kernel/msgmax; echo > /dev/null";
    let owners = "/dev 0:0\n/dev/fd 0:0\n/dev/pts/ptmx 0:0\n/t 0:0\n/made 0:0\n/v 65534:65534\nthere\n9001\n";
    for maps in [&[(0, 100_000, 65_536)][..], &[(0, 100_000, 1000), (1000, 0, 1), (1001, 101_000, 64_000)]] {
        let bundle = engine.stage.plain("p", &["sh", "-c", script], |spec| {
            own(spec);
            add(spec, tmpfs("/made", &[]));
            user(spec, maps);
        });
        owned(&bundle.join("rootfs"), 100_000);
        let said = engine.run(&bundle);
        let wanted =
            if maps.len() == 1 { owners.to_owned() } else { owners.replace("65534:65534", "1000:1000") };
        assert_eq!(said.good().out, wanted, "{maps:?}");
    }
    // What is made in the root belongs to the container's root.
    let bundle = engine.stage.plain("p", &["stat", "-c", "%u", "/made/here"], |spec| {
        add(spec, volume(&closed.join("v"), "/made/here/deep", &["rbind"]));
        user(spec, &[(0, 100_000, 65_536)]);
    });
    owned(&bundle.join("rootfs"), 100_000);
    assert_eq!(engine.run(&bundle).good().out, "0\n");
}

#[test]
fn a_node_runs_in_a_user_namespace_of_the_engines() {
    let engine = engine();
    let script = "id -u; stat -c '%n %u' /tmp /dev /t; touch /t/x && echo made";
    let bundle = engine.node("b", &["sh", "-c", script], |spec| {
        add(spec, tmpfs("/t", &["mode=755"]));
        user(spec, &[(0, 100_000, 65_536)]);
    });
    assert_eq!(engine.run(&bundle).good().out, "0\n/tmp 0\n/dev 0\n/t 0\nmade\n");
}

#[test]
fn a_further_command_enters_such_a_namespace() {
    let engine = engine();
    let bundle = engine.stage.plain("p", &["sleep", "60"], |spec| user(spec, &[(0, 100_000, 65_536)]));
    owned(&bundle.join("rootfs"), 100_000);
    engine.stage.start(&bundle, "c");
    let said = engine.stage.runtime(["exec", "c", "id", "-u"]);
    assert_eq!(said.good().out, "0\n");
    let said = engine.stage.runtime(["exec", "--user", "5:6", "c", "id"]);
    assert!(said.clone().good().out.contains("uid=5 gid=6"), "{}", said.out);
    engine.stage.runtime(["delete", "--force", "c"]).good();
}

#[test]
fn a_tmpfs_has_the_mode_of_what_it_covers() {
    let engine = engine();
    let bundle = engine.stage.plain("p", &["stat", "-c", "%n %a", "/root", "/said", "/pub"], |spec| {
        add(spec, tmpfs("/root", &[]));
        add(spec, tmpfs("/said", &["mode=751"]));
        add(spec, tmpfs("/pub", &["tmpcopyup"]));
    });
    for (name, mode) in [("root", 0o700), ("said", 0o700), ("pub", 0o1777)] {
        let dir = bundle.join("rootfs").join(name);
        fs::create_dir(&dir).expect("it is ours");
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    assert_eq!(engine.run(&bundle).good().out, "/root 700\n/said 751\n/pub 1777\n");
}

#[test]
fn a_link_may_lead_to_what_is_made_for_it() {
    let engine = engine();
    let script = "ls -d /run/lock/app /run/far /elsewhere/x; stat -c %F /elsewhere/x";
    let file = engine.stage.pool.write("file", "");
    let bundle = engine.stage.plain("p", &["sh", "-c", script], |spec| {
        add(spec, tmpfs("/run", &[]));
        add(spec, tmpfs("/var/lock/app", &[]));
        add(spec, tmpfs("/var/far", &[]));
        add(spec, volume(&file, "/var/file", &["bind"]));
    });
    let root = bundle.join("rootfs");
    fs::create_dir(root.join("var")).expect("it is ours");
    for (link, target) in
        [("lock", "/run/lock"), ("far", "../run/far"), ("file", "/../../elsewhere/x"), ("loop", "loop")]
    {
        symlink(target, root.join("var").join(link)).expect("it is ours");
    }
    assert_eq!(engine.run(&bundle).good().out, "/elsewhere/x\n/run/far\n/run/lock/app\nregular empty file\n");
    // One that leads nowhere at all is an error.
    let bundle = engine.stage.plain("p", &["true"], |spec| add(spec, tmpfs("/var/loop/x", &[])));
    fs::create_dir(bundle.join("rootfs/var")).expect("it is ours");
    symlink("loop", bundle.join("rootfs/var/loop")).expect("it is ours");
    let said = engine.run(&bundle);
    assert!(said.code == 1 && said.err.contains("mount point /var/loop/x"), "{}", said.err);
}

#[test]
fn small_things_of_mounts() {
    let engine = engine();
    // Engines write an empty option where they have none.
    let said = engine.plain("grep ' /e ' /proc/self/mountinfo | cut -d' ' -f6", |spec| {
        add(spec, tmpfs("/e", &["", "rw", "norelatime", "nosuid"]));
    });
    assert_eq!(said.good().out, "rw,nosuid,relatime\n");
    // What is read-only in the end is filled first.
    let bundle = engine.stage.plain("p", &["sh", "-c", "cat /e/file; touch /e/new 2>&1"], |spec| {
        add(spec, tmpfs("/e", &["ro", "tmpcopyup"]));
    });
    fs::create_dir(bundle.join("rootfs/e")).expect("it is ours");
    fs::write(bundle.join("rootfs/e/file"), "copied\n").expect("it is ours");
    let said = engine.run(&bundle);
    assert!(said.out.starts_with("copied\n") && said.out.contains("Read-only"), "{}{}", said.out, said.err);
    // A FIFO is copied with its directory.
    let bundle = engine.stage.plain("p", &["stat", "-c", "%F %a", "/e/pipe"], |spec| {
        add(spec, tmpfs("/e", &["tmpcopyup"]));
    });
    fs::create_dir(bundle.join("rootfs/e")).expect("it is ours");
    run(Command::new("mkfifo").arg("-m640").arg(bundle.join("rootfs/e/pipe"))).good();
    assert_eq!(engine.run(&bundle).good().out, "fifo 640\n");
}

#[test]
fn without_pivot_root_the_hosts_proc_is_gone_too() {
    let engine = engine();
    let script = "unshare -Urmpf sh -c 'mount -t proc proc /mnt && ls /mnt'";
    for options in [&["--no-pivot"][..], &[]] {
        let bundle = engine.stage.plain("p", &["sh", "-c", script], |spec| {
            add(spec, tmpfs("/mnt", &[]));
            spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            spec["linux"]["maskedPaths"] = json!(["/proc/version"]);
        });
        let mut command = engine.command();
        command.arg("run").args(options).arg("--bundle").arg(&bundle).arg("c");
        let said = run(&mut command);
        assert!(said.code != 0 && said.err.contains("denied"), "{options:?}: {}{}", said.out, said.err);
        fs::remove_dir_all(bundle).expect("it is ours");
    }
    let bundle = engine.stage.plain("p", &["ls", "/proc/self/exe"], |_| {});
    let said = run(engine.command().args(["run", "--no-pivot", "--bundle"]).arg(&bundle).arg("c"));
    assert_eq!(said.good().out, "/proc/self/exe\n");
}

#[test]
fn without_pivot_root_a_covered_proc_of_the_host_is_gone_too() {
    let engine = engine();
    let at = engine.stage.pool.mkdir("covered");
    let script = "unshare -Urmpf sh -c 'mount -t proc proc /mnt && ls /mnt'";
    let below = "mkdir $0/proc; mount -t proc proc $0/proc; mount -t tmpfs cover $0";
    let exact = "mount -t proc proc $0; mount -t tmpfs cover $0";
    for hide in [below, exact] {
        let bundle = engine.stage.plain("p", &["sh", "-c", script], |spec| {
            add(spec, tmpfs("/mnt", &[]));
            spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            spec["linux"]["maskedPaths"] = json!(["/proc/version"]);
        });
        let runtime = engine.command();
        // In a mount namespace that ends with it.
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{hide}; exec \"$@\"")]).arg(&at);
        command.arg(runtime.get_program()).args(runtime.get_args());
        command.envs(runtime.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let said = run(command.args(["run", "--no-pivot", "--bundle"]).arg(&bundle).arg("c"));
        assert!(said.code != 0 && said.err.contains("denied"), "{hide}: {}{}", said.out, said.err);
        fs::remove_dir_all(bundle).expect("it is ours");
    }
}

/// An image of a file system on a device, until the end.
struct Disk {
    image: PathBuf,
    device: String,
}

impl Disk {
    /// One that has the directory `there`. `None` where there can be none.
    fn new(engine: &Engine, options: &[&str]) -> Option<Self> {
        let contents = engine.stage.pool.mkdir("contents");
        engine.stage.pool.mkdir("contents/there");
        let image = engine.stage.pool.write("image", "");
        let size = fs::File::options().write(true).open(&image).and_then(|file| file.set_len(8 << 20));
        size.expect("it is ours");
        let mut mkfs = Command::new("mkfs.ext4");
        let made =
            run(mkfs.arg("-q").arg("-d").arg(&contents).arg(&image).stdin(std::process::Stdio::null()));
        let device = run(Command::new("losetup").args(options).args(["--find", "--show"]).arg(&image));
        if made.code != 0 || device.code != 0 {
            red_tests::skip("this needs mkfs.ext4 and loop devices");
            return None;
        }
        Some(Self { image, device: device.out.trim().to_owned() })
    }

    fn bytes(&self) -> Vec<u8> {
        run(&mut Command::new("sync")).good();
        fs::read(&self.image).expect("it is ours")
    }

    fn at(&self, destination: &str, options: &[&str]) -> Value {
        json!({"destination": destination, "type": "ext4", "source": self.device, "options": options})
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("losetup").args(["--detach", &self.device]));
    }
}

#[test]
fn a_disk_that_is_mounted_read_only_is_not_written_to() {
    let engine = engine();
    let Some(disk) = Disk::new(&engine, &[]) else { return };
    let before = disk.bytes();
    for word in ["ro", "rro"] {
        let said = engine.plain_refusal(|spec| {
            add(spec, disk.at("/x", &[word]));
            add(spec, tmpfs("/x/made", &[]));
        });
        assert!(said.contains("cannot be made in /x, which is read-only"), "{said}");
        let said = engine.plain_refusal(|spec| {
            add(spec, disk.at("/x", &[word]));
            devices(spec, json!([{"path": "/x/null", "type": "c", "major": 1, "minor": 3}]), json!([]));
        });
        assert!(said.contains("device /x/null") && said.to_lowercase().contains("read-only"), "{said}");
    }
    // What is there can be mounted on, and the rules about devices are the command's.
    let said = engine.plain("touch /x/there/file && ls /x; touch /x/file 2>&1; cat $0 2>&1", |spec| {
        add(spec, disk.at("/x", &["ro"]));
        add(spec, tmpfs("/x/there", &[]));
        devices(spec, json!([]), json!([{"allow": false, "access": "rwm"}]));
    });
    assert!(said.out.contains("there\n") && said.out.contains("Read-only"), "{}{}", said.out, said.err);
    assert!(before == disk.bytes(), "the disk was written to");
    drop(disk);
    // One that cannot be written to.
    let Some(disk) = Disk::new(&engine, &["--read-only"]) else { return };
    let said = engine.plain("ls -d /x/there", |spec| add(spec, disk.at("/x", &["ro"])));
    assert_eq!(said.good().out, "/x/there\n");
}

#[test]
fn a_link_of_an_image_leads_nothing_into_proc() {
    let engine = engine();
    let shared = engine.stage.pool.mkdir("shared");
    engine.stage.pool.write("shared/current", "");
    let file = engine.stage.pool.write("file", "");
    let bundle = |target: &str, change: &dyn Fn(&mut Value)| {
        let bundle = engine.stage.plain("p", &["echo", "started"], change);
        symlink(target, bundle.join("rootfs/data")).expect("it is ours");
        engine.run(&bundle)
    };
    for (target, at, source) in [
        ("/proc/sys", "/data", &shared),
        ("/proc", "/data", &shared),
        ("/proc/self", "/data/attr", &shared),
        ("/proc/version", "/data", &file),
    ] {
        let said = bundle(target, &|spec| add(spec, volume(source, at, &["rbind"])));
        assert!(
            said.code == 1 && said.err.contains("leads into the container's proc"),
            "{target}: {}{}",
            said.out,
            said.err
        );
    }
    // Devices that are bound for want of nodes.
    let said = bundle("/proc", &|spec| {
        user(spec, &[(0, 0, 65_536)]);
        devices(spec, json!([{"path": "/data/version", "type": "c", "major": 1, "minor": 3}]), json!([]));
    });
    assert!(said.code == 1 && said.err.contains("device /data/version"), "{}{}", said.out, said.err);
    // The host's is none of the container's.
    let said = engine.plain("ls -d /host/proc/1 /host/proc/sys", |spec| {
        add(spec, volume(Path::new("/"), "/host", &["rbind", "rro"]));
        add(spec, volume(Path::new("/proc"), "/host/proc", &["rbind", "rro"]));
    });
    assert_eq!(said.good().out, "/host/proc/1\n/host/proc/sys\n");
}

#[test]
fn cgroups_that_are_to_be_read_only_are() {
    let engine = engine();
    let script = "for at in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $at/kid 2>/dev/null && echo $at is writable; done
        grep -c ' /sys/fs/cgroup ro' /proc/self/mountinfo";
    for word in ["ro", "rro"] {
        let said = engine.plain(script, |spec| {
            let options = json!(["nosuid", "noexec", "nodev", "relatime", word]);
            add(spec, json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}));
        });
        assert_eq!(said.good().out, "1\n", "{word}");
    }
}

/// What is mounted in the root directory beforehand is as much of it as its own directories.
#[test]
fn mount_points_are_made_in_what_a_root_brings_along() {
    let mut engine = engine();
    let other = engine.stage.pool.mkdir("other");
    let bundle =
        engine.stage.plain("p", &["sh", "-c", "echo made >/opt/new/in && cat /opt/new/in"], |spec| {
            add(spec, json!({"destination": "/opt/new", "type": "tmpfs", "source": "tmpfs"}));
        });
    let opt = bundle.join("rootfs/opt");
    fs::create_dir_all(&opt).expect("it is ours");
    engine.bind(&other, &opt);
    let said = run(engine.command().arg("run").arg("--bundle").arg(&bundle).arg("c")).good();
    assert_eq!(said.out, "made\n");
    assert!(other.join("new").is_dir());
}

#[test]
fn a_volume_may_lie_below_a_directory_of_another_users() {
    let engine = engine();
    let closed = engine.stage.pool.mkdir("closed");
    let source = engine.stage.pool.mkdir("closed/v");
    engine.stage.pool.write("closed/v/there", "");
    owned(&closed, 1234);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let script = "ls /v; ls -d /v/../closed 2>/dev/null; touch /v/new 2>/dev/null; grep ' /v ' /proc/self/mountinfo | grep -c -e shared: -e master:";
    for maps in [&[(0, 100_000, 65_536)][..], &[(0, 0, 65_536)], &[(0, 0, 1)]] {
        let bundle = engine.stage.plain("p", &["sh", "-c", script], |spec| {
            add(spec, volume(&source, "/v", &["rbind", "ro"]));
            user(spec, maps);
        });
        owned(&bundle.join("rootfs"), maps[0].1);
        assert_eq!(engine.run(&bundle).out, "there\n0\n", "{maps:?}");
    }
    assert!(!source.join("new").exists());
}
