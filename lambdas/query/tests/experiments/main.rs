//! Experiments on the function that answers queries: what one organisation can learn of another, and what is no question.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

use isotherm_lab::malformed::CountingAllocator;

#[path = "../../../../shared/query/tests/support/made_chain.rs"]
#[allow(dead_code, reason = "the engine's own tests use all of it")]
mod made_chain;
#[path = "../../../../shared/query/tests/support/sandbox_program.rs"]
mod sandbox_program;
#[path = "../flow/stage.rs"]
#[allow(dead_code, reason = "the tests of the function use all of it")]
mod stage;

mod malformed_questions;
mod two_orgs;

/// Says what an input makes this process hold.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
