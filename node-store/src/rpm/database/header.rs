//! A package's header as rpm's database and package files have it (rpm's manual, "RPM v4 package format"): names, files,
//! and what it is, by the part of it that no installation changes.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rpm::armor;

/// The region of a header that its package came with (RPMTAG_HEADERIMMUTABLE).
const IMMUTABLE: u32 = 63;
/// What stands before a header in a file, and counts for its digest.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
/// Bytes of an entry of the index.
const ENTRY: usize = 16;
/// Entries that a header may have, and bytes: rpm's own limits (`hdrblobInit`).
const ENTRIES: usize = 0xffff;
const BYTES: usize = 256 << 20;
/// Bytes before the headers of a package file.
const LEAD: u64 = 96;

/// Tags that rpm itself adds to a header that it installs, of any value: when, for which colour, in which transaction,
/// how each file ended (`dbAdd`), the size of the payload, signatures of files and their length (`headerMergeLegacySigs`),
/// digests of the package file (rpm 6). Those below 1000 come from its signature too.
const ADDED: [u32; 9] = [1008, 1029, 1046, 1127, 1128, 5090, 5091, 5118, 5119];
/// What rpm writes where a package does not say what it was made of (`applyRetrofits`).
const NO_SOURCE: &[u8] = b"(none)";
/// All that rpm puts into the header that it makes of a key (`makePubkeyHeader`), and what its import adds.
const OF_KEY: [u32; 24] = [
    63, 100, 266, 269, 273, 279, 1000, 1001, 1002, 1004, 1005, 1006, 1007, 1008, 1009, 1014, 1015, 1016,
    1044, 1047, 1064, 1112, 1113, 1128,
];

/// Signatures, by the tags of an installed header, and by those of the signature that a package begins with
/// (`headerMergeLegacySigs`): of the whole and of the header, RSA and other kinds, and that of rpm 6; then those of files,
/// which the kernel believes (IMA, fs-verity), with their length and kind.
const SIGNATURES: [(u32, u32); 9] = [
    (259, 1002),
    (262, 1005),
    (267, 267),
    (268, 268),
    (278, 278),
    (5090, 274),
    (5091, 275),
    (276, 276),
    (277, 277),
];

/// Values that are read.
pub(super) mod tag {
    pub(in crate::rpm) const NAME: u32 = 1000;
    pub(in crate::rpm) const VERSION: u32 = 1001;
    pub(in crate::rpm) const RELEASE: u32 = 1002;
    pub(in crate::rpm) const EPOCH: u32 = 1003;
    pub(in crate::rpm) const DESCRIPTION: u32 = 1005;
    pub(in crate::rpm) const PUBLIC_KEYS: u32 = 266;
    pub(in crate::rpm) const ARCH: u32 = 1022;
    pub(in crate::rpm) const OLD_FILE_NAMES: u32 = 1027;
    pub(in crate::rpm) const SOURCE: u32 = 1044;
    pub(in crate::rpm) const FILE_LINKS: u32 = 1036;
    pub(in crate::rpm) const FILE_USERS: u32 = 1039;
    pub(in crate::rpm) const FILE_GROUPS: u32 = 1040;
    pub(in crate::rpm) const FILE_CAPABILITIES: u32 = 5010;
    pub(in crate::rpm) const PREFIXES: u32 = 1098;
    pub(in crate::rpm) const INSTALLED_PREFIXES: u32 = 1099;
    pub(in crate::rpm) const DIR_INDEXES: u32 = 1116;
    pub(in crate::rpm) const BASE_NAMES: u32 = 1117;
    pub(in crate::rpm) const DIR_NAMES: u32 = 1118;
}

/// What has to be text in a node: what the package is called, its files, who they belong to, where they lead.
const NAMES: [u32; 11] = [
    tag::NAME,
    tag::VERSION,
    tag::RELEASE,
    tag::ARCH,
    tag::OLD_FILE_NAMES,
    tag::BASE_NAMES,
    tag::DIR_NAMES,
    tag::FILE_USERS,
    tag::FILE_GROUPS,
    tag::FILE_LINKS,
    tag::FILE_CAPABILITIES,
];

/// What a package is, whatever an installation adds to its header: equal for the same package only.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub(crate) struct Identity(String);

/// What signatures a header shows: the digest of each, by its tag.
pub(crate) type Signatures = BTreeMap<u32, Identity>;

/// A package that was verified.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Planned {
    /// Name, version and architecture.
    pub(crate) nevra: String,
    /// What it is.
    pub(crate) identity: Identity,
    /// Its signatures.
    pub(crate) signatures: Signatures,
}

