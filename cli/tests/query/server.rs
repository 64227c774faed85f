//! The function `query` as the command sees it: invocations over HTTP, and files behind addresses.
//!
//! What a statement's first word is decides what becomes of it; every other one is answered with two rows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a query is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The rows of `file`, and their SHA-256.
pub(crate) const FILE: &[u8] = b"n\n1\n2\n";
const FILE_SHA256: &str = "b08a11a12effc9d6330979a26f9cc9ed89e5cbb45bfbdbf97e2a78fdaf66cfe9";

/// Dropping it stops it.
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    url: String,
    requests: Mutex<Vec<Value>>,
    /// Ids of queries that are being held.
    held: watch::Sender<BTreeSet<String>>,
    /// Ids of queries that somebody has cancelled.
    cancelled: watch::Sender<BTreeSet<String>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            url: url.clone(),
            requests: Mutex::default(),
            held: watch::Sender::default(),
            cancelled: watch::Sender::default(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, state, task }
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The statements that it was asked so far.
    pub(crate) fn statements(&self) -> Vec<String> {
        self.requests().iter().filter_map(|request| request["sql"].as_str().map(str::to_owned)).collect()
    }

    /// The ids that it was asked to `action` on.
    pub(crate) fn ids(&self, action: &str) -> Vec<String> {
        let asked = self.requests().into_iter().filter(|request| request["action"] == action);
        asked.filter_map(|request| request["query_id"].as_str().map(str::to_owned)).collect()
    }

    /// Waits until it holds a query, and gives its id.
    pub(crate) async fn held(&self) -> String {
        tokio::time::timeout(PATIENCE, held(&self.state)).await.expect("no query came to be held")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn held(state: &State) -> String {
    let mut held = state.held.subscribe();
    let ids = held.wait_for(|ids| !ids.is_empty()).await.unwrap();
    ids.iter().next().unwrap().clone()
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let Some(path) = first.split(' ').nth(1) else { return };
    let answer = match path {
        "/file" => FILE.to_vec(),
        "/held" => held(&state).await.into_bytes(),
        _ => answer(&state, &serde_json::from_slice(&body).unwrap()).await.to_string().into_bytes(),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
    // The other end may be gone: that is what some tests do.
    let _ = stream.write_all(&[head.as_bytes(), &answer].concat()).await;
}

async fn answer(state: &State, request: &Value) -> Value {
    state.requests.lock().unwrap().push(request.clone());
    let id = request["query_id"].as_str().unwrap_or_default().to_owned();
    let looks = || {
        let requests = state.requests.lock().unwrap();
        requests.iter().filter(|past| past["action"] == "query_status" && past["query_id"] == *id).count()
    };
    let asked = || {
        let requests = state.requests.lock().unwrap();
        let of_id = requests.iter().find(|past| past["sql"].is_string() && past["query_id"] == *id);
        of_id.map_or_else(String::new, |past| past["sql"].as_str().unwrap().to_owned())
    };
    match request["action"].as_str() {
        Some("cancel_query") => {
            state.cancelled.send_modify(|ids| {
                ids.insert(id.clone());
            });
            match first_word(&asked()) {
                "late" => json!({ "error": { "code": "query.unknown_query", "message": "there is no such query" } }),
                "quick" => json!({ "query_id": id, "state": "running" }),
                _ => json!({ "query_id": id, "state": "cancelled" }),
            }
        }
        Some("query_status") if looks() == 1 => json!({ "query_id": id, "state": "running" }),
        Some("query_status") => json!({ "query_id": id, "state": "completed", "answer": rows() }),
        Some("list_saved_queries") => json!({ "saved_queries": [{ "name": "tips", "sql": "select 1" }] }),
        Some(other) => panic!("{other}"),
        None => statement(state, request["sql"].as_str().unwrap(), id).await,
    }
}

fn first_word(sql: &str) -> &str {
    sql.split_whitespace().next().unwrap_or(sql)
}

/// Holds a query until somebody wants it to end.
async fn hold(state: &State, id: &str) {
    state.held.send_modify(|ids| {
        ids.insert(id.to_owned());
    });
    let mut cancelled = state.cancelled.subscribe();
    cancelled.wait_for(|ids| ids.contains(id)).await.unwrap();
}

async fn statement(state: &State, sql: &str, id: String) -> Value {
    match first_word(sql) {
        "wrong" => json!({ "error": { "code": "query.syntax", "message": "no", "detail": null, "position": 6 } }),
        "batch" => json!({ "query_id": id, "state": "queued" }),
        "file" => file(state, FILE_SHA256),
        "altered" => file(state, &"0".repeat(64)),
        "hold" => {
            hold(state, &id).await;
            json!({ "error": { "code": "query.cancelled", "message": "the query was cancelled" } })
        }
        // A batch that is recorded after the word for its end came.
        "late" => {
            hold(state, &id).await;
            json!({ "query_id": id, "state": "queued" })
        }
        // Rows that are there before the word for its end came.
        "quick" => {
            hold(state, &id).await;
            rows()
        }
        _ => rows(),
    }
}

fn rows() -> Value {
    json!({
        "columns": [{ "name": "n", "type": "BIGINT" }], "rows": [[1], [2]], "row_count": 2, "bytes": 16,
        "state": [{ "chain": "demo", "tip_number": 9, "tip_hash": "0xab", "watermark": 4 }], "duration_ms": 5,
    })
}

fn file(state: &State, sha256: &str) -> Value {
    let mut answer = rows();
    answer["rows"] = json!([]);
    answer["result"] = json!({
        "format": "csv", "url": format!("{}/file", state.url), "bytes": FILE.len(), "row_count": 2, "sha256": sha256,
        "expires_at": "2100-01-01T00:00:00Z",
    });
    answer
}
