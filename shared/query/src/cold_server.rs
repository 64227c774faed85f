//! Serves cold files to the sandboxes of this process, over HTTP on this machine (ADR 39).
//!
//! A sandbox asks for ranges of its query's files at addresses of a *loan*: a name that nobody guesses, good for as long as
//! the query runs, for exactly its files. What it asks for comes from memory if an earlier query had it read, and else from
//! S3, of the object that was looked up and of no other. So a sandbox holds no address or signature that is good
//! elsewhere, and connects to nobody but its parent; and what every query of a table reads anew, the ends of its files above
//! all, is read from S3 once.
//!
//! Kept are blocks of one length (`cold_server/blocks.rs`), up to a number of bytes; read and passed on is one block after the other
//! (`cold_server/reading.rs`), whatever the length of the range that is asked for (`cold_server/answer.rs`).

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use isotherm_cold_store::ObjectStore;
use isotherm_cold_store::objects::ObjectError;
use isotherm_types::{Classified as _, Disposition};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tracing::Span;
use uuid::Uuid;

use crate::error::QueryError;

mod answer;
mod blocks;
mod footer;
mod reading;

use blocks::Blocks;
pub use blocks::FileId;

/// Connections at one time. A process may have 1,024 files open on Lambda, and a sandbox opens as many connections as it
/// likes, up to its own 512; the others wait.
const MOST_CONNECTIONS: usize = 256;

/// Answers of one query at one time. DuckDB asks for one a thread.
const MOST_ANSWERS: usize = 32;

/// What a connection holds of requests, and of answers that nobody takes, beside the block that was added last.
const CONNECTION_BYTES: usize = 64 << 10;

/// After a connection that the system did not let in, such as for want of a descriptor.
const AFTER_A_REFUSAL: Duration = Duration::from_millis(50);

/// The server; its clones are the same one. It listens from the first sandbox on, on a port that the system chooses.
#[derive(Clone, Debug)]
pub struct ColdServer(Arc<Server>);

#[derive(Debug)]
struct Server {
    shared: Arc<Shared>,
    listening: OnceCell<Listening>,
}

/// What connections need.
#[derive(Debug)]
struct Shared {
    blocks: Arc<Blocks>,
    loans: Mutex<HashMap<Uuid, Arc<Loan>>>,
}

#[derive(Debug)]
struct Listening {
    port: u16,
    accepting: JoinHandle<()>,
}

/// The files of one query.
#[derive(Debug)]
struct Loan {
    objects: ObjectStore,
    files: Vec<Arc<LentFile>>,
    places: Arc<Semaphore>,
    /// What went wrong with a file, by its place, and was not mended by reading it again.
    failures: Mutex<BTreeMap<usize, ObjectError>>,
    /// Of the query, so that its log says which file failed.
    span: Span,
}

/// A file that was looked up.
#[derive(Debug)]
pub struct LentFile {
    /// Its key.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// Which bytes it is.
    pub id: FileId,
}

/// A loan until it is dropped; as long it is served.
#[derive(Debug)]
pub struct Lease {
    server: Arc<Server>,
    name: Uuid,
    port: u16,
    loan: Arc<Loan>,
}

impl ColdServer {
    /// One that keeps up to `most_bytes` of cold files in memory.
    pub fn keeping(most_bytes: u64) -> Self {
        let shared = Shared { blocks: Arc::new(Blocks::of(most_bytes)), loans: Mutex::default() };
        Self(Arc::new(Server { shared: Arc::new(shared), listening: OnceCell::new() }))
    }

