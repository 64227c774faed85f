//! Reading as an organisation: Postgres itself leaves out the rows of all others, whatever the statement says.
//!
//! The second guard behind the condition on `org_id` that every statement has of its own. Policies and granted columns are in
//! `migrations/0013_access.sql`. It holds for our statements, not for SQL that a user writes: who has a session can put its
//! role and its settings back. So no user's SQL is ever sent to Postgres (docs/access.md).

use isotherm_types::OrgId;
use sqlx::PgConnection;

/// The role that sees rows of one organisation only, and changes nothing.
pub const TENANT: &str = "isotherm_tenant";

/// Makes the rest of the transaction that `tx` is in read as `org`. Both role and organisation end with it.
///
/// # Errors
/// `InvalidArgument` if there is no transaction, since then nothing would be left out; what Postgres reports.
pub async fn as_tenant(tx: &mut PgConnection, org: OrgId) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('isotherm.org_id', $1, true), set_config('role', 'isotherm_tenant', true)")
        .bind(org.0.to_string())
        .execute(&mut *tx)
        .await?;
    let (role,): (String,) = sqlx::query_as("SELECT current_user::text").fetch_one(tx).await?;
    if role == TENANT {
        return Ok(());
    }
    Err(sqlx::Error::InvalidArgument("rows are read as an organisation in a transaction only".to_owned()))
}
