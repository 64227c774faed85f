//! What binds a request and its answer to the one who asks: both lie in a bucket, which keeps whatever was put there last.
//!
//! Whoever asks tells the errand two things beside the bucket, in `RunTask`: what the request's bytes are, and a key that is made for
//! this one answer. The errand does nothing for other bytes, and seals what it answers. Pure.
//!
//! It must never show the key: who knows it can write an answer.

use hmac::{Hmac, Mac};
use isotherm_platform::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::MigrateError;
use crate::random;
use crate::request::Answer;

/// The variable with the [`sha256`] of the request.
pub const DIGEST_VARIABLE: &str = "ISOTHERM_ERRAND_REQUEST_SHA256";
/// The variable with the key of the answer.
pub const KEY_VARIABLE: &str = "ISOTHERM_ERRAND_ANSWER_KEY";

/// An answer as it lies in the bucket.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// JSON of the answer, as a text: what is sealed are its bytes.
    answer: String,
    /// HMAC-SHA-256 of them, as hexadecimal digits.
    seal: String,
}

/// A key for one answer: 64 hexadecimal digits.
pub fn new_key() -> Secret<String> {
    Secret::new(random::digits())
}

/// What bytes are: 64 hexadecimal digits in lower case.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The answer's bytes in the bucket.
pub fn sealed(answer: &Answer, key: &Secret<String>) -> Vec<u8> {
    let answer = serde_json::to_string(answer).expect("numbers and texts are JSON");
    let seal = hex::encode(mac(&answer, key).finalize().into_bytes());
    serde_json::to_vec(&Sealed { answer, seal }).expect("texts are JSON")
}

/// The answer in `bytes`, which were found at `object`.
///
/// # Errors
/// [`MigrateError::ForgedAnswer`] if it is not sealed with `key`.
pub fn opened(bytes: &[u8], key: &Secret<String>, object: &str) -> Result<Answer, MigrateError> {
    let forged = |source| MigrateError::ForgedAnswer { key: object.to_owned(), source };
    let Sealed { answer, seal } = serde_json::from_slice(bytes).map_err(|source| forged(Some(source)))?;
    let is_sealed = hex::decode(seal).is_ok_and(|seal| mac(&answer, key).verify_slice(&seal).is_ok());
    if !is_sealed {
        return Err(forged(None));
    }
    serde_json::from_str(&answer).map_err(|source| forged(Some(source)))
}

fn mac(answer: &str, key: &Secret<String>) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of every length");
    mac.update(answer.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use isotherm_types::Classified as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::request::Done;

    #[test]
    fn an_answer_is_opened_with_its_own_key_only() {
        let (key, other) = (new_key(), new_key());
        let answer = Answer::Done(Done { migration: Some(7), ..Done::default() });
        let bytes = sealed(&answer, &key);
        assert_eq!(opened(&bytes, &key, "o").unwrap(), answer);
        assert_eq!(opened(&bytes, &other, "o").unwrap_err().code(), "migrate.forged_answer");
    }

    #[test]
    fn an_answer_that_was_changed_or_has_no_seal_is_refused() {
        let key = new_key();
        let answer = Answer::Failed { code: "migrate.schema".to_owned(), message: "m".to_owned() };
        let good: Value = serde_json::from_slice(&sealed(&answer, &key)).unwrap();
        let changed = |member: &str, text: String| {
            let mut bad = good.clone();
            bad[member] = json!(text);
            bad
        };
        let done = serde_json::to_string(&Answer::Done(Done::default())).unwrap();
        let seal = good["seal"].as_str().unwrap();
        let bad = [
            changed("answer", done.clone()),
            changed("seal", seal[2..].to_owned()),
            changed("seal", String::new()),
            changed("seal", "no digits".to_owned()),
            json!({ "answer": done }),
            serde_json::from_str(&done).unwrap(),
        ];
        for bad in bad {
            let refused = opened(bad.to_string().as_bytes(), &key, "deploy/1/answer.json").unwrap_err();
            assert_eq!(refused.code(), "migrate.forged_answer", "{bad}");
            assert!(refused.to_string().contains("deploy/1/answer.json"), "{refused}");
        }
        assert!(opened(good.to_string().as_bytes(), &key, "o").is_ok(), "it is the change that is refused");
    }

    /// Source: FIPS 180-2, appendix B.1.
    #[test]
    fn the_digest_is_sha_256_in_lower_case() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
