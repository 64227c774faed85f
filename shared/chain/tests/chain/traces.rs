//! Traces: what cryo wrote of recorded answers, a real node, and a node whose traces are untrue.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::hex;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, UInt32Type, UInt64Type};
use isotherm_chain::traces::read;
use isotherm_chain::verify::verify;
use isotherm_chain::{Answer, ChainClient, HealthState, Limits, RpcUrl, TraceMethod, VerifiedBlock, columns};
use isotherm_lab::anvil::{Anvil, AnvilOptions};
use isotherm_lab::tape::{Fault, FaultRule, Tape, TapeServer};
use isotherm_lab::traffic::{Traffic, TrafficOptions};
use isotherm_types::disposition::{Classified as _, error_chain};
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset, SystemClock};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fixtures::{batch, fixtures, recorded_chain, unpack};

/// A row as texts: bytes in hexadecimal, `None` where nothing is.
type Row = Vec<Option<String>>;

fn rows(batch: &RecordBatch, columns: &[String]) -> Vec<Row> {
    let column = |name: &String| &**batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    let arrays: Vec<&dyn Array> = columns.iter().map(column).collect();
    (0..batch.num_rows()).map(|row| arrays.iter().map(|array| cell(*array, row)).collect()).collect()
}

fn cell(array: &dyn Array, row: usize) -> Option<String> {
    let value = || match array.data_type() {
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Binary => hex::encode(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex::encode(array.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(_) => hex::encode(array.as_fixed_size_binary().value(row)),
        other => panic!("{other}"),
    };
    (!array.is_null(row)).then(value)
}

/// The names of cryo's columns and its rows, as it wrote them to its files.
fn rows_of_cryo(folder: &Path) -> (Vec<String>, Vec<Row>) {
    let entries = std::fs::read_dir(folder.join("cryo")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().contains("__traces__"));
    files.sort();
    let (mut columns, mut found) = (Vec::new(), Vec::new());
    for file in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
        for batch in reader.map(Result::unwrap) {
            columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            found.extend(rows(&batch, &columns));
        }
    }
    (columns, found)
}

#[derive(Deserialize)]
struct Line {
    method: String,
    params: Vec<Value>,
    result: Box<RawValue>,
}

/// The recorded blocks with the traces of their recorded answers.
fn traced(folder: &Path, method: TraceMethod, rpc_method: &str) -> Vec<VerifiedBlock> {
    let text = unpack(&folder.join("rpc.jsonl.gz"));
    let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).unwrap());
    let answers: HashMap<String, Box<RawValue>> = lines
        .filter(|line| line.method == rpc_method)
        .map(|line| (line.params[0].as_str().unwrap().to_owned(), line.result))
        .collect();
    let nothing: Box<RawValue> = serde_json::from_str("[]").unwrap();
    let blocks = verify(recorded_chain(folder).0).unwrap();
    let attach = |block: VerifiedBlock| {
        let number = format!("{:#x}", block.block().reference.number.0);
        // The genesis block, which has no transaction, was not asked about by every method.
        let answer = answers.get(&number).unwrap_or(&nothing);
        let traces = read(block.block(), &block.verdicts().sender, method, answer);
        let traces = traces.unwrap_or_else(|error| panic!("block {number}: {error:?}"));
        block.with_traces(traces)
    };
    blocks.into_iter().map(attach).collect()
}

fn rows_of_ours(blocks: &[VerifiedBlock], columns: &[String]) -> Vec<Row> {
    let encoded = columns::encode(ChainId(143), blocks).unwrap();
    let batch = batch(&encoded, Dataset::Traces);
    assert_eq!(batch.schema(), Dataset::Traces.schema());
    rows(batch, columns)
}

