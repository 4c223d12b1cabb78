//! JSON whose bytes depend on its contents only.

use oci_spec::runtime::Spec;
use serde::Serialize;
use serde_json::{Map, Value};

/// A value as JSON with the keys of every map in order.
///
/// # Errors
/// A map whose keys are not text.
pub fn sorted<T: Serialize>(value: &T) -> serde_json::Result<Value> {
    Ok(sort(serde_json::to_value(value)?))
}

fn sort(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().map(|(key, value)| (key, sort(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sort).collect()),
        other => other,
    }
}

/// An OCI configuration as JSON, the same bytes for the same configuration: keys in order, and
/// so the capabilities, which the library keeps in sets without one.
///
/// # Errors
/// None in practice.
pub fn spec(spec: &Spec) -> serde_json::Result<Value> {
    let mut value = sorted(spec)?;
    if let Some(Value::Object(sets)) = value.pointer_mut("/process/capabilities") {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
    Ok(value)
}
