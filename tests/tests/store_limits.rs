//! How much scriptlets and what reads foreign metadata may take of the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::run;
use red_tests::skip;
use red_tests::store::Ground;
use rustix::mount::{MountFlags, mount};

/// Room for one test on a file system of its own.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(point: &'a Path, size: &std::ffi::CStr) -> Self {
        fs::create_dir_all(point).expect("there is room");
        mount("red-test", point, "tmpfs", MountFlags::empty(), Some(size)).expect("root may");
        Self(point)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // The pool goes in any case.
        rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH).unwrap_or(());
    }
}

fn takes_too_much(ground: &Ground, name: &str, option: &str, words: &[&str]) {
    let said = ground.dnf("small/node", &["-y", option, "install", name]);
    assert_eq!(said.code, 1, "{name}: {}", said.err);
    for words in words {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(ground.rpm_says("small/node"), Vec::<String>::new());
    assert!(!ground.node("small/node/var/lib/much").exists());
}

fn limits_hold(ground: &Ground) {
    ground.build(
        "memory",
        "1",
        "%post\nhead -c 900M /dev/zero | tail -c 900M | tail -c 1; sleep 60\n%files\n",
    );
    let fill = "%post\nmkdir -p /var/lib/much\ni=0; while [ $i -lt 200 ]; do \
                head -c 1M /dev/zero > /var/lib/much/$i; i=$((i + 1)); sleep 0.02; done\n%files\n";
    ground.build("filler", "1", fill);
    let fork = "%post\nx=$(head -c 30M /dev/zero | tr '\\0' x)\nfor i in 1 2 3 4 5 6 7 8 9 10 11 12; do \
                (sleep 3; : $i) & done; wait\n%files\n";
    ground.build("forker", "1", fork);
    ground.build("long", "1", "%post\ntruncate -s 9G /var/lib/long; ls -s /var/lib/long\n%files\n");
    ground.publish("main", &[]);
    let point = ground.node("small");
    let _disk = Disk::mount(&point, c"size=256m,mode=777");
    ground.create("small/node", Some("main"));
    let memory = [
        "%post(memory-1-1.noarch)",
        "more than 256.0 MiB of memory",
        "nothing has changed",
        "scriptlet_memory",
    ];
    takes_too_much(ground, "memory", "--setopt=scriptlet_memory=256", &memory);
    // What processes share counts once.
    ground.dnf("small/node", &["-y", "--setopt=scriptlet_memory=256", "install", "forker"]).good();
    ground.dnf("small/node", &["-y", "remove", "forker"]).good();
    let disk = [
        "%post(filler-1-1.noarch)",
        "are left of the file system of",
        "100.0 MiB stay free",
        "scriptlet_reserve",
    ];
    takes_too_much(ground, "filler", "--setopt=scriptlet_reserve=100", &disk);
    // Where nobody wants anything kept free, there is room for it.
    ground.dnf("small/node", &["-y", "--setopt=scriptlet_reserve=0", "install", "filler"]).good();
    ground.dnf("small/node", &["-y", "install", "long"]).good();
    assert!(fs::metadata(ground.node("small/node/var/lib/long")).map_or(0, |facts| facts.len()) <= 8 << 30);
    for wrong in ["scriptlet_memory=much", "scriptlet_reserve=-1"] {
        let said = ground.dnf("small/node", &["-y", &format!("--setopt={wrong}"), "remove", "long"]);
        let name = wrong.split('=').next().expect("a name");
        assert!(said.code == 1 && said.err.contains(name), "{}", said.err);
    }
    // A disk that was full before is no reason to remove nothing.
    ground.dnf("small/node", &["-y", "--setopt=scriptlet_reserve=100000", "remove", "long"]).good();
}

#[test]
fn scriptlets_take_no_more_than_they_may() {
    limits_hold(&Ground::new());
}

#[test]
fn scriptlets_of_a_user_take_no_more_than_they_may() {
    limits_hold(&Ground::new().for_user());
}

/// The kernel counts processes: of the view as root, of the user's namespace for others.
#[test]
fn the_kernel_counts_processes() {
    for user in [false, true] {
        let ground = if user { Ground::new().for_user() } else { Ground::new() };
        let post = "%post\ncat /proc/self/cgroup /proc/self/limits\n%files\n";
        ground.build("teller", "1", post);
        ground.with_repository("node");
        ground.dnf("node", &["-y", "install", "teller"]).good();
        let told = ground.dnf("node", &["history", "info", "1"]).good().out;
        if user {
            let line = told.lines().find(|line| line.contains("Max processes")).expect("limits are told");
            assert!(line.contains(" 4096 "), "{line}");
            continue;
        }
        let own = fs::read_to_string("/proc/self/cgroup").expect("it is there");
        let here = own.lines().find_map(|line| line.split_once(":pids:")).map(|(_, path)| path);
        let dir = here.map(|path| Path::new("/sys/fs/cgroup/pids").join(path.trim_start_matches('/')));
        let may =
            dir.as_ref().is_some_and(|dir| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok());
        if may {
            let line = told.lines().find(|line| line.contains(":pids:")).expect("the hierarchy");
            let name = line.rsplit('/').next().expect("a name");
            assert!(name.starts_with("red-scriptlets-"), "{line}");
            assert!(!dir.expect("it is there").join(name).exists(), "it goes with the transaction");
        } else {
            red_tests::remark("there is no hierarchy of pids that may be written to");
        }
    }
}

/// What reads foreign metadata can open nothing, and is held by a filter of system calls.
#[test]
fn what_reads_foreign_metadata_is_confined() {
    let ground = Ground::new();
    ground.build("one", "1", "%files\n");
    let node = ground.with_repository("node");
    let log = ground.pool.join("calls");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "trace=execve,seccomp,prlimit64,setrlimit", "-o"]).arg(&log).arg("--");
    let mut dnf = ground.tool("red-dnf");
    dnf.arg(format!("--redpath={}", node.display())).arg("red-makecache");
    traced.arg(dnf.get_program()).args(dnf.get_args());
    for (name, value) in dnf.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    run(&mut traced).good();
    let calls = fs::read_to_string(log).expect("it was written");
    let start = calls.lines().find(|line| line.contains("__convert")).expect("metadata are converted");
    let pid = start.split(' ').next().expect("a process");
    let its: Vec<&str> = calls.lines().filter(|line| line.starts_with(pid)).collect();
    assert!(
        its.iter().any(|line| line.contains("SECCOMP_SET_MODE_FILTER") && line.ends_with("= 0")),
        "{its:#?}"
    );
    assert!(its.iter().any(|line| line.contains("RLIMIT_NOFILE, {rlim_cur=0, rlim_max=0}")), "{its:#?}");
    assert!(ground.dnf("node", &["red-list", "--available"]).out.contains("one"));
}

