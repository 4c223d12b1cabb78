//! The tables of [`schema`] as JSON Schema (draft 2020-12), for editors.
//!
//! JSON Schema knows no case-insensitive keys or words, so it asks for the schema's own spelling;
//! and what YAML tools take for numbers or booleans is allowed where a text is.

use serde_json::{Map, Value, json};

use super::capability::CAPABILITIES;
use super::schema::{self, Field, Kind};
use super::value::{ExportMode, State, VarMode};

/// Schema of a configuration.
#[must_use]
pub fn config() -> Value {
    document("redpak node configuration", schema::CONFIG)
}

/// Schema of a status file.
#[must_use]
pub fn status() -> Value {
    document("redpak node status", schema::STATUS)
}

/// Schema of a policy.
#[must_use]
pub fn policy() -> Value {
    document("red-runtime policy", schema::POLICY)
}

/// The schema of a reference file.
#[must_use]
pub fn reference() -> Value {
    document("redpak reference to a node", schema::REFERENCE)
}

fn document(title: &str, table: &'static [Field]) -> Value {
    let mut value = object(table);
    if let Some(map) = value.as_object_mut() {
        map.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        map.insert("title".into(), title.into());
    }
    value
}

fn object(table: &'static [Field]) -> Value {
    let mut properties = Map::new();
    for field in table {
        let mut value = kind(field.kind);
        if let Some(map) = value.as_object_mut() {
            map.insert("description".into(), field.doc.into());
        }
        properties.insert(field.name.to_owned(), value);
    }
    let required: Vec<&str> = table.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn words<T>(table: &[(&'static str, T)]) -> Value {
    json!({"enum": table.iter().map(|(name, _)| *name).collect::<Vec<_>>()})
}

fn kind(kind: Kind) -> Value {
    let text = || json!({"type": ["string", "number", "boolean"]});
    match kind {
        Kind::Text | Kind::Expanded | Kind::PathList => text(),
        Kind::Alias => json!({"type": ["string", "integer"], "pattern": "^[A-Za-z0-9+_@:-]+$"}),
        Kind::Umask => json!({"type": ["string", "integer"], "pattern": "^(0o)?[0-7]{1,4}$"}),
        Kind::Bool => {
            json!({"anyOf": [{"type": "boolean"}, {"enum": [0, 1, "yes", "no", "on", "off", "true", "false"]}]})
        }
        Kind::Int(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Switch => json!({"enum": ["Unset", "Enabled", "Disabled"]}),
        Kind::Share => {
            json!({"anyOf": [{"enum": ["Unset", "Enabled", "Disabled"]}, {"type": "string", "pattern": "^[/$]"}]})
        }
        Kind::Capability => {
            let names: Vec<&str> = CAPABILITIES.iter().map(|(name, _)| *name).chain(["ALL"]).collect();
            json!({"enum": names})
        }
        Kind::ExportMode => words(&ExportMode::ALL),
        Kind::VarMode => words(&VarMode::ALL),
        Kind::State => words(&State::ALL),
        Kind::VarName => json!({"type": "string", "pattern": "^[^=\\s]+$"}),
        Kind::Size => {
            json!({"type": ["string", "integer"], "pattern": "^(max|[0-9]+[KMGTPEkmgtpe]?)$", "minimum": 0})
        }
        Kind::Count => json!({"type": ["string", "integer"], "pattern": "^(max|[0-9]+)$", "minimum": 0}),
        Kind::CpuMax => json!({"type": ["string", "integer"], "pattern": "^(max|[0-9]+)( +[0-9]+)?$"}),
        Kind::NumberSet => {
            json!({"type": ["string", "integer"], "pattern": "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"})
        }
        Kind::Partition => json!({"enum": ["member", "root", "isolated"]}),
        Kind::IoWeight | Kind::IoMax => json!({"type": ["string", "integer"]}),
        Kind::Map(table) => object(table),
        Kind::List(table) => json!({"type": "array", "items": object(table)}),
        Kind::TextList => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Ignored => json!({"deprecated": true}),
    }
}
