//! A transaction from the lock to the switch: DESIGN §6, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::family::{self, Family, FamilyError};
use crate::generation::{self, At, Lock, LockError, Patience, Stage, Store, StoreError, Switches};
use crate::history::{About, Record, now};
use crate::plan::{Action, Change};
use crate::repo::{FetchError, Wanted, download, fingerprints, state_of};
use crate::rpm::{self, Erase, Event, Failed, Install, Job};
use crate::session::{Session, SessionError};
use crate::solve::ffi::Id;
use crate::solve::{Answer, Ask, LoadError, Packages, Refusal, Wish, solve};

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
    /// rpm.
    #[error("{}{}", .0.message, shown_output(.0))]
    Rpm(#[from] Failed),
    /// A child needs what goes away.
    #[error(
        "{}\n`--with-descendants` moves them together; nothing has changed", .0.join("\n")
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
    /// The new generation.
    Done(u64),
}

/// The locks of a transaction, oldest node first, so that two transactions never wait for each other.
pub(crate) struct Locks {
    all: Vec<Lock>,
}

impl Locks {
    /// Ancestors stay as they are, the node (and, if asked, its descendants) may change.
    pub(crate) fn take(
        family: &Family,
        descendants: &[PathBuf],
        patience: Patience,
        talk: &mut dyn Talk,
    ) -> Result<Self, TransactionError> {
        let mut all = Vec::new();
        let mut tell = |line: &str| talk.say(line);
        for ancestor in &family.ancestors {
            let store = family::store(ancestor)?;
            if store.needs_sweep() {
                let alone = Lock::take(store.path(), true, patience, &mut tell)?;
                store.sweep()?;
                drop(alone);
            }
            all.push(Lock::take(&ancestor.path, false, patience, &mut tell)?);
        }
        for path in std::iter::once(&family.node.path).chain(descendants) {
            all.push(Lock::take(path, true, patience, &mut tell)?);
        }
        for path in std::iter::once(&family.node.path).chain(descendants) {
            Store::open(path)?.sweep()?;
        }
        Ok(Self { all })
    }

    fn pass_on(&self, on: bool) -> Result<(), StoreError> {
        self.all.iter().try_for_each(|lock| lock.pass_on(on))
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
    let below = if how.with_descendants { family::descendants(&family.node.path) } else { Vec::new() };
    let locks = Locks::take(&family, &below, how.patience, talk)?;
    // What was read before the lock may have changed since.
    let session = Session::of(Family::load(redpath)?, choice)?;
    let store = family::store(&session.family.node)?;
    let about = About::current(&store);
    let mut packages = session.packages(false, &mut |line| talk.say(line))?;
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
    let broken = broken_descendants(&session.family, &mut packages, &answer)?;
    if !broken.is_empty() && !how.with_descendants {
        return Err(TransactionError::Descendants(broken.into_values().flatten().collect()));
    }
    talk.show(&session.family.node.alias, &changes);
    if how.assume_no || !talk.agrees("Is this ok")? {
        return Ok(End::Declined);
    }
    let mut one = One { session: &session, store: &store, how, locks: &locks };
    let Some((stage, record)) = one.prepare(&packages, answer, &about, talk)? else {
        return Ok(End::Prepared);
    };
    let mut switches = Switches { nodes: vec![(store.path().to_owned(), stage.number)] };
    let mut records = vec![(store.path().to_owned(), record)];
    if !broken.is_empty() {
        for path in &below {
            if let Some((number, record)) = along(path, &switches, &one, talk)? {
                switches.nodes.push((path.clone(), number));
                records.push((path.clone(), record));
            }
        }
    }
    finish(&switches, &records, &session, talk)?;
    Ok(End::Done(stage.number))
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
            let mut whole = session.packages(true, &mut |line| talk.say(line))?;
            let answer = solve(&mut whole, ask);
            *packages = whole;
            Ok(answer?)
        }
        answer => Ok(answer?),
    }
}

