//! What a chain does: it grows, and it changes its mind in every way that a node shows.

use std::time::{Duration, Instant};

use rand::Rng;

use crate::stage::Stage;

/// How a branch is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reorg {
    /// By as many empty blocks.
    EqualAndEmpty,
    /// By as many blocks with traffic.
    Equal,
    /// By more blocks.
    Longer,
    /// By fewer blocks, which are seen, and then by more.
    ShorterThenLonger,
    /// The node goes back to an earlier state and tells nobody.
    Reverted,
}

impl Reorg {
    const ALL: [Self; 5] = [Self::EqualAndEmpty, Self::Equal, Self::Longer, Self::ShorterThenLonger, Self::Reverted];

    pub(crate) fn draw(random: &mut impl Rng) -> Self {
        Self::ALL[random.random_range(0..Self::ALL.len())]
    }
}

/// Replaces the newest `depth` blocks, of which there must be as many above the genesis block.
pub(crate) async fn reorg(stage: &mut Stage, how: Reorg, depth: u64) {
    match how {
        Reorg::EqualAndEmpty => {
            stage.chain.reorg(depth, &[]).await.unwrap();
            stage.traffic.resync().await.unwrap();
        }
        Reorg::Equal => branch_off(stage, depth, depth).await,
        Reorg::Longer => branch_off(stage, depth, depth + 2).await,
        Reorg::ShorterThenLonger => {
            branch_off(stage, depth, depth.div_ceil(2)).await;
            caught_up(stage, Duration::from_secs(30)).await;
            stage.mine(depth / 2 + 2).await;
        }
        Reorg::Reverted => {
            let snapshot = stage.chain.snapshot().await.unwrap();
            stage.mine(depth).await;
            caught_up(stage, Duration::from_secs(30)).await;
            stage.chain.revert(snapshot).await.unwrap();
            stage.traffic.resync().await.unwrap();
            stage.mine(depth).await;
        }
    }
}

async fn branch_off(stage: &mut Stage, depth: u64, length: u64) {
    stage.chain.rollback(depth).await.unwrap();
    stage.traffic.resync().await.unwrap();
    stage.mine(length).await;
}

/// A few blocks more, or a reorg of a few blocks.
pub(crate) async fn stir(stage: &mut Stage, random: &mut impl Rng, most_depth: u64) {
    let height = stage.head().await.0.cast_unsigned();
    if random.random_ratio(1, 3) && height > most_depth {
        let how = if random.random_ratio(1, 2) { Reorg::Equal } else { Reorg::EqualAndEmpty };
        reorg(stage, how, random.random_range(1..=most_depth)).await;
    }
    stage.mine(random.random_range(1..=3)).await;
}

/// How long it took until the stored tip was the chain's newest block; `None` if that takes longer than `limit`.
pub(crate) async fn caught_up(stage: &Stage, limit: Duration) -> Option<Duration> {
    let (head, began) = (stage.head().await, Instant::now());
    while stage.tip().await.as_ref() != Some(&head) {
        if began.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Some(began.elapsed())
}
