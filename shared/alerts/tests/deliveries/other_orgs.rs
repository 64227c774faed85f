//! Each statement asks for the organisation by itself. The database's owner reads here, for whom Postgres leaves nothing out.

use isotherm_alerts::deliveries::listing::{self as deliveries, Filter};
use isotherm_alerts::listing::{self as alerts, AlertFilter};
use isotherm_alerts::{channels, rules};
use isotherm_types::{OrgId, RuleId};

use crate::stage::{Stage, accepted};

#[tokio::test]
async fn every_read_leaves_out_other_organisations_without_row_security() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("webhook", 60).await;
    let alert = stage.fire(1, &[channel]).await[0];
    let claimed = stage.claim_one().await;
    assert!(stage.end(&claimed, accepted("m")).await);
    stage
        .run(
            "INSERT INTO alerts.alert_history (org_id, alert_id, to_state, block_number, block_hash)
             SELECT org_id, id, state, block_number, block_hash FROM alerts.alert_events",
        )
        .await;
    let rule = RuleId(stage.count("SELECT id FROM alerts.rules").await);
    let conn = &mut stage.conn;
    // The same reads, of the organisation that has one of each and of one that has none.
    for (org, expected) in [(OrgId(1), 1), (OrgId(2), 0)] {
        let of_alerts = AlertFilter { rule: None, state: None, before: None, limit: 10 };
        let of_deliveries = Filter { limit: 10, ..Filter::default() };
        let seen = [
            ("rules::list", rules::list(conn, org, None, 10).await.unwrap().len()),
            ("rules::named", usize::from(rules::named(conn, org, "large").await.unwrap().is_some())),
            ("rules::get", usize::from(rules::get(conn, org, rule).await.is_ok())),
            ("channels::list", channels::list(conn, org).await.unwrap().len()),
            ("channels::named", usize::from(channels::named(conn, org, "c0").await.unwrap().is_some())),
            ("channels::get", usize::from(channels::get(conn, org, channel).await.is_ok())),
            ("alerts::list", alerts::list(conn, org, &of_alerts).await.unwrap().len()),
            ("alerts::read", usize::from(alerts::read(conn, org, alert).await.unwrap().is_some())),
            ("alerts::history", alerts::history(conn, org, alert).await.unwrap().len()),
            ("deliveries::list", deliveries::list(conn, org, &of_deliveries).await.unwrap().len()),
            ("deliveries::attempts", deliveries::attempts(conn, org, claimed.id).await.unwrap().len()),
        ];
        for (what, seen) in seen {
            assert_eq!(seen, expected, "{what} as {org:?}");
        }
    }
}
