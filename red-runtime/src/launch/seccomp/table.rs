//! Many rules about one call that only tell apart the values of one argument: a list of values, which is
//! shorter than a rule each. The kernel takes 4096 instructions.

use std::collections::BTreeMap;

use oci_spec::runtime::LinuxSeccompOperator;

use super::program::{Condition, Rule, halves, places};
use crate::sys::seccomp::{Instruction, Test, finish, jump, load, test};

/// Values of an argument, and what is returned for each.
pub(super) struct Table {
    index: u32,
    actions: BTreeMap<u64, u32>,
}

impl Table {
    /// The table that rules come to, if they do. Of two about the same value the first one decides.
    pub(super) fn of(rules: &[Rule], narrow: bool) -> Option<Self> {
        let index = rules.first()?.all.first()?.index;
        let mut actions = BTreeMap::new();
        for rule in rules {
            let [Condition { index: other, op: LinuxSeccompOperator::ScmpCmpEq, value, .. }] =
                rule.all.as_slice()
            else {
                return None;
            };
            if *other != index {
                return None;
            }
            let value = if narrow { *value & u64::from(u32::MAX) } else { *value };
            actions.entry(value).or_insert(rule.action);
        }
        Some(Self { index, actions })
    }

    /// Looks for the value of the argument, and returns `default` where it has none.
    pub(super) fn program(&self, narrow: bool, default: u32) -> Vec<Instruction> {
        let (low_at, high_at) = places(self.index);
        let mut parts: BTreeMap<u32, Vec<(u32, u32, u32)>> = BTreeMap::new();
        for (value, action) in &self.actions {
            let (high, low) = halves(*value);
            let part = parts.entry(high).or_default();
            match part.last_mut() {
                Some((_, last, same)) if *same == *action && last.checked_add(1) == Some(low) => *last = low,
                _ => part.push((low, low, *action)),
            }
        }
        let mut all = Vec::new();
        if !narrow {
            all.push(load(high_at));
        }
        for (high, values) in parts {
            let mut part = vec![load(low_at)];
            for (first, last, action) in values {
                if first == last {
                    part.push(test(Test::Equal, first, 0, 1));
                } else {
                    part.push(test(Test::AtLeast, first, 0, 2));
                    part.push(test(Test::Above, last, 1, 0));
                }
                part.push(finish(action));
            }
            part.push(finish(default));
            if !narrow {
                all.push(test(Test::Equal, high, 0, 1));
                // Over the jump that is taken otherwise.
                all.push(jump(1));
                all.push(jump(part.len()));
            }
            all.extend(part);
        }
        if !narrow {
            all.push(finish(default));
        }
        all
    }
}
