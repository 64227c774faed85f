//! Which open findings a check refutes. Pure.
//!
//! Not to find something again refutes it only if the check has looked: at the object, at these blocks, as deep as the
//! fault lies, and past whatever else is wrong there. In doubt a finding stays open: a query that is refused for too
//! long is better than an answer out of a broken file.

use std::collections::{HashMap, HashSet};

use isotherm_cold_store::catalog::checks::OpenFinding;
use isotherm_cold_store::integrity::{Fault, Finding, Level, Report};
use isotherm_types::{BlockNumber, BlockRange, Dataset};

/// What a check has looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked<'a> {
    /// Newest manifest of each dataset that it was asked to check, by key: what it lists is what was looked at.
    pub(crate) manifests: &'a HashMap<Dataset, String>,
    /// The blocks that it was asked to check; `None` for all.
    pub(crate) blocks: Option<BlockRange>,
    /// What came of it, answers of endpoints included.
    pub(crate) report: &'a Report,
    /// Blocks whose hash enough endpoints confirm.
    pub(crate) confirmed: &'a HashSet<BlockNumber>,
}

/// Rows of those findings that are not there any more.
pub(crate) fn refuted(open: &[OpenFinding], looked: &Looked<'_>) -> Vec<i64> {
    open.iter().filter(|known| is_refuted(known, looked)).map(|known| known.id).collect()
}

fn is_refuted(known: &OpenFinding, looked: &Looked<'_>) -> bool {
    let Looked { manifests, blocks: within, report, confirmed } = *looked;
    let Some(newest_manifest) = manifests.get(&known.dataset) else { return false };
    let depth = depth(known);
    if depth > report.level {
        return false;
    }
    let of_dataset: Vec<&Finding> = report.findings.iter().filter(|finding| finding.dataset == known.dataset).collect();
    // Manifests prove each other: one that is broken leaves open what is with the others.
    let Some(blocks) = known.blocks else { return of_dataset.iter().all(|finding| finding.blocks.is_some()) };
    let needed = needed(known, blocks);
    let was_within = within.is_none_or(|within| within.intersection(needed) == Some(needed));
    let is_list_known = of_dataset.iter().all(|finding| finding.object != *newest_manifest);
    let is_hidden = of_dataset.iter().any(|finding| hides(finding, known, blocks));
    let mut unverifiable = report
        .unverifiable
        .iter()
        .filter(|told| told.dataset == known.dataset && told.blocks.intersection(needed).is_some());
    let was_looked_at = match depth {
        // Each file is held against its manifest by itself.
        Level::File => true,
        // Its pages were decoded, whatever its rows are held against.
        Level::Chain if known.level == Level::File => unverifiable.all(|told| told.was_read),
        Level::Chain => unverifiable.next().is_none(),
        Level::Anchor => numbers(blocks).all(|number| confirmed.contains(&number)),
    };
    was_within && is_list_known && !is_hidden && was_looked_at
}

/// How deep a check must look to meet `known`. Level `file` opens a file and its pages; that a page cannot be decoded, only
/// those levels see which read rows.
fn depth(known: &OpenFinding) -> Level {
    if known.fault == Fault::NotParquet.name() { Level::Chain } else { known.level }
}

/// The blocks that must be read to meet `known`, which concerns `blocks`: a link is between its block and the one before.
fn needed(known: &OpenFinding, blocks: BlockRange) -> BlockRange {
    let before = blocks.start().0.checked_sub(1).filter(|_| known.fault == Fault::ParentLink.name());
    before.and_then(|before| BlockRange::new(BlockNumber(before), blocks.end()).ok()).unwrap_or(blocks)
}

/// Whether what was found is `known`, which concerns `blocks`, or kept the check from looking for it.
fn hides(finding: &Finding, known: &OpenFinding, blocks: BlockRange) -> bool {
    let is_same =
        finding.fault.name() == known.fault && finding.blocks.is_some_and(|found| found.intersection(blocks).is_some());
    finding.object == known.object_key && (is_same || finding.fault.level() == Level::File)
}

fn numbers(blocks: BlockRange) -> impl Iterator<Item = BlockNumber> {
    (blocks.start().0..blocks.end().0).map(BlockNumber)
}

#[cfg(test)]
mod tests {
    use isotherm_cold_store::integrity::Unverifiable;

    use super::*;

    const NEWEST: &str = "cold/made/logs/manifests/0000000002.json";

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    fn known(object: &str, blocks: Option<BlockRange>, fault: Fault) -> OpenFinding {
        OpenFinding {
            id: 1,
            dataset: Dataset::Logs,
            object_key: object.to_owned(),
            blocks,
            level: fault.level(),
            fault: fault.name().to_owned(),
        }
    }

    fn found(object: &str, blocks: Option<BlockRange>, fault: Fault) -> Finding {
        Finding { dataset: Dataset::Logs, object: object.to_owned(), blocks, fault, message: "wrong".to_owned() }
    }

    fn report(level: Level, findings: Vec<Finding>) -> Report {
        let (unverifiable, headers) = (Vec::new(), Vec::new());
        Report { level, manifests: 2, files: 2, bytes: 1, blocks: 20, findings, unverifiable, headers }
    }

    /// Whether a check of logs within `blocks` refutes `known`.
    fn refutes(known: OpenFinding, blocks: Option<BlockRange>, report: &Report) -> bool {
        refutes_confirming(&[], known, blocks, report)
    }

