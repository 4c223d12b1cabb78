//! A tar archive as a layer of an image has it (image-spec, layer.md): ustar headers, and pax records (pax(1)) for what
//! they cannot hold. The same entries give the same bytes.

use std::io::{self, Write};

use tar::EntryType;

/// Bytes of a block.
const BLOCK: usize = 512;

/// Bytes of a name in a ustar header.
const NAME: usize = 100;

/// Largest user or group ID in a ustar header: seven octal digits.
const MAX_ID: u32 = 0o777_7777;

/// Largest size in a ustar header: eleven octal digits.
const MAX_SIZE: u64 = 0o777_7777_7777;

/// Prefix of pax records for extended attributes (archive/tar of Go, which every engine uses; star(5)).
const XATTR: &str = "SCHILY.xattr.";

/// Mode bits and numeric owners.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Attributes {
    /// Permission bits.
    pub(super) mode: u32,
    /// User ID.
    pub(super) uid: u32,
    /// Group ID.
    pub(super) gid: u32,
}

/// Type of an entry, with what only that type has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind<'e> {
    /// A directory.
    Directory,
    /// A regular file of a size in bytes; its contents follow.
    File(u64),
    /// A symbolic link with its target.
    Symlink(&'e [u8]),
    /// A hard link with the path of an earlier entry.
    HardLink(&'e [u8]),
    /// A FIFO.
    Fifo,
}

/// Extended attributes, by name.
pub(super) type Xattrs = Vec<(String, Vec<u8>)>;

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'e> {
    /// Path without a leading slash.
    pub(super) path: &'e [u8],
    /// Type.
    pub(super) kind: Kind<'e>,
    /// Mode and owners.
    pub(super) attributes: Attributes,
    /// Seconds since the epoch.
    pub(super) mtime: u64,
    /// Extended attributes.
    pub(super) xattrs: &'e [(String, Vec<u8>)],
}

/// Writer of an archive.
#[derive(Debug)]
pub(super) struct Archive<W> {
    to: W,
    /// Bytes of contents that are still to come for the entry.
    missing: u64,
    /// Bytes that fill the last block of the contents.
    padding: usize,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, missing: 0, padding: 0 }
    }

    /// Writes the header of an entry. The contents of a file have to follow.
    pub(super) fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        debug_assert_eq!(self.missing, 0, "the contents of the entry before are whole");
        let records = records(entry);
        if !records.is_empty() {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            header.set_size(records.len() as u64);
            put(&mut header.as_old_mut().name, b"pax");
            self.header(header, Attributes { mode: 0o644, uid: 0, gid: 0 }, 0)?;
            self.to.write_all(&records)?;
            self.to.write_all(&[0; BLOCK][..to_block(records.len() as u64)])?;
        }
        let mut header = tar::Header::new_ustar();
        let (kind, size, link) = match entry.kind {
            Kind::Directory => (EntryType::Directory, 0, None),
            Kind::File(size) => (EntryType::Regular, size, None),
            Kind::Symlink(target) => (EntryType::Symlink, 0, Some(target)),
            Kind::HardLink(target) => (EntryType::Link, 0, Some(target)),
            Kind::Fifo => (EntryType::Fifo, 0, None),
        };
        header.set_entry_type(kind);
        header.set_size(if size > MAX_SIZE { 0 } else { size });
        put(&mut header.as_old_mut().name, entry.path);
        put(&mut header.as_old_mut().linkname, link.unwrap_or_default());
        self.header(header, entry.attributes, entry.mtime)?;
        (self.missing, self.padding) = (size, to_block(size));
        Ok(())
    }

    fn header(&mut self, mut header: tar::Header, attributes: Attributes, mtime: u64) -> io::Result<()> {
        header.set_mode(attributes.mode);
        header.set_uid(if attributes.uid > MAX_ID { 0 } else { attributes.uid.into() });
        header.set_gid(if attributes.gid > MAX_ID { 0 } else { attributes.gid.into() });
        header.set_mtime(mtime.min(MAX_SIZE));
        header.set_cksum();
        self.to.write_all(header.as_bytes())
    }

    /// Writes a part of the contents of a file, never more than its header has.
    pub(super) fn contents(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.missing = self
            .missing
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("more contents than the header has"))?;
        self.to.write_all(bytes)?;
        if self.missing == 0 {
            let padding = std::mem::take(&mut self.padding);
            self.to.write_all(&[0; BLOCK][..padding])?;
        }
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }
}

