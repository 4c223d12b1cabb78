//! Why something cannot be done, in a person's words, with ways out.

use std::collections::BTreeSet;

use super::ffi::{Id, Problem};
use super::load::Packages;

/// Lines of one problem that are shown.
const SHOWN: usize = 12;

/// Puts problems into words.
pub(crate) fn explain(packages: &Packages, problems: &[Problem]) -> String {
    let mut lines = Vec::new();
    for (at, problem) in problems.iter().enumerate() {
        if problems.len() > 1 {
            lines.push(format!("problem {}:", at + 1));
        }
        let mut said = BTreeSet::new();
        let facts = problem.rules.iter().filter(|rule| !rule.is_job()).map(|rule| rule.words.as_str());
        for words in facts.filter(|words| said.insert((*words).to_owned())).take(SHOWN) {
            lines.push(format!("  {words}"));
        }
        let parts: BTreeSet<Id> = problem.rules.iter().flat_map(|rule| [rule.source, rule.target]).collect();
        lines.extend(owners(packages, &parts));
        lines.extend(ways(packages, problem, &parts));
    }
    if lines.is_empty() {
        lines.push("  the solver found no way and gave no reason".into());
    }
    format!("that does not go together; nothing has changed:\n{}", lines.join("\n"))
}

/// Which of the packages belong to core OS or ancestors.
fn owners(packages: &Packages, parts: &BTreeSet<Id>) -> Vec<String> {
    let fixed: BTreeSet<Id> = packages.fixed().into_iter().collect();
    let theirs = parts.iter().filter(|id| fixed.contains(id));
    theirs
        .filter_map(|&id| {
            let owner = packages.owner(id)?;
            Some(format!(
                "  {} is in {}, which stays as it is for its descendants",
                packages.nevra(id),
                owner.words()
            ))
        })
        .collect()
}

fn ways(packages: &Packages, problem: &Problem, parts: &BTreeSet<Id>) -> Vec<String> {
    let mut found = Vec::new();
    let fixed: BTreeSet<Id> = packages.fixed().into_iter().collect();
    let owners: BTreeSet<String> = parts
        .iter()
        .filter(|id| fixed.contains(id))
        .filter_map(|&id| packages.owner(id).filter(|owner| !owner.core))
        .map(|owner| {
            format!(
                "  way out: change it in its node first: red-dnf --redpath={} red-update",
                owner.path.display()
            )
        })
        .collect();
    found.extend(owners);
    if problem.rules.iter().any(|rule| rule.is_missing()) {
        let missing = problem.rules.iter().find(|rule| rule.is_missing() && rule.dependency != 0);
        if let Some(rule) = missing {
            let what = packages.pool.dependency(rule.dependency);
            found.push(format!("  way out: add a repository that has `{what}`: red-manager --add-repo URL"));
        }
    }
    if problem.rules.iter().any(|rule| rule.is_same_name()) && found.is_empty() {
        found.push(
            "  way out: ask for versions that go together, or `--allowerasing` to remove what is in the way"
                .into(),
        );
    }
    for way in &problem.ways_out {
        let way: Vec<&str> =
            way.iter().map(String::as_str).filter(|way| !way.starts_with("do not lock")).collect();
        if !way.is_empty() && way.len() < 4 {
            found.push(format!("  way out: {}", way.join("; ")));
        }
    }
    found.truncate(SHOWN);
    found
}