/// A value in a header: its type, how many there are, and the bytes from its first one on.
#[derive(Clone, Copy, Debug)]
struct Value<'a> {
    kind: u32,
    count: usize,
    bytes: &'a [u8],
}

/// A header.
#[derive(Debug)]
pub(super) struct Header<'a> {
    values: BTreeMap<u32, Value<'a>>,
    identity: Identity,
    strange: bool,
}

impl<'a> Value<'a> {
    /// All bytes of it.
    fn whole(&self) -> Option<&'a [u8]> {
        let length = match self.kind {
            1 | 2 | 7 => self.count,
            3 => self.count.checked_mul(2)?,
            4 => self.count.checked_mul(4)?,
            5 => self.count.checked_mul(8)?,
            6 | 8 | 9 => {
                let mut ends = self.bytes.iter().enumerate().filter(|(_, byte)| **byte == 0);
                ends.nth(self.count.checked_sub(1)?)?.0 + 1
            }
            _ => return None,
        };
        self.bytes.get(..length)
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn size(bytes: &[u8]) -> Option<usize> {
    usize::try_from(number(bytes)?).ok()
}

impl<'a> Header<'a> {
    /// Reads a header as it is in the database: without what stands before it in a file.
    pub(super) fn read(blob: &'a [u8]) -> Option<Self> {
        let (entries, length) = (size(blob)?, size(blob.get(4..)?)?);
        if entries == 0 || entries > ENTRIES || length > BYTES {
            return None;
        }
        let index = blob.get(8..8 + entries * ENTRY)?;
        let data = blob.get(8 + entries * ENTRY..)?;
        if data.len() != length {
            return None;
        }
        let region = region(index, data);
        let own = region.map_or(0, |(own, _)| own);
        let mut header = Self { values: BTreeMap::new(), identity: Identity::of(&[blob]), strange: false };
        let mut added = Vec::new();
        for (at, entry) in index.chunks_exact(ENTRY).enumerate() {
            let (name, kind, offset, count) =
                (number(entry)?, number(&entry[4..])?, size(&entry[8..])?, size(&entry[12..])?);
            if at == 0 && own > 0 {
                continue;
            }
            // What is added twice, or takes the place of something that the package has, is not rpm's doing.
            let known =
                header.values.insert(name, Value { kind, count, bytes: data.get(offset..)? }).is_some();
            header.strange |= known;
            added.extend(Some(name).filter(|_| at >= own && own > 0));
        }
        header.strange |= !added.into_iter().all(|name| header.is_rpms(name));
        if let Some((own, length)) = region {
            let counts = [own, length].map(|count| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
            let index = &index[..own * ENTRY];
            header.identity = Identity::of(&[&MAGIC, &counts[0], &counts[1], index, &data[..length]]);
        }
        Some(header)
    }

    /// Whether rpm adds that to a header.
    fn is_rpms(&self, name: u32) -> bool {
        let is = |wanted: &[&[u8]]| self.bytes(name).is_some_and(|found| found == wanted);
        match name {
            ..1000 => true,
            // Nothing is relocated here, so files are where their package wants them (`addPrefixes`).
            tag::INSTALLED_PREFIXES => {
                self.bytes(tag::PREFIXES).is_some_and(|own| !own.is_empty() && is(&own))
            }
            tag::SOURCE => is(&[NO_SOURCE]),
            // The list of files of a package whose own is of an older form (`compressFilelist`).
            tag::BASE_NAMES | tag::DIR_NAMES | tag::DIR_INDEXES => {
                let old = self.bytes(tag::OLD_FILE_NAMES).filter(|old| !old.is_empty());
                old.is_some_and(|old| self.listed().is_some_and(|new| new == old))
            }
            _ => ADDED.contains(&name),
        }
    }

    /// Whether it is what rpm makes of a key and nothing more: the key that it shows is the one that rpm will take, and
    /// nothing in it has an effect on packages.
    pub(super) fn is_plain_key(&self) -> bool {
        let keys = self.bytes(tag::PUBLIC_KEYS).unwrap_or_default();
        let shown = self.bytes(tag::DESCRIPTION).unwrap_or_default();
        let ([key], [shown]) = (&keys[..], &shown[..]) else { return false };
        let text: Vec<u8> = key.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let same = armor::blocks(shown, armor::KEY)
            .is_ok_and(|blocks| blocks.len() == 1 && armor::bare(&text).as_ref() == blocks.first());
        same && !self.strange && self.values.keys().all(|name| OF_KEY.contains(name))
    }

    /// What the package is.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether something was added that rpm does not add when it installs a package.
    pub(super) fn is_strange(&self) -> bool {
        self.strange
    }

    /// What signatures it shows.
    pub(super) fn signatures(&self) -> Option<Signatures> {
        self.signatures_by(|(own, _)| own)
    }

    fn signatures_by(&self, tag: impl Fn((u32, u32)) -> u32) -> Option<Signatures> {
        let mut found = Signatures::new();
        for signature in SIGNATURES {
            if let Some(value) = self.values.get(&tag(signature)) {
                found.insert(signature.0, Identity::of(&[value.whole()?]));
            }
        }
        Some(found)
    }

    /// All bytes of a tag.
    pub(super) fn whole(&self, tag: u32) -> Option<&'a [u8]> {
        self.values.get(&tag)?.whole()
    }

