//! The control plane on a real Postgres.
//!
//! Every guard of the crate has a test here that fails without it.

mod answering;
mod batches;
mod by_hand;
mod dispatching;
mod holding;
mod life;
mod limits;
mod looking;
mod measuring;
mod model;
mod outbox;
mod pausing;
mod pipelines;
mod rate_shares;
mod reaping;
mod retrying;
mod stage;
mod ticking;
mod traces;
mod triggering;
mod worker_leases;
