//! The limit leg: binary COPY of the same rows in the same order, whose bytes are dropped as they come.

use std::time::Instant;

use futures::TryStreamExt as _;
use isotherm_lab::benchmark::cpu_of_process;
use isotherm_types::Dataset;

use crate::Leg;
use crate::hot_rows::{CHAIN_ID, blocks};
use crate::stage::{DATASETS, Stage};

/// From the first statement to the last byte.
pub(crate) async fn copy_out(stage: &Stage) -> Leg {
    let mut conn = stage.connect().await;
    let (postgres_cpu, emulator_cpu) = (stage.postgres_cpu(), stage.emulator_cpu());
    let (client_cpu, began) = (cpu_of_process(), Instant::now());
    let mut size_bytes = 0;
    for dataset in DATASETS {
        let statement = format!("COPY ({}) TO STDOUT (FORMAT binary)", select(dataset, "hot"));
        let mut pieces = conn.copy_out_raw(&statement).await.expect("a COPY");
        while let Some(piece) = pieces.try_next().await.expect("the rows come") {
            size_bytes += piece.len() as u64;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Leg {
        seconds,
        staged_seconds: seconds,
        client_cpu: cpu_of_process() - client_cpu,
        postgres_cpu: stage.postgres_cpu() - postgres_cpu,
        emulator_cpu: stage.emulator_cpu() - emulator_cpu,
        peak_memory_mib: None,
        size_bytes,
    }
}

/// All columns of the partition's rows of `dataset`, as the compactor reads them, from its table in `schema`.
pub(crate) fn select(dataset: Dataset, schema: &str) -> String {
    let names: Vec<&str> = dataset.columns().iter().map(|column| column.name).collect();
    let (names, order, blocks) = (names.join(", "), dataset.sort_columns().join(", "), blocks());
    format!(
        "SELECT {names} FROM {schema}.{dataset} WHERE chain_id = {CHAIN_ID} AND block_number >= {} \
         AND block_number < {} ORDER BY {order}",
        blocks.start(),
        blocks.end(),
    )
}
