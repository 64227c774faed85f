//! Users. Table `access.users`. Every function takes the organisation, so that nobody reaches another one's.

use chrono::{DateTime, Utc};
use isotherm_types::OrgId;
use sqlx::{Connection, PgConnection};

use crate::audit::{self, Entry};
use crate::caller::UserId;
use crate::callers;
use crate::error::AccessError;
use crate::role::{Permission, Role};

/// Most users of one page.
pub const MAX_PAGE: u32 = 500;

/// A person or a program of an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its row.
    pub id: UserId,
    /// `iss` of its tokens, or `aws_iam`.
    pub issuer: String,
    /// `sub` of its tokens, or its ARN.
    pub subject: String,
    /// What people and audit trails call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it is let in.
    pub active: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last called, to the minute.
    pub last_seen_at: Option<DateTime<Utc>>,
}

/// A user to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// `iss` of its tokens, or `aws_iam`.
    pub issuer: String,
    /// `sub` of its tokens, or its ARN.
    pub subject: String,
    /// What people and audit trails are to call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// What of a user is to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Another role.
    pub role: Option<Role>,
    /// Whether it is let in.
    pub active: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    issuer: String,
    subject: String,
    name: String,
    role: String,
    active: bool,
    created_at: DateTime<Utc>,
    last_seen_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for User {
    type Error = AccessError;

    fn try_from(row: Row) -> Result<Self, AccessError> {
        let role = row.role.parse::<Role>();
        Ok(Self {
            id: UserId(row.id),
            issuer: row.issuer,
            subject: row.subject,
            name: row.name,
            role: role.map_err(|unknown| sqlx::Error::Decode(Box::new(unknown)))?,
            active: row.active,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
        })
    }
}

/// At most `limit` users of `org`, the newest first; those before the row `before`, if it is given.
///
/// # Errors
/// What Postgres reports.
pub async fn list(
    conn: &mut PgConnection,
    org: OrgId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<User>, AccessError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, issuer, subject, name, role, active, created_at, last_seen_at
           FROM access.users
          WHERE org_id = $1 AND ($2::bigint IS NULL OR id < $2)
          ORDER BY id DESC
          LIMIT $3",
    )
    .bind(org.0)
    .bind(before)
    .bind(i64::from(limit.min(MAX_PAGE)))
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(User::try_from).collect()
}

/// The user of this issuer and subject, and the name of its organisation.
///
/// # Errors
/// What Postgres reports.
pub async fn of_subject(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
) -> Result<Option<(String, User)>, AccessError> {
    let found: Option<(i64, String)> = sqlx::query_as(
        "SELECT u.org_id, o.name FROM access.users u JOIN control.orgs o ON o.id = u.org_id
          WHERE u.issuer = $1 AND u.subject = $2",
    )
    .bind(issuer)
    .bind(subject)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((org, org_name)) = found else { return Ok(None) };
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, issuer, subject, name, role, active, created_at, last_seen_at
           FROM access.users WHERE org_id = $1 AND issuer = $2 AND subject = $3",
    )
    .bind(org)
    .bind(issuer)
    .bind(subject)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(User::try_from).transpose()?.map(|user| (org_name, user)))
}

/// The user of `org` called `name`.
///
/// # Errors
/// What Postgres reports.
pub async fn named(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Option<User>, AccessError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, issuer, subject, name, role, active, created_at, last_seen_at
           FROM access.users WHERE org_id = $1 AND name = $2",
    )
    .bind(org.0)
    .bind(name)
    .fetch_optional(conn)
    .await?;
    row.map(User::try_from).transpose()
}

/// Adds a user to `org`, active from now on.
///
/// # Errors
/// [`AccessError::BadField`], [`AccessError::UserExists`]; what Postgres reports.
pub async fn add(conn: &mut PgConnection, org: OrgId, new: &NewUser, actor: &str) -> Result<User, AccessError> {
    check("issuer", &new.issuer, 512, "1 to 512 characters without control characters")?;
    check("subject", &new.subject, 255, "1 to 255 characters without control characters")?;
    check("name", &new.name, 200, "1 to 200 characters without control characters")?;
    let mut db_tx = conn.begin().await?;
    let row: Option<Row> = sqlx::query_as(
        "INSERT INTO access.users (org_id, issuer, subject, name, role) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING
         RETURNING id, issuer, subject, name, role, active, created_at, last_seen_at",
    )
    .bind(org.0)
    .bind(&new.issuer)
    .bind(&new.subject)
    .bind(&new.name)
    .bind(new.role.as_str())
    .fetch_optional(&mut *db_tx)
    .await?;
    let user = User::try_from(row.ok_or(AccessError::UserExists)?)?;
    let to_state = Some(user.role.as_str());
    note(&mut db_tx, org, &user, actor, ("added", None, to_state)).await?;
    db_tx.commit().await?;
    Ok(user)
}

