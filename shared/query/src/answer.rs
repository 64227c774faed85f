//! What a query's answer is, and how its rows are handed on.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use isotherm_types::sandbox::RelationColumn;

use crate::boundary::ChainState;
use crate::error::QueryError;

/// Takes the rows of an answer as they come. It must not keep the engine waiting for long: the query's clock goes on.
///
/// Rows that it has taken are no answer before the engine returns: a query may fail in their middle.
pub trait RowSink {
    /// Begins the answer; called once, before any row. The columns of `schema` are called `c0`, `c1` and so on: their
    /// names are in `columns`, and need not differ from each other.
    ///
    /// # Errors
    /// Whatever ends the query.
    fn begin(&mut self, columns: &[RelationColumn], schema: &SchemaRef) -> Result<(), QueryError>;

    /// Takes the next rows.
    ///
    /// # Errors
    /// Whatever ends the query.
    fn rows(&mut self, batch: &RecordBatch) -> Result<(), QueryError>;
}

/// Everything of an answer but its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSummary {
    /// Names and DuckDB types of the columns.
    pub columns: Vec<RelationColumn>,
    /// Rows.
    pub row_count: u64,
    /// Bytes of the rows as Arrow IPC.
    pub bytes: u64,
    /// The state of every chain that the query reads, at the one instant that the rows are of. A query that names nothing
    /// has that of every chain that may be seen.
    pub state: Vec<ChainState>,
    /// Time from the request to the last row.
    pub duration: Duration,
    /// Hot rows that were fetched.
    pub hot_rows_fetched: u64,
    /// Cold files that the query could read.
    pub cold_files: usize,
    /// Bytes of these files; a query reads only parts of them.
    pub cold_bytes: u64,
}

/// The rows of a query and what belongs to them.
#[derive(Debug)]
pub struct QueryAnswer {
    /// All but the rows.
    pub summary: AnswerSummary,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
}

/// Keeps rows in memory.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) batches: Vec<RecordBatch>,
}

impl RowSink for Gathered {
    fn begin(&mut self, _columns: &[RelationColumn], _schema: &SchemaRef) -> Result<(), QueryError> {
        Ok(())
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        // Shares the buffers.
        self.batches.push(batch.clone());
        Ok(())
    }
}
