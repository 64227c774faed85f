//! Traces move as the other datasets do, from the block on from which they are collected.

use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{BlockRange, Classified, Dataset, Disposition};
use operator_parquet_compact::CompactError;

use crate::rows::range;
use crate::world::World;

/// Two frames for each transaction from block 12 on, as if they had been collected since then.
const TRACED: &str = "
    INSERT INTO hot.traces (action_from, action_to, action_value, action_gas, action_input, action_call_type,
           action_type, result_gas_used, result_output, trace_address, subtraces, transaction_index, transaction_hash,
           block_number, block_hash, chain_id, trace_index, timestamp)
    SELECT from_address, to_address, value_string, gas_limit, input, 'call', 'call', gas_used, input,
           CASE depth WHEN 0 THEN '' ELSE '0' END, 1 - depth, transaction_index, transaction_hash, block_number,
           block_hash, chain_id, 2 * transaction_index + depth, timestamp
      FROM hot.transactions, generate_series(0, 1) AS depth
     WHERE block_number >= 12;
    UPDATE hot.cursors SET first_traced_block = 12";

async fn traced_world() -> World {
    let world = World::create(range(5, 38), 31).await;
    world.execute(TRACED).await;
    world
}

async fn compact(world: &World, blocks: BlockRange) -> Result<OperatorEnd, CompactError> {
    let spec = world.claim().await;
    world.compactor((spec.task_id, spec.fence), None).run(&[Dataset::Traces], blocks).await
}

#[tokio::test]
async fn traces_become_cold_from_the_block_on_from_which_they_are_collected() {
    let world = traced_world().await;
    let end = compact(&world, range(20, 30)).await.unwrap();
    let OperatorEnd::Completed(output) = end else { panic!("it was released") };
    let partitions = world.partitions(Dataset::Traces).await;
    let blocks: Vec<BlockRange> = partitions.iter().map(|partition| partition.blocks).collect();
    assert_eq!(blocks, [range(12, 20), range(20, 30)]);
    assert_eq!(world.told(Dataset::Traces).await, [1, 2]);
    let mut row_count = 0;
    for partition in &partitions {
        let cold = world.cold_rows(Dataset::Traces, &partition.object_key).await;
        assert_eq!(cold, world.hot_rows(Dataset::Traces, partition.blocks).await);
        row_count += cold.num_rows() as u64;
    }
    let transactions: u64 = (12..30).map(|block| world.chain.transaction_count(block)).sum();
    assert_eq!(row_count, 2 * transactions);
    assert_eq!(output["datasets"][0]["row_count"], row_count);
}

#[tokio::test]
async fn blocks_without_their_traces_never_become_cold() {
    for (damage, code) in [
        ("DELETE FROM hot.traces WHERE block_number = 14 AND trace_index = 0", "compact.untraced"),
        ("DELETE FROM hot.traces WHERE block_number = 14", "compact.untraced"),
        ("UPDATE hot.traces SET transaction_index = NULL WHERE block_number = 14", "compact.untraced"),
        ("UPDATE hot.cursors SET first_traced_block = 5", "compact.untraced"),
        ("UPDATE hot.cursors SET first_traced_block = NULL", "compact.not_traced"),
        ("UPDATE hot.traces SET block_hash = transaction_hash WHERE block_number = 14", "cold_store.row_block_hash"),
    ] {
        let world = traced_world().await;
        world.execute(damage).await;
        let refused = compact(&world, range(12, 20)).await.unwrap_err();
        assert_eq!((refused.code(), refused.disposition()), (code, Disposition::GiveUp), "{damage}");
        assert!(world.keys().await.is_empty(), "{damage}");
    }
}

#[tokio::test]
async fn traces_that_were_not_collected_for_a_while_are_a_gap() {
    let world = traced_world().await;
    compact(&world, range(12, 20)).await.unwrap();
    world.execute("UPDATE hot.cursors SET first_traced_block = 24").await;
    let refused = compact(&world, range(20, 30)).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("compact.gap", Disposition::GiveUp));
}

#[tokio::test]
async fn traces_below_those_that_are_collected_which_a_backfill_listed_are_committed() {
    // The blocks below went from hot storage when they were cold.
    let world = traced_world().await;
    world.execute("DELETE FROM hot.blocks WHERE block_number < 12").await;
    world.list_and_die(Dataset::Traces, range(10, 12)).await;
    compact(&world, range(20, 30)).await.unwrap();
    let found: Vec<BlockRange> = world.partitions(Dataset::Traces).await.iter().map(|file| file.blocks).collect();
    assert_eq!(found, [range(10, 12), range(12, 20), range(20, 30)]);

    // Those that are there must be the same ones.
    let world = traced_world().await;
    world.execute("UPDATE hot.blocks SET block_hash = sha256(block_hash) WHERE block_number = 11").await;
    world.list_and_die(Dataset::Traces, range(10, 12)).await;
    let refused = compact(&world, range(20, 30)).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("compact.replaced", Disposition::GiveUp));
    assert!(world.partitions(Dataset::Traces).await.is_empty());
}
