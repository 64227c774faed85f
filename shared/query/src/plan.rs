//! Reads from a query's plan what must be fetched of each dataset of each chain: columns, a run of blocks, and of hot rows
//! those with the bytes asked for.
//!
//! What it reads of the platform's own tables, [`crate::platform_rows`] says. Only ever used to fetch less. A filter counts
//! only if it is plainly `block_number` or `chain_id`, an operator and a number or a list of numbers, or bytes
//! (`plan/wanted.rs`); all else is ignored, and DuckDB applies every filter again. Pure.

use std::collections::BTreeMap;

use isotherm_hot_store::rows::Wanted;
use isotherm_types::sandbox::{CHAIN_ID, Scan};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};

use crate::relation::RelationName;

mod wanted;

/// Scans of one dataset whose bytes are told apart; with more, every row is fetched.
const MOST_ALTERNATIVES: usize = 8;

/// Runs of blocks of one dataset that are told apart; with more, all blocks between the first and the last are read.
const MOST_RUNS: usize = 16;

/// The column by which hot and cold are told apart; always fetched.
const BLOCK_NUMBER: &str = "block_number";

/// Numbers that a query may ask for, of blocks or of chains, both ends included. `first > last` means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Bounds {
    /// Every number.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };
    /// No number.
    pub const NONE: Self = Self { first: u64::MAX, last: 0 };

    /// Numbers up to `last`.
    pub fn up_to(last: u64) -> Self {
        Self { first: 0, last }
    }

    /// Numbers that both hold.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    fn contains(self, number: u64) -> bool {
        self.first <= number && number <= self.last
    }

    /// Blocks of `range` that lie within these bounds.
    pub fn clip(self, range: BlockRange) -> Option<BlockRange> {
        let first = range.start().0.max(self.first);
        let last = range.last().0.min(self.last);
        BlockRange::inclusive(BlockNumber(first), BlockNumber(last)).ok()
    }

    fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub(crate) fn hull(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { first: self.first.min(other.first), last: self.last.max(other.last) },
        }
    }
}

/// What one scan of a relation reads, as far as the plan says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The relation.
    pub relation: RelationName,
    /// Columns, in the dataset's order; `block_number` is among them. `chain_id` never is: it is not fetched.
    pub columns: Vec<&'static str>,
    /// Chains by their ids.
    pub chains: Bounds,
    /// Blocks.
    pub blocks: Bounds,
    /// Bytes.
    pub wanted: Wanted,
}

/// What a query reads of one dataset of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Columns, as in [`Read`].
    pub columns: Vec<&'static str>,
    /// Blocks: the hull of `runs`.
    pub bounds: Bounds,
    /// Blocks again, as its scans ask for them: each run once, none empty, 16 at most.
    pub runs: Vec<Bounds>,
    /// Bytes: a row is wanted that has those of one of these. Where one asks for none, every row is.
    pub wanted: Vec<Wanted>,
}

impl Need {
    /// Which of its runs have blocks in `blocks`: bit `i` for the run at `i`.
    pub fn runs_in(&self, blocks: BlockRange) -> u32 {
        let bit = |(i, run): (usize, &Bounds)| u32::from(run.clip(blocks).is_some()) << i;
        self.runs.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit)
    }
}

/// What a query reads. A dataset of a chain that no scan reads is not in it.
pub type Needs = BTreeMap<(ChainId, Dataset), Need>;

/// What each scan of a plan reads.
pub fn reads(scans: &[Scan]) -> Vec<Read> {
    let read = |scan: &Scan| {
        let relation = RelationName::of_full_name(&scan.relation)?;
        let columns = relation.dataset.columns();
        // A scan that needs no column, as under `count(*)`, reads the first one, and a plan does not say so.
        let first = columns[0].name;
        let wanted = |name: &&str| *name != CHAIN_ID && (*name == first || is_read(scan, name));
        Some(Read {
            columns: columns.iter().map(|column| column.name).filter(wanted).collect(),
            chains: bounds(&scan.filters, CHAIN_ID),
            blocks: bounds(&scan.filters, BLOCK_NUMBER),
            wanted: wanted::wanted(&scan.filters, relation.dataset),
            relation,
        })
    };
    scans.iter().filter_map(read).collect()
}

