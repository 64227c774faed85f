//! Experiments on access: what comes as a token and is none.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

mod malformed_tokens;

/// Says what an input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
