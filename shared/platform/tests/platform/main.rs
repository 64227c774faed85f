//! The platform against real servers: Postgres behind a proxy that fails on purpose, and the emulator's ECS and queues.

mod database_outages;
mod dead_letters;
mod rate_sharing;
mod stopping;
