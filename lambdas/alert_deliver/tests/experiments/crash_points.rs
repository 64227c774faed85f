//! Senders that die between claiming, sending and writing down: in the end every message is delivered, none twice under two ids.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isotherm_lab::experiment::{Experiment, Victim, victim_order};
use isotherm_lab::webhook_zoo::Behaviour;
use isotherm_types::CrashPoint;
use isotherm_types::crash_point::Armed;
use lambda_alert_deliver::{ATTEMPT, Deliverer, Limits};
use serde_json::json;

use crate::stage::{self, NO_SLACK, Stage};

const POINTS: [CrashPoint; 3] = [CrashPoint::DeliverClaimed, CrashPoint::DeliverSent, CrashPoint::DeliverWritten];
/// Messages of one run, and how many are on their way at once: each point is passed several times.
const MESSAGES: i64 = 40;
const CONCURRENT: u32 = 8;

fn few_at_once(mut deliverer: Deliverer) -> Deliverer {
    deliverer.limits = Limits { concurrent: CONCURRENT, ..deliverer.limits };
    deliverer
}

/// The sender that dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is started by experiment_deliver_crash_points, and dies"]
async fn victim_deliverer() {
    let Some(order) = victim_order() else { return };
    let text = |key: &str| order[key].as_str().unwrap().to_owned();
    let (database, endpoint, account) = (text("database"), text("endpoint"), text("account"));
    let deliverer = few_at_once(stage::deliverer(&database, &endpoint, &account, NO_SLACK, ATTEMPT).await);
    text("armed").parse::<Armed>().unwrap().arm();
    deliverer.work().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_deliver_crash_points() {
    let mut experiment = Experiment::begin("deliver_crash_points", &["lease", "successor"]);
    let rounds = experiment.scaled(1, 10);
    let hits: &[u32] = experiment.scaled(&[1, 2][..], &[1, 2, 3][..]);
    let (mut runs, mut aborted, mut undelivered, mut repeated, mut strange) = (0, 0, 0, 0, 0);
    for round in 0..rounds {
        for point in POINTS {
            for hit in hits {
                let mut stage = Stage::new().await;
                if runs == 0 {
                    experiment.figure_of_postgres(&mut stage.conn).await;
                }
                stage.unlimited().await;
                let url = stage.zoo.url(Behaviour::Accept);
                let channel = stage.webhook(&url, 6000).await;
                stage.fire(MESSAGES + round, &[channel]).await;
                let order = json!({
                    "armed": format!("{}:{hit}", point.as_str()), "database": stage.database.url, "endpoint": stage.endpoint,
                    "account": stage.account,
                });
                let mut victim = Victim::start("crash_points::victim_deliverer", &order).unwrap();
                runs += 1;
                aborted += i64::from(victim.aborts().await.unwrap());
                let successor = few_at_once(stage.deliverer().await);
                if !experiment.lacks("lease") {
                    stage.pass(Limits::default().lease + Duration::from_secs(1)).await;
                }
                if !experiment.lacks("successor") {
                    successor.work().await.unwrap();
                }
                undelivered += stage.count("SELECT count(*) FROM alerts.deliveries WHERE state <> 'delivered'").await;
                let known: Vec<String> =
                    sqlx::query_scalar("SELECT 'msg_' || replace(id::text, '-', '') FROM alerts.deliveries")
                        .fetch_all(&mut stage.conn)
                        .await
                        .unwrap();
                let known: BTreeSet<String> = known.into_iter().collect();
                let mut times = BTreeMap::<String, i64>::new();
                for received in stage.zoo.received(&url) {
                    *times.entry(received.header("webhook-id").to_owned()).or_default() += 1;
                }
                repeated += times.values().filter(|times| **times > 1).count();
                strange += times.keys().filter(|id| !known.contains(*id)).count();
            }
        }
    }
    experiment.figure("runs", runs);
    experiment.figure("sent_twice", repeated);
    experiment.equal("aborted_there", aborted, runs);
    experiment.zero("undelivered", undelivered);
    experiment.zero("strange_ids", i64::try_from(strange).unwrap());
    experiment.finish();
}
