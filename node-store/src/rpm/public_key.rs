//! Public keys, and whether one of them made a signature over data (RFC 9580, sections 5.2 and 5.5). libsolv does the
//! arithmetic of RSA and DSA. It has Ed25519 as well, but release 0.7.23 refuses each signature whose first number has a
//! leading zero byte, which is one of 256: those are for ed25519-dalek.

use std::borrow::Cow;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::armor;
use super::binding::Budget;
use super::openpgp::{PUBLIC_KEY, PUBLIC_SUBKEY, Packet, names, packets};
use super::validity::{Signature, kind};
use crate::solve::ffi::{Keyring, sha1};

/// Algorithms of keys (section 9.1) that can be verified with.
mod algorithm {
    pub(super) const RSA: u8 = 1;
    pub(super) const DSA: u8 = 17;
    /// Ed25519 as version 4 has it: a curve, and numbers without leading zeros.
    pub(super) const EDDSA_LEGACY: u8 = 22;
    pub(super) const ED25519: u8 = 27;
}

/// Algorithms of checksums (section 9.5).
mod checksum {
    pub(super) const SHA1: u8 = 2;
    pub(super) const SHA256: u8 = 8;
    pub(super) const SHA384: u8 = 9;
    pub(super) const SHA512: u8 = 10;
    pub(super) const SHA224: u8 = 11;
}

/// The curve Ed25519 as a number with its length, and how long the point behind it is in bits, with the byte that says that
/// it is no pair of coordinates (sections 9.2 and 11.2.2).
const ED25519_POINT: &[u8] = b"\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01\x01\x07\x40";

/// A key or subkey, of version 4 or 6, that can be verified with.
pub(super) struct PublicKey<'a> {
    body: &'a [u8],
    algorithm: u8,
    /// The numbers of the algorithm.
    material: &'a [u8],
    /// 16 hexadecimal digits.
    id: String,
    /// 40 hexadecimal digits, 64 of version 6.
    fingerprint: String,
}

impl<'a> PublicKey<'a> {
    /// `None` of an algorithm that cannot be verified with.
    pub(super) fn of(packet: &Packet<'a>) -> Option<Self> {
        let body = packet.body;
        let &algorithm = body.get(5)?;
        let (material, known): (_, &[u8]) = match *body.first()? {
            4 => (
                body.get(6..)?,
                &[algorithm::RSA, algorithm::DSA, algorithm::EDDSA_LEGACY, algorithm::ED25519],
            ),
            6 => {
                let length = u32::from_be_bytes(body.get(6..10)?.try_into().ok()?);
                let material = body.get(10..)?;
                if usize::try_from(length) != Ok(material.len()) {
                    return None;
                }
                (material, &[algorithm::RSA, algorithm::ED25519])
            }
            _ => return None,
        };
        let (id, fingerprint) = names(body).ok().filter(|_| known.contains(&algorithm))?;
        Some(Self { body, algorithm, material, id, fingerprint })
    }

    pub(super) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// When it was made, in seconds since the epoch.
    fn created(&self) -> u64 {
        self.body[1..5].iter().fold(0, |sum, &digit| (sum << 8) | u64::from(digit))
    }

    /// Whether it made a signature, of which there is the body of its packet, over data.
    pub(super) fn made(&self, signature: &[u8], data: &[u8], budget: &mut Budget) -> Result<bool, String> {
        let Some(sum) = Sum::of(signature, data).filter(|sum| sum.algorithm == self.algorithm) else {
            return Ok(false);
        };
        budget.spend()?;
        match self.algorithm {
            algorithm::EDDSA_LEGACY => Ok(self.eddsa(&sum).is_some()),
            algorithm::ED25519 => Ok(ed25519(self.material, sum.numbers, &sum).is_some()),
            _ => self.numbers(&sum),
        }
    }

    fn eddsa(&self, sum: &Sum<'_>) -> Option<()> {
        let point = self.material.strip_prefix(ED25519_POINT)?;
        let (first, rest) = padded(sum.numbers)?;
        let (second, rest) = padded(rest)?;
        rest.is_empty().then_some(())?;
        ed25519(point, &[first, second].concat(), sum)
    }

    /// libsolv takes keys of version 4 only, and finds them by their id.
    fn numbers(&self, sum: &Sum<'_>) -> Result<bool, String> {
        let body = [&[4], &self.body[1..5], &[self.algorithm], self.material].concat();
        let aside = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        // A subkey as well: alone, and as a key of its own.
        let packet = armor::wrap(&hashed(&body), armor::KEY);
        std::fs::write(aside.path(), packet).map_err(|error| error.to_string())?;
        let mut keyring = Keyring::new();
        keyring.add(aside.path()).map_err(|error| error.to_string())?;
        let numbers = [&[sum.algorithm, sum.hash][..], &sum.sum, sum.numbers].concat();
        Ok(keyring.made(&names(&body)?.0, numbers))
    }
}

