//! `isotherm follower resume`: a person decides about a halted chain.
//!
//! Everything is read, decided and written under the lock of the chain's cursor, the audit row with it.

use std::process::ExitCode;

use anyhow::Context;
use isotherm_cold_store::catalog;
use isotherm_control::audit::{self, Change};
use isotherm_hot_store::cursor::{self, Cursor};
use isotherm_hot_store::disputed_reorg::{self, Dispute, DisputedReorg, Refusal};
use isotherm_hot_store::rows;
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::{advice, chains, view};
use crate::args::ResumeArguments;
use crate::connected::{Connected, actor};
use crate::output;
use crate::output::{grouped, instant, say};

/// What a person wants to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// Only to know.
    None,
    LookAgain,
    AcceptReorg {
        branch_hash: Option<B256>,
    },
}

impl Decision {
    fn of(arguments: &ResumeArguments) -> Self {
        match (arguments.accept_reorg, arguments.look_again) {
            (true, _) => Self::AcceptReorg { branch_hash: arguments.to_block_hash },
            (false, true) => Self::LookAgain,
            (false, false) => Self::None,
        }
    }
}

/// What there is to decide.
struct Question {
    cursor: Cursor,
    /// The reorg, if that is what the chain is halted for.
    dispute: Option<Dispute>,
    /// The blocks that would be taken back, and their rows by dataset.
    taken_back: Option<(BlockRange, Vec<(Dataset, u64)>)>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// No decision was given.
    Undecided,
    Refused(Refusal),
    LooksAgain,
    Accepted(DisputedReorg),
}

