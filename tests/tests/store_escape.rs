//! The escape kit: scriptlets that try to leave the install view, or never end. They are in
//! `escape/attempts` and `escape/endless`; what of the host could be reached is compared by somebody
//! outside, before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use red_tests::broom::User;
use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::store::{Ground, fingerprint, rpm_version};

/// A scriptlet of the kit.
struct Attempt {
    name: String,
    phase: String,
    lua: bool,
    body: String,
}

fn attempts(text: &str) -> Vec<Attempt> {
    let mut all: Vec<Attempt> = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("@ ") {
            let words: Vec<&str> = words.split(' ').collect();
            let (name, phase) = (words[0].to_owned(), words[1].to_owned());
            all.push(Attempt { name, phase, lua: words.get(2) == Some(&"lua"), body: String::new() });
        } else if let Some(last) = all.last_mut() {
            writeln!(last.body, "{line}").expect("a text takes everything");
        }
    }
    all
}

/// What of the host scriptlets could reach, and who would notice.
struct Host {
    dir: PathBuf,
    socket: String,
    port: u16,
    victim: Child,
    heard: Arc<AtomicUsize>,
    pipe: fs::File,
    watched: Vec<PathBuf>,
}

impl Host {
    fn new(ground: &Ground, name: &str) -> Self {
        let dir = ground.pool.mkdir("host");
        for (below, text) in [("passwd", fs::read("/etc/passwd")), ("file", Ok(b"untouched".to_vec()))] {
            let path = ground.pool.write(format!("host/{below}"), text.expect("it is there"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("it is ours");
        }
        for below in ["host", "host/sub"] {
            let path = ground.pool.mkdir(below);
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        }
        let heard = Arc::new(AtomicUsize::new(0));
        let socket = format!("red-kit-{name}-{}", std::process::id());
        let path = Path::new("/var/tmp").join(&socket);
        let listener = UnixListener::bind(&path).expect("there is room");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let address = SocketAddr::from_abstract_name(&socket).expect("a name");
        let hidden = UnixListener::bind_addr(&address).expect("the name is free");
        for listener in [listener, hidden] {
            let heard = heard.clone();
            std::thread::spawn(move || count(listener.incoming().map(drop), &heard));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        let counter = heard.clone();
        std::thread::spawn(move || count(listener.incoming().map(drop), &counter));
        let fifo = path.with_file_name(format!("{socket}.pipe"));
        run(Command::new("mkfifo").args(["--mode", "666"]).arg(&fifo)).good();
        let pipe =
            fs::OpenOptions::new().read(true).custom_flags(libc_nonblock()).open(fifo).expect("it was made");
        let mut sleep = match &ground.user {
            Some(user) => user.command("sleep"),
            None => Command::new("sleep"),
        };
        let victim = sleep.arg("600").stdout(Stdio::null()).spawn().expect("sleep is there");
        let mut watched = vec![dir.clone(), ground.pool.join("repos")];
        watched.extend(["/usr/share/doc/rpm", "/etc/default", "/etc/skel"].map(PathBuf::from));
        Self { dir, socket, port, victim, heard, pipe, watched }
    }

    /// Everything that must be the same afterwards.
    fn state(&mut self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for tree in &self.watched {
            for line in fingerprint(tree) {
                let (name, what) = line.split_once(' ').unwrap_or((&line, ""));
                all.insert(format!("{}/{name}", tree.display()), what.to_owned());
            }
        }
        let program = red_tests::call::built("red-dnf");
        for path in ["/usr/bin/true", "/usr/bin/false", "/bin/sh", "/etc/passwd", "/etc/group", "/etc/hosts"]
        {
            let facts = fs::metadata(path).expect("it is there");
            let sum = run(Command::new("sha256sum").arg(path)).good().out;
            all.insert(path.into(), format!("{sum} {:o} {}", facts.mode(), facts.uid()));
        }
        // Those that tests make for themselves come and go.
        for path in ["/etc/passwd", "/etc/group"] {
            let text = fs::read_to_string(path).expect("it is there");
            let own = text.lines().filter(|line| {
                line.split(':').nth(2).and_then(|id| id.parse().ok()).is_some_and(|id: u32| id < 1000)
            });
            all.insert(
                path.into(),
                format!(
                    "{:?} {:?}",
                    own.collect::<Vec<_>>(),
                    fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file())
                ),
            );
        }
        let facts = fs::metadata(&program).expect("it is there");
        all.insert("red-dnf".into(), format!("{} {} {:o}", facts.len(), facts.mtime(), facts.mode()));
        for device in ["null", "zero", "full", "random", "urandom"] {
            let facts = fs::metadata(Path::new("/dev").join(device)).expect("it is there");
            all.insert(
                format!("/dev/{device}"),
                format!("{:o} {} {}", facts.mode(), facts.uid(), facts.gid()),
            );
        }
        for name in [
            "kernel/core_pattern",
            "kernel/modprobe",
            "kernel/hostname",
            "kernel/sysrq",
            "kernel/pid_max",
            "fs/suid_dumpable",
            "vm/overcommit_memory",
        ] {
            let value = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
            all.insert(name.into(), value);
        }
        for place in ["/", "/opt", "/srv", "/var/lib", "/var/backups", "/dev"] {
            let names = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
            // Other tests come and go.
            let names = names.filter(|name| !name.to_string_lossy().starts_with("red-"));
            all.insert(format!("names in {place}"), format!("{:?}", names.collect::<BTreeSet<_>>()));
        }
        let alive = self.victim.try_wait().expect("it is ours").is_none();
        all.insert("a process of the host".into(), alive.to_string());
        all.insert("connections".into(), self.heard.load(Ordering::Relaxed).to_string());
        let mut text = String::new();
        // Nobody writes: nothing, or the end.
        drop(self.pipe.read_to_string(&mut text));
        all.insert("a pipe of the host".into(), text);
        all
    }

    /// Why the host is not what it was.
    fn differs(&mut self, before: &BTreeMap<String, String>) -> Vec<String> {
        let now = self.state();
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let names = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
        let short = |value: Option<&String>| value.map(|value| value.chars().take(100).collect::<String>());
        names
            .map(|name| format!("{name}: {:?} became {:?}", short(before.get(name)), short(now.get(name))))
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.victim.kill());
        drop(self.victim.wait());
        for end in ["", ".pipe"] {
            drop(fs::remove_file(format!("/var/tmp/{}{end}", self.socket)));
        }
    }
}

/// Counts connections for as long as there are any.
fn count(connections: impl Iterator<Item = ()>, heard: &AtomicUsize) {
    for () in connections {
        heard.fetch_add(1, Ordering::Relaxed);
    }
}

/// O_NONBLOCK of the generic table.
fn libc_nonblock() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits().cast_signed()
}

