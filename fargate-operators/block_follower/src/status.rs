//! What the follower says of itself, for `isotherm follower status` and `evidence`: written beside its work and never in
//! its way.
//!
//! The follower leaves what it sees in a channel that keeps the latest only, and what it has caught endpoints at in a
//! list of bounded length; a task of its own writes both down, seldom and with an end to its patience. A failure to
//! write is told once and changes nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use isotherm_chain::{ChainClient, EndpointHealth, Evidence, Heads};
use isotherm_hot_store::evidence;
use isotherm_hot_store::follower_status::{EndpointStatus, Said, SeenHead};
use isotherm_platform::Fault;
use isotherm_types::B256;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::store::Store;

mod unwritten;

use unwritten::Unwritten;

/// What is said is written at most this often.
const INTERVAL: Duration = Duration::from_secs(2);

/// Looks over which speed is measured: about ten seconds.
const LOOKS: usize = 6;

/// Takes note of what the follower sees and does, and has it written down. Dropping it ends the writing.
pub(crate) struct Reporter {
    store: Store,
    seen: watch::Sender<Seen>,
    evidence: Arc<Unwritten>,
    is_asked: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

/// What the follower has seen and done so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    head: Option<(SeenHead, B256)>,
    stored_blocks: u64,
    endpoints: Vec<EndpointStatus>,
}

