//! Which channels a rule tells. Table `alerts.rule_channels`.

use isotherm_types::{OrgId, RuleId};
use sqlx::PgConnection;

use super::RuleError;
use crate::definition::{FieldError, FieldErrors};

/// The channels of `org` called `names`, in their order.
///
/// # Errors
/// [`RuleError::Invalid`] that names those that are not there.
pub(super) async fn of_names(conn: &mut PgConnection, org: OrgId, names: &[String]) -> Result<Vec<i64>, RuleError> {
    let known: Vec<(String, i64)> = sqlx::query_as(
        "SELECT name, id FROM alerts.channels WHERE org_id = $1 AND name = ANY($2) AND deleted_at IS NULL",
    )
    .bind(org.0)
    .bind(names)
    .fetch_all(conn)
    .await?;
    let (mut ids, mut errors) = (Vec::new(), Vec::new());
    for (place, name) in names.iter().enumerate() {
        match known.iter().find(|(known, _)| known == name) {
            Some((_, id)) => ids.push(*id),
            None => {
                let message = format!("there is no channel {name:?}; make it first");
                errors.push(FieldError::new(format!("channels[{place}]"), message));
            }
        }
    }
    FieldErrors::check(errors)?;
    Ok(ids)
}

/// Makes `channels` the rule's, and no others.
pub(super) async fn put(
    conn: &mut PgConnection,
    org: OrgId,
    rule: RuleId,
    channels: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM alerts.rule_channels WHERE org_id = $1 AND rule_id = $2 AND channel_id <> ALL($3)")
        .bind(org.0)
        .bind(rule.0)
        .bind(channels)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO alerts.rule_channels (org_id, rule_id, channel_id)
         SELECT $1, $2, channel FROM unnest($3::bigint[]) AS channel
         ON CONFLICT DO NOTHING",
    )
    .bind(org.0)
    .bind(rule.0)
    .bind(channels)
    .execute(conn)
    .await?;
    Ok(())
}
