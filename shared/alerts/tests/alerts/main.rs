//! Rules, the ledger and deliveries in a real Postgres; definitions as people and others write them.

mod examples;
mod hostile_definitions;
mod rules;
