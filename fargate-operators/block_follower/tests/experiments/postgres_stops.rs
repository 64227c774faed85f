//! A Postgres that is stopped at once, as by `pg_ctl stop -m immediate`, while a follower writes and a compaction reads: what
//! was acknowledged is there afterwards, whole, and both go on.

use std::path::PathBuf;
use std::time::Duration;

use isotherm_lab::anvil::AnvilOptions;
use isotherm_lab::experiment::{Experiment, milliseconds, quantile};
use isotherm_lab::postgres::{Data, Postgres, StartOptions, TestDatabase};
use isotherm_lab::process::eventually;
use nix::sys::signal::Signal;
use rand::Rng;
use serde_json::json;

use crate::chain_life::caught_up;
use crate::compaction::{Bucket, last_of_partition};
use crate::judge::{broken_rules, differences};
use crate::program::Program;
use crate::stage::Stage;

/// A follower that has not caught up by then never will.
const LIMIT: Duration = Duration::from_secs(30);

/// A server whose folder outlives it.
struct Server {
    options: StartOptions,
    running: Option<Postgres>,
}

impl Server {
    async fn start(folder: PathBuf, synchronous_commit: &str) -> Self {
        // Only the process dies, not the machine: what it has written to the system is safe without `fsync`.
        let settings = [("fsync", "off"), ("synchronous_commit", synchronous_commit)];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = StartOptions { data: Data::Durable(folder), settings, ..StartOptions::default() };
        let running = Postgres::start(options.clone()).await.unwrap();
        // The same address again after each stop.
        let options = StartOptions { port: Some(running.port()), ..options };
        Self { options, running: Some(running) }
    }

    fn running(&self) -> &Postgres {
        self.running.as_ref().unwrap()
    }

    async fn stop_at_once(&mut self) {
        let server = self.running.take().unwrap();
        server.process().signal(Signal::SIGQUIT).unwrap();
        eventually("the server's end", async || server.process().exit_status().is_some()).await.unwrap();
    }

    async fn go_on(&mut self) {
        self.running = Some(Postgres::start(self.options.clone()).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_postgres_stops() {
    let mut experiment = Experiment::begin("postgres_stops", &["synchronous_commit"]);
    let stops: u32 = experiment.scaled(5, 60);
    let folder = tempfile::Builder::new().prefix("isotherm-stops-").tempdir().unwrap();
    // The server may run as another user.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let synchronous_commit = if experiment.lacks("synchronous_commit") { "off" } else { "on" };
    let mut server = Server::start(folder.path().join("postgres"), synchronous_commit).await;
    let database = TestDatabase::migrated_on(server.running()).await.unwrap();
    let mut stage = Stage::on(database, AnvilOptions::deterministic()).await;
    experiment.figure_of_postgres(&mut stage.database.connect().await.unwrap()).await;
    let bucket = Bucket::new().await;
    let mut random = experiment.random(0);
    stage.mine(12).await;
    let mut follower = Program::start(&stage, &json!({}), &[("ISOTHERM_LOG", "off")]).await;
    caught_up(&stage, LIMIT).await.expect("the follower follows");
    let (mut back, mut lost, mut broken, mut stuck) = (Vec::new(), 0, 0, 0);
    let (mut acknowledged, mut compacted) = (0, 0);
    for _ in 0..stops {
        let compaction = bucket.compact(&stage, last_of_partition(stage.head().await.0 - 1)).await;
        stage.mine(random.random_range(1..8)).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        server.stop_at_once().await;
        // Held, so that it cannot store again what was lost before that is counted.
        follower.signal(Signal::SIGSTOP);
        server.go_on().await;
        let (tip, said) = (stage.tip().await.map_or(-1, |(number, _)| number), follower.last_stored());
        lost += (said - tip).max(0);
        broken += broken_rules(&stage, 0).await;
        acknowledged = said;
        follower.signal(Signal::SIGCONT);
        compacted += i64::from(compaction.end().await);
        match caught_up(&stage, LIMIT).await {
            Some(took) => back.push(took),
            None => {
                stuck += 1;
                break;
            }
        }
    }
    experiment.figure("stops", stops);
    experiment.figure("blocks_acknowledged", acknowledged + 1);
    experiment.figure("compactions_that_outran_a_stop", compacted);
    experiment.figure("back_p95_ms", format!("{:.0}", milliseconds(quantile(&back, 0.95))));
    experiment.zero("acknowledged_and_lost", lost);
    experiment.zero("half_blocks", broken);
    experiment.zero("stuck", stuck);
    experiment.zero("ended", i64::from(follower.has_ended()));
    if stuck == 0 {
        experiment.zero("lost_or_doubled", differences(&stage, 0).await);
        let last = last_of_partition(stage.head().await.0 - 1);
        let completed = bucket.compact(&stage, last).await.end().await;
        experiment.equal("compacted_in_the_end", i64::from(completed), 1);
        bucket.judge(&stage, &mut experiment).await;
    }
    experiment.finish();
}
