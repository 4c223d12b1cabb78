//! What the databases of a family hold before a transaction, and what the node's has to hold after it: exactly that and
//! what was planned. rpm does not tell of every write that failed, and scriptlets can write to the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use red_runtime::node::guard::Decides;
use red_runtime::node::render::visible;

use super::{Talk, TransactionError};
use crate::family::Family;
use crate::history::About;
use crate::plan::{Action, Change};
use crate::rpm::database::{self, Contents, Installed, StoredKey, are_kept, are_new};
use crate::rpm::openpgp::{Certificate, certificates};
use crate::rpm::{self, Planned, TrustList, TrustedKey};
use crate::solve::LoadError;

/// What there is before anything is done.
pub(super) struct Before {
    /// What the node's own database holds.
    node: Contents,
    /// Keys that count for the node, of all of its family.
    pub(super) trusted: Vec<TrustedKey>,
    /// Their fingerprints.
    pub(super) fingerprints: BTreeSet<String>,
    /// What the node's own record has of that.
    pub(super) list: TrustList,
}

impl Before {
    /// Reads all databases, and tells which keys do not count.
    pub(super) fn read(
        family: &Family,
        about: &About,
        talk: &mut dyn Talk,
    ) -> Result<Self, TransactionError> {
        let list = about.keys.clone().unwrap_or_default();
        let mut before =
            Self { node: Contents::default(), trusted: Vec::new(), fingerprints: BTreeSet::new(), list };
        for member in family.members() {
            before.node = database::read(member).map_err(LoadError::from)?;
            let keys = rpm::Keys::of(member, &before.node).map_err(LoadError::from)?;
            for stranger in &keys.strangers {
                talk.say(&format!(
                    "{}: the key {} ({}) in its rpm database does not count: nobody agreed to it here; a repository \
                     with that `gpgkey` asks for it",
                    member.words(),
                    stranger.fingerprint.to_uppercase(),
                    visible(&stranger.user)
                ));
            }
            before.trusted.extend(keys.trusted);
            before.fingerprints.extend(keys.fingerprints);
            let adopted = keys.adopted.filter(|_| member.path == family.node.path && !member.core);
            for key in adopted.iter().flatten() {
                talk.say(&format!(
                    "{}: the key {} ({}) that its rpm database has is trusted from now on; others are asked for",
                    member.words(),
                    key.fingerprint.to_uppercase(),
                    visible(&key.user)
                ));
            }
            before.list.add(adopted.iter().flatten());
        }
        Ok(before)
    }

    /// Files that decide and that packages have which go away.
    pub(super) fn gone(&self, changes: &[Change]) -> BTreeSet<PathBuf> {
        let nevras = going(changes);
        let rules = rpm::Rules { more: &[], allowed: &[] };
        let files = self.node.packages.iter().filter(|package| nevras.contains(&package.nevra));
        let files = files.flat_map(|package| package.files.iter().map(PathBuf::from));
        let repositories =
            |path: &PathBuf| rules.decides(path, false).is_some_and(|what| what != Decides::Configuration);
        files.filter(repositories).collect()
    }

    /// Refuses a database that holds anything else than what was planned.
    pub(super) fn compare(
        &self,
        now: &Contents,
        (changes, planned, agreed): (&[Change], &[Planned], &[Certificate]),
        documentation: bool,
    ) -> Result<(), TransactionError> {
        compare_keys(&self.node.keys, &now.keys, agreed)?;
        let mut wanted: BTreeMap<&str, Wanted<'_>> =
            held(&self.node.packages)?.into_iter().map(|(nevra, old)| (nevra, Wanted::Before(old))).collect();
        let going = going(changes);
        wanted.retain(|nevra, _| !going.contains(*nevra));
        for change in changes.iter().filter(|change| change.action != Action::Remove) {
            let nevra = change.nevra();
            let found = planned.iter().find(|package| package.nevra == nevra);
            let Some(found) = found else { return Err(TransactionError::Differs(nevra)) };
            wanted.insert(&found.nevra, Wanted::New(found));
        }
        let held = held(&now.packages)?;
        let new = wanted.iter().filter(|(_, wanted)| matches!(wanted, Wanted::New(_)));
        let new = new.filter_map(|(nevra, _)| held.get(nevra));
        let brought: BTreeSet<&str> =
            new.flat_map(|package| package.files.iter().map(String::as_str)).collect();
        for (nevra, wanted) in &wanted {
            match held.get(nevra) {
                None => return Err(TransactionError::Differs(format!("{nevra} is not there"))),
                Some(held) if !wanted.is(held, &brought, documentation) => {
                    return Err(TransactionError::Differs(format!("{nevra} is another than its package")));
                }
                Some(_) => {}
            }
        }
        match held.keys().find(|nevra| !wanted.contains_key(*nevra)) {
            Some(nevra) => Err(TransactionError::Differs(format!("{nevra} is there"))),
            None => Ok(()),
        }
    }
}

