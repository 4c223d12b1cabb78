//! Inside the namespaces: check, mount the view, run rpm, say what came of it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use librpm::db::Index;
use librpm::transaction::{CallbackEvent, ProblemFilter, Transaction, TransactionFlags};
use librpm::{Db, VerifyOptions};

use super::check::{self, Ids, Package};
use super::inside::{Entered, Ready};
use super::job::Message;
use super::{Event, Job, define, mirror, use_database};
use crate::generation::DATABASE;

/// The socket to the process outside, which no scriptlet inherits. It has no name in /proc that could be
/// opened again.
struct Caller(std::fs::File);

impl Caller {
    /// Takes stdout for itself; what prints to stdout from now on prints to stderr.
    fn take() -> std::io::Result<Self> {
        let ours = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?;
        rustix::stdio::dup2_stdout(std::io::stderr())?;
        Ok(Self(ours.into()))
    }

    fn say(&mut self, event: &Event) {
        self.send(&Message::Event(event.clone()));
    }

    fn send(&mut self, message: &Message) {
        let mut line = serde_json::to_string(message).unwrap_or_default();
        line.push('\n');
        // When the one outside is gone, so is this process.
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
    match job().and_then(Entered::begin).and_then(|entered| work(entered, &mut caller)) {
        Ok(left) => {
            caller.send(&left);
            ExitCode::SUCCESS
        }
        Err(message) => {
            caller.say(&Event::Failed(message));
            ExitCode::FAILURE
        }
    }
}

fn job() -> Result<Job, String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("no job: {error}"))
}

fn work(entered: Entered, caller: &mut Caller) -> Result<Message, String> {
    let job = entered.job();
    let ids = Ids { all: !has_one_id() };
    let keyring = check::keyring(job)?;
    let packages = check::packages(job, &ids, &keyring)?;
    let options = check::options(&keyring, check::all_signed(job));
    let keys = read_keys(&job.import)?;
    let tops = check::tops(&packages)?;
    check::conflicts(job, &packages)?;
    if !ids.all {
        let mirror = mirror::make(job, &check::directories(&packages))
            .map_err(|error| format!("the staging area: {error}"))?;
        caller.send(&Message::Mirror(mirror));
    }
    let mut keep: Vec<RawFd> = packages.iter().map(Package::number).collect();
    keep.push(caller.0.as_raw_fd());
    let ready = entered.assemble(&tops)?.close(&keep)?.confine()?;
    run(&ready, packages, (&options, &keys), caller)
}

/// Runs rpm, which nothing but a process that is ready does.
fn run(
    ready: &Ready,
    packages: Vec<Package>,
    trust: (&VerifyOptions, &[Vec<u8>]),
    caller: &mut Caller,
) -> Result<Message, String> {
    install(ready.job(), packages, trust, caller)?;
    left()
}

/// Whether only one user id means anything here.
fn has_one_id() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().nth(2) == Some("1"))
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
    let (mut done, mut told) = (0, Instant::now());
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
        CallbackEvent::ScriptStart { nevra, tag } => stream.send(&Message::Begins { nevra, tag }),
        CallbackEvent::ScriptStop { .. } => stream.send(&Message::Ends),
        CallbackEvent::InstProgress { .. } if told.elapsed() >= Duration::from_secs(1) => {
            told = Instant::now();
            stream.send(&Message::Alive);
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
fn read_keys(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
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

/// What the transaction left in the database. The staging area is looked at from outside.
fn left() -> Result<Message, String> {
    let db = Db::open().map_err(|error| error.to_string())?;
    // A write that failed and that rpm did not tell of is found here, not by the next command.
    db.verify().map_err(|error| format!("rpm's database came out damaged ({error}); nothing has changed"))?;
    let (mut installed, mut owned) = (Vec::new(), BTreeSet::new());
    for header in db.installed_packages() {
        if header.name() != "gpg-pubkey" {
            installed.push(check::nevra(&header));
            owned.extend(header.files().iter().map(|file| file.path()));
        }
    }
    Ok(Message::Left { owned: owned.into_iter().collect(), installed })
}

/// Shows a program the view, and ends as it does.
fn look(program: &str) -> ExitCode {
    let job: Option<Job> =
        std::env::var(super::call::JOB).ok().and_then(|job| serde_json::from_str(&job).ok());
    let program: Vec<String> = serde_json::from_str(program).unwrap_or_default();
    let (Some(job), Some((name, args))) = (job, program.split_first()) else { return ExitCode::FAILURE };
    let ready = Entered::begin(job)
        .and_then(|entered| entered.assemble(&BTreeSet::new()))
        .and_then(|rooted| rooted.close(&[])?.confine());
    let error = match ready {
        Ok(ready) => become_program(&ready, name, args).to_string(),
        Err(error) => error,
    };
    drop(writeln!(std::io::stderr(), "red-rpm: {name}: {error}"));
    ExitCode::FAILURE
}

/// Becomes a program, which nothing but a process that is ready does. Returns when that fails.
fn become_program(_ready: &Ready, name: &str, args: &[String]) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    // Of directories of the core OS, an ordinary user may not write to those that nobody mirrored.
    let place = if name == "rpm" { ["--define", "_tmppath /tmp"].as_slice() } else { &[] };
    let mut command = std::process::Command::new(name);
    super::own_environment(command.args(place).args(args));
    command.exec()
}
