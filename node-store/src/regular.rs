//! Regular files of a bounded size. Packages and whoever writes a repository can put a device, a pipe or a link to one in
//! the place of any file: nothing that is opened here makes the caller wait or fills its memory.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a regular file for reading, by whatever links.
pub(crate) fn open(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(Error::other("not a regular file")) }
}

/// The bytes of an open file, if there are no more than `most`.
pub(crate) fn bytes(file: File, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::InvalidData, format!("more than {most} bytes")));
    }
    Ok(bytes)
}

/// The bytes of a regular file, if there are no more than `most`.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    bytes(open(path)?, most)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_no_file_is_neither_waited_for_nor_read() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("text", at("link")).unwrap();
        std::fs::write(at("text"), "text").unwrap();
        for name in ["pipe", "zero", "."] {
            assert_eq!(read(&at(name), 10).unwrap_err().to_string(), "not a regular file", "{name}");
        }
        for name in ["text", "link"] {
            assert_eq!(read(&at(name), 4).unwrap(), b"text");
            assert_eq!(read(&at(name), 3).unwrap_err().to_string(), "more than 3 bytes");
        }
    }
}
