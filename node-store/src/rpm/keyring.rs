//! Keys that packages may be signed with: those that are trusted in node and ancestors, and those just agreed to.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use librpm::db::Index;
use librpm::{Db, Keyring, PackageHeader, Tag};

use super::openpgp::{Certificate, certificates};
use super::texts::text;
use super::{Believed, Job, define, use_database};

/// What rpm's keys are called among packages.
const NAME: &str = "gpg-pubkey";

/// The certificates that one of rpm's keys holds, by its description, which is armor.
fn of(header: &PackageHeader) -> Vec<Certificate> {
    let armored = text(header, Tag::DESCRIPTION).unwrap_or_default();
    certificates(armored.as_bytes()).unwrap_or_default()
}

/// The keys that a job's packages are verified with.
pub(super) fn keyring(job: &Job) -> Result<Keyring, String> {
    if job.import.is_empty() && !job.install.iter().any(|install| install.signed) {
        return Ok(Keyring::new());
    }
    let mut found = BTreeMap::new();
    for key in &job.trusted {
        for certificate in key.certificate()? {
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
    use_database(&Believed::own(dir.path())).map_err(|error| words(&error))?;
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
