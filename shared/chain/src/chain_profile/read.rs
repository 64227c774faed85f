//! From text to profiles, or to every fault with its place.

use std::collections::HashSet;

use serde::Deserialize;

use super::ChainProfile;
use super::fit::{MAX_FAULTS, fit_table};
use super::keys::FILE;
use super::yaml::{self, Kind, Node, Place};

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

/// Reads a chains file.
///
/// # Errors
/// [`ProfilesError`] with every fault, up to a hundred.
pub fn parse(text: &str) -> Result<Vec<ChainProfile>, ProfilesError> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has more than {MAX_FILE_BYTES} bytes, the most that is read");
        return Err(Place::START.fault(message).into());
    }
    let file = yaml::read(text)?;
    let mut faults = Vec::new();
    let value = fit_table(&file, &FILE, "the file", &mut faults);
    check(&file, &mut faults);
    if faults.is_empty() {
        // The tables and the structs know the same keys (a test compares them), so this cannot fail; and if it did, the
        // file would not be used.
        let file: File = serde_json::from_value(value).map_err(|error| Place::START.fault(error.to_string()))?;
        return Ok(file.chains);
    }
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults.truncate(MAX_FAULTS);
    Err(ProfilesError { faults })
}

/// What the values must be to each other.
fn check(file: &Node, faults: &mut Vec<Fault>) {
    let Some(Kind::List(chains)) = file.value("chains").map(|node| &node.kind) else { return };
    for key in ["chain_id", "name"] {
        let mut seen = HashSet::new();
        for node in chains.iter().filter_map(|chain| chain.value(key)) {
            if let Some(text) = node.text().filter(|text| !seen.insert(*text)) {
                faults.push(node.place.fault(format!("two chains have the {key} {text}")));
            }
        }
    }
    for finality in chains.iter().filter_map(|chain| chain.value("finality")) {
        let kind = finality.value("kind").and_then(Node::text);
        match (kind, finality.value("blocks")) {
            (Some("depth"), None) => faults.push(finality.place.fault("finality by depth needs `blocks`")),
            (Some("tags"), Some(blocks)) => faults.push(blocks.place.fault("finality by tags takes no `blocks`")),
            _ => {}
        }
    }
}
