//! The block that an answer is pinned to: rows above it are not seen.
//!
//! It belongs to one chain; others are seen as they are. A number may be any block up to the last one. A hash must be
//! that of a canonical block in hot storage, or the first or last of a cold file: the catalogue knows no other hashes,
//! and to find one among the rows would cost as much as a query.

use isotherm_cold_store::catalog;
use isotherm_hot_store::{stored_hash, stored_number};
use isotherm_types::{B256, BlockNumber, BlockRange, ChainId, Dataset};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::error::QueryError;
use crate::gate::NamedRelations;
use crate::scope::{ChainScope, Scope};

/// The block that an asker names.
///
/// As JSON: a number, the text of a hash (`0x` and 64 digits), or `{"chain": "monad", "block": …}` with either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct AsOf {
    /// Its chain; `None` where there is only one that could be meant.
    pub chain: Option<String>,
    /// The block.
    pub block: AsOfBlock,
}

/// A block by its number or by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenBlock", into = "WrittenBlock")]
pub enum AsOfBlock {
    /// Whichever block has this number.
    Number(BlockNumber),
    /// This very block.
    Hash(B256),
}

/// A block that a chain is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PinnedBlock {
    /// Its number.
    pub number: BlockNumber,
    /// Its hash, `0x…`; null if neither hot storage nor the catalogue knows it.
    pub hash: Option<B256>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "as_of is a block number, a block hash of 0x and 64 digits, or {chain, block}")]
enum Written {
    OfChain(OfChain),
    Block(AsOfBlock),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfChain {
    chain: String,
    block: AsOfBlock,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a block is a number, or a hash as the text of 0x and 64 hexadecimal digits")]
enum WrittenBlock {
    Number(BlockNumber),
    Text(String),
}

/// A text that is no hash.
#[derive(Debug, thiserror::Error)]
#[error("a block's hash is 0x and 64 hexadecimal digits")]
struct NoHash;

impl From<Written> for AsOf {
    fn from(written: Written) -> Self {
        match written {
            Written::OfChain(OfChain { chain, block }) => Self { chain: Some(chain), block },
            Written::Block(block) => Self { chain: None, block },
        }
    }
}

impl From<AsOf> for Written {
    fn from(as_of: AsOf) -> Self {
        match as_of.chain {
            Some(chain) => Self::OfChain(OfChain { chain, block: as_of.block }),
            None => Self::Block(as_of.block),
        }
    }
}

impl TryFrom<WrittenBlock> for AsOfBlock {
    type Error = NoHash;

    fn try_from(written: WrittenBlock) -> Result<Self, NoHash> {
        match written {
            WrittenBlock::Number(number) => Ok(Self::Number(number)),
            WrittenBlock::Text(text) => {
                let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64).ok_or(NoHash)?;
                Ok(Self::Hash(digits.parse().map_err(|_| NoHash)?))
            }
        }
    }
}

impl From<AsOfBlock> for WrittenBlock {
    fn from(block: AsOfBlock) -> Self {
        match block {
            AsOfBlock::Number(number) => Self::Number(number),
            AsOfBlock::Hash(hash) => Self::Text(hash.to_string()),
        }
    }
}

/// Finds the block that `as_of` names, in the caller's snapshot, and lets nothing above it be seen of its chain.
///
/// # Errors
/// [`QueryError::AsOfChainMissing`], [`QueryError::AsOfChainUnknown`], [`QueryError::AsOfAhead`] above the last block,
/// [`QueryError::AsOfUnknown`] for a hash that is not found; what Postgres reports.
pub async fn pin(
    snapshot: &mut PgConnection,
    scope: &mut Scope,
    relations: &NamedRelations,
    as_of: &AsOf,
) -> Result<(), QueryError> {
    let chain = chain_of(scope, relations, as_of)?;
    let chain_id = chain.id();
    let block = match as_of.block {
        AsOfBlock::Number(number) => {
            let last = chain.last_block();
            if last.is_none_or(|last| last < number) {
                return Err(QueryError::AsOfAhead { chain: chain.name().to_owned(), number, last });
            }
            PinnedBlock { number, hash: hash_of(snapshot, chain, number).await? }
        }
        AsOfBlock::Hash(hash) => {
            let found = match stored_number(snapshot, chain_id, hash).await? {
                Some(number) => Some(number),
                None => number_in_catalog(snapshot, chain_id, hash).await?,
            };
            let unknown = || QueryError::AsOfUnknown { chain: chain.name().to_owned(), hash };
            PinnedBlock { number: found.ok_or_else(unknown)?, hash: Some(hash) }
        }
    };
    scope.pin(chain_id, block);
    Ok(())
}

/// The chain that is named, or else the only one that the query reads; where it reads none, the only one there is.
fn chain_of<'s>(scope: &'s Scope, relations: &NamedRelations, as_of: &AsOf) -> Result<&'s ChainScope, QueryError> {
    if let Some(name) = &as_of.chain {
        let named = scope.chains().iter().find(|chain| chain.name().eq_ignore_ascii_case(name));
        return named.ok_or_else(|| QueryError::AsOfChainUnknown { chain: name.clone() });
    }
    let is_read =
        |chain: &ChainScope| relations.keys().any(|relation| scope.behind(relation).any(|own| own.id() == chain.id()));
    let chains: Vec<&ChainScope> =
        scope.chains().iter().filter(|chain| relations.is_empty() || is_read(chain)).collect();
    match chains.as_slice() {
        [only] => Ok(*only),
        _ => Err(QueryError::AsOfChainMissing { chains: chains.iter().map(|chain| chain.name().to_owned()).collect() }),
    }
}

