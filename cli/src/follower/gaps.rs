//! `isotherm follower gaps`: stored blocks that are missing or not whole.
//!
//! It looks by itself and has the follower mend: only that writes blocks, under its task's fence.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use isotherm_cold_store::catalog;
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_hot_store::gaps::{self, COUNTED, Gap, GapKind};
use isotherm_types::{BlockRange, ChainId};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{advice, chains};
use crate::args::GapsArguments;
use crate::connected::{Connected, actor};
use crate::output;
use crate::output::{grouped, say, table};

/// Gaps that are counted; there may be more.
const MOST_GAPS: usize = 10_000;
/// Between two looks at what is left.
const INTERVAL: Duration = Duration::from_secs(2);
/// A follower that closes no gap for this long does not work at it. Longer than it waits for a block to be served.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found in one chain.
struct Found {
    cursor: Cursor,
    /// The blocks that were looked at; `None` if nothing is stored.
    blocks: Option<BlockRange>,
    /// The highest first.
    gaps: Vec<Gap>,
    /// What came of the repair, if one was asked for.
    repair: Option<Repair>,
}

/// What came of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Repair {
    Done,
    /// So many gaps are left.
    NotDone(usize),
    /// The chain is halted, with this code and for this reason.
    Halted(String, String),
}

pub(super) async fn run(connected: &mut Connected, wanted: &GapsArguments) -> anyhow::Result<ExitCode> {
    let conn = &mut connected.conn;
    let mut found = Vec::new();
    for cursor in chains(conn, wanted.chain.as_deref()).await? {
        let (blocks, gaps) = look(conn, cursor.chain_id).await?;
        let repair = match (wanted.repair, gaps.is_empty()) {
            (true, false) => Some(repair(conn, &cursor, gaps.len()).await?),
            _ => None,
        };
        found.push(Found { cursor, blocks, gaps, repair });
    }
    output::show(wanted.printed.output, &found.iter().map(to_json).collect(), || print(&found))?;
    let are_whole = found.iter().all(|chain| chain.gaps.is_empty() || chain.repair == Some(Repair::Done));
    Ok(if are_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks at all that queries read from hot storage.
async fn look(conn: &mut PgConnection, chain_id: ChainId) -> anyhow::Result<(Option<BlockRange>, Vec<Gap>)> {
    let mut watermarks = Vec::with_capacity(COUNTED.len());
    for dataset in COUNTED {
        let watermark = catalog::watermark(conn, chain_id, dataset).await.context("could not read the watermark")?;
        watermarks.extend(watermark);
    }
    // A dataset without a watermark is hot from its first block on.
    let watermark = watermarks.iter().min().copied().filter(|_| watermarks.len() == COUNTED.len());
    let blocks = gaps::hot_blocks(conn, chain_id, watermark).await.context("could not read the chain")?;
    let (mut left, mut found) = (blocks, Vec::new());
    while let Some(within) = left.filter(|_| found.len() < MOST_GAPS) {
        let page = gaps::look(conn, chain_id, within).await.context("could not look for gaps")?;
        found.extend(page.gaps);
        left = page.below;
    }
    Ok((blocks, found))
}

/// Asks the chain's follower to close the gaps, and waits for it as long as it closes any.
async fn repair(conn: &mut PgConnection, cursor: &Cursor, mut left: usize) -> anyhow::Result<Repair> {
    let chain_id = cursor.chain_id;
    gaps::ask(conn, chain_id, &actor()).await.context("could not ask the follower")?;
    let mut closed_at = Instant::now();
    loop {
        let now = cursor::read(conn, chain_id).await.context("could not read the chain")?;
        if let Some(halt) = now.and_then(|cursor| cursor.halted) {
            return Ok(Repair::Halted(halt.code, halt.message));
        }
        let (_, gaps) = look(conn, chain_id).await?;
        if gaps.is_empty() {
            return Ok(Repair::Done);
        }
        if gaps.len() < left {
            closed_at = Instant::now();
        }
        left = gaps.len();
        if closed_at.elapsed() > PATIENCE {
            return Ok(Repair::NotDone(left));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Neighbouring gaps of one kind together, the lowest first.
fn runs(gaps: &[Gap]) -> Vec<(BlockRange, GapKind)> {
    let mut runs: Vec<(BlockRange, GapKind)> = Vec::new();
    for gap in gaps.iter().rev() {
        let single = BlockRange::single(gap.number);
        match runs.last_mut() {
            Some((blocks, kind)) if *kind == gap.kind && blocks.is_followed_by(single) => {
                *blocks = BlockRange::new(blocks.start(), single.end()).unwrap_or(single);
            }
            _ => runs.push((single, gap.kind)),
        }
    }
    runs
}

fn print(found: &[Found]) {
    for Found { cursor, blocks, gaps, repair } in found {
        let chain = &cursor.chain;
        let Some(blocks) = blocks else {
            say!("chain {chain}: nothing is in hot storage");
            continue;
        };
        if gaps.is_empty() {
            say!("chain {chain}: blocks {} to {} are whole", blocks.start(), blocks.last());
            continue;
        }
        let more = if gaps.len() < MOST_GAPS { "" } else { " at least" };
        let count = grouped(gaps.len() as u64);
        say!("chain {chain}: {count}{more} of blocks {} to {} are not whole", blocks.start(), blocks.last());
        let mut shown = table(&["first", "last", "blocks", "what is wrong"], &["first", "last", "blocks"]);
        for (blocks, kind) in runs(gaps) {
            shown.add_row([
                blocks.start().to_string(),
                blocks.last().to_string(),
                grouped(blocks.block_count()),
                kind.to_string(),
            ]);
        }
        say!("{shown}");
        say!("{}", repair_words(chain, repair.as_ref()));
    }
}

fn repair_words(chain: &str, repair: Option<&Repair>) -> String {
    match repair {
        None => format!("`isotherm follower gaps --chain {chain} --repair` has the follower fetch and write them anew"),
        Some(Repair::Done) => "the follower has written them anew: all are whole now".to_owned(),
        Some(Repair::NotDone(left)) => format!(
            "{} are left, and the follower closes none; `isotherm follower status --chain {chain}` says if it runs",
            grouped(*left as u64)
        ),
        Some(Repair::Halted(code, message)) => {
            format!("the chain is halted: {message} ({code}); {}", advice::on_halt(chain, code))
        }
    }
}

fn to_json(found: &Found) -> Value {
    let gaps: Vec<Value> = found
        .gaps
        .iter()
        .map(|gap| {
            json!({
                "block_number": gap.number, "kind": gap.kind.as_str(), "stored_hash": gap.stored_hash,
                "named_hash": gap.named_hash,
            })
        })
        .collect();
    let repair = found.repair.as_ref().map(|repair| match repair {
        Repair::Done => json!({ "outcome": "done", "left": 0 }),
        Repair::NotDone(left) => json!({ "outcome": "not_done", "left": left }),
        Repair::Halted(code, message) => json!({ "outcome": "halted", "code": code, "message": message }),
    });
    json!({
        "chain": found.cursor.chain, "chain_id": found.cursor.chain_id, "blocks": found.blocks, "gaps": gaps,
        "complete": found.gaps.len() < MOST_GAPS, "repair": repair,
    })
}

#[cfg(test)]
mod tests {
    use isotherm_types::{B256, BlockNumber};

    use super::*;
    use crate::follower::view::tests::halted;
    use crate::golden;

    fn gap(number: u64, kind: GapKind) -> Gap {
        let hash = |byte| Some(B256::repeat_byte(byte));
        let stored_hash = if kind == GapKind::Missing { None } else { hash(1) };
        Gap { number: BlockNumber(number), kind, stored_hash, named_hash: hash(2), above_hash: hash(3) }
    }

    fn gaps() -> Vec<Gap> {
        vec![gap(9, GapKind::Logs), gap(8, GapKind::Missing), gap(7, GapKind::Missing), gap(3, GapKind::Missing)]
    }

    #[test]
    fn gaps_for_programs_are_the_golden_file() {
        let blocks = BlockRange::new(BlockNumber(0), BlockNumber(100)).ok();
        let repairs = [
            None,
            Some(Repair::Done),
            Some(Repair::NotDone(2)),
            Some(Repair::Halted("follower.gap_not_served".to_owned(), "block 9 is not whole".to_owned())),
        ];
        let found = repairs.map(|repair| Found { cursor: halted().cursor, blocks, gaps: gaps(), repair });
        golden::check("follower_gaps", &found.iter().map(to_json).collect());
    }

    #[test]
    fn neighbouring_gaps_of_one_kind_are_one_line() {
        let shown: Vec<(u64, u64, GapKind)> =
            runs(&gaps()).into_iter().map(|(blocks, kind)| (blocks.start().0, blocks.last().0, kind)).collect();
        assert_eq!(shown, [(3, 3, GapKind::Missing), (7, 8, GapKind::Missing), (9, 9, GapKind::Logs)]);
        assert!(runs(&[]).is_empty());
    }

    #[test]
    fn every_end_of_a_repair_is_told() {
        let words = |repair: Option<Repair>| repair_words("demo", repair.as_ref());
        assert!(words(None).contains("isotherm follower gaps --chain demo --repair"));
        assert!(words(Some(Repair::Done)).contains("whole now"));
        assert!(words(Some(Repair::NotDone(1_200))).starts_with("1,200 are left"));
        let halted = words(Some(Repair::Halted("follower.gap_not_final".to_owned(), "block 9 …".to_owned())));
        assert!(halted.contains("block 9 …") && halted.contains("--look-again"), "{halted}");
    }
}
