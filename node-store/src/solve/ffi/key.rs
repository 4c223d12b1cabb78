//! OpenPGP keys and detached signatures, by libsolv, which asks librpm's parser.

use std::ffi::c_int;
use std::path::Path;

use super::pool::{Pool, RepoId, SolvError, text};
use super::raw;

/// Keys to verify with.
pub(crate) struct Keyring {
    pool: Pool,
    repo: RepoId,
}

impl Keyring {
    pub(crate) fn new() -> Self {
        let mut pool = Pool::new("noarch");
        let repo = pool.add_repo("keys", 0, 0);
        Self { pool, repo }
    }

    /// Adds the key of an armored file, with its subkeys.
    pub(crate) fn add(&mut self, path: &Path) -> Result<(), SolvError> {
        let shown = path.display().to_string();
        let file = text(&shown);
        let flags = raw::ADD_WITH_SUBKEYS | raw::REPO_REUSE_REPODATA;
        // SAFETY: the repository belongs to the pool, the text outlives the call.
        let id = unsafe { raw::repo_add_pubkey(self.pool.repo(self.repo), file.as_ptr(), flags as c_int) };
        self.pool.done(c_int::from(id == 0), || shown)
    }

    /// Whether the key with an id made a signature: `sum` is its algorithms of key and checksum, the checksum, and its
    /// numbers, as libsolv has them in `SIGNATURE_DATA`.
    pub(crate) fn made(&self, id: &str, mut sum: Vec<u8>) -> bool {
        let id = text(id);
        let Ok(length) = c_int::try_from(sum.len()) else { return false };
        // SAFETY: the repository belongs to the pool, text and bytes outlive the call, which only reads them.
        unsafe {
            raw::repo_verify_sigdata(self.pool.repo(self.repo), sum.as_mut_ptr(), length, id.as_ptr()) != 0
        }
    }

    /// Whether one of the keys made `signature` over `data`.
    pub(crate) fn verifies(&self, data: &Path, signature: &Path) -> Result<bool, SolvError> {
        let opened = |path: &Path| {
            let file = text(&path.display().to_string());
            // SAFETY: the text outlives the call.
            let stream = unsafe { libc::fopen(file.as_ptr(), c"r".as_ptr()) };
            let source = std::io::Error::last_os_error();
            if stream.is_null() { Err(SolvError::File { path: path.to_owned(), source }) } else { Ok(stream) }
        };
        let (data_stream, sig_stream) = (opened(data)?, opened(signature)?);
        // SAFETY: both streams are open until they are closed here; the signature object owns its
        // checksum state, which is cloned by being fed and consumed before it is freed.
        unsafe {
            let signed = raw::solvsig_create(sig_stream.cast());
            libc::fclose(sig_stream);
            if signed.is_null() {
                libc::fclose(data_stream);
                return Ok(false);
            }
            let checksum = raw::solv_chksum_create((*signed).htype);
            let good = !checksum.is_null() && {
                let mut buffer = [0_u8; 65536];
                loop {
                    let read = libc::fread(buffer.as_mut_ptr().cast(), 1, buffer.len(), data_stream);
                    if read == 0 {
                        break;
                    }
                    raw::solv_chksum_add(checksum, buffer.as_ptr().cast(), read as c_int);
                }
                raw::solvsig_verify(signed, self.pool.repo(self.repo), checksum) != 0
            };
            raw::solv_chksum_free(checksum, std::ptr::null_mut());
            raw::solvsig_free(signed);
            libc::fclose(data_stream);
            Ok(good)
        }
    }
}

/// SHA-1 of parts, which fingerprints of keys are made of.
pub(crate) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut sum = [0_u8; 20];
    // SAFETY: the checksum lives from here to where it is freed; libsolv writes the 20 bytes that SHA-1 has.
    unsafe {
        let checksum = raw::solv_chksum_create(raw::solv_knownid_REPOKEY_TYPE_SHA1 as raw::Id);
        for part in parts {
            raw::solv_chksum_add(checksum, part.as_ptr().cast(), part.len() as c_int);
        }
        raw::solv_chksum_free(checksum, sum.as_mut_ptr());
    }
    sum
}

#[cfg(test)]
mod tests {
    #[test]
    fn sha1_is_sha1() {
        let hex: String = super::sha1(&[b"a", b"bc"]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
