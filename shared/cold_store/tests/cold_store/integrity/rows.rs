//! Files whose manifest fits them, but whose rows are not those of the chain.

use std::collections::HashMap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::UInt32Type;
use isotherm_cold_store::integrity::{EndpointAnswers, Fault, Level, Plan, Report, Sampling, compare_anchors, sample};
use isotherm_cold_store::{DataFile, ObjectDigest};
use isotherm_types::{B256, BlockNumber, BlockRange, Commitments, Dataset, Since};
use parquet::arrow::ArrowWriter;

use super::sealed::{BLOCKS, SealedChain, World, altered, files_of};
use super::{one, unverifiable};
use crate::rows::range;

/// A file of a dataset that is neither its first nor its last.
fn middle(dataset: Dataset) -> BlockRange {
    files_of(dataset)[1]
}

fn key(world: &World, dataset: Dataset) -> String {
    world.newest[&dataset].files[1].key.clone()
}

/// Storage in which one cell of the middle file is another than on the chain.
async fn with_altered_cell(dataset: Dataset, column: &str, row: usize) -> World {
    let blocks = middle(dataset);
    World::with(dataset, blocks, |chain| {
        chain.staged_as(dataset, blocks, &altered(&chain.rows(dataset, blocks), column, row))
    })
    .await
}

/// Storage in which the middle file has these bytes, as its manifest says too.
async fn with_bytes(dataset: Dataset, row_count: usize, bytes: impl FnOnce(&SealedChain) -> Vec<u8>) -> World {
    let mut world = World::empty().await;
    let bytes = bytes(&world.chain);
    for each in Dataset::ALL {
        for blocks in files_of(each) {
            let staged = world.chain.staged(each, blocks);
            if (each, blocks) != (dataset, middle(dataset)) {
                world.add(&staged).await;
                continue;
            }
            let ObjectDigest { size_bytes, sha256 } = ObjectDigest::of(&bytes);
            let file = DataFile { size_bytes, sha256, row_count: row_count as u64, ..staged.file().clone() };
            world.bucket.overwrite(&file.key, &bytes).await;
            world.list(file).await;
        }
    }
    world
}

/// Rows as Parquet, whoever's rows they are.
fn parquet(rows: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.into_inner().unwrap()
}

fn in_order(rows: &RecordBatch, order: impl IntoIterator<Item = u32>) -> RecordBatch {
    take_record_batch(rows, &UInt32Array::from_iter_values(order)).unwrap()
}

#[tokio::test]
async fn a_wrong_cell_is_found_by_what_the_header_commits_to() {
    let table = [
        (Dataset::Blocks, "gas_used", 3, Fault::HeaderHash),
        (Dataset::Blocks, "extra_data", 3, Fault::HeaderHash),
        (Dataset::Blocks, "state_root", 3, Fault::HeaderHash),
        (Dataset::Blocks, "receipts_root", 3, Fault::HeaderHash),
        (Dataset::Transactions, "nonce", 17, Fault::TransactionsRoot),
        (Dataset::Transactions, "input", 17, Fault::TransactionsRoot),
        (Dataset::Transactions, "signature_s", 17, Fault::TransactionsRoot),
        (Dataset::Transactions, "cumulative_gas_used", 17, Fault::ReceiptsRoot),
        (Dataset::Transactions, "success", 17, Fault::ReceiptsRoot),
        (Dataset::Transactions, "transaction_hash", 17, Fault::TransactionsRoot),
        (Dataset::Transactions, "gas_used", 17, Fault::ReceiptsRoot),
    ];
    for (dataset, column, row, fault) in table {
        let world = with_altered_cell(dataset, column, row).await;
        assert!(world.check(Level::File).await.is_sound(), "{column}: the manifest fits");
        let report = world.check(Level::Chain).await;
        let finding = one(&report, &key(&world, dataset), fault);
        // Five transactions a block.
        let block = middle(dataset).start().0 + 3;
        assert_eq!(finding.blocks, Some(range(block, block + 1)), "{column}");
        assert_eq!(report.blocks, BLOCKS, "the check goes on");
    }
}

