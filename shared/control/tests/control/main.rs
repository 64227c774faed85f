//! The control plane on a real Postgres.
//!
//! Every guard of the crate has a test here that fails without it.

mod dispatching;
mod life;
mod looking;
mod model;
mod outbox;
mod pausing;
mod pipelines;
mod reaping;
mod retrying;
mod stage;
mod triggering;
