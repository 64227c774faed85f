//! What a backfill that died has left is taken on.

use isotherm_types::{BlockRange, Dataset};

use crate::rows::range;
use crate::world::World;

#[tokio::test]
async fn history_below_hot_storage_that_a_backfill_listed_is_committed_and_compaction_goes_on() {
    let world = World::create(range(25, 55), 49).await;
    world.compact(range(30, 40)).await.unwrap();
    world.list_and_die(Dataset::Blocks, range(20, 25)).await;
    world.compact(range(40, 50)).await.unwrap();
    let found: Vec<BlockRange> = world.partitions(Dataset::Blocks).await.iter().map(|file| file.blocks).collect();
    // The two that make up a partition were merged once all of them were committed.
    assert_eq!(found, [range(20, 30), range(30, 40), range(40, 50)]);
    assert_eq!(world.told(Dataset::Blocks).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn compaction_goes_on_where_the_first_file_of_a_backfill_ends() {
    let world = World::create(range(30, 45), 44).await;
    world.list_and_die(Dataset::Blocks, range(20, 30)).await;
    world.compact(range(30, 40)).await.unwrap();
    let found: Vec<BlockRange> = world.partitions(Dataset::Blocks).await.iter().map(|file| file.blocks).collect();
    assert_eq!(found, [range(20, 30), range(30, 40)]);
}
