//! Doors of a chain's node that ask for a key, each at another place of its address. Told to, they misbehave, and repeat what they
//! were asked with: its line, its key and their whole address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_lab::http_faults::{Call, HttpFaults, RawReply, Reply, Verdict};
use serde_json::{Value, json};

use super::secret_word;

/// How doors answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As the node does.
    Honest,
    /// With this HTTP status, and a text.
    Status(u16),
    /// With an error of JSON-RPC for each call.
    Words,
    /// With a web page, as if all were well.
    Page,
    /// Not at all: the connection is closed.
    Silent,
    /// As the node does, but for each block's gas; nobody else's hash fits that.
    Untrue,
}

/// Moods in which nothing is served.
pub(crate) const REFUSALS: [Mood; 6] =
    [Mood::Status(500), Mood::Words, Mood::Page, Mood::Silent, Mood::Status(403), Mood::Status(429)];

/// One door.
pub(crate) struct Door {
    /// Name of its key.
    pub(crate) name: &'static str,
    /// What its address hides.
    pub(crate) key: String,
    /// The whole address.
    pub(crate) url: String,
    state: Arc<State>,
    _door: HttpFaults,
}

struct State {
    mood: Mutex<Mood>,
    /// What it repeats beside the request.
    repeats: Mutex<String>,
    /// Requests with the key, and of these what was not answered honestly.
    with_key: AtomicU64,
    provoked: AtomicU64,
}

/// Where a door wants its key.
#[derive(Clone, Copy)]
enum Place {
    Path,
    Query,
    /// Sent as the header `Authorization`.
    UserInfo,
    /// Of an address over WebSocket, for which nobody is at home.
    WebSocket,
}

impl Door {
    async fn open(name: &'static str, place: Place, node_url: &str, random: u128) -> Self {
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Honest),
            repeats: Mutex::default(),
            with_key: AtomicU64::new(0),
            provoked: AtomicU64::new(0),
        });
        let word = secret_word(random);
        // A password has letters that an address must not have.
        let key = if matches!(place, Place::UserInfo) { format!("pw/{word}@!") } else { word.clone() };
        let (rule_state, rule_key) = (Arc::clone(&state), key.clone());
        // The node knows one path only: it gets the door's as a query, which it does not look at.
        let door = HttpFaults::start(format!("{node_url}/?"), move |call| rule_state.judge(call, place, &rule_key));
        let door = door.await.unwrap();
        let host = door.endpoint_url().replace("http://", "");
        let url = match place {
            Place::Path => format!("http://{host}/v2/{key}"),
            Place::Query => format!("http://{host}/?apikey={key}"),
            Place::UserInfo => format!("http://rpc-user:pw%2F{word}%40%21@{host}/"),
            Place::WebSocket => format!("ws://{host}/ws/{key}"),
        };
        url.clone_into(&mut state.repeats.lock().unwrap());
        Self { name, key, url, state, _door: door }
    }

    /// How many requests came with the key.
    pub(crate) fn with_key(&self) -> u64 {
        self.state.with_key.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// Has it repeat another text than its own address.
    pub(crate) fn repeat(&self, text: &str) {
        text.clone_into(&mut self.state.repeats.lock().unwrap());
    }
}

impl State {
    fn judge(&self, call: &Call, place: Place, key: &str) -> Verdict {
        let shown = match place {
            Place::Path => call.path() == format!("/v2/{key}"),
            Place::Query => call.path() == format!("/?apikey={key}"),
            Place::UserInfo => {
                let expected = format!("Basic {}", STANDARD.encode(format!("rpc-user:{key}")));
                call.header("authorization") == Some(expected.as_str())
            }
            Place::WebSocket => call.path() == format!("/ws/{key}"),
        };
        if !shown {
            return Verdict::AnswerRaw(text(401, "a key is needed"));
        }
        self.with_key.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        if mood != Mood::Honest {
            self.provoked.fetch_add(1, Ordering::Relaxed);
        }
        let authorization = call.header("authorization").unwrap_or_default();
        let repeated = self.repeats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = format!("not for {} {} {authorization} at {repeated}", call.method(), call.path());
        match (place, mood) {
            (Place::WebSocket, _) => Verdict::AnswerRaw(text(403, &said)),
            (_, Mood::Honest) => Verdict::Pass,
            (_, Mood::Status(status)) => Verdict::AnswerRaw(text(status, &said)),
            (_, Mood::Words) => Verdict::Answer(Reply { status: 200, body: refused(&call.body, &said) }),
            (_, Mood::Page) => Verdict::AnswerRaw(text(200, &format!("<html>{said}</html>"))),
            (_, Mood::Silent) => Verdict::Cut,
            (_, Mood::Untrue) => {
                let spoil = move |mut reply: Reply| {
                    spoil(&mut reply.body, &said);
                    Some(reply)
                };
                Verdict::PassOn(call.body.clone(), Box::new(spoil))
            }
        }
    }
}

fn text(status: u16, said: &str) -> RawReply {
    RawReply { status, content_type: "text/plain", body: said.as_bytes().to_vec() }
}

/// The answer to one call or to a batch. Source: JSON-RPC 2.0, sections 5.1 and 6.
fn refused(body: &Value, said: &str) -> Value {
    let one =
        |call: &Value| json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -32_000, "message": said } });
    match body.as_array() {
        Some(calls) => calls.iter().map(one).collect(),
        None => one(body),
    }
}

/// Gives each block of an answer another gas, and has `said` stand in a field that no hash vouches for.
fn spoil(body: &mut Value, said: &str) {
    let replies = match body {
        Value::Array(replies) => replies.iter_mut().collect(),
        single => vec![single],
    };
    for reply in replies {
        if let Some(block) = reply.get_mut("result").filter(|result| result.get("gasUsed").is_some()) {
            block["gasUsed"] = json!("0x1");
            block["totalDifficulty"] = json!(said);
        }
    }
}

/// All doors of one node.
pub(crate) struct Doors {
    pub(crate) doors: [Door; 4],
}

impl Doors {
    /// `random` makes a number for each key.
    pub(crate) async fn open(node_url: &str, mut random: impl FnMut() -> u128) -> Self {
        let path = Door::open("rpc_path", Place::Path, node_url, random()).await;
        let query = Door::open("rpc_query", Place::Query, node_url, random()).await;
        let user_info = Door::open("rpc_password", Place::UserInfo, node_url, random()).await;
        let web_socket = Door::open("rpc_web_socket", Place::WebSocket, node_url, random()).await;
        Self { doors: [path, query, user_info, web_socket] }
    }

    /// As `--rpc-url` takes them.
    pub(crate) fn urls(&self) -> String {
        self.doors.each_ref().map(|door| door.url.as_str()).join(",")
    }

    pub(crate) fn set_all(&self, mood: Mood) {
        self.doors.iter().for_each(|door| door.set(mood));
    }

    /// How many requests were not answered honestly.
    pub(crate) fn provoked(&self) -> u64 {
        self.doors.iter().map(|door| door.state.provoked.load(Ordering::Relaxed)).sum()
    }
}
