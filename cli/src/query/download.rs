//! Answers that are too large to come with the call: fetched from where they lie, and checked.
//!
//! The address is a secret for as long as it is good: no error names it.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::reply::StoredResult;

/// Time to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time without a single byte.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Writes the result into `file`, telling `progress` how many bytes are there.
///
/// # Errors
/// If it cannot be fetched, or is not what the answer says of it.
pub(super) async fn fetch(
    result: &StoredResult,
    file: &mut NamedTempFile,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let client = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(Policy::none())
        .build()
        .context("could not prepare the download")?;
    let response = client.get(&result.url).send().await.and_then(Response::error_for_status);
    let mut response = response.map_err(reqwest::Error::without_url).context("could not fetch the result")?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) =
        response.chunk().await.map_err(reqwest::Error::without_url).context("the download of the result broke off")?
    {
        bytes += chunk.len() as u64;
        if bytes > result.bytes {
            break;
        }
        hasher.update(&chunk);
        file.write_all(&chunk).context("could not write down the result")?;
        progress(bytes);
    }
    check(result, bytes, &format!("{:x}", hasher.finalize()))
}

/// Whether what came is what the answer says of it.
fn check(result: &StoredResult, bytes: u64, sha256: &str) -> anyhow::Result<()> {
    if bytes != result.bytes {
        bail!("the result has not the {} bytes that the answer says; nothing of it was kept, ask again", result.bytes);
    }
    if !sha256.eq_ignore_ascii_case(&result.sha256) {
        bail!("the result has another SHA-256 than the answer says; nothing of it was kept, ask again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_is_not_as_announced_is_not_kept() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let result = |bytes, sha256: &str| StoredResult {
            format: "csv".to_owned(),
            url: "http://secret".to_owned(),
            bytes,
            row_count: 0,
            sha256: sha256.to_owned(),
        };
        assert!(check(&result(0, &empty.to_uppercase()), 0, empty).is_ok());
        assert!(check(&result(1, empty), 0, empty).unwrap_err().to_string().contains("bytes"));
        assert!(check(&result(0, "00"), 0, empty).unwrap_err().to_string().contains("SHA-256"));
    }

    #[tokio::test]
    async fn an_error_does_not_name_the_address() {
        let result = StoredResult {
            format: "csv".to_owned(),
            url: "http://127.0.0.1:1/?signature=secret".to_owned(),
            bytes: 0,
            row_count: 0,
            sha256: String::new(),
        };
        let mut file = NamedTempFile::new().unwrap();
        let error = fetch(&result, &mut file, |_| {}).await.unwrap_err();
        assert!(!format!("{error:#} {error:?}").contains("secret"), "{error:#}");
    }
}
