//! Reading rows back: binary COPY out → Arrow, inside the caller's snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use isotherm_types::{BlockRange, ChainId, Dataset};
use sqlx::PgConnection;

use crate::copy::Decoder;
use crate::error::{HotStoreError, bigint};

/// Length in the COPY of the rows with which a batch ends early, however few they are.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// In which order rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By block and place in the block ([`Dataset::sort_columns`]).
    ByPlace,
    /// As Postgres finds them; cheaper.
    Any,
}

/// A row is wanted if each of these columns has one of its values. Without any column every row is.
pub type Wanted = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// Streams `columns` of the rows of `blocks` as record batches of at most `max_batch_rows` rows.
///
/// A batch ends early with the row with which it reaches 2 MiB: memory is bounded by that and one row, however large
/// rows are.
/// The columns come in the order asked, with the types of the dataset's schema. Whoever stops early leaves the rest
/// of the COPY to be read and discarded by the connection's next use.
///
/// # Errors
/// [`HotStoreError::UnknownColumn`]; what Postgres reports; the stream ends with an error if the COPY was cut short.
pub async fn read<'c>(
    conn: &'c mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    columns: &[&str],
    blocks: BlockRange,
    order: Order,
    max_batch_rows: usize,
) -> Result<BoxStream<'c, Result<RecordBatch, HotStoreError>>, HotStoreError> {
    let order_by = match order {
        Order::ByPlace => format!(" ORDER BY {}", dataset.sort_columns().join(", ")),
        Order::Any => String::new(),
    };
    copy_out(conn, chain_id, dataset, columns, blocks, &order_by, max_batch_rows).await
}

/// Keeps the rows of `runs` in their tables until the caller's transaction ends, however late they are read.
///
/// A transaction that has not used a table yet does not keep its leaves: whoever detaches one waits for those that have
/// (`DETACH PARTITION … CONCURRENTLY`; source: PostgreSQL manual, ALTER TABLE).
///
/// # Errors
/// What Postgres reports.
pub async fn hold(
    conn: &mut PgConnection,
    runs: impl IntoIterator<Item = (ChainId, Dataset, BlockRange)>,
) -> Result<(), HotStoreError> {
    // Whatever is planned is locked: the tables of datasets and chains, and the leaf of one block. No row is read.
    let question = |(chain_id, dataset, blocks): (ChainId, Dataset, BlockRange)| {
        let first = bigint(blocks.start());
        format!("SELECT FROM hot.{dataset} WHERE chain_id = {chain_id} AND block_number = {first} LIMIT 0;")
    };
    let questions: String = runs.into_iter().map(question).collect();
    if questions.is_empty() {
        return Ok(());
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(questions)).execute(conn).await.map_err(HotStoreError::database("hold rows"))?;
    Ok(())
}

/// As [`read`], in any order, those rows that one of `wanted` asks for; all if there is none.
///
/// # Errors
/// As [`read`], and [`HotStoreError::UnknownColumn`] for one that is `wanted`.
pub async fn read_wanted<'c>(
    conn: &'c mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    columns: &[&str],
    blocks: BlockRange,
    wanted: &[Wanted],
    max_batch_rows: usize,
) -> Result<BoxStream<'c, Result<RecordBatch, HotStoreError>>, HotStoreError> {
    projection(dataset, &wanted.iter().flat_map(|wanted| wanted.keys().copied()).collect::<Vec<_>>())?;
    copy_out(conn, chain_id, dataset, columns, blocks, &condition(wanted), max_batch_rows).await
}

/// What `wanted` adds to a WHERE. COPY takes no parameters; digits of bytes need none.
fn condition(wanted: &[Wanted]) -> String {
    if wanted.iter().any(BTreeMap::is_empty) || wanted.is_empty() {
        return String::new();
    }
    let literal = |value: &Vec<u8>| format!("'\\x{}'::bytea", hex::encode(value));
    let one_of = |(column, values): (&&str, &Vec<Vec<u8>>)| match values.as_slice() {
        [] => "false".to_owned(),
        values => format!("{column} IN ({})", values.iter().map(literal).collect::<Vec<_>>().join(", ")),
    };
    let all = |wanted: &Wanted| wanted.iter().map(one_of).collect::<Vec<_>>().join(" AND ");
    format!(" AND (({}))", wanted.iter().map(all).collect::<Vec<_>>().join(") OR ("))
}

async fn copy_out<'c>(
    conn: &'c mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    columns: &[&str],
    blocks: BlockRange,
    rest: &str,
    max_batch_rows: usize,
) -> Result<BoxStream<'c, Result<RecordBatch, HotStoreError>>, HotStoreError> {
    let schema = projection(dataset, columns)?;
    let sql = format!(
        "COPY (SELECT {} FROM hot.{dataset} WHERE chain_id = {chain_id} AND block_number >= {} AND block_number < {}{rest}) \
         TO STDOUT (FORMAT binary)",
        columns.join(", "),
        blocks.start(),
        blocks.end(),
    );
    let bytes = conn.copy_out_raw(&sql).await.map_err(HotStoreError::database("copy rows out"))?;
    Ok(batches(bytes, Decoder::new(schema), max_batch_rows))
}

