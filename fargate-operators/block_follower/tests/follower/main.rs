//! The follower on a real chain and a real database.

mod decisions;
mod evidence;
mod following;
mod gaps;
mod outages;
mod process;
mod refusals;
mod stage;
mod status;
mod traces;
mod wake_up;
