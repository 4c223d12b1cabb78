//! Inside the namespaces: check, mount the view, run rpm, say what came of it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use librpm::db::Index;
use librpm::transaction::{CallbackEvent, ProblemFilter, Transaction, TransactionFlags};
use librpm::{Db, VerifyOptions};
use rustix::fs::Mode;
use rustix::thread::CapabilitySet;

use super::check::{self, Ids, Package};
use super::mirror::{self, Mirror};
use super::{Done, Event, Job, define, use_database, view};
use crate::generation::{DATABASE, DIRECTORY};

/// Capabilities that unpacking and scriptlets need. Everything that reaches beyond the view
/// (devices, modules, mounts, file handles, time, other processes' memory) is dropped for good.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP);

/// The stream to the caller, which no scriptlet inherits.
struct Caller(std::fs::File);

impl Caller {
    /// Takes stdout for itself; what prints to stdout from now on prints to stderr.
    fn take() -> std::io::Result<Self> {
        let ours = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?;
        rustix::stdio::dup2_stdout(std::io::stderr())?;
        Ok(Self(ours.into()))
    }

    fn say(&mut self, event: &Event) {
        let mut line = serde_json::to_string(event).unwrap_or_default();
        line.push('\n');
        // When the caller is gone, so is this process.
        drop(self.0.write_all(line.as_bytes()));
    }
}

/// The whole of the process.
pub(crate) fn main() -> ExitCode {
    if let Ok(program) = std::env::var(super::call::LOOK) {
        return look(&program);
    }
    let mut caller = match Caller::take() {
        Ok(caller) => caller,
        Err(_) => return ExitCode::FAILURE,
    };
    match prepare().and_then(|job| work(&job, &mut caller)) {
        Ok(done) => {
            caller.say(&Event::Done(done));
            ExitCode::SUCCESS
        }
        Err(message) => {
            caller.say(&Event::Failed(message));
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> Result<Job, String> {
    super::enter::die_with_parent().map_err(|error| error.to_string())?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    let nothing = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, Mode::empty());
    nothing.and_then(rustix::stdio::dup2_stdin).map_err(|error| error.to_string())?;
    more_descriptors();
    serde_json::from_str(&text).map_err(|error| format!("no job: {error}"))
}

/// Every package file stays open. The soft limit is usually far below the hard one.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // With the old limit small transactions still work, and large ones say what is missing.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap_or(());
}

fn work(job: &Job, caller: &mut Caller) -> Result<Done, String> {
    let ids = Ids { all: !has_one_id() };
    let keyring = check::keyring(job)?;
    let packages = check::packages(job, &ids, &keyring)?;
    let options = check::options(&keyring, check::all_signed(job));
    let keys = read_keys(&job.import)?;
    let tops = check::tops(&packages)?;
    check::conflicts(job, &packages)?;
    let upper = rustix::fs::open(&job.upper, DIRECTORY, Mode::empty()).map_err(|error| error.to_string())?;
    let mirror = if ids.all {
        mirror::Mirror::default()
    } else {
        mirror::make(job, &check::directories(&packages))
            .map_err(|error| format!("the staging area: {error}"))?
    };
    view::enter(job, &tops).map_err(|error| format!("the install view: {error}"))?;
    super::deciding::refuse(job, &packages)?;
    confine().map_err(|error| format!("the install view: {error}"))?;
    install(job, packages, (&options, &keys), caller)?;
    left(&upper, &mirror)
}

/// Whether only one user id means anything here.
fn has_one_id() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().nth(2) == Some("1"))
}

/// Drops everything that the view does not need.
fn confine() -> std::io::Result<()> {
    use rustix::thread::{
        CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    };
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        match remove_capability_from_bounding_set(capability) {
            // Capabilities that this kernel does not know yet.
            Err(rustix::io::Errno::INVAL) | Ok(()) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    set_capabilities(
        None,
        CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() },
    )?;
    set_no_new_privs(true)?;
    Ok(())
}

fn install(
    job: &Job,
    packages: Vec<Package>,
    trust: (&VerifyOptions, &[Vec<u8>]),
    caller: &mut Caller,
) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let database = Path::new("/").join(DATABASE);
    use_database(&database).map_err(|error| words(&error))?;
    for (name, value) in [("_tmppath", "/tmp"), ("_flush_io", "0"), ("_db_backend", "sqlite")] {
        define(name, value).map_err(|error| words(&error))?;
    }
    let mut db = Db::open().map_err(|error| words(&error))?;
    if super::has_database(&database) {
        db.verify().map_err(|_words| {
            "the node's rpm database is damaged: `red-rollback` goes back to the generation before".to_owned()
        })?;
    } else {
        db.init_db(0o644).map_err(|error| words(&error))?;
    }
    // Keys become part of the database, so that rpm itself verifies with them later.
    for packets in trust.1 {
        db.import_pubkey(packets).map_err(|error| words(&error))?;
    }
    let erased = find_erased(&db, job)?;
    let mut transaction = db.transaction();
    for package in &packages {
        let added = if package.reinstall {
            transaction.add_reinstall(&package.header, &package.path)
        } else {
            transaction.add_install(&package.header, &package.path, package.upgrade)
        };
        added.map_err(|error| format!("{}: {error}", check::nevra(&package.header)))?;
    }
    for header in &erased {
        transaction.add_erase(header).map_err(|error| format!("{}: {error}", check::nevra(header)))?;
    }
    if transaction.is_empty() {
        return Ok(());
    }
    transaction.order().map_err(|error| words(&error))?;
    transaction.set_flags(flags(job));
    transaction.set_problem_filter(ProblemFilter::OLD_PACKAGE | ProblemFilter::REPLACE_PKG);
    transaction.set_verify_options(trust.0);
    execute(&mut transaction, caller)
}

