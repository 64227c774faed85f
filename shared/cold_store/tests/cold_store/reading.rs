//! Cold storage as its users read it, without anything of ours: the programs of `docs/reading-cold-data.md` are run on
//! a real bucket, and the page shows what they are and what they print.

use std::ops::Range;
use std::path::Path;
use std::process::Stdio;

use arrow::array::RecordBatch;
use isotherm_chain::FetchedBlock;
use isotherm_chain::block::read_block;
use isotherm_chain::columns;
use isotherm_chain::verify::verify;
use isotherm_cold_store::{
    ChainName, Manifest, Partition, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts, Sha256Digest,
    StoredFile,
};
use isotherm_lab::ministack::{Ministack, REGION};
use isotherm_lab::tape::generate::{ChainPlan, GeneratedChain};
use isotherm_lab::tools;
use isotherm_types::{BlockNumber, BlockRange, ChainId, Dataset};
use serde_json::value::RawValue;
use sqlx::types::chrono::DateTime;
use tokio::process::Command;

use crate::bucket::Bucket;

const CHAIN_ID: ChainId = ChainId(143);
const CHAIN: &str = "generated";
/// Blocks of each of the files.
const FILES: [Range<usize>; 2] = [0..10, 10..20];
/// Where DuckDB keeps its extensions, below the home folder. Source: its version and platform are part of the path.
const EXTENSIONS: &str = ".duckdb/extensions/v1.5.5/linux_amd64";

fn rows(chain: &GeneratedChain, places: Range<usize>) -> Vec<(Dataset, RecordBatch)> {
    let fetched: Vec<FetchedBlock> = places
        .map(|place| {
            let block = raw(|out| chain.write_block(place, true, out));
            let receipts = raw(|out| chain.write_receipts(place, out));
            read_block(&block, &receipts, DateTime::UNIX_EPOCH).unwrap()
        })
        .collect();
    columns::encode(CHAIN_ID, &verify(fetched).unwrap()).unwrap()
}

fn raw(write: impl FnOnce(&mut Vec<u8>)) -> Box<RawValue> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    RawValue::from_string(String::from_utf8(bytes).unwrap()).unwrap()
}

fn partition(dataset: Dataset, places: &Range<usize>) -> Partition {
    let blocks = BlockRange::new(BlockNumber(places.start as u64), BlockNumber(places.end as u64)).unwrap();
    Partition { chain_id: CHAIN_ID, chain: ChainName::new(CHAIN).unwrap(), dataset, blocks }
}

async fn store(bucket: &Bucket, partition: Partition, headers: &RecordBatch, rows: &RecordBatch) -> StoredFile {
    let mut blocks = PartitionBlocks::builder(partition.blocks);
    blocks.push(headers).unwrap();
    let scratch = std::env::temp_dir();
    let mut writer = PartitionWriter::create(partition, blocks.finish().unwrap(), None, &scratch).unwrap();
    writer.write(rows).unwrap();
    let staged = writer.finish(RootVerdicts::all(&RootVerdict::Ok)).unwrap();
    staged.store(&bucket.objects).await.unwrap()
}

/// Two files of each dataset with their manifests, as compaction leaves them.
async fn fill(bucket: &Bucket) {
    let chain = GeneratedChain::new(&ChainPlan {
        seed: 1,
        chain_id: CHAIN_ID.0,
        first_number: 0,
        block_count: 20,
        transactions_per_block: 8,
        body_count: 20,
        first_timestamp: 1_750_000_000,
        block_time_ms: 300,
    });
    let files = FILES.map(|places| (rows(&chain, places.clone()), places));
    for (place, dataset) in [Dataset::Blocks, Dataset::Transactions, Dataset::Logs].into_iter().enumerate() {
        let mut newest: Option<Manifest> = None;
        for (rows, places) in &files {
            let (headers, own) = (&rows[0], &rows[place]);
            assert_eq!((headers.0, own.0), (Dataset::Blocks, dataset));
            let partition = partition(dataset, places);
            let stored = store(bucket, partition.clone(), &headers.1, &own.1).await;
            let file = stored.file().clone();
            let next = match newest {
                None => Manifest::first(&partition, file),
                Some(newest) => newest.successor(Sha256Digest::of(&newest.to_bytes().unwrap()), file),
            };
            let next = next.unwrap();
            bucket.overwrite(&next.key(), &next.to_bytes().unwrap()).await;
            newest = Some(next);
        }
    }
}

/// What `program` prints of the bucket. It finds DuckDB's extension where a user's DuckDB has put it.
async fn output_of(program: &Path, bucket: &Bucket, home: &Path) -> String {
    // The bucket is its account's, which is named after it.
    let account = bucket.objects.bucket().strip_prefix("cold-").unwrap();
    let output = Command::new(tools::readers_python().unwrap())
        .arg(program)
        .args([bucket.objects.bucket(), CHAIN])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home)
        .env("AWS_ENDPOINT_URL", Ministack::shared().await.unwrap().endpoint_url())
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", account)
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{} failed:\n{}", program.display(), String::from_utf8_lossy(&output.stderr));
    format!("{}\n", String::from_utf8(output.stdout).unwrap().trim_end())
}

#[tokio::test]
async fn the_page_shows_programs_that_read_the_bucket_and_what_they_print() {
    let bucket = Bucket::create().await;
    fill(&bucket).await;
    let home = tempfile::tempdir().unwrap();
    let extensions = home.path().join(EXTENSIONS);
    std::fs::create_dir_all(&extensions).unwrap();
    let httpfs = tools::httpfs().unwrap().canonicalize().unwrap();
    std::os::unix::fs::symlink(httpfs, extensions.join("httpfs.duckdb_extension")).unwrap();

    let docs = tools::repository_root().unwrap().join("docs");
    let page = std::fs::read_to_string(docs.join("reading-cold-data.md")).unwrap();
    for name in ["cold_duckdb.py", "cold_pyarrow.py"] {
        let program = docs.join("examples").join(name);
        let printed = output_of(&program, &bucket, home.path()).await;
        let source = std::fs::read_to_string(&program).unwrap();
        assert!(page.contains(&format!("```python\n{source}```\n")), "docs/reading-cold-data.md has another {name}");
        let is_shown = page.contains(&format!("```text\n{printed}```\n"));
        assert!(is_shown, "docs/reading-cold-data.md does not show what {name} prints:\n{printed}");
    }
}
