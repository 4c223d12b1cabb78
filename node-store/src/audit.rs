//! Proof: whether a family holds together, and where a file comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use librpm::{Db, PackageHeader};
use serde::Serialize;

use crate::beneath::Dir;
use crate::family::{Family, Member};
use crate::rpm::{Believed, Listed, RpmError, is_text, nevra, use_database};
use crate::solve::ffi::Id;
use crate::solve::{LoadError, Packages};

/// Something that does not hold.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) node: String,
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

/// Requirements of a node's packages that its family does not meet, in words.
pub(crate) fn unmet(family: &Family) -> Result<Vec<String>, LoadError> {
    let mut packages = Packages::of(family.members(), None)?;
    packages.pool.prepare();
    let own: BTreeSet<Id> = packages.own().into_iter().collect();
    let all: BTreeSet<Id> = packages.fixed().into_iter().chain(own.iter().copied()).collect();
    let lines = packages.unmet(&all).into_iter().filter(|(id, _)| own.contains(id));
    Ok(lines
        .map(|(id, dependency)| {
            format!(
                "node `{}` ({}): {} needs {}",
                family.node.alias,
                family.node.path.display(),
                packages.nevra(id),
                packages.pool.dependency(dependency)
            )
        })
        .collect())
}

/// Checks a node within its family; `ancestors` also checks what is above it.
pub(crate) fn check(family: &Family, ancestors: bool) -> Result<Vec<Finding>, LoadError> {
    let mut packages = Packages::installed(family)?;
    packages.pool.prepare();
    let all: BTreeSet<Id> = packages.fixed().into_iter().chain(packages.own()).collect();
    let mut findings = Vec::new();
    let last = packages.owners.len().saturating_sub(1);
    for (at, (member, _)) in packages.owners.iter().enumerate() {
        if member.core || at != last && !ancestors {
            continue;
        }
        let theirs: BTreeSet<Id> = packages.of_member(at).into_iter().collect();
        // A node's requirements are met by itself and what is above it.
        let seen: BTreeSet<Id> = (0..=at).flat_map(|at| packages.of_member(at)).collect();
        let finding = |kind, text| Finding { node: member.alias.clone(), kind, text };
        for (id, dependency) in packages.unmet(&seen).into_iter().filter(|(id, _)| theirs.contains(id)) {
            let text = format!("{} needs {}", packages.nevra(id), packages.pool.dependency(dependency));
            findings.push(finding("unmet", text));
        }
        for &id in &theirs {
            for dependency in packages.pool.dependencies(id, crate::solve::ffi::attribute::CONFLICTS) {
                for other in packages
                    .pool
                    .providers(dependency)
                    .into_iter()
                    .filter(|other| *other != id && seen.contains(other))
                {
                    let text = format!("{} conflicts with {}", packages.nevra(id), packages.nevra(other));
                    findings.push(finding("conflict", text));
                }
            }
            let name = packages.pool.name(id);
            let twice =
                all.iter().filter(|&&other| !theirs.contains(&other) && packages.pool.name(other) == name);
            for &other in twice {
                let whose = packages.owner(other).map(Member::words).unwrap_or_default();
                findings.push(finding(
                    "duplicate",
                    format!("{} is in {whose} too, as {}", packages.nevra(id), packages.nevra(other)),
                ));
            }
        }
    }
    findings.extend(shadowed(family)?);
    Ok(findings)
}

/// Files of the node that an ancestor's package has too, and that differ.
fn shadowed(family: &Family) -> Result<Vec<Finding>, LoadError> {
    let mut ours: BTreeMap<String, (String, Option<Vec<u8>>)> = BTreeMap::new();
    each_file(&family.node, &mut |nevra, path, file| {
        if file.mode() & 0o170_000 != 0o040_000 {
            ours.insert(path.to_owned(), (nevra.to_owned(), file.digest().map(<[u8]>::to_vec)));
        }
    })?;
    let mut findings = Vec::new();
    if ours.is_empty() {
        return Ok(findings);
    }
    for ancestor in family.core.iter().chain(&family.ancestors) {
        each_file(ancestor, &mut |nevra, path, file| {
            if let Some((own, digest)) = ours.get(path)
                && *digest != file.digest().map(<[u8]>::to_vec)
            {
                let text = format!("{path} of {own} hides that of {nevra} in {}", ancestor.words());
                findings.push(Finding { node: family.node.alias.clone(), kind: "shadowed", text });
            }
        })?;
    }
    Ok(findings)
}

