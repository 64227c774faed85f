//! Rows of the platform's own tables on their way to the sandbox: read for one organisation, in the query's snapshot.
//!
//! Two guards, each enough without the other: a condition on `org_id` that is added here to every table's SELECT, and the
//! role `isotherm_tenant`, under which Postgres asks its own policies (`isotherm_access::row_security`). The role is taken
//! on behind a savepoint of the snapshot's transaction and ends with it, since hot rows and the catalogue are read as the
//! owner: a tenant sees none of them.
//!
//! It must never read for a request that names no organisation, and never send what a query did not name.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use isotherm_access::row_security;
use isotherm_hot_store::copy::Decoder;
use isotherm_hot_store::{HotStoreError, rows};
use isotherm_types::OrgId;
use isotherm_types::sandbox::Scan;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Transaction};

use crate::error::QueryError;
use crate::gate::NamedTables;
use crate::hot_rows::{BATCH_ROWS, encode};
use crate::plan::{self, Bounds};
use crate::platform_tables::{PlatformColumn, PlatformTable, PlatformType};
use crate::sandbox_process::{SandboxProcess, Step};

/// Bytes that one query may have fetched of all these tables together, counted as they come and as Arrow: they come whole but
/// for their keys' bounds, from the database that also follows the chains.
pub const MAX_BYTES: usize = 64 << 20;

/// What a query reads of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableNeed {
    /// Columns, in the table's order; at least one.
    pub columns: Vec<&'static PlatformColumn>,
    /// Values of the table's key.
    pub keys: Bounds,
}

/// What a query reads of the platform's own tables. One that no scan reads is not in it.
pub type PlatformNeeds = BTreeMap<&'static PlatformTable, TableNeed>;

/// What the scans of a plan read: of each table the union of columns and the hull of its keys.
pub fn needs(scans: &[Scan]) -> PlatformNeeds {
    let mut needs = PlatformNeeds::new();
    for scan in scans {
        let Some(table) = PlatformTable::of_full_name(&scan.relation) else { continue };
        let keys = table.key.map_or(Bounds::ALL, |key| plan::bounds(&scan.filters, key));
        let need = needs.entry(table).or_insert(TableNeed { columns: vec![], keys: Bounds::NONE });
        // A scan that needs no column, as under `count(*)`, reads the first one, and a plan does not say so.
        let first = table.columns[0].name;
        let is_wanted = |column: &&PlatformColumn| {
            need.columns.contains(column) || column.name == first || plan::is_read(scan, column.name)
        };
        need.columns = table.columns.iter().filter(is_wanted).collect();
        need.keys = need.keys.hull(keys);
    }
    needs
}

/// Everything of `tables`: for a query whose plan may not be believed.
pub fn everything(tables: &NamedTables) -> PlatformNeeds {
    let whole = |table: &&'static PlatformTable| {
        let need = TableNeed { columns: table.columns.iter().collect(), keys: Bounds::ALL };
        (*table, need)
    };
    tables.keys().map(whole).collect()
}

/// Checks that there is somebody whose rows can be read, if any are to be.
///
/// # Errors
/// [`QueryError::UnknownRelation`] for a request of no organisation: for it these tables are not there.
pub fn check(tables: &NamedTables, org: Option<OrgId>) -> Result<(), QueryError> {
    match tables.first_key_value() {
        Some((table, &position)) if org.is_none() => {
            Err(QueryError::UnknownRelation { name: table.to_string(), position })
        }
        _ => Ok(()),
    }
}

/// Checks that what `needs` asks for of `org`'s rows is not more than may be fetched, before any is: a single row may be longer
/// than this program's memory. Postgres counts, up to the row with which it is too much.
///
/// # Errors
/// [`QueryError::PlatformRowsTooLarge`] above [`MAX_BYTES`]; what Postgres reports.
pub async fn check_size(snapshot: &mut PgConnection, org: OrgId, needs: &PlatformNeeds) -> Result<(), QueryError> {
    if needs.is_empty() {
        return Ok(());
    }
    let mut as_org = read_as(snapshot, org).await?;
    let measuring = sqlx::query_scalar::<Postgres, i64>(AssertSqlSafe(measurement(org, needs))).persistent(false);
    let place = measuring.fetch_optional(&mut *as_org).await?;
    as_org.rollback().await?;
    match place.and_then(|place| needs.keys().nth(usize::try_from(place).ok()?)) {
        Some(table) => Err(too_large(table)),
        None => Ok(()),
    }
}

