//! A chain with the traffic of the demo that moves when told to, the stack that follows it, and receivers.

use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::process::eventually;
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_local_stack::{LocalAws, names};
use isotherm_types::{B256, Clock as _, SystemClock};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::receivers::{ACCOUNT, NUMBER, Receivers, SLACK_CHANNEL, SLACK_TOKEN};
use crate::stack::Stack;

/// The rules are about transfers above it. Three in four of the traffic's are below.
pub(crate) const LIMIT: u64 = 10_000_000;
/// First topic of `Transfer(address,address,uint256)`. Source: ERC-20.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
/// Whoever gets them.
const RECIPIENT: &str = "beef";
/// Blocks below the newest one that can be replaced.
const PROFILE: &str = "{ name: test, block_time_ms: 200, finality: { kind: depth, blocks: 40 }, max_reorg_depth: 20, \
                       partition_blocks: 1000, checks: { effective_gas_price: never }, chain_id: ";
/// The evaluator has looked at the branch that ends with this block, and nothing waits to be sent.
const SETTLED: &str = "
    SELECT EXISTS (SELECT FROM alerts.cursors WHERE block_hash = $1 AND recheck_from IS NULL)
       AND NOT EXISTS (SELECT FROM alerts.deliveries WHERE state IN ('queued', 'sending'))";

pub(crate) struct Stage {
    pub(crate) chain: Anvil,
    pub(crate) traffic: Traffic,
    pub(crate) receivers: Receivers,
    stack: Stack,
    conn: PgConnection,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        // Blocks of now: people are not told of old ones.
        let now = SystemClock.now().timestamp().unsigned_abs();
        let options = AnvilOptions { timestamp: Some(now), ..AnvilOptions::deterministic() };
        let chain = Anvil::start(options).await.unwrap();
        let options = TrafficOptions { transactions_per_block: 12, empty_block_one_in: 0 };
        let mut traffic = Traffic::new(chain.rpc_url(), chain.chain_id(), 7, options);
        for _ in 0..3 {
            traffic.mine_block().await.unwrap();
        }
        let mut stack = Stack::new();
        let (file, chain_id) = (stack.folder().join("chains.yaml"), chain.chain_id().to_string());
        std::fs::write(&file, format!("{{ version: 1, chains: [{PROFILE}{chain_id} }}] }}\n")).unwrap();
        let (file, url) = (file.to_str().unwrap().to_owned(), chain.rpc_url());
        stack.start(&["up", "--rpc-url", &url, "--chains", &file, "--chain", &chain_id, "--start", "0"]).await;
        let running = stack.running().unwrap();
        let text = |name: &str| running[name].as_str().unwrap().to_owned();
        let receivers = Receivers::start(&text("endpoint_url")).await;
        lead_here(&text("endpoint_url"), &receivers).await;
        let conn = PgConnection::connect(&text("database_url")).await.unwrap();
        let stage = Self { chain, traffic, receivers, stack, conn };
        let head = stage.head().await;
        eventually("the chain to be stored", async || stage.stack.tip().await == head).await.unwrap();
        stage
    }

    /// One channel of each kind, and a second webhook.
    pub(crate) async fn add_channels(&mut self) {
        let (hooks, quiet) = (self.receivers.hooks_url(), self.receivers.quiet_url());
        let most = ["--per-minute", "6000"];
        for (name, kind, address) in [
            ("hooks", "--webhook", hooks.as_str()),
            ("quiet", "--webhook", quiet.as_str()),
            ("ann", "--email", "ann@example.org"),
            ("pager", "--sms", NUMBER),
        ] {
            let added = self.stack.json(&[&["channels", "add", name, kind, address][..], &most].concat()).await;
            if let Some(key) = added["address"]["keys"][0].as_str() {
                self.receivers.add_key(key);
            }
        }
        let slack = [&["channels", "add", "ops", "--slack", SLACK_CHANNEL][..], &most].concat();
        let added = self.stack.run_with_input(&slack, &format!("{SLACK_TOKEN}\n")).await;
        assert_eq!(added.code, Some(0), "{added:?}");
        // As whoever has the mailbox and the telephone does.
        let codes = self.receivers.codes().await;
        for (name, code) in ["ann", "pager"].into_iter().zip(codes) {
            let confirmed = self.stack.json(&["channels", "confirm", name, &code]).await;
            assert_eq!(confirmed["state"], json!("active"), "{confirmed}");
        }
    }

    /// Puts the rules of a file to work, from the next block on.
    pub(crate) async fn apply(&self, rules: &str) {
        let file = self.stack.folder().join("alerts.yaml");
        std::fs::write(&file, rules.replace("@loud", &self.loud()).replace("@quiet", &self.quiet())).unwrap();
        let applied = self.stack.run(&["alerts", "apply", file.to_str().unwrap()]).await;
        assert_eq!(applied.code, Some(0), "{applied:?}");
    }

    /// The token that everybody is told of.
    pub(crate) fn loud(&self) -> String {
        self.traffic.tokens()[0].to_string()
    }

    /// Another one.
    pub(crate) fn quiet(&self) -> String {
        self.traffic.tokens()[1].to_string()
    }

    /// Sends `amount` of a token, by an account that the traffic does not use; the transaction waits for its block.
    pub(crate) async fn transfer(&self, token: &str, amount: u64) -> String {
        let accounts = self.chain.call("eth_accounts", json!([])).await.unwrap();
        // `transfer(address,uint256)`. Source: ERC-20.
        let data = format!("0xa9059cbb{RECIPIENT:0>64}{amount:064x}");
        let call = json!({ "from": accounts[0], "to": token, "data": data, "gas": "0x30d40" });
        let hash = self.chain.call("eth_sendTransaction", json!([call])).await.unwrap();
        hash.as_str().unwrap().to_owned()
    }

    pub(crate) async fn head(&self) -> u64 {
        self.chain.block_number().await.unwrap()
    }

    /// The number of the block that holds a transaction.
    pub(crate) async fn block_of(&self, transaction: &str) -> u64 {
        let receipt = self.chain.call("eth_getTransactionReceipt", json!([transaction])).await.unwrap();
        number(&receipt["blockNumber"])
    }

    /// Transactions of the transfers of a token above the limit from block `first` on, as the chain itself says; sorted.
    pub(crate) async fn large_transfers(&self, token: &str, first: u64) -> Vec<String> {
        let filter = json!({ "fromBlock": format!("{first:#x}"), "address": token, "topics": [TRANSFER] });
        let logs = self.chain.call("eth_getLogs", json!([filter])).await.unwrap();
        // Words of one length are in the order of their numbers.
        let limit = format!("0x{LIMIT:064x}");
        let large = logs.as_array().unwrap().iter().filter(|log| log["data"].as_str().unwrap() > limit.as_str());
        let mut transactions: Vec<String> =
            large.map(|log| log["transactionHash"].as_str().unwrap().to_owned()).collect();
        transactions.sort_unstable();
        transactions
    }

    /// Waits until the chain's newest block has been looked at and everything that follows from it was sent.
    pub(crate) async fn settled(&mut self) {
        let head = self.chain.call("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
        let hash: B256 = head["hash"].as_str().unwrap().parse().unwrap();
        let conn = &mut self.conn;
        let settled = eventually("the alerts to be settled", async || {
            sqlx::query_scalar::<_, bool>(SETTLED).bind(hash.as_slice()).fetch_one(&mut *conn).await.unwrap()
        });
        let settled = settled.await;
        if let Err(error) = settled {
            let waiting: Vec<(String, String, Option<String>)> =
                sqlx::query_as("SELECT kind, state, last_error_code FROM alerts.deliveries WHERE finished_at IS NULL")
                    .fetch_all(&mut self.conn)
                    .await
                    .unwrap();
            panic!("{error}; block {hash}, tip {}: {waiting:?}", self.stack.tip().await);
        }
    }

    /// Transaction and state of what a rule has found, the newest first.
    pub(crate) async fn states(&self, rule: &str) -> Vec<(String, String)> {
        let alerts = self.stack.json(&["alerts", "events", "--rule", rule]).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let alerts = alerts.as_array().unwrap().iter();
        alerts.map(|alert| (text(&alert["transaction_hash"]), text(&alert["state"]))).collect()
    }

    pub(crate) async fn end(mut self) {
        let down = self.stack.run(&["down", "--wipe"]).await;
        assert_eq!(down.code, Some(0), "{down:?}");
        assert_eq!(self.stack.ended().await, Some(0), "{}", self.stack.log());
    }
}

