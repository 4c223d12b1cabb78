//! Configurations of others, as they are written. What the runtime specification has runtimes warn of
//! (config.md, "capabilities": a value that is unknown SHOULD NOT fail) is left out and told; a process that
//! names no user is root's. All else that is not understood is an error.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, Process, Spec};
use serde_json::{Error, Value, json};

/// A configuration, and what was left out of it.
///
/// # Errors
/// It is none.
pub(crate) fn spec(text: &str) -> Result<(Spec, Vec<String>), Error> {
    // What is left out would cost every other configuration time.
    serde_json::from_str(text).map(|spec| (spec, Vec::new())).or_else(|error| {
        let mut whole: Value = serde_json::from_str(text)?;
        let left_out = whole.get_mut("process").and_then(mend).ok_or(error)?;
        Ok((serde_json::from_value(whole)?, left_out))
    })
}

/// The process of a configuration, and what was left out of it.
///
/// # Errors
/// It is none.
pub(crate) fn process(text: &str) -> Result<(Process, Vec<String>), Error> {
    serde_json::from_str(text).map(|process| (process, Vec::new())).or_else(|error| {
        let mut whole: Value = serde_json::from_str(text)?;
        let left_out = mend(&mut whole).ok_or(error)?;
        Ok((serde_json::from_value(whole)?, left_out))
    })
}

/// Leaves out what is unknown. `None` when nothing was changed.
fn mend(process: &mut Value) -> Option<Vec<String>> {
    let process = process.as_object_mut()?;
    let userless = !process.contains_key("user");
    if userless {
        process.insert("user".to_owned(), json!({"uid": 0, "gid": 0}));
    }
    let mut unknown = HashSet::new();
    for set in process.get_mut("capabilities").and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(names) = set.1.as_array_mut() else { continue };
        names.retain(|name| {
            let known = !name.is_string() || serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !known {
                unknown.insert(name.as_str().unwrap_or_default().to_owned());
            }
            known
        });
    }
    if unknown.is_empty() && !userless {
        return None;
    }
    let mut unknown: Vec<String> = unknown.into_iter().collect();
    unknown.sort();
    Some(unknown.iter().map(|name| format!("process.capabilities: unknown `{name}` is left out")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_capabilities_and_a_missing_user_are_no_errors() {
        let text = r#"{"args": ["true"], "cwd": "/", "capabilities":
            {"bounding": ["CAP_KILL", "CAP_OF_TOMORROW"], "effective": ["CAP_OF_TOMORROW", "KILL", "CAP_X"]}}"#;
        let (read, left_out) = process(text).unwrap();
        assert_eq!((read.user().uid(), read.user().gid()), (0, 0));
        let sets = read.capabilities().clone().unwrap();
        let kill: HashSet<Capability> = [Capability::Kill].into();
        assert_eq!((sets.bounding(), sets.effective()), (&Some(kill.clone()), &Some(kill)));
        assert_eq!(left_out.len(), 2, "{left_out:?}");
        assert!(left_out[0].contains("`CAP_OF_TOMORROW`"), "{left_out:?}");
        let whole = format!(r#"{{"ociVersion": "1.0.2", "process": {text}}}"#);
        assert_eq!(spec(&whole).unwrap().1, left_out);
    }

    #[test]
    fn all_else_is_as_strict_as_it_was() {
        for text in [
            "{}",
            "[]",
            "1",
            r#"{"args": ["true"]}"#,
            r#"{"cwd": "/", "capabilities": {"bounding": [7]}}"#,
            r#"{"cwd": "/", "cwd": "/", "user": {"uid": 0, "gid": 0}}"#,
            r#"{"cwd": "/", "user": {"uid": "root"}}"#,
            r#"{"cwd": "/", "user": null}"#,
        ] {
            assert!(process(text).is_err(), "{text}");
        }
        let (read, left_out) = process(r#"{"cwd": "/", "user": {"uid": 7, "gid": 8}}"#).unwrap();
        assert!(left_out.is_empty() && read.user().uid() == 7);
    }
}
