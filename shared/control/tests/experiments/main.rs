//! Experiments on the control plane's Postgres side: many connections, real statements, rules checked by plain SQL.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

mod claims;
mod history;
mod reaper_races;
mod reaper_starvation;
mod stage;