/// Whether one of the keys of a certificate made a signature packet over data.
pub(crate) fn signed_by(
    certificate: &[u8],
    signature: &[u8],
    data: &[u8],
    budget: &mut Budget,
) -> Result<bool, String> {
    let packet = packets(signature)?;
    let Some((body, said)) =
        packet.first().and_then(|packet| Some((packet.body, Signature::read(packet.body)?)))
    else {
        return Ok(false);
    };
    let data = match said.kind {
        kind::BINARY => Cow::Borrowed(data),
        kind::TEXT => Cow::Owned(text(data)),
        _ => return Ok(false),
    };
    for packet in packets(certificate)? {
        let key = PublicKey::of(&packet).filter(|_| matches!(packet.tag, PUBLIC_KEY | PUBLIC_SUBKEY));
        let Some(key) = key.filter(|key| said.is_by(&key.id, &key.fingerprint)) else { continue };
        // No key signed anything before it was made, whatever a clock said.
        if said.created < key.created() {
            continue;
        }
        if key.made(body, &data, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A text as it is signed: with a carriage return at the end of each line (section 5.2.1.2).
fn text(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() + data.len() / 32);
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                text.extend_from_slice(b"\r\n");
            }
            None => text.extend_from_slice(line),
        }
    }
    text
}

/// A key as signatures are made over it (section 5.2.4). One of version 4 is a packet that way, as well.
pub(super) fn hashed(key: &[u8]) -> Vec<u8> {
    if key.first() == Some(&6) {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
        return [&[0x9b][..], &length, key].concat();
    }
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0x99][..], &length, key].concat()
}

/// The first number (section 3.2), with the leading zeros that 32 bytes have, and what follows it.
fn padded(numbers: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (bits, rest) = numbers.split_at_checked(2)?;
    let length = usize::from(u16::from_be_bytes(bits.try_into().ok()?)).div_ceil(8);
    let (digits, rest) = rest.split_at_checked(length)?;
    let mut number = [0; 32];
    number.get_mut(32_usize.checked_sub(length)?..)?.copy_from_slice(digits);
    Some((number, rest))
}

fn ed25519(point: &[u8], signature: &[u8], sum: &Sum<'_>) -> Option<()> {
    // A shorter checksum is not accepted (section 5.2.3.2).
    matches!(sum.hash, checksum::SHA256 | checksum::SHA384 | checksum::SHA512).then_some(())?;
    let key = VerifyingKey::from_bytes(point.try_into().ok()?).ok()?;
    let signature = ed25519_dalek::Signature::from_bytes(signature.try_into().ok()?);
    key.verify_strict(&sum.sum, &signature).ok()
}

/// Algorithms, checksum and numbers of a signature.
struct Sum<'a> {
    algorithm: u8,
    hash: u8,
    sum: Vec<u8>,
    numbers: &'a [u8],
}

impl<'a> Sum<'a> {
    /// Of a signature's body. `None` where it is none over these data.
    fn of(signature: &'a [u8], data: &[u8]) -> Option<Self> {
        let whole = |bytes: &[u8]| {
            usize::try_from(bytes.iter().fold(0_u64, |sum, &digit| (sum << 8) | u64::from(digit))).ok()
        };
        let mut salt: &[u8] = &[];
        let (algorithm, hash, more, start, numbers) = match *signature.first()? {
            3 => {
                let (start, numbers) = signature.get(17..)?.split_at_checked(2)?;
                (*signature.get(15)?, *signature.get(16)?, signature.get(2..7)?.to_vec(), start, numbers)
            }
            version @ (4 | 6) => {
                let (algorithm, hash) = (*signature.get(2)?, *signature.get(3)?);
                let width = if version == 4 { 2_usize } else { 4 };
                let end = (4 + width).checked_add(whole(signature.get(4..4 + width)?)?)?;
                let hashed = signature.get(..end)?;
                let unhashed = whole(signature.get(end..)?.get(..width)?)?;
                let rest = signature.get(end + width..)?.get(unhashed..)?;
                let (start, mut numbers) = rest.split_at_checked(2)?;
                if version == 6 {
                    let (&length, rest) = numbers.split_first()?;
                    (salt, numbers) = rest.split_at_checked(usize::from(length))?;
                    (Some(salt.len()) == salted(hash)).then_some(())?;
                }
                let trailer = u32::try_from(end).ok()?.to_be_bytes();
                (algorithm, hash, [hashed, &[version, 0xff], &trailer].concat(), start, numbers)
            }
            _ => return None,
        };
        let parts = [salt, data, &more];
        let sum = match hash {
            checksum::SHA1 => sha1(&parts).to_vec(),
            checksum::SHA224 => digest::<Sha224>(&parts),
            checksum::SHA256 => digest::<Sha256>(&parts),
            checksum::SHA384 => digest::<Sha384>(&parts),
            checksum::SHA512 => digest::<Sha512>(&parts),
            _ => return None,
        };
        (start == &sum[..2]).then_some(Self { algorithm, hash, sum, numbers })
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut sum = D::new();
    parts.iter().for_each(|part| sum.update(part));
    sum.finalize().to_vec()
}

/// How long the salt of a signature of version 6 is (section 9.5).
fn salted(hash: u8) -> Option<usize> {
    match hash {
        checksum::SHA224 | checksum::SHA256 => Some(16),
        checksum::SHA384 => Some(24),
        checksum::SHA512 => Some(32),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
