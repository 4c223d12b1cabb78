//! Layers as blobs of an image: compressed and hashed while they are written.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

use super::super::digest::hex;
use super::super::new_dir::{At, DirError};
use super::archive::Archive;

/// A writer that hashes and counts what passes through it.
#[derive(Debug)]
pub(super) struct Hashed<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Hashed<W> {
    fn new(to: W) -> Self {
        Self { to, hash: Sha256::new(), bytes: 0 }
    }

    fn digest(self) -> (W, String, u64) {
        (self.to, hex(&self.hash.finalize()), self.bytes)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The archive of a layer that is being written.
pub(super) type LayerArchive = Archive<Hashed<GzEncoder<Hashed<BufWriter<File>>>>>;

/// A layer that was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Blob {
    /// SHA-256 of the archive, in hexadecimal.
    pub(super) diff: String,
    /// SHA-256 of the blob, in hexadecimal.
    pub(super) digest: String,
    /// Bytes of the blob.
    pub(super) size: u64,
}

/// A layer below a directory of blobs.
#[derive(Debug)]
pub(super) struct NewLayer {
    dir: PathBuf,
    /// Where it is until its digest is known.
    pub(super) path: PathBuf,
}

impl NewLayer {
    /// Begins one.
    pub(super) fn begin(dir: &Path) -> Result<(Self, LayerArchive), DirError> {
        let path = dir.join("layer.tmp");
        let file = File::create(&path).at(&path)?;
        // Without a time or a name, so that the same archive gives the same bytes.
        let compressed =
            GzBuilder::new().mtime(0).write(Hashed::new(BufWriter::new(file)), Compression::default());
        Ok((Self { dir: dir.to_owned(), path }, Archive::new(Hashed::new(compressed))))
    }

    /// Ends it, and gives it its name.
    pub(super) fn finish(self, archive: LayerArchive) -> Result<Blob, DirError> {
        let (compressed, diff, _) = archive.finish().at(&self.path)?.digest();
        let (buffered, digest, size) = compressed.finish().at(&self.path)?.digest();
        // Some file systems tell only now that there is no room (write(2), "delayed").
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error).at(&self.path)?;
        file.sync_all().at(&self.path)?;
        let named = self.dir.join(&digest);
        fs::rename(&self.path, &named).at(&named)?;
        Ok(Blob { diff, digest, size })
    }
}
