use isotherm_hot_store::cursor::{Cursor, Halt};
use isotherm_hot_store::disputed_reorg::{DisputedReorg, Parting, Permission};
use isotherm_hot_store::follower_status::{Said, SeenHead, TipArrival};
use isotherm_hot_store::lag::Lag;
use isotherm_types::{B256, BlockRange, ChainId};

use super::*;
use crate::golden;

fn at(time: &str) -> DateTime<Utc> {
    format!("2026-11-26T{time}Z").parse().unwrap()
}

fn at_block(number: u64, branch: u8) -> BlockRef {
    let mut hash = B256::with_last_byte(branch);
    hash[..8].copy_from_slice(&number.to_be_bytes());
    BlockRef { number: BlockNumber(number), hash }
}

pub(in super::super) fn lie() -> Evidence {
    Evidence {
        served_at: at("09:58:00"),
        endpoint: "https://rpc.example:443".to_owned(),
        code: "chain.bad_header_hash".to_owned(),
        message: "the header of 98 (0x…) hashes to 0x…".to_owned(),
        block_number: Some(BlockNumber(98)),
        block_hash: at_block(98, 2).hash,
        answer_sha256: "07".repeat(32),
        answer_bytes: 70_000,
        answer_start: "{\"number\":\"0x62\"}".to_owned(),
    }
}

/// A follower 200 blocks behind, which it makes good by 40 a second.
pub(in super::super) fn behind() -> ChainStatus {
    let endpoint = EndpointStatus {
        name: "https://rpc.example:443".to_owned(),
        state: "healthy".to_owned(),
        last_head: Some(BlockNumber(299)),
        last_error_code: Some("chain.rate_limited".to_owned()),
        requests: 1_200,
        failures: 3,
    };
    let said = Said {
        head: Some(SeenHead { number: BlockNumber(299), served_at: at("10:00:01") }),
        blocks_per_second: 50.0,
        head_blocks_per_second: 10.0,
        endpoints: vec![endpoint],
    };
    ChainStatus {
        cursor: Cursor {
            chain_id: ChainId(31_337),
            chain: "demo".to_owned(),
            partition_blocks: 100,
            first_block: Some(BlockNumber(0)),
            first_traced_block: None,
            tip: Some(at_block(99, 0)),
            finalized: Some(at_block(97, 0)),
            halted: None,
            updated_at: at("10:00:00"),
        },
        tip_age: Some(Duration::from_millis(2_500)),
        arrival: Some(TipArrival {
            first_served_at: at("10:00:00"),
            committed_at: at("10:00:00.3"),
            timestamp: at("09:59:59"),
        }),
        recent: Some(Lag { block_count: 100, p50_ms: 40.0, p95_ms: 120.0 }),
        last_reorg: Some(Invalidation {
            blocks: BlockRange::new(BlockNumber(90), BlockNumber(92)).unwrap(),
            ancestor_hash: at_block(89, 0).hash,
            old_tip_hash: at_block(91, 0).hash,
            new_tip_hash: at_block(91, 1).hash,
            invalidated_at: at("09:59:30"),
        }),
        dispute: None,
        follower: Some(FollowerStatus { said, written_at: at("10:00:02"), age: Duration::from_secs(1) }),
        evidence_count: 2,
        last_evidence: Some(lie()),
    }
}

/// What the follower saw when it halted at block 97.
pub(in super::super) fn dispute() -> Dispute {
    Dispute {
        reorg: DisputedReorg {
            tip: at_block(99, 0),
            head: at_block(101, 1),
            found: at_block(97, 1),
            stored_hash: Some(at_block(97, 0).hash),
            parting: Some(Parting { ancestor: at_block(95, 0), first_hash: at_block(96, 1).hash }),
        },
        seen_at: at("10:00:00"),
        permission: None,
    }
}

pub(in super::super) fn halted() -> ChainStatus {
    let halt = Halt { code: "chain.reorg_below_finalized".to_owned(), message: "the chain replaced …".to_owned() };
    let status = behind();
    ChainStatus {
        cursor: Cursor { halted: Some(halt), ..status.cursor },
        arrival: None,
        recent: None,
        last_reorg: None,
        dispute: Some(dispute()),
        follower: None,
        evidence_count: 0,
        last_evidence: None,
        ..status
    }
}

fn text(status: &ChainStatus) -> String {
    lines(status).iter().map(|(label, text)| format!("{label}: {text}\n")).collect()
}

#[test]
fn followers_for_programs_are_the_golden_file() {
    golden::check("follower_status", &json!([to_json(&behind()), to_json(&halted())]));
}

#[test]
fn a_follower_that_is_behind_shows_how_far_it_has_come() {
    let shown = text(&behind());
    for line in [
        "chain: demo (id 31337), catching up",
        "0.300 s from first served to committed (p50 40 ms, p95 120 ms over 100 blocks); \
         1.3 s from the block's time to the commit; 200 blocks behind",
        "last reorg: 2 blocks deep at 2026-11-26T09:59:30Z, above 89 (0x",
        "speed: 50.0 blocks/s stored, 10.0 made by the chain",
        "evidence: 2 untrue answers, the last of https://rpc.example:443 at 2026-11-26T09:58:00Z \
         (chain.bad_header_hash); `isotherm follower evidence --chain demo`",
        "progress: [##########--------------------] 33.3 %, 200 of 300 blocks to go, 5 s left",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert!(!shown.contains("halted") && !shown.contains("what to do"), "{shown}");
    assert!(!text(&halted()).contains("evidence:"), "nobody was caught");
}

#[test]
fn a_follower_at_the_tip_shows_no_progress() {
    let mut status = behind();
    status.cursor.tip = Some(at_block(296, 0));
    assert_eq!(State::of(&status), State::Following);
    assert!(!text(&status).contains("progress"));
    // It falls behind as fast as the chain grows.
    status.cursor.tip = Some(at_block(99, 0));
    status.follower.as_mut().unwrap().said.head_blocks_per_second = 50.0;
    assert!(text(&status).contains("no end in sight"), "{}", text(&status));
}

#[test]
fn a_follower_that_says_nothing_is_called_silent() {
    let mut status = behind();
    status.follower.as_mut().unwrap().age = Duration::from_secs(90);
    assert_eq!(State::of(&status), State::Silent);
    assert!(text(&status).contains("has said nothing for 90 s"), "{}", text(&status));
    status.follower = None;
    assert_eq!(State::of(&status), State::Silent);
}

#[test]
fn a_halted_chain_says_why_and_what_to_do() {
    let shown = text(&halted());
    for part in [
        "chain: demo (id 31337), halted",
        "the chain replaced … (chain.reorg_below_finalized)",
        "what to do: compare both hashes",
        "isotherm follower resume --chain demo --accept-reorg",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn a_permission_that_is_not_used_yet_is_shown() {
    let permission = Permission {
        accepted_by: "cli:ann".to_owned(),
        accepted_at: at("10:05:00"),
        reason: "checked by hand".to_owned(),
    };
    let status = ChainStatus { dispute: Some(Dispute { permission: Some(permission), ..dispute() }), ..behind() };
    assert!(text(&status).contains("by cli:ann at 2026-11-26T10:05:00Z: checked by hand"), "{}", text(&status));
}

#[test]
fn spans_are_told_in_their_two_largest_units() {
    for (seconds, text) in
        [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h"), (86_400, "1 d 0 h")]
    {
        assert_eq!(span(Duration::from_secs(seconds)), text);
    }
}
