//! One node's part of a transaction: fetch, trust, stage, run rpm, publish.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use red_runtime::node::render::visible;

use super::held::Before;
use super::limits::limits;
use super::{How, Locks, Talk, TransactionError, deciding};
use crate::beneath::Dir;
use crate::generation::{self, At, Left, Stage, Store};
use crate::history::{About, Record, now};
use crate::plan::{Action, Change};
use crate::repo::{FetchError, Found, Wanted, download, state_of};
use crate::rpm::database::{Contents, renew_index};
use crate::rpm::{self, Done, Erase, Event, Install, Job, TrustedKey};
use crate::session::Session;
use crate::solve::{Answer, LoadError, Packages};

/// One node's part of a transaction.
pub(super) struct One<'a> {
    pub(super) session: &'a Session,
    pub(super) store: &'a Store,
    pub(super) how: &'a How,
    pub(super) locks: &'a Locks,
}

impl One<'_> {
    /// Fetches, stages, runs rpm and publishes a generation that is not yet current. `None` when no more
    /// than fetching or checking was asked for.
    pub(super) fn prepare(
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
        let before = Before::read(&self.session.family, about, talk)?;
        let import = self.keys(&answer, &before, talk)?;
        let tops = BTreeSet::new();
        let current = self.store.adopt(&tops)?;
        let number = self.store.next_generation()?;
        let stage = self.store.stage(number)?;
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
        (about, current, import, before): (&About, u64, Vec<String>, Before),
        talk: &mut dyn Talk,
    ) -> Result<Option<Record>, TransactionError> {
        let changes: Vec<Change> = answer.changes.into_iter().map(|(change, _)| change).collect();
        let gone = before.gone(&changes);
        let staged =
            deciding::open(self.store.dir(), self.store.path(), &format!(".red/stage/{}", stage.number))?;
        deciding::is_believed(&staged, &self.session.family.node)?;
        let job = self.job(stage, &changes, (import, before.trusted.clone()))?;
        let (done, output, failed) = self.have_rpm(&job, talk)?;
        if self.how.test {
            return Ok(None);
        }
        self.disarm(&staged, &job, talk)?;
        let held = deciding::database(&staged)?;
        let agreed = rpm::certificates(&job.import)?;
        before.compare(&held, (&changes, &done.packages, &agreed), self.how.documentation)?;
        renew_index(&staged.dir(generation::DATABASE).at(staged.path())?, &held).map_err(LoadError::from)?;
        let outside = self.tidy(stage, &staged, &done, &held)?;
        let (left, undone) = self.complete(stage, (current, &staged), (&job, gone, &held.tops()), talk)?;
        let mut about = about.clone();
        about.follow(&changes);
        let mut keys = before.list;
        keys.keep(&held);
        keys.add(&agreed);
        about.keys = Some(keys);
        about.record = Record {
            id: self.store.next_record(),
            time: now(),
            uid: rustix::process::getuid().as_raw(),
            command: self.how.command.clone(),
            from: Some(current),
            generation: stage.number,
            changes,
            outside,
            kept: left.kept,
            undone,
            failed,
            output,
        };
        let text = serde_json::to_vec_pretty(&about).unwrap_or_default();
        self.store.describe(stage, &text)?;
        self.store.sync_all()?;
        self.store.publish(stage)?;
        Ok(Some(about.record))
    }

    /// Has rpm do it, under the node's locks. Returns, too, which scriptlets failed.
    fn have_rpm(
        &self,
        job: &Job,
        talk: &mut dyn Talk,
    ) -> Result<(Done, String, Vec<String>), TransactionError> {
        self.locks.pass_on(true)?;
        let mut failed = Vec::new();
        let ran = rpm::run(job, &mut |event| {
            if let Event::Scriptlet { words, .. } = event {
                failed.push(visible(words).into_owned());
            }
            tell(talk, event);
        });
        self.locks.pass_on(false)?;
        let (done, output) = ran?;
        Ok((done, output, failed))
    }

    /// Takes away what only the view needed. Returns files that no package owns.
    fn tidy(
        &self,
        stage: &Stage,
        staged: &Dir,
        done: &Done,
        held: &Contents,
    ) -> Result<Vec<PathBuf>, TransactionError> {
        let in_view = |name: &OsString| Path::new("/").join(name);
        let points: Vec<PathBuf> = done.points.iter().map(in_view).collect();
        // By their text: comparing paths part by part takes the longest of all where there are many.
        let mut owned: HashSet<&OsStr> =
            held.packages.iter().flat_map(|package| package.files.iter().map(OsStr::new)).collect();
        let others = |names: &[OsString]| -> Vec<PathBuf> {
            let others = names.iter().filter(|name| !owned.contains(in_view(name).as_os_str()));
            others.map(PathBuf::from).collect()
        };
        let paths = |names: &[OsString]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        // What is missing is gone, also a file of a package that a scriptlet removed.
        let gone = [paths(&done.gone), others(&done.emptied)].concat();
        let spare = [paths(&done.points), others(&done.spare)].concat();
        self.store.tidy(stage, &gone, (&spare, &paths(&done.made)))?;
        owned.extend(points.iter().map(|point| point.as_os_str()));
        Ok(rpm::strangers(staged.fd(), &owned)?)
    }

    /// Makes a generation of what rpm left, without what scriptlets did to files that decide.
    fn complete(
        &self,
        stage: &Stage,
        (current, staged): (u64, &Dir),
        (job, gone, tops): (&Job, BTreeSet<PathBuf>, &BTreeSet<String>),
        talk: &mut dyn Talk,
    ) -> Result<(Left, Vec<PathBuf>), TransactionError> {
        let old = deciding::open(self.store.dir(), self.store.path(), &format!(".red/gen/{current}"))?;
        let rules = rpm::Rules { more: &job.deciding, allowed: &job.allowed };
        let watch = deciding::Watch { stage: staged, current: Some(&old), rules, gone };
        let tops: Vec<String> = tops.iter().cloned().collect();
        let mut undone = watch.sweep()?;
        let left = self.store.complete(stage, &tops)?;
        for path in &left.dropped {
            talk.say(&format!(
                "/{}: a scriptlet made this pipe or socket, and generations have none: it is not kept (services make \
                 theirs in /run when they start; /var keeps them)",
                visible(&path.to_string_lossy())
            ));
        }
        watch.restore(&mut undone)?;
        for path in &undone {
            talk.say(&format!(
                "{}: a scriptlet changed it, and it decides for the node: it is as it was \
                 (`--allow-file={0}` lets it be changed)",
                path.display()
            ));
        }
        Ok((left, undone.into_iter().collect()))
    }

    fn job(
        &self,
        stage: &Stage,
        changes: &[Change],
        (import, trusted): (Vec<String>, Vec<TrustedKey>),
    ) -> Result<Job, TransactionError> {
        // What was adopted just now is behind `current`.
        let mut lowers = self.session.family.lowers_to_compare();
        if let Some(node) = lowers.first_mut() {
            node.root = self.store.red("current");
        }
        let mut job = Job {
            upper: stage.upper.clone(),
            work: stage.work.clone(),
            lowers,
            import,
            trusted,
            scriptlets: self.how.scriptlets,
            documentation: self.how.documentation,
            test: self.how.test,
            deciding: self.session.family.deciding.clone(),
            allowed: [self.how.allowed.clone(), self.session.settings.list("allow_files")].concat(),
            limits: limits(&self.session.settings, changes)?,
            ..Job::default()
        };
        for change in changes {
            match &change.file {
                None => job.erase.push(Erase { name: change.name.clone(), nevra: change.nevra() }),
                Some(file) => job.install.push(Install {
                    file: file.clone(),
                    upgrade: !change.beside,
                    reinstall: change.action == Action::Reinstall,
                    signed: self.session.demands(&change.repo).is_some(),
                    demanded: self.session.demands(&change.repo).unwrap_or_default(),
                    checksum: change.checksum.clone(),
                    bytes: change.download,
                    nevra: Some(change.nevra()),
                }),
            }
        }
        Ok(job)
    }

    /// Takes what has files run as their owner, whoever starts them, and says so.
    fn disarm(&self, staged: &Dir, job: &Job, talk: &mut dyn Talk) -> Result<(), TransactionError> {
        let rules = rpm::Rules { more: &job.deciding, allowed: &job.allowed };
        let files = rpm::disarm(staged.fd(), &rules)?;
        let Some(first) = files.first() else { return Ok(()) };
        let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
        talk.say(&format!(
            "removed set-user-ID, set-group-ID or file capabilities: {}{more}; without effect in nodes, they would let \
             every user of the host act as the owner (`--allow-file=PATH` keeps them)",
            visible(&first.to_string_lossy()),
        ));
        Ok(())
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
                at.push((index, Some(PathBuf::from(location)), None));
                continue;
            };
            let checksum = packages.pool.checksum(*id);
            if checksum.is_none() {
                return Err(FetchError::NoChecksum { path: location }.into());
            }
            let bases = state_of(cache, repo).map(|state| state.bases).unwrap_or_default();
            let base = bases.first().and_then(|base| crate::repo::local(base));
            if let Some(base) = base.filter(|_| crate::repo::is_below(&location)) {
                // A package that is here already needs no copy: what is opened for rpm is compared with its checksum.
                at.push((index, Some(base.join(&location)), checksum));
                continue;
            }
            wanted.push(Wanted {
                repo,
                bases,
                location,
                size: change.download,
                checksum: checksum.clone(),
                nevra: change.nevra(),
            });
            at.push((index, None, checksum));
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
        for (index, path, checksum) in at {
            let change = &mut answer.changes[index].0;
            (change.file, change.checksum) = (path.or_else(|| paths.next()), checksum);
        }
        Ok(())
    }

    /// Keys that packages of this transaction will need and no node of the family has, once the person
    /// agreed to them.
    fn keys(
        &self,
        answer: &Answer,
        before: &Before,
        talk: &mut dyn Talk,
    ) -> Result<Vec<String>, TransactionError> {
        let mut known = before.fingerprints.clone();
        let repos: BTreeSet<&str> = answer
            .changes
            .iter()
            .filter(|(change, _)| {
                change.action != Action::Remove && self.session.demands(&change.repo).is_some()
            })
            .map(|(change, _)| change.repo.as_str())
            .collect();
        let mut import = Vec::new();
        for repo in repos.into_iter().filter_map(|id| self.session.repo(id)) {
            let failed = |reason| TransactionError::Key { id: repo.id.clone(), reason };
            for file in self.session.keys(repo).map_err(failed)? {
                let (found, strange): (Vec<Found>, Vec<Found>) = file.into_iter().partition(|key| key.known);
                if found.is_empty() {
                    return Err(failed("none is of a kind that this version of rpm knows".into()));
                }
                // A key that has got another subkey is known, and what it signs with now is not.
                let new = |key: &Found| key.keys().any(|fingerprint| !known.contains(fingerprint));
                let new: Vec<Found> = found.into_iter().filter(new).collect();
                for key in &new {
                    let user = if key.user.is_empty() { "somebody without a name" } else { &key.user };
                    talk.say(&format!("repository `{}` signs with the key of {user}", repo.id));
                    key.lines().for_each(|line| talk.say(&line));
                }
                for key in strange.iter().filter(|_| !new.is_empty()) {
                    talk.say(&format!(
                        "repository `{}`: this version of rpm does not know keys like {}; packages that no other \
                         key signed are refused",
                        repo.id, key.fingerprint
                    ));
                }
                let question = match new.len() {
                    0 => continue,
                    1 => "Trust this key for this node and its descendants",
                    _ => "Trust these keys for this node and its descendants",
                };
                if !talk.agrees(question)? {
                    return Err(failed("the key was not agreed to".into()));
                }
                known.extend(new.iter().flat_map(Found::keys).cloned());
                import.extend(new.into_iter().map(|key| key.armored));
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
        Event::Scriptlet { words, goes_on } => {
            let goes_on = if *goes_on { "; rpm goes on after such ones" } else { "" };
            talk.say(&format!("{}{goes_on}", visible(words)));
        }
        Event::Done(_) | Event::Failed(_) => {}
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
