//! Firing by hand: asked of the `api` Lambda by direct invocation.

use anyhow::{Context, bail};
use isotherm_local_stack::LocalAws;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{FiringArguments, Output};
use crate::output::say;
use crate::{machine, output};

/// What is fired.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Job(&'a str),
    Trigger(&'a str),
}

/// A firing that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Fired {
    pub(crate) event_id: i64,
    /// Whether it was recorded now; otherwise an earlier one of the same key was.
    pub(crate) new: bool,
}

/// What the `api` Lambda answers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reply {
    Refused { error: Refusal },
    Fired(Fired),
}

#[derive(Debug, Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

/// Fires `target` once for the key of `firing`.
///
/// # Errors
/// If the Lambda cannot be reached, or refuses.
pub(crate) async fn fire(aws: &LocalAws, target: Target<'_>, firing: &FiringArguments) -> anyhow::Result<Fired> {
    parse(&machine::invoke(aws, "api", &request(target, firing)).await?)
}

fn request(target: Target<'_>, firing: &FiringArguments) -> Value {
    let (action, field, name) = match target {
        Target::Job(name) => ("run_job", "job", name),
        Target::Trigger(name) => ("fire_trigger", "trigger", name),
    };
    let mut request = json!({ "version": 1, "action": action, "org": "default", "input": firing.input });
    request[field] = json!(name);
    if let Some(key) = &firing.key {
        request["idempotency_key"] = json!(key);
    }
    request
}

fn parse(answer: &[u8]) -> anyhow::Result<Fired> {
    let reply = serde_json::from_slice(answer).with_context(|| {
        format!("the answer of the api function is not understood: {}", String::from_utf8_lossy(answer))
    })?;
    match reply {
        Reply::Fired(fired) => Ok(fired),
        Reply::Refused { error } => bail!("it was refused ({}): {}", error.code, error.message),
    }
}

/// Prints what became of it.
pub(crate) fn print(fired: Fired, printed: Output) -> anyhow::Result<()> {
    output::show(printed, &to_json(fired), || {
        let Fired { event_id, new } = fired;
        if new {
            say!("event {event_id} is recorded; its task follows within seconds");
        } else {
            say!("event {event_id} was recorded for this key before; no other task is made");
        }
    })
}

fn to_json(fired: Fired) -> Value {
    json!({ "event_id": fired.event_id, "new": fired.new })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_request_names_its_target_and_a_key_only_if_there_is_one() {
        let firing = FiringArguments { input: json!({ "steps": 3 }), key: Some("k".to_owned()) };
        let expected = json!({ "version": 1, "action": "run_job", "org": "default", "job": "work",
                               "input": { "steps": 3 }, "idempotency_key": "k" });
        assert_eq!(request(Target::Job("work"), &firing), expected);
        let bare = FiringArguments { input: json!({}), key: None };
        let expected = json!({ "version": 1, "action": "fire_trigger", "org": "default", "trigger": "t", "input": {} });
        assert_eq!(request(Target::Trigger("t"), &bare), expected);
    }

    #[test]
    fn an_answer_is_an_event_or_a_refusal() {
        let fired = parse(br#"{"event_id":12,"new":false}"#).unwrap();
        assert_eq!(fired, Fired { event_id: 12, new: false });
        golden::check("triggers_fire", &to_json(fired));
        let refused = parse(br#"{"error":{"code":"control.unknown_job","message":"there is no job x"}}"#).unwrap_err();
        assert_eq!(refused.to_string(), "it was refused (control.unknown_job): there is no job x");
        for strange in [&b""[..], b"{}", b"null", br#"{"event_id":"12","new":true}"#] {
            assert!(parse(strange).unwrap_err().to_string().contains("not understood"), "{strange:?}");
        }
    }
}
