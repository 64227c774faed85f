//! The control plane: what is to be done, who does it, and what came of it.
//!
//! Place in the flow: writers of data record [`events`] in the transaction of their rows; triggers ([`threshold`],
//! [`cron`]) turn facts and ticks into firings; [`dispatch`] turns events into tasks and decides who is woken and what
//! capacity is launched; workers claim and finish [`tasks`]; [`reap`] takes lost ones back. Postgres is the truth:
//! queue messages hold ids, and doubling one changes nothing in effect.
//!
//! Decisions are pure functions ([`task`], [`backoff`], [`dispatch::route()`], [`dispatch::plan()`], [`threshold::blocks`],
//! [`threshold::count`], [`threshold::lag`], [`cron`], [`webhook`]); short functions beside them carry the decisions out on a
//! connection whose transaction the caller owns.
//!
//! It must never talk to AWS or to a chain, never read the environment, and never trust a clock but the database's
//! for leases.

pub mod audit;
pub mod backoff;
pub mod cron;
pub mod dataset_cursors;
pub mod dispatch;
pub mod error;
pub mod events;
pub mod jobs;
pub mod outbox;
pub mod pipeline;
pub mod rate_shares;
pub mod reap;
pub mod task;
pub mod tasks;
pub mod threshold;
pub mod trace;
pub mod triggers;
pub mod webhook;
pub mod worker_leases;
pub mod workers_to_stop;

mod codec;
mod near;

pub use error::ControlError;
