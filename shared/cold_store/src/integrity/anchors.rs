//! Hashes of cold storage against those that endpoints name: which blocks are asked for, and what the answers mean.
//!
//! Pure; whoever has endpoints asks them. An endpoint that did not answer says nothing, neither for nor against.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use isotherm_types::{B256, BlockNumber, BlockRange, Dataset};

use super::fault::Fault;
use super::report::{Finding, SampledHeader, Unverifiable};

/// What one endpoint says of finalized blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAnswers {
    /// Its name; never its URL, which may hold a key.
    pub endpoint: String,
    /// Hash of each block that it has; a block that it has not, or was silent about, is not in here.
    pub hashes: HashMap<BlockNumber, B256>,
}

/// What comes of the answers of all endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    /// Blocks whose hash enough endpoints confirm, in order.
    pub confirmed: Vec<BlockNumber>,
    /// Blocks of which enough endpoints name another hash.
    pub findings: Vec<Finding>,
    /// Blocks of which too few say anything.
    pub unverifiable: Vec<Unverifiable>,
}

/// Which headers a check notes for endpoints to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// None.
    None,
    /// All; about 150 bytes of memory each.
    Every,
    /// Those that [`sample`] chooses among the blocks that are checked.
    Some {
        /// How many.
        count: usize,
        /// Another seed chooses others.
        seed: u64,
    },
}

/// Compares headers with what endpoints say: `at_least` of them must name a hash for it to count, and at least one.
pub fn compare_anchors(sample: &[SampledHeader], answers: &[EndpointAnswers], at_least: usize) -> Anchors {
    let at_least = at_least.max(1);
    let mut anchors = Anchors::default();
    for header in sample {
        let blocks = BlockRange::single(header.number);
        let named = endpoints_by_hash(header.number, answers);
        let confirming = named.get(&header.hash).map_or(0, Vec::len);
        let other = named.iter().find(|(hash, endpoints)| **hash != header.hash && endpoints.len() >= at_least);
        if let Some((hash, endpoints)) = other {
            anchors.findings.push(Finding {
                dataset: Dataset::Blocks,
                object: header.object.clone(),
                blocks: Some(blocks),
                fault: Fault::AnchorDiffers,
                message: format!(
                    "block {} has hash {} in cold storage, but {hash} at {}",
                    header.number,
                    header.hash,
                    endpoints.join(", ")
                ),
            });
        } else if confirming >= at_least {
            anchors.confirmed.push(header.number);
        } else {
            let reason = format!("{confirming} of {} endpoints confirm the hash; {at_least} must", answers.len());
            anchors.unverifiable.push(Unverifiable { dataset: Dataset::Blocks, blocks, reason, was_read: true });
        }
    }
    anchors
}

fn endpoints_by_hash(number: BlockNumber, answers: &[EndpointAnswers]) -> BTreeMap<B256, Vec<&str>> {
    let mut named: BTreeMap<B256, Vec<&str>> = BTreeMap::new();
    for answer in answers {
        if let Some(hash) = answer.hashes.get(&number) {
            named.entry(*hash).or_default().push(&answer.endpoint);
        }
    }
    named
}

/// `count` blocks of a range in order, or all if it has no more: always the first and the last, and among the others
/// the same ones for the same seed.
///
/// Source: Bentley and Floyd, "A sample of brilliance".
pub fn sample(range: BlockRange, count: usize, seed: u64) -> Vec<BlockNumber> {
    let (first, last) = (range.start().0, range.last().0);
    // Blocks between the first and the last, and how many of them are chosen.
    let between = range.block_count().saturating_sub(2);
    let wanted = (count as u64).saturating_sub(2).min(between);
    let mut random = Random(seed);
    let mut chosen = BTreeSet::from([first, last]);
    for limit in between - wanted..between {
        let candidate = first + 1 + random.below(limit + 1);
        if !chosen.insert(candidate) {
            chosen.insert(first + 1 + limit);
        }
    }
    chosen.into_iter().map(BlockNumber).collect()
}

