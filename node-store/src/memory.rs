//! Files in memory that have no name.

use std::ffi::CStr;
use std::fs::File;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

/// A new one, which can be sealed and from which no program is ever started: where `vm.memfd_noexec` is 2 the kernel
/// makes no other ones (memfd_create(2)).
pub(crate) fn file(name: &CStr) -> std::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the flag.
        Err(Errno::INVAL) => memfd_create(name, flags),
        made => made,
    };
    Ok(made?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{SealFlags, fcntl_add_seals};

    #[test]
    fn no_program_is_started_from_memory() {
        let mut file = super::file(c"test").unwrap();
        file.write_all(b"text").unwrap();
        if std::path::Path::new("/proc/sys/vm/memfd_noexec").exists() {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o111, 0);
            assert!(rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o755)).is_err());
        }
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SEAL).unwrap();
        assert!(file.write(b"more").is_err());
    }
}
