//! Verbs that prove and explain.

use std::path::PathBuf;

use red_runtime::cli::exit::Exit;

use super::{Common, DnfError};
use crate::audit;
use crate::cli::output;
use crate::family::{self, Family};
use crate::history::About;
use crate::session::SessionError;
use crate::solve::ffi::{attribute, solve_testcase};
use crate::solve::{LoadError, Packages};

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Verify every file of every package of the node too
    #[arg(long)]
    files: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct WhyArgs {
    /// The package
    package: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct TestcaseArgs {
    /// A test case of libsolv (`*.t`)
    file: PathBuf,
}

/// Checks a node and every node below it.
pub(super) fn check(common: &Common, args: &CheckArgs) -> Result<Exit, DnfError> {
    let redpath = common.redpath()?;
    let first = Family::load(redpath).map_err(SessionError::from)?;
    let mut findings = Vec::new();
    let mut nodes = vec![first.node.path.clone()];
    nodes.extend(family::descendants(&first.node.path));
    for path in &nodes {
        match Family::load(path) {
            Ok(family) => {
                findings.extend(store_findings(&family)?);
                findings.extend(audit::check(&family, path == &first.node.path).map_err(SessionError::from)?)
            }
            Err(error) => findings.push(audit::Finding {
                node: path.display().to_string(),
                kind: "unreadable",
                text: error.to_string(),
            }),
        }
    }
    if args.files {
        findings.extend(audit::files(&first).map_err(LoadError::from).map_err(SessionError::from)?);
    }
    if common.json {
        output::json(&findings)?;
    } else {
        output::lines(
            findings.iter().map(|finding| format!("{}: {}: {}", finding.node, finding.kind, finding.text)),
        )?;
        output::say(&format!("{} nodes checked, {} findings", nodes.len(), findings.len()));
    }
    Ok(if findings.is_empty() { Exit::Success } else { Exit::Failure })
}

/// What is wrong with a node's own files.
fn store_findings(family: &Family) -> Result<Vec<audit::Finding>, DnfError> {
    let found = family::store(&family.node)?.states().into_iter();
    let node = &family.node.alias;
    Ok(found.map(|(kind, text)| audit::Finding { node: node.clone(), kind, text }).collect())
}

/// Says what keeps a package installed.
pub(super) fn why(common: &Common, args: &WhyArgs) -> Result<Exit, DnfError> {
    let family = Family::load(common.redpath()?).map_err(SessionError::from)?;
    let mut packages = Packages::installed(&family).map_err(SessionError::from)?;
    packages.pool.prepare();
    let everything: Vec<_> = packages.fixed().into_iter().chain(packages.own()).collect();
    let named = |id| packages.pool.name(id) == args.package || packages.nevra(id) == args.package;
    let Some(id) = everything.iter().copied().find(|&id| named(id)) else {
        return Err(DnfError::Nothing(format!("`{}` is not installed in this family", args.package)));
    };
    let owner = packages.owner(id).cloned();
    let mut lines = Vec::new();
    if let Some(owner) = &owner {
        lines.push(format!("{} is in {}", packages.nevra(id), owner.words()));
        if !owner.core {
            let about = About::current(&family::store(owner)?);
            if let Some(repo) = about.origin.get(&packages.nevra(id)) {
                lines.push(format!("it came from {repo}"));
            }
            lines.push(if !about.origin.contains_key(&packages.nevra(id)) {
                "no transaction of red-dnf brought it".into()
            } else if about.asked.contains(&packages.pool.name(id)) {
                "it was asked for".into()
            } else {
                "nobody asked for it by name".into()
            });
        }
    }
    for &other in everything.iter().filter(|&&other| other != id) {
        for dependency in packages.pool.dependencies(other, attribute::REQUIRES) {
            let providers = packages.pool.providers(dependency);
            if providers.contains(&id) {
                let alone = if providers.iter().filter(|&&one| packages.is_installed(one)).count() == 1 {
                    ""
                } else {
                    ", which others provide too"
                };
                let whose = packages.owner(other).map(|owner| owner.words()).unwrap_or_default();
                lines.push(format!(
                    "{} of {whose} needs {}{alone}",
                    packages.nevra(other),
                    packages.pool.dependency(dependency)
                ));
            }
        }
    }
    lines.dedup();
    output::lines(lines)?;
    Ok(Exit::Success)
}

/// Exit status 1 when the file expects another answer.
pub(super) fn testcase(args: &TestcaseArgs) -> Result<Exit, DnfError> {
    let (answer, expected) =
        solve_testcase(&args.file).map_err(|error| DnfError::Nothing(error.to_string()))?;
    output::lines(answer.lines())?;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let same = expected.is_none_or(|expected| sorted(&expected) == sorted(&answer));
    Ok(if same { Exit::Success } else { Exit::Failure })
}
