//! What never becomes cold: blocks that are not final, not true, or not of this chain.

use isotherm_lab::process::eventually;
use isotherm_lab::rpc::Rpc;
use isotherm_lab::tape::TapeServer;
use isotherm_types::{Classified, Dataset, Disposition};
use serde_json::{Value, json};

use crate::world::{World, range, recorded_chain};

async fn refusal(world: &World, start: u64, end: u64) -> (&'static str, Disposition) {
    let refused = world.ingest(range(start, end), &json!({})).await.unwrap_err();
    (refused.code(), refused.disposition())
}

async fn assert_nothing_is_stored(world: &World) {
    world.check(&[]).await;
    assert_eq!(world.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn blocks_that_are_not_final_are_refused_before_they_are_fetched() {
    let world = World::create(recorded_chain(11).await).await;
    let final_until = async |number: u64| {
        let header = world.said("eth_getBlockByNumber", &json!([format!("{number:#x}"), false])).await;
        world.chain.set("eth_getBlockByNumber", &json!(["finalized", false]), header);
    };
    final_until(18).await;
    let refused = world.ingest(range(10, 20), &json!({})).await.unwrap_err();
    assert_eq!(refused.code(), "ingest.not_final");
    assert!(matches!(refused.disposition(), Disposition::RetryAfter(_)));
    assert!(refused.to_string().contains("does not call block 19 final yet"), "{refused}");
    assert_eq!(world.fetched(), Vec::<u64>::new());
    assert_nothing_is_stored(&world).await;

    // Of a longer range, what is final is kept.
    assert_eq!(refusal(&world, 0, 20).await.0, "ingest.not_final");
    world.check(&[range(0, 10)]).await;
    final_until(19).await;
    world.ingest(range(0, 20), &json!({})).await.unwrap();
    world.check(&[range(0, 10), range(10, 20)]).await;
}

/// A method, its parameters for a block, and what is made of the honest answer.
type Lie = (&'static str, fn(&str) -> Value, fn(&mut Value));

const LIES: [Lie; 4] = [
    ("eth_getBlockByNumber", |number| json!([number, true]), |block| block["stateRoot"] = block["hash"].clone()),
    (
        "eth_getBlockByNumber",
        |number| json!([number, true]),
        |block| {
            block["transactions"][0]["value"] = json!("0x1234567");
        },
    ),
    ("eth_getBlockReceipts", |number| json!([number]), |receipts| receipts[0]["gasUsed"] = json!("0x5209")),
    ("trace_block", |number| json!([number]), |traces| traces[0]["action"]["value"] = json!("0x1234567")),
];

#[tokio::test]
async fn an_endpoint_that_lies_stores_nothing() {
    let tape = recorded_chain(11).await;
    for (method, params, lie) in LIES {
        let world = World::create(tape.clone()).await;
        let mut number = "0x9".to_owned();
        for earlier in (5..9).rev() {
            if world.said("eth_getBlockReceipts", &json!([number])).await != json!([]) {
                break;
            }
            number = format!("{earlier:#x}");
        }
        let truth = world.said(method, &params(&number)).await;
        let mut answer = truth.clone();
        lie(&mut answer);
        assert_ne!(answer, truth, "{method}");
        world.chain.set(method, &params(&number), answer);

        let (code, disposition) = refusal(&world, 0, 10).await;
        assert!(code.starts_with("chain.bad_"), "{method}: {code}");
        assert_ne!(disposition, Disposition::GiveUp, "{method}: another endpoint may be honest later");
        assert_nothing_is_stored(&world).await;
        world.chain.set(method, &params(&number), truth);
        world.ingest(range(0, 10), &json!({})).await.unwrap();
        world.check(&[range(0, 10)]).await;
    }
}

#[tokio::test]
async fn a_branch_that_does_not_end_in_the_final_block_is_not_stored() {
    let (ours, other) = (recorded_chain(11).await, recorded_chain(12).await);
    let (world, other) = (World::create(ours).await, TapeServer::start(other).await.unwrap());
    // Another block 9 is the final one, and as good a block as ours.
    let params = json!(["0x9", false]);
    let header = Rpc::new(other.url().to_owned()).call("eth_getBlockByNumber", params.clone()).await.unwrap();
    assert_ne!(header["hash"], world.said("eth_getBlockByNumber", &params).await["hash"]);
    world.chain.set("eth_getBlockByNumber", &params, header);
    assert_eq!(refusal(&world, 0, 10).await, ("chain.replaced_while_fetching", Disposition::Retry));
    assert_nothing_is_stored(&world).await;
}

#[tokio::test]
async fn blocks_that_are_not_those_of_hot_storage_are_not_fetched() {
    let world = World::create(recorded_chain(11).await).await;
    world.follow(range(10, 30)).await;
    let asked = world.fetched().len();
    let replace = "UPDATE hot.blocks SET block_hash = sha256(block_hash) WHERE block_number = 19";
    sqlx::query(replace).execute(&world.pool).await.unwrap();
    assert_eq!(refusal(&world, 10, 20).await, ("ingest.contradicted", Disposition::GiveUp));
    assert_eq!(world.fetched().len(), asked);
    assert_nothing_is_stored(&world).await;
}

/// Whether somebody waits for the chain's cursor.
const CURSOR_IS_WAITED_FOR: &str = "
    SELECT count(*) > 0 FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%hot.cursors%'";

#[tokio::test]
async fn a_commit_waits_for_a_reorg_of_the_same_blocks() {
    let world = World::create(recorded_chain(11).await).await;
    world.follow(range(10, 30)).await;
    let mut follower = world.database.connect().await.unwrap();
    let reorg = "BEGIN; SELECT FROM hot.cursors FOR UPDATE;
                 UPDATE hot.blocks SET block_hash = sha256(block_hash) WHERE block_number = 19";
    sqlx::raw_sql(reorg).execute(&mut follower).await.unwrap();
    let committing = async {
        let is_waited_for = async || sqlx::query_scalar(CURSOR_IS_WAITED_FOR).fetch_one(&world.pool).await.unwrap();
        eventually("a commit that waits", is_waited_for).await.unwrap();
        sqlx::raw_sql("COMMIT").execute(&mut follower).await.unwrap();
    };
    let (refused, ()) = tokio::join!(refusal(&world, 10, 20), committing);
    assert_eq!(refused, ("ingest.contradicted", Disposition::GiveUp));
    assert!(world.partitions(Dataset::Blocks).await.is_empty());
}

#[tokio::test]
async fn a_range_or_a_chain_that_does_not_fit_is_refused() {
    let world = World::create(recorded_chain(11).await).await;
    for (start, end) in [(12, 20), (0, 15), (10, 29)] {
        assert_eq!(refusal(&world, start, end).await, ("ingest.not_whole", Disposition::GiveUp), "{start}..{end}");
    }
    world.follow(range(20, 30)).await;
    for changes in [json!({ "chain": "other" }), json!({ "partition_blocks": 5 })] {
        let refused = world.ingest(range(0, 10), &changes).await.unwrap_err();
        assert_eq!((refused.code(), refused.disposition()), ("ingest.other_chain", Disposition::GiveUp), "{changes}");
    }
    assert_nothing_is_stored(&world).await;
}
