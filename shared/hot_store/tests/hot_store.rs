//! Hot storage on a real Postgres.

use std::sync::Arc;

use alloy::primitives::B256;
use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, RecordBatch,
    StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::DataType;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use isotherm_hot_store::cursor::Halt;
use isotherm_hot_store::rows::Order;
use isotherm_hot_store::whole_blocks::{self, Bounds};
use isotherm_hot_store::{BlockBatch, HotStoreError, append, cursor, gaps, lag, rows, stored_hash, take_back};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{BlockNumber, BlockRange, BlockRef, ChainId, Dataset};
use sqlx::{Connection, PgConnection, Row};

const CHAIN: ChainId = ChainId(31337);

async fn database() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = PgConnection::connect(&database.url).await.unwrap();
    cursor::ensure(&mut conn, CHAIN, "demo", 10).await.unwrap();
    (database, conn)
}

fn hash(number: u64, branch: u8) -> B256 {
    let mut hash = B256::with_last_byte(branch);
    hash[..8].copy_from_slice(&number.to_be_bytes());
    hash
}

fn reference(number: u64, branch: u8) -> BlockRef {
    BlockRef { number: BlockNumber(number), hash: hash(number, branch) }
}

fn range(start: u64, end: u64) -> BlockRange {
    BlockRange::new(BlockNumber(start), BlockNumber(end)).unwrap()
}

/// A batch of synthetic rows: one header and `rows_per_block` rows of each other dataset a block, every column filled.
fn batch(blocks: BlockRange, branch: u8, parent: B256, rows_per_block: u64) -> BlockBatch {
    let rows = Dataset::ALL.map(|dataset| {
        let per_block = if dataset == Dataset::Blocks { 1 } else { rows_per_block };
        (dataset, dataset_rows(dataset, blocks, branch, per_block))
    });
    BlockBatch {
        blocks,
        parent_hash: parent,
        tip: reference(blocks.last().0, branch),
        rows: rows.into(),
        served_at: DateTime::<Utc>::from_timestamp(1_700_000_000, 0).unwrap(),
    }
}

fn dataset_rows(dataset: Dataset, blocks: BlockRange, branch: u8, per_block: u64) -> RecordBatch {
    let places: Vec<(u64, u64)> =
        (blocks.start().0..blocks.end().0).flat_map(|block| (0..per_block).map(move |index| (block, index))).collect();
    let place_column = dataset.sort_columns().get(1).copied();
    let columns: Vec<ArrayRef> = dataset
        .columns()
        .iter()
        .map(|column| -> ArrayRef {
            let number = |(block, index): (u64, u64)| match column.name {
                "block_number" => block,
                "chain_id" => CHAIN.0,
                name if Some(name) == place_column => index,
                _ => block * 1000 + index,
            };
            let absent = |(_, index): (u64, u64)| column.nullable && index % 2 == 1;
            let numbers = places.iter().map(|place| (!absent(*place)).then(|| number(*place)));
            match column.column_type.arrow() {
                DataType::UInt32 => {
                    Arc::new(numbers.map(|n| n.map(|n| u32::try_from(n).unwrap())).collect::<UInt32Array>())
                }
                DataType::UInt64 => Arc::new(numbers.collect::<UInt64Array>()),
                #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
                DataType::Float64 => Arc::new(numbers.map(|n| n.map(|n| n as f64 / 4.0)).collect::<Float64Array>()),
                DataType::Boolean => Arc::new(numbers.map(|n| n.map(|n| n % 3 == 0)).collect::<BooleanArray>()),
                DataType::Utf8 => Arc::new(numbers.map(|n| n.map(|n| format!("t{n}"))).collect::<StringArray>()),
                DataType::Binary => {
                    let values: Vec<_> = numbers.map(|n| n.map(u64::to_be_bytes)).collect();
                    Arc::new(values.iter().map(|v| v.as_ref().map(|v| &v[..])).collect::<BinaryArray>())
                }
                DataType::Decimal128(p, s) => {
                    let values = numbers.map(|n| n.map(|n| i128::from(n) * 10i128.pow(30) + 1));
                    Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(p, s).unwrap())
                }
                DataType::FixedSizeBinary(length) => {
                    let value = |place: (u64, u64)| {
                        let seed =
                            if column.name == "block_hash" { hash(place.0, branch) } else { hash(number(place), 7) };
                        seed.iter().copied().cycle().take(usize::try_from(length).unwrap()).collect::<Vec<u8>>()
                    };
                    let values = places.iter().map(|place| (!absent(*place)).then(|| value(*place)));
                    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, length).unwrap())
                }
                other => panic!("{other}"),
            }
        })
        .collect();
    RecordBatch::try_new(dataset.schema(), columns).unwrap()
}

