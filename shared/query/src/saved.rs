//! Queries that an organisation keeps under a name. Table `query.saved_queries`.
//!
//! Their text is people's own and stands in no log. Reading is under the organisation's role; every statement is for one
//! organisation besides.

use chrono::{DateTime, Utc};
use isotherm_access::row_security;
use isotherm_types::OrgId;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::records::RecordError;

/// Longest name.
const MAX_NAME_BYTES: usize = 63;

/// Longest text, in bytes.
pub const MAX_SQL_BYTES: usize = 16 * 1024;

/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 1000;

/// Longest parameters, in bytes as JSON.
pub const MAX_PARAMETERS_BYTES: usize = 16 * 1024;

/// Queries that an organisation may save.
pub const MOST_SAVED: i64 = 200;

/// Bytes of them all in a list as it is sent, where text is escaped twice: as JSON, and as the body of an answer. With
/// names and the like, 2 KB each at most, a list stays below the 6 MB that Lambda carries.
pub const MOST_SAVED_BYTES: i64 = 4 << 20;

/// A query under a name.
#[derive(Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct SavedQuery {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its text.
    pub sql: String,
    /// Its parameters, if a run does not say.
    pub parameters: Option<Value>,
    /// Who saved it first.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Who changed it last.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
}

/// What is to be saved.
#[derive(Clone, PartialEq)]
pub struct NewSavedQuery {
    /// Its name; one of [`is_name`].
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its text.
    pub sql: String,
    /// Its parameters, if a run does not say: a list or an object.
    pub parameters: Option<Value>,
}

/// What came of saving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is new.
    Created,
    /// It took the place of the one before.
    Changed,
    /// The organisation has as many as it may.
    TooMany,
    /// With it, those of the organisation would be longer than they may be; it is not saved.
    TooLong,
}

/// Whether `name` is a name: a to z, 0 to 9, `_` and `-`, neither of these two first.
pub fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().next().is_some_and(is_word)
        && name.bytes().all(|byte| is_word(byte) || byte == b'_' || byte == b'-')
}

/// `defaults` with what a run says laid over them: field by field if both are objects, else the run's own if it has any.
pub fn parameters_of_run(defaults: Option<Value>, of_run: Value) -> Value {
    match (defaults, of_run) {
        (Some(Value::Object(mut both)), Value::Object(of_run)) => {
            both.extend(of_run);
            Value::Object(both)
        }
        (Some(defaults), Value::Null) => defaults,
        (_, of_run) => of_run,
    }
}

/// The saved queries of `org`, by name.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn list(conn: &mut PgConnection, org: OrgId) -> Result<Vec<SavedQuery>, RecordError> {
    let mut db_tx = conn.begin().await?;
    row_security::as_tenant(&mut db_tx, org).await?;
    let found = sqlx::query_as(
        "SELECT name, description, sql, parameters, created_by, created_at, updated_by, updated_at
           FROM query.saved_queries WHERE org_id = $1 ORDER BY name",
    )
    .bind(org.0)
    .fetch_all(&mut *db_tx)
    .await?;
    db_tx.rollback().await?;
    Ok(found)
}

/// One of them; `None` if there is none of this name.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn read(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<Option<SavedQuery>, RecordError> {
    let mut db_tx = conn.begin().await?;
    row_security::as_tenant(&mut db_tx, org).await?;
    let found = sqlx::query_as(
        "SELECT name, description, sql, parameters, created_by, created_at, updated_by, updated_at
           FROM query.saved_queries WHERE org_id = $1 AND name = $2",
    )
    .bind(org.0)
    .bind(name)
    .fetch_optional(&mut *db_tx)
    .await?;
    db_tx.rollback().await?;
    Ok(found)
}

/// Saves a query, in the place of the one of its name if there is one.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn save(
    conn: &mut PgConnection,
    org: OrgId,
    query: &NewSavedQuery,
    actor: &str,
) -> Result<Saved, RecordError> {
    let mut db_tx = conn.begin().await?;
    // One at a time for an organisation, or two could each be the last one that may be.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('query.saved', $1))")
        .bind(org.0)
        .execute(&mut *db_tx)
        .await?;
    let (others, is_there): (i64, bool) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE name <> $2), coalesce(bool_or(name = $2), false)
           FROM query.saved_queries WHERE org_id = $1",
    )
    .bind(org.0)
    .bind(&query.name)
    .fetch_one(&mut *db_tx)
    .await?;
    if others >= MOST_SAVED {
        return Ok(Saved::TooMany);
    }
    sqlx::query(
        "INSERT INTO query.saved_queries (org_id, name, description, sql, parameters, created_by, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $6)
         ON CONFLICT (org_id, name) DO UPDATE
            SET description = EXCLUDED.description, sql = EXCLUDED.sql, parameters = EXCLUDED.parameters,
                updated_by = EXCLUDED.updated_by, updated_at = now()",
    )
    .bind(org.0)
    .bind(&query.name)
    .bind(&query.description)
    .bind(&query.sql)
    .bind(&query.parameters)
    .bind(actor)
    .execute(&mut *db_tx)
    .await?;
    let listed_bytes: i64 = sqlx::query_scalar(
        "SELECT sum(octet_length(to_json(to_json(sql)::text)::text)
                    + octet_length(to_json(to_json(description)::text)::text)
                    + coalesce(octet_length(to_json(parameters::text)::text), 0))
           FROM query.saved_queries WHERE org_id = $1",
    )
    .bind(org.0)
    .fetch_one(&mut *db_tx)
    .await?;
    if listed_bytes > MOST_SAVED_BYTES {
        return Ok(Saved::TooLong);
    }
    db_tx.commit().await?;
    Ok(if is_there { Saved::Changed } else { Saved::Created })
}

/// Deletes one; `false` if there is none of this name.
///
/// # Errors
/// [`RecordError::Database`].
pub async fn delete(conn: &mut PgConnection, org: OrgId, name: &str) -> Result<bool, RecordError> {
    let deleted = sqlx::query("DELETE FROM query.saved_queries WHERE org_id = $1 AND name = $2")
        .bind(org.0)
        .bind(name)
        .execute(conn)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Never shows the text.
impl std::fmt::Debug for SavedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SavedQuery {{ name: {:?}, sql: {} bytes }}", self.name, self.sql.len())
    }
}

/// Never shows the text.
impl std::fmt::Debug for NewSavedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewSavedQuery {{ name: {:?}, sql: {} bytes }}", self.name, self.sql.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_can_stand_in_a_path_and_in_a_column() {
        for good in ["a", "7-day_volume", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a b", "a/b", "ä", "a\0", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_a_run_says_goes_before_the_defaults() {
        let object = Some(json!({ "a": 1, "b": 2 }));
        assert_eq!(parameters_of_run(object.clone(), json!({ "b": 3 })), json!({ "a": 1, "b": 3 }));
        assert_eq!(parameters_of_run(object.clone(), Value::Null), json!({ "a": 1, "b": 2 }));
        assert_eq!(parameters_of_run(object, json!([5])), json!([5]));
        assert_eq!(parameters_of_run(Some(json!([1, 2])), json!([5])), json!([5]));
        assert_eq!(parameters_of_run(None, Value::Null), Value::Null);
    }
}
