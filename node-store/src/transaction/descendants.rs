//! What a change means for the nodes below.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::node::One;
use super::{Talk, TransactionError};
use crate::family::{self, Family};
use crate::generation::{self, Switches};
use crate::history::{About, Record};
use crate::plan::{Action, Change};
use crate::rpm;
use crate::session::Session;
use crate::solve::ffi::Id;
use crate::solve::{Answer, Ask, LoadError, Packages, Wish, solve};

/// What a change means for the nodes below.
#[derive(Default)]
pub(super) struct Below {
    /// What would no longer hold there, by node.
    pub(super) broken: BTreeMap<PathBuf, Vec<String>>,
    /// What would be there twice.
    pub(super) twice: Vec<String>,
}

/// Looks at what a change means for the nodes below.
pub(super) fn look(
    family: &Family,
    packages: &mut Packages,
    answer: &Answer,
) -> Result<Below, TransactionError> {
    let goes = goes_away(packages, answer);
    let before: BTreeSet<Id> = packages.fixed().into_iter().chain(packages.own()).collect();
    let comes =
        answer.changes.iter().filter(|(change, _)| change.action != Action::Remove).map(|(_, id)| *id);
    let after: BTreeSet<Id> = before.iter().copied().filter(|id| !goes.contains(id)).chain(comes).collect();
    let mut below: Vec<(PathBuf, String, BTreeSet<Id>)> = Vec::new();
    for path in family::descendants(&family.node.path) {
        let Ok(theirs) = Family::load(&path) else { continue };
        let database = match rpm::Believed::of(&theirs.node) {
            // Whoever owns the node mends it; until then nobody knows what it needs, and it stands in nobody's way.
            Err(rpm::RpmError::Database { .. }) => continue,
            database => database.map_err(LoadError::from)?,
        };
        let repo = packages.pool.add_repo(&theirs.node.alias, 0, 0);
        if let Some(database) = database {
            rpm::use_database(&database).map_err(LoadError::from)?;
            packages.pool.load_rpmdb(repo, database.path()).map_err(LoadError::from)?;
        }
        let ids = packages.pool.packages(repo).into_iter().collect();
        below.push((path, theirs.node.alias, ids));
    }
    let mut found = Below::default();
    if below.is_empty() {
        return Ok(found);
    }
    packages.pool.prepare();
    let coming: BTreeMap<&str, String> = answer
        .changes
        .iter()
        .filter(|(change, _)| change.action == Action::Install)
        .map(|(change, _)| (change.name.as_str(), change.nevra()))
        .collect();
    for (path, alias, ids) in &below {
        for &id in ids {
            let Some(nevra) = coming.get(packages.pool.name(id).as_str()) else { continue };
            found.twice.push(format!(
                "note: node `{alias}` has {} of its own, which hides {nevra} there: `red-dnf --redpath={} red-remove \
                 {}` removes it",
                packages.nevra(id),
                path.display(),
                packages.pool.name(id)
            ));
        }
        let chain = below.iter().filter(|(other, _, _)| path.starts_with(other)).flat_map(|(_, _, ids)| ids);
        let chain: BTreeSet<Id> = chain.copied().collect();
        let with = |base: &BTreeSet<Id>| base.union(&chain).copied().collect::<BTreeSet<Id>>();
        let unmet_before: BTreeSet<(Id, Id)> = packages.unmet(&with(&before)).into_iter().collect();
        let lines: Vec<String> = packages
            .unmet(&with(&after))
            .into_iter()
            .filter(|one| ids.contains(&one.0) && !unmet_before.contains(one))
            .map(|(id, dependency)| {
                let what = packages.pool.dependency(dependency);
                format!("node `{alias}` ({}): {} needs {what}", path.display(), packages.nevra(id))
            })
            .collect();
        if !lines.is_empty() {
            found.broken.insert(path.clone(), lines);
        }
    }
    Ok(found)
}

/// Installed packages that an answer removes or replaces.
fn goes_away(packages: &Packages, answer: &Answer) -> BTreeSet<Id> {
    let names: BTreeSet<String> = answer
        .changes
        .iter()
        .flat_map(|(change, _)| match change.action {
            Action::Remove => vec![change.nevra()],
            _ => change.replaces.clone(),
        })
        .collect();
    packages.own().into_iter().filter(|&id| names.contains(&packages.nevra(id))).collect()
}

/// Makes sure that nodes below can be changed where they are, before anything is written in any of them: those
/// that will change. Others may be anybody's.
pub(super) fn may_move<'a>(below: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), TransactionError> {
    for path in below {
        let family = Family::load(path)?;
        family.may_change()?;
        super::has_a_view(&family)?;
    }
    Ok(())
}

/// Shows a node its ancestors as they will be.
fn follow(family: &mut Family, moved: &Switches) {
    for ancestor in &mut family.ancestors {
        if let Some((_, number)) = moved.nodes.iter().find(|(node, _)| *node == ancestor.path) {
            let tree = ancestor.path.join(format!(".red/gen/{number}"));
            ancestor.database = tree.join(generation::DATABASE);
            ancestor.tree = tree;
        }
    }
}

/// Whether a node loses what it needs, because others between it and the first one move.
pub(super) fn loses(path: &Path, moved: &Switches) -> Result<bool, TransactionError> {
    // What the first one's change alone takes away is known ([`look`]); the pools of a family take long to load.
    let moves = |node: &Path| path != node && path.starts_with(node);
    if !moved.nodes.iter().skip(1).any(|(node, _)| moves(node)) {
        return Ok(false);
    }
    let Ok(mut family) = Family::load(path) else { return Ok(false) };
    let before = match crate::audit::unmet(&family) {
        Err(LoadError::Rpm(rpm::RpmError::Database { .. })) => return Ok(false),
        before => before?,
    };
    follow(&mut family, moved);
    // What scriptlets and packages have done stays done, whatever the database of one below is.
    let after = match crate::audit::unmet(&family) {
        Err(LoadError::Rpm(rpm::RpmError::Database { .. })) => return Ok(false),
        after => after?,
    };
    Ok(after.iter().any(|line| !before.contains(line)))
}

/// A descendant that moves along with its ancestor.
pub(super) fn along(
    path: &Path,
    moved: &Switches,
    first: &One<'_>,
    talk: &mut dyn Talk,
) -> Result<Option<(u64, Record)>, TransactionError> {
    let mut family = Family::load(path)?;
    follow(&mut family, moved);
    let session = Session::of(family, first.session.choice.clone())?;
    let store = family::store(&session.family.node)?;
    let about = About::to_change(&store)?;
    let mut packages = session.packages(false, talk)?;
    let mut ask = Ask::new(Wish::Mend, Vec::new());
    ask.about = about.clone();
    let answer = solve(&mut packages, &ask)?;
    if answer.changes.is_empty() {
        return Ok(None);
    }
    let changes: Vec<Change> = answer.changes.iter().map(|(change, _)| change.clone()).collect();
    // What does not hold in a node changes others that rely on it.
    first.locks.holds(path)?;
    may_move([&path.to_path_buf()])?;
    talk.show(&session.family.node.alias, &changes);
    let mut one = One { session: &session, store: &store, how: first.how, locks: first.locks };
    let prepared = one.prepare(&packages, answer, &about, talk)?;
    Ok(prepared.map(|(stage, record)| (stage.number, record)))
}
