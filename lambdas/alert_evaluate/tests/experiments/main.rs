//! Experiments on the evaluator of alerts.

#[path = "../flow/chain.rs"]
mod chain;

mod alert_reorgs;
mod crash_points;
