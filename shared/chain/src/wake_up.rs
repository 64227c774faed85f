//! New blocks, announced over WebSocket: a reason to look at the chain before it is time to, and nothing else.
//!
//! Place in the flow: beside [`crate::ChainClient`]. Each address is listened to by a task of its own; whoever waits
//! for [`WakeUp::announced`] then asks the endpoints over HTTP, as it would have done later.
//!
//! It must never believe what is announced, which may be untrue, old or of another chain; and it must never be needed:
//! a server that is down, silent or senseless costs the early look. One that announces without an end causes a look
//! every [`WakeUpLimits::breath`], and is read no faster than that.

use std::sync::Arc;
use std::time::Duration;

use isotherm_types::disposition::error_chain;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{ChainError, MESSAGE_CHARS};
use crate::rpc_url::WakeUpUrl;

use session::{Ended, Said};

mod session;

/// Bounds of [`WakeUpLimits::breath`].
const BREATH: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What a [`WakeUp`] keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeUpLimits {
    /// Shortest time from one wake-up to the next.
    pub breath: Duration,
    /// Longest wait for a connection.
    pub open_timeout: Duration,
    /// A connection on which nothing came for so long is asked for a sign of life, and given up after as long again.
    pub quiet: Duration,
    /// Pause before a connection is opened anew, less up to a half by chance; doubled with each failure in a row.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
}

impl WakeUpLimits {
    /// For a chain with a block every `block_time`: at most four wake-ups a block or one a second, whichever is more,
    /// and at most one in 10 ms.
    pub fn for_blocks_every(block_time: Duration) -> Self {
        Self {
            breath: (block_time / 4).clamp(BREATH.0, BREATH.1),
            open_timeout: Duration::from_secs(10),
            quiet: Duration::from_secs(15),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Listens to the servers that announce new blocks, until it is dropped.
pub struct WakeUp {
    heard: Arc<Notify>,
    breath: Duration,
    /// When it last woke somebody up.
    last: Mutex<Option<Instant>>,
    listeners: JoinSet<()>,
}

impl WakeUp {
    /// Begins to listen to each of `urls`; with none, it never wakes anybody up. Must be called within a runtime.
    ///
    /// # Errors
    /// [`ChainError::Client`]. That a server cannot be reached is no error.
    pub fn start(urls: Vec<WakeUpUrl>, limits: &WakeUpLimits) -> Result<Self, ChainError> {
        let heard = Arc::new(Notify::new());
        let mut listeners = JoinSet::new();
        if !urls.is_empty() {
            let http = session::http_client(limits)?;
            for url in urls {
                listeners.spawn(keep_listening(http.clone(), url, limits.clone(), Arc::clone(&heard)));
            }
        }
        Ok(Self { heard, breath: limits.breath, last: Mutex::new(None), listeners })
    }

    /// Waits until a block is announced, or a server has taken the subscription anew: some may have been missed before.
    /// What was heard since it last ended counts as one; it ends at most once in [`WakeUpLimits::breath`]. Cancelling
    /// it loses nothing.
    pub async fn announced(&self) {
        let mut last = self.last.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.breath).await;
        }
        self.heard.notified().await;
        *last = Some(Instant::now());
    }
}

impl Drop for WakeUp {
    fn drop(&mut self) {
        self.listeners.abort_all();
    }
}

async fn keep_listening(http: reqwest::Client, url: WakeUpUrl, limits: WakeUpLimits, heard: Arc<Notify>) {
    let mut failures = 0_u64;
    loop {
        let opened_at = Instant::now();
        let hear = |said: Said| {
            if said == Said::Subscribed {
                tracing::info!(rpc.endpoint = %url, "new blocks are announced over WebSocket");
            }
            heard.notify_one();
        };
        let Err(ended) = session::listen(&http, &url, &limits, hear).await;
        // Whatever it announced: one that closes at once each time is a failure each time.
        let was_of_use = opened_at.elapsed() > limits.longest_pause;
        failures = if was_of_use { 1 } else { failures + 1 };
        tell(&url, &ended, failures);
        tokio::time::sleep(pause(&limits, failures, rand::random())).await;
    }
}

/// Warns of the first failure only: nothing depends on it, and a server may stay away for days.
fn tell(url: &WakeUpUrl, ended: &Ended, failures: u64) {
    let message = url.without_secrets(&error_chain(ended), MESSAGE_CHARS);
    if failures == 1 {
        tracing::warn!(
            rpc.endpoint = %url,
            error.message = message,
            "no blocks are announced over WebSocket now; the chain is looked at at its interval"
        );
    } else {
        tracing::debug!(rpc.endpoint = %url, error.message = message, failures, "still no blocks are announced");
    }
}

/// Pause after `failures` failures in a row; `chance` is from 0 to 1.
fn pause(limits: &WakeUpLimits, failures: u64, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let doubled = limits.first_pause.saturating_mul(1_u32 << doublings);
    doubled.min(limits.longest_pause).mul_f64(1.0 - chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_shorter_by_chance() {
        let limits = WakeUpLimits::for_blocks_every(Duration::from_millis(300));
        let longest = |failures| pause(&limits, failures, 0.0);
        assert_eq!([1, 2, 3, 4].map(longest), [500, 1000, 2000, 4000].map(Duration::from_millis));
        assert_eq!([8, 40, u64::MAX].map(longest), [Duration::from_secs(60); 3]);
        assert_eq!(pause(&limits, 2, 1.0), Duration::from_millis(500));
    }

    #[test]
    fn a_fast_chain_wakes_up_more_often_than_a_slow_one_within_bounds() {
        let breath = |block_time_ms| WakeUpLimits::for_blocks_every(Duration::from_millis(block_time_ms)).breath;
        assert_eq!([1, 300, 2000, 12_000].map(breath), [10, 75, 500, 1000].map(Duration::from_millis));
    }
}
