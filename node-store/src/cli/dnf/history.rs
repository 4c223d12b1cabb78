//! History, rollback, generations.

use std::path::Path;

use red_runtime::cli::exit::Exit;

use super::{Common, DnfError, change};
use crate::cli::output;
use crate::family::{self, Family};
use crate::generation::{self, Lock, Store, Switches};
use crate::history::{About, Record, now};
use crate::plan::Action;
use crate::rpm::RpmError;
use crate::session::{Session, SessionError};
use crate::solve::{LoadError, Packages, Wish};
use crate::transaction::{self, End, Locks, Talk, TransactionError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

impl Args {
    /// Whether nothing is changed.
    pub(super) fn looks(&self) -> bool {
        !matches!(self.what, Some(What::Undo { .. }))
    }
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show all records, newest first (the default)
    List,
    /// Show one record in full
    Info {
        /// Its number
        number: u64,
    },
    /// Undo what one record did, as a new generation
    Undo {
        /// Its number
        number: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The generation to go back to (default: what was current before)
    number: Option<u64>,
}

pub(super) fn store(common: &Common) -> Result<(Family, Store), DnfError> {
    let family = Family::load(common.redpath()?).map_err(SessionError::from)?;
    let store = family::store(&family.node)?;
    Ok((family, store))
}

pub(super) fn run(common: &Common, args: &Args, command: &[String]) -> Result<Exit, DnfError> {
    match &args.what {
        None | Some(What::List) => list(common),
        Some(What::Info { number }) => info(common, *number),
        Some(What::Undo { number }) => undo(common, *number, command),
    }
}

fn record(store: &Store, number: u64) -> Result<Record, DnfError> {
    let found = store.history().into_iter().find(|record| record.id == number);
    found.ok_or_else(|| {
        DnfError::Nothing(format!("the history has no record {number}: `red-history` lists them"))
    })
}

fn list(common: &Common) -> Result<Exit, DnfError> {
    let (_, store) = store(common)?;
    let history = store.history();
    if common.json {
        output::json(&history)?;
        return Ok(Exit::Success);
    }
    let mut rows =
        vec![["record", "time", "user", "generation", "packages", "command"].map(String::from).to_vec()];
    for record in history.iter().rev() {
        let words: Vec<&str> = record
            .command
            .iter()
            .skip(1)
            .map(String::as_str)
            .filter(|word| !word.starts_with("--redpath"))
            .collect();
        let from = record.from.map(|from| format!("{from} → ")).unwrap_or_default();
        rows.push(vec![
            record.id.to_string(),
            record.time.clone(),
            record.uid.to_string(),
            format!("{from}{}", record.generation),
            record.changes.len().to_string(),
            words.join(" "),
        ]);
    }
    output::lines(output::table(&rows))?;
    Ok(Exit::Success)
}

fn info(common: &Common, number: u64) -> Result<Exit, DnfError> {
    let (_, store) = store(common)?;
    let record = record(&store, number)?;
    if common.json {
        output::json(&record)?;
        return Ok(Exit::Success);
    }
    let mut lines = vec![
        format!("record      {}", record.id),
        format!("time        {}", record.time),
        format!("user id     {}", record.uid),
        format!("command     {}", record.command.join(" ")),
        format!(
            "generation  {} (before: {})",
            record.generation,
            record.from.map_or("none".into(), |from| from.to_string())
        ),
    ];
    for change in &record.changes {
        let replaces = if change.replaces.is_empty() {
            String::new()
        } else {
            format!(", replaces {}", change.replaces.join(", "))
        };
        lines.push(format!(
            "  {} {} from {} ({}){replaces}",
            change.action.words(),
            change.nevra(),
            change.repo,
            change.reason
        ));
    }
    if !record.outside.is_empty() {
        lines.push("files that scriptlets wrote and no package owns:".into());
        lines.extend(record.outside.iter().map(|path| format!("  {}", path.display())));
    }
    if !record.kept.is_empty() {
        lines.push("files of ancestors that scriptlets tried to remove, and that are still there:".into());
        lines.extend(record.kept.iter().map(|path| format!("  /{}", path.display())));
    }
    if !record.undone.is_empty() {
        lines.push(
            "files that decide for the node, which scriptlets changed, and that are as they were:".into(),
        );
        lines.extend(record.undone.iter().map(|path| format!("  {}", path.display())));
    }
    if !record.failed.is_empty() {
        lines.push("scriptlets that failed:".into());
        lines.extend(record.failed.iter().map(|words| format!("  {words}")));
    }
    if !record.output.trim().is_empty() {
        lines.push("scriptlets printed:".into());
        lines.extend(record.output.lines().map(|line| format!("  {line}")));
    }
    output::lines(lines)?;
    Ok(Exit::Success)
}

/// The inverse of a record, as a transaction like any other.
fn undo(common: &Common, number: u64, command: &[String]) -> Result<Exit, DnfError> {
    let (_, node) = store(common)?;
    let record = record(&node, number)?;
    if record.changes.is_empty() {
        return Err(DnfError::Nothing(format!(
            "record {number} changed no package: `red-rollback {}` goes back to the generation before it",
            record.from.unwrap_or(0)
        )));
    }
    let how = change::how(common, &common.setopt, command)?;
    let mut person = common.person();
    let mut is_missing = false;
    let mut make = |session: &Session, packages: &mut Packages, about: &About| {
        let mut ask = change::ask(common, session, about, Wish::Downgrade, &[]);
        let mut missing = Vec::new();
        for change in &record.changes {
            let gone = packages.own().into_iter().find(|&id| packages.nevra(id) == change.nevra());
            match (change.action, gone) {
                (Action::Install, Some(id)) if change.replaces.is_empty() => ask.erase.push(id),
                _ => {
                    let back = if change.action == Action::Remove {
                        vec![change.nevra()]
                    } else {
                        change.replaces.clone()
                    };
                    for nevra in back {
                        let offered =
                            packages.repos.iter().flat_map(|(repo, _)| packages.pool.packages(*repo));
                        match offered.into_iter().find(|&id| packages.nevra(id) == nevra) {
                            Some(id) => ask.exact.push(id),
                            None => missing.push(format!("no repository has {nevra} any more")),
                        }
                    }
                }
            }
        }
        is_missing = !missing.is_empty();
        if missing.is_empty() { Ok(ask) } else { Err(crate::solve::Refusal::NoMatch(missing).into()) }
    };
    let end = match transaction::run(common.redpath()?, common.choice(), &how, &mut make, &mut person) {
        Err(error) if is_missing || no_metadata(&error) => {
            let Some(from) = kept(&node, &record)? else { return Err(error.into()) };
            person.say(&error.to_string());
            person.say(&format!(
                "generation {from}, from before that record, is kept; data in var stay as they are"
            ));
            return rollback(common, &RollbackArgs { number: Some(from) }, command);
        }
        end => end?,
    };
    change::tell(&end, &mut person);
    Ok(if end == End::Declined && !common.assumeno { Exit::Failure } else { Exit::Success })
}

/// Whether a repository could not be asked.
fn no_metadata(error: &TransactionError) -> bool {
    matches!(error, TransactionError::Session(SessionError::Stale(..) | SessionError::Metadata(..)))
}

/// The generation that is all that a record undone leads to: what was before it, where nothing came after it.
fn kept(node: &Store, record: &Record) -> Result<Option<u64>, DnfError> {
    let numbers = node.numbers()?;
    let last = node.current()? == Some(record.generation);
    Ok(record.from.filter(|from| last && numbers.contains(from)))
}

pub(super) fn rollback(common: &Common, args: &RollbackArgs, command: &[String]) -> Result<Exit, DnfError> {
    let mut person = common.person();
    if let Some(mended) = mend(common, args.number, command, &mut person)? {
        return Ok(mended);
    }
    let (family, node) = store(common)?;
    family.may_change().map_err(SessionError::from)?;
    let interrupted = node.interrupted()?;
    let locks = Locks::take(&family, &[], common.patience()?, &mut person)?;
    if let Some(done) = interrupted.filter(|done| args.number.is_none_or(|number| number == done.generation))
    {
        // Whoever repeats a command that was killed does not want to go farther.
        person
            .say(&format!("generation {} is current: the interrupted rollback is complete", done.generation));
        return Ok(Exit::Success);
    }
    let numbers = node.numbers()?;
    let current = node.current()?;
    let before = current.map_or(Ok(None), |current| node.before(current))?;
    let Some(number) = args.number.or(before) else {
        return Err(DnfError::Nothing("there is no generation to go back to".into()));
    };
    if !numbers.contains(&number) {
        return Err(
            crate::generation::StoreError::NoGeneration { node: node.path().to_owned(), number }.into()
        );
    }
    if current == Some(number) {
        person.say(&format!("generation {number} is current already"));
        return Ok(Exit::Success);
    }
    let broken = broken(&family, node.path(), number)?;
    if !broken.is_empty() {
        return Err(TransactionError::Descendants(broken).into());
    }
    warn_of_configuration(&node, current, number, &mut person);
    if common.assumeno
        || !person
            .agrees(&format!("Go back from generation {} to {number}", current.unwrap_or(0)))
            .map_err(TransactionError::from)?
    {
        person.say("nothing is done");
        return Ok(if common.assumeno { Exit::Success } else { Exit::Failure });
    }
    let record = Record {
        id: node.next_record(),
        time: now(),
        uid: rustix::process::getuid().as_raw(),
        command: command.to_vec(),
        from: current,
        generation: number,
        ..Record::default()
    };
    locks.hold()?;
    node.intend(&record)?;
    let told = generation::commit(&Switches { nodes: vec![(node.path().to_owned(), number)] })?;
    told.iter().for_each(|line| person.say(line));
    node.record(&record)?;
    node.forget_intended()?;
    drop(locks);
    person.say(&format!("generation {number} is current"));
    Ok(Exit::Success)
}

/// Has a node whose `.red/current` leads to no generation lead to one again. `None` for any other node.
fn mend(
    common: &Common,
    number: Option<u64>,
    command: &[String],
    talk: &mut dyn Talk,
) -> Result<Option<Exit>, DnfError> {
    // Who says what is wrong with a path is the family.
    let Ok(path) = std::fs::canonicalize(common.redpath()?) else { return Ok(None) };
    let Ok(node) = Store::open(&path) else { return Ok(None) };
    let Some(numbers) = node.lost()? else { return Ok(None) };
    let Some(number) = number.filter(|number| numbers.contains(number)) else {
        return Err(DnfError::Nothing(format!(
            "{}: `.red/current` leads to no generation: name one of {}",
            path.display(),
            generation::list(&numbers)
        )));
    };
    family::is_changeable(&path).map_err(SessionError::from)?;
    if common.assumeno
        || !talk
            .agrees(&format!("`.red/current` leads to no generation. Have it lead to {number}"))
            .map_err(TransactionError::from)?
    {
        talk.say("nothing is done");
        return Ok(Some(if common.assumeno { Exit::Success } else { Exit::Failure }));
    }
    let lock = Lock::take(&path, true, common.patience()?, &mut |line| talk.say(line));
    let lock = lock.map_err(TransactionError::from)?;
    node.lead_back(number)?;
    let (id, time, uid) = (node.next_record(), now(), rustix::process::getuid().as_raw());
    node.record(&Record {
        id,
        time,
        uid,
        command: command.to_vec(),
        generation: number,
        ..Record::default()
    })?;
    drop(lock);
    talk.say(&format!("generation {number} is current"));
    Ok(Some(Exit::Success))
}

/// A generation holds the node's configuration too.
fn warn_of_configuration(store: &Store, current: Option<u64>, number: u64, talk: &mut dyn Talk) {
    let Some(current) = current else { return };
    for name in ["etc/redpak.yaml", "etc/redpak-admin.yaml"] {
        let text = |generation: u64| std::fs::read(store.generation(generation).join(name)).ok();
        if text(current) != text(number) {
            talk.say(&format!("note: {name} differs between both, and goes back as well"));
        }
    }
}

/// What descendants would lack if a node held another generation.
fn broken(family: &Family, node: &Path, number: u64) -> Result<Vec<String>, DnfError> {
    let mut lines = Vec::new();
    let database = node.join(format!(".red/gen/{number}")).join(generation::DATABASE);
    for path in family::descendants(node) {
        let Ok(mut theirs) = Family::load(&path) else { continue };
        // A database that is not believed is what somebody goes back from.
        let before = match crate::audit::unmet(&theirs) {
            Err(LoadError::Rpm(RpmError::Database { .. })) => continue,
            before => before.map_err(SessionError::from)?,
        };
        for ancestor in theirs.ancestors.iter_mut().filter(|ancestor| ancestor.path == family.node.path) {
            ancestor.database = database.clone();
        }
        let after = crate::audit::unmet(&theirs).map_err(SessionError::from)?;
        lines.extend(after.into_iter().filter(|line| !before.contains(line)));
    }
    Ok(lines)
}