    /// The texts of a tag, which are in any encoding; none when it has none.
    pub(super) fn bytes(&self, tag: u32) -> Option<Vec<&'a [u8]>> {
        let Some(value) = self.values.get(&tag) else { return Some(Vec::new()) };
        // A string, several, or one in several languages.
        if !matches!(value.kind, 6 | 8 | 9) || value.kind == 6 && value.count != 1 {
            return None;
        }
        let mut rest = value.bytes;
        let mut found = Vec::new();
        for _ in 0..value.count {
            let end = rest.iter().position(|byte| *byte == 0)?;
            found.push(&rest[..end]);
            rest = &rest[end + 1..];
        }
        Some(found)
    }

    /// The first text of a tag.
    pub(super) fn text(&self, tag: u32) -> Option<String> {
        self.bytes(tag)?.first().copied().map(lossy)
    }

    pub(super) fn numbers(&self, tag: u32) -> Option<Vec<u32>> {
        let Some(value) = self.values.get(&tag) else { return Some(Vec::new()) };
        let bytes = value.bytes.get(..value.count.checked_mul(4)?).filter(|_| value.kind == 4)?;
        bytes.chunks_exact(4).map(number).collect()
    }

    /// Name, version and architecture as metadata write them.
    pub(super) fn nevra(&self) -> Option<String> {
        let epoch = self.numbers(tag::EPOCH)?.first().copied().filter(|epoch| *epoch != 0);
        let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
        let arch = self.text(tag::ARCH).unwrap_or_else(|| "noarch".into());
        let text = |tag| self.text(tag);
        Some(format!("{}-{epoch}{}-{}.{arch}", text(tag::NAME)?, text(tag::VERSION)?, text(tag::RELEASE)?))
    }

    /// Paths of its files.
    pub(super) fn files(&self) -> Option<Vec<String>> {
        let old = self.bytes(tag::OLD_FILE_NAMES)?;
        Some(old.into_iter().map(lossy).chain(self.listed()?.iter().map(|path| lossy(path))).collect())
    }

    /// Those of them that are listed as names in directories.
    fn listed(&self) -> Option<Vec<Vec<u8>>> {
        let names = self.bytes(tag::BASE_NAMES)?;
        let (dirs, at) = (self.bytes(tag::DIR_NAMES)?, self.numbers(tag::DIR_INDEXES)?);
        if names.len() != at.len() {
            return None;
        }
        let path = |(name, at): (&[u8], u32)| Some([dirs.get(usize::try_from(at).ok()?)?, name].concat());
        names.into_iter().zip(at).map(path).collect()
    }
}

