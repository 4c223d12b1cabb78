use ed25519_dalek::{Signer, SigningKey};

use super::*;
use crate::rpm::openpgp::{certificates, signatures};

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEaw48BhYJKwYBBAHaRw8BAQdAvXt1uWskuI0qbuHaqqg2TvMpU642dlHR+ust
FYHxms20BWZpcnN0iJAEExYIADgWIQTDBzQzh/c5klNH054yVHFzXM+1eAUCaw48
BgIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRAyVHFzXM+1eP6DAQCk/Y9a
kpPvYoOyWTxQOnHVZbLnv74I9Xb9yBfbfO8xuQD/cXtcpgedsTY1zup6AMergYSj
Khag+cGJVS+zUOv4ewA=
=zapu
-----END PGP PUBLIC KEY BLOCK-----";

/// Over `hello 205`: its first number has 31 bytes.
const FIRST_IS_SHORT: &str = "-----BEGIN PGP SIGNATURE-----

iHQEABYIAB0WIQTDBzQzh/c5klNH054yVHFzXM+1eAUCaw48CAAKCRAyVHFzXM+1
ePwHAPi32H2vO3BVWpXqdjGNZYodjXicWCv4m86l0maL1s7hAQD+eQUhOY0yf39Q
a8kRqq2Wj4IUKsDQaYXAIoD1/zFMCA==
=oG8d
-----END PGP SIGNATURE-----";

/// Over `hello 218`: its second number has 31 bytes.
const SECOND_IS_SHORT: &str = "-----BEGIN PGP SIGNATURE-----

iHQEABYIAB0WIQTDBzQzh/c5klNH054yVHFzXM+1eAUCaw48CAAKCRAyVHFzXM+1
eMaRAP4tHBGOC1iIqkghHZtGluCSf1UwxUx5/KQbyfbGA/e1agD48pVbIv47oSM5
TNTli7OPAJ3uM3dBUqIxUYzMY1ZLCQ==
=9bN2
-----END PGP SIGNATURE-----";

fn made(key: &[u8], signature: &[u8], data: &[u8]) -> bool {
    signed_by(key, signature, data, &mut Budget::default()).expect("it is whole")
}

/// gpg makes one such signature of 128, and all of them are good.
#[test]
fn numbers_have_leading_zeros() {
    let key = certificates(KEY.as_bytes()).expect("it is whole").remove(0).packets;
    for (signature, data) in [(FIRST_IS_SHORT, "hello 205"), (SECOND_IS_SHORT, "hello 218")] {
        let signature = signatures(signature.as_bytes()).expect("it is whole").remove(0);
        assert!(made(&key, &signature, data.as_bytes()), "{data}");
        assert!(!made(&key, &signature, b"hello"), "{data}");
    }
}

/// A key and a signature of it over a digest that is computed here from what the RFC says, not by the code under test.
struct Made {
    key: Vec<u8>,
    signature: Vec<u8>,
}

impl Made {
    fn new(secret: [u8; 32], version: u8, algorithm: u8, kind: u8, data: &[u8]) -> Self {
        let secret = SigningKey::from_bytes(&secret);
        let point = secret.verifying_key().to_bytes();
        let native = algorithm == algorithm::ED25519;
        let material = if native { point.to_vec() } else { [ED25519_POINT, &point[..]].concat() };
        let length = u32::try_from(material.len()).unwrap().to_be_bytes();
        let length = if version == 6 { &length[..] } else { &[] };
        let key = [&[version, 0, 0, 0, 1, algorithm], length, &material].concat();
        let created = [5, 2, 0, 0, 0, 2];
        let hashed = [version, kind, algorithm, checksum::SHA256];
        let (area, salt): (&[u8], &[u8]) = match version {
            6 => (&[0, 0, 0, 6], &[7; 16]),
            _ => (&[0, 6], &[]),
        };
        let hashed = [&hashed[..], area, &created].concat();
        let end = u32::try_from(hashed.len()).unwrap().to_be_bytes();
        let sum = Sha256::digest([salt, data, &hashed, &[version, 0xff], &end].concat());
        let numbers = secret.sign(&sum).to_bytes();
        let short = |number: &[u8]| {
            let digits = number.iter().position(|&byte| byte != 0).map_or(&[][..], |at| &number[at..]);
            let bits = digits.first().map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize);
            [&u16::try_from(bits).unwrap().to_be_bytes()[..], digits].concat()
        };
        let numbers =
            if native { numbers.to_vec() } else { [short(&numbers[..32]), short(&numbers[32..])].concat() };
        let unhashed: &[u8] = if version == 6 { &[0, 0, 0, 0] } else { &[0, 0] };
        let salt = if version == 6 { [&[16], salt].concat() } else { Vec::new() };
        let signature = [&hashed[..], unhashed, &sum[..2], &salt, &numbers].concat();
        let packet = |tag: u8, body: &[u8]| [&[tag, u8::try_from(body.len()).unwrap()], body].concat();
        Self { key: packet(0xc6, &key), signature: packet(0xc2, &signature) }
    }
}