#[test]
fn flat_traces_of_a_recorded_chain_are_cryos_cell_by_cell() {
    let Some(folder) = fixtures("anvil-cryo-oracle") else { return };
    let (columns, expected) = rows_of_cryo(&folder);
    let ours: Vec<&str> = Dataset::Traces.columns().iter().map(|column| column.name).collect();
    assert_eq!(columns, ours[..columns.len()], "cryo's columns come first, in its order");
    assert_eq!(expected.len(), 1543);
    let found = rows_of_ours(&traced(&folder, TraceMethod::TraceBlock, "trace_block"), &columns);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

#[test]
fn nested_traces_of_a_recorded_chain_are_cryos_but_for_what_geth_counts_otherwise() {
    let Some(folder) = fixtures("anvil-cryo-oracle") else { return };
    let (columns, mut expected) = rows_of_cryo(&folder);
    let place = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let (gas, gas_used, created) = (place("action_gas"), place("result_gas_used"), place("result_address"));
    let (path, error, block, transaction) =
        (place("trace_address"), place("error"), place("block_number"), place("transaction_index"));
    let json = recorded_chain(&folder).1;
    let (mut tops, mut failed_creations) = (0, 0);
    for row in &mut expected {
        let index = |place: usize| row[place].as_ref().unwrap().parse::<usize>().unwrap();
        let (whole, receipts) = &json[index(block)];
        let position = index(transaction);
        if row[path].as_deref() == Some("") {
            tops += 1;
            row[gas] = Some(quantity(&whole["transactions"][position]["gas"]));
            row[gas_used] = row[gas_used].take().map(|_| quantity(&receipts[position]["gasUsed"]));
        }
        if row[error].is_some() && row[created].take().is_some() {
            failed_creations += 1;
        }
    }
    assert_eq!((tops, failed_creations), (1481, 7));
    let found = rows_of_ours(&traced(&folder, TraceMethod::DebugTraceBlock, "debug_traceBlockByNumber"), &columns);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// A quantity in decimal digits.
fn quantity(value: &Value) -> String {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap().to_string()
}

const BLOCKS: u64 = 5;

pub(crate) async fn chain() -> Anvil {
    let chain = Anvil::start(AnvilOptions { chain_id: 143, ..AnvilOptions::deterministic() }).await.unwrap();
    let options = TrafficOptions { transactions_per_block: 8, empty_block_one_in: 0 };
    let mut traffic = Traffic::new(chain.rpc_url(), 143, 3, options);
    for _ in 1..BLOCKS {
        traffic.mine_block().await.unwrap();
    }
    chain
}

pub(crate) async fn client(urls: &[&str]) -> ChainClient {
    let urls = urls.iter().map(|url| RpcUrl::parse(url).unwrap()).collect();
    let limits = Limits { request_timeout: Duration::from_secs(5), ..Limits::default() };
    ChainClient::connect(urls, ChainId(143), limits, Arc::new(SystemClock)).await.unwrap()
}

pub(crate) fn present<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Present(value) => value,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn fetch(client: &ChainClient) -> Vec<VerifiedBlock> {
    present(client.fetch(BlockRange::new(BlockNumber(0), BlockNumber(BLOCKS)).unwrap()).await)
}

#[tokio::test]
async fn a_node_is_asked_by_either_method_or_not_at_all() {
    let chain = chain().await;
    let client = client(&[&chain.rpc_url()]).await;
    let blocks = fetch(&client).await;
    let transactions: usize = blocks.iter().map(|block| block.block().transactions.len()).sum();
    let untraced = present(client.trace(blocks.clone(), TraceMethod::None).await);
    assert!(untraced.iter().all(|block| block.traces().is_none()));
    assert_eq!(columns::encode(ChainId(143), &untraced).unwrap().len(), 3);
    for method in [TraceMethod::TraceBlock, TraceMethod::DebugTraceBlock] {
        let traced = present(client.trace(blocks.clone(), method).await);
        assert_eq!(traced.len(), blocks.len());
        assert_eq!(traced[0].traces(), Some(&[][..]), "the genesis block has none, and that is known");
        let traces = traced.iter().flat_map(|block| block.traces().unwrap());
        assert_eq!(traces.filter(|trace| trace.trace_address.is_empty()).count(), transactions);
        assert!(traced[1].size_bytes() > blocks[1].size_bytes());
        let rows = columns::encode(ChainId(143), &traced).unwrap();
        assert_eq!(batch(&rows, Dataset::Traces).schema(), Dataset::Traces.schema());
    }
}

/// The chain's blocks and what it says of their traces by number, on tape.
pub(crate) async fn record(chain: &Anvil) -> Tape {
    let mut tape = Tape::default();
    tape.record(chain.rpc(), "eth_chainId", json!([])).await.unwrap();
    for number in 0..BLOCKS {
        let number = format!("{number:#x}");
        tape.record(chain.rpc(), "eth_getBlockByNumber", json!([number, true])).await.unwrap();
        tape.record(chain.rpc(), "eth_getBlockReceipts", json!([number])).await.unwrap();
        tape.record(chain.rpc(), "trace_block", json!([number])).await.unwrap();
    }
    tape
}

pub(crate) fn about_block_2(fault: Fault) -> FaultRule {
    FaultRule { params: Some(json!(["0x2"])), ..FaultRule::new("trace_block", usize::MAX, fault) }
}

#[tokio::test]
async fn untrue_traces_are_laid_to_their_endpoint_and_another_one_is_asked() {
    let chain = chain().await;
    let tape = record(&chain).await;
    let mut untrue = chain.call("trace_block", json!(["0x2"])).await.unwrap();
    untrue[0]["action"]["from"] = json!("0x00000000000000000000000000000000000000ff");
    let (liar, honest) = (TapeServer::start(tape.clone()).await.unwrap(), TapeServer::start(tape).await.unwrap());
    liar.inject(about_block_2(Fault::Result(untrue)));

    let alone = client(&[liar.url()]).await;
    match alone.trace(fetch(&alone).await, TraceMethod::TraceBlock).await {
        Answer::Lying(lie) => assert_eq!((lie.code(), lie.endpoint.as_str()), ("chain.bad_top_frame", liar.url())),
        other => panic!("{other:?}"),
    }
    let both = client(&[liar.url(), honest.url()]).await;
    let traced = present(both.trace(fetch(&both).await, TraceMethod::TraceBlock).await);
    let asked = |server: &TapeServer| server.calls().contains(&("trace_block".to_owned(), json!(["0x2"])));
    assert!(asked(&liar) && asked(&honest));
    assert!(traced.iter().all(|block| block.traces().is_some()));
}

#[tokio::test]
async fn traces_of_another_block_of_that_number_are_a_reorg_and_never_mixed_in() {
    let chain = chain().await;
    let server = TapeServer::start(record(&chain).await).await.unwrap();
    let client = client(&[server.url()]).await;
    let blocks = fetch(&client).await;
    let other = chain.call("trace_block", json!(["0x3"])).await.unwrap();
    server.inject(FaultRule { times: 1, ..about_block_2(Fault::Result(other.clone())) });
    assert_eq!(present(client.trace(blocks.clone(), TraceMethod::TraceBlock).await).len(), blocks.len());
    server.inject(about_block_2(Fault::Result(other)));
    match client.trace(blocks, TraceMethod::TraceBlock).await {
        Answer::Failed(error) => assert_eq!(error.code(), "chain.replaced_while_fetching"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn traces_that_are_not_there_are_absent_and_an_empty_list_is_no_lie() {
    let chain = chain().await;
    let server = TapeServer::start(record(&chain).await).await.unwrap();
    let client = client(&[server.url()]).await;
    let blocks = fetch(&client).await;
    server.inject(about_block_2(Fault::NullResult));
    assert!(matches!(client.trace(blocks.clone(), TraceMethod::TraceBlock).await, Answer::Absent));
    let gone = Fault::Error { code: -32_000, message: "block not found".to_owned() };
    server.inject(FaultRule::new("debug_traceBlockByHash", usize::MAX, gone));
    assert!(matches!(client.trace(blocks.clone(), TraceMethod::DebugTraceBlock).await, Answer::Absent));
    server.heal();
    // What a node says of a block that has left its chain, or whose state it has forgotten.
    server.inject(about_block_2(Fault::Result(json!([]))));
    server.inject(FaultRule::new("debug_traceBlockByHash", usize::MAX, Fault::Result(json!([]))));
    for method in [TraceMethod::TraceBlock, TraceMethod::DebugTraceBlock] {
        match client.trace(blocks.clone(), method).await {
            Answer::Failed(error) => assert_eq!(error.code(), "chain.replaced_while_fetching"),
            other => panic!("{other:?}"),
        }
    }
    assert!(!matches!(client.health()[0].state, HealthState::Quarantined { .. }));
    assert!(client.take_evidence().is_empty());
}

#[tokio::test]
async fn no_error_shows_a_key_that_the_node_repeats() {
    const KEY: &str = "c4n4ryc4n4ry";
    let chain = chain().await;
    let server = TapeServer::start(record(&chain).await).await.unwrap();
    let address = format!("{}/v2/{KEY}", server.url());
    let urls = RpcUrl::parse_list(&address).unwrap();
    let limits = Limits { attempts: 1, ..Limits::default() };
    let client = ChainClient::connect(urls, ChainId(143), limits, Arc::new(SystemClock)).await.unwrap();
    let block = fetch(&client).await.remove(1);
    let untraced = vec![json!({ "error": address }); block.block().transactions.len()];
    for (method, called, result) in [
        (TraceMethod::TraceBlock, "trace_block", json!(address)),
        (TraceMethod::TraceBlock, "trace_block", json!([{ "type": address }])),
        (TraceMethod::DebugTraceBlock, "debug_traceBlockByHash", json!(untraced)),
    ] {
        server.inject(FaultRule::new(called, 1, Fault::Result(result)));
        match client.trace(vec![block.clone()], method).await {
            Answer::Failed(error) => {
                assert_eq!(error.code(), "chain.malformed");
                let shown = format!("{} {error:?}", error_chain(&error));
                assert!(shown.contains("/v2/[secret]") && !shown.contains(KEY), "{shown}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_method_that_the_node_does_not_have_is_named() {
    let chain = chain().await;
    let server = TapeServer::start(record(&chain).await).await.unwrap();
    let client = client(&[server.url()]).await;
    let gone = Fault::Error { code: -32_601, message: "Method not found".to_owned() };
    server.inject(FaultRule::new("trace_block", usize::MAX, gone));
    match client.trace(fetch(&client).await, TraceMethod::TraceBlock).await {
        Answer::Failed(error) => assert_eq!(error.to_string(), format!("{} has no method trace_block", server.url())),
        other => panic!("{other:?}"),
    }
}
