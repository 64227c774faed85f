//! A chain's follower for people and for programs. Pure but for the printing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use isotherm_hot_store::disputed_reorg::Dispute;
use isotherm_hot_store::evidence::Evidence;
use isotherm_hot_store::follower_status::{EndpointStatus, FollowerStatus};
use isotherm_hot_store::reorg::Invalidation;
use isotherm_types::{BlockNumber, BlockRef};
use serde_json::{Value, json};

use super::status::ChainStatus;
use super::{advice, evidence};
use crate::output::{bar, grouped, instant, say, span, table};

/// A follower that is this many blocks behind is catching up; fewer are on their way.
const BEHIND_BLOCKS: u64 = 5;
/// A follower says how it does every two seconds.
const SILENCE: Duration = Duration::from_secs(15);

/// How a chain is followed, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Following,
    CatchingUp,
    Silent,
    Halted,
}

impl State {
    fn of(status: &ChainStatus) -> Self {
        let is_silent = status.follower.as_ref().is_none_or(|follower| follower.age > SILENCE);
        if status.cursor.halted.is_some() {
            Self::Halted
        } else if is_silent {
            Self::Silent
        } else if progress(status).is_some() {
            Self::CatchingUp
        } else {
            Self::Following
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Following => "following",
            Self::CatchingUp => "catching_up",
            Self::Silent => "silent",
            Self::Halted => "halted",
        }
    }
}

/// How far a follower that is behind has come.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CatchUp {
    /// Blocks from the first stored one to the tip.
    done: u64,
    /// Blocks from the first stored one to the chain's newest.
    total: u64,
    /// Time until it is there; `None` if it does not come nearer.
    left: Option<Duration>,
}

/// Blocks between the stored tip and the chain's newest block, as the follower last saw it.
fn blocks_behind(status: &ChainStatus) -> Option<u64> {
    let head = status.follower.as_ref()?.said.head?.number;
    Some(head.0.saturating_sub(status.cursor.tip?.number.0))
}

fn progress(status: &ChainStatus) -> Option<CatchUp> {
    let behind = blocks_behind(status).filter(|behind| *behind >= BEHIND_BLOCKS)?;
    let said = &status.follower.as_ref()?.said;
    let done = status.cursor.tip?.number.0 - status.cursor.first_block?.0 + 1;
    // The chain goes on meanwhile.
    let closing = said.blocks_per_second - said.head_blocks_per_second;
    let left = (closing > 0.0).then(|| Duration::try_from_secs_f64(behind as f64 / closing).ok()).flatten();
    Some(CatchUp { done, total: done + behind, left })
}

/// Seconds from the first instant to the second, to the millisecond.
fn seconds_between(earlier: DateTime<Utc>, later: DateTime<Utc>) -> f64 {
    (later - earlier).num_milliseconds() as f64 / 1000.0
}

pub(super) fn print(status: &ChainStatus) {
    for (label, text) in lines(status) {
        say!("{label:<12} {text}");
    }
    let endpoints = status.follower.as_ref().map_or(&[][..], |follower| follower.said.endpoints.as_slice());
    if !endpoints.is_empty() {
        let headings = ["endpoint", "state", "newest block", "requests", "failures", "last error"];
        let mut shown = table(&headings, &["newest block", "requests", "failures"]);
        for endpoint in endpoints {
            shown.add_row([
                endpoint.name.clone(),
                endpoint.state.clone(),
                endpoint.last_head.map_or_else(String::new, |number| grouped(number.0)),
                grouped(endpoint.requests),
                grouped(endpoint.failures),
                endpoint.last_error_code.clone().unwrap_or_default(),
            ]);
        }
        say!("{shown}");
    }
}

