//! The request and the answer in S3.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;

use crate::error::MigrateError;
use crate::request::{Answer, Request, VERSION, answer_key};
use crate::seal;
use crate::settings::Settings;

/// The request, if it is what was asked.
pub(crate) async fn read_request(client: &Client, settings: &Settings) -> Result<Request, MigrateError> {
    let key = &settings.request;
    let answer = client.get_object().bucket(&settings.bucket).key(key).send().await.map_err(failed("read", key))?;
    let bytes = answer.body.collect().await.map_err(failed("read", key))?.into_bytes();
    let found = seal::sha256(&bytes);
    if found != settings.request_sha256 {
        let asked = settings.request_sha256.clone();
        return Err(MigrateError::ForgedRequest { key: key.clone(), found, asked });
    }
    let refused = |source| MigrateError::BadRequest { key: key.clone(), source };
    let request: Request = serde_json::from_slice(&bytes).map_err(|source| refused(Some(source)))?;
    if request.version == VERSION { Ok(request) } else { Err(refused(None)) }
}

pub(crate) async fn write_answer(client: &Client, settings: &Settings, answer: &Answer) -> Result<(), MigrateError> {
    let key = answer_key(&settings.request);
    let body = ByteStream::from(seal::sealed(answer, &settings.answer_key));
    let call = client.put_object().bucket(&settings.bucket).key(&key).body(body);
    call.send().await.map_err(failed("write", &key))?;
    Ok(())
}

/// Builds a [`MigrateError::Object`], for `map_err`.
fn failed<E: std::error::Error + Send + Sync + 'static>(
    action: &'static str,
    key: &str,
) -> impl FnOnce(E) -> MigrateError {
    let key = key.to_owned();
    move |source| MigrateError::Object { action, key, source: Box::new(source) }
}
