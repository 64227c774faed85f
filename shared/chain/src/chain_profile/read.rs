//! From text to profiles, or to every fault with its place.

use std::collections::HashSet;

use isotherm_types::{Classified, Disposition};
use serde::Deserialize;

use super::ChainProfile;
use super::fit::{MAX_SLIPS, fit_table};
use super::keys::FILE;
use super::tree::{Kind, Slip};
use super::yaml::{self, Node, Place};

/// Longest file that is read; a hundred chains are shorter.
pub const MAX_FILE_BYTES: usize = 256 << 10;

/// One thing wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong, with the name of the thing.
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// Everything that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfilesError {
    /// One entry a fault, in the order of the file; at least one. One that is no YAML at all has no other.
    pub faults: Vec<Fault>,
}

impl std::fmt::Display for ProfilesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the chains file has {} fault(s)", self.faults.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for ProfilesError {}

impl Classified for ProfilesError {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "chain.invalid_profiles"
    }
}

impl From<Fault> for ProfilesError {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }
}

/// What a file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: u64,
    chains: Vec<ChainProfile>,
}

/// Reads a chains file as it lies on the disk.
///
/// # Errors
/// As of [`parse`]; also for bytes that are no UTF-8.
pub fn parse_bytes(bytes: &[u8]) -> Result<Vec<ChainProfile>, ProfilesError> {
    check_size(bytes.len())?;
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => {
            let (valid, _) = bytes.split_at(error.valid_up_to());
            Err(Place::end_of(&String::from_utf8_lossy(valid)).fault("the file is no UTF-8 from here on").into())
        }
    }
}

/// Reads a chains file.
///
/// # Errors
/// [`ProfilesError`] with every fault, up to a hundred.
pub fn parse(text: &str) -> Result<Vec<ChainProfile>, ProfilesError> {
    check_size(text.len())?;
    let file = yaml::read(text)?;
    let mut slips = Vec::new();
    let value = fit_table(&file, &FILE, "the file", &mut slips);
    check_unique(&file, &mut slips);
    if slips.is_empty() {
        // The tables and the structs know the same keys (a test compares them), so this cannot fail; and if it did, the
        // file would not be used.
        let file: File = serde_json::from_value(value).map_err(|error| Place::START.fault(error.to_string()))?;
        return Ok(file.chains);
    }
    let mut faults: Vec<Fault> = slips.into_iter().map(Fault::from).collect();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults.truncate(MAX_SLIPS);
    Err(ProfilesError { faults })
}

fn check_size(size_bytes: usize) -> Result<(), Fault> {
    if size_bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    Err(Place::START.fault(format!("the file has more than {MAX_FILE_BYTES} bytes, the most that is read")))
}

/// No two chains have one id or one name.
fn check_unique(file: &Node, slips: &mut Vec<Slip<Place>>) {
    let Some(Kind::List(chains)) = file.value("chains").map(|node| &node.kind) else { return };
    for key in ["chain_id", "name"] {
        let mut seen = HashSet::new();
        for node in chains.iter().filter_map(|chain| chain.value(key)) {
            if let Some(text) = node.text().filter(|text| !seen.insert(*text)) {
                slips.push(node.slip(format!("two chains have the {key} {text}")));
            }
        }
    }
}