/// What is said of a chain, line by line.
fn lines(status: &ChainStatus) -> Vec<(&'static str, String)> {
    let cursor = &status.cursor;
    let state = State::of(status).as_str().replace('_', " ");
    let mut lines = vec![("chain", format!("{} (id {}), {state}", cursor.chain, cursor.chain_id))];
    let age = status.tip_age.map_or_else(String::new, |age| format!(", {:.1} s old", age.as_secs_f64()));
    lines.push(("tip", cursor.tip.map_or_else(|| "none yet".to_owned(), |tip| format!("{}{age}", block(tip)))));
    lines.push(("finalized", cursor.finalized.map_or_else(|| "none yet".to_owned(), block)));
    lines.extend(lag_line(status).map(|text| ("lag", text)));
    lines.extend(status.last_reorg.as_ref().map(|reorg| ("last reorg", reorg_line(reorg))));
    if let Some(follower) = &status.follower {
        lines.push(("speed", speed_line(follower)));
    }
    lines.extend(progress(status).map(|catch_up| ("progress", progress_line(catch_up))));
    lines.extend(status.last_evidence.as_ref().map(|last| ("evidence", evidence_line(status, last))));
    if let Some(halt) = &cursor.halted {
        lines.push(("halted", format!("since {}: {} ({})", instant(cursor.updated_at), halt.message, halt.code)));
        lines.push(("what to do", advice::on_halt(&cursor.chain, &halt.code)));
    } else if let Some(permission) = status.dispute.as_ref().and_then(|dispute| dispute.permission.as_ref()) {
        let (by, at) = (&permission.accepted_by, instant(permission.accepted_at));
        lines.push(("accepted", format!("the disputed reorg, by {by} at {at}: {}", permission.reason)));
    }
    lines
}

fn lag_line(status: &ChainStatus) -> Option<String> {
    let arrival = status.arrival?;
    let mut line = format!(
        "{:.3} s from first served to committed",
        seconds_between(arrival.first_served_at, arrival.committed_at)
    );
    if let Some(recent) = status.recent {
        line.push_str(&format!(
            " (p50 {:.0} ms, p95 {:.0} ms over {} blocks)",
            recent.p50_ms, recent.p95_ms, recent.block_count
        ));
    }
    let since_its_time = seconds_between(arrival.timestamp, arrival.committed_at);
    line.push_str(&format!("; {since_its_time:.1} s from the block's time to the commit"));
    if let Some(behind) = blocks_behind(status) {
        line.push_str(&format!("; {} blocks behind", grouped(behind)));
    }
    Some(line)
}

fn reorg_line(reorg: &Invalidation) -> String {
    let depth = reorg.blocks.block_count();
    format!("{depth} blocks deep at {}, above {}", instant(reorg.invalidated_at), block(common_ancestor(reorg)))
}

fn common_ancestor(reorg: &Invalidation) -> BlockRef {
    // Block 0 is never taken back: it has no ancestor.
    let number = reorg.blocks.start().previous().unwrap_or(BlockNumber(0));
    BlockRef { number, hash: reorg.ancestor_hash }
}

fn speed_line(follower: &FollowerStatus) -> String {
    let said = &follower.said;
    let mut line =
        format!("{:.1} blocks/s stored, {:.1} made by the chain", said.blocks_per_second, said.head_blocks_per_second);
    if follower.age > SILENCE {
        line.push_str(&format!("; the follower has said nothing for {:.0} s", follower.age.as_secs_f64()));
    }
    line
}

fn evidence_line(status: &ChainStatus, last: &Evidence) -> String {
    format!(
        "{}, the last of {} at {} ({}); `isotherm follower evidence --chain {}`",
        evidence::pieces(status.evidence_count),
        last.endpoint,
        instant(last.served_at),
        last.code,
        status.cursor.chain
    )
}

fn progress_line(catch_up: CatchUp) -> String {
    let CatchUp { done, total, left } = catch_up;
    let bar = bar(done, total);
    let left = left.map_or_else(|| "no end in sight".to_owned(), |left| format!("{} left", span(left)));
    format!("{bar}, {} of {} blocks to go, {left}", grouped(total - done), grouped(total))
}

fn block(block: BlockRef) -> String {
    format!("{} ({})", grouped(block.number.0), block.hash)
}

