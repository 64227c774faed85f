//! Datasets that are granted to organisations. Table `access.dataset_grants`.

use std::collections::BTreeMap;

use isotherm_types::{ChainId, Dataset, DatasetGrants, OrgId};
use sqlx::{Connection, PgConnection};

use crate::audit::{self, Entry};
use crate::error::AccessError;

/// Chain and dataset of a grant; `None` stands for every one.
pub type Grant = (Option<ChainId>, Option<Dataset>);

/// The grants of `org`, the widest first.
///
/// # Errors
/// What Postgres reports.
pub async fn list(conn: &mut PgConnection, org: OrgId) -> Result<Vec<Grant>, AccessError> {
    let rows: Vec<(Option<i64>, Option<String>)> = sqlx::query_as(
        "SELECT chain_id, dataset FROM access.dataset_grants
          WHERE org_id = $1
          ORDER BY chain_id NULLS FIRST, dataset NULLS FIRST",
    )
    .bind(org.0)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(grant_of).collect()
}

/// What `org` may read.
///
/// # Errors
/// What Postgres reports.
pub async fn of_org(conn: &mut PgConnection, org: OrgId) -> Result<DatasetGrants, AccessError> {
    Ok(DatasetGrants::of(list(conn, org).await?))
}

/// What each organisation may read of a chain; those that may read nothing of it are left out.
///
/// # Errors
/// What Postgres reports.
pub async fn of_chain(conn: &mut PgConnection, chain: ChainId) -> Result<BTreeMap<OrgId, DatasetGrants>, AccessError> {
    let rows: Vec<(i64, Option<i64>, Option<String>)> = sqlx::query_as(
        "SELECT org_id, chain_id, dataset FROM access.dataset_grants WHERE chain_id IS NULL OR chain_id = $1",
    )
    .bind(chain.0.cast_signed())
    .fetch_all(conn)
    .await?;
    let mut of_orgs: BTreeMap<OrgId, Vec<Grant>> = BTreeMap::new();
    for (org, granted_chain, dataset) in rows {
        of_orgs.entry(OrgId(org)).or_default().push(grant_of((granted_chain, dataset))?);
    }
    Ok(of_orgs.into_iter().map(|(org, grants)| (org, DatasetGrants::of(grants))).collect())
}

fn grant_of((chain, dataset): (Option<i64>, Option<String>)) -> Result<Grant, AccessError> {
    let dataset = dataset.map(|name| name.parse::<Dataset>()).transpose();
    let dataset = dataset.map_err(|unknown| AccessError::from(sqlx::Error::Decode(Box::new(unknown))))?;
    Ok((chain.map(|id| ChainId(id.cast_unsigned())), dataset))
}

/// Grants a dataset to `org`; `false` if exactly this was granted before.
///
/// # Errors
/// What Postgres reports.
pub async fn grant(conn: &mut PgConnection, org: OrgId, grant: Grant, actor: &str) -> Result<bool, AccessError> {
    const STATEMENT: &str = "INSERT INTO access.dataset_grants (org_id, chain_id, dataset) VALUES ($1, $2, $3)
         ON CONFLICT (org_id, chain_id, dataset) DO NOTHING";
    change(conn, STATEMENT, "granted", org, grant, actor).await
}

/// Takes a grant away; `false` if there is exactly none such. A wider grant that covers it stays as it is.
///
/// # Errors
/// What Postgres reports.
pub async fn revoke(conn: &mut PgConnection, org: OrgId, grant: Grant, actor: &str) -> Result<bool, AccessError> {
    const STATEMENT: &str = "DELETE FROM access.dataset_grants
          WHERE org_id = $1 AND chain_id IS NOT DISTINCT FROM $2 AND dataset IS NOT DISTINCT FROM $3";
    change(conn, STATEMENT, "revoked", org, grant, actor).await
}

async fn change(
    conn: &mut PgConnection,
    statement: &'static str,
    action: &str,
    org: OrgId,
    (chain, dataset): Grant,
    actor: &str,
) -> Result<bool, AccessError> {
    let mut db_tx = conn.begin().await?;
    let changed = sqlx::query(statement)
        .bind(org.0)
        .bind(chain.map(|chain| chain.0.cast_signed()))
        .bind(dataset.map(Dataset::as_str))
        .execute(&mut *db_tx)
        .await?
        .rows_affected();
    if changed == 1 {
        let reason = words((chain, dataset));
        let reason = Some(reason.as_str());
        let entry =
            Entry { org: Some(org), actor, action, subject: "org", subject_id: org.0, reason, ..Entry::default() };
        audit::record(&mut db_tx, &entry).await?;
    }
    db_tx.commit().await?;
    Ok(changed == 1)
}

/// A grant in words: `logs of chain 143`.
pub fn words((chain, dataset): Grant) -> String {
    let dataset = dataset.map_or("every dataset", Dataset::as_str);
    match chain {
        Some(chain) => format!("{dataset} of chain {chain}"),
        None => format!("{dataset} of every chain"),
    }
}