/// What a database has to hold of a package.
enum Wanted<'a> {
    /// The same as before.
    Before(&'a Installed),
    /// What was verified. Of its signatures a version of rpm keeps those that it knows.
    New(&'a Planned),
}

impl Wanted<'_> {
    /// Whether a package of the database is it. Of its files new packages may have `brought` others.
    fn is(&self, held: &Installed, brought: &BTreeSet<&str>, documentation: bool) -> bool {
        match self {
            Self::Before(old) => {
                (&old.identity, &old.signatures, old.strange)
                    == (&held.identity, &held.signatures, held.strange)
                    && are_kept((&old.states, &held.states), &held.files, brought)
            }
            Self::New(new) => {
                let shown = held.signatures.iter().all(|(tag, one)| new.signatures.get(tag) == Some(one));
                let whole = are_new(&held.states, &held.files, documentation);
                new.identity == held.identity && shown && !held.strange && whole
            }
        }
    }
}

/// Packages that go away, or give way to others.
fn going(changes: &[Change]) -> BTreeSet<String> {
    let removed = changes.iter().filter(|change| change.action == Action::Remove).map(Change::nevra);
    removed.chain(changes.iter().flat_map(|change| change.replaces.iter().cloned())).collect()
}

/// Refuses keys that are other than before, header by header, and new ones that are more than what was agreed to: rpm
/// looks at all of a key's header when it looks for triggers, conflicts or files.
fn compare_keys(
    before: &[StoredKey],
    now: &[StoredKey],
    agreed: &[Certificate],
) -> Result<(), TransactionError> {
    let mut left: Vec<&StoredKey> = before.iter().collect();
    let mut new = BTreeSet::new();
    for key in now {
        if let Some(at) = left.iter().position(|old| *old == key) {
            left.swap_remove(at);
            continue;
        }
        let expected = key.plain && rpm::is_agreed(&key.armored, agreed);
        if !expected || !primary(key).into_iter().all(|fingerprint| new.insert(fingerprint)) {
            return Err(TransactionError::StrangeKey(key.name.clone()));
        }
    }
    // Versions of rpm put a key that was agreed to anew in the place of the one that they have.
    let replaced = |old: &StoredKey| {
        let own = primary(old);
        !own.is_empty() && own.iter().all(|fingerprint| new.contains(fingerprint))
    };
    match left.into_iter().find(|old| !replaced(old)) {
        Some(gone) => Err(TransactionError::Differs(format!("the key {} is gone", gone.name))),
        None => Ok(()),
    }
}

/// Fingerprints of a key, without its subkeys.
fn primary(key: &StoredKey) -> Vec<String> {
    let keys = certificates(key.armored.as_bytes()).unwrap_or_default();
    keys.into_iter().map(|key| key.fingerprint).collect()
}

/// Packages by name.
fn held(packages: &[Installed]) -> Result<BTreeMap<&str, &Installed>, TransactionError> {
    let mut held = BTreeMap::new();
    for package in packages {
        if held.insert(package.nevra.as_str(), package).is_some() {
            return Err(TransactionError::Differs(format!("{} is there twice", package.nevra)));
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARMORED: &str = include_str!("../../../tests/src/rfc9580-a3.asc");

    /// A key with a header of its own.
    fn key(header: &str, armored: &str) -> StoredKey {
        let header = serde_json::from_str(&format!("\"{header}\"")).unwrap();
        StoredKey {
            name: "gpg-pubkey-1-2".into(),
            armored: armored.into(),
            header: Some(header),
            plain: true,
        }
    }

    #[test]
    fn keys_are_the_same_header_by_header() {
        let asked = certificates(ARMORED.as_bytes()).unwrap();
        let (old, new) = (key("old", ARMORED), key("new", ARMORED));
        let broken = key("broken", "x");
        let more = StoredKey { plain: false, ..key("more", ARMORED) };
        let (old, new, broken, more) = (&old, &new, &broken, &more);
        for (before, now, agreed, good) in [
            (&[old, broken][..], &[broken, old][..], false, true),
            (&[], &[new], true, true),
            (&[old], &[old, new], true, true),
            (&[old], &[new], true, true),
            (&[old], &[new], false, false),
            (&[old], &[], false, false),
            (&[old], &[old, old], false, false),
            (&[old], &[old, new], false, false),
            (&[old], &[more], true, false),
            (&[], &[more], true, false),
            (&[], &[new, new], true, false),
            (&[old, old], &[old], false, false),
            (&[broken], &[new], true, false),
        ] {
            let agreed = if agreed { &asked[..] } else { &[] };
            let [first, second] =
                [before, now].map(|keys| keys.iter().map(|key| (*key).clone()).collect::<Vec<_>>());
            let said = compare_keys(&first, &second, agreed);
            assert_eq!(said.is_ok(), good, "{before:?} {now:?}: {said:?}");
        }
    }
}
