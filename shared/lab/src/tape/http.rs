//! Just enough HTTP/1.1 for a JSON-RPC client: POST with a length, keep-alive, and replies that may be wrong on purpose.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Requests beyond this are not read.
const MAX_BODY_BYTES: usize = 64 << 20;

/// What goes back to the client.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after_seconds: Option<u64>,
    pub(super) html: bool,
    pub(super) truncate: bool,
    pub(super) close: bool,
    pub(super) refuse_batch: bool,
    pub(super) delay: Duration,
    body: Vec<u8>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            status: 200,
            retry_after_seconds: None,
            html: false,
            truncate: false,
            close: false,
            refuse_batch: false,
            delay: Duration::ZERO,
            body: Vec::new(),
        }
    }
}

impl Reply {
    pub(super) fn json(value: &Value) -> Self {
        Self::default().with_json(value)
    }

    pub(super) fn too_many_requests(&mut self, retry_after_seconds: Option<u64>) {
        self.status = 429;
        self.retry_after_seconds = retry_after_seconds;
    }

    /// Fills in the body, as far as the faults let it through.
    pub(super) fn with_json(mut self, value: &Value) -> Self {
        self.body = match (self.status, self.html) {
            (200, false) => value.to_string().into_bytes(),
            (200, true) => b"<html><body><h1>502 Bad Gateway</h1></body></html>".to_vec(),
            _ => Vec::new(),
        };
        if self.truncate {
            self.body.truncate(self.body.len() / 2);
        }
        self
    }

    fn head(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            429 => "Too Many Requests",
            _ => "Internal Server Error",
        };
        let content_type = if self.html { "text/html" } else { "application/json" };
        let retry_after =
            self.retry_after_seconds.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
        let (status, length) = (self.status, self.body.len());
        format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n{retry_after}\r\n"
        )
    }
}

/// One client.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Answers are written whole; waiting for more would only add delay.
        let _ = stream.set_nodelay(true);
        Self { stream: BufReader::new(stream) }
    }

    /// Reads the body of the next request; `None` when the client is done or makes no sense.
    pub(crate) async fn read_request(&mut self) -> Option<Vec<u8>> {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok().filter(|length| *length <= MAX_BODY_BYTES)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(body)
    }

    /// Writes a body that is JSON already, without a copy of it; false if the connection is over.
    pub(crate) async fn write_json(&mut self, body: &[u8]) -> bool {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await.is_ok()
            && self.stream.write_all(body).await.is_ok()
            && self.stream.flush().await.is_ok()
    }

    /// Writes a body that does not end, until the client has had enough of it.
    pub(crate) async fn write_endless(&mut self) {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x1_0000], b"\r\n"].concat();
        let mut is_heard = self.stream.write_all(head).await.is_ok();
        while is_heard {
            is_heard = self.stream.write_all(&chunk).await.is_ok();
        }
    }

    /// Writes a reply; false if the connection is over.
    pub(super) async fn write_reply(&mut self, reply: Reply) -> bool {
        tokio::time::sleep(reply.delay).await;
        if reply.close {
            return false;
        }
        let bytes = [reply.head().as_bytes(), &reply.body].concat();
        self.stream.write_all(&bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }
}
