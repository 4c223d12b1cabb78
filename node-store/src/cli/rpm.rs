//! `red-rpm`: rpm's own words on a node, and on a family.

mod words;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use red_runtime::cli::exit::Exit;

use self::words::{Change, Mode, Words, WordsError};
use super::output;
use crate::audit;
use crate::family::{self, Family, Member};
use crate::generation::Patience;
use crate::history::About;
use crate::rpm::{Believed, Job, look};
use crate::session::{Choice, Session, SessionError};
use crate::solve::ffi::Id;
use crate::solve::{Ask, Packages, Refusal, Wish};
use crate::transaction::{self, End, How, TransactionError};

/// Ask and verify the rpm database of redpak nodes, in rpm's own words
///
/// Queries and verification are rpm's: `-q`, `-V` and `-K` with rpm's options that look and change nothing.
/// `-i`, `-U`, `-F` and `-e` are transactions of the node, with `--test`, `--noscripts` and
/// `--excludedocs`. Any other option is refused. `whence PATH` prints where a path inside the container
/// comes from.
#[derive(Debug, Parser)]
#[command(
    name = "red-rpm",
    version,
    disable_version_flag = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(super) struct Rpm {
    /// The node
    #[arg(long, alias = "rpath", alias = "rp", value_name = "PATH")]
    redpath: PathBuf,
    /// Ask every node of the family; each line says which one answers
    #[arg(long)]
    family: bool,
    /// Wait this many seconds for another command on the node
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
    /// Let packages bring this file although it decides for the node; PATH/ stands for what is below it
    #[arg(long, value_name = "PATH")]
    allow_file: Vec<String>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// rpm's words, or `whence PATH`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "WORDS")]
    words: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum RpmCallError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    #[error(transparent)]
    Rpm(#[from] crate::rpm::RpmError),
    #[error(transparent)]
    Words(#[from] WordsError),
    #[error("cannot run rpm: {0}")]
    Run(std::io::Error),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    #[error("{0}")]
    Wrong(String),
}

pub(super) fn main(args: &[OsString]) -> Exit {
    let call = match Rpm::try_parse_from(ours_first(args)) {
        Ok(call) => call,
        Err(error) => return super::usage(&error),
    };
    let command: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    run(&call, &command).unwrap_or_else(|error| {
        output::say(&format!("red-rpm: {error}"));
        Exit::Failure
    })
}

/// Our own options may stand anywhere among rpm's words.
fn ours_first(args: &[OsString]) -> Vec<OsString> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut rest = args.iter().skip(1).cloned();
    while let Some(arg) = rest.next() {
        let text = arg.to_string_lossy().into_owned();
        let ours_with_value = ["--redpath", "--rpath", "--rp", "--wait", "--allow-file"];
        let with_value = ours_with_value.contains(&text.as_str());
        let whole = text == "--family"
            || text == "--help"
            || text.split_once('=').is_some_and(|(name, _)| ours_with_value.contains(&name));
        if with_value || whole {
            ours.push(arg);
            ours.extend(with_value.then(|| rest.next()).flatten());
        } else {
            theirs.push(arg);
        }
    }
    args.iter().take(1).cloned().chain(ours).chain(theirs).collect()
}

fn run(call: &Rpm, command: &[String]) -> Result<Exit, RpmCallError> {
    let first = call.words.first().map_or("", String::as_str);
    if first == "whence" {
        let [_, path] = call.words.as_slice() else {
            return Err(RpmCallError::Wrong("whence wants one path, as it is inside the container".into()));
        };
        return whence(&call.redpath, Path::new(path));
    }
    let words = words::parse(&call.words)?;
    match words.mode {
        Mode::Change(_) if call.family => {
            Err(RpmCallError::Wrong("--family goes with queries and verification".into()))
        }
        Mode::Change(verb) => change(call, verb, &words, command),
        _ => query(call, &words.with_plain_names(&std::env::current_dir().map_err(RpmCallError::Run)?)?),
    }
}

fn change(call: &Rpm, verb: Change, words: &Words, command: &[String]) -> Result<Exit, RpmCallError> {
    let names: Vec<&String> = words.names.iter().collect();
    let how = How {
        patience: call.wait.map_or(Patience::Forever, |seconds| {
            Patience::For(std::time::Duration::from_secs(seconds.into()))
        }),
        with_descendants: false,
        download_only: false,
        assume_no: false,
        scriptlets: !words.has("noscripts"),
        documentation: !words.has("excludedocs"),
        test: words.has("test"),
        allowed: call.allow_file.clone(),
        command: command.to_vec(),
    };
    if names.is_empty() {
        return Err(RpmCallError::Wrong("no package is named".into()));
    }
    let choice = Choice { cache_only: true, switches: vec![("*".into(), false)], ..Choice::default() };
    let mut person = super::talk::Person::new(true, false, false);
    let mut make =
        |_: &Session, packages: &mut Packages, about: &About| ask(packages, about, (verb, words), &names);
    let end = transaction::run(&call.redpath, choice, &how, &mut make, &mut person)?;
    if matches!(end, End::Done { .. }) {
        output::say(&end.words());
    }
    Ok(Exit::Success)
}

fn ask(
    packages: &mut Packages,
    about: &About,
    (verb, words): (Change, &Words),
    names: &[&String],
) -> Result<Ask, TransactionError> {
    let erase = verb == Change::Erase;
    let wish = if erase { Wish::Remove } else { Wish::Downgrade };
    let mut ask =
        Ask::new(wish, if erase { names.iter().map(|name| (*name).clone()).collect() } else { Vec::new() });
    ask.about = about.clone();
    ask.clean = false;
    ask.weak = false;
    if erase {
        return Ok(ask);
    }
    ask.exact = super::dnf::local(packages, names)?;
    if verb == Change::Freshen {
        let installed: Vec<String> = packages.own().into_iter().map(|id| packages.pool.name(id)).collect();
        ask.exact.retain(|&id| installed.contains(&packages.pool.name(id)));
    }
    if matches!(verb, Change::Upgrade | Change::Freshen) {
        ask.exact = newer(packages, &ask.exact, verb, words)?;
    }
    if verb == Change::Install {
        let there: Vec<String> = packages.own().into_iter().map(|id| packages.pool.name(id)).collect();
        let twice: Vec<String> = ask
            .exact
            .iter()
            .filter(|&&id| there.contains(&packages.pool.name(id)))
            .map(|&id| {
                format!("{} is installed already in some version: -U takes its place", packages.pool.name(id))
            })
            .collect();
        if !twice.is_empty() {
            return Err(Refusal::NoMatch(twice).into());
        }
    }
    Ok(ask)
}

/// Files that are newer than what is installed. Others `-F` passes over; `-U` refuses them, as rpm does, unless
/// `--oldpackage` or `--replacepkgs` says that they are meant.
fn newer(packages: &Packages, files: &[Id], verb: Change, words: &Words) -> Result<Vec<Id>, Refusal> {
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    let own = packages.own();
    for &file in files {
        let name = packages.pool.name(file);
        let there = own.iter().copied().filter(|&id| packages.pool.name(id) == name);
        let newest = there.max_by(|&one, &other| packages.pool.compare(one, other));
        let compared = newest.map(|there| (there, packages.pool.compare(file, there)));
        match compared {
            Some((there, Ordering::Less)) if !words.has("oldpackage") => refused.push(format!(
                "package {} (which is newer than {}) is already installed: `--oldpackage` goes back to the older one",
                packages.nevra(there),
                packages.nevra(file)
            )),
            Some((there, Ordering::Equal))
                if packages.nevra(there) == packages.nevra(file) && !words.has("replacepkgs") =>
            {
                refused.push(format!(
                    "package {} is already installed: `--replacepkgs` installs it again",
                    packages.nevra(there)
                ));
            }
            _ => kept.push(file),
        }
    }
    if refused.is_empty() || verb == Change::Freshen { Ok(kept) } else { Err(Refusal::NoMatch(refused)) }
}

fn query(call: &Rpm, words: &Words) -> Result<Exit, RpmCallError> {
    words::no_aliases(Path::new("/etc"))?;
    crate::generation::interrupted_above(&call.redpath).iter().for_each(|line| output::say(line));
    let family = Family::load(&call.redpath).map_err(SessionError::from)?;
    if !call.family {
        return ask_rpm(&family, &family.node, words, None);
    }
    let mut exit = Exit::Success;
    for member in family.members() {
        let name = if member.core { "core-os".to_owned() } else { member.alias.clone() };
        let ended = ask_rpm(&family, member, words, Some(&name))?;
        if ended != Exit::Success && exit == Exit::Success {
            exit = ended;
        }
    }
    Ok(exit)
}

fn ask_rpm(
    family: &Family,
    member: &Member,
    words: &Words,
    prefix: Option<&str>,
) -> Result<Exit, RpmCallError> {
    let Some(for_rpm) = words.for_rpm() else {
        return Err(RpmCallError::Wrong("a transaction is not rpm's to do".into()));
    };
    // rpm makes a database where there is none, so it gets a place of its own for that.
    let database = Believed::of(member)?.map_or_else(Believed::none, Ok)?;
    if words.needs_view() && !member.core {
        let mut program =
            vec!["rpm".to_owned(), "--dbpath".into(), format!("/{}", crate::generation::DATABASE)];
        if words.mode == Mode::Verify {
            // rpm sees one database; requirements are met by the family, which `red-check` proves.
            program.push("--nodeps".into());
        }
        program.extend(for_rpm);
        return in_view(family, member, (&program, database), prefix);
    }
    let database = database.path();
    let mut rpm = Command::new("rpm");
    let dir = (!crate::rpm::is_plain(database)).then(|| std::fs::File::open(database)).transpose()?;
    rpm.arg("--dbpath");
    if let Some(dir) = &dir {
        rustix::io::fcntl_setfd(dir, rustix::io::FdFlags::empty()).map_err(std::io::Error::from)?;
        rpm.arg(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    } else {
        rpm.arg(database);
    }
    crate::rpm::own_environment(rpm.args(for_rpm));
    finish(&mut rpm, prefix)
}

/// Runs rpm, each line of what it prints with the name of who answers.
fn finish(rpm: &mut Command, prefix: Option<&str>) -> Result<Exit, RpmCallError> {
    let Some(prefix) = prefix else {
        // What packages say of themselves does not steer a terminal; others get rpm's own bytes.
        if !std::io::stdout().is_terminal() {
            return Ok(exit(rpm.status().map_err(RpmCallError::Run)?));
        }
        let mut child = rpm.stdout(std::process::Stdio::piped()).spawn().map_err(RpmCallError::Run)?;
        if let Some(stdout) = child.stdout.take() {
            for line in std::io::BufReader::new(stdout).split(b'\n') {
                output::lines([String::from_utf8_lossy(&line?)])?;
            }
        }
        return Ok(exit(child.wait().map_err(RpmCallError::Run)?));
    };
    let output = rpm.stderr(std::process::Stdio::inherit()).output().map_err(RpmCallError::Run)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output::lines(text.lines().map(|line| format!("{prefix}: {line}")))?;
    Ok(exit(output.status))
}

fn exit(status: std::process::ExitStatus) -> Exit {
    match status.code() {
        Some(0) => Exit::Success,
        Some(code) => Exit::Command(u8::try_from(code).unwrap_or(1)),
        None => Exit::Failure,
    }
}

/// Runs rpm where the node's packages are at their ordinary paths.
fn in_view(
    family: &Family,
    member: &Member,
    (program, database): (&[String], Believed),
    prefix: Option<&str>,
) -> Result<Exit, RpmCallError> {
    // Nothing of the node's but what was looked at, and that where it is.
    let below = Path::new("upper").join(crate::generation::DATABASE);
    let scratch = database.moved(&below)?;
    let (upper, work) = (scratch.path().join("upper"), scratch.path().join("work"));
    std::fs::create_dir(&work)?;
    let mut lowers = family.lowers();
    let at = lowers.iter().position(|lower| lower.root == member.tree).unwrap_or(0);
    lowers.drain(..at);
    let job = Job { upper, work, lowers, ..Job::default() };
    if prefix.is_none() && !std::io::stdout().is_terminal() {
        return Ok(exit(look(&job, program).map_err(RpmCallError::Run)?));
    }
    // The same, as a process whose output can be read.
    let mut again = Command::new("/proc/self/exe");
    again
        .envs(crate::rpm::bench::variable(&job.upper))
        .args(["__enter"])
        .env("RED_JOB", serde_json::to_string(&job).unwrap_or_default());
    again.env("RED_LOOK", serde_json::to_string(program).unwrap_or_default());
    finish(&mut again, prefix)
}

/// Path inside the container → mount → node → generation → package → signing key → repository.
fn whence(redpath: &Path, path: &Path) -> Result<Exit, RpmCallError> {
    let family = Family::load(redpath).map_err(SessionError::from)?;
    let exports = family::exports(redpath).map_err(SessionError::from)?;
    let mut lines = vec![format!("path        {}", path.display())];
    let path = exports.resolve(path);
    let path = path.as_path();
    let best = exports.of(path);
    let Some((mount, source)) = best else {
        lines.push("no export shows it: it is in the volatile root of the container".into());
        output::lines(lines)?;
        return Ok(Exit::Failure);
    };
    let host = source.join(path.strip_prefix(mount).unwrap_or(Path::new("")));
    lines.push(format!("mount       {} from {}", mount.display(), source.display()));
    let real = std::fs::canonicalize(&host).unwrap_or(host.clone());
    let members: Vec<&Member> = family.members().collect();
    let member = members.iter().rev().find(|member| !member.core && host.starts_with(&member.path)).copied();
    let Some(member) = member.or(family.core.as_ref()) else {
        lines.push(format!("no node     {} is the host's", host.display()));
        output::lines(lines)?;
        return Ok(Exit::Success);
    };
    lines.push(format!(
        "node        {}{}",
        member.words(),
        if member.core { String::new() } else { format!(" at {}", member.path.display()) }
    ));
    let mut about = About::default();
    if !member.core {
        let store = family::store(member).map_err(TransactionError::from)?;
        about = About::current(&store);
        if let Some(number) = store.shown() {
            lines.push(format!("generation  {number}, made {}", about.record.time));
        }
    }
    let below = real
        .strip_prefix(std::fs::canonicalize(&member.tree).unwrap_or(member.tree.clone()))
        .or(host.strip_prefix(&member.path));
    let inside = Path::new("/").join(below.unwrap_or(&host));
    let mut found = BTreeMap::new();
    for spelling in audit::spellings(&inside) {
        found.extend(audit::owner(member, &spelling.to_string_lossy())?);
    }
    if found.is_empty() {
        lines.push(format!("package     none owns {}", inside.display()));
    }
    for (nevra, signature) in found {
        lines.push(format!("package     {nevra} ({})", inside.display()));
        lines.push(format!("signed      {signature}"));
        let repo = about.origin.get(&nevra).cloned().unwrap_or_else(|| "not recorded".into());
        lines.push(format!("repository  {repo}"));
    }
    output::lines(lines)?;
    Ok(Exit::Success)
}
