//! Inside the namespaces: check, mount the view, run rpm, say what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use librpm::db::Index;
use librpm::transaction::{CallbackEvent, ProblemFilter, Transaction, TransactionFlags};
use librpm::{Db, VerifyOptions};

use super::check::{self, Ids, Package};
use super::inside::{Entered, Ready};
use super::job::Message;
use super::openpgp::Certificate;
use super::texts::nevra;
use super::view;
use super::{Believed, Event, Job, define, use_database};
use crate::generation::DATABASE;

/// What makes users out of lines of sysusers.d(5).
const SYSUSERS: &str = "/usr/bin/systemd-sysusers";

/// How a scriptlet stopped, as rpm tells it (`rpmRC`): well, or with a failure that only warns.
const OK: u64 = 0;
const NOT_FOUND: u64 = 1;

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
    let ids = Ids { all: !view::has_one_id() };
    let keyring = check::keyring(job)?;
    let packages = check::packages(job, &ids, &keyring)?;
    let options = check::options(&keyring, check::all_signed(job));
    let keys = read_keys(&job.import)?;
    check::conflicts(job, &packages)?;
    let mut keep: Vec<RawFd> = packages.iter().map(Package::number).collect();
    keep.push(caller.0.as_raw_fd());
    caller.send(&Message::Packages(check::planned(&packages)?));
    let (rooted, scaffold) = entered.assemble(&check::paths(&packages))?;
    caller.send(&Message::Scaffold(scaffold.clone()));
    let ready = rooted.close(&keep)?.confine()?;
    run(&ready, packages, (&options, &keys), caller).map_err(|message| scaffold.explain(message))?;
    // What is installed, and whose files are whose, is for the process outside to read.
    let (gone, emptied) = scaffold.gone(Path::new("/"));
    Ok(Message::Left { gone, emptied })
}

/// Runs rpm, which nothing but a process that is ready does.
fn run(
    ready: &Ready,
    packages: Vec<Package>,
    trust: (&VerifyOptions, &[Certificate]),
    caller: &mut Caller,
) -> Result<(), String> {
    super::deciding::refuse(ready.job(), &packages)?;
    install(ready.job(), packages, trust, caller)
}

fn install(
    job: &Job,
    packages: Vec<Package>,
    trust: (&VerifyOptions, &[Certificate]),
    caller: &mut Caller,
) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let database = Path::new("/").join(DATABASE);
    use_database(&Believed::own(&database)).map_err(|error| words(&error))?;
    for (name, value) in [("_tmppath", "/tmp"), ("_flush_io", "0"), ("_db_backend", "sqlite")] {
        define(name, value).map_err(|error| words(&error))?;
    }
    // Since 4.19 rpm has a program make the users that packages bring. Its own script calls `useradd --root /`, which is
    // a chroot, and the view gives that capability up; systemd's is a match for it, and needs none. It gives files to
    // groups, though, which an ordinary user's view does not have, and such a failure stops the transaction.
    if !view::has_one_id() && Path::new(SYSUSERS).exists() {
        define("__systemd_sysusers", SYSUSERS).map_err(|error| words(&error))?;
    }
    let mut db = Db::open().map_err(|error| words(&error))?;
    if !super::has_database(&database) {
        db.init_db(0o644).map_err(|error| words(&error))?;
    }
    super::keyring::import(trust.1)?;
    let erased = find_erased(&db, job)?;
    let mut transaction = db.transaction();
    for package in &packages {
        let added = if package.reinstall {
            transaction.add_reinstall(&package.header, &package.path)
        } else {
            transaction.add_install(&package.header, &package.path, package.upgrade)
        };
        added.map_err(|error| format!("{}: {error}", nevra(&package.header)))?;
    }
    for header in &erased {
        transaction.add_erase(header).map_err(|error| format!("{}: {error}", nevra(header)))?;
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
    // See `settle`: what is not found is not asked for either.
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

/// What became of scriptlets and payloads.
#[derive(Default)]
struct Heard {
    /// Scriptlets that succeeded.
    good: u64,
    /// Those that failed, in rpm's words.
    failed: Vec<String>,
    /// After the scriptlet that stopped last rpm goes on.
    goes_on: bool,
    /// Packages with scriptlets that failed, and whether rpm went on after all of them.
    went_on: BTreeMap<String, bool>,
    /// What could not be unpacked.
    unpack: Option<String>,
}

impl Heard {
    /// A scriptlet failed. rpm has just said how, in a message and nowhere else.
    fn fails(&mut self, nevra: String) -> Event {
        let said = librpm::logging::last_message().filter(|words| words.contains("script"));
        let words = said.as_deref().and_then(|words| words.lines().next()).map(str::trim).map(str::to_owned);
        let words = words.unwrap_or_else(|| format!("a scriptlet of {nevra} failed"));
        self.failed.push(words.clone());
        *self.went_on.entry(nevra).or_insert(true) &= self.goes_on;
        Event::Scriptlet { words, goes_on: self.goes_on }
    }

    /// Whether nothing of what packages bring to be run could be started: 126 is what a command that cannot be
    /// executed ends with (POSIX, "Exit Status for Commands"). One package can be broken like that; all of them are the
    /// view's or the node's fault, and a transaction without a single scriptlet is not what anybody asked for.
    fn none_started(&self) -> bool {
        self.good == 0
            && !self.failed.is_empty()
            && self.failed.iter().all(|words| words.ends_with("exit status 126"))
    }

    /// Whether all that went wrong are scriptlets that rpm goes on after. Their packages are installed or removed all
    /// the same; rpm 6 tells of them by the transaction's result, older versions do not.
    fn only_warns(&self, failed: &[String]) -> bool {
        self.unpack.is_none()
            && !self.went_on.is_empty()
            && self.went_on.values().all(|&goes_on| goes_on)
            && failed.iter().all(|nevra| self.went_on.contains_key(nevra))
    }
}

fn execute(transaction: &mut Transaction<'_>, caller: &mut Caller) -> Result<(), String> {
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Heard::default()));
    let stream = caller.0.try_clone().map(Caller).map_err(|error| error.to_string())?;
    hear(transaction, heard.clone(), stream);
    let result = transaction.run();
    let failed: Vec<String> = transaction
        .elements()
        .filter(librpm::transaction::Element::failed)
        .map(|element| element.nevra().to_owned())
        .collect();
    let heard = heard.borrow();
    let mut lines: Vec<String> = Vec::new();
    if let Err(error) = &result {
        lines.extend(error.problems().iter().map(|problem| format!("  {problem}")));
    }
    let good = result.is_ok() && failed.is_empty();
    if lines.is_empty() && (good || heard.only_warns(&failed)) {
        if heard.none_started() {
            return Err(format!(
                "no scriptlet could be started, and nothing has changed; `--setopt=tsflags=noscripts` (of red-rpm: \
                 `--noscripts`) does without them:\n  {}",
                heard.failed.join("\n  ")
            ));
        }
        return Ok(());
    }
    if let Some(nevra) = &heard.unpack {
        lines.push(format!("  {nevra} could not be unpacked"));
    }
    lines.extend(heard.failed.iter().map(|words| format!("  {words}")));
    if lines.is_empty() {
        lines.extend(failed.iter().map(|nevra| format!("  {nevra} could not be installed or removed")));
        lines.extend(librpm::logging::last_message().map(|words| format!("  {}", words.trim())));
    }
    Err(format!("the transaction failed; nothing has changed:\n{}", lines.join("\n")))
}

