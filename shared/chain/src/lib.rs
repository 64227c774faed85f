//! The chain as the follower sees it: JSON-RPC over HTTP, decoding, checks on each block, and fork choice. Over
//! WebSocket it is only told when to look ([`wake_up`]).
//!
//! Place in the flow: between an EVM node and hot storage. [`ChainClient`] asks, [`verify`] believes nothing that can
//! be recomputed, [`columns`] turns verified blocks into the record batches of `isotherm_types::schema`, and [`fork`]
//! decides, as a pure function, whether a header extends what is stored, replaces some of it, or must stop the
//! follower.
//!
//! It must never store anything, never take "did not answer" for "is not there", never mix two branches in one
//! answer, and never show an endpoint's credentials: an address is only ever printed as scheme, host and port.

pub mod answer;
pub mod block;
pub mod chain_profile;
pub mod client;
pub mod columns;
mod encoding;
mod endpoint;
pub mod error;
pub mod fork;
pub mod heads;
mod json_rpc;
pub mod pool;
pub mod retry;
pub mod rpc_url;
pub mod traces;
pub mod verify;
pub mod wake_up;

pub use answer::{Answer, Lie};
pub use block::{FetchedBlock, HeaderRef};
pub use chain_profile::ChainProfile;
pub use client::{ChainClient, Limits, Traced};
pub use error::ChainError;
pub use heads::{Finality, Heads};
pub use pool::{EndpointHealth, EndpointRequests, Evidence, HealthState, RateShare};
pub use rpc_url::{CallRate, RpcUrl, RpcUrls, WakeUpUrl};
pub use traces::TraceMethod;
pub use verify::{BadBlock, Check, Checks, UnknownFormats, Verdict, VerifiedBlock};
pub use wake_up::{WakeUp, WakeUpLimits};
