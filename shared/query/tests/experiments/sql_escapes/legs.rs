//! The attempts against each layer: the gate, a whole session without it, the engine's locks alone, the process alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use arrow::array::RecordBatch;
use isotherm_query::QueryRequest;
use isotherm_types::Classified;
use isotherm_types::sandbox::{OpenDoor, Request, Response};
use serde_json::Value;

use super::corpus::Attempt;
use super::planted::{OWN_BLOCKS, Planted, revealed};
use super::wire::{Said, Wire};
use crate::sandbox_program;

/// After this an attempt counts as stopped: some sleep, some wait for an address.
const PATIENCE: Duration = Duration::from_secs(10);

/// A query that everybody may ask.
const SOUND: &str = "select 'is' || count(*)::varchar || 'sound' from blocks";

/// What came of all attempts against one layer.
#[derive(Default)]
pub(crate) struct Leg {
    pub(crate) open_doors: Vec<OpenDoor>,
    /// Attempts that got rows or were carried out.
    pub(crate) answered: i64,
    /// Attempts that had to be stopped or ended the process.
    pub(crate) broken_off: i64,
    /// Attempts that a layer let through which should not have.
    pub(crate) let_through: Vec<String>,
    /// Attempts with what they revealed.
    pub(crate) leaks: Vec<String>,
    /// Files that are not as they were.
    pub(crate) written: i64,
    /// Connections to where there is nothing to be had.
    pub(crate) connections: i64,
    /// An ordinary query is answered rightly before and after all attempts.
    pub(crate) healthy: bool,
}

impl Leg {
    fn judge(&mut self, planted: &Planted, attempt: &str, said: &str) {
        let found = revealed(&planted.mark, said);
        if !found.is_empty() {
            self.leaks.push(format!("{attempt}: {found:?}"));
        }
    }
}

/// Runs `leg` and adds what it left behind.
pub(crate) async fn watched(planted: &Planted, leg: impl Future<Output = Leg>) -> Leg {
    let (before, connections) = (planted.listing(), planted.listener.connections());
    let mut leg = leg.await;
    let after = planted.listing();
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let altered = paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).count();
    leg.written = i64::try_from(altered).unwrap();
    leg.connections = (planted.listener.connections() - connections).cast_signed();
    leg
}

/// Every attempt must be refused with a stable code before it runs. Without the gate, all that parses goes through.
pub(crate) async fn gate(planted: &Planted, attempts: &[Attempt], is_on: bool) -> Leg {
    let mut leg = Leg { healthy: engine_is_healthy(planted).await, ..Leg::default() };
    let stderr = tempfile::tempfile().unwrap();
    for attempt in attempts {
        let sql = planted.text(&attempt.sql);
        let said = if is_on {
            match planted.platform.engine.run(QueryRequest::new(sql, PATIENCE)).await {
                Err(error) if is_refusal(&attempt.kind, error.code()) => format!("{error:?} {:?}", error.answer()),
                Err(error) => {
                    leg.let_through.push(format!("{}: {} {error}", attempt.sql, error.code()));
                    format!("{error:?} {:?}", error.answer())
                }
                Ok(answer) => {
                    leg.answered += 1;
                    leg.let_through.push(attempt.sql.clone());
                    format!("{:?}", answer.batches)
                }
            }
        } else {
            let (is_parsed, said) = Session::start(planted, &stderr).await.parse(&sql).await;
            if is_parsed.is_some() {
                leg.let_through.push(attempt.sql.clone());
            }
            said
        };
        leg.judge(planted, &attempt.sql, &said);
    }
    leg.healthy &= engine_is_healthy(planted).await;
    leg
}

fn is_refusal(kind: &str, code: &str) -> bool {
    // `list_aggregate` takes the name of an aggregate as a text: who does not know it is the engine's binder.
    let is_by_the_binder = kind == "aggregates named by a text" && code == "query.invalid";
    matches!(code, "query.refused" | "query.syntax") || is_by_the_binder
}

async fn engine_is_healthy(planted: &Planted) -> bool {
    let request = QueryRequest::new("select block_number from blocks", Duration::from_secs(30));
    let answer = planted.platform.engine.run(request).await;
    answer.is_ok_and(|answer| answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>() == 35)
}

/// The attempts that parse, sent to the real program as a gate would that lets everything through.
pub(crate) async fn session(planted: &Planted, attempts: &[Attempt], forged: &[(&str, String)]) -> Leg {
    let mut leg = Leg { healthy: session_is_healthy(planted).await, ..Leg::default() };
    let stderr = log();
    let tries = attempts.iter().map(|attempt| (attempt.sql.as_str(), Ok(planted.text(&attempt.sql))));
    let tries = tries.chain(forged.iter().map(|(name, tree)| (*name, Err(tree.clone()))));
    for (name, text_or_tree) in tries {
        let work = async {
            let session = Session::start(planted, &stderr.0).await;
            match text_or_tree {
                Ok(text) => session.whole(planted, &text).await,
                Err(tree) => session.run(planted, &tree).await,
            }
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok((is_answered, said)) => {
                leg.answered += i64::from(is_answered);
                leg.judge(planted, name, &said);
            }
            Err(_) => leg.broken_off += 1,
        }
    }
    leg.judge(planted, "what the program logged", &stderr.read());
    leg.healthy &= session_is_healthy(planted).await;
    leg
}

async fn session_is_healthy(planted: &Planted) -> bool {
    let stderr = log();
    let (is_answered, said) = Session::start(planted, &stderr.0).await.whole(planted, SOUND).await;
    let is_sound = is_answered && said.contains(&format!("is{OWN_BLOCKS}sound"));
    if !is_sound {
        println!("the sandbox does not answer an ordinary query: {said}");
    }
    is_sound
}

