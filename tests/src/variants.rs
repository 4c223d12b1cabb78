//! Command lines of podman, run with two runtimes one after the other, and what became of them compared.
//!
//! A table is a text: rows begin with `== NAME`, or `== NAME (refused)` where runc refuses, then comes a script of
//! bash; lines `but: REASON` above lines
//! `- TEXT` (only runc says it) and `+ TEXT` (only ours does) name differences. What stands before the first row
//! holds for all rows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::call::{Said, built, run};
use crate::podman::through_files;
use crate::pool::Pool;

/// Functions of scripts: `p` is podman, `r` runs a container to its end, `c` creates one called `$N`; `@` stands for
/// the root, `see` (a script in it) says what a container sees.
const PRELUDE: &str = r#"
p() { command podman --log-level=error --root "$D/storage" --runroot "$D/runroot" --tmpdir "$D/tmp" --runtime "$RUNTIME" "$@"; }
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

/// A row of a table.
#[derive(Debug)]
pub struct Row {
    /// What is tried.
    pub name: String,
    script: String,
    differences: Vec<Difference>,
    /// runc refuses it on every machine.
    refused: bool,
}

#[derive(Clone, Debug)]
struct Difference {
    ours: bool,
    text: String,
    reason: String,
}

/// Rows of a table.
///
/// # Panics
/// It is not written as it should be.
#[must_use]
pub fn rows(table: &str) -> Vec<Row> {
    let mut parts = table.split("\n== ");
    let common = read(parts.next().unwrap_or_default()).1;
    let row = |part: &str| {
        let (name, rest) = part.split_once('\n').expect("a row has a script");
        let (script, mut differences) = read(rest);
        differences.extend(common.iter().cloned());
        let (name, refused) = name.strip_suffix(" (refused)").map_or((name, false), |name| (name, true));
        Row { name: name.to_owned(), script, differences, refused }
    };
    parts.map(row).collect()
}

fn read(text: &str) -> (String, Vec<Difference>) {
    let (mut script, mut differences, mut reason) = (String::new(), Vec::new(), String::new());
    for line in text.lines() {
        let (ours, text) = match (line.strip_prefix("- "), line.strip_prefix("+ ")) {
            _ if line.starts_with('#') => continue,
            (Some(text), _) => (false, text.to_owned()),
            (_, Some(text)) => (true, text.to_owned()),
            _ => {
                match line.strip_prefix("but: ") {
                    Some(why) => why.clone_into(&mut reason),
                    None => script.push_str(&format!("{line}\n")),
                }
                continue;
            }
        };
        assert!(!reason.is_empty(), "a difference without a reason: {line}");
        differences.push(Difference { ours, text, reason: reason.clone() });
    }
    (script, differences)
}

/// podman with storage of its own, a root, and two runtimes.
#[derive(Debug)]
pub struct Variants {
    pool: Pool,
    runc: PathBuf,
    podman: String,
}

