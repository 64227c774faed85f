//! Experiments on real workers: their processes are stopped, told to end, and made to die, over a real Postgres and the
//! emulated AWS.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

mod backfill_beside_tip;
#[path = "../control_plane/mod.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod control_plane;
mod crash_points;
mod outages;
mod sigterm;
#[path = "../end_to_end/stack.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod stack;
mod stopped_workers;
