//! Experiments on real programs over a real Postgres and the emulated AWS: workers whose processes are stopped, told to end,
//! and made to die, and the HTTP API under generated calls.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

#[path = "../http_api/stage.rs"]
#[allow(dead_code, reason = "the tests of the HTTP API use all of it")]
mod api_stage;
mod backfill_beside_tip;
mod canaries;
#[path = "../control_plane/mod.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod control_plane;
mod crash_points;
mod outages;
mod schemathesis;
mod sigterm;
#[path = "../end_to_end/stack.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod stack;
mod stopped_workers;
