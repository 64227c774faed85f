//! The test laboratory, and the far edge of the demo.
//!
//! Starts private copies of the services that Isotherm talks to (Postgres, an AWS emulator, an EVM chain), makes
//! seeded traffic on the chain, and works out from the chain alone what a correct indexer must answer. Tests link it
//! to run real clients against real servers; the command line links it for `up` and `demo`.
//!
//! Every process started here is watched by a guardian that outlives a crash of its owner: when the owner is gone,
//! however it went, the process and its folder go too. See [`process`].
//!
//! It must never be linked by a Lambda or an operator, and must never use code of the crates that it helps to test:
//! an oracle that shares the code under test proves nothing.

pub mod anvil;
pub mod aws_calls;
pub mod benchmark;
pub mod error;
pub mod experiment;
pub mod fault_proxy;
pub mod folder;
pub mod http_faults;
pub mod lies;
pub mod malformed;
pub mod ministack;
pub mod oracle;
pub mod port;
pub mod postgres;
pub mod process;
pub mod rpc;
pub mod scripted_names;
pub mod tape;
pub mod tools;
pub mod traffic;
pub mod web_socket;
pub mod webhook_zoo;

pub use error::LabError;
