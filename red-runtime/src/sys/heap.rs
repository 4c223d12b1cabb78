//! The heap of the programs: dlmalloc on few, large mappings.
//!
//! A launch lives for milliseconds and uses some hundred pages of memory. A page fault for each of them takes
//! longer than what the launch does with the page, so the kernel provides them together (mmap(2), MAP_POPULATE).
//! Freed memory is reused, and stays with the process.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;

use dlmalloc::Dlmalloc;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Bytes requested from the kernel at once, and provided at once.
const CHUNK: usize = 256 << 10;

/// The global allocator of the programs.
pub struct Heap(Mutex<Dlmalloc<Mappings>>);

impl std::fmt::Debug for Heap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heap")
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// An empty heap.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Dlmalloc::new_with_allocator(Mappings)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Dlmalloc<Mappings>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

// SAFETY: one caller at a time has the allocator, which keeps what `GlobalAlloc` asks for: it is given sizes and
// alignments of `Layout`s, and pointers that it has returned.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller says.
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        self.with(|heap| unsafe { heap.free(place, layout.size(), layout.align()) });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller says.
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller says.
        self.with(|heap| unsafe { heap.realloc(place, layout.size(), layout.align(), size) })
    }
}

/// Anonymous private mappings as dlmalloc's source of memory.
struct Mappings;

// SAFETY: what is returned is mapped, private, zero and nobody else's until `free`.
unsafe impl dlmalloc::Allocator for Mappings {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let Some(size) = size.checked_next_multiple_of(CHUNK) else { return (std::ptr::null_mut(), 0, 0) };
        // Of a large buffer it is not known how much of it will be used.
        let populate = if size == CHUNK { MapFlags::POPULATE } else { MapFlags::empty() };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        match unsafe { mmap_anonymous(std::ptr::null_mut(), size, access, MapFlags::PRIVATE | populate) } {
            Ok(place) => (place.cast(), size, 0),
            Err(_out_of_memory) => (std::ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, place: *mut u8, size: usize) -> bool {
        // SAFETY: the caller is done with a mapping of ours.
        unsafe { munmap(place.cast(), size) }.is_ok()
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        rustix::param::page_size()
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};

    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_kept_and_reused() {
        let heap = Heap::new();
        let layout = Layout::from_size_align(100, 64).unwrap();
        // SAFETY: the layouts are those of the pointers, which are used between allocation and deallocation only.
        unsafe {
            let first = heap.alloc(layout);
            assert!(!first.is_null() && first.addr().is_multiple_of(64));
            first.write_bytes(7, 100);
            let grown = heap.realloc(first, layout, 3 * CHUNK);
            assert!((0..100).all(|at| *grown.add(at) == 7));
            heap.dealloc(grown, Layout::from_size_align(3 * CHUNK, 64).unwrap());
            let zeroed = heap.alloc_zeroed(layout);
            assert!((0..100).all(|at| *zeroed.add(at) == 0));
            heap.dealloc(zeroed, layout);
            let again = heap.alloc(layout);
            heap.dealloc(again, layout);
            assert_eq!(again, heap.alloc(layout));
        }
    }

    #[test]
    fn what_no_machine_has_is_refused_and_the_heap_goes_on() {
        let heap = Heap::new();
        // SAFETY: as above.
        unsafe {
            assert!(heap.alloc(Layout::from_size_align(isize::MAX as usize - 4096, 8).unwrap()).is_null());
            assert!(!heap.alloc(Layout::from_size_align(8, 8).unwrap()).is_null());
        }
    }

    #[test]
    fn threads_share_it() {
        let heap = Heap::new();
        let layout = Layout::from_size_align(48, 8).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let heap = &heap;
                scope.spawn(move || {
                    for _ in 0..2000 {
                        // SAFETY: as above.
                        unsafe {
                            let place = heap.alloc(layout);
                            place.write_bytes(thread, 48);
                            assert!((0..48).all(|at| *place.add(at) == thread));
                            heap.dealloc(place, layout);
                        }
                    }
                });
            }
        });
    }
}
