//! Experiments on endpoints: what comes as an answer and is none.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

mod endpoint;
mod malformed_answers;

/// Says what an input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
