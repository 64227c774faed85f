//! Random histories of a chain and of evaluators that are killed between two runs, held against what the chain says in the end.
//!
//! The store is a map here; who reads what for a decision is as in the real one. Invariants: every match on the chain has its one
//! row, in its block, and was sent once if its block has got far enough; whatever was sent and is gone is retracted; nothing that
//! waits for finality is ever corrected; whoever yields has somebody to yield to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const COOLDOWN_SECONDS: i64 = 25;
const BLOCK_SECONDS: i64 = 10;
const LATEST: RuleId = RuleId(1);
const FINAL: RuleId = RuleId(2);
const THIRD: RuleId = RuleId(3);
const QUIET: RuleId = RuleId(4);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    hash: B256,
    transactions: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Op {
    /// A block with such transactions.
    Append(Vec<u8>),
    /// So many blocks are replaced by these.
    Reorg(usize, Vec<Vec<u8>>),
    /// The branch before the last reorg is the chain again.
    Back,
    /// So many blocks from the tip are not final.
    Finalize(usize),
    /// An evaluator does runs of so many blocks, and is killed after so many runs.
    Turn(usize, usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let transactions = || proptest::collection::vec(0u8..24, 0..3);
    let op = prop_oneof![
        4 => transactions().prop_map(Op::Append),
        2 => (1usize..5, proptest::collection::vec(transactions(), 0..6)).prop_map(|(depth, new)| Op::Reorg(depth, new)),
        1 => Just(Op::Back),
        1 => (0usize..6).prop_map(Op::Finalize),
        3 => (1usize..4, 0usize..4).prop_map(|(blocks, runs)| Op::Turn(blocks, runs)),
    ];
    proptest::collection::vec(op, 1..60)
}

struct Row {
    known: Known,
    group_key: Option<String>,
    block_time: DateTime<Utc>,
    messages: Vec<&'static str>,
}

#[derive(Default)]
struct World {
    chain: Vec<Block>,
    before: Vec<Block>,
    finalized: Option<usize>,
    branches: u64,
    reorgs: Vec<(i64, BlockNumber)>,
    cursor: AlertCursor,
    ledger: BTreeMap<Uuid, Row>,
}

fn terms() -> HashMap<RuleId, Terms> {
    let rule = |rule_id, release, cooldown| Terms {
        rule_id,
        version: 1,
        release,
        cooldown: TimeDelta::seconds(cooldown),
        max_age: None,
        muted_until: None,
        first_block: BlockNumber(0),
    };
    let rules = [
        rule(LATEST, Release::Latest, 0),
        rule(FINAL, Release::Finalized, 0),
        rule(THIRD, Release::Confirmations(3), 0),
        rule(QUIET, Release::Latest, COOLDOWN_SECONDS),
    ];
    rules.into_iter().map(|terms| (terms.rule_id, terms)).collect()
}

fn alert_id(rule_id: RuleId, transaction: u8) -> Uuid {
    Uuid::from_u64_pair(rule_id.0.cast_unsigned(), u64::from(transaction))
}

fn time(number: usize) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + BLOCK_SECONDS * i64::try_from(number).unwrap(), 0).unwrap()
}

fn number(place: usize) -> BlockNumber {
    BlockNumber(u64::try_from(place).unwrap())
}

fn place(number: BlockNumber) -> usize {
    usize::try_from(number.0).unwrap()
}

impl World {
    fn append(&mut self, transactions: &[u8]) {
        let known: BTreeSet<u8> = self.chain.iter().flat_map(|block| block.transactions.clone()).collect();
        let new: BTreeSet<u8> = transactions.iter().copied().filter(|one| !known.contains(one)).collect();
        self.branches += 1;
        let hash = B256::left_padding_from(&self.branches.to_be_bytes());
        self.chain.push(Block { hash, transactions: new.into_iter().collect() });
    }

    /// Takes the blocks from `start` on back, as the follower writes it down.
    fn take_back(&mut self, start: usize) {
        self.before = self.chain.clone();
        self.chain.truncate(start);
        let id = i64::try_from(self.reorgs.len()).unwrap() + 1;
        self.reorgs.push((id, number(start)));
    }

    fn apply(&mut self, op: Op) {
        let open = self.finalized.map_or(0, |last| last + 1);
        match op {
            Op::Append(transactions) => self.append(&transactions),
            Op::Reorg(depth, new) => {
                let start = self.chain.len().saturating_sub(depth).max(open);
                if start < self.chain.len() {
                    self.take_back(start);
                    for transactions in new {
                        self.append(&transactions);
                    }
                }
            }
            Op::Back => {
                let old = self.before.clone();
                let shared = self.chain.iter().zip(&old).take_while(|(now, then)| now == then).count();
                if shared >= open && shared < self.chain.len() && shared < old.len() {
                    self.take_back(shared);
                    self.chain = old;
                }
            }
            Op::Finalize(depth) => {
                let last = self.chain.len().checked_sub(depth + 1);
                self.finalized = self.finalized.max(last);
            }
            Op::Turn(blocks, runs) => self.turn(blocks, Some(runs)),
        }
    }

