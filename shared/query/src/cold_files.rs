//! Cold files on their way to the sandbox: looked up, presigned and grouped.
//!
//! Every file is looked up before the query runs, so that one that is missing, or is not what was committed, fails the query by name. S3
//! keeps the SHA-256 that a file was written with and compared it with the bytes, so that no file is read for it.

use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use isotherm_cold_store::{ObjectHead, ObjectStore};
use isotherm_types::sandbox::ColdGroup;
use isotherm_types::{ChainId, Dataset};

use crate::boundary::ColdFile;
use crate::error::QueryError;

/// Lookups under way at once.
const PARALLEL_LOOKUPS: usize = 16;

/// Files ready to be read: what the sandbox gets, and which URL is which object.
#[derive(Debug, Default)]
pub struct SignedFiles {
    groups: HashMap<(ChainId, Dataset), Vec<ColdGroup>>,
    keys: Vec<(String, String)>,
}

impl SignedFiles {
    /// The groups of a dataset of a chain.
    pub fn groups(&self, chain_id: ChainId, dataset: Dataset) -> Vec<ColdGroup> {
        self.groups.get(&(chain_id, dataset)).cloned().unwrap_or_default()
    }

    /// Writes keys in the place of URLs: a URL is a permission and must not leave the platform.
    pub fn hide_urls(&self, message: &str) -> String {
        let mut text = message.to_owned();
        for (url, key) in &self.keys {
            text = text.replace(url.as_str(), key);
            // DuckDB quotes some URLs without their query.
            if let Some((bare, _)) = url.split_once('?') {
                text = text.replace(bare, key);
            }
        }
        cut_urls(&text)
    }
}

/// Looks every file up and presigns it for `valid_for`.
///
/// # Errors
/// [`QueryError::ColdFileMissing`], [`QueryError::ColdFileAltered`], [`QueryError::ColdFileReplaced`] and
/// [`QueryError::ColdFileUnproven`] name the file; else what S3 reports.
pub async fn sign(objects: &ObjectStore, files: &[ColdFile], valid_for: Duration) -> Result<SignedFiles, QueryError> {
    let urls: Vec<String> = stream::iter(files)
        .map(|file| async move {
            look_up(objects, file).await?;
            Ok::<_, QueryError>(objects.presign_get(&file.object_key, valid_for).await?)
        })
        .buffered(PARALLEL_LOOKUPS)
        .try_collect()
        .await?;
    let keys = urls.iter().cloned().zip(files.iter().map(|file| file.object_key.clone())).collect();
    let mut by_dataset: HashMap<Dataset, Vec<(&ColdFile, String)>> = HashMap::new();
    for (file, url) in files.iter().zip(urls) {
        by_dataset.entry(file.dataset).or_default().push((file, url));
    }
    let mut groups: HashMap<(ChainId, Dataset), Vec<ColdGroup>> = HashMap::new();
    for (dataset, files) in by_dataset {
        for (chain_id, group) in group(&files) {
            groups.entry((chain_id, dataset)).or_default().push(group);
        }
    }
    Ok(SignedFiles { groups, keys })
}

async fn look_up(objects: &ObjectStore, file: &ColdFile) -> Result<(), QueryError> {
    let head = objects.head(&file.object_key).await?;
    judge(file, head, objects.puts_in_parts(file.size_bytes))
}

/// Whether what is at the file's key is what was committed. Of a file that was put in parts only the length is known.
fn judge(file: &ColdFile, head: Option<ObjectHead>, is_in_parts: bool) -> Result<(), QueryError> {
    let key = file.object_key.clone();
    let Some(ObjectHead { size_bytes: found_bytes, sha256 }) = head else {
        return Err(QueryError::ColdFileMissing { key });
    };
    if found_bytes != file.size_bytes {
        return Err(QueryError::ColdFileAltered { key, expected_bytes: file.size_bytes, found_bytes });
    }
    match sha256 {
        Some(found) if found == file.sha256 => Ok(()),
        Some(found) => Err(QueryError::ColdFileReplaced { key, expected: file.sha256, found }),
        None if is_in_parts => Ok(()),
        None => Err(QueryError::ColdFileUnproven { key }),
    }
}

