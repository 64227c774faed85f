//! The same blocks make the same bytes, whoever fetches them, in whatever pieces and order, and history goes below what
//! was followed.

use isotherm_cold_store::Sha256Digest;
use isotherm_cold_store::catalog::DataPartition;
use isotherm_hot_store::cursor;
use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{BlockRange, ChainId, Dataset};
use serde_json::json;

use crate::compaction::compact;
use crate::world::{CHAIN_ID, PARTITION_BLOCKS, World, range, recorded_chain};

/// What readers see of the files of all datasets.
async fn files(world: &World) -> Vec<(String, Sha256Digest, u64)> {
    let mut files = Vec::new();
    for dataset in Dataset::ALL {
        let of = |file: DataPartition| (file.object_key, file.sha256, file.row_count);
        files.extend(world.partitions(dataset).await.into_iter().map(of));
    }
    files
}

#[tokio::test]
async fn a_backfill_has_the_bytes_of_a_compaction_in_any_pieces_and_order_of_tasks() {
    let tape = recorded_chain(11).await;
    let followed = World::create(tape.clone()).await;
    followed.follow(range(0, 30)).await;
    compact(&followed, range(0, 30)).await;
    let expected = files(&followed).await;
    assert_eq!(expected.len(), 12);
    assert!(expected.iter().all(|(_, _, row_count)| *row_count > 0), "{expected:?}");

    for (batch_bytes, order) in [(1, [0, 10, 20]), (20_000, [20, 0, 10]), (8 << 20, [10, 20, 0])] {
        let world = World::create(tape.clone()).await;
        for start in order {
            let changes = json!({ "batch_bytes": batch_bytes });
            let end = world.ingest(range(start, start + 10), &changes).await.unwrap();
            let OperatorEnd::Completed(output) = end else { panic!("it was released") };
            assert_eq!(output["datasets"][0]["dataset"], "blocks");
            assert_eq!(output["datasets"][0]["row_count"], 10);
        }
        world.check(&[range(0, 10), range(10, 20), range(20, 30)]).await;
        assert_eq!(files(&world).await, expected, "in fetches of {batch_bytes} bytes");
        let keys = world.keys().await;
        assert_eq!(keys.len(), 24, "{keys:?}");
    }
}

#[tokio::test]
async fn a_file_without_neighbours_waits_and_is_committed_by_whoever_closes_the_gap() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({})).await.unwrap();
    world.ingest(range(20, 30), &json!({})).await.unwrap();
    for dataset in Dataset::ALL {
        assert_eq!(world.waiting(dataset).await, [range(20, 30)], "{dataset}");
        assert_eq!(world.partitions(dataset).await.len(), 1, "{dataset}");
    }
    let OperatorEnd::Completed(output) = world.ingest(range(10, 20), &json!({})).await.unwrap() else {
        panic!("it was released")
    };
    let traces = &output["datasets"][3];
    assert_eq!((&traces["file_count"], &traces["committed_count"]), (&json!(1), &json!(2)));
    world.check(&[range(0, 10), range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn what_is_there_is_not_fetched_again() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 30), &json!({ "datasets": ["blocks", "logs"] })).await.unwrap();
    let (fetched, keys) = (world.fetched(), world.keys().await);
    assert_eq!(fetched, (0..30).collect::<Vec<_>>());
    world.ingest(range(0, 30), &json!({ "datasets": ["blocks", "logs"] })).await.unwrap();
    assert_eq!((world.fetched(), world.keys().await), (fetched, keys));
    world.ingest(range(0, 30), &json!({})).await.unwrap();
    world.check(&[range(0, 10), range(10, 20), range(20, 30)]).await;
}

#[tokio::test]
async fn history_is_added_below_what_was_followed_and_compaction_goes_on_above() {
    let tape = recorded_chain(11).await;
    // Compaction has begun, or has not: the partition in which hot storage begins is fetched up to there.
    for is_compacted in [true, false] {
        let world = World::create(tape.clone()).await;
        world.follow(range(15, 30)).await;
        if is_compacted {
            compact(&world, range(15, 20)).await;
        }
        world.ingest(range(0, 20), &json!({})).await.unwrap();
        compact(&world, range(15, 30)).await;
        for dataset in Dataset::ALL {
            let partitions = world.partitions(dataset).await;
            let blocks: Vec<BlockRange> = partitions.iter().map(|partition| partition.blocks).collect();
            // The two parts of the second partition are merged.
            assert_eq!(blocks, [range(0, 10), range(10, 20), range(20, 30)], "{dataset} {is_compacted}");
            assert_eq!(world.waiting(dataset).await, []);
        }
        assert_eq!(world.fetched().iter().filter(|number| **number < 15).count(), 15);
    }
}

#[tokio::test]
async fn a_chain_that_nobody_follows_is_known_before_its_first_file_is_cold() {
    let world = World::create(recorded_chain(11).await).await;
    world.ingest(range(0, 10), &json!({ "datasets": ["blocks"] })).await.unwrap();
    let mut conn = world.pool.acquire().await.unwrap();
    let cursor = cursor::read(&mut conn, ChainId(CHAIN_ID)).await.unwrap().expect("queries look for the chain here");
    assert_eq!((cursor.chain.as_str(), cursor.partition_blocks, cursor.tip), ("made", PARTITION_BLOCKS, None));
}
