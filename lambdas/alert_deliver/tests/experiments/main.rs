//! Experiments on sending: a real Postgres, receivers that behave in all the ways that receivers behave in, the real function.
//!
//! Days pass in the database: rows are moved back, and nobody sleeps. `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

mod alert_latency;
mod burst;
#[path = "../../../alert_evaluate/tests/flow/chain.rs"]
#[allow(dead_code, reason = "the evaluator's own tests use all of it")]
mod chain;
mod crash_points;
mod deliveries;
mod slow_receivers;
#[allow(dead_code, reason = "each target uses a part of it")]
mod stage;
mod virtual_time;
