//! Receivers of webhooks that behave in all the ways that receivers behave in, over plain HTTP on loopback.
//!
//! Each receiver is a path of one server. What it is sent is noted before it reacts, so that a sender which gave up, or was killed, is
//! known to have sent.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::LabError;

mod wire;

use wire::{Connection, Request};

/// Length of the answer of [`Behaviour::LongBody`].
pub const LONG_BODY_BYTES: usize = 10 << 20;

/// How a receiver reacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// 200.
    Accept,
    /// 200, after so long.
    AcceptAfter(Duration),
    /// 200 with this body, as JSON.
    AcceptWith(String),
    /// This status: 500, 410, 404 and the like.
    Status(u16),
    /// 500 for the first so many requests, then 200.
    FailFirst(usize),
    /// 429, with this `Retry-After`.
    TooManyRequests {
        /// Seconds or a date; the header is left out if absent.
        retry_after: Option<String>,
    },
    /// This status and this `Location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: String,
    },
    /// Takes the request and never answers.
    Hang,
    /// Answers one byte in 100 ms, and never comes to the end of its headers.
    SlowLoris,
    /// 200 and the head of a body, then so long one byte in 100 ms.
    SlowBody,
    /// 200 and the first bytes of a body, then a reset.
    ResetMidBody,
    /// The connection is closed without an answer.
    Close,
    /// 200 with a body of [`LONG_BODY_BYTES`].
    LongBody,
}

/// One request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When it had come in whole.
    pub at: Instant,
    /// POST, GET and the like.
    pub method: String,
    /// Its headers; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body, byte for byte.
    pub body: Vec<u8>,
}

impl Received {
    /// The header called `name`, in lower case; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

struct Receiver {
    behaviour: Behaviour,
    received: Vec<Received>,
}

#[derive(Default)]
struct Shared {
    receivers: Mutex<HashMap<String, Receiver>>,
    connections: AtomicU64,
}

/// A running zoo. Dropping it closes its port and its connections.
pub struct WebhookZoo {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl WebhookZoo {
    /// Opens on a free port of 127.0.0.1, without receivers: a path that is none's is answered with 404.
    ///
    /// # Errors
    /// [`LabError::Io`] if the port cannot be opened.
    pub async fn start() -> Result<Self, LabError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LabError::io("listen on", "127.0.0.1"))?;
        let address = listener.local_addr().map_err(LabError::io("listen on", "127.0.0.1"))?;
        let shared = Arc::<Shared>::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a new receiver that behaves like this.
    pub fn url(&self, behaviour: Behaviour) -> String {
        let mut receivers = self.shared.lock();
        let path = format!("/hook/{}", receivers.len());
        receivers.insert(path.clone(), Receiver { behaviour, received: Vec::new() });
        format!("http://{}{path}", self.address)
    }

    /// Lets the receiver behave otherwise from now on.
    ///
    /// # Panics
    /// If it is none of this zoo's.
    pub fn change(&self, path_or_url: &str, behaviour: Behaviour) {
        self.of_receiver(path_or_url, |receiver| receiver.behaviour = behaviour);
    }

    /// What the receiver was sent so far, in order.
    ///
    /// # Panics
    /// If it is none of this zoo's.
    pub fn received(&self, path_or_url: &str) -> Vec<Received> {
        self.of_receiver(path_or_url, |receiver| receiver.received.clone())
    }

    /// How many requests the receiver was sent so far.
    ///
    /// # Panics
    /// If it is none of this zoo's.
    pub fn count(&self, path_or_url: &str) -> usize {
        self.of_receiver(path_or_url, |receiver| receiver.received.len())
    }

    /// How many connections were made so far, to all of them.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    fn of_receiver<T>(&self, path_or_url: &str, look: impl FnOnce(&mut Receiver) -> T) -> T {
        let own = format!("http://{}", self.address);
        let path = path_or_url.strip_prefix(&own).unwrap_or(path_or_url);
        look(self.shared.lock().get_mut(path).unwrap_or_else(|| panic!("{path_or_url} is no receiver of this zoo")))
    }
}

impl Drop for WebhookZoo {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Receiver>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes `request` and says how its receiver reacts.
    fn note(&self, request: Request) -> Behaviour {
        let mut receivers = self.lock();
        let Some(receiver) = receivers.get_mut(&request.path) else { return Behaviour::Status(404) };
        let Request { method, headers, body, .. } = request;
        receiver.received.push(Received { at: Instant::now(), method, headers, body });
        match receiver.behaviour {
            Behaviour::FailFirst(count) if receiver.received.len() <= count => Behaviour::Status(500),
            Behaviour::FailFirst(_) => Behaviour::Accept,
            _ => receiver.behaviour.clone(),
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // The connections end with the zoo: the set is dropped when this task is aborted.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.read_request().await {
        let behaviour = shared.note(request);
        if !connection.react(behaviour).await {
            return;
        }
    }
}
