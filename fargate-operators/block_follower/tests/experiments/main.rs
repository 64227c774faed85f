//! Experiments on the follower: a real chain that changes its mind, a real Postgres, the real program, and everything that
//! may happen to each of them.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

mod blackhole;
mod chain_life;
mod compaction;
mod crash_points;
mod judge;
mod kills;
mod postgres_stops;
mod program;
mod reorgs;
#[path = "../follower/stage.rs"]
#[allow(dead_code, reason = "the other tests use all of it")]
mod stage;