/// Everything of `relations`: for a query whose plan may not be believed.
pub fn everything<'a>(relations: impl IntoIterator<Item = &'a RelationName>) -> Vec<Read> {
    let whole = |relation: &RelationName| Read {
        columns: relation.dataset.columns().iter().map(|column| column.name).filter(|name| *name != CHAIN_ID).collect(),
        chains: Bounds::ALL,
        blocks: Bounds::ALL,
        wanted: Wanted::new(),
        relation: relation.clone(),
    };
    relations.into_iter().map(whole).collect()
}

/// Gathers reads: for each dataset of each chain the union of columns, and the blocks. `chains_of` says which
/// chains a relation shows.
pub fn needs(reads: &[Read], chains_of: impl Fn(&RelationName) -> Vec<ChainId>) -> Needs {
    let mut needs = Needs::new();
    for read in reads {
        let dataset = read.relation.dataset;
        for chain_id in chains_of(&read.relation).into_iter().filter(|chain| read.chains.contains(chain.0)) {
            let nothing = Need { columns: vec![], bounds: Bounds::NONE, runs: vec![], wanted: vec![] };
            let need = needs.entry((chain_id, dataset)).or_insert(nothing);
            let wanted = |name: &&str| need.columns.contains(name) || read.columns.contains(name);
            need.columns = dataset.columns().iter().map(|column| column.name).filter(wanted).collect();
            need.bounds = need.bounds.hull(read.blocks);
            if !read.blocks.is_empty() && !need.runs.contains(&read.blocks) {
                need.runs.push(read.blocks);
            }
            if need.runs.len() > MOST_RUNS {
                need.runs = vec![need.bounds];
            }
            if !need.wanted.contains(&read.wanted) {
                need.wanted.push(read.wanted.clone());
            }
            if need.wanted.len() > MOST_ALTERNATIVES {
                need.wanted = vec![Wanted::new()];
            }
        }
    }
    needs
}

