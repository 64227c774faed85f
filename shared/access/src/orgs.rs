//! Organisations. Table `control.orgs`.

use chrono::{DateTime, Utc};
use isotherm_types::OrgId;
use sqlx::{Connection, PgConnection};

use crate::audit::{self, Entry};
use crate::error::AccessError;

/// An organisation, and how much of it there is.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct OrgOverview {
    /// Its row.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its users that are active.
    pub active_users: i64,
    /// Its jobs that are active.
    pub active_jobs: i64,
}

/// The organisation called `name`.
///
/// # Errors
/// [`AccessError::UnknownOrg`]; what Postgres reports.
pub async fn find(conn: &mut PgConnection, name: &str) -> Result<OrgId, AccessError> {
    let unknown = || AccessError::UnknownOrg { name: name.to_owned() };
    if name.contains('\0') {
        return Err(unknown());
    }
    let row: Option<(i64,)> =
        sqlx::query_as("SELECT id FROM control.orgs WHERE name = $1").bind(name).fetch_optional(conn).await?;
    row.map(|(id,)| OrgId(id)).ok_or_else(unknown)
}

/// All organisations by name.
///
/// # Errors
/// What Postgres reports.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<OrgOverview>, AccessError> {
    let orgs = sqlx::query_as(
        "SELECT o.id, o.name, o.created_at,
                (SELECT count(*) FROM access.users u WHERE u.org_id = o.id AND u.active) AS active_users,
                (SELECT count(*) FROM control.jobs j WHERE j.org_id = o.id AND j.active) AS active_jobs
           FROM control.orgs o
          ORDER BY o.name",
    )
    .fetch_all(conn)
    .await?;
    Ok(orgs)
}

/// Makes an organisation. It has no users, and no dataset is granted to it.
///
/// # Errors
/// [`AccessError::BadField`] for the name, [`AccessError::OrgExists`]; what Postgres reports.
pub async fn create(conn: &mut PgConnection, name: &str, actor: &str) -> Result<OrgId, AccessError> {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let rest_is_plain = name.chars().all(|letter| is_plain(letter) || "_-".contains(letter));
    if name.len() > 63 || !name.starts_with(is_plain) || !rest_is_plain {
        let expected = "1 to 63 of a-z, 0-9, _ and -, and a letter or digit first";
        return Err(AccessError::BadField { field: "name", expected });
    }
    let mut db_tx = conn.begin().await?;
    let made: Option<(i64,)> =
        sqlx::query_as("INSERT INTO control.orgs (name) VALUES ($1) ON CONFLICT (name) DO NOTHING RETURNING id")
            .bind(name)
            .fetch_optional(&mut *db_tx)
            .await?;
    let (id,) = made.ok_or_else(|| AccessError::OrgExists { name: name.to_owned() })?;
    let entry =
        Entry { org: Some(OrgId(id)), actor, action: "created", subject: "org", subject_id: id, ..Entry::default() };
    audit::record(&mut db_tx, &entry).await?;
    db_tx.commit().await?;
    Ok(OrgId(id))
}