/// What would no longer hold in the nodes below, by node.
fn broken_descendants(
    family: &Family,
    packages: &mut Packages,
    answer: &Answer,
) -> Result<BTreeMap<PathBuf, Vec<String>>, TransactionError> {
    let goes = goes_away(packages, answer);
    let before: BTreeSet<Id> = packages.fixed().into_iter().chain(packages.own()).collect();
    let comes =
        answer.changes.iter().filter(|(change, _)| change.action != Action::Remove).map(|(_, id)| *id);
    let after: BTreeSet<Id> = before.iter().copied().filter(|id| !goes.contains(id)).chain(comes).collect();
    let mut below: Vec<(PathBuf, String, BTreeSet<Id>)> = Vec::new();
    for path in family::descendants(&family.node.path) {
        let Ok(theirs) = Family::load(&path) else { continue };
        let repo = packages.pool.add_repo(&theirs.node.alias, 0, 0);
        if rpm::has_database(&theirs.node.database) {
            rpm::use_database(&theirs.node.database).map_err(LoadError::from)?;
            packages.pool.load_rpmdb(repo, &theirs.node.database).map_err(LoadError::from)?;
        }
        let ids = packages.pool.packages(repo).into_iter().collect();
        below.push((path, theirs.node.alias, ids));
    }
    let mut found = BTreeMap::new();
    if below.is_empty() {
        return Ok(found);
    }
    packages.pool.prepare();
    for (path, alias, ids) in &below {
        let chain = below.iter().filter(|(other, _, _)| path.starts_with(other)).flat_map(|(_, _, ids)| ids);
        let chain: BTreeSet<Id> = chain.copied().collect();
        let with = |base: &BTreeSet<Id>| base.union(&chain).copied().collect::<BTreeSet<Id>>();
        let unmet_before: BTreeSet<(Id, Id)> = packages.unmet(&with(&before)).into_iter().collect();
        let lines: Vec<String> = packages
            .unmet(&with(&after))
            .into_iter()
            .filter(|one| ids.contains(&one.0) && !unmet_before.contains(one))
            .map(|(id, dependency)| {
                let what = packages.pool.dependency(dependency);
                format!("node `{alias}` ({}): {} needs {what}", path.display(), packages.nevra(id))
            })
            .collect();
        if !lines.is_empty() {
            found.insert(path.clone(), lines);
        }
    }
    Ok(found)
}

/// Installed packages that an answer removes or replaces.
fn goes_away(packages: &Packages, answer: &Answer) -> BTreeSet<Id> {
    let names: BTreeSet<String> = answer
        .changes
        .iter()
        .flat_map(|(change, _)| match change.action {
            Action::Remove => vec![change.nevra()],
            _ => change.replaces.clone(),
        })
        .collect();
    packages.own().into_iter().filter(|&id| names.contains(&packages.nevra(id))).collect()
}

/// A descendant that moves along with its ancestor.
fn along(
    path: &Path,
    moved: &Switches,
    first: &One<'_>,
    talk: &mut dyn Talk,
) -> Result<Option<(u64, Record)>, TransactionError> {
    let mut family = Family::load(path)?;
    for ancestor in &mut family.ancestors {
        if let Some((_, number)) = moved.nodes.iter().find(|(node, _)| *node == ancestor.path) {
            let tree = ancestor.path.join(format!(".red/gen/{number}"));
            ancestor.database = tree.join(generation::DATABASE);
            ancestor.tree = tree;
        }
    }
    let session = Session::of(family, first.session.choice.clone())?;
    let store = family::store(&session.family.node)?;
    let about = About::current(&store);
    let mut packages = session.packages(false, &mut |line| talk.say(line))?;
    let mut ask = Ask::new(Wish::Mend, Vec::new());
    ask.asked = about.asked.clone();
    let answer = solve(&mut packages, &ask)?;
    if answer.changes.is_empty() {
        return Ok(None);
    }
    let changes: Vec<Change> = answer.changes.iter().map(|(change, _)| change.clone()).collect();
    talk.show(&session.family.node.alias, &changes);
    let mut one = One { session: &session, store: &store, how: first.how, locks: first.locks };
    let prepared = one.prepare(&packages, answer, &about, talk)?;
    Ok(prepared.map(|(stage, record)| (stage.number, record)))
}

/// Switches, and writes down what was done.
fn finish(
    switches: &Switches,
    records: &[(PathBuf, Record)],
    session: &Session,
    talk: &mut dyn Talk,
) -> Result<(), TransactionError> {
    generation::commit(switches)?;
    for (path, record) in records {
        let store = Store::open(path)?;
        let mut record = record.clone();
        record.id = store.next_record();
        store.record(&record)?;
        collect(&store, &session.settings, talk)?;
    }
    Ok(())
}

/// Removes generations beyond those that are kept.
pub(crate) fn collect(
    store: &Store,
    settings: &crate::repo::Settings,
    talk: &mut dyn Talk,
) -> Result<usize, StoreError> {
    const KEPT: usize = 3;
    let unused = generation::unused(store, settings.number("generations_keep", KEPT).max(1))?;
    for number in &unused {
        store.discard(*number)?;
        talk.say(&format!("generation {number} of {} is removed", store.path().display()));
    }
    Ok(unused.len())
}

/// One node's part of a transaction.
struct One<'a> {
    session: &'a Session,
    store: &'a Store,
    how: &'a How,
    locks: &'a Locks,
}

