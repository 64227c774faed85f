//! The client against receivers of every kind.

#[path = "../support/doorbell.rs"]
mod doorbell;

mod names;
mod receivers;
