//! Makes `control.jobs` and `control.triggers` agree with a pipeline, in one transaction.

use std::collections::BTreeMap;

use isotherm_types::{JobId, OrgId, TaskId, TriggerId};
use sqlx::{Connection, PgConnection};

use super::{JobDefinition, Pipeline, TriggerDefinition, config_hash};
use crate::codec::to_json;
use crate::error::ControlError;
use crate::triggers::{CronConfig, TriggerConfig};
use crate::{audit, tasks, threshold};

/// What was done about one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    fn action(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Deactivated => "deactivated",
        }
    }
}

/// A job after an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedJob {
    /// Its row.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// What was done.
    pub change: ChangeKind,
}

/// A trigger after an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedTrigger {
    /// Its row.
    pub id: TriggerId,
    /// Its name.
    pub name: String,
    /// What was done.
    pub change: ChangeKind,
    /// The EventBridge schedule that it implies, if it is an active cron trigger.
    pub schedule: Option<CronConfig>,
}

/// What an apply did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// In the order of the file, then those that are gone.
    pub jobs: Vec<AppliedJob>,
    /// In the order of the file, then those that are gone.
    pub triggers: Vec<AppliedTrigger>,
}

/// Makes the jobs and triggers of `org_id` agree with `pipeline`. Doing it twice changes nothing the second time.
///
/// What is not in the file becomes inactive; its rows stay. The live task of a source that changed or left is
/// cancelled, so that a sweep starts it anew under the new definition, or not at all.
///
/// # Errors
/// What Postgres reports; then nothing was applied.
pub async fn apply(
    conn: &mut PgConnection,
    org_id: OrgId,
    pipeline: &Pipeline,
    actor: &str,
) -> Result<Applied, ControlError> {
    let mut db_tx = conn.begin().await?;
    // One apply at a time for an organisation. Not FOR UPDATE: that would wait for, and block, every row that refers to it.
    sqlx::query("SELECT 1 FROM control.orgs WHERE id = $1 FOR NO KEY UPDATE")
        .bind(org_id.0)
        .execute(&mut *db_tx)
        .await?;
    let mut applied = Applied::default();
    let mut job_ids = BTreeMap::new();
    for job in &pipeline.jobs {
        let (id, change) = apply_job(&mut db_tx, org_id, job).await?;
        job_ids.insert(job.name.as_str(), id);
        applied.jobs.push(AppliedJob { id: JobId(id), name: job.name.clone(), change });
    }
    for trigger in &pipeline.triggers {
        // The checks of the file refuse a trigger without a job or a kind; a pipeline built in code has both too.
        let (Some(&job_id), Some(config)) = (job_ids.get(trigger.job.as_str()), trigger.config()) else { continue };
        let (id, change) = apply_trigger(&mut db_tx, org_id, job_id, trigger, &config).await?;
        let schedule = match config {
            TriggerConfig::Cron(cron) => Some(cron),
            TriggerConfig::Webhook(_) | TriggerConfig::Threshold(_) => None,
        };
        applied.triggers.push(AppliedTrigger { id: TriggerId(id), name: trigger.name.clone(), change, schedule });
    }
    deactivate_the_rest(&mut db_tx, org_id, &mut applied).await?;
    write_trail(&mut db_tx, org_id, actor, &applied).await?;
    stop_old_sources(&mut db_tx, actor, &applied).await?;
    db_tx.commit().await?;
    Ok(applied)
}

async fn apply_job(
    conn: &mut PgConnection,
    org_id: OrgId,
    job: &JobDefinition,
) -> Result<(i64, ChangeKind), ControlError> {
    let hash = config_hash(&to_json(job)?);
    let stored: Option<(i64, Vec<u8>, bool)> = sqlx::query_as(
        "SELECT id, config_hash, active FROM control.jobs WHERE org_id = $1 AND name = $2 FOR NO KEY UPDATE",
    )
    .bind(org_id.0)
    .bind(&job.name)
    .fetch_optional(&mut *conn)
    .await?;
    let change = match &stored {
        Some((id, same, true)) if same == &hash => return Ok((*id, ChangeKind::Unchanged)),
        Some(_) => ChangeKind::Changed,
        None => ChangeKind::Created,
    };
    let (id,): (i64,) = sqlx::query_as(include_str!("../../queries/jobs/upsert.sql"))
        .bind(org_id.0)
        .bind(&job.name)
        .bind(&job.operator)
        .bind(job.runtime.as_str())
        .bind(job.strategy.as_str())
        .bind(job.always_on)
        .bind(&job.config)
        .bind(to_json(&job.secrets)?)
        .bind(job.input_datasets.iter().map(ToString::to_string).collect::<Vec<_>>())
        .bind(job.output_datasets.iter().map(ToString::to_string).collect::<Vec<_>>())
        .bind(i64::from(job.max_attempts))
        .bind(i64::from(job.max_concurrency))
        .bind(job.heartbeat_timeout_seconds)
        .bind(job.run_timeout_seconds)
        .bind(hash.as_slice())
        .bind(job.stall_timeout_seconds)
        .bind(job.priority)
        .bind(job.partition_blocks.map(|blocks| i64::try_from(blocks).unwrap_or(i64::MAX)))
        .fetch_one(conn)
        .await?;
    Ok((id, change))
}

