//! A TCP proxy before S3 that counts what passes. It changes no byte, so that signatures of the host's name hold.
//!
//! It counts requests without a body, which is all that a query makes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// What has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) heads: u64,
    pub(crate) gets: u64,
    /// Of the answers, their headers included.
    pub(crate) answered_bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    heads: AtomicU64,
    gets: AtomicU64,
    answered_bytes: AtomicU64,
}

/// A running proxy.
pub(crate) struct CountingProxy {
    address: SocketAddr,
    counters: Arc<Counters>,
    accepting: JoinHandle<()>,
}

impl CountingProxy {
    /// Before the server at `upstream`, such as `127.0.0.1:4566`.
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let counters = Arc::<Counters>::default();
        let accepting = tokio::spawn(accept(listener, upstream, Arc::clone(&counters)));
        Self { address, counters, accepting }
    }

    pub(crate) fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has passed since it was last asked.
    pub(crate) fn take(&self) -> Traffic {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let Counters { heads, gets, answered_bytes } = &*self.counters;
        Traffic { heads: take(heads), gets: take(gets), answered_bytes: take(answered_bytes) }
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: String, counters: Arc<Counters>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(pass(client, upstream.clone(), Arc::clone(&counters)));
    }
}

async fn pass(client: TcpStream, upstream: String, counters: Arc<Counters>) {
    let server = TcpStream::connect(upstream).await.expect("S3 takes connections");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("it is a TCP connection");
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(pass_answers(from_server, to_client, Arc::clone(&counters)));
    let mut requests = Requests::default();
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
        requests.count(&piece[..length], &counters);
        if to_server.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    // The client has left; what it does not want to hear any more is dropped.
    drop(to_server);
    answers.abort();
}

async fn pass_answers(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, counters: Arc<Counters>) {
    let mut piece = vec![0; 256 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        counters.answered_bytes.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// The part of a request's head that has come so far.
#[derive(Default)]
struct Requests(Vec<u8>);

impl Requests {
    fn count(&mut self, piece: &[u8], counters: &Counters) {
        self.0.extend_from_slice(piece);
        while let Some(end) = self.0.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
            let counter = match self.0.split(|byte| *byte == b' ').next() {
                Some(b"HEAD") => &counters.heads,
                Some(b"GET") => &counters.gets,
                other => panic!("a query only reads, and asked {other:?}"),
            };
            counter.fetch_add(1, Ordering::Relaxed);
            self.0.drain(..end + END_OF_HEAD.len());
        }
    }
}
