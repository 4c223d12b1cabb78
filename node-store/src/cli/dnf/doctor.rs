//! `red-doctor`: whether packages can be installed at a place, and how. `red-runtime doctor` asks it for
//! every pool.

use std::path::Path;

use red_runtime::cli::exit::Exit;
use serde_json::json;

use super::{Common, DnfError};
use crate::cli::output;
use crate::family::Family;
use crate::rpm::{self, Findings, ViewError};
use crate::session::SessionError;

/// One thing that was looked at.
struct Finding {
    grade: &'static str,
    text: String,
    fix: Option<String>,
}

/// Looks at a node, or at a directory where nodes may be made.
pub(super) fn run(common: &Common) -> Result<Exit, DnfError> {
    let place = common.redpath()?;
    let looked = if place.join(".rednode.yaml").exists() {
        let family = Family::load(place).map_err(SessionError::from)?;
        let lowers = family.lowers();
        rpm::check_place(&family.node.path, &lowers).and_then(|found| rpm::probe(&lowers).map(|()| found))
    } else {
        rpm::look_at(place)
    };
    let bad = looked.is_err();
    let findings = findings(place, looked);
    if common.json {
        let all: Vec<_> = findings
            .iter()
            .map(|one| json!({"about": ABOUT, "grade": one.grade, "text": one.text, "fix": one.fix}))
            .collect();
        output::json(&json!({"schema": "red/doctor/v1", "findings": all}))?;
    } else {
        let mut lines = Vec::new();
        for one in &findings {
            lines.push(format!("{:<5}{ABOUT}: {}", one.grade, one.text));
            lines.extend(one.fix.iter().map(|fix| format!("     = {fix}")));
        }
        output::lines(lines)?;
    }
    Ok(if bad { Exit::Failure } else { Exit::Success })
}

const ABOUT: &str = "install view";

/// Whether the caller may not write to a place that is there. What may be made in one that is missing is
/// said when it is made.
fn closed(place: &Path) -> Option<Finding> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(place).ok()?);
    accessat(CWD, place, Access::WRITE_OK, AtFlags::EACCESS).err()?;
    Some(Finding {
        grade: "poor",
        text: format!("{}: nothing can be changed by this user", place.display()),
        fix: Some(format!("run as user {owner}, whose it is")),
    })
}

fn findings(place: &Path, looked: Result<Findings, ViewError>) -> Vec<Finding> {
    let found = match looked {
        Ok(found) => found,
        Err(error) => {
            let text = format!("{}: no package can be installed: {error}", place.display());
            return vec![Finding { grade: "bad", text, fix: None }];
        }
    };
    let where_ = format!("{} ({}, mounted at {})", place.display(), found.fstype, found.mount.display());
    let mut findings = vec![if found.in_memory {
        Finding {
            grade: "poor",
            text: format!(
                "{where_}: overlayfs cannot write there; packages are unpacked in memory, then copied"
            ),
            fix: Some(format!("mount a volume (ext4, xfs, btrfs) at {}", place.display())),
        }
    } else {
        Finding { grade: "good", text: format!("{where_}: packages can be installed"), fix: None }
    }];
    findings.extend(closed(place));
    if !found.split_at.is_empty() {
        let points: Vec<String> = found.split_at.iter().map(|point| point.display().to_string()).collect();
        let text = format!("directories are covered entry by entry because of {}", points.join(", "));
        findings.push(Finding { grade: "good", text, fix: None });
    }
    if !found.left_out.is_empty() {
        let points: Vec<String> =
            found.left_out.iter().map(|(point, fstype)| format!("{} ({fstype})", point.display())).collect();
        let text = format!("not visible to scriptlets: {}", points.join(", "));
        findings.push(Finding { grade: "good", text, fix: None });
    }
    findings
}
