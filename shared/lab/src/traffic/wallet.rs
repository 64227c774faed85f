//! The accounts of the traffic maker: keys, nonces, signatures.
//!
//! The keys are hashes of fixed words: worthless on any chain but the laboratory's, where [`funded_accounts`] goes into
//! the genesis block. Never fund them elsewhere.

use alloy::consensus::{SignableTransaction, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip7702::{Authorization, SignedAuthorization};
use alloy::primitives::{Address, Bytes, Signature, U256, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;

/// Accounts that send transactions.
pub(super) const SENDER_COUNT: usize = 16;

/// Accounts that only sign authorizations (EIP-7702), so that nothing else moves their nonces.
pub(super) const AUTHORITY_COUNT: usize = 4;

/// One account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) address: Address,
    /// Nonce of its next transaction or authorization.
    pub(super) nonce: u64,
    key: PrivateKeySigner,
}

impl Account {
    fn new(role: &str, index: usize) -> Self {
        let secret = keccak256(format!("isotherm laboratory, {role} {index}"));
        let key = PrivateKeySigner::from_bytes(&secret).expect("a fixed hash below the curve's order");
        Self { address: key.address(), nonce: 0, key }
    }

    /// Signs `transaction`, which carries this account's nonce, and counts the nonce up.
    pub(super) fn sign<Unsigned>(&mut self, transaction: Unsigned) -> Bytes
    where
        Unsigned: SignableTransaction<Signature>,
        TxEnvelope: From<alloy::consensus::Signed<Unsigned>>,
    {
        let hash = transaction.signature_hash();
        let signature = self.key.sign_hash_sync(&hash).expect("a local key signs any hash");
        self.nonce += 1;
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    /// Signs the delegation of this account's code to `address`, and counts the nonce up.
    pub(super) fn authorize(&mut self, chain_id: u64, address: Address) -> SignedAuthorization {
        let authorization = Authorization { chain_id: U256::from(chain_id), address, nonce: self.nonce };
        let signature = self.key.sign_hash_sync(&authorization.signature_hash()).expect("a local key signs any hash");
        self.nonce += 1;
        authorization.into_signed(signature)
    }
}

/// The accounts that send, with nonce 0.
pub(super) fn senders() -> Vec<Account> {
    (0..SENDER_COUNT).map(|index| Account::new("sender", index)).collect()
}

/// The accounts that authorize, with nonce 0.
pub(super) fn authorities() -> Vec<Account> {
    (0..AUTHORITY_COUNT).map(|index| Account::new("authority", index)).collect()
}

/// The account of the odd transactions, with nonce 0. The genesis block does not fund it.
pub(super) fn odd_sender() -> Account {
    Account::new("odd sender", 0)
}

/// Addresses that a chain of the laboratory must fund in its genesis block.
pub fn funded_accounts() -> Vec<Address> {
    senders().iter().map(|account| account.address).collect()
}
