//! What rules find, and whom that is told: rules, alerts with their history, and messages to channels. No address of a channel.

use super::PlatformType::{Bytes, Integer, Json, Text, Time};
use super::{PlatformTable, optional, required};

pub(super) const ALERT_RULES: PlatformTable = PlatformTable {
    name: "alert_rules",
    doc: "a rule, also one that was deleted",
    columns: &[
        required("id", Integer, "its number"),
        required("name", Text, "what it is called"),
        required("chain_id", Integer, "the chain that it is about"),
        required("definition", Json, "what it says"),
        required("version", Integer, "counts changes of the definition, from 1"),
        required("state", Text, "`active`, `paused` or `quarantined`"),
        optional("quarantine_code", Text, "stable name of why it is in quarantine"),
        optional("quarantine_message", Text, "the same in words"),
        optional("quarantined_at", Time, "since when"),
        optional("muted_until", Time, "what it finds until then is suppressed"),
        required("first_block", Integer, "blocks before it do not concern it"),
        optional("next_run_at", Time, "of one with SQL: when it is asked next"),
        required("created_by", Text, "who made it"),
        required("created_at", Time, "when it was made"),
        required("updated_at", Time, "when it was last changed"),
        optional("deleted_at", Time, "when it was deleted"),
    ],
    key: Some("id"),
    select: include_str!("../../queries/platform/alert_rules.sql"),
};

pub(super) const ALERTS: PlatformTable = PlatformTable {
    name: "alerts",
    doc: "something that a rule has found, whatever became of it",
    columns: &[
        required("block_number", Integer, "block that it is in now, or was last"),
        required("block_hash", Bytes, "hash of that block"),
        required("block_time", Time, "time of that block"),
        required("id", Text, "its id, the same in every message about it"),
        required("rule_id", Integer, "the rule"),
        required("rule_name", Text, "what that is called"),
        required("rule_version", Integer, "version of the rule that found it"),
        required("chain_id", Integer, "the chain"),
        optional("transaction_hash", Bytes, "the transaction; absent where it is about a block, or a row of SQL"),
        required("place", Integer, "rank of the log or call frame in the transaction"),
        required("state", Text, "`pending`, `sent`, `confirmed`, `moved`, `retracted`, `cancelled` or `suppressed`"),
        optional("reason", Text, "why it was suppressed"),
        required("severity", Text, "`info`, `warning` or `critical`"),
        required("title", Text, "what it is about, in a few words"),
        required("message", Text, "what people are told"),
        required("facts", Json, "the values behind that"),
        optional("group_key", Text, "what its rule groups it by"),
        required("matched_at", Time, "when it was found first"),
        optional("sent_at", Time, "when it was handed to the channels first"),
        required("changed_at", Time, "when it last changed"),
    ],
    key: Some("block_number"),
    select: include_str!("../../queries/platform/alerts.sql"),
};

pub(super) const ALERT_HISTORY: PlatformTable = PlatformTable {
    name: "alert_history",
    doc: "a change of an alert",
    columns: &[
        required("id", Integer, "its number"),
        required("alert_id", Text, "the alert"),
        required("occurred_at", Time, "when it was"),
        optional("from_state", Text, "state before; absent if it was found"),
        required("to_state", Text, "state after"),
        required("block_number", Integer, "block that the alert was in after it"),
        required("block_hash", Bytes, "hash of that block"),
        optional("reason", Text, "why, where the states do not say it"),
    ],
    key: Some("id"),
    select: include_str!("../../queries/platform/alert_history.sql"),
};

pub(super) const DELIVERIES: PlatformTable = PlatformTable {
    name: "deliveries",
    doc: "a message to a channel",
    columns: &[
        required("channel_id", Integer, "the channel"),
        required("channel_name", Text, "what that is called"),
        required("channel_kind", Text, "`email`, `sms`, `webhook` or `slack`"),
        required("id", Text, "its id, the same in every attempt"),
        optional("alert_id", Text, "the alert; absent in digests, tests and notices"),
        required("kind", Text, "`fired`, `moved`, `retracted`, `digest`, `test` or `notice`"),
        required("state", Text, "`queued`, `sending`, `delivered`, `folded`, `failed` or `cancelled`"),
        optional("digest_id", Text, "the digest that it was folded into"),
        required("attempts", Integer, "attempts so far"),
        required("not_before", Time, "it is not tried before"),
        optional("last_status", Integer, "HTTP status of the last answer"),
        optional("last_error_code", Text, "stable name of why the last attempt failed, or why it was cancelled"),
        required("created_at", Time, "when it was made"),
        optional("first_tried_at", Time, "when it was tried first"),
        optional("finished_at", Time, "when it was over"),
    ],
    key: Some("channel_id"),
    select: include_str!("../../queries/platform/deliveries.sql"),
};