    /// The port at which it listens on 127.0.0.1.
    ///
    /// # Errors
    /// [`QueryError::ColdServer`] if the system gives it none.
    pub(crate) async fn port(&self) -> Result<u16, QueryError> {
        let Server { shared, listening } = &*self.0;
        let listening = listening.get_or_try_init(|| async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let port = listener.local_addr()?.port();
            Ok(Listening { port, accepting: tokio::spawn(accept(listener, Arc::clone(shared))) })
        });
        listening.await.map(|listening| listening.port).map_err(QueryError::ColdServer)
    }

    /// Whether the ends of so many files can be kept beside what else is.
    pub(crate) fn has_room_for_footers(&self, files: usize) -> bool {
        self.0.shared.blocks.most_bytes() / 2 >= files as u64 * footer::USUAL_BYTES
    }

    /// Reads what every reader of a Parquet file begins with, its footer, unless it is kept.
    ///
    /// # Errors
    /// What S3 reports.
    pub(crate) async fn read_footer(&self, objects: &ObjectStore, file: &Arc<LentFile>) -> Result<(), ObjectError> {
        footer::read(&self.0.shared.blocks, objects, file).await
    }

    /// Serves `files` from now on, until the lease is dropped.
    ///
    /// # Errors
    /// [`QueryError::ColdServer`] if it does not listen.
    pub async fn lend(&self, objects: &ObjectStore, files: Vec<Arc<LentFile>>) -> Result<Lease, QueryError> {
        let port = self.port().await?;
        let places = Arc::new(Semaphore::new(MOST_ANSWERS));
        let (objects, span) = (objects.clone(), Span::current());
        let loan = Arc::new(Loan { objects, files, places, failures: Mutex::default(), span });
        let (server, name) = (Arc::clone(&self.0), Uuid::new_v4());
        server.shared.loans().insert(name, Arc::clone(&loan));
        Ok(Lease { server, name, port, loan })
    }
}

impl Lease {
    /// The address of one of the files, by its place among them.
    pub fn url(&self, place: usize) -> String {
        format!("http://{}:{}/{}/{place}.parquet", Ipv4Addr::LOCALHOST, self.port, self.name.simple())
    }

    /// What went wrong with one of the files, and its key, if something did that was not mended since: of several that for which
    /// nothing can be done. Forgotten by this.
    pub fn take_failure(&self) -> Option<(String, ObjectError)> {
        let mut failures = self.loan.failures();
        let is_final = |error: &ObjectError| error.disposition() == Disposition::GiveUp;
        let worst = failures.iter().find(|(_, error)| is_final(error)).or(failures.iter().next());
        let place = *worst?.0;
        let error = failures.remove(&place)?;
        Some((self.loan.files.get(place)?.key.clone(), error))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.shared.loans().remove(&self.name);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // With it go the connections, which it holds.
        self.accepting.abort();
    }
}

impl Shared {
    fn loans(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Loan>>> {
        // What is held in it is whole at any time.
        self.loans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the path of an address names: a loan, and the place of a file in it.
    fn lent(&self, path: &str) -> Option<(Arc<Loan>, usize, Arc<LentFile>)> {
        let (name, file) = path.strip_prefix('/')?.split_once('/')?;
        let place: usize = file.strip_suffix(".parquet")?.parse().ok()?;
        let loan = self.loans().get(&Uuid::try_parse(name).ok()?).map(Arc::clone)?;
        let file = loan.files.get(place).map(Arc::clone)?;
        Some((loan, place, file))
    }
}

impl Loan {
    fn failures(&self) -> MutexGuard<'_, BTreeMap<usize, ObjectError>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an answer, once there is one.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

/// Serves whoever connects, for as long as it is not dropped.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
                Err(error) => {
                    tracing::warn!(%error, "a sandbox's connection for cold files was not let in");
                    tokio::time::sleep(AFTER_A_REFUSAL).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it the end of an answer may wait for an acknowledgement; it only costs time if that fails.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer::answer(&shared, &request).await) }
    });
    // A sandbox that ends in the middle of an answer is nothing to tell of; a file that fails there is told by its loan.
    let mut http = http1::Builder::new();
    let _ = http.max_buf_size(CONNECTION_BYTES).serve_connection(TokioIo::new(stream), service).await;
}