fn each_file(
    member: &Member,
    see: &mut dyn FnMut(&str, &str, &librpm::FileEntry<'_>),
) -> Result<(), RpmError> {
    let Some(database) = Believed::of(member)? else { return Ok(()) };
    use_database(&database)?;
    for header in Db::open()?.installed_packages() {
        let nevra = nevra(&header);
        Listed::of(&header).iter().for_each(|(path, file)| see(&nevra, path, &file));
    }
    Ok(())
}

/// Verifies kind, size and digest of every file of the node's packages.
pub(crate) fn files(family: &Family) -> Result<Vec<Finding>, RpmError> {
    let mut findings = Vec::new();
    let node = &family.node;
    let root = Dir::open(&node.path);
    each_file(node, &mut |nevra, path, file| {
        if file.flags().is_ghost() || file.flags().is_config() {
            return;
        }
        let wrong = |what: &str| Finding {
            node: node.alias.clone(),
            kind: "changed",
            text: format!("{path} of {nevra} {what}"),
        };
        // What runs in the node may have put links on the way: they lead into the node, and nowhere else.
        let Some((root, facts)) =
            root.as_ref().ok().and_then(|root| Some((root, root.facts_in_root(path).ok()?)))
        else {
            if !is_text(path) {
                return findings.push(wrong("has a name that may be no text (UTF-8): it is not compared"));
            }
            // Volatile and kernel places are nobody's to keep.
            if !["/proc", "/sys", "/dev", "/run", "/tmp"].iter().any(|top| Path::new(path).starts_with(top)) {
                findings.push(wrong("is missing"));
            }
            return;
        };
        use std::os::unix::fs::MetadataExt;
        let kind = u32::from(file.mode()) & 0o170_000;
        if facts.is_file() && facts.mode() & 0o6000 != 0 {
            findings.push(Finding {
                kind: "set-id",
                ..wrong("runs as its owner for every user of the host who reaches it: `chmod ug-s`, unless `--allow-file` kept it on purpose (nodes have no use of it)")
            });
        }
        if facts.mode() & 0o170_000 != kind && !(facts.is_symlink() && kind == 0o040_000) {
            findings.push(wrong("is of another kind"));
        } else if facts.is_file() && !same_digest(root, path, file) {
            findings.push(wrong("has other contents"));
        }
    })?;
    Ok(findings)
}

fn same_digest(root: &Dir, path: &str, file: &librpm::FileEntry<'_>) -> bool {
    let Some(wanted) = file.digest() else { return true };
    let Ok(open) = root.file_in_root(path) else { return false };
    let kind = match wanted.len() {
        32 => "sha256",
        64 => "sha512",
        // Older digests prove nothing; sizes are compared.
        _ => return open.metadata().is_ok_and(|facts| facts.len() == file.size()),
    };
    // Piece by piece: it may have become larger than memory.
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    crate::repo::checksum(kind, open).is_ok_and(|sum| sum == Some(hex(wanted)))
}

/// Which package of a member owns a path, and who signed it.
pub(crate) fn owner(member: &Member, path: &str) -> Result<Vec<(String, String)>, RpmError> {
    let mut found = Vec::new();
    let Some(database) = Believed::of(member)? else { return Ok(found) };
    use_database(&database)?;
    for header in Db::open()?.installed_packages() {
        if header.files().find(path).is_some() {
            found.push((nevra(&header), signature(&header).unwrap_or_else(|| "not signed".into())));
        }
    }
    Ok(found)
}

/// Who signed a package, in rpm's words. Where a version of rpm does not know a tag, no package has it.
fn signature(header: &PackageHeader) -> Option<String> {
    ["OPENPGP", "RSAHEADER", "DSAHEADER", "SIGPGP", "SIGGPG"].into_iter().find_map(|tag| {
        let words = header.format(&format!("%|{tag}?{{%{{{tag}:pgpsig}}}}|")).ok()?;
        (!words.is_empty()).then_some(words)
    })
}

/// Spellings of a path in a root where directories such as /bin are links into /usr.
pub(crate) fn spellings(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_path_buf()];
    for top in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(below) = path.strip_prefix(Path::new("/usr").join(top)) {
            all.push(Path::new("/").join(top).join(below));
        } else if let Ok(below) = path.strip_prefix(Path::new("/").join(top)) {
            all.push(Path::new("/usr").join(top).join(below));
        }
    }
    all
}
