//! A TCP proxy that can go silent or cut its connections, to test time-outs and reconnects of real clients.
//!
//! It never changes the bytes that it passes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::LabError;

/// What the proxy does with traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Passes bytes both ways.
    #[default]
    Pass,
    /// Takes connections and bytes but passes nothing on; what it took is passed on when it goes back to [`Mode::Pass`].
    Blackhole,
    /// Takes connections and bytes and forgets them. The connections that are open meanwhile never work again, and never
    /// learn of it: as behind a router that has lost its table.
    Lost,
    /// Resets connections, the open ones and new ones.
    Reset,
}

/// A running proxy. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct FaultProxy {
    upstream: String,
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    taken: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Passes connections to a free port of 127.0.0.1 on to `upstream`, such as `127.0.0.1:5432`.
    ///
    /// # Errors
    /// [`LabError::Io`] if the port cannot be opened.
    pub async fn start(upstream: impl Into<String>) -> Result<Self, LabError> {
        let upstream = upstream.into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LabError::io("listen on", "127.0.0.1"))?;
        let address = listener.local_addr().map_err(LabError::io("listen on", "127.0.0.1"))?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let taken = Arc::<AtomicU64>::default();
        let accepting = tokio::spawn(accept(listener, upstream.clone(), modes, Arc::clone(&taken)));
        Ok(Self { upstream, address, mode, taken, accepting })
    }

    /// `url`, which leads to the server behind it, with the proxy in the server's place.
    ///
    /// # Panics
    /// If `url` leads elsewhere.
    pub fn through(&self, url: &str) -> String {
        assert!(url.contains(&self.upstream), "the address does not lead to {}", self.upstream);
        url.replacen(&self.upstream, &self.address.to_string(), 1)
    }

    /// How many connections it has taken so far, whatever became of them.
    pub fn connections(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Changes what it does, for open connections too.
    pub fn switch(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: String, modes: watch::Receiver<Mode>, taken: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        taken.fetch_add(1, Ordering::Relaxed);
        connections.spawn(pass_on(client, upstream.clone(), modes.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass_on(mut client: TcpStream, upstream: String, modes: watch::Receiver<Mode>) {
    let (mut reset, mut lost) = (modes.clone(), modes.clone());
    let passing = async {
        let mut server = TcpStream::connect(upstream).await?;
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let both = tokio::join!(
            pump(client_reads, server_writes, modes.clone()),
            pump(server_reads, client_writes, modes.clone()),
        );
        both.0.and(both.1)
    };
    tokio::select! {
        _ = passing => return,
        _ = lost.wait_for(|mode| *mode == Mode::Lost) => {}
        _ = reset.wait_for(|mode| *mode == Mode::Reset) => {}
    }
    if *modes.borrow() == Mode::Reset {
        // Closing with zero linger sends RST instead of FIN.
        let _ = client.set_zero_linger();
    } else {
        let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut modes: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let size = from.read(&mut buffer).await?;
        if modes.wait_for(|mode| *mode == Mode::Pass).await.is_err() {
            return Ok(());
        }
        if size == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..size]).await?;
    }
}
