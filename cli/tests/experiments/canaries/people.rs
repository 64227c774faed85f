//! Who is told of the chain, and who asks: channels of every kind, a token that counts and one that does not, a webhook that fires.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use isotherm_lab::experiment::Experiment;
use isotherm_lab::process::eventually;
use isotherm_types::{Clock as _, SystemClock};
use rand::Rng as _;
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::drive::{ACCOUNT, Drive};
use super::receivers::SLACK_CHANNEL;

const RULES: &str = "
alerts:
  - { name: each-block, chain: test, source: { dataset: blocks }, channels: [hooks, failing, ops, ann] }
";

impl Drive {
    /// A reader is told of a block over each kind of channel, and calls the API as a user and as nobody.
    pub(crate) async fn people_are_told(&mut self, experiment: &Experiment) {
        self.must(&["login"]).await;
        let token = fs::read_to_string(self.stack.folder().join("identity/token")).unwrap().trim().to_owned();
        let (claims, signature) = token.rsplit_once('.').unwrap();
        self.hide("token", signature);
        let forged = URL_SAFE_NO_PAD.encode(self.bytes::<64>());
        let (right, _) = self.call(Method::GET, "/v1/whoami", &token, &Value::Null).await;
        let (wrong, _) = self.call(Method::GET, "/v1/whoami", &format!("{claims}.{forged}"), &Value::Null).await;
        self.hide("forged_token", forged);
        for name in ["token", "issuer_key", "forged_token"] {
            self.saw(name, (right, wrong) == (200, 401));
        }
        if experiment.lacks("plain_text") {
            let url = self.doors.doors[0].url.clone();
            self.must(&["jobs", "pause", "heartbeat", "--reason", &format!("no answer from {url}")]).await;
        }

        let hook = self.add_webhook("hooks", &self.receivers.hook_url(), &token).await;
        self.hide("hook_key", key_bytes(&hook));
        let failing = self.add_webhook("failing", &self.receivers.failing_url(), &token).await;
        self.hide("failing_hook_key", key_bytes(&failing));
        self.shapes_are_refused(&token).await;
        self.people_are_asked().await;
        let slack_token = self.receivers.slack_token().to_owned();
        let added = ["channels", "add", "ops", "--slack", SLACK_CHANNEL, "--per-minute", "600"];
        let added = self.run_with_input(&added, &format!("{slack_token}\n")).await;
        assert_eq!(added.code, Some(0), "{added:?}");

        let rules = self.stack.folder().join("alerts.yaml");
        fs::write(&rules, RULES).unwrap();
        self.must(&["alerts", "apply", rules.to_str().unwrap()]).await;
        self.traffic.mine_block().await.unwrap();
        let receivers = &self.receivers;
        let told = async || receivers.genuine(&hook) > 0 && receivers.to_slack() > 0 && receivers.failed() > 0;
        eventually("each receiver to be told", told).await.unwrap();
        for name in ["hook_path", "hook_key", "sealing_key", "slack_token", "failing_hook_path", "failing_hook_key"] {
            self.saw(name, true);
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.random.random())
    }

    /// By the API, whose answer shows address and key to whoever has made it, on purpose. Its key.
    async fn add_webhook(&self, name: &str, url: &str, token: &str) -> String {
        let channel = json!({ "name": name, "address": { "kind": "webhook", "url": url }, "per_minute": 600 });
        let (status, answer) = self.ask(Method::POST, "/v1/channels", token, &channel).await;
        assert_eq!(status, 201, "{name} was not made");
        let made: Value = serde_json::from_str(answer.lines().next().unwrap()).unwrap();
        made["address"]["keys"][0].as_str().unwrap().to_owned()
    }

    /// Channels whose secrets stand where they do not belong.
    async fn shapes_are_refused(&mut self, token: &str) {
        let word = self.word();
        self.hide("misplaced_token", format!("xoxb-{word}"));
        let secret = format!("xoxb-{word}");
        let mut are_refused = true;
        for address in [
            json!(secret),
            json!({ "kind": secret }),
            json!({ "kind": "slack", "token": 7, "channel": secret }),
            json!({ "kind": "slack", "token": secret, "channel": "general" }),
            json!({ "kind": "webhook", "url": format!("http://127.0.0.1:9/{secret}"), "keys": [secret] }),
            json!({ "kind": "webhook", "url": format!("ftp://{secret}@example.org/") }),
            json!({ "kind": "email", "to": [secret] }),
        ] {
            let channel = json!({ "name": "odd", "address": address });
            let (status, _) = self.call(Method::POST, "/v1/channels", token, &channel).await;
            are_refused &= (400..500).contains(&status);
        }
        self.saw("misplaced_token", are_refused);
    }

