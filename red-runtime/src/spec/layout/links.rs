//! Mount points behind symbolic links that the plan itself makes.
//!
//! `/home/app → /nodes/_private` and a mount on `/home/app/data` mean a mount on
//! `/nodes/_private/data`. Every runtime resolves this by itself, inside the root; the plan does
//! it beforehand, so that it knows what covers what and every runtime gets the same answer.

use std::collections::BTreeMap;

use crate::node::place::is_normal;
use crate::node::text_path::is_within;

/// More links than any sane layout has in one path; the kernel gives up at 40 too (path_resolution(7)).
const MOST: usize = 40;

/// A link leads in a circle, or out of any bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Loop;

/// Resolves every link in the directories of `path`; the last component is not followed.
///
/// `links` has clean absolute paths as keys and targets as written.
pub(super) fn parent_of(path: &str, links: &BTreeMap<String, String>) -> Result<String, Loop> {
    match path.rsplit_once('/') {
        Some((parent, name)) if !parent.is_empty() => {
            let parent = whole(parent, links)?;
            Ok(if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") })
        }
        _ => Ok(path.to_owned()),
    }
}

/// Resolves every link in `path`, the last component included.
pub(super) fn whole(path: &str, links: &BTreeMap<String, String>) -> Result<String, Loop> {
    let is_clean = path == "/" || is_normal(path);
    if is_clean && !links.keys().any(|link| is_within(path, link)) {
        return Ok(path.to_owned());
    }
    let mut rest: Vec<String> = parts(path);
    rest.reverse();
    let mut done: Vec<String> = Vec::new();
    let mut followed = 0;
    while let Some(part) = rest.pop() {
        match part.as_str() {
            "." | "" => continue,
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(part),
        }
        let here = join(&done);
        let Some(target) = links.get(&here) else { continue };
        followed += 1;
        if followed > MOST || rest.len() > 4_096 {
            return Err(Loop);
        }
        done.pop();
        if target.starts_with('/') {
            done.clear();
        }
        rest.extend(parts(target).into_iter().rev());
    }
    Ok(join(&done))
}

fn parts(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn join(parts: &[String]) -> String {
    if parts.is_empty() { "/".to_owned() } else { format!("/{}", parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn follows_absolute_relative_and_chained_links() {
        let links = links(&[("/a", "/b"), ("/b/c", "../d"), ("/d/e", "f/g")]);
        assert_eq!(whole("/a/c/e/x", &links), Ok("/d/f/g/x".to_owned()));
        assert_eq!(parent_of("/a", &links), Ok("/a".to_owned()));
        assert_eq!(parent_of("/a/x", &links), Ok("/b/x".to_owned()));
    }

    #[test]
    fn stays_in_the_root_and_refuses_circles() {
        let links = links(&[("/up", "../../../x"), ("/me", "me"), ("/p", "/q"), ("/q", "/p")]);
        assert_eq!(whole("/up/y", &links), Ok("/x/y".to_owned()));
        assert_eq!(whole("/me/y", &links), Err(Loop));
        assert_eq!(whole("/p", &links), Err(Loop));
        assert_eq!(parent_of("/p", &links), Ok("/p".to_owned()));
    }
}