fn number(quantity: &Value) -> u64 {
    u64::from_str_radix(quantity.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

/// Has the running sender take `receivers` for Slack, and reach the emulator's SES by way of them.
async fn lead_here(endpoint_url: &str, receivers: &Receivers) {
    let aws = LocalAws::new(endpoint_url, "us-east-1", ACCOUNT).await;
    let (lambda, name) = (aws.lambda(), names::function("alert_deliver"));
    let found = lambda.get_function_configuration().function_name(&name).send().await.unwrap();
    let mut variables = found.environment().and_then(|found| found.variables()).cloned().unwrap();
    variables.insert("ISOTHERM_SLACK_API".to_owned(), receivers.slack_api());
    // Read by the AWS SDK itself.
    variables.insert("AWS_ENDPOINT_URL_SESV2".to_owned(), receivers.ses_endpoint());
    let environment = aws_sdk_lambda::types::Environment::builder().set_variables(Some(variables)).build();
    lambda.update_function_configuration().function_name(&name).environment(environment).send().await.unwrap();
    eventually("the sender to be configured", async || {
        let found = lambda.get_function_configuration().function_name(&name).send().await.unwrap();
        found.last_update_status() == Some(&aws_sdk_lambda::types::LastUpdateStatus::Successful)
    })
    .await
    .unwrap();
}
