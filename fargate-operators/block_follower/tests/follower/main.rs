//! The follower on a real chain and a real database.

mod following;
mod outages;
mod process;
mod refusals;
mod stage;
