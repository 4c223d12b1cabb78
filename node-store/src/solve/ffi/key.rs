//! OpenPGP keys and detached signatures, by libsolv, which asks librpm's parser.

use std::ffi::c_int;
use std::path::Path;

use super::pool::{Pool, RepoId, SolvError, text};
use super::raw;

/// A public key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Key {
    /// 16 hexadecimal digits.
    pub(crate) id: String,
    /// 40 or 64 hexadecimal digits.
    pub(crate) fingerprint: String,
    /// Whom it says it belongs to.
    pub(crate) user: String,
}

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

    /// Adds the keys of an armored file.
    pub(crate) fn add(&mut self, path: &Path) -> Result<Vec<Key>, SolvError> {
        let shown = path.display().to_string();
        let file = text(&shown);
        let before = self.pool.size();
        let flags = raw::ADD_WITH_SUBKEYS | raw::ADD_MULTIPLE_PUBKEYS | raw::REPO_REUSE_REPODATA;
        // SAFETY: the repository belongs to the pool, the text outlives the call.
        let id = unsafe { raw::repo_add_pubkey(self.pool.repo(self.repo), file.as_ptr(), flags as c_int) };
        self.pool.done(c_int::from(id == 0), || shown)?;
        let keys = self.pool.packages(self.repo).into_iter().filter(|&id| id >= before);
        Ok(keys.map(|id| self.key(id)).filter(|key| !key.user.is_empty()).collect())
    }

    fn key(&self, id: i32) -> Key {
        let text = |attribute| self.pool.text(id, attribute).unwrap_or_default();
        let user = self.pool.text(id, raw::solv_knownid_SOLVABLE_SUMMARY).unwrap_or_default();
        Key {
            id: text(raw::solv_knownid_PUBKEY_KEYID),
            fingerprint: text(raw::solv_knownid_PUBKEY_FINGERPRINT),
            user: user
                .strip_prefix("gpg(")
                .and_then(|user| user.strip_suffix(')'))
                .unwrap_or(&user)
                .to_owned(),
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
