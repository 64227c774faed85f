//! Migrations beside programs that are at work: each waits for a lock for a moment only, so that nobody waits behind it for longer.

use std::time::Duration;

use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_lab::tools;
use isotherm_types::Classified as _;
use operator_migrate::schema::{self, Patience};
use sqlx::PgConnection;
use sqlx::migrate::Migrator;

/// The migration after it alters the rules of alerts.
const BEFORE: i64 = 16;

/// Whether somebody waits to alter the rules.
const IS_WAITING: &str = "
    SELECT EXISTS (SELECT FROM pg_locks
                    WHERE NOT granted AND relation = 'alerts.rules'::regclass
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

/// A database of before, and somebody who reads its rules in a transaction that stays open.
async fn scene() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::empty().await.unwrap();
    let folder = tools::repository_root().unwrap().join("migrations");
    let migrator = Migrator::new(folder.as_path()).await.unwrap();
    migrator.run_to(BEFORE, &mut database.connect().await.unwrap()).await.unwrap();
    let mut reader = database.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM alerts.rules").execute(&mut reader).await.unwrap();
    (database, reader)
}

async fn until_waiting(watcher: &mut PgConnection, expected: bool) {
    let is_so = async || {
        let is_waiting: bool = sqlx::query_scalar(IS_WAITING).fetch_one(&mut *watcher).await.unwrap();
        is_waiting == expected
    };
    eventually(format!("waiting to be {expected}"), is_so).await.unwrap();
}

#[tokio::test]
async fn a_migration_that_gets_no_lock_gives_way_and_leaves_nothing_behind() {
    let (database, mut reader) = scene().await;
    let (mut conn, mut watcher) = (database.connect().await.unwrap(), database.connect().await.unwrap());
    let mut another = database.connect().await.unwrap();
    sqlx::raw_sql("SET statement_timeout = '20s'").execute(&mut another).await.unwrap();
    let patience = Patience { for_a_lock: Duration::from_secs(1), between_tries: Duration::from_millis(100), tries: 2 };
    let migrating = tokio::time::timeout(Duration::from_secs(60), schema::migrate_with(&mut conn, patience));
    let behind_it = async {
        until_waiting(&mut watcher, true).await;
        let read = sqlx::raw_sql("SELECT FROM alerts.rules").execute(&mut another).await;
        read.expect("whoever comes after it waits no longer than it does");
    };
    let (migrated, ()) = tokio::join!(migrating, behind_it);
    let error = migrated.expect("it does not wait without an end").unwrap_err();
    assert_eq!(error.code(), "migrate.locked", "{error:?}");
    let reached: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(&mut watcher)
        .await
        .unwrap();
    assert_eq!(reached, BEFORE);

    // Another connection migrates: nobody has kept the lock of those who do.
    sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
    assert!(schema::migrate_with(&mut watcher, patience).await.unwrap() > BEFORE);
    let waits: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut watcher).await.unwrap();
    assert_eq!(waits, "0", "afterwards locks are waited for as before");
}

#[tokio::test]
async fn a_migration_that_gave_way_tries_again() {
    let (database, mut reader) = scene().await;
    let (mut conn, mut watcher) = (database.connect().await.unwrap(), database.connect().await.unwrap());
    let patience = Patience { for_a_lock: Duration::from_secs(1), between_tries: Duration::from_secs(2), tries: 5 };
    let letting_go = async {
        until_waiting(&mut watcher, true).await;
        until_waiting(&mut watcher, false).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
    };
    let (migrated, ()) = tokio::join!(schema::migrate_with(&mut conn, patience), letting_go);
    assert!(migrated.unwrap() > BEFORE);
}
