//! Who a command of a node is, and whom files that it makes let others be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use red_tests::broom::User;
use red_tests::call::{conf, run};
use red_tests::engine::Engine;
use red_tests::skip;
use red_tests::stage::Stage;
use serde_json::json;

/// Tries every call that gives a file set-user-ID, set-group-ID or capabilities, and prints which do, for a file
/// that is no longer empty. Directories are left alone.
const ATTACK: &str = r##"
import ctypes, os, platform, struct, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": {"chmod": 90, "open": 2, "creat": 85, "mknod": 133}}.get(platform.machine(), {})
at = -100
def fresh(name):
    with open(name, "w") as file: file.write("#!/bin/sh\n")
    os.chmod(name, 0o755)
    return name.encode()
def fill(name):
    fd = os.open(name, os.O_WRONLY)
    os.write(fd, b"#!/bin/sh\n")
    os.close(fd)
tries = {}
for mode in 0o4755, 0o2755, 0o6711:
    def by(way, give):
        name = f"{way}-{mode:o}"
        tries[name] = lambda: give(name)
    if "chmod" in number:
        by("chmod", lambda name, mode=mode: libc.syscall(number["chmod"], fresh(name), mode))
        by("open", lambda name, mode=mode: libc.syscall(number["open"], name.encode(), os.O_CREAT | os.O_WRONLY, mode))
        by("creat", lambda name, mode=mode: libc.syscall(number["creat"], name.encode(), mode))
        by("mknod", lambda name, mode=mode: libc.syscall(number["mknod"], name.encode(), 0o100000 | mode, 0))
    by("fchmodat", lambda name, mode=mode: os.chmod(fresh(name), mode))
    by("fchmod", lambda name, mode=mode: (fresh(name), os.fchmod(os.open(name, os.O_RDONLY), mode)))
    by("fchmodat2", lambda name, mode=mode: libc.syscall(452, at, fresh(name), mode, 0))
    by("high", lambda name, mode=mode: libc.syscall(452, at, fresh(name), ctypes.c_ulong(mode | 1 << 40), 0))
    by("openat", lambda name, mode=mode: os.close(os.open(name, os.O_CREAT | os.O_WRONLY, mode)))
    how = struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, mode, 0)
    by("openat2", lambda name, how=how: libc.syscall(437, at, name.encode(), how, len(how)))
    by("mknodat", lambda name, mode=mode: os.mknod(name, 0o100000 | mode))
    by("copied", lambda name, mode=mode: os.copy_file_range(os.open("/usr/bin/true", os.O_RDONLY), os.open(name, os.O_CREAT | os.O_WRONLY, mode), 99))
# The bit stays over a write where the group may not execute, and then an access control list lets it.
acl = struct.pack("<I" + "HHI" * 5, 2, 1, 7, 0xffffffff, 2, 7, 0, 4, 5, 0xffffffff, 16, 7, 0xffffffff, 32, 5, 0xffffffff)
def listed(name):
    fd = os.open(name, os.O_CREAT | os.O_RDWR, 0o2705)
    os.write(fd, b"#!/bin/sh\n")
    os.setxattr(name, "system.posix_acl_access", acl)
tries["listed"] = lambda: listed("listed")
tries["tmpfile"] = lambda: os.link(f"/proc/self/fd/{os.open('.', os.O_TMPFILE | os.O_RDWR, 0o4755)}", "tmpfile", src_dir_fd=at, follow_symlinks=True)
tries["capability"] = lambda: (fresh("capability"), os.setxattr("capability", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 7, 0, 0, 0)))
for name, give in tries.items():
    try: give(name) if give.__code__.co_argcount else give()
    except OSError: pass
    try:
        if not os.stat(name).st_size: fill(name)
    except OSError: pass
print("tried", len(tries))
"##;

