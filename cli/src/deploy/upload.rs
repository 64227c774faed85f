//! Zips of functions into their bucket. What is there is never overwritten: an environment that runs could read it.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_sdk_s3::primitives::ByteStream;
use sha2::{Digest as _, Sha256};

use crate::package;

/// The object's own word for its SHA-256.
const SHA256: &str = "sha256";

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    New,
    WasThere,
}

/// Puts the file there unless it is; `checksums` is the text of the folder's `SHA256SUMS`, `name` the file's name in it.
///
/// # Errors
/// If the file is not what was packaged, or another one is there under this key.
pub(super) async fn upload(
    client: &Client,
    file: &Path,
    name: &str,
    checksums: &str,
    bucket: &str,
    key: &str,
) -> anyhow::Result<Uploaded> {
    let bytes = std::fs::read(file)
        .with_context(|| format!("could not read {}; the step `package` makes it", file.display()))?;
    let sha256 = package::hex(&Sha256::digest(&bytes).into());
    let wanted = format!("{sha256}  {name}");
    ensure!(
        checksums.lines().any(|line| line == wanted),
        "{} is not what was packaged: SHA256SUMS has another checksum; the step `package` makes both anew",
        file.display()
    );
    let found = client.head_object().bucket(bucket).key(key).send().await;
    match found {
        Ok(found) if found.metadata().and_then(|known| known.get(SHA256)) == Some(&sha256) => {
            return Ok(Uploaded::WasThere);
        }
        Ok(_) => bail!(
            "s3://{bucket}/{key} is there and another file than {}; a release is never overwritten, so give `release` \
             another word",
            file.display()
        ),
        Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => {}
        Err(error) => return Err(error).with_context(|| format!("could not look at s3://{bucket}/{key}")),
    }
    let call = client.put_object().bucket(bucket).key(key).metadata(SHA256, sha256).body(ByteStream::from(bytes));
    call.send().await.with_context(|| format!("could not put s3://{bucket}/{key}"))?;
    Ok(Uploaded::New)
}

#[cfg(test)]
mod tests {
    use isotherm_lab::ministack::{self, Ministack};
    use isotherm_local_stack::LocalAws;

    use super::*;

    #[tokio::test]
    async fn a_zip_is_put_once_and_never_overwritten() {
        let emulator = Ministack::shared().await.unwrap();
        let aws = LocalAws::new(&emulator.endpoint_url(), ministack::REGION, &ministack::account()).await;
        let client = aws.s3();
        client.create_bucket().bucket("zips").send().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.zip");
        let sums = |text: &str| format!("{}  functions/a.zip\n", package::hex(&Sha256::digest(text).into()));
        let put = async |text: &str, sums: String| {
            std::fs::write(&file, text).unwrap();
            upload(&client, &file, "functions/a.zip", &sums, "zips", "functions/1/a.zip").await
        };
        assert_eq!(put("one", sums("one")).await.unwrap(), Uploaded::New);
        assert_eq!(put("one", sums("one")).await.unwrap(), Uploaded::WasThere);
        let error = put("two", sums("two")).await.unwrap_err().to_string();
        assert!(error.contains("a release is never overwritten"), "{error}");
        let error = put("three", sums("two")).await.unwrap_err().to_string();
        assert!(error.contains("not what was packaged"), "{error}");
        let kept = client.get_object().bucket("zips").key("functions/1/a.zip").send().await.unwrap();
        assert_eq!(kept.body.collect().await.unwrap().into_bytes().as_ref(), b"one");
    }
}
