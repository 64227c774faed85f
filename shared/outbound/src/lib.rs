//! The one client for addresses that users name: receivers of webhooks, and Slack.
//!
//! Whoever names an address makes this platform connect to it, from inside its network. So an address is checked twice. When a
//! channel is saved, [`CheckedUrl::parse`] looks at the text and [`Client::check`] at where its name leads. At every send,
//! [`Client::post`] resolves the name once for each new connection, refuses it if any address is not public
//! ([`public_address`]), and connects to exactly the addresses that were checked: there is no second look-up that could answer
//! otherwise. See `docs/adr/0027-one-client-for-addresses-of-users.md`.
//!
//! It must never follow a redirect, use a proxy, read an answer without end, or put a part of an address or an answer into an
//! error: errors are logged, addresses of channels are not.

mod answer;
mod checked_url;
mod client;
mod error;
pub mod public_address;
mod resolver;
pub mod retry_after;

pub use answer::{Answer, MAX_BODY_BYTES};
pub use checked_url::{CheckedUrl, MAX_URL_BYTES, Policy, UrlFault};
pub use client::{Client, Options, Timeouts};
pub use error::{ConnectFault, OutboundError, Phase};
pub use resolver::{Resolver, SystemResolver};
