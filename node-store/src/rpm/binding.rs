//! Which signatures a certificate has of its own keys (RFC 9580, sections 5.2.1 and 5.2.4). Anybody can append a subkey to
//! somebody's certificate with a signature that names its owner: it counts where the key made that signature over just
//! this subkey, and a subkey that signs made one over the key. Here the signed data are put together; libsolv verifies.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::armor;
use super::openpgp::{
    Certificate, PUBLIC_KEY, PUBLIC_SUBKEY, Packet, SIGNATURE, USER_ID, names, packets, revocation,
};
use super::validity::{Dead, Signature, kind};
use crate::solve::ffi::{Keyring, sha1};

/// Algorithms of keys that libsolv verifies with: RSA, DSA, EdDSA (section 9.1).
const VERIFIED: [u8; 3] = [1, 17, 22];

/// How many signatures of its own a certificate may have. Those that are known have some dozens.
const OF_CERTIFICATE: usize = 200;
/// The same of all certificates of a file.
const OF_FILE: usize = 2000;

/// How many signatures are still verified: each may take half a second, with numbers of a key that were chosen for that.
#[derive(Debug)]
pub(crate) struct Budget {
    certificate: usize,
    file: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { certificate: OF_CERTIFICATE, file: OF_FILE }
    }
}

impl Budget {
    fn spend(&mut self) -> Result<(), String> {
        let left = (self.certificate.checked_sub(1), self.file.checked_sub(1));
        let (Some(certificate), Some(file)) = left else {
            return Err(format!(
                "too many signatures: a key may have {OF_CERTIFICATE} of its own, all keys together {OF_FILE}"
            ));
        };
        (self.certificate, self.file) = (certificate, file);
        Ok(())
    }
}

/// A certificate without what its key did not sign.
pub(crate) struct Bound {
    pub(crate) certificate: Certificate,
    /// Subkeys that were left out.
    pub(crate) dead: Vec<Dead>,
}

/// Leaves out subkeys that the key did not bind. `None` for a key whose signatures cannot be verified here.
pub(crate) fn bound(certificate: &Certificate, budget: &mut Budget) -> Result<Option<Bound>, String> {
    left(certificate, false, budget)
}

/// The same, and leaves out whatever signature the key is said to have made about how long it counts, and did not.
pub(crate) fn proven(certificate: &Certificate, budget: &mut Budget) -> Result<Option<Bound>, String> {
    left(certificate, true, budget)
}

fn left(certificate: &Certificate, strict: bool, budget: &mut Budget) -> Result<Option<Bound>, String> {
    budget.certificate = OF_CERTIFICATE;
    let all = packets(&certificate.packets)?;
    let Some(primary) = all.first().filter(|packet| packet.tag == PUBLIC_KEY).and_then(Key::of) else {
        return Ok(None);
    };
    let mut left = Certificate { packets: Vec::new(), subkeys: Vec::new(), ..certificate.clone() };
    let (mut dead, mut revocations) = (Vec::new(), Vec::<u8>::new());
    for part in all.chunk_by(|_, next| next.tag == SIGNATURE) {
        let mut binds = false;
        let mut kept = Vec::new();
        for packet in &part[1..] {
            let Some(signature) = Signature::read(packet.body) else { continue };
            // Others who certified the key are passed over unread.
            let is_by = signature.is_by(&certificate.id, &certificate.fingerprint);
            let mut proves = is_by && is_own((packet.body, &signature), &primary, &part[0], budget)?;
            if proves && signature.kind == kind::BINDING {
                // Each for itself: one that binds lends nothing to another.
                proves = signs_back(&signature, &primary, &part[0], budget)?;
                binds |= proves;
            }
            if proves || !strict || !claims(&signature, certificate) {
                kept.extend_from_slice(packet.whole);
            }
        }
        if part[0].tag == PUBLIC_SUBKEY {
            let (id, fingerprint) = names(part[0].body)?;
            if !binds {
                // Those of the key itself stay, wherever they stand.
                let whole = part[1..].iter().filter(|packet| revocation(packet).is_some());
                revocations.extend(whole.flat_map(|packet| packet.whole));
                dead.push(Dead { id, fingerprint, why: "is no subkey that its key signed".into() });
                continue;
            }
            left.subkeys.push(fingerprint);
        }
        left.packets.extend_from_slice(part[0].whole);
        left.packets.extend_from_slice(&kept);
    }
    left.packets.extend(revocations);
    Ok(Some(Bound { certificate: left, dead }))
}

