//! OpenPGP packets (RFC 9580), as far as they tell keys apart. Which keys and signatures count at a time is for
//! [`super::validity`] to say, whether a signature is any good for librpm and
//! [`super::public_key`].

use std::fmt::Write;

use sha2::Digest;

use super::armor;
use super::validity::{Signature, kind};

pub(super) const SIGNATURE: u8 = 2;
const SECRET_KEY: u8 = 5;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;

/// A public key with its user ids and subkeys: what rpm imports at a time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Certificate {
    /// All of it.
    pub(crate) packets: Vec<u8>,
    /// 16 hexadecimal digits.
    pub(crate) id: String,
    /// 40 hexadecimal digits, 64 of a version 6 key.
    pub(crate) fingerprint: String,
    /// Whom it says it belongs to; empty when it does not say.
    pub(crate) user: String,
    /// Fingerprints of its subkeys, which may sign as it does.
    pub(crate) subkeys: Vec<String>,
}

impl Certificate {
    /// Fingerprints of all keys of it.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.fingerprint).chain(&self.subkeys).map(String::as_str)
    }
}

/// The certificates in a key file: binary or armored, one or several, in one block or in several.
pub(crate) fn certificates(file: &[u8]) -> Result<Vec<Certificate>, String> {
    let mut found: Vec<Certificate> = Vec::new();
    let mut revocations = Vec::new();
    let mut left_out = false;
    for block in armor::blocks(file, armor::KEY)? {
        for packet in packets(&block)? {
            match packet.tag {
                PUBLIC_KEY => {
                    let (id, fingerprint) = names(packet.body)?;
                    let (user, subkeys) = (String::new(), Vec::new());
                    found.push(Certificate { packets: Vec::new(), id, fingerprint, user, subkeys });
                }
                SECRET_KEY => {
                    return Err(
                        "a secret key: publish the public one (`gpg --armor --export`), and make another \
                                secret key if this file was ever public"
                            .into(),
                    );
                }
                _ => {}
            }
            // What stands before the first key belongs to none.
            let Some(last) = found.last_mut() else {
                return Err("it does not begin with a public key".into());
            };
            // A subkey of another version is of no use here, and its key is none the worse for it.
            match packet.tag {
                PUBLIC_SUBKEY => {
                    left_out = packet.body.first().is_some_and(|version| !matches!(version, 4 | 6))
                }
                SIGNATURE => {}
                _ => left_out = false,
            }
            if left_out && revocation(&packet).is_none() {
                continue;
            }
            last.packets.extend_from_slice(packet.whole);
            if let Some(revocation) = revocation(&packet) {
                revocations.push((found.len() - 1, revocation, packet.whole.to_vec()));
                continue;
            }
            match packet.tag {
                USER_ID if last.user.is_empty() => {
                    last.user = String::from_utf8_lossy(packet.body).into_owned()
                }
                PUBLIC_SUBKEY => last.subkeys.push(names(packet.body)?.1),
                _ => {}
            }
        }
    }
    // Where one is appended to a file of several keys, it need not be behind its own.
    for (at, revocation, packet) in revocations {
        let own = |key: &Certificate| revocation.is_by(&key.id, &key.fingerprint);
        if !own(&found[at]) {
            found.iter_mut().filter(|key| own(key)).for_each(|key| key.packets.extend_from_slice(&packet));
        }
    }
    if found.is_empty() { Err("no OpenPGP public key in it".into()) } else { Ok(found) }
}

/// The signature that revokes a key, where a packet is one.
pub(super) fn revocation(packet: &Packet<'_>) -> Option<Signature> {
    let signature = Signature::read(packet.body).filter(|_| packet.tag == SIGNATURE)?;
    (signature.kind == kind::KEY_REVOCATION).then_some(signature)
}

/// The signature packets of a detached signature, which may be of several keys.
pub(crate) fn signatures(file: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for block in armor::blocks(file, armor::SIGNATURE)? {
        let signatures = packets(&block)?.into_iter().filter(|packet| packet.tag == SIGNATURE);
        found.extend(signatures.map(|packet| packet.whole.to_vec()));
    }
    Ok(found)
}

/// How many packets there may be. Keys of all of a distribution's developers have some ten thousand.
const PACKETS: usize = 200_000;

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) whole: &'a [u8],
    pub(super) body: &'a [u8],
}

pub(super) fn packets(mut bytes: &[u8]) -> Result<Vec<Packet<'_>>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let packet = packet(bytes).ok_or("it is cut off, or no OpenPGP data")?;
        if found.len() == PACKETS {
            return Err(format!("more than {PACKETS} OpenPGP packets"));
        }
        bytes = &bytes[packet.whole.len()..];
        found.push(packet);
    }
    Ok(found)
}

/// The first packet (sections 4.2.1 and 4.2.2). Partial and indeterminate lengths are for data, not for keys.
fn packet(bytes: &[u8]) -> Option<Packet<'_>> {
    let (&first, rest) = bytes.split_first()?;
    let number = |digits: &[u8]| digits.iter().fold(0_usize, |sum, &digit| (sum << 8) | usize::from(digit));
    let (tag, length, taken) = match first {
        0xc0.. => match *rest.first()? {
            short @ ..192 => (first & 0x3f, usize::from(short), 1),
            long @ 192..224 => {
                (first & 0x3f, ((usize::from(long) - 192) << 8) + usize::from(*rest.get(1)?) + 192, 2)
            }
            255 => (first & 0x3f, number(rest.get(1..5)?), 5),
            224..255 => return None,
        },
        0x80.. => {
            let taken = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            ((first >> 2) & 0x0f, number(rest.get(..taken)?), taken)
        }
        _ => return None,
    };
    let end = (1 + taken).checked_add(length)?;
    Some(Packet { tag, whole: bytes.get(..end)?, body: &bytes[1 + taken..end] })
}

