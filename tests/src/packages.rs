//! Real rpm packages: made from what Debian ships, small ones for corner cases, and metadata by the
//! thousand; with a key to sign them, and a database of the core OS.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rpm::{BuildConfig, Dependency, FileOptions, PackageBuilder};

use crate::call::run;

/// Where packages are made.
#[derive(Debug)]
pub struct Maker {
    dir: PathBuf,
}

/// A small package.
#[derive(Clone, Debug, Default)]
pub struct Small<'a> {
    /// Name.
    pub name: &'a str,
    /// Version; the release is 1.
    pub version: &'a str,
    /// What it requires, `name` or `name = version`.
    pub requires: &'a [&'a str],
    /// What it provides besides itself.
    pub provides: &'a [&'a str],
    /// What it conflicts with.
    pub conflicts: &'a [&'a str],
    /// What it obsoletes.
    pub obsoletes: &'a [&'a str],
    /// What it recommends.
    pub recommends: &'a [&'a str],
    /// Files and their contents.
    pub files: &'a [(&'a str, &'a str)],
    /// Configuration files that are kept when they were changed.
    pub config: &'a [(&'a str, &'a str)],
    /// Scriptlet after installation.
    pub post: &'a str,
    /// Scriptlet before removal.
    pub preun: &'a str,
}

/// A dependency from text.
fn dependency(text: &str) -> Dependency {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        [name, "=", version] => Dependency::eq(*name, *version),
        [name, ">=", version] => Dependency::greater_eq(*name, *version),
        [name, "<", version] => Dependency::less(*name, *version),
        _ => Dependency::any(text),
    }
}

impl Small<'_> {
    /// A builder with all of it.
    ///
    /// # Panics
    /// A path is none.
    #[must_use]
    pub fn builder(&self) -> PackageBuilder {
        let summary = format!("test package {}", self.name);
        let mut builder = PackageBuilder::new(self.name, self.version, "none", "noarch", &summary);
        builder.using_config(BuildConfig::v4()).release("1").description("for tests");
        for (path, text) in self.files {
            builder.with_file_contents(*text, FileOptions::new(*path)).expect("a path");
        }
        for (path, text) in self.config {
            builder.with_file_contents(*text, FileOptions::new(*path).config().noreplace()).expect("a path");
        }
        for what in self.requires {
            builder.requires(dependency(what));
        }
        for what in self.provides {
            builder.provides(dependency(what));
        }
        for what in self.conflicts {
            builder.conflicts(dependency(what));
        }
        for what in self.obsoletes {
            builder.obsoletes(dependency(what));
        }
        for what in self.recommends {
            builder.recommends(dependency(what));
        }
        if !self.post.is_empty() {
            builder.post_install_script(self.post);
        }
        if !self.preun.is_empty() {
            builder.pre_uninstall_script(self.preun);
        }
        builder
    }
}

impl Maker {
    /// A place to make packages in.
    ///
    /// # Panics
    /// There is no room.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("there is room");
        Self { dir: dir.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a small package in a repository's directory.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn small(&self, repo: &Path, small: &Small<'_>) -> PathBuf {
        self.built(repo, &format!("{}-{}-1.noarch.rpm", small.name, small.version), &mut small.builder())
    }

