//! Package files before anything is done with them: signatures, digests, what they contain, and
//! whether they get along with files of ancestors.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use librpm::transaction::{ProblemFilter, TransactionFlags};
use librpm::{Db, Keyring, PackageHeader, Tag, VerificationFlags, VerifyOptions};

use super::database::{Planned, no_text};
pub(super) use super::keyring::keyring;
use super::texts::{Listed, nevra, texts};
use super::{Job, define, use_database};

/// A package file, open, and its header.
pub(super) struct Package {
    pub(super) header: PackageHeader,
    /// By descriptor, so that what was verified is what is installed.
    pub(super) path: PathBuf,
    pub(super) upgrade: bool,
    pub(super) reinstall: bool,
    file: std::fs::File,
}

impl Package {
    /// Its descriptor, which rpm finds it by.
    pub(super) fn number(&self) -> std::os::fd::RawFd {
        self.file.as_raw_fd()
    }
}

/// How many files a package may have. The largest that distributions ship have some 100,000.
const FILES: usize = 500_000;
/// How large one file may be: what rpm's own format carries is far more than any node holds.
pub(super) const FILE_BYTES: u64 = 8 << 30;
/// How large all files of a package may be.
pub(crate) const PACKAGE_BYTES: u64 = FILE_BYTES * 4;

/// Ids that files may have here: all of them for root, one for everybody else.
pub(super) struct Ids {
    pub(super) all: bool,
}

/// How a package file is verified: by signature where that is demanded, by digest always.
pub(super) fn options(keyring: &Keyring, signed: bool) -> VerifyOptions {
    let options = VerifyOptions::new().keyring(keyring.clone());
    let none = VerificationFlags::mask_nosignatures();
    options.flags(if signed { VerificationFlags::DEFAULT } else { none })
}

/// Opens, verifies and looks into every package of a job.
pub(super) fn packages(job: &Job, ids: &Ids, keyring: &Keyring) -> Result<Vec<Package>, String> {
    define("_pkgverify_flags", "0x0").map_err(|error| error.to_string())?;
    let one = |install: &super::Install| one(install, &job.work, &options(keyring, install.signed), ids);
    let packages = job.install.iter().map(one).collect::<Result<Vec<_>, String>>()?;
    // rpm knows one level a transaction. Where some packages need no signature, those of the others are verified before,
    // over the same open files; digests are verified again by rpm in any case.
    if !all_signed(job) {
        define("_pkgverify_level", "all").map_err(|error| error.to_string())?;
        verify_signed(job, &packages, keyring)?;
    }
    let level = if all_signed(job) { "all" } else { "digest" };
    define("_pkgverify_level", level).map_err(|error| error.to_string())?;
    Ok(packages)
}

/// Lets rpm verify the packages of a job that must be signed, as it does in a transaction of nothing else. Reading a header
/// does not suffice: what is signed together with the payload is verified with the payload only.
fn verify_signed(job: &Job, packages: &[Package], keyring: &Keyring) -> Result<(), String> {
    let signed = packages.iter().zip(&job.install).filter(|(_, install)| install.signed);
    let signed: Vec<&Package> = signed.map(|(package, _)| package).collect();
    if signed.is_empty() {
        return Ok(());
    }
    let dir = tempfile::Builder::new().prefix(".verify").tempdir_in(&job.work);
    let dir = dir.map_err(|error| format!("{}: {error}", job.work.display()))?;
    let words = |error: &dyn std::fmt::Display| format!("signatures of packages: {error}");
    use_database(&super::Believed::own(dir.path())).map_err(|error| words(&error))?;
    define("_db_backend", "sqlite").map_err(|error| words(&error))?;
    let mut database = Db::open().map_err(|error| words(&error))?;
    database.init_db(0o600).map_err(|error| words(&error))?;
    let mut transaction = database.transaction();
    for package in signed {
        let added = transaction.add_install(&package.header, &package.path, false);
        added.map_err(|error| format!("{}: {error}", nevra(&package.header)))?;
    }
    transaction.set_flags(TransactionFlags::TEST | TransactionFlags::NOPLUGINS);
    transaction.set_problem_filter(but_signatures());
    transaction.set_verify_options(&options(keyring, true));
    transaction.run().map_err(|error| {
        let lines: Vec<String> = error.problems().iter().map(|problem| format!("  {problem}")).collect();
        format!("signatures are not accepted; nothing has changed:\n{}", lines.join("\n"))
    })
}