async fn read_all(conn: &mut PgConnection, dataset: Dataset, blocks: BlockRange) -> Vec<RecordBatch> {
    let names: Vec<&str> = dataset.columns().iter().map(|column| column.name).collect();
    let stream = rows::read(conn, CHAIN, dataset, &names, blocks, Order::ByPlace, 7).await.unwrap();
    stream.try_collect().await.unwrap()
}

#[tokio::test]
async fn tables_have_the_columns_of_the_schema() {
    let (_database, mut conn) = database().await;
    for dataset in Dataset::ALL {
        let stored: Vec<(String, String, bool)> = sqlx::query(
            "SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute
              WHERE attrelid = ('hot.' || $1)::regclass AND attnum > 0 ORDER BY attnum",
        )
        .bind(dataset.as_str())
        .fetch_all(&mut conn)
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
        let expected: Vec<(String, String, bool)> = dataset
            .columns()
            .iter()
            .map(|column| (column.name.to_owned(), column.column_type.postgres().to_owned(), !column.nullable))
            .collect();
        assert_eq!(stored, expected, "{dataset}");
    }
}

#[tokio::test]
async fn every_value_comes_back_as_it_was_written() {
    let (_database, mut conn) = database().await;
    let written = batch(range(5, 25), 0, B256::ZERO, 3);
    let appended = append(&mut conn, CHAIN, &written).await.unwrap();
    for (counted, (dataset, rows)) in appended.iter().zip(&written.rows) {
        assert_eq!((counted.dataset, counted.row_count), (*dataset, rows.num_rows() as u64));
        assert_eq!(counted.size_bytes > 0, rows.num_rows() > 0, "{dataset}");
    }
    for (dataset, expected) in &written.rows {
        let batches = read_all(&mut conn, *dataset, range(0, 100)).await;
        assert!(batches.iter().all(|batch| batch.num_rows() <= 7), "memory is bounded by the batch size");
        let read = arrow::compute::concat_batches(&dataset.schema(), &batches).unwrap();
        assert_eq!(&read, expected, "{dataset}");
        assert_eq!(
            rows::count(&mut conn, CHAIN, *dataset, range(5, 7)).await.unwrap(),
            2 * expected.num_rows() as u64 / 20
        );
    }
    let stored = cursor::read(&mut conn, CHAIN).await.unwrap().unwrap();
    assert_eq!((stored.first_block, stored.tip), (Some(BlockNumber(5)), Some(reference(24, 0))));
    assert_eq!(lag::recent(&mut conn, CHAIN, 10).await.unwrap().unwrap().block_count, 10);
}

#[tokio::test]
async fn a_projection_reads_only_the_columns_asked_for_in_their_order() {
    let (_database, mut conn) = database().await;
    append(&mut conn, CHAIN, &batch(range(0, 3), 0, B256::ZERO, 2)).await.unwrap();
    let stream = rows::read(&mut conn, CHAIN, Dataset::Logs, &["log_index", "address"], range(1, 2), Order::Any, 99);
    let batches: Vec<RecordBatch> = stream.await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (2, 2));
    let unknown = rows::read(&mut conn, CHAIN, Dataset::Logs, &["nonce"], range(1, 2), Order::Any, 99).await;
    assert!(matches!(unknown.err(), Some(HotStoreError::UnknownColumn { .. })));
}

