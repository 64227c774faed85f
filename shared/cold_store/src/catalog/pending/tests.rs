//! Which file is next.

use proptest::strategy::{Just, Strategy as _};

use super::*;
use crate::digest::Sha256Digest;

fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

/// Cold storage that holds `start..end`.
fn cold(start: u64, end: u64) -> Option<DatasetHead> {
    Some(DatasetHead {
        first_block: BlockNumber(start),
        first_parent_hash: None,
        watermark: BlockNumber(end - 1),
        manifest_version: 1,
        manifest_key: "cold/made/logs/manifests/0000000001.json".to_owned(),
        manifest_sha256: Sha256Digest::of(b""),
    })
}

#[test]
fn the_next_file_adjoins_what_is_cold_and_all_runs_choose_alike() {
    type Row<'a> = (Option<DatasetHead>, Option<u64>, &'a [(u64, u64)], Option<(u64, u64)>);
    let table: &[Row<'_>] = &[
        (cold(40, 50), None, &[], None),
        // Neither a gap nor an overlap is filled with what does not fit.
        (cold(40, 50), None, &[(20, 30), (60, 70)], None),
        (cold(40, 50), None, &[(30, 39), (35, 45), (49, 60), (51, 60)], None),
        (cold(40, 50), None, &[(20, 30), (30, 40), (60, 70)], Some((30, 40))),
        (cold(40, 50), None, &[(20, 30), (50, 60), (60, 70)], Some((50, 60))),
        (cold(40, 50), None, &[(30, 40), (50, 60)], Some((30, 40))),
        // Where hot storage begins matters no more.
        (cold(40, 50), Some(45), &[(30, 40)], Some((30, 40))),
        (cold(40, 50), Some(90), &[(50, 60)], Some((50, 60))),
        (cold(0, 1), None, &[(1, 2)], Some((1, 2))),
        (None, None, &[], None),
        (None, None, &[(0, 10), (20, 30)], Some((0, 10))),
        // Nothing is cold, and block 30 is the first hot one.
        (None, Some(30), &[(0, 10), (10, 20)], None),
        (None, Some(30), &[(10, 20), (20, 30)], Some((20, 30))),
        (None, Some(30), &[(10, 20), (20, 40)], Some((20, 40))),
        (None, Some(30), &[(30, 40)], Some((30, 40))),
        (None, Some(30), &[(31, 40)], None),
    ];
    for (head, hot, waiting, expected) in table {
        let ranges: Vec<BlockRange> = waiting.iter().map(|&(start, end)| range(start, end)).collect();
        let found = next_blocks(head.as_ref(), hot.map(BlockNumber), &ranges);
        assert_eq!(found, expected.map(|(start, end)| range(start, end)), "{head:?} {hot:?} {waiting:?}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_the_order_of_finishing_all_files_are_listed_at_last(
        order in Just((0..12_u64).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        // Files of ten blocks on both sides of 60..70, each listed as soon as it can be.
        let (mut first, mut end) = (60, 70);
        let mut waiting: Vec<BlockRange> = Vec::new();
        for index in order {
            let start = if index < 6 { index * 10 } else { index * 10 + 10 };
            waiting.push(range(start, start + 10));
            waiting.sort_by_key(|blocks| blocks.start());
            while let Some(next) = next_blocks(cold(first, end).as_ref(), None, &waiting) {
                proptest::prop_assert!(next.end().0 == first || next.start().0 == end);
                (first, end) = (first.min(next.start().0), end.max(next.end().0));
                waiting.retain(|blocks| *blocks != next);
            }
        }
        proptest::prop_assert_eq!((first, end, waiting), (0, 130, Vec::new()));
    }
}
