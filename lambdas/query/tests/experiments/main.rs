//! Experiments on the function that answers queries: what one organisation can learn of another.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

#[path = "../../../../shared/query/tests/support/made_chain.rs"]
#[allow(dead_code, reason = "the engine's own tests use all of it")]
mod made_chain;
#[path = "../../../../shared/query/tests/support/sandbox_program.rs"]
mod sandbox_program;
#[path = "../flow/stage.rs"]
#[allow(dead_code, reason = "the tests of the function use all of it")]
mod stage;

mod two_orgs;
