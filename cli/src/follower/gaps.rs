//! `isotherm follower gaps`: stored blocks that are missing or not whole.
//!
//! It looks by itself and has the follower mend: only that writes blocks, under its task's fence.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use isotherm_cold_store::catalog;
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_hot_store::gaps::{self, COUNTED, Gap, GapKind, Request};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{advice, chains};
use crate::args::GapsArguments;
use crate::connected::{Connected, actor};
use crate::output;
use crate::output::{grouped, instant, say, table};

/// Gaps that are shown, the highest; all are counted.
pub(crate) const MOST_SHOWN: usize = 10_000;
/// Between two looks at what is left.
const INTERVAL: Duration = Duration::from_secs(2);
/// A follower that closes no gap for this long, on its way not counted, does not work at it; and none runs if the
/// request is there for as long. Longer than it waits for a block to be served.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a follower takes for a page on its way to a gap, at most: it looks at one between two questions for the newest
/// block.
const TIME_A_PAGE: Duration = Duration::from_secs(1);

/// What was found in one chain.
struct Found {
    cursor: Cursor,
    looked: Looked,
    /// A look that was asked for before and that no follower has taken up.
    asked: Option<Request>,
    /// What came of the repair, if one was asked for.
    repair: Option<Repair>,
}

/// What a look at a chain has found.
pub(crate) struct Looked {
    /// The blocks that were looked at; `None` if nothing is stored.
    pub(crate) blocks: Option<BlockRange>,
    /// Pages that it took.
    page_count: u32,
    pub(crate) gap_count: u64,
    /// The highest first, as many as are shown.
    pub(crate) gaps: Vec<Gap>,
}

impl Looked {
    /// For tests of what is said of it.
    #[cfg(test)]
    pub(crate) fn made_up(blocks: BlockRange, gap_count: u64, gaps: Vec<Gap>) -> Self {
        Self { blocks: Some(blocks), page_count: 1, gap_count, gaps }
    }

    fn are_all_shown(&self) -> bool {
        self.gaps.len() as u64 == self.gap_count
    }
}

/// What came of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Repair {
    Done,
    /// So many gaps are left.
    NotDone(u64),
    /// The chain is halted, with this code and for this reason.
    Halted(String, String),
}

