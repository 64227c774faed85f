//! A JSON-RPC server over HTTP that replays recorded answers, and misbehaves when told to.
//!
//! It stands in for a provider where a real node will not do: rate limits, gateway pages, truncated answers, blocks
//! that are not there yet, and throughput that no real node in a test can offer. An answer is looked up by method and
//! parameters, exactly; a call that is not on the tape is answered with an error, never with a guess.

use std::collections::{HashMap, VecDeque};
use std::io::BufRead;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::LabError;
use crate::rpc::{Rpc, shape};

pub mod generate;
pub(crate) mod http;
mod limit;
pub mod paced;

pub use http::Coding;
use limit::Limiter;
pub use limit::{CallLimit, LimitLog};

/// JSON-RPC code of a call that is not on the tape.
pub const NOT_ON_TAPE: i64 = -32_000;

/// Recorded answers.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    answers: HashMap<(String, String), Value>,
}

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// HTTP 429, with `Retry-After` if seconds are given.
    TooManyRequests {
        /// Seconds to wait.
        retry_after_seconds: Option<u64>,
    },
    /// HTTP 500 with an empty body.
    ServerError,
    /// HTTP 200 with a web page instead of JSON, as gateways send it.
    HtmlBody,
    /// HTTP 200 with the first half of the JSON.
    TruncatedJson,
    /// The right answer, encoded as is said here whatever was asked for.
    Coded(Coding),
    /// Spaces in gzip, more of them than these many bytes, in a thousandth of their length.
    GzipBomb(usize),
    /// The connection is closed without an answer.
    Closed,
    /// The right answer, late.
    Delay(Duration),
    /// `result: null` for the call.
    NullResult,
    /// Another result for the call.
    Result(Value),
    /// A JSON-RPC error for the call.
    Error {
        /// JSON-RPC code.
        code: i64,
        /// Its message.
        message: String,
    },
    /// For a batch: one error object instead of a list, as providers answer batches beyond their limit.
    BatchRefused,
}

/// A fault and the calls that it strikes.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// Only calls of this method; all if absent.
    pub method: Option<String>,
    /// Only calls with these parameters; all if absent.
    pub params: Option<Value>,
    /// How many calls it strikes before it is used up.
    pub times: usize,
    /// What happens to them.
    pub fault: Fault,
}

impl FaultRule {
    /// Strikes the next `times` calls of `method`.
    pub fn new(method: &str, times: usize, fault: Fault) -> Self {
        Self { method: Some(method.to_owned()), params: None, times, fault }
    }

    fn strikes(&self, call: &Value) -> bool {
        self.times > 0
            && self.method.as_ref().is_none_or(|method| call["method"] == **method)
            && self.params.as_ref().is_none_or(|params| call["params"] == *params)
    }
}

impl Tape {
    /// Sets the answer to a call, in place of an earlier one.
    pub fn set(&mut self, method: &str, params: &Value, result: Value) {
        self.answers.insert((method.to_owned(), params.to_string()), result);
    }

    /// Calls a real node and records its answer.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn record(&mut self, rpc: &Rpc, method: &str, params: Value) -> Result<(), LabError> {
        let result = rpc.call(method, params.clone()).await?;
        self.set(method, &params, result);
        Ok(())
    }

    /// Reads a file with one `{"method", "params", "result"}` a line; compressed if its name ends in `.gz`.
    ///
    /// # Errors
    /// [`LabError::Io`] for the file, [`LabError::Shape`] for a line that is not like that.
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let file = std::fs::File::open(path).map_err(LabError::io("open", path))?;
        let lines: Box<dyn BufRead> = match path.extension().is_some_and(|found| found == "gz") {
            true => Box::new(std::io::BufReader::new(flate2::read::GzDecoder::new(file))),
            false => Box::new(std::io::BufReader::new(file)),
        };
        let mut tape = Self::default();
        for line in lines.lines() {
            let line = line.map_err(LabError::io("read", path))?;
            let mut entry: Value = serde_json::from_str(&line).map_err(|_| shape("the tape", "line"))?;
            let method = entry["method"].as_str().ok_or_else(|| shape("the tape", "method"))?.to_owned();
            let result = entry.get_mut("result").map(Value::take).ok_or_else(|| shape("the tape", "result"))?;
            tape.set(&method, &entry["params"], result);
        }
        Ok(tape)
    }

    /// Answers on the tape.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nothing is on the tape.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    fn answer(&self, call: &Value) -> Value {
        let method = call["method"].as_str().unwrap_or_default();
        let params = call.get("params").cloned().unwrap_or_else(|| json!([])).to_string();
        match self.answers.get(&(method.to_owned(), params.clone())) {
            Some(result) => json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
            None => error_answer(call, NOT_ON_TAPE, &format!("{method} {params} is not on the tape")),
        }
    }
}

fn error_answer(call: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": code, "message": message } })
}

#[derive(Debug, Default)]
struct Shared {
    tape: Tape,
    rules: VecDeque<FaultRule>,
    calls: Vec<(String, Value)>,
    http_requests: usize,
    gzip_requests: usize,
    limiter: Option<Limiter>,
}

