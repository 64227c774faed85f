//! What a rule says: the JSON that people write, read into types, everything that is wrong with it at once.
//!
//! Pure. A definition that was read has the right fields and values; whether its texts mean something (`condition`, `event` and the
//! like) is found when it is compiled (`crate::index::CompiledRule`), and both happen before it is saved.

use alloy_primitives::{Address, B256, Selector};
use isotherm_types::Dataset;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod field_error;
mod fields;
mod read;

pub use field_error::{FieldError, FieldErrors, Position};

/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 1000;

/// Most channels of one rule.
pub const MAX_CHANNELS: usize = 20;

/// Most addresses of one source.
pub const MAX_ADDRESSES: usize = 1000;

/// Most topics, or selectors, of one source.
pub const MAX_TOPICS: usize = 100;

/// Most pairs of an address with a topic or selector: each is an entry of the index.
pub const MAX_PAIRS: usize = 10_000;

/// Longest SQL, in bytes; as that of saved queries.
pub const MAX_SQL_BYTES: usize = 16 * 1024;

/// Longest signature of an event or call, in bytes.
pub const MAX_SIGNATURE_BYTES: usize = 1024;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To know.
    Info,
    /// To look at.
    Warning,
    /// To get up for.
    Critical,
}

impl Severity {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a block has to have reached before people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Nothing: at once.
    Latest,
    /// The block tag `safe`.
    Safe,
    /// The block tag `finalized`: what is told is never taken back.
    Finalized,
    /// So many blocks on the chain, its own included.
    Confirmations(u32),
}

/// Something that the platform finds about its own data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// A check found something wrong with cold storage.
    IntegrityViolated,
}

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Rows of a dataset.
    Rows(RowSource),
    /// Logs, decoded.
    Event {
        /// Signature, as in Solidity.
        event: String,
        /// Contracts that emit it; any, if empty.
        address: Vec<Address>,
    },
    /// Transactions, decoded; or all calls, those of contracts too.
    Call {
        /// Signature, as in Solidity.
        call: String,
        /// Contracts that are called; any, if empty.
        address: Vec<Address>,
        /// Whether the rows are those of `traces`.
        internal: bool,
    },
    /// Rows of the answer to SQL that is asked now and then.
    Sql {
        /// The statement.
        sql: String,
        /// How often it is asked.
        every_seconds: u32,
    },
    /// What the platform finds.
    Platform(Vec<Finding>),
}

/// Rows of a dataset; with a list that is not empty only those that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSource {
    /// The dataset.
    pub dataset: Dataset,
    /// Of logs the emitter, of transactions and traces the one that is called.
    pub address: Vec<Address>,
    /// Logs only.
    pub topic0: Vec<B256>,
    /// Transactions and traces only: the first four bytes of the call data.
    pub selector: Vec<Selector>,
}

/// A rule, as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Definition {
    /// Unique within the organisation.
    pub name: String,
    /// Name of the chain, as in its profile.
    pub chain: String,
    /// How bad it is; a warning if absent.
    pub severity: Severity,
    /// What it is for.
    pub description: Option<String>,
    /// Names of the channels that are told.
    pub channels: Vec<String>,
    /// What it looks at.
    pub source: Source,
    /// CEL; every row, if absent.
    pub condition: Option<String>,
    /// When people are told; at once, if absent.
    pub at: At,
    /// After a message, this long no other one (of the same group).
    pub cooldown_seconds: u32,
    /// CEL: what the cooldown goes by, beside the rule.
    pub group_by: Option<String>,
    /// Text with `{{ expression }}`; the facts in a row, if absent.
    pub message: Option<String>,
    /// What is found in older blocks is suppressed, unless `backfill`.
    pub max_age_seconds: u32,
    /// Whether blocks from before it was saved concern it.
    pub backfill: bool,
}

