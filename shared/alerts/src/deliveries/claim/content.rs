//! The row of a claimed message, read into what it says.

use chrono::{DateTime, Utc};
use isotherm_types::{ChannelId, OrgId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::Claimed;
use crate::deliveries::{DeliveryError, DeliveryId, Kind};
use crate::message::{AlertMessage, Change, Message, NoticeContent, Retraction};

#[derive(sqlx::FromRow)]
pub(super) struct ContentRow {
    id: Uuid,
    org_id: i64,
    channel_id: i64,
    kind: String,
    attempts: i32,
    content: Option<Value>,
    created_at: DateTime<Utc>,
    alert_id: Option<Uuid>,
    chain_id: Option<i64>,
    block_number: Option<i64>,
    block_hash: Option<String>,
    transaction_hash: Option<String>,
    position: Option<i32>,
    block_time: Option<DateTime<Utc>>,
    alert_state: Option<String>,
    severity: Option<String>,
    title: Option<String>,
    message: Option<String>,
    facts: Option<Value>,
    rule: Option<String>,
    chain: Option<String>,
    thread: Option<String>,
    retraction_reason: Option<String>,
    is_rule_changed: Option<bool>,
    notice_rule: Option<String>,
    trace_id: Option<String>,
}

impl ContentRow {
    pub(super) fn id(&self) -> DeliveryId {
        DeliveryId(self.id)
    }

    /// Reads the row.
    pub(super) fn into_claimed(mut self) -> Result<Claimed, DeliveryError> {
        let id = self.id();
        let kind = Kind::of_word(id, &self.kind)?;
        let message = match kind {
            Kind::Fired => Message::Alert(self.alert(Change::Fired)?),
            Kind::Retracted => {
                let is_changed = self.is_rule_changed.unwrap_or(false);
                let why = Retraction::of_history(self.retraction_reason.as_deref(), is_changed);
                Message::Alert(self.alert(Change::Retracted(why))?)
            }
            Kind::Moved => Message::Alert(self.alert(Change::Moved)?),
            Kind::Digest => Message::Digest { id, content: self.content()? },
            Kind::Test => Message::Test(self.content()?),
            Kind::Notice => Message::Notice(self.notice()?),
        };
        Ok(Claimed {
            id,
            org: OrgId(self.org_id),
            channel: ChannelId(self.channel_id),
            is_failing: false,
            kind,
            // A column check keeps it at zero or more.
            attempt: u32::try_from(self.attempts).unwrap_or(0),
            created_at: self.created_at,
            block_time: self.block_time,
            thread: self.thread,
            message,
            trace_id: self.trace_id.and_then(|text| text.parse().ok()),
        })
    }

    fn alert(&mut self, change: Change) -> Result<AlertMessage, DeliveryError> {
        let id = DeliveryId(self.id);
        let mut read = || {
            Some(AlertMessage {
                change,
                alert_id: self.alert_id?,
                rule: self.rule.take()?,
                severity: self.severity.take()?,
                chain: self.chain.take()?,
                chain_id: self.chain_id?,
                block_number: self.block_number?,
                block_hash: self.block_hash.take()?,
                transaction_hash: self.transaction_hash.take(),
                position: self.position?,
                title: self.title.take()?,
                message: self.message.take()?,
                facts: self.facts.take()?,
                state: self.alert_state.take()?,
            })
        };
        read().ok_or(DeliveryError::BadRow { id, problem: "its alert, or the rule of it, is not there" })
    }

    /// A notice; one about a rule names it as it is called now.
    fn notice(&mut self) -> Result<NoticeContent, DeliveryError> {
        let mut content = self.content()?;
        if let NoticeContent::RuleQuarantined { rule, .. } = &mut content {
            *rule = self.notice_rule.take().or(rule.take());
        }
        Ok(content)
    }

    fn content<T: DeserializeOwned>(&mut self) -> Result<T, DeliveryError> {
        let id = DeliveryId(self.id);
        let content = self.content.take().ok_or(DeliveryError::BadRow { id, problem: "it has no content" })?;
        serde_json::from_value(content).map_err(|source| DeliveryError::BadContent { id, source })
    }
}
