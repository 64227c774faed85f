//! A seeded traffic maker: equal seeds make equal transactions, byte for byte.
//!
//! It signs everything itself, so signatures, types 0, 1, 2 and 4, access lists and authorizations are real, and it
//! knows beforehand what each receipt must hold. Two ways to use it:
//!
//! * [`Traffic::mine_block`] on a chain that mines when told to ([`AnvilOptions::deterministic`]): the same seed gives
//!   the same block hashes;
//! * [`Traffic::tick`] again and again on a chain that mines by itself; it looks at the node's nonces first, so it
//!   goes on after a reorg that took transactions away.
//!
//! What its dice never show is in [`odd`]. Never send it to a chain that is not the laboratory's.
//!
//! [`AnvilOptions::deterministic`]: crate::anvil::AnvilOptions::deterministic

use alloy::primitives::{Address, B256, Bytes, U256, hex, keccak256};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::LabError;
use crate::rpc::{Rpc, quantity, shape};

pub mod bytecode;
mod contracts;
pub mod odd;
mod resync;
mod tally;
mod transaction;
mod wallet;

use contracts::{Contract, Contracts};
pub use tally::Tally;
pub use transaction::Kind;
use transaction::{Call, signed};
use wallet::Account;
pub use wallet::funded_accounts;

/// How much traffic to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficOptions {
    /// Mean number of transactions in a block that has any; each block draws from half to one and a half of it.
    pub transactions_per_block: u32,
    /// One block in this many is left empty; 0 for none.
    pub empty_block_one_in: u32,
}

impl Default for TrafficOptions {
    fn default() -> Self {
        Self { transactions_per_block: 20, empty_block_one_in: 12 }
    }
}

/// The traffic maker.
#[derive(Debug)]
pub struct Traffic {
    rpc: Rpc,
    chain_id: u64,
    options: TrafficOptions,
    rng: ChaCha8Rng,
    senders: Vec<Account>,
    authorities: Vec<Account>,
    contracts: Contracts,
    tally: Tally,
    /// Seconds since 1970 of the genesis block, once known.
    genesis_timestamp: Option<u64>,
}

impl Traffic {
    /// A maker for a fresh chain. On a chain that has seen its traffic before, call [`Traffic::resync`] first.
    pub fn new(rpc_url: impl Into<String>, chain_id: u64, seed: u64, options: TrafficOptions) -> Self {
        Self {
            rpc: Rpc::new(rpc_url),
            chain_id,
            options,
            rng: ChaCha8Rng::seed_from_u64(seed),
            senders: wallet::senders(),
            authorities: wallet::authorities(),
            contracts: Contracts::default(),
            tally: Tally::default(),
            genesis_timestamp: None,
        }
    }

    /// What was made so far, sent or not.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The standing tokens' addresses; empty before the first block.
    pub fn tokens(&self) -> Vec<Address> {
        self.contracts.tokens()
    }

    /// Makes the signed transactions of one block, in the order in which they must be sent. Without I/O.
    ///
    /// The first block also deploys the standing contracts that the others call.
    pub fn next_block_transactions(&mut self) -> Vec<Bytes> {
        let mut transactions = Vec::new();
        for contract in self.contracts.missing() {
            transactions.push(self.deploy(contract));
        }
        let empty = match self.options.empty_block_one_in {
            0 => false,
            one_in => self.rng.random_ratio(1, one_in),
        };
        if !empty {
            let mean = self.options.transactions_per_block;
            let count = self.rng.random_range(mean.div_ceil(2)..=mean + mean / 2);
            for _ in 0..count {
                transactions.push(self.draw_transaction());
            }
        }
        transactions
    }

    /// Sends signed transactions in order and returns their hashes.
    ///
    /// # Errors
    /// [`LabError::Rpc`] for the first one refused; the rest may have been taken. [`Traffic::resync`] mends the nonces.
    pub async fn send(&self, transactions: &[Bytes]) -> Result<Vec<B256>, LabError> {
        let params: Vec<Value> = transactions.iter().map(|raw| json!([hex::encode_prefixed(raw)])).collect();
        self.rpc.batch("eth_sendRawTransaction", &params).await?;
        Ok(transactions.iter().map(keccak256).collect())
    }

