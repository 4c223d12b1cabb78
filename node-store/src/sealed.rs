//! Cached files that end with a checksum of themselves. libsolv trusts what it reads: a cache file that
//! was cut short or changed ends the whole process with a signal, so none is read without a seal.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes of a seal.
const SEAL: usize = 32;

/// Appends the checksum to a file that is complete.
///
/// # Errors
/// read(2) or write(2) fails.
pub(crate) fn seal(file: &mut File) -> std::io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let digest = digest(file, length)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(&digest)
}

/// Whether a file ends with the checksum of what stands before it. One that is missing or cannot be
/// read is not sealed.
pub(crate) fn is_sealed(path: &Path) -> bool {
    let check = || -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        let facts = file.metadata()?;
        let Some(length) = facts.len().checked_sub(SEAL as u64).filter(|_| facts.is_file()) else {
            return Ok(false);
        };
        let digest = digest(&mut file, length)?;
        let mut seal = [0; SEAL];
        file.seek(SeekFrom::Start(length))?;
        file.read_exact(&mut seal)?;
        Ok(seal == digest)
    };
    check().unwrap_or(false)
}

fn digest(file: &mut File, length: u64) -> std::io::Result<[u8; SEAL]> {
    file.seek(SeekFrom::Start(0))?;
    let mut rest = file.take(length);
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 128 << 10]);
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            read => digest.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_breaks_the_seal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.solv");
        for length in [0, 1, 31, 32, 33, 300] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert!(!is_sealed(&path), "{length}: never sealed");
            seal(&mut File::options().read(true).write(true).open(&path).unwrap()).unwrap();
            assert!(is_sealed(&path), "{length}");
            let whole = std::fs::read(&path).unwrap();
            for cut in 0..whole.len() {
                std::fs::write(&path, &whole[..cut]).unwrap();
                assert!(!is_sealed(&path), "{length}: cut at {cut}");
            }
            for at in 0..whole.len() {
                let mut changed = whole.clone();
                changed[at] ^= 1;
                std::fs::write(&path, &changed).unwrap();
                assert!(!is_sealed(&path), "{length}: bit at {at}");
            }
            std::fs::write(&path, [&*whole, b"x"].concat()).unwrap();
            assert!(!is_sealed(&path), "{length}: longer");
        }
        assert!(!is_sealed(&dir.path().join("missing")));
        assert!(!is_sealed(dir.path()));
    }
}
