//! Canaries in every secret of a whole stack at work, with all logs on: passwords of the database, keys in each part of an endpoint's
//! address, what signs and what seals, addresses of channels, tokens, AWS's own key. What can fail is made to fail, and whoever is
//! asked repeats what they were asked with. Then everything that is left behind is searched.

mod doors;
mod drive;
mod people;
mod provoke;
mod receivers;
mod search;
mod stores;

use isotherm_lab::experiment::Experiment;
use isotherm_local_stack::names;

use drive::Drive;
use search::Search;

/// Functions that the drive uses for certain; that of cron triggers waits for its minute.
const FUNCTIONS: [&str; 8] =
    ["alert_deliver", "alert_evaluate", "api", "dispatcher", "query", "reaper", "trigger_threshold", "trigger_webhook"];
/// Suffix of the buckets of one machine.
const BUCKETS: &str = "local";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_canaries() {
    let mut experiment = Experiment::begin("canaries", &["plain_text", "environment", "redaction"]);
    let mut drive = Drive::start(&experiment).await;
    experiment.figure_of_postgres(&mut drive.conn).await;
    drive.people_are_told(&experiment).await;
    drive.cold_rows_are_asked_for().await;
    drive.the_node_refuses(experiment.scaled(3, 12)).await;
    drive.an_endpoint_lies(experiment.lacks("redaction")).await;
    drive.jobs_run_panic_and_fail().await;
    drive.storage_refuses().await;
    drive.everything_is_shown().await;
    drive.postgres_refuses_a_password(experiment.scaled(2, 6)).await;

    let search = Search::new(&drive.canaries);
    let rows = stores::rows(&mut drive.conn, &search).await;
    let buckets = ["cold", "results"].map(|key| names::bucket(key, BUCKETS));
    let objects = stores::objects(&drive.aws.s3(), &buckets, &search).await;
    let unused = drive.unused();
    let canaries = drive.canaries.len();
    let (stack, said) = drive.end(&search).await;
    let files = stores::files(stack.folder(), &search);

    experiment.figure("canaries", canaries);
    for (key, searched) in [("rows", &rows), ("objects", &objects), ("outputs", &said), ("files", &files)] {
        experiment.figure(key, searched.things);
        experiment.figure(&format!("{key}_kib"), searched.bytes >> 10);
        experiment.zero(&format!("found_in_{key}"), searched.count());
    }
    experiment.zero("unused_canaries", unused);
    experiment.zero("functions_without_lines", stores::functions_without_lines(stack.folder(), &FUNCTIONS));
    experiment.zero("operators_without_debug_lines", stores::operators_without_debug_lines(stack.folder()));
    experiment.zero("panics_without_a_stack", stores::panics_without_a_stack(stack.folder()));
    experiment.finish();
}

/// A word that stands nowhere by chance.
fn secret_word(random: u128) -> String {
    format!("k{random:032x}")
}
