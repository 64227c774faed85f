//! What `isotherm smoke` runs: an organisation of its own, so that nobody's pipeline has to name its jobs.

use isotherm_access::{AccessError, orgs};
use isotherm_control::pipeline;
use isotherm_platform::Fault;
use sqlx::PgConnection;

use crate::error::MigrateError;

/// The organisation. It has no users and reads no dataset.
pub const ORG: &str = "smoke";
/// The job that looks around inside.
pub const JOB: &str = "smoke";
/// The job that its webhook fires.
pub const WEBHOOK_JOB: &str = "smoke-webhook";
/// The trigger, and the last part of its path.
pub const TRIGGER: &str = "smoke";
/// The secret with the webhook's signing key.
pub const SIGNING_KEY: &str = "isotherm/webhook/smoke";

const PIPELINE: &str = include_str!("smoke/pipeline.yaml");

/// Makes the organisation, its jobs and its trigger what they have to be.
///
/// # Errors
/// What Postgres reports.
pub async fn ensure(conn: &mut PgConnection, actor: &str) -> Result<(), Fault> {
    let org_id = match orgs::create(conn, ORG, actor).await {
        Ok(made) => made,
        Err(AccessError::OrgExists { .. }) => orgs::find(conn, ORG).await?,
        Err(error) => return Err(error.into()),
    };
    let wanted =
        pipeline::parse(PIPELINE).map_err(|source| MigrateError::BadPipeline { org: ORG.to_owned(), source })?;
    pipeline::apply(conn, org_id, &wanted, actor).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use isotherm_control::pipeline;

    use super::*;

    #[test]
    fn the_pipeline_has_what_the_names_say() {
        let pipeline = pipeline::parse(PIPELINE).unwrap();
        let jobs: Vec<&str> = pipeline.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(jobs, [JOB, WEBHOOK_JOB]);
        let triggers: Vec<&str> = pipeline.triggers.iter().map(|trigger| trigger.name.as_str()).collect();
        assert_eq!(triggers, [TRIGGER]);
        assert!(PIPELINE.contains(&format!("secret: {SIGNING_KEY}")));
    }
}
