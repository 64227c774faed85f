//! Gaps for people and for programs, each with the command that fills it. Pure but for the printing.

use std::num::NonZeroU64;

use isotherm_types::BlockRange;
use serde_json::{Value, json};

use super::Found;
use super::coverage::Places;
use crate::backfill::outwards;
use crate::follower::gaps::runs;
use crate::output::{grouped, say, table};
use crate::stored_chains::StoredChain;

pub(super) fn print(found: &[Found]) {
    if found.is_empty() {
        say!("nothing is stored yet");
    }
    for found in found {
        for line in lines(found) {
            say!("{line}");
        }
    }
}

/// What is said of a chain, line by line.
fn lines(found: &Found) -> Vec<String> {
    let name = &found.chain.name;
    let mut lines: Vec<String> = Vec::new();
    if found.datasets.is_empty() {
        lines.push(format!("chain {name}: nothing is stored"));
    }
    for (places, coverage) in &found.datasets {
        let (dataset, blocks) = (places.dataset, coverage.blocks);
        let verdict = if coverage.missing.is_empty() { "nothing is missing of" } else { "not all is there of" };
        let (first, last) = (blocks.start(), blocks.last());
        lines.push(format!("chain {name}, {dataset}: {verdict} blocks {first} to {last}{}", waiting_words(places)));
    }
    let rows = rows(found);
    if !rows.is_empty() {
        let headings = ["dataset", "first", "last", "blocks", "what is wrong", "what fills it"];
        let mut shown = table(&headings, &["first", "last", "blocks"]);
        for row in rows {
            shown.add_row(row);
        }
        lines.push(shown.to_string());
    }
    if let Some(looked) = found.hot.as_ref().filter(|looked| looked.gap_count > looked.gaps.len() as u64) {
        let (count, kept) = (grouped(looked.gap_count), grouped(looked.gaps.len() as u64));
        lines.push(format!("{count} blocks of hot storage are not whole; the {kept} highest are shown"));
    }
    lines
}

/// Files that wait are there, but no query reads them.
fn waiting_words(places: &Places) -> String {
    match places.waiting.iter().map(|blocks| blocks.block_count()).sum::<u64>() {
        0 => String::new(),
        blocks => format!("; {} of them wait, and are queried when the gap beside them is filled", grouped(blocks)),
    }
}

fn rows(found: &Found) -> Vec<[String; 6]> {
    let row = |dataset: String, blocks: BlockRange, wrong: String, fill: String| {
        let count = grouped(blocks.block_count());
        [dataset, blocks.start().to_string(), blocks.last().to_string(), count, wrong, fill]
    };
    let mut rows = Vec::new();
    for (places, coverage) in &found.datasets {
        for &blocks in &coverage.missing {
            let wrong = "never stored".to_owned();
            rows.push(row(places.dataset.to_string(), blocks, wrong, backfill_command(&found.chain, places, blocks)));
        }
    }
    let in_hot = found.hot.iter().flat_map(|looked| runs(&looked.gaps));
    rows.extend(
        in_hot.map(|(blocks, kind)| {
            row("hot storage".to_owned(), blocks, kind.to_string(), repair_command(&found.chain))
        }),
    );
    rows
}

/// The command that fetches the whole partitions around `blocks`; what is there of them is left out.
fn backfill_command(chain: &StoredChain, places: &Places, blocks: BlockRange) -> String {
    let (name, dataset) = (&chain.name, places.dataset);
    match chain.partition_blocks.and_then(NonZeroU64::new) {
        Some(partition_blocks) => {
            let (from, to) = outwards(blocks, partition_blocks);
            format!("isotherm backfill --chain {name} --from {from} --to {to}")
        }
        None => format!("a job of the operator cryo_ingest for {dataset} of chain {name}, then `isotherm backfill`"),
    }
}

fn repair_command(chain: &StoredChain) -> String {
    format!("isotherm follower gaps --chain {} --repair", chain.name)
}

