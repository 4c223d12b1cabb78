//! What the fuzz targets `keys` and `header` call.

use super::{Planned, armor, database, openpgp, validity};

/// Reads keys or signatures, and asserts what others rely on.
pub(crate) fn fuzz_keys(kind: u8, file: &[u8]) {
    match kind % 3 {
        0 => {
            let Ok(certificates) = openpgp::certificates(file) else { return };
            for certificate in &certificates {
                // What is taken out of a file is that key, and no other.
                let again = openpgp::certificates(armor::wrap(&certificate.packets, armor::KEY).as_bytes());
                assert_eq!(again.as_deref(), Ok(std::slice::from_ref(certificate)));
            }
            for now in [0, 1 << 30, u64::MAX] {
                let Ok(usable) = validity::usable(&certificates, now) else { continue };
                assert!(usable.packets.len() <= certificates.iter().map(|one| one.keys().count()).sum());
            }
        }
        1 => {
            for signature in openpgp::signatures(file).unwrap_or_default() {
                drop((validity::counts(&signature, 1 << 30), validity::dead_maker(&signature, &[])));
            }
        }
        _ => {
            for block in armor::blocks(file, armor::SIGNATURE).unwrap_or_default() {
                let again = armor::blocks(armor::wrap(&block, armor::SIGNATURE).as_bytes(), armor::SIGNATURE);
                assert_eq!(again, Ok(vec![block]));
            }
        }
    }
}

/// Reads all of a header, and of a package file.
pub(crate) fn fuzz_header(bytes: &[u8]) {
    database::fuzz_header(bytes);
    drop(database::no_text(&mut std::io::Cursor::new(bytes)));
    drop(Planned::of(String::new(), &mut std::io::Cursor::new(bytes)));
}
