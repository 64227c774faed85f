//! Reads from a query's plan what must be fetched: columns and a run of blocks for each dataset.
//!
//! Only ever used to fetch less. A filter counts only if it is plainly `block_number`, an operator and a number; all
//! else is ignored, and DuckDB applies every filter again. Pure.

use std::collections::BTreeMap;

use isotherm_types::{BlockNumber, BlockRange, Dataset};

use isotherm_types::sandbox::Scan;

/// The column by which hot and cold are told apart; always fetched.
const BLOCK_NUMBER: &str = "block_number";

/// Blocks that a query may read, both ends included. `first > last` means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockBounds {
    /// First block.
    pub first: u64,
    /// Last block.
    pub last: u64,
}

impl BlockBounds {
    /// Every block.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };
    const NONE: Self = Self { first: u64::MAX, last: 0 };

    /// Blocks of `range` that lie within these bounds.
    pub fn clip(self, range: BlockRange) -> Option<BlockRange> {
        let first = range.start().0.max(self.first);
        let last = range.last().0.min(self.last);
        BlockRange::inclusive(BlockNumber(first), BlockNumber(last)).ok()
    }

    fn is_empty(self) -> bool {
        self.first > self.last
    }

    fn hull(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { first: self.first.min(other.first), last: self.last.max(other.last) },
        }
    }
}

/// What a query reads of one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Columns, in the dataset's order; `block_number` is among them.
    pub columns: Vec<&'static str>,
    /// Blocks.
    pub bounds: BlockBounds,
}

/// What a query reads. A dataset that no scan reads is not in it.
pub type Needs = BTreeMap<Dataset, Need>;

/// Gathers the scans of a plan: for each dataset the union of columns and the hull of blocks.
pub fn needs(scans: &[Scan]) -> Needs {
    let mut needs = Needs::new();
    for scan in scans {
        let Ok(dataset) = scan.relation.parse::<Dataset>() else { continue };
        let need = needs.entry(dataset).or_insert(Need { columns: vec![], bounds: BlockBounds::NONE });
        // A scan that needs no column, as under `count(*)`, reads the first one, and a plan does not say so.
        let first = dataset.columns()[0].name;
        let wanted = |name: &str| name == first || need.columns.contains(&name) || is_read(scan, name);
        need.columns = dataset.columns().iter().map(|column| column.name).filter(|name| wanted(name)).collect();
        need.bounds = need.bounds.hull(bounds(&scan.filters));
    }
    needs
}

/// Everything of `datasets`: for a query whose plan may not be believed.
pub fn everything(datasets: impl IntoIterator<Item = Dataset>) -> Needs {
    let whole = |dataset: Dataset| {
        let columns = dataset.columns().iter().map(|column| column.name).collect();
        (dataset, Need { columns, bounds: BlockBounds::ALL })
    };
    datasets.into_iter().map(whole).collect()
}

fn is_read(scan: &Scan, name: &str) -> bool {
    name == BLOCK_NUMBER
        || scan.columns.iter().any(|column| column == name)
        || scan.filters.iter().any(|filter| has_word(filter, name))
}

/// Whether `name` stands in `text` as a word of its own. A hit inside a literal costs a column, nothing else.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn bounds(filters: &[String]) -> BlockBounds {
    filters.iter().map(|filter| filter_bounds(filter)).fold(BlockBounds::ALL, |both, one| BlockBounds {
        first: both.first.max(one.first),
        last: both.last.min(one.last),
    })
}

/// Bounds that one printed filter surely sets.
///
/// Reads comparisons joined by AND from the left and stops at the first part that is anything else: what follows it
/// could be inside a literal. A filter with an OR says nothing.
fn filter_bounds(filter: &str) -> BlockBounds {
    if filter.contains(" OR ") {
        return BlockBounds::ALL;
    }
    let mut bounds = BlockBounds::ALL;
    for part in filter.split(" AND ") {
        let Some((operator, number)) = comparison(part) else { break };
        match operator {
            "=" => bounds = BlockBounds { first: bounds.first.max(number), last: bounds.last.min(number) },
            ">=" => bounds.first = bounds.first.max(number),
            "<=" => bounds.last = bounds.last.min(number),
            ">" => match number.checked_add(1) {
                Some(first) => bounds.first = bounds.first.max(first),
                None => return BlockBounds::NONE,
            },
            "<" => match number.checked_sub(1) {
                Some(last) => bounds.last = bounds.last.min(last),
                None => return BlockBounds::NONE,
            },
            _ => break,
        }
    }
    bounds
}

