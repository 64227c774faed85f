//! What tasks come from: triggers, their firings, and events.

use super::PlatformType::{Boolean, Integer, Json, Text, Time};
use super::{PlatformTable, optional, required};

pub(super) const TRIGGERS: PlatformTable = PlatformTable {
    name: "triggers",
    doc: "a cause of tasks",
    columns: &[
        required("id", Integer, "its number"),
        required("job_id", Integer, "the job that it fires"),
        required("job_name", Text, "what that job is called"),
        required("name", Text, "what the trigger is called"),
        required("kind", Text, "`cron`, `webhook` or `threshold`"),
        required("input", Json, "what its tasks are given"),
        optional("next_block", Integer, "of a threshold: the block at which it goes on"),
        optional("next_count", Integer, "of a threshold: the count at which it fires next"),
        optional("ticked_until", Time, "up to when its ticks are accounted for"),
        required("active", Boolean, "whether it is still in the file that was last applied"),
        required("created_at", Time, "when it was first applied"),
        required("updated_at", Time, "when it was last changed"),
    ],
    key: Some("id"),
    select: include_str!("../../queries/platform/triggers.sql"),
};

pub(super) const TRIGGER_FIRES: PlatformTable = PlatformTable {
    name: "trigger_fires",
    doc: "a firing of a trigger",
    columns: &[
        required("trigger_id", Integer, "the trigger"),
        required("trigger_name", Text, "what it is called"),
        required("fire_key", Text, "what makes it fire once"),
        optional("event_id", Integer, "the event that it led to"),
        required("outcome", Text, "`fired`, `skipped` or `missed`"),
        optional("reason", Text, "why it led to no event"),
        optional("scheduled_for", Time, "what a tick was scheduled for"),
        required("fired_at", Time, "when it was written down"),
    ],
    key: Some("trigger_id"),
    select: include_str!("../../queries/platform/trigger_fires.sql"),
};

pub(super) const EVENTS: PlatformTable = PlatformTable {
    name: "events",
    doc: "a fact about the organisation's jobs and tasks; those about chains are of no organisation and not among them",
    columns: &[
        required("id", Integer, "its number"),
        required("kind", Text, "`trigger_fired` or `task_failed`"),
        required("body", Json, "the whole event"),
        required("occurred_at", Time, "when it was written"),
    ],
    key: Some("id"),
    select: include_str!("../../queries/platform/events.sql"),
};
