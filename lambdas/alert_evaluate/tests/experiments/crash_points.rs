//! Evaluators that die between finding, writing and telling, in the middle of a reorg: the next one finds what is left, each match has
//! one row, one message and one announcement, and nothing is half written.

use std::time::{Duration, Instant};

use isotherm_lab::experiment::{Experiment, Victim, victim_order};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::CrashPoint;
use isotherm_types::crash_point::Armed;
use rand::{Rng, RngCore};
use serde_json::json;
use sqlx::PgConnection;

use crate::alert_reorgs::judge::{self, count};
use crate::alert_reorgs::{BEGIN_AT_TIP, MOST, RECEIVED, evaluator, rules};
use crate::chain::{CHAIN, MadeChain, Transaction, Transfer};

const POINTS: [CrashPoint; 3] = [CrashPoint::EvaluateFound, CrashPoint::EvaluateWritten, CrashPoint::EvaluateCommitted];
const RULES: u64 = 8;
/// Blocks before the reorg, taken back by it, and after it: more than two runs of a turn.
const BLOCKS: usize = 20;
const DEPTH: usize = 6;
const LATER: usize = 60;
/// Turns in which a successor has to be through.
const TURNS: usize = 4;

/// What must hold though nobody has received anything yet.
const RULES_OF_MESSAGES: [(&str, &str); 3] = [
    (
        "without_message",
        "SELECT count(*) FROM alerts.alert_events e
          WHERE e.state = 'confirmed'
            AND 1 <> (SELECT count(*) FROM alerts.deliveries d
                       WHERE d.alert_id = e.id AND d.kind = 'fired' AND d.state = 'queued')",
    ),
    (
        "without_alert",
        "SELECT count(*) FROM alerts.deliveries d JOIN alerts.alert_events e ON e.id = d.alert_id
          WHERE d.state = 'queued' AND e.state <> 'confirmed'",
    ),
    // A message is announced by an event of its own transaction.
    (
        "unannounced",
        "SELECT count(*) FROM alerts.deliveries d
          WHERE NOT EXISTS (SELECT FROM control.events v WHERE v.kind = 'alerts_recorded' AND v.occurred_at = d.created_at)",
    ),
];

/// The evaluator that dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is started by experiment_evaluate_crash_points, and dies"]
async fn victim_evaluator() {
    let Some(order) = victim_order() else { return };
    let evaluator = evaluator(order["database"].as_str().unwrap()).await;
    order["armed"].as_str().unwrap().parse::<Armed>().unwrap().arm();
    evaluator.turn(CHAIN, Instant::now() + Duration::from_secs(30)).await.unwrap();
}

fn block(next: &mut u64, random: &mut impl RngCore) -> Vec<Transaction> {
    let mut one = || {
        *next += 1;
        let mut transfer = || Transfer { token: random.random_range(0..RULES), amount: random.random_range(0..MOST) };
        Transaction { id: *next, transfers: vec![transfer(), transfer()] }
    };
    vec![one(), one(), one()]
}

/// The first blocks, all looked at; then some of them replaced, some of whose transactions are gone and the others elsewhere, and more
/// behind.
async fn write(conn: &mut PgConnection, url: &str, random: &mut impl RngCore) -> MadeChain {
    let mut chain = MadeChain::new(conn, 1_700_000_000).await;
    let (mut next, mut blocks) = (0, Vec::new());
    for _ in 0..BLOCKS {
        let transactions = block(&mut next, random);
        blocks.push(transactions.clone());
        chain.append(conn, transactions).await;
    }
    turn(url).await;
    let taken = blocks.split_off(BLOCKS - DEPTH).into_iter().rev();
    let new = taken.map(|block| block.into_iter().filter(|one| one.id % 4 != 0).collect()).collect();
    chain.reorg(conn, DEPTH, new).await;
    for _ in 0..LATER {
        let transactions = block(&mut next, random);
        chain.append(conn, transactions).await;
    }
    chain
}

async fn turn(url: &str) {
    let evaluator = evaluator(url).await;
    evaluator.turn(CHAIN, Instant::now() + Duration::from_secs(30)).await.unwrap();
    evaluator.pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_evaluate_crash_points() {
    let mut experiment = Experiment::begin("evaluate_crash_points", &["cursor", "successor"]);
    let rounds = experiment.scaled(1, 10);
    let hits: &[u32] = experiment.scaled(&[1, 2][..], &[1, 2, 3][..]);
    let (mut runs, mut aborted, mut unfinished, mut alerts, mut retracted) = (0_i64, 0, 0, 0, 0);
    let judged = ["missed", "ghosts", "doubled_alerts", "wrong_histories"];
    let of_rows = judge::RULES.into_iter().filter(|(name, _)| judged.contains(name));
    let rules_of_all: Vec<(&'static str, &'static str)> = of_rows.chain(RULES_OF_MESSAGES).collect();
    let mut broken = vec![0; rules_of_all.len()];
    for round in 0..rounds {
        for point in POINTS {
            for hit in hits {
                let database = TestDatabase::migrated().await.unwrap();
                let mut conn = database.connect().await.unwrap();
                if runs == 0 {
                    experiment.figure_of_postgres(&mut conn).await;
                }
                sqlx::raw_sql(RECEIVED).execute(&mut conn).await.unwrap();
                let mut random = experiment.random(runs.unsigned_abs() + 1 + 1_000 * round);
                rules(&mut conn, RULES, &mut random).await;
                let chain = write(&mut conn, &database.url, &mut random).await;

                let armed = format!("{}:{hit}", point.as_str());
                let order = json!({ "database": database.url, "armed": armed });
                let mut victim = Victim::start("crash_points::victim_evaluator", &order).unwrap();
                runs += 1;
                aborted += i64::from(victim.aborts().await.unwrap());

                chain.finalize(&mut conn, 0).await;
                for _ in 0..TURNS {
                    if experiment.lacks("cursor") {
                        sqlx::raw_sql(BEGIN_AT_TIP).execute(&mut conn).await.unwrap();
                    }
                    if !experiment.lacks("successor") {
                        turn(&database.url).await;
                    }
                }
                unfinished += count(&mut conn, judge::UNFINISHED).await;
                alerts += count(&mut conn, "SELECT count(*) FROM alerts.alert_events WHERE state = 'confirmed'").await;
                retracted +=
                    count(&mut conn, "SELECT count(*) FROM alerts.alert_history WHERE to_state = 'retracted'").await;
                for (total, (_, query)) in broken.iter_mut().zip(rules_of_all.iter().copied()) {
                    *total += count(&mut conn, query).await;
                }
            }
        }
    }
    experiment.figure("runs", runs);
    experiment.figure("alerts", alerts);
    experiment.figure("retracted", retracted);
    experiment.equal("aborted_there", aborted, runs);
    experiment.zero("not_finished", unfinished);
    for ((name, _), total) in rules_of_all.into_iter().zip(broken) {
        experiment.zero(name, total);
    }
    experiment.finish();
}
