//! A place for tests of the node store: a core OS, packages, nodes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::broom::User;
use crate::call::{Said, built, run};
use crate::packages::{Maker, Small};
use crate::pool::Pool;

/// Everything that a test of the store needs.
#[derive(Debug)]
pub struct Ground {
    /// Directory of all of it.
    pub pool: Pool,
    /// Makes packages.
    pub maker: Maker,
    /// Who runs the tools; root when absent.
    pub user: Option<User>,
}

impl Default for Ground {
    fn default() -> Self {
        Self::new()
    }
}

impl Ground {
    /// The core OS's layer as `red-conf create` ships it, with the database of this ground.
    #[must_use]
    pub fn core_os(&self) -> String {
        include_str!("../../red-runtime/src/node/create/templates/root-normal.yaml")
            .replace("rpmdir: /var/lib/rpm", &format!("rpmdir: {}", self.pool.join("core-db").display()))
            .replace("name: $UUID", "name: core-os")
            .replace("gpgcheck: true", "gpgcheck: false")
    }

    /// A core OS that provides a shell and the group that packages of tests have files of (which rpmbuild adds to what
    /// they require since rpm 4.19), and nothing else.
    ///
    /// # Panics
    /// There is no room, or rpm is not there.
    #[must_use]
    pub fn new() -> Self {
        let ground = Self::bare();
        let core = Small {
            name: "core-os",
            version: "1",
            provides: &["/bin/sh", "/usr/bin/sh", "group(daemon)", "user(daemon)"],
            ..Small::default()
        };
        let package = ground.maker.small(&ground.pool.mkdir("core-packages"), &core);
        let mut install = Command::new("rpm");
        install.arg("--dbpath").arg(ground.pool.mkdir("core-db")).args(["-i", "--justdb"]).arg(package);
        run(&mut install).good();
        ground
    }

