//! Who is told: two webhooks, the emulator's SES and SNS, and a Slack. All that arrives is looked at once.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use isotherm_lab::http_faults::{HttpFaults, Reply, Verdict};
use isotherm_lab::process::eventually;
use isotherm_lab::tools;
use isotherm_lab::webhook_zoo::{Behaviour, Received, WebhookZoo};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Account of the local stack.
pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const NUMBER: &str = "+15551230042";
pub(crate) const SLACK_CHANNEL: &str = "C0123456789";
pub(crate) const SLACK_TOKEN: &str = "xoxb-1234-abcdEFGH";

const VERIFY: &str = include_str!("verify.py");

/// One webhook: where it is, its key once it has one, and how much of what it got has been looked at.
struct Hook {
    url: String,
    key: String,
    seen: usize,
}

/// What was noted on its way.
type Noted = Arc<Mutex<Vec<Value>>>;

pub(crate) struct Receivers {
    zoo: WebhookZoo,
    hooks: Hook,
    quiet: Hook,
    slack: HttpFaults,
    slack_calls: Noted,
    ses: HttpFaults,
    ses_calls: Noted,
    endpoint_url: String,
    /// Emails and text messages that carried codes: they came first.
    codes: usize,
}

impl Receivers {
    /// `endpoint_url` is that of the emulator.
    pub(crate) async fn start(endpoint_url: &str) -> Self {
        let zoo = WebhookZoo::start().await.unwrap();
        let hook = || Hook { url: zoo.url(Behaviour::Accept), key: String::new(), seen: 0 };
        let (hooks, quiet) = (hook(), hook());
        let (slack_calls, ses_calls) = (Noted::default(), Noted::default());
        // Slack itself: it has nothing to pass calls on to.
        let noting = Arc::clone(&slack_calls);
        let slack = HttpFaults::start("http://127.0.0.1:1", move |call| {
            let authorization = format!("Bearer {SLACK_TOKEN}");
            let is_right =
                call.path() == "/api/chat.postMessage" && call.header("authorization") == Some(authorization.as_str());
            let mut noted = noting.lock().unwrap();
            let body = match fault_of_slack(&call.body) {
                _ if !is_right => json!({ "ok": false, "error": "invalid_auth" }),
                Some(fault) => json!({ "ok": false, "error": fault }),
                None => {
                    let ts = message_id(noted.len());
                    json!({ "ok": true, "channel": call.body["channel"], "ts": ts, "message": call.body })
                }
            };
            noted.push(call.body.clone());
            Verdict::Answer(Reply { status: 200, body })
        });
        // The emulator does not keep headers of emails, so they are noted on the way.
        let noting = Arc::clone(&ses_calls);
        let ses = HttpFaults::start(endpoint_url, move |call| {
            if call.path().ends_with("/outbound-emails") {
                noting.lock().unwrap().push(call.body.clone());
            }
            Verdict::Pass
        });
        let (slack, ses) = (slack.await.unwrap(), ses.await.unwrap());
        let endpoint_url = endpoint_url.to_owned();
        Self { zoo, hooks, quiet, slack, slack_calls, ses, ses_calls, endpoint_url, codes: 0 }
    }

    pub(crate) fn hooks_url(&self) -> String {
        self.hooks.url.clone()
    }

    pub(crate) fn quiet_url(&self) -> String {
        self.quiet.url.clone()
    }

    pub(crate) fn slack_api(&self) -> String {
        format!("{}/api", self.slack.endpoint_url())
    }

    pub(crate) fn ses_endpoint(&self) -> String {
        self.ses.endpoint_url()
    }

    /// The key of the next webhook that has none.
    pub(crate) fn add_key(&mut self, key: &str) {
        let hook = [&mut self.hooks, &mut self.quiet].into_iter().find(|hook| hook.key.is_empty());
        key.clone_into(&mut hook.unwrap().key);
    }

    /// What the first webhook got since it was looked at, verified.
    pub(crate) async fn hooks(&mut self) -> Vec<Value> {
        self.hooks.arrived(&self.zoo).await
    }

    /// The same of the second one.
    pub(crate) async fn quiet(&mut self) -> Vec<Value> {
        self.quiet.arrived(&self.zoo).await
    }

    /// All emails, text messages and calls of Slack so far, without the codes.
    pub(crate) async fn others(&self) -> (Vec<Value>, Vec<Value>, Vec<Value>) {
        let (mut emails, mut texts) = self.emails_and_texts().await;
        emails.drain(..self.codes);
        texts.drain(..self.codes);
        (emails, texts, self.slack_calls.lock().unwrap().clone())
    }

    async fn emails_and_texts(&self) -> (Vec<Value>, Vec<Value>) {
        let emails = self.inspect("ses/messages").await["messages"][ACCOUNT].clone();
        let texts = self.inspect("sns/sms-messages").await["sms_messages"][NUMBER].clone();
        let list = |value: Value| value.as_array().cloned().unwrap_or_default();
        (list(emails), list(texts))
    }

    /// The codes that the mailbox and the telephone were sent, once both are there.
    pub(crate) async fn codes(&mut self) -> [String; 2] {
        let arrived = eventually("the codes to arrive", async || {
            let (emails, texts) = self.emails_and_texts().await;
            emails.len() == 1 && texts.len() == 1
        });
        arrived.await.unwrap();
        let (emails, texts) = self.emails_and_texts().await;
        self.codes = 1;
        [&emails[0]["BodyText"], &texts[0]["Message"]].map(|text| code_in(text.as_str().unwrap()))
    }