#[tokio::test]
async fn what_a_chains_profile_excepts_is_no_finding_and_is_not_called_good() {
    let from = |block| Since::Block(BlockNumber(block));
    let until = |block| range(0, block);
    // Five transactions a block.
    let block = middle(Dataset::Transactions).start().0 + 3;
    let table = [
        ("success", Commitments { receipts_root: from(block + 1), ..Commitments::ALL }, Dataset::Transactions),
        ("nonce", Commitments { transactions_root: from(block + 1), ..Commitments::ALL }, Dataset::Transactions),
    ];
    for (column, excepting, dataset) in table {
        let world = with_altered_cell(Dataset::Transactions, column, 17).await;
        let report = world.check_by(&excepting, Level::Chain, |_| {}).await;
        assert_eq!((&report.findings, unverifiable(&report)), (&vec![], vec![(dataset, until(block + 1))]), "{column}");
        assert!(report.unverifiable[0].reason.contains("the chain's profile"), "{report:?}");
    }
    // One block earlier it counts again, and so does what is not excepted.
    let world = with_altered_cell(Dataset::Transactions, "success", 17).await;
    let counting = Commitments { receipts_root: from(block), logs_bloom: Since::Never, ..Commitments::ALL };
    let report = world.check_by(&counting, Level::Chain, |_| {}).await;
    let finding = one(&report, &key(&world, Dataset::Transactions), Fault::ReceiptsRoot);
    assert_eq!(finding.blocks, Some(range(block, block + 1)));
    let world = with_altered_cell(Dataset::Blocks, "gas_used", 3).await;
    let excepting = Commitments { header_hash: Since::Never, ..Commitments::ALL };
    let report = world.check_by(&excepting, Level::Chain, |_| {}).await;
    assert_eq!((&report.findings, unverifiable(&report)), (&vec![], vec![(Dataset::Blocks, until(BLOCKS))]));
}

#[tokio::test]
async fn a_wrong_header_is_found_where_nothing_but_headers_is_needed() {
    let world = with_altered_cell(Dataset::Blocks, "gas_used", 3).await;
    let report = world.check_as(Level::Chain, |plan| plan.datasets = vec![Dataset::Traces]).await;
    let finding = one(&report, &key(&world, Dataset::Blocks), Fault::HeaderHash);
    let block = middle(Dataset::Blocks).start().0 + 3;
    assert_eq!(finding.blocks, Some(range(block, block + 1)));
}

#[tokio::test]
async fn a_wrong_or_missing_log_is_found() {
    let blocks = middle(Dataset::Logs);
    let faults = [Fault::ReceiptsRoot, Fault::LogsBloom, Fault::CountDiffers];
    let check = async |world: World, what: &str| {
        assert!(world.check(Level::File).await.is_sound(), "{what}: the manifest fits");
        let report = world.check(Level::Chain).await;
        let [finding] = report.findings.as_slice() else { panic!("{what}: {report:#?}") };
        assert!(faults.contains(&finding.fault), "{what}: {finding:?}");
        let found = finding.blocks.unwrap();
        assert_eq!((found.block_count(), blocks.contains(found.start())), (1, true), "{what}: {finding:?}");
    };
    for column in ["data", "address"] {
        check(with_altered_cell(Dataset::Logs, column, 4).await, column).await;
    }
    let less = World::with(Dataset::Logs, blocks, |chain| {
        let rows = chain.rows(Dataset::Logs, blocks);
        let count = u32::try_from(rows.num_rows()).unwrap();
        chain.staged_as(Dataset::Logs, blocks, &in_order(&rows, 0..count - 1))
    })
    .await;
    check(less, "a log less").await;
}

#[tokio::test]
async fn a_file_of_another_branch_is_found_where_it_begins_and_ends() {
    let blocks = middle(Dataset::Blocks);
    let branch = SealedChain::new(8);
    let world = World::with(Dataset::Blocks, blocks, |_| branch.staged(Dataset::Blocks, blocks)).await;
    assert!(world.check(Level::File).await.is_sound());
    let report = world.check(Level::Chain).await;
    let found = |fault: Fault| -> Vec<(&str, BlockRange)> {
        let findings = report.findings.iter().filter(|finding| finding.fault == fault);
        findings.map(|finding| (finding.object.as_str(), finding.blocks.unwrap())).collect()
    };
    let files = &world.newest[&Dataset::Blocks].files;
    let expected = [(files[1].key.as_str(), range(10, 11)), (files[2].key.as_str(), range(20, 21))];
    assert_eq!(found(Fault::ParentLink), expected);
    assert!(found(Fault::HeaderHash).is_empty(), "each header is what its own hash says");
    // Whatever names the hashes of the chain is not of these headers.
    assert!(!found(Fault::RowBlock).is_empty() && !found(Fault::EndHash).is_empty(), "{report:#?}");
}