    /// The same of one in which endpoints confirmed the hashes of the blocks at `numbers`.
    fn refutes_confirming(numbers: &[u64], known: OpenFinding, blocks: Option<BlockRange>, report: &Report) -> bool {
        let manifests = HashMap::from([(Dataset::Logs, NEWEST.to_owned())]);
        let confirmed = numbers.iter().copied().map(BlockNumber).collect();
        !refuted(&[known], &Looked { manifests: &manifests, blocks, report, confirmed: &confirmed }).is_empty()
    }

    fn unverifiable(blocks: BlockRange, was_read: bool) -> Unverifiable {
        Unverifiable { dataset: Dataset::Logs, blocks, reason: "b cannot be used".to_owned(), was_read }
    }

    fn of_file() -> OpenFinding {
        known("a", Some(range(0, 10)), Fault::DigestDiffers)
    }

    fn of_rows() -> OpenFinding {
        known("a", Some(range(3, 5)), Fault::ReceiptsRoot)
    }

    #[test]
    fn what_was_looked_for_and_not_found_is_refuted() {
        for level in Level::ALL {
            assert!(refutes(of_file(), None, &report(level, vec![])), "{level}");
        }
        assert!(refutes(of_rows(), None, &report(Level::Chain, vec![])));
        // What is wrong elsewhere changes nothing, and neither does an old manifest that is lost.
        let elsewhere = found("b", Some(range(10, 20)), Fault::ObjectMissing);
        let lost = found("cold/made/logs/manifests/0000000001.json", None, Fault::ManifestMissing);
        assert!(refutes(of_file(), None, &report(Level::File, vec![elsewhere, lost])));
    }

    #[test]
    fn nothing_is_refuted_by_a_check_that_did_not_look() {
        let sound = report(Level::File, vec![]);
        assert!(!refutes(of_rows(), None, &sound), "not as deep");
        assert!(!refutes(OpenFinding { dataset: Dataset::Traces, ..of_file() }, None, &sound), "another dataset");
        assert!(!refutes(of_file(), Some(range(0, 9)), &sound), "other blocks");
        assert!(refutes(of_file(), Some(range(0, 10)), &sound));
    }

    #[test]
    fn what_is_found_again_or_hidden_by_something_else_stays_open() {
        let again = found("a", Some(range(4, 5)), Fault::ReceiptsRoot);
        assert!(!refutes(of_rows(), None, &report(Level::Chain, vec![again])));
        let beside = found("a", Some(range(4, 5)), Fault::LogsBloom);
        assert!(refutes(of_rows(), None, &report(Level::Chain, vec![beside])));
        let missing = found("a", Some(range(0, 10)), Fault::ObjectMissing);
        for known in [of_file(), of_rows()] {
            assert!(!refutes(known, None, &report(Level::Chain, vec![missing.clone()])));
        }
        let list = found(NEWEST, None, Fault::ManifestAltered);
        assert!(!refutes(of_file(), None, &report(Level::File, vec![list.clone()])));
        let manifest = known("cold/made/logs/manifests/0000000001.json", None, Fault::ManifestMalformed);
        assert!(!refutes(manifest.clone(), None, &report(Level::File, vec![list])));
        assert!(refutes(manifest, Some(range(0, 1)), &report(Level::File, vec![])));
    }

    #[test]
    fn what_could_not_be_verified_stays_open_at_the_levels_of_rows() {
        let mut broken = report(Level::Chain, vec![]);
        broken.unverifiable = vec![unverifiable(range(4, 9), false)];
        assert!(!refutes(of_rows(), None, &broken));
        assert!(refutes(of_file(), None, &broken), "the file itself was read");
    }

    #[test]
    fn a_page_that_could_not_be_decoded_is_refuted_by_decoding_it() {
        let undecodable = || known("a", Some(range(0, 10)), Fault::NotParquet);
        assert!(!refutes(undecodable(), None, &report(Level::File, vec![])), "nothing was decoded");
        let sound = report(Level::Chain, vec![]);
        assert!(refutes(undecodable(), None, &sound));
        let beside = |was_read| Report { unverifiable: vec![unverifiable(range(4, 9), was_read)], ..sound.clone() };
        assert!(!refutes(undecodable(), None, &beside(false)), "its rows were not reached");
        assert!(refutes(undecodable(), None, &beside(true)), "they were, though nothing says what they must be");
    }

    #[test]
    fn a_link_is_refuted_by_a_check_of_both_its_ends() {
        let link = |start| known("a", Some(range(start, start + 1)), Fault::ParentLink);
        let sound = report(Level::Chain, vec![]);
        assert!(!refutes(link(3), Some(range(3, 9)), &sound), "the block before was not read");
        assert!(refutes(link(3), Some(range(2, 9)), &sound));
        assert!(refutes(link(3), None, &sound));
        assert!(refutes(link(0), Some(range(0, 9)), &sound));
        let broken = Report { unverifiable: vec![unverifiable(range(2, 3), false)], ..sound };
        assert!(!refutes(link(3), None, &broken));
    }

    #[test]
    fn a_hash_that_endpoints_contradicted_is_refuted_by_endpoints_only() {
        let contradicted = || known("a", Some(range(3, 4)), Fault::AnchorDiffers);
        let anchored = report(Level::Anchor, vec![]);
        assert!(!refutes_confirming(&[0, 9], contradicted(), None, &anchored), "nobody has confirmed block 3");
        assert!(refutes_confirming(&[0, 3, 9], contradicted(), None, &anchored));
        // A profile that excepts the header hash says nothing of what endpoints say.
        let excepted = Report { unverifiable: vec![unverifiable(range(0, 20), true)], ..anchored };
        assert!(refutes_confirming(&[3], contradicted(), None, &excepted));
    }
}
