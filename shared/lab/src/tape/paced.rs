//! A JSON-RPC server over a generated chain that shows one more block each block time, and remembers when it first
//! served each of them.
//!
//! It stands in for a node that keeps its pace whatever is asked of it: answers are written from bytes that are ready,
//! so that ten thousand transactions a second cost it a small part of a core. It answers what a follower asks, as a
//! node without reorgs does: `safe` is one block below `latest`, `finalized` two. What it does not know is an error.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::generate::{GeneratedChain, answer_head};
use super::{NOT_ON_TAPE, error_answer, http};
use crate::LabError;

/// Which blocks are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The first one.
    Held,
    /// One more each `block_time` after `since`.
    Paced { since: Instant, block_time: Duration },
    /// All.
    Whole,
}

impl Pace {
    /// Blocks that are there at `now`, of `all`; at least the first.
    fn visible(self, now: Instant, all: usize) -> usize {
        match self {
            Self::Held => 1,
            Self::Whole => all,
            Self::Paced { since, block_time } => {
                let passed = now.saturating_duration_since(since).as_nanos() / block_time.as_nanos().max(1);
                usize::try_from(passed).map_or(all, |passed| all.min(passed.saturating_add(1)))
            }
        }
    }

    /// When the block at `place` came to be there, if that is known.
    fn revealed_at(self, place: usize) -> Option<Instant> {
        match self {
            Self::Paced { since, block_time } if place > 0 => Some(since + block_time * u32::try_from(place).ok()?),
            Self::Held | Self::Paced { .. } | Self::Whole => None,
        }
    }
}

#[derive(Debug)]
struct Shared {
    chain: Arc<GeneratedChain>,
    pace: Mutex<Pace>,
    /// By place: when the block, or its header, was first part of an answer.
    first_served: Mutex<Vec<Option<Instant>>>,
    served_bytes: AtomicU64,
    /// Bodies of the HTTP requests, in the order in which they came.
    requests: Mutex<Vec<Vec<u8>>>,
}

/// A running server. Dropping it closes the port.
#[derive(Debug)]
pub struct PacedServer {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl PacedServer {
    /// Serves the first block of `chain` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`LabError::Io`] if the port cannot be opened.
    pub async fn start(chain: Arc<GeneratedChain>) -> Result<Self, LabError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LabError::io("listen on", "127.0.0.1"))?;
        let address = listener.local_addr().map_err(LabError::io("listen on", "127.0.0.1"))?;
        let first_served = Mutex::new(vec![None; chain.len()]);
        let (pace, served_bytes) = (Mutex::new(Pace::Held), AtomicU64::new(0));
        let requests = Mutex::default();
        let shared = Arc::new(Shared { chain, pace, first_served, served_bytes, requests });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { url: format!("http://{address}"), shared, accepting })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on there is one more block each `block_time`.
    pub fn reveal_each(&self, block_time: Duration) {
        *lock(&self.shared.pace) = Pace::Paced { since: Instant::now(), block_time };
    }

    /// From now on the whole chain is there.
    pub fn reveal_all(&self) {
        *lock(&self.shared.pace) = Pace::Whole;
    }

    /// When the block at `place` came to be there, if it came by [`PacedServer::reveal_each`].
    pub fn revealed_at(&self, place: usize) -> Option<Instant> {
        lock(&self.shared.pace).revealed_at(place)
    }

    /// When the block at `place`, or its header, was first part of an answer.
    pub fn first_served_at(&self, place: usize) -> Option<Instant> {
        lock(&self.shared.first_served).get(place).copied().flatten()
    }

    /// Bytes of all answers so far, without HTTP's own.
    pub fn served_bytes(&self) -> u64 {
        self.shared.served_bytes.load(Ordering::Relaxed)
    }

    /// The bodies of all HTTP requests so far, as they came: who sends them again asks the same.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for PacedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // The connections end with the server: the set is dropped when this task is aborted.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut connection = http::Connection::new(stream);
    while let Some(body) = connection.read_request().await {
        let reply = shared.reply_to(&body);
        lock(&shared.requests).push(body);
        if !connection.write_json(&reply).await {
            return;
        }
    }
}