#[tokio::test]
async fn one_question_an_append_finds_the_partitions_that_are_there_and_those_that_are_gone() {
    let (_database, mut conn) = database().await;
    append(&mut conn, CHAIN, &batch(range(0, 12), 0, B256::ZERO, 1)).await.unwrap();
    let before = partition_questions(&mut conn).await;
    append(&mut conn, CHAIN, &batch(range(12, 14), 0, hash(11, 0), 1)).await.unwrap();
    assert_eq!(partition_questions(&mut conn).await, before + 1);

    take_back(&mut conn, CHAIN, reference(9, 0), reference(14, 1)).await.unwrap();
    let gone = "DROP TABLE hot.logs_31337_0000000010, hot.blocks_31337_0000000010";
    sqlx::raw_sql(gone).execute(&mut conn).await.unwrap();
    append(&mut conn, CHAIN, &batch(range(10, 15), 1, hash(9, 0), 1)).await.unwrap();
    assert_eq!(rows::count(&mut conn, CHAIN, Dataset::Logs, range(0, 99)).await.unwrap(), 15);
}

/// How often this connection has asked which tables are there.
async fn partition_questions(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(generic_plans + custom_plans), 0)::bigint FROM pg_prepared_statements
          WHERE statement LIKE $1",
    )
    .bind("%to_regclass%")
    .fetch_one(conn)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_batch_that_does_not_continue_the_tip_is_refused() {
    let (_database, mut conn) = database().await;
    append(&mut conn, CHAIN, &batch(range(5, 8), 0, B256::ZERO, 1)).await.unwrap();
    let cases = [
        batch(range(8, 9), 0, hash(7, 1), 1),  // parent of another branch
        batch(range(9, 10), 0, hash(7, 0), 1), // a gap
        batch(range(7, 8), 0, hash(6, 0), 1),  // a block twice
    ];
    for case in cases {
        let error = append(&mut conn, CHAIN, &case).await.unwrap_err();
        assert!(matches!(error, HotStoreError::NotOnTip { .. }), "{error}");
    }
    assert_eq!(rows::count(&mut conn, CHAIN, Dataset::Blocks, range(0, 100)).await.unwrap(), 3);
}

#[tokio::test]
async fn the_key_refuses_a_block_twice_even_when_the_tip_check_is_passed_by() {
    let (_database, mut conn) = database().await;
    append(&mut conn, CHAIN, &batch(range(5, 8), 0, B256::ZERO, 1)).await.unwrap();
    sqlx::query("UPDATE hot.cursors SET tip_number = 6, tip_hash = $1")
        .bind(hash(6, 0).as_slice())
        .execute(&mut conn)
        .await
        .unwrap();
    let error = append(&mut conn, CHAIN, &batch(range(7, 8), 0, hash(6, 0), 1)).await.unwrap_err();
    let HotStoreError::Database { source: sqlx::Error::Database(cause), .. } = error else { panic!("{error}") };
    assert!(cause.is_unique_violation(), "{cause}");
}

