//! The metric that tells how old the chain's newest block was when it was stored, or last looked at if nothing is new.
//!
//! Whole seconds at best: that is what block timestamps have. The exact lag since an endpoint first served a block is
//! in `hot.block_arrivals`.

use std::time::{Duration, Instant};

use isotherm_platform::metrics::{INGEST_LAG_SECONDS, emit};
use isotherm_types::{Clock as _, SystemClock};

/// A metric line at most this often; alarms look at minutes.
const INTERVAL: Duration = Duration::from_secs(10);

/// Emits the metric, not too often.
#[derive(Debug, Default)]
pub(crate) struct LagMetric {
    emitted: Option<Instant>,
}

impl LagMetric {
    /// To be called when the newest block, of this `timestamp` in seconds since 1970, has been stored, and when a look
    /// at the chain shows nothing above the stored tip.
    pub(crate) fn emit(&mut self, now: Instant, chain: &str, timestamp: u64) {
        if self.emitted.is_some_and(|emitted| now.duration_since(emitted) < INTERVAL) {
            return;
        }
        self.emitted = Some(now);
        let now = SystemClock.now().timestamp();
        let lag_seconds = now.saturating_sub_unsigned(timestamp);
        emit(INGEST_LAG_SECONDS, lag_seconds as f64, &[("chain", chain)]);
    }
}
