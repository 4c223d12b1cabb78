//! Which keys and signatures count at a time (RFC 9580, sections 5.2.1, 5.2.3 and 10.1): what their owner revoked, what has
//! expired and what is signed over MD5 does not, as with gpg(1). Verifying a
//! signature looks at none of this. What a certificate's own key signed is what [`super::binding`] leaves of it. Revocations are not verified:
//! who could forge them could as well leave out a key.

use std::collections::BTreeSet;

use super::openpgp::{
    Certificate, PUBLIC_KEY, PUBLIC_SUBKEY, Packet, SIGNATURE, USER_ID, hex, names, packets, primary_key,
};

/// Types of signatures (section 5.2.1).
pub(super) mod kind {
    pub(in crate::rpm) const BINARY: u8 = 0x00;
    pub(in crate::rpm) const TEXT: u8 = 0x01;
    pub(in crate::rpm) const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
    pub(in crate::rpm) const BINDING: u8 = 0x18;
    pub(in crate::rpm) const PRIMARY_BINDING: u8 = 0x19;
    pub(in crate::rpm) const DIRECT: u8 = 0x1f;
    pub(in crate::rpm) const KEY_REVOCATION: u8 = 0x20;
    pub(in crate::rpm) const SUBKEY_REVOCATION: u8 = 0x28;
    pub(in crate::rpm) const CERTIFICATION_REVOCATION: u8 = 0x30;
}

/// Identifier of MD5 (section 9.5).
const MD5: u8 = 1;

/// Types of subpackets that say something here, or nothing about whether a signature over data counts. Of notations none is
/// known (section 5.2.3.24).
const KNOWN: [u8; 23] = [2, 3, 4, 5, 6, 7, 9, 11, 12, 16, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33];

/// What a signature says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Signature {
    pub(super) kind: u8,
    hash: u8,
    /// Seconds since the epoch.
    pub(super) created: u64,
    /// Whether it says that it means nothing to whoever does not know a part of it, and that is not known.
    strange: bool,
    /// Seconds after its creation.
    expires: Option<u64>,
    /// Seconds after the creation of the key that it is about.
    key_expires: Option<u64>,
    /// Ids and fingerprints of the key that made it.
    issuers: Vec<String>,
    /// What the key may be used for (section 5.2.3.29).
    flags: Option<u8>,
    /// Bodies of signatures within it.
    pub(super) embedded: Vec<Vec<u8>>,
}

impl Signature {
    /// Reads the body of a packet. `None` for versions that are not known.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut signature = Self::default();
        match *body.first()? {
            3 => {
                let (created, issuer) = (body.get(3..7)?, body.get(7..15)?);
                (signature.kind, signature.hash) = (*body.get(2)?, *body.get(16)?);
                (signature.created, signature.issuers) = (number(created), vec![hex(issuer)]);
                return Some(signature);
            }
            4 | 6 => {}
            _ => return None,
        }
        (signature.kind, signature.hash) = (*body.get(1)?, *body.get(3)?);
        let width = if body.first() == Some(&4) { 2 } else { 4 };
        let mut rest = body.get(4..)?;
        let mut created = None;
        for hashed in [true, false] {
            let length = usize::try_from(number(rest.get(..width)?)).ok()?;
            let mut area = rest.get(width..)?.get(..length)?;
            rest = &rest[width + length..];
            while !area.is_empty() {
                let (kind, value, taken) = subpacket(area)?;
                let is_critical = kind & 0x80 != 0;
                let kind = kind & 0x7f;
                signature.strange |= hashed && is_critical && !KNOWN.contains(&kind);
                area = &area[taken..];
                match kind {
                    2 if hashed => created = Some(number(value.get(..4)?)),
                    3 if hashed => signature.expires = Some(number(value.get(..4)?)),
                    9 if hashed => signature.key_expires = Some(number(value.get(..4)?)),
                    // Who made it is only a hint, and may stand in either.
                    16 => signature.issuers.push(hex(value)),
                    27 if hashed => signature.flags = Some(value.first().copied().unwrap_or(0)),
                    32 => signature.embedded.push(value.to_vec()),
                    33 => signature.issuers.push(hex(value.get(1..)?)),
                    _ => {}
                }
            }
        }
        // It has to stand there (section 5.2.3.11).
        signature.created = created?;
        Some(signature)
    }

    /// Whether a key made it, as far as it says so.
    pub(super) fn is_by(&self, id: &str, fingerprint: &str) -> bool {
        self.issuers.is_empty() || self.issuers.iter().any(|issuer| issuer == id || issuer == fingerprint)
    }

    /// Whether the key that it is about may sign data.
    pub(super) fn may_sign(&self) -> bool {
        self.flags.is_none_or(|flags| flags & 2 != 0)
    }

    fn expired(&self, now: u64) -> Option<u64> {
        let end = self.expires.filter(|&seconds| seconds > 0).map(|seconds| self.created + seconds);
        end.filter(|&end| end <= now)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

/// Type with the bit that says that whoever does not know it may not pass over it, value and length of the first subpacket
/// (section 5.2.3.7).
fn subpacket(area: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (length, taken) = match *area.first()? {
        short @ ..192 => (usize::from(short), 1),
        long @ 192..255 => (((usize::from(long) - 192) << 8) + usize::from(*area.get(1)?) + 192, 2),
        255 => (usize::try_from(number(area.get(1..5)?)).ok()?, 5),
    };
    let whole = area.get(taken..)?.get(..length)?;
    let (&kind, value) = whole.split_first()?;
    Some((kind, value, taken + length))
}

/// A key or a user id, with the signatures about it.
struct Part<'a> {
    packet: Packet<'a>,
    /// All of it.
    whole: Vec<u8>,
    /// Those that the primary key made.
    own: Vec<Signature>,
}

