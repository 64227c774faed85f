//! The legs of the backfill's own program.

use std::sync::Arc;
use std::time::Instant;

use isotherm_chain::{ChainProfile, Checks, Finality};
use isotherm_lab::benchmark::cpu_of_process;
use isotherm_lab::tape::generate::GeneratedChain;
use isotherm_lab::tape::paced::PacedServer;
use isotherm_types::{BlockNumber, BlockRange, ChainId};
use serde_json::json;

use crate::operator::{Run, run};
use crate::stage::{DATASETS, Stage};
use crate::{BLOCKS, CHAIN_ID, FIRST_BLOCK, Leg, TRANSACTIONS_PER_BLOCK};

const CHAIN: &str = "generated";

/// From the start of the program to its result, over an empty cold storage; and the requests that it sent.
pub(crate) async fn backfill(stage: &Stage, chain: &Arc<GeneratedChain>, checks: Checks) -> (Leg, Vec<Vec<u8>>) {
    let bucket = stage.clear().await;
    let server = PacedServer::start(Arc::clone(chain)).await.expect("a server");
    server.reveal_all();
    let end = BlockNumber(FIRST_BLOCK + BLOCKS as u64);
    let blocks = BlockRange::new(BlockNumber(FIRST_BLOCK), end).expect("there are blocks");
    let unknown = ChainProfile::unknown(ChainId(CHAIN_ID), CHAIN.to_owned(), Finality::Tags {});
    let profile = ChainProfile { partition_blocks: BLOCKS as u64, checks, ..unknown };
    let task = Run {
        program: env!("CARGO_BIN_EXE_operator-cryo_ingest"),
        variables: &[("RPC_URLS", server.url())],
        config: json!({"chain_id": CHAIN_ID, "chain": CHAIN, "datasets": DATASETS, "profile": profile}),
        input: json!({ "blocks": blocks }),
    };

    let (postgres_cpu, emulator_cpu, own_cpu) = (stage.postgres_cpu(), stage.emulator_cpu(), cpu_of_process());
    let (began, mut staged) = (Instant::now(), None);
    let ended = run(stage, &bucket, &task, |message, now| {
        // The first step after the last of the blocks.
        if !message.starts_with("block ") {
            staged.get_or_insert(now);
        }
    })
    .await;
    let own_cpu = cpu_of_process() - own_cpu;
    let row_count = (BLOCKS + BLOCKS * TRANSACTIONS_PER_BLOCK) as u64 + log_count(chain);
    assert_eq!((ended.sum("committed_count"), ended.sum("row_count")), (DATASETS.len() as u64, row_count));
    let leg = Leg {
        seconds: ended.seconds,
        staged_seconds: staged.expect("it tells of its steps").duration_since(began).as_secs_f64(),
        program_cpu: Some(ended.cpu_seconds),
        own_cpu,
        postgres_cpu: stage.postgres_cpu() - postgres_cpu,
        emulator_cpu: stage.emulator_cpu() - emulator_cpu,
        peak_memory_mib: Some(ended.peak_memory_mib),
        json_bytes: server.served_bytes(),
    };
    (leg, server.requests())
}

/// Logs of the partition.
fn log_count(chain: &GeneratedChain) -> u64 {
    (0..BLOCKS).map(|place| chain.body(place).log_count).sum()
}
