//! Experiments on the reaper: a real Postgres, an emulated AWS, and the real function in a process that dies.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

mod crash_points;
