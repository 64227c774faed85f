//! Everything between the domain crates and the outside: environment, telemetry, AWS clients, database pools, and what
//! Lambdas, operators and the worker have in common.
//!
//! Domain crates never see the environment, an AWS queue or a process; shells get them from here. This crate must
//! never hold a rule of the domain: what a task or an event means is decided in `control`, never in this crate.

pub mod aws;
pub mod config;
pub mod crash_points;
pub mod database;
pub mod dead_letters;
pub mod ecs;
pub mod fault;
pub mod functions;
pub mod lambda;
pub mod metrics;
pub mod operator_main;
pub mod outbox_publisher;
pub mod queue;
pub mod queue_lengths;
pub mod rate_share;
pub mod secret;
pub mod secrets;
pub mod stop;
pub mod task_wakes;
pub mod telemetry;
pub mod worker;

pub use config::{ConfigError, Environment};
pub use fault::Fault;
pub use secret::Secret;
pub use stop::Stop;