/// A running tape server. Dropping it closes the port.
#[derive(Debug)]
pub struct TapeServer {
    url: String,
    shared: Arc<Mutex<Shared>>,
    accepting: JoinHandle<()>,
}

impl TapeServer {
    /// Serves `tape` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`LabError::Io`] if the port cannot be opened.
    pub async fn start(tape: Tape) -> Result<Self, LabError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(LabError::io("listen on", "127.0.0.1"))?;
        let address = listener.local_addr().map_err(LabError::io("listen on", "127.0.0.1"))?;
        let shared = Arc::new(Mutex::new(Shared { tape, ..Shared::default() }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { url: format!("http://{address}"), shared, accepting })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the answer to a call from now on.
    pub fn set(&self, method: &str, params: &Value, result: Value) {
        lock(&self.shared).tape.set(method, params, result);
    }

    /// Adds a fault; of several that fit a call, the oldest strikes.
    pub fn inject(&self, rule: FaultRule) {
        lock(&self.shared).rules.push_back(rule);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        lock(&self.shared).rules.clear();
    }

    /// Takes no more calls than `limit` allows, from now on.
    pub fn limit(&self, limit: CallLimit) {
        lock(&self.shared).limiter = Some(Limiter::new(limit));
    }

    /// What the limit has let through and refused since it was set; nothing without one.
    pub fn limit_log(&self) -> LimitLog {
        lock(&self.shared).limiter.as_ref().map_or_else(LimitLog::default, |limiter| limiter.log.clone())
    }

    /// Every call so far, method and parameters, those inside batches one by one.
    pub fn calls(&self) -> Vec<(String, Value)> {
        lock(&self.shared).calls.clone()
    }

    /// HTTP requests so far; a batch is one.
    pub fn http_requests(&self) -> usize {
        lock(&self.shared).http_requests
    }

    /// Those of them that asked for gzip, and were answered in it.
    pub fn gzip_requests(&self) -> usize {
        lock(&self.shared).gzip_requests
    }
}

impl Drop for TapeServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    // The connections end with the server: the set is dropped when this task is aborted.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut connection = http::Connection::new(stream);
    while let Some(body) = connection.read_request().await {
        let reply = reply_to(&body, connection.takes_gzip(), &shared);
        if !connection.write_reply(reply).await {
            return;
        }
    }
}

/// Answers one HTTP body: a call or a batch of calls.
fn reply_to(body: &[u8], takes_gzip: bool, shared: &Mutex<Shared>) -> http::Reply {
    let mut shared = lock(shared);
    shared.http_requests += 1;
    shared.gzip_requests += usize::from(takes_gzip);
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return http::Reply::json(&error_answer(&Value::Null, -32_700, "parse error"));
    };
    let mut reply = http::Reply::default();
    if takes_gzip {
        reply.coding = Coding::Gzip;
    }
    if let Some(limiter) = shared.limiter.as_mut()
        && !limiter.takes(Instant::now(), request.as_array().map_or(1, Vec::len))
    {
        reply.too_many_requests(limiter.limit.retry_after_seconds);
        return reply.with_json(&Value::Null);
    }
    let answer = match &request {
        Value::Array(calls) => {
            let answers: Vec<Value> = calls.iter().map(|call| shared.answer(call, &mut reply)).collect();
            match reply.refuse_batch {
                true => error_answer(&Value::Null, -32_600, "batch is over the limit"),
                false => Value::Array(answers),
            }
        }
        call => shared.answer(call, &mut reply),
    };
    match reply.bomb_bytes {
        Some(most_bytes) => reply.with_bomb(most_bytes),
        None => reply.with_json(&answer),
    }
}

impl Shared {
    /// Answers one call; a fault that concerns the whole response is noted in `reply`.
    fn answer(&mut self, call: &Value, reply: &mut http::Reply) -> Value {
        self.calls.push((call["method"].as_str().unwrap_or_default().to_owned(), call["params"].clone()));
        let answer = self.tape.answer(call);
        let Some(rule) = self.rules.iter_mut().find(|rule| rule.strikes(call)) else {
            return answer;
        };
        rule.times -= 1;
        match &rule.fault {
            Fault::TooManyRequests { retry_after_seconds } => reply.too_many_requests(*retry_after_seconds),
            Fault::ServerError => reply.status = 500,
            Fault::HtmlBody => reply.html = true,
            Fault::TruncatedJson => reply.truncate = true,
            Fault::Coded(coding) => reply.coding = *coding,
            Fault::GzipBomb(most_bytes) => reply.bomb_bytes = Some(*most_bytes),
            Fault::Closed => reply.close = true,
            Fault::Delay(delay) => reply.delay = *delay,
            Fault::BatchRefused => reply.refuse_batch = true,
            Fault::NullResult => return json!({ "jsonrpc": "2.0", "id": call["id"], "result": null }),
            Fault::Result(result) => return json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
            Fault::Error { code, message } => return error_answer(call, *code, message),
        }
        answer
    }
}
