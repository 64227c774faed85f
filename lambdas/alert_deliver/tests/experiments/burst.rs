//! Many more matches than a channel's limit lets through: the limit holds in any minute, a digest carries the rest with its count, and
//! every match is accounted for.

use std::time::Duration;

use futures::future::join_all;
use isotherm_lab::experiment::Experiment;
use isotherm_lab::webhook_zoo::Behaviour;
use lambda_alert_deliver::Deliverer;
use serde_json::Value;

use crate::stage::Stage;
use crate::virtual_time::VirtualTime;

/// Messages a minute of the channel.
const LIMIT: i32 = 10;
/// Senders at once, as messages of other organisations and the sweep start them.
const SENDERS: usize = 3;
/// How much passes between two looks.
const STEP: Duration = Duration::from_secs(1);
/// Matches of the later bursts, and how often they come. Between them one comes a second: too few at once to be folded, and more than
/// the limit lets through one by one.
const LATER: i64 = 20;
const LATER_EVERY: u64 = 30;

/// Folding comes to nothing: this takes the guard out.
const WITHOUT_FOLDING: &str = "
    CREATE FUNCTION pg_temp_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER keep BEFORE UPDATE ON alerts.deliveries FOR EACH ROW WHEN (NEW.state = 'folded') EXECUTE FUNCTION pg_temp_keep()";
/// First messages that are neither delivered nor in a digest that was.
const UNACCOUNTED: &str = "
    SELECT count(*) FROM alerts.deliveries d LEFT JOIN alerts.deliveries g ON g.id = d.digest_id
     WHERE d.kind = 'fired' AND coalesce(g.state, d.state) <> 'delivered'";

async fn work(senders: &[Deliverer]) {
    for worked in join_all(senders.iter().map(Deliverer::work)).await {
        worked.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_burst() {
    let mut experiment = Experiment::begin("burst", &["bucket", "fold"]);
    let matches: i64 = experiment.scaled(2_000, 10_000);
    let seconds: u64 = experiment.scaled(120, 900);
    let mut stage = Stage::new().await;
    experiment.figure_of_postgres(&mut stage.conn).await;
    stage.unlimited().await;
    if experiment.lacks("fold") {
        stage.run(WITHOUT_FOLDING).await;
    }
    let url = stage.zoo.url(Behaviour::Accept);
    let channel = stage.webhook(&url, LIMIT).await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        senders.push(stage.deliverer().await);
    }
    let mut time = VirtualTime::begin();
    stage.fire(matches, &[channel]).await;
    let mut fired = matches;
    let mut digests_of_first = 0;
    for second in 1..=seconds {
        work(&senders).await;
        if experiment.lacks("bucket") {
            stage.run("UPDATE alerts.budgets SET tokens = burst").await;
        }
        if second == LATER_EVERY {
            digests_of_first = stage.count("SELECT count(*) FROM alerts.deliveries WHERE kind = 'digest'").await;
        }
        // The last minute is for what waits.
        if second >= LATER_EVERY && second + 60 <= seconds {
            let matches = if second % LATER_EVERY == 0 { LATER } else { 1 };
            stage.fire(matches, &[channel]).await;
            fired += matches;
        }
        stage.pass(STEP).await;
        time.jump(STEP);
    }
    work(&senders).await;

    let received = stage.zoo.received(&url);
    let instants: Vec<Duration> = received.iter().map(|received| time.of(received.at)).collect();
    let minute = Duration::from_secs(60);
    let in_a_minute =
        instants.iter().map(|from| instants.iter().filter(|at| **at >= *from && **at <= *from + minute).count());
    let most = in_a_minute.max().unwrap_or(0);
    let bodies: Vec<Value> = received.iter().map(|received| serde_json::from_slice(&received.body).unwrap()).collect();
    let of_type = |kind: &str| bodies.iter().filter(|body| body["type"] == kind).count();
    let carried: i64 = bodies.iter().filter_map(|body| body["data"]["count"].as_i64()).sum();
    let singly = i64::try_from(of_type("alert.fired")).unwrap();
    experiment.figure("matches", fired);
    experiment.figure("messages", received.len());
    experiment.figure("digests", of_type("alert.digest"));
    experiment.figure("most_in_a_minute", most);
    let over = i64::try_from(most).unwrap() - i64::from(LIMIT);
    experiment.zero("over_the_limit", over.max(0));
    experiment.equal("digests_of_the_first_burst", digests_of_first, 1);
    experiment.equal("told_of", singly + carried, fired);
    let unaccounted = stage.count(UNACCOUNTED).await;
    experiment.zero("unaccounted", unaccounted);
    experiment.finish();
}
