//! From files to a plan: memory. Apart from the bench of time, which counting would slow down.
//!
//! `cargo bench -p red-tests --bench memory`. `max alloc` is the peak of one plan.

mod cases;

use divan::{AllocProfiler, Bencher};

use cases::wide;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// The seed's case.
#[divan::bench(sample_count = 10)]
fn seed(bencher: Bencher<'_, '_>) {
    let case = cases::seed();
    bencher.bench_local(|| case.plan());
}

/// Ten nodes with a growing number of exports.
#[divan::bench(args = [100, 1_000, 4_000], sample_count = 5)]
fn ten_nodes(bencher: Bencher<'_, '_>, exports: usize) {
    let case = wide(exports);
    bencher.bench_local(|| case.plan());
}
