//! `environ` cumulates: of one key the younger node's entry wins, and the elder's `warn` is shown.

use std::collections::BTreeMap;

use super::{Lost, Merger, Shell, Why};
use crate::node::config;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::expand::Text;
use crate::node::family::{Layer, Origin};
use crate::node::value::VarMode;

/// One variable of the merged environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Where its value comes from.
    pub mode: VarMode,
    /// Its value, or the command; empty for the modes that have none.
    pub value: Text,
    /// Where it was written.
    pub origin: Origin,
    /// What does not hold.
    pub over: Vec<Lost>,
}

type Entry<'a> = (Layer<'a>, &'a config::Variable);

pub(super) fn merge(merger: &mut Merger<'_>) -> Vec<Variable> {
    let mut keys: BTreeMap<&str, Vec<Entry<'_>>> = BTreeMap::new();
    for layer in merger.layers.clone() {
        for entry in &layer.config.environ {
            keys.entry(&entry.key.value).or_default().push((layer, entry));
        }
    }
    keys.into_values().filter_map(|entries| one(merger, &entries)).collect()
}

/// All entries of one key, weakest layer first.
fn one<'a>(merger: &mut Merger<'a>, entries: &[Entry<'a>]) -> Option<Variable> {
    twice(merger, entries);
    let by_admin = entries.iter().any(|(layer, _)| layer.admin);
    let (winner, entry) = *entries.iter().rev().find(|(layer, _)| layer.admin == by_admin)?;
    let mut over = Vec::new();
    for (layer, other) in entries {
        if layer.id == winner.id || same(other, entry) {
            continue;
        }
        let why = if layer.admin != by_admin { Why::Admin } else { Why::Younger };
        if let (Some(warn), Why::Younger) = (&other.warn, why) {
            merger.report.push(
                Diagnostic::warning(
                    Code::Redefined,
                    format!(
                        "variable `{}` of {} is redefined by {}: {warn}",
                        other.key.value,
                        layer.name(),
                        winner.name()
                    ),
                )
                .at(entry.key.at)
                .related(other.key.at, "defined here"),
            );
        }
        let value = other.value.as_ref().map_or_else(|| other.mode.to_string(), |value| value.value.clone());
        over.push(Lost { origin: layer.origin(other.key.at), value, why });
    }
    let value = match (&entry.value, entry.mode) {
        (Some(value), VarMode::Default) => merger.expand(&winner, value, Shell::Value)?,
        (Some(value), VarMode::Execfd) => merger.expand(&winner, value, Shell::Whole)?,
        (Some(value), VarMode::Static) => Text::literal(value.value.clone()),
        _ => Text::default(),
    };
    let origin = winner.origin(entry.key.at);
    Some(Variable { key: entry.key.value.clone(), mode: entry.mode, value, origin, over })
}

fn same(a: &config::Variable, b: &config::Variable) -> bool {
    let text = |one: &config::Variable| one.value.as_ref().map(|value| value.value.clone());
    a.mode == b.mode && (!a.mode.wants_value() || text(a) == text(b))
}

/// One key twice in one file: an error when the two differ.
fn twice<'a>(merger: &mut Merger<'a>, entries: &[Entry<'a>]) {
    for pair in entries.windows(2) {
        let [(layer, first), (other, second)] = pair else { continue };
        if layer.id == other.id && !same(first, second) {
            merger.report.push(
                Diagnostic::error(
                    Code::ConflictDuplicate,
                    format!("variable `{}` is set twice, differently, in {}", second.key.value, layer.name()),
                )
                .at(second.key.at)
                .related(first.key.at, "the first one")
                .help("keep one of the two"),
            );
        }
    }
}
