//! `isotherm alerts` and `isotherm channels` as commands, on a real database and a real emulator.

use std::fs::{self, File};
use std::process::Stdio;

use isotherm_lab::ministack::{Ministack, MinistackOptions};
use isotherm_lab::postgres::TestDatabase;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const FILE: &str = "\
alerts:
  - name: full
    chain: demo
    source: { dataset: blocks }
    condition: gas_used >= 15
    channels: [hooks]
  - name: large
    chain: demo
    source: { dataset: transactions, address: [\"0x5FbDB2315678afecb367f032d93F642f64180aa3\"] }
    condition: value > ether(\"1\")
    channels: [hooks]
";

/// Blocks 0 to 19 of chain 31337, one a second; block N used N gas.
const CHAIN: &str = "
CREATE TABLE hot.blocks_31337 PARTITION OF hot.blocks FOR VALUES IN (31337);
INSERT INTO hot.blocks (block_hash, author, block_number, gas_used, extra_data, timestamp, chain_id, parent_hash,
                        uncles_hash, state_root, transactions_root, receipts_root, logs_bloom, difficulty, gas_limit,
                        mix_hash, nonce, transaction_count)
SELECT sha256(n::text::bytea), b, n, n, b, 1700000000 + n, 31337, sha256((n - 1)::text::bytea), b, b, b, b, b, b, 0, b, b, 0
  FROM generate_series(0, 19) AS n, (SELECT ''::bytea AS b) AS bytes;
INSERT INTO hot.cursors (chain_id, chain, partition_blocks, first_block, tip_number, tip_hash)
VALUES (31337, 'demo', 100, 0, 19, sha256('19'::bytea));
";

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A database and an emulator that look like a running stack to the command.
struct Scene {
    folder: TempDir,
    database: TestDatabase,
    _emulator: Ministack,
    _lock: Flock<File>,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let mut conn = database.connect().await.unwrap();
        sqlx::raw_sql(CHAIN).execute(&mut conn).await.unwrap();
        let emulator = Ministack::start(MinistackOptions::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let lock = Flock::lock(File::create(data.join("lock")).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        let stack = json!({
            "pid": std::process::id(), "kind": "demo", "chain": "demo", "endpoint_url": emulator.endpoint_url(),
            "api_url": "http://127.0.0.1:1", "database_url": database.url,
            "cron_target": {
                "group": "isotherm-triggers",
                "function_arn": "arn:aws:lambda:us-east-1:000000000000:function:isotherm-trigger-cron",
                "role_arn": "arn:aws:iam::000000000000:role/isotherm-scheduler",
                "retry_attempts": 3, "max_event_age_seconds": 3600,
            },
        });
        fs::write(data.join("running.json"), stack.to_string()).unwrap();
        Self { folder, database, _emulator: emulator, _lock: lock }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("alerts.yaml"), text).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        run_in(&self.folder, arguments, "").await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        self.run(&arguments).await.json()
    }

    async fn count(&self, table: &'static str) -> i64 {
        let mut conn = self.database.connect().await.unwrap();
        let sql = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap()
    }

    async fn with_hooks() -> Self {
        let scene = Self::new().await;
        let added = scene.json(&["channels", "add", "hooks", "--webhook", "http://127.0.0.1:9/hidden-path"]).await;
        assert!(added["address"]["keys"][0].as_str().unwrap().starts_with("whsec_"), "{added}");
        scene
    }
}

async fn run_in(folder: &TempDir, arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    command.arg("--data").arg(folder.path().join("data")).args(arguments).current_dir(folder.path());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may have ended by then.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn a_file_alone_is_checked_without_a_stack_and_every_fault_has_a_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("good.yaml"), FILE).unwrap();
    let bad = FILE.replace("gas_used >= 15", "gas_usd >= 15").replace("dataset: transactions", "dataset: transactins");
    fs::write(folder.path().join("bad.yaml"), bad).unwrap();
    let good = run_in(&folder, &["alerts", "apply", "good.yaml", "--offline"], "").await;
    assert_eq!((good.code, good.stdout.as_str()), (Some(0), "good.yaml: no fault; rules: 2\n"), "{good:?}");
    for further in [&["--offline"][..], &[]] {
        let bad = run_in(&folder, &[&["alerts", "apply", "bad.yaml"], further].concat(), "").await;
        assert_eq!((bad.code, bad.stdout.as_str()), (Some(1), ""), "{bad:?}");
        let lines: Vec<_> = bad.stderr.lines().collect();
        for fault in
            ["bad.yaml:5:16: rule \"full\": condition at 1:1: ", "bad.yaml:9:24: rule \"large\": source.dataset: "]
        {
            assert!(lines.iter().any(|line| line.starts_with(fault)), "{fault}: {bad:?}");
        }
    }
    let none = run_in(&folder, &["alerts", "apply", "good.yaml"], "").await;
    assert!(none.code == Some(1) && none.stderr.contains("no stack runs"), "{none:?}");
}

#[tokio::test]
async fn a_file_is_planned_and_applied_once_and_others_are_paused_only_if_asked() {
    let scene = Scene::new().await;
    scene.write(FILE);
    let unknown = scene.run(&["alerts", "apply", "alerts.yaml"]).await;
    assert_eq!((unknown.code, scene.count("alerts.rules").await), (Some(1), 0), "{unknown:?}");
    assert!(unknown.stderr.contains("alerts.yaml:6:16: rule \"full\": channels[0]: "), "{unknown:?}");

    scene.json(&["channels", "add", "hooks", "--email", "ann@example.org"]).await;
    let planned = scene.run(&["alerts", "apply", "alerts.yaml", "--plan"]).await;
    let lines: Vec<_> = planned.stdout.lines().collect();
    let expected = [
        "+ create     rule full",
        "+ create     rule large",
        "organisation default: 2 to create, 0 to change, 0 to pause, 0 left",
    ];
    assert_eq!((planned.code, lines), (Some(0), expected.to_vec()), "{planned:?}");
    assert_eq!(scene.count("alerts.rules").await, 0, "a plan changes nothing");
    let applied = scene.run(&["alerts", "apply", "alerts.yaml"]).await;
    assert_eq!((applied.code, applied.stdout), (Some(0), format!("{}applied\n", planned.stdout)));
    let again = scene.json(&["alerts", "apply", "alerts.yaml"]).await;
    assert_eq!(again["has_changes"], json!(false));

    // A rule that is wrong for this stack keeps the right one from being changed.
    scene.write(
        &FILE.replace(">= 15", ">= 16").replace("name: large\n    chain: demo", "name: large\n    chain: other"),
    );
    let refused = scene.run(&["alerts", "apply", "alerts.yaml"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("alerts.yaml:8:12: "), "{refused:?}");
    assert_eq!(scene.json(&["alerts", "show", "full"]).await["version"], json!(1), "all or nothing");

    let (first, _) = FILE.split_once("  - name: large").unwrap();
    scene.write(&first.replace(">= 15", ">= 16"));
    let changed = scene.json(&["alerts", "apply", "alerts.yaml"]).await;
    assert_eq!(changed["rules"].as_array().unwrap().len(), 1, "{changed}");
    assert_eq!(scene.json(&["alerts", "show", "full"]).await["version"], json!(2));
    assert_eq!(scene.json(&["alerts", "show", "large"]).await["state"], json!("active"));
    scene.json(&["alerts", "apply", "alerts.yaml", "--pause-others"]).await;
    assert_eq!(scene.json(&["alerts", "show", "large"]).await["state"], json!("paused"));
    let other = scene.run(&["alerts", "list", "--org", "nobody"]).await;
    assert!(other.code == Some(1) && other.stderr.contains("nobody"), "{other:?}");
}

#[tokio::test]
async fn a_rule_is_tried_held_back_muted_and_deleted() {
    let scene = Scene::with_hooks().await;
    scene.write(FILE);
    scene.json(&["alerts", "apply", "alerts.yaml"]).await;
    let tried = scene.json(&["alerts", "test", "full", "--from", "0", "--to", "20"]).await;
    assert_eq!((&tried["match_count"], &tried["told_count"]), (&json!(5), &json!(5)), "{tried}");
    let words = scene.run(&["alerts", "test", "full", "--from", "0", "--to", "20"]).await;
    assert!(
        words.stdout.contains("full would have told of 5 and kept back 0 in blocks 0 to 19; nothing was sent"),
        "{words:?}"
    );
    scene.write(&FILE.replace(">= 15", ">= 19"));
    let of_file = ["alerts", "test", "full", "--from", "0", "--to", "20", "--file", "alerts.yaml"];
    assert_eq!(scene.json(&of_file).await["match_count"], json!(1), "as the file has it, not as it is saved");
    // The SQL of a rule is asked of the query function, which this emulator does not have.
    let asking =
        "  - name: asking\n    chain: demo\n    source: { sql: SELECT 1, every_seconds: 60 }\n    channels: [hooks]\n";
    scene.write(&format!("{FILE}{asking}"));
    let asked = ["alerts", "test", "asking", "--from", "0", "--to", "20", "--file", "alerts.yaml"];
    let asked = scene.run(&asked).await;
    assert!(asked.code == Some(1) && asked.stderr.contains("could not invoke isotherm-query"), "{asked:?}");
    let beyond = scene.run(&["alerts", "test", "full", "--from", "20", "--to", "30"]).await;
    assert!(beyond.code == Some(1) && beyond.stderr.contains("block 20 is not stored yet"), "{beyond:?}");
    assert_eq!((scene.count("alerts.alert_events").await, scene.count("alerts.deliveries").await), (0, 0));

    assert_eq!(scene.json(&["alerts", "pause", "full"]).await["state"], json!("paused"));
    assert_eq!(scene.json(&["alerts", "resume", "full"]).await["state"], json!("active"));
    assert!(scene.json(&["alerts", "mute", "full", "--for", "1h"]).await["muted_until"].is_string());
    assert!(scene.json(&["alerts", "mute", "full", "--off"]).await["muted_until"].is_null());
    assert_eq!(scene.run(&["alerts", "mute", "full"]).await.code, Some(2));
    assert_eq!(scene.run(&["alerts", "delete", "full"]).await.code, Some(0));
    let gone = scene.run(&["alerts", "show", "full"]).await;
    let sentence = "isotherm: there is no rule called \"full\"; there are: large\n";
    assert_eq!((gone.code, gone.stderr.as_str()), (Some(1), sentence));
    let trail = scene.json(&["audit", "--subject", "rule:full"]).await;
    let actions: Vec<_> = trail.as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["deleted", "unmuted", "muted", "resumed", "paused", "created"]);
}

#[tokio::test]
async fn a_mailbox_waits_for_its_code() {
    let scene = Scene::new().await;
    let added = scene.json(&["channels", "add", "ann", "--email", "ann@example.org"]).await;
    assert_eq!((&added["state"], &added["confirmed_at"]), (&json!("unconfirmed"), &Value::Null), "{added}");
    let shown = scene.run(&["channels", "show", "ann"]).await;
    assert!(shown.stdout.contains("isotherm channels confirm ann CODE"), "{shown:?}");
    let tested = scene.run(&["channels", "test", "ann"]).await;
    assert!(tested.code == Some(1) && tested.stderr.contains("is not confirmed"), "{tested:?}");
    let tries: [(&[&str], &str); 3] = [
        (&["channels", "confirm", "ann", "4TK9Q"], "ten letters and digits"),
        (&["channels", "confirm", "ann", "4TK9Q-Z0M2A"], "it is not sent yet"),
        (&["channels", "confirm", "ann"], "one a minute"),
    ];
    for (arguments, said) in tries {
        let refused = scene.run(arguments).await;
        assert!(refused.code == Some(1) && refused.stderr.contains(said), "{arguments:?}: {refused:?}");
    }
}

#[tokio::test]
async fn addresses_are_sealed_anew_with_a_new_key_once_the_functions_have_it() {
    let scene = Scene::with_hooks().await;
    let sealed_by = async || {
        let mut conn = scene.database.connect().await.unwrap();
        let key = "SELECT encode(substring(sealed_address FROM 3 FOR 2), 'escape') FROM alerts.channels";
        sqlx::query_scalar::<_, String>(key).fetch_one(&mut conn).await.unwrap()
    };
    let handed_out = scene.json(&["channels", "reseal", "--new-key"]).await;
    assert_eq!(handed_out, json!({ "keys": ["k2", "k1"], "handed_out": true, "resealed": 0 }));
    assert_eq!(sealed_by().await, "k1", "nothing is sealed with a key that the functions do not have yet");
    assert_eq!(scene.json(&["channels", "reseal"]).await["resealed"], json!(1));
    assert_eq!(sealed_by().await, "k2");
    let again = scene.run(&["channels", "reseal"]).await;
    assert!(again.code == Some(0) && again.stdout.contains("k1 may go"), "{again:?}");
    let shown = scene.json(&["channels", "show", "hooks", "--address"]).await;
    assert_eq!(shown["address"]["url"], json!("http://127.0.0.1:9/hidden-path"));

    let mut conn = scene.database.connect().await.unwrap();
    let spoilt = "UPDATE alerts.channels SET sealed_address = '\\x01026b31'";
    sqlx::query(spoilt).execute(&mut conn).await.unwrap();
    let lost = scene.run(&["channels", "reseal"]).await;
    assert!(lost.code == Some(1) && lost.stderr.contains("opens with none of the keys"), "{lost:?}");
    assert!(!lost.stdout.contains("may go"), "{lost:?}");
}

#[tokio::test]
async fn a_channel_shows_its_address_only_when_asked_and_the_trail_has_it() {
    let scene = Scene::with_hooks().await;
    for arguments in [&["channels", "list"][..], &["channels", "show", "hooks"]] {
        let shown = scene.run(arguments).await;
        assert!(shown.code == Some(0) && !shown.stdout.contains("hidden-path"), "{shown:?}");
    }
    let shown = scene.json(&["channels", "show", "hooks", "--address"]).await;
    assert_eq!(shown["address"]["url"], json!("http://127.0.0.1:9/hidden-path"));
    let rotated = scene.json(&["channels", "rotate-key", "hooks"]).await;
    assert_eq!(rotated["address"]["keys"][1], shown["address"]["keys"][0], "the one before still signs");
    let slower = scene.json(&["channels", "add", "hooks", "--per-minute", "5"]).await;
    assert_eq!((&slower["per_minute"], &slower["address"]["keys"]), (&json!(5), &rotated["address"]["keys"]));

    let inside = scene.run(&["channels", "add", "inside", "--webhook", "https://10.0.0.1/"]).await;
    assert!(inside.code == Some(1) && inside.stderr.contains("not public"), "{inside:?}");
    let bare = scene.run(&["channels", "add", "bare"]).await;
    assert!(bare.code == Some(1) && bare.stderr.contains("--webhook"), "{bare:?}");
    let slack = ["channels", "add", "ops", "--slack", "C0123456789", "--output", "json"];
    let slack = run_in(&scene.folder, &slack, "xoxb-1234-abcdEFGH\n").await;
    assert!(slack.json()["kind"] == json!("slack") && !slack.stdout.contains("xoxb"), "{slack:?}");

    let tested = scene.json(&["channels", "test", "hooks"]).await;
    let sent = scene.json(&["alerts", "deliveries", "--channel", "hooks"]).await;
    assert_eq!((&sent[0]["id"], &sent[0]["kind"]), (&tested["delivery_id"], &json!("test")));
    let id = sent[0]["id"].as_str().unwrap();
    let early = scene.run(&["alerts", "replay", id]).await;
    assert!(early.code == Some(1) && early.stderr.contains("is queued"), "{early:?}");

    assert_eq!(scene.run(&["channels", "delete", "hooks"]).await.code, Some(0));
    let trail = scene.json(&["audit", "--subject", "channel:hooks"]).await;
    let reads = trail.as_array().unwrap().iter().filter(|entry| entry["action"] == json!("address_read")).count();
    assert_eq!(reads, 4, "made, asked for, rotated, made slower: {trail}");
}
