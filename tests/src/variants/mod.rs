//! Command lines of podman, run with several runtimes one after the other, and what became of them compared.
//!
//! A table is a text: rows begin with `== NAME`, or `== NAME (refused)` where runc refuses, then comes a script of
//! bash; lines `but: REASON`, or `but PEER: REASON` where there are several peers, above lines
//! `- TEXT` (only the peer says it) and `+ TEXT` (only ours does) name differences. What stands before the first row
//! holds for all rows. A row that begins with `m` is also run in a node, where it has to say the same.

mod root;
mod row;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use root::{mode, root};
pub use row::{Row, reason, rows};

use crate::call::{Said, built, run};
use crate::patience;
use crate::podman::through_files;
use crate::pool::Pool;
use crate::stage::CORE;

/// Functions of scripts: `p` is podman, `r` runs a container to its end, `c` creates one called `$N`; `@` stands for
/// the root, `see` (a script in it) says what a container sees.
const PRELUDE: &str = r#"
MANAGER= NODE=${NODE-}
p() { command podman --log-level=error ${MANAGER:+--cgroup-manager=$MANAGER} --root "$D/storage" --runroot "$D/runroot" --tmpdir "$D/tmp" --runtime "$RUNTIME" "$@"; }
with_root() { local all=() one; for one; do if [ "$one" = @ ]; then all+=(--rootfs "$D/rootfs:O"); else all+=("$one"); fi; done; "${all[@]}"; }
r() { with_root p run --rm --name "$N" --network none -v /usr:/usr:ro "$@"; }
c() { with_root p create --name "$N" --network none -v /usr:/usr:ro "$@"; }
d() { with_root p run --detach --name "$N" --network none -v /usr:/usr:ro "$@" >/dev/null; }
code() { "$@"; echo "code $?"; }
until_ok() { local i; for i in {1..100}; do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "never: $*"; }
status() { p inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$N"; }
until_status() { local i; for i in {1..100}; do [ "$(status)" = "$1" ] && break; sleep 0.05; done; status; }
rm_() { p rm --force --time 0 "$N" >/dev/null; }
"#;

/// Settings of podman for a machine without systemd, where limits cannot be raised.
const MACHINE: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=1024:2048\"]\n[engine]\n\
    cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime_supports_json = [\"runc\", \"red-runtime\"]\n\
    runtime_supports_nocgroups = [\"runc\", \"red-runtime\"]\n[network]\nnetwork_backend = \"netavark\"\n";

/// Settings for the guest: as podman has them there, with logs that need no journal.
const GUEST: &str = "[containers]\nlog_driver = \"k8s-file\"\n[engine]\nevents_logger = \"file\"\n\
    runtime_supports_json = [\"crun\", \"runc\", \"red-runtime\"]\n\
    runtime_supports_nocgroup = [\"crun\", \"red-runtime\"]\n";

/// podman with storage of its own, a root, a node, and several runtimes.
#[derive(Debug)]
pub struct Variants {
    pool: Pool,
    peers: Vec<Peer>,
    podman: String,
    prelude: String,
    leaf: PathBuf,
    /// Whether it runs in a session of its caller, with a service manager.
    session: bool,
}

#[derive(Debug)]
struct Peer {
    name: &'static str,
    path: PathBuf,
}

impl Variants {
    /// Beside runc. `None` when podman or runc is not installed.
    ///
    /// # Panics
    /// There is no room.
    #[must_use]
    pub fn new(see: &str) -> Option<Self> {
        Self::beside(&["runc"], MACHINE, &[("see", see)], String::new(), false)
    }

    /// In the guest, beside crun and runc, or those of them that `RED_PEERS` names, with programs in the root and further
    /// functions of scripts. `None` when one of them is not installed.
    ///
    /// # Panics
    /// There is no room.
    #[must_use]
    pub fn in_guest(programs: &[(&str, &str)], prelude: String) -> Option<Self> {
        let mut peers = vec!["crun", "runc"];
        if let Ok(named) = std::env::var("RED_PEERS") {
            peers.retain(|peer| named.is_empty() || named.split(',').any(|name| name == *peer));
        }
        Self::beside(&peers, GUEST, programs, prelude, true)
    }

    fn beside(
        peers: &[&'static str],
        settings: &str,
        programs: &[(&str, &str)],
        prelude: String,
        session: bool,
    ) -> Option<Self> {
        let version = Command::new("podman").arg("--version").stdin(Stdio::null()).output().ok()?;
        let path = |name: &str| {
            let places = ["/usr/sbin", "/usr/bin"].map(|dir| Path::new(dir).join(name));
            places.into_iter().find(|at| at.exists())
        };
        let peers: Option<Vec<Peer>> =
            peers.iter().map(|name| Some(Peer { name, path: path(name)? })).collect();
        let podman = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let pool = Pool::new();
        root(&pool, programs);
        pool.write("containers.conf", settings);
        pool.write("registries.conf", "");
        pool.mkdir("core/usr");
        pool.node("core", &format!("config: {{path: /usr/bin:/usr/sbin}}\n{CORE}"));
        let leaf = pool.node("core/leaf", "");
        // No policy of this machine has a say. That of a user is root's in the namespace of the user's podman.
        let policy = format!("pools: [{{path: {}}}]\n", pool.join("core").display());
        pool.write("prefix/etc/redpak/policy.yaml", policy);
        let wrapper = format!(
            "#!/bin/sh\nNODE_PREFIX={} exec {} \"$@\"\n",
            pool.join("prefix").display(),
            built("red-runtime").display()
        );
        mode(&pool.write("red-runtime", wrapper), 0o755);
        Some(Self { pool, peers: peers?, podman, prelude, leaf, session })
    }

    /// What `podman --version` says.
    #[must_use]
    pub fn podman(&self) -> &str {
        &self.podman
    }

    fn script(&self, script: &str, runtime: &Path, name: &str, node: &str) -> Said {
        let at = |below: &str| self.pool.join(below);
        let mut command = Command::new("timeout");
        let seconds = patience(90).min(Duration::from_secs(400)).as_secs().to_string();
        command.args(["--kill-after=5", &seconds, "bash", "-uc"]);
        command.arg(format!("{PRELUDE}\n{}\n{script}", self.prelude));
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", at("home"));
        command.env("CONTAINERS_CONF", at("containers.conf")).env("D", self.pool.path());
        command
            .env("CONTAINERS_REGISTRIES_CONF", at("registries.conf"))
            .env("RUNTIME", runtime)
            .env("N", name)
            .env("NODE", node);
        for name in ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"] {
            if let (true, Some(value)) = (self.session, std::env::var_os(name)) {
                command.env(name, value);
            }
        }
        command
            .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
            .current_dir(self.pool.path())
            .stdin(Stdio::null());
        through_files(&self.pool.mkdir("home"), command)
    }

    /// Runs rows, so many at a time, and says which are different and how.
    ///
    /// # Panics
    /// A thread does.
    #[must_use]
    pub fn differing(&self, rows: &[(usize, &Row)], threads: usize, tell: bool) -> Vec<String> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut failed = Vec::new();
            while let Some((number, row)) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (found, known) = self.compare(row, *number);
                if !known.is_empty() && tell {
                    crate::remark(&format!("{}: {}: listed:\n{}", self.podman, row.name, known.join("\n")));
                }
                if !found.is_empty() {
                    let found = format!("== {}\n{}", row.name, found.join("\n"));
                    if tell {
                        crate::progress(&found);
                    }
                    failed.push(found);
                } else if tell {
                    crate::progress(&format!("== {}: as it should be", row.name));
                }
            }
            failed
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            all.into_iter().flat_map(|one| one.join().expect("it does not panic")).collect()
        })
    }

    /// Runs one row with all runtimes, and says what is different from a peer and not on its list, and what is on it.
    #[must_use]
    fn compare(&self, row: &Row, number: usize) -> (Vec<String>, Vec<String>) {
        let red = self.pool.join("red-runtime");
        let mut ours = vec![("", self.ask(row, &red, &format!("redb{number}"), ""))];
        if row.in_nodes() {
            let leaf = self.leaf.display().to_string();
            ours.push((" (node)", self.ask(row, &red, &format!("redn{number}"), &leaf)));
        }
        let (mut found, mut known) = (Vec::new(), Vec::new());
        for (index, peer) in self.peers.iter().enumerate() {
            let theirs = self.ask(row, &peer.path, &format!("reda{index}x{number}"), "");
            if std::env::var_os("RED_VARIANTS_SHOW").is_some() {
                crate::remark(&format!("{}: {}:\n{}", row.name, peer.name, theirs.join("\n")));
            }
            if theirs.iter().any(|line| line.contains("Error: refused")) && !row.refused {
                crate::remark(&format!("{}: this machine does not let {} do it", row.name, peer.name));
            }
            for (whose, ours) in &ours {
                let (new, listed) = self.between(row, peer, (&theirs, ours));
                let told = |line: String| format!("{}{whose}: {line}", peer.name);
                found.extend(new.into_iter().map(told));
                known.extend(listed);
            }
        }
        (found, known)
    }

    /// Differences between what a peer says and what ours does: those that are not on the list of a row, and the others.
    fn between(
        &self,
        row: &Row,
        peer: &Peer,
        (theirs, ours): (&[String], &[String]),
    ) -> (Vec<String>, Vec<String>) {
        let (mut found, mut known) = (Vec::new(), Vec::new());
        for (ours, sign, lines) in [(false, '-', missing(theirs, ours)), (true, '+', missing(ours, theirs))] {
            for line in lines {
                let is_it = |one: &&row::Difference| {
                    one.ours == ours
                        && line.contains(&one.text)
                        && one.peer.as_deref().is_none_or(|name| name == peer.name)
                };
                match row.differences.iter().find(is_it) {
                    Some(listed) => known.push(format!("{}: {sign} {line}", listed.reason)),
                    None => found.push(format!("{sign} {line}")),
                }
            }
        }
        if found.is_empty() && known.is_empty() && theirs != ours {
            found.push(format!("another order:\n{}\n---\n{}", theirs.join("\n"), ours.join("\n")));
        }
        (found, known)
    }

    /// What one runtime makes of a row.
    fn ask(&self, row: &Row, runtime: &Path, name: &str, node: &str) -> Vec<String> {
        let once = || {
            let said = self.script(&row.script, runtime, name, node);
            if self.left() {
                self.script("rm_", runtime, name, node);
            }
            self.normal(&said, name)
        };
        // podman 4.3 removes a directory that it has not finished unmounting yet, on a loaded machine and
        // with any runtime.
        let busy = |line: &String| line.contains("/userdata/shm: device or resource busy");
        let mut lines = once();
        for _ in 0..5 {
            if !lines.iter().any(busy) {
                break;
            }
            lines = once();
        }
        lines
    }

    /// Whether podman may have a container.
    fn left(&self) -> bool {
        let Ok(entries) = fs::read_dir(self.pool.join("storage/overlay-containers")) else { return true };
        entries.flatten().any(|entry| entry.file_name().len() == 64)
    }

    /// What was said, without what is new each time.
    fn normal(&self, said: &Said, name: &str) -> Vec<String> {
        let pool = self.pool.path().display().to_string();
        let own = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"].map(|kind| {
            let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
            (link.display().to_string(), format!("{kind}:host"))
        });
        let tidy = |line: &str| {
            let mut line = line.trim_end_matches('\r').replace(&pool, "/POOL").replace(name, "NAME");
            for (own, word) in &own {
                line = line.replace(own, word);
            }
            for peer in &self.peers {
                line = line.replace(&*peer.path.display().to_string(), "RUNTIME");
            }
            line = line.replace("/POOL/red-runtime", "RUNTIME");
            if let Some((before, rest)) = line.split_once("time=\"")
                && let Some((_, after)) = rest.split_once("\" level=")
            {
                line = format!("{before}level={after}");
            }
            let line = numbers(&line);
            refusal(&line).map_or(line.clone(), str::to_owned)
        };
        let mut all = vec![format!("code {}", said.code)];
        all.extend(said.out.lines().map(&tidy));
        all.extend(said.err.lines().map(|line| format!("err: {}", tidy(line))));
        all
    }
}

