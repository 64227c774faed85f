//! Reorgs, and evaluators that are killed at any moment: everybody is told of every match once, and of everything that became of it.
//!
//! A writer adds blocks of transfers, and replaces some of the last ones: their transactions go, move to other blocks, or come back
//! later. Two evaluators, which are processes, look at what there is; one after the other is killed and replaced. A receiver takes
//! the messages as `alert_deliver` does: it claims one, then reads what the ledger says, and may lie between two changes. In the end
//! everything is final. The judge works out from the rows of hot storage, in plain SQL, what each rule should have found, and looks
//! at what was received: the ledger is judged too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use isotherm_control::jobs;
use isotherm_lab::experiment::{Experiment, Victim, victim_order};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_platform::aws::Clients;
use isotherm_platform::config::settings::EventQueues;
use lambda_alert_evaluate::{Evaluator, RuleSets};
use rand::{Rng, RngCore};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

use crate::chain::{CHAIN, MadeChain, Transaction, Transfer, token};

pub(crate) mod judge;

/// Evaluators that are alive at a time.
const EVALUATORS: usize = 2;
/// Blocks from the tip that are never final while reorgs go on.
const OPEN_BLOCKS: usize = 16;
const DEEPEST: usize = 12;
/// Most that a transfer sends.
pub(crate) const MOST: u128 = 1_000_000;
/// A message that is claimed, and what the ledger says then; the place is the order of arrival.
pub(crate) const RECEIVED: &str = "
CREATE TABLE lab_received (place bigint GENERATED ALWAYS AS IDENTITY, alert_id uuid, channel_id bigint, kind text, block_hash bytea);
CREATE TABLE lab_rules (rule_id bigint PRIMARY KEY, address bytea, least bytea, is_final boolean);
";

/// What is left out, for a red run: a receiver that never hears of corrections.
const WITHOUT_CORRECTIONS: &str = "
CREATE FUNCTION lab_drop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER lab_drop BEFORE INSERT ON alerts.deliveries FOR EACH ROW WHEN (NEW.kind IN ('retracted', 'moved'))
EXECUTE FUNCTION lab_drop();
";
/// An evaluator that takes a new branch for the old one: the cursor's block is whatever is stored there, and no reorg is news.
const FORGET_REORGS: &str = "
UPDATE alerts.cursors c
   SET invalidation_id = coalesce((SELECT max(id) FROM hot.data_invalidations), 0), recheck_from = NULL,
       block_hash = coalesce((SELECT b.block_hash FROM hot.blocks b
                               WHERE b.chain_id = c.chain_id AND b.block_number = c.block_number), c.block_hash)
";
/// An evaluator that goes on where the chain is, not where the last turn ended.
pub(crate) const BEGIN_AT_TIP: &str = "
UPDATE alerts.cursors c SET block_number = h.tip_number, block_hash = h.tip_hash
  FROM hot.cursors h WHERE h.chain_id = c.chain_id
";

pub(crate) async fn evaluator(url: &str) -> Evaluator {
    let config = aws_config::SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    let none = String::new;
    let event_queues =
        EventQueues { events: none(), thresholds: none(), dead_letters: none(), alerts: none(), deliveries: none() };
    Evaluator {
        pool: PgPool::connect(url).await.unwrap(),
        clients: Clients::from_config(config),
        event_queues,
        rule_sets: RuleSets::default(),
        query_function: none(),
    }
}

