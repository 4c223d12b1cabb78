//! YAML out, in the schema of the files.

use serde_json::Value;

use crate::node::normalize::Tree;
use crate::node::render::visible_json;

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
        visible_json(&Value::from(text).to_string()).into_owned()
    }
}

/// A configuration as a YAML document in block style.
pub(crate) fn document(tree: &Tree) -> String {
    let mut out = String::new();
    block(tree, 0, &mut out);
    out
}

fn block(tree: &Tree, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match tree {
        Tree::Map(pairs) => {
            for (key, value) in pairs {
                out.push_str(&format!("{pad}{key}:"));
                nested(value, indent, out);
            }
        }
        Tree::List(items) => {
            for item in items {
                let mut inner = String::new();
                block(item, indent + 2, &mut inner);
                // The first line of an item stands behind its dash.
                let inner = inner.strip_prefix(&" ".repeat(indent + 2)).unwrap_or(&inner);
                out.push_str(&format!("{pad}- {inner}"));
            }
        }
        Tree::Text(text) => out.push_str(&format!("{pad}{}\n", scalar(text))),
        Tree::Bool(on) => out.push_str(&format!("{pad}{on}\n")),
    }
}

fn nested(tree: &Tree, indent: usize, out: &mut String) {
    match tree {
        Tree::Map(pairs) if pairs.is_empty() => out.push_str(" {}\n"),
        Tree::List(items) if items.is_empty() => out.push_str(" []\n"),
        Tree::Map(_) | Tree::List(_) => {
            out.push('\n');
            block(tree, indent + 2, out);
        }
        Tree::Text(_) | Tree::Bool(_) => {
            out.push(' ');
            block(tree, 0, out);
        }
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
            ("\u{9b}31m\u{202e}", "\"\\u009b31m\\u202e\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    #[test]
    fn nests_lists_of_maps() {
        let text = |text: &str| Tree::Text(text.to_owned());
        let item = Tree::Map(vec![("b", text("1")), ("c", Tree::Map(vec![("d", Tree::Bool(true))]))]);
        let value = Tree::Map(vec![
            ("a", Tree::List(vec![item, Tree::Map(vec![("b", text("2"))])])),
            ("e", Tree::Map(Vec::new())),
        ]);
        assert_eq!(document(&value), "a:\n  - b: 1\n    c:\n      d: true\n  - b: 2\ne: {}\n");
    }
}
