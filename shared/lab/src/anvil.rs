//! An EVM chain in one process (anvil), with the controls that tests of a follower need.
//!
//! Never expects anvil to behave as a real chain where it does not: it replaces finalized blocks when told to, sends
//! no notice of a rollback, and answers range queries past its head with an error.

use std::ffi::OsString;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::LabError;
use crate::folder::Folder;
use crate::port::Port;
use crate::process::{Process, ProcessSpec};
use crate::rpc::{Rpc, quantity, shape};
use crate::tools;
use crate::traffic::funded_accounts;

/// How the chain is started.
#[derive(Clone, Debug)]
pub struct AnvilOptions {
    /// Chain id; Monad's testnet by default.
    pub chain_id: u64,
    /// Mine a block per interval. Absent and not `no_mining`: one block per transaction.
    pub block_time: Option<Duration>,
    /// Mine only when [`Anvil::mine`] says so.
    pub no_mining: bool,
    /// `safe` is this many blocks behind `latest`, `finalized` twice as many. 1 has Monad's shape.
    pub slots_in_an_epoch: u64,
    /// States kept in memory; without a bound anvil writes gigabytes to disk.
    pub prune_history: Option<u64>,
    /// Funded accounts, derived from the well-known test mnemonic.
    pub accounts: u32,
    /// Seconds since 1970 of the genesis block; the wall clock if absent.
    pub timestamp: Option<u64>,
    /// Fixed port; a free one if absent.
    pub port: Option<u16>,
    /// Gas limit of a block, in gas.
    pub gas_limit: u64,
}

impl Default for AnvilOptions {
    fn default() -> Self {
        Self {
            chain_id: 10_143,
            block_time: None,
            no_mining: false,
            slots_in_an_epoch: 1,
            prune_history: Some(64),
            accounts: 20,
            timestamp: None,
            port: None,
            gas_limit: 200_000_000,
        }
    }
}

impl AnvilOptions {
    /// A chain that moves only when told to, from a fixed genesis: equal traffic gives equal hashes.
    pub fn deterministic() -> Self {
        Self { no_mining: true, timestamp: Some(1_700_000_000), ..Self::default() }
    }
}

/// A running chain. Dropping it stops it.
#[derive(Debug)]
pub struct Anvil {
    process: Process,
    rpc: Rpc,
    port: Port,
    chain_id: u64,
}

impl Anvil {
    /// Starts a chain and waits until it answers.
    ///
    /// # Errors
    /// [`LabError::ToolMissing`], or a process that ends early, with its log.
    pub async fn start(options: AnvilOptions) -> Result<Self, LabError> {
        let program = tools::anvil()?;
        let port = Port::fixed_or_free(options.port)?;
        let folder = Folder::temporary("anvil");
        let genesis_file = folder.path().join("genesis.json");
        let mut command: Vec<OsString> = vec![program.into()];
        command.extend(arguments(&options, port.number()).into_iter().map(Into::into));
        command.extend(["--init".into(), genesis_file.clone().into()]);
        // anvil keeps old states below its home.
        let environment = vec![("HOME".into(), folder.path().into()), ("NO_COLOR".into(), "1".into())];
        let prepared = ProcessSpec {
            name: "anvil",
            command,
            environment,
            folder,
            stop_signal: Signal::SIGTERM,
            stop_grace: Duration::from_secs(5),
        }
        .prepare()?;
        std::fs::write(&genesis_file, genesis(&options).to_string()).map_err(LabError::io("write", &genesis_file))?;
        let process = prepared.go()?;
        let rpc = Rpc::new(format!("http://127.0.0.1:{}", port.number()));
        let expected = format!("{:#x}", options.chain_id);
        process
            .wait_until_ready(async || rpc.call("eth_chainId", json!([])).await.is_ok_and(|found| found == expected))
            .await?;
        Ok(Self { process, rpc, port, chain_id: options.chain_id })
    }

