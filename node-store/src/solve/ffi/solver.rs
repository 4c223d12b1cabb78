//! The solver, its answer, and why it has none.

use std::ffi::c_int;
use std::ptr::NonNull;

use super::pool::{Pool, owned};
use super::queue::Queue;
use super::{Id, raw};

/// What happens to a package.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StepKind {
    Install,
    Erase,
    Upgrade,
    Downgrade,
    Reinstall,
    /// It takes the place of packages of other names.
    Obsoletes,
}

/// One package of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    pub(crate) package: Id,
    /// What it takes the place of.
    pub(crate) replaces: Vec<Id>,
    pub(crate) why: Why,
}

/// Why a package is part of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// It was asked for.
    Asked,
    /// A package needs it.
    Needed { by: Id, dependency: Id },
    /// A package recommends it.
    Recommended,
    /// It was only there because of what goes away.
    Unneeded,
    /// It is newer.
    Update,
    /// libsolv chose.
    Chosen,
}

/// Why there is no answer, in libsolv's words, rule by rule, with the packages that are part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problem {
    pub(crate) rules: Vec<Rule>,
    pub(crate) ways_out: Vec<Vec<String>>,
}

/// One reason of a problem.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) kind: u32,
    pub(crate) source: Id,
    pub(crate) target: Id,
    pub(crate) dependency: Id,
    pub(crate) words: String,
}

impl Rule {
    /// Whether a job (what was asked, or a lock) is the reason.
    pub(crate) fn is_job(&self) -> bool {
        matches!(self.kind, raw::SolverRuleinfo_SOLVER_RULE_JOB)
    }

    /// Whether it says that two versions of one package exclude each other.
    pub(crate) fn is_same_name(&self) -> bool {
        self.kind == raw::SolverRuleinfo_SOLVER_RULE_PKG_SAME_NAME
    }

    /// Whether nothing provides the dependency.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(
            self.kind,
            raw::SolverRuleinfo_SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP
                | raw::SolverRuleinfo_SOLVER_RULE_JOB_NOTHING_PROVIDES_DEP
                | raw::SolverRuleinfo_SOLVER_RULE_JOB_UNKNOWN_PACKAGE
        )
    }
}

/// An answer, or why there is none.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Solved(Vec<Step>),
    Unsolvable(Vec<Problem>),
}

/// A solver over a pool.
pub(crate) struct Solver<'p> {
    solver: NonNull<raw::Solver>,
    pool: std::marker::PhantomData<&'p Pool>,
}

/// What a solver may do, by libsolv's numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Freedom {
    pub(crate) downgrade: bool,
    pub(crate) uninstall: bool,
    pub(crate) vendor_change: bool,
    pub(crate) weak_dependencies: bool,
    pub(crate) best: bool,
}

impl<'p> Solver<'p> {
    pub(crate) fn new(pool: &'p Pool, freedom: Freedom) -> Self {
        // SAFETY: the pool outlives the solver by its lifetime; libsolv ends the process without memory.
        let solver = unsafe { raw::solver_create(pool.raw()) };
        let Some(solver) = NonNull::new(solver) else {
            unreachable!("libsolv ends the process when there is no memory")
        };
        let flags = [
            (raw::SOLVER_FLAG_ALLOW_DOWNGRADE, freedom.downgrade),
            (raw::SOLVER_FLAG_ALLOW_UNINSTALL, freedom.uninstall),
            (raw::SOLVER_FLAG_ALLOW_VENDORCHANGE, freedom.vendor_change),
            (raw::SOLVER_FLAG_IGNORE_RECOMMENDED, !freedom.weak_dependencies),
            (raw::SOLVER_FLAG_BEST_OBEY_POLICY, true),
            (raw::SOLVER_FLAG_YUM_OBSOLETES, true),
            (raw::SOLVER_FLAG_KEEP_ORPHANS, true),
            (raw::SOLVER_FLAG_FOCUS_BEST, freedom.best),
        ];
        for (flag, on) in flags {
            // SAFETY: the solver is alive.
            unsafe { raw::solver_set_flag(solver.as_ptr(), flag as c_int, c_int::from(on)) };
        }
        Self { solver, pool: std::marker::PhantomData }
    }

    /// Does the jobs.
    pub(crate) fn solve(&mut self, jobs: &[(u32, Id)]) -> Outcome {
        let flat: Vec<Id> = jobs.iter().flat_map(|&(how, what)| [how as Id, what]).collect();
        let mut queue = Queue::of(&flat);
        // SAFETY: solver and queue are alive; libsolv copies the jobs.
        let problems = unsafe { raw::solver_solve(self.solver.as_ptr(), queue.as_mut()) };
        if problems == 0 { Outcome::Solved(self.steps()) } else { Outcome::Unsolvable(self.problems()) }
    }

    fn steps(&self) -> Vec<Step> {
        // SAFETY: the solver has an answer; the transaction is freed below, its steps are copied.
        unsafe {
            let transaction = raw::solver_create_transaction(self.solver.as_ptr());
            raw::transaction_order(transaction, 0);
            let queue = &(*transaction).steps;
            let count = usize::try_from(queue.count).unwrap_or(0);
            let ids: Vec<Id> = (0..count).map(|at| *queue.elements.add(at)).collect();
            let steps = ids.into_iter().filter_map(|id| self.step(transaction, id)).collect();
            raw::transaction_free(transaction);
            steps
        }
    }