/// An image that is mounted, until the end.
struct Loop(PathBuf);

impl Loop {
    fn mount(image: &Path, point: &Path) -> Option<Self> {
        fs::create_dir(point).expect("it is ours");
        let mounted = run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(point));
        if mounted.code != 0 {
            skip("needs loop devices");
            return None;
        }
        Some(Self(point.to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// No file of a node runs as its owner by the host's own path to the pool, unless that was asked for: in nodes it
/// would be without effect.
#[test]
fn files_that_run_as_their_owner_lose_that() {
    use std::os::unix::fs::PermissionsExt;
    let ground = Ground::new();
    let body = "%install\nmkdir -p %{buildroot}/usr/share\ncd %{buildroot}/usr/share\necho x | tee by-mode by-caps by-group by-lock plain\n\
                %post\necho x > /usr/share/by-script; chmod 4755 /usr/share/by-script\n\
                %files\n%attr(4755,root,root) /usr/share/by-mode\n%attr(2755,root,root) /usr/share/by-group\n\
                %attr(2644,root,root) /usr/share/by-lock\n%caps(cap_net_raw=ep) /usr/share/by-caps\n/usr/share/plain\n";
    ground.build("powers", "1", body);
    ground.build("other", "1", "%files\n");
    ground.publish("main", &[]);
    // The first pool is on a file system that does not tell kinds of files where it lists them.
    let image = ground.pool.write("image", "");
    fs::File::options()
        .write(true)
        .open(&image)
        .and_then(|file| file.set_len(256 << 20))
        .expect("it is ours");
    let made = run(Command::new("mkfs.ext4").args(["-q", "-O", "^filetype"]).arg(&image)).code == 0;
    let _disk = made.then(|| Loop::mount(&image, &ground.node("pool-false")));
    for kept in [false, true] {
        let name = format!("pool-{kept}/node");
        fs::create_dir_all(ground.node(&format!("pool-{kept}"))).expect("it is ours");
        ground.create(&name, Some("main"));
        let allow: &[&str] = if kept { &["--allow-file=/usr/share/"] } else { &[] };
        let said = ground.dnf(&name, &[allow, &["-y", "install", "powers"]].concat()).good();
        let told = said.err.lines().find(|line| line.starts_with("removed set-user-ID, "));
        match told {
            None => assert!(kept, "{}", said.err),
            Some(line) => {
                assert!(
                    !kept && line.contains("/usr/share/by-caps and 4 more") && line.contains("--allow-file")
                );
            }
        }
        // Over generations, too.
        ground.dnf(&name, &["-y", "install", "other"]).good();
        let mode = |file: &str| {
            let facts = fs::metadata(ground.node(&name).join("usr/share").join(file)).expect("it is there");
            facts.permissions().mode() & 0o7777
        };
        let wanted = if kept { (0o4755, 0o2755, 0o4755) } else { (0o755, 0o755, 0o755) };
        assert_eq!((mode("by-mode"), mode("by-group"), mode("by-script")), wanted);
        assert_eq!(mode("by-lock"), if kept { 0o2644 } else { 0o644 });
        let listed = ground.dnf(&name, &["red-check", "--files"]).out;
        let listed = listed.lines().filter(|line| line.starts_with("node: set-id: /usr/share/by-")).count();
        assert_eq!(listed, if kept { 3 } else { 0 }, "those of packages");
        let mut value = [0; 64];
        let path = ground.node(&name).join("usr/share/by-caps");
        let length = rustix::fs::getxattr(&path, "security.capability", &mut value[..]);
        assert_eq!(length, if kept { Ok(20) } else { Err(rustix::io::Errno::NODATA) });
    }
}
