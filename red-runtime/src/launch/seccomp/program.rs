//! A filter as a program of the kernel's (seccomp(2)): by ABI, by the number of the call, by its arguments.
//!
//! The program is ours: where rules about one call overlap, libseccomp 2.5 leaves some of them out, and a rule
//! that denies something is not to be lost.

use std::collections::BTreeMap;

use oci_spec::runtime::{Arch, LinuxSeccompOperator};

use super::abi::{AUDIT_X86_64, Abi, X32_BIT};
use super::table::Table;
use crate::sys::seccomp::{ARCHITECTURE, NUMBER};
use crate::sys::seccomp::{Instruction, Test, and, argument, finish, jump, load, test};

/// A rule about one call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rule {
    /// What is returned to the kernel (`SECCOMP_RET_…`).
    pub(super) action: u32,
    /// Conditions, all of which have to hold.
    pub(super) all: Vec<Condition>,
}

/// A condition on an argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Condition {
    /// Which argument, from 0 on.
    pub(super) index: u32,
    /// How it is compared.
    pub(super) op: LinuxSeccompOperator,
    /// With what; the mask of a masked comparison.
    pub(super) value: u64,
    /// What has to be left of a masked comparison.
    pub(super) second: u64,
}

/// Calls that are newer than a configuration: those behind the last one of an ABI that it names. Whoever wrote
/// it did not mean to deny them.
pub(super) struct Newer<'a> {
    /// Every call that it names.
    pub(super) names: Vec<&'a str>,
    /// What is returned for a newer one.
    pub(super) missing: u32,
}

impl Newer<'_> {
    /// The last call of an ABI that is named.
    fn last(&self, abi: Abi) -> Option<u32> {
        // Calls of the ARM ABI beside the table are no measure.
        self.names
            .iter()
            .filter_map(|name| abi.number(name))
            .filter(|number| !(0x000f_0000..X32_BIT).contains(number))
            .max()
    }
}

/// What happens to a call.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Fate {
    /// Always the same.
    Always(u32),
    /// The first rule whose conditions hold decides.
    Depends { rules: Vec<Rule>, narrow: bool },
}