impl Part<'_> {
    /// The newest signature of some types.
    fn newest(&self, wanted: impl Fn(u8) -> bool) -> Option<&Signature> {
        self.own.iter().filter(|signature| wanted(signature.kind)).max_by_key(|signature| signature.created)
    }

    fn revoked(&self, kind: u8) -> bool {
        self.own.iter().any(|signature| signature.kind == kind)
    }

    /// Why a key does not count any more, given the signature that says how long it does.
    fn over(&self, key_expires: Option<u64>, now: u64) -> Option<String> {
        let created = number(self.packet.body.get(1..5).unwrap_or_default());
        let end = key_expires.filter(|&seconds| seconds > 0).map(|seconds| created + seconds);
        end.filter(|&end| end <= now).map(|end| format!("expired on {}", date(end)))
    }
}

/// The day of a time.
pub(crate) fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.strftime("%Y-%m-%d").to_string())
}

/// A key that does not count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Dead {
    pub(crate) id: String,
    pub(crate) fingerprint: String,
    /// `expired on 2024-01-02`, `is revoked`.
    pub(crate) why: String,
}

/// What is left of certificates at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usable {
    /// Certificates without the keys that do not count.
    pub(crate) packets: Vec<Vec<u8>>,
    pub(crate) dead: Vec<Dead>,
}

/// Leaves out of certificates what does not count. A key that is revoked in one of them is so in all.
pub(crate) fn usable(certificates: &[Certificate], now: u64) -> Result<Usable, String> {
    let mut dead = Vec::new();
    for certificate in certificates {
        one(certificate, now, &BTreeSet::new(), &mut dead)?;
    }
    let revoked: BTreeSet<String> =
        dead.into_iter().filter(|dead| dead.why == REVOKED).map(|dead| dead.fingerprint).collect();
    let (mut found, mut dead) = (Usable::default(), Vec::new());
    for certificate in certificates {
        found.packets.extend(one(certificate, now, &revoked, &mut dead)?.into_iter().flatten());
    }
    // Of several editions of a key each would be told.
    for one in dead {
        if !found.dead.contains(&one) {
            found.dead.push(one);
        }
    }
    Ok(found)
}

const REVOKED: &str = "is revoked";

/// Why a key that its owner made for encryption, authentication or certification does not count.
const NO_SIGNER: &str = "may not sign data";

