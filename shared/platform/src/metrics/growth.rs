//! Counts that are told seldom: whoever counts adds to a number of theirs, and a line says by how much it has grown since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{Metric, emit};

/// How often counts of a program that runs for long are told.
const INTERVAL: Duration = Duration::from_secs(60);

/// What was counted since the beginning: values of the metric's dimensions, in the catalogue's order, and how many.
pub type Counts = Vec<(Vec<String>, u64)>;

/// A metric of counts that only grow.
pub struct Growth {
    metric: Metric,
    counts: Box<dyn Fn() -> Counts + Send + Sync>,
    told: Mutex<BTreeMap<Vec<String>, u64>>,
}

impl std::fmt::Debug for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Growth").field("metric", &self.metric).finish_non_exhaustive()
    }
}

impl Growth {
    /// Of what `counts` says; nothing of it is told yet.
    pub fn new(metric: Metric, counts: impl Fn() -> Counts + Send + Sync + 'static) -> Self {
        Self { metric, counts: Box::new(counts), told: Mutex::default() }
    }

    /// Writes a line for each count that has grown since it was told last.
    pub fn tell(&self) {
        let mut counted: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for (values, count) in (self.counts)() {
            *counted.entry(values).or_default() += count;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, count) in counted {
            let grown = count.saturating_sub(told.get(&values).copied().unwrap_or(0));
            if grown > 0 {
                self.write(&values, grown);
                told.insert(values, count);
            }
        }
    }

    fn write(&self, values: &[String], grown: u64) {
        let dimensions: Vec<(&str, &str)> =
            self.metric.dimensions.iter().copied().zip(values.iter().map(String::as_str)).collect();
        emit(self.metric, grown as f64, &dimensions);
    }
}

/// Tells a growth once a minute, and the rest when it is dropped.
#[derive(Debug)]
pub struct Telling {
    growth: Arc<Growth>,
    teller: JoinHandle<()>,
}

impl Telling {
    /// Begins to tell. Must be called on a runtime.
    pub fn start(growth: Arc<Growth>) -> Self {
        Self::every(growth, INTERVAL)
    }

    fn every(growth: Arc<Growth>, every: Duration) -> Self {
        let told = Arc::clone(&growth);
        let teller = tokio::spawn(async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first tick is at once, when nothing is counted yet.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                told.tell();
            }
        });
        Self { growth, teller }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.teller.abort();
        self.growth.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::Value;

    use super::*;
    use crate::metrics::{RPC_REQUESTS_TOTAL, recorded};

    /// Outcome and value of each line.
    fn told(lines: &[Value]) -> Vec<(&str, f64)> {
        let of = |line: &Value| line["rpc_requests_total"].as_f64().expect("a line of this metric");
        lines.iter().map(|line| (line["outcome"].as_str().unwrap(), of(line))).collect()
    }

    #[tokio::test]
    async fn a_line_says_by_how_much_a_count_has_grown_and_none_that_it_has_not() {
        let counted = Arc::new([AtomicU64::new(2), AtomicU64::new(0)]);
        let read = Arc::clone(&counted);
        let growth = Growth::new(RPC_REQUESTS_TOTAL, move || {
            let values = |outcome: &str| ["demo", "node", outcome].map(str::to_owned).to_vec();
            // One endpoint that is listed twice.
            let [answered, failed] = [&read[0], &read[1]].map(|count| count.load(Ordering::Relaxed));
            vec![(values("answered"), answered), (values("answered"), 1), (values("failed"), failed)]
        });
        let ((), lines) = recorded(async { growth.tell() }).await;
        assert_eq!(told(&lines), [("answered", 3.0)]);
        counted[0].fetch_add(5, Ordering::Relaxed);
        counted[1].fetch_add(1, Ordering::Relaxed);
        let ((), lines) = recorded(async { growth.tell() }).await;
        assert_eq!(told(&lines), [("answered", 5.0), ("failed", 1.0)]);
        let ((), lines) = recorded(async { growth.tell() }).await;
        assert!(lines.is_empty(), "{lines:?}");
    }

    #[tokio::test]
    async fn what_was_not_told_yet_is_told_at_the_end() {
        let values = ["demo", "node", "answered"].map(str::to_owned).to_vec();
        let growth = Growth::new(RPC_REQUESTS_TOTAL, move || vec![(values.clone(), 4)]);
        let telling = Telling::start(Arc::new(growth));
        let ((), lines) = recorded(async { drop(telling) }).await;
        assert_eq!(told(&lines), [("answered", 4.0)]);
    }

    #[tokio::test]
    async fn a_program_that_runs_for_long_tells_again_and_again() {
        let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
        let growth = Growth::new(RPC_REQUESTS_TOTAL, move || {
            // Nobody listens at the end.
            let _ = looked.send(());
            Vec::new()
        });
        let _telling = Telling::every(Arc::new(growth), Duration::from_millis(1));
        for _ in 0..3 {
            let look = tokio::time::timeout(Duration::from_secs(10), looks.recv()).await;
            assert_eq!(look.expect("it looks in time"), Some(()));
        }
    }
}
