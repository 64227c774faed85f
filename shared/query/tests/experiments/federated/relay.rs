//! Stands between an engine and Postgres, and lets the world change at the worst moment: when the engine has read where
//! its rows are, and before it reads the first of them.
//!
//! Without the guard `snapshot` it also makes each snapshot of a query one of every statement. The engine itself is the
//! same in both cases, and so are all other bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ErrorKind, Result};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// A message with a statement. Source: PostgreSQL manual, "Message Formats", `Query`.
const QUERY: u8 = b'Q';

/// What the world is asked to do.
#[derive(Debug)]
pub(crate) enum Demand {
    /// To change, and to say so if somebody waits for it.
    Change(Option<oneshot::Sender<()>>),
    End,
}

#[derive(Clone, Debug)]
struct Tricks {
    /// Who is asked for a change before the first rows are read.
    change: Option<mpsc::Sender<Demand>>,
    /// Whether a query's statements each see what is there when they begin.
    split: bool,
    held: Arc<AtomicU64>,
    split_count: Arc<AtomicU64>,
}

/// A running relay. Dropping it closes its port and its connections.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    upstream: String,
    tricks: Tricks,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Passes connections on to the Postgres that the tests share.
    pub(crate) async fn start(change: Option<mpsc::Sender<Demand>>, split: bool) -> Self {
        let port = isotherm_lab::postgres::shared().await.unwrap().port();
        let upstream = format!("127.0.0.1:{port}");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tricks = Tricks { change, split, held: Arc::default(), split_count: Arc::default() };
        let accepting = tokio::spawn(accept(listener, upstream.clone(), tricks.clone()));
        Self { address, upstream, tricks, accepting }
    }

    /// `url`, which leads to the server behind it, with the relay in the server's place.
    pub(crate) fn through(&self, url: &str) -> String {
        assert!(url.contains(&self.upstream), "the address leads to the tests' Postgres");
        url.replacen(&self.upstream, &self.address.to_string(), 1)
    }

    /// Queries that a change came into.
    pub(crate) fn held(&self) -> u64 {
        self.tricks.held.load(Ordering::SeqCst)
    }

    /// Snapshots that were split.
    pub(crate) fn split(&self) -> u64 {
        self.tricks.split_count.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: String, tricks: Tricks) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass_on(client, upstream.clone(), tricks.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass_on(client: TcpStream, upstream: String, tricks: Tricks) -> Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let back = async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    let (there, back) = tokio::join!(Statements { tricks, is_first_read: false }.pass(from_client, to_server), back);
    there.and(back)
}

/// The statements of one connection.
struct Statements {
    tricks: Tricks,
    /// Whether the next COPY is the first of its transaction.
    is_first_read: bool,
}

impl Statements {
    async fn pass(mut self, from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<()> {
        let mut from = BufReader::new(from);
        // The first message alone has no kind.
        let mut kind = None;
        loop {
            let length = match from.read_u32().await {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return to.shutdown().await,
                length => length?,
            };
            let mut body = vec![0; usize::try_from(length).unwrap() - size_of::<u32>()];
            from.read_exact(&mut body).await?;
            if kind == Some(QUERY) {
                self.trick(&mut body).await;
            }
            let message = [kind.as_slice(), &length.to_be_bytes(), body.as_slice()].concat();
            to.write_all(&message).await?;
            kind = match from.read_u8().await {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return to.shutdown().await,
                kind => Some(kind?),
            };
        }
    }

    async fn trick(&mut self, statement: &mut [u8]) {
        if statement.starts_with(b"BEGIN") {
            self.is_first_read = true;
            if self.tricks.split && replace(statement, b"REPEATABLE READ", b"READ COMMITTED ") {
                self.tricks.split_count.fetch_add(1, Ordering::SeqCst);
            }
        }
        if !statement.starts_with(b"COPY (") || !std::mem::take(&mut self.is_first_read) {
            return;
        }
        let Some(change) = &self.tricks.change else { return };
        let (done, changed) = oneshot::channel();
        if change.send(Demand::Change(Some(done))).await.is_ok() && changed.await.is_ok() {
            self.tricks.held.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Puts `new` in the place of the first `old`, which is as long. Returns whether there was one.
fn replace<const LENGTH: usize>(text: &mut [u8], old: &[u8; LENGTH], new: &[u8; LENGTH]) -> bool {
    let place = text.windows(LENGTH).position(|window| window == old);
    if let Some(place) = place {
        text[place..place + LENGTH].copy_from_slice(new);
    }
    place.is_some()
}