impl One<'_> {
    /// Fetches, stages, runs rpm and publishes a generation that is not yet current. `None` when no more
    /// than fetching or checking was asked for.
    fn prepare(
        &mut self,
        packages: &Packages,
        mut answer: Answer,
        about: &About,
        talk: &mut dyn Talk,
    ) -> Result<Option<(Stage, Record)>, TransactionError> {
        self.fetch(packages, &mut answer, talk)?;
        if self.how.download_only {
            return Ok(None);
        }
        let import = self.keys(&answer, talk)?;
        let tops = BTreeSet::new();
        let current = self.store.adopt(&tops)?;
        let number = self.store.next_generation()?;
        let stage = self.store.stage(number)?;
        let before = packages.own().into_iter().map(|id| packages.nevra(id)).collect();
        let result = self.transact(&stage, answer, (about, current, import, before), talk);
        if !matches!(result, Ok(Some(_))) {
            // The next command would do it too.
            let removed = generation::remove(self.store.dir(), self.store.path(), ".red/stage");
            let result = result.map(|record| record.map(|record| (stage, record)));
            return removed.map_err(TransactionError::from).and(result);
        }
        Ok(result?.map(|record| (stage, record)))
    }

    fn transact(
        &self,
        stage: &Stage,
        answer: Answer,
        (about, current, import, before): (&About, u64, Vec<PathBuf>, BTreeSet<String>),
        talk: &mut dyn Talk,
    ) -> Result<Option<Record>, TransactionError> {
        let changes: Vec<Change> = answer.changes.into_iter().map(|(change, _)| change).collect();
        let job = self.job(stage, &changes, import)?;
        self.locks.pass_on(true)?;
        let ran = rpm::run(&job, &mut |event| tell(talk, event));
        self.locks.pass_on(false)?;
        let (done, output) = ran?;
        if self.how.test {
            return Ok(None);
        }
        differs(&expected(before, &changes), done.installed)?;
        let kept = self.store.complete(stage, &done.tops)?;
        let mut about = about.clone();
        about.follow(&changes);
        about.record = Record {
            id: self.store.next_record(),
            time: now(),
            uid: rustix::process::getuid().as_raw(),
            command: self.how.command.clone(),
            from: Some(current),
            generation: stage.number,
            changes,
            outside: done.outside,
            kept,
            output,
        };
        let text = serde_json::to_vec_pretty(&about).unwrap_or_default();
        let path = stage.upper.join(generation::ABOUT);
        std::fs::write(&path, text).at(path)?;
        self.store.sync_all()?;
        self.store.publish(stage)?;
        Ok(Some(about.record))
    }

    fn job(&self, stage: &Stage, changes: &[Change], import: Vec<PathBuf>) -> Result<Job, TransactionError> {
        // What was adopted just now is behind `current`.
        let mut lowers = self.session.family.lowers();
        if let Some(node) = lowers.first_mut() {
            node.root = self.store.red("current");
        }
        let mut job = Job {
            upper: stage.upper.clone(),
            work: stage.work.clone(),
            lowers,
            import,
            scriptlets: self.how.scriptlets,
            documentation: self.how.documentation,
            test: self.how.test,
            ..Job::default()
        };
        job.keyrings = self.session.family.members().map(|member| member.database.clone()).collect();
        for change in changes {
            match &change.file {
                None => job.erase.push(Erase { name: change.name.clone(), nevra: change.nevra() }),
                Some(file) => job.install.push(Install {
                    file: file.clone(),
                    upgrade: !change.beside,
                    reinstall: change.action == Action::Reinstall,
                    signed: self.signed(&change.repo),
                    nevra: Some(change.nevra()),
                }),
            }
        }
        Ok(job)
    }

    /// Whether packages of a repository must be signed.
    fn signed(&self, repo: &str) -> bool {
        self.session.family.gpgcheck.is_some() || self.session.repo(repo).is_some_and(|repo| repo.gpgcheck)
    }

    fn fetch(
        &self,
        packages: &Packages,
        answer: &mut Answer,
        talk: &mut dyn Talk,
    ) -> Result<(), TransactionError> {
        let cache = &self.session.family.cache;
        let mut wanted = Vec::new();
        let mut at = Vec::new();
        for (index, (change, id)) in answer.changes.iter().enumerate() {
            if change.action == Action::Remove || change.file.is_some() {
                continue;
            }
            let location = packages.pool.location(*id).unwrap_or_default();
            let Some(repo) = self.session.repo(&change.repo) else {
                at.push((index, Some(PathBuf::from(location))));
                continue;
            };
            let bases = state_of(cache, repo).map(|here| here.state.bases).unwrap_or_default();
            let base = bases.first().and_then(|base| base.strip_prefix("file://"));
            if let Some(base) = base {
                // A package that is here already needs no copy; rpm verifies what it opens.
                at.push((index, Some(Path::new(base).join(&location))));
                continue;
            }
            wanted.push(Wanted {
                repo,
                bases,
                location,
                size: change.download,
                checksum: packages.pool.checksum(*id),
                nevra: change.nevra(),
            });
            at.push((index, None));
        }
        let total = wanted.len() as u64;
        let count = std::sync::atomic::AtomicU64::new(0);
        let names = std::sync::Mutex::new(Vec::new());
        let told = |nevra: &str, _size: u64| {
            let done = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            if let Ok(mut names) = names.lock() {
                names.push((done, nevra.to_owned()));
            }
        };
        let at_once = self.session.settings.number("max_parallel_downloads", 3);
        let paths = download(cache, &wanted, at_once, &told)?;
        for (done, nevra) in names.into_inner().unwrap_or_default() {
            talk.step(&format!("fetched {nevra}"), done, total);
        }
        let mut paths = paths.into_iter();
        for (index, path) in at {
            answer.changes[index].0.file = path.or_else(|| paths.next());
        }
        Ok(())
    }

    /// Keys that packages of this transaction will need and no node of the family has, once the person
    /// agreed to them.
    fn keys(&self, answer: &Answer, talk: &mut dyn Talk) -> Result<Vec<PathBuf>, TransactionError> {
        let mut known = BTreeSet::new();
        for member in self.session.family.members() {
            known.extend(rpm::key_ids(&member.database).map_err(LoadError::from)?);
        }
        let repos: BTreeSet<&str> = answer
            .changes
            .iter()
            .filter(|(change, _)| change.action != Action::Remove && self.signed(&change.repo))
            .map(|(change, _)| change.repo.as_str())
            .collect();
        let mut import = Vec::new();
        for repo in repos.into_iter().filter_map(|id| self.session.repo(id)) {
            let failed = |reason| TransactionError::Key { id: repo.id.clone(), reason };
            for path in self.session.keys(repo).map_err(failed)? {
                let found = fingerprints(&path).map_err(failed)?;
                if found.iter().all(|key| known.contains(key.id.get(8..).unwrap_or(&key.id))) {
                    continue;
                }
                for key in &found {
                    talk.say(&format!("repository `{}` signs with the key of {}", repo.id, key.user));
                    talk.say(&format!("  fingerprint {}", key.fingerprint.to_uppercase()));
                }
                if !talk.agrees("Trust this key for this node and its descendants")? {
                    return Err(failed("the key was not agreed to".into()));
                }
                import.push(path);
            }
        }
        Ok(import)
    }
}

