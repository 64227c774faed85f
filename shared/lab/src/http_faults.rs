//! An HTTP proxy before the AWS emulator that fails calls on purpose: before they are carried out, or after.
//!
//! A rule sees each call by its AWS name and body, and answers it or passes it on; what comes back may be changed or thrown
//! away. [`sqs`] and [`ecs`] hold the rules of two services.
//!
//! It must never change a call that its rule lets through.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::LabError;

pub mod ecs;
pub mod sqs;

/// Requests beyond this are not read.
const MAX_BODY_BYTES: usize = 8 << 20;

/// A call as its client sent it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Such as `SendMessageBatch`: what follows the dot in `X-Amz-Target`. Empty for a call that is not in AWS's JSON protocol.
    pub operation: String,
    /// The body; `null` if it is not JSON.
    pub body: Value,
    head: Head,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Head {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

/// What a client gets.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Value,
}

impl Reply {
    /// An error of the AWS JSON protocol. Source: Smithy, "AWS JSON 1.0 protocol", operation error serialisation.
    pub fn error(status: u16, code: &str) -> Self {
        Self { status, body: serde_json::json!({ "__type": code, "message": "refused by the laboratory" }) }
    }
}

/// Changes what the emulator answered; `None` closes the connection without an answer.
pub type AfterCall = Box<dyn FnOnce(Reply) -> Option<Reply> + Send>;

/// What becomes of a call.
pub enum Verdict {
    /// It is passed on as it is, and its answer back.
    Pass,
    /// It is answered here; the emulator never learns of it.
    Answer(Reply),
    /// The connection is closed; the emulator never learns of it.
    Cut,
    /// It is passed on with this body.
    PassOn(Value, AfterCall),
}

/// A running proxy. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct HttpFaults {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

type Rule = Arc<dyn Fn(&Call) -> Verdict + Send + Sync>;

impl HttpFaults {
    /// Stands before `upstream`, such as `http://127.0.0.1:4566`, with `rule` for each call.
    ///
    /// # Errors
    /// [`LabError::Io`] if no port can be opened.
    pub async fn start(
        upstream: impl Into<String>,
        rule: impl Fn(&Call) -> Verdict + Send + Sync + 'static,
    ) -> Result<Self, LabError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LabError::io("listen on", "127.0.0.1"))?;
        let address = listener.local_addr().map_err(LabError::io("listen on", "127.0.0.1"))?;
        let accepting = tokio::spawn(accept(listener, upstream.into(), Arc::new(rule)));
        Ok(Self { address, accepting })
    }

    /// Where it listens, for `AWS_ENDPOINT_URL`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for HttpFaults {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: String, rule: Rule) {
    let client = reqwest::Client::new();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Answers are written whole; waiting for more would only add delay.
        let _ = stream.set_nodelay(true);
        connections.spawn(serve(BufReader::new(stream), upstream.clone(), client.clone(), rule.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one connection's calls until its client leaves, or a call is to have no answer.
async fn serve(mut stream: BufReader<TcpStream>, upstream: String, client: reqwest::Client, rule: Rule) {
    while let Some(call) = read_call(&mut stream).await {
        let reply = match rule(&call) {
            Verdict::Cut => None,
            Verdict::Answer(reply) => Some((reply.status, reply.body.to_string().into_bytes())),
            Verdict::Pass => pass_on(&client, &upstream, &call, call.bytes.clone()).await,
            Verdict::PassOn(body, after) => {
                let answered = pass_on(&client, &upstream, &call, body.to_string().into_bytes()).await;
                answered
                    .and_then(|(status, bytes)| {
                        after(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
                    })
                    .map(|reply| (reply.status, reply.body.to_string().into_bytes()))
            }
        };
        let Some((status, body)) = reply else { return };
        let head = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            if status < 400 { "OK" } else { "Error" },
            body.len()
        );
        let bytes = [head.as_bytes(), &body].concat();
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// Reads the next call; `None` when the client is done or makes no sense.
async fn read_call(stream: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut head = Head::default();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    head.method = words.next()?.to_owned();
    head.path = words.next()?.to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        head.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| head.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let target = header("x-amz-target").and_then(|target| target.split('.').next_back()).unwrap_or_default();
    let operation = target.to_owned();
    if length > MAX_BODY_BYTES {
        return None;
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(Call { operation, body: serde_json::from_slice(&bytes).unwrap_or_default(), head, bytes })
}

/// Asks the emulator; `None` if it does not answer.
async fn pass_on(client: &reqwest::Client, upstream: &str, call: &Call, bytes: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let method = reqwest::Method::from_bytes(call.head.method.as_bytes()).ok()?;
    let mut request = client.request(method, format!("{upstream}{}", call.head.path)).body(bytes);
    for (name, value) in &call.head.headers {
        // The client of this side sets its own.
        if !["host", "content-length", "connection", "accept-encoding"].contains(&name.as_str()) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.bytes().await.ok()?.to_vec()))
}