    /// The last email, text message and call of Slack are about `transaction`, correct the first ones about it, and say `word`; there
    /// are no others about it.
    pub(crate) async fn assert_threads(&self, transaction: &str, word: &str) {
        let (emails, texts, slack) = self.others().await;
        let about = |value: &&Value| value.to_string().contains(transaction);
        let of_emails: Vec<&Value> = emails.iter().filter(about).collect();
        let [first, correction] = of_emails.as_slice() else { panic!("{of_emails:?}") };
        let subject = format!("Re: {}", first["Subject"].as_str().unwrap());
        assert_eq!(correction["Subject"], json!(subject));
        let original = format!("<{}>", first["MessageId"].as_str().unwrap());
        let noted = self.ses_calls.lock().unwrap().clone();
        let noted = noted.iter().rfind(about).unwrap();
        let expected =
            json!([{ "Name": "In-Reply-To", "Value": original }, { "Name": "References", "Value": original }]);
        assert_eq!(noted["Content"]["Simple"]["Headers"], expected);

        let places: Vec<usize> = (0..slack.len()).filter(|place| about(&&slack[*place])).collect();
        let [first, correction] = places.as_slice() else { panic!("{places:?}") };
        assert_eq!(slack[*first]["thread_ts"], Value::Null);
        assert_eq!(slack[*correction]["thread_ts"], json!(message_id(*first)));

        // A text message has no room for the transaction.
        let said: Vec<&str> = texts.iter().map(|text| text["Message"].as_str().unwrap()).collect();
        let [.., first, correction] = said.as_slice() else { panic!("{said:?}") };
        assert!(first.starts_with("CRITICAL large test block "), "{said:?}");
        assert!(correction.starts_with(&format!("{word} large test block ")), "{said:?}");
        assert_eq!(said.iter().filter(|said| said.starts_with(word)).count(), 1, "{said:?}");
    }

    async fn inspect(&self, page: &str) -> Value {
        let url = format!("{}/_ministack/{page}?account={ACCOUNT}", self.endpoint_url);
        let answer = reqwest::get(url).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

/// The only code in a text: ten letters and digits, parted in the middle.
fn code_in(text: &str) -> String {
    let words = text.split(|letter: char| letter != '-' && !letter.is_ascii_alphanumeric());
    let codes: Vec<&str> = words.filter(|word| word.len() == 11 && word.as_bytes()[5] == b'-').collect();
    let [code] = codes.as_slice() else { panic!("{text}: {codes:?}") };
    (*code).to_owned()
}

/// What Slack calls its message number `place`.
fn message_id(place: usize) -> String {
    format!("1503435956.{place:06}")
}

/// What Slack would have against the arguments of `chat.postMessage`. Source: Slack Web API, `chat.postMessage` (errors), and Block Kit,
/// section and context blocks.
fn fault_of_slack(arguments: &Value) -> Option<&'static str> {
    let text = |value: &Value, most: usize| {
        value.as_str().is_some_and(|text| !text.is_empty() && text.chars().count() <= most)
    };
    if arguments["channel"] != SLACK_CHANNEL {
        return Some("channel_not_found");
    }
    if !text(&arguments["text"], 4_000) {
        return Some("no_text");
    }
    let is_text = |object: &Value| object["type"] == "mrkdwn" && text(&object["text"], 3_000);
    let is_block = |block: &Value| match block["type"].as_str() {
        Some("section") => is_text(&block["text"]),
        Some("context") => block["elements"]
            .as_array()
            .is_some_and(|elements| (1..=10).contains(&elements.len()) && elements.iter().all(is_text)),
        _ => false,
    };
    let blocks = arguments["blocks"].as_array();
    let are_blocks = blocks.is_some_and(|blocks| (1..=50).contains(&blocks.len()) && blocks.iter().all(is_block));
    (!are_blocks).then_some("invalid_blocks")
}

impl Hook {
    async fn arrived(&mut self, zoo: &WebhookZoo) -> Vec<Value> {
        let received = zoo.received(&self.url).split_off(self.seen);
        self.seen += received.len();
        if !received.is_empty() {
            let webhook = Webhook::new(&self.key).unwrap();
            for message in &received {
                webhook.verify(&message.body, &headers(message)).unwrap();
            }
            self.verify_in_python(&received).await;
        }
        received.iter().map(|message| serde_json::from_slice(&message.body).unwrap()).collect()
    }

    async fn verify_in_python(&self, received: &[Received]) {
        let all = received.iter().map(|message| {
            let body = std::str::from_utf8(&message.body).unwrap();
            json!({ "key": self.key, "headers": message.headers, "body": body })
        });
        let input = Value::from_iter(all).to_string();
        let mut python = Command::new(tools::callers_python().unwrap());
        python.args(["-c", VERIFY]).env_clear().kill_on_drop(true);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = python.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let ended = child.wait_with_output().await.unwrap();
        let [said, faults] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert_eq!(said.trim(), received.len().to_string(), "{faults}");
    }
}

fn headers(received: &Received) -> HeaderMap {
    let header = |(name, value): (&String, &String)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    received.headers.iter().filter_map(header).collect()
}
