//! What applying a file would change. Pure: from the stored definitions and the file to a list of changes.

use std::collections::{BTreeSet, HashMap};

use isotherm_types::{JobId, TriggerId};
use serde::Serialize;
use serde_json::{Map, Value};

use super::stored::{Stored, StoredJob, StoredTrigger};
use super::{Pipeline, config_hash};
use crate::codec::to_json;
use crate::error::ControlError;
use crate::triggers::CronConfig;

/// What becomes of one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It differs from before, or was inactive.
    Changed,
    /// It is as it was.
    Unchanged,
    /// It is not in the file any more.
    Deactivated,
}

impl ChangeKind {
    /// The word in the audit trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Deactivated => "deactivated",
        }
    }
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// Its keys with dots between them, such as `config.poll_interval_ms`.
    pub field: String,
    /// What is stored; `None` if nothing is.
    pub old: Option<Value>,
    /// What the file says; `None` if nothing.
    pub new: Option<Value>,
}

/// What becomes of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedJob {
    /// Its row, if it has one.
    pub id: Option<JobId>,
    /// Its name.
    pub name: String,
    /// What is to be done.
    pub change: ChangeKind,
    /// Of a changed job: what differs.
    pub fields: Vec<FieldChange>,
    /// Whether the change cancels the live task of a source.
    pub stops_source: bool,
}

/// What becomes of a trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTrigger {
    /// Its row, if it has one.
    pub id: Option<TriggerId>,
    /// Its name.
    pub name: String,
    /// What is to be done.
    pub change: ChangeKind,
    /// Of a changed trigger: what differs.
    pub fields: Vec<FieldChange>,
    /// The EventBridge schedule that it implies, if it is a cron trigger of the file.
    pub schedule: Option<CronConfig>,
}

/// What applying a file changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In the order of the file, then those that are gone.
    pub jobs: Vec<PlannedJob>,
    /// In the order of the file, then those that are gone.
    pub triggers: Vec<PlannedTrigger>,
}

impl Plan {
    /// What becomes of each definition, jobs first.
    pub fn changes(&self) -> impl Iterator<Item = ChangeKind> {
        self.jobs.iter().map(|job| job.change).chain(self.triggers.iter().map(|trigger| trigger.change))
    }

    /// Whether the tables are as the file says.
    pub fn is_empty(&self) -> bool {
        self.changes().all(|change| change == ChangeKind::Unchanged)
    }
}

/// Compares `pipeline` with what is stored.
///
/// A definition whose hash or whose every field is the same is unchanged: neither the layout of the file nor a newer
/// program that knows more fields restarts a source.
///
/// # Errors
/// [`ControlError::Encode`] if a definition cannot be written as JSON, which one that was read from a file can.
pub fn plan(stored: &Stored, pipeline: &Pipeline) -> Result<Plan, ControlError> {
    let mut plan = Plan::default();
    let jobs: HashMap<&str, &StoredJob> = stored.jobs.iter().map(|job| (job.name.as_str(), job)).collect();
    for job in &pipeline.jobs {
        let found = jobs.get(job.name.as_str());
        let known = found.map(|job| Known { active: job.active, hash: &job.config_hash, definition: &job.definition });
        let (change, fields) = compare(known.as_ref(), &to_json(job)?);
        let stops_source = change == ChangeKind::Changed && found.is_some_and(|job| job.is_running_source);
        let id = found.map(|job| job.id);
        plan.jobs.push(PlannedJob { id, name: job.name.clone(), change, fields, stops_source });
    }
    let triggers: HashMap<&str, &StoredTrigger> =
        stored.triggers.iter().map(|trigger| (trigger.name.as_str(), trigger)).collect();
    for trigger in &pipeline.triggers {
        let found = triggers.get(trigger.name.as_str());
        let known = found.map(|row| Known { active: row.active, hash: &row.config_hash, definition: &row.definition });
        let (change, fields) = compare(known.as_ref(), &to_json(trigger)?);
        plan.triggers.push(PlannedTrigger {
            id: found.map(|row| row.id),
            name: trigger.name.clone(),
            change,
            fields,
            schedule: trigger.cron.clone(),
        });
    }
    add_those_that_are_gone(stored, pipeline, &mut plan);
    Ok(plan)
}

fn add_those_that_are_gone(stored: &Stored, pipeline: &Pipeline, plan: &mut Plan) {
    let change = ChangeKind::Deactivated;
    let kept: BTreeSet<&str> = pipeline.jobs.iter().map(|job| job.name.as_str()).collect();
    for job in stored.jobs.iter().filter(|job| job.active && !kept.contains(job.name.as_str())) {
        let (id, name, stops_source) = (Some(job.id), job.name.clone(), job.is_running_source);
        plan.jobs.push(PlannedJob { id, name, change, fields: Vec::new(), stops_source });
    }
    let kept: BTreeSet<&str> = pipeline.triggers.iter().map(|trigger| trigger.name.as_str()).collect();
    for row in stored.triggers.iter().filter(|row| row.active && !kept.contains(row.name.as_str())) {
        let (id, name) = (Some(row.id), row.name.clone());
        plan.triggers.push(PlannedTrigger { id, name, change, fields: Vec::new(), schedule: None });
    }
}

/// What is stored of one definition.
struct Known<'a> {
    active: bool,
    hash: &'a [u8],
    definition: &'a Value,
}

fn compare(known: Option<&Known<'_>>, wanted: &Value) -> (ChangeKind, Vec<FieldChange>) {
    let Some(known) = known else { return (ChangeKind::Created, Vec::new()) };
    let mut fields = Vec::new();
    if known.hash != config_hash(wanted) {
        collect_differences("", Some(known.definition), Some(wanted), &mut fields);
    }
    if !known.active {
        let (old, new) = (Some(Value::Bool(false)), Some(Value::Bool(true)));
        fields.insert(0, FieldChange { field: "active".to_owned(), old, new });
    }
    let change = if fields.is_empty() { ChangeKind::Unchanged } else { ChangeKind::Changed };
    (change, fields)
}

/// Differences in the order of their keys. An absent value and `null` are the same.
fn collect_differences(field: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    let (old, new) = (old.filter(|value| !value.is_null()), new.filter(|value| !value.is_null()));
    if is_same(old, new) {
        return;
    }
    let names: BTreeSet<&String> =
        [old, new].into_iter().flatten().filter_map(Value::as_object).flat_map(Map::keys).collect();
    let is_mapping = |side: Option<&Value>| side.is_none_or(Value::is_object);
    if names.is_empty() || !is_mapping(old) || !is_mapping(new) {
        found.push(FieldChange { field: field.to_owned(), old: old.cloned(), new: new.cloned() });
        return;
    }
    for name in names {
        let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
        collect_differences(&inner, old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)), found);
    }
}

/// Equal as Postgres has it, which writes `30.0` as `30`.
fn is_same(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(Value::Number(old)), Some(Value::Number(new))) if old.is_f64() != new.is_f64() => {
            old.as_f64() == new.as_f64()
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_same(Some(old), Some(new)))
        }
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            old.len() == new.len() && old.iter().all(|(name, value)| is_same(Some(value), new.get(name)))
        }
        (old, new) => old == new,
    }
}

#[cfg(test)]
mod tests;
