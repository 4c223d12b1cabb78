//! Which signatures a certificate has of its own keys (RFC 9580, sections 5.2.1 and 5.2.4). Anybody can append a subkey to
//! somebody's certificate with a signature that names its owner: it counts where the key made that signature over just
//! this subkey, and a subkey that signs made one over the key. What is
//! signed is put together here, and verified in [`super::public_key`].

use super::openpgp::{
    Certificate, PUBLIC_KEY, PUBLIC_SUBKEY, Packet, SIGNATURE, USER_ID, names, packets, revocation,
};
use super::public_key::{PublicKey, hashed};
use super::validity::{Dead, Signature, kind};

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
    pub(super) fn spend(&mut self) -> Result<(), String> {
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
    let Some(primary) = all.first().filter(|packet| packet.tag == PUBLIC_KEY).and_then(PublicKey::of) else {
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

/// Whether a key made a signature about itself, a user id or a subkey.
fn is_own(
    (body, signature): (&[u8], &Signature),
    primary: &PublicKey<'_>,
    about: &Packet<'_>,
    budget: &mut Budget,
) -> Result<bool, String> {
    let more = match (signature.kind, about.tag) {
        (kind::DIRECT, PUBLIC_KEY) => Vec::new(),
        (kind::BINDING, PUBLIC_SUBKEY) => hashed(about.body),
        (one, USER_ID) if kind::CERTIFICATIONS.contains(&one) || one == kind::CERTIFICATION_REVOCATION => {
            let length = u32::try_from(about.body.len()).unwrap_or(u32::MAX).to_be_bytes();
            let before: &[u8] = if body.first() == Some(&3) { &[] } else { &[&[0xb4][..], &length].concat() };
            [before, about.body].concat()
        }
        _ => return Ok(false),
    };
    primary.made(body, &[hashed(primary.body()), more].concat(), budget)
}

/// Whether a subkey that may sign made the signature over its key that the binding has to have in it. One of an algorithm
/// that is not verified here signs nothing that would be.
fn signs_back(
    binding: &Signature,
    primary: &PublicKey<'_>,
    about: &Packet<'_>,
    budget: &mut Budget,
) -> Result<bool, String> {
    let Some(subkey) = PublicKey::of(about).filter(|_| binding.may_sign()) else { return Ok(true) };
    let data = [hashed(primary.body()), hashed(about.body)].concat();
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
    use sha2::{Digest, Sha256};

    use super::super::openpgp::certificates;
    use super::*;

    /// The certificate of RFC 9580, appendix A.3: a key and a subkey of version 6.
    #[test]
    fn keys_of_version_six_sign_their_subkeys() {
        let mut file = include_bytes!("../../../tests/src/rfc9580-a3.asc").to_vec();
        let found = certificates(&file).expect("it is whole").remove(0);
        let proven = proven(&found, &mut Budget::default()).expect("it is whole").expect("it is known");
        assert_eq!((&proven.certificate, proven.dead), (&found, Vec::new()));
        // The last byte of the binding.
        file = found.packets;
        *file.last_mut().expect("it is not empty") ^= 1;
        let found = certificates(&file).expect("it is whole").remove(0);
        let bound = bound(&found, &mut Budget::default()).expect("it is whole").expect("it is known");
        assert_eq!((bound.certificate.subkeys.len(), bound.dead.len()), (0, 1));
    }

    /// Ed448, of the same appendix's kind.
    #[test]
    fn what_cannot_be_verified_is_told() {
        let key = [&[0xc6, 12][..], &[6, 0, 0, 0, 1, 28, 0, 0, 0, 2, 1, 1]].concat();
        let found = certificates(&key).expect("it is whole");
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
        let area = [4, 0x13, 1, 8, 0, 6, 5, 2, 0, 0, 0, 1];
        let trailer = [&area[..], &[4, 0xff, 0, 0, 0, 12]].concat();
        let about = [hashed(&body), vec![0xb4, 0, 0, 0, 1, b'u'], trailer].concat();
        let sum = Sha256::digest(&about);
        let one = [&[0x88, 19][..], &area, &[0, 0], &sum[..2], &[0, 1, 1]].concat();
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
        }
    }
}
