use super::*;
use crate::rpm::openpgp::certificates;

/// When keys of these tests were made.
const MADE: u32 = 1_000_000;
const DAY: u32 = 86_400;

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 192);
    [&[0xc0 | tag, length][..], body].concat()
}

fn key(tag: u8, last: u8) -> Vec<u8> {
    packet(tag, &[&[4][..], &MADE.to_be_bytes(), &[1, last]].concat())
}

fn area(subpackets: &[(u8, &[u8])]) -> Vec<u8> {
    let one = |(kind, value): &(u8, &[u8])| {
        let length = u8::try_from(value.len() + 1).unwrap();
        [&[length, *kind][..], value].concat()
    };
    subpackets.iter().flat_map(one).collect()
}

/// A signature of version 4 over SHA-256, unless its hash is given.
fn signed(kind: u8, created: u32, more: &[(u8, &[u8])], hash: u8) -> Vec<u8> {
    let created = created.to_be_bytes();
    let hashed = area(&[&[(2, &created[..])][..], more].concat());
    let length = u16::try_from(hashed.len()).unwrap().to_be_bytes();
    packet(SIGNATURE, &[&[4, kind, 1, hash][..], &length, &hashed, &[0, 0, 0, 0]].concat())
}

fn own(kind: u8, created: u32, key_expires: Option<u32>) -> Vec<u8> {
    let seconds = key_expires.unwrap_or_default().to_be_bytes();
    let expiry = [(9, &seconds[..])];
    signed(kind, created, if key_expires.is_some() { &expiry } else { &[] }, 8)
}

fn user(name: &str) -> Vec<u8> {
    packet(USER_ID, name.as_bytes())
}

/// What is left on a day of a certificate: whether the key counts, and what does not.
fn on(day: u32, parts: &[Vec<u8>]) -> (bool, Vec<String>) {
    let found = certificates(&parts.concat()).unwrap();
    let usable = usable(&found, u64::from(MADE + day * DAY)).unwrap();
    (!usable.packets.is_empty(), usable.dead.into_iter().map(|dead| dead.why).collect())
}

#[test]
fn keys_expire() {
    use kind::{CERTIFICATION_REVOCATION, DIRECT};
    let primary = key(PUBLIC_KEY, 1);
    let direct = |days: u32| own(DIRECT, MADE, Some(days * DAY));
    let uid = |at: u32, days: u32| own(0x13, MADE + at * DAY, Some(days * DAY));
    let plain = own(0x13, MADE, None);
    for (what, parts, alive, over) in [
        ("no word of it", vec![primary.clone(), user("a"), plain.clone()], vec![0, 9999], vec![]),
        ("never", vec![primary.clone(), user("a"), uid(0, 0)], vec![0, 9999], vec![]),
        ("the user id's", vec![primary.clone(), user("a"), uid(0, 5)], vec![0, 4], vec![5, 6]),
        ("the key's", vec![primary.clone(), direct(5), user("a"), plain.clone()], vec![4], vec![5]),
        (
            "the key's before the user id's",
            vec![primary.clone(), direct(5), user("a"), uid(0, 9)],
            vec![4],
            vec![5],
        ),
        ("extended", vec![primary.clone(), user("a"), uid(0, 5), uid(3, 9)], vec![5, 8], vec![9]),
        (
            "extended, in another order",
            vec![primary.clone(), user("a"), uid(3, 9), uid(0, 5)],
            vec![8],
            vec![9],
        ),
        ("shortened", vec![primary.clone(), user("a"), uid(0, 9), uid(1, 5)], vec![4], vec![5]),
        (
            "the newest of two user ids",
            vec![primary.clone(), user("a"), uid(0, 5), user("b"), uid(1, 9)],
            vec![8],
            vec![9],
        ),
        (
            "the key's is for ever, and the user id's not",
            vec![primary.clone(), direct(0), user("a"), uid(1, 5)],
            vec![4],
            vec![5],
        ),
        (
            "one of a user id that is gone",
            vec![
                primary.clone(),
                user("a"),
                uid(2, 9),
                own(CERTIFICATION_REVOCATION, MADE + 3 * DAY, None),
                user("b"),
                uid(0, 5),
            ],
            vec![4],
            vec![5],
        ),
    ] {
        for day in alive {
            assert_eq!(on(day, &parts), (true, vec![]), "{what}, day {day}");
        }
        for day in over {
            let (counts, dead) = on(day, &parts);
            assert!(
                !counts && dead.len() == 1 && dead[0].starts_with("expired on 1970-01-"),
                "{what}: {dead:?}"
            );
        }
    }
}

