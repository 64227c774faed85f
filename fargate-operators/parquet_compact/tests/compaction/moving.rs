//! What is moved, and what is left alone.

use isotherm_cold_store::{ChainName, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts};
use isotherm_platform::operator_main::OperatorEnd;
use isotherm_types::{BlockNumber, Classified, Dataset};

use crate::rows::{MadeChain, range};
use crate::world::{DATASETS, PARTITION_BLOCKS, World, partitions_of};

#[tokio::test]
async fn final_partitions_become_files_with_the_same_rows_and_a_second_task_does_nothing() {
    let world = World::create(range(5, 38), 31).await;
    let OperatorEnd::Completed(output) = world.compact(range(20, 30)).await.unwrap() else { panic!("it was released") };
    world.check(&partitions_of(5, 30)).await;
    assert_eq!(output["datasets"][0]["dataset"], "blocks");
    for (index, dataset) in DATASETS.iter().enumerate() {
        let rows: u64 = world.chain.rows_per_block(*dataset, range(5, 30)).iter().sum();
        assert_eq!(output["datasets"][index]["row_count"], rows);
        assert_eq!(output["datasets"][index]["partition_count"], 3);
        assert_eq!(output["datasets"][index]["watermark"], 29);
    }
    let keys = world.keys().await;
    let expected = [
        "cold/made/blocks/blocks_0000000005_0000000009.parquet",
        "cold/made/blocks/blocks_0000000010_0000000019.parquet",
        "cold/made/blocks/blocks_0000000020_0000000029.parquet",
        "cold/made/blocks/manifests/0000000001.json",
    ];
    assert_eq!(keys[..4], expected);
    assert_eq!(keys.len(), 18);
    let outbox: i64 = sqlx::query_scalar("SELECT count(*) FROM control.outbox WHERE queue = 'events'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(outbox, 9);

    let OperatorEnd::Completed(output) = world.compact(range(20, 30)).await.unwrap() else { panic!("it was released") };
    assert_eq!(output["datasets"][2]["partition_count"], 0);
    assert_eq!(output["datasets"][2]["watermark"], 29);
    assert_eq!(world.keys().await, keys);
    world.check(&partitions_of(5, 30)).await;
}

#[tokio::test]
async fn large_rows_have_the_bytes_that_any_other_way_gives_them() {
    // Transactions and logs of 100 kB and more: no batch out of Postgres has as many as it may.
    let chain = MadeChain { most_bytes: 200_000, ..MadeChain::new(31_337) };
    let blocks = range(100_000, 100_010);
    let world = World::create_of(chain, PARTITION_BLOCKS, blocks, blocks.last().0).await;
    world.compact(blocks).await.unwrap();
    world.check(&[blocks]).await;
    for dataset in DATASETS {
        let partition = Partition { chain_id: chain.chain_id, chain: ChainName::new("made").unwrap(), dataset, blocks };
        let mut linked = PartitionBlocks::builder(blocks);
        linked.push(&chain.rows(Dataset::Blocks, blocks)).unwrap();
        let scratch = std::env::temp_dir();
        let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, &scratch).unwrap();
        writer.write(&chain.rows(dataset, blocks)).unwrap();
        let verdict = RootVerdict::NotVerifiable { reason: "made up".to_owned() };
        let in_one_batch = writer.finish(RootVerdicts::all(&verdict)).unwrap();
        let sha256 = world.partitions(dataset).await[0].sha256;
        assert_eq!(sha256, in_one_batch.file().sha256, "{dataset}");
    }
}

#[tokio::test]
async fn a_range_that_does_not_end_with_a_partition_waits_for_the_rest_of_it() {
    let world = World::create(range(0, 30), 29).await;
    world.compact(range(0, 15)).await.unwrap();
    world.check(&partitions_of(0, 10)).await;
    world.compact(range(15, 30)).await.unwrap();
    world.check(&partitions_of(0, 30)).await;
}

#[tokio::test]
async fn blocks_that_are_not_final_stay_hot() {
    let world = World::create(range(0, 40), 28).await;
    let refused = world.compact(range(20, 30)).await.unwrap_err();
    assert_eq!(refused.code(), "compact.not_final");
    assert!(matches!(refused.disposition(), isotherm_types::Disposition::RetryAfter(_)));
    assert_eq!(world.keys().await, Vec::<String>::new());
    world.check(&[]).await;

    let chain = world.chain;
    let finalized = crate::world::reference(chain, 29);
    isotherm_hot_store::cursor::set_finalized(&mut *world.connect().await, chain.chain_id, finalized).await.unwrap();
    world.compact(range(20, 30)).await.unwrap();
    world.check(&partitions_of(0, 30)).await;
    let watermark = world.partitions(Dataset::Logs).await.last().map(|partition| partition.blocks.last());
    assert_eq!(watermark, Some(BlockNumber(29)));
}
