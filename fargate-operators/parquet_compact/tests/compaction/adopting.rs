//! What a backfill that died has left is taken on.

use isotherm_cold_store::{
    ChainName, CurrentManifest, Listing, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts,
    catalog,
};
use isotherm_types::{BlockRange, Dataset};

use crate::rows::range;
use crate::world::World;

/// Lists `blocks` of the dataset `blocks` in the next manifest, as a backfill does, and dies.
async fn list_and_die(world: &World, blocks: BlockRange) {
    let (chain, dataset) = (world.chain, Dataset::Blocks);
    let partition = Partition { chain_id: chain.chain_id, chain: ChainName::new("made").unwrap(), dataset, blocks };
    let mut linked = PartitionBlocks::builder(blocks);
    linked.push(&chain.rows(dataset, blocks)).unwrap();
    let scratch = std::env::temp_dir();
    let mut writer = PartitionWriter::create(partition, linked.finish().unwrap(), None, &scratch).unwrap();
    writer.write(&chain.rows(dataset, blocks)).unwrap();
    let staged = writer.finish(RootVerdicts::all(&RootVerdict::Ok)).unwrap();
    let stored = staged.store(&world.objects).await.unwrap();
    let head = catalog::head(&mut *world.connect().await, chain.chain_id, dataset).await.unwrap();
    let current = CurrentManifest::load(&world.objects, head.as_ref()).await.unwrap();
    let listing = stored.list(&world.objects, &current).await.unwrap();
    assert!(matches!(listing, Listing::Ours(_)));
}

#[tokio::test]
async fn history_below_hot_storage_that_a_backfill_listed_is_committed_and_compaction_goes_on() {
    let world = World::create(range(25, 55), 49).await;
    world.compact(range(30, 40)).await.unwrap();
    list_and_die(&world, range(20, 25)).await;
    world.compact(range(40, 50)).await.unwrap();
    let found: Vec<BlockRange> = world.partitions(Dataset::Blocks).await.iter().map(|file| file.blocks).collect();
    assert_eq!(found, [range(20, 25), range(25, 30), range(30, 40), range(40, 50)]);
    assert_eq!(world.told(Dataset::Blocks).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn compaction_goes_on_where_the_first_file_of_a_backfill_ends() {
    let world = World::create(range(30, 45), 44).await;
    list_and_die(&world, range(20, 30)).await;
    world.compact(range(30, 40)).await.unwrap();
    let found: Vec<BlockRange> = world.partitions(Dataset::Blocks).await.iter().map(|file| file.blocks).collect();
    assert_eq!(found, [range(20, 30), range(30, 40)]);
}
