//! Experiments on the webhook trigger: what strangers send to the one door that asks nobody for a token.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

mod malformed_deliveries;
#[path = "../flow/stage.rs"]
#[allow(dead_code, reason = "the tests of the function use all of it")]
mod stage;

/// Says what an input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
