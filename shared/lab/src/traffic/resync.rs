//! Finds out whether the chain lost some of the traffic, and starts again from what is left.
//!
//! The node's `pending` nonces cannot tell: after a reorg its pool may hold transactions whose predecessors are gone,
//! and counts them all the same. So the pool must hold exactly what lies between the mined nonce and ours.

use std::collections::BTreeSet;

use alloy::primitives::Address;
use serde_json::{Value, json};

use super::Traffic;
use crate::LabError;
use crate::rpc::{quantity, shape};

impl Traffic {
    /// Compares the accounts with the node. If a reorg, a rollback or a refusal took transactions away, it empties the
    /// node's pool, goes on from the mined nonces, and deploys lost contracts anew with the next block. Else it changes
    /// nothing.
    ///
    /// # Errors
    /// As [`Rpc::call`](crate::rpc::Rpc::call).
    pub async fn resync(&mut self) -> Result<(), LabError> {
        let pool = self.rpc.call("txpool_inspect", json!([])).await?;
        let mined = self.mined_nonces().await?;
        let complete = self
            .senders
            .iter()
            .zip(&mined)
            .all(|(account, mined)| waiting_nonces(&pool, account.address).into_iter().eq(*mined..account.nonce));
        if complete {
            return Ok(());
        }
        self.rpc.call("anvil_dropAllTransactions", json!([])).await?;
        let mined = self.mined_nonces().await?;
        for (account, nonce) in self.senders.iter_mut().chain(&mut self.authorities).zip(mined) {
            account.nonce = nonce;
        }
        let deployed = self.contracts.deployed();
        let params: Vec<Value> = deployed.iter().map(|(_, address)| json!([address, "latest"])).collect();
        let codes = self.rpc.batch("eth_getCode", &params).await?;
        for ((contract, _), code) in deployed.iter().zip(&codes) {
            if code == "0x" {
                self.contracts.forget(*contract);
            }
        }
        Ok(())
    }

    /// Nonces as of the newest block, senders first, then authorities.
    async fn mined_nonces(&self) -> Result<Vec<u64>, LabError> {
        let accounts = self.senders.iter().chain(&self.authorities);
        let params: Vec<Value> = accounts.map(|account| json!([account.address, "latest"])).collect();
        let nonces = self.rpc.batch("eth_getTransactionCount", &params).await?;
        let nonces: Option<Vec<u64>> = nonces.iter().map(quantity).collect();
        nonces.ok_or_else(|| shape("eth_getTransactionCount", "result"))
    }
}

/// Nonces of an account's transactions in the pool, ready or not.
fn waiting_nonces(pool: &Value, address: Address) -> BTreeSet<u64> {
    let address = address.to_string();
    ["pending", "queued"]
        .into_iter()
        .filter_map(|part| pool[part].as_object())
        .flatten()
        .filter(|(owner, _)| owner.eq_ignore_ascii_case(&address))
        .filter_map(|(_, waiting)| waiting.as_object())
        .flat_map(|waiting| waiting.keys().filter_map(|nonce| nonce.parse().ok()))
        .collect()
}
