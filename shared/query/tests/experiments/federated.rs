//! Generated queries over a chain that is appended to, replaced, compacted and cleaned up meanwhile: each answer must
//! be that of one Postgres that holds every block there ever was, for the chain of the tip that the answer names.
//!
//! Some queries are held where it hurts most, between the boundary and the first hot row, until the world has changed.
//! Others go several at a time, as one query with a part for each.

mod cells;
mod chain;
mod chance;
mod dialect;
mod draw;
mod history;
mod oracle;
mod question;
mod reading;
mod relay;
mod round;
mod tally;
mod world;

use isotherm_lab::experiment::Experiment;
use isotherm_lab::postgres::TestDatabase;

use round::QUERIES_OF_A_ROUND;
use tally::Tally;

/// Streams of chance that a round may use.
const STREAMS_OF_A_ROUND: u64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_federated() {
    let mut experiment = Experiment::begin("federated", &["snapshot"]);
    // Each on a chain of its own, which stays short: old chains with many files are slow, and no harder.
    let rounds: u64 = experiment.scaled(1, 34);
    let splits_snapshots = experiment.lacks("snapshot");
    let mut tally = Tally::default();
    for round in 0..rounds {
        let random = |stream| experiment.random(round * STREAMS_OF_A_ROUND + stream);
        tally.add(round::run(random, splits_snapshots).await);
    }
    tally.print_notes();

    let mut conn = TestDatabase::empty().await.unwrap().connect().await.unwrap();
    experiment.figure_of_postgres(&mut conn).await;
    let asked = i64::try_from(rounds).unwrap() * i64::try_from(QUERIES_OF_A_ROUND).unwrap();
    tally.report(&mut experiment, asked);
    experiment.finish();
}
