//! A transaction from the lock to the switch, in the order of docs/src/store.md.

mod deciding;
mod descendants;
mod held;
mod limits;
mod locks;
mod node;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::family::{self, Family, FamilyError};
use crate::generation::{self, LockError, Patience, Room, Store, StoreError, Switches};
use crate::history::{About, Record};
use crate::plan::Change;
use crate::repo::FetchError;
use crate::rpm::Failed;
use crate::rpm::database::expect_contents;
use crate::session::{Session, SessionError};
use crate::solve::{Answer, Ask, LoadError, Packages, Refusal, solve};

use descendants::Below;
pub(crate) use locks::Locks;
use node::One;

/// Who is told and asked.
pub(crate) trait Talk {
    /// Says a line.
    fn say(&mut self, line: &str);
    /// Shows what is to be done.
    fn show(&mut self, node: &str, changes: &[Change]);
    /// Asks; never assumes a yes.
    fn agrees(&mut self, question: &str) -> Result<bool, NoTerminal>;
    /// How far something is.
    fn step(&mut self, what: &str, done: u64, total: u64);
}

/// Nobody is there to be asked.
#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask on: `-y` agrees beforehand, `--assumeno` only shows")]
pub(crate) struct NoTerminal;

/// Why a transaction came to nothing. The node is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransactionError {
    /// The command's surroundings.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Somebody else changes the node.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The node's files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be solved.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// Packages could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A package did not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There can be no install view.
    #[error("the install view: {0}; nothing has changed")]
    View(#[from] crate::rpm::ViewError),
    /// rpm.
    #[error("{}{}", .0.message, shown_output(.0))]
    Rpm(#[from] Failed),
    /// A child needs what goes away.
    #[error(
        "{}\n`--with-descendants` moves them together (of red-rollback: `red-history undo NUMBER --with-descendants`); nothing has changed", .0.join("\n")
    )]
    Descendants(Vec<String>),
    /// Nobody to ask.
    #[error(transparent)]
    NoTerminal(#[from] NoTerminal),
    /// A key could not be had.
    #[error("keys of repository `{id}`: {reason}")]
    Key {
        /// The repository.
        id: String,
        /// Why.
        reason: String,
    },
    /// A key that nobody agreed to.
    #[error("a scriptlet put a key into rpm's database ({0}); nothing has changed")]
    StrangeKey(String),
    /// An ancestor that is somebody else's went on meanwhile.
    #[error("{}: changed by another command meanwhile; this node is unchanged, try again", .0.display())]
    Moved(PathBuf),
    /// A setting that is none.
    #[error(
        "invalid {option} `{value}`: expected a number ({}; 0: no limit); nothing has changed",
        if *option == "scriptlet_timeout" { "of seconds" } else { "of MiB" }
    )]
    Limit {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: String,
    },
    /// rpm did something else.
    #[error("rpm's database is not what was planned after the transaction ({0}); nothing has changed")]
    Differs(String),
}

impl From<FamilyError> for TransactionError {
    fn from(error: FamilyError) -> Self {
        Self::Session(error.into())
    }
}

fn shown_output(failed: &Failed) -> String {
    let output = failed.output.trim();
    if output.is_empty() { String::new() } else { format!("\nscriptlets printed:\n{output}") }
}

/// How a transaction is to be done.
#[derive(Clone, Debug)]
pub(crate) struct How {
    pub(crate) patience: Patience,
    pub(crate) with_descendants: bool,
    pub(crate) download_only: bool,
    pub(crate) assume_no: bool,
    pub(crate) scriptlets: bool,
    pub(crate) documentation: bool,
    pub(crate) test: bool,
    /// Files that decide and that packages may bring all the same, see [`crate::rpm::Rules`].
    pub(crate) allowed: Vec<String>,
    /// The command line, for the history.
    pub(crate) command: Vec<String>,
}

/// How a transaction ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// There was nothing to do.
    Nothing,
    /// The person did not want it.
    Declined,
    /// Packages are fetched, or checked, and nothing else was asked for.
    Prepared,
    /// The new generation is current.
    Done {
        /// Its number.
        generation: u64,
        /// Scriptlets that failed and that rpm went on after, in its words.
        failed: Vec<String>,
    },
}

impl End {
    /// What is said in the end.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Nothing => "nothing to do".into(),
            Self::Declined => "nothing is done".into(),
            Self::Prepared => "everything is there; nothing is changed".into(),
            Self::Done { generation, failed } if failed.is_empty() => {
                format!("done: generation {generation} is current")
            }
            Self::Done { generation, failed } => format!(
                "done: generation {generation} is current, but what {} scriptlet{} should have done is missing \
                 (`red-history info` has what they printed):\n  {}",
                failed.len(),
                if failed.len() == 1 { "" } else { "s" },
                failed.join("\n  ")
            ),
        }
    }
}