    /// Writes what a builder makes.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn built(&self, repo: &Path, name: &str, builder: &mut PackageBuilder) -> PathBuf {
        fs::create_dir_all(repo).expect("there is room");
        let path = repo.join(name);
        builder.build().expect("a package").write_file(&path).expect("there is room");
        path
    }

    /// The armored key that [`Maker::sign`] signs with, made when it is first wanted.
    ///
    /// # Panics
    /// gpg does not work.
    pub fn key(&self) -> PathBuf {
        self.key_of("red-test")
    }

    /// The same for another name.
    ///
    /// # Panics
    /// gpg does not work.
    pub fn key_of(&self, user: &str) -> PathBuf {
        let path = self.dir.join(format!("{user}.asc"));
        if !path.exists() {
            let home = self.home();
            let make = [
                "--batch",
                "--quiet",
                "--passphrase",
                "",
                "--quick-gen-key",
                user,
                "rsa2048",
                "sign",
                "never",
            ];
            run(gpg(&home).args(make)).good();
            let armored = run(gpg(&home).args(["--armor", "--export", user])).good().out;
            fs::write(&path, armored).expect("there is room");
            // Its agent would stay behind.
            run(Command::new("gpgconf").env("GNUPGHOME", &home).args(["--kill", "all"]));
        }
        path
    }

    fn home(&self) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let home = self.dir.join("gnupg");
        fs::create_dir_all(&home).expect("there is room");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("it is ours");
        home
    }

    /// Signs packages with the key of a name.
    ///
    /// # Panics
    /// It does not work.
    pub fn sign(&self, user: &str, packages: &[PathBuf]) {
        self.key_of(user);
        let home = self.home();
        let mut sign = Command::new("rpmsign");
        sign.env("GNUPGHOME", &home).arg("--define").arg(format!("_gpg_name {user}"));
        sign.args(["--define", "__gpg /usr/bin/gpg", "--addsign"]).args(packages);
        run(&mut sign).good();
        run(Command::new("gpgconf").env("GNUPGHOME", &home).args(["--kill", "all"]));
    }

    /// Signs a file, armored and apart.
    ///
    /// # Panics
    /// It does not work.
    pub fn sign_apart(&self, user: &str, file: &Path) {
        self.key_of(user);
        let home = self.home();
        let args = ["--batch", "--yes", "--quiet", "--local-user", user, "--armor", "--detach-sign"];
        run(gpg(&home).args(args).arg(file)).good();
        run(Command::new("gpgconf").env("GNUPGHOME", &home).args(["--kill", "all"]));
    }

    /// Makes a repository of a directory's packages.
    ///
    /// # Panics
    /// createrepo_c does not work.
    pub fn index(&self, repo: &Path) {
        run(Command::new("createrepo_c").args(["--quiet", "--no-database"]).arg(repo)).good();
    }

    /// Makes a package of what a Debian package ships, with dependencies that rpm finds itself.
    ///
    /// # Panics
    /// The package cannot be had or made.
    pub fn debian(&self, repo: &Path, name: &str, release: &str) -> PathBuf {
        let deb = self.fetch(name);
        let version = run(Command::new("dpkg-deb").args(["--field"]).arg(&deb).arg("Version")).good().out;
        let version: String = version
            .trim()
            .rsplit(':')
            .next()
            .unwrap_or("1")
            .replace('-', "~")
            .chars()
            .filter(|c| *c != '+')
            .collect();
        let root = self.dir.join(format!("root-{name}-{release}"));
        run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&root)).good();
        rearrange(&root);
        // Debian leaves some links of libraries to a trigger of ldconfig's, which rpm-based systems ship.
        if root.join("usr/lib64").is_dir() {
            run(Command::new("/sbin/ldconfig").args(["-n"]).arg(root.join("usr/lib64"))).good();
        }
        if release != "1" {
            let doc = root.join(format!("usr/share/doc/{name}"));
            fs::create_dir_all(&doc).expect("there is room");
            fs::write(doc.join("RELEASE"), format!("release {release}\n")).expect("there is room");
        }
        let mut files = String::new();
        list(&root, Path::new("/"), name, &mut files);
        let conffile = run(Command::new("dpkg-deb").arg("--info").arg(&deb).arg("conffiles")).out;
        for conf in conffile.lines() {
            files = files.replace(&format!("\"{conf}\"\n"), &format!("%config(noreplace) \"{conf}\"\n"));
        }
        let home = format!("%post\necho \"{name} {version} is installed\"\n");
        let spec = format!(
            "Name: {name}\nVersion: {version}\nRelease: {release}\nSummary: {name} of Debian\nLicense: see copyright\n\
             AutoReqProv: yes\n%global _build_id_links none\n%global __brp_compress true\n%global debug_package %{{nil}}\n\
             %description\n{name} as Debian ships it.\n%install\ncp -a {}/. %{{buildroot}}/\n{home}%files\n{files}",
            root.display()
        );
        let path = self.dir.join(format!("{name}.spec"));
        fs::write(&path, spec).expect("there is room");
        let mut build = Command::new("rpmbuild");
        build.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}/top", self.dir.display()));
        build
            .arg("--define")
            .arg(format!("_rpmdir {}", repo.display()))
            .args(["--define", "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm"]);
        build.args(["--define", "_binary_payload w3.zstdio"]).arg(&path);
        run(&mut build).good();
        fs::remove_dir_all(&root).expect("it is ours");
        let made = fs::read_dir(repo).expect("it was made").flatten().map(|entry| entry.path());
        let start = format!("{name}-{version}-{release}.");
        made.into_iter()
            .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&start)))
            .expect("rpmbuild made it")
    }

    /// A package file of Debian, fetched once.
    fn fetch(&self, name: &str) -> PathBuf {
        let dir = self.dir.join("debs");
        fs::create_dir_all(&dir).expect("there is room");
        let start = format!("{name}_");
        let find = || {
            let entries = fs::read_dir(&dir).expect("it was made").flatten();
            entries
                .map(|entry| entry.path())
                .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&start)))
        };
        if let Some(path) = find() {
            return path;
        }
        let mut last = String::new();
        // A mirror may refuse once.
        for _ in 0..3 {
            let said = run(Command::new("apt-get").args(["download", name]).current_dir(&dir));
            if let Some(path) = find() {
                return path;
            }
            last = said.err;
        }
        panic!("apt-get download {name}: {last}")
    }

    /// Names of Debian packages that `names` need and this machine lacks, and `names`; without those that this
    /// release does not have, since libraries are called differently from one to the next.
    pub fn missing(&self, names: &[&str]) -> Vec<String> {
        let has = |name: &&&str| run(Command::new("apt-cache").args(["show", name])).code == 0;
        let names: Vec<&str> = names.iter().filter(has).copied().collect();
        let mut simulate = Command::new("apt-get");
        simulate.args(["--simulate", "--no-install-recommends", "install"]).args(&names);
        let said = run(&mut simulate).out;
        let mut found: Vec<String> = said
            .lines()
            .filter_map(|line| {
                line.strip_prefix("Inst ").and_then(|rest| rest.split(' ').next()).map(str::to_owned)
            })
            .collect();
        found.extend(names.iter().map(|name| (*name).to_owned()));
        found.sort();
        found.dedup();
        found
    }

    /// A database of what this machine's own libraries and shells provide, but for what some names
    /// of files start with.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn core(&self, database: &Path, without: &[&str]) {
        let cache = run(Command::new("/sbin/ldconfig").arg("-p")).good().out;
        let mut libraries: Vec<&str> = cache.lines().filter_map(|line| line.split(" => ").nth(1)).collect();
        libraries.retain(|path| {
            let name = path.rsplit('/').next().unwrap_or_default();
            !without.iter().any(|start| name.starts_with(start))
        });
        let mut find = Command::new("/usr/lib/rpm/elfdeps");
        find.arg("--provides").args(&libraries);
        let mut builder = PackageBuilder::new("debian-base", "12", "none", "noarch", "what this machine has");
        builder.using_config(BuildConfig::v4()).release("1");
        for provided in run(&mut find).good().out.lines() {
            builder.provides(Dependency::any(provided));
        }
        for path in [
            "/bin/sh",
            "/usr/bin/sh",
            "/bin/bash",
            "/usr/bin/bash",
            "/usr/bin/env",
            "/usr/bin/perl",
            "rtld(GNU_HASH)",
        ] {
            builder.provides(Dependency::any(path));
        }
        let package = self.built(&self.dir.join("core"), "debian-base-12-1.noarch.rpm", &mut builder);
        fs::create_dir_all(database).expect("there is room");
        let mut install = Command::new("rpm");
        install
            .arg("--dbpath")
            .arg(database)
            .args(["-i", "--justdb", "--nodeps", "--noscripts"])
            .arg(package);
        run(&mut install).good();
    }
}

