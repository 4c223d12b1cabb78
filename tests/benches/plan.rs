//! From files to a plan: time.
//!
//! `cargo bench -p red-tests --bench plan`. `seed_cold` drops the page cache of the machine before
//! each sample (root only), so it measures the disk too.

mod cases;

use divan::Bencher;

use cases::wide;

fn main() {
    divan::main();
}

/// The seed's case, files in the page cache.
#[divan::bench(sample_count = 500)]
fn seed(bencher: Bencher<'_, '_>) {
    let case = cases::seed();
    bencher.bench_local(|| case.plan());
}

/// The seed's case, nothing in the page cache.
#[divan::bench(sample_count = 30)]
fn seed_cold(bencher: Bencher<'_, '_>) {
    let case = cases::seed();
    bencher
        .with_inputs(|| drop(std::fs::write("/proc/sys/vm/drop_caches", "3")))
        .bench_local_values(|()| case.plan());
}

/// Ten nodes with a growing number of exports.
#[divan::bench(args = [100, 200, 500, 1_000, 2_000, 4_000], sample_count = 20)]
fn ten_nodes(bencher: Bencher<'_, '_>, exports: usize) {
    let case = wide(exports);
    bencher.counter(divan::counter::ItemsCount::new(exports)).bench_local(|| case.plan());
}
