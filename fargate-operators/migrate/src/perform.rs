//! Carries a request out.

use isotherm_control::triggers::TriggerConfig;
use isotherm_control::{jobs, pipeline, triggers};
use isotherm_platform::aws::Clients;
use isotherm_platform::secrets::{self, SecretError};
use isotherm_platform::{Fault, Secret, database};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;

use crate::error::MigrateError;
use crate::request::{AppliedPipeline, Done, PipelineFile, WantedSchedule};
use crate::role::{self, Place};
use crate::settings::Settings;
use crate::{objects, schema, smoke};

/// Whom the audit trail names.
const ACTOR: &str = "deploy";

/// The secret that RDS keeps for its administrator. Source: Amazon RDS User Guide, "Password management with Secrets Manager".
#[derive(Deserialize)]
struct Administrator {
    username: String,
    password: String,
}

pub(crate) async fn request(settings: &Settings, clients: &Clients) -> Result<Done, Fault> {
    let request = objects::read_request(clients.s3(), settings).await?;
    let place = Place::parse(&settings.address, settings.options.as_deref(), settings.certificates.as_deref())?;
    let mut done = Done::default();
    if request.migrate {
        let (migration, new_password) = migrate(settings, clients, &place).await?;
        done = Done { migration: Some(migration), new_password: Some(new_password), ..done };
    }
    let url = secrets::fetch(clients.secrets_manager(), &settings.database_secret).await?;
    let mut conn = place.connect_by(&url).await?;
    for file in &request.pipelines {
        done.pipelines.push(apply(&mut conn, file).await?);
    }
    done.schedules = schedules(&mut conn).await?;
    Ok(done)
}

/// Returns the newest migration, and whether the role has a new password.
async fn migrate(settings: &Settings, clients: &Clients, place: &Place) -> Result<(i64, bool), Fault> {
    let administrator = administrator(settings, clients).await?;
    let mut admin = place.connect(&administrator.username, &administrator.password).await?;
    role::be_alone(&mut admin).await?;
    role::ensure(&mut admin, place).await?;
    let (mut conn, is_new) = match kept(settings, clients, place).await? {
        Some(conn) => (conn, false),
        None => {
            let url = role::renew_password(&mut admin, place).await?;
            keep(settings, clients, &url).await?;
            (place.connect_by(&url).await?, true)
        }
    };
    role::allow_roles(&mut admin, true).await?;
    let migrated = schema::migrate(&mut conn).await;
    // Also after a failure, which is the one to be told of.
    let taken = role::allow_roles(&mut admin, false).await;
    let newest = migrated?;
    taken?;
    smoke::ensure(&mut conn, ACTOR).await?;
    tracing::info!(schema.version = newest, role.new_password = is_new, "the database is up to date");
    Ok((newest, is_new))
}

async fn administrator(settings: &Settings, clients: &Clients) -> Result<Administrator, Fault> {
    let text = secrets::fetch(clients.secrets_manager(), &settings.admin_secret).await?;
    let bad = |_hidden: serde_json::Error| MigrateError::BadAdministrator { id: settings.admin_secret.clone() };
    Ok(serde_json::from_str(text.expose()).map_err(bad)?)
}

/// A connection by the address that is kept already, with the certificates of today, which are kept from now on; `None` if none is
/// kept, or Postgres refuses its password.
///
/// # Errors
/// [`MigrateError::OtherDatabase`]: role and migrations would be of two databases.
async fn kept(settings: &Settings, clients: &Clients, place: &Place) -> Result<Option<PgConnection>, Fault> {
    let known = match secrets::fetch(clients.secrets_manager(), &settings.database_secret).await {
        Ok(known) => known,
        // A secret without a version is a shell that Terraform made.
        Err(SecretError::NotFound { .. } | SecretError::Malformed { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let today = if settings.certificates.is_some() {
        database::without_certificates(&known).map(|url| place.vouched_for(&url))
    } else {
        Ok(known.clone())
    };
    let Ok(address) = today else { return Ok(None) };
    match place.is_that_of(&address) {
        Ok(true) => {}
        Ok(false) => return Err(MigrateError::OtherDatabase { id: settings.database_secret.clone() }.into()),
        // What is kept leads nowhere, or to a database that proves nothing.
        Err(_) => return Ok(None),
    }
    match place.connect_by(&address).await {
        Ok(conn) => {
            if address.expose() != known.expose() {
                keep(settings, clients, &address).await?;
            }
            Ok(Some(conn))
        }
        // An outage is no reason to shut the running programs out.
        Err(MigrateError::Connect { source: sqlx::Error::Database(error), .. })
            if is_refusal(error.code().as_deref()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// `invalid_password` and `invalid_authorization_specification`. Source: PostgreSQL manual, appendix A, class 28.
fn is_refusal(code: Option<&str>) -> bool {
    matches!(code, Some("28P01" | "28000"))
}

/// Puts the address, with its certificates if it has any, where the platform's programs look.
async fn keep(settings: &Settings, clients: &Clients, address: &Secret<String>) -> Result<(), MigrateError> {
    let id = settings.database_secret.clone();
    let is_whole = address.expose().starts_with('{');
    let text = if is_whole { address.expose().clone() } else { json!({ "url": address.expose() }).to_string() };
    let call = clients.secrets_manager().put_secret_value().secret_id(&id).secret_string(text);
    call.send().await.map_err(|source| MigrateError::Secret { id, source: Box::new(source) })?;
    Ok(())
}

async fn apply(conn: &mut PgConnection, file: &PipelineFile) -> Result<AppliedPipeline, Fault> {
    let wanted =
        pipeline::parse(&file.yaml).map_err(|source| MigrateError::BadPipeline { org: file.org.clone(), source })?;
    let org_id = jobs::org(conn, &file.org).await?;
    let applied = pipeline::apply(conn, org_id, &wanted, ACTOR).await?;
    let changes = applied.plan.changes().filter(|change| *change != pipeline::ChangeKind::Unchanged).count();
    tracing::info!(org.name = file.org, pipeline.changes = changes, "a pipeline is applied");
    Ok(AppliedPipeline { org: file.org.clone(), changes })
}

async fn schedules(conn: &mut PgConnection) -> Result<Vec<WantedSchedule>, Fault> {
    let active = triggers::active(conn, "cron").await?;
    let wanted = active.into_iter().filter_map(|trigger| match trigger.config {
        TriggerConfig::Cron(cron) => {
            Some(WantedSchedule { trigger_id: trigger.id.0, expression: cron.schedule, timezone: cron.timezone })
        }
        TriggerConfig::Webhook(_) | TriggerConfig::Threshold(_) => None,
    });
    Ok(wanted.collect())
}