/// Bytes from a size to the end of its block.
fn to_block(size: u64) -> usize {
    let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - rest) % BLOCK
}

/// Puts as much of a name as there is room for.
fn put(field: &mut [u8; NAME], bytes: &[u8]) {
    let length = bytes.len().min(NAME);
    field[..length].copy_from_slice(&bytes[..length]);
}

/// The pax records of what a ustar header cannot hold, sorted by key.
fn records(entry: &Entry<'_>) -> Vec<u8> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let long = |name: &[u8]| name.len() > NAME || !name.is_ascii();
    if long(entry.path) {
        all.push(("path".to_owned(), entry.path.to_vec()));
    }
    match entry.kind {
        Kind::Symlink(target) | Kind::HardLink(target) if long(target) => {
            all.push(("linkpath".to_owned(), target.to_vec()));
        }
        Kind::File(size) if size > MAX_SIZE => all.push(("size".to_owned(), size.to_string().into_bytes())),
        _ => {}
    }
    for (key, id) in [("uid", entry.attributes.uid), ("gid", entry.attributes.gid)] {
        if id > MAX_ID {
            all.push((key.to_owned(), id.to_string().into_bytes()));
        }
    }
    all.extend(entry.xattrs.iter().map(|(name, value)| (format!("{XATTR}{name}"), value.clone())));
    all.sort();
    all.iter().flat_map(|(key, value)| record(key, value)).collect()
}

/// One record: its own length in decimal, a blank, `key=value`, a newline.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = 1 + key.len() + 1 + value.len() + 1;
    let mut length = rest + 1;
    // The digits of the length count too, and one more of them may be needed for that.
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut bytes = format!("{length} {key}=").into_bytes();
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const ROOT: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };

    fn archive(entries: &[(Entry<'_>, &[u8])]) -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        for (entry, contents) in entries {
            archive.entry(entry).unwrap();
            archive.contents(contents).unwrap();
        }
        archive.finish().unwrap()
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in 0..2_000 {
            let one = record("key", &vec![b'x'; length]);
            let told: usize = String::from_utf8_lossy(&one).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, one.len());
        }
    }

    #[test]
    fn what_a_header_cannot_hold_is_in_records() {
        let long = format!("{}/ä", "d".repeat(200));
        let capability = vec![1, 0, 0, 2, 0, b'\n', b'=', 0];
        let xattrs = vec![("security.capability".to_owned(), capability.clone())];
        let attributes = Attributes { mode: 0o4755, uid: 4_000_000_000, gid: 5 };
        let contents = vec![7_u8; 700];
        let kind = Kind::File(700);
        let file = Entry { path: long.as_bytes(), kind, attributes, mtime: 12, xattrs: &xattrs };
        let bytes = archive(&[(file, &contents)]);
        assert_eq!(bytes, archive(&[(file, &contents)]));
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut read = tar::Archive::new(&bytes[..]);
        let mut entry = read.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path_bytes(), long.as_bytes());
        let header = entry.header();
        assert_eq!((header.mode().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0o4755, 5, 12));
        let mut found = Vec::new();
        entry.read_to_end(&mut found).unwrap();
        assert_eq!(found, contents);
        // A value has any byte in it, which only the length of its record tells.
        let all = ["path", "SCHILY.xattr.security.capability", "uid"].map(|key| match key {
            "path" => record(key, long.as_bytes()),
            "uid" => record(key, b"4000000000"),
            _ => record(key, &capability),
        });
        for one in all {
            assert!(bytes.windows(one.len()).any(|part| part == one), "{}", String::from_utf8_lossy(&one));
        }
    }

    #[test]
    fn a_file_that_is_larger_than_eight_gigabytes_has_its_size_in_a_record() {
        let file =
            |size| Entry { path: b"f", kind: Kind::File(size), attributes: ROOT, mtime: 0, xattrs: &[] };
        assert!(records(&file(MAX_SIZE)).is_empty());
        assert_eq!(records(&file(MAX_SIZE + 1)), b"19 size=8589934592\n");
    }

    #[test]
    fn no_file_has_more_contents_than_its_header() {
        let mut archive = Archive::new(Vec::new());
        let entry = Entry { path: b"f", kind: Kind::File(3), attributes: ROOT, mtime: 0, xattrs: &[] };
        archive.entry(&entry).unwrap();
        archive.contents(b"abc").unwrap();
        assert!(archive.contents(b"d").is_err());
    }
}
