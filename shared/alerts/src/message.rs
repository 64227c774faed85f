//! What a delivery says, and how each kind of channel is told it. Pure.
//!
//! Titles, messages and facts come from rules and chains, so from anybody: every renderer escapes them for where they go, and cuts them
//! to what fits there. Formats have golden files in `events-fixtures/alerts/`; a member may be added, none may go or change.

use isotherm_types::RuleId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::channels::ConfirmationCode;
use crate::deliveries::DeliveryId;
use crate::digest::{DigestContent, DigestOf};

pub mod email;
pub mod slack;
pub mod sms;
pub mod webhook;

/// What a delivery says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Something about one alert.
    Alert(AlertMessage),
    /// Many in one.
    Digest {
        /// The delivery, by which what is folded into it is found.
        id: DeliveryId,
        /// What it stands for.
        content: DigestContent,
    },
    /// That the channel works.
    Test(TestContent),
    /// Something about the organisation's alerts themselves.
    Notice(NoticeContent),
}

/// What has happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Fired,
    /// It is taken back.
    Retracted(Retraction),
    /// It is in another block now.
    Moved,
}

/// Why an alert is taken back: its block was replaced, and then?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retraction {
    /// The rule looked through the whole new branch: it did not happen.
    Orphaned,
    /// The rule was changed after it had found it, and the new one does not find it. It may have happened all the same.
    RuleChanged,
    /// The rule was paused, in quarantine or deleted while blocks of the new branch were passed, or their rows were
    /// gone, so nobody has looked whether it happened all the same.
    RuleNotAtWork,
}

impl Retraction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Orphaned, Self::RuleChanged, Self::RuleNotAtWork];

    /// What the history's reason comes to; `is_changed`: the rule has another definition than when it found the alert. A reason that
    /// this program does not know is never taken to say that something did not happen.
    pub fn of_history(reason: Option<&str>, is_changed: bool) -> Self {
        match (reason, is_changed) {
            (Some("orphaned"), _) | (None, false) => Self::Orphaned,
            (Some("rule_changed"), _) | (None, true) => Self::RuleChanged,
            (Some(_), _) => Self::RuleNotAtWork,
        }
    }

    /// The word that receivers are told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphaned => "orphaned",
            Self::RuleChanged => "rule_changed",
            Self::RuleNotAtWork => "rule_not_at_work",
        }
    }

    /// What stands before the headline.
    fn word(self) -> &'static str {
        match self {
            Self::Orphaned => "Retracted",
            Self::RuleChanged => "Withdrawn, rule changed",
            Self::RuleNotAtWork => "Withdrawn, rule not at work",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Orphaned => "The chain has dropped what this alert was about: it did not happen.",
            Self::RuleChanged => {
                "The chain has replaced the block of this alert, and the rule, which was changed since, does not find it any more. \
                 It may have happened all the same: look it up."
            }
            Self::RuleNotAtWork => {
                "The chain has replaced the block of this alert while its rule was paused, in quarantine or deleted, so nobody has \
                 looked whether it happened all the same: look it up."
            }
        }
    }
}

/// An alert as the ledger has it when it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertMessage {
    /// What this message is about.
    pub change: Change,
    /// Row of `alerts.alert_events`, the same in every message about it.
    pub alert_id: Uuid,
    /// Name of its rule.
    pub rule: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// Name of its chain.
    pub chain: String,
    /// Id of its chain.
    pub chain_id: i64,
    /// Its block.
    pub block_number: i64,
    /// Its block's hash.
    pub block_hash: String,
    /// Its transaction, if it has one.
    pub transaction_hash: Option<String>,
    /// Its place in the transaction.
    pub position: i32,
    /// A line.
    pub title: String,
    /// A text.
    pub message: String,
    /// Values by name.
    pub facts: Value,
    /// Where it stands in the ledger.
    pub state: String,
}

/// What a test says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestContent {
    /// Name of the channel.
    pub channel: String,
    /// Who wanted to see it.
    pub asked_by: String,
}

/// What a notice says, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum NoticeContent {
    /// A channel was disabled, because it is gone or has failed for days.
    #[serde(rename = "channel.disabled")]
    ChannelDisabled {
        /// Its name.
        channel: String,
        /// `email`, `sms`, `webhook` or `slack`.
        channel_kind: String,
        /// Code of the reason.
        code: String,
    },
    /// Whoever has the address is asked whether messages may come.
    #[serde(rename = "channel.code")]
    ChannelCode {
        /// Name of the channel.
        channel: String,
        /// What is to come back; absent in what is stored.
        #[serde(skip)]
        code: Option<ConfirmationCode>,
    },
    /// A rule was quarantined, because it cannot be held against rows.
    #[serde(rename = "rule.quarantined")]
    RuleQuarantined {
        /// The rule.
        rule_id: RuleId,
        /// Its name when the notice is sent; absent in what is stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// Code of the reason.
        code: String,
        /// A sentence.
        message: String,
    },
}

impl Message {
    /// Whether it is the code that confirms its channel: all that goes to one that is not confirmed.
    pub fn is_code(&self) -> bool {
        matches!(self, Self::Notice(NoticeContent::ChannelCode { .. }))
    }