/// Makes all packages of a kit with one call of rpmbuild.
fn build(ground: &Ground, host: &Host, kit: &[Attempt]) {
    let put = |text: &str, name: &str| {
        text.replace("@NAME@", name)
            .replace("@HOST@", &host.dir.display().to_string())
            .replace("@SOCKET@", &host.socket)
            .replace("@PORT@", &host.port.to_string())
            .replace("@VICTIM@", &host.victim.id().to_string())
    };
    let mut spec = String::from(
        "Name: kit\nVersion: 1\nRelease: 1\nSummary: s\nLicense: n\nBuildArch: noarch\nAutoReqProv: no\n\
         %global __spec_install_post %{nil}\n%description\nd\n\
         %package base\nSummary: s\nAutoReqProv: no\n%description base\nd\n\
         %install\nmkdir -p %{buildroot}/usr/share/kit-base %{buildroot}/opt\necho base > %{buildroot}/usr/share/kit-base/file\n\
         echo suid > %{buildroot}/usr/share/kit-base/suid\n\
         %files base\n/usr/share/kit-base/file\n%attr(4755,root,root) /usr/share/kit-base/suid\n",
    );
    for attempt in kit {
        let name = &attempt.name;
        let on = match attempt.phase.as_str() {
            phase if phase.starts_with("trigger") => " -- kit-base",
            phase if phase.contains("filetrigger") => " -- /usr/share/kit-base",
            _ => "",
        };
        let (language, prelude) = match attempt.lua {
            true => (" -p <lua>", include_str!("escape/prelude.lua")),
            false => ("", include_str!("escape/prelude.sh")),
        };
        write!(
            spec,
            "%package {name}\nSummary: s\nAutoReqProv: no\n%description {name}\nd\n\
             %{phase} {name}{language}{on}\n{prelude}\n{body}\n{end}\n%files {name}\n",
            phase = attempt.phase,
            prelude = put(prelude, name),
            body = attempt.body,
            end = if attempt.lua { "" } else { "exit 0" },
        )
        .expect("a text takes everything");
    }
    let path = ground.pool.write("kit.spec", spec);
    let dir = ground.repo("kit");
    let mut make = Command::new("rpmbuild");
    make.args(["-bb", "--quiet", "--define", "_binary_payload w1.zstdio", "--define"]);
    make.arg(format!("_topdir {}/top", ground.pool.path().display())).arg("--define");
    make.arg(format!("_rpmdir {}", dir.display())).arg(&path);
    run(&mut make).good();
    ground.maker.index(&dir);
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(ground.pool.join("repos"))).good();
}