/// Whether a scan reads a column: hands it on, or filters by it.
pub(crate) fn is_read(scan: &Scan, name: &str) -> bool {
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

/// Bounds that a scan's filters surely set on the numbers of `column`.
pub(crate) fn bounds(filters: &[String], column: &str) -> Bounds {
    filters.iter().map(|filter| filter_bounds(filter, column)).fold(Bounds::ALL, Bounds::intersection)
}

/// Bounds that one printed filter surely sets.
///
/// Reads comparisons joined by AND from the left and stops at the first part that is anything else: what follows it
/// could be inside a literal. Of numbers that are listed the hull counts; any other filter with an OR says nothing.
fn filter_bounds(filter: &str, column: &str) -> Bounds {
    if let Some(numbers) = listed(filter, column) {
        let one = |number| Bounds { first: number, last: number };
        return numbers.into_iter().map(one).fold(Bounds::NONE, Bounds::hull);
    }
    if filter.contains(" OR ") {
        return Bounds::ALL;
    }
    let mut bounds = Bounds::ALL;
    for part in filter.split(" AND ") {
        let Some((operator, number)) = comparison(part, column) else { break };
        match operator {
            "=" => bounds = bounds.intersection(Bounds { first: number, last: number }),
            ">=" => bounds.first = bounds.first.max(number),
            "<=" => bounds.last = bounds.last.min(number),
            ">" => match number.checked_add(1) {
                Some(first) => bounds.first = bounds.first.max(first),
                None => return Bounds::NONE,
            },
            "<" => match number.checked_sub(1) {
                Some(last) => bounds.last = bounds.last.min(last),
                None => return Bounds::NONE,
            },
            _ => break,
        }
    }
    bounds
}

/// The numbers of a filter that is nothing but a list of them: `block_number IN (4, 5)`, `block_number=4 OR block_number=5`.
fn listed(filter: &str, column: &str) -> Option<Vec<u64>> {
    // What DuckDB may leave out of the scan it applies behind it.
    let filter = filter.strip_prefix("optional: ").unwrap_or(filter);
    let inside = filter.strip_prefix(column).and_then(|rest| rest.strip_prefix(" IN (")?.strip_suffix(')'));
    match inside {
        Some(inside) => inside.split(", ").map(|number| number.parse().ok()).collect(),
        None => filter.split(" OR ").map(|part| only_number(part, column)).collect(),
    }
}

/// The number that a part of a filter asks for, and nothing else.
fn only_number(part: &str, column: &str) -> Option<u64> {
    comparison(part, column).and_then(|(operator, number)| (operator == "=").then_some(number))
}

fn comparison<'a>(part: &'a str, column: &str) -> Option<(&'a str, u64)> {
    let rest = part.strip_prefix(column)?;
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
        let bounds = reads(&[scan("blocks", &[], filters)])[0].blocks;
        (bounds.first, bounds.last)
    }

    const CHAINS: [ChainId; 3] = [ChainId(1), ChainId(10), ChainId(143)];

    /// Relations without a chain show all of them, `ten.…` the one.
    fn needs_of(scans: &[Scan]) -> Needs {
        needs(&reads(scans), |relation| if relation.chain.is_none() { CHAINS.to_vec() } else { vec![ChainId(10)] })
    }

    #[test]
    fn plain_comparisons_bound_the_blocks() {
        assert_eq!(bounds_of(&["block_number>100 AND block_number<=120"]), (101, 120));
        assert_eq!(bounds_of(&["block_number>=5", "gas_used>3"]), (5, u64::MAX));
        assert_eq!(bounds_of(&["block_number=7"]), (7, 7));
        assert_eq!(bounds_of(&["block_number<9 AND optional: Dynamic Filter (block_number)"]), (0, 8));
        assert_eq!(bounds_of(&["block_number IN (40, 5, 17)"]), (5, 40));
        assert_eq!(bounds_of(&["optional: block_number IN (4, 5)", "block_number<5"]), (4, 4));
        assert_eq!(bounds_of(&["optional: block_number=7 OR block_number=5"]), (5, 7));
    }

    #[test]
    fn whatever_is_not_plain_bounds_nothing() {
        for filter in [
            "block_number=5 OR block_number>7",
            "block_number=5 OR gas_used=7",
            "block_number=5 OR block_number=7 AND gas_used=1",
            "block_number>5 AND block_number<7 OR block_number>100",
            "(block_number >= 3)",
            "block_number!=4",
            "(CAST(block_number AS DECIMAL(11,1)) < 10.5)",
            "block_number<10.5",
            "(error = 'x AND block_number>1000')",
            "error='a' AND block_number>1000",
            "block_number IN (4, 5) OR gas_used=1",
            "block_number IN (4, x)",
            "signed_block_number IN (4, 5)",
            "(block_number + 1) IN (4, 5)",
            "block_number>99999999999999999999",
        ] {
            assert_eq!(bounds_of(&[filter]), (0, u64::MAX), "{filter}");
        }
        // The part before the strange one still counts.
        assert_eq!(bounds_of(&["block_number>3 AND (x = 'y AND block_number>1000')"]), (4, u64::MAX));
    }

    #[test]
    fn a_relation_of_one_chain_and_a_filter_of_chains_bound_the_chains() {
        let asked = |relation: &str, filters: &[&str]| -> Vec<u64> {
            needs_of(&[scan(relation, &[], filters)]).into_keys().map(|(chain, _)| chain.0).collect()
        };
        assert_eq!(asked("logs", &[]), [1, 10, 143]);
        assert_eq!(asked("ten.logs", &[]), [10]);
        assert_eq!(asked("logs", &["chain_id=143"]), [143]);
        assert_eq!(asked("logs", &["chain_id>1 AND chain_id<=100", "block_number=7"]), [10]);
        assert!(asked("logs", &["chain_id=7"]).is_empty());
        assert!(asked("ten.logs", &["chain_id=1"]).is_empty());
        assert_eq!(asked("logs", &["chain_id IN (1, 10)"]), [1, 10]);
        assert_eq!(asked("logs", &["chain_id=1 OR chain_id=10"]), [1, 10]);
        for filter in ["chain_id=1 OR chain_id>10", "NOT chain_id IN (1, 10)", "signed_chain_id=1", "chain_id!=1"] {
            assert_eq!(asked("logs", &[filter]), [1, 10, 143], "{filter}");
        }
    }

    #[test]
    fn a_chain_is_read_as_far_as_any_scan_reads_it() {
        let all = scan("blocks", &["gas_used"], &["block_number>=50 AND block_number<=60"]);
        let one = scan("ten.blocks", &["author"], &["block_number=5"]);
        let needs = needs_of(&[all, one]);
        let need = |chain| &needs[&(ChainId(chain), Dataset::Blocks)];
        assert_eq!(need(1).columns, ["block_hash", "block_number", "gas_used"]);
        assert_eq!(need(1).bounds, Bounds { first: 50, last: 60 });
        assert_eq!(need(10).columns, ["block_hash", "author", "block_number", "gas_used"]);
        assert_eq!(need(10).bounds, Bounds { first: 5, last: 60 });
    }

    #[test]
    fn runs_of_blocks_are_told_apart_until_they_are_many() {
        let of =
            |first: u64, last: u64| scan("blocks", &[], &[&format!("block_number>={first} AND block_number<={last}")]);
        let need = |scans: &[Scan]| needs_of(scans)[&(CHAINS[0], Dataset::Blocks)].clone();
        let file = |start: u64| BlockRange::new(BlockNumber(start), BlockNumber(start + 10)).unwrap();
        let two = need(&[of(5, 14), of(40, 60), of(5, 14), scan("blocks", &[], &["block_number<0"])]);
        assert_eq!(two.runs, [Bounds { first: 5, last: 14 }, Bounds { first: 40, last: 60 }]);
        assert_eq!([0, 10, 20, 30, 40, 60, 70].map(|start| two.runs_in(file(start))), [1, 1, 0, 0, 2, 2, 0]);
        assert_eq!(need(&[of(5, 14), of(12, 60)]).runs_in(file(10)), 3);
        let scans: Vec<Scan> = (0..200).map(|i| of(i * 100, i * 100 + 9)).collect();
        let many = need(&scans);
        assert!(many.runs.len() <= MOST_RUNS, "{}", many.runs.len());
        for i in 0..200 {
            assert_ne!(many.runs_in(file(i * 100)), 0, "what scan {i} reads");
        }
    }

    #[test]
    fn contradictions_read_nothing_and_widen_no_hull() {
        let none = scan("blocks", &[], &["block_number<0"]);
        let some = scan("blocks", &["gas_used"], &["block_number>=5 AND block_number<=6"]);
        let need = &needs_of(&[none, some])[&(CHAINS[0], Dataset::Blocks)];
        assert_eq!(need.bounds, Bounds { first: 5, last: 6 });
        let range = BlockRange::new(BlockNumber(0), BlockNumber(100)).unwrap();
        assert_eq!(Bounds { first: 9, last: 3 }.clip(range), None);
    }

    #[test]
    fn columns_of_filters_are_fetched_too_and_the_chain_never_is() {
        let scans = [
            scan("transactions", &["value", "chain_id"], &["from_address='\\xAA'::BLOB"]),
            scan("transactions", &["gas_used"], &["block_number=3"]),
            scan("logs", &[], &[]),
        ];
        let needs = needs_of(&scans);
        let transactions = &needs[&(CHAINS[0], Dataset::Transactions)];
        assert_eq!(transactions.columns, ["block_number", "from_address", "gas_used", "value"]);
        assert_eq!(transactions.bounds, Bounds::ALL);
        assert_eq!(needs[&(CHAINS[0], Dataset::Logs)].columns, ["block_number"]);
        assert!(!needs.contains_key(&(CHAINS[0], Dataset::Blocks)));
        let logs = RelationName::of("", "logs").unwrap();
        assert_eq!(everything([&logs])[0].columns.len(), Dataset::Logs.columns().len() - 1);
    }

    #[test]
    fn bytes_are_asked_for_only_where_each_scan_asks_for_some() {
        let by = |filters: &[&str]| scan("logs", &["data"], filters);
        let wanted = |scans: &[Scan]| needs_of(scans)[&(CHAINS[0], Dataset::Logs)].wanted.clone();
        let of = |column, byte: u8| Wanted::from([(column, vec![vec![byte]])]);
        let (one, two) = (r"address='\x01'::BLOB", r"topic0='\x02'::BLOB");
        assert_eq!(wanted(&[by(&[one])]), [of("address", 1)]);
        assert_eq!(wanted(&[by(&[one]), by(&[two]), by(&[one])]), [of("address", 1), of("topic0", 2)]);
        assert!(wanted(&[by(&[one]), by(&["block_number>5"])]).contains(&Wanted::new()));
        let many: Vec<Scan> = (0..20).map(|i| by(&[format!(r"address='\x{i:02X}'::BLOB").as_str()])).collect();
        assert!(wanted(&many).contains(&Wanted::new()));
    }

    #[test]
    fn a_scan_of_no_column_still_reads_the_first_one() {
        assert_eq!(reads(&[scan("blocks", &[], &[])])[0].columns, ["block_hash", "block_number"]);
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