#[test]
fn what_is_revoked_does_not_count() {
    let (primary, sub) = (key(PUBLIC_KEY, 1), key(PUBLIC_SUBKEY, 2));
    let id = names(&primary[2..]).unwrap().0;
    let by = |kind: u8, issuer: &[u8]| signed(kind, MADE, &[(16, issuer)], 8);
    let mut mine = [0; 8];
    for (at, byte) in mine.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).unwrap();
    }
    let bound = own(kind::BINDING, MADE, None);
    let revoked =
        vec![primary.clone(), by(kind::KEY_REVOCATION, &mine), user("a"), sub.clone(), bound.clone()];
    assert_eq!(on(0, &revoked), (false, vec![REVOKED.to_owned(); 2]));
    let unsaid = vec![primary.clone(), own(kind::KEY_REVOCATION, MADE, None), user("a")];
    assert_eq!(on(0, &unsaid), (false, vec![REVOKED.to_owned()]));
    let strangers =
        vec![primary.clone(), by(kind::KEY_REVOCATION, &[7; 8]), user("a"), sub.clone(), bound.clone()];
    assert_eq!(on(0, &strangers), (true, vec![]));
    // Of a subkey, also when it was bound again later.
    let later = own(kind::BINDING, MADE + DAY, None);
    let subkey =
        vec![primary.clone(), user("a"), sub, own(kind::SUBKEY_REVOCATION, MADE, None), bound, later];
    assert_eq!(on(2, &subkey), (true, vec![REVOKED.to_owned()]));
    // Another edition of the key does not know that its subkey is revoked.
    let (with, sub) = (key(PUBLIC_KEY, 1), key(PUBLIC_SUBKEY, 2));
    let bound = own(kind::BINDING, MADE, None);
    let old = [with.clone(), user("a"), sub.clone(), bound.clone()].concat();
    let new = [with, user("a"), sub, bound, own(kind::SUBKEY_REVOCATION, MADE, None)].concat();
    for file in [[old.clone(), new.clone()].concat(), [new, old].concat()] {
        let found = usable(&certificates(&file).unwrap(), u64::from(MADE)).unwrap();
        assert_eq!(found.dead.len(), 1, "{:?}", found.dead);
        let left = found.packets.iter().flat_map(|bytes| super::packets(bytes).unwrap());
        assert_eq!(left.filter(|packet| packet.tag == PUBLIC_SUBKEY).count(), 0);
    }
    // Another edition of the key that does not know it.
    let file = [unsaid.concat(), [primary, user("a")].concat()].concat();
    let usable = usable(&certificates(&file).unwrap(), u64::from(MADE)).unwrap();
    assert_eq!((usable.packets.len(), usable.dead.len()), (0, 1));
}

