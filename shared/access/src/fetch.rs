//! The one thing that is asked of the network: the keys that a configured issuer publishes.

use futures::future::BoxFuture;

/// Most bytes of a key set; Cognito's have about 1,000.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;

/// Fetches key sets. The address is always one of the configuration.
pub trait FetchKeys: Send + Sync {
    /// The body at `url`, of at most [`MAX_KEY_SET_BYTES`]. It ends within seconds, and follows no redirect.
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>>;
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody answers.
    #[error("nobody answers at the address of the keys")]
    Transport {
        /// What the network reports.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another status than 200.
    #[error("the address of the keys answers with HTTP status {status}")]
    Status {
        /// Which one.
        status: u16,
    },
    /// A longer answer than a key set has.
    #[error("the answer is longer than {MAX_KEY_SET_BYTES} bytes")]
    TooLong,
    /// No key set, or one without a key that could be used here.
    #[error("the answer is no set of keys with one that is for RS256, ES256 or EdDSA")]
    NoKeys,
}
