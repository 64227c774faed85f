//! Experiments on alerts: what comes as a rule and is none.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

mod malformed_rules;

/// Says what an input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
