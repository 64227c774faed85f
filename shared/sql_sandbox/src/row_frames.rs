//! Rows on their way out: one Arrow IPC stream, in frames of a length that the parent can write as text.
//!
//! DuckDB gives some 2,000 rows at a time, however long they are, so these may have to be divided. It must never divide
//! a row.

use std::io::Write;

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;

use crate::error::SandboxError;
use crate::frames;
use isotherm_types::sandbox::{Failure, FailureReason, KIND_ARROW, MAX_ROWS_FRAME_BYTES};

/// The stream of one answer.
pub(crate) struct RowFrames<'a, W: Write> {
    stream: StreamWriter<Vec<u8>>,
    output: &'a mut W,
}

impl<'a, W: Write> RowFrames<'a, W> {
    /// Writes the frame that says what the rows are like.
    pub(crate) fn begin(schema: &Schema, output: &'a mut W) -> Result<Self, SandboxError> {
        let mut begun = Self { stream: StreamWriter::try_new(Vec::new(), schema)?, output };
        // Where the columns alone are too long for a frame, so is a row of them.
        begun.send()?.ok_or_else(row_too_large)?;
        Ok(begun)
    }

    /// Writes `batch` as one frame and returns its bytes; `None` if it is too long for one, and nothing was written.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<Option<u64>, SandboxError> {
        // Looked at first: encoding takes as much memory again.
        let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
        if sizes.sum::<Result<usize, ArrowError>>()? > MAX_ROWS_FRAME_BYTES {
            return Ok(None);
        }
        self.stream.write(batch)?;
        self.send()
    }

    /// Writes the frame that ends the stream.
    pub(crate) fn finish(mut self) -> Result<(), SandboxError> {
        self.stream.finish()?;
        self.send().map(|_| ())
    }

    fn send(&mut self) -> Result<Option<u64>, SandboxError> {
        let frame = std::mem::take(self.stream.get_mut());
        if frame.len() > MAX_ROWS_FRAME_BYTES {
            return Ok(None);
        }
        frames::write(self.output, KIND_ARROW, &frame)?;
        Ok(Some(frame.len() as u64))
    }
}

/// The two halves of a batch that is too long for a frame, without a copy.
///
/// # Errors
/// [`FailureReason::RowTooLarge`] if it is one row.
pub(crate) fn halves(batch: &RecordBatch) -> Result<[RecordBatch; 2], SandboxError> {
    let half = batch.num_rows() / 2;
    if half == 0 {
        return Err(row_too_large());
    }
    Ok([batch.slice(0, half), batch.slice(half, batch.num_rows() - half)])
}

fn row_too_large() -> SandboxError {
    let message = format!("a row of the answer is larger than {} MiB", MAX_ROWS_FRAME_BYTES >> 20);
    SandboxError::Query(Failure { reason: FailureReason::RowTooLarge, message, position: None, near: None })
}