/// The attempts as raw SQL in an instance that is `locked` or `open`, in a process that is `confined` or `bare`.
pub(crate) async fn raw(planted: &Planted, attempts: &[Attempt], layers: [&str; 2]) -> Leg {
    let mut leg = Leg { healthy: true, ..Leg::default() };
    let stderr = log();
    let sound = ("health", SOUND.to_owned());
    let tries = attempts.iter().map(|attempt| (attempt.sql.as_str(), planted.text(&attempt.sql)));
    let tries = std::iter::once(sound.clone()).chain(tries).chain(std::iter::once(sound));
    let mut idle: Option<Wire> = None;
    for (name, sql) in tries {
        let mut wire = match idle.take() {
            Some(wire) => wire,
            None => start_raw(planted, layers, &stderr.0, &mut leg).await,
        };
        wire.send(&sql).await;
        let said = match tokio::time::timeout(PATIENCE, wire.receive()).await {
            Ok(Said::Json(payload)) => {
                idle = Some(wire);
                let outcome: Value = serde_json::from_slice(&payload).unwrap();
                leg.answered += i64::from(outcome["answered"] == true);
                outcome["text"].to_string()
            }
            Ok(Said::Rows(bytes) | Said::Nonsense(bytes)) => {
                leg.broken_off += 1;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Ok(Said::Nothing) | Err(_) => {
                leg.broken_off += 1;
                String::new()
            }
        };
        if name == "health" {
            leg.healthy &= said.contains(&format!("is{OWN_BLOCKS}sound"));
        }
        leg.judge(planted, name, &said);
    }
    let logged = stderr.read();
    if !leg.healthy {
        println!("raw_sql {layers:?} does not answer an ordinary query: {logged}");
    }
    leg.judge(planted, "what the program logged", &logged);
    leg
}

async fn start_raw(planted: &Planted, layers: [&str; 2], stderr: &File, leg: &mut Leg) -> Wire {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/raw_sql");
    assert!(
        program.exists(),
        "{} is missing; run `cargo build -p isotherm-sql-sandbox --example raw_sql`",
        program.display()
    );
    let mut wire = Wire::start(&program, &layers, stderr);
    wire.send(&Request::Open(planted.limits.clone())).await;
    wire.send(&Request::Prepare { sources: planted.sources.clone() }).await;
    let Said::Json(opened) = wire.receive().await else { panic!("raw_sql did not open") };
    let Ok(Response::Opened { open_doors, .. }) = serde_json::from_slice(&opened) else { panic!("raw_sql failed") };
    leg.open_doors = open_doors;
    wire
}

/// A session with the product's program, of which every word is kept.
struct Session {
    wire: Wire,
    said: String,
}

impl Session {
    async fn start(planted: &Planted, stderr: &File) -> Self {
        let mut session = Self { wire: Wire::start(&sandbox_program::path(), &[], stderr), said: String::new() };
        let opened = session.ask(&Request::Open(planted.limits.clone())).await;
        assert!(matches!(opened, Some(Response::Opened { .. })), "the sandbox did not open: {}", session.said);
        session
    }

    /// The answer, or `None` if the session is over.
    async fn ask(&mut self, request: &Request) -> Option<Response> {
        self.wire.send(request).await;
        self.next().await
    }

    async fn next(&mut self) -> Option<Response> {
        loop {
            let (bytes, is_message) = match self.wire.receive().await {
                Said::Json(payload) => (payload, true),
                Said::Rows(piece) => (piece, false),
                Said::Nonsense(bytes) => {
                    self.said.push_str(&String::from_utf8_lossy(&bytes));
                    return None;
                }
                Said::Nothing => return None,
            };
            self.said.push_str(&String::from_utf8_lossy(&bytes));
            if is_message {
                return serde_json::from_slice(&bytes).ok().filter(|said| !matches!(said, Response::Failed(_)));
            }
        }
    }

    async fn parse(mut self, sql: &str) -> (Option<String>, String) {
        let tree = match self.ask(&Request::Parse { sql: sql.to_owned() }).await {
            Some(Response::Parsed { tree }) => Some(tree),
            _ => None,
        };
        (tree, self.said)
    }

    /// All steps of a text; whether it was answered, and all that was said.
    async fn whole(mut self, planted: &Planted, sql: &str) -> (bool, String) {
        let Some(Response::Parsed { tree }) = self.ask(&Request::Parse { sql: sql.to_owned() }).await else {
            return (false, self.said);
        };
        let relations = planted.sources.iter().map(|source| source.relation.clone()).collect();
        let planned = self.ask(&Request::Plan { tree: tree.clone(), relations }).await;
        if planned.is_none() {
            return (false, self.said);
        }
        self.run(planted, &tree).await
    }

    /// Runs a tree that nobody has looked at.
    async fn run(mut self, planted: &Planted, tree: &str) -> (bool, String) {
        if self.ask(&Request::Prepare { sources: planted.sources.clone() }).await.is_none() {
            return (false, self.said);
        }
        let (max_rows, max_bytes, timeout_ms) = (100_000, 16 << 20, 5_000);
        let run = Request::Run { tree: tree.to_owned(), max_rows, max_bytes, timeout_ms };
        let mut said = self.ask(&run).await;
        while let Some(Response::Columns { .. }) = said {
            said = self.next().await;
        }
        (matches!(said, Some(Response::Done { .. })), self.said)
    }
}

/// A file that a program logs to.
struct Log(File);

fn log() -> Log {
    Log(tempfile::tempfile().unwrap())
}

impl Log {
    fn read(&self) -> String {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.0.try_clone().unwrap();
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}