/// Groups neighbouring files of one chain that the same scans read. Each group is a branch of a view, which DuckDB binds
/// anew for every scan of it (`docs/benchmarks.md`, `federated`), and which a scan of other blocks does without.
fn group(files: &[(&ColdFile, String)]) -> Vec<(ChainId, ColdGroup)> {
    let belong_together = |(left, _): &(&ColdFile, String), (right, _): &(&ColdFile, String)| {
        (left.chain_id, left.runs) == (right.chain_id, right.runs)
    };
    files
        .chunk_by(belong_together)
        .filter_map(|files| {
            let first = files.iter().map(|(file, _)| file.blocks.start().0).min()?;
            let last = files.iter().map(|(file, _)| file.blocks.last().0).max()?;
            let urls = files.iter().map(|(_, url)| url.clone()).collect();
            let (file, _) = files.first()?;
            Some((file.chain_id, ColdGroup { first_block: first, last_block: last, urls }))
        })
        .collect()
}

fn cut_urls(text: &str) -> String {
    let is_url = |word: &str| word.contains("http://") || word.contains("https://");
    text.split(' ').map(|word| if is_url(word) { "(a cold file)" } else { word }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use isotherm_cold_store::Sha256Digest;
    use isotherm_types::{BlockNumber, BlockRange};

    use super::*;

    fn file(chain: u64, start: u64, runs: u32) -> ColdFile {
        ColdFile {
            chain_id: ChainId(chain),
            dataset: Dataset::Logs,
            blocks: BlockRange::new(BlockNumber(start), BlockNumber(start + 10)).unwrap(),
            object_key: format!("cold/{start}"),
            size_bytes: 1,
            sha256: Sha256Digest::of(b"a"),
            runs,
        }
    }

    #[test]
    fn a_group_is_of_one_chain_and_of_the_same_scans() {
        let runs_of = |i: u64| if i < 50 { 1 } else { 3 };
        let first = (0..250).filter(|i| !(100..200).contains(i)).map(|i| file(1, i * 10, runs_of(i)));
        let files: Vec<ColdFile> = first.chain((0..3).map(|i| file(2, i * 10, 3))).collect();
        let signed: Vec<_> = files.iter().map(|file| (file, format!("u{}", file.blocks.start()))).collect();
        let groups = group(&signed);
        let seen: Vec<_> =
            groups.iter().map(|(chain, of)| (chain.0, of.first_block, of.last_block, of.urls.len())).collect();
        assert_eq!(seen, [(1, 0, 499, 50), (1, 500, 2499, 100), (2, 0, 29, 3)]);
        assert_eq!(groups[2].1.urls, ["u0", "u10", "u20"]);
    }

    #[test]
    fn a_file_is_read_only_if_it_is_what_was_committed() {
        let file = file(1, 0, 1);
        let (right, other) = (Some(file.sha256), Some(Sha256Digest::of(b"b")));
        let judged = |size_bytes: u64, sha256: Option<Sha256Digest>, is_in_parts: bool| {
            judge(&file, Some(ObjectHead { size_bytes, sha256 }), is_in_parts)
        };
        assert!(judged(1, right, false).is_ok());
        assert!(judged(1, None, true).is_ok());
        assert!(matches!(judged(2, right, false), Err(QueryError::ColdFileAltered { found_bytes: 2, .. })));
        assert!(matches!(judged(2, None, true), Err(QueryError::ColdFileAltered { .. })));
        for is_in_parts in [false, true] {
            assert!(matches!(judged(1, other, is_in_parts), Err(QueryError::ColdFileReplaced { .. })));
            assert!(matches!(judge(&file, None, is_in_parts), Err(QueryError::ColdFileMissing { .. })));
        }
        assert!(matches!(judged(1, None, false), Err(QueryError::ColdFileUnproven { .. })));
    }

    #[test]
    fn a_url_never_stands_in_a_message() {
        let url = "http://h/b/cold/x.parquet?X-Amz-Signature=1";
        let files = SignedFiles { groups: HashMap::new(), keys: vec![(url.to_owned(), "cold/x.parquet".to_owned())] };
        assert_eq!(files.hide_urls(&format!("no '{url}' there")), "no 'cold/x.parquet' there");
        assert_eq!(files.hide_urls("no http://h/b/cold/x.parquet there"), "no cold/x.parquet there");
        assert_eq!(files.hide_urls("no https://other/secret here"), "no (a cold file) here");
    }
}
