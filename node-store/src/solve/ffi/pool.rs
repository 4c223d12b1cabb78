//! The pool: all packages of core OS, family and repositories.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use super::{Id, raw};

/// Why libsolv did not read or write something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SolvError {
    /// A file.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// What libsolv says.
    #[error("{what}: {message}")]
    Library { what: String, message: String },
}

/// One of a pool's repositories.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct RepoId(usize);

/// Packages, and what they need and give.
pub(crate) struct Pool {
    pool: NonNull<raw::Pool>,
    repos: Vec<NonNull<raw::Repo>>,
}

impl Pool {
    /// An empty pool for packages that run on `arch`.
    pub(crate) fn new(arch: &str) -> Self {
        let arch = text(arch);
        // SAFETY: `pool_create` never returns null (it ends the process when memory is gone), and the
        // text outlives the call that copies it.
        let pool = unsafe {
            let pool = raw::pool_create();
            raw::pool_setdisttype(pool, raw::DISTTYPE_RPM as c_int);
            raw::pool_setarch(pool, arch.as_ptr());
            pool
        };
        match NonNull::new(pool) {
            Some(pool) => Self { pool, repos: Vec::new() },
            None => unreachable!("libsolv ends the process when there is no memory"),
        }
    }

    pub(super) fn raw(&self) -> *mut raw::Pool {
        self.pool.as_ptr()
    }

    /// A new repository; a greater priority is preferred.
    pub(crate) fn add_repo(&mut self, name: &str, priority: i32, subpriority: i32) -> RepoId {
        let name = text(name);
        // SAFETY: the pool is alive and copies the name; the repository lives as long as the pool.
        let repo = unsafe {
            let repo = raw::repo_create(self.raw(), name.as_ptr());
            (*repo).priority = priority;
            (*repo).subpriority = subpriority;
            repo
        };
        match NonNull::new(repo) {
            Some(repo) => self.repos.push(repo),
            None => unreachable!("libsolv ends the process when there is no memory"),
        }
        RepoId(self.repos.len() - 1)
    }

    pub(super) fn repo(&self, repo: RepoId) -> *mut raw::Repo {
        self.repos[repo.0].as_ptr()
    }

    /// What `repo` holds is what is installed.
    pub(crate) fn set_installed(&mut self, repo: RepoId) {
        // SAFETY: both belong to this pool.
        unsafe { raw::pool_set_installed(self.raw(), self.repo(repo)) };
    }

    /// Ids of what `repo` holds, from the `from`-th on (see [`Pool::size`]).
    pub(crate) fn packages(&self, repo: RepoId) -> Vec<Id> {
        // SAFETY: the repository belongs to this pool.
        let (start, end) = unsafe { ((*self.repo(repo)).start, (*self.repo(repo)).end) };
        (start..end).filter(|&id| self.solvable(id).is_some_and(|s| s.repo == self.repo(repo))).collect()
    }

    /// The first id that is not in use yet.
    pub(crate) fn size(&self) -> Id {
        // SAFETY: the pool is alive.
        unsafe { (*self.raw()).nsolvables }
    }

    /// The repository of a package.
    pub(crate) fn repo_of(&self, id: Id) -> Option<RepoId> {
        let repo = self.solvable(id)?.repo;
        self.repos.iter().position(|known| known.as_ptr() == repo).map(RepoId)
    }

    /// Reads the rpm database that librpm's `_dbpath` points at.
    pub(crate) fn load_rpmdb(&mut self, repo: RepoId, shown: &Path) -> Result<(), SolvError> {
        // SAFETY: the repository belongs to this pool; no reference repository is given.
        let failed = unsafe { raw::repo_add_rpmdb(self.repo(repo), std::ptr::null_mut(), 0) };
        self.done(failed, || shown.display().to_string())
    }

    /// Reads an `.rpm` file as a package that could be installed.
    pub(crate) fn load_rpm(&mut self, repo: RepoId, path: &Path) -> Result<Id, SolvError> {
        let shown = path.display().to_string();
        let file = text(&shown);
        let flags = (raw::RPM_ADD_WITH_SHA256SUM | raw::REPO_REUSE_REPODATA) as c_int;
        // SAFETY: the repository belongs to this pool, the text outlives the call.
        let id = unsafe { raw::repo_add_rpm(self.repo(repo), file.as_ptr(), flags) };
        self.done(c_int::from(id == 0), || shown)?;
        Ok(id)
    }