pub(super) async fn run(connected: &mut Connected, arguments: &ResumeArguments) -> anyhow::Result<ExitCode> {
    let named = chains(&mut connected.conn, Some(&arguments.chain)).await?;
    let chain_id = named.first().map(|cursor| cursor.chain_id).context("there is no such chain")?;
    let mut db_tx = connected.conn.begin().await.context("could not begin a transaction")?;
    let question = ask(&mut db_tx, chain_id).await?;
    let outcome = decide(&mut db_tx, &question, Decision::of(arguments), &arguments.reason).await?;
    db_tx.commit().await.context("could not commit the decision")?;
    let is_done = matches!(outcome, Outcome::LooksAgain | Outcome::Accepted(_));
    output::show(arguments.printed.output, &to_json(&question, &outcome), || print(&question, &outcome))?;
    if is_done {
        connected.sweep().await;
    }
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads what there is to decide, and holds it until the transaction ends.
async fn ask(conn: &mut PgConnection, chain_id: ChainId) -> anyhow::Result<Question> {
    let cursor = cursor::hold(conn, chain_id).await.context("could not read the chain")?;
    let cursor = cursor.context("the chain is gone")?;
    let mut question = Question { cursor, dispute: None, taken_back: None };
    if question.cursor.halted.is_none() {
        return Ok(question);
    }
    let dispute = disputed_reorg::read(conn, chain_id).await.context("could not read the disputed reorg")?;
    question.dispute = dispute.filter(|dispute| dispute.is_of(&question.cursor));
    if let Some(blocks) = question.dispute.as_ref().and_then(|dispute| dispute.reorg.taken_back()) {
        let mut counts = Vec::with_capacity(Dataset::ALL.len());
        for dataset in Dataset::ALL {
            let count = rows::count(conn, chain_id, dataset, blocks).await.context("could not count rows")?;
            counts.push((dataset, count));
        }
        question.taken_back = Some((blocks, counts));
    }
    Ok(question)
}

/// Carries the decision out as far as it is allowed, with its row in the audit trail.
async fn decide(
    conn: &mut PgConnection,
    question: &Question,
    decision: Decision,
    reason: &str,
) -> anyhow::Result<Outcome> {
    let chain_id = question.cursor.chain_id;
    let outcome = match decision {
        _ if question.cursor.halted.is_none() => return Ok(Outcome::Refused(Refusal::NotHalted)),
        Decision::None => return Ok(Outcome::Undecided),
        Decision::LookAgain => {
            cursor::resume(conn, chain_id).await.context("could not clear the halt")?;
            Outcome::LooksAgain
        }
        Decision::AcceptReorg { branch_hash } => {
            let watermark = watermark(conn, chain_id).await?;
            let accepted = disputed_reorg::accept(conn, chain_id, watermark, branch_hash, &actor(), reason).await;
            match accepted.context("could not note the decision")? {
                Ok(reorg) => Outcome::Accepted(reorg),
                Err(refusal) => return Ok(Outcome::Refused(refusal)),
            }
        }
    };
    let (actor, reason) = (actor(), audit_reason(question, &outcome, reason));
    let change = Change {
        actor: &actor,
        action: outcome.as_str(),
        subject: "chain",
        subject_id: chain_id.0.cast_signed(),
        from_state: Some("halted"),
        to_state: Some("following"),
        reason: Some(&reason),
        ..Change::default()
    };
    audit::record(conn, &change).await.context("could not write the decision down")?;
    Ok(outcome)
}

/// Last block of the chain that is in cold storage, in any dataset.
async fn watermark(conn: &mut PgConnection, chain_id: ChainId) -> anyhow::Result<Option<BlockNumber>> {
    let mut highest = None;
    for dataset in Dataset::ALL {
        let watermark = catalog::watermark(conn, chain_id, dataset).await.context("could not read the watermark")?;
        highest = highest.max(watermark);
    }
    Ok(highest)
}

/// The person's reason, and what was decided about.
fn audit_reason(question: &Question, outcome: &Outcome, reason: &str) -> String {
    let code = question.cursor.halted.as_ref().map_or("", |halt| halt.code.as_str());
    match outcome {
        Outcome::Accepted(reorg) => {
            let blocks = reorg.taken_back().map_or_else(String::new, |blocks| blocks.to_string());
            format!("{reason}; {code}: blocks {blocks} give way to the branch with {}", reorg.found)
        }
        _ => format!("{reason}; {code}"),
    }
}

impl Outcome {
    /// Stable word; also the action in the audit trail.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Refused(refusal) => refusal.as_str(),
            Self::LooksAgain => "looks_again",
            Self::Accepted(_) => "reorg_accepted",
        }
    }

    fn message(&self, chain: &str) -> String {
        match self {
            Self::Undecided => "nothing was changed: no decision was given".to_owned(),
            Self::Refused(refusal) => format!("nothing was changed: {refusal}"),
            Self::LooksAgain => {
                format!("the halt of {chain} is cleared: the follower looks again, within five minutes")
            }
            Self::Accepted(reorg) => {
                let blocks = reorg.taken_back().map_or_else(String::new, |blocks| blocks.to_string());
                format!(
                    "accepted: the follower replaces blocks {blocks} by the branch with {}, within five minutes; if \
                     the chain shows anything else by then, it halts again",
                    reorg.found
                )
            }
        }
    }

    fn what_to_do(&self, question: &Question) -> Option<String> {
        let chain = &question.cursor.chain;
        match self {
            Self::Undecided => question.cursor.halted.as_ref().map(|halt| advice::on_halt(chain, &halt.code)),
            Self::Refused(refusal) => Some(advice::on_refusal(chain, refusal)),
            Self::LooksAgain | Self::Accepted(_) => None,
        }
    }
}

fn print(question: &Question, outcome: &Outcome) {
    let cursor = &question.cursor;
    if let Some(halt) = &cursor.halted {
        say!("chain {} (id {}) is halted since {}", cursor.chain, cursor.chain_id, instant(cursor.updated_at));
        say!("{} ({})", halt.message, halt.code);
    }
    if let Some(Dispute { reorg, .. }) = &question.dispute {
        let stored = reorg.stored_hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
        say!("block {}, as it is stored:     {stored}", reorg.found.number);
        say!("block {}, as the chain has it: {}", reorg.found.number, reorg.found.hash);
        if let Some(parting) = reorg.parting {
            say!("the branches part above {}", parting.ancestor);
        }
    }
    if let Some((blocks, counts)) = &question.taken_back {
        let counts = counts.iter().map(|(dataset, rows)| format!("{} rows of {dataset}", grouped(*rows)));
        let (block_count, counts) = (grouped(blocks.block_count()), counts.collect::<Vec<_>>().join(", "));
        say!("taken back would be blocks {} to {}: {block_count} blocks, {counts}", blocks.start(), blocks.last());
        say!("pause the chain's compaction first if it runs: what it has read before must not become cold");
    }
    say!("{}", outcome.message(&cursor.chain));
    if let Some(what_to_do) = outcome.what_to_do(question) {
        say!("what to do: {what_to_do}");
    }
}

