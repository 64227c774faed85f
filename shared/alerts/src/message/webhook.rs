//! The body of a webhook: JSON as Standard Webhooks proposes it, `type`, `timestamp` and `data`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{AlertMessage, Change, Message, NoticeContent};
use crate::deliveries::DeliveryId;
use crate::digest::{DigestContent, DigestGroup};

#[derive(Serialize)]
struct Body<T> {
    r#type: &'static str,
    timestamp: String,
    data: T,
}

#[derive(Serialize)]
struct AlertData<'a> {
    alert_id: String,
    rule: &'a str,
    severity: &'a str,
    chain: &'a str,
    chain_id: i64,
    block_number: i64,
    block_hash: &'a str,
    transaction_hash: Option<&'a str>,
    position: i32,
    title: &'a str,
    message: &'a str,
    facts: &'a Value,
    state: &'a str,
    /// Why it is taken back; in retractions only.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct DigestData<'a> {
    digest_id: String,
    count: u64,
    groups: &'a [DigestGroup],
    more: u64,
}

#[derive(Serialize)]
struct TestData<'a> {
    channel: &'a str,
    asked_by: &'a str,
}

#[derive(Serialize)]
struct DisabledData<'a> {
    channel: &'a str,
    channel_kind: &'a str,
    code: &'a str,
}

#[derive(Serialize)]
struct CodeData<'a> {
    channel: &'a str,
}

#[derive(Serialize)]
struct QuarantinedData<'a> {
    rule_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    code: &'a str,
    message: &'a str,
}

/// The body of `message`, which was made at `at`: the same text for every attempt, as long as the ledger says the same.
///
/// # Errors
/// What serde reports; facts are JSON, so there is nothing that it could.
pub fn body(message: &Message, at: DateTime<Utc>) -> serde_json::Result<String> {
    let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    match message {
        Message::Alert(alert) => {
            let r#type = match alert.change {
                Change::Fired => "alert.fired",
                Change::Retracted(_) => "alert.retracted",
                Change::Moved => "alert.moved",
            };
            serde_json::to_string(&Body { r#type, timestamp, data: alert_data(alert) })
        }
        Message::Digest { id, content } => {
            serde_json::to_string(&Body { r#type: "alert.digest", timestamp, data: digest_data(*id, content) })
        }
        Message::Test(test) => {
            let data = TestData { channel: &test.channel, asked_by: &test.asked_by };
            serde_json::to_string(&Body { r#type: "alert.test", timestamp, data })
        }
        Message::Notice(NoticeContent::ChannelDisabled { channel, channel_kind, code }) => {
            let data = DisabledData { channel, channel_kind, code };
            serde_json::to_string(&Body { r#type: "channel.disabled", timestamp, data })
        }
        // A webhook is not confirmed by a code, so it is sent none.
        Message::Notice(NoticeContent::ChannelCode { channel, .. }) => {
            serde_json::to_string(&Body { r#type: "channel.code", timestamp, data: CodeData { channel } })
        }
        Message::Notice(NoticeContent::RuleQuarantined { rule_id, rule, code, message }) => {
            let data = QuarantinedData { rule_id: rule_id.0, rule: rule.as_deref(), code, message };
            serde_json::to_string(&Body { r#type: "rule.quarantined", timestamp, data })
        }
    }
}

fn alert_data(alert: &AlertMessage) -> AlertData<'_> {
    AlertData {
        alert_id: alert.alert_id.to_string(),
        rule: &alert.rule,
        severity: &alert.severity,
        chain: &alert.chain,
        chain_id: alert.chain_id,
        block_number: alert.block_number,
        block_hash: &alert.block_hash,
        transaction_hash: alert.transaction_hash.as_deref(),
        position: alert.position,
        title: &alert.title,
        message: &alert.message,
        facts: &alert.facts,
        state: &alert.state,
        reason: match alert.change {
            Change::Retracted(why) => Some(why.as_str()),
            Change::Fired | Change::Moved => None,
        },
    }
}

fn digest_data(id: DeliveryId, content: &DigestContent) -> DigestData<'_> {
    let (count, more) = (content.count.unwrap_or(0), content.more());
    DigestData { digest_id: id.0.to_string(), count, groups: &content.groups, more }
}