/// What is left of one certificate: itself, or its subkeys one by one where only they may sign.
fn one(
    certificate: &Certificate,
    now: u64,
    revoked: &BTreeSet<String>,
    dead: &mut Vec<Dead>,
) -> Result<Option<Vec<Vec<u8>>>, String> {
    let (id, fingerprint) = (&certificate.id, &certificate.fingerprint);
    let mut parts: Vec<Part<'_>> = Vec::new();
    for packet in packets(&certificate.packets)? {
        if packet.tag != SIGNATURE {
            parts.push(Part { packet, whole: packet.whole.to_vec(), own: Vec::new() });
            continue;
        }
        let Some(part) = parts.last_mut() else { continue };
        part.whole.extend_from_slice(packet.whole);
        part.own.extend(Signature::read(packet.body).filter(|signature| signature.is_by(id, fingerprint)));
    }
    let Some(primary) = parts.first().filter(|part| part.packet.tag == PUBLIC_KEY) else { return Ok(None) };
    let lasts = primary.newest(|kind| kind == kind::DIRECT).and_then(|direct| direct.key_expires);
    // Of a key that never expires the user ids may say something else, as for gpg.
    let lasts = lasts.filter(|&seconds| seconds > 0);
    // Wherever it stands: a revocation that was published apart is appended to the key.
    let why = if revoked.contains(fingerprint) || parts.iter().any(|part| part.revoked(kind::KEY_REVOCATION))
    {
        Some(REVOKED.to_owned())
    } else {
        primary.over(lasts.or_else(|| of_users(&parts)), now)
    };
    let signs = may_sign(primary, &parts);
    if why.is_none() && !signs {
        dead.push(Dead { id: id.clone(), fingerprint: fingerprint.clone(), why: NO_SIGNER.into() });
    }
    let (mut left, mut apart) = (Vec::new(), Vec::new());
    for part in &parts {
        let is_subkey = part.packet.tag == PUBLIC_SUBKEY;
        let name =
            if is_subkey || part.packet.tag == PUBLIC_KEY { Some(names(part.packet.body)?) } else { None };
        let elsewhere = name.as_ref().is_some_and(|(_, fingerprint)| revoked.contains(fingerprint));
        let over = why.clone().or_else(|| elsewhere.then(|| REVOKED.to_owned()));
        let over = over.or_else(|| is_subkey.then(|| subkey(part, now)).flatten());
        match over {
            Some(why) if name.is_some() => {
                dead.extend(name.map(|(id, fingerprint)| Dead { id, fingerprint, why }));
            }
            Some(_) => {}
            None => {
                left.extend_from_slice(&part.whole);
                apart.extend(is_subkey.then(|| primary_key(part.packet.body)));
            }
        }
    }
    Ok(why.is_none().then(|| if signs { vec![left] } else { apart }))
}

/// Whether a primary key may sign data: as it says of itself, or else as the newest word of a user id has it.
fn may_sign(primary: &Part<'_>, parts: &[Part<'_>]) -> bool {
    let direct = primary.newest(|kind| kind == kind::DIRECT).filter(|direct| direct.flags.is_some());
    let of_user = || {
        let told = standing(parts).filter(|signature| signature.flags.is_some());
        told.max_by_key(|signature| signature.created)
    };
    direct.or_else(of_user).is_none_or(Signature::may_sign)
}

/// How long a key counts by the signatures of its user ids: the newest that says so, as gpg has it.
fn of_users(parts: &[Part<'_>]) -> Option<u64> {
    let limited =
        standing(parts).filter(|signature| signature.key_expires.is_some_and(|seconds| seconds > 0));
    limited.max_by_key(|signature| signature.created).and_then(|signature| signature.key_expires)
}

/// The newest signature of each user id that is not gone.
fn standing<'a>(parts: &'a [Part<'_>]) -> impl Iterator<Item = &'a Signature> {
    let users = parts.iter().filter(|part| part.packet.tag == USER_ID);
    users.filter_map(|user| {
        let newest = user.newest(|kind| kind::CERTIFICATIONS.contains(&kind))?;
        let gone = user.newest(|kind| kind == kind::CERTIFICATION_REVOCATION);
        (gone.is_none_or(|gone| gone.created < newest.created)).then_some(newest)
    })
}

/// Why a subkey does not count.
fn subkey(part: &Part<'_>, now: u64) -> Option<String> {
    if part.revoked(kind::SUBKEY_REVOCATION) {
        return Some(REVOKED.to_owned());
    }
    match part.newest(|kind| kind == kind::BINDING) {
        None => Some("is no subkey that its key knows".into()),
        Some(binding) if !binding.may_sign() => Some(NO_SIGNER.into()),
        Some(binding) => match binding.expired(now) {
            Some(end) => Some(format!("expired on {}", date(end))),
            None => part.over(binding.key_expires, now),
        },
    }
}

/// Whether a signature packet over data counts at a time, whoever made it.
pub(crate) fn counts(packet: &[u8], now: u64) -> Result<(), String> {
    let signature = read(packet).ok_or("a signature is of no version that is known")?;
    if !matches!(signature.kind, kind::BINARY | kind::TEXT) {
        return Err("a signature is none of data".into());
    }
    if signature.strange {
        return Err("a signature has a critical part that is not known".into());
    }
    if signature.hash == MD5 {
        return Err("a signature is over an MD5 checksum, which proves nothing".into());
    }
    match signature.expired(now) {
        Some(end) => Err(format!("a signature expired on {}", date(end))),
        None => Ok(()),
    }
}

/// Why the key that a signature packet names as its maker does not count.
pub(crate) fn dead_maker(packet: &[u8], dead: &[Dead]) -> Option<String> {
    let signature = read(packet).filter(|signature| !signature.issuers.is_empty())?;
    let key = dead.iter().find(|key| signature.is_by(&key.id, &key.fingerprint))?;
    Some(format!("the key {}, which signed it, {}", key.fingerprint, key.why))
}

fn read(packet: &[u8]) -> Option<Signature> {
    Signature::read(packets(packet).ok()?.first()?.body)
}

#[cfg(test)]
mod tests;
