//! Whose signatures count for a node: keys of its database that its generation's record names. The record is written by
//! the process that asked a person, where no package, scriptlet or container reaches it; the database is written by rpm,
//! among scriptlets. So what stands in one of them alone counts for nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::database::Contents;
use super::openpgp::{Certificate, certificates};
use super::{RpmError, armor};
use crate::family::Member;
use crate::history::About;

/// Fingerprints of keys and subkeys that somebody agreed to.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct TrustList(BTreeSet<String>);

impl TrustList {
    /// Whether all keys of a certificate are in it. A subkey signs as its key does.
    fn names(&self, certificate: &Certificate) -> bool {
        certificate.keys().all(|key| self.0.contains(key))
    }

    /// All of them.
    pub(crate) fn fingerprints(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// Takes away what no key of a database is any more: one that comes back is asked for again.
    pub(crate) fn keep(&mut self, contents: &Contents) {
        let all = contents.keys.iter();
        let all: Vec<Certificate> =
            all.flat_map(|key| certificates(key.armored.as_bytes()).unwrap_or_default()).collect();
        let held: BTreeSet<&str> = all.iter().flat_map(Certificate::keys).map(AsRef::as_ref).collect();
        self.0.retain(|key| held.contains(key.as_str()));
    }

    /// Adds what was agreed to, or adopted.
    pub(crate) fn add<'a>(&mut self, certificates: impl IntoIterator<Item = &'a Certificate>) {
        self.0.extend(certificates.into_iter().flat_map(Certificate::keys).map(str::to_owned));
    }
}

/// A key whose signatures count. Only [`Keys::of`] makes one, out of a database and the list that names it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct TrustedKey {
    armored: String,
}

impl TrustedKey {
    fn of(certificate: &Certificate) -> Self {
        Self { armored: armor::wrap(&certificate.packets, armor::KEY) }
    }

    /// The certificate.
    pub(super) fn certificate(&self) -> Result<Vec<Certificate>, String> {
        certificates(self.armored.as_bytes())
    }
}

/// The keys of a member's database.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Those that count.
    pub(crate) trusted: Vec<TrustedKey>,
    /// Fingerprints of these, and of their subkeys.
    pub(crate) fingerprints: BTreeSet<String>,
    /// Those that nobody agreed to.
    pub(crate) strangers: Vec<Certificate>,
    /// What has to be recorded, since there was no list: everything that is there. Such a node was made by red-pak, or by
    /// an earlier red-dnf.
    pub(crate) adopted: Option<Vec<Certificate>>,
}

impl Keys {
    /// Tells the keys of a database apart.
    pub(crate) fn of(member: &Member, contents: &Contents) -> Result<Self, RpmError> {
        let all = contents.keys.iter();
        // One that cannot be read verifies nothing.
        let all = all.flat_map(|key| certificates(key.armored.as_bytes()).unwrap_or_default());
        let list = if member.core { None } else { About::of_member(member)?.keys };
        let mut keys = Self::default();
        for certificate in all {
            if list.as_ref().is_some_and(|list| !list.names(&certificate)) {
                keys.strangers.push(certificate);
                continue;
            }
            keys.trusted.push(TrustedKey::of(&certificate));
            keys.fingerprints.extend(certificate.keys().map(str::to_owned));
            if list.is_none() && !member.core {
                keys.adopted.get_or_insert_default().push(certificate);
            }
        }
        Ok(keys)
    }
}

/// Whether one of rpm's keys is nothing but what was agreed to.
pub(crate) fn is_agreed(armored: &str, agreed: &[Certificate]) -> bool {
    let mut list = TrustList::default();
    list.add(agreed);
    certificates(armored.as_bytes()).is_ok_and(|own| !own.is_empty() && own.iter().all(|one| list.names(one)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpm::database::StoredKey;

    fn certificate(fingerprint: &str, subkeys: &[&str]) -> Certificate {
        Certificate {
            packets: Vec::new(),
            id: String::new(),
            fingerprint: fingerprint.into(),
            user: String::new(),
            subkeys: subkeys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    #[test]
    fn a_list_names_keys_with_their_subkeys() {
        let mut list = TrustList::default();
        list.add(&[certificate("a", &["b"]), certificate("c", &[])]);
        for (key, subkeys, wanted) in [
            ("a", &["b"][..], true),
            ("a", &[], true),
            ("c", &[], true),
            ("a", &["b", "x"], false),
            ("x", &["b"], false),
            ("x", &[], false),
        ] {
            assert_eq!(list.names(&certificate(key, subkeys)), wanted, "{key} {subkeys:?}");
        }
    }

    #[test]
    fn a_list_keeps_what_a_database_has() {
        let armored = include_str!("../../../tests/src/rfc9580-a3.asc").to_owned();
        let own = certificates(armored.as_bytes()).unwrap();
        let mut list = TrustList::default();
        list.add(&own);
        let wanted = list.clone();
        list.add(&[certificate("gone", &["subkey"])]);
        assert_ne!(list, wanted);
        let key = StoredKey { name: "gpg-pubkey-1-2".into(), armored, header: None, plain: true };
        list.keep(&Contents { keys: vec![key], ..Contents::default() });
        assert_eq!(list, wanted);
        list.keep(&Contents::default());
        assert_eq!(list, TrustList::default());
    }
}
