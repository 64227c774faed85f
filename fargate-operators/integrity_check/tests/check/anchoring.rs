//! Hashes held against endpoints that answer, contradict, or are away.

use isotherm_lab::tape::{Fault, FaultRule, TapeServer};
use isotherm_types::{Classified as _, Disposition};
use serde_json::{Value, json};

use crate::world::{COLD_BLOCKS, World, header, recorded_chain};

fn anchored(agree: usize, sample: &Value) -> Value {
    json!({"level": "anchor", "agree": agree, "sample": sample, "finality": {"kind": "tags"}})
}

#[tokio::test]
async fn endpoints_confirm_every_block_or_a_sample() {
    let tape = recorded_chain(11).await;
    let (world, second) = (World::create(tape.clone()).await, TapeServer::start(tape).await.unwrap());
    let output = world.check(&anchored(2, &json!("all")), &[&world.chain, &second]).await;
    assert_eq!((&output["anchored_count"], &output["finding_count"]), (&json!(COLD_BLOCKS), &json!(0)), "{output}");
    assert_eq!(output["unverifiable_count"], 0, "{output}");
    let output = world.check(&anchored(1, &json!(5)), &[&second]).await;
    assert_eq!((&output["anchored_count"], &output["finding_count"]), (&json!(5), &json!(0)), "{output}");
}

#[tokio::test]
async fn a_block_that_endpoints_contradict_is_a_finding_until_they_confirm_it() {
    let tape = recorded_chain(11).await;
    let other = TapeServer::start(recorded_chain(12).await).await.unwrap();
    let (world, second) = (World::create(tape.clone()).await, TapeServer::start(tape).await.unwrap());
    let (truth, lie) = (header(&second, "0x7").await, header(&other, "0x7").await);
    assert_ne!(truth["hash"], lie["hash"]);
    second.set("eth_getBlockByNumber", &json!(["0x7", false]), lie.clone());

    // One against one says nothing where two must agree.
    let output = world.check(&anchored(2, &json!("all")), &[&world.chain, &second]).await;
    assert_eq!((&output["finding_count"], &output["unverifiable_count"]), (&json!(0), &json!(1)), "{output}");
    assert_eq!(output["unverifiable"][0]["blocks"], json!({"start": 7, "end": 8}));

    let output = world.check(&anchored(1, &json!("all")), &[&second]).await;
    assert_eq!((&output["finding_count"], &output["new_count"]), (&json!(1), &json!(1)), "{output}");
    let rows = world.findings().await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(row.object_key, "cold/made/blocks/blocks_0000000000_0000000009.parquet");
    assert_eq!((row.start_block, row.end_block, row.level.as_str()), (Some(7), Some(8), "anchor"));
    assert_eq!(row.fault, "anchor_differs");
    assert!(row.message.contains(lie["hash"].as_str().unwrap()), "{}", row.message);
    assert_eq!(row.evidence["answers"], json!([{"endpoint": second.url(), "hash": lie["hash"]}]));

    // A check that asks nobody about the block leaves it open.
    assert_eq!(world.check(&json!({}), &[]).await["open_count"], 1);
    second.set("eth_getBlockByNumber", &json!(["0x7", false]), truth);
    let output = world.check(&anchored(1, &json!("all")), &[&second]).await;
    assert_eq!((&output["resolved_count"], &output["open_count"]), (&json!(1), &json!(0)), "{output}");
}

#[tokio::test]
async fn endpoints_that_are_too_few_are_said_before_anything_is_read() {
    let tape = recorded_chain(11).await;
    let (world, second) = (World::create(tape.clone()).await, TapeServer::start(tape).await.unwrap());
    let spec = world.claim("integrity_check").await;
    let config = anchored(2, &json!("all"));
    // One that is listed twice is one.
    let refused = world.prepare(&spec, &config, &[&second, &second]).await.err().unwrap();
    assert_eq!((refused.code(), refused.disposition()), ("integrity.too_few_endpoints", Disposition::GiveUp));
    second.inject(FaultRule::new("eth_chainId", usize::MAX, Fault::ServerError));
    let refused = world.prepare(&spec, &config, &[&world.chain, &second]).await.err().unwrap();
    assert_eq!((refused.code(), refused.disposition()), ("integrity.endpoints_away", Disposition::Retry));
    assert!(refused.to_string().contains("only 1 answer"), "{refused}");
}
