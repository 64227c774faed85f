//! Makes `control.jobs` and `control.triggers` agree with a pipeline, in one transaction.

use std::collections::HashMap;

use isotherm_types::{JobId, OrgId, TaskId, TriggerId};
use sqlx::{Connection, PgConnection};

use super::plan::{ChangeKind, Plan, plan};
use super::stored::stored;
use super::{JobDefinition, Pipeline, TriggerDefinition, config_hash};
use crate::codec::to_json;
use crate::error::ControlError;
use crate::triggers::{CronConfig, TriggerConfig};
use crate::{audit, tasks, threshold};

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The plan that was carried out.
    pub plan: Plan,
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
    let plan = plan(&stored(&mut db_tx, org_id).await?, pipeline)?;
    let applied = carry_out(&mut db_tx, org_id, pipeline, plan).await?;
    write_trail(&mut db_tx, org_id, actor, &applied).await?;
    stop_old_sources(&mut db_tx, actor, &applied).await?;
    db_tx.commit().await?;
    Ok(applied)
}

/// Waits for whoever else sets the EventBridge schedules of cron triggers, and keeps others waiting until the transaction
/// of `conn` ends: what is read of the triggers after it and set before the end cannot undo newer settings.
///
/// # Errors
/// Only what Postgres reports.
pub async fn hold_schedules(conn: &mut PgConnection) -> Result<(), ControlError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('control.schedules', 0))").execute(conn).await?;
    Ok(())
}

async fn carry_out(
    conn: &mut PgConnection,
    org_id: OrgId,
    pipeline: &Pipeline,
    plan: Plan,
) -> Result<Applied, ControlError> {
    let definitions: HashMap<&str, &JobDefinition> = pipeline.jobs.iter().map(|job| (job.name.as_str(), job)).collect();
    let mut job_ids = HashMap::new();
    let mut jobs = Vec::new();
    for planned in &plan.jobs {
        let id = match (planned.id, definitions.get(planned.name.as_str())) {
            (Some(id), _) if planned.change == ChangeKind::Unchanged => id,
            (_, Some(job)) => write_job(conn, org_id, job).await?,
            (Some(id), None) => deactivate_job(conn, id).await?,
            (None, None) => continue,
        };
        job_ids.insert(planned.name.as_str(), id);
        jobs.push(AppliedJob { id, name: planned.name.clone(), change: planned.change });
    }
    let definitions: HashMap<&str, &TriggerDefinition> =
        pipeline.triggers.iter().map(|trigger| (trigger.name.as_str(), trigger)).collect();
    let mut triggers = Vec::new();
    for planned in &plan.triggers {
        let id = match (planned.id, definitions.get(planned.name.as_str())) {
            (Some(id), _) if planned.change == ChangeKind::Unchanged => id,
            (_, Some(trigger)) => {
                // The checks of a file refuse a trigger without a job or a kind; a pipeline built in code has both too.
                let (Some(&job_id), Some(config)) = (job_ids.get(trigger.job.as_str()), trigger.config()) else {
                    continue;
                };
                write_trigger(conn, org_id, job_id, trigger, &config).await?
            }
            (Some(id), None) => deactivate_trigger(conn, id).await?,
            (None, None) => continue,
        };
        let (name, change, schedule) = (planned.name.clone(), planned.change, planned.schedule.clone());
        triggers.push(AppliedTrigger { id, name, change, schedule });
    }
    Ok(Applied { plan, jobs, triggers })
}

async fn write_job(conn: &mut PgConnection, org_id: OrgId, job: &JobDefinition) -> Result<JobId, ControlError> {
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
        .bind(config_hash(&to_json(job)?).as_slice())
        .bind(job.stall_timeout_seconds)
        .bind(job.priority)
        .bind(job.partition_blocks.map(|blocks| i64::try_from(blocks).unwrap_or(i64::MAX)))
        .fetch_one(conn)
        .await?;
    Ok(JobId(id))
}

async fn write_trigger(
    conn: &mut PgConnection,
    org_id: OrgId,
    job_id: JobId,
    trigger: &TriggerDefinition,
    config: &TriggerConfig,
) -> Result<TriggerId, ControlError> {
    let settings = match config {
        TriggerConfig::Cron(cron) => to_json(cron)?,
        TriggerConfig::Webhook(webhook) => to_json(webhook)?,
        TriggerConfig::Threshold(threshold) => to_json(threshold)?,
    };
    let (id,): (i64,) = sqlx::query_as(include_str!("../../queries/triggers/upsert.sql"))
        .bind(org_id.0)
        .bind(job_id.0)
        .bind(&trigger.name)
        .bind(config.kind())
        .bind(settings)
        .bind(&trigger.input)
        .bind(config_hash(&to_json(trigger)?).as_slice())
        .fetch_one(&mut *conn)
        .await?;
    let trigger_id = TriggerId(id);
    if let TriggerConfig::Threshold(threshold) = config {
        threshold::begin(conn, trigger_id, threshold).await?;
    }
    Ok(trigger_id)
}

async fn deactivate_job(conn: &mut PgConnection, id: JobId) -> Result<JobId, ControlError> {
    sqlx::query("UPDATE control.jobs SET active = false, updated_at = now() WHERE id = $1")
        .bind(id.0)
        .execute(conn)
        .await?;
    Ok(id)
}

async fn deactivate_trigger(conn: &mut PgConnection, id: TriggerId) -> Result<TriggerId, ControlError> {
    sqlx::query("UPDATE control.triggers SET active = false, updated_at = now() WHERE id = $1")
        .bind(id.0)
        .execute(conn)
        .await?;
    Ok(id)
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
            action: change.as_str(),
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
