//! What is wrong with a stack file, for people.

/// One fault of a stack file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1, where it can be told.
    pub line: Option<usize>,
    /// Keys from the top, joined by dots; empty for the whole file.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// All faults of a stack file. Code `stack.invalid`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct StackFaults {
    /// The file, for messages.
    pub file: String,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl std::fmt::Display for StackFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", self.file)?;
            if let Some(line) = fault.line {
                write!(f, ":{line}")?;
            }
            if !fault.place.is_empty() {
                write!(f, ": {}", fault.place)?;
            }
            write!(f, ": {}", fault.message)?;
        }
        Ok(())
    }
}