/// Processes of the machine with a word on their command line.
fn processes(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(word) {
            found.push(line);
        }
    }
    found
}

/// What the scriptlets that ran wrote down: the names of all, and what of them found a way out.
fn reported(ground: &Ground) -> (BTreeSet<String>, Vec<String>) {
    let (mut ran, mut escaped) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(ground.node("node").join("var/lib/kit")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_prefix("ran.") {
            ran.insert(name.to_owned());
        } else if let Some(name) = name.strip_prefix("escaped.") {
            let how = fs::read_to_string(entry.path()).unwrap_or_default();
            escaped.push(format!("{name}: {}", how.trim().replace('\n', "; ")));
        }
    }
    (ran, escaped)
}

fn names(kit: &[Attempt], erase: bool) -> BTreeSet<String> {
    let late = ["preun", "postun", "triggerun", "triggerpostun"];
    let wanted = kit.iter().filter(|attempt| erase || !late.contains(&attempt.phase.as_str()));
    wanted.map(|attempt| attempt.name.clone()).collect()
}

fn nobody_escapes(ground: &Ground, name: &str) {
    let kit = attempts(include_str!("escape/attempts"));
    assert!(kit.len() >= 50 && names(&kit, true).len() == kit.len());
    let mut host = Host::new(ground, name);
    build(ground, &host, &kit);
    ground.create("node", Some("kit"));
    ground.dnf("node", &["makecache"]).good();
    let before = host.state();
    let packages: Vec<String> = names(&kit, true).iter().map(|name| format!("kit-{name}")).collect();
    let words = |verb: &'static str| {
        let all = packages.iter().map(String::as_str).chain(["kit-base"]);
        [vec!["-y", "-C", verb], all.collect()].concat()
    };
    // Whatever was open where it was called comes along, if nobody sees to it.
    let said = ground.dnf_with_descriptors("node", &words("install")).good();
    assert_eq!(host.differs(&before), Vec::<String>::new(), "{}", said.err);
    let (ran, escaped) = reported(ground);
    assert_eq!(escaped, Vec::<String>::new());
    assert_eq!(ran, names(&kit, false), "{}", said.err);
    assert!(said.err.contains("removed set-user-ID, set-group-ID or file capabilities: /"), "{}", said.err);
    assert_eq!(processes(&host.socket), Vec::<String>::new());
    // A trigger of what was removed before runs with the package that has it, so that one goes later.
    ground.dnf("node", &["-y", "-C", "remove", "kit-base"]).good();
    let late: Vec<&str> = words("remove").into_iter().filter(|word| *word != "kit-base").collect();
    ground.dnf("node", &late).good();
    assert_eq!(host.differs(&before), Vec::<String>::new());
    let (ran, escaped) = reported(ground);
    assert_eq!(escaped, Vec::<String>::new());
    assert_eq!(ran, names(&kit, true));
    assert_eq!(processes(&host.socket), Vec::<String>::new());
    assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
}

trait Careless {
    fn dnf_with_descriptors(&self, node: &str, args: &[&str]) -> Said;
}

