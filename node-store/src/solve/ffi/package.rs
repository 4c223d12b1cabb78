//! What a pool knows of its packages and dependencies.

use std::ffi::c_int;

use super::pool::{Pool, owned, text};
use super::queue::Queue;
use super::{Id, raw};

unsafe extern "C" {
    // solv/evr.h, which libsolv-sys does not bind.
    fn pool_evrcmp(pool: *const raw::Pool, one: Id, other: Id, mode: c_int) -> c_int;
}

/// Compare the whole of two versions.
const EVRCMP_COMPARE: c_int = 0;

impl Pool {
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
        // SAFETY: the pointer is to a package of this pool, the queue is initialized; 0 asks for both
        // kinds of requirements, with the marker between them.
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
