//! From what a person asks for to what is to be done.

use std::collections::BTreeSet;

use super::ffi::{Id, Outcome, Problem, Solver, job, selection};
use super::load::Packages;
use crate::history::About;
use crate::plan::{Action, Change};

/// A verb.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    Install,
    Remove,
    Update,
    Downgrade,
    Reinstall,
    Autoremove,
    /// Whatever has unmet requirements gets other versions.
    Mend,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) wish: Wish,
    /// Packages as typed.
    pub(crate) typed: Vec<String>,
    /// Packages that are meant whatever they are called, such as files of the command line.
    pub(crate) exact: Vec<Id>,
    /// Installed packages to remove besides.
    pub(crate) erase: Vec<Id>,
    /// What the node says of its packages.
    pub(crate) about: About,
    /// Recommended packages come along.
    pub(crate) weak: bool,
    /// Packages of the node may be removed where that is the only way.
    pub(crate) allow_erasing: bool,
    /// A package that may change its vendor.
    pub(crate) vendor_change: bool,
    /// The newest version or none.
    pub(crate) best: bool,
    /// What a package alone needed goes with it.
    pub(crate) clean: bool,
    /// Names of packages of which several versions may be installed.
    pub(crate) multiversion: Vec<String>,
}

impl Ask {
    pub(crate) fn new(wish: Wish, typed: Vec<String>) -> Self {
        Self {
            wish,
            typed,
            exact: Vec::new(),
            erase: Vec::new(),
            about: About::default(),
            weak: true,
            allow_erasing: false,
            vendor_change: true,
            best: false,
            clean: true,
            multiversion: Vec::new(),
        }
    }

    /// Whether somebody asked for an installed package.
    pub(super) fn is_asked(&self, packages: &Packages, id: Id) -> bool {
        self.about.is_asked(&packages.pool.name(id), &packages.nevra(id))
    }
}

/// Something asked for is there already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Already {
    pub(crate) nevra: String,
    pub(crate) owner: String,
    pub(crate) ours: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) changes: Vec<(Change, Id)>,
    pub(crate) already: Vec<Already>,
}

/// Why nothing is to be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A text that fits nothing.
    #[error("{}", .0.join("\n"))]
    NoMatch(Vec<String>),
    /// It belongs to an ancestor.
    #[error("{}", .0.join("\n"))]
    Ancestor(Vec<String>),
    /// The solver's reasons.
    #[error("{0}")]
    Unsolvable(String),
}

/// Finds what is to be done.
pub(crate) fn solve(packages: &mut Packages, ask: &Ask) -> Result<Answer, Refusal> {
    let mut jobs = Jobs { list: Vec::new(), already: Vec::new(), wrong: Vec::new(), foreign: Vec::new() };
    for name in &ask.multiversion {
        let name = packages.pool.dependency_id(name);
        jobs.list.push((job::MULTIVERSION | job::NAME, name));
    }
    for typed in &ask.typed {
        match ask.wish {
            Wish::Install | Wish::Reinstall | Wish::Downgrade => jobs.add(packages, ask, typed),
            Wish::Remove => jobs.remove(packages, ask, typed),
            Wish::Update => jobs.update(packages, typed),
            Wish::Autoremove | Wish::Mend => {}
        }
    }
    if !jobs.wrong.is_empty() {
        return Err(Refusal::NoMatch(jobs.wrong));
    }
    if !jobs.foreign.is_empty() {
        return Err(Refusal::Ancestor(jobs.foreign));
    }
    jobs.rest(packages, ask);
    run(packages, ask, jobs)
}

struct Jobs {
    list: Vec<(u32, Id)>,
    already: Vec<Already>,
    wrong: Vec<String>,
    foreign: Vec<String>,
}

impl Jobs {
    fn nothing(&mut self, packages: &mut Packages, typed: &str) {
        let close = close_to(packages, typed);
        let close = close.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        self.wrong.push(format!("no package fits `{typed}`{close}"));
    }