/// Whatever else rpm finds is for the transaction to tell.
fn but_signatures() -> ProblemFilter {
    [
        ProblemFilter::IGNORE_OS,
        ProblemFilter::IGNORE_ARCH,
        ProblemFilter::REPLACE_PKG,
        ProblemFilter::REPLACE_NEW_FILES,
        ProblemFilter::REPLACE_OLD_FILES,
        ProblemFilter::OLD_PACKAGE,
        ProblemFilter::DISK_SPACE,
        ProblemFilter::DISK_NODES,
    ]
    .into_iter()
    .fold(ProblemFilter::NONE, std::ops::BitOr::bitor)
}

/// Whether every package of a job must be signed.
pub(super) fn all_signed(job: &Job) -> bool {
    job.install.iter().all(|install| install.signed)
}

fn one(install: &super::Install, work: &Path, options: &VerifyOptions, ids: &Ids) -> Result<Package, String> {
    let shown = install.file.display();
    // It stays open while scriptlets run.
    let file = unchanging(&install.file, work).map_err(|error| format!("{shown}: {error}"))?;
    is_announced(install, &file)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let header = PackageHeader::from_file(&path, Some(options)).map_err(|error| {
        let words = librpm::logging::last_message().unwrap_or_else(|| format!("{error:?}"));
        let words = words.replace(&path.display().to_string(), &shown.to_string());
        format!("{shown}: not accepted: {}; nothing has changed", words.trim())
    })?;
    let nevra = nevra(&header);
    if let Some(name) = no_text(&mut &file).ok_or_else(|| unknown(&nevra))? {
        return Err(format!(
            "{nevra} ({shown}) has a name that is no text (UTF-8), which no node can have: {}; build it with another; \
             nothing has changed",
            red_runtime::node::render::visible(&name)
        ));
    }
    if install.signed && !has_signature(&header) {
        return Err(format!(
            "{nevra} ({shown}) is not signed, and {} demands signatures: have it signed by a key of its repository; \
             nothing has changed",
            install.demanded
        ));
    }
    if let Some(said) = &install.nevra
        && *said != nevra
    {
        return Err(format!(
            "{shown} is {nevra}, and its repository says {said}; `red-makecache` and try again"
        ));
    }
    if header.is_source() {
        return Err(format!("{nevra} ({shown}) is a source package: build it, then install what comes out"));
    }
    contents(&header, &nevra, ids)?;
    Ok(Package { header, path, upgrade: install.upgrade, reinstall: install.reinstall, file })
}

/// Compares a package file with what its repository's metadata say of it: only what they name is installed, also from a
/// directory.
fn is_announced(install: &super::Install, mut file: &std::fs::File) -> Result<(), String> {
    let Some((kind, wanted)) = &install.checksum else { return Ok(()) };
    let shown = install.file.display();
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let got = file.metadata().map_err(failed)?.len();
    if install.bytes > 0 && got != install.bytes {
        return Err(format!(
            "{shown}: size mismatch: its repository announces {} bytes, the file has {got}; nothing has changed",
            install.bytes
        ));
    }
    let got = crate::repo::checksum(kind, &mut file).map_err(failed)?;
    std::io::Seek::rewind(&mut file).map_err(failed)?;
    if got.as_ref() != Some(wanted) {
        let got = got.unwrap_or_else(|| "of a kind that is not trusted".into());
        return Err(format!(
            "{shown}: {kind} checksum mismatch: its repository announces {wanted}, the file's is {got}; nothing has \
             changed"
        ));
    }
    Ok(())
}