#[tokio::test]
async fn a_trace_of_a_block_that_is_not_there_is_found() {
    let (dataset, blocks) = (Dataset::Traces, middle(Dataset::Traces));
    let rows = SealedChain::new(7).rows(dataset, blocks);
    let row = 2;
    let other = altered(&rows, "block_hash", row);
    let numbers = rows.column_by_name("block_number").unwrap().as_primitive::<UInt32Type>();
    let block = BlockNumber(u64::from(numbers.value(row)));
    let world = with_bytes(dataset, rows.num_rows(), |_| parquet(&other)).await;
    let finding = one(&world.check(Level::Chain).await, &key(&world, dataset), Fault::RowBlock);
    assert_eq!(finding.blocks, Some(BlockRange::single(block)));
    assert!(finding.message.contains("names the hash"), "{}", finding.message);
}

#[tokio::test]
async fn rows_that_no_writer_of_ours_would_write_are_found() {
    let blocks = middle(Dataset::Logs);
    let count = u32::try_from(SealedChain::new(7).rows(Dataset::Logs, blocks).num_rows()).unwrap();
    let rows_of = |chain: &SealedChain, blocks| chain.rows(Dataset::Logs, blocks);
    let outside = range(blocks.start().0, blocks.end().0 + 1);
    let outside_count = SealedChain::new(7).rows(Dataset::Logs, outside).num_rows();

    let swapped = with_bytes(Dataset::Logs, count as usize, |chain| {
        parquet(&in_order(&rows_of(chain, blocks), [1, 0].into_iter().chain(2..count)))
    });
    let doubled = with_bytes(Dataset::Logs, count as usize + 1, |chain| {
        parquet(&in_order(&rows_of(chain, blocks), [0].into_iter().chain(0..count)))
    });
    let of_others = with_bytes(Dataset::Logs, outside_count, |chain| parquet(&rows_of(chain, outside)));
    let of_chain =
        with_bytes(Dataset::Logs, count as usize, |chain| parquet(&altered(&rows_of(chain, blocks), "chain_id", 3)));
    let expect = async |world: World, fault| {
        assert!(world.check(Level::File).await.is_sound(), "the manifest fits");
        let report = world.check(Level::Chain).await;
        one(&report, &key(&world, Dataset::Logs), fault);
        assert!(unverifiable(&report).contains(&(Dataset::Logs, blocks)), "{report:#?}");
    };
    expect(swapped.await, Fault::OrderBroken).await;
    expect(doubled.await, Fault::OrderBroken).await;
    expect(of_others.await, Fault::RowBlock).await;
    expect(of_chain.await, Fault::RowBlock).await;
}

#[tokio::test]
async fn a_file_that_is_none_of_its_dataset_is_found_without_its_rows() {
    let dataset = Dataset::Logs;
    let expect = async |world: World, fault| {
        for level in super::TWO_LEVELS {
            one(&world.check(level).await, &key(&world, dataset), fault);
        }
    };
    expect(with_bytes(dataset, 3, |_| b"PAR1 is how it begins".to_vec()).await, Fault::NotParquet).await;
    let blocks = middle(dataset);
    let of_blocks = |chain: &SealedChain| parquet(&chain.rows(Dataset::Blocks, blocks));
    expect(with_bytes(dataset, 10, of_blocks).await, Fault::SchemaDiffers).await;
    let twice = |chain: &SealedChain| {
        let rows = chain.rows(dataset, blocks);
        parquet(&concat_batches(&rows.schema(), [&rows, &rows]).unwrap())
    };
    let count = SealedChain::new(7).rows(dataset, blocks).num_rows();
    expect(with_bytes(dataset, count, twice).await, Fault::RowsDiffer).await;
}

