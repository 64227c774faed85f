//! Experiments on compaction: the real program over a real Postgres and the emulated S3, while it is made to die, seven
//! others do the same work, S3 fails, the disk is full, memory is short, or somebody alters what it wrote.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

#[path = "../../../../shared/cold_store/tests/cold_store/rows.rs"]
mod rows;
#[path = "../compaction/world.rs"]
#[allow(dead_code, reason = "the tests of compaction use all of it")]
mod world;

mod compactors;
mod crash_points;
mod full_disk;
mod history;
mod judge;
mod memory_cap;
mod program;
mod storage_faults;
mod tampered;
