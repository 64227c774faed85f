//! Experiments on queues and launches: a real Postgres, an emulated AWS behind a proxy that fails calls on purpose, the real
//! publisher, dispatcher and launcher.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

mod crash_points;
mod duplicates;
mod malformed_events;
mod outbox;
mod poison;
mod run_task;
mod stage;
mod woken;

/// Says what a malformed event makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