/// Opens a file that stays as it is until rpm has unpacked it: one that others may write to is copied to a place of our own,
/// for its owner could change it between the look at it and the installation. In a user namespace root's files look like
/// those of any other user, and are copied too.
fn unchanging(path: &Path, work: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::MetadataExt;
    // A pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut file = red_runtime::confine::open_read_only(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.uid() == rustix::process::geteuid().as_raw() && facts.mode() & 0o022 == 0 {
        return Ok(file);
    }
    std::fs::create_dir_all(work)?;
    has_room(work, facts.len())?;
    let mut copy = tempfile::Builder::new().prefix(".package-").tempfile_in(work)?;
    std::io::copy(&mut file, &mut copy)?;
    // The name goes; what is open stays.
    Ok(red_runtime::confine::open_read_only(copy.path())?)
}

/// Refuses to begin a copy that there is no room for.
fn has_room(dir: &Path, bytes: u64) -> std::io::Result<()> {
    let room = rustix::fs::statvfs(dir)?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    // Some file systems do not tell.
    if room.f_blocks == 0 || free >= bytes {
        return Ok(());
    }
    Err(std::io::Error::other(format!(
        "somebody else may write to it, so it is copied before it is verified, and {} has room for {free} of its {bytes} bytes; \
         make room there, or give it to the user who installs it with `chmod go-w`; nothing has changed",
        dir.display()
    )))
}

/// Whether anything is signed, by whomever. Digests alone prove nothing about who made it.
fn has_signature(header: &PackageHeader) -> bool {
    // Signatures of rpm 6 have a tag that older versions do not know, nor verify.
    let new = "OPENPGP".parse().ok();
    let old = [Tag::RSAHEADER, Tag::DSAHEADER, Tag::SIGPGP, Tag::SIGGPG];
    old.into_iter().chain(new).any(|tag| header.has_tag(tag))
}

/// Refuses what would leave the staging area, or could not be unpacked there.
fn contents(header: &PackageHeader, nevra: &str, ids: &Ids) -> Result<(), String> {
    let files = Listed::of(header);
    if files.len() > FILES {
        return Err(format!("{nevra} has {} files, more than {FILES}", files.len()));
    }
    let mut links: BTreeSet<&str> = BTreeSet::new();
    let mut total = 0_u64;
    if files.paths().len() != files.len() {
        return Err(format!("{nevra}: its files are of no kind that is known; build it anew"));
    }
    let (users, groups) = (texts(header, Tag::FILEUSERNAME), texts(header, Tag::FILEGROUPNAME));
    for (at, (path, file)) in files.iter().enumerate() {
        let refuse = |why: &str| Err(format!("{nevra}: {} {why}", red_runtime::node::render::visible(path)));
        if !path.starts_with('/')
            || path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) && path != "/"
        {
            return refuse("is no plain absolute path");
        }
        if crate::generation::is_reserved(path.split('/').nth(1).unwrap_or_default()) {
            return refuse("has a name that a generation keeps for itself");
        }
        let kind = FileType::from_raw_mode(u32::from(file.mode()));
        let ghost = file.flags().is_ghost();
        // rpm makes nothing of ghosts. rpm 4.18.0 waits for a reader of each pipe that it makes, for ever.
        match kind {
            FileType::CharacterDevice | FileType::BlockDevice if !ghost => {
                return refuse("is a device node, and nodes have none: exports are mounted without devices");
            }
            FileType::Fifo if !ghost => return refuse(&no_file("named pipe (FIFO)")),
            FileType::Socket if !ghost => return refuse(&no_file("socket")),
            _ => {}
        }
        if file.size() > FILE_BYTES {
            return refuse("is larger than any file of a node may be (8 GiB)");
        }
        total = total.saturating_add(file.size());
        for (what, names) in [("user", &users), ("group", &groups)] {
            let name = names.get(at).map_or("", String::as_str);
            if !ids.all && !ghost && !matches!(name, "" | "root") {
                return Err(format!(
                    "{nevra}: {path} belongs to {what} `{name}`, and an ordinary user's node can only hold files \
                     of its own user; have root install it"
                ));
            }
        }
        if kind == FileType::Symlink {
            links.insert(path);
        }
    }
    if total > PACKAGE_BYTES {
        return Err(format!("{nevra} unpacks to {total} bytes, more than a node may hold (32 GiB)"));
    }
    no_links_above(nevra, &files, &links)
}