    /// Address over HTTP.
    pub fn rpc_url(&self) -> String {
        self.rpc.url().to_owned()
    }

    /// Address over WebSocket.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port.number())
    }

    /// Its chain id.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// A plain JSON-RPC client of it.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The process, to signal or to look at.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Calls any method.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, LabError> {
        self.rpc.call(method, params).await
    }

    /// Number of the newest block.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn block_number(&self) -> Result<u64, LabError> {
        let found = self.call("eth_blockNumber", json!([])).await?;
        quantity(&found).ok_or_else(|| shape("eth_blockNumber", "result"))
    }

    /// Mines `block_count` blocks.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn mine(&self, block_count: u64) -> Result<(), LabError> {
        self.call("anvil_mine", json!([format!("{block_count:#x}")])).await.map(drop)
    }

    /// Replaces the newest `depth` blocks by as many new ones, which hold only `pairs`: a signed raw transaction (or a
    /// transaction request) and the offset of its block, 0 being the deepest. What the old blocks held is lost.
    ///
    /// # Errors
    /// As [`Rpc::call`]; a depth beyond the genesis block is refused.
    pub async fn reorg(&self, depth: u64, pairs: &[(Value, u64)]) -> Result<(), LabError> {
        let pairs: Vec<Value> = pairs.iter().map(|(transaction, offset)| json!([transaction, offset])).collect();
        self.call("anvil_reorg", json!([depth, pairs])).await.map(drop)
    }

    /// Removes the newest `depth` blocks without a notice: the head goes down.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn rollback(&self, depth: u64) -> Result<(), LabError> {
        self.call("anvil_rollback", json!([depth])).await.map(drop)
    }

    /// Remembers the present state and returns its name.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn snapshot(&self) -> Result<Value, LabError> {
        self.call("evm_snapshot", json!([])).await
    }

    /// Goes back to a state that [`Anvil::snapshot`] named; the name is used up.
    ///
    /// # Errors
    /// As [`Rpc::call`], and [`LabError::Shape`] if the chain does not know the name.
    pub async fn revert(&self, snapshot: Value) -> Result<(), LabError> {
        match self.call("evm_revert", json!([snapshot])).await? {
            Value::Bool(true) => Ok(()),
            _ => Err(shape("evm_revert", "result")),
        }
    }
}

/// A genesis block that funds the traffic maker's accounts with a million each.
fn genesis(options: &AnvilOptions) -> Value {
    const MILLION: &str = "0xd3c21bcecceda1000000"; // 10^24 wei
    let alloc: serde_json::Map<String, Value> =
        funded_accounts().into_iter().map(|address| (address.to_string(), json!({ "balance": MILLION }))).collect();
    json!({
        "config": { "chainId": options.chain_id },
        "alloc": alloc,
        "difficulty": "0x0",
        "gasLimit": format!("{:#x}", options.gas_limit),
        "baseFeePerGas": "0x3b9aca00",
        "timestamp": format!("{:#x}", options.timestamp.unwrap_or_default()),
    })
}

fn arguments(options: &AnvilOptions, port: u16) -> Vec<String> {
    let mut arguments: Vec<String> = vec![
        "--host=127.0.0.1".into(),
        format!("--port={port}"),
        format!("--chain-id={}", options.chain_id),
        format!("--slots-in-an-epoch={}", options.slots_in_an_epoch),
        format!("--accounts={}", options.accounts),
        format!("--gas-limit={}", options.gas_limit),
        "--balance=1000000".into(),
        "--order=fifo".into(),
        "--quiet".into(),
    ];
    if let Some(interval) = options.block_time {
        arguments.push(format!("--block-time={}", interval.as_secs_f64()));
    }
    if options.no_mining {
        arguments.push("--no-mining".into());
    }
    if let Some(states) = options.prune_history {
        arguments.push(format!("--prune-history={states}"));
    }
    if let Some(seconds) = options.timestamp {
        arguments.push(format!("--timestamp={seconds}"));
    }
    arguments
}
