//! Where the files of the datasets begin and end, side by side. Pure.

use isotherm_types::{BlockNumber, BlockRange};

/// A run of blocks within which no dataset goes on from one file to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) blocks: BlockRange,
    /// Place of each dataset's file in its list; `None` where it has none.
    pub(super) files: [Option<usize>; 4],
}

/// The runs that the files of the datasets make, each dataset's in order; only those within `within`, and only those
/// of which some dataset has a file.
pub(super) fn segments(files: &[Vec<BlockRange>; 4], within: Option<BlockRange>) -> Vec<Segment> {
    let clipped = |blocks: &BlockRange| within.map_or(Some(*blocks), |within| blocks.intersection(within));
    let ranges = files.iter().flatten().filter_map(clipped);
    let mut edges: Vec<BlockNumber> = ranges.flat_map(|blocks| [blocks.start(), blocks.end()]).collect();
    edges.sort_unstable();
    edges.dedup();
    let runs = edges.iter().zip(edges.iter().skip(1));
    let segment = |(start, end): (&BlockNumber, &BlockNumber)| {
        let blocks = BlockRange::new(*start, *end).ok()?;
        let files = files.each_ref().map(|files| place_of(*start, files));
        files.iter().any(Option::is_some).then_some(Segment { blocks, files })
    };
    runs.filter_map(segment).collect()
}

/// Place of the file that has `block`.
fn place_of(block: BlockNumber, files: &[BlockRange]) -> Option<usize> {
    let place = files.partition_point(|blocks| blocks.end() <= block);
    files.get(place).is_some_and(|blocks| blocks.contains(block)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    #[test]
    fn files_that_end_together_are_one_segment_and_others_are_cut() {
        let files = [vec![range(0, 10), range(10, 20)], vec![range(0, 10)], vec![range(5, 15), range(15, 20)], vec![]];
        let expected = [
            Segment { blocks: range(0, 5), files: [Some(0), Some(0), None, None] },
            Segment { blocks: range(5, 10), files: [Some(0), Some(0), Some(0), None] },
            Segment { blocks: range(10, 15), files: [Some(1), None, Some(0), None] },
            Segment { blocks: range(15, 20), files: [Some(1), None, Some(1), None] },
        ];
        assert_eq!(segments(&files, None), expected);
        let within = [
            Segment { blocks: range(7, 10), files: [Some(0), Some(0), Some(0), None] },
            Segment { blocks: range(10, 12), files: [Some(1), None, Some(0), None] },
        ];
        assert_eq!(segments(&files, Some(range(7, 12))), within);
    }

    #[test]
    fn blocks_that_no_dataset_has_are_no_segment() {
        let files = [vec![range(0, 3)], vec![range(5, 6)], vec![], vec![]];
        let blocks: Vec<_> = segments(&files, None).iter().map(|segment| segment.blocks).collect();
        assert_eq!(blocks, [range(0, 3), range(5, 6)]);
        assert_eq!(segments(&[vec![], vec![], vec![], vec![]], None), []);
        assert_eq!(segments(&files, Some(range(8, 9))), []);
    }
}
