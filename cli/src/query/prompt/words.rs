//! Words that SQL is made of: for completion and colours only. The server decides what is allowed.

use isotherm_query::platform_tables::{self, PlatformTable};
use isotherm_types::Dataset;
use isotherm_types::sandbox::PLATFORM_SCHEMA;

/// Keywords of a SELECT.
const KEYWORDS: &str = "
    all and any as asc asof between by case cast cross current date desc distinct else end escape except exclude
    exists false filter first following from full group having ilike in inner intersect interval is join lateral
    last left like limit not null nulls offset on or order outer over partition preceding qualify range recursive
    replace right rows select semi similar then timestamp true try_cast unbounded union unnest using values when
    where window with within";

/// Functions for chain data, and those of SQL that analysts use most.
const FUNCTIONS: &str = "
    abs address_to_topic any_value approx_count_distinct arg_max arg_min array_agg avg bytearray_substring
    bytes_substring bytes_to_int256 bytes_to_uint256 bytes_to_uint64 ceil coalesce concat count count_if date_diff
    date_part date_trunc decode_call decode_log dense_rank epoch event_topic first_value floor from_hex from_hex_0x
    function_selector generate_series greatest hex histogram keccak256 lag last_value lead least length list lower
    lpad max max_by median min min_by mode now ntile nullif octet_length percent_rank pow quantile_cont rank replace
    round row_number starts_with stddev strftime string_agg substr sum time_bucket to_hex_0x to_timestamp
    topic_to_address trim uint256_to_bytes unhex upper wei_to_eth wei_to_gwei";

/// The keywords, in small letters.
pub(super) fn keywords() -> impl Iterator<Item = &'static str> {
    KEYWORDS.split_whitespace()
}

/// The functions.
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.split_whitespace()
}

/// The column that every relation over chains has beside those of its dataset.
pub(super) const BLOCK_TIME: &str = "block_time";

/// A relation that a statement can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// Rows of chains.
    Chains(Dataset),
    /// Rows of one of the platform's own tables.
    Platform(&'static PlatformTable),
}

impl Relation {
    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let platform = platform_tables::ALL.iter().copied().map(Self::Platform);
        Dataset::ALL.into_iter().map(Self::Chains).chain(platform)
    }

    /// The relation of this name, written in any case, behind what stands before a dot if there is one: a chain, or the
    /// schema of the platform's own tables.
    pub(super) fn named(schema: Option<&str>, name: &str) -> Option<Self> {
        match schema {
            Some(schema) if schema.eq_ignore_ascii_case(PLATFORM_SCHEMA) => {
                PlatformTable::named(schema, name).map(Self::Platform)
            }
            _ => {
                let mut datasets = Dataset::ALL.into_iter();
                datasets.find(|dataset| dataset.as_str().eq_ignore_ascii_case(name)).map(Self::Chains)
            }
        }
    }

    /// Its name, with its schema if it needs one.
    pub(super) fn name(self) -> String {
        match self {
            Self::Chains(dataset) => dataset.as_str().to_owned(),
            Self::Platform(table) => table.to_string(),
        }
    }

    /// Names of its columns.
    pub(super) fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Chains(dataset) => dataset.columns().iter().map(|column| column.name).chain([BLOCK_TIME]).collect(),
            Self::Platform(table) => table.columns.iter().map(|column| column.name).collect(),
        }
    }
}

/// Whether `word`, in any case, is a keyword.
pub(super) fn is_keyword(word: &str) -> bool {
    keywords().any(|keyword| keyword.eq_ignore_ascii_case(word))
}