    fn hash(&self, number: BlockNumber) -> Option<B256> {
        self.chain.get(place(number)).map(|block| block.hash)
    }

    fn block(&self, at: usize) -> BlockRef {
        BlockRef { number: number(at), hash: self.chain[at].hash }
    }

    /// A turn of the evaluator over the chain as it is. `kill`: it ends after so many transactions.
    fn turn(&mut self, run_blocks: usize, kill: Option<usize>) {
        let Some(tip) = self.chain.len().checked_sub(1) else { return };
        let reach = Reach { tip: number(tip), finalized: self.finalized.map(number) };
        let reorgs: Vec<_> = self.reorgs.iter().copied().filter(|(id, _)| *id > self.cursor.invalidation_id).collect();
        let stored = self.cursor.block.and_then(|block| self.hash(block.number));
        let mut cursor = self.cursor;
        if let Position::BackTo(start) = position(&cursor, &reorgs, stored, reach.finalized) {
            let ancestor = start.previous().map(|at| self.block(place(at)));
            cursor = rewind(&cursor, start, ancestor, reorgs.last().map(|(id, _)| *id));
        }
        let mut transactions = 0;
        loop {
            if kill.is_some_and(|most| transactions >= most) {
                return;
            }
            transactions += 1;
            let start = cursor.block.map_or(0, |block| place(block.number) + 1);
            let end = (start + run_blocks).min(tip + 1);
            if start < end {
                self.run(start..end, &cursor, reach);
                cursor.block = Some(self.block(end - 1));
            }
            if end == tip + 1 {
                if let Some(from) = cursor.recheck_from.take() {
                    let suspects =
                        self.known(|row| is_live(row.known.alert.state) && row.known.alert.block.number >= from);
                    let changes = plan_orphans(&suspects, reach.tip, |number| self.hash(number), |_| Some(1));
                    self.write(&[], &changes);
                }
                let due = self.known(|row| {
                    let rule = &terms()[&row.known.rule_id];
                    let number = row.known.alert.block.number;
                    match row.known.alert.state {
                        AlertState::Pending => reach.releases(number, rule.release),
                        AlertState::Sent | AlertState::Moved => reach.is_final(number),
                        _ => false,
                    }
                });
                self.write(&[], &plan_due(&due, &terms(), reach));
            }
            self.cursor = cursor;
            if end == tip + 1 {
                return;
            }
        }
    }

    fn run(&mut self, blocks: std::ops::Range<usize>, cursor: &AlertCursor, reach: Reach) {
        let (first, terms) = (blocks.start, terms());
        let keys: Vec<String> = (0..24u8).map(|transaction| format!("{}", transaction % 3)).collect();
        let mut findings = Vec::new();
        for at in blocks {
            for transaction in &self.chain[at].transactions {
                for rule_id in [LATEST, FINAL, THIRD, QUIET] {
                    findings.push(Finding {
                        alert_id: alert_id(rule_id, *transaction),
                        rule_id,
                        block: self.block(at),
                        block_time: time(at),
                        group_key: (rule_id == QUIET).then(|| keys[usize::from(*transaction)].as_str()),
                    });
                }
            }
        }
        let ids: BTreeSet<Uuid> = findings.iter().map(|finding| finding.alert_id).collect();
        let known = self.known(|row| ids.contains(&row.known.alert_id));
        let known = known.into_iter().map(|known| (known.alert_id, known)).collect();
        let holding = self.ledger.values().filter(|row| {
            row.known.alert.state.holds_its_group()
                && row.known.alert.block.number < number(first)
                && row.known.rule_id == QUIET
        });
        let holders = holding.map(|row| Holder {
            rule_id: row.known.rule_id,
            group_key: row.group_key.clone(),
            block: row.known.alert.block,
            block_time: row.block_time,
        });
        let holders = canonical_holders(holders.collect(), cursor.recheck_from, |number| self.hash(number));
        let changes = plan_run(&findings, &known, &terms, &holders, reach, time(10_000));
        self.write(&findings, &changes);
    }

    fn known(&self, wanted: impl Fn(&Row) -> bool) -> Vec<Known> {
        self.ledger.values().filter(|row| wanted(row)).map(|row| row.known.clone()).collect()
    }