impl Careless for Ground {
    /// Called with directories of the host open, as careless callers do.
    fn dnf_with_descriptors(&self, node: &str, args: &[&str]) -> Said {
        let host = self.pool.join("host");
        let mut careless = match &self.user {
            Some(user) => user.command("bash"),
            None => Command::new("bash"),
        };
        let tool = self.tool("red-dnf");
        careless.args(["-c", "exec 3</ 4<\"$0\" 9<\"$0/sub\" 12<>\"$0/file\"; exec \"$@\""]).arg(host);
        careless.arg("bash").args(tool.get_args().skip_while(|arg| *arg != "-c"));
        careless.env("NODE_PREFIX", self.pool.join("prefix")).env("LANG", "C.UTF-8").stdin(Stdio::null());
        careless.arg(format!("--redpath={}", self.node(node).display())).args(args);
        run(&mut careless)
    }
}

#[test]
fn nobody_escapes_as_root() {
    nobody_escapes(&Ground::new(), "root");
}

#[test]
fn nobody_escapes_as_a_user() {
    nobody_escapes(&Ground::new().for_user(), "user");
}

fn everybody_ends(ground: &Ground, name: &str) {
    let mut kit = attempts(include_str!("escape/endless"));
    // rpm 6 lets no scriptlet in Lua fork.
    kit.retain(|attempt| rpm_version().0 < 6 || attempt.name != "lua-child-loop");
    assert!(kit.len() >= 10);
    let mut host = Host::new(ground, name);
    build(ground, &host, &kit);
    ground.create("node", Some("kit"));
    ground.dnf("node", &["makecache"]).good();
    let before = host.state();
    let node = || {
        let mut all = fingerprint(&ground.node("node"));
        // What is there or not by chance; a stage that holds anything is seen by its contents.
        all.retain(|line| {
            !line.starts_with(".red/cache")
                && !line.starts_with(".red/sums")
                && !line.starts_with(".red/stage 40")
        });
        all
    };
    ground.dnf("node", &["-y", "-C", "install", "kit-base"]).good();
    let untouched = node();
    for attempt in &kit {
        let package = format!("kit-{}", attempt.name);
        let mut words = vec!["-y", "-C", "--setopt=scriptlet_timeout=1", "install", package.as_str()];
        let said = ground.dnf("node", &words);
        assert_eq!(said.code, 1, "{}: {}", attempt.name, said.err);
        let whole = format!("%{}({package}-1-1.noarch): timed out after 1 seconds, killed", attempt.phase);
        let crowd = format!("%{}({package}-1-1.noarch): more than 2048 processes", attempt.phase);
        let named = said.err.contains(&whole) || attempt.name == "bomb" && said.err.contains(&crowd);
        assert!(named && said.err.contains("nothing has changed"), "{}: {}", attempt.name, said.err);
        // The next command finds everything as it was, and nobody in its way.
        words = vec!["-y", "-C", "--wait=0", "autoremove"];
        ground.dnf("node", &words).good();
        let now = node();
        let other = now
            .iter()
            .filter(|line| !untouched.contains(line))
            .chain(untouched.iter().filter(|line| !now.contains(line)));
        let other: Vec<&str> = other.map(|line| line.get(..200).unwrap_or(line)).collect();
        assert_eq!(other, Vec::<&str>::new(), "{}", attempt.name);
        assert_eq!(host.differs(&before), Vec::<String>::new(), "{}", attempt.name);
    }
    assert_eq!(ground.rpm_says("node"), ["kit-base-1"]);
}

#[test]
fn everybody_ends_as_root() {
    everybody_ends(&Ground::new(), "endless-root");
}

#[test]
fn everybody_ends_as_a_user() {
    everybody_ends(&Ground::new().for_user(), "endless-user");
}

/// A package of one scriptlet.
fn one<'a>(name: &'a str, post: &'a str) -> Small<'a> {
    Small { name, version: "1", post, files: &[("/usr/share/one", "1")], ..Small::default() }
}