fn to_json(question: &Question, outcome: &Outcome) -> Value {
    let cursor = &question.cursor;
    let taken_back = question.taken_back.as_ref().map(|(blocks, counts)| {
        let rows: serde_json::Map<String, Value> =
            counts.iter().map(|(dataset, rows)| (dataset.to_string(), json!(rows))).collect();
        json!({ "blocks": blocks, "block_count": blocks.block_count(), "rows": rows })
    });
    json!({
        "chain": cursor.chain, "chain_id": cursor.chain_id,
        "done": matches!(outcome, Outcome::LooksAgain | Outcome::Accepted(_)), "outcome": outcome.as_str(),
        "message": outcome.message(&cursor.chain), "what_to_do": outcome.what_to_do(question),
        "halted": cursor.halted.as_ref().map(|halt| json!({ "code": halt.code, "message": halt.message })),
        "disputed_reorg": question.dispute.as_ref().map(view::dispute_json), "taken_back": taken_back,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command, FollowerCommand};
    use crate::follower::view::tests::{dispute, halted};
    use crate::golden;

    fn question() -> Question {
        let blocks = dispute().reorg.taken_back().unwrap();
        let counts = vec![(Dataset::Blocks, 4), (Dataset::Transactions, 1_200), (Dataset::Logs, 0)];
        Question { cursor: halted().cursor, dispute: Some(dispute()), taken_back: Some((blocks, counts)) }
    }

    #[test]
    fn decisions_for_programs_are_the_golden_file() {
        let question = question();
        let outcomes = [
            Outcome::Undecided,
            Outcome::Refused(Refusal::NoAncestor),
            Outcome::LooksAgain,
            Outcome::Accepted(dispute().reorg),
        ];
        golden::check("follower_resume", &outcomes.iter().map(|outcome| to_json(&question, outcome)).collect());
    }

    #[test]
    fn the_trail_says_why_and_what_gives_way_to_what() {
        let (question, reorg) = (question(), dispute().reorg);
        assert_eq!(
            audit_reason(&question, &Outcome::Accepted(reorg), "checked by hand"),
            format!(
                "checked by hand; chain.reorg_below_finalized: blocks 96..100 give way to the branch with {}",
                reorg.found
            )
        );
        assert_eq!(
            audit_reason(&question, &Outcome::LooksAgain, "new endpoint"),
            "new endpoint; chain.reorg_below_finalized"
        );
    }

    fn decision(arguments: &[&str]) -> Result<Decision, clap::Error> {
        let all = ["isotherm", "follower", "resume", "--chain", "demo"].iter().chain(arguments);
        match Arguments::try_parse_from(all)?.command {
            Command::Follower(follower) => match follower.command {
                FollowerCommand::Resume(resume) => Ok(Decision::of(&resume)),
                _ => panic!("another command"),
            },
            _ => panic!("another command"),
        }
    }

    #[test]
    fn there_is_one_decision_or_none() {
        let hash = B256::repeat_byte(7).to_string();
        let hash = hash.as_str();
        assert_eq!(decision(&[]).unwrap(), Decision::None);
        assert_eq!(decision(&["--look-again"]).unwrap(), Decision::LookAgain);
        assert_eq!(decision(&["--accept-reorg"]).unwrap(), Decision::AcceptReorg { branch_hash: None });
        let accepted = decision(&["--accept-reorg", "--to-block-hash", hash]).unwrap();
        assert_eq!(accepted, Decision::AcceptReorg { branch_hash: Some(B256::repeat_byte(7)) });
        for wrong in [
            &["--accept-reorg", "--look-again"][..],
            &["--to-block-hash", hash],
            &["--accept-reorg", "--to-block-hash", "0x12"],
            &["--accept-reorg", "--to-block-hash", "nonsense"],
        ] {
            assert!(decision(wrong).is_err(), "{wrong:?}");
        }
    }
}
