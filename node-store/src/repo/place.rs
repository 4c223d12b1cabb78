//! The files of a repository's metadata: fetched, compared with what is announced and was seen, verified, and turned into
//! libsolv's format.

use std::io::Read;
use std::process::{Command, Stdio};

use super::Repo;
use super::convert::CONVERT;
use super::fetch::{FetchError, Fetcher, Known, Target};
use super::metadata::{MetadataError, is_below, join};
use super::mirrors::Announced;
use super::repomd::{Data, Index, parse};
use super::seen::{self, Moment};
use crate::cache::Shelf;

const REPOMD_BYTES: u64 = 8 << 20;
const METADATA_BYTES: u64 = 1 << 30;

/// How the keys of a repository are had, once somebody agreed to them: armored.
pub(crate) type Keys<'a> = dyn FnMut(&Repo) -> Result<Vec<String>, String> + 'a;

/// Where metadata of a repository are fetched from, and to.
pub(super) struct Place<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) repo: &'a Repo,
    pub(super) shelf: &'a Shelf,
    pub(super) bases: &'a [String],
}

/// What was fetched, and what is kept of it to compare with what is announced.
pub(super) const FETCHED: &str = "repomd.xml.new";
pub(super) const REPOMD: &str = "repomd.xml";

/// A `repomd.xml` that is as it has to be, but for its signature.
pub(super) struct Came {
    pub(super) url: String,
    pub(super) bytes: Vec<u8>,
    pub(super) index: Index,
    /// What to ask with the next time; none where the server says that nothing changed.
    pub(super) answer: Option<Known>,
}

impl Place<'_> {
    /// Fetches a file of metadata and turns it into libsolv's format.
    pub(super) fn take(
        &self,
        data: &Data,
        solv: &str,
        primary: Option<&str>,
    ) -> Result<Vec<u8>, MetadataError> {
        let url = join(self.bases.first().map_or("", String::as_str), &data.location);
        let wrong = |reason: String| MetadataError::Wrong { url: url.clone(), reason };
        if data.checksum.is_none() {
            return Err(wrong("repomd.xml gives no checksum for it".into()));
        }
        if data.open_size.or(data.size).is_some_and(|size| size > METADATA_BYTES) {
            return Err(wrong(format!("it would be larger than {METADATA_BYTES} bytes")));
        }
        if !is_below(&data.location) {
            return Err(wrong("it is not below the repository".into()));
        }
        let name = data.location.rsplit('/').next().unwrap_or("metadata");
        let target = Target {
            urls: self.bases.iter().map(|base| join(base, &data.location)).collect(),
            dir: self.shelf.dir(),
            name: format!("new-{name}"),
            size: data.size,
            most: METADATA_BYTES,
            checksum: data.checksum.clone(),
        };
        self.fetcher.fetch(&target, &Known::default(), &mut |_| ())?;
        let most = data.open_size.unwrap_or(METADATA_BYTES);
        let converted = convert(self.shelf, (&target.name, solv), primary, most).map_err(wrong);
        self.shelf.dir().remove(&target.name)?;
        converted
    }

    /// Fetches `repomd.xml` from the first mirror that has one which is not older than what was seen before. `had` is what
    /// to ask with, where there is one already.
    pub(super) fn index(
        &self,
        had: Option<Known>,
        announced: Option<&Announced>,
    ) -> Result<Came, MetadataError> {
        let checksum = announced.and_then(|announced| announced.checksum.clone());
        let is_announced = |bytes: &[u8]| {
            let Some((kind, wanted)) = &checksum else { return true };
            super::checksum(kind, bytes).is_ok_and(|got| got.as_ref() == Some(wanted))
        };
        // A server may only say that nothing changed where that is what is announced.
        let kept = had.as_ref().and_then(|_| self.shelf.believed(REPOMD)).filter(|bytes| is_announced(bytes));
        let known = had.filter(|_| kept.is_some()).unwrap_or_default();
        let mut last = None;
        for base in self.bases {
            let url = join(base, "repodata/repomd.xml");
            let target = Target {
                urls: vec![url.clone()],
                dir: self.shelf.dir(),
                name: FETCHED.into(),
                size: announced.and_then(|announced| announced.size),
                most: REPOMD_BYTES,
                checksum: checksum.clone(),
            };
            let answer = match self.fetcher.fetch(&target, &known, &mut |_| ()) {
                Ok(answer) => answer,
                Err(error @ FetchError::File(_)) => return Err(error.into()),
                Err(error) => {
                    last = Some(error.into());
                    continue;
                }
            };
            let bytes = match (&answer, &kept) {
                (None, Some(kept)) => kept.clone(),
                _ => self.shelf.dir().read(FETCHED)?,
            };
            let wrong = |reason: String| MetadataError::Wrong { url: url.clone(), reason };
            let text = std::str::from_utf8(&bytes).map_err(|_utf8| wrong("not a text in UTF-8".into()))?;
            let index = parse(text).map_err(wrong)?;
            match seen::compare(self.shelf, self.repo, &Moment::of(&index)) {
                Ok(()) => return Ok(Came { url, index, bytes, answer }),
                Err(older) => last = Some(older),
            }
        }
        Err(last.unwrap_or_else(|| MetadataError::NotHere { id: self.repo.id.clone() }))
    }

    /// Verifies the signature of `repomd.xml`.
    pub(super) fn verify(&self, repomd: &[u8], keys: &mut Keys<'_>) -> Result<(), MetadataError> {
        let bad = |reason: String| MetadataError::Signature { id: self.repo.id.clone(), reason };
        let dir = self.shelf.dir();
        let target = Target {
            urls: self.bases.iter().map(|base| join(base, "repodata/repomd.xml.asc")).collect(),
            dir,
            name: "repomd.xml.asc".into(),
            size: None,
            most: 1 << 20,
            checksum: None,
        };
        self.fetcher
            .fetch(&target, &Known::default(), &mut |_| ())
            .map_err(|error| bad(format!("`repo_gpgcheck` is set, and there is no signature: {error}")))?;
        let signature = dir.read(&target.name)?;
        let no_key = |reason| MetadataError::Key { id: self.repo.id.clone(), reason };
        let keys = keys(self.repo).map_err(no_key)?;
        match super::keys::verifies(repomd, &signature, &keys).map_err(bad)? {
            None => Ok(()),
            Some(why) if why.is_empty() => Err(bad("repomd.xml is not signed by any of its keys".into())),
            Some(why) => Err(bad(format!("repomd.xml is not signed by any of its keys that counts: {why}"))),
        }
    }
}

/// Lets a process of its own read foreign XML, which writes to its stdout what is believed from then on.
fn convert(
    shelf: &Shelf,
    (xml, solv): (&str, &str),
    primary: Option<&str>,
    open_size: u64,
) -> Result<Vec<u8>, String> {
    let dir = shelf.dir();
    let aside = format!(".new-{solv}");
    let (input, output) = (dir.file(xml), dir.create(&aside));
    let (input, output) =
        (input.map_err(|error| error.to_string())?, output.map_err(|error| error.to_string())?);
    let mut command = Command::new("/proc/self/exe");
    command.arg(CONVERT).arg(open_size.to_string()).args(primary.map(|primary| dir.path().join(primary)));
    command.env_clear().stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        drop(stderr.take(4096).read_to_string(&mut words));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        dir.remove(&aside).map_err(|error| error.to_string())?;
        let words = words.trim();
        return Err(if words.is_empty() {
            format!("its reader ended by {status}")
        } else {
            words.to_owned()
        });
    }
    shelf.keep(&aside, solv).map_err(|error| error.to_string())
}
