//! Experiments on queries: whether an answer is that of one database that holds everything, what a text can reach that it
//! should not, and whether one can hurt anybody.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

#[path = "../support/limits.rs"]
mod limits;
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
mod malformed_sql;
mod sql_escapes;

/// Says what a malformed input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