    /// A mailbox and a telephone, and the code that one of them is sent.
    async fn people_are_asked(&mut self) {
        let mailbox = self.word();
        let number = format!("+1555{:09}", self.random.random_range(0..1_000_000_000_u64));
        let (to, api) = (format!("{mailbox}@example.org"), self.receivers.slack_api());
        self.hide("mailbox", &mailbox);
        self.hide("telephone", &number[1..]);
        self.restart("alert_deliver", &[("ISOTHERM_SLACK_API", &api)]).await;
        self.must(&["channels", "add", "ann", "--email", &to, "--per-minute", "600"]).await;
        self.must(&["channels", "add", "pager", "--sms", &number, "--per-minute", "600"]).await;
        let endpoint_url = self.text("endpoint_url");
        let (mut code, mut is_texted) = (None, false);
        let sent = eventually("the codes to be sent", async || {
            let emails = inspect(&endpoint_url, "ses/messages").await["messages"][ACCOUNT].clone();
            let is_to = |email: &&Value| email.to_string().contains(&to);
            let email = emails.as_array().and_then(|emails| emails.iter().find(is_to).cloned());
            code = email.and_then(|email| code_in(email["BodyText"].as_str()?));
            let texts = inspect(&endpoint_url, "sns/sms-messages").await["sms_messages"][&number].clone();
            is_texted = texts.as_array().is_some_and(|texts| !texts.is_empty());
            code.is_some() && is_texted
        });
        sent.await.unwrap();
        let code = code.unwrap();
        self.hide("code", &code);
        self.hide("code", code.replace('-', ""));
        let confirmed = self.run(&["channels", "confirm", "ann", &code]).await;
        self.saw("code", confirmed.code == Some(0));
        self.saw("mailbox", true);
        self.saw("telephone", is_texted);
    }

    /// One delivery that is signed, and one that somebody else has signed.
    pub(crate) async fn a_webhook_fires(&mut self) {
        let [key, other] = [self.bytes::<32>(), self.bytes::<32>()];
        self.hide("trigger_key", key);
        let text = |key: &[u8]| format!("whsec_{}", STANDARD.encode(key));
        let set = self.run_with_input(&["secrets", "set", "webhook/test"], &text(&key)).await;
        assert_eq!(set.code, Some(0), "{set:?}");
        let (now, body) = (SystemClock.now().timestamp(), "{}");
        let mut statuses = Vec::new();
        for key in [key, other] {
            let signature = Webhook::new(&text(&key)).unwrap().sign("msg_1", now, body.as_bytes()).unwrap();
            let url = format!("{}/v1/webhooks/default/call", self.text("api_url"));
            let call = reqwest::Client::new().post(url).header("webhook-id", "msg_1").body(body);
            let call = call.header("webhook-timestamp", now.to_string()).header("webhook-signature", signature);
            let answer = call.send().await.unwrap();
            statuses.push(answer.status().as_u16());
            let said = answer.text().await.unwrap();
            self.note("POST /v1/webhooks", said);
        }
        self.saw("trigger_key", statuses == [202, 401]);
    }
}

/// What a key of Standard Webhooks stands for.
fn key_bytes(key: &str) -> Vec<u8> {
    STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap()
}

/// A page of the emulator's that shows what it was asked to send.
async fn inspect(endpoint_url: &str, page: &str) -> Value {
    let answer = reqwest::get(format!("{endpoint_url}/_ministack/{page}?account={ACCOUNT}")).await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// The code in a text: ten letters and digits, parted in the middle.
fn code_in(text: &str) -> Option<String> {
    let mut words = text.split(|letter: char| letter != '-' && !letter.is_ascii_alphanumeric());
    words.find(|word| word.len() == 11 && word.as_bytes()[5] == b'-').map(str::to_owned)
}
