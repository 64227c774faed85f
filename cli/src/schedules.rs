//! The EventBridge schedules of cron triggers, brought in line with what is stored.

use anyhow::Context;
use isotherm_control::triggers::TriggerConfig;
use isotherm_control::{pipeline, triggers};
use isotherm_local_stack::LocalAws;
use isotherm_local_stack::schedules::{self, CronSchedule, CronTarget};
use sqlx::{Connection, PgConnection};

/// Creates, changes and removes schedules so that they are those of the active cron triggers of all organisations. Returns a
/// line for each that could not be set.
///
/// # Errors
/// If nothing could be done.
pub(crate) async fn bring_in_line(
    conn: &mut PgConnection,
    aws: &LocalAws,
    target: &CronTarget,
) -> anyhow::Result<Vec<String>> {
    let mut db_tx = conn.begin().await.context("could not ask the database for the triggers")?;
    pipeline::hold_schedules(&mut db_tx).await.context("could not wait for others who set schedules")?;
    let active = triggers::active(&mut db_tx, "cron").await.context("could not read the triggers")?;
    let wanted: Vec<CronSchedule> = active
        .iter()
        .filter_map(|trigger| match &trigger.config {
            TriggerConfig::Cron(cron) => Some(CronSchedule::new(trigger.id.0, cron)),
            TriggerConfig::Webhook(_) | TriggerConfig::Threshold(_) => None,
        })
        .collect();
    let found = schedules::find_cron(aws, target).await.context("could not look the schedules up")?;
    let steps = schedules::plan_cron(&found, &wanted);
    let failures = schedules::carry_out_cron(aws, target, &steps).await.context("could not set the schedules")?;
    let failures = failures
        .into_iter()
        .map(|(step, error)| format!("schedule {}: {:#}", step.name, anyhow::Error::new(error)))
        .collect();
    db_tx.commit().await.context("could not let others set schedules")?;
    Ok(failures)
}
