//! Experiments on the follower: a real chain that changes its mind, a real Postgres, the real program, and everything that
//! may happen to each of them.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

mod blackhole;
mod cells;
mod chain_life;
mod compaction;
mod crash_points;
mod judge;
mod kills;
mod lies;
mod limits;
mod postgres_stops;
mod profile;
mod program;
mod reorgs;
mod seeded_chain;
#[path = "../follower/stage.rs"]
#[allow(dead_code, reason = "the other tests use all of it")]
mod stage;
