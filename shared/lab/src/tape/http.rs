//! Just enough HTTP/1.1 for a JSON-RPC client: POST with a length, keep-alive, and replies that may be wrong on purpose.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
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
    pub(super) coding: Coding,
    /// The body is spaces in gzip, more of them than these.
    pub(super) bomb_bytes: Option<usize>,
    body: Vec<u8>,
}

/// How a body is encoded, and what is said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As it is, and nothing is said.
    #[default]
    Plain,
    /// In gzip, as is said.
    Gzip,
    /// In gzip, of which the second half is missing.
    CutGzip,
    /// As it is, though it is said to be in gzip.
    FalseGzip,
    /// As it is, though it is said to be in a coding that nobody asks for.
    Unknown,
}

impl Coding {
    /// What goes over the wire for `body`.
    pub(crate) fn encode(self, body: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Plain | Self::FalseGzip | Self::Unknown => body,
            Self::Gzip => gzip(&body),
            Self::CutGzip => {
                let mut whole = gzip(&body);
                whole.truncate(whole.len() / 2);
                whole
            }
        }
    }

    /// The header that says so, with its end of line.
    fn header(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip | Self::CutGzip | Self::FalseGzip => "content-encoding: gzip\r\n",
            Self::Unknown => "content-encoding: br\r\n",
        }
    }
}

/// `bytes` in gzip, as servers pack their answers.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes what is written to it")
}

/// More than `most_bytes` of spaces in gzip, a thousandth as long.
pub(crate) fn gzip_bomb(most_bytes: usize) -> Vec<u8> {
    const PART: usize = 1 << 20;
    gzip(&vec![b' '; PART]).repeat(most_bytes / PART + 1)
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
            coding: Coding::Plain,
            bomb_bytes: None,
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
        self.body = self.coding.encode(self.body);
        self
    }

    /// The reply with a body that decodes to more than `most_bytes`.
    pub(super) fn with_bomb(mut self, most_bytes: usize) -> Self {
        (self.coding, self.body) = (Coding::Gzip, gzip_bomb(most_bytes));
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
        let (status, length, coding) = (self.status, self.body.len(), self.coding.header());
        format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
             {coding}{retry_after}\r\n"
        )
    }
}

/// One client.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    takes_gzip: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Answers are written whole; waiting for more would only add delay.
        let _ = stream.set_nodelay(true);
        Self { stream: BufReader::new(stream), takes_gzip: false }
    }

    /// Reads the body of the next request; `None` when the client is done or makes no sense.
    pub(crate) async fn read_request(&mut self) -> Option<Vec<u8>> {
        let mut length = 0;
        let mut line = String::new();
        self.takes_gzip = false;
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok().filter(|length| *length <= MAX_BODY_BYTES)?;
            }
            if name.eq_ignore_ascii_case("accept-encoding") {
                self.takes_gzip = value.split(',').any(|coding| coding.trim() == "gzip");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(body)
    }

    /// Whether the last request asked for gzip.
    pub(crate) fn takes_gzip(&self) -> bool {
        self.takes_gzip
    }

    /// Writes a body that is JSON already, without a copy of it; false if the connection is over.
    pub(crate) async fn write_json(&mut self, body: &[u8]) -> bool {
        self.write_encoded(body, Coding::Plain).await
    }

    /// Writes a body that is encoded already, and says that it is encoded as `coding` says.
    pub(crate) async fn write_encoded(&mut self, body: &[u8], coding: Coding) -> bool {
        let (length, coding) = (body.len(), coding.header());
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{coding}\r\n");
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