    /// Reads metadata in libsolv's own format. libsolv trusts them: only what a process of ours wrote
    /// may be given.
    pub(crate) fn load_solv(
        &mut self,
        repo: RepoId,
        bytes: &[u8],
        shown: &str,
        extend: bool,
    ) -> Result<(), SolvError> {
        let flags = if extend { raw::REPO_EXTEND_SOLVABLES | raw::REPO_LOCALPOOL } else { 0 };
        let failed = |source| SolvError::File { path: shown.into(), source };
        // Its pages are read when they are wanted, from what nobody else can change meanwhile.
        let mut file = crate::memory::file(c"solv").map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.rewind()).map_err(failed)?;
        self.with(
            file,
            Path::new(shown),
            |stream, repo| {
                // SAFETY: `with` gives a live stream and a repository of this pool.
                unsafe { raw::repo_add_solv(repo, stream.cast(), flags as c_int) }
            },
            repo,
        )
    }

    /// Reads `primary.xml` or `filelists.xml`, uncompressed.
    pub(crate) fn load_rpmmd(
        &mut self,
        repo: RepoId,
        xml: File,
        shown: &Path,
        extend: bool,
    ) -> Result<(), SolvError> {
        let flags = if extend { raw::REPO_EXTEND_SOLVABLES | raw::REPO_LOCALPOOL } else { 0 };
        self.with(
            xml,
            shown,
            |stream, repo| {
                // SAFETY: `with` gives a live stream and a repository of this pool.
                unsafe { raw::repo_add_rpmmd(repo, stream.cast(), std::ptr::null(), flags as c_int) }
            },
            repo,
        )
    }

    /// Writes a repository in libsolv's own format.
    pub(crate) fn write_solv(&mut self, repo: RepoId, file: File, shown: &Path) -> Result<(), SolvError> {
        self.with(
            file,
            shown,
            |stream, repo| {
                // SAFETY: `with` gives a live stream and a repository of this pool.
                unsafe { raw::repo_write(repo, stream.cast()) }
            },
            repo,
        )
    }

    /// Writes what was read last into a repository, such as its lists of files.
    pub(crate) fn write_last(&mut self, repo: RepoId, file: File, shown: &Path) -> Result<(), SolvError> {
        self.with(
            file,
            shown,
            |stream, repo| {
                // SAFETY: `with` gives a live stream and a repository of this pool that something was read into.
                unsafe {
                    let data = raw::repo_last_repodata(repo);
                    if data.is_null() { 1 } else { raw::repodata_write(data, stream.cast()) }
                }
            },
            repo,
        )
    }

    /// Runs `call` over a C stream that owns `file`, and closes it.
    fn with(
        &mut self,
        file: File,
        shown: &Path,
        call: impl FnOnce(*mut libc::FILE, *mut raw::Repo) -> c_int,
        repo: RepoId,
    ) -> Result<(), SolvError> {
        let writable = c"r+";
        let mode = if is_writable(&file) { writable } else { c"r" };
        let fd = file.into_raw_fd();
        // SAFETY: the descriptor is open and ours; `fclose` closes it.
        let stream = unsafe { libc::fdopen(fd, mode.as_ptr()) };
        if stream.is_null() {
            // SAFETY: `fdopen` failed, so the descriptor is still ours.
            unsafe { libc::close(fd) };
            return Err(SolvError::File { path: shown.to_owned(), source: std::io::Error::last_os_error() });
        }
        let failed = call(stream, self.repo(repo));
        let result = self.done(failed, || shown.display().to_string());
        // SAFETY: the stream is open and not used after this.
        if unsafe { libc::fclose(stream) } != 0 && result.is_ok() {
            return Err(SolvError::File { path: shown.to_owned(), source: std::io::Error::last_os_error() });
        }
        result
    }

    pub(super) fn done(&self, failed: c_int, what: impl FnOnce() -> String) -> Result<(), SolvError> {
        if failed == 0 {
            return Ok(());
        }
        // SAFETY: libsolv returns its last error, or a fixed text.
        let message = unsafe { owned(raw::pool_errstr(self.raw())) };
        Err(SolvError::Library { what: what(), message })
    }

    /// Only these packages of repositories are looked at.
    pub(crate) fn exclude(&mut self, excluded: &[Id]) {
        let size = self.size();
        // SAFETY: the map is made for every id of the pool and handed over to the pool, which frees it;
        // only bits of existing ids are cleared.
        unsafe {
            let pool = self.raw();
            let map = raw::solv_calloc(1, std::mem::size_of::<raw::Map>()).cast::<raw::Map>();
            raw::map_init(map, size);
            raw::solv_free((*pool).considered.cast());
            for byte in 0..(*map).size {
                *(*map).map.add(usize::try_from(byte).unwrap_or(0)) = 0xff;
            }
            for &id in excluded.iter().filter(|&&id| id > 0 && id < size) {
                let id = usize::try_from(id).unwrap_or(0);
                *(*map).map.add(id >> 3) &= !(1 << (id & 7));
            }
            (*pool).considered = map;
        }
    }

    /// Indexes what is provided. To be called when everything is loaded, and again after more was.
    pub(crate) fn prepare(&mut self) {
        // SAFETY: the pool is alive; both may be called again.
        unsafe {
            raw::pool_addfileprovides(self.raw());
            raw::pool_createwhatprovides(self.raw());
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: nothing that borrows the pool can outlive it.
        unsafe { raw::pool_free(self.raw()) };
    }
}

fn is_writable(file: &File) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::RDWR))
}

/// A text for C. What stands behind a zero byte cannot be meant by anybody.
pub(super) fn text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// A copy of a C text.
///
/// # Safety
/// Null, or a text that ends with a zero byte.
pub(super) unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
