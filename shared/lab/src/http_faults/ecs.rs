//! ECS as far as launching goes: what the emulator leaves out, and answers that get lost.
//!
//! The emulator ignores client tokens and has no rate limit, so both are kept here. Source: Amazon ECS API Reference, `RunTask`
//! and "Ensuring idempotency"; "Request throttling for the Amazon ECS API" (burst 100, then 20 a second).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{AfterCall, Call, Reply, Verdict};

/// How ECS behaves.
#[derive(Clone, Copy, Debug)]
pub struct EcsLimits {
    /// Calls in one moment.
    pub burst: f64,
    /// Calls a second after that.
    pub per_second: f64,
    /// Whether a token that was seen is answered with the task that it started.
    pub remembers_tokens: bool,
}

/// A launch that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Client token of the call.
    pub token: String,
    /// The task that it started.
    pub task_arn: String,
    /// Environment of the one container, as the call overrides it.
    pub environment: HashMap<String, String>,
}

/// What ECS has seen.
#[derive(Debug, Default)]
pub struct EcsTally {
    /// Every task that was started, in order.
    pub launched: Vec<Launched>,
    /// Calls of `RunTask`.
    pub calls: u64,
    /// Calls refused by the limit.
    pub throttled: u64,
    /// Calls answered from memory.
    pub repeated: u64,
    /// Calls that were carried out and left without an answer.
    pub cut: u64,
}

#[derive(Debug)]
struct State {
    tally: EcsTally,
    answers: HashMap<String, Reply>,
    /// Client tokens of calls that the emulator is carrying out.
    under_way: HashSet<String>,
    tokens: f64,
    refilled: Instant,
}

/// ECS before the emulator. Clones share what was seen.
#[derive(Clone, Debug)]
pub struct Ecs {
    limits: EcsLimits,
    state: Arc<Mutex<State>>,
}

impl Ecs {
    /// ECS with a full bucket.
    pub fn new(limits: EcsLimits) -> Self {
        let state = State {
            tally: EcsTally::default(),
            answers: HashMap::new(),
            under_way: HashSet::new(),
            tokens: limits.burst,
            refilled: Instant::now(),
        };
        Self { limits, state: Arc::new(Mutex::new(state)) }
    }

    /// Looks at what was seen so far.
    pub fn seen<T>(&self, look: impl FnOnce(&EcsTally) -> T) -> T {
        look(&self.lock().tally)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a call; the answer to a `RunTask` that is carried out is lost if `cut`.
    pub fn judge(&self, call: &Call, cut: bool) -> Verdict {
        if call.operation != "RunTask" {
            return Verdict::Pass;
        }
        let token = call.body["clientToken"].as_str().unwrap_or_default().to_owned();
        let mut state = self.lock();
        state.tally.calls += 1;
        if !state.take_token(self.limits) {
            state.tally.throttled += 1;
            return Verdict::Answer(Reply::error(400, "ThrottlingException"));
        }
        if self.limits.remembers_tokens
            && let Some(known) = state.answers.get(&token).cloned()
        {
            state.tally.repeated += 1;
            state.tally.cut += u64::from(cut);
            return if cut { Verdict::Cut } else { Verdict::Answer(known) };
        }
        if self.limits.remembers_tokens && !state.under_way.insert(token.clone()) {
            // A client that did not wait for the answer asks again. ECS starts one task for a token all the same.
            state.tally.cut += 1;
            return Verdict::Cut;
        }
        let (under_way, environment) = (UnderWay { ecs: self.clone(), token }, environment(&call.body));
        let after: AfterCall = Box::new(move |reply| {
            let mut state = under_way.ecs.lock();
            let token = under_way.token.clone();
            if let Some(arn) = reply.body["tasks"][0]["taskArn"].as_str() {
                state.tally.launched.push(Launched { token: token.clone(), task_arn: arn.to_owned(), environment });
                state.answers.insert(token, reply.clone());
            }
            state.tally.cut += u64::from(cut);
            // Before `under_way`, which takes the lock again when it goes.
            drop(state);
            (!cut).then_some(reply)
        });
        Verdict::PassOn(call.body.clone(), after)
    }
}

/// A call that is being carried out. Dropped when that is over, or came to nothing.
struct UnderWay {
    ecs: Ecs,
    token: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.ecs.lock().under_way.remove(&self.token);
    }
}

impl State {
    fn take_token(&mut self, limits: EcsLimits) -> bool {
        let since: Duration = self.refilled.elapsed();
        self.refilled = Instant::now();
        self.tokens = (self.tokens + since.as_secs_f64() * limits.per_second).min(limits.burst);
        let is_left = self.tokens >= 1.0;
        if is_left {
            self.tokens -= 1.0;
        }
        is_left
    }
}

fn environment(body: &Value) -> HashMap<String, String> {
    let container = &body["overrides"]["containerOverrides"][0]["environment"];
    let pair = |entry: &Value| Some((entry["name"].as_str()?.to_owned(), entry["value"].as_str()?.to_owned()));
    container.as_array().into_iter().flatten().filter_map(pair).collect()
}
