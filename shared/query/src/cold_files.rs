//! Cold files on their way to the sandbox: looked up, lent and grouped.
//!
//! Every file is looked up before the query runs, so that one that is missing, or is not what was committed, fails the query by name. S3
//! keeps the SHA-256 that a file was written with and compared it with the bytes, so that no file is read for it.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use isotherm_cold_store::objects::ObjectError;
use isotherm_cold_store::{ObjectHead, ObjectStore};
use isotherm_types::disposition::error_chain;
use isotherm_types::sandbox::ColdGroup;
use isotherm_types::{ChainId, Classified as _, Dataset, Disposition};

use crate::boundary::ColdFile;
use crate::cold_server::{ColdServer, FileId, Lease, LentFile};
use crate::error::QueryError;

/// Lookups under way at once.
const PARALLEL_LOOKUPS: usize = 16;

/// Files ready to be read, until this is dropped: what the sandbox gets, and which address is which object.
#[derive(Debug, Default)]
pub(crate) struct LentFiles {
    groups: HashMap<(ChainId, Dataset), Vec<ColdGroup>>,
    keys: Vec<(String, String)>,
    lease: Option<Lease>,
}

impl LentFiles {
    /// The groups of a dataset of a chain.
    pub(crate) fn groups(&self, chain_id: ChainId, dataset: Dataset) -> Vec<ColdGroup> {
        self.groups.get(&(chain_id, dataset)).cloned().unwrap_or_default()
    }

    /// Writes keys in the place of addresses: nobody knows a file by its address, and an address is a permission.
    pub(crate) fn hide_urls(&self, message: &str) -> String {
        let named = |text: String, (url, key): &(String, String)| text.replace(url.as_str(), key);
        cut_urls(&self.keys.iter().fold(message.to_owned(), named))
    }

    /// Why a file could not be read on, if one could not; told once.
    pub(crate) fn failure(&self) -> Option<QueryError> {
        let (key, error) = self.lease.as_ref()?.take_failure()?;
        Some(unread(&key, error))
    }
}

/// Looks every file up, and has `server` lend them.
///
/// # Errors
/// [`QueryError::ColdFileMissing`], [`QueryError::ColdFileAltered`], [`QueryError::ColdFileReplaced`] and
/// [`QueryError::ColdFileUnproven`] name the file; else what S3 reports.
pub(crate) async fn lend(
    server: &ColdServer,
    objects: &ObjectStore,
    files: &[ColdFile],
) -> Result<LentFiles, QueryError> {
    if files.is_empty() {
        return Ok(LentFiles::default());
    }
    // DuckDB reads one footer after the other. Of so many that they would not be kept it is left to that.
    let with_footers = server.has_room_for_footers(files.len());
    let found: Vec<Arc<LentFile>> = stream::iter(files)
        .map(|file| async move {
            let found = Arc::new(look_up(objects, file).await?);
            if with_footers {
                passed_over(server.read_footer(objects, &found).await).map_err(|error| unread(&found.key, error))?;
            }
            Ok::<_, QueryError>(found)
        })
        .buffered(PARALLEL_LOOKUPS)
        .try_collect()
        .await?;
    let lease = server.lend(objects, found).await?;
    let urls: Vec<String> = (0..files.len()).map(|place| lease.url(place)).collect();
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
    Ok(LentFiles { groups, keys, lease: Some(lease) })
}

/// What becomes of a footer that was not read: what may pass is left to the sandbox, which asks again.
fn passed_over(read: Result<(), ObjectError>) -> Result<(), ObjectError> {
    match read {
        Err(error @ (ObjectError::S3 { .. } | ObjectError::Cut { .. }))
            if error.disposition() == Disposition::Retry =>
        {
            tracing::warn!(error.code = error.code(), error.message = error_chain(&error), "a footer was not read");
            Ok(())
        }
        read => read,
    }
}

/// What an asker is told of a file that could not be read.
fn unread(key: &str, error: ObjectError) -> QueryError {
    let key = key.to_owned();
    match error {
        ObjectError::Missing { .. } => QueryError::ColdFileMissing { key },
        source => QueryError::ColdFileUnread { key, source: Box::new(source) },
    }
}

async fn look_up(objects: &ObjectStore, file: &ColdFile) -> Result<LentFile, QueryError> {
    let head = objects.head(&file.object_key).await?;
    judge(file, head, objects.puts_in_parts(file.size_bytes))
}

/// What is at the file's key, if it is what was committed. Of a file that was put in parts only the length is known.
fn judge(file: &ColdFile, head: Option<ObjectHead>, is_in_parts: bool) -> Result<LentFile, QueryError> {
    let key = file.object_key.clone();
    let Some(ObjectHead { size_bytes: found_bytes, sha256, e_tag }) = head else {
        return Err(QueryError::ColdFileMissing { key });
    };
    if found_bytes != file.size_bytes {
        return Err(QueryError::ColdFileAltered { key, expected_bytes: file.size_bytes, found_bytes });
    }
    match (sha256, e_tag) {
        (Some(found), _) if found != file.sha256 => {
            Err(QueryError::ColdFileReplaced { key, expected: file.sha256, found })
        }
        (None, _) if !is_in_parts => Err(QueryError::ColdFileUnproven { key }),
        // Nothing would see to it that what is read is what was looked up.
        (_, None) => Err(QueryError::ColdFileUnproven { key }),
        (_, Some(e_tag)) => {
            let id = FileId { sha256: file.sha256, e_tag: e_tag.into() };
            Ok(LentFile { key, size_bytes: file.size_bytes, id })
        }
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
            judge(&file, Some(ObjectHead { size_bytes, sha256, e_tag: Some("e".to_owned()) }), is_in_parts)
        };
        let unknown = ObjectHead { size_bytes: 1, sha256: right, e_tag: None };
        assert!(matches!(judge(&file, Some(unknown), false), Err(QueryError::ColdFileUnproven { .. })));
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

    impl LentFiles {
        /// Files that no relation shows.
        pub(crate) fn of(lease: Lease) -> Self {
            Self { lease: Some(lease), ..Self::default() }
        }
    }

    #[test]
    fn a_footer_that_may_be_read_later_fails_no_query() {
        let key = || "cold/a.parquet".to_owned();
        assert!(passed_over(Ok(())).is_ok());
        for final_error in [
            ObjectError::Missing { key: key() },
            ObjectError::Changed { key: key() },
            ObjectError::OtherPart { key: key() },
        ] {
            assert!(passed_over(Err(final_error)).is_err());
        }
        let broken = aws_sdk_s3::primitives::ByteStreamError::from(std::io::Error::other("reset"));
        assert!(passed_over(Err(ObjectError::Cut { key: key(), source: broken })).is_ok());
    }

    #[test]
    fn an_address_never_stands_in_a_message() {
        let url = |place: u32| format!("http://127.0.0.1:4000/0a/{place}.parquet");
        let keys = vec![(url(1), "cold/x.parquet".to_owned()), (url(11), "cold/y.parquet".to_owned())];
        let files = LentFiles { keys, ..LentFiles::default() };
        assert_eq!(files.hide_urls(&format!("no '{}' there", url(1))), "no 'cold/x.parquet' there");
        assert_eq!(files.hide_urls(&format!("no {} there", url(11))), "no cold/y.parquet there");
        assert_eq!(files.hide_urls("no https://other/secret here"), "no (a cold file) here");
    }
}
