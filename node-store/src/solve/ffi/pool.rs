//! The pool: all packages of core OS, family and repositories.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use super::queue::Queue;
use super::{Id, raw};

unsafe extern "C" {
    // solv/evr.h, which libsolv-sys does not bind.
    fn pool_evrcmp(pool: *const raw::Pool, one: Id, other: Id, mode: c_int) -> c_int;
}

/// Compare the whole of two versions.
const EVRCMP_COMPARE: c_int = 0;

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

    /// Reads metadata in libsolv's own format.
    pub(crate) fn load_solv(&mut self, repo: RepoId, path: &Path, extend: bool) -> Result<(), SolvError> {
        let flags = if extend { raw::REPO_EXTEND_SOLVABLES | raw::REPO_LOCALPOOL } else { 0 };
        let file = open(path)?;
        self.with(
            file,
            path,
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

    pub(super) fn solvable(&self, id: Id) -> Option<raw::Solvable> {
        if id <= 1 || id >= self.size() {
            return None;
        }
        // SAFETY: ids below `nsolvables` are elements of the array; the element is copied.
        let solvable = unsafe { *(*self.raw()).solvables.add(usize::try_from(id).ok()?) };
        (!solvable.repo.is_null()).then_some(solvable)
    }

    fn pointer(&self, id: Id) -> Option<*mut raw::Solvable> {
        self.solvable(id)?;
        // SAFETY: as above, the id is in range.
        Some(unsafe { (*self.raw()).solvables.add(usize::try_from(id).ok()?) })
    }

    fn name_of(&self, id: Id) -> String {
        // SAFETY: the id comes from a package of this pool.
        unsafe { owned(raw::pool_id2str(self.raw(), id)) }
    }

    /// Name of a package.
    pub(crate) fn name(&self, id: Id) -> String {
        self.solvable(id).map(|solvable| self.name_of(solvable.name)).unwrap_or_default()
    }

    /// Epoch, version and release of a package.
    pub(crate) fn evr(&self, id: Id) -> String {
        self.solvable(id).map(|solvable| self.name_of(solvable.evr)).unwrap_or_default()
    }

    /// Architecture of a package.
    pub(crate) fn arch(&self, id: Id) -> String {
        self.solvable(id).map(|solvable| self.name_of(solvable.arch)).unwrap_or_default()
    }

    /// Vendor of a package.
    pub(crate) fn vendor(&self, id: Id) -> String {
        self.solvable(id).map(|solvable| self.name_of(solvable.vendor)).unwrap_or_default()
    }

    /// A text attribute.
    pub(crate) fn text(&self, id: Id, attribute: u32) -> Option<String> {
        let solvable = self.pointer(id)?;
        // SAFETY: the pointer is to a package of this pool.
        let found = unsafe { raw::solvable_lookup_str(solvable, attribute as Id) };
        // SAFETY: null, or a text that stays until the next call.
        (!found.is_null()).then(|| unsafe { owned(found) })
    }

    /// A number attribute, bytes for sizes.
    pub(crate) fn number(&self, id: Id, attribute: u32) -> u64 {
        // SAFETY: the pointer is to a package of this pool.
        self.pointer(id)
            .map_or(0, |solvable| unsafe { raw::solvable_lookup_num(solvable, attribute as Id, 0) })
    }

    /// Dependencies of a kind, with those for scriptlets.
    pub(crate) fn dependencies(&self, id: Id, attribute: u32) -> Vec<Id> {
        let Some(solvable) = self.pointer(id) else { return Vec::new() };
        let mut queue = Queue::new();
        // SAFETY: the pointer is to a package of this pool, the queue is initialized. -1 leaves the file
        // provides that libsolv added out.
        unsafe { raw::solvable_lookup_deparray(solvable, attribute as Id, queue.as_mut(), 0) };
        // SAFETY: the marker between the two kinds of requirements is a fixed id.
        queue
            .ids()
            .iter()
            .copied()
            .filter(|&dep| dep != raw::solv_knownid_SOLVABLE_PREREQMARKER as Id)
            .collect()
    }

    /// A dependency in words.
    pub(crate) fn dependency(&self, id: Id) -> String {
        // SAFETY: the id comes from a dependency array of this pool.
        unsafe { owned(raw::pool_dep2str(self.raw(), id)) }
    }

    /// The id of a dependency text (`name`, or `name >= 1`, or a path); it is made if it is new.
    pub(crate) fn dependency_id(&mut self, dependency: &str) -> Id {
        let mut words = dependency.split_whitespace();
        let (Some(name), comparison, version) = (words.next(), words.next(), words.next()) else { return 0 };
        let name = text(name);
        // SAFETY: the pool is alive, the texts outlive the calls that copy them.
        unsafe {
            let name = raw::pool_str2id(self.raw(), name.as_ptr(), 1);
            match (comparison, version) {
                (Some(comparison), Some(version)) => {
                    let version = text(version);
                    let version = raw::pool_str2id(self.raw(), version.as_ptr(), 1);
                    raw::pool_rel2id(self.raw(), name, version, comparison_flags(comparison), 1)
                }
                _ => name,
            }
        }
    }

    /// Packages that provide a dependency. The pool must be [prepared](Pool::prepare).
    pub(crate) fn providers(&self, dependency: Id) -> Vec<Id> {
        let mut queue = Queue::new();
        // SAFETY: the pool is prepared, so that its index exists; ids are copied out of it.
        unsafe {
            let keyname = raw::solv_knownid_SOLVABLE_PROVIDES as Id;
            raw::pool_whatmatchesdep(self.raw(), keyname, dependency, queue.as_mut(), 0);
        }
        queue.ids().to_vec()
    }

    /// A rich dependency taken apart: its operator (one of libsolv's `REL_`) and both sides.
    pub(crate) fn relation(&self, dependency: Id) -> Option<(u32, Id, Id)> {
        let index = (dependency as u32) & 0x7fff_ffff;
        // SAFETY: the pool is alive.
        let known = unsafe { (*self.raw()).nrels };
        if dependency >= 0 || i64::from(index) >= i64::from(known) {
            return None;
        }
        // SAFETY: the highest bit marks relations, and the index is below their number.
        let relation = unsafe { *(*self.raw()).rels.add(index as usize) };
        Some((u32::try_from(relation.flags).unwrap_or(0), relation.name, relation.evr))
    }

    /// What a text that a person typed means: names, globs, files, provides, versions. Pairs of a
    /// job's flags and its subject.
    pub(crate) fn select(&mut self, typed: &str, flags: u32) -> Vec<(u32, Id)> {
        let typed = text(typed);
        let mut queue = Queue::new();
        // SAFETY: the pool is prepared, the text outlives the call, the queue is initialized.
        unsafe { raw::selection_make(self.raw(), queue.as_mut(), typed.as_ptr(), flags as c_int) };
        queue.ids().chunks_exact(2).map(|pair| (pair[0] as u32, pair[1])).collect()
    }

    /// The packages of a selection.
    pub(crate) fn selected(&mut self, selection: &[(u32, Id)]) -> Vec<Id> {
        let flat: Vec<Id> = selection.iter().flat_map(|&(how, what)| [how as Id, what]).collect();
        let (mut jobs, mut found) = (Queue::of(&flat), Queue::new());
        // SAFETY: the pool is prepared and both queues are initialized.
        unsafe { raw::selection_solvables(self.raw(), jobs.as_mut(), found.as_mut()) };
        found.ids().to_vec()
    }

    /// Where a package is within its repository.
    pub(crate) fn location(&self, id: Id) -> Option<String> {
        let solvable = self.pointer(id)?;
        let mut media = 0;
        // SAFETY: the pointer is to a package of this pool.
        let found = unsafe { raw::solvable_lookup_location(solvable, &mut media) };
        // SAFETY: null, or a text that stays until the next call.
        (!found.is_null()).then(|| unsafe { owned(found) })
    }

    /// The checksum that metadata gives for a package: its kind and its hexadecimal digits.
    pub(crate) fn checksum(&self, id: Id) -> Option<(String, String)> {
        let solvable = self.pointer(id)?;
        let mut kind = 0;
        // SAFETY: the pointer is to a package of this pool.
        let found = unsafe {
            raw::solvable_lookup_checksum(solvable, raw::solv_knownid_SOLVABLE_CHECKSUM as Id, &mut kind)
        };
        if found.is_null() {
            return None;
        }
        // SAFETY: not null, stays until the next call; kinds are ids of texts like `repokey:type:sha256`.
        let (digits, kind) = unsafe { (owned(found), owned(raw::pool_id2str(self.raw(), kind))) };
        Some((kind.rsplit(':').next().unwrap_or_default().to_owned(), digits))
    }

    /// How two versions compare.
    pub(crate) fn compare(&self, one: Id, other: Id) -> std::cmp::Ordering {
        let (Some(one), Some(other)) = (self.solvable(one), self.solvable(other)) else {
            return std::cmp::Ordering::Equal;
        };
        // SAFETY: both are ids of versions of this pool.
        unsafe { pool_evrcmp(self.raw(), one.evr, other.evr, EVRCMP_COMPARE) }.cmp(&0)
    }

    /// Files of a package, as far as they are loaded.
    pub(crate) fn files(&self, id: Id) -> Vec<String> {
        let mut found = Vec::new();
        if self.solvable(id).is_none() {
            return found;
        }
        // SAFETY: the iterator is initialized before it is used and freed once; texts are copied.
        unsafe {
            let mut at: raw::Dataiterator = std::mem::zeroed();
            let key = raw::solv_knownid_SOLVABLE_FILELIST as Id;
            let flags = (raw::SEARCH_FILES | raw::SEARCH_COMPLETE_FILELIST) as c_int;
            let none = std::ptr::null();
            if raw::dataiterator_init(&mut at, self.raw(), std::ptr::null_mut(), id, key, none, flags) == 0 {
                while raw::dataiterator_step(&mut at) != 0 {
                    found.push(owned(at.kv.str_));
                }
            }
            raw::dataiterator_free(&mut at);
        }
        found
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: nothing that borrows the pool can outlive it.
        unsafe { raw::pool_free(self.raw()) };
    }
}

/// Flags of a comparison.
fn comparison_flags(comparison: &str) -> c_int {
    let mut flags = 0;
    for sign in comparison.chars() {
        flags |= match sign {
            '<' => raw::REL_LT,
            '=' => raw::REL_EQ,
            '>' => raw::REL_GT,
            _ => 0,
        };
    }
    flags as c_int
}

fn is_writable(file: &File) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::RDWR))
}

fn open(path: &Path) -> Result<File, SolvError> {
    File::open(path).map_err(|source| SolvError::File { path: path.to_owned(), source })
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