fn gpg(home: &Path) -> Command {
    let mut gpg = Command::new("gpg");
    gpg.env("GNUPGHOME", home).args(["--pinentry-mode", "loopback"]);
    gpg
}

/// Debian's places of libraries become those that rpm-based systems and the templates of nodes have.
fn rearrange(root: &Path) {
    let places = [
        "lib/x86_64-linux-gnu",
        "usr/lib/x86_64-linux-gnu",
        "lib/aarch64-linux-gnu",
        "usr/lib/aarch64-linux-gnu",
    ];
    for (from, to) in places.iter().map(|from| (*from, "usr/lib64")).chain([
        ("lib", "usr/lib"),
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
    ]) {
        let (from, to) = (root.join(from), root.join(to));
        if from.is_dir() {
            fs::create_dir_all(&to).expect("there is room");
            run(Command::new("cp").arg("-a").arg(from.join(".")).arg(&to)).good();
            fs::remove_dir_all(&from).expect("it is ours");
        }
    }
}

/// Lines of `%files`: every file, and directories that are the package's own.
fn list(root: &Path, below: &Path, name: &str, lines: &mut String) {
    let dir = root.join(below.strip_prefix("/").unwrap_or(below));
    let mut entries: Vec<_> = fs::read_dir(dir).expect("it was unpacked").flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        if entry.file_type().expect("it was unpacked").is_dir() {
            if entry.file_name().to_string_lossy().contains(name) {
                let _never = writeln!(lines, "%dir \"{}\"", path.display());
            }
            list(root, &path, name, lines);
        } else {
            let _never = writeln!(lines, "\"{}\"", path.display());
        }
    }
}