/// What podman makes of a runtime's own words. Whether it finds "permission denied" among them is nothing that a
/// caller can tell from the exit code.
fn refusal(line: &str) -> Option<&'static str> {
    if line.contains("OCI runtime attempted to invoke a command that was not found") {
        return Some("Error: not found");
    }
    ["OCI runtime error", "OCI permission denied"]
        .iter()
        .any(|kind| line.contains(kind))
        .then_some("Error: refused")
}

/// Lines of one that the other has not, or not as often.
fn missing(of: &[String], other: &[String]) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for line in other {
        *count.entry(line).or_default() += 1;
    }
    let mut all = Vec::new();
    for line in of {
        match count.get_mut(line.as_str()) {
            Some(left) if *left > 0 => *left -= 1,
            _ => all.push(line.clone()),
        }
    }
    all
}

/// Replaces ids (12 or 64 hexadecimal digits) and numbers of namespaces.
fn numbers(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for letter in line.chars().chain(['\n']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let hex = word.chars().all(|one| one.is_ascii_digit() || ('a'..='f').contains(&one));
        match word.len() {
            64 if hex => out.push_str("LONG-ID"),
            32 if hex => out.push_str("UUID"),
            12 if hex => out.push_str("SHORT-ID"),
            10 if letter == ']' => out.push_str("NEW"),
            // A group of peers has a number that is new too.
            _ if out.ends_with("shared:") || out.ends_with("master:") => out.push_str("PEERS"),
            _ => out.push_str(&word),
        }
        word.clear();
        out.push(letter);
    }
    out.trim_end_matches('\n').to_owned()
}

impl Drop for Variants {
    fn drop(&mut self) {
        let sweep = "p pod rm --all --force --time 0; p rm --all --force --time 0; p rmi --all --force; \
            [ $UID = 0 ] || p unshare bash -c 'rm -rf $D/storage $D/*.v'; p system migrate";
        self.script(sweep, &self.peers[0].path, "none", "");
        // The overlay of its storage stays mounted while podman thinks it will be back.
        run(Command::new("umount").arg("--quiet").arg(self.pool.join("storage/overlay")));
    }
}