/// Files below a directory that run as their owner. One that is empty is no better: whoever may write to it as the
/// host's root leaves it the bits.
fn armed(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("it is there").flatten() {
        let facts = fs::symlink_metadata(entry.path()).expect("it is there");
        let mut value = [0; 64];
        let capable = rustix::fs::lgetxattr(entry.path(), "security.capability", &mut value[..]).is_ok();
        if facts.is_file() && (facts.permissions().mode() & 0o6000 != 0 || capable) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

fn empty(dir: &Path) {
    fs::remove_dir_all(dir).expect("it is ours");
    fs::create_dir(dir).expect("it is ours");
}

const PRIVATE: &str = "/nodes/app/private";

/// A user of the host who reaches a file that a container of root's has made gains nothing by starting it
/// (CVE-2021-41091 was that of another store).
#[test]
fn no_file_that_a_node_makes_runs_as_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, whose files others gain by");
    }
    let attack = ["python3", "-c", ATTACK, PRIVATE];
    for config in ["", ", share_user: Enabled"] {
        let stage = Stage::with(config, "");
        let made = stage.leaf.join("private");
        for started in ["red-wrap", "run", "entered"] {
            empty(&made);
            let said = match started {
                "red-wrap" => stage.wrap(&attack),
                "run" => {
                    let leaf = stage.leaf.display().to_string();
                    stage.runtime([&["run", "--redpath", &leaf, "--"][..], &attack].concat())
                }
                _ => {
                    run(stage
                        .wrap_command(&["--detach", "--name", "box"], &["sleep", "1000"])
                        .stdout(Stdio::null()))
                    .good();
                    stage.tool("enter", &[&["box"][..], &attack].concat())
                }
            };
            assert!(said.good().out.starts_with("tried "));
            assert_eq!(armed(&made), Vec::<String>::new(), "{started}{config}");
        }
    }
}

/// The same where an engine starts the node, whatever filter the engine has.
#[test]
fn no_file_that_an_engines_node_makes_runs_as_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, whose files others gain by");
    }
    let attack = ["python3", "-c", ATTACK, PRIVATE];
    for config in ["", ", share_user: Enabled"] {
        let engine = Engine::new(Stage::with(config, ""));
        let made = engine.stage.leaf.join("private");
        // One that allows what it lists, and not seccomp(2).
        let strict = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["seccomp", "prctl"], "action": "SCMP_ACT_ERRNO"}]});
        for (name, filter) in [("usual", None), ("strict", Some(strict))] {
            empty(&made);
            let bundle = engine.node(name, &attack, |spec| {
                if let Some(filter) = &filter {
                    spec["linux"]["seccomp"] = filter.clone();
                }
            });
            assert!(engine.run(&bundle).good().out.starts_with("tried "));
            assert_eq!(armed(&made), Vec::<String>::new(), "{config} {filter:?}");
            empty(&made);
            let bundle = engine.node(&format!("{name}-long"), &["sleep", "1000"], |spec| {
                if let Some(filter) = &filter {
                    spec["linux"]["seccomp"] = filter.clone();
                }
            });
            let mut create = engine.command();
            create.args(["create", "-b"]).arg(&bundle).arg("c").stdout(Stdio::null()).stderr(Stdio::null());
            assert!(create.status().expect("it starts").success());
            run(engine.command().args(["start", "c"])).good();
            let said = run(engine.command().args(["exec", "c"]).args(attack));
            assert!(said.good().out.starts_with("tried "));
            assert_eq!(armed(&made), Vec::<String>::new(), "exec {config} {filter:?}");
            run(engine.command().args(["delete", "--force", "c"])).good();
        }
    }
}

/// The attack finds what there is to find, where nothing is in its way.
#[test]
fn without_the_filter_it_would_run_as_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root, whose files others gain by");
    }
    let stage = Stage::with(", seccomp: Disabled", "");
    let made = stage.leaf.join("private");
    stage.wrap(&["python3", "-c", ATTACK, PRIVATE]).good();
    let found = armed(&made);
    assert!(
        found.contains(&"fchmod-4755".to_owned()) && found.contains(&"fchmodat-2755".to_owned()),
        "{found:?}"
    );
    assert!(!found.contains(&"capability".to_owned()), "{found:?}");
    // A node that may set capabilities of files is root of the machine, and the tools say so.
    let stage = Stage::with("", "config: {capabilities: [{cap: SETFCAP, add: 1}]}\n");
    stage.wrap(&["python3", "-c", ATTACK, PRIVATE]).good();
    assert_eq!(armed(&stage.leaf.join("private")), ["capability"]);
    let said = conf([std::ffi::OsStr::new("check"), stage.leaf.as_os_str()]);
    assert!(
        said.err.contains(
            "warning[capability-root]: CAP_SETFCAP: launched by root, the node is root of the machine"
        ) && said.err.contains("core/mid/app/etc/redpak.yaml:"),
        "{}",
        said.err
    );
    let other = Stage::new();
    let diff = conf([std::ffi::OsStr::new("diff"), other.leaf.as_os_str(), stage.leaf.as_os_str()]);
    assert!(diff.out.contains("granted: root of the machine"), "{}", diff.out);
}

