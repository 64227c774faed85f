#[path = "../tests/cold_store/rows.rs"]
mod rows;
use isotherm_cold_store::*;
use isotherm_types::*;
fn main() {
    let chain = rows::MadeChain::new(31_337);
    let blocks = rows::range(0, 20_000);
    let dir = std::path::PathBuf::from("/tmp/cold_files");
    std::fs::create_dir_all(&dir).unwrap();
    let mut builder = PartitionBlocks::builder(blocks);
    builder.push(&chain.rows(Dataset::Blocks, blocks)).unwrap();
    let links = builder.finish().unwrap();
    for dataset in Dataset::ALL {
        let rows = chain.rows(dataset, blocks);
        let begun = std::time::Instant::now();
        let partition = Partition { chain_id: chain.chain_id, chain: ChainName::new("made").unwrap(), dataset, blocks };
        let mut writer = PartitionWriter::create(partition, links.clone(), None, &dir).unwrap();
        for start in (0..rows.num_rows()).step_by(1024) {
            writer.write(&rows.slice(start, 1024.min(rows.num_rows() - start))).unwrap();
        }
        let staged = writer.finish(RootVerdicts::all(&RootVerdict::Ok)).unwrap();
        println!("{dataset}: {} rows, {} bytes, {:?}", rows.num_rows(), staged.file().size_bytes, begun.elapsed());
        std::fs::copy(staged.path(), dir.join(format!("{dataset}.parquet"))).unwrap();
    }
    let empty = rows::range(0, 1);
    let mut builder = PartitionBlocks::builder(empty);
    builder.push(&chain.rows(Dataset::Blocks, empty)).unwrap();
    let partition = Partition {
        chain_id: chain.chain_id,
        chain: ChainName::new("made").unwrap(),
        dataset: Dataset::Logs,
        blocks: empty,
    };
    let staged = PartitionWriter::create(partition, builder.finish().unwrap(), None, &dir)
        .unwrap()
        .finish(RootVerdicts::all(&RootVerdict::Ok))
        .unwrap();
    std::fs::copy(staged.path(), dir.join("empty.parquet")).unwrap();
}
