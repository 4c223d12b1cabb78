//! ASCII armor of OpenPGP keys and signatures (RFC 9580, section 6.2): the packets inside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a public key's armor says it is.
pub(crate) const KEY: &str = "PGP PUBLIC KEY BLOCK";
/// What a detached signature's armor says it is.
pub(crate) const SIGNATURE: &str = "PGP SIGNATURE";

/// The binary packets of each armored block of a kind. A file without armor is one block: what begins with a byte
/// whose highest bit is set is no text (section 4.2), but for a byte order mark.
pub(crate) fn blocks(file: &[u8], kind: &str) -> Result<Vec<Vec<u8>>, String> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    if file.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(vec![file.to_vec()]);
    }
    // Only comments can be other than ASCII, in whatever encoding somebody once had.
    let text = String::from_utf8_lossy(file);
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let mut found = Vec::new();
    let mut rest = text.as_ref();
    while let Some((_, after)) = rest.split_once(&begin) {
        let Some((block, after)) = after.split_once(&end) else {
            return Err(format!("armor is cut off: `{end}` is missing"));
        };
        found.push(body(block)?);
        rest = after;
    }
    Ok(found)
}

/// What stands between the headers and the checksum, which is compared where there is one.
fn body(block: &str) -> Result<Vec<u8>, String> {
    // `lines` takes a carriage return along; the first line is what is left of the block's first.
    let lines = block.lines().skip(1).map(str::trim);
    let (mut text, mut sum) = (String::with_capacity(block.len()), None);
    for line in lines.skip_while(|line| line.contains(':')) {
        match line.strip_prefix('=') {
            Some(digits) if sum.is_none() => sum = Some(digits),
            _ if sum.is_some() && !line.is_empty() => return Err("armor has text behind its checksum".into()),
            _ => text.push_str(line),
        }
    }
    let packets = STANDARD.decode(text).map_err(|error| format!("armor is damaged: {error}"))?;
    let told = sum.map(|digits| STANDARD.decode(digits).unwrap_or_default());
    if told.is_some_and(|told| told != checksum(&packets)) {
        return Err("armor is damaged: its checksum is another".into());
    }
    Ok(packets)
}

/// The packets in what stands between headers and checksum, in one line.
pub(crate) fn bare(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Packets as an armored block, for libraries that take nothing else.
pub(crate) fn wrap(packets: &[u8], kind: &str) -> String {
    let text = STANDARD.encode(packets);
    let mut armored = format!("-----BEGIN {kind}-----\n\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        armored.push_str(line);
        armored.push('\n');
        rest = after;
    }
    armored.push_str(&format!("={}\n-----END {kind}-----\n", STANDARD.encode(checksum(packets))));
    armored
}

/// CRC-24 (section 6.1.1).
fn checksum(bytes: &[u8]) -> [u8; 3] {
    let mut crc = 0xb7_04ce_u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x100_0000 != 0 {
                crc ^= 0x186_4cfb;
            }
        }
    }
    let [_, high, middle, low] = crc.to_be_bytes();
    [high, middle, low]
}

#[cfg(test)]
mod tests {
    use super::{KEY, SIGNATURE, blocks, checksum, wrap};

    const PLAIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\naGVsbG8g\nd29ybGQ=\n-----END PGP PUBLIC KEY BLOCK-----\n";

    #[test]
    fn takes_armor_off() {
        let crlf = PLAIN.replace('\n', "\r\n");
        let latin = [b"Comment: Jos\xe9\n".as_slice(), PLAIN.as_bytes()].concat();
        let marked = [b"\xef\xbb\xbf".as_slice(), PLAIN.as_bytes()].concat();
        for text in [PLAIN.as_bytes(), crlf.as_bytes(), &latin, &marked, wrap(b"hello world", KEY).as_bytes()]
        {
            assert_eq!(
                blocks(text, KEY),
                Ok(vec![b"hello world".to_vec()]),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
        assert_eq!(blocks(PLAIN.repeat(2).as_bytes(), KEY).map(|found| found.len()), Ok(2));
        assert_eq!(blocks(b"nothing", KEY), Ok(Vec::new()));
        assert_eq!(blocks(PLAIN.as_bytes(), SIGNATURE), Ok(Vec::new()));
        assert_eq!(blocks(&[0x99, 0xff], KEY), Ok(vec![vec![0x99, 0xff]]));
        assert_eq!(checksum(b""), [0xb7, 0x04, 0xce]);
    }

    #[test]
    fn damaged_armor_is_an_error() {
        let sealed = wrap(b"hello world", KEY);
        for (text, wanted) in [
            (PLAIN.replace("aGVs", "a!Vs"), "damaged"),
            (sealed.replace("aGVs", "bGVs"), "checksum"),
            (sealed.replace("\n=", "\n=="), "checksum"),
            (sealed.replace("-----END", "aGVsbG8=\n-----END"), "behind"),
            (sealed.replace("-----END", "---END"), "cut off"),
        ] {
            let said = blocks(text.as_bytes(), KEY);
            assert!(said.as_ref().is_err_and(|words| words.contains(wanted)), "{text}: {said:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(head in "(?s).{0,40}", body in "(?s)[A-Za-z0-9+/=:\n\u{e9} ]{0,200}") {
            drop(blocks(format!("{head}-----BEGIN {KEY}-----{body}-----END {KEY}-----").as_bytes(), KEY));
            drop(blocks(format!("-----BEGIN {KEY}-----{body}-----END {KEY}-----{head}").as_bytes(), KEY));
        }

        #[test]
        fn what_is_wrapped_comes_out_again(packets in proptest::collection::vec(0_u8.., 0..200)) {
            proptest::prop_assert_eq!(blocks(wrap(&packets, KEY).as_bytes(), KEY), Ok(vec![packets]));
        }
    }
}