    fn write(&mut self, findings: &[Finding<'_>], changes: &Changes) {
        for (place, state) in &changes.new {
            let finding = findings[*place];
            let alert = Alert { state: *state, block: finding.block };
            let row = Row {
                known: Known { alert_id: finding.alert_id, rule_id: finding.rule_id, rule_version: 1, alert },
                group_key: finding.group_key.map(str::to_owned),
                block_time: finding.block_time,
                messages: Vec::new(),
            };
            assert!(self.ledger.insert(finding.alert_id, row).is_none(), "a row is made once");
        }
        for (place, before, state) in &changes.followed {
            let finding = findings[*place];
            let row = self.ledger.get_mut(&finding.alert_id).unwrap();
            assert_eq!(row.known.alert.state, *before);
            row.known.alert = Alert { state: *state, block: finding.block };
            row.block_time = finding.block_time;
        }
        for (alert_id, before, state) in &changes.turned {
            let row = self.ledger.get_mut(alert_id).unwrap();
            assert_eq!(row.known.alert.state, *before);
            row.known.alert.state = *state;
        }
        let told = [("fired", &changes.fired), ("moved", &changes.moved), ("retracted", &changes.retracted)];
        for (word, ids) in told {
            for alert_id in ids {
                self.ledger.get_mut(alert_id).unwrap().messages.push(word);
            }
        }
        for (alert_id, row) in &self.ledger {
            let last = changes.steps.iter().rev().find(|step| step.alert_id == *alert_id);
            assert!(last.is_none_or(|step| step.to == row.known.alert), "the history ends with what is stored");
        }
    }

    fn judge(&self) {
        let Some(tip) = self.chain.len().checked_sub(1) else { return };
        let reach = Reach { tip: number(tip), finalized: self.finalized.map(number) };
        let mut expected = BTreeMap::new();
        for (at, block) in self.chain.iter().enumerate() {
            for transaction in &block.transactions {
                for rule_id in [LATEST, FINAL, THIRD, QUIET] {
                    expected.insert(alert_id(rule_id, *transaction), (rule_id, self.block(at)));
                }
            }
        }
        for (alert_id, (rule_id, block)) in &expected {
            let row = self.ledger.get(alert_id).unwrap_or_else(|| panic!("{rule_id} misses a match in {block}"));
            assert_eq!(row.known.alert.block, *block, "{rule_id}");
            let state = row.known.alert.state;
            if let AlertState::Suppressed(why) = state {
                assert_eq!((*rule_id, why), (QUIET, Suppression::Cooldown));
                assert!(row.messages.is_empty());
                assert!(self.yields_to_somebody(row), "{alert_id} yields to nobody");
            } else if reach.is_final(block.number) {
                assert_eq!(state, AlertState::Confirmed);
            } else if reach.releases(block.number, terms()[rule_id].release) {
                assert!(matches!(state, AlertState::Sent | AlertState::Moved), "{state:?}");
            } else {
                // What was sent stays so when it moves up, or the tip comes down.
                let was_sent = matches!(state, AlertState::Sent | AlertState::Moved) && *rule_id != FINAL;
                assert!(state == AlertState::Pending || was_sent, "{rule_id}: {state:?}");
            }
        }
        for (alert_id, row) in &self.ledger {
            if !expected.contains_key(alert_id) {
                let state = row.known.alert.state;
                assert!(matches!(state, AlertState::Retracted | AlertState::Cancelled), "{state:?} and gone");
            }
            let fired = row.messages.iter().filter(|word| **word == "fired").count();
            let was_sent = !matches!(
                row.known.alert.state,
                AlertState::Pending | AlertState::Cancelled | AlertState::Suppressed(_)
            );
            assert_eq!((fired, row.messages.first() == Some(&"fired")), (usize::from(was_sent), was_sent));
            assert!(row.messages.windows(2).all(|two| two != ["retracted", "retracted"]));
            assert_eq!(row.messages.last() == Some(&"retracted"), row.known.alert.state == AlertState::Retracted);
            assert!(row.known.rule_id != FINAL || row.messages.len() <= 1, "{:?}", row.messages);
        }
    }

    fn yields_to_somebody(&self, row: &Row) -> bool {
        self.ledger.values().any(|other| {
            let apart = row.block_time - other.block_time;
            other.known.alert.state.holds_its_group()
                && other.known.rule_id == row.known.rule_id
                && other.group_key == row.group_key
                && apart >= TimeDelta::zero()
                && apart < TimeDelta::seconds(COOLDOWN_SECONDS)
        })
    }
}

fn is_live(state: AlertState) -> bool {
    matches!(state, AlertState::Pending | AlertState::Sent | AlertState::Moved | AlertState::Suppressed(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_the_chain_did_the_ledger_says_what_it_is_and_everybody_was_told(history in ops()) {
        let mut world = World::default();
        for op in history {
            world.apply(op);
        }
        world.turn(2, None);
        world.judge();
        let told = |world: &World| world.ledger.values().map(|row| row.messages.len()).sum::<usize>();
        let before = told(&world);
        world.turn(3, None);
        prop_assert_eq!(told(&world), before, "a turn over the same chain tells nobody anything");
    }
}