/// Passes on what rpm tells on its way, and keeps what decides in the end.
fn hear(
    transaction: &mut Transaction<'_>,
    heard: std::rc::Rc<std::cell::RefCell<Heard>>,
    mut stream: Caller,
) {
    let total = transaction.len() as u64;
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
        CallbackEvent::InstProgress { .. } if told.elapsed() >= Duration::from_secs(1) => {
            told = Instant::now();
            stream.send(&Message::Alive);
        }
        CallbackEvent::ScriptStop { return_code, .. } => {
            stream.send(&Message::Ends);
            let mut heard = heard.borrow_mut();
            heard.good += u64::from(return_code == OK);
            heard.goes_on = return_code == NOT_FOUND;
        }
        CallbackEvent::ScriptError { nevra } => stream.say(&heard.borrow_mut().fails(nevra)),
        CallbackEvent::UnpackError { nevra } | CallbackEvent::CpioError { nevra } => {
            heard.borrow_mut().unpack.get_or_insert(nevra);
        }
        _ => {}
    });
}

/// Keys that were agreed to.
pub(super) fn read_keys(armored: &[String]) -> Result<Vec<Certificate>, String> {
    let mut keys = Vec::new();
    for block in armored {
        keys.extend(super::openpgp::certificates(block.as_bytes())?);
    }
    Ok(keys)
}

fn find_erased(db: &Db, job: &Job) -> Result<Vec<librpm::PackageHeader>, String> {
    let mut found = Vec::new();
    for erase in &job.erase {
        let header = db.find(Index::Name, &erase.name).find(|header| nevra(header) == erase.nevra);
        found.push(header.ok_or_else(|| format!("{} is not installed in this node", erase.nevra))?);
    }
    Ok(found)
}

/// Shows a program the view, and ends as it does.
fn look(program: &str) -> ExitCode {
    let job: Option<Job> =
        std::env::var(super::call::JOB).ok().and_then(|job| serde_json::from_str(&job).ok());
    let program: Vec<String> = serde_json::from_str(program).unwrap_or_default();
    let Some(job) = job else { return ExitCode::FAILURE };
    let ready = Entered::begin(job)
        .and_then(|entered| entered.assemble(&BTreeSet::new()))
        .and_then(|(rooted, _scaffold)| rooted.close(&[])?.confine());
    let ready = match ready {
        Ok(ready) => ready,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{}{error}", super::call::NO_VIEW));
            return ExitCode::FAILURE;
        }
    };
    // Whether there is a view was all that was asked.
    let Some((name, args)) = program.split_first() else { return ExitCode::SUCCESS };
    let error = become_program(&ready, name, args);
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
