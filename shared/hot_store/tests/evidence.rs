//! Evidence of untrue answers, on a real Postgres.

use alloy::primitives::B256;
use chrono::DateTime;
use isotherm_hot_store::evidence::{self, Evidence, MOST_KEPT};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{BlockNumber, ChainId};

const CHAIN: ChainId = ChainId(31_337);

fn piece(second: i64) -> Evidence {
    Evidence {
        served_at: DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap(),
        endpoint: "https://a:443".to_owned(),
        code: "chain.bad_hash".to_owned(),
        message: "a sentence".to_owned(),
        block_number: Some(BlockNumber(second.cast_unsigned())),
        block_hash: B256::repeat_byte(7),
        answer_sha256: "07".repeat(32),
        answer_bytes: 70_000,
        answer_start: "{\"number\":\"0x7\"}".to_owned(),
    }
}

#[tokio::test]
async fn the_newest_evidence_of_a_chain_is_kept_each_piece_once() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    evidence::keep(&mut conn, CHAIN, &[]).await.unwrap();
    assert!(evidence::newest(&mut conn, CHAIN, 9).await.unwrap().is_empty());
    let older: Vec<Evidence> = (0..60).map(piece).collect();
    for _ in 0..2 {
        evidence::keep(&mut conn, CHAIN, &older).await.unwrap();
        assert_eq!(evidence::count(&mut conn, CHAIN).await.unwrap(), 60, "what is written again is there once");
    }
    let newer: Vec<Evidence> = (60..130).map(piece).collect();
    evidence::keep(&mut conn, ChainId(1), &older).await.unwrap();
    evidence::keep(&mut conn, CHAIN, &newer).await.unwrap();
    let kept = evidence::newest(&mut conn, CHAIN, 1_000).await.unwrap();
    let expected: Vec<Evidence> = (30..130).rev().map(piece).collect();
    assert!(kept == expected && i64::try_from(kept.len()).unwrap() == MOST_KEPT, "{} pieces", kept.len());
    assert_eq!(evidence::newest(&mut conn, CHAIN, 1).await.unwrap(), [piece(129)]);
    assert_eq!(evidence::count(&mut conn, ChainId(1)).await.unwrap(), 60, "another chain's stay");
}

#[tokio::test]
async fn evidence_of_the_strangest_answer_can_be_kept() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let strange = Evidence {
        message: "a NUL: \0".to_owned(),
        block_number: None,
        answer_bytes: u64::MAX,
        answer_start: "\0é".to_owned(),
        ..piece(0)
    };
    let second = Evidence { endpoint: "https://b:443".to_owned(), ..piece(0) };
    evidence::keep(&mut conn, CHAIN, &[strange.clone(), second.clone()]).await.unwrap();
    let kept = Evidence {
        message: "a NUL: \u{fffd}".to_owned(),
        answer_bytes: i64::MAX.cast_unsigned(),
        answer_start: "\u{fffd}é".to_owned(),
        ..strange
    };
    assert_eq!(evidence::newest(&mut conn, CHAIN, 9).await.unwrap(), [kept, second], "two at one moment");
}
