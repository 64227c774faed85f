//! Rows that are not whole are never made cold.

use isotherm_cold_store::ChainName;
use isotherm_types::{Classified, Disposition};
use operator_parquet_compact::Step;

use crate::rows::range;
use crate::world::{DATASETS, World, partitions_of};

async fn refusal(world: &World) -> (&'static str, Disposition) {
    let refused = world.compact(range(0, 10)).await.unwrap_err();
    (refused.code(), refused.disposition())
}

#[tokio::test]
async fn a_missing_row_is_noticed_in_every_dataset() {
    for (damage, code) in [
        ("DELETE FROM hot.blocks WHERE block_number = 4", "cold_store.missing_block"),
        ("DELETE FROM hot.blocks WHERE block_number = 9", "cold_store.missing_block"),
        ("UPDATE hot.blocks SET parent_hash = block_hash WHERE block_number = 4", "cold_store.broken_chain"),
        ("DELETE FROM hot.logs WHERE block_number = 4 AND log_index = 1", "cold_store.row_count"),
        ("UPDATE hot.logs SET block_hash = topic0 WHERE topic0 IS NOT NULL", "cold_store.row_block_hash"),
        ("DELETE FROM hot.transactions WHERE block_number = 4 AND transaction_index = 3", "cold_store.row_count"),
    ] {
        let world = World::create(range(0, 20), 19).await;
        world.execute(damage).await;
        assert_eq!(refusal(&world).await, (code, Disposition::GiveUp), "{damage}");
        assert!(world.keys().await.iter().all(|key| !key.contains("/logs/")), "{damage}");
    }
}

#[tokio::test]
async fn a_chain_that_hot_storage_does_not_know_so_is_refused() {
    let world = World::create(range(0, 20), 19).await;
    let spec = world.claim().await;
    let mut compactor = world.compactor((spec.task_id, spec.fence), None);
    compactor.chain = ChainName::new("other").unwrap();
    assert_eq!(compactor.run(&DATASETS, range(0, 10)).await.unwrap_err().code(), "compact.other_chain");
    compactor.chain_id = isotherm_types::ChainId(1);
    assert_eq!(compactor.run(&DATASETS, range(0, 10)).await.unwrap_err().code(), "compact.not_final");
}

#[tokio::test]
async fn blocks_missing_between_cold_and_hot_are_a_gap() {
    let world = World::create(range(0, 40), 39).await;
    world.compact(range(0, 10)).await.unwrap();
    // As if hot storage had been set up anew from block 20.
    world.execute("UPDATE hot.cursors SET first_block = 20").await;
    let refused = world.compact(range(20, 30)).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("compact.gap", Disposition::GiveUp));
    world.check(&partitions_of(0, 10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_are_replaced_after_they_were_read_do_not_become_cold() {
    let world = World::create(range(0, 20), 19).await;
    let spec = world.claim().await;
    let mut compactor = world.compactor((spec.task_id, spec.fence), None);
    let (pool, runtime) = (world.pool.clone(), tokio::runtime::Handle::current());
    // As if a person had accepted a reorg below the finalized block meanwhile.
    compactor.on_step = Box::new(move |step| {
        if step == Step::Listed {
            let replace = "UPDATE hot.blocks SET block_hash = sha256(block_hash) WHERE block_number = 9";
            let replacing = sqlx::query(replace).execute(&pool);
            tokio::task::block_in_place(|| runtime.block_on(replacing)).unwrap();
        }
    });
    let refused = compactor.run(&DATASETS, range(0, 10)).await.unwrap_err();
    assert_eq!((refused.code(), refused.disposition()), ("compact.replaced", Disposition::GiveUp));
    let cold = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM cold.data_partitions").fetch_one(&world.pool);
    assert_eq!(cold.await.unwrap(), 0);
}