impl Reporter {
    /// Begins to write to `store` what is noted from now on.
    pub(crate) fn start(store: Store) -> Self {
        let (seen, latest) = watch::channel(Seen::default());
        let evidence = Arc::new(Unwritten::default());
        let is_asked = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write(store.clone(), latest, Arc::clone(&evidence), Arc::clone(&is_asked)));
        Self { store, seen, evidence, is_asked, writer }
    }

    /// Notes a look at the chain: how its endpoints do, what they were caught at, and what they showed if they
    /// answered.
    pub(crate) fn looked(&self, client: &ChainClient, heads: Option<&Heads>) {
        self.evidence.add(client.take_evidence().into_iter().map(written).collect());
        let endpoints: Vec<EndpointStatus> = client.health().into_iter().map(endpoint_status).collect();
        self.seen.send_modify(|seen| {
            seen.endpoints = endpoints;
            if let Some(heads) = heads {
                let latest = heads.latest.reference;
                // The same block shown again was first served before.
                if seen.head.is_none_or(|(_, hash)| hash != latest.hash) {
                    let head = SeenHead { number: latest.number, served_at: heads.served_at };
                    seen.head = Some((head, latest.hash));
                }
            }
        });
    }

    /// Notes that blocks were stored.
    pub(crate) fn stored(&self, block_count: u64) {
        self.seen.send_modify(|seen| seen.stored_blocks += block_count);
    }

    /// Writes down, once, what endpoints have been caught at and what is not written yet: the follower ends. Nothing
    /// else is written from then on. Without evidence nothing is asked of the database; a failure is told and changes
    /// nothing.
    pub(crate) async fn last_words(&mut self, client: &ChainClient) {
        self.evidence.add(client.take_evidence().into_iter().map(written).collect());
        self.writer.abort();
        // What it was about to write is back when it has ended.
        let _ = (&mut self.writer).await;
        if let Err(fault) = keep(&self.store, &self.evidence).await {
            tracing::warn!(
                error.code = fault.code(),
                error.message = %fault.message(),
                "the last evidence of untrue answers cannot be written"
            );
        }
    }

    /// Takes the request of a person for a look at the gaps; returns whether there was one.
    pub(crate) fn take_gap_request(&self) -> bool {
        self.is_asked.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

async fn write(store: Store, mut latest: watch::Receiver<Seen>, unwritten: Arc<Unwritten>, is_asked: Arc<AtomicBool>) {
    let mut speed = Speed::default();
    let mut is_failing = false;
    while latest.changed().await.is_ok() {
        let seen = latest.borrow_and_update().clone();
        let said = store.say(&speed.said(Instant::now(), seen)).await;
        if let Ok(true) = said {
            is_asked.store(true, Ordering::Relaxed);
        }
        match said.and(keep(&store, &unwritten).await) {
            Ok(()) => is_failing = false,
            Err(fault) if !is_failing => {
                tracing::warn!(
                    error.code = fault.code(),
                    error.message = %fault.message(),
                    "the follower's status cannot be written now"
                );
                is_failing = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Writes down the evidence that waits for it, if there is any.
async fn keep(store: &Store, unwritten: &Unwritten) -> Result<(), Fault> {
    let evidence = unwritten.take();
    if !evidence.pieces().is_empty() {
        store.keep_evidence(evidence.pieces()).await?;
    }
    evidence.forget();
    Ok(())
}

/// How an endpoint does, as it is written down.
fn endpoint_status(health: EndpointHealth) -> EndpointStatus {
    EndpointStatus {
        name: health.name,
        state: health.state.word().to_owned(),
        last_head: health.last_head,
        last_error_code: health.last_error_code,
        requests: health.requests,
        failures: health.failures,
    }
}

/// Evidence as it is written down.
fn written(found: Evidence) -> evidence::Evidence {
    // An untrue number may be one that no column holds.
    let is_storable = i64::try_from(found.block.number.0).is_ok();
    evidence::Evidence {
        served_at: found.served_at,
        endpoint: found.endpoint,
        code: found.code,
        message: found.message,
        block_number: is_storable.then_some(found.block.number),
        block_hash: found.block.hash,
        answer_sha256: found.answer_sha256,
        answer_bytes: found.answer_bytes,
        answer_start: found.answer_start,
    }
}

/// Blocks stored, and blocks by which the chain grew, over the last looks.
#[derive(Debug, Default)]
struct Speed(VecDeque<Look>);

/// How far both were at a moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    stored_blocks: u64,
    head: Option<u64>,
}

impl Speed {
    fn said(&mut self, now: Instant, seen: Seen) -> Said {
        let head = seen.head.map(|(head, _)| head);
        let look = Look { at: now, stored_blocks: seen.stored_blocks, head: head.map(|head| head.number.0) };
        self.0.push_back(look);
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        let first = self.0.front().copied().unwrap_or(look);
        let seconds = now.duration_since(first.at).as_secs_f64();
        let per_second = |blocks: u64| if seconds > 0.0 { blocks as f64 / seconds } else { 0.0 };
        // A head that went down has not grown.
        let grown = look.head.zip(first.head).map_or(0, |(last, first)| last.saturating_sub(first));
        Said {
            head,
            blocks_per_second: per_second(look.stored_blocks - first.stored_blocks),
            head_blocks_per_second: per_second(grown),
            endpoints: seen.endpoints,
        }
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::{BlockNumber, Clock as _, SystemClock};

    use super::*;

    fn seen(stored_blocks: u64, head: u64) -> Seen {
        let head = SeenHead { number: BlockNumber(head), served_at: SystemClock.now() };
        Seen { head: Some((head, B256::ZERO)), stored_blocks, endpoints: Vec::new() }
    }

    #[test]
    fn speed_is_that_of_the_last_looks() {
        let start = Instant::now();
        let mut speed = Speed::default();
        let first = speed.said(start, seen(0, 100));
        assert_eq!((first.blocks_per_second, first.head_blocks_per_second), (0.0, 0.0), "nothing to compare with");
        let mut last = first;
        for look in 1..=20u64 {
            // Ten blocks a second at first, forty later; the chain grows by one in two seconds.
            let stored_blocks = look * 20 + look.saturating_sub(10) * 60;
            last = speed.said(start + INTERVAL * u32::try_from(look).unwrap(), seen(stored_blocks, 100 + look));
        }
        assert_eq!((last.blocks_per_second, last.head_blocks_per_second), (40.0, 0.5));
        assert_eq!(last.head.unwrap().number, BlockNumber(120));
    }

    #[test]
    fn a_head_that_goes_down_has_not_grown() {
        let start = Instant::now();
        let mut speed = Speed::default();
        speed.said(start, seen(0, 100));
        assert_eq!(speed.said(start + INTERVAL, seen(0, 90)).head_blocks_per_second, 0.0);
    }
}
