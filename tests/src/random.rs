//! Numbers of a seed, and what the environment chooses of a long test.

/// SplitMix64, so that a seed means the same everywhere.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below another, which is not 0.
    ///
    /// # Panics
    /// It is 0.
    pub fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let count = u64::try_from(count).expect("it is a number");
        usize::try_from((mixed ^ (mixed >> 31)) % count).expect("it is a small number")
    }

    /// One of several.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A number of the environment.
#[must_use]
pub fn chosen(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
