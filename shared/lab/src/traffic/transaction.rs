//! The kinds of transactions and how each is built.
//!
//! Every kind says beforehand how many logs its receipt must hold and whether it fails, so that the tally of what was
//! made can be compared with what an indexer found.

use alloy::consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use rand::Rng;

use super::bytecode;
use super::wallet::Account;

/// A kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Creates one of the standing contracts.
    Deploy,
    /// Creates one of the standing tokens; its constructor emits a log.
    DeployToken,
    /// Native transfer, at times of nothing or to oneself.
    NativeTransfer,
    /// Native transfer with a few bytes of input.
    NativeTransferWithInput,
    /// ERC-20 transfer.
    TokenTransfer,
    /// ERC-20 transfer through a contract: the log's address is not the transaction's `to`.
    ForwardedTokenTransfer,
    /// Logs with none, one, two and four topics.
    OddLogs,
    /// Fails with a reason.
    Revert,
    /// Fails without a reason: the input is not what the contract knows.
    UnknownSelector,
    /// Fails by burning all its gas in a loop.
    OutOfGas,
    /// Fails at an invalid opcode.
    InvalidOpcode,
    /// Creates a contract that nobody calls.
    CreateContract,
    /// Fails to create a contract.
    FailedCreate,
    /// A contract creates a contract.
    FactoryCall,
    /// Sets an account's code (EIP-7702).
    Authorization,
}

/// Every kind that the dice may show, with its weight.
const WEIGHTS: [(Kind, u32); 13] = [
    (Kind::TokenTransfer, 40),
    (Kind::NativeTransfer, 22),
    (Kind::ForwardedTokenTransfer, 8),
    (Kind::OddLogs, 5),
    (Kind::Revert, 5),
    (Kind::CreateContract, 4),
    (Kind::NativeTransferWithInput, 4),
    (Kind::FactoryCall, 3),
    (Kind::Authorization, 3),
    (Kind::OutOfGas, 2),
    (Kind::UnknownSelector, 2),
    (Kind::InvalidOpcode, 1),
    (Kind::FailedCreate, 1),
];

impl Kind {
    /// Draws a kind by weight.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let total: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut point = rng.random_range(0..total);
        for (kind, weight) in WEIGHTS {
            if point < weight {
                return kind;
            }
            point -= weight;
        }
        unreachable!("the point lies below the sum of the weights")
    }

    /// Logs in its receipt.
    pub fn log_count(self) -> u64 {
        match self {
            Self::DeployToken | Self::TokenTransfer | Self::ForwardedTokenTransfer => 1,
            Self::OddLogs => bytecode::LOGGER_LOGS,
            Self::Deploy
            | Self::NativeTransfer
            | Self::NativeTransferWithInput
            | Self::Revert
            | Self::UnknownSelector
            | Self::OutOfGas
            | Self::InvalidOpcode
            | Self::CreateContract
            | Self::FailedCreate
            | Self::FactoryCall
            | Self::Authorization => 0,
        }
    }

    /// Whether its receipt has status 0.
    pub fn fails(self) -> bool {
        match self {
            Self::Revert | Self::UnknownSelector | Self::OutOfGas | Self::InvalidOpcode | Self::FailedCreate => true,
            Self::Deploy
            | Self::DeployToken
            | Self::NativeTransfer
            | Self::NativeTransferWithInput
            | Self::TokenTransfer
            | Self::ForwardedTokenTransfer
            | Self::OddLogs
            | Self::CreateContract
            | Self::FactoryCall
            | Self::Authorization => false,
        }
    }
}

/// What a transaction does; how it is priced and wrapped is up to [`signed`].
pub(super) struct Call {
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) input: Bytes,
    /// Gas that is surely enough, or surely not.
    pub(super) gas_limit: u64,
    /// Authorizations; any makes it a transaction of type 4.
    pub(super) authorizations: Vec<SignedAuthorization>,
}

impl Call {
    pub(super) fn new(to: Address, input: Bytes) -> Self {
        Self { to: TxKind::Call(to), value: U256::ZERO, input, gas_limit: 250_000, authorizations: Vec::new() }
    }

    pub(super) fn create(initcode: Bytes) -> Self {
        let to = TxKind::Create;
        Self { to, value: U256::ZERO, input: initcode, gas_limit: 500_000, authorizations: Vec::new() }
    }

    pub(super) fn with_value(self, value_wei: U256) -> Self {
        Self { value: value_wei, ..self }
    }

    pub(super) fn with_gas_limit(self, gas_limit: u64) -> Self {
        Self { gas_limit, ..self }
    }
}

/// Wraps `call` in a transaction of a drawn type (0, 1 or 2; 4 if it authorizes) and signs it.
pub(super) fn signed(call: Call, chain_id: u64, account: &mut Account, rng: &mut impl Rng) -> Bytes {
    const GWEI: u128 = 1_000_000_000;
    let nonce = account.nonce;
    let Call { to, value, input, gas_limit, authorizations } = call;
    let priority_fee = rng.random_range(0..3 * GWEI);
    let max_fee = 100 * GWEI + rng.random_range(0..GWEI);
    if !authorizations.is_empty() {
        return account.sign(TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: priority_fee,
            to: to.to().copied().unwrap_or_default(),
            value,
            access_list: access_list(rng),
            authorization_list: authorizations,
            input,
        });
    }
    match rng.random_range(0..10) {
        0..=2 => {
            // A tenth of the old transactions predate replay protection (EIP-155) and carry no chain id.
            let chain_id = (!rng.random_ratio(1, 10)).then_some(chain_id);
            account.sign(TxLegacy { chain_id, nonce, gas_price: max_fee, gas_limit, to, value, input })
        }
        3 => account.sign(TxEip2930 {
            chain_id,
            nonce,
            gas_price: max_fee,
            gas_limit,
            to,
            value,
            access_list: access_list(rng),
            input,
        }),
        _ => account.sign(TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: priority_fee,
            to,
            value,
            access_list: if rng.random_ratio(1, 8) { access_list(rng) } else { AccessList::default() },
            input,
        }),
    }
}

/// Up to two addresses with up to three keys each.
fn access_list(rng: &mut impl Rng) -> AccessList {
    let items = (0..rng.random_range(0..3)).map(|_| AccessListItem {
        address: Address::from(rng.random::<[u8; 20]>()),
        storage_keys: (0..rng.random_range(0..4)).map(|_| B256::from(rng.random::<[u8; 32]>())).collect(),
    });
    AccessList(items.collect())
}
