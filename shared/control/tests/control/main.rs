//! The control plane on a real Postgres.
//!
//! Every guard of the crate has a test here that fails without it.

mod batches;
mod dispatching;
mod life;
mod limits;
mod model;
mod outbox;
mod pipelines;
mod reaping;
mod stage;
mod triggering;