impl Variants {
    /// `None` when podman or runc is not installed.
    ///
    /// # Panics
    /// There is no room.
    #[must_use]
    pub fn new(see: &str) -> Option<Self> {
        let version = Command::new("podman").arg("--version").stdin(Stdio::null()).output().ok()?;
        let runc =
            ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().map(PathBuf::from).find(|at| at.exists())?;
        let podman = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let pool = Pool::new();
        for below in ["storage", "runroot", "tmp", "home", "prefix", "vol/sub", "rootfs/root/link.d"] {
            pool.mkdir(below);
        }
        // With what podman mounts there: whom a mapping makes root may not make anything in it.
        for dir in ["proc", "sys", "dev", "tmp", "run/secrets", "usr", "var/tmp", "etc", "data", "v"] {
            pool.mkdir(format!("rootfs/{dir}"));
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), pool.join("rootfs").join(link)).expect("it is ours");
        }
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        for (file, text, bits) in [
            ("rootfs/see", see, 0o755),
            ("rootfs/data/plain", "text\n", 0o644),
            ("rootfs/data/broken", "#!/no/such/program\n", 0o755),
            (
                "rootfs/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nworker:x:1001:1002::/home/worker:/bin/sh\n",
                0o644,
            ),
            ("rootfs/etc/group", "root:x:0:\nworker:x:1002:\nextra:x:1003:worker\nmore:x:1004:\n", 0o644),
            ("rootfs/etc/hosts", "", 0o644),
            ("rootfs/etc/hostname", "", 0o644),
            ("rootfs/etc/resolv.conf", "", 0o644),
            ("rootfs/run/.containerenv", "", 0o644),
            ("vol/in", "from outside\n", 0o644),
            ("vol/run", "#!/bin/sh\necho ran\n", 0o755),
        ] {
            mode(&pool.write(file, text), bits);
        }
        mode(&pool.join("rootfs/tmp"), 0o1777);
        pool.write(
            "containers.conf",
            "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=1024:2048\"]\n[engine]\n\
             cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime_supports_json = [\"runc\", \"red-runtime\"]\n\
             runtime_supports_nocgroups = [\"runc\", \"red-runtime\"]\n[network]\nnetwork_backend = \"netavark\"\n",
        );
        pool.write("registries.conf", "");
        // No policy of this machine has a say.
        let wrapper = format!(
            "#!/bin/sh\nNODE_PREFIX={} exec {} \"$@\"\n",
            pool.join("prefix").display(),
            built("red-runtime").display()
        );
        mode(&pool.write("red-runtime", wrapper), 0o755);
        Some(Self { pool, runc, podman })
    }

    /// What `podman --version` says.
    #[must_use]
    pub fn podman(&self) -> &str {
        &self.podman
    }

    fn script(&self, script: &str, runtime: &Path, name: &str) -> Said {
        let at = |below: &str| self.pool.join(below);
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "90", "bash", "-uc"]).arg(format!("{PRELUDE}\n{script}"));
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", at("home"));
        command.env("CONTAINERS_CONF", at("containers.conf")).env("D", self.pool.path());
        command
            .env("CONTAINERS_REGISTRIES_CONF", at("registries.conf"))
            .env("RUNTIME", runtime)
            .env("N", name);
        command
            .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
            .current_dir(self.pool.path())
            .stdin(Stdio::null());
        through_files(&self.pool.mkdir("home"), command)
    }

    /// Runs one row with both, and says what is different and not on its list. The second number says whether runc
    /// could do it at all.
    #[must_use]
    pub fn compare(&self, row: &Row, number: usize) -> (Vec<String>, Vec<String>) {
        let once = |runtime: &Path, letter: &str| {
            let name = format!("red{letter}{number}");
            let said = self.script(&row.script, runtime, &name);
            self.script("rm_", runtime, &name);
            self.normal(&said, &name)
        };
        let ask = |runtime: &Path, letter: &str| {
            // podman 4.3 removes a directory that it has not finished unmounting yet, on a loaded machine and
            // with any runtime.
            let busy = |line: &String| line.contains("/userdata/shm: device or resource busy");
            let mut lines = once(runtime, letter);
            for _ in 0..5 {
                if !lines.iter().any(busy) {
                    break;
                }
                lines = once(runtime, letter);
            }
            lines
        };
        let theirs = ask(&self.runc, "a");
        let ours = ask(&self.pool.join("red-runtime"), "b");
        if std::env::var_os("RED_VARIANTS_SHOW").is_some() {
            crate::remark(&format!("{}:\n{}", row.name, theirs.join("\n")));
        }
        if theirs.iter().any(|line| line.contains("Error: refused")) && !row.refused {
            crate::remark(&format!("{}: this machine does not let runc do it", row.name));
        }
        let (mut found, mut known) = (Vec::new(), Vec::new());
        for (ours, sign, lines) in
            [(false, '-', missing(&theirs, &ours)), (true, '+', missing(&ours, &theirs))]
        {
            for line in lines {
                let listed = row.differences.iter().find(|one| one.ours == ours && line.contains(&one.text));
                match listed {
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
            line = line
                .replace(&*self.runc.display().to_string(), "RUNTIME")
                .replace("/POOL/red-runtime", "RUNTIME");
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
        let sweep = "p pod rm --all --force --time 0; p rm --all --force --time 0; p rmi --all --force; p system migrate";
        self.script(sweep, &self.runc, "none");
        // The overlay of its storage stays mounted while podman thinks it will be back.
        run(Command::new("umount").arg("--quiet").arg(self.pool.join("storage/overlay")));
    }
}
