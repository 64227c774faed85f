//! Rows that are few stay in memory; when they turn out to be many, all of them go into a file. The query runs once.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use isotherm_types::sandbox::RelationColumn;

use super::{FinishedFile, ResultFormat, ResultWriter};
use crate::answer::RowSink;
use crate::error::QueryError;

/// What an inline answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineLimits {
    /// Rows at most.
    pub max_rows: u64,
    /// Bytes of Arrow in memory at most; as text it has limits of its own.
    pub max_bytes: u64,
}

/// Takes the rows of one answer.
pub struct Gatherer {
    format: ResultFormat,
    inline: InlineLimits,
    folder: PathBuf,
    max_file_bytes: u64,
    /// Told of the rows so far after each batch.
    on_rows: Box<dyn FnMut(u64) + Send>,
    columns: Vec<RelationColumn>,
    schema: Option<SchemaRef>,
    kept: Vec<RecordBatch>,
    row_count: u64,
    kept_bytes: u64,
    writer: Option<ResultWriter>,
}

/// What was gathered.
pub enum Gathered {
    /// Few rows.
    Inline {
        /// Their columns.
        columns: Vec<RelationColumn>,
        /// Themselves.
        batches: Vec<RecordBatch>,
    },
    /// A file.
    File(FinishedFile),
}

impl Gatherer {
    /// Keeps what fits into `inline`, and else writes a file of at most `max_file_bytes` to the disk of `folder`.
    /// Parquet is a file at once.
    pub fn new(format: ResultFormat, inline: InlineLimits, folder: PathBuf, max_file_bytes: u64) -> Self {
        Self {
            format,
            inline,
            folder,
            max_file_bytes,
            on_rows: Box::new(|_rows| {}),
            columns: Vec::new(),
            schema: None,
            kept: Vec::new(),
            row_count: 0,
            kept_bytes: 0,
            writer: None,
        }
    }

    /// Writes a file whatever comes, and tells `on_rows` of the rows so far.
    pub fn to_file(
        format: ResultFormat,
        folder: PathBuf,
        max_file_bytes: u64,
        on_rows: impl FnMut(u64) + Send + 'static,
    ) -> Self {
        let nothing = InlineLimits { max_rows: 0, max_bytes: 0 };
        Self { on_rows: Box::new(on_rows), ..Self::new(format, nothing, folder, max_file_bytes) }
    }

    /// What was gathered, once the query has ended well.
    ///
    /// # Errors
    /// [`QueryError::ResultFile`], [`QueryError::TooLarge`].
    pub fn finish(mut self) -> Result<Gathered, QueryError> {
        match self.writer.take() {
            Some(writer) => Ok(Gathered::File(writer.finish()?)),
            None => Ok(Gathered::Inline { columns: self.columns, batches: self.kept }),
        }
    }

    /// The same as a file, for an answer whose text has turned out to be too long.
    ///
    /// # Errors
    /// As [`Gatherer::finish`]; [`QueryError::SandboxProtocol`] if no query has filled it.
    pub fn finish_as_file(mut self) -> Result<FinishedFile, QueryError> {
        self.open_file()?;
        let writer = self.writer.take().ok_or_else(unbegun)?;
        writer.finish()
    }

    /// The rows in memory and their columns; none once there is a file.
    pub fn in_memory(&self) -> Option<(&[RelationColumn], &[RecordBatch])> {
        self.writer.is_none().then_some((self.columns.as_slice(), self.kept.as_slice()))
    }

