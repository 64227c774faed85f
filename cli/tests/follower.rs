//! `isotherm follower` as a command, on a real database.

use std::process::Stdio;

mod announced;

use announced::{Announced, Ended};
use isotherm_hot_store::cursor::Halt;
use isotherm_hot_store::disputed_reorg::{self, DisputedReorg, Parting};
use isotherm_hot_store::evidence::{self, Evidence};
use isotherm_hot_store::follower_status::{self, EndpointStatus, Said, SeenHead};
use isotherm_hot_store::{cursor, gaps, stored_hash};
use isotherm_types::{B256, BlockNumber, BlockRef, ChainId, Clock as _, SystemClock};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

const CHAIN: ChainId = ChainId(31_337);

/// Blocks 0 to 20 without transactions, final up to 16; a block's hash follows from its number.
const BLOCKS: &str = "
    CREATE TABLE hot.blocks_31337_all PARTITION OF hot.blocks_31337 FOR VALUES FROM (0) TO (1000);
    CREATE TABLE hot.transactions_31337_all PARTITION OF hot.transactions_31337 FOR VALUES FROM (0) TO (1000);
    CREATE TABLE hot.logs_31337_all PARTITION OF hot.logs_31337 FOR VALUES FROM (0) TO (1000);
    CREATE TABLE hot.traces_31337_all PARTITION OF hot.traces_31337 FOR VALUES FROM (0) TO (1000);
    INSERT INTO hot.blocks (block_hash, author, block_number, gas_used, extra_data, timestamp, chain_id, parent_hash,
        uncles_hash, state_root, transactions_root, receipts_root, logs_bloom, difficulty, gas_limit, mix_hash, nonce,
        transaction_count)
    SELECT sha256(int8send(n)), '', n, 0, '', 1700000000 + n, 31337, sha256(int8send(n - 1)), '', '', '', '', '', '', 0,
           '', '', 0
      FROM generate_series(0, 20) AS n;
    INSERT INTO hot.block_arrivals (chain_id, block_number, served_at, committed_at)
    SELECT 31337, n, to_timestamp(1700000000 + n), to_timestamp(1700000000.5 + n) FROM generate_series(0, 20) AS n;
    UPDATE hot.cursors
       SET first_block = 0, tip_number = 20, tip_hash = sha256(int8send(20)), finalized_number = 16,
           finalized_hash = sha256(int8send(16))";

/// A database with one chain.
struct Scene(Announced);

impl Scene {
    async fn new() -> Self {
        let scene = Self(Announced::new().await);
        let mut conn = scene.connect().await;
        cursor::ensure(&mut conn, CHAIN, "demo", 1000).await.unwrap();
        sqlx::raw_sql(BLOCKS).execute(&mut conn).await.unwrap();
        scene
    }

    async fn connect(&self) -> PgConnection {
        self.0.connect().await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.0.command(arguments)
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        self.0.run(arguments).await
    }

    /// What the command prints for programs, and its exit code.
    async fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let ended = self.run(&[arguments, &["--output", "json"]].concat()).await;
        let value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        (ended.code, value)
    }

    async fn resume(&self, further: &[&str]) -> (Option<i32>, Value) {
        self.json(&[&["follower", "resume", "--chain", "demo"][..], further].concat()).await
    }

    /// Halts the chain as the follower does: its branch parts above 13, and differs at 16.
    async fn halt(&self) -> DisputedReorg {
        let mut conn = self.connect().await;
        let mut hash = async |number| stored_hash(&mut conn, CHAIN, BlockNumber(number)).await.unwrap().unwrap();
        let (ancestor, at_stop, tip) = (hash(13).await, hash(16).await, hash(20).await);
        let block = |number, hash| BlockRef { number: BlockNumber(number), hash };
        let reorg = DisputedReorg {
            tip: block(20, tip),
            head: block(22, B256::repeat_byte(22)),
            found: block(16, B256::repeat_byte(16)),
            stored_hash: Some(at_stop),
            parting: Some(Parting { ancestor: block(13, ancestor), first_hash: B256::repeat_byte(14) }),
        };
        let halt = Halt { code: "chain.reorg_below_finalized".to_owned(), message: "it was replaced".to_owned() };
        assert!(cursor::halt(&mut conn, CHAIN, &halt).await.unwrap());
        disputed_reorg::record(&mut conn, CHAIN, &reorg).await.unwrap();
        reorg
    }

    async fn is_halted(&self) -> bool {
        cursor::read(&mut self.connect().await, CHAIN).await.unwrap().unwrap().halted.is_some()
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.connect().await).await.unwrap();
    }
}

