//! One connection over WebSocket: opens it, subscribes to new heads, and tells what it hears until it ends.
//!
//! It is opened as an HTTP request that is upgraded, by the same library that asks the endpoints: TLS, its roots and
//! proxies are theirs. Never reads a message that is longer than [`LONGEST_MESSAGE`], never keeps more than
//! [`MOST_UNSENT`] for a server that does not read, never waits without an end, and looks at no more of a message than
//! of which kind it is.

use std::convert::Infallible;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{StatusCode, Upgraded};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

use crate::error::ChainError;
use crate::rpc_url::WakeUpUrl;

use super::WakeUpLimits;

/// Longest message that is read, in bytes; a head has some two thousand.
const LONGEST_MESSAGE: usize = 256 << 10;

/// What is kept to be sent at most, in bytes; a server may ping and not read the answers.
const MOST_UNSENT: usize = 16 << 10;

/// Source: Ethereum's publish-subscribe API, `eth_subscribe`.
const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;

/// Method of the messages that bring what was subscribed to.
const ANNOUNCEMENT: &str = "eth_subscription";

/// What a server has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It will announce new blocks.
    Subscribed,
    /// There is a new block, if that is true.
    Announced,
}

/// Why a connection ended, or was none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("it cannot be reached")]
    Unreachable {
        #[source]
        source: reqwest::Error,
    },
    #[error("it did not open a connection in time")]
    Slow,
    #[error(
        "it answered with HTTP status {status} instead of opening a WebSocket: check the address, its key and the plan"
    )]
    NotUpgraded { status: u16 },
    #[error("it accepted a WebSocket with the wrong key")]
    WrongKey,
    #[error("the connection broke")]
    Broken {
        #[source]
        source: Box<tungstenite::Error>,
    },
    #[error("it closed the connection")]
    Closed,
    #[error("it gave no sign of life, or no answer to the subscription, in time")]
    Silent,
    #[error("it refused to announce new blocks")]
    Refused,
    #[error("it sent a message that is neither an answer nor an announcement, or answered twice")]
    Senseless,
}

/// The client that opens connections.
pub(super) fn http_client(limits: &WakeUpLimits) -> Result<reqwest::Client, ChainError> {
    reqwest::Client::builder()
        .connect_timeout(limits.open_timeout)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|source| ChainError::Client { source })
}

/// Connects, subscribes, and calls `hear` with what the server says, until the connection ends.
pub(super) async fn listen(
    http: &reqwest::Client,
    url: &WakeUpUrl,
    limits: &WakeUpLimits,
    mut hear: impl FnMut(Said),
) -> Result<Infallible, Ended> {
    let mut socket = timeout(limits.open_timeout, open(http, url)).await.map_err(|_| Ended::Slow)??;
    send(&mut socket, Message::text(SUBSCRIBE), limits).await?;
    let subscribed_at = Instant::now();
    let (mut is_answer_due, mut is_subscribed) = (true, false);
    loop {
        if !is_subscribed && subscribed_at.elapsed() > limits.quiet {
            return Err(Ended::Silent);
        }
        let message = match timeout(limits.quiet, socket.next()).await {
            Ok(Some(message)) => message.map_err(broken)?,
            Ok(None) => return Err(Ended::Closed),
            Err(_) if is_answer_due => return Err(Ended::Silent),
            Err(_) => {
                send(&mut socket, Message::Ping(Bytes::new()), limits).await?;
                is_answer_due = true;
                continue;
            }
        };
        is_answer_due = false;
        match message {
            Message::Text(text) => match read(text.as_str())? {
                Said::Subscribed if is_subscribed => return Err(Ended::Senseless),
                said => {
                    is_subscribed |= said == Said::Subscribed;
                    hear(said);
                }
            },
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Binary(_) => return Err(Ended::Senseless),
            Message::Close(_) => return Err(Ended::Closed),
        }
        // What comes faster than anybody is woken up waits at the server's end.
        tokio::time::sleep(limits.breath).await;
    }
}

/// Source: RFC 6455, 4.1.
async fn open(http: &reqwest::Client, url: &WakeUpUrl) -> Result<WebSocketStream<Upgraded>, Ended> {
    let unreachable = |source: reqwest::Error| Ended::Unreachable { source: source.without_url() };
    let key = generate_key();
    let request = http
        .get(url.over_http())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key.as_str());
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Ended::NotUpgraded { status: status.as_u16() });
    }
    let expected = derive_accept_key(key.as_bytes());
    if response.headers().get(SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept.as_bytes() != expected.as_bytes()) {
        return Err(Ended::WrongKey);
    }
    let upgraded = response.upgrade().await.map_err(unreachable)?;
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config())).await)
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_UNSENT)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE))
}

async fn send(socket: &mut WebSocketStream<Upgraded>, message: Message, limits: &WakeUpLimits) -> Result<(), Ended> {
    timeout(limits.quiet, socket.send(message)).await.map_err(|_| Ended::Silent)?.map_err(broken)
}

fn broken(source: tungstenite::Error) -> Ended {
    Ended::Broken { source: Box::new(source) }
}

/// As much of a message as is looked at.
#[derive(Deserialize)]
struct Frame {
    method: Option<String>,
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

/// What a message says.
fn read(text: &str) -> Result<Said, Ended> {
    let frame: Frame = serde_json::from_str(text).map_err(|_| Ended::Senseless)?;
    match frame {
        Frame { method: Some(method), .. } if method == ANNOUNCEMENT => Ok(Said::Announced),
        Frame { method: None, error: Some(_), .. } => Err(Ended::Refused),
        Frame { method: None, result: Some(_), .. } => Ok(Said::Subscribed),
        Frame { .. } => Err(Ended::Senseless),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_message_only_its_kind_is_read() {
        let head = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":"lies"}}"#;
        assert_eq!(read(head).unwrap(), Said::Announced);
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#).unwrap(), Said::Subscribed);
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
        assert!(matches!(read(error), Err(Ended::Refused)));
        let senseless = ["", "[]", "7", "<html>", "{}", r#"{"method":"eth_other"}"#, r#"{"id":1,"result":null}"#];
        for text in senseless {
            assert!(matches!(read(text), Err(Ended::Senseless)), "{text}");
        }
    }

    #[tokio::test]
    async fn answers_to_pings_that_the_server_does_not_read_are_not_kept() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let mut client = WebSocketStream::from_raw_socket(near, Role::Client, Some(config())).await;
        let mut server = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        let payload = [0_u8; 125];
        let serving = async {
            for _ in 0..2_000 {
                server.send(Message::Ping(Bytes::copy_from_slice(&payload))).await.unwrap();
            }
            server.send(Message::text("now it reads")).await.unwrap();
            let mut answers = 0_usize;
            while let Message::Pong(_) = server.next().await.unwrap().unwrap() {
                answers += 1;
            }
            answers
        };
        let listening = async {
            while let Message::Ping(_) = client.next().await.unwrap().unwrap() {}
            client.flush().await.unwrap();
            client.send(Message::text("all is sent")).await.unwrap();
        };
        let (answers, ()) = tokio::join!(serving, listening);
        // What is on its way comes on top.
        assert!(answers * payload.len() < 2 * MOST_UNSENT, "{answers} of 2,000");
    }
}