/// The whole program: `rules` in the order of the configuration, each with the names of its calls; of an ABI
/// that is not named no call is left. `None` on a machine whose ABI is not known here.
pub(super) fn program(
    archs: &[Arch],
    rules: &[(&[String], Vec<Rule>)],
    default: u32,
    newer: Option<&Newer<'_>>,
) -> Option<Vec<Instruction>> {
    let own = Abi::native()?;
    // An ABI of another machine is never seen on this one.
    let mut abis = vec![own];
    for abi in archs.iter().copied().filter_map(Abi::of) {
        if !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    let mut parts: BTreeMap<u32, Vec<Space>> = BTreeMap::new();
    // This machine's own comes first, and its numbers are the smaller ones.
    for abi in abis.iter().copied() {
        let calls = calls_of(abi, rules).into_iter();
        let calls: BTreeMap<u32, Fate> =
            calls.map(|(number, rules)| (number, fate(rules, abi.narrow()))).collect();
        let begin = if abi == Abi::X32 { X32_BIT } else { 0 };
        let last = newer.and_then(|newer| newer.last(abi)).max(calls.keys().max().copied());
        let missing = newer.and_then(|newer| Some((last? + 1, newer.missing)));
        parts.entry(abi.audit()).or_default().push(Space { begin, calls, missing });
    }
    let mut program = vec![load(ARCHITECTURE)];
    for (audit, spaces) in parts {
        let split = own == Abi::X86_64 && audit == AUDIT_X86_64;
        let other =
            if split && !abis.contains(&Abi::X32) { Some(libc::SECCOMP_RET_KILL_THREAD) } else { None };
        let mut part = vec![load(NUMBER)];
        part.extend(search(&ranges(spaces, default, other), default));
        program.push(test(Test::Equal, audit, 0, 1));
        // Over the jump that is taken otherwise.
        program.push(jump(1));
        program.push(jump(part.len()));
        program.extend(part);
    }
    program.push(finish(libc::SECCOMP_RET_KILL_THREAD));
    Some(program)
}

/// Rules by the number of the call in an ABI.
fn calls_of(abi: Abi, rules: &[(&[String], Vec<Rule>)]) -> BTreeMap<u32, Vec<Rule>> {
    let mut calls: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for (names, rules) in rules {
        // A name that is not known is of another architecture, or of a newer kernel.
        for name in names.iter() {
            if let Some(number) = abi.number(name) {
                calls.entry(number).or_default().extend_from_slice(rules);
            }
            if let Some((call, part)) = abi.part(name) {
                // Its own arguments are in memory, where no filter looks.
                let which = Condition {
                    index: 0,
                    op: LinuxSeccompOperator::ScmpCmpMaskedEq,
                    value: call.mask(),
                    second: part,
                };
                let actions = rules.iter().map(|rule| Rule { action: rule.action, all: vec![which] });
                calls.entry(call.number()).or_default().extend(actions);
            }
        }
    }
    calls
}

/// What rules say of a call. One without conditions decides for all of it, as every runtime has it.
fn fate(rules: Vec<Rule>, narrow: bool) -> Fate {
    match rules.iter().find(|rule| rule.all.is_empty()) {
        Some(rule) => Fate::Always(rule.action),
        None => Fate::Depends { rules, narrow },
    }
}

/// The numbers of an ABI.
struct Space {
    /// Where they begin.
    begin: u32,
    calls: BTreeMap<u32, Fate>,
    /// Where those begin that are newer than the configuration, and what is returned for them.
    missing: Option<(u32, u32)>,
}

/// Every number there is, as ranges with one fate: where each begins. `other` is that of the ABI that shares
/// its numbers' space, where it is not named.
fn ranges(spaces: Vec<Space>, default: u32, other: Option<u32>) -> Vec<(u32, Fate)> {
    let mut ranges: Vec<(u32, Fate)> = vec![(0, Fate::Always(default))];
    let mut add = |number: u32, fate: Fate| match ranges.last_mut() {
        Some((begin, last)) if *begin == number => *last = fate,
        Some((_, last)) if *last == fate && matches!(fate, Fate::Always(_)) => {}
        _ => ranges.push((number, fate)),
    };
    for Space { begin, calls, missing } in spaces {
        add(begin, Fate::Always(default));
        for (number, fate) in calls {
            add(number, fate);
            add(number + 1, Fate::Always(default));
        }
        if let Some((number, action)) = missing {
            add(number, Fate::Always(action));
        }
    }
    if let Some(action) = other {
        add(X32_BIT, Fate::Always(action));
        // A tracer has a call left out by this number (seccomp(2), SECCOMP_RET_TRACE).
        add(u32::MAX, Fate::Always(default));
    }
    merged(ranges)
}

/// The same without a begin where nothing changes.
fn merged(ranges: Vec<(u32, Fate)>) -> Vec<(u32, Fate)> {
    let mut all: Vec<(u32, Fate)> = Vec::with_capacity(ranges.len());
    for (number, fate) in ranges {
        if all.last().is_none_or(|(_, last)| *last != fate || matches!(fate, Fate::Depends { .. })) {
            all.push((number, fate));
        }
    }
    all
}

/// Looks for the range of the loaded number, by halves.
fn search(ranges: &[(u32, Fate)], default: u32) -> Vec<Instruction> {
    match ranges {
        [] => vec![finish(default)],
        [(_, Fate::Always(action))] => vec![finish(*action)],
        [(_, Fate::Depends { rules, narrow })] => {
            if let Some(table) = Table::of(rules, *narrow) {
                return table.program(*narrow, default);
            }
            let mut all: Vec<Instruction> = rules.iter().flat_map(|rule| decide(rule, *narrow)).collect();
            all.push(finish(default));
            all
        }
        _ => {
            let (lower, upper) = ranges.split_at(ranges.len() / 2);
            let lower = search(lower, default);
            let mut all = vec![test(Test::AtLeast, upper[0].0, 0, 1), jump(lower.len())];
            all.extend(lower);
            all.extend(search(upper, default));
            all
        }
    }
}

/// Where a comparison goes.
#[derive(Clone, Copy)]
enum To {
    /// To the next instruction.
    Next,
    /// Behind the condition: it holds.
    Holds,
    /// Behind the rule: it does not.
    Fails,
}

/// A step of a condition.
enum Step {
    Load(u32),
    And(u32),
    Test(Test, u32, To, To),
}

/// Returns the action of a rule if all its conditions hold, and goes on behind it otherwise.
fn decide(rule: &Rule, narrow: bool) -> Vec<Instruction> {
    let conditions: Vec<Vec<Step>> = rule.all.iter().map(|one| steps(one, narrow)).collect();
    // At most six conditions of six steps: every distance fits.
    let mut left: usize = conditions.iter().map(Vec::len).sum();
    let mut all = Vec::new();
    for condition in conditions {
        let length = condition.len();
        for (at, step) in condition.into_iter().enumerate() {
            left -= 1;
            let behind = length - at - 1;
            let distance = |to: To| match to {
                To::Next => 0,
                To::Holds => behind,
                To::Fails => left + 1,
            };
            let short = |to: To| u8::try_from(distance(to)).unwrap_or(u8::MAX);
            all.push(match step {
                Step::Load(offset) => load(offset),
                Step::And(mask) => and(mask),
                Step::Test(kind, number, yes, no) => test(kind, number, short(yes), short(no)),
            });
        }
    }
    all.push(finish(rule.action));
    all
}

/// The upper half of a number, and the lower one.
pub(super) fn halves(number: u64) -> (u32, u32) {
    (u32::try_from(number >> 32).unwrap_or(0), u32::try_from(number & 0xffff_ffff).unwrap_or(0))
}

/// Where the lower half of an argument is, and where the upper one.
pub(super) fn places(index: u32) -> (u32, u32) {
    let little = cfg!(target_endian = "little");
    let (first, second) = (argument(index), argument(index) + 4);
    if little { (first, second) } else { (second, first) }
}

/// The steps of a condition: first the upper half of the argument, where the ABI has one.
fn steps(condition: &Condition, narrow: bool) -> Vec<Step> {
    use LinuxSeccompOperator as Op;
    use To::{Fails, Holds, Next};
    let (low_at, high_at) = places(condition.index);
    let (mask, value) = match condition.op {
        Op::ScmpCmpMaskedEq => (condition.value, condition.second & condition.value),
        _ => (u64::MAX, condition.value),
    };
    let ((mask_high, mask_low), (high, low)) = (halves(mask), halves(value));
    // Less and less-or-equal are the others, turned round.
    let (kind, yes, no) = match condition.op {
        Op::ScmpCmpEq | Op::ScmpCmpMaskedEq => (Test::Equal, Holds, Fails),
        Op::ScmpCmpNe => (Test::Equal, Fails, Holds),
        Op::ScmpCmpGt => (Test::Above, Holds, Fails),
        Op::ScmpCmpLe => (Test::Above, Fails, Holds),
        Op::ScmpCmpGe => (Test::AtLeast, Holds, Fails),
        Op::ScmpCmpLt => (Test::AtLeast, Fails, Holds),
    };
    let mut all = Vec::new();
    if !narrow {
        all.push(Step::Load(high_at));
        if mask_high != u32::MAX {
            all.push(Step::And(mask_high));
        }
        if kind != Test::Equal {
            all.push(Step::Test(Test::Above, high, yes, Next));
        }
        all.push(Step::Test(Test::Equal, high, Next, no));
    }
    all.push(Step::Load(low_at));
    if mask_low != u32::MAX {
        all.push(Step::And(mask_low));
    }
    all.push(Step::Test(kind, low, yes, no));
    all
}