/// Reads all that is read of a header, for the fuzz target `header`.
pub(in crate::rpm) fn fuzz(blob: &[u8]) {
    let Some(header) = Header::read(blob) else { return };
    drop((header.is_plain_key(), header.is_strange(), header.identity(), header.signatures()));
    drop((header.nevra(), header.files()));
    for name in header.values.keys() {
        drop((header.whole(*name), header.text(*name), header.numbers(*name)));
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

impl Identity {
    /// What a header is with all that was added to it.
    pub(super) fn whole(blob: &[u8]) -> Self {
        Self::of(&[blob])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut sum = Sha256::new();
        parts.iter().for_each(|part| sum.update(part));
        Self(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Planned {
    /// A package file, which has been verified.
    pub(in crate::rpm) fn of(nevra: String, file: &mut (impl Read + Seek)) -> Option<Self> {
        let (signature, header) = headers(file)?;
        let header = Header::read(&header)?;
        let mut signatures = Header::read(&signature)?.signatures_by(|(_, own)| own)?;
        // Those of files may be part of the package itself (`rpmsign` of old), where rpm leaves them.
        signatures.extend(header.signatures()?);
        let identity = header.identity;
        Some(Self { nevra, identity, signatures })
    }
}

/// The first name in a package file that is no text (UTF-8), as far as it can be shown; `None` when its header cannot be
/// read.
pub(in crate::rpm) fn no_text(file: &mut (impl Read + Seek)) -> Option<Option<String>> {
    let (_, header) = headers(file)?;
    let header = Header::read(&header)?;
    for tag in NAMES {
        let names = header.bytes(tag)?;
        if let Some(name) = names.into_iter().find(|name| std::str::from_utf8(name).is_err()) {
            return Some(Some(lossy(name)));
        }
    }
    Some(None)
}

/// The signature of a package file, and its header.
fn headers(file: &mut (impl Read + Seek)) -> Option<(Vec<u8>, Vec<u8>)> {
    file.seek(SeekFrom::Start(LEAD)).ok()?;
    let signature = blob(file)?;
    // The header begins at a multiple of eight.
    let at = file.stream_position().ok()?.next_multiple_of(8);
    file.seek(SeekFrom::Start(at)).ok()?;
    Some((signature, blob(file)?))
}

/// The header of a file that begins here, as the database would have it.
fn blob(file: &mut impl Read) -> Option<Vec<u8>> {
    let mut counts = [0; 16];
    file.read_exact(&mut counts).ok()?;
    let (entries, data) = (size(&counts[8..])?, size(&counts[12..])?);
    if counts[..8] != MAGIC || entries > ENTRIES || data > BYTES {
        return None;
    }
    let mut blob = counts[8..].to_vec();
    blob.resize(8 + entries * ENTRY + data, 0);
    file.read_exact(&mut blob[8..]).ok()?;
    Some(blob)
}

/// How many entries and bytes of data belong to what the package came with.
fn region(index: &[u8], data: &[u8]) -> Option<(usize, usize)> {
    let (name, kind, offset, count) =
        (number(index)?, number(&index[4..])?, size(&index[8..])?, size(&index[12..])?);
    if (name, kind, count) != (IMMUTABLE, 7, ENTRY) {
        return None;
    }
    let trailer = data.get(offset..offset.checked_add(ENTRY)?)?;
    let back = i32::from_be_bytes(trailer[8..12].try_into().ok()?).checked_neg()?;
    let own = usize::try_from(back).ok()? / ENTRY;
    let fits = number(trailer) == Some(IMMUTABLE) && own > 0 && own <= index.len() / ENTRY;
    fits.then_some((own, offset + ENTRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of texts: those of the package, and those that were added.
    pub(super) fn made(own: &[(u32, &str)], added: &[(u32, &str)]) -> Vec<u8> {
        let mut data = Vec::new();
        let mut index = Vec::new();
        let entry = |name: u32, kind: u32, offset: i32, count: u32| {
            [name.to_be_bytes(), kind.to_be_bytes(), offset.to_be_bytes(), count.to_be_bytes()].concat()
        };
        let put = |index: &mut Vec<u8>, data: &mut Vec<u8>, (name, text): &(u32, &str)| {
            let number =
                (*name == tag::DIR_INDEXES).then(|| text.parse::<u32>().unwrap().to_be_bytes().to_vec());
            let kind = if number.is_some() { 4 } else { 6 };
            index.extend(entry(*name, kind, i32::try_from(data.len()).unwrap(), 1));
            data.extend(number.unwrap_or_else(|| [text.as_bytes(), b"\0"].concat()));
        };
        own.iter().for_each(|one| put(&mut index, &mut data, one));
        let entries = i32::try_from(own.len() + 1).unwrap();
        let first = entry(IMMUTABLE, 7, i32::try_from(data.len()).unwrap(), 16);
        data.extend(entry(IMMUTABLE, 7, -entries * 16, 16));
        let mut index = [first, index].concat();
        added.iter().for_each(|one| put(&mut index, &mut data, one));
        let counts = [index.len() / ENTRY, data.len()].map(|count| u32::try_from(count).unwrap());
        [&counts[0].to_be_bytes()[..], &counts[1].to_be_bytes(), &index, &data].concat()
    }

    const OWN: [(u32, &str); 3] = [(1000, "a"), (1001, "1"), (1002, "2")];

    #[test]
    fn what_an_installation_adds_changes_nothing() {
        let plain = made(&OWN, &[]);
        let plain = Header::read(&plain).unwrap();
        assert_eq!(plain.nevra().unwrap(), "a-1-2.noarch");
        for (added, strange) in [
            ((1008, "x"), false),
            ((1029, "x"), false),
            ((269, "x"), false),
            ((5090, "x"), false),
            ((5091, "x"), false),
            ((1044, "(none)"), false),
            ((1044, "x"), true),
            ((1099, "/opt"), true),
            ((1117, "x"), true),
            ((1025, "rm"), true),
        ] {
            let blob = made(&OWN, &[added]);
            let header = Header::read(&blob).unwrap();
            assert_eq!((header.identity(), header.is_strange()), (plain.identity(), strange), "{added:?}");
        }
        let blob = made(&OWN, &[(1000, "b")]);
        assert!(Header::read(&blob).unwrap().is_strange(), "a name in the place of the package's own");
        let blob = made(&[(1000, "a"), (1001, "1"), (1002, "3")], &[]);
        assert_ne!(Header::read(&blob).unwrap().identity(), plain.identity());
    }

    #[test]
    fn signatures_of_files_may_be_part_of_the_package() {
        let prefixed = |blob: Vec<u8>| [&MAGIC[..], &blob].concat();
        let own = [&OWN[..], &[(5090, "signed")]].concat();
        let mut package = vec![0; usize::try_from(LEAD).unwrap()];
        package.extend(prefixed(made(&[(268, "s"), (274, "other")], &[])));
        package.resize(package.len().next_multiple_of(8), 0);
        package.extend(prefixed(made(&own, &[])));
        let planned = Planned::of("a-1-2.noarch".into(), &mut std::io::Cursor::new(package)).unwrap();
        let installed = made(&own, &[(268, "s")]);
        let installed = Header::read(&installed).unwrap();
        assert_eq!(installed.signatures().unwrap(), planned.signatures);
        assert!(installed.identity() == &planned.identity && !installed.is_strange());
    }

    #[test]
    fn prefixes_are_those_of_the_package() {
        let own = [&OWN[..], &[(1098, "/opt")]].concat();
        for (prefix, strange) in [("/opt", false), ("/", true)] {
            let blob = made(&own, &[(1099, prefix)]);
            assert_eq!(Header::read(&blob).unwrap().is_strange(), strange, "{prefix}");
        }
    }

    #[test]
    fn a_list_of_files_in_another_form_is_the_same() {
        let own = [&OWN[..], &[(1027, "/opt/x")]].concat();
        for (dir, base, strange) in [("/opt/", "x", false), ("/", "opt/x", false), ("/opt/", "y", true)] {
            let blob = made(&own, &[(1116, "0"), (1117, base), (1118, dir)]);
            assert_eq!(Header::read(&blob).unwrap().is_strange(), strange, "{dir} {base}");
        }
    }

    #[test]
    fn a_header_of_a_key_has_nothing_else() {
        let (text, shown) = ("aGVs\nbG8=", armor::wrap(b"hello", armor::KEY));
        let own = [&OWN[..], &[(266, text), (1005, &shown)]].concat();
        fn is_plain(own: &[(u32, &str)], added: &[(u32, &str)]) -> bool {
            Header::read(&made(own, added)).unwrap().is_plain_key()
        }
        assert!(is_plain(&own, &[(269, "x"), (1008, "x"), (1128, "x")]));
        for more in [(1024, "touch x"), (1054, "good"), (1117, "x"), (1066, "x"), (5066, "x"), (1049, "x")] {
            assert!(!is_plain(&[&own[..], &[more]].concat(), &[]), "{more:?}");
            assert!(!is_plain(&own, &[more]), "{more:?}");
        }
        let other = [&OWN[..], &[(266, "aGVsbG9v"), (1005, &shown)]].concat();
        assert!(!is_plain(&other, &[]), "the key that is shown is another than rpm's");
        assert!(!is_plain(&OWN, &[]));
    }

    #[test]
    fn what_is_cut_off_is_no_header() {
        let blob = made(&OWN, &[(1008, "x")]);
        for end in 0..blob.len() {
            assert!(Header::read(&blob[..end]).is_none(), "{end}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0_usize..200, byte in 0_u8.., rest in proptest::collection::vec(0_u8.., 0..40)) {
            let mut blob = made(&OWN, &[(1117, "x"), (1008, "x")]);
            let last = blob.len() - 1;
            blob[at.min(last)] = byte;
            for blob in [blob, rest] {
                if let Some(header) = Header::read(&blob) {
                    drop((header.nevra(), header.files(), header.text(1005)));
                }
            }
        }
    }
}
