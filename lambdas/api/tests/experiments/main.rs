//! Experiments on the API: what comes as a call and is none.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

#[path = "../flow/alert_scene.rs"]
#[allow(dead_code, reason = "the tests of the API use all of it")]
mod alert_scene;
mod malformed_calls;
#[path = "../flow/stage.rs"]
#[allow(dead_code, reason = "the tests of the API use all of it")]
mod stage;

/// Says what a call makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