fn tell(talk: &mut dyn Talk, event: &Event) {
    match event {
        Event::Package { nevra, removes } => {
            talk.step(&format!("{} {nevra}", if *removes { "removing" } else { "installing" }), 0, 0);
        }
        Event::Progress { done, total } => talk.step("", *done, *total),
        Event::Scriptlet { nevra } => {
            talk.say(&format!("a scriptlet of {nevra} failed; rpm goes on after such ones"))
        }
        Event::Done(_) | Event::Failed(_) => {}
    }
}

/// What a database must hold after changes.
fn expected(before: BTreeSet<String>, changes: &[Change]) -> BTreeSet<String> {
    let mut after = before;
    for change in changes {
        for gone in &change.replaces {
            after.remove(gone);
        }
        match change.action {
            Action::Remove => after.remove(&change.nevra()),
            _ => after.insert(change.nevra()),
        };
    }
    after
}

/// Refuses a database that does not hold exactly what was planned: rpm does not tell of every write
/// that failed.
fn differs(expected: &BTreeSet<String>, installed: Vec<String>) -> Result<(), TransactionError> {
    let installed: BTreeSet<String> = installed.into_iter().collect();
    match expected.symmetric_difference(&installed).next() {
        Some(nevra) => Err(TransactionError::Differs(nevra.clone())),
        None => Ok(()),
    }
}

impl About {
    /// Goes along with changes.
    fn follow(&mut self, changes: &[Change]) {
        for change in changes {
            for gone in change
                .replaces
                .iter()
                .chain((change.action == Action::Remove).then(|| change.nevra()).as_ref())
            {
                self.origin.remove(gone);
            }
            if change.action == Action::Remove {
                self.asked.remove(&change.name);
                continue;
            }
            self.origin.insert(change.nevra(), change.repo.clone());
            if change.asked {
                self.asked.insert(change.name.clone());
            }
        }
    }
}
