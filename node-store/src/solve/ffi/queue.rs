//! libsolv's growing array of numbers.

use super::{Id, raw};

/// An owned queue.
pub(super) struct Queue(raw::Queue);

impl Queue {
    pub(super) fn new() -> Self {
        // SAFETY: an all-zero queue is what `queue_init` makes: no memory, no elements.
        Self(unsafe { std::mem::zeroed() })
    }

    pub(super) fn of(ids: &[Id]) -> Self {
        let mut queue = Self::new();
        for &id in ids {
            let end = queue.0.count;
            // SAFETY: the queue is initialized, and inserting at its end is always in range.
            unsafe { raw::queue_insert(&mut queue.0, end, id) };
        }
        queue
    }

    pub(super) fn as_mut(&mut self) -> *mut raw::Queue {
        &mut self.0
    }

    pub(super) fn ids(&self) -> &[Id] {
        let count = usize::try_from(self.0.count).unwrap_or(0);
        if self.0.elements.is_null() || count == 0 {
            return &[];
        }
        // SAFETY: libsolv keeps `count` initialized elements at `elements`, and `&self` keeps them.
        unsafe { std::slice::from_raw_parts(self.0.elements, count) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: initialized, and freed only here.
        unsafe { raw::queue_free(&mut self.0) };
    }
}
