//! What a backfill will ask of the endpoint, estimated from a small sample of its blocks.

use anyhow::{Context, bail};
use isotherm_chain::{Answer, ChainClient, ChainError, TraceMethod, VerifiedBlock};
use isotherm_types::{BlockNumber, BlockRange};
use operator_cryo_ingest::{IngestConfig, blocks_per_fetch};
use serde_json::{Value, json};

use super::plan::Piece;
use crate::output::grouped;

/// Blocks that are measured, at most.
const SAMPLE_BLOCKS: u64 = 8;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) blocks: u64,
    /// Bytes of the answers that held them.
    pub(super) bytes: u64,
}

/// What is to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) blocks: u64,
    /// Over HTTP.
    pub(super) requests: u64,
    /// In those requests; providers count and charge them.
    pub(super) calls: u64,
    pub(super) bytes: u64,
    pub(super) sample: Sample,
}

/// The blocks to measure: spread evenly, as blocks grow with a chain's age. Pure.
pub(super) fn sample_of(pieces: &[Piece]) -> Vec<BlockNumber> {
    let total: u64 = pieces.iter().map(|piece| piece.blocks.block_count()).sum();
    let count = total.min(SAMPLE_BLOCKS);
    let places = (0..count).map(|index| u128::from(total) * (2 * u128::from(index) + 1) / (2 * u128::from(count)));
    let mut ordered: Vec<BlockRange> = pieces.iter().map(|piece| piece.blocks).collect();
    ordered.sort_by_key(|blocks| blocks.start());
    places.filter_map(|place| nth(&ordered, u64::try_from(place).ok()?)).collect()
}

fn nth(runs: &[BlockRange], mut place: u64) -> Option<BlockNumber> {
    for blocks in runs {
        if place < blocks.block_count() {
            return Some(BlockNumber(blocks.start().0 + place));
        }
        place -= blocks.block_count();
    }
    None
}

/// Asks the endpoints for these blocks, with what the job wants of them, one by one.
pub(super) async fn measure(
    client: &ChainClient,
    traces: TraceMethod,
    numbers: &[BlockNumber],
) -> anyhow::Result<Sample> {
    let mut sample = Sample { blocks: 0, bytes: 0 };
    for &number in numbers {
        let asked = || format!("could not fetch block {number} to measure it");
        let fetched = present(client.fetch(BlockRange::single(number)).await).with_context(asked)?;
        let traced = present(client.trace(fetched, traces).await).with_context(asked)?;
        sample.blocks += traced.len() as u64;
        sample.bytes += traced.iter().map(|block| block.size_bytes() as u64).sum::<u64>();
    }
    Ok(sample)
}

fn present(answer: Answer<Vec<VerifiedBlock>>) -> anyhow::Result<Vec<VerifiedBlock>> {
    match answer {
        Answer::Present(blocks) => Ok(blocks),
        Answer::Absent => bail!("no endpoint of the job serves it whole; one that keeps all history is needed"),
        Answer::Failed(error) => Err(error.into()),
        Answer::Lying(lie) => Err(ChainError::from(lie).into()),
    }
}

/// The estimate for `pieces`. Pure.
pub(super) fn estimate(pieces: &[Piece], sample: Sample, config: &IngestConfig) -> Estimate {
    let blocks: u64 = pieces.iter().map(|piece| piece.fetched).sum();
    let partitions: u64 = pieces.iter().map(|piece| piece.partitions).sum();
    let mean_bytes = sample.bytes.div_ceil(sample.blocks.max(1));
    let in_one = blocks_per_fetch(config.batch_bytes, usize::try_from(mean_bytes).unwrap_or(usize::MAX));
    // A partition is fetched by itself.
    let of_partition = blocks.div_ceil(partitions.max(1));
    let in_one = in_one.min(of_partition.max(1));
    let fetches = partitions.saturating_mul(of_partition.div_ceil(in_one));
    let batches = |calls: u64| calls.div_ceil(u64::from(config.profile.batch_calls.max(1)));
    // A block and its receipts; its traces in requests of their own.
    let (mut calls, mut requests) = (blocks.saturating_mul(2), fetches.saturating_mul(batches(in_one * 2)));
    if config.traces != TraceMethod::None {
        calls = calls.saturating_add(blocks);
        requests = requests.saturating_add(fetches.saturating_mul(batches(in_one)));
    }
    // Each partition begins with the question whether its last block is final.
    Estimate {
        blocks,
        requests: requests.saturating_add(partitions),
        calls: calls.saturating_add(partitions.saturating_mul(2)),
        bytes: mean_bytes.saturating_mul(blocks),
        sample,
    }
}

