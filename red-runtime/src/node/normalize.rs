//! A configuration as written, with the spelling of its keys and words made uniform.

use serde_json::Value;

use super::capability::{CapabilityName, capability};
use super::limit_values::PARTITIONS;
use super::schema::{self, Field, Kind};
use super::source::FileId;
use super::value::{ExportMode, State, VarMode, boolean, name_of, word};
use super::yaml::{self, Value as Node, Yaml};

/// A configuration as maps, lists and values, in the order of the schema.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tree {
    /// Keys and what they hold.
    Map(Vec<(&'static str, Tree)>),
    /// Entries of a list.
    List(Vec<Tree>),
    /// A text, number or word.
    Text(String),
    /// A boolean.
    Bool(bool),
}

impl Tree {
    /// The same as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        match self {
            Self::Map(pairs) => {
                Value::Object(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.json())).collect())
            }
            Self::List(items) => Value::Array(items.iter().map(Self::json).collect()),
            Self::Text(text) => Value::String(text.clone()),
            Self::Bool(on) => Value::Bool(*on),
        }
    }
}

/// The configuration with keys and words as the schema spells them, everything else untouched.
/// What cannot be read is left out; it has been reported when the file was decoded.
#[must_use]
pub fn normalize(file: FileId, text: &str) -> Tree {
    match yaml::parse(file, text) {
        Ok(Some(root)) => map(&root, schema::CONFIG),
        _ => Tree::Map(Vec::new()),
    }
}

fn map(node: &Yaml<'_>, table: &'static [Field]) -> Tree {
    let Node::Map(pairs) = &node.value else { return Tree::Map(Vec::new()) };
    let mut out = Vec::new();
    for field in table {
        let entry = pairs.iter().find(
            |(key, _)| matches!(&key.value, Node::Scalar(name) if name.eq_ignore_ascii_case(field.name)),
        );
        out.extend(entry.and_then(|(_, node)| Some((field.name, value(node, field.kind)?))));
    }
    Tree::Map(out)
}

fn value(node: &Yaml<'_>, kind: Kind) -> Option<Tree> {
    match (kind, &node.value) {
        (Kind::Ignored, _) | (_, Node::Empty) => None,
        (Kind::Map(table), _) => Some(map(node, table)),
        (Kind::List(table), Node::List(items)) => {
            Some(Tree::List(items.iter().map(|item| map(item, table)).collect()))
        }
        (Kind::Bool, Node::Scalar(text)) => boolean(text.trim()).ok().map(Tree::Bool),
        (_, Node::Scalar(text)) => Some(Tree::Text(spelled(text, kind))),
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
        Kind::Capability => capability(trimmed).ok().map(|name: CapabilityName| name.to_string()),
        _ => None,
    };
    found.unwrap_or_else(|| text.to_owned())
}
