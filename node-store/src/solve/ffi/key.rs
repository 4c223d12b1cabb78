//! Numbers of OpenPGP keys and signatures, by libsolv.

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