    /// The line that stands for the whole message.
    pub fn headline(&self) -> String {
        match self {
            Self::Alert(alert) => {
                let said = format!("[{}] {}: {}", alert.severity, alert.rule, one_line(&alert.title));
                match alert.change {
                    Change::Fired => said,
                    Change::Retracted(why) => format!("{}: {said}", why.word()),
                    Change::Moved => format!("Moved: {said}"),
                }
            }
            Self::Digest { content, .. } => {
                let (count, what) = (content.count.unwrap_or(0), content.of.word());
                format!("{count} {what} in one message")
            }
            Self::Test(test) => format!("Test of the channel {}", one_line(&test.channel)),
            Self::Notice(NoticeContent::ChannelDisabled { channel, .. }) => {
                format!("The channel {} was disabled", one_line(channel))
            }
            Self::Notice(NoticeContent::ChannelCode { channel, .. }) => {
                format!("May alerts come here? The channel {} is to be confirmed", one_line(channel))
            }
            Self::Notice(NoticeContent::RuleQuarantined { rule_id, rule: Some(rule), .. }) => {
                format!("The rule {} (number {}) was quarantined", one_line(rule), rule_id.0)
            }
            Self::Notice(NoticeContent::RuleQuarantined { rule_id, rule: None, .. }) => {
                format!("The rule with the number {} was quarantined", rule_id.0)
            }
        }
    }

    /// What follows the headline, in paragraphs.
    pub fn paragraphs(&self) -> Vec<String> {
        match self {
            Self::Alert(alert) => {
                let (block, chain) = (alert.block_number, &alert.chain);
                let first = match alert.change {
                    Change::Fired => None,
                    Change::Retracted(why) => Some(why.sentence().to_owned()),
                    Change::Moved => Some(format!(
                        "The chain has what this alert is about in another block now: {block} of {chain}."
                    )),
                };
                first.into_iter().chain([alert.message.clone()]).filter(|text| !text.trim().is_empty()).collect()
            }
            Self::Digest { content, .. } => {
                let why = "More messages were due than the channel's limit lets through, so they are in this one.";
                let more = content.more();
                let rest = (more > 0).then(|| format!("{more} more are of other rules."));
                let groups = content.groups.iter().map(group_line);
                [why.to_owned()].into_iter().chain(groups).chain(rest).collect()
            }
            Self::Test(test) => {
                vec![format!("{} asked for this test. The channel works.", one_line(&test.asked_by))]
            }
            Self::Notice(NoticeContent::ChannelDisabled { channel_kind, code, .. }) => vec![
                format!("Nothing is sent to this channel ({channel_kind}) any more. The reason is {code}."),
                "What waited for it was cancelled. Mend its receiver, enable it, and replay what is still of use."
                    .to_owned(),
            ],
            Self::Notice(NoticeContent::ChannelCode { code, .. }) => vec![
                format!("The code is {}. It counts for an hour.", shown_code(code.as_ref())),
                "Somebody wants alerts to be sent to this address. If you want them, give the code back to whoever made the channel. \
                 If you know of nothing, do nothing: no alert comes here without it."
                    .to_owned(),
            ],
            Self::Notice(NoticeContent::RuleQuarantined { code, message, .. }) => vec![
                format!("The rule is not evaluated any more. The reason is {code}: {}", one_line(message)),
                "Correct its definition; that takes it out of quarantine.".to_owned(),
            ],
        }
    }

    /// Names and values, in the order in which they are shown.
    pub fn details(&self) -> Vec<(String, String)> {
        let Self::Alert(alert) = self else { return Vec::new() };
        let text = |name: &str, value: String| (name.to_owned(), value);
        let mut details = vec![
            text("rule", alert.rule.clone()),
            text("severity", alert.severity.clone()),
            text("chain", format!("{} ({})", alert.chain, alert.chain_id)),
            text("block", format!("{} {}", alert.block_number, alert.block_hash)),
        ];
        details.extend(alert.transaction_hash.iter().map(|hash| text("transaction", hash.clone())));
        if let Value::Object(facts) = &alert.facts {
            details.extend(facts.iter().map(|(name, value)| (name.clone(), shown(value))));
        }
        details.push(text("alert", alert.alert_id.to_string()));
        details
    }
}

impl DigestOf {
    fn word(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Corrections => "corrections",
        }
    }
}

impl DigestContent {
    /// Messages that no group of it names.
    fn more(&self) -> u64 {
        let named: u64 = self.groups.iter().map(|group| group.count.unsigned_abs()).sum();
        self.count.unwrap_or(0).saturating_sub(named)
    }
}

/// The code of a message that is being sent; a hyphen in one that is not.
fn shown_code(code: Option<&ConfirmationCode>) -> String {
    code.map_or_else(|| "-".to_owned(), ConfirmationCode::expose)
}

fn group_line(group: &crate::digest::DigestGroup) -> String {
    let crate::digest::DigestGroup { rule, chain, kind, severity, count, first_block, last_block } = group;
    format!("{count} {kind}: [{severity}] {rule}, {chain} blocks {first_block} to {last_block}")
}

/// A text without characters that end a line or mean something to a terminal.
fn one_line(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A fact: a text as it is, anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The beginning of `text` of at most `most` characters, at the end of a word if one is near, with an ellipsis if something is missing.
fn cut(text: &str, most: usize, ellipsis: &str) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(ellipsis.chars().count());
    let beginning: String = text.chars().take(room).collect();
    let kept = match beginning.rfind(' ') {
        // A long word is cut; a short one is left out.
        Some(space) if beginning[space..].chars().count() <= 20 => &beginning[..space],
        _ => beginning.as_str(),
    };
    format!("{}{ellipsis}", kept.trim_end())
}

#[cfg(test)]
mod tests;
