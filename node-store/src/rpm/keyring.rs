//! Keys that packages may be signed with: those of the databases of node and ancestors, and those just agreed to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use librpm::db::Index;
use librpm::{Db, Keyring, PackageHeader};

use super::openpgp::{Certificate, certificates};
use super::{Job, RpmError, define, has_database, nevra, use_database};

/// What rpm's keys are called among packages.
const NAME: &str = "gpg-pubkey";

/// The certificates in a database. One that cannot be read verifies nothing, and is left out.
pub(crate) fn stored(database: &Path) -> Result<Vec<Certificate>, RpmError> {
    if !has_database(database) {
        return Ok(Vec::new());
    }
    use_database(database)?;
    Ok(Db::open()?.find(Index::Name, NAME).flat_map(|header| of(&header)).collect())
}

/// The certificates that one of rpm's keys holds, by its description, which is armor.
fn of(header: &PackageHeader) -> Vec<Certificate> {
    certificates(header.description().as_bytes()).unwrap_or_default()
}

/// A key in a database.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct DatabaseKey {
    /// As rpm lists it, `gpg-pubkey-VERSION-RELEASE`.
    pub(crate) name: String,
    armored: String,
}

impl DatabaseKey {
    /// Whether it is nothing but keys that were agreed to.
    pub(crate) fn is_one_of(&self, agreed: &[Certificate]) -> bool {
        let known = |one: &Certificate| agreed.iter().any(|key| key.fingerprint == one.fingerprint);
        certificates(self.armored.as_bytes()).is_ok_and(|own| !own.is_empty() && own.iter().all(known))
    }
}

/// What a database holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Its keys, those too that verify nothing.
    pub(crate) keys: BTreeSet<DatabaseKey>,
    /// Names, versions and architectures of packages.
    pub(crate) installed: Vec<String>,
    /// Names right below the root that packages own.
    pub(crate) tops: BTreeSet<String>,
}

/// What a database holds, by every header and not by an index: an index is a table that somebody who can
/// write to the file can replace.
pub(crate) fn contents(database: &Path) -> Result<Contents, RpmError> {
    let mut found = Contents::default();
    if !has_database(database) {
        return Ok(found);
    }
    use_database(database)?;
    for header in Db::open()?.installed_packages() {
        if header.name() == NAME {
            let name = format!("{NAME}-{}-{}", header.version(), header.release());
            found.keys.insert(DatabaseKey { name, armored: header.description().to_owned() });
            continue;
        }
        found.installed.push(nevra(&header));
        let paths = header.files();
        let top = |path: &str| path.strip_prefix('/').filter(|top| !top.contains('/')).map(str::to_owned);
        found.tops.extend(paths.iter().filter_map(|file| top(&file.path())));
    }
    Ok(found)
}

/// The keys that a job's packages are verified with.
pub(super) fn keyring(job: &Job) -> Result<Keyring, String> {
    if job.import.is_empty() && !job.install.iter().any(|install| install.signed) {
        return Ok(Keyring::new());
    }
    let mut found = BTreeMap::new();
    for database in &job.keyrings {
        for certificate in stored(database).map_err(|error| error.to_string())? {
            keep(&mut found, certificate, false);
        }
    }
    for armored in &job.import {
        for certificate in certificates(armored.as_bytes())? {
            keep(&mut found, certificate, true);
        }
    }
    accepted(found.into_values(), &job.work)
}

/// Of two editions of a certificate, the one with more keys: the other one is older.
fn keep(found: &mut BTreeMap<String, (Certificate, bool)>, certificate: Certificate, new: bool) {
    let keys = certificate.subkeys.len();
    let other = found.get(&certificate.fingerprint).map(|(other, _)| other.subkeys.len());
    if other.is_none_or(|other| keys > other || keys == other && new) {
        found.insert(certificate.fingerprint.clone(), (certificate, new));
    }
}

/// Lets librpm make a keyring of certificates, out of a database that is thrown away. It alone adds subkeys: a keyring
/// that is filled key by key has primary keys only before rpm 6.
fn accepted(found: impl Iterator<Item = (Certificate, bool)>, aside: &Path) -> Result<Keyring, String> {
    let dir = tempfile::Builder::new().prefix(".keys").tempdir_in(aside);
    let dir = dir.map_err(|error| format!("{}: {error}", aside.display()))?;
    let words = |error: &dyn std::fmt::Display| format!("the keyring: {error}");
    use_database(dir.path()).map_err(|error| words(&error))?;
    define("_db_backend", "sqlite").map_err(|error| words(&error))?;
    let database = Db::open().map_err(|error| words(&error))?;
    database.init_db(0o600).map_err(|error| words(&error))?;
    for (certificate, new) in found {
        let Err(error) = database.import_pubkey(&certificate.packets) else { continue };
        let why = librpm::logging::last_message().unwrap_or_else(|| error.to_string());
        let words = format!("the key {} is not accepted by rpm: {}", certificate.fingerprint, why.trim());
        if new {
            return Err(format!("{words}; nothing has changed"));
        }
        // What it signed is refused, and this says why.
        drop(writeln!(std::io::stderr(), "{words}"));
    }
    drop(database);
    Ok(Db::open().map_err(|error| words(&error))?.keyring())
}

/// Makes keys part of the database that is in use, so that rpm itself verifies with them later. An older edition of one
/// goes: before version 6 rpm leaves it as it is.
pub(super) fn import(new: &[Certificate]) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| format!("keys of the node: {error}");
    for certificate in new {
        let mut database = Db::open().map_err(|error| words(&error))?;
        let older =
            |header: &PackageHeader| of(header).iter().any(|old| old.fingerprint == certificate.fingerprint);
        let older: Vec<PackageHeader> = database.find(Index::Name, NAME).filter(older).collect();
        if !older.is_empty() {
            let mut transaction = database.transaction();
            for header in &older {
                transaction.add_erase(header).map_err(|error| words(&error))?;
            }
            transaction.run().map_err(|error| words(&error))?;
            drop(transaction);
            // The one that is open remembers the key.
            drop(database);
            database = Db::open().map_err(|error| words(&error))?;
        }
        database.import_pubkey(&certificate.packets).map_err(|error| words(&error))?;
    }
    Ok(())
}