#[test]
fn depth_of_directories_has_an_end_and_wedges_nothing() {
    for ground in [Ground::new(), Ground::new().for_user()] {
        let dig = |levels: u32| {
            format!(
                "python3 -c 'import os\nos.chdir(\"/etc\")\nfor _ in range({levels}): os.mkdir(\"d\"); os.chdir(\"d\")'"
            )
        };
        let (deep, legal) = (dig(1200), dig(200));
        ground.publish("main", &[one("deep", &deep), one("legal", &legal)]);
        ground.create("node", Some("main"));
        let said = ground.dnf("node", &["-y", "install", "deep"]);
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains("nested more than 256 levels deep by a scriptlet"), "{}", said.err);
        assert!(said.err.contains("nothing has changed"), "{}", said.err);
        assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
        ground.dnf("node", &["-y", "install", "legal"]).good();
        // What a container makes in the node's configuration is nobody's to refuse, however deep.
        let mut dig = match &ground.user {
            Some(user) => user.command("sh"),
            None => Command::new("sh"),
        };
        dig.arg("-c").arg(
            deep.replace("/etc", &ground.node("node").join("etc").display().to_string())
                .replace("\"d\"", "\"e\""),
        );
        run(&mut dig).good();
        ground.dnf("node", &["-y", "remove", "legal"]).good();
        assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
    }
}

/// A program that locks whatever it can of a node, as anybody may, and says when it has.
const LOCK: &str = "import fcntl, os, sys, time\n\
    n = 0\n\
    for path in (sys.argv[1], sys.argv[1] + '/.red', sys.argv[1] + '/.red/lock', sys.argv[1] + '/etc'):\n\
    \x20   for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):\n\
    \x20       try:\n\
    \x20           fcntl.flock(os.open(path, os.O_RDONLY), kind | fcntl.LOCK_NB); n += 1; break\n\
    \x20       except OSError: pass\n\
    print(n, flush=True); time.sleep(600)";

#[test]
fn a_stranger_stops_nobody() {
    let ground = Ground::new();
    ground.publish("main", &[one("one", "true")]);
    ground.create("parent", Some("main"));
    ground.create("parent/child", Some("main"));
    ground.dnf("parent", &["makecache"]).good();
    ground.dnf("parent/child", &["makecache"]).good();
    let stranger = User::make();
    let mut held: Vec<Child> = Vec::new();
    for node in ["parent", "parent/child"] {
        let mut lock = stranger.command("python3");
        lock.args(["-c", LOCK]).arg(ground.node(node)).stdout(Stdio::piped());
        let mut child = lock.spawn().expect("python3 is there");
        let mut line = [0; 2];
        child.stdout.as_mut().expect("it is a pipe").read_exact(&mut line).expect("it says how many");
        assert!(line[0] > b'0', "the stranger locks something");
        held.push(child);
    }
    let said =
        ["parent", "parent/child"].map(|node| ground.dnf(node, &["-y", "-C", "--wait=0", "install", "one"]));
    for mut child in held {
        drop(child.kill());
        drop(child.wait());
    }
    let [parent, child] = said;
    parent.good();
    // Its parent has it already.
    assert!(child.good().err.contains("is provided already"), "the child is told");
}

#[test]
fn whoever_may_change_a_node_still_waits() {
    let ground = Ground::new();
    ground.publish("main", &[one("one", "true")]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "one"]).good();
    let lock = fs::File::open(ground.node("node").join(".red/lock")).expect("a transaction made it");
    assert_eq!(lock.metadata().expect("it is open").mode() & 0o777, 0o600);
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("nobody has it");
    let said = ground.dnf("node", &["-y", "--wait=0", "remove", "one"]);
    assert_eq!(said.code, 1);
    let holder = format!("is in use by process {}", std::process::id());
    assert!(said.err.contains(&holder), "{}", said.err);
    drop(lock);
    ground.dnf("node", &["-y", "--wait=0", "remove", "one"]).good();
}

