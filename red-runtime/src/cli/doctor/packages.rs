//! Whether packages can be installed in nodes of the pools, which red-dnf knows.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Finding, Grade, finding, program};
use crate::policy;

const ABOUT: &str = "install view";

/// Asks red-dnf about every pool of the policy that exists.
pub(super) fn all() -> Vec<Finding> {
    let Some(program) = red_dnf() else {
        return vec![finding(
            ABOUT,
            Grade::Good,
            "red-dnf is not installed: nodes get their packages elsewhere",
            None,
        )];
    };
    let prefix = std::env::var("NODE_PREFIX").unwrap_or_default();
    let Some(policy) = policy::load(&policy::path(&prefix)).policy else { return Vec::new() };
    let pools = policy.pools.iter().map(|pool| pool.path.clone());
    pools.filter(|pool| pool.is_dir()).flat_map(|pool| of_pool(&program, &pool)).collect()
}

/// The one beside this program, or an installed one.
fn red_dnf() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("red-dnf")));
    beside.filter(|path| path.is_file()).or_else(|| program("red-dnf"))
}

fn of_pool(program: &Path, pool: &Path) -> Vec<Finding> {
    let mut ask = Command::new(program);
    ask.arg(format!("--redpath={}", pool.display())).args(["--json", "red-doctor"]);
    let failed = |why: String| {
        let text = format!("{}: {}: {why}", pool.display(), program.display());
        vec![finding(ABOUT, Grade::Poor, text, Some("install red-dnf and red-runtime of one version"))]
    };
    let said = match ask.stdin(Stdio::null()).stderr(Stdio::piped()).output() {
        Ok(said) => said,
        Err(error) => return failed(error.to_string()),
    };
    let found: Option<Value> = serde_json::from_slice(&said.stdout).ok();
    match found.as_ref().and_then(|found| found["findings"].as_array()) {
        Some(findings) => findings.iter().map(read).collect(),
        None => failed(String::from_utf8_lossy(&said.stderr).trim().to_owned()),
    }
}

fn read(one: &Value) -> Finding {
    let grade = match one["grade"].as_str() {
        Some("good") => Grade::Good,
        Some("poor") => Grade::Poor,
        _ => Grade::Bad,
    };
    finding(ABOUT, grade, one["text"].as_str().unwrap_or_default(), one["fix"].as_str())
}