#[tokio::test]
async fn pages_that_are_none_are_found_before_they_are_decoded() {
    let (dataset, blocks) = (Dataset::Traces, middle(Dataset::Traces));
    let count = SealedChain::new(7).rows(dataset, blocks).num_rows();
    // The footer is left whole: everything before the indexes and it is zeros.
    let hollow = |chain: &SealedChain| {
        let mut bytes = parquet(&chain.rows(dataset, blocks));
        let end = bytes.len() / 3;
        bytes[4..end].fill(0);
        bytes
    };
    let world = with_bytes(dataset, count, hollow).await;
    for level in super::TWO_LEVELS {
        one(&world.check(level).await, &key(&world, dataset), Fault::NotParquet);
    }
    assert_eq!(unverifiable(&world.check(Level::Chain).await), [(dataset, blocks)]);
}

#[tokio::test]
async fn a_trusted_hash_is_looked_for_among_the_blocks() {
    let world = World::whole().await;
    let anchored = async |hash: B256| world.check_as(Level::Chain, |plan| plan.anchor = Some(hash)).await;
    let report = anchored(world.chain.hash(BLOCKS - 1)).await;
    assert_eq!((report.findings, report.unverifiable), (vec![], vec![]));

    let report = anchored(world.chain.hash(25)).await;
    assert_eq!((&report.findings, unverifiable(&report)), (&vec![], vec![(Dataset::Blocks, range(26, 40))]));

    let last = world.newest[&Dataset::Blocks].files.last().unwrap();
    let other = B256::repeat_byte(7);
    let finding = one(&anchored(other).await, &last.key, Fault::AnchorDiffers);
    assert!(finding.message.contains(&other.to_string()), "{}", finding.message);
    assert!(finding.message.contains(&world.chain.hash(39).to_string()), "{}", finding.message);
    let outside = |plan: &mut Plan<'_>| {
        (plan.anchor, plan.blocks) = (Some(world.chain.hash(5)), Some(range(10, 20)));
    };
    let report = world.check_as(Level::Chain, outside).await;
    let finding = one(&report, &key(&world, Dataset::Blocks), Fault::AnchorDiffers);
    assert_eq!(finding.blocks, Some(range(10, 20)));
}

#[tokio::test]
async fn headers_are_sampled_for_endpoints_to_confirm() {
    let world = World::whole().await;
    let sampled = async |level, sampling| -> Report {
        let report = world.check_as(level, |plan| plan.sampling = sampling).await;
        assert!(report.is_sound());
        report
    };
    assert_eq!(sampled(Level::Anchor, Sampling::None).await.headers, []);
    assert_eq!(sampled(Level::Chain, Sampling::Every).await.headers, []);
    assert_eq!(sampled(Level::Anchor, Sampling::Every).await.headers.len() as u64, BLOCKS);

    let mut report = sampled(Level::Anchor, Sampling::Some { count: 7, seed: 3 }).await;
    let numbers: Vec<BlockNumber> = report.headers.iter().map(|header| header.number).collect();
    assert_eq!(numbers, sample(range(0, BLOCKS), 7, 3));
    for header in &report.headers {
        assert_eq!(header.hash, world.chain.hash(header.number.0));
        let files = &world.newest[&Dataset::Blocks].files;
        let file = files.iter().find(|file| file.blocks.contains(header.number)).unwrap();
        assert_eq!(header.object, file.key);
    }

    let hashes = |chain: &SealedChain| -> HashMap<BlockNumber, B256> {
        numbers.iter().map(|number| (*number, chain.hash(number.0))).collect()
    };
    let honest = |name: &str| EndpointAnswers { endpoint: name.to_owned(), hashes: hashes(&world.chain) };
    let anchors = compare_anchors(&report.headers, &[honest("left"), honest("right")], 2);
    assert_eq!((anchors.confirmed.len(), anchors.findings.len(), anchors.unverifiable.len()), (7, 0, 0));
    let branch = SealedChain::new(8);
    let other = |name: &str| EndpointAnswers { endpoint: name.to_owned(), hashes: hashes(&branch) };
    report.add_anchors(compare_anchors(&report.headers, &[other("left"), honest("middle"), other("right")], 2));
    assert_eq!(report.findings.len(), 7);
    assert!(report.findings.iter().all(|finding| finding.fault == Fault::AnchorDiffers));
}
