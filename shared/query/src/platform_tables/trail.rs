//! Who did what: the audit trail, and queries.

use super::PlatformType::{Bytes, Integer, Text, Time};
use super::{PlatformTable, optional, required};

pub(super) const AUDIT_LOG: PlatformTable = PlatformTable {
    name: "audit_log",
    doc: "a change of state, or a denial",
    columns: &[
        required("id", Integer, "its number"),
        required("occurred_at", Time, "when it was"),
        required("actor", Text, "who did it: `user:` and a name, or a part of the platform"),
        required("action", Text, "what was done"),
        required("subject", Text, "to what kind of thing"),
        required("subject_id", Integer, "which of them"),
        optional("from_state", Text, "state before"),
        optional("to_state", Text, "state after"),
        optional("reason", Text, "why"),
    ],
    key: Some("id"),
    select: include_str!("../../queries/platform/audit_log.sql"),
};

pub(super) const QUERIES: PlatformTable = PlatformTable {
    name: "queries",
    doc: "a query that was asked, this one included",
    columns: &[
        required("id", Text, "its id"),
        optional("user_id", Integer, "the user who asked; absent if a function was invoked directly"),
        required("asked_by", Text, "the same in words"),
        required("sql_sha256", Bytes, "digest of its text, which is kept nowhere"),
        required("mode", Text, "`interactive` or `batch`"),
        required("format", Text, "`json`, `csv` or `parquet`"),
        required("timeout_seconds", Integer, "time that it may take"),
        required("state", Text, "`queued`, `running`, `completed`, `failed` or `cancelled`"),
        required("asked_at", Time, "when it was asked"),
        optional("started_at", Time, "when it began"),
        optional("finished_at", Time, "when it ended"),
        optional("row_count", Integer, "rows of its answer"),
        optional("bytes", Integer, "bytes of its answer, as Arrow"),
        optional("duration_ms", Integer, "milliseconds that it took"),
        optional("cold_files", Integer, "cold files that it could read"),
        optional("cold_bytes", Integer, "bytes of those"),
        optional("error_code", Text, "stable name of its error"),
        optional("result_bytes", Integer, "bytes of its file, if the answer was one"),
        optional("cancel_asked_at", Time, "when somebody wanted it to end"),
        optional("cancel_asked_by", Text, "who wanted that"),
        optional("task_id", Integer, "task of a batch query"),
    ],
    key: None,
    select: include_str!("../../queries/platform/queries.sql"),
};
