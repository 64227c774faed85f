//! The worker, first process of every operator's image. All that it does is in `isotherm_platform::worker`; this is
//! only its program.

pub use isotherm_platform::worker::main as run;
