//! Who is told: a webhook that accepts, one that fails and repeats what it was sent, and a Slack, all behind one port.

use std::sync::{Arc, Mutex, PoisonError};

use isotherm_lab::http_faults::{Call, HttpFaults, RawReply, Reply, Verdict};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use standardwebhooks::Webhook;

pub(crate) const SLACK_CHANNEL: &str = "C0123456789";
/// What signs. **Source**: Standard Webhooks, "Webhook headers".
const SIGNED: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

pub(crate) struct Receivers {
    server: HttpFaults,
    came: Arc<Mutex<Vec<Call>>>,
    hook: String,
    failing: String,
    slack_token: String,
}

impl Receivers {
    /// With these words in the paths of the webhooks, and this token of a Slack's bot.
    pub(crate) async fn open(hook: &str, failing: &str, slack_token: &str) -> Self {
        let came = Arc::<Mutex<Vec<Call>>>::default();
        let (noting, expected) = (Arc::clone(&came), format!("Bearer {slack_token}"));
        let server = HttpFaults::start("http://127.0.0.1:1", move |call| {
            noting.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
            answer(call, &expected)
        });
        let [hook, failing, slack_token] = [hook, failing, slack_token].map(str::to_owned);
        Self { server: server.await.unwrap(), came, hook, failing, slack_token }
    }

    pub(crate) fn hook_url(&self) -> String {
        format!("{}/hook/{}", self.server.endpoint_url(), self.hook)
    }

    pub(crate) fn failing_url(&self) -> String {
        format!("{}/failing?key={}", self.server.endpoint_url(), self.failing)
    }

    pub(crate) fn slack_api(&self) -> String {
        format!("{}/api", self.server.endpoint_url())
    }

    pub(crate) fn slack_token(&self) -> &str {
        &self.slack_token
    }

    fn calls(&self, is_meant: impl Fn(&Call) -> bool) -> Vec<Call> {
        let came = self.came.lock().unwrap();
        came.iter().filter(|call| is_meant(call)).cloned().collect()
    }

    /// What came to the webhook that accepts, and is signed with `key`.
    pub(crate) fn genuine(&self, key: &str) -> usize {
        let webhook = Webhook::new(key).unwrap();
        let path = format!("/hook/{}", self.hook);
        let is_genuine = |call: &Call| call.path() == path && webhook.verify(call.bytes(), &signature(call)).is_ok();
        self.calls(is_genuine).len()
    }

    pub(crate) fn failed(&self) -> usize {
        let path = format!("/failing?key={}", self.failing);
        self.calls(|call| call.path() == path).len()
    }

    /// What came to Slack with the bot's token.
    pub(crate) fn to_slack(&self) -> usize {
        let expected = format!("Bearer {}", self.slack_token);
        self.calls(|call| call.header("authorization") == Some(expected.as_str())).len()
    }
}

fn answer(call: &Call, authorization: &str) -> Verdict {
    if call.path() == "/api/chat.postMessage" {
        let is_right = call.header("authorization") == Some(authorization);
        let right = json!({ "ok": true, "channel": SLACK_CHANNEL, "ts": "1503435956.000247" });
        let body = if is_right { right } else { json!({ "ok": false, "error": "invalid_auth" }) };
        return Verdict::Answer(Reply { status: 200, body });
    }
    if call.path().starts_with("/hook/") {
        return Verdict::Answer(Reply { status: 200, body: json!({}) });
    }
    let signature = call.header("webhook-signature").unwrap_or_default();
    let said = format!("cannot do {} {} signed {signature}", call.method(), call.path());
    Verdict::AnswerRaw(RawReply { status: 500, content_type: "text/plain", body: said.into_bytes() })
}

fn signature(call: &Call) -> HeaderMap {
    let header =
        |name: &'static str| Some((HeaderName::from_static(name), HeaderValue::from_str(call.header(name)?).ok()?));
    SIGNED.into_iter().filter_map(header).collect()
}
