//! Experiments on outgoing HTTP.
//!
//! `./isotherm lab` runs their long forms; see `docs/benchmarks.md`.

#[path = "../support/doorbell.rs"]
mod doorbell;

mod ssrf;