pub(super) fn to_json(status: &ChainStatus) -> Value {
    let cursor = &status.cursor;
    let said = status.follower.as_ref().map(|follower| &follower.said);
    let last_reorg = status.last_reorg.map(|reorg| {
        json!({
            "depth": reorg.blocks.block_count(), "at": reorg.invalidated_at, "common_ancestor": common_ancestor(&reorg),
            "old_tip_hash": reorg.old_tip_hash, "new_tip_hash": reorg.new_tip_hash,
        })
    });
    let halted = cursor.halted.as_ref().map(|halt| {
        json!({
            "code": halt.code, "message": halt.message, "since": cursor.updated_at,
            "what_to_do": advice::on_halt(&cursor.chain, &halt.code),
        })
    });
    json!({
        "chain": cursor.chain, "chain_id": cursor.chain_id, "state": State::of(status).as_str(),
        "first_block": cursor.first_block, "tip": cursor.tip,
        "tip_age_seconds": status.tip_age.map(|age| age.as_secs_f64()), "finalized": cursor.finalized,
        "head": said.and_then(|said| said.head).map(|head| {
            json!({ "number": head.number, "first_served_at": head.served_at })
        }),
        "lag": lag_json(status), "last_reorg": last_reorg, "halted": halted,
        "disputed_reorg": status.dispute.as_ref().map(dispute_json),
        "endpoints": said.map(|said| said.endpoints.iter().map(endpoint_json).collect::<Vec<_>>()),
        "blocks_per_second": said.map(|said| said.blocks_per_second),
        "head_blocks_per_second": said.map(|said| said.head_blocks_per_second),
        "progress": progress(status).map(|catch_up| {
            json!({
                "blocks_done": catch_up.done, "blocks_total": catch_up.total,
                "seconds_left": catch_up.left.map(|left| left.as_secs_f64()),
            })
        }),
        "evidence": {
            "count": status.evidence_count, "last": status.last_evidence.as_ref().map(last_evidence_json),
        },
        "written_at": status.follower.as_ref().map(|follower| follower.written_at),
    })
}

/// A piece without its answer, which is long.
fn last_evidence_json(last: &Evidence) -> Value {
    json!({
        "served_at": last.served_at, "endpoint": last.endpoint, "code": last.code, "block_number": last.block_number,
        "block_hash": last.block_hash,
    })
}

fn lag_json(status: &ChainStatus) -> Value {
    json!({
        "blocks": blocks_behind(status),
        "first_served_to_committed_seconds": status.arrival.map(|arrival| {
            seconds_between(arrival.first_served_at, arrival.committed_at)
        }),
        "block_timestamp_to_committed_seconds": status.arrival.map(|arrival| {
            seconds_between(arrival.timestamp, arrival.committed_at)
        }),
        "recent": status.recent.map(|recent| {
            json!({ "blocks": recent.block_count, "p50_ms": recent.p50_ms, "p95_ms": recent.p95_ms })
        }),
    })
}

fn endpoint_json(endpoint: &EndpointStatus) -> Value {
    json!({
        "name": endpoint.name, "state": endpoint.state, "last_head": endpoint.last_head,
        "last_error_code": endpoint.last_error_code, "requests": endpoint.requests, "failures": endpoint.failures,
    })
}

/// A reorg that a person decides about, for programs.
pub(super) fn dispute_json(dispute: &Dispute) -> Value {
    let reorg = &dispute.reorg;
    json!({
        "tip": reorg.tip, "head": reorg.head, "block_number": reorg.found.number, "stored_hash": reorg.stored_hash,
        "found_hash": reorg.found.hash, "common_ancestor": reorg.parting.map(|parting| parting.ancestor),
        "first": reorg.parting.map(|parting| parting.first()), "taken_back": reorg.taken_back(),
        "seen_at": dispute.seen_at,
        "accepted": dispute.permission.as_ref().map(|permission| {
            json!({
                "by": permission.accepted_by, "at": permission.accepted_at, "reason": permission.reason,
            })
        }),
    })
}

#[cfg(test)]
pub(super) mod tests;
