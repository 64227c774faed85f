//! Deliveries on a real Postgres: claims, fences, budgets, corrections, digests, channels that only fail.

mod budgets;
mod channels;
mod claiming;
mod corrections;
mod folding;
mod other_orgs;
mod stage;