fn comparison(part: &str) -> Option<(&str, u64)> {
    let rest = part.strip_prefix(BLOCK_NUMBER)?;
    let digits = rest.find(|c: char| c.is_ascii_digit())?;
    let (operator, number) = rest.split_at(digits);
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse().ok()).flatten().map(|number| (operator, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(relation: &str, columns: &[&str], filters: &[&str]) -> Scan {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Scan { relation: relation.to_owned(), columns: owned(columns), filters: owned(filters) }
    }

    fn bounds_of(filters: &[&str]) -> (u64, u64) {
        let bounds = needs(&[scan("blocks", &[], filters)])[&Dataset::Blocks].bounds;
        (bounds.first, bounds.last)
    }

    #[test]
    fn plain_comparisons_bound_the_blocks() {
        assert_eq!(bounds_of(&["block_number>100 AND block_number<=120"]), (101, 120));
        assert_eq!(bounds_of(&["block_number>=5", "gas_used>3"]), (5, u64::MAX));
        assert_eq!(bounds_of(&["block_number=7"]), (7, 7));
        assert_eq!(bounds_of(&["block_number<9 AND optional: Dynamic Filter (block_number)"]), (0, 8));
    }

    #[test]
    fn whatever_is_not_plain_bounds_nothing() {
        for filter in [
            "optional: block_number=5 OR block_number=7",
            "block_number>5 AND block_number<7 OR block_number>100",
            "(block_number >= 3)",
            "block_number!=4",
            "(CAST(block_number AS DECIMAL(11,1)) < 10.5)",
            "block_number<10.5",
            "(error = 'x AND block_number>1000')",
            "error='a' AND block_number>1000",
            "block_number IN (4, 5)",
            "block_number>99999999999999999999",
        ] {
            assert_eq!(bounds_of(&[filter]), (0, u64::MAX), "{filter}");
        }
        // The part before the strange one still counts.
        assert_eq!(bounds_of(&["block_number>3 AND (x = 'y AND block_number>1000')"]), (4, u64::MAX));
    }

    #[test]
    fn contradictions_read_nothing_and_widen_no_hull() {
        let none = scan("blocks", &[], &["block_number<0"]);
        let some = scan("blocks", &["gas_used"], &["block_number>=5 AND block_number<=6"]);
        let need = &needs(&[none, some])[&Dataset::Blocks];
        assert_eq!(need.bounds, BlockBounds { first: 5, last: 6 });
        let range = BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap();
        assert_eq!(BlockBounds { first: 9, last: 3 }.clip(range), None);
    }

    #[test]
    fn columns_of_filters_are_fetched_too() {
        let scans = [
            scan("transactions", &["value"], &["from_address='\\xAA'::BLOB"]),
            scan("transactions", &["gas_used"], &["block_number=3"]),
            scan("logs", &[], &[]),
        ];
        let needs = needs(&scans);
        let transactions = &needs[&Dataset::Transactions];
        assert_eq!(transactions.columns, ["block_number", "from_address", "gas_used", "value"]);
        assert_eq!(transactions.bounds, BlockBounds::ALL);
        assert_eq!(needs[&Dataset::Logs].columns, ["block_number"]);
        assert!(!needs.contains_key(&Dataset::Blocks));
    }

    #[test]
    fn a_scan_of_no_column_still_reads_the_first_one() {
        let need = &needs(&[scan("blocks", &[], &[])])[&Dataset::Blocks];
        assert_eq!(need.columns, ["block_hash", "block_number"]);
    }

    proptest::proptest! {
        #[test]
        fn no_block_that_a_filter_lets_through_is_left_out(
            parts in proptest::collection::vec((0usize..5, 0u64..30), 1..5), number in 0u64..32,
        ) {
            let operators = ["=", ">", ">=", "<", "<="];
            let holds = |&(operator, bound): &(usize, u64)| match operator {
                0 => number == bound,
                1 => number > bound,
                2 => number >= bound,
                3 => number < bound,
                _ => number <= bound,
            };
            let text: Vec<String> = parts.iter().map(|(i, bound)| format!("block_number{}{bound}", operators[*i])).collect();
            let (first, last) = bounds_of(&[&text.join(" AND ")]);
            proptest::prop_assert_eq!(parts.iter().all(holds), first <= number && number <= last);
        }
    }
}