#[test]
fn a_revocation_counts_wherever_it_stands() {
    let (primary, sub, other) = (key(PUBLIC_KEY, 1), key(PUBLIC_SUBKEY, 2), key(PUBLIC_KEY, 3));
    let id = names(&primary[2..]).unwrap().0;
    let id: Vec<u8> = (0..8).map(|at| u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let revoked = signed(kind::KEY_REVOCATION, MADE, &[(16, &id)], 8);
    let (uid, bound) = ([user("a"), own(0x13, MADE, None)].concat(), own(kind::BINDING, MADE, None));
    let whole = [primary.clone(), uid.clone(), sub.clone(), bound.clone()];
    for at in 0..=whole.len() {
        let mut parts = whole.to_vec();
        parts.insert(at, revoked.clone());
        if at > 0 {
            assert_eq!(on(0, &parts), (false, vec![REVOKED.to_owned(); 2]), "{at}");
        }
    }
    // Behind another key of the file, and behind a subkey that is left out.
    let file = [whole.concat(), other.clone(), uid.clone(), revoked.clone()].concat();
    let usable = usable(&certificates(&file).unwrap(), u64::from(MADE)).unwrap();
    assert_eq!((usable.packets.len(), usable.dead.len()), (1, 2));
    let file = [primary, uid, sub, revoked].concat();
    let left = super::super::binding::proven(&certificates(&file).unwrap()[0], &mut Default::default())
        .unwrap()
        .unwrap();
    let usable = super::usable(&[left.certificate], u64::from(MADE)).unwrap();
    assert_eq!((usable.packets.len(), usable.dead.len()), (0, 1));
}

#[test]
fn keys_that_may_not_sign_do_not_count() {
    let (primary, sub) = (key(PUBLIC_KEY, 1), key(PUBLIC_SUBKEY, 2));
    let with = |kind: u8, at: u32, flags: &[u8]| signed(kind, MADE + at, &[(27, flags)], 8);
    let uid = |at: u32, flags: &[u8]| [user("a"), with(0x13, at, flags)].concat();
    let bound = |at: u32, flags: &[u8]| with(kind::BINDING, at, flags);
    // Which of the two may sign.
    for (what, parts, signs) in [
        ("certify only", vec![uid(0, &[1]), sub.clone(), bound(0, &[2])], (false, true)),
        ("both", vec![uid(0, &[3]), sub.clone(), bound(0, &[2])], (true, true)),
        (
            "no flags",
            vec![user("a"), own(0x13, MADE, None), sub.clone(), own(kind::BINDING, MADE, None)],
            (true, true),
        ),
        ("empty flags", vec![uid(0, &[]), sub.clone(), bound(0, &[])], (false, false)),
        ("encryption", vec![uid(0, &[3]), sub.clone(), bound(0, &[0x0c])], (true, false)),
        ("authentication", vec![uid(0, &[3]), sub.clone(), bound(0, &[0x20])], (true, false)),
        ("not any more", vec![uid(0, &[3]), sub.clone(), bound(0, &[2]), bound(9, &[0x20])], (true, false)),
        (
            "the key's own word",
            vec![with(kind::DIRECT, 0, &[1]), uid(9, &[3]), sub.clone(), bound(0, &[2])],
            (false, true),
        ),
        (
            "the newest user id's",
            vec![uid(9, &[1]), uid(0, &[3]), sub.clone(), bound(0, &[2])],
            (false, true),
        ),
    ] {
        let file = [primary.clone(), parts.concat()].concat();
        let usable = usable(&certificates(&file).unwrap(), u64::from(MADE + 10)).unwrap();
        let dead = usize::from(!signs.0) + usize::from(!signs.1);
        assert_eq!(
            usable.dead.iter().filter(|dead| dead.why == NO_SIGNER).count(),
            dead,
            "{what}: {usable:?}"
        );
        let all = usable.packets.concat();
        let has = |key: &[u8]| all.windows(key.len()).any(|window| window == key);
        assert_eq!((has(&primary[2..]), has(&sub[2..])), signs, "{what}");
    }
}

#[test]
fn subkeys_end_alone() {
    let (primary, sub, other) = (key(PUBLIC_KEY, 1), key(PUBLIC_SUBKEY, 2), key(PUBLIC_SUBKEY, 3));
    let bound = |at: u32, days: u32| own(kind::BINDING, MADE + at * DAY, Some(days * DAY));
    let whole = [primary.clone(), user("a"), own(0x13, MADE, None)].concat();
    let with = [whole.clone(), other.clone(), bound(0, 0)].concat();
    let binding_ends = signed(kind::BINDING, MADE, &[(3, &(5 * DAY).to_be_bytes())], 8);
    for (what, binding, day, gone) in [
        ("not yet", bound(0, 5), 4, None),
        ("expired", bound(0, 5), 5, Some("expired on 1970-01-")),
        ("extended", [bound(0, 5), bound(1, 9)].concat(), 8, None),
        ("the binding is over", binding_ends, 5, Some("expired on 1970-01-")),
        ("never bound", Vec::new(), 0, Some("is no subkey that its key knows")),
        ("bound by another", signed(kind::BINDING, MADE, &[(16, &[7; 8])], 8), 0, Some("is no subkey")),
    ] {
        let file = [with.clone(), sub.clone(), binding.clone()].concat();
        let usable = usable(&certificates(&file).unwrap(), u64::from(MADE + day * DAY)).unwrap();
        let left = if gone.is_none() { file } else { with.clone() };
        assert_eq!(usable.packets, [left], "{what}");
        assert_eq!(usable.dead.len(), usize::from(gone.is_some()), "{what}");
        assert!(
            usable.dead.iter().all(|dead| gone.is_some_and(|words| dead.why.starts_with(words))),
            "{what}"
        );
    }
}

#[test]
fn signatures_expire_and_need_a_checksum() {
    let now = u64::from(MADE + 5 * DAY);
    let lasting = |days: u32| signed(kind::BINARY, MADE, &[(3, &(days * DAY).to_be_bytes())], 8);
    let old = [&[3, 5, 0][..], &MADE.to_be_bytes(), &[7; 8], &[1, 8, 0, 0]].concat();
    let old_md5 = [&[3, 5, 0][..], &MADE.to_be_bytes(), &[7; 8], &[1, 1, 0, 0]].concat();
    let no_time = packet(SIGNATURE, &[4, 0, 1, 8, 0, 0, 0, 0, 0, 0]);
    let six = [&[6, 0, 27, 8, 0, 0, 0, 6, 5, 2][..], &MADE.to_be_bytes(), &[0, 0, 0, 0, 0, 0]].concat();
    for (what, packet, wanted) in [
        ("of data", signed(kind::BINARY, MADE, &[], 8), None),
        ("of text", signed(kind::TEXT, MADE, &[], 10), None),
        ("of the future", signed(kind::BINARY, MADE + 9 * DAY, &[], 8), None),
        ("version 3", packet(SIGNATURE, &old), None),
        ("version 6", packet(SIGNATURE, &six), None),
        ("SHA-1", signed(kind::BINARY, MADE, &[], 2), None),
        ("a notation", signed(kind::BINARY, MADE, &[(20, b"x")], 8), None),
        ("a critical notation", signed(kind::BINARY, MADE, &[(0x80 | 20, b"x")], 8), Some("critical")),
        ("a critical time", signed(kind::BINARY, MADE, &[(0x80 | 3, &(6 * DAY).to_be_bytes())], 8), None),
        ("over, critical", signed(kind::BINARY, MADE, &[(0x80 | 3, &DAY.to_be_bytes())], 8), Some("expired")),
        ("MD5", signed(kind::BINARY, MADE, &[], 1), Some("MD5")),
        ("MD5, version 3", packet(SIGNATURE, &old_md5), Some("MD5")),
        ("lasting", lasting(6), None),
        ("for ever", lasting(0), None),
        ("over", lasting(5), Some("expired on 1970-01-")),
        ("of a key", own(kind::DIRECT, MADE, None), Some("none of data")),
        ("without a time", no_time, Some("no version")),
        ("version 2", packet(SIGNATURE, &[2, 5, 0]), Some("no version")),
        ("empty", packet(SIGNATURE, &[]), Some("no version")),
        ("nothing", Vec::new(), Some("no version")),
    ] {
        let said = counts(&packet, now);
        assert_eq!(said.is_ok(), wanted.is_none(), "{what}: {said:?}");
        assert!(
            wanted.is_none_or(|words| said.as_ref().is_err_and(|said| said.contains(words))),
            "{what}: {said:?}"
        );
    }
    // An expiry that anybody could have added does not count, and none can be taken away.
    let unhashed = area(&[(3, &DAY.to_be_bytes())]);
    let hashed = area(&[(2, &MADE.to_be_bytes())]);
    let body = [&[4, 0, 1, 8, 0, 6][..], &hashed, &[0, 6], &unhashed, &[0, 0]].concat();
    assert_eq!(counts(&packet(SIGNATURE, &body), now), Ok(()));
}

#[test]
fn the_key_that_does_not_count_is_named() {
    let dead = [Dead { id: "0707070707070707".into(), fingerprint: "f".repeat(40), why: REVOKED.into() }];
    let by = |more: &[(u8, &[u8])]| dead_maker(&signed(kind::BINARY, MADE, more, 8), &dead);
    let said = by(&[(16, &[7; 8])]).unwrap();
    assert!(said.contains(&"f".repeat(40)) && said.ends_with("which signed it, is revoked"), "{said}");
    let whole = [&[4][..], &[0xff; 20]].concat();
    assert!(by(&[(33, &whole)]).is_some());
    assert_eq!(by(&[(16, &[8; 8])]), None);
    assert_eq!(by(&[]), None);
}

/// The certificate of RFC 9580, appendix A.3.
#[test]
fn certificates_of_version_six_are_whole() {
    let found = certificates(include_bytes!("../../../../tests/src/rfc9580-a3.asc")).unwrap();
    let usable = usable(&found, 1_800_000_000).unwrap();
    // Its subkey is one for encryption.
    assert!(found[0].packets.starts_with(&usable.packets[0]), "{usable:?}");
    assert_eq!((usable.packets.len(), usable.dead.len(), usable.dead[0].why.as_str()), (1, 1, NO_SIGNER));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8.., 0..80), now in 0_u64..) {
        drop(counts(&bytes, now));
        drop(counts(&packet(SIGNATURE, &bytes), now));
        let file = [key(PUBLIC_KEY, 1), packet(SIGNATURE, &bytes), bytes.clone()].concat();
        for file in [&bytes, &file] {
            if let Ok(found) = certificates(file) {
                drop(usable(&found, now));
            }
        }
    }
}
