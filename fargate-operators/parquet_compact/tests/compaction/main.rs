//! From hot rows in a real Postgres to files in a bucket: what is moved, what is refused, and what breaking off leaves.

#[path = "../../../../shared/cold_store/tests/cold_store/rows.rs"]
mod rows;

mod adopting;
mod breaking_off;
mod cleanup;
mod merging;
mod moving;
mod outages;
mod process;
mod refusing;
mod traces;
mod world;