    /// A core OS whose database holds what this machine has.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn of_this_machine(without: &[&str]) -> Self {
        let ground = Self::bare();
        ground.maker.core(&ground.pool.join("core-db"), without);
        ground
    }

    fn bare() -> Self {
        let pool = Pool::new();
        let maker = Maker::new(&pool.join("packages"));
        let text = format!(
            "headers: {{alias: core-os, name: core-os}}\nconfig: {{rpmdir: {}/core-db}}\n",
            pool.path().display()
        );
        pool.write("prefix/etc/redpak/main.yaml", text);
        pool.mkdir("nodes");
        Self { pool, maker, user: None }
    }

    /// The same for an ordinary user, who owns the pool of nodes (step 0 of the quick start).
    ///
    /// # Panics
    /// The caller may not make users.
    #[must_use]
    pub fn for_user(mut self) -> Self {
        let user = User::make();
        let nodes = self.pool.join("nodes");
        std::os::unix::fs::chown(nodes, Some(user.uid), Some(user.uid)).expect("root gives files away");
        run(Command::new("chmod").args(["-R", "a+rX"]).arg(self.pool.path())).good();
        self.pool.install("red-dnf", "red-dnf");
        self.user = Some(user);
        self
    }

    /// Directory of a node.
    #[must_use]
    pub fn node(&self, below: &str) -> PathBuf {
        self.pool.join("nodes").join(below)
    }

    /// Directory of a repository.
    #[must_use]
    pub fn repo(&self, name: &str) -> PathBuf {
        self.pool.join("repos").join(name)
    }

    /// A tool under one of its names, in the environment of the test.
    #[must_use]
    pub fn tool(&self, name: &str) -> Command {
        let mut command = match &self.user {
            Some(user) => user.command("bash"),
            None => Command::new("bash"),
        };
        let program = if self.user.is_some() { self.pool.join("red-dnf") } else { built("red-dnf") };
        command.args(["-c", &format!("exec -a {name} {} \"$@\"", program.display()), name]);
        command.env("NODE_PREFIX", self.pool.join("prefix")).env("LANG", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// `red-dnf` on a node.
    pub fn dnf(&self, node: &str, args: &[&str]) -> Said {
        run(self.tool("red-dnf").arg(format!("--redpath={}", self.node(node).display())).args(args))
    }

    /// A command in a node, by `red-wrap`, with the core OS's view as `red-conf create` ships it.
    ///
    /// # Panics
    /// There is no room.
    #[must_use]
    pub fn wrap(&self, node: &str, command: &[&str]) -> Command {
        let program = self.pool.join("red-runtime");
        if !program.exists() {
            self.pool.write("prefix/etc/redpak/main.yaml", self.core_os());
            self.pool.install("red-runtime", "red-runtime");
            // Beside it: a launch completes what an update left.
            self.pool.install("red-dnf", "red-dnf");
        }
        let state = self.pool.mkdir("state");
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        let mut wrap = Command::new("bash");
        wrap.args(["-c", &format!("exec -a red-wrap '{}' \"$@\"", program.display()), "red-wrap", "--root"])
            .arg(&state)
            .arg(format!("--redpath={}", self.node(node).display()))
            .arg("--")
            .args(command)
            .env("NODE_PREFIX", self.pool.join("prefix"))
            .env("XDG_RUNTIME_DIR", &state)
            .stdin(Stdio::null());
        wrap
    }

    /// `red-rpm` on a node.
    pub fn rpm(&self, node: &str, args: &[&str]) -> Said {
        run(self.tool("red-rpm").arg("--redpath").arg(self.node(node)).args(args))
    }

    /// Makes a node with a repository.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn create(&self, node: &str, repo: Option<&str>) {
        self.dnf(node, &["red-manager", "--create"]).good();
        if let Some(repo) = repo {
            let dir = self.repo(repo);
            self.dnf(node, &["red-manager", "--add-repo", &dir.to_string_lossy(), "--id", repo]).good();
        }
    }

    /// Makes packages in a repository, and indexes it.
    ///
    /// # Panics
    /// They cannot be made.
    pub fn publish(&self, repo: &str, packages: &[Small<'_>]) {
        let dir = self.repo(repo);
        for small in packages {
            self.maker.small(&dir, small);
        }
        self.maker.index(&dir);
        run(Command::new("chmod").args(["-R", "a+rX"]).arg(self.pool.path().join("repos"))).good();
    }

    /// Makes a package of no architecture with rpmbuild, in the repository `main`. `body` is what follows its
    /// description.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn build(&self, name: &str, version: &str, body: &str) {
        let spec = format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: l\nBuildArch: noarch\n\
             %description\nd\n{body}"
        );
        let spec = self.pool.write(format!("packages/{name}-{version}.spec"), spec);
        let mut build = Command::new("rpmbuild");
        build.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}/top", self.maker.dir().display()));
        build.arg("--define").arg(format!("_rpmdir {}", self.repo("main").display())).arg(spec);
        run(&mut build).good();
    }

    /// A node with the repository `main`, of all packages that were built.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn with_repository(&self, name: &str) -> PathBuf {
        self.publish("main", &[]);
        self.create(name, Some("main"));
        self.node(name)
    }

    /// What the system's own rpm says a node has, sorted, keys left out.
    pub fn rpm_says(&self, node: &str) -> Vec<String> {
        let mut query = Command::new("rpm");
        query.arg("--dbpath").arg(self.node(node).join("var/lib/rpm")).args([
            "-qa",
            "--qf",
            "%{NAME}-%{VERSION}\\n",
        ]);
        let mut names: Vec<String> = run(&mut query).out.lines().map(str::to_owned).collect();
        names.retain(|name| !name.starts_with("gpg-pubkey"));
        names.sort();
        names
    }

    /// Whether the system's own rpm finds every file of a node's packages as it should be. As root.
    pub fn rpm_verifies(&self, node: &str) -> Result<(), String> {
        let mut verify = Command::new("rpm");
        verify.arg("--root").arg(self.node(node)).args([
            "--dbpath",
            "/var/lib/rpm",
            "-Va",
            "--nodeps",
            "--noscripts",
        ]);
        verify.args(["--nouser", "--nogroup"]);
        let said = run(&mut verify);
        // Configuration that somebody changed is as it should be.
        let wrong: Vec<&str> = said.out.lines().filter(|line| !line.contains("  c /")).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// Version of rpm, the first two parts.
///
/// # Panics
/// It does not tell.
#[must_use]
pub fn rpm_version() -> (u32, u32) {
    let said = run(Command::new("rpm").arg("--version")).good().out;
    let mut parts = said.trim().rsplit(' ').next().unwrap_or_default().split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => panic!("no version: {said}"),
    }
}

/// A web server on loopback, stopped in the end.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Served {
    /// Serves a directory.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        // It chooses the port itself: one that is free now may not be so when it begins, and whoever connects to it
        // meanwhile may be connected to itself.
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(dir)
            .arg("0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is there");
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut said).expect("it speaks");
        let port = said.split(" port ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let port: u16 = port.parse().unwrap_or_else(|_error| panic!("it says {said:?}"));
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may be gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Every path of a tree with its kind, mode, size, link and contents, so that two can be compared.
#[must_use]
pub fn fingerprint(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, below: &Path, lines: &mut Vec<String>) {
        use std::os::unix::fs::PermissionsExt;
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let (path, shown) = (entry.path(), below.join(entry.file_name()));
            let Ok(facts) = entry.metadata() else { continue };
            let contents = if facts.is_file() {
                format!("{:?}", fs::read(&path).unwrap_or_default())
            } else {
                fs::read_link(&path).map(|to| to.display().to_string()).unwrap_or_default()
            };
            lines.push(format!("{} {:o} {contents}", shown.display(), facts.permissions().mode()));
            if facts.is_dir() {
                walk(&path, &shown, lines);
            }
        }
    }
    let mut lines = Vec::new();
    walk(dir, Path::new(""), &mut lines);
    lines.sort();
    lines
}