    /// Begins the file with what was kept so far.
    fn open_file(&mut self) -> Result<(), QueryError> {
        if self.writer.is_some() {
            return Ok(());
        }
        let schema = self.schema.as_ref().ok_or_else(unbegun)?;
        let mut writer = ResultWriter::create(self.format, &self.columns, schema, &self.folder, self.max_file_bytes)?;
        for batch in self.kept.drain(..) {
            writer.write(&batch)?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn fits(&self) -> bool {
        self.row_count <= self.inline.max_rows && self.kept_bytes <= self.inline.max_bytes
    }
}

impl RowSink for Gatherer {
    fn begin(&mut self, columns: &[RelationColumn], schema: &SchemaRef) -> Result<(), QueryError> {
        self.columns = columns.to_vec();
        self.schema = Some(schema.clone());
        if self.format == ResultFormat::Parquet || self.inline.max_rows == 0 { self.open_file() } else { Ok(()) }
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.row_count += batch.num_rows() as u64;
        if self.writer.is_none() {
            self.kept_bytes += batch.get_array_memory_size() as u64;
            if !self.fits() {
                self.open_file()?;
            }
        }
        match &mut self.writer {
            Some(writer) => writer.write(batch)?,
            None => self.kept.push(batch.clone()),
        }
        (self.on_rows)(self.row_count);
        Ok(())
    }
}

fn unbegun() -> QueryError {
    QueryError::SandboxProtocol { message: "no columns came before the rows".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(values: std::ops::Range<i64>) -> RecordBatch {
        let values: ArrayRef = Arc::new(values.map(Some).collect::<Int64Array>());
        RecordBatch::try_from_iter_with_nullable([("c0", values, true)]).unwrap()
    }

    fn fill(mut gatherer: Gatherer) -> Gatherer {
        let columns = [RelationColumn { name: "n".to_owned(), sql_type: "BIGINT".to_owned() }];
        gatherer.begin(&columns, &batch(0..1).schema()).unwrap();
        for start in [0, 3, 6] {
            gatherer.rows(&batch(start..start + 3)).unwrap();
        }
        gatherer
    }

    fn gatherer(max_rows: u64, max_bytes: u64) -> Gatherer {
        fill(Gatherer::new(ResultFormat::Csv, InlineLimits { max_rows, max_bytes }, std::env::temp_dir(), 1 << 20))
    }

    const WHOLE: &str = "n\n0\n1\n2\n3\n4\n5\n6\n7\n8\n";

    #[test]
    fn few_rows_stay_in_memory_and_many_become_one_file_with_all_of_them() {
        let Gathered::Inline { batches, .. } = gatherer(9, 1 << 20).finish().unwrap() else { panic!("a file") };
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 9);
        for (max_rows, max_bytes) in [(8, 1 << 20), (1, 1 << 20), (9, 30), (9, 1)] {
            let Gathered::File(file) = gatherer(max_rows, max_bytes).finish().unwrap() else { panic!("{max_rows}") };
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), WHOLE);
            assert_eq!(file.row_count, 9);
        }
    }

    #[test]
    fn what_was_kept_can_still_become_a_file() {
        let kept = gatherer(9, 1 << 20);
        assert!(kept.in_memory().is_some() && gatherer(1, 1 << 20).in_memory().is_none());
        assert_eq!(std::fs::read_to_string(kept.finish_as_file().unwrap().path()).unwrap(), WHOLE);
    }

    #[test]
    fn parquet_is_a_file_however_few_rows_there_are() {
        let limits = InlineLimits { max_rows: 9, max_bytes: 1 << 20 };
        let filled = fill(Gatherer::new(ResultFormat::Parquet, limits, std::env::temp_dir(), 1 << 20));
        assert!(matches!(filled.finish().unwrap(), Gathered::File(file) if file.row_count == 9));
    }

    #[test]
    fn a_file_tells_how_far_it_has_come() {
        let told = Arc::new(AtomicU64::new(0));
        let tell = Arc::clone(&told);
        let on_rows = move |rows| tell.store(rows, Ordering::Relaxed);
        let filled = fill(Gatherer::to_file(ResultFormat::Csv, std::env::temp_dir(), 1 << 20, on_rows));
        assert_eq!(told.load(Ordering::Relaxed), 9);
        assert!(matches!(filled.finish().unwrap(), Gathered::File(_)));
    }
}
