//! Experiments on backfills: the real program over a recorded chain, a real Postgres and the emulated S3, while it is
//! made to die, is killed, fetches in other pieces, or loses its database and its storage.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

#[path = "../ingest/compaction.rs"]
mod compaction;
#[path = "../ingest/world.rs"]
#[allow(dead_code, reason = "the other tests use all of it")]
mod world;

mod attempts;
mod crash_points;
mod judge;
mod outages;
mod program;
mod same_bytes;
mod server;