#[tokio::test]
async fn a_batch_whose_rows_are_not_its_blocks_is_refused() {
    let (_database, mut conn) = database().await;
    let mut short = batch(range(0, 3), 0, B256::ZERO, 1);
    short.rows[0].1 = short.rows[0].1.slice(0, 2);
    let mut other_tip = batch(range(0, 3), 0, B256::ZERO, 1);
    other_tip.tip.hash = hash(2, 9);
    for case in [short, other_tip] {
        let error = append(&mut conn, CHAIN, &case).await.unwrap_err();
        assert!(matches!(error, HotStoreError::Inconsistent { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_reorg_replaces_the_branch_in_one_transaction() {
    let (database, mut conn) = database().await;
    let mut reader = PgConnection::connect(&database.url).await.unwrap();
    append(&mut conn, CHAIN, &batch(range(5, 18), 0, B256::ZERO, 2)).await.unwrap();

    let mut db_tx = conn.begin().await.unwrap();
    let taken_back = take_back(&mut db_tx, CHAIN, reference(14, 0), reference(16, 1)).await.unwrap();
    assert_eq!(taken_back, range(15, 18));
    append(&mut db_tx, CHAIN, &batch(range(15, 17), 1, hash(14, 0), 3)).await.unwrap();
    assert_eq!(
        rows::count(&mut reader, CHAIN, Dataset::Logs, range(0, 99)).await.unwrap(),
        26,
        "readers see the old branch"
    );
    db_tx.commit().await.unwrap();

    assert_eq!(rows::count(&mut reader, CHAIN, Dataset::Logs, range(0, 99)).await.unwrap(), 26 - 6 + 6);
    assert_eq!(stored_hash(&mut conn, CHAIN, BlockNumber(15)).await.unwrap(), Some(hash(15, 1)));
    assert_eq!(stored_hash(&mut conn, CHAIN, BlockNumber(17)).await.unwrap(), None);
    assert_eq!(cursor::read(&mut conn, CHAIN).await.unwrap().unwrap().tip, Some(reference(16, 1)));
    let row =
        sqlx::query("SELECT start_block, end_block FROM hot.data_invalidations").fetch_one(&mut conn).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (15, 18));
    let headers = read_all(&mut conn, Dataset::Blocks, range(0, 99)).await;
    let hashes = arrow::compute::concat_batches(&Dataset::Blocks.schema(), &headers).unwrap();
    assert_eq!(hashes["block_hash"].as_fixed_size_binary().value(11), hash(16, 1).as_slice());
}

#[tokio::test]
async fn traces_are_promised_from_the_first_block_on_after_which_none_is_without() {
    let (_database, mut conn) = database().await;
    let first_traced = async |conn: &mut PgConnection| {
        let number = cursor::read(conn, CHAIN).await.unwrap().unwrap().first_traced_block;
        number.map(|number| number.0)
    };
    let untraced = |mut batch: BlockBatch| {
        batch.rows.retain(|(dataset, _)| *dataset != Dataset::Traces);
        batch
    };
    append(&mut conn, CHAIN, &untraced(batch(range(0, 5), 0, B256::ZERO, 1))).await.unwrap();
    assert_eq!(first_traced(&mut conn).await, None);
    append(&mut conn, CHAIN, &batch(range(5, 8), 0, hash(4, 0), 1)).await.unwrap();
    append(&mut conn, CHAIN, &batch(range(8, 10), 0, hash(7, 0), 1)).await.unwrap();
    assert_eq!(first_traced(&mut conn).await, Some(5));

    // A branch that leaves below them brings its own.
    take_back(&mut conn, CHAIN, reference(3, 0), reference(6, 1)).await.unwrap();
    assert_eq!(rows::count(&mut conn, CHAIN, Dataset::Traces, range(0, 99)).await.unwrap(), 0);
    append(&mut conn, CHAIN, &batch(range(4, 7), 1, hash(3, 0), 1)).await.unwrap();
    assert_eq!(first_traced(&mut conn).await, Some(4));

    append(&mut conn, CHAIN, &untraced(batch(range(7, 8), 1, hash(6, 1), 1))).await.unwrap();
    assert_eq!(first_traced(&mut conn).await, None);
    append(&mut conn, CHAIN, &batch(range(8, 10), 1, hash(7, 1), 1)).await.unwrap();
    assert_eq!(first_traced(&mut conn).await, Some(8));
    assert_eq!(rows::count(&mut conn, CHAIN, Dataset::Traces, range(0, 99)).await.unwrap(), 5);

    // The tip, written anew without its traces: those that are there are its own.
    let tip = untraced(batch(range(9, 10), 1, hash(8, 1), 1));
    assert!(gaps::write_anew(&mut conn, CHAIN, &tip).await.unwrap());
    assert_eq!(first_traced(&mut conn).await, Some(8));
    assert_eq!(rows::count(&mut conn, CHAIN, Dataset::Traces, range(9, 10)).await.unwrap(), 1);
    // Those of another block are not.
    sqlx::query("UPDATE hot.traces SET block_hash = $1 WHERE block_number = 9")
        .bind(B256::repeat_byte(0xee).as_slice())
        .execute(&mut conn)
        .await
        .unwrap();
    assert!(gaps::write_anew(&mut conn, CHAIN, &tip).await.unwrap());
    assert_eq!(rows::count(&mut conn, CHAIN, Dataset::Traces, range(9, 10)).await.unwrap(), 0);
    assert_eq!(first_traced(&mut conn).await, None);
}

#[tokio::test]
async fn a_finalized_block_is_never_taken_back() {
    let (_database, mut conn) = database().await;
    append(&mut conn, CHAIN, &batch(range(0, 9), 0, B256::ZERO, 1)).await.unwrap();
    assert!(cursor::set_finalized(&mut conn, CHAIN, reference(6, 0)).await.unwrap());
    assert!(!cursor::set_finalized(&mut conn, CHAIN, reference(5, 0)).await.unwrap(), "it only moves up");
    let contradiction = cursor::set_finalized(&mut conn, CHAIN, reference(7, 3)).await.unwrap_err();
    assert!(matches!(contradiction, HotStoreError::NotStored { .. }));

    let error = take_back(&mut conn, CHAIN, reference(5, 0), reference(9, 1)).await.unwrap_err();
    assert!(matches!(error, HotStoreError::BelowFinalized { .. }), "{error}");
    assert_eq!(rows::count(&mut conn, CHAIN, Dataset::Blocks, range(0, 99)).await.unwrap(), 9);
    take_back(&mut conn, CHAIN, reference(6, 0), reference(9, 1)).await.unwrap();
}

#[tokio::test]
async fn a_halted_chain_is_not_written_to() {
    let (_database, mut conn) = database().await;
    append(&mut conn, CHAIN, &batch(range(0, 2), 0, B256::ZERO, 1)).await.unwrap();
    let first = Halt { code: "chain.reorg_too_deep".to_owned(), message: "first".to_owned() };
    cursor::halt(&mut conn, CHAIN, &first).await.unwrap();
    cursor::halt(&mut conn, CHAIN, &Halt { message: "second".to_owned(), ..first.clone() }).await.unwrap();
    let error = append(&mut conn, CHAIN, &batch(range(2, 3), 0, hash(1, 0), 1)).await.unwrap_err();
    assert_eq!(error.to_string(), "chain 31337 is halted (chain.reorg_too_deep): first");
    let error = take_back(&mut conn, CHAIN, reference(0, 0), reference(1, 1)).await.unwrap_err();
    assert!(matches!(error, HotStoreError::Halted { .. }));
}

#[tokio::test]
async fn a_chain_keeps_the_settings_it_was_set_up_with() {
    let (_database, mut conn) = database().await;
    cursor::ensure(&mut conn, CHAIN, "demo", 10).await.unwrap();
    let error = cursor::ensure(&mut conn, CHAIN, "demo", 20).await.unwrap_err();
    assert!(matches!(error, HotStoreError::OtherSettings { .. }), "{error}");
}

#[tokio::test]
async fn a_run_of_whole_blocks_ends_by_its_bounds_and_with_a_block() {
    let (_database, mut conn) = database().await;
    append(&mut conn, CHAIN, &batch(range(5, 25), 0, B256::ZERO, 3)).await.unwrap();
    let wanted = [(Dataset::Logs, vec!["block_number", "log_index"]), (Dataset::Transactions, vec!["block_number"])];
    let mut read = async |row_count| {
        let bounds = Bounds { row_count, size_bytes: usize::MAX };
        let run = whole_blocks::read(&mut conn, CHAIN, range(5, 25), &wanted, bounds).await.unwrap();
        let count = |dataset| run.rows[&dataset].iter().map(RecordBatch::num_rows).sum::<usize>();
        (run.blocks, count(Dataset::Logs), count(Dataset::Transactions))
    };
    assert_eq!(read(1_000).await, (range(5, 25), 60, 60));
    // Both are in one batch each: the last block of the first one that is too much may go on, so it is not taken.
    assert_eq!(read(100).await, (range(5, 24), 57, 57));
    assert_eq!(read(1).await, (range(5, 23), 54, 54));

    let headers = whole_blocks::headers(&mut conn, CHAIN, range(20, 40)).await.unwrap();
    assert_eq!(headers.len(), 5);
    assert_eq!(headers[0].block, reference(20, 0));
    let first = whole_blocks::first_header(&mut conn, CHAIN, BlockNumber(0)).await.unwrap().unwrap();
    assert_eq!(first.block, reference(5, 0));
    assert_eq!(whole_blocks::first_header(&mut conn, CHAIN, BlockNumber(25)).await.unwrap(), None);
    let known = whole_blocks::hashes(&mut conn, CHAIN, &[BlockNumber(4), BlockNumber(7)]).await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [(BlockNumber(7), hash(7, 0))]);
}
