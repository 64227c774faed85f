//! Where a manifest lies, read from what a person typed: storage, chain, dataset and version all follow from its place.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use isotherm_cold_store::ChainName;
use isotherm_cold_store::layout::{Object, manifest_key};
use isotherm_types::Dataset;

/// Parts of a manifest's key: `cold/{chain}/{dataset}/manifests/{version}.json`.
const KEY_PARTS: usize = 5;

/// What holds cold storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// A bucket, by name.
    Bucket(String),
    /// A copy of one.
    Folder(PathBuf),
}

/// A manifest's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ManifestPlace {
    pub(super) storage: Storage,
    pub(super) chain: ChainName,
    pub(super) dataset: Dataset,
    pub(super) version: u64,
}

impl ManifestPlace {
    /// Reads a URL of S3 or a path, which may be relative to the current folder.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let place = match text.strip_prefix("s3://") {
            Some(rest) => Self::of_url(rest),
            None if text.contains("://") => None,
            None => {
                let path = std::path::absolute(text).with_context(|| format!("{text:?} is no path"))?;
                Self::of_path(&path)
            }
        };
        place.with_context(|| {
            format!(
                "{text:?} is no manifest of cold storage; write s3://BUCKET/cold/CHAIN/DATASET/manifests/VERSION.json, \
                 with the ten digits of the version, or the path of that file in a copy of the bucket"
            )
        })
    }

    fn of_url(rest: &str) -> Option<Self> {
        let (bucket, key) = rest.split_once('/').filter(|(bucket, _)| !bucket.is_empty())?;
        Self::of_key(Storage::Bucket(bucket.to_owned()), key)
    }

    fn of_path(path: &Path) -> Option<Self> {
        let root = path.ancestors().nth(KEY_PARTS)?;
        let key = path.strip_prefix(root).ok()?.to_str()?;
        Self::of_key(Storage::Folder(root.to_path_buf()), key)
    }

    fn of_key(storage: Storage, key: &str) -> Option<Self> {
        match Object::parse(key).ok()? {
            Object::Manifest { chain, dataset, manifest_version } => {
                Some(Self { storage, chain, dataset, version: manifest_version })
            }
            Object::Data { .. } => None,
        }
    }

    /// Its key in the bucket.
    pub(super) fn key(&self) -> String {
        manifest_key(&self.chain, self.dataset, self.version)
    }
}

impl fmt::Display for ManifestPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.storage {
            Storage::Bucket(bucket) => write!(f, "s3://{bucket}/{}", self.key()),
            Storage::Folder(root) => write!(f, "{}", root.join(self.key()).display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "cold/monad/logs/manifests/0000000007.json";

    fn place(storage: Storage) -> ManifestPlace {
        ManifestPlace { storage, chain: ChainName::new("monad").unwrap(), dataset: Dataset::Logs, version: 7 }
    }

    #[test]
    fn a_url_and_a_path_are_read_and_printed_again() {
        let url = format!("s3://isotherm-cold/{KEY}");
        let bucket = place(Storage::Bucket("isotherm-cold".to_owned()));
        assert_eq!(ManifestPlace::parse(&url).unwrap(), bucket);
        assert_eq!(bucket.to_string(), url);

        let path = format!("/copies/of yesterday/{KEY}");
        let folder = place(Storage::Folder("/copies/of yesterday".into()));
        assert_eq!(ManifestPlace::parse(&path).unwrap(), folder);
        assert_eq!(folder.to_string(), path);
        assert_eq!(ManifestPlace::parse(&format!("/{KEY}")).unwrap(), place(Storage::Folder("/".into())));
    }

    #[test]
    fn a_relative_path_is_one_of_the_current_folder() {
        let current = std::env::current_dir().unwrap();
        assert_eq!(ManifestPlace::parse(KEY).unwrap(), place(Storage::Folder(current.clone())));
        assert_eq!(ManifestPlace::parse(&format!("./{KEY}")).unwrap(), place(Storage::Folder(current.clone())));
        assert_eq!(ManifestPlace::parse(&format!("a/{KEY}")).unwrap(), place(Storage::Folder(current.join("a"))));
    }

    #[test]
    fn what_names_no_manifest_is_refused_with_the_form_that_does() {
        for text in [
            "",
            "logs",
            "s3://",
            "s3://bucket",
            "s3:///cold/monad/logs/manifests/0000000007.json",
            "s3://bucket/cold/monad/logs/manifests/7.json",
            "s3://bucket/cold/monad/logs/logs_0000000000_0000000099.parquet",
            "/copy/monad/logs/manifests/0000000007.json",
            "/copy/cold/../logs/manifests/0000000007.json",
            "https://bucket/cold/monad/logs/manifests/0000000007.json",
        ] {
            let error = format!("{:#}", ManifestPlace::parse(text).unwrap_err());
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