/// The dataset's schema reduced to `columns`, in their order.
///
/// # Errors
/// [`HotStoreError::UnknownColumn`].
pub fn projection(dataset: Dataset, columns: &[&str]) -> Result<SchemaRef, HotStoreError> {
    let field = |name: &&str| {
        let column =
            dataset.column(name).ok_or_else(|| HotStoreError::UnknownColumn { dataset, column: (*name).to_owned() })?;
        Ok(Field::new(column.name, column.column_type.arrow(), column.nullable))
    };
    Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Result<Vec<_>, HotStoreError>>()?)))
}

/// Cuts a binary COPY into batches, as [`read`] does.
pub fn batches<'c>(
    bytes: BoxStream<'c, sqlx::Result<Bytes>>,
    decoder: Decoder,
    max_batch_rows: usize,
) -> BoxStream<'c, Result<RecordBatch, HotStoreError>> {
    let start = (bytes, Some(decoder));
    stream::try_unfold(start, move |(mut bytes, decoder)| async move {
        let Some(mut decoder) = decoder else { return Ok(None) };
        while decoder.row_count() < max_batch_rows && decoder.size_bytes() < BATCH_BYTES {
            match bytes.try_next().await.map_err(HotStoreError::database("copy rows out"))? {
                Some(piece) => decoder.push(&piece)?,
                None => {
                    let last = decoder.take_batch()?;
                    decoder.finish()?;
                    return Ok((last.num_rows() > 0).then_some((last, (bytes, None))));
                }
            }
        }
        let batch = decoder.take_batch()?;
        Ok(Some((batch, (bytes, Some(decoder)))))
    })
    .boxed()
}

/// Rows of `blocks` in the dataset.
///
/// # Errors
/// What Postgres reports.
pub async fn count(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    blocks: BlockRange,
) -> Result<u64, HotStoreError> {
    let sql =
        format!("SELECT count(*) FROM hot.{dataset} WHERE chain_id = $1 AND block_number >= $2 AND block_number < $3");
    let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(chain_id.0.cast_signed())
        .bind(bigint(blocks.start()))
        .bind(bigint(blocks.end()))
        .fetch_one(conn)
        .await
        .map_err(HotStoreError::database("count rows"))?;
    Ok(count.cast_unsigned())
}

/// Whether the dataset has a row of `blocks`. Ends at the first.
///
/// # Errors
/// What Postgres reports.
pub async fn exist(
    conn: &mut PgConnection,
    chain_id: ChainId,
    dataset: Dataset,
    blocks: BlockRange,
) -> Result<bool, HotStoreError> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM hot.{dataset} WHERE chain_id = $1 AND block_number >= $2 AND block_number < $3)"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(chain_id.0.cast_signed())
        .bind(bigint(blocks.start()))
        .bind(bigint(blocks.end()))
        .fetch_one(conn)
        .await
        .map_err(HotStoreError::database("look for rows"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BinaryArray};
    use arrow::compute::concat_batches;

    use super::*;
    use crate::copy::encode;

    const ROW_BYTES: usize = 300_000;
    /// Less than a row, so that no piece ends two.
    const PIECE_BYTES: usize = 65_536;

    #[test]
    fn what_is_wanted_is_a_condition_of_digits_only() {
        let one =
            |column, values: &[&[u8]]| Wanted::from([(column, values.iter().map(|value| value.to_vec()).collect())]);
        let both: Wanted = one("address", &[b"'"]).into_iter().chain(one("topic0", &[&[1], &[2, 255]])).collect();
        assert_eq!(condition(&[]), "");
        assert_eq!(condition(&[both.clone(), Wanted::new()]), "");
        assert_eq!(
            condition(&[both, one("data", &[]), one("data", &[b""])]),
            r" AND ((address IN ('\x27'::bytea) AND topic0 IN ('\x01'::bytea, '\x02ff'::bytea)) OR (false) OR (data IN ('\x'::bytea)))"
        );
    }

    async fn batches_of(rows: &RecordBatch, max_batch_rows: usize) -> Vec<RecordBatch> {
        let stream = encode(rows).unwrap();
        let pieces = stream.chunks(PIECE_BYTES).map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let pieces: Vec<sqlx::Result<Bytes>> = pieces.collect();
        let decoder = Decoder::new(rows.schema());
        batches(stream::iter(pieces).boxed(), decoder, max_batch_rows).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn a_batch_of_large_rows_ends_by_its_bytes() {
        let values = (0..20_u8).map(|row| vec![row; ROW_BYTES]);
        let data: ArrayRef = Arc::new(BinaryArray::from_iter_values(values));
        let rows = RecordBatch::try_from_iter([("data", data)]).unwrap();

        let read = batches_of(&rows, 1_000).await;
        let row_counts: Vec<usize> = read.iter().map(RecordBatch::num_rows).collect();
        // Seven rows are the first to reach the bound.
        assert_eq!(row_counts, [7, 7, 6]);
        assert_eq!(concat_batches(&rows.schema(), &read).unwrap(), rows);
        assert_eq!(batches_of(&rows, 5).await.len(), 4, "the bound on rows holds beside it");
    }
}
