//! YAML out, in the schema of the files.

use serde_json::Value;

/// A text as a YAML scalar: plain where nothing in it could mean anything, else in double quotes,
/// for which JSON's notation is valid YAML (YAML 1.2.2, §7.3.1).
pub(crate) fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./$@+-".contains(c);
    let first = text.chars().next();
    let plain = first.is_some_and(|c| c.is_ascii_alphanumeric() || "_/$.".contains(c))
        && text.chars().all(safe)
        && !["true", "false", "yes", "no", "on", "off", "null"].contains(&text.to_ascii_lowercase().as_str())
        && text != "."
        && text.parse::<f64>().is_err();
    if plain || (text.parse::<u32>().is_ok() && !text.is_empty()) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

/// A value as a YAML document in block style.
pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{key}:"));
                nested(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                block(item, indent + 2, &mut inner);
                // The first line of an item stands behind its dash.
                let inner = inner.strip_prefix(&" ".repeat(indent + 2)).unwrap_or(&inner);
                out.push_str(&format!("{pad}- {inner}"));
            }
        }
        other => out.push_str(&format!("{pad}{}\n", leaf(other))),
    }
}

fn nested(value: &Value, indent: usize, out: &mut String) {
    let empty = match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if empty {
        out.push_str(&format!(" {}\n", leaf(value)));
    } else {
        out.push('\n');
        block(value, indent + 2, out);
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_could_mean_something() {
        for (text, expected) in [
            ("/nodes/$NODE_ALIAS/usr", "/nodes/$NODE_ALIAS/usr"),
            ("027", "027"),
            ("Rednode($X)> ", "\"Rednode($X)> \""),
            ("yes", "\"yes\""),
            ("a: b", "\"a: b\""),
            ("- x", "\"- x\""),
            ("", "\"\""),
            ("1.5", "\"1.5\""),
            ("line\nbreak", "\"line\\nbreak\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    #[test]
    fn nests_lists_of_maps() {
        let value = serde_json::json!({"a": [{"b": "1", "c": {"d": "x"}}, {"b": "2"}], "e": {}});
        assert_eq!(document(&value), "a:\n  - b: 1\n    c:\n      d: x\n  - b: 2\ne: {}\n");
    }
}
