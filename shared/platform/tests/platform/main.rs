//! The platform against real servers: Postgres behind a proxy that fails on purpose or with a certificate, and the emulator's ECS
//! and queues.

mod database_certificates;
mod database_outages;
mod dead_letters;
mod rate_sharing;
mod stopping;