/// `primary.xml` of `count` packages that need each other, in a repository's directory.
///
/// # Panics
/// There is no room.
pub fn many(repo: &Path, count: usize) {
    let mut xml = String::with_capacity(count * 1400);
    let _never = write!(
        xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata xmlns=\"http://linux.duke.edu/metadata/common\" \
         xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"{count}\">\n"
    );
    for at in 0..count {
        let name = format!("pkg{at}");
        let needs: Vec<usize> = [at / 2, at / 3, at / 7].into_iter().filter(|&other| other < at).collect();
        let requires: String =
            needs.iter().map(|other| format!("<rpm:entry name=\"lib{other}.so.1()(64bit)\"/>")).collect();
        let _never = writeln!(
            xml,
            "<package type=\"rpm\"><name>{name}</name><arch>noarch</arch><version epoch=\"0\" ver=\"1.{at}\" rel=\"1\"/>\
             <checksum type=\"sha256\" pkgid=\"YES\">{at:064x}</checksum><summary>The package number {at} of many</summary>\
             <description>It stands for packages of a distribution, number {at}, and says something about itself in a line or two, as they do.</description>\
             <packager/><url>http://example.org/{name}</url><time file=\"1700000000\" build=\"1700000000\"/>\
             <size package=\"{}\" installed=\"{}\" archive=\"0\"/><location href=\"Packages/{name}-1.{at}-1.noarch.rpm\"/>\
             <format><rpm:license>MIT</rpm:license><rpm:vendor>many</rpm:vendor><rpm:group>x</rpm:group><rpm:buildhost>h</rpm:buildhost>\
             <rpm:sourcerpm>{name}-1.{at}-1.src.rpm</rpm:sourcerpm><rpm:header-range start=\"1\" end=\"2\"/>\
             <rpm:provides><rpm:entry name=\"{name}\" flags=\"EQ\" epoch=\"0\" ver=\"1.{at}\" rel=\"1\"/><rpm:entry name=\"lib{at}.so.1()(64bit)\"/></rpm:provides>\
             <rpm:requires>{requires}</rpm:requires><file>/usr/bin/{name}</file></format></package>",
            10_000 + at,
            40_000 + at
        );
    }
    xml.push_str("</metadata>\n");
    let data = repo.join("repodata");
    fs::create_dir_all(&data).expect("there is room");
    let primary = data.join("primary.xml");
    fs::write(&primary, xml).expect("there is room");
    run(Command::new("gzip").args(["-1", "--force"]).arg(&primary)).good();
    repomd(repo, "primary.xml.gz");
}

/// `repomd.xml` that names one file of primary metadata.
///
/// # Panics
/// There is no room.
pub fn repomd(repo: &Path, name: &str) {
    let file = repo.join("repodata").join(name);
    let sum = run(Command::new("sha256sum").arg(&file)).good().out;
    let sum = sum.split(' ').next().unwrap_or_default().to_owned();
    let size = fs::metadata(&file).expect("it was made").len();
    let text = format!(
        "<?xml version=\"1.0\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>1</revision>\
         <data type=\"primary\"><checksum type=\"sha256\">{sum}</checksum><location href=\"repodata/{name}\"/>\
         <size>{size}</size></data></repomd>\n"
    );
    fs::write(repo.join("repodata/repomd.xml"), text).expect("there is room");
}
