//! A server that speaks WebSocket and announces new blocks, or ought to: it misbehaves on purpose.
//!
//! It stands in for a provider where a real node will not do. It must never announce a block that exists.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::LabError;

/// Answer to a subscription.
const SUBSCRIBED: &str = r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;

/// A head of no chain.
const ANNOUNCED: &str = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1",
    "result":{"number":"0xffffffffffff","hash":"0x00","parentHash":"0x00"}}}"#;

/// How the server behaves once a connection is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Neither reads nor says anything, as a peer does whose machine is gone.
    Silent,
    /// Announces blocks as fast as they are read, without an end.
    Endless,
    /// Answers the subscription with a text that is no JSON.
    Garbage,
    /// Answers the subscription with a message of 2 MiB that announces a block.
    Huge,
    /// Answers the subscription with an error.
    Refusing,
    /// Closes the connection instead of an answer.
    Closing,
    /// Sends pings as fast as they are read, without an end, instead of an answer.
    Pinging,
    /// Answers the subscription as often as it is read, without an end.
    Repeating,
    /// Announces one block and closes the connection.
    Fleeting,
}

/// A running server. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct WebSocketServer {
    address: SocketAddr,
    taken: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl WebSocketServer {
    /// Opens a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`LabError::Io`] if the port cannot be opened.
    pub async fn start(manner: Manner) -> Result<Self, LabError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LabError::io("listen on", "127.0.0.1"))?;
        let address = listener.local_addr().map_err(LabError::io("listen on", "127.0.0.1"))?;
        let taken = Arc::<AtomicU64>::default();
        let accepting = tokio::spawn(accept(listener, manner, Arc::clone(&taken)));
        Ok(Self { address, taken, accepting })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// How many connections it has taken so far, whatever became of them.
    pub fn connections(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for WebSocketServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, manner: Manner, taken: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        taken.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(stream, manner));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, manner: Manner) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    if manner != Manner::Silent {
        let Some(Ok(_subscription)) = socket.next().await else { return };
    }
    let answer = match manner {
        Manner::Silent | Manner::Pinging => None,
        Manner::Endless | Manner::Repeating | Manner::Fleeting => Some(Message::text(SUBSCRIBED)),
        Manner::Garbage => Some(Message::text("<html>502 Bad Gateway</html>")),
        Manner::Huge => Some(Message::text(format!("{ANNOUNCED}{}", " ".repeat(2 << 20)))),
        Manner::Refusing => {
            Some(Message::text(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#))
        }
        Manner::Closing => Some(Message::Close(None)),
    };
    if let Some(answer) = answer
        && socket.send(answer).await.is_err()
    {
        return;
    }
    let repeated = match manner {
        Manner::Endless => Some(Message::text(ANNOUNCED)),
        Manner::Repeating => Some(Message::text(SUBSCRIBED)),
        Manner::Pinging => Some(Message::Ping(Bytes::new())),
        _ => None,
    };
    if let Some(message) = repeated {
        while socket.send(message.clone()).await.is_ok() {}
        return;
    }
    if manner == Manner::Fleeting && socket.send(Message::text(ANNOUNCED)).await.is_ok() {
        // Whether it is closed well changes nothing.
        let _ = socket.close(None).await;
    }
    // The connection stays open: it is the other side that has to end it.
    std::future::pending::<()>().await;
}
