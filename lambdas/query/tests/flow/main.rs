//! The function against a real Postgres, an AWS emulator and the real sandbox: answers, files, batches, who sees what.

#[path = "../../../../shared/query/tests/support/made_chain.rs"]
#[allow(dead_code, reason = "the engine's own tests use all of it")]
mod made_chain;
#[path = "../../../../shared/query/tests/support/sandbox_program.rs"]
mod sandbox_program;

mod answers;
mod batches;
mod files;
mod limits;
mod saved;
mod stage;
mod tenants;
