//! Just enough HTTP/1.1 for a receiver: requests with a length, keep-alive, and answers that go wrong on purpose.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Behaviour, LONG_BODY_BYTES};

/// Requests beyond this are not read.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Pace of what is slow on purpose.
const DRIP: Duration = Duration::from_millis(100);

/// A request that has come in whole.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// One sender.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Answers are written whole; waiting for more would only add delay.
        let _ = stream.set_nodelay(true);
        Self { stream: BufReader::new(stream) }
    }

    /// Reads the next request; `None` when the sender is done or makes no sense.
    pub(super) async fn read_request(&mut self) -> Option<Request> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |value| value.parse::<usize>()).ok()?;
        if length > MAX_BODY_BYTES {
            return None;
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Request { method, path, headers, body })
    }

    /// Reacts; false if the connection is over.
    pub(super) async fn react(&mut self, behaviour: Behaviour) -> bool {
        match behaviour {
            // Which of the two, the zoo has decided.
            Behaviour::Accept | Behaviour::FailFirst(_) => self.answer(200, "", "{}").await,
            Behaviour::AcceptAfter(delay) => {
                tokio::time::sleep(delay).await;
                self.answer(200, "", "{}").await
            }
            Behaviour::AcceptWith(body) => self.answer(200, "", &body).await,
            Behaviour::Status(status) => self.answer(status, "", "").await,
            Behaviour::TooManyRequests { retry_after } => {
                let header = retry_after.map(|value| format!("retry-after: {value}\r\n")).unwrap_or_default();
                self.answer(429, &header, "").await
            }
            Behaviour::Redirect { status, location } => {
                self.answer(status, &format!("location: {location}\r\n"), "").await
            }
            Behaviour::Hang => {
                // Until the sender has had enough.
                let _ = self.stream.read(&mut [0]).await;
                false
            }
            Behaviour::SlowLoris => self.drip(b"HTTP/1.1 200 OK\r\nx-slow: ").await,
            Behaviour::SlowBody => self.drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await,
            Behaviour::ResetMidBody => {
                let _ = self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nthe first bytes").await;
                // Closing with zero linger sends RST instead of FIN.
                let _ = self.stream.get_ref().set_zero_linger();
                false
            }
            Behaviour::Close => false,
            Behaviour::LongBody => self.answer(200, "", &"x".repeat(LONG_BODY_BYTES)).await,
        }
    }

    /// Writes an answer with `headers`, each of which ends its line.
    async fn answer(&mut self, status: u16, headers: &str, body: &str) -> bool {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
        self.write(format!("{head}{headers}\r\n{body}").as_bytes()).await
    }

    /// Writes `beginning`, then one letter after the other, until the sender has had enough.
    async fn drip(&mut self, beginning: &[u8]) -> bool {
        let mut is_heard = self.write(beginning).await;
        while is_heard {
            tokio::time::sleep(DRIP).await;
            is_heard = self.write(b"x").await;
        }
        false
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }
}