impl Shared {
    /// Answers one HTTP body, all its calls at one moment.
    fn reply_to(&self, body: &[u8]) -> Vec<u8> {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return error_answer(&Value::Null, -32_700, "parse error").to_string().into_bytes();
        };
        let visible = lock(&self.pace).visible(Instant::now(), self.chain.len());
        let mut reply = Vec::new();
        match &request {
            Value::Array(calls) => {
                reply.push(b'[');
                for (place, call) in calls.iter().enumerate() {
                    if place > 0 {
                        reply.push(b',');
                    }
                    self.answer(call, visible, &mut reply);
                }
                reply.push(b']');
            }
            call => self.answer(call, visible, &mut reply),
        }
        self.served_bytes.fetch_add(reply.len() as u64, Ordering::Relaxed);
        reply
    }

    fn answer(&self, call: &Value, visible: usize, reply: &mut Vec<u8>) {
        let method = call["method"].as_str().unwrap_or_default();
        let place = call["params"][0].as_str().and_then(|block| self.place(block)).filter(|place| *place < visible);
        let place = place.or_else(|| tagged(call["params"][0].as_str()?, visible));
        let start = reply.len();
        reply.extend_from_slice(answer_head(&call["id"]).as_bytes());
        match (method, place) {
            ("eth_chainId", _) => reply.extend_from_slice(format!("\"{:#x}\"", self.chain.chain_id()).as_bytes()),
            ("eth_getBlockByNumber" | "eth_getBlockByHash", Some(place)) => {
                self.chain.write_block(place, call["params"][1] == json!(true), reply);
                self.note_served(place);
            }
            ("eth_getBlockReceipts", Some(place)) => {
                self.chain.write_receipts(place, reply);
                self.note_served(place);
            }
            ("eth_getBlockByNumber" | "eth_getBlockByHash" | "eth_getBlockReceipts", None) => {
                reply.extend_from_slice(b"null");
            }
            _ => {
                reply.truncate(start);
                let error = error_answer(call, NOT_ON_TAPE, &format!("{method} is not served"));
                reply.extend_from_slice(error.to_string().as_bytes());
                return;
            }
        }
        reply.push(b'}');
    }

    /// Place of the block that is named by its number or its hash.
    fn place(&self, block: &str) -> Option<usize> {
        match block.parse::<B256>() {
            Ok(hash) => self.chain.place_of_hash(hash),
            Err(_) => self.chain.place_of_number(u64::from_str_radix(block.strip_prefix("0x")?, 16).ok()?),
        }
    }

    fn note_served(&self, place: usize) {
        lock(&self.first_served)[place].get_or_insert_with(Instant::now);
    }
}

/// Place of the block that is named by its tag.
fn tagged(tag: &str, visible: usize) -> Option<usize> {
    let below = match tag {
        "latest" => 1,
        "safe" => 2,
        "finalized" => 3,
        _ => return None,
    };
    visible.checked_sub(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Rpc;
    use crate::tape::generate::ChainPlan;

    fn chain() -> Arc<GeneratedChain> {
        Arc::new(GeneratedChain::new(&ChainPlan {
            seed: 1,
            chain_id: 143,
            first_number: 16,
            block_count: 5,
            transactions_per_block: 3,
            body_count: 2,
            first_timestamp: 1_800_000_000,
            block_time_ms: 300,
        }))
    }

    #[test]
    fn one_more_block_is_there_each_block_time() {
        let since = Instant::now();
        let block_time = Duration::from_millis(300);
        let pace = Pace::Paced { since, block_time };
        for (ms, expected) in [(0, 1), (299, 1), (300, 2), (899, 3), (900, 4), (10_000, 5)] {
            assert_eq!(pace.visible(since + Duration::from_millis(ms), 5), expected, "after {ms} ms");
        }
        for place in 1..5 {
            let at = pace.revealed_at(place).unwrap();
            assert_eq!(pace.visible(at, 5), place + 1);
            assert_eq!(pace.visible(at - Duration::from_nanos(1), 5), place);
        }
        assert_eq!((Pace::Held.visible(since, 5), Pace::Whole.visible(since, 5)), (1, 5));
    }

    #[tokio::test]
    async fn what_is_not_there_yet_is_null_and_what_was_served_is_noted() {
        let chain = chain();
        let server = PacedServer::start(Arc::clone(&chain)).await.unwrap();
        let rpc = Rpc::new(server.url());
        let ask = async |method: &str, params: Value| rpc.call(method, params).await.unwrap();
        assert_eq!(ask("eth_chainId", json!([])).await, json!("0x8f"));
        assert_eq!(ask("eth_getBlockByNumber", json!(["latest", false])).await["number"], json!("0x10"));
        assert_eq!(ask("eth_getBlockByNumber", json!(["0x11", true])).await, Value::Null);
        assert_eq!(ask("eth_getBlockByNumber", json!(["finalized", false])).await, Value::Null);
        assert!(server.first_served_at(0).is_some() && server.first_served_at(1).is_none());

        server.reveal_all();
        let tags = ["latest", "safe", "finalized"].map(|tag| json!([tag, false]));
        let heads = rpc.batch("eth_getBlockByNumber", &tags).await.unwrap();
        assert_eq!(heads.iter().map(|head| head["number"].clone()).collect::<Vec<_>>(), ["0x14", "0x13", "0x12"]);
        assert!(server.first_served_at(1).is_none());
        let block = ask("eth_getBlockByHash", json!([chain.header(1).hash(), true])).await;
        assert_eq!(block["transactions"].as_array().unwrap().len(), 3);
        assert_eq!(ask("eth_getBlockReceipts", json!(["0x11"])).await[2]["blockHash"], block["hash"]);
        assert!(server.first_served_at(1).is_some());
        assert!(rpc.call("eth_syncing", json!([])).await.is_err());
        let (requests, asked) = (server.requests(), ["eth_chainId", "eth_syncing"]);
        for (request, method) in [requests.first(), requests.last()].into_iter().zip(asked) {
            let call: Value = serde_json::from_slice(request.unwrap()).unwrap();
            assert_eq!(call["method"], method);
        }
    }
}
