//! Experiments on the files that people write: what comes as one and is none.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

mod malformed_yaml;

/// Says what an input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