/// Copies what `needs` asks for of `org`'s rows out of `snapshot` into the sandbox. Returns the number of rows; the
/// snapshot's role is then what it was.
///
/// # Errors
/// [`QueryError::PlatformRowsTooLarge`] above [`MAX_BYTES`]; what Postgres reports; what the sandbox says.
pub async fn send(
    snapshot: &mut PgConnection,
    org: OrgId,
    needs: &PlatformNeeds,
    sandbox: &mut SandboxProcess,
) -> Step<u64> {
    if needs.is_empty() {
        return Ok(0);
    }
    let outcome = copy(snapshot, org, needs, sandbox).await;
    sandbox.explained(outcome).await
}

async fn copy(
    snapshot: &mut PgConnection,
    org: OrgId,
    needs: &PlatformNeeds,
    sandbox: &mut SandboxProcess,
) -> Result<u64, QueryError> {
    let (mut row_count, mut bytes) = (0, 0);
    let mut as_org = read_as(snapshot, org).await?;
    for (table, need) in needs {
        let name = table.rows_table();
        let mut batches = read(&mut as_org, org, table, need).await?;
        while let Some(batch) = batches.try_next().await.map_err(QueryError::PlatformRows)? {
            let stream = encode(&batch)?;
            bytes += stream.len();
            if bytes > MAX_BYTES {
                return Err(too_large(table));
            }
            row_count += batch.num_rows() as u64;
            sandbox.send_rows(&name, &stream).await?;
        }
    }
    as_org.rollback().await?;
    Ok(row_count)
}

/// A savepoint of `snapshot` behind which Postgres shows the rows of `org` and nobody else's. Rolled back or dropped, it
/// puts role and organisation back to what they were.
///
/// **Source**: PostgreSQL manual, SET: its effects are undone when a savepoint before it is rolled back to.
///
/// # Errors
/// What Postgres reports.
pub async fn read_as(snapshot: &mut PgConnection, org: OrgId) -> Result<Transaction<'_, Postgres>, QueryError> {
    let mut as_org = snapshot.begin().await?;
    row_security::as_tenant(&mut as_org, org).await?;
    Ok(as_org)
}

/// Streams what is needed of `org`'s rows of a table.
///
/// # Errors
/// What Postgres reports; the stream ends with an error if the COPY was cut short, or a value is none of its column's.
pub async fn read<'c>(
    conn: &'c mut PgConnection,
    org: OrgId,
    table: &PlatformTable,
    need: &TableNeed,
) -> Result<BoxStream<'c, Result<RecordBatch, HotStoreError>>, QueryError> {
    let field = |column: &&PlatformColumn| Field::new(column.name, column.column_type.arrow(), column.nullable);
    let schema = Schema::new(need.columns.iter().map(field).collect::<Vec<_>>());
    let bytes = conn.copy_out_raw(&statement(org, table, need)).await?;
    Ok(rows::batches(bytes, Decoder::new(Arc::new(schema)), BATCH_ROWS))
}

/// COPY takes no parameters. What stands in the text are numbers, and names and SELECTs of this program.
fn statement(org: OrgId, table: &PlatformTable, need: &TableNeed) -> String {
    let value = |column: &&PlatformColumn| format!("r.{}::{}", column.name, column.column_type.postgres());
    let values = need.columns.iter().map(value).collect::<Vec<_>>().join(", ");
    format!("COPY (SELECT {values} {}) TO STDOUT (FORMAT binary)", rows_of(org, table, need))
}

/// Gives the place among `needs` of the table with whose rows it is more than may be fetched; no row if it is not. The window
/// has no order, so that Postgres adds up as it reads and reads no further than it has to.
fn measurement(org: OrgId, needs: &PlatformNeeds) -> String {
    let sizes = needs.iter().enumerate().map(|(place, (table, need))| {
        format!("SELECT {place}::bigint AS place, {} AS bytes {}", row_bytes(need), rows_of(org, table, need))
    });
    format!(
        "SELECT s.place FROM (SELECT m.place, sum(m.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM (\n{}\n) AS m) AS s \
         WHERE s.total > {MAX_BYTES} LIMIT 1",
        sizes.collect::<Vec<_>>().join("\nUNION ALL\n"),
    )
}

/// Bytes of a row's values as they are fetched.
fn row_bytes(need: &TableNeed) -> String {
    let bytes = |column: &&PlatformColumn| match column.column_type {
        PlatformType::Text | PlatformType::Json | PlatformType::Bytes => {
            format!("coalesce(octet_length(r.{}::{}), 0)", column.name, column.column_type.postgres())
        }
        PlatformType::Integer | PlatformType::Double | PlatformType::Boolean | PlatformType::Time => "8".to_owned(),
    };
    format!("0::bigint + {}", need.columns.iter().map(bytes).collect::<Vec<_>>().join(" + "))
}