pub(super) async fn run(connected: &mut Connected, wanted: &GapsArguments) -> anyhow::Result<ExitCode> {
    let conn = &mut connected.conn;
    let mut found = Vec::new();
    for cursor in chains(conn, wanted.chain.as_deref()).await? {
        let asked = gaps::asked(conn, cursor.chain_id).await.context("could not see what is asked for")?;
        let looked = look(conn, cursor.chain_id, MOST_SHOWN).await?;
        let repair = match (wanted.repair, looked.gap_count) {
            (true, 1..) => Some(repair(conn, &cursor, &looked).await?),
            _ => None,
        };
        found.push(Found { cursor, looked, asked, repair });
    }
    output::show(wanted.printed.output, &found.iter().map(to_json).collect(), || print(&found))?;
    let are_whole = found.iter().all(|chain| chain.looked.gap_count == 0 || chain.repair == Some(Repair::Done));
    Ok(if are_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks at all that queries read from hot storage, page by page; keeps `most_shown` gaps and counts all.
pub(crate) async fn look(conn: &mut PgConnection, chain_id: ChainId, most_shown: usize) -> anyhow::Result<Looked> {
    let mut watermarks = Vec::with_capacity(COUNTED.len());
    for dataset in COUNTED {
        watermarks.extend(watermark(conn, chain_id, dataset).await?);
    }
    let traces = watermark(conn, chain_id, Dataset::Traces).await?;
    // A dataset without a watermark is hot from its first block on.
    let watermark = watermarks.iter().min().copied().filter(|_| watermarks.len() == COUNTED.len());
    let blocks = gaps::hot_blocks(conn, chain_id, watermark).await.context("could not read the chain")?;
    let mut looked = Looked { blocks, page_count: 0, gap_count: 0, gaps: Vec::new() };
    let mut left = blocks;
    while let Some(within) = left {
        let page = gaps::look(conn, chain_id, within, traces).await.context("could not look for gaps")?;
        looked.page_count = looked.page_count.saturating_add(1);
        looked.gap_count += page.gaps.len() as u64;
        let room = most_shown - looked.gaps.len();
        looked.gaps.extend(page.gaps.into_iter().take(room));
        left = page.below;
    }
    Ok(looked)
}

async fn watermark(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
) -> anyhow::Result<Option<BlockNumber>> {
    catalog::watermark(conn, chain_id, dataset).await.context("could not read the watermark")
}

/// Whether a repair goes on: how many gaps are left, when some were last closed, and whether a follower knows of it.
struct Closing {
    left: u64,
    closed_at: Instant,
    patience: Duration,
    /// Whether a follower has taken the request.
    is_taken: bool,
}

impl Closing {
    /// A repair that is asked for at `now`. The next gap may be as far down as all that was looked at reaches.
    fn begin(now: Instant, looked: &Looked) -> Self {
        let patience = PATIENCE + TIME_A_PAGE * looked.page_count;
        Self { left: looked.gap_count, closed_at: now, patience, is_taken: false }
    }

    /// Takes note at `now` of how many are left and whether the request is still there; returns whether none has been
    /// closed for too long.
    fn is_stuck(&mut self, now: Instant, left: u64, is_asked: bool) -> bool {
        if left < self.left {
            self.closed_at = now;
        }
        self.left = left;
        // If it is there again, somebody else has asked meanwhile.
        self.is_taken |= !is_asked;
        let patience = if self.is_taken { self.patience } else { PATIENCE };
        now.duration_since(self.closed_at) > patience
    }
}

/// Asks the chain's follower to close the gaps, and waits for it as long as it closes any.
async fn repair(conn: &mut PgConnection, cursor: &Cursor, looked: &Looked) -> anyhow::Result<Repair> {
    let chain_id = cursor.chain_id;
    gaps::ask(conn, chain_id, &actor()).await.context("could not ask the follower")?;
    let mut closing = Closing::begin(Instant::now(), looked);
    loop {
        let now = cursor::read(conn, chain_id).await.context("could not read the chain")?;
        if let Some(halt) = now.and_then(|cursor| cursor.halted) {
            return Ok(Repair::Halted(halt.code, halt.message));
        }
        let left = look(conn, chain_id, 0).await?.gap_count;
        if left == 0 {
            return Ok(Repair::Done);
        }
        let is_asked = gaps::asked(conn, chain_id).await.context("could not see what is asked for")?.is_some();
        if closing.is_stuck(Instant::now(), left, is_asked) {
            return Ok(Repair::NotDone(left));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Neighbouring gaps of one kind together, the lowest first.
pub(crate) fn runs(gaps: &[Gap]) -> Vec<(BlockRange, GapKind)> {
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
    for Found { cursor, looked, asked, repair } in found {
        let chain = &cursor.chain;
        if let Some(request) = asked {
            say!("{}", request_words(chain, request));
        }
        let Looked { blocks, gap_count, gaps, .. } = looked;
        let Some(blocks) = blocks else {
            say!("chain {chain}: nothing is in hot storage");
            continue;
        };
        if *gap_count == 0 {
            say!("chain {chain}: blocks {} to {} are whole", blocks.start(), blocks.last());
            continue;
        }
        let count = grouped(*gap_count);
        say!("chain {chain}: {count} of blocks {} to {} are not whole", blocks.start(), blocks.last());
        if !looked.are_all_shown() {
            say!("the {} highest of them are:", grouped(gaps.len() as u64));
        }
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

fn request_words(chain: &str, request: &Request) -> String {
    let (by, at) = (&request.asked_by, instant(request.asked_at));
    format!(
        "chain {chain}: {by} asked for a look at {at}, and no follower has taken it up; one that runs does so at once, \
         and looks as soon as the chain has nothing new"
    )
}

fn repair_words(chain: &str, repair: Option<&Repair>) -> String {
    match repair {
        None => format!("`isotherm follower gaps --chain {chain} --repair` has the follower fetch and write them anew"),
        Some(Repair::Done) => "the follower has written them anew: all are whole now".to_owned(),
        Some(Repair::NotDone(left)) => format!(
            "{} are left, and the follower has closed none for a while: it looks from the newest block down while the \
             chain has nothing new; `isotherm follower status --chain {chain}` says if it runs",
            grouped(*left)
        ),
        Some(Repair::Halted(code, message)) => {
            format!("the chain is halted: {message} ({code}); {}", advice::on_halt(chain, code))
        }
    }
}

fn to_json(found: &Found) -> Value {
    let looked = &found.looked;
    let gaps: Vec<Value> = looked
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
    let asked =
        found.asked.as_ref().map(|request| json!({ "asked_by": request.asked_by, "asked_at": request.asked_at }));
    json!({
        "chain": found.cursor.chain, "chain_id": found.cursor.chain_id, "blocks": looked.blocks,
        "gap_count": looked.gap_count, "gaps": gaps, "complete": looked.are_all_shown(), "asked": asked,
        "repair": repair,
    })
}

#[cfg(test)]
mod tests {
    use isotherm_types::B256;

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
        let found = repairs.map(|repair| Found {
            cursor: halted().cursor,
            looked: Looked { blocks, gaps: gaps(), ..looked(if repair.is_none() { 20_000 } else { 4 }, 1) },
            asked: repair.is_none().then(request),
            repair,
        });
        golden::check("follower_gaps", &found.iter().map(to_json).collect());
    }

    fn request() -> Request {
        Request { asked_by: "cli:ann".to_owned(), asked_at: "2026-11-26T10:00:00Z".parse().unwrap() }
    }

    #[test]
    fn who_asked_for_a_look_that_nobody_has_taken_up_is_told() {
        let words = request_words("demo", &request());
        assert!(words.contains("cli:ann") && words.contains("2026-11-26T10:00:00Z"), "{words}");
        assert!(words.contains("as soon as the chain has nothing new"), "{words}");
    }

    fn looked(gap_count: u64, page_count: u32) -> Looked {
        Looked { blocks: None, page_count, gap_count, gaps: Vec::new() }
    }

    #[test]
    fn a_repair_goes_on_as_long_as_any_gap_is_closed_however_many_there_are() {
        let start = Instant::now();
        let mut closing = Closing::begin(start, &looked(50_000, 0));
        for look in 1..=100u32 {
            assert!(!closing.is_stuck(start + look * PATIENCE / 2, 50_000 - u64::from(look), false), "look {look}");
        }
        let last = start + 50 * PATIENCE;
        assert!(!closing.is_stuck(last + PATIENCE, 49_900, false));
        assert!(closing.is_stuck(last + PATIENCE + INTERVAL, 49_900, false));
    }

    #[test]
    fn a_follower_that_may_be_on_its_way_to_a_gap_is_given_the_time() {
        let start = Instant::now();
        let mut closing = Closing::begin(start, &looked(1, 300));
        assert!(!closing.is_stuck(start + INTERVAL, 1, false));
        assert!(!closing.is_stuck(start + 2 * PATIENCE, 1, true), "somebody else has asked meanwhile");
        assert!(!closing.is_stuck(start + PATIENCE + Duration::from_secs(300), 1, false));
        assert!(closing.is_stuck(start + PATIENCE + Duration::from_secs(301), 1, false));
    }

    #[test]
    fn a_request_that_no_follower_takes_is_not_waited_for_however_much_there_is_to_look_at() {
        let start = Instant::now();
        let mut closing = Closing::begin(start, &looked(1, 300));
        assert!(!closing.is_stuck(start + PATIENCE, 1, true));
        assert!(closing.is_stuck(start + PATIENCE + INTERVAL, 1, true));
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
        let not_done = words(Some(Repair::NotDone(1_200)));
        assert!(not_done.starts_with("1,200 are left") && not_done.contains("looks from the newest"), "{not_done}");
        let halted = words(Some(Repair::Halted("follower.gap_not_final".to_owned(), "block 9 …".to_owned())));
        assert!(halted.contains("block 9 …") && halted.contains("--look-again"), "{halted}");
    }
}