/// Refuses files that lie behind links of their own package.
fn no_links_above(nevra: &str, files: &Listed, links: &BTreeSet<&str>) -> Result<(), String> {
    for path in files.paths() {
        let mut above = Path::new(path).parent();
        while let Some(dir) = above.filter(|dir| dir.parent().is_some()) {
            if dir.to_str().is_some_and(|dir| links.contains(dir)) {
                return Err(format!(
                    "{nevra}: {path} lies behind the symbolic link {} of the same package",
                    dir.display()
                ));
            }
            above = dir.parent();
        }
    }
    Ok(())
}

/// What packages are, as the database has to hold them.
pub(super) fn planned(packages: &[Package]) -> Result<Vec<Planned>, String> {
    let of = |package: &Package| {
        let nevra = nevra(&package.header);
        Planned::of(nevra.clone(), &mut &package.file).ok_or_else(|| unknown(&nevra))
    };
    packages.iter().map(of).collect()
}

fn unknown(nevra: &str) -> String {
    format!("{nevra}: its header is of no kind that is known; build it anew")
}

/// Why a package may not have what only means something while a program runs.
fn no_file(what: &str) -> String {
    format!(
        "is a {what}, and generations have none: have the service make it when it starts (or tmpfiles.d(5)), and list \
         it as %ghost; nothing has changed"
    )
}

/// Paths of all files of packages.
pub(super) fn paths(packages: &[Package]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for package in packages {
        found.extend(Listed::of(&package.header).paths().iter().map(PathBuf::from));
    }
    found
}

/// Refuses files that core OS or an ancestor has already, unless both are directories or the same.
pub(super) fn conflicts(job: &Job, packages: &[Package]) -> Result<(), String> {
    let mut wanted: BTreeMap<String, (usize, Shape)> = BTreeMap::new();
    for (at, package) in packages.iter().enumerate() {
        let links = texts(&package.header, Tag::FILELINKTOS);
        for (number, (path, file)) in Listed::of(&package.header).iter().enumerate() {
            if !file.flags().is_ghost() {
                wanted.insert(path.to_owned(), (at, Shape::of(&file, links.get(number))));
            }
        }
    }
    let mut found = Vec::new();
    for lower in &job.lowers {
        // In the staging area, which the next command removes where this one is killed.
        let believed = lower.database.as_ref().map(|unread| unread.believe(Some(&job.work)));
        let believed = believed.transpose().map_err(|error| error.to_string())?;
        let Some(database) = believed.flatten() else { continue };
        use_database(&database).map_err(|error| error.to_string())?;
        let db = Db::open().map_err(|error| error.to_string())?;
        for theirs in db.installed_packages() {
            let mut links = None;
            for (number, (path, file)) in Listed::of(&theirs).iter().enumerate() {
                let Some((at, shape)) = wanted.get(path) else { continue };
                let links: &Vec<String> = links.get_or_insert_with(|| texts(&theirs, Tag::FILELINKTOS));
                if !shape.agrees(&Shape::of(&file, links.get(number))) && !file.flags().is_ghost() {
                    let ours = nevra(&packages[*at].header);
                    found.push(format!("  {path} of {ours} is in {} of {} too", nevra(&theirs), lower.owner));
                }
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(20);
    found.truncate(20);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    Err(format!("files of ancestors would be hidden; nothing has changed:\n{}{more}", found.join("\n")))
}

/// What makes two files the same to whoever opens them.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Shape {
    kind: u16,
    digest: Option<Vec<u8>>,
    link: Option<String>,
}

impl Shape {
    fn of(file: &librpm::FileEntry<'_>, link: Option<&String>) -> Self {
        let digest = file.digest().map(<[u8]>::to_vec);
        let link = link.filter(|link| !link.is_empty()).cloned();
        Self { kind: file.mode() & 0o170_000, digest, link }
    }

    fn agrees(&self, other: &Self) -> bool {
        const DIRECTORY: u16 = 0o040_000;
        self.kind == other.kind
            && (self.kind == DIRECTORY || (self.digest == other.digest && self.link == other.link))
    }
}

#[cfg(test)]
mod tests;
