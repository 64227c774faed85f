//! An HTTP proxy before the AWS emulator that fails calls on purpose: before they are carried out, or after.
//!
//! A rule sees each call by its AWS name, method, path and body, and answers it or passes it on; what comes back may be
//! changed or thrown away. [`sqs`], [`ecs`] and [`s3`] hold the rules of three services.
//!
//! It must never change a call that its rule lets through. It reads bodies whole, by their `Content-Length`.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::LabError;

pub mod ecs;
pub mod s3;
pub mod sqs;

/// Requests beyond this are not read.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Headers that are about one connection, and the length, which each side writes itself. Source: RFC 9110, 7.6.1.
const NOT_PASSED_BACK: [&str; 4] = ["connection", "keep-alive", "transfer-encoding", "content-length"];

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

impl Call {
    /// HTTP method, such as `PUT`.
    pub fn method(&self) -> &str {
        &self.head.method
    }

    /// Path and query, as the client wrote them.
    pub fn path(&self) -> &str {
        &self.head.path
    }

    /// The header called `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
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

/// What a client gets from a service that does not speak JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawReply {
    /// HTTP status.
    pub status: u16,
    /// Type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
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
    /// It is answered here; the emulator never learns of it.
    AnswerRaw(RawReply),
    /// It is passed on as it is, and answered with this whatever the emulator says.
    PassOnAndAnswer(RawReply),
    /// It is passed on without this header, whose name is in lower case, and its answer back.
    PassOnWithout(&'static str),
    /// It is passed on as it is, and the connection is closed in the middle of the answer's body, or before the answer
    /// if it has none.
    PassOnAndCut,
}

/// An answer on its way to the client.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    /// What the client is told of the body; more than there is for `HEAD`, and where the answer breaks off.
    length: usize,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, length: body.len(), body }
    }

    /// The same, broken off in the middle; `None` if there is no body to break.
    fn broken_off(mut self) -> Option<Self> {
        if self.body.is_empty() {
            return None;
        }
        self.body.truncate(self.body.len() / 2);
        Some(self)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let reason = if self.status < 400 { "OK" } else { "Error" };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.length));
        [head.as_bytes(), &self.body].concat()
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::new(reply.status, "application/x-amz-json-1.0", reply.body.to_string().into_bytes())
    }
}

impl From<RawReply> for Answer {
    fn from(reply: RawReply) -> Self {
        Self::new(reply.status, reply.content_type, reply.body)
    }
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
        let answer = match rule(&call) {
            Verdict::Cut => None,
            Verdict::Answer(reply) => Some(Answer::from(reply)),
            Verdict::AnswerRaw(reply) => Some(Answer::from(reply)),
            Verdict::Pass => pass_on(&client, &upstream, &call, call.bytes.clone()).await,
            Verdict::PassOn(body, after) => {
                let answered = pass_on(&client, &upstream, &call, body.to_string().into_bytes()).await;
                answered
                    .and_then(|Answer { status, body, .. }| {
                        after(Reply { status, body: serde_json::from_slice(&body).unwrap_or_default() })
                    })
                    .map(Answer::from)
            }
            Verdict::PassOnAndAnswer(reply) => {
                pass_on(&client, &upstream, &call, call.bytes.clone()).await.map(|_carried_out| Answer::from(reply))
            }
            Verdict::PassOnWithout(header) => {
                let mut stripped = call.clone();
                stripped.head.headers.retain(|(name, _)| name != header);
                pass_on(&client, &upstream, &stripped, stripped.bytes.clone()).await
            }
            Verdict::PassOnAndCut => {
                pass_on(&client, &upstream, &call, call.bytes.clone()).await.and_then(Answer::broken_off)
            }
        };
        let Some(mut answer) = answer else { return };
        let is_head = call.method() == "HEAD";
        if is_head {
            answer.body.clear();
        }
        let breaks_off = !is_head && answer.body.len() < answer.length;
        let is_written = stream.write_all(&answer.to_bytes()).await.is_ok() && stream.flush().await.is_ok();
        if !is_written || breaks_off {
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
async fn pass_on(client: &reqwest::Client, upstream: &str, call: &Call, bytes: Vec<u8>) -> Option<Answer> {
    let method = reqwest::Method::from_bytes(call.head.method.as_bytes()).ok()?;
    let mut request = client.request(method, format!("{upstream}{}", call.head.path)).body(bytes);
    // A presigned URL vouches for the host that it names, which is this proxy.
    let is_presigned = call.path().contains("X-Amz-Signature=");
    for (name, value) in &call.head.headers {
        // The client of this side sets its own.
        let is_own = ["content-length", "connection", "accept-encoding"].contains(&name.as_str());
        if !is_own && (name != "host" || is_presigned) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
    let told: Option<usize> =
        answer.headers().get("content-length").and_then(text).and_then(|length| length.parse().ok());
    let passed_back = answer.headers().iter().filter(|(name, _)| !NOT_PASSED_BACK.contains(&name.as_str()));
    let headers = passed_back.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect();
    let body = answer.bytes().await.ok()?.to_vec();
    let length = if call.method() == "HEAD" { told.unwrap_or(0) } else { body.len() };
    Some(Answer { status, headers, length, body })
}
