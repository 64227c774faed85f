//! Experiments on queues and launches: a real Postgres, an emulated AWS behind a proxy that fails calls on purpose, the real
//! publisher, dispatcher and launcher.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

mod crash_points;
mod duplicates;
mod outbox;
mod poison;
mod run_task;
mod stage;
