//! Either guard keeps the rows of others out alone: the condition of the statement, and Postgres' policies under the role.
//! And both read in the query's own snapshot.

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use isotherm_hot_store::rows;
use isotherm_query::boundary::open_snapshot;
use isotherm_query::plan::Bounds;
use isotherm_query::platform_rows::{self, TableNeed};
use isotherm_query::platform_tables::{ALL, PlatformTable};
use isotherm_types::{Dataset, OrgId};
use sqlx::PgConnection;

use super::made_chain::{CHAIN, follow, range};
use super::{Stage, stored};

/// Rows of a table that are read for `org` in `snapshot`, as a query does.
async fn read(snapshot: &mut PgConnection, org: OrgId, table: &PlatformTable) -> usize {
    let need = TableNeed { columns: table.columns.iter().collect(), keys: Bounds::ALL };
    let mut as_org = platform_rows::read_as(snapshot, org).await.unwrap();
    let batches = platform_rows::read(&mut as_org, org, table, &need).await.unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    as_org.rollback().await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

async fn seen(stage: &Stage, org: OrgId, table: &PlatformTable) -> i64 {
    let mut snapshot = open_snapshot(&stage.platform.engine.pool).await.unwrap();
    i64::try_from(read(&mut snapshot, org, table).await).unwrap()
}

/// The same table, each row of which claims to be the asker's: the condition lets all of them through.
fn without_condition(table: &PlatformTable) -> PlatformTable {
    let (before, after) = table.select.split_once(" AS org_id").unwrap();
    let (before, _) = before.rsplit_once(' ').unwrap();
    let select = format!("{before} nullif(current_setting('isotherm.org_id', true), '')::bigint AS org_id{after}");
    PlatformTable { select: select.leak(), ..table.clone() }
}

/// Red switch: without both guards every table shows rows of others.
#[tokio::test]
async fn rows_of_others_are_kept_out_by_either_guard_alone() {
    let stage = Stage::new().await;
    for has_policies in [true, false] {
        if !has_policies {
            let open = sqlx::raw_sql(include_str!("open_policies.sql"));
            open.execute(&mut stage.platform.connect().await).await.unwrap();
        }
        for table in ALL {
            let own = stored(&stage, stage.ours, table).await;
            let foreign = stored(&stage, stage.theirs, table).await;
            assert!(own > 0 && foreign > 0, "{table}");
            let with_condition = seen(&stage, stage.ours, table).await;
            assert_eq!(with_condition, own, "{table}, policies: {has_policies}");
            let without = seen(&stage, stage.ours, &without_condition(table)).await;
            if has_policies {
                assert_eq!(without, own, "{table}: the policies do not hold alone");
            } else {
                assert!(without >= own + foreign, "{table}: {without} rows without any guard");
            }
        }
    }
}

#[tokio::test]
async fn rows_are_of_the_snapshot_and_the_role_ends_before_hot_rows_are_read() {
    let stage = Stage::new().await;
    let tasks = PlatformTable::named("isotherm", "tasks").unwrap();
    let mut snapshot = open_snapshot(&stage.platform.engine.pool).await.unwrap();
    assert_eq!(read(&mut snapshot, stage.ours, tasks).await, 1);

    // Both move on meanwhile.
    let mut conn = stage.platform.connect().await;
    follow(&mut conn, range(12, 14)).await;
    let sql = "INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left)
               SELECT org_id, id, 'later', '{}', 1 FROM control.jobs WHERE org_id = $1";
    sqlx::query(sql).bind(stage.ours.0).execute(&mut conn).await.unwrap();

    assert_eq!(read(&mut snapshot, stage.ours, tasks).await, 1);
    let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *snapshot).await.unwrap();
    let org: Option<String> = sqlx::query_scalar("SELECT nullif(current_setting('isotherm.org_id', true), '')")
        .fetch_one(&mut *snapshot)
        .await
        .unwrap();
    assert!(role != "isotherm_tenant" && org.is_none(), "{role} {org:?}");
    let hot = rows::count(&mut snapshot, CHAIN, Dataset::Blocks, range(0, 20)).await.unwrap();
    assert_eq!(hot, 12, "hot rows are read as the owner, in the same snapshot");
    drop(snapshot);
    assert_eq!(seen(&stage, stage.ours, tasks).await, 2);
}