fn flags(job: &Job) -> TransactionFlags {
    // Plugins of the core OS (SELinux, systemd inhibitors) are about the running system, not a node.
    let mut flags = TransactionFlags::NOPLUGINS;
    if !job.scriptlets {
        flags |= TransactionFlags::NOSCRIPTS | TransactionFlags::NOTRIGGERS;
    }
    if !job.documentation {
        flags |= TransactionFlags::NODOCS;
    }
    if job.test {
        flags |= TransactionFlags::TEST;
    }
    flags
}

fn execute(transaction: &mut Transaction<'_>, caller: &mut Caller) -> Result<(), String> {
    let events = std::rc::Rc::new(std::cell::RefCell::new((Vec::<String>::new(), None::<String>)));
    let heard = events.clone();
    let total = transaction.len() as u64;
    let mut stream = caller.0.try_clone().map(Caller).map_err(|error| error.to_string())?;
    let mut done = 0;
    transaction.set_callback(move |event| match event {
        CallbackEvent::InstStart { nevra } => {
            done += 1;
            stream.say(&Event::Package { nevra, removes: false });
            stream.say(&Event::Progress { done, total });
        }
        CallbackEvent::UninstStart { nevra } => {
            done += 1;
            stream.say(&Event::Package { nevra, removes: true });
            stream.say(&Event::Progress { done, total });
        }
        CallbackEvent::ScriptError { nevra } => {
            heard.borrow_mut().0.push(nevra.clone());
            stream.say(&Event::Scriptlet { nevra });
        }
        CallbackEvent::UnpackError { nevra } | CallbackEvent::CpioError { nevra } => {
            heard.borrow_mut().1.get_or_insert(nevra);
        }
        _ => {}
    });
    let result = transaction.run();
    let failed: Vec<String> = transaction
        .elements()
        .filter(librpm::transaction::Element::failed)
        .map(|element| element.nevra().to_owned())
        .collect();
    let (scripts, unpack) = &*events.borrow();
    if result.is_ok() && failed.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = Vec::new();
    if let Err(error) = &result {
        lines.extend(error.problems().iter().map(|problem| format!("  {problem}")));
    }
    if let Some(nevra) = unpack {
        lines.push(format!("  {nevra} could not be unpacked"));
    }
    for nevra in failed.iter().filter(|nevra| scripts.contains(nevra)) {
        lines.push(format!("  a scriptlet of {nevra} failed"));
    }
    if lines.is_empty() {
        lines.extend(failed.iter().map(|nevra| format!("  {nevra} could not be installed or removed")));
        lines.extend(librpm::logging::last_message().map(|words| format!("  {}", words.trim())));
    }
    Err(format!("the transaction failed; nothing has changed:\n{}", lines.join("\n")))
}

/// The packets of armored key files.
pub(super) fn read_keys(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let mut keys = Vec::new();
    for path in paths {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        keys.extend(super::armor::keys(&text));
    }
    Ok(keys)
}

fn find_erased(db: &Db, job: &Job) -> Result<Vec<librpm::PackageHeader>, String> {
    let mut found = Vec::new();
    for erase in &job.erase {
        let header = db.find(Index::Name, &erase.name).find(|header| check::nevra(header) == erase.nevra);
        found.push(header.ok_or_else(|| format!("{} is not installed in this node", erase.nevra))?);
    }
    Ok(found)
}

/// What the transaction left in the staging area and in the database.
fn left(upper: &OwnedFd, mirror: &Mirror) -> Result<Done, String> {
    let db = Db::open().map_err(|error| error.to_string())?;
    // A write that failed and that rpm did not tell of is found here, not by the next command.
    db.verify().map_err(|error| format!("rpm's database came out damaged ({error}); nothing has changed"))?;
    let (mut installed, mut owned) = (Vec::new(), BTreeSet::new());
    for header in db.installed_packages() {
        if header.name() != "gpg-pubkey" {
            installed.push(check::nevra(&header));
            owned.extend(header.files().iter().map(|file| PathBuf::from(file.path())));
        }
    }
    let upper = PathBuf::from(format!("/proc/self/fd/{}", upper.as_raw_fd()));
    mirror.remove(&upper, &owned).map_err(|error| format!("the staging area: {error}"))?;
    let outside = super::outside::outside(&upper, &owned).map_err(|error| error.to_string())?;
    let top = |path: &PathBuf| {
        (path.components().count() == 2)
            .then(|| path.file_name().map(|name| name.to_string_lossy().into_owned()))?
    };
    Ok(Done { outside, installed, tops: owned.iter().filter_map(top).collect() })
}

/// Shows a program the view, and ends as it does.
fn look(program: &str) -> ExitCode {
    let job: Option<Job> =
        std::env::var(super::call::JOB).ok().and_then(|job| serde_json::from_str(&job).ok());
    let program: Vec<String> = serde_json::from_str(program).unwrap_or_default();
    let (Some(job), Some((name, args))) = (job, program.split_first()) else { return ExitCode::FAILURE };
    let entered = super::enter::die_with_parent()
        .map_err(|error| error.to_string())
        .and_then(|()| view::enter(&job, &BTreeSet::new()).map_err(|error| error.to_string()))
        .and_then(|()| confine().map_err(|error| error.to_string()));
    if let Err(error) = entered {
        drop(writeln!(std::io::stderr(), "red-rpm: the view of the node: {error}"));
        return ExitCode::FAILURE;
    }
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new(name);
    super::own_environment(command.args(args));
    let error = command.exec();
    drop(writeln!(std::io::stderr(), "red-rpm: {name}: {error}"));
    ExitCode::FAILURE
}
