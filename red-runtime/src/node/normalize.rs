//! A configuration as written, with the spelling of its keys and words made uniform.

use serde_json::{Map, Value};

use super::capability::{CapabilityName, capability};
use super::limit_values::PARTITIONS;
use super::schema::{self, Field, Kind};
use super::source::FileId;
use super::value::{ExportMode, State, VarMode, name_of, word};
use super::yaml::{self, Value as Node, Yaml};

/// The configuration as a tree of maps, lists and texts: keys as the schema spells them, words
/// too, everything else untouched. What cannot be read is left out; it has been reported when the
/// file was decoded.
#[must_use]
pub fn normalize(file: FileId, text: &str) -> Value {
    match yaml::parse(file, text) {
        Ok(Some(root)) => map(&root, schema::CONFIG),
        _ => Value::Object(Map::new()),
    }
}

fn map(node: &Yaml<'_>, table: &'static [Field]) -> Value {
    let Node::Map(pairs) = &node.value else { return Value::Object(Map::new()) };
    let mut out = Map::new();
    // In the order of the schema, whatever the order of the file.
    for field in table {
        let entry = pairs.iter().find(
            |(key, _)| matches!(&key.value, Node::Scalar(name) if name.eq_ignore_ascii_case(field.name)),
        );
        if let Some(value) = entry.and_then(|(_, node)| value(node, field.kind)) {
            out.insert(field.name.to_owned(), value);
        }
    }
    Value::Object(out)
}

fn value(node: &Yaml<'_>, kind: Kind) -> Option<Value> {
    match (kind, &node.value) {
        (Kind::Ignored, _) | (_, Node::Empty) => None,
        (Kind::Map(table), _) => Some(map(node, table)),
        (Kind::List(table), Node::List(items)) => {
            Some(Value::Array(items.iter().map(|item| map(item, table)).collect()))
        }
        (_, Node::Scalar(text)) => Some(Value::String(spelled(text, kind))),
        _ => None,
    }
}

/// A word in the spelling of the schema.
fn spelled(text: &str, kind: Kind) -> String {
    let trimmed = text.trim();
    let found: Option<String> = match kind {
        Kind::ExportMode => {
            word(trimmed, &ExportMode::ALL, "").ok().map(|mode| name_of(&ExportMode::ALL, &mode).into())
        }
        Kind::VarMode => {
            word(trimmed, &VarMode::ALL, "").ok().map(|mode| name_of(&VarMode::ALL, &mode).into())
        }
        Kind::State => word(trimmed, &State::ALL, "").ok().map(|state| name_of(&State::ALL, &state).into()),
        Kind::Partition => word(trimmed, &PARTITIONS, "").ok().map(str::to_owned),
        Kind::Switch | Kind::Share => ["Unset", "Enabled", "Disabled"]
            .into_iter()
            .find(|word| word.eq_ignore_ascii_case(trimmed))
            .map(str::to_owned),
        Kind::Bool => super::value::boolean(trimmed).ok().map(|on| on.to_string()),
        Kind::Capability => capability(trimmed).ok().map(|name: CapabilityName| name.to_string()),
        _ => None,
    };
    found.unwrap_or_else(|| text.to_owned())
}