impl Estimate {
    /// The same in words.
    pub(super) fn words(&self) -> String {
        format!(
            "about {} requests with {} calls, and {} of answers, for {} blocks: an estimate from {} of them, which \
             have {} each on average",
            grouped(self.requests),
            grouped(self.calls),
            size(self.bytes),
            grouped(self.blocks),
            self.sample.blocks,
            size(self.sample.bytes / self.sample.blocks.max(1)),
        )
    }

    /// The same for programs.
    pub(super) fn to_json(self) -> Value {
        json!({
            "blocks": self.blocks, "requests": self.requests, "calls": self.calls, "bytes": self.bytes,
            "sample": { "blocks": self.sample.blocks, "bytes": self.sample.bytes },
        })
    }
}

/// A number of bytes in the largest unit of which there is one.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use isotherm_types::Dataset;

    use super::*;
    use crate::backfill::job::tests::job;
    use crate::backfill::plan::tests::range;

    fn piece(start: u64, end: u64) -> Piece {
        Piece { blocks: range(start, end), partitions: (end - start) / 100, fetched: end - start }
    }

    #[test]
    fn a_sample_is_spread_over_all_that_is_fetched() {
        let numbers = |pieces: &[Piece]| sample_of(pieces).iter().map(|number| number.0).collect::<Vec<_>>();
        assert_eq!(numbers(&[piece(0, 800)]), [50, 150, 250, 350, 450, 550, 650, 750]);
        let holed = numbers(&[piece(1_000, 1_400), piece(0, 400)]);
        assert_eq!(holed, [50, 150, 250, 350, 1_050, 1_150, 1_250, 1_350]);
        assert_eq!(numbers(&[Piece { blocks: range(5, 7), partitions: 1, fetched: 2 }]), [5, 6]);
        assert!(numbers(&[]).is_empty());
    }

    #[test]
    fn an_estimate_counts_what_the_operator_asks() {
        // 200 blocks in two partitions: at 100,000 bytes a block a fetch has 83, and a batch 100 calls.
        let sample = Sample { blocks: 8, bytes: 800_000 };
        let of = |datasets: &[Dataset]| estimate(&[piece(0, 200)], sample, &job("x", "monad", datasets).config);
        let counted = of(&[Dataset::Blocks]);
        let expected = Estimate { blocks: 200, requests: 4 * 2 + 2, calls: 404, bytes: 20_000_000, sample };
        assert_eq!(counted, expected);
        let traced = of(&[Dataset::Blocks, Dataset::Traces]);
        assert_eq!((traced.requests, traced.calls), (4 * 2 + 4 + 2, 604));
    }

    #[test]
    fn large_blocks_are_asked_for_one_by_one_and_small_ones_by_the_partition() {
        let config = job("x", "monad", &[Dataset::Blocks]).config;
        let of = |bytes| estimate(&[piece(0, 200)], Sample { blocks: 1, bytes }, &config).requests;
        assert_eq!(of(100 << 20), 200 + 2);
        assert_eq!(of(10), 2 * 2 + 2);
    }

    #[test]
    fn an_estimate_says_that_it_is_one() {
        let sample = Sample { blocks: 2, bytes: 3_000 };
        let estimate = Estimate { blocks: 20_000, requests: 400, calls: 40_004, bytes: 3 << 30, sample };
        assert_eq!(
            estimate.words(),
            "about 400 requests with 40,004 calls, and 3.0 GiB of answers, for 20,000 blocks: an estimate from 2 of \
             them, which have 1.5 KiB each on average"
        );
        assert_eq!((size(1023), size(1 << 20)), ("1023 bytes".to_owned(), "1.0 MiB".to_owned()));
    }
}
