//! What Slack says to `chat.postMessage`. Pure.
//!
//! Source: Slack Web API, "Using the Slack Web API", "Rate limits" and the errors of `chat.postMessage`: 200 with `ok` true or false and
//! an `error`, 429 with `Retry-After`. The answer repeats the whole message behind `ok`, `channel` and `ts`, so that only its beginning
//! may be at hand.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::fault::{DeliveryFault, Verdict};

/// Members of an answer that say something.
#[derive(Debug, Default, PartialEq, Eq)]
struct Members {
    ok: Option<bool>,
    ts: Option<String>,
    error: Option<String>,
}

/// What Slack said: HTTP status, the wait that it asked for, and the beginning of its body.
pub fn of_slack(status: u16, asked: Option<Duration>, body: &[u8]) -> Verdict {
    if status == 429 {
        return Verdict::Failed(DeliveryFault::Throttled { status: Some(status), asked });
    }
    let members = beginning(body);
    match (status, members.ok) {
        (200..=299, Some(true)) => Verdict::Accepted { status: Some(status), message_id: members.ts },
        (_, Some(false)) => Verdict::Failed(of_error(status, asked, members.error.as_deref())),
        // A page of somebody in between, or an answer that broke off at once.
        (_, Some(true) | None) => Verdict::Failed(DeliveryFault::ServiceFailed { status: Some(status) }),
    }
}

fn of_error(status: u16, asked: Option<Duration>, error: Option<&str>) -> DeliveryFault {
    let told = Some(status);
    match error {
        Some("ratelimited" | "rate_limited" | "message_limit_exceeded") => {
            DeliveryFault::Throttled { status: told, asked }
        }
        Some(
            "account_inactive" | "token_revoked" | "is_archived" | "channel_is_archived" | "team_access_not_granted",
        ) => DeliveryFault::Gone { status },
        Some(
            "invalid_auth"
            | "not_authed"
            | "token_expired"
            | "channel_not_found"
            | "not_in_channel"
            | "missing_scope"
            | "no_permission"
            | "access_denied"
            | "ekm_access_denied"
            | "org_login_required"
            | "restricted_action"
            | "not_allowed_token_type"
            | "cannot_reply_to_message",
        ) => DeliveryFault::AccessRefused { status: told },
        Some(
            "msg_too_long"
            | "msg_blocks_too_long"
            | "no_text"
            | "invalid_blocks"
            | "invalid_blocks_format"
            | "too_many_attachments"
            | "invalid_arguments",
        ) => DeliveryFault::Rejected { status: told },
        _ => DeliveryFault::ServiceFailed { status: told },
    }
}

/// The members that stand in the beginning of an object, however it ends.
fn beginning(body: &[u8]) -> Members {
    let mut members = Members::default();
    // Where the text breaks off there is an error, and what came before it is in `members`.
    let _ = Reader(&mut members).deserialize(&mut serde_json::Deserializer::from_slice(body));
    members
}

struct Reader<'a>(&'a mut Members);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an answer of Slack")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name>()? {
            match name {
                Name::Ok => self.0.ok = Some(map.next_value()?),
                Name::Ts => self.0.ts = Some(map.next_value()?),
                Name::Error => self.0.error = Some(map.next_value()?),
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    Ok,
    Ts,
    Error,
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str =
        r#"{"ok":true,"channel":"C1","ts":"1503435956.000247","message":{"ts":"no","text":"hello"}}"#;

    fn accepted(ts: Option<&str>) -> Verdict {
        Verdict::Accepted { status: Some(200), message_id: ts.map(str::to_owned) }
    }

    #[test]
    fn an_answer_is_understood_wherever_it_breaks_off_behind_what_matters() {
        let matters = ACCEPTED.find(",\"message\"").unwrap();
        for end in matters..=ACCEPTED.len() {
            assert_eq!(of_slack(200, None, &ACCEPTED.as_bytes()[..end]), accepted(Some("1503435956.000247")), "{end}");
        }
        assert_eq!(of_slack(200, None, b"{\"ok\":true,\"cha"), accepted(None));
        let nothing = Verdict::Failed(DeliveryFault::ServiceFailed { status: Some(200) });
        for page in ["", "{\"ok\":tr", "<html>", "[]", "null", "{\"message\":{\"ok\":true}}"] {
            assert_eq!(of_slack(200, None, page.as_bytes()), nothing, "{page}");
        }
    }

    #[test]
    fn errors_are_told_apart() {
        let fault = |status, error: &str| {
            let body = format!(r#"{{"ok":false,"error":"{error}"}}"#);
            match of_slack(status, Some(Duration::from_secs(30)), body.as_bytes()) {
                Verdict::Failed(fault) => fault,
                accepted @ Verdict::Accepted { .. } => panic!("{error}: {accepted:?}"),
            }
        };
        let (asked, status) = (Some(Duration::from_secs(30)), Some(200));
        assert_eq!(fault(200, "ratelimited"), DeliveryFault::Throttled { status, asked });
        assert_eq!(fault(429, "ratelimited"), DeliveryFault::Throttled { status: Some(429), asked });
        assert_eq!(fault(200, "token_revoked"), DeliveryFault::Gone { status: 200 });
        assert_eq!(fault(200, "not_in_channel"), DeliveryFault::AccessRefused { status });
        assert_eq!(fault(200, "msg_too_long"), DeliveryFault::Rejected { status });
        assert_eq!(fault(200, "internal_error"), DeliveryFault::ServiceFailed { status });
        assert_eq!(fault(500, "who_knows"), DeliveryFault::ServiceFailed { status: Some(500) });
    }
}