/// The evaluator that is killed: turn after turn.
#[tokio::test]
#[ignore = "is started and killed by experiment_alert_reorgs"]
async fn victim_evaluator() {
    let Some(order) = victim_order() else { return };
    let evaluator = evaluator(order["database"].as_str().unwrap()).await;
    let is_told = |key: &str| order[key].as_bool().unwrap();
    loop {
        if is_told("begins_at_tip") {
            sqlx::query(BEGIN_AT_TIP).execute(&evaluator.pool).await.unwrap();
        }
        if is_told("forgets_reorgs") {
            sqlx::query(FORGET_REORGS).execute(&evaluator.pool).await.unwrap();
        }
        let turned = evaluator.turn(CHAIN, Instant::now() + Duration::from_secs(5)).await;
        // What one evaluator takes from another is no failure; what is, shows in what is missing.
        if turned.is_ok_and(|turned| turned.blocks == 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Size {
    blocks: usize,
    logs_a_block: usize,
    rules: u64,
    reorgs: usize,
    kills: usize,
}

/// Transactions of a block, each of one to four transfers. Some come back that were dropped.
fn transactions(
    size: &Size,
    next: &mut u64,
    dropped: &mut Vec<Transaction>,
    random: &mut impl RngCore,
) -> Vec<Transaction> {
    let mut made = Vec::new();
    let mut logs = 0;
    while logs < size.logs_a_block {
        let again = dropped.pop_if(|_| random.random_bool(0.5));
        let transaction = again.unwrap_or_else(|| {
            *next += 1;
            let (token, amount) = (random.random_range(0..size.rules), random.random_range(0..MOST));
            let mut transaction = Transaction::of(*next, token, amount);
            for _ in 0..random.random_range(0..4) {
                let (token, amount) = (random.random_range(0..size.rules), random.random_range(0..MOST));
                transaction.transfers.push(Transfer { token, amount });
            }
            transaction
        });
        logs += transaction.transfers.len();
        made.push(transaction);
    }
    made
}

/// Adds all blocks and replaces some; returns the number of rows written.
async fn write(mut conn: PgConnection, size: Size, pace: Duration, mut random: impl RngCore) -> u64 {
    let mut chain = MadeChain::new(&mut conn, 1_700_000_000).await;
    let (mut next, mut dropped, mut rows) = (0, Vec::new(), 0u64);
    let mut recent: Vec<Vec<Transaction>> = Vec::new();
    let count = |block: &Vec<Transaction>| block.iter().map(|one| one.transfers.len() as u64).sum::<u64>();
    let every = (size.blocks / (size.reorgs + 1)).max(1);
    let mut reorgs = 0;
    for n in 0..size.blocks {
        let block = transactions(&size, &mut next, &mut dropped, &mut random);
        rows += count(&block);
        chain.append(&mut conn, block.clone()).await;
        recent.push(block);
        if n % every == every - 1 && reorgs < size.reorgs && recent.len() > DEEPEST {
            reorgs += 1;
            let depth = random.random_range(1..=DEEPEST);
            let mut pool: Vec<Transaction> = recent.split_off(recent.len() - depth).concat();
            let mut new = Vec::new();
            for _ in 0..depth + random.random_range(0..2) {
                let mut block = Vec::new();
                for _ in 0..random.random_range(0..=2 * pool.len() / depth) {
                    if pool.is_empty() {
                        break;
                    }
                    let taken = pool.swap_remove(random.random_range(0..pool.len()));
                    if random.random_bool(0.1) { dropped.push(taken) } else { block.push(taken) }
                }
                rows += count(&block);
                new.push(block);
            }
            // Half of those that are left out are gone for good.
            dropped.extend(pool.into_iter().filter(|_| random.random_bool(0.5)));
            chain.reorg(&mut conn, depth, new.clone()).await;
            recent.extend(new);
        }
        if recent.len() > OPEN_BLOCKS {
            chain.finalize(&mut conn, OPEN_BLOCKS).await;
        }
        tokio::time::sleep(pace.mul_f64(random.random_range(0.0..2.0))).await;
    }
    chain.finalize(&mut conn, 0).await;
    rows
}

/// Takes messages as a sender does, one claim after the other, until nothing comes any more and `is_over`.
async fn receive(mut conn: PgConnection, is_over: Arc<AtomicBool>) {
    const CLAIM: &str = "
        UPDATE alerts.deliveries SET state = 'sending', attempts = 1, lease_expires_at = now() + interval '1 minute'
         WHERE id IN (SELECT id FROM alerts.deliveries d
                       WHERE state = 'queued' AND not_before <= now()
                         AND NOT EXISTS (SELECT FROM alerts.deliveries f
                                          WHERE f.alert_id = d.alert_id AND f.channel_id = d.channel_id
                                            AND f.kind = 'fired' AND d.kind <> 'fired' AND f.state IN ('queued', 'sending'))
                       ORDER BY not_before, id LIMIT 200 FOR UPDATE SKIP LOCKED)
        RETURNING id";
    const ARRIVE: &str = "
        INSERT INTO lab_received (alert_id, channel_id, kind, block_hash)
        SELECT d.alert_id, d.channel_id, d.kind, e.block_hash
          FROM alerts.deliveries d JOIN alerts.alert_events e ON e.id = d.alert_id
         WHERE d.id = ANY ($1) ORDER BY d.not_before, d.id";
    const FINISH: &str = "
        UPDATE alerts.deliveries SET state = 'delivered', lease_expires_at = NULL, finished_at = now() WHERE id = ANY ($1)";
    loop {
        let last = is_over.load(Ordering::Acquire);
        let claimed: Vec<sqlx::types::Uuid> = sqlx::query_scalar(CLAIM).fetch_all(&mut conn).await.unwrap();
        sqlx::query(ARRIVE).bind(&claimed).execute(&mut conn).await.unwrap();
        sqlx::query(FINISH).bind(&claimed).execute(&mut conn).await.unwrap();
        if claimed.is_empty() && last {
            return;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Kills an evaluator at a random moment and starts the next, so often.
async fn kill(order: Value, kills: usize, every: Duration, mut random: impl RngCore) -> Vec<Victim> {
    let start = || Victim::start("alert_reorgs::victim_evaluator", &order).unwrap();
    let mut evaluators: Vec<Victim> = (0..EVALUATORS).map(|_| start()).collect();
    for _ in 0..kills {
        tokio::time::sleep(every.mul_f64(random.random_range(0.5..1.5))).await;
        let chosen = random.random_range(0..EVALUATORS);
        assert!(!evaluators[chosen].has_ended(), "an evaluator ended by itself");
        evaluators[chosen] = start();
    }
    evaluators
}

/// A channel, and rules: one a token, each with an amount of its own; every third waits for finality, every third for three blocks.
pub(crate) async fn rules(conn: &mut PgConnection, count: u64, random: &mut impl RngCore) {
    let org = jobs::org(conn, jobs::DEFAULT_ORG).await.unwrap().0;
    let channel: i64 = sqlx::query_scalar(
        "INSERT INTO alerts.channels (org_id, name, kind, sealed_address, created_by)
         VALUES ($1, 'ops', 'webhook', '\\x00', 'lab') RETURNING id",
    )
    .bind(org)
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    for n in 0..count {
        let least = random.random_range(0..MOST);
        let at = match n % 3 {
            0 => json!({}),
            1 => json!({ "at": "finalized" }),
            _ => json!({ "confirmations": 3 }),
        };
        let mut definition = json!({
            "name": format!("rule-{n}"), "chain": "made", "channels": ["ops"], "backfill": true,
            "condition": format!("args.value >= {least}"),
            "source": {
                "event": "Transfer(address indexed from, address indexed to, uint256 value)", "address": [token(n)],
            },
        });
        definition.as_object_mut().unwrap().extend(at.as_object().unwrap().clone());
        let rule_id: i64 = sqlx::query_scalar(
            "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
             VALUES ($1, $2, $3, $4, 0, 'lab') RETURNING id",
        )
        .bind(org)
        .bind(format!("rule-{n}"))
        .bind(CHAIN.0.cast_signed())
        .bind(definition)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        sqlx::query("INSERT INTO alerts.rule_channels (org_id, rule_id, channel_id) VALUES ($1, $2, $3)")
            .bind(org)
            .bind(rule_id)
            .bind(channel)
            .execute(&mut *conn)
            .await
            .unwrap();
        sqlx::query("INSERT INTO lab_rules VALUES ($1, $2, $3, $4)")
            .bind(rule_id)
            .bind(token(n).to_vec())
            .bind(isotherm_types::B256::left_padding_from(&least.to_be_bytes()).to_vec())
            .bind(n % 3 == 1)
            .execute(&mut *conn)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_alert_reorgs() {
    let mut experiment = Experiment::begin("alert_reorgs", &["reevaluation", "cursor", "corrections"]);
    let size = experiment.scaled(
        Size { blocks: 150, logs_a_block: 20, rules: 30, reorgs: 10, kills: 8 },
        Size { blocks: 2_000, logs_a_block: 50, rules: 1_000, reorgs: 200, kills: 100 },
    );
    let pace = Duration::from_millis(experiment.scaled(40, 100));
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    experiment.figure_of_postgres(&mut conn).await;
    sqlx::raw_sql(RECEIVED).execute(&mut conn).await.unwrap();
    if experiment.lacks("corrections") {
        sqlx::raw_sql(WITHOUT_CORRECTIONS).execute(&mut conn).await.unwrap();
    }
    rules(&mut conn, size.rules, &mut experiment.random(1)).await;

    let order = json!({
        "database": database.url, "forgets_reorgs": experiment.lacks("reevaluation"),
        "begins_at_tip": experiment.lacks("cursor"),
    });
    let (kills, blocks, reorgs) = (size.kills, size.blocks, size.reorgs);
    let every = pace * u32::try_from(blocks).unwrap() / u32::try_from(kills).unwrap();
    let killing = tokio::spawn(kill(order, kills, every, experiment.random(2)));
    let is_over = Arc::new(AtomicBool::new(false));
    let receiving = tokio::spawn(receive(database.connect().await.unwrap(), is_over.clone()));
    let writing = tokio::spawn(write(database.connect().await.unwrap(), size, pace, experiment.random(3)));
    let rows = writing.await.unwrap();
    let evaluators = killing.await.unwrap();
    let began = Instant::now();
    // An evaluator that has forgotten something may never get there: the judge says what is missing.
    let done = eventually("the cursor at the tip, and nothing that the chain may still change", async || {
        judge::count(&mut conn, judge::UNFINISHED).await == 0
    })
    .await;
    experiment.figure("caught_up_seconds", format!("{:.1}", began.elapsed().as_secs_f64()));
    drop(evaluators);
    is_over.store(true, Ordering::Release);
    receiving.await.unwrap();

    experiment.figure("rows", rows);
    experiment.figure("blocks", blocks);
    experiment.figure("kills", kills);
    let recorded = judge::count(&mut conn, "SELECT count(*) FROM hot.data_invalidations").await;
    experiment.equal("reorgs", recorded, i64::try_from(reorgs).unwrap());
    experiment.zero("not_finished", i64::from(done.is_err()));
    for (key, query) in judge::FIGURES {
        let count = judge::count(&mut conn, query).await;
        experiment.figure(key, count);
        if key == "taken_back" {
            experiment.zero("nothing_taken_back", i64::from(count == 0));
        }
    }
    for (key, query) in judge::RULES {
        let count = judge::count(&mut conn, query).await;
        experiment.zero(key, count);
    }
    experiment.finish();
}
