//! Signatures of Standard Webhooks: `v1,` and the base64 of an HMAC-SHA256.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What a key in base64 begins with. **Source**: Standard Webhooks, "Signature scheme".
const KEY_PREFIX: &str = "whsec_";
/// What a signature of the one symmetric scheme begins with. **Source**: as [`KEY_PREFIX`].
const VERSION_PREFIX: &str = "v1,";

/// What sender and trigger share. `Debug` says nothing of it.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Reads the text of a secret: `whsec_` and base64, or any other text, whose bytes are the key.
    ///
    /// `None` if it is empty, or not base64 after `whsec_`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = match text.strip_prefix(KEY_PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() {
            return None;
        }
        Some(Self(Hmac::new_from_slice(&bytes).expect("HMAC takes keys of every length")))
    }

    /// Whether one of `signatures`, separated by spaces, is this key's over `id.timestamp.body`. Several are sent while a
    /// key is being replaced. Each is compared in constant time.
    pub(super) fn has_signed(&self, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        signatures
            .split(' ')
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix(VERSION_PREFIX)?).ok())
            .any(|claimed| mac.clone().verify_slice(&claimed).is_ok())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}