/// The hash of a block that is not above the last one, as far as it is known without reading cold rows.
async fn hash_of(
    snapshot: &mut PgConnection,
    chain: &ChainScope,
    number: BlockNumber,
) -> Result<Option<B256>, QueryError> {
    if let Some(tip) = chain.cursor().tip.filter(|tip| tip.number == number) {
        return Ok(Some(tip.hash));
    }
    if let Some(hash) = stored_hash(snapshot, chain.id(), number).await? {
        return Ok(Some(hash));
    }
    let files = catalog::overlapping(snapshot, chain.id(), Dataset::Blocks, BlockRange::single(number)).await?;
    Ok(files.iter().find_map(|file| {
        let at_start = (file.blocks.start() == number).then_some(file.first_block_hash);
        at_start.or_else(|| (file.blocks.last() == number).then_some(file.last_block_hash))
    }))
}

/// The number of a block that begins or ends a cold file.
async fn number_in_catalog(
    snapshot: &mut PgConnection,
    chain_id: ChainId,
    hash: B256,
) -> Result<Option<BlockNumber>, QueryError> {
    let files = catalog::partitions(snapshot, chain_id, Dataset::Blocks).await?;
    Ok(files.iter().find_map(|file| {
        let at_start = (file.first_block_hash == hash).then_some(file.blocks.start());
        at_start.or_else(|| (file.last_block_hash == hash).then_some(file.blocks.last()))
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_block_is_named_by_number_or_hash_with_or_without_its_chain() {
        let hash = B256::repeat_byte(0xAB);
        let number = AsOfBlock::Number(BlockNumber(7));
        let table = [
            (json!(7), AsOf { chain: None, block: number }),
            (json!(hash.to_string()), AsOf { chain: None, block: AsOfBlock::Hash(hash) }),
            (json!({"chain": "monad", "block": 7}), AsOf { chain: Some("monad".to_owned()), block: number }),
            (
                json!({"chain": "monad", "block": hash.to_string()}),
                AsOf { chain: Some("monad".to_owned()), block: AsOfBlock::Hash(hash) },
            ),
        ];
        for (written, expected) in table {
            assert_eq!(serde_json::from_value::<AsOf>(written.clone()).unwrap(), expected, "{written}");
            assert_eq!(serde_json::to_value(expected).unwrap(), written);
        }
    }

    #[test]
    fn what_names_no_block_is_refused_with_what_would() {
        for written in [
            json!(-1),
            json!(1.5),
            json!("7"),
            json!("0xab"),
            json!("ab".repeat(32)),
            json!(format!("0x{}", "g".repeat(64))),
            json!({"chain": "monad"}),
            json!({"block": 7}),
            json!({"chain": "monad", "block": 7, "x": 1}),
            json!([7]),
            json!(null),
        ] {
            let error = serde_json::from_value::<AsOf>(written.clone()).expect_err(&written.to_string());
            assert!(error.to_string().starts_with("as_of is a block number, a block hash"), "{error}");
        }
    }
}
