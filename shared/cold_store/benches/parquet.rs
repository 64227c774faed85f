//! Benchmark: what the files of cold storage weigh, and how many of their bytes must be read to find a transaction by
//! its hash: with the Bloom filters, without them, and the footers alone, which no reader can do without.
//!
//! Bytes are counted, not timed: they are the same in each run of one seed. A lookup reads ranges of the files, as a
//! reader of the bucket does.
//!
//! `./isotherm lab bench parquet`; method and figures: `docs/benchmarks.md`.

use isotherm_lab::benchmark::{heading, locked_version, median};
use isotherm_types::{B256, Dataset};

#[path = "parquet/counted_file.rs"]
mod counted_file;
#[path = "parquet/lookup.rs"]
mod lookup;
#[path = "parquet/stored.rs"]
mod stored;

use lookup::{Found, Way, look_up};
use stored::{BLOCKS_PER_FILE, FILES, SEED, Stored, TRANSACTIONS_PER_BLOCK, strange_hashes};

/// Lookups of transactions that are there, and as many of ones that are not.
const LOOKUPS: usize = 32;
const WAYS: [(&str, Way); 3] = [("filters", Way::Filters), ("scan", Way::Scan), ("footers", Way::Footers)];

/// Bytes of each lookup of `hashes`, each of which must be found in `expected` rows.
fn bytes_of_lookups(stored: &Stored, hashes: &[B256], way: Way, expected: usize) -> Vec<f64> {
    let bytes = |hash| {
        let Found { row_count, bytes } = look_up(&stored.transactions, hash, way);
        // Who reads footers alone has not looked for it.
        assert!(way == Way::Footers || row_count == expected, "{hash} is in {row_count} rows, not in {expected}");
        bytes as f64
    };
    hashes.iter().copied().map(bytes).collect()
}

fn print_sizes(stored: &Stored) {
    println!(
        "  json: {:.1} MB, {:.0} bytes a transaction",
        stored.json_bytes as f64 / 1e6,
        stored.json_bytes as f64 / (FILES * BLOCKS_PER_FILE * TRANSACTIONS_PER_BLOCK) as f64
    );
    let mut all = 0;
    for dataset in [Dataset::Blocks, Dataset::Transactions, Dataset::Logs] {
        let weight = stored.weight(dataset);
        all += weight.size_bytes;
        println!(
            "  {:<13} {:>7.1} MB   {:>9} rows   {:>7.1} bytes a row   filters of them {:>5.1} bytes a row",
            dataset.as_str(),
            weight.size_bytes as f64 / 1e6,
            weight.row_count,
            weight.size_bytes as f64 / weight.row_count as f64,
            weight.filter_bytes as f64 / weight.row_count as f64,
        );
    }
    println!("  together {:.1} MB, {:.3} of the JSON", all as f64 / 1e6, all as f64 / stored.json_bytes as f64);
}

fn print_lookups(stored: &Stored, name: &str, hashes: &[B256], expected: usize) {
    let legs = WAYS.map(|(leg, way)| (leg, bytes_of_lookups(stored, hashes, way, expected)));
    let [filters, scan, footers] = &legs;
    for (leg, bytes) in &legs {
        let kilobytes = |bytes: f64| bytes / 1e3;
        println!(
            "  {name} by {leg:<8} {:>9.1} kB a lookup (min {:.1}, max {:.1})   {:>7.1} kB a file",
            kilobytes(median(bytes.iter().copied())),
            kilobytes(bytes.iter().copied().fold(f64::INFINITY, f64::min)),
            kilobytes(bytes.iter().copied().fold(0.0, f64::max)),
            kilobytes(median(bytes.iter().copied())) / FILES as f64,
        );
    }
    let ratio = |more: &[f64], fewer: &[f64]| median(more.iter().zip(fewer).map(|(more, fewer)| more / fewer));
    println!(
        "  {name}: the scan reads {:.1} x the bytes that the filters need, and those are {:.1} x the footers (medians)",
        ratio(&scan.1, &filters.1),
        ratio(&filters.1, &footers.1),
    );
}

fn main() {
    let stored = Stored::new();
    let settings = [
        ("parquet", locked_version("parquet")),
        ("files", FILES.to_string()),
        ("blocks_per_file", BLOCKS_PER_FILE.to_string()),
        ("transactions_per_block", TRANSACTIONS_PER_BLOCK.to_string()),
        ("row_groups", stored.row_group_count().to_string()),
        ("lookups", LOOKUPS.to_string()),
        ("seed", SEED.to_string()),
    ];
    println!("{}", heading("parquet", &settings));
    print_sizes(&stored);
    print_lookups(&stored, "there", &stored.some_hashes(LOOKUPS), 1);
    print_lookups(&stored, "not there", &strange_hashes(LOOKUPS), 0);
}
