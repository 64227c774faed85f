//! Answers that are files: written row by row as they come, bounded, and kept in the bucket `results` for a few days.
//!
//! [`ResultWriter`] writes one of three formats; the cells of the two that are text are those of [`crate::render`]. A
//! [`Gatherer`] keeps rows in memory for as long as they are few, and turns into a file when they are not, so that no
//! query runs twice. [`ResultStore`] puts files into the bucket and signs URLs for them.
//!
//! Nothing here decides who may have a file, and no name of a file on disk is left behind: a crash leaves nothing.

use serde::{Deserialize, Serialize};

use isotherm_types::sandbox::RelationColumn;

mod file;
mod gather;
mod outcome;
mod store;
mod writer;

pub use file::FinishedFile;
pub use gather::{Gathered, Gatherer, InlineLimits};
pub use outcome::{Outcome, describe};
pub use store::{ResultStore, SignedResult, StoredResult};
pub use writer::ResultWriter;

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultFormat {
    /// JSON: lists of values in an answer, one object a line in a file.
    #[default]
    Json,
    /// RFC 4180 with a header.
    Csv,
    /// Apache Parquet, only as a file.
    Parquet,
}

impl ResultFormat {
    /// The word in requests and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// What a file of it is called, since JSON in a file is not what it is in an answer.
    pub fn of_file(self) -> &'static str {
        match self {
            Self::Json => "json_lines",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// What a file's name ends with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// MIME type of a file.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl std::str::FromStr for ResultFormat {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        let known = [Self::Json, Self::Csv, Self::Parquet];
        known.into_iter().find(|format| format.as_str() == word).ok_or_else(|| UnknownFormat { word: word.to_owned() })
    }
}

/// A word that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no format is called {word:?}; the formats are json, csv and parquet")]
pub struct UnknownFormat {
    /// The word that was given.
    pub word: String,
}

/// The columns' names, each once: a file's readers look columns up by name. The second `n` becomes `n_1`, as in DuckDB.
pub fn unique_names(columns: &[RelationColumn]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let is_free = |name: &str| !names.iter().any(|taken| taken == name);
        let name = if is_free(&column.name) {
            column.name.clone()
        } else {
            // A later column that has the name by itself keeps it.
            let is_given = |name: &str| columns.iter().any(|column| column.name == name);
            let mut numbered = (1_u32..).map(|number| format!("{}_{number}", column.name));
            numbered.find(|name| is_free(name) && !is_given(name)).unwrap_or_else(|| column.name.clone())
        };
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_file_has_a_name_of_its_own() {
        let columns = ["n", "n", "n_1", "N", "n"]
            .map(|name| RelationColumn { name: name.to_owned(), sql_type: "BIGINT".to_owned() });
        assert_eq!(unique_names(&columns), ["n", "n_2", "n_1", "N", "n_3"]);
    }

    #[test]
    fn words_are_read_back() {
        for format in [ResultFormat::Json, ResultFormat::Csv, ResultFormat::Parquet] {
            assert_eq!(format.as_str().parse(), Ok(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
        }
        assert!("xml".parse::<ResultFormat>().is_err());
    }
}
