//! The standing contracts: those that the traffic calls again and again.

use std::collections::BTreeMap;

use alloy::primitives::{Address, Bytes, U256};

use super::bytecode;

/// Number of standing tokens.
const TOKEN_COUNT: u8 = 3;

/// A standing contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contract {
    /// ERC-20 token number n.
    Token(u8),
    /// [`bytecode::logger_runtime`]
    Logger,
    /// [`bytecode::reverter_runtime`]
    Reverter,
    /// [`bytecode::burner_runtime`]
    Burner,
    /// [`bytecode::forwarder_runtime`]
    Forwarder,
    /// [`bytecode::factory_runtime`]
    Factory,
}

impl Contract {
    fn all() -> Vec<Self> {
        let mut all: Vec<Self> = (0..TOKEN_COUNT).map(Self::Token).collect();
        all.extend([Self::Logger, Self::Reverter, Self::Burner, Self::Forwarder, Self::Factory]);
        all
    }

    pub(super) fn is_token(self) -> bool {
        matches!(self, Self::Token(_))
    }

    pub(super) fn initcode(self) -> Bytes {
        match self {
            Self::Token(number) => {
                bytecode::token_initcode(U256::from(10).pow(U256::from(24)) * U256::from(number + 1))
            }
            Self::Logger => bytecode::initcode(&bytecode::logger_runtime()),
            Self::Reverter => bytecode::initcode(&bytecode::reverter_runtime()),
            Self::Burner => bytecode::initcode(&bytecode::burner_runtime()),
            Self::Forwarder => bytecode::initcode(&bytecode::forwarder_runtime()),
            Self::Factory => bytecode::initcode(&bytecode::factory_runtime()),
        }
    }
}

/// Where the standing contracts are.
#[derive(Debug, Default)]
pub(super) struct Contracts(BTreeMap<Contract, Address>);

impl Contracts {
    /// Those that must be deployed, tokens first.
    pub(super) fn missing(&self) -> Vec<Contract> {
        Contract::all().into_iter().filter(|contract| !self.0.contains_key(contract)).collect()
    }

    pub(super) fn deployed(&self) -> Vec<(Contract, Address)> {
        self.0.iter().map(|(contract, address)| (*contract, *address)).collect()
    }

    pub(super) fn remember(&mut self, contract: Contract, address: Address) {
        self.0.insert(contract, address);
    }

    pub(super) fn forget(&mut self, contract: Contract) {
        self.0.remove(&contract);
    }

    /// Address of a contract; every block deploys what is missing before it calls anything.
    pub(super) fn address(&self, contract: Contract) -> Address {
        *self.0.get(&contract).expect("missing contracts are deployed before any call is drawn")
    }

    pub(super) fn tokens(&self) -> Vec<Address> {
        self.0.iter().filter(|(contract, _)| contract.is_token()).map(|(_, address)| *address).collect()
    }
}