    /// Makes, sends and mines one block on a chain that mines only when told to. Two blocks share a second, as they do
    /// on fast chains, so a timestamp never identifies a block.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn mine_block(&mut self) -> Result<(), LabError> {
        let transactions = self.next_block_transactions();
        self.send(&transactions).await?;
        let genesis_timestamp = match self.genesis_timestamp {
            Some(seconds) => seconds,
            None => self.read_genesis_timestamp().await?,
        };
        let head = self.rpc.call("eth_blockNumber", json!([])).await?;
        let head = quantity(&head).ok_or_else(|| shape("eth_blockNumber", "result"))?;
        let timestamp = genesis_timestamp + (head + 2) / 2;
        self.rpc.call("evm_setNextBlockTimestamp", json!([timestamp])).await?;
        self.rpc.call("anvil_mine", json!(["0x1"])).await.map(drop)
    }

    /// Resyncs, then makes and sends the transactions of about one block to a chain that mines by itself, and returns
    /// how many. Returns 0 if the node refuses any, which a reorg in between can cause.
    ///
    /// # Errors
    /// As [`Rpc::call`], except refusals.
    pub async fn tick(&mut self) -> Result<usize, LabError> {
        self.resync().await?;
        let transactions = self.next_block_transactions();
        match self.send(&transactions).await {
            Ok(hashes) => Ok(hashes.len()),
            Err(LabError::Rpc { message, .. }) => {
                tracing::debug!(reason = message, "node refused traffic");
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    async fn read_genesis_timestamp(&mut self) -> Result<u64, LabError> {
        let genesis = self.rpc.call("eth_getBlockByNumber", json!(["0x0", false])).await?;
        let seconds = quantity(&genesis["timestamp"]).ok_or_else(|| shape("eth_getBlockByNumber", "timestamp"))?;
        self.genesis_timestamp = Some(seconds);
        Ok(seconds)
    }

    fn deploy(&mut self, contract: Contract) -> Bytes {
        let sender = &self.senders[0];
        self.contracts.remember(contract, sender.address.create(sender.nonce));
        let kind = if contract.is_token() { Kind::DeployToken } else { Kind::Deploy };
        self.sign(kind, Call::create(contract.initcode()), 0)
    }

    fn draw_transaction(&mut self) -> Bytes {
        let kind = Kind::draw(&mut self.rng);
        let sender = self.rng.random_range(0..self.senders.len());
        let call = self.call_of(kind, sender);
        self.sign(kind, call, sender)
    }

    fn sign(&mut self, kind: Kind, call: Call, sender: usize) -> Bytes {
        self.tally.add(kind);
        signed(call, self.chain_id, &mut self.senders[sender], &mut self.rng)
    }

    fn call_of(&mut self, kind: Kind, sender: usize) -> Call {
        let contract = |wanted| self.contracts.address(wanted);
        match kind {
            Kind::Deploy | Kind::DeployToken => unreachable!("the dice never show a deployment"),
            Kind::NativeTransfer => {
                let to = if self.rng.random_ratio(1, 10) { self.senders[sender].address } else { self.recipient() };
                Call::new(to, Bytes::new()).with_value(self.native_value())
            }
            Kind::NativeTransferWithInput => {
                let length = self.rng.random_range(1..200);
                let input: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
                Call::new(self.recipient(), input.into()).with_value(self.native_value())
            }
            Kind::TokenTransfer => {
                let token = self.token();
                Call::new(token, self.transfer())
            }
            Kind::ForwardedTokenTransfer => {
                let forwarder = contract(Contract::Forwarder);
                let token = self.token();
                Call::new(forwarder, bytecode::forward_input(token, &self.transfer()))
            }
            Kind::OddLogs => {
                let logger = contract(Contract::Logger);
                let length = self.rng.random_range(0..100);
                let input: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
                Call::new(logger, input.into())
            }
            Kind::Revert => {
                let reasons = ["insufficient balance", "paused", "deadline passed", ""];
                let reason = reasons[self.rng.random_range(0..reasons.len())];
                Call::new(contract(Contract::Reverter), bytecode::revert_reason(reason))
            }
            Kind::UnknownSelector => Call::new(self.token(), Bytes::from_static(&[0xde, 0xad, 0xbe, 0xef])),
            Kind::OutOfGas => Call::new(contract(Contract::Burner), Bytes::new()).with_gas_limit(60_000),
            Kind::InvalidOpcode => Call::new(contract(Contract::Burner), Bytes::from_static(&[1])),
            Kind::CreateContract => Call::create(bytecode::initcode(&bytecode::logger_runtime())),
            Kind::FailedCreate => Call::create(bytecode::failing_initcode()),
            Kind::FactoryCall => Call::new(contract(Contract::Factory), Bytes::new()),
            Kind::Authorization => {
                let delegate = if self.rng.random_ratio(1, 4) { Address::ZERO } else { contract(Contract::Reverter) };
                let authority = self.rng.random_range(0..self.authorities.len());
                let authorization = self.authorities[authority].authorize(self.chain_id, delegate);
                Call { authorizations: vec![authorization], ..Call::new(self.recipient(), Bytes::new()) }
            }
        }
    }

    fn token(&mut self) -> Address {
        let tokens = self.contracts.tokens();
        tokens[self.rng.random_range(0..tokens.len())]
    }

    fn transfer(&mut self) -> Bytes {
        let value = match self.rng.random_range(0..20) {
            0 => U256::ZERO,
            1 => U256::MAX,
            2..=5 => U256::from(self.rng.random::<u128>()),
            _ => U256::from(self.rng.random_range(1..10_000_000_u64)),
        };
        bytecode::transfer_input(self.recipient(), value)
    }

    /// One of forty people, at times somebody new.
    fn recipient(&mut self) -> Address {
        if self.rng.random_ratio(1, 10) {
            return Address::from(self.rng.random::<[u8; 20]>());
        }
        let person = self.rng.random_range(0..40_u8);
        Address::from_word(keccak256([b"person ".as_slice(), &[person]].concat()))
    }

    /// Wei, up to about 1.2 of the native coin; at times nothing.
    fn native_value(&mut self) -> U256 {
        if self.rng.random_ratio(1, 10) { U256::ZERO } else { U256::from(self.rng.random::<u64>() >> 4) }
    }
}
