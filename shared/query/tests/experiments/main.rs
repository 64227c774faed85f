//! Experiments on queries: whether an answer is that of one database that holds everything, what a text can reach that it
//! should not, and whether one can hurt anybody.
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

mod federated;
mod hostile_queries;
mod sql_escapes;
