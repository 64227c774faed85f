//! RDS and S3: what lies hot, what lies cold, and the calls that put and fetch it. Pure.

use anyhow::{Context, bail};

use super::Inputs;
use super::bill::{Line, Term};
use super::load::{DAYS, GB, HOURS};

/// Lines of the database: instances, and their disks.
///
/// # Errors
/// An instance class without a price.
pub(super) fn database(inputs: &Inputs<'_>) -> anyhow::Result<Vec<Line>> {
    let database = &inputs.figures.database;
    let class = &database.instance_class;
    let instance = inputs.instances.get(class).with_context(|| {
        format!("there is no price of {class:?}; add it to `database_instances` of the list of prices (--prices)")
    })?;
    let price = super::prices::Price {
        usd: instance.usd,
        per: 1.0,
        unit: format!("hours of {class}"),
        source: instance.source.clone(),
    };
    let bought = f64::from(database.storage_gb);
    let more = (hot_gb(inputs) - bought).max(0.0);
    let copies = database.copies();
    Ok(vec![
        Line::of("RDS", "instances", vec![Term::of(&price, copies * HOURS, 0.0)], "instance_class, multi_az"),
        Line::of(
            "RDS",
            "disks",
            vec![Term::of(&inputs.prices.rds_storage, copies * bought, copies * more)],
            "storage_gb, multi_az; hot rows where they need more",
        ),
    ])
}

/// GB of disk that hot rows need, with what is to be free: those of the hours that they are kept for, of the partition
/// that is being filled and of the one before.
pub(super) fn hot_gb(inputs: &Inputs<'_>) -> f64 {
    let (month, counts) = (inputs.month, inputs.counts);
    let seconds = f64::from(inputs.load.hot_hours) * 3_600.0 + 2.0 * month.partition_seconds;
    let per_transaction = counts.hot_bytes_per_transaction * counts.hot_table_factor;
    let per_block = month.transactions_per_block * per_transaction + counts.hot_bytes_per_block;
    seconds / month.block_seconds * per_block / GB / counts.disk_part_used
}

/// Cores of Postgres that rows and events take.
pub(super) fn postgres_cores(inputs: &Inputs<'_>) -> f64 {
    let of_rows = f64::from(inputs.load.transactions_per_second) * inputs.counts.postgres_cpu_us_per_transaction;
    (of_rows + inputs.counts.postgres_cpu_us_per_block / inputs.month.block_seconds) / 1e6
}

/// One line a bucket.
///
/// # Errors
/// A bucket that this does not know.
pub(super) fn buckets(inputs: &Inputs<'_>) -> anyhow::Result<Vec<Line>> {
    inputs.stack.buckets.keys().map(|key| bucket(inputs, key)).collect()
}

fn bucket(inputs: &Inputs<'_>, key: &str) -> anyhow::Result<Line> {
    let (month, counts, prices) = (inputs.month, inputs.counts, inputs.prices);
    let (terms, from) = match key {
        "cold" => {
            let files = month.partitions * counts.datasets;
            let gb = cold_gb(inputs) * f64::from(inputs.load.history_months);
            let gets = files * counts.gets_per_file + month.queries * counts.query_gets;
            // A check fetches each file of a day and its manifests once more.
            let checked = files;
            (
                vec![
                    Term::of(&prices.s3_storage, 0.0, gb),
                    Term::of(&prices.s3_puts, 0.0, files * counts.puts_per_file),
                    Term::of(&prices.s3_gets, 0.0, gets + checked),
                ],
                "rows × cold_bytes × months of history; puts and gets a file; gets a query",
            )
        }
        "results" => {
            let days = f64::from(inputs.stack.buckets.get(key).and_then(|bucket| bucket.expire_days).unwrap_or(30));
            let gb = month.batch_queries / DAYS * days * counts.batch_result_mb / 1e3;
            (
                vec![
                    Term::of(&prices.s3_storage, 0.0, gb),
                    Term::of(&prices.s3_puts, 0.0, 2.0 * month.batch_queries),
                    Term::of(&prices.s3_gets, 0.0, 2.0 * month.batch_queries),
                ],
                "batch queries × batch_result_mb, for the days of the bucket; request and result",
            )
        }
        "artifacts" => (vec![Term::of(&prices.s3_storage, counts.artifacts_gb, 0.0)], "artifacts_gb"),
        _ => bail!(
            "bucket {key:?} of terraform/stack.yaml is not in the model; say in cli/src/cost/stores.rs what lies there"
        ),
    };
    Ok(Line { member: Some(format!("bucket/{key}")), ..Line::of("S3", key, terms, from) })
}

/// GB that a month adds to cold storage.
fn cold_gb(inputs: &Inputs<'_>) -> f64 {
    let (month, counts) = (inputs.month, inputs.counts);
    let bytes = month.blocks * counts.cold_bytes_per_block
        + month.transactions * counts.cold_bytes_per_transaction
        + month.logs * counts.cold_bytes_per_log;
    bytes / GB
}