/// A key or subkey as the packet of a key of its own.
pub(super) fn primary_key(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0xc0 | PUBLIC_KEY, 0xff][..], &length, body].concat()
}

/// Id and fingerprint of a key (section 5.5.4).
pub(super) fn names(body: &[u8]) -> Result<(String, String), String> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    match body.first() {
        Some(4) => {
            let text = hex(&crate::solve::ffi::sha1(&[&[0x99], &length[2..], body]));
            Ok((text[24..].to_owned(), text))
        }
        Some(6) => {
            let sum = sha2::Sha256::new().chain_update([0x9b]).chain_update(length).chain_update(body);
            let text = hex(&sum.finalize());
            Ok((text[..16].to_owned(), text))
        }
        Some(version) => Err(format!("a key of OpenPGP version {version}: only 4 and 6 are accepted")),
        None => Err("an empty key".into()),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _never = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{certificates, signatures};

    /// A certificate with one subkey and two user ids, and the same without its subkey.
    fn made(at: u8) -> (Vec<u8>, Vec<u8>) {
        let key = [&[0x98, 6][..], &[4, 0, 0, 0, at, 1]].concat();
        let user = [&[0xcd, 3][..], b"who"].concat();
        let other = [&[0xb4, 5][..], b"other"].concat();
        let sub = [&[0xce, 6][..], &[4, 0, 0, 0, at, 2]].concat();
        let small = [key, user, other].concat();
        ([small.clone(), sub].concat(), small)
    }

    #[test]
    fn every_key_of_a_file_is_found() {
        let (one, two) = (made(1).0, made(2).0);
        let file = [one.clone(), two.clone()].concat();
        let armored = super::armor::wrap(&file, super::armor::KEY);
        let apart =
            [super::armor::wrap(&one, super::armor::KEY), super::armor::wrap(&two, super::armor::KEY)]
                .concat();
        for file in [&file, armored.as_bytes(), apart.as_bytes()] {
            let found = certificates(file).expect("it is whole");
            assert_eq!(found.len(), 2);
            assert_eq!([&found[0].packets, &found[1].packets], [&one, &two]);
            assert_eq!(found[0].user, "who");
            assert_eq!(found[0].subkeys.len(), 1);
            assert_eq!(found[0].keys().count(), 2);
            assert!(found[0].fingerprint.len() == 40 && found[0].fingerprint.ends_with(&found[0].id));
        }
    }

    /// The certificate of RFC 9580, appendix A.3, whose fingerprint appendix A.1 tells.
    #[test]
    fn version_six_has_another_fingerprint() {
        let found = certificates(include_bytes!("../../../tests/src/rfc9580-a3.asc")).expect("it is whole");
        assert_eq!(found[0].fingerprint, "cb186c4f0609a697e4d52dfa6c722b0c1f1e27c18a56708f6525ec27bad9acc9");
        assert_eq!((found[0].id.as_str(), found[0].user.as_str()), ("cb186c4f0609a697", ""));
        assert_eq!(found[0].subkeys.len(), 1);
    }

    #[test]
    fn subkeys_of_other_versions_are_left_out() {
        let (whole, small) = made(1);
        for version in [2, 3, 5] {
            let other = [&[0xce, 6][..], &[version, 0, 0, 0, 1, 2], &[0xc2, 1, 4]].concat();
            let own = &whole[small.len()..];
            let file = [&small[..], &other, own].concat();
            let found = certificates(&file).expect("it is whole");
            assert_eq!((&found[0].packets, found[0].subkeys.len()), (&whole, 1), "{version}");
        }
    }

    #[test]
    fn what_is_no_public_key_is_told() {
        let cut = made(1).0;
        for (file, wanted) in [
            (&b"nothing"[..], "no OpenPGP public key"),
            (b"", "no OpenPGP public key"),
            (&[0x95, 0, 1, 4], "a secret key"),
            (&[0xcd, 1, b'u'], "does not begin with"),
            (&[0x98, 1, 3], "version 3"),
            (&[0x98, 0], "empty"),
            (&cut[..cut.len() - 1], "cut off"),
            (&[0xff, 0xfe], "cut off"),
        ] {
            let said = certificates(file);
            assert!(said.as_ref().is_err_and(|words| words.contains(wanted)), "{file:?}: {said:?}");
        }
    }

    #[test]
    fn every_signature_of_a_file_is_found() {
        let two = [[0xc2, 1, 4], [0x88, 1, 5]].concat();
        let armored = super::armor::wrap(&two, super::armor::SIGNATURE);
        for file in [&two, armored.as_bytes()] {
            assert_eq!(signatures(file), Ok(vec![vec![0xc2, 1, 4], vec![0x88, 1, 5]]));
        }
        assert_eq!(signatures(b"nothing"), Ok(Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..80)) {
            drop(certificates(&bytes));
            drop(certificates(&[&[0x98][..], &bytes].concat()));
        }
    }
}
