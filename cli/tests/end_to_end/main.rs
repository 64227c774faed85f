//! The whole platform on one machine, through the `isotherm` command alone: real Postgres, the AWS emulator, a real chain
//! node, the real Lambda and operator binaries.
//!
//! The binaries must have been built (`./isotherm test` does so first).

mod backfill;
mod causes;
#[path = "../control_plane/mod.rs"]
mod control_plane;
mod crashing;
mod demo;
mod smoke;
mod stack;
mod stopped;
mod up;