pub(super) fn to_json(found: &Found) -> Value {
    let datasets: Vec<Value> = found
        .datasets
        .iter()
        .map(|(places, coverage)| {
            let missing: Vec<Value> = coverage
                .missing
                .iter()
                .map(|&blocks| json!({ "blocks": blocks, "fill": backfill_command(&found.chain, places, blocks) }))
                .collect();
            json!({
                "dataset": places.dataset, "blocks": coverage.blocks, "cold": places.cold, "waiting": places.waiting,
                "hot": places.hot, "missing": missing,
            })
        })
        .collect();
    let hot = found.hot.as_ref().map(|looked| {
        let gaps: Vec<Value> = runs(&looked.gaps)
            .into_iter()
            .map(|(blocks, kind)| json!({ "blocks": blocks, "kind": kind.as_str() }))
            .collect();
        let fill = (looked.gap_count > 0).then(|| repair_command(&found.chain));
        json!({ "blocks": looked.blocks, "gap_count": looked.gap_count, "gaps": gaps, "fill": fill })
    });
    json!({ "chain": found.chain.name, "chain_id": found.chain.chain_id, "datasets": datasets, "hot_storage": hot })
}

#[cfg(test)]
mod tests {
    use isotherm_hot_store::gaps::{Gap, GapKind};
    use isotherm_types::{BlockNumber, ChainId, Dataset};

    use super::*;
    use crate::follower::gaps::Looked;
    use crate::golden;
    use crate::stored_chains::tests::cursor;

    fn range(start: u64, end: u64) -> BlockRange {
        BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
    }

    fn dataset(places: Places) -> (Places, super::super::Coverage) {
        let coverage = places.coverage().unwrap();
        (places, coverage)
    }

    fn followed(gap_count: u64) -> Found {
        let gap = |number, kind| Gap {
            number: BlockNumber(number),
            kind,
            stored_hash: None,
            named_hash: None,
            above_hash: None,
        };
        let gaps = vec![gap(71, GapKind::Missing), gap(70, GapKind::Missing), gap(50, GapKind::Logs)];
        let logs = Places {
            dataset: Dataset::Logs,
            cold: None,
            waiting: vec![range(0, 15)],
            hot: Some(range(30, 100)),
            asked_from: None,
        };
        let blocks = Places { dataset: Dataset::Blocks, waiting: Vec::new(), ..logs.clone() };
        Found {
            chain: StoredChain {
                chain_id: ChainId(31_337),
                name: "demo".to_owned(),
                partition_blocks: Some(20),
                cursor: Some(cursor()),
            },
            datasets: vec![dataset(blocks), dataset(logs)],
            hot: Some(Looked::made_up(range(30, 100), gap_count, gaps)),
        }
    }

    #[test]
    fn gaps_for_programs_are_the_golden_file() {
        golden::check("gaps", &[followed(3)].iter().map(to_json).collect());
    }

    #[test]
    fn each_gap_is_told_with_the_command_that_fills_it() {
        let lines = lines(&followed(20_000)).join("\n");
        for part in [
            "demo, blocks: nothing is missing of blocks 30 to 99",
            "demo, logs: not all is there of blocks 0 to 99; 15 of them wait",
            "isotherm backfill --chain demo --from 0 --to 40",
            "isotherm follower gaps --chain demo --repair",
            "the block is missing",
            "20,000 blocks of hot storage are not whole; the 3 highest are shown",
        ] {
            assert!(lines.contains(part), "{part}: {lines}");
        }
    }

    #[test]
    fn a_chain_whose_partitions_nobody_knows_needs_a_job_first() {
        let mut found = followed(0);
        found.chain.partition_blocks = None;
        let (places, coverage) = &found.datasets[1];
        let command = backfill_command(&found.chain, places, coverage.missing[0]);
        assert!(command.starts_with("a job of the operator cryo_ingest for logs"), "{command}");
    }

    #[test]
    fn a_chain_is_whole_if_no_place_lacks_anything() {
        let mut found = followed(0);
        assert!(!found.is_whole());
        found.datasets.truncate(1);
        assert!(found.is_whole());
        assert!(!Found { datasets: Vec::new(), ..followed(1) }.is_whole());
    }
}