async fn apply_trigger(
    conn: &mut PgConnection,
    org_id: OrgId,
    job_id: i64,
    trigger: &TriggerDefinition,
    config: &TriggerConfig,
) -> Result<(i64, ChangeKind), ControlError> {
    let hash = config_hash(&to_json(trigger)?);
    let stored: Option<(i64, Vec<u8>, bool)> = sqlx::query_as(
        "SELECT id, config_hash, active FROM control.triggers WHERE org_id = $1 AND name = $2 FOR NO KEY UPDATE",
    )
    .bind(org_id.0)
    .bind(&trigger.name)
    .fetch_optional(&mut *conn)
    .await?;
    let change = match &stored {
        Some((id, same, true)) if same == &hash => return Ok((*id, ChangeKind::Unchanged)),
        Some(_) => ChangeKind::Changed,
        None => ChangeKind::Created,
    };
    let settings = match config {
        TriggerConfig::Cron(cron) => to_json(cron)?,
        TriggerConfig::Webhook(webhook) => to_json(webhook)?,
        TriggerConfig::Threshold(threshold) => to_json(threshold)?,
    };
    let (id,): (i64,) = sqlx::query_as(include_str!("../../queries/triggers/upsert.sql"))
        .bind(org_id.0)
        .bind(job_id)
        .bind(&trigger.name)
        .bind(config.kind())
        .bind(settings)
        .bind(&trigger.input)
        .bind(hash.as_slice())
        .fetch_one(&mut *conn)
        .await?;
    if let TriggerConfig::Threshold(threshold) = config {
        threshold::begin(conn, TriggerId(id), threshold).await?;
    }
    Ok((id, change))
}

async fn deactivate_the_rest(
    conn: &mut PgConnection,
    org_id: OrgId,
    applied: &mut Applied,
) -> Result<(), ControlError> {
    let kept: Vec<i64> = applied.jobs.iter().map(|job| job.id.0).collect();
    let gone: Vec<(i64, String)> = sqlx::query_as(
        "UPDATE control.jobs SET active = false, updated_at = now()
          WHERE org_id = $1 AND active AND id <> ALL($2) RETURNING id, name",
    )
    .bind(org_id.0)
    .bind(kept)
    .fetch_all(&mut *conn)
    .await?;
    let change = ChangeKind::Deactivated;
    applied.jobs.extend(gone.into_iter().map(|(id, name)| AppliedJob { id: JobId(id), name, change }));

    let kept: Vec<i64> = applied.triggers.iter().map(|trigger| trigger.id.0).collect();
    let gone: Vec<(i64, String)> = sqlx::query_as(
        "UPDATE control.triggers SET active = false, updated_at = now()
          WHERE org_id = $1 AND active AND id <> ALL($2) RETURNING id, name",
    )
    .bind(org_id.0)
    .bind(kept)
    .fetch_all(&mut *conn)
    .await?;
    let gone = gone.into_iter();
    applied.triggers.extend(gone.map(|(id, name)| AppliedTrigger { id: TriggerId(id), name, change, schedule: None }));
    Ok(())
}

async fn write_trail(
    conn: &mut PgConnection,
    org_id: OrgId,
    actor: &str,
    applied: &Applied,
) -> Result<(), ControlError> {
    let jobs = applied.jobs.iter().map(|job| ("job", job.id.0, job.change, &job.name));
    let triggers = applied.triggers.iter().map(|trigger| ("trigger", trigger.id.0, trigger.change, &trigger.name));
    for (subject, subject_id, change, name) in jobs.chain(triggers) {
        if change == ChangeKind::Unchanged {
            continue;
        }
        let entry = audit::Change {
            org_id: Some(org_id),
            actor,
            action: change.action(),
            subject,
            subject_id,
            reason: Some(name),
            ..audit::Change::default()
        };
        audit::record(conn, &entry).await?;
    }
    Ok(())
}

/// Cancels the live tasks of sources that changed or left.
async fn stop_old_sources(conn: &mut PgConnection, actor: &str, applied: &Applied) -> Result<(), ControlError> {
    let touched = applied.jobs.iter().filter(|job| matches!(job.change, ChangeKind::Changed | ChangeKind::Deactivated));
    let touched: Vec<i64> = touched.map(|job| job.id.0).collect();
    let live: Vec<(i64,)> = sqlx::query_as(
        "SELECT id FROM control.tasks
          WHERE job_id = ANY($1) AND always_on AND state IN ('queued', 'running') ORDER BY id",
    )
    .bind(touched)
    .fetch_all(&mut *conn)
    .await?;
    for (id,) in live {
        tasks::cancel(conn, TaskId(id), actor, "the definition of the source changed").await?;
    }
    Ok(())
}