#[test]
fn a_limit_that_is_not_a_number_is_refused() {
    let ground = Ground::new();
    ground.publish("main", &[one("one", "true")]);
    ground.create("node", Some("main"));
    let said = ground.dnf("node", &["-y", "--setopt=scriptlet_timeout=soon", "install", "one"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("invalid value `scriptlet_timeout=soon`"), "{}", said.err);
    let said = ground.dnf("node", &["-y", "--setopt=scriptlet_timeout=-1", "install", "one"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("scriptlet_timeout"), "{}", said.err);
    assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
    ground.dnf("node", &["-y", "--setopt=scriptlet_timeout=0", "install", "one"]).good();
}

/// A user's node below root's: the parent's lock is not the user's, and no user can stop root by one.
#[test]
fn a_parent_that_is_not_ones_own_is_relied_on_without_a_lock() {
    let ground = Ground::new();
    ground.publish("main", &[one("base", "true"), one("more", "true"), one("slow", "sleep 4")]);
    ground.create("parent", Some("main"));
    ground.dnf("parent", &["-y", "install", "base"]).good();
    ground.create("parent/child", Some("main"));
    let ground = ground.for_user();
    let uid = ground.user.as_ref().expect("there is one").uid;
    run(Command::new("chown").arg("-R").arg(uid.to_string()).arg(ground.node("parent/child"))).good();
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(ground.node("parent"))).good();
    fs::set_permissions(ground.node("parent").join(".red/lock"), fs::Permissions::from_mode(0o600))
        .expect("ours");
    ground.dnf("parent/child", &["-y", "install", "more"]).good();
    // The parent goes on while the child's transaction runs: the child's comes to nothing, and says so.
    let mut slow = ground.tool("red-dnf");
    slow.arg(format!("--redpath={}", ground.node("parent/child").display())).args(["-y", "install", "slow"]);
    let slow = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let stage = ground.node("parent/child").join(".red/stage");
    red_tests::stage::eventually("the child is at work", || {
        fs::read_dir(&stage).is_ok_and(|mut names| names.next().is_some())
    });
    let root = Ground { user: None, ..ground };
    root.dnf("parent", &["-y", "--wait=0", "remove", "base"]).good();
    let slow = slow.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&slow.stderr).into_owned();
    assert!(!slow.status.success() && err.contains("changed by another command meanwhile"), "{err}");
    assert_eq!(root.rpm_says("parent/child"), ["more-1"]);
}

/// `%verifyscript` runs where rpm looks at a node: with the caller's streams it would have whatever they
/// are.
#[test]
fn looking_lets_nobody_out() {
    for (name, ground) in [("look-root", Ground::new()), ("look-user", Ground::new().for_user())] {
        let kit: Vec<Attempt> = attempts(include_str!("escape/attempts"))
            .into_iter()
            .filter(|attempt| attempt.name == "descriptors-own" || attempt.name == "terminal")
            .map(|attempt| Attempt { phase: "verifyscript".into(), ..attempt })
            .collect();
        let mut host = Host::new(&ground, name);
        build(&ground, &host, &kit);
        ground.create("node", Some("kit"));
        ground.dnf("node", &["-y", "install", "kit-descriptors-own", "kit-terminal"]).good();
        let before = host.state();
        let mut tool = ground.tool("red-rpm");
        tool.arg("--redpath").arg(ground.node("node")).args(["-V", "kit-descriptors-own", "kit-terminal"]);
        let open = |below: &str| fs::File::open(host.dir.join(below)).expect("it is there");
        let said = tool.stdin(open("sub")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = said.output().expect("it starts");
        assert_eq!(host.differs(&before), Vec::<String>::new(), "{said:?}");
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    }
}

/// In a container that hides parts of /proc nobody may mount a new one: less is shown, never more.
#[test]
fn without_a_new_proc_nothing_of_the_old_one_is_shown() {
    let ground = Ground::new().for_user();
    let post = "grep -q . /proc/1/status && ls /proc >&2; ls /proc/sys >&2; \
                for f in /proc/[0-9]*/root /proc/[0-9]*/fd/*; do ls $f/etc/redpak >&2; done; true";
    ground.publish("main", &[one("one", post)]);
    ground.create("node", Some("main"));
    let tool = ground.tool("red-dnf");
    let mut masked = Command::new("unshare");
    masked.args(["--mount", "sh", "-c", "mount --bind /dev/null /proc/timer_list && exec \"$@\"", "sh"]);
    masked.arg(tool.get_program()).args(tool.get_args());
    masked.arg(format!("--redpath={}", ground.node("node").display())).args(["-y", "install", "one"]);
    masked.env("NODE_PREFIX", ground.pool.join("prefix")).env("LANG", "C.UTF-8").stdin(Stdio::null());
    run(&mut masked).good();
    let info = ground.dnf("node", &["history", "info", "1"]).good().out;
    let shown: Vec<&str> =
        info.lines().filter(|line| ["1", "mounts", "self"].contains(&line.trim())).collect();
    assert_eq!(shown.len(), 3, "{info}");
    assert!(!info.contains("kernel") && !info.contains("redpak\n"), "{info}");
}