/// Whether a signature would say how long a key counts, if the key had made it.
fn claims(signature: &Signature, certificate: &Certificate) -> bool {
    (matches!(signature.kind, kind::BINDING | kind::DIRECT | kind::CERTIFICATION_REVOCATION)
        || kind::CERTIFICATIONS.contains(&signature.kind))
        && signature.is_by(&certificate.id, &certificate.fingerprint)
}

/// A key that libsolv verifies with.
struct Key<'a> {
    body: &'a [u8],
    id: String,
}

impl<'a> Key<'a> {
    fn of(packet: &Packet<'a>) -> Option<Self> {
        let good =
            packet.body.first() == Some(&4) && packet.body.get(5).is_some_and(|one| VERIFIED.contains(one));
        let (id, _) = names(packet.body).ok().filter(|_| good)?;
        Some(Self { body: packet.body, id })
    }

    /// Whether it made a signature over data.
    fn made(&self, signature: &[u8], data: &[u8], budget: &mut Budget) -> Result<bool, String> {
        let Some(sum) = Sum::of(signature, data) else { return Ok(false) };
        budget.spend()?;
        let aside = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        // A subkey as well: alone, and as a key of its own.
        let packet = armor::wrap(&signed(self.body), armor::KEY);
        std::fs::write(aside.path(), packet).map_err(|error| error.to_string())?;
        let mut keyring = Keyring::new();
        keyring.add(aside.path()).map_err(|error| error.to_string())?;
        Ok(keyring.made(&self.id, sum.0))
    }
}

/// A key as signatures are made over it (section 5.2.4), which is a packet as well.
pub(super) fn signed(key: &[u8]) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0x99][..], &length, key].concat()
}

/// Algorithms, checksum and numbers of a signature, as libsolv takes them.
struct Sum(Vec<u8>);

impl Sum {
    fn of(signature: &[u8], data: &[u8]) -> Option<Self> {
        let (algorithm, hash, hashed, rest) = match *signature.first()? {
            3 => {
                (signature.get(15)?, signature.get(16)?, signature.get(2..7)?.to_vec(), signature.get(17..)?)
            }
            4 => {
                let length = |at: usize| {
                    Some(usize::from(u16::from_be_bytes(signature.get(at..at + 2)?.try_into().ok()?)))
                };
                let end = 6 + length(4)?;
                let hashed = signature.get(..end)?;
                let trailer = u32::try_from(end).ok()?.to_be_bytes();
                let rest = signature.get(end + 2 + length(end)?..)?;
                (signature.get(2)?, signature.get(3)?, [hashed, &[4, 0xff], &trailer].concat(), rest)
            }
            _ => return None,
        };
        let sum = match hash {
            2 => sha1(&[data, &hashed]).to_vec(),
            8 => Sha256::new().chain_update(data).chain_update(&hashed).finalize().to_vec(),
            9 => Sha384::new().chain_update(data).chain_update(&hashed).finalize().to_vec(),
            10 => Sha512::new().chain_update(data).chain_update(&hashed).finalize().to_vec(),
            11 => Sha224::new().chain_update(data).chain_update(&hashed).finalize().to_vec(),
            _ => return None,
        };
        let (start, numbers) = rest.split_at_checked(2)?;
        (start == &sum[..2]).then(|| Self([&[*algorithm, *hash][..], &sum, numbers].concat()))
    }
}

/// Whether a key made a signature about itself, a user id or a subkey.
fn is_own(
    (body, signature): (&[u8], &Signature),
    primary: &Key<'_>,
    about: &Packet<'_>,
    budget: &mut Budget,
) -> Result<bool, String> {
    let more = match (signature.kind, about.tag) {
        (kind::DIRECT, PUBLIC_KEY) => Vec::new(),
        (kind::BINDING, PUBLIC_SUBKEY) => signed(about.body),
        (one, USER_ID) if kind::CERTIFICATIONS.contains(&one) || one == kind::CERTIFICATION_REVOCATION => {
            let length = u32::try_from(about.body.len()).unwrap_or(u32::MAX).to_be_bytes();
            let before: &[u8] = if body.first() == Some(&3) { &[] } else { &[&[0xb4][..], &length].concat() };
            [before, about.body].concat()
        }
        _ => return Ok(false),
    };
    primary.made(body, &[signed(primary.body), more].concat(), budget)
}