/// A file of the user's group is read inside, whether subordinate ids are mapped there or not; but not where the
/// node says who its commands are.
#[test]
fn supplementary_groups_are_the_callers_with_and_without_subordinate_ids() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make a user");
    }
    let user = User::make();
    let group = format!("{}g", user.name);
    let add = |program: &str, args: &[&str]| run(Command::new(program).args(args)).good();
    add("groupadd", &[&group]);
    add("usermod", &["--append", "--groups", &group, &user.name]);
    let gid: u32 = run(Command::new("getent").args(["group", &group]))
        .good()
        .out
        .split(':')
        .nth(2)
        .and_then(|gid| gid.parse().ok())
        .expect("it was made");
    let stage = Stage::new();
    stage.pool.chown(user.uid);
    let secret = stage.leaf.join("private/of-group");
    fs::write(&secret, "of the group\n").expect("it is ours");
    chown(&secret, Some(0), Some(gid)).expect("root may");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).expect("root may");
    let red = stage.pool.install("red-runtime", "red-wrap");
    let launch = |redpath: &Path| {
        let mut command = user.command(&red);
        command.arg("--root").arg(&stage.root).arg("--redpath").arg(redpath);
        run(command.args(["--", "cat", "/nodes/app/private/of-group"]))
    };
    let mapped =
        fs::read_to_string("/etc/subgid").is_ok_and(|text| text.contains(&format!("{}:", user.name)));
    assert!(mapped, "useradd gives subordinate ids on this machine");
    assert_eq!(launch(&stage.leaf).good().out, "of the group\n");
    add("usermod", &["--del-subuids", "1-4294967294", "--del-subgids", "1-4294967294", &user.name]);
    let mapped =
        fs::read_to_string("/etc/subgid").is_ok_and(|text| text.contains(&format!("{}:", user.name)));
    assert!(!mapped, "they were taken away");
    assert_eq!(launch(&stage.leaf).good().out, "of the group\n");
    // Root's launch as somebody else has none of root's groups.
    let other = Stage::with(", set-user: '65534', set-group: '65534'", "");
    let mut wrap = Command::new("setpriv");
    wrap.args(["--groups", &format!("0,{gid}"), "--"]).arg(other.pool.install("red-runtime", "red-wrap"));
    wrap.arg("--root").arg(&other.root).arg("--redpath").arg(&other.leaf).args(["--", "id", "-G"]);
    assert_eq!(run(&mut wrap).good().out, "65534\n");
    stage.pool.chown(0);
    let mut wrap = Command::new("setpriv");
    wrap.args(["--groups", &format!("0,{gid}"), "--"]).arg(stage.pool.install("red-runtime", "red-wrap"));
    wrap.arg("--root").arg(&stage.root).arg("--redpath").arg(&stage.leaf);
    assert_eq!(run(wrap.args(["--user", "65534", "--", "id", "-G"])).good().out, "65534\n");
    let mut wrap = Command::new("setpriv");
    wrap.args(["--groups", &format!("0,{gid}"), "--"]).arg(stage.pool.install("red-runtime", "red-wrap"));
    wrap.arg("--root").arg(&stage.root).arg("--redpath").arg(&stage.leaf).args(["--", "id", "-G"]);
    assert_eq!(run(&mut wrap).good().out, format!("0 {gid}\n"));
    add("groupdel", &["--force", &group]);
}