/// Numbers without end from a seed. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0. Slightly partial to small ones, which does no harm here.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    fn answers(endpoint: &str, hash: Option<u8>) -> EndpointAnswers {
        let hashes = hash.map(|byte| (BlockNumber(7), B256::repeat_byte(byte)));
        EndpointAnswers { endpoint: endpoint.to_owned(), hashes: hashes.into_iter().collect() }
    }

    /// What comes of block 7, which has hash 1 in cold storage.
    fn compared(hashes: &[Option<u8>], at_least: usize) -> (usize, usize, usize) {
        let header = SampledHeader { number: BlockNumber(7), hash: B256::repeat_byte(1), object: "file".to_owned() };
        let answers: Vec<_> = hashes.iter().map(|hash| answers("node", *hash)).collect();
        let anchors = compare_anchors(&[header], &answers, at_least);
        (anchors.confirmed.len(), anchors.findings.len(), anchors.unverifiable.len())
    }

    #[test]
    fn enough_endpoints_confirm_contradict_or_leave_it_open() {
        let (confirmed, differs, open) = ((1, 0, 0), (0, 1, 0), (0, 0, 1));
        assert_eq!(compared(&[Some(1), Some(1), None], 2), confirmed);
        assert_eq!(compared(&[Some(1), None, None], 2), open);
        assert_eq!(compared(&[None, None], 1), open);
        assert_eq!(compared(&[], 0), open);
        assert_eq!(compared(&[Some(2), Some(2), Some(1)], 2), differs);
        // One liar is outvoted, two that disagree say nothing.
        assert_eq!(compared(&[Some(2), Some(1), Some(1)], 2), confirmed);
        assert_eq!(compared(&[Some(2), Some(3), Some(1)], 2), open);
        // Endpoints that contradict each other are no confirmation.
        assert_eq!(compared(&[Some(2), Some(1)], 1), differs);
    }

    #[test]
    fn a_contradiction_names_object_block_hashes_and_endpoints() {
        let header = SampledHeader { number: BlockNumber(7), hash: B256::repeat_byte(1), object: "file".to_owned() };
        let anchors = compare_anchors(&[header], &[answers("left", Some(2)), answers("right", Some(2))], 2);
        let [finding] = anchors.findings.as_slice() else { panic!("{anchors:?}") };
        assert_eq!((finding.object.as_str(), finding.blocks), ("file", Some(range(7, 8))));
        let (ours, theirs) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let expected = format!("block 7 has hash {ours} in cold storage, but {theirs} at left, right");
        assert_eq!(finding.message, expected);
    }

    #[test]
    fn a_sample_of_more_than_all_is_all() {
        let all: Vec<_> = (10..15).map(BlockNumber).collect();
        assert_eq!(sample(range(10, 15), 5, 1), all);
        assert_eq!(sample(range(10, 15), 500, 1), all);
        assert_eq!(sample(range(10, 11), 0, 1), [BlockNumber(10)]);
        assert_eq!(sample(range(10, 15), 0, 1), [BlockNumber(10), BlockNumber(14)]);
    }

    proptest::proptest! {
        #[test]
        fn a_sample_has_both_ends_and_as_many_distinct_blocks_as_asked_for(
            start in 0u64..1_000_000, blocks in 1u64..2_000, count in 2usize..300, seed in proptest::num::u64::ANY,
        ) {
            let range = range(start, start + blocks);
            let chosen = sample(range, count, seed);
            proptest::prop_assert_eq!(&chosen, &sample(range, count, seed));
            proptest::prop_assert_eq!(chosen.len() as u64, blocks.min(count as u64));
            proptest::prop_assert!(chosen.is_sorted_by(|left, right| left < right));
            proptest::prop_assert_eq!(chosen.first(), Some(&range.start()));
            proptest::prop_assert_eq!(chosen.last(), Some(&range.last()));
            proptest::prop_assert!(chosen.iter().all(|block| range.contains(*block)));
        }
    }
}