const KINDS: [(u8, u8); 3] = [(4, algorithm::EDDSA_LEGACY), (4, algorithm::ED25519), (6, algorithm::ED25519)];

#[test]
fn texts_are_signed_with_the_ends_of_lines_that_the_net_has() {
    for (version, algorithm) in KINDS {
        let made_of = |data: &[u8]| Made::new([3; 32], version, algorithm, kind::TEXT, data);
        let good = made_of(b"one\r\ntwo\r\nthree");
        for data in [&b"one\ntwo\nthree"[..], b"one\r\ntwo\nthree"] {
            assert!(made(&good.key, &good.signature, data));
        }
        assert!(!made(&good.key, &good.signature, b"one\ntwo\nthree\n"));
        let bare = made_of(b"one\ntwo");
        assert!(!made(&bare.key, &bare.signature, b"one\ntwo"));
    }
}

#[test]
fn signatures_that_are_none_of_data_are_refused() {
    let other = Made::new([3; 32], 4, algorithm::EDDSA_LEGACY, kind::BINDING, b"data");
    assert!(!made(&other.key, &other.signature, b"data"));
}

/// A signature from before there was the key.
#[test]
fn no_key_signs_before_it_is_made() {
    let good = Made::new([3; 32], 4, algorithm::EDDSA_LEGACY, kind::BINARY, b"data");
    let mut later = good.key.clone();
    // Created in second 1, and the signature in second 2.
    later[2 + 4] = 3;
    assert!(made(&good.key, &good.signature, b"data"));
    let keys = packets(&later).unwrap();
    let key = PublicKey::of(&keys[0]).unwrap();
    let body = &good.signature[2..];
    assert_eq!(key.created(), 3);
    // It would be good, if it were not older.
    assert!(key.made(body, b"data", &mut Budget::default()).unwrap());
    assert!(!made(&later, &good.signature, b"data"));
}

/// A number of 33 bytes, and one whose bytes are not there.
#[test]
fn numbers_that_are_none() {
    assert!(padded(&[&[1, 1][..], &[1; 33]].concat()).is_none());
    assert!(padded(&[0, 9, 1]).is_none());
    assert_eq!(padded(&[0, 0]), Some(([0; 32], &[][..])));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 1000, ..Default::default() })]

    #[test]
    fn what_a_key_signed_is_verified_and_nothing_else(
        secret: [u8; 32], which in 0_usize..3, data in proptest::collection::vec(0_u8.., 0..40), at: usize, bit in 0..8_u32
    ) {
        let (version, algorithm) = KINDS[which];
        let good = Made::new(secret, version, algorithm, kind::BINARY, &data);
        proptest::prop_assert!(made(&good.key, &good.signature, &data));
        // In what it signs, and in the numbers behind it; between them stand a hint and what nobody signed.
        let length = if algorithm == algorithm::EDDSA_LEGACY { 2 + 30 } else { 64 };
        let mut changed = good.signature.clone();
        let from_end = at % length;
        let place = changed.len() - 1 - from_end;
        changed[place] ^= 1_u8 << bit;
        proptest::prop_assert!(!made(&good.key, &changed, &data));
        let other = [&data[..], b"x"].concat();
        proptest::prop_assert!(!made(&good.key, &good.signature, &other));
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(0_u8.., 0..90), head in 3_u8..7, algorithm in 0_u8..30) {
        let mut body = body;
        if let [version, ..] = &mut body[..] { *version = head; }
        Sum::of(&body, b"data");
        let key = Packet { tag: PUBLIC_KEY, whole: &body, body: &body };
        if let Some(key) = PublicKey::of(&key) {
            let sum = Sum { algorithm, hash: 8, sum: vec![0; 32], numbers: &body };
            key.eddsa(&sum);
            ed25519(key.material, &body, &sum);
        }
    }
}