    /// Install, reinstall, downgrade.
    fn add(&mut self, packages: &mut Packages, ask: &Ask, typed: &str) {
        let mut selection = packages.pool.select(typed, selection::NAMED);
        if selection.is_empty() {
            selection = packages.pool.select(typed, selection::ANYTHING);
        }
        let found = packages.pool.selected(&selection);
        if found.is_empty() {
            return self.nothing(packages, typed);
        }
        let fixed: BTreeSet<Id> = packages.fixed().into_iter().collect();
        let own: BTreeSet<Id> = packages.own().into_iter().collect();
        if let Some(&there) = found.iter().find(|id| fixed.contains(id)) {
            return self.of_ancestor(packages, there);
        }
        // Another version than typed may be in an ancestor.
        let names: BTreeSet<String> = found.iter().map(|&id| packages.pool.name(id)).collect();
        let holder =
            fixed.iter().copied().find(|&id| names.len() == 1 && names.contains(&packages.pool.name(id)));
        if let Some(there) = holder
            && !ask.multiversion.contains(&packages.pool.name(there))
        {
            let (have, owner) = (packages.nevra(there), packages.owner(there).cloned());
            if let Some(owner) = owner {
                self.foreign.push(format!(
                    "`{typed}` cannot be installed here: {have} is in {}, which stays as it is for its descendants; \
                     {}",
                    owner.words(),
                    update_there(&owner)
                ));
            }
            return;
        }
        let offered: Vec<Id> = found.iter().copied().filter(|id| !packages.is_installed(*id)).collect();
        match ask.wish {
            Wish::Reinstall => self.again(packages, typed, &found, &own),
            Wish::Downgrade => self.older(packages, typed, &offered, &own),
            _ => {
                if let Some(&there) = found.iter().find(|id| own.contains(id)) {
                    let owner = packages.owner(there).map(|owner| owner.words()).unwrap_or_default();
                    self.already.push(Already { nevra: packages.nevra(there), owner, ours: true });
                }
                let best = if ask.best { job::FORCEBEST } else { 0 };
                self.list.extend(selection.iter().map(|&(how, what)| (job::INSTALL | best | how, what)));
            }
        }
    }

    fn of_ancestor(&mut self, packages: &Packages, there: Id) {
        let owner = packages.owner(there).map(|owner| owner.words()).unwrap_or_default();
        self.already.push(Already { nevra: packages.nevra(there), owner, ours: false });
    }

    fn again(&mut self, packages: &mut Packages, typed: &str, found: &[Id], own: &BTreeSet<Id>) {
        let installed: Vec<Id> = found.iter().copied().filter(|id| own.contains(id)).collect();
        let mut any = false;
        for there in installed {
            let nevra = packages.nevra(there);
            let same =
                found.iter().copied().find(|&id| !packages.is_installed(id) && packages.nevra(id) == nevra);
            if let Some(same) = same {
                self.list.push((job::INSTALL | job::SOLVABLE, same));
                any = true;
            }
        }
        if !any {
            self.wrong.push(format!(
                "`{typed}` cannot be reinstalled: it is not installed in this node, or no repository has that version"
            ));
        }
    }

    fn older(&mut self, packages: &mut Packages, typed: &str, offered: &[Id], own: &BTreeSet<Id>) {
        let mut any = false;
        for &there in own {
            let name = packages.pool.name(there);
            let older = offered
                .iter()
                .copied()
                .filter(|&id| packages.pool.name(id) == name && packages.pool.compare(id, there).is_lt())
                .max_by(|&one, &other| packages.pool.compare(one, other));
            if let Some(older) = older {
                self.list.push((job::INSTALL | job::SOLVABLE, older));
                any = true;
            }
        }
        if !any {
            self.wrong.push(format!(
                "`{typed}` cannot be downgraded: no repository has an older version than installed"
            ));
        }
    }

    fn remove(&mut self, packages: &mut Packages, ask: &Ask, typed: &str) {
        let mut selection = packages.pool.select(typed, selection::NAMED);
        if selection.is_empty() {
            selection = packages.pool.select(typed, selection::ANYTHING);
        }
        let found = packages.pool.selected(&selection);
        let own: BTreeSet<Id> = packages.own().into_iter().collect();
        let ours: Vec<Id> = found.iter().copied().filter(|id| own.contains(id)).collect();
        if ours.is_empty() {
            let theirs = found.iter().find_map(|&id| Some((packages.nevra(id), packages.owner(id)?.clone())));
            match theirs {
                Some((nevra, owner)) => {
                    let there = if owner.core {
                        String::new()
                    } else {
                        format!("; remove it there: red-dnf --redpath={} red-remove", owner.path.display())
                    };
                    self.foreign.push(format!("{nevra} is in {}, not in this node{there}", owner.words()));
                }
                None => self.wrong.push(format!("`{typed}` is not installed in this node")),
            }
        }
        let clean = if ask.clean { job::CLEANDEPS } else { 0 };
        self.list.extend(ours.into_iter().map(|id| (job::ERASE | job::SOLVABLE | clean, id)));
    }

