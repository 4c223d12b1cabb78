//! ASCII armor of OpenPGP keys (RFC 9580, section 6.2): the packets inside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The binary packets of each armored block in a text; what is no armor is taken as it is.
pub(crate) fn keys(text: &[u8]) -> Vec<Vec<u8>> {
    let Ok(armored) = std::str::from_utf8(text) else { return vec![text.to_vec()] };
    let mut found = Vec::new();
    let mut rest = armored;
    while let Some(begin) = rest.find("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        let Some(end) = rest[begin..].find("-----END PGP PUBLIC KEY BLOCK-----") else { break };
        found.push(body(&rest[begin..begin + end]));
        rest = &rest[begin + end + 10..];
    }
    found
}

/// What stands between the empty line behind the headers and the checksum.
fn body(block: &str) -> Vec<u8> {
    let mut lines = block.lines().skip(1).map(str::trim).peekable();
    while lines.peek().is_some_and(|line| line.contains(": ") || line.starts_with("Version:")) {
        lines.next();
    }
    let text: String = lines.filter(|line| !line.is_empty() && !line.starts_with('=')).collect();
    // What is no base64 is no key, and librpm refuses it.
    STANDARD.decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn takes_armor_off() {
        let text = b"noise\n-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\naGVsbG8g\nd29ybGQ=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(keys(text), [b"hello world".to_vec()]);
        assert!(keys(b"nothing").is_empty());
        assert_eq!(keys(&[0x99, 0xff]), [vec![0x99, 0xff]]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(head in "(?s).{0,40}", body in "(?s)[A-Za-z0-9+/=:\n\u{e9} ]{0,200}") {
            keys(format!("{head}-----BEGIN PGP PUBLIC KEY BLOCK-----{body}-----END PGP PUBLIC KEY BLOCK-----").as_bytes());
            keys(format!("-----BEGIN PGP PUBLIC KEY BLOCK-----{body}-----END PGP PUBLIC KEY BLOCK-----{head}").as_bytes());
        }
    }
}
