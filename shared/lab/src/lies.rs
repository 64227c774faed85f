//! An endpoint that lies: a proxy before a node that alters what the node says, when it is told to.
//!
//! It listens at several addresses, so that a client with several endpoints finds some of them honest. An order names
//! the kind of lie, how often it is told and from which addresses. Everything else passes through byte for byte, and
//! so does an answer that holds nothing for that kind to alter. The kinds are pure functions of what was asked and
//! answered, in tables: [`kinds`].
//!
//! It must never lie without an order, and never count an answer as a lie that it has not altered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::LabError;
use crate::rpc::Rpc;
use crate::tape::http::Connection;

mod batches;
mod blocks;
mod exchange;
mod foreign;
mod headers;
mod kind;
mod receipts;
mod script;
mod values;

pub use kind::{Elsewhere, LieKind, Pair, Tells, kinds};
pub use script::{Order, Tellers};

use exchange::{Exchange, Reply, Subject};
use script::Script;

/// How far below the truth a tip falls at most, in blocks, before it begins anew.
const DEEPEST: usize = 6;

/// A proxy that lies when it is told to. Dropping it closes its ports.
#[derive(Debug)]
pub struct Liar {
    addresses: Vec<String>,
    shared: Arc<Shared>,
    accepting: JoinSet<()>,
}

/// What became of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Answers that were altered.
    pub answers: usize,
    /// The addresses that told them.
    pub by: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    node: Rpc,
    http: reqwest::Client,
    script: Mutex<Script>,
    is_held: watch::Sender<bool>,
}

impl Liar {
    /// Stands before the node at `node_url`, at `address_count` free ports of 127.0.0.1.
    ///
    /// # Errors
    /// [`LabError::Io`] if a port cannot be opened.
    pub async fn start(node_url: &str, address_count: usize) -> Result<Self, LabError> {
        let shared = Arc::new(Shared {
            node: Rpc::new(node_url),
            http: reqwest::Client::new(),
            script: Mutex::new(Script::default()),
            is_held: watch::Sender::new(false),
        });
        let (mut addresses, mut accepting) = (Vec::new(), JoinSet::new());
        for place in 0..address_count {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LabError::io("listen on", "127.0.0.1"))?;
            let address = listener.local_addr().map_err(LabError::io("listen on", "127.0.0.1"))?;
            addresses.push(format!("http://{address}"));
            accepting.spawn(accept(listener, place, Arc::clone(&shared)));
        }
        Ok(Self { addresses, shared, accepting })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Lies as `order` says from now on, and no longer as an earlier one said.
    pub fn begin(&self, order: Order) {
        self.shared.script().begin(order);
    }

    /// Answers that were altered by the present order so far.
    pub fn told(&self) -> usize {
        self.shared.script().told()
    }

    /// Tells the truth from now on; returns what became of the order.
    pub fn end(&self) -> Told {
        let (answers, places) = self.shared.script().end();
        Told { answers, by: places.into_iter().map(|place| self.addresses[place].clone()).collect() }
    }

    /// Keeps what is asked from now on waiting.
    pub fn hold(&self) {
        self.shared.is_held.send_replace(true);
    }

    /// Answers again, first what had to wait.
    pub fn release(&self) {
        self.shared.is_held.send_replace(false);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort_all();
    }
}

async fn accept(listener: TcpListener, place: usize, shared: Arc<Shared>) {
    // The connections end with the proxy: the set is dropped when this task is aborted.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, place, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, place: usize, shared: Arc<Shared>) {
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.read_request().await {
        let is_open = match shared.answer(place, &request).await {
            Some(Reply::Body(body)) => connection.write_json(&body).await,
            Some(Reply::Coded(body, coding)) => connection.write_encoded(&body, coding).await,
            Some(Reply::Endless) => {
                connection.write_endless().await;
                false
            }
            Some(Reply::Close) | None => false,
        };
        if !is_open {
            return;
        }
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the address at `place` says; `None` if the node says nothing.
    async fn answer(&self, place: usize, request: &[u8]) -> Option<Reply> {
        let mut is_held = self.is_held.subscribe();
        if is_held.wait_for(|is_held| !*is_held).await.is_err() {
            return None;
        }
        let truth = self.ask_node(request).await?;
        let lie = self.lie(place, request, &truth).await;
        Some(lie.unwrap_or(Reply::Body(truth)))
    }

    async fn ask_node(&self, request: &[u8]) -> Option<Vec<u8>> {
        let request = self.http.post(self.node.url()).header("content-type", "application/json").body(request.to_vec());
        Some(request.send().await.ok()?.bytes().await.ok()?.to_vec())
    }

    /// What is said in place of the `truth`; `None` if that is said itself.
    async fn lie(&self, place: usize, request: &[u8], truth: &[u8]) -> Option<Reply> {
        let (kind, told) = self.script().due(place)?;
        let exchange = Exchange::read(request, truth)?;
        let elsewhere = match exchange.subject(kind.tells)? {
            Subject::Block(number) => self.elsewhere(number, told).await?,
            Subject::Frames => Elsewhere::default(),
        };
        let lie = exchange.alter(kind.tells, truth, &elsewhere)?;
        self.script().claim(place, kind, lie.is_told).then_some(lie.reply)
    }

    /// What the node says of the blocks below `number`; `None` if there are too few.
    async fn elsewhere(&self, number: u64, told: usize) -> Option<Elsewhere> {
        let before = format!("{:#x}", number.checked_sub(1)?);
        let lower = format!("{:#x}", number.checked_sub(2 + (told % DEEPEST) as u64)?);
        let block = self.node.call("eth_getBlockByNumber", json!([before, true])).await.ok()?;
        let receipts = self.node.call("eth_getBlockReceipts", json!([before])).await.ok()?;
        let lower = self.node.call("eth_getBlockByNumber", json!([lower, false])).await.ok()?;
        Some(Elsewhere { before: Pair { block, receipts }, lower })
    }
}

#[cfg(test)]
mod tests;
