//! A bucket of a test's own on the AWS emulator, and partitions of a made-up chain to put there.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use bytes::Bytes;
use isotherm_cold_store::layout::{ChainName, Partition};
use isotherm_cold_store::{ObjectStore, PartitionBlocks, PartitionWriter, RootVerdict, RootVerdicts, StagedFile};
use isotherm_lab::ministack::{Ministack, REGION, account};
use isotherm_types::{BlockRange, Dataset};

use crate::rows::MadeChain;

pub(crate) struct Bucket {
    pub(crate) client: aws_sdk_s3::Client,
    pub(crate) objects: ObjectStore,
}

impl Bucket {
    pub(crate) async fn create() -> Self {
        let server = Ministack::shared().await.unwrap();
        let account = account();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(server.endpoint_url())
            .credentials_provider(Credentials::new(account.clone(), "test", None, None, "test"))
            .load()
            .await;
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let name = format!("cold-{account}");
        client.create_bucket().bucket(&name).send().await.unwrap();
        Self { objects: ObjectStore::new(client.clone(), name), client }
    }

    /// Writes an object as somebody with a console would: whatever is there.
    pub(crate) async fn overwrite(&self, key: &str, bytes: &[u8]) {
        let body = Bytes::copy_from_slice(bytes).into();
        self.client.put_object().bucket(self.objects.bucket()).key(key).body(body).send().await.unwrap();
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.client.delete_object().bucket(self.objects.bucket()).key(key).send().await.unwrap();
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let listed = self.client.list_objects_v2().bucket(self.objects.bucket()).send().await.unwrap();
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }
}

pub(crate) fn partition(chain: MadeChain, dataset: Dataset, blocks: BlockRange) -> Partition {
    Partition { chain_id: chain.chain_id, chain: ChainName::new("made").unwrap(), dataset, blocks }
}

pub(crate) fn blocks_of(chain: MadeChain, blocks: BlockRange) -> PartitionBlocks {
    let mut builder = PartitionBlocks::builder(blocks);
    builder.push(&chain.rows(Dataset::Blocks, blocks)).unwrap();
    builder.finish().unwrap()
}

pub(crate) fn writer(chain: MadeChain, dataset: Dataset, blocks: BlockRange) -> PartitionWriter {
    let rows_per_block = chain.rows_per_block(dataset, blocks);
    let scratch = std::env::temp_dir();
    PartitionWriter::create(partition(chain, dataset, blocks), blocks_of(chain, blocks), Some(rows_per_block), &scratch)
        .unwrap()
}

pub(crate) fn verdicts() -> RootVerdicts {
    RootVerdicts::all(&RootVerdict::NotVerifiable { reason: "made up".to_owned() })
}

pub(crate) fn staged(chain: MadeChain, dataset: Dataset, blocks: BlockRange) -> StagedFile {
    let mut writer = writer(chain, dataset, blocks);
    writer.write(&chain.rows(dataset, blocks)).unwrap();
    writer.finish(verdicts()).unwrap()
}
