//! The home directory of a user, from the container's own `/etc/passwd` (passwd(5)).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, ResolveFlags};

use crate::node::place::file_in;

/// Where users are listed.
const PASSWD: &str = "/etc/passwd";

/// Bytes of the largest list that is read.
const LARGEST: u64 = 4 << 20;

/// The home directory of a user, `/` where the container says of none.
pub(super) fn of(uid: u32) -> std::ffi::OsString {
    let listed = text().and_then(|text| find(&text, uid).map(|home| OsStr::from_bytes(home).to_owned()));
    listed.unwrap_or_else(|| "/".into())
}

/// The list, where it is a file: an image may have anything there.
fn text() -> Option<Vec<u8>> {
    let passwd = Path::new(PASSWD);
    file_in(CWD, passwd, ResolveFlags::empty(), (passwd, LARGEST)).ok().flatten()
}

/// The home directory in the first line of a user that has one.
fn find(text: &[u8], uid: u32) -> Option<&[u8]> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let number = std::str::from_utf8(fields.nth(2)?).ok()?;
        let home = fields.nth(2)?;
        (number.parse() == Ok(uid) && home.first() == Some(&b'/')).then_some(home)
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_first_line_of_a_user_says_where_its_home_is() {
        let text = b"root:x:0:0:root:/root:/bin/sh\nbroken\na:x:7:7::/first:\nb:x:7:7::/second:/bin/sh\nc:x:8:8::relative:/bin/sh\nd:x:9:9:g";
        for (uid, home) in [(0, Some("/root")), (7, Some("/first")), (8, None), (9, None), (10, None)] {
            assert_eq!(find(text, uid), home.map(str::as_bytes), "{uid}");
        }
        assert_eq!(find(b"", 0), None);
        assert_eq!(find(b"x:x:0:0::/\xff\xfe:", 0), Some(&b"/\xff\xfe"[..]));
    }
}
