//! What the dice of [`Traffic`](super::Traffic) never show: every way to call and to create, deep nesting, calls that
//! fail inside others that do not, contracts that destroy themselves, precompiles, and long inputs.
//!
//! One transaction of each kind at a time, from an account of its own, so that the dice fall as they would without it.
//! For a chain without reorgs: it does not look whether what it has sent is still there. Never send it to a chain that
//! is not the laboratory's.

use alloy::primitives::{Address, Bytes, U256, hex};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::bytecode::{self, odd};
use super::transaction::{Call, signed};
use super::wallet::{Account, odd_sender};
use crate::LabError;
use crate::rpc::Rpc;

/// 10^24 wei, as every other account of the laboratory has.
const BALANCE: &str = "0xd3c21bcecceda1000000";
/// Bytes of a long input.
const LONG_INPUT: usize = 10_000;
/// Gas for it, at the 40 a byte of EIP-7623.
const LONG_INPUT_GAS: u64 = 1_000_000;
/// Deepest nesting. Each call keeps a 64th of the gas (EIP-150), so that the innermost one has most of it.
const DEEPEST: u64 = 20;
/// Precompiles. Source: Yellow Paper, appendix E.
const SHA256: Address = Address::with_last_byte(2);
const IDENTITY: Address = Address::with_last_byte(4);

/// The maker of odd transactions.
#[derive(Debug)]
pub struct OddTraffic {
    rpc: Rpc,
    chain_id: u64,
    rng: ChaCha8Rng,
    sender: Account,
    /// `None` until they are sent.
    contracts: Option<Contracts>,
}

/// Where its contracts are.
#[derive(Clone, Copy, Debug)]
struct Contracts {
    logger: Address,
    reverter: Address,
    forwarder: Address,
    delegator: Address,
    code_caller: Address,
    static_caller: Address,
    nester: Address,
    quitter: Address,
    ephemeral_factory: Address,
    salted_factory: Address,
}

impl OddTraffic {
    /// A maker for a fresh chain, on which it gives its account a balance.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn start(rpc_url: impl Into<String>, chain_id: u64, seed: u64) -> Result<Self, LabError> {
        let (rpc, sender) = (Rpc::new(rpc_url), odd_sender());
        rpc.call("anvil_setBalance", json!([sender.address, BALANCE])).await?;
        Ok(Self { rpc, chain_id, rng: ChaCha8Rng::seed_from_u64(seed), sender, contracts: None })
    }

    /// Makes one transaction of each kind and sends them, for the next block; before the first ones, the contracts that
    /// they call. Returns how many.
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub async fn send(&mut self) -> Result<usize, LabError> {
        let transactions = self.next_transactions();
        let params: Vec<Value> = transactions.iter().map(|raw| json!([hex::encode_prefixed(raw)])).collect();
        self.rpc.batch("eth_sendRawTransaction", &params).await?;
        Ok(transactions.len())
    }

    fn next_transactions(&mut self) -> Vec<Bytes> {
        let mut transactions = Vec::new();
        let contracts = match self.contracts {
            Some(contracts) => contracts,
            None => self.deploy(&mut transactions),
        };
        for call in self.calls(&contracts) {
            transactions.push(self.sign(call));
        }
        transactions
    }

    fn deploy(&mut self, transactions: &mut Vec<Bytes>) -> Contracts {
        let mut deployed = |runtime: Bytes| {
            let address = self.sender.address.create(self.sender.nonce);
            transactions.push(self.sign(Call::create(bytecode::initcode(&runtime))));
            address
        };
        let contracts = Contracts {
            logger: deployed(bytecode::logger_runtime()),
            reverter: deployed(bytecode::reverter_runtime()),
            forwarder: deployed(bytecode::forwarder_runtime()),
            delegator: deployed(odd::delegator_runtime()),
            code_caller: deployed(odd::code_caller_runtime()),
            static_caller: deployed(odd::static_caller_runtime()),
            nester: deployed(odd::nester_runtime()),
            quitter: deployed(odd::quitter_runtime()),
            ephemeral_factory: deployed(odd::ephemeral_factory_runtime()),
            salted_factory: deployed(odd::salted_factory_runtime()),
        };
        self.contracts = Some(contracts);
        contracts
    }

    /// One of each kind.
    fn calls(&mut self, contracts: &Contracts) -> Vec<Call> {
        let (text, long) = (self.bytes(70), self.bytes(LONG_INPUT));
        let reason = bytecode::revert_reason("paused");
        let depth = word(self.rng.random_range(1..=DEEPEST));
        let salt = word(self.sender.nonce);
        let passed_on = |by: Address, to: Address, input: &[u8]| Call::new(by, bytecode::forward_input(to, input));
        vec![
            passed_on(contracts.delegator, contracts.logger, &text),
            passed_on(contracts.code_caller, contracts.logger, &text),
            passed_on(contracts.static_caller, contracts.reverter, &reason),
            passed_on(contracts.static_caller, SHA256, &text),
            passed_on(contracts.forwarder, contracts.reverter, &reason),
            passed_on(contracts.forwarder, contracts.nester, &depth),
            Call::new(IDENTITY, text),
            Call::new(contracts.quitter, Bytes::new()).with_value(U256::from(self.rng.random_range(1..1_000_u64))),
            Call::new(contracts.ephemeral_factory, Bytes::new()),
            Call::new(contracts.salted_factory, salt),
            Call::new(Address::from(self.rng.random::<[u8; 20]>()), long).with_gas_limit(LONG_INPUT_GAS),
        ]
    }

    fn bytes(&mut self, length: usize) -> Bytes {
        let bytes: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
        bytes.into()
    }

    fn sign(&mut self, call: Call) -> Bytes {
        signed(call, self.chain_id, &mut self.sender, &mut self.rng)
    }
}

fn word(number: u64) -> Bytes {
    U256::from(number).to_be_bytes::<32>().into()
}