    fn update(&mut self, packages: &mut Packages, typed: &str) {
        let selection = packages.pool.select(typed, selection::NAMED);
        let found = packages.pool.selected(&selection);
        let own: BTreeSet<Id> = packages.own().into_iter().collect();
        let ours: Vec<Id> = found.iter().copied().filter(|id| own.contains(id)).collect();
        if ours.is_empty() {
            let theirs = found.iter().find_map(|&id| Some((packages.nevra(id), packages.owner(id)?.clone())));
            match theirs {
                Some((nevra, owner)) => {
                    self.foreign.push(format!("{nevra} is in {}; {}", owner.words(), update_there(&owner)));
                }
                None => self.wrong.push(format!("`{typed}` is not installed in this node")),
            }
        }
        self.list.extend(ours.into_iter().map(|id| (job::UPDATE | job::SOLVABLE, id)));
    }

    /// What holds whatever is asked for.
    fn rest(&mut self, packages: &Packages, ask: &Ask) {
        let own = packages.own();
        if ask.wish == Wish::Update && ask.typed.is_empty() {
            let best = if ask.best { job::FORCEBEST } else { 0 };
            self.list.extend(own.iter().map(|&id| (job::UPDATE | job::SOLVABLE | best, id)));
        }
        if ask.wish == Wish::Mend {
            self.list.extend(own.iter().map(|&id| (job::VERIFY | job::SOLVABLE, id)));
            self.list.extend(own.iter().map(|&id| (job::UPDATE | job::SOLVABLE, id)));
        }
        self.list.extend(ask.exact.iter().map(|&id| (job::INSTALL | job::SOLVABLE, id)));
        self.list.extend(ask.erase.iter().map(|&id| (job::ERASE | job::SOLVABLE, id)));
        for id in packages.fixed() {
            self.list.push((job::LOCK | job::SOLVABLE, id));
            self.list.push((job::USERINSTALLED | job::SOLVABLE, id));
        }
        for id in own {
            if ask.is_asked(packages, id) {
                self.list.push((job::USERINSTALLED | job::SOLVABLE, id));
            }
        }
    }
}

/// How to update what an ancestor has.
fn update_there(owner: &crate::family::Member) -> String {
    if owner.core {
        "the core OS is updated by its own tools".into()
    } else {
        format!("update it there: red-dnf --redpath={} red-update", owner.path.display())
    }
}

fn freedom(ask: &Ask) -> super::ffi::Freedom {
    super::ffi::Freedom {
        downgrade: matches!(ask.wish, Wish::Downgrade | Wish::Mend) || !ask.exact.is_empty(),
        uninstall: ask.allow_erasing || matches!(ask.wish, Wish::Remove | Wish::Autoremove),
        vendor_change: ask.vendor_change,
        weak_dependencies: ask.weak,
        best: ask.best,
    }
}

fn run(packages: &Packages, ask: &Ask, mut jobs: Jobs) -> Result<Answer, Refusal> {
    let freedom = freedom(ask);
    if ask.wish == Wish::Autoremove {
        let mut solver = Solver::new(&packages.pool, freedom);
        drop(solver.solve(&jobs.list));
        let own: BTreeSet<Id> = packages.own().into_iter().collect();
        let unneeded = solver.unneeded().into_iter().filter(|id| own.contains(id));
        let erase: Vec<_> = unneeded.map(|id| (job::ERASE | job::SOLVABLE, id)).collect();
        jobs.list.extend(erase);
    }
    let mut solver = Solver::new(&packages.pool, freedom);
    match solver.solve(&jobs.list) {
        Outcome::Unsolvable(problems) => Err(Refusal::Unsolvable(words(packages, &problems))),
        Outcome::Solved(steps) => {
            let changes =
                steps.iter().map(|step| (super::change::change(packages, ask, step), step.package)).collect();
            let mut answer = Answer { changes, already: jobs.already };
            // What rpm itself removes because something takes its place is part of that change.
            let replaced: BTreeSet<Id> =
                steps.iter().flat_map(|step| step.replaces.iter().copied()).collect();
            answer.changes.retain(|(change, id)| change.action != Action::Remove || !replaced.contains(id));
            Ok(answer)
        }
    }
}

fn words(packages: &Packages, problems: &[Problem]) -> String {
    super::explain(packages, problems)
}

/// The name of a package that is close to what was typed.
fn close_to(packages: &mut Packages, typed: &str) -> Option<String> {
    let repos: Vec<_> = packages.repos.iter().map(|(repo, _)| *repo).collect();
    let mut best: Option<(usize, String)> = None;
    for repo in repos {
        for id in packages.pool.packages(repo) {
            let name = packages.pool.name(id);
            let distance = distance(&name, typed, 3);
            if distance < best.as_ref().map_or(3, |(least, _)| *least) {
                best = Some((distance, name));
            }
        }
    }
    best.map(|(_, name)| name)
}

/// Edits between two names, `most` when there are more.
fn distance(one: &str, other: &str, most: usize) -> usize {
    if one.len().abs_diff(other.len()) >= most {
        return most;
    }
    strsim::damerau_levenshtein(one, other).min(most)
}