/// Whether a subkey that may sign made the signature over its key that the binding has to have in it. One of an algorithm
/// that libsolv does not verify with signs nothing that libsolv would verify.
fn signs_back(
    binding: &Signature,
    primary: &Key<'_>,
    about: &Packet<'_>,
    budget: &mut Budget,
) -> Result<bool, String> {
    let Some(subkey) = Key::of(about).filter(|_| binding.may_sign()) else { return Ok(true) };
    let data = [signed(primary.body), signed(about.body)].concat();
    for back in &binding.embedded {
        let is_back = Signature::read(back).is_some_and(|back| back.kind == kind::PRIMARY_BINDING);
        if is_back && subkey.made(back, &data, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::openpgp::certificates;
    use super::*;

    /// The certificate of RFC 9580, appendix A.3, whose algorithm libsolv does not know.
    #[test]
    fn what_cannot_be_verified_is_told() {
        let found = certificates(include_bytes!("../../../tests/src/rfc9580-a3.asc")).expect("it is whole");
        assert!(bound(&found[0], &mut Budget::default()).expect("it is whole").is_none());
    }

    #[test]
    fn a_subkey_that_nobody_signed_is_left_out() {
        let key = [&[0x98, 6][..], &[4, 0, 0, 0, 1, 1]].concat();
        let sub = [&[0xb8, 6][..], &[4, 0, 0, 0, 1, 1]].concat();
        // A binding of RSA over SHA-256 that names nobody.
        let binding =
            [&[0x88, 19, 4, 0x18, 1, 8, 0, 6, 5, 2][..], &[0, 0, 0, 1, 0, 0, 1, 2, 0, 1, 1]].concat();
        let certificate = certificates(&[key.clone(), sub, binding].concat()).expect("it is whole").remove(0);
        let bound = bound(&certificate, &mut Budget::default()).expect("it is whole").expect("RSA is known");
        assert_eq!((bound.certificate.packets, bound.certificate.subkeys), (key, Vec::new()));
        assert_eq!(bound.dead.len(), 1);
    }

    #[test]
    fn what_is_verified_is_bounded() {
        let mut budget = Budget::default();
        for _ in 0..OF_CERTIFICATE {
            budget.spend().unwrap();
        }
        assert!(budget.spend().unwrap_err().contains("too many signatures"));
        for _ in OF_CERTIFICATE..OF_FILE {
            budget.certificate = OF_CERTIFICATE;
            budget.spend().unwrap();
        }
        budget.certificate = OF_CERTIFICATE;
        assert!(budget.spend().is_err());
    }

    /// Signatures whose first digest bytes fit are those that cost something.
    #[test]
    fn a_certificate_with_too_many_signatures_is_refused() {
        let body = [4, 0, 0, 0, 1, 1];
        let (key, user) = ([&[0x98, 6][..], &body].concat(), [0xb4, 1, b'u']);
        let hashed = [4, 0x13, 1, 8, 0, 6, 5, 2, 0, 0, 0, 1];
        let trailer = [&hashed[..], &[4, 0xff, 0, 0, 0, 12]].concat();
        let about = [signed(&body), vec![0xb4, 0, 0, 0, 1, b'u'], trailer].concat();
        let sum = Sha256::digest(&about);
        let one = [&[0x88, 19][..], &hashed, &[0, 0], &sum[..2], &[0, 1, 1]].concat();
        for (count, good) in [(OF_CERTIFICATE, true), (OF_CERTIFICATE + 1, false)] {
            let file = [key.clone(), user.to_vec(), one.repeat(count)].concat();
            let found = certificates(&file).expect("it is whole");
            assert_eq!(proven(&found[0], &mut Budget::default()).is_ok(), good, "{count}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(0_u8.., 0..60), subkey: bool, kind in 0_u8..) {
            let key = [&[0x98, 6][..], &[4, 0, 0, 0, 1, 1]].concat();
            let about = if subkey { [&[0xb8, 6][..], &[4, 0, 0, 0, 2, 1]].concat() } else { vec![0xb4, 1, b'u'] };
            let length = u8::try_from(body.len() + 2).expect("it is short");
            let file = [&key, &about, &[0x88, length, 4, kind][..], &body].concat();
            for certificate in certificates(&file).unwrap_or_default() {
                drop(bound(&certificate, &mut Budget::default()));
                drop(proven(&certificate, &mut Budget::default()));
            }
            Sum::of(&body, b"data");
        }
    }
}
