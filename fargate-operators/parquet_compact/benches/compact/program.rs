//! The compactor's leg.

use std::time::Instant;

use serde_json::json;

use crate::Leg;
use crate::hot_rows::{CHAIN, CHAIN_ID, blocks};
use crate::operator::{Run, run};
use crate::stage::{DATASETS, Stage};

/// Splits the time at what the program says: a file is staged, then it is in cold storage.
struct Stopwatch {
    since: Instant,
    staged_seconds: f64,
}

impl Stopwatch {
    fn hear(&mut self, message: &str, now: Instant) {
        if message.ends_with(" is staged") {
            self.staged_seconds += now.duration_since(self.since).as_secs_f64();
            self.since = now;
        } else if message.ends_with(" is in cold storage") {
            self.since = now;
        }
    }
}

/// From the start of the program to its result, over an empty cold storage.
pub(crate) async fn compact(stage: &Stage, row_count: u64) -> Leg {
    let bucket = stage.clear().await;
    let (postgres_cpu, emulator_cpu) = (stage.postgres_cpu(), stage.emulator_cpu());
    let task = Run {
        program: env!("CARGO_BIN_EXE_operator-parquet_compact"),
        variables: &[],
        config: json!({"chain_id": CHAIN_ID, "chain": CHAIN, "datasets": DATASETS}),
        input: json!({ "blocks": blocks() }),
    };
    let mut stopwatch = Stopwatch { since: Instant::now(), staged_seconds: 0.0 };
    let ended = run(stage, &bucket, &task, |message, now| stopwatch.hear(message, now)).await;
    assert_eq!((ended.sum("partition_count"), ended.sum("row_count")), (DATASETS.len() as u64, row_count));
    Leg {
        seconds: ended.seconds,
        staged_seconds: stopwatch.staged_seconds,
        client_cpu: ended.cpu_seconds,
        postgres_cpu: stage.postgres_cpu() - postgres_cpu,
        emulator_cpu: stage.emulator_cpu() - emulator_cpu,
        peak_memory_mib: Some(ended.peak_memory_mib),
        size_bytes: ended.sum("size_bytes"),
    }
}
