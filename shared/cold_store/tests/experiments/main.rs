//! Experiments on cold storage: somebody with the bucket's keys changes what is in it, or puts there what is no file at all, and a
//! check must say what.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

#[path = "../cold_store/bucket.rs"]
#[allow(dead_code, reason = "the tests of cold storage use all of it")]
mod bucket;
#[path = "../cold_store/rows.rs"]
#[allow(dead_code, reason = "the tests of cold storage use all of it")]
mod rows;
#[path = "../cold_store/integrity/sealed.rs"]
#[allow(dead_code, reason = "the tests of cold storage use all of it")]
mod sealed;

mod malformed_files;
mod tampered_bucket;

/// Says what a malformed input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
