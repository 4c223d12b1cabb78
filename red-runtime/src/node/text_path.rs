//! Paths as texts: absolute, without doubled or closing slashes, `.` and `..`, as the model has them
//! once they are cleaned. A plan compares thousands of them.

use std::cmp::Ordering;

use super::place::is_normal;

/// A path from `/` without doubled and closing slashes, `.` and `..`, resolved by the text alone: no link on the
/// way changes what `..` is, and nothing leads above `/`. What is judged and what is mounted are cleaned by this
/// one, so that both are of the same place.
#[must_use]
pub fn clean(path: &str) -> String {
    if is_normal(path) {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whether `path` is `above` or lies in it.
#[must_use]
pub fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Compares component by component, so that what lies in a directory follows it at once: `/a`, `/a/b`,
/// `/a-b`.
#[must_use]
pub fn by_component(one: &str, other: &str) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    let (one, other) = (one.as_bytes(), other.as_bytes());
    match one.iter().zip(other).find(|(a, b)| a != b) {
        Some((a, b)) => rank(*a).cmp(&rank(*b)),
        None => one.len().cmp(&other.len()),
    }
}

/// A path that sorts by its components.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ByComponent<'t>(pub &'t str);

impl Ord for ByComponent<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        by_component(self.0, other.0)
    }
}

impl PartialOrd for ByComponent<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec("[a-c!-]{1,3}", 0..5).prop_map(|parts| format!("/{}", parts.join("/")))
    }

    #[test]
    fn paths_are_cleaned_by_their_text() {
        for (path, wanted) in [
            ("/a/b", "/a/b"),
            ("//a/./b/", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../a", "/a"),
            ("/", "/"),
            ("", "/"),
            ("a", "/a"),
            ("/a/..", "/"),
        ] {
            assert_eq!(clean(path), wanted, "{path}");
        }
    }

    proptest! {
        #[test]
        fn components_compare_one_by_one(one in path(), other in path()) {
            prop_assume!(one != "/" && other != "/");
            prop_assert_eq!(by_component(&one, &other), one.split('/').cmp(other.split('/')));
        }

        #[test]
        fn what_lies_in_a_directory_is_within_it(one in path(), other in path()) {
            let wanted = std::path::Path::new(&one).starts_with(&other);
            prop_assert_eq!(is_within(&one, &other), wanted);
        }
    }
}
