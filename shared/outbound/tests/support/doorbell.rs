//! A listener that counts who connects and hangs up, and a name service that brings connections to public addresses to one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use isotherm_lab::scripted_names::ScriptedNames;
use isotherm_outbound::{Resolver, public_address};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

/// Counts connections. Dropping it closes the port.
pub(crate) struct Doorbell {
    pub(crate) address: SocketAddr,
    rings: Arc<Mutex<Vec<Option<String>>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Doorbell {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let rings = Arc::<Mutex<Vec<Option<String>>>>::default();
        let noted = Arc::clone(&rings);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let place = {
                    let mut rings = noted.lock().unwrap();
                    rings.push(None);
                    rings.len() - 1
                };
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    if let Some(name) = server_name(stream).await {
                        noted.lock().unwrap()[place] = Some(name);
                    }
                });
            }
        });
        Self { address, rings, listening }
    }

    /// How many have connected.
    pub(crate) fn count(&self) -> usize {
        self.rings.lock().unwrap().len()
    }

    /// The names that they asked for by TLS.
    pub(crate) fn names(&self) -> Vec<String> {
        self.rings.lock().unwrap().iter().flatten().cloned().collect()
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The server name of a TLS client's first message; `None` if it says anything else.
///
/// **Source**: RFC 8446, sections 5.1 and 4.1.2; RFC 6066, section 3.
async fn server_name(mut stream: TcpStream) -> Option<String> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.ok()?;
    let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut record).await.ok()?;
    let mut rest = Bytes(&record);
    // Type and length of the message, version, random.
    rest.take(4 + 2 + 32)?;
    let session = rest.length(1)?;
    rest.take(session)?;
    let suites = rest.length(2)?;
    rest.take(suites)?;
    let compressions = rest.length(1)?;
    rest.take(compressions)?;
    rest.length(2)?;
    loop {
        let kind = rest.length(2)?;
        let length = rest.length(2)?;
        let content = rest.take(length)?;
        if kind == 0 {
            // Length of the list, type of the name, length of the name.
            return String::from_utf8(content.get(5..)?.to_vec()).ok();
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn length(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }
}

/// Scripted names on a machine without a network: what is public is at one door, everything else at the other.
pub(crate) struct Names {
    pub(crate) script: ScriptedNames,
    pub(crate) public: SocketAddr,
    pub(crate) inner: SocketAddr,
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        std::future::ready(self.script.look_up(name)).boxed()
    }

    fn route(&self, address: IpAddr) -> SocketAddr {
        if public_address::reserved_for(address).is_none() { self.public } else { self.inner }
    }
}