/// `max_age_seconds`, if it is absent: a day.
pub const DEFAULT_MAX_AGE_SECONDS: u32 = 86_400;

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// Everything that is wrong with its fields, each by name.
    pub fn parse(json: &Value) -> Result<Self, FieldErrors> {
        read::definition(json)
    }

    /// The definition as JSON, without what is absent or as it is by default.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".to_owned(), json!(self.name));
        map.insert("chain".to_owned(), json!(self.chain));
        map.insert("severity".to_owned(), json!(self.severity));
        let mut optional = |key: &str, text: &Option<String>| {
            if let Some(text) = text {
                map.insert(key.to_owned(), json!(text));
            }
        };
        optional("description", &self.description);
        optional("condition", &self.condition);
        optional("group_by", &self.group_by);
        optional("message", &self.message);
        map.insert("channels".to_owned(), json!(self.channels));
        map.insert("source".to_owned(), self.source.to_json());
        match self.at {
            At::Latest => map.insert("at".to_owned(), json!("latest")),
            At::Safe => map.insert("at".to_owned(), json!("safe")),
            At::Finalized => map.insert("at".to_owned(), json!("finalized")),
            At::Confirmations(blocks) => map.insert("confirmations".to_owned(), json!(blocks)),
        };
        map.insert("cooldown_seconds".to_owned(), json!(self.cooldown_seconds));
        map.insert("max_age_seconds".to_owned(), json!(self.max_age_seconds));
        map.insert("backfill".to_owned(), json!(self.backfill));
        Value::Object(map)
    }

    /// Whether every row of a dataset has to be looked at for it: no address, topic or selector says which.
    ///
    /// Blocks do not count: there is one row a block.
    pub fn is_unindexed(&self) -> bool {
        match &self.source {
            Source::Rows(rows) => {
                let is_keyed = !(rows.address.is_empty() && rows.topic0.is_empty() && rows.selector.is_empty());
                rows.dataset != Dataset::Blocks && !is_keyed
            }
            Source::Event { .. } | Source::Call { .. } | Source::Sql { .. } | Source::Platform(_) => false,
        }
    }
}

impl TryFrom<Value> for Definition {
    type Error = FieldErrors;

    fn try_from(json: Value) -> Result<Self, FieldErrors> {
        Self::parse(&json)
    }
}

impl Serialize for Definition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl Source {
    /// The dataset whose rows it looks at; `None` of SQL and of the platform's findings.
    pub fn dataset(&self) -> Option<Dataset> {
        match self {
            Self::Rows(rows) => Some(rows.dataset),
            Self::Event { .. } => Some(Dataset::Logs),
            Self::Call { internal: false, .. } => Some(Dataset::Transactions),
            Self::Call { internal: true, .. } => Some(Dataset::Traces),
            Self::Sql { .. } | Self::Platform(_) => None,
        }
    }

    fn to_json(&self) -> Value {
        let mut map = Map::new();
        let mut texts = |key: &str, values: Vec<String>| {
            if !values.is_empty() {
                map.insert(key.to_owned(), json!(values));
            }
        };
        match self {
            Self::Rows(rows) => {
                texts("address", rows.address.iter().map(ToString::to_string).collect());
                texts("topic0", rows.topic0.iter().map(ToString::to_string).collect());
                texts("selector", rows.selector.iter().map(ToString::to_string).collect());
                map.insert("dataset".to_owned(), json!(rows.dataset));
            }
            Self::Event { event, address } => {
                texts("address", address.iter().map(ToString::to_string).collect());
                map.insert("event".to_owned(), json!(event));
            }
            Self::Call { call, address, internal } => {
                texts("address", address.iter().map(ToString::to_string).collect());
                map.insert("call".to_owned(), json!(call));
                if *internal {
                    map.insert("internal".to_owned(), json!(true));
                }
            }
            Self::Sql { sql, every_seconds } => {
                map.insert("sql".to_owned(), json!(sql));
                map.insert("every_seconds".to_owned(), json!(every_seconds));
            }
            Self::Platform(findings) => {
                map.insert("platform".to_owned(), json!(findings));
            }
        }
        Value::Object(map)
    }
}

/// Whether `name` is a name: a to z, 0 to 9, `_` and `-`, neither of these two first, at most 63.
pub fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().next().is_some_and(is_word)
        && name.bytes().all(|byte| is_word(byte) || byte == b'_' || byte == b'-')
}
