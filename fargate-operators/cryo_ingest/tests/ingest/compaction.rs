//! The other way into cold storage: compaction of what was followed.

use isotherm_cold_store::ChainName;
use isotherm_platform::Stop;
use isotherm_platform::operator_main::{OperatorEnd, Progress};
use isotherm_types::{BlockRange, ChainId, Dataset};
use operator_parquet_compact::Compactor;

use crate::world::{CHAIN_ID, World};

/// Moves the blocks up to the end of `blocks`, all of them final, from hot storage to cold storage.
pub(crate) async fn compact(world: &World, blocks: BlockRange) {
    let spec = world.claim().await;
    let (_, stop) = Stop::pair();
    let compactor = Compactor {
        pool: world.pool.clone(),
        objects: world.objects.clone(),
        chain_id: ChainId(CHAIN_ID),
        chain: ChainName::new("made").unwrap(),
        task: (spec.task_id, spec.fence),
        merge: true,
        drop_hot_after: None,
        scratch: std::env::temp_dir(),
        progress: Progress::unheard(),
        stop,
        on_step: Box::new(|_| ()),
    };
    let end = compactor.run(&Dataset::ALL, blocks).await.unwrap();
    assert!(matches!(end, OperatorEnd::Completed(_)));
}
