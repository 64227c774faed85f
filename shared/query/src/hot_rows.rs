//! Hot rows on their way to the sandbox: copied out in the query's snapshot, those rows and columns that the plan
//! asks for.

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use futures::TryStreamExt;
use isotherm_hot_store::rows;
use sqlx::PgConnection;

use crate::boundary::HotRun;
use crate::error::QueryError;
use crate::plan::Needs;
use crate::relation::hot_table;
use crate::sandbox_process::{SandboxProcess, Step};

/// Rows in one batch; bounds the memory on both sides of the pipe.
pub(crate) const BATCH_ROWS: usize = 16_384;

/// Copies each run out of `snapshot` into the sandbox. Returns the number of rows.
///
/// # Errors
/// What Postgres reports; what the sandbox says, such as that the rows are more than its memory holds.
pub async fn send(
    snapshot: &mut PgConnection,
    runs: &[HotRun],
    needs: &Needs,
    sandbox: &mut SandboxProcess,
) -> Step<u64> {
    let outcome = copy(snapshot, runs, needs, sandbox).await;
    sandbox.explained(outcome).await
}

async fn copy(
    snapshot: &mut PgConnection,
    runs: &[HotRun],
    needs: &Needs,
    sandbox: &mut SandboxProcess,
) -> Result<u64, QueryError> {
    let mut row_count = 0;
    for run in runs {
        let Some(need) = needs.get(&(run.chain_id, run.dataset)) else { continue };
        let table = hot_table(run.chain_id, run.dataset);
        let (columns, wanted) = (&need.columns, &need.wanted);
        let mut batches =
            rows::read_wanted(snapshot, run.chain_id, run.dataset, columns, run.blocks, wanted, BATCH_ROWS).await?;
        while let Some(batch) = batches.try_next().await? {
            row_count += batch.num_rows() as u64;
            sandbox.send_rows(&table, &encode(&batch)?).await?;
        }
    }
    Ok(row_count)
}

/// A batch as an IPC stream of its own.
pub(crate) fn encode(batch: &RecordBatch) -> Result<Vec<u8>, QueryError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?)
}