/// Changes a user of `org`; what is as asked already is left as it is. `own` is the caller, who may not change
/// themselves, and must still be an active admin: two who shut each other out at one time would leave nobody.
///
/// A denial is written into the audit trail, so this is not to be called in a transaction that may be rolled back.
///
/// # Errors
/// [`AccessError::NoSuchUser`], [`AccessError::OwnUser`], [`AccessError::InactiveUser`], [`AccessError::Forbidden`];
/// what Postgres reports.
pub async fn change(
    conn: &mut PgConnection,
    org: OrgId,
    id: UserId,
    wanted: UserChange,
    (actor, own): (&str, Option<UserId>),
) -> Result<User, AccessError> {
    let mut db_tx = conn.begin().await?;
    // One change at a time: who waited sees what the other one did.
    sqlx::query("SELECT 1 FROM control.orgs WHERE id = $1 FOR NO KEY UPDATE").bind(org.0).execute(&mut *db_tx).await?;
    let before = locked(&mut db_tx, org, id).await?;
    let after = User {
        role: wanted.role.unwrap_or(before.role),
        active: wanted.active.unwrap_or(before.active),
        ..before.clone()
    };
    if after == before {
        return Ok(before);
    }
    if own == Some(id) {
        return Err(AccessError::OwnUser);
    }
    if let Some(own) = own {
        let caller = locked(&mut db_tx, org, own).await?;
        if let Some(denial) = denial(&caller) {
            db_tx.rollback().await?;
            callers::deny(conn, Some(org), actor, own.0, &denial.to_string()).await?;
            return Err(denial);
        }
    }
    sqlx::query("UPDATE access.users SET role = $3, active = $4 WHERE org_id = $1 AND id = $2")
        .bind(org.0)
        .bind(id.0)
        .bind(after.role.as_str())
        .bind(after.active)
        .execute(&mut *db_tx)
        .await?;
    if after.role != before.role {
        let states = ("role", Some(before.role.as_str()), Some(after.role.as_str()));
        note(&mut db_tx, org, &after, actor, states).await?;
    }
    if after.active != before.active {
        let action = if after.active { "activated" } else { "deactivated" };
        note(&mut db_tx, org, &after, actor, (action, None, None)).await?;
    }
    db_tx.commit().await?;
    Ok(after)
}

/// Why `caller` may not change users; `None` if they may.
fn denial(caller: &User) -> Option<AccessError> {
    if !caller.active {
        return Some(AccessError::InactiveUser);
    }
    let (permission, role) = (Permission::ManageUsers, caller.role);
    (!role.may(permission)).then_some(AccessError::Forbidden { permission, role })
}

async fn locked(conn: &mut PgConnection, org: OrgId, id: UserId) -> Result<User, AccessError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, issuer, subject, name, role, active, created_at, last_seen_at
           FROM access.users WHERE org_id = $1 AND id = $2
            FOR UPDATE",
    )
    .bind(org.0)
    .bind(id.0)
    .fetch_optional(conn)
    .await?;
    User::try_from(row.ok_or(AccessError::NoSuchUser { user: id })?)
}

async fn note(
    conn: &mut PgConnection,
    org: OrgId,
    user: &User,
    actor: &str,
    (action, from_state, to_state): (&str, Option<&str>, Option<&str>),
) -> Result<(), AccessError> {
    let reason = Some(user.name.as_str());
    let entry =
        Entry { org: Some(org), actor, action, subject: "user", subject_id: user.id.0, from_state, to_state, reason };
    Ok(audit::record(conn, &entry).await?)
}

fn check(field: &'static str, text: &str, longest: usize, expected: &'static str) -> Result<(), AccessError> {
    let length = text.chars().count();
    if (1..=longest).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(AccessError::BadField { field, expected })
}