    /// # Safety
    /// The transaction is alive and of this solver.
    unsafe fn step(&self, transaction: *mut raw::Transaction, package: Id) -> Option<Step> {
        let mode = raw::SOLVER_TRANSACTION_SHOW_ACTIVE
            | raw::SOLVER_TRANSACTION_SHOW_ALL
            | raw::SOLVER_TRANSACTION_SHOW_OBSOLETES
            | raw::SOLVER_TRANSACTION_CHANGE_IS_REINSTALL;
        // SAFETY: as the caller says.
        let kind = unsafe { raw::transaction_type(transaction, package, mode as c_int) } as u32;
        let kind = match kind {
            raw::SOLVER_TRANSACTION_INSTALL | raw::SOLVER_TRANSACTION_MULTIINSTALL => StepKind::Install,
            raw::SOLVER_TRANSACTION_ERASE => StepKind::Erase,
            raw::SOLVER_TRANSACTION_UPGRADE => StepKind::Upgrade,
            raw::SOLVER_TRANSACTION_DOWNGRADE => StepKind::Downgrade,
            raw::SOLVER_TRANSACTION_REINSTALL | raw::SOLVER_TRANSACTION_MULTIREINSTALL => StepKind::Reinstall,
            raw::SOLVER_TRANSACTION_OBSOLETES => StepKind::Obsoletes,
            _ => return None,
        };
        let mut replaced = Queue::new();
        if kind != StepKind::Erase {
            // SAFETY: as the caller says; the queue is initialized.
            unsafe { raw::transaction_all_obs_pkgs(transaction, package, replaced.as_mut()) };
        }
        Some(Step { kind, package, replaces: replaced.ids().to_vec(), why: self.why(package) })
    }

    fn why(&self, package: Id) -> Why {
        let mut rule = 0;
        // SAFETY: the solver has an answer, the package is of its pool.
        let reason =
            unsafe { raw::solver_describe_decision(self.solver.as_ptr(), package, &mut rule) } as u32;
        match reason {
            raw::SOLVER_REASON_RESOLVE_JOB => Why::Asked,
            raw::SOLVER_REASON_WEAKDEP | raw::SOLVER_REASON_RECOMMENDED | raw::SOLVER_REASON_SUPPLEMENTED => {
                Why::Recommended
            }
            raw::SOLVER_REASON_CLEANDEPS_ERASE => Why::Unneeded,
            raw::SOLVER_REASON_UPDATE_INSTALLED => Why::Update,
            raw::SOLVER_REASON_UNIT_RULE | raw::SOLVER_REASON_RESOLVE => self.needed(rule),
            _ => Why::Chosen,
        }
    }

    fn needed(&self, rule: Id) -> Why {
        let rule = self.rule(rule);
        match rule.kind {
            raw::SolverRuleinfo_SOLVER_RULE_PKG_REQUIRES => {
                Why::Needed { by: rule.source, dependency: rule.dependency }
            }
            raw::SolverRuleinfo_SOLVER_RULE_JOB => Why::Asked,
            raw::SolverRuleinfo_SOLVER_RULE_UPDATE
            | raw::SolverRuleinfo_SOLVER_RULE_FEATURE
            | raw::SolverRuleinfo_SOLVER_RULE_BEST => Why::Update,
            _ => Why::Chosen,
        }
    }

    fn rule(&self, rule: Id) -> Rule {
        let (mut source, mut target, mut dependency) = (0, 0, 0);
        // SAFETY: the rule comes from this solver; the words are copied.
        let (kind, words) = unsafe {
            let solver = self.solver.as_ptr();
            let kind = raw::solver_ruleinfo(solver, rule, &mut source, &mut target, &mut dependency);
            let words = raw::solver_problemruleinfo2str(solver, kind, source, target, dependency);
            (kind, owned(words))
        };
        Rule { kind, source, target, dependency, words }
    }

    fn problems(&self) -> Vec<Problem> {
        // SAFETY: the solver is alive and has been run.
        let count = unsafe { raw::solver_problem_count(self.solver.as_ptr()) };
        (1..=count).map(|problem| self.problem(Id::try_from(problem).unwrap_or(1))).collect()
    }

    fn problem(&self, problem: Id) -> Problem {
        let mut rules = Queue::new();
        // SAFETY: the problem is one of this solver's, the queue is initialized.
        unsafe { raw::solver_findallproblemrules(self.solver.as_ptr(), problem, rules.as_mut()) };
        let mut found: Vec<Rule> = rules.ids().iter().map(|&rule| self.rule(rule)).collect();
        found.dedup_by(|one, other| one.words == other.words);
        Problem { rules: found, ways_out: self.ways_out(problem) }
    }

    fn ways_out(&self, problem: Id) -> Vec<Vec<String>> {
        let solver = self.solver.as_ptr();
        let mut ways = Vec::new();
        // SAFETY: problem, solution and element are what libsolv counts from 0 on; words are copied.
        unsafe {
            let count = raw::solver_solution_count(solver, problem);
            for solution in 1..=Id::try_from(count).unwrap_or(0) {
                let (mut way, mut element, mut what, mut with) = (Vec::new(), 0, 0, 0);
                loop {
                    element = raw::solver_next_solutionelement(
                        solver, problem, solution, element, &mut what, &mut with,
                    );
                    if element == 0 {
                        break;
                    }
                    way.push(owned(raw::solver_solutionelement2str(solver, what, with)));
                }
                ways.push(way);
            }
        }
        ways
    }

    /// Installed packages that nothing needs and nobody asked for.
    pub(crate) fn unneeded(&self) -> Vec<Id> {
        let mut queue = Queue::new();
        // SAFETY: the solver has been run, the queue is initialized.
        unsafe { raw::solver_get_unneeded(self.solver.as_ptr(), queue.as_mut(), 0) };
        queue.ids().to_vec()
    }
}

impl Drop for Solver<'_> {
    fn drop(&mut self) {
        // SAFETY: freed once, before its pool.
        unsafe { raw::solver_free(self.solver.as_ptr()) };
    }
}
