//! S3 says what is asked for by method, path and query. Bucket names are in the path, as the platform's clients do it before an
//! emulator.
//!
//! **Source**: Amazon S3 User Guide, "Required permissions for Amazon S3 API operations".

use reqwest::Url;

use super::decoded;
use crate::http_faults::Call;

/// Words of `ListObjectsV2` that only choose among keys.
const LISTING: [&str; 8] = [
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "list-type",
    "max-keys",
    "prefix",
    "start-after",
];

/// Headers of a write that need a permission of their own.
const FURTHER: [&str; 6] = [
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-tagging",
];

/// Action and resource.
pub(super) fn read(call: &Call, url: &Url) -> Result<(&'static str, String), String> {
    let path = decoded(url.path());
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    if bucket.is_empty() {
        return Err("it names no bucket".to_owned());
    }
    if let Some(header) = FURTHER.iter().find(|header| call.header(header).is_some()) {
        return Err(format!("its header {header} needs a permission of its own"));
    }
    let names = names(url);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let is_listing = names.contains(&"list-type") && names.iter().all(|name| LISTING.contains(name));
    let action = match (call.method(), key.is_empty(), names.as_slice()) {
        ("GET", true, _) if is_listing => "s3:ListBucket",
        ("HEAD", true, []) => "s3:ListBucket",
        ("GET" | "HEAD", false, [] | ["partNumber"]) => "s3:GetObject",
        ("GET" | "HEAD", false, ["versionId"] | ["partNumber", "versionId"]) => "s3:GetObjectVersion",
        ("PUT", false, [] | ["partNumber", "uploadId"]) | ("POST", false, ["uploads"] | ["uploadId"]) => "s3:PutObject",
        ("DELETE", false, ["uploadId"]) => "s3:AbortMultipartUpload",
        ("DELETE", false, []) => "s3:DeleteObject",
        ("DELETE", false, ["versionId"]) => "s3:DeleteObjectVersion",
        (method, is_bucket, names) => {
            let what = if is_bucket { "a bucket" } else { "an object" };
            return Err(format!("{method} of {what} with {names:?} is not in its table"));
        }
    };
    let resource = if key.is_empty() { bucket.to_owned() } else { format!("{bucket}/{key}") };
    Ok((action, format!("arn:aws:s3:::{resource}")))
}

/// Names in the query, in order, but for those that sign it, that say the operation once more, or that change headers of the
/// answer.
fn names(url: &Url) -> Vec<String> {
    let mut names: Vec<String> = url
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .filter(|name| !name.starts_with("X-Amz-") && !name.starts_with("response-") && name != "x-id")
        .collect();
    names.sort_unstable();
    names
}