#[tokio::test]
async fn a_status_tells_what_the_follower_last_said_and_that_it_says_nothing() {
    let scene = Scene::new().await;
    let status = ["follower", "status", "--chain", "demo"];
    let (code, silent) = scene.json(&status).await;
    assert_eq!((code, &silent[0]["state"], &silent[0]["tip"]["number"]), (Some(0), &json!("silent"), &json!(20)));
    assert_eq!(silent[0]["lag"]["first_served_to_committed_seconds"], json!(0.5), "{silent:#}");

    let endpoint = |name: &str| EndpointStatus {
        name: name.to_owned(),
        state: "healthy".to_owned(),
        last_head: Some(BlockNumber(60)),
        last_error_code: None,
        requests: 7,
        failures: 1,
    };
    let mut said = Said {
        head: Some(SeenHead { number: BlockNumber(60), served_at: SystemClock.now() }),
        blocks_per_second: 12.0,
        head_blocks_per_second: 2.0,
        endpoints: vec![endpoint("http://a:1"), endpoint("http://b:1")],
    };
    follower_status::write(&mut scene.connect().await, CHAIN, &said).await.unwrap();
    let (_, behind) = scene.json(&status).await;
    assert_eq!(behind[0]["state"], "catching_up", "{behind:#}");
    assert_eq!(behind[0]["progress"], json!({"blocks_done": 21, "blocks_total": 61, "seconds_left": 4.0}));
    assert_eq!(behind[0]["endpoints"][1]["name"], "http://b:1");
    let table = scene.run(&status).await;
    for part in ["catching up", "40 of 61 blocks to go, 4 s left", "http://a:1", "healthy", "40 blocks behind"] {
        assert!(table.code == Some(0) && table.stdout.contains(part), "{part}: {table:?}");
    }

    said.endpoints.pop();
    said.head = said.head.map(|head| SeenHead { number: BlockNumber(20), ..head });
    follower_status::write(&mut scene.connect().await, CHAIN, &said).await.unwrap();
    let (_, following) = scene.json(&status).await;
    assert_eq!((&following[0]["state"], &following[0]["progress"]), (&json!("following"), &json!(null)));
    assert_eq!(following[0]["endpoints"].as_array().unwrap().len(), 1, "an endpoint that is gone is not shown");

    let unknown = scene.run(&["follower", "status", "--chain", "nobody"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there are: demo"), "{unknown:?}");
}

#[tokio::test]
async fn what_endpoints_were_caught_at_is_shown() {
    let scene = Scene::new().await;
    let (code, none) = scene.json(&["follower", "evidence"]).await;
    assert_eq!((code, &none[0]["evidence"]), (Some(0), &json!([])));
    let piece = |endpoint: &str| Evidence {
        served_at: SystemClock.now(),
        endpoint: endpoint.to_owned(),
        code: "chain.bad_hash".to_owned(),
        message: "block 7 was served in place of block 8".to_owned(),
        block_number: Some(BlockNumber(1_007)),
        block_hash: B256::repeat_byte(7),
        answer_sha256: "07".repeat(32),
        answer_bytes: 70_000,
        answer_start: "{\"number\":\"0x7\"}".to_owned(),
    };
    let pieces = [piece("http://a:1"), piece("http://b:1")];
    evidence::keep(&mut scene.connect().await, CHAIN, &pieces).await.unwrap();
    let (code, kept) = scene.json(&["follower", "evidence", "--chain", "demo"]).await;
    assert_eq!((code, kept[0]["evidence"].as_array().map(Vec::len)), (Some(0), Some(2)), "{kept:#}");
    assert_eq!(kept[0]["evidence"][0]["answer_start"], pieces[0].answer_start);
    let (_, status) = scene.json(&["follower", "status"]).await;
    assert_eq!(
        (&status[0]["evidence"]["count"], &status[0]["evidence"]["last"]["code"]),
        (&json!(2), &json!("chain.bad_hash"))
    );
    for (command, parts) in [
        ("evidence", ["http://b:1", "1,007", "block 7 was served in place of block 8"]),
        ("status", ["2 untrue answers", "chain.bad_hash", "isotherm follower evidence --chain demo"]),
    ] {
        let table = scene.run(&["follower", command]).await;
        assert_eq!(table.code, Some(0), "{table:?}");
        for part in parts {
            assert!(table.stdout.contains(part), "{part}: {table:?}");
        }
    }
}

#[tokio::test]
async fn a_watched_status_comes_again_until_it_is_interrupted() {
    let scene = Scene::new().await;
    let mut command = scene.command(&["follower", "status", "--watch", "--output", "json"]);
    let mut watching = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next_line().await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()[0]["chain"], "demo");
    }
    kill(Pid::from_raw(watching.id().unwrap().cast_signed()), Signal::SIGINT).unwrap();
    assert!(watching.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_halt_is_shown_and_nothing_is_changed_without_a_decision() {
    let scene = Scene::new().await;
    let (code, refused) = scene.resume(&["--accept-reorg"]).await;
    assert_eq!((code, &refused["outcome"]), (Some(1), &json!("not_halted")));

    let reorg = scene.halt().await;
    let (code, shown) = scene.resume(&[]).await;
    assert_eq!((code, &shown["outcome"], &shown["done"]), (Some(1), &json!("undecided"), &json!(false)));
    assert_eq!(shown["taken_back"]["blocks"], json!({"start": 14, "end": 21}));
    assert_eq!(shown["taken_back"]["rows"]["blocks"], 7);
    let table = scene.run(&["follower", "resume", "--chain", "demo"]).await;
    let (stored, found) = (reorg.stored_hash.unwrap().to_string(), reorg.found.hash.to_string());
    for part in [stored.as_str(), found.as_str(), "blocks 14 to 20", "--accept-reorg", "--look-again"] {
        assert!(table.code == Some(1) && table.stdout.contains(part), "{part}: {table:?}");
    }
    let status = scene.run(&["follower", "status"]).await;
    assert!(status.stdout.contains("what to do") && status.stdout.contains("it was replaced"), "{status:?}");
    assert!(scene.is_halted().await);
}

#[tokio::test]
async fn a_reorg_of_before_is_no_question_of_a_halt_for_a_gap() {
    let scene = Scene::new().await;
    scene.halt().await;
    scene.resume(&["--look-again"]).await;
    let halt = Halt { code: "follower.gap_not_served".to_owned(), message: "block 9 is not whole".to_owned() };
    assert!(cursor::halt(&mut scene.connect().await, CHAIN, &halt).await.unwrap());
    let (code, shown) = scene.resume(&[]).await;
    assert_eq!((code, &shown["outcome"]), (Some(1), &json!("undecided")), "{shown:#}");
    assert_eq!((&shown["disputed_reorg"], &shown["taken_back"]), (&Value::Null, &Value::Null), "{shown:#}");
}

#[tokio::test]
async fn an_accepted_reorg_is_noted_with_who_when_and_why() {
    let scene = Scene::new().await;
    let reorg = scene.halt().await;
    let other = B256::repeat_byte(99).to_string();
    let (code, refused) = scene.resume(&["--accept-reorg", "--to-block-hash", &other]).await;
    assert_eq!((code, &refused["outcome"]), (Some(1), &json!("other_branch")), "{refused:#}");
    scene
        .execute(
            "INSERT INTO cold.datasets (chain_id, dataset, first_block, watermark, manifest_version, manifest_key,
                                        manifest_sha256)
             VALUES (31337, 'logs', 0, 14, 1, 'key', sha256('x'))",
        )
        .await;
    let (code, refused) = scene.resume(&["--accept-reorg"]).await;
    assert_eq!((code, &refused["outcome"]), (Some(1), &json!("cold")), "{refused:#}");
    assert!(refused["what_to_do"].as_str().unwrap().contains("cold files are never rewritten"), "{refused:#}");
    assert!(scene.is_halted().await);
    scene.execute("UPDATE cold.datasets SET watermark = 13").await;

    let right = reorg.found.hash.to_string();
    let (code, accepted) =
        scene.resume(&["--accept-reorg", "--to-block-hash", &right, "--reason", "two explorers agree"]).await;
    assert_eq!((code, &accepted["outcome"]), (Some(0), &json!("reorg_accepted")), "{accepted:#}");
    assert!(!scene.is_halted().await);
    let dispute = disputed_reorg::read(&mut scene.connect().await, CHAIN).await.unwrap().unwrap();
    let permission = dispute.permission.unwrap();
    assert_eq!((dispute.reorg, permission.reason.as_str()), (reorg, "two explorers agree"));
    assert!(permission.accepted_by.starts_with("cli:"), "{permission:?}");
    let (_, trail) = scene.json(&["audit", "--subject", "chain:demo"]).await;
    assert_eq!(trail[0]["action"], "reorg_accepted");
    assert_eq!((&trail[0]["from"], &trail[0]["to"]), (&json!("halted"), &json!("following")));
    assert_eq!(trail[0]["actor"], permission.accepted_by);
    let reason = trail[0]["reason"].as_str().unwrap();
    assert!(reason.contains("two explorers agree") && reason.contains("14..21") && reason.contains(&right), "{reason}");

    let (code, again) = scene.resume(&["--accept-reorg"]).await;
    assert_eq!((code, &again["outcome"]), (Some(1), &json!("not_halted")));
    let status = scene.run(&["follower", "status"]).await;
    assert!(status.stdout.contains("two explorers agree"), "what waits to be replaced is shown: {status:?}");
}

#[tokio::test]
async fn a_cleared_halt_gives_no_permission() {
    let scene = Scene::new().await;
    scene.halt().await;
    let (code, cleared) = scene.resume(&["--look-again", "--reason", "another endpoint"]).await;
    assert_eq!((code, &cleared["outcome"]), (Some(0), &json!("looks_again")), "{cleared:#}");
    assert!(!scene.is_halted().await);
    let dispute = disputed_reorg::read(&mut scene.connect().await, CHAIN).await.unwrap().unwrap();
    assert_eq!(dispute.permission, None);
    let (_, trail) = scene.json(&["audit", "--subject", "chain:demo"]).await;
    assert_eq!(trail[0]["action"], "looks_again");
    let (_, status) = scene.json(&["follower", "status"]).await;
    assert_eq!(status[0]["disputed_reorg"], json!(null), "there is nothing to decide any more");
}

#[tokio::test]
async fn gaps_are_listed_by_what_is_wrong() {
    let scene = Scene::new().await;
    let (code, whole) = scene.json(&["follower", "gaps"]).await;
    assert_eq!((code, &whole[0]["gaps"]), (Some(0), &json!([])));
    assert_eq!(whole[0]["blocks"], json!({"start": 0, "end": 21}));
    scene
        .execute(
            "DELETE FROM hot.blocks WHERE block_number IN (4, 5);
             UPDATE hot.blocks SET transaction_count = 2 WHERE block_number = 9;
             UPDATE hot.blocks SET parent_hash = sha256('x') WHERE block_number = 13",
        )
        .await;
    let (code, found) = scene.json(&["follower", "gaps", "--chain", "31337"]).await;
    let gaps: Vec<(u64, &str)> = found[0]["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| (gap["block_number"].as_u64().unwrap(), gap["kind"].as_str().unwrap()))
        .collect();
    assert_eq!((code, gaps), (Some(1), vec![(12, "other_hash"), (9, "transactions"), (5, "missing"), (4, "missing")]));
    let table = scene.run(&["follower", "gaps"]).await;
    for part in ["4 of blocks 0 to 20 are not whole", "the block is missing", "--repair"] {
        assert!(table.code == Some(1) && table.stdout.contains(part), "{part}: {table:?}");
    }

    scene.halt().await;
    let (code, halted) = scene.json(&["follower", "gaps", "--repair"]).await;
    assert_eq!((code, &halted[0]["repair"]["outcome"]), (Some(1), &json!("halted")), "nobody mends a halted chain");
}

#[tokio::test]
async fn gaps_beyond_those_that_are_shown_are_counted() {
    let scene = Scene::new().await;
    scene.execute("UPDATE hot.cursors SET tip_number = 12020").await;
    let (code, found) = scene.json(&["follower", "gaps"]).await;
    assert_eq!((code, &found[0]["gap_count"], &found[0]["complete"]), (Some(1), &json!(12_000), &json!(false)));
    let shown = found[0]["gaps"].as_array().unwrap();
    assert_eq!((shown.len(), &shown[0]["block_number"]), (10_000, &json!(12_020)));
}

#[tokio::test]
async fn a_look_that_nobody_has_taken_up_is_shown_with_who_asked_for_it() {
    let scene = Scene::new().await;
    let (_, nobody) = scene.json(&["follower", "gaps"]).await;
    assert_eq!(nobody[0]["asked"], json!(null));
    gaps::ask(&mut scene.connect().await, CHAIN, "cli:ann").await.unwrap();
    let (_, asked) = scene.json(&["follower", "gaps"]).await;
    assert_eq!(asked[0]["asked"]["asked_by"], "cli:ann");
    let table = scene.run(&["follower", "gaps"]).await;
    assert!(table.stdout.contains("cli:ann asked for a look"), "{table:?}");
}
