//! From text to a checked [`Pipeline`], or to every fault with its place.

use isotherm_types::{Classified, Disposition};

use super::Pipeline;
use super::check::check;
use super::fit::fit_table;
use super::judge::{ConfigJudge, judge_configs};
use super::shape::FILE;
use super::tree::{self, Place};

/// Longest file that is read; a pipeline of a thousand jobs is shorter.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Faults after which reading ends, so that a hostile file costs no more than its length.
pub(super) const MAX_FAULTS: usize = 200;

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
pub struct PipelineError {
    /// One entry a fault, in the order of the file; at least one.
    pub faults: Vec<Fault>,
}

impl std::fmt::Display for PipelineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the pipeline has {} fault(s)", self.faults.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for PipelineError {}

impl Classified for PipelineError {
    fn disposition(&self) -> Disposition {
        Disposition::GiveUp
    }

    fn code(&self) -> &'static str {
        "pipeline.invalid"
    }
}

/// Reads a pipeline file as it lies on the disk.
///
/// # Errors
/// As of [`parse`]; also for bytes that are no UTF-8.
pub fn parse_bytes(bytes: &[u8]) -> Result<Pipeline, PipelineError> {
    parse_judged(bytes, |_operator, _config| Vec::new())
}

/// Reads a pipeline file as it lies on the disk, and has `judge` look at the settings of each job's operator.
///
/// # Errors
/// As of [`parse_bytes`]; also for what `judge` finds.
pub fn parse_judged(bytes: &[u8], judge: ConfigJudge) -> Result<Pipeline, PipelineError> {
    check_size(bytes.len())?;
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text, judge),
        Err(error) => {
            let (valid, _) = bytes.split_at(error.valid_up_to());
            let text = String::from_utf8_lossy(valid);
            let fault = tree::place_of(&text, text.len()).fault("the file is no UTF-8 from here on");
            Err(PipelineError { faults: vec![fault] })
        }
    }
}

/// Reads a pipeline file: `docs/pipeline.md` says what it may hold. The operators' settings are taken as they are.
///
/// # Errors
/// [`PipelineError`] with every fault, up to 200. A file longer than [`MAX_FILE_BYTES`], one that is no YAML and one that is nested
/// too deeply have one.
pub fn parse(text: &str) -> Result<Pipeline, PipelineError> {
    check_size(text.len())?;
    read(text, |_operator, _config| Vec::new())
}

fn read(text: &str, judge: ConfigJudge) -> Result<Pipeline, PipelineError> {
    let mut faults = Vec::new();
    let file = tree::read(text, &mut faults).map_err(|fault| PipelineError { faults: vec![fault] })?;
    fit_table(&file, &FILE, "the file", "", &mut faults);
    if faults.len() < MAX_FAULTS {
        check(&file, &mut faults);
    }
    judge_configs(&file, judge, &mut faults);
    if faults.is_empty() {
        // The tables and the structs know the same keys (a test compares them), so this cannot fail; and if it did, the
        // file would not be applied.
        return serde_json::from_value(file.to_json())
            .map_err(|error| PipelineError { faults: vec![Place::START.fault(error.to_string())] });
    }
    faults.sort_by_key(|fault| (fault.line, fault.column));
    if let Some(last) = faults.get(MAX_FAULTS - 1) {
        let more = Place { line: last.line, column: last.column };
        faults.truncate(MAX_FAULTS);
        faults.push(more.fault(format!("there may be more faults: reading ended after {MAX_FAULTS}")));
    }
    Err(PipelineError { faults })
}

fn check_size(size_bytes: usize) -> Result<(), PipelineError> {
    if size_bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    let message = format!("the file has more than {MAX_FILE_BYTES} bytes, the most that is read");
    Err(PipelineError { faults: vec![Place::START.fault(message)] })
}

#[cfg(test)]
mod tests;
