//! What an object's bytes are known by: their length and their SHA-256.
//!
//! Pure; hashing a stream is the business of who holds the stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; as text 64 lower-case hexadecimal digits. Source: FIPS 180-4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl FromStr for Sha256Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        let is_lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if is_lower_case => Ok(Self(bytes)),
            _ => Err(NotADigest { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

/// Text that is no SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not 64 lower-case hexadecimal digits")]
pub struct NotADigest {
    /// The text that was given.
    pub text: String,
}

/// Length and digest of an object's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectDigest {
    /// Length.
    pub size_bytes: u64,
    /// Digest of all of them.
    pub sha256: Sha256Digest,
}

impl ObjectDigest {
    /// Length and digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size_bytes: bytes.len() as u64, sha256: Sha256Digest::of(bytes) }
    }
}

impl fmt::Display for ObjectDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, sha256 {}", self.size_bytes, self.sha256)
    }
}

/// Counts and hashes bytes as they pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunningDigest {
    size_bytes: u64,
    sha256: Sha256,
}

impl RunningDigest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        self.sha256.update(bytes);
    }

    pub(crate) fn finish(self) -> ObjectDigest {
        ObjectDigest { size_bytes: self.size_bytes, sha256: Sha256Digest(self.sha256.finalize().into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_and_read_as_lower_case_hex() {
        let digest = Sha256Digest::of(b"abc");
        let text = digest.to_string();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(text.parse(), Ok(digest));
        for wrong in ["", "ba78", &text.to_uppercase(), &format!("0x{text}"), &format!("{text}00")] {
            assert!(wrong.parse::<Sha256Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_running_digest_is_that_of_the_whole() {
        let mut running = RunningDigest::default();
        for piece in [b"iso".as_slice(), b"", b"therm"] {
            running.update(piece);
        }
        assert_eq!(running.finish(), ObjectDigest::of(b"isotherm"));
    }
}
