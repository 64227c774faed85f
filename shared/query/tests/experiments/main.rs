//! Experiments on queries: what a text can reach that it should not, and whether one can hurt anybody.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

#[path = "../support/made_chain.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod made_chain;
#[path = "../support/platform.rs"]
#[allow(dead_code, reason = "the tests of federated queries use all of it")]
mod platform;
#[path = "../support/sandbox_program.rs"]
mod sandbox_program;

mod hostile_queries;
mod sql_escapes;