/// What is needed of `org`'s rows of a table, as `r`.
fn rows_of(org: OrgId, table: &PlatformTable, need: &TableNeed) -> String {
    let keys = table.key.map(|key| within(key, need.keys)).unwrap_or_default();
    format!("FROM (\n{}\n) AS r WHERE r.org_id = {}{keys}", table.select, org.0)
}

fn too_large(table: &PlatformTable) -> QueryError {
    QueryError::PlatformRowsTooLarge { table: table.to_string(), key: table.key }
}

/// The rest of a condition that lets the keys of `bounds` through.
fn within(key: &str, bounds: Bounds) -> String {
    if bounds == Bounds::ALL {
        return String::new();
    }
    let last = i64::try_from(bounds.last).unwrap_or(i64::MAX);
    match i64::try_from(bounds.first) {
        Ok(first) if first <= last => format!(" AND r.{key} BETWEEN {first} AND {last}"),
        _ => " AND false".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(relation: &str, columns: &[&str], filters: &[&str]) -> Scan {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Scan { relation: relation.to_owned(), columns: owned(columns), filters: owned(filters) }
    }

    fn asked(scans: &[Scan]) -> Vec<(String, Vec<&'static str>, Bounds)> {
        let needs = needs(scans).into_iter();
        needs
            .map(|(table, need)| {
                (table.to_string(), need.columns.iter().map(|column| column.name).collect(), need.keys)
            })
            .collect()
    }

    #[test]
    fn columns_and_keys_of_all_scans_are_needed_and_the_first_column_always() {
        let tasks = |columns: &[&'static str], first, last| {
            ("isotherm.tasks".to_owned(), columns.to_vec(), Bounds { first, last })
        };
        assert_eq!(asked(&[scan("isotherm.tasks", &[], &[])]), [tasks(&["id"], 0, u64::MAX)]);
        let two = [
            scan("isotherm.tasks", &["state"], &["id>=5 AND id<=9"]),
            scan("isotherm.tasks", &["error_code"], &["id=20", "job_name='id>100'"]),
            scan("logs", &["address"], &["block_number=3"]),
        ];
        assert_eq!(asked(&two), [tasks(&["id", "job_name", "state", "error_code"], 5, 20)]);
        let unbounded = scan("isotherm.queries", &["state"], &["row_count>5"]);
        let expected = ("isotherm.queries".to_owned(), vec!["id", "state", "row_count"], Bounds::ALL);
        assert_eq!(asked(&[unbounded]), [expected]);
    }

    #[test]
    fn a_statement_names_the_organisation_once_and_the_bounds_of_the_key() {
        let needs = needs(&[scan("isotherm.events", &["body"], &["id>7"])]);
        let (table, need) = needs.first_key_value().unwrap();
        let text = statement(OrgId(3), table, need);
        let expected = format!(
            "COPY (SELECT r.id::bigint, r.body::text FROM (\n{}\n) AS r WHERE r.org_id = 3 \
             AND r.id BETWEEN 8 AND {}) TO STDOUT (FORMAT binary)",
            table.select,
            i64::MAX
        );
        assert_eq!(text, expected);
        assert_eq!(within("id", Bounds::ALL), "");
        assert_eq!(within("id", Bounds::NONE), " AND false");
        assert_eq!(within("id", Bounds { first: u64::MAX, last: u64::MAX }), " AND false");
    }

    #[test]
    fn what_has_a_length_is_measured_of_every_table_and_all_else_is_eight_bytes() {
        let needs = needs(&[
            scan("isotherm.events", &["body"], &["id>7"]),
            scan("isotherm.partitions", &["sha256", "committed_at"], &[]),
        ]);
        let text = measurement(OrgId(3), &needs);
        let sizes = [
            "::bigint AS place, 0::bigint + 8 + coalesce(octet_length(r.body::text), 0) AS bytes FROM",
            "::bigint AS place, 0::bigint + 8 + coalesce(octet_length(r.sha256::bytea), 0) + 8 AS bytes FROM",
        ];
        assert!(sizes.iter().all(|size| text.contains(size)), "{text}");
        assert_eq!(text.matches("AS r WHERE r.org_id = 3").count(), 2, "{text}");
        assert_eq!(text.matches("AND r.id BETWEEN 8 AND").count(), 1, "{text}");
    }

    #[test]
    fn for_a_request_of_no_organisation_the_tables_are_not_there() {
        let table = PlatformTable::named("isotherm", "tasks").unwrap();
        let named = NamedTables::from([(table, Some(9))]);
        assert!(check(&named, Some(OrgId(1))).is_ok() && check(&NamedTables::new(), None).is_ok());
        let error = check(&named, None).unwrap_err();
        let is_unknown =
            matches!(&error, QueryError::UnknownRelation { name, position: Some(9) } if name == "isotherm.tasks");
        assert!(is_unknown, "{error:?}");
    }
}
