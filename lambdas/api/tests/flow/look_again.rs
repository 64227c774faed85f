//! Rules that are to find what was before them: whenever one is put to work, all that is stored is looked at again.

use isotherm_alerts::cursors;
use isotherm_alerts::definition::Definition;
use isotherm_alerts::rules as stored;
use isotherm_control::jobs;
use isotherm_types::{ChainId, OrgId};
use lambda_api::rules::{self, Author};
use serde_json::json;
use sqlx::PgConnection;

use crate::alert_scene::{self, full};
use crate::stage::Stage;

const CHAIN: ChainId = ChainId(31337);
const AUTHOR: Author<'static> = Author { name: "test", user: None };
/// All is looked at again.
const AGAIN: Option<Option<u64>> = Some(None);
/// The cursor is at the tip.
const STAYS: Option<Option<u64>> = Some(Some(19));

fn definition(least_gas: u64, backfill: bool) -> Definition {
    let mut rule = full("past");
    rule["condition"] = json!(format!("gas_used >= {least_gas}"));
    rule["backfill"] = json!(backfill);
    Definition::parse(&rule).unwrap()
}

/// The organisation's cursor is at the tip.
async fn at_tip(conn: &mut PgConnection, org: OrgId) {
    sqlx::query(
        "INSERT INTO alerts.cursors (org_id, chain_id, block_number, block_hash)
         SELECT $1, chain_id, tip_number, tip_hash FROM hot.cursors WHERE chain_id = $2
             ON CONFLICT (org_id, chain_id) DO UPDATE
            SET block_number = excluded.block_number, block_hash = excluded.block_hash, recheck_from = NULL",
    )
    .bind(org.0)
    .bind(CHAIN.0.cast_signed())
    .execute(conn)
    .await
    .unwrap();
}

/// Where the cursor's block is; the outer `None`: there is no cursor.
async fn stands_at(conn: &mut PgConnection, org: OrgId) -> Option<Option<u64>> {
    let cursors = cursors::of_chain(conn, CHAIN).await.unwrap();
    cursors.get(&org).map(|cursor| cursor.block.map(|block| block.number.0))
}

#[tokio::test]
async fn a_rule_with_backfill_looks_at_all_that_is_stored_whenever_it_is_put_to_work() {
    let stage = Stage::new().await;
    let mut conn = stage.pool.acquire().await.unwrap();
    let org = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    alert_scene::chain(&stage).await;
    alert_scene::put_back(&stage, org, None).await;

    // Without a cursor one is made, so that a turn that has begun already finds it.
    sqlx::query("DELETE FROM alerts.cursors").execute(&mut *conn).await.unwrap();
    rules::save(&mut conn, org, &definition(15, true), AUTHOR).await.unwrap();
    assert_eq!(stands_at(&mut conn, org).await, AGAIN, "made");
    at_tip(&mut conn, org).await;
    rules::save(&mut conn, org, &definition(15, true), AUTHOR).await.unwrap();
    assert_eq!(stands_at(&mut conn, org).await, STAYS, "saved as it was");
    let (saved, _) = rules::save(&mut conn, org, &definition(16, true), AUTHOR).await.unwrap();
    assert_eq!(stands_at(&mut conn, org).await, AGAIN, "changed");

    at_tip(&mut conn, org).await;
    stored::pause(&mut conn, org, saved.rule_id, "test").await.unwrap();
    assert_eq!(stands_at(&mut conn, org).await, STAYS, "paused");
    let paused = rules::named(&mut conn, org, "past").await.unwrap();
    assert!(rules::resume(&mut conn, org, &paused, "test").await.unwrap());
    assert_eq!(stands_at(&mut conn, org).await, AGAIN, "resumed");

    for saves in [false, true] {
        at_tip(&mut conn, org).await;
        stored::quarantine(&mut conn, saved.rule_id, None, "alerts.condition_failed", "x").await.unwrap();
        assert_eq!(stands_at(&mut conn, org).await, STAYS, "quarantined");
        if saves {
            rules::save(&mut conn, org, &definition(16, true), AUTHOR).await.unwrap();
        } else {
            let failed = rules::named(&mut conn, org, "past").await.unwrap();
            assert!(rules::resume(&mut conn, org, &failed, "test").await.unwrap());
        }
        assert_eq!(stands_at(&mut conn, org).await, AGAIN, "out of quarantine, saved: {saves}");
    }

    at_tip(&mut conn, org).await;
    rules::save(&mut conn, org, &definition(17, false), AUTHOR).await.unwrap();
    stored::pause(&mut conn, org, saved.rule_id, "test").await.unwrap();
    let paused = rules::named(&mut conn, org, "past").await.unwrap();
    assert!(rules::resume(&mut conn, org, &paused, "test").await.unwrap());
    assert_eq!(stands_at(&mut conn, org).await, STAYS, "it does not ask for what was before");
    let (asks_again, _) = rules::save(&mut conn, org, &definition(17, true), AUTHOR).await.unwrap();
    assert_eq!((stands_at(&mut conn, org).await, asks_again.first_block.0), (AGAIN, 0), "now it does");
}