/// Does what is asked for, in one new generation.
pub(crate) fn run(
    redpath: &Path,
    choice: crate::session::Choice,
    how: &How,
    ask: &mut dyn FnMut(&Session, &mut Packages, &About) -> Result<Ask, TransactionError>,
    talk: &mut dyn Talk,
) -> Result<End, TransactionError> {
    let family = Family::load(redpath)?;
    family.may_change()?;
    has_a_view(&family)?;
    let below = if how.with_descendants { family::descendants(&family.node.path) } else { Vec::new() };
    let locks = Locks::take(&family, &below, how.patience, talk)?;
    // What was read before the lock may have changed since.
    let session = Session::of(Family::load(redpath)?, choice)?;
    let store = family::store(&session.family.node)?;
    let about = About::to_change(&store)?;
    expect_contents();
    let mut packages = session.packages(false, talk)?;
    let wanted = ask(&session, &mut packages, &about)?;
    let answer = decide(&session, &mut packages, &wanted, talk)?;
    for already in &answer.already {
        let there = if already.ours { "is installed already" } else { "is provided already" };
        talk.say(&format!("{} {there}: it is in {}", already.nevra, already.owner));
    }
    if answer.changes.is_empty() {
        return Ok(End::Nothing);
    }
    let changes: Vec<Change> = answer.changes.iter().map(|(change, _)| change.clone()).collect();
    let Below { broken, twice } = descendants::look(&session.family, &mut packages, &answer)?;
    if !broken.is_empty() && !how.with_descendants {
        return Err(TransactionError::Descendants(broken.into_values().flatten().collect()));
    }
    talk.show(&session.family.node.alias, &changes);
    twice.iter().for_each(|line| talk.say(line));
    if how.assume_no || !talk.agrees("Is this ok")? {
        return Ok(End::Declined);
    }
    if !broken.is_empty() {
        for path in broken.keys() {
            locks.holds(path)?;
        }
        descendants::may_move(broken.keys())?;
    }
    let mut one = One { session: &session, store: &store, how, locks: &locks };
    let Some((stage, record)) = one.prepare(&packages, answer, &about, talk)? else {
        return Ok(End::Prepared);
    };
    let mut going = Going {
        switches: Switches { nodes: vec![(store.path().to_owned(), stage.number)] },
        records: vec![(store.path().to_owned(), record)],
    };
    let moving: Vec<&PathBuf> = if broken.is_empty() { Vec::new() } else { below.iter().collect() };
    let moved = going.take_along(&moving, &broken, &one, talk);
    if let Err(error) = moved.and_then(|()| finish(&going, &one, talk)) {
        going.abandon();
        return Err(error);
    }
    let records = going.records;
    let failed = records.into_iter().flat_map(|(_, record)| record.failed).collect();
    Ok(End::Done { generation: stage.number, failed })
}

/// What is about to become current, oldest node first.
struct Going {
    switches: Switches,
    records: Vec<(PathBuf, Record)>,
}

impl Going {
    /// Has nodes below follow what moves above them.
    fn take_along(
        &mut self,
        below: &[&PathBuf],
        broken: &BTreeMap<PathBuf, Vec<String>>,
        first: &One<'_>,
        talk: &mut dyn Talk,
    ) -> Result<(), TransactionError> {
        if !below.is_empty() {
            first.store.note_moving(below)?;
        }
        for path in below {
            // The others need nothing, and may be anybody's.
            if !broken.contains_key(*path) && !descendants::loses(path, &self.switches)? {
                continue;
            }
            if let Some((number, record)) = descendants::along(path, &self.switches, first, talk)? {
                self.switches.nodes.push(((*path).clone(), number));
                self.records.push(((*path).clone(), record));
            }
        }
        Ok(())
    }

    /// Removes what will not become current. What cannot be removed the next command removes.
    fn abandon(&self) {
        let gone = self.switches.nodes.iter().all(|(node, number)| {
            let Ok(store) = Store::open(node) else { return false };
            store.shown() != Some(*number) && store.discard(*number).is_ok()
        });
        if let Some((first, _)) = self.switches.nodes.first().filter(|_| gone) {
            drop(Store::open(first).and_then(|store| store.forget_moving()));
        }
    }
}

/// Makes sure that packages can be installed where a node is, before anything is written.
pub(super) fn has_a_view(family: &Family) -> Result<(), TransactionError> {
    let lowers = family.lowers();
    if crate::rpm::check_place(&family.node.path, &lowers)?.unusual {
        crate::rpm::probe(&lowers)?;
    }
    Ok(())
}

/// Solves; lists of files are looked into when something needs a file that nobody is known to have.
fn decide(
    session: &Session,
    packages: &mut Packages,
    ask: &Ask,
    talk: &mut dyn Talk,
) -> Result<Answer, TransactionError> {
    match solve(packages, ask) {
        Err(Refusal::Unsolvable(words)) if words.contains("nothing provides /") && ask.exact.is_empty() => {
            let mut whole = session.packages(true, talk)?;
            let answer = solve(&mut whole, ask);
            *packages = whole;
            Ok(answer?)
        }
        answer => Ok(answer?),
    }
}

/// Switches, and writes down what was done.
fn finish(going: &Going, first: &One<'_>, talk: &mut dyn Talk) -> Result<(), TransactionError> {
    first.locks.hold()?;
    generation::commit(&going.switches)?.iter().for_each(|line| talk.say(line));
    for (path, record) in &going.records {
        let store = Store::open(path)?;
        let mut record = record.clone();
        record.id = store.next_record();
        // What was tried again has it.
        if store.lacks_record(record.generation) {
            store.record(&record)?;
        }
        collect(&store, &first.session.settings, Room::Reuse, talk)?;
    }
    Ok(first.store.forget_moving()?)
}

/// Removes generations beyond those that are kept.
pub(crate) fn collect(
    store: &Store,
    settings: &crate::repo::Settings,
    room: Room,
    talk: &mut dyn Talk,
) -> Result<usize, StoreError> {
    const KEPT: usize = 3;
    let unused = generation::unused(store, settings.number("generations_keep", KEPT).max(1))?;
    for number in &unused {
        store.retire(*number, room)?;
        talk.say(&format!("generation {number} of {} is removed", store.path().display()));
    }
    for number in store.forget_kept()? {
        talk.say(&format!(
            "what generation {number} of {} had for var, and could not be put there, is removed with it",
            store.path().display()
        ));
    }
    Ok(unused.len())
}
