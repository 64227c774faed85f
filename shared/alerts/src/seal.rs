//! Encryption of channels' addresses. Pure, but for the chance of nonces.
//!
//! AES-256 in Galois/Counter Mode with a fresh nonce for each sealing. What is sealed is bound to its place: organisation, channel and
//! kind are authenticated with it, so that a row copied into another channel's place does not open there. The first key of the ring
//! seals, all of them open.
//!
//! It must never put a key, or anything of what is sealed, into an error or a log.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_types::{ChannelId, Classified, Disposition, OrgId};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};

use crate::channel::ChannelKind;

/// First byte of what is sealed in this way.
const VERSION: u8 = 1;
/// Length of a key. **Source**: FIPS 197, AES-256.
const KEY_BYTES: usize = 32;
/// Longest name of a key.
const MAX_KEY_ID: usize = 32;
/// What the authenticated place begins with.
const PURPOSE: &[u8] = b"isotherm alerts.channels.sealed_address 1";

/// Why something was not sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The secret is no list of keys.
    #[error("the secret `alerts` is no list of keys: {problem}")]
    BadKeyring {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It was sealed with a key that the ring does not have.
    #[error(
        "an address of a channel was sealed with the key {id}, which the secret `alerts` does not have; put it back"
    )]
    UnknownKey {
        /// The key.
        id: String,
    },
    /// It was changed, or belongs elsewhere.
    #[error("an address of a channel does not open in its place: it was changed, or moved there from elsewhere")]
    NotOpened,
    /// The cipher failed.
    #[error("an address of a channel could not be sealed")]
    NotSealed,
}

impl Classified for SealError {
    fn disposition(&self) -> Disposition {
        match self {
            // A person may mend the secret.
            Self::BadKeyring { .. } | Self::UnknownKey { .. } | Self::NotSealed => Disposition::Retry,
            Self::NotOpened => Disposition::GiveUp,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadKeyring { .. } => "alerts.bad_keyring",
            Self::UnknownKey { .. } => "alerts.unknown_key",
            Self::NotOpened => "alerts.address_not_opened",
            Self::NotSealed => "alerts.address_not_sealed",
        }
    }
}

/// Where something sealed belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Organisation of the channel.
    pub org: OrgId,
    /// The channel.
    pub channel: ChannelId,
    /// What kind it is of.
    pub kind: ChannelKind,
}

/// The keys, the one that seals first.
pub struct Keyring {
    keys: Vec<(String, RandomizedNonceKey)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    keys: Vec<SecretKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretKey {
    id: String,
    key: String,
}

impl Place {
    fn authenticated(self) -> Vec<u8> {
        let (org, channel) = (self.org.0.to_be_bytes(), self.channel.0.to_be_bytes());
        [PURPOSE, &org, &channel, self.kind.as_str().as_bytes()].concat()
    }
}

impl Keyring {
    /// Reads the secret `alerts`: `{"keys":[{"id":"k1","key":"<32 bytes in base64>"}]}`, the newest key first; or the list alone, as
    /// which the platform hands on a secret that has one member.
    ///
    /// # Errors
    /// [`SealError::BadKeyring`].
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let bad = |problem| SealError::BadKeyring { problem };
        let mut keys: Vec<(String, RandomizedNonceKey)> = Vec::new();
        for SecretKey { id, key } in listed(text)? {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
            if !(1..=MAX_KEY_ID).contains(&id.len()) || !id.bytes().all(is_plain) {
                return Err(bad("the id of a key has to be 1 to 32 of a-z, 0-9, _ and -"));
            }
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(bad("two keys have the same id"));
            }
            let bytes = STANDARD.decode(key).ok().filter(|bytes| bytes.len() == KEY_BYTES);
            let key = bytes.and_then(|bytes| RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok());
            keys.push((id, key.ok_or_else(|| bad("a key is not 32 bytes in base64"))?));
        }
        if keys.is_empty() { Err(bad("it has no key")) } else { Ok(Self { keys }) }
    }

    /// Names of the keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(id, _)| id.as_str())
    }

    /// Seals `plain` for `place`: version, length and name of the key, nonce, text and tag.
    ///
    /// # Errors
    /// [`SealError::NotSealed`].
    pub fn seal(&self, plain: &[u8], place: Place) -> Result<Vec<u8>, SealError> {
        let (_, key) = self.first();
        let mut text = plain.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(place.authenticated()), &mut text)
            .map_err(|_hidden| SealError::NotSealed)?;
        Ok([&self.beginning()[..], nonce.as_ref().as_slice(), &text].concat())
    }

    /// What everything begins with that the first key has sealed.
    pub(crate) fn beginning(&self) -> Vec<u8> {
        let (id, _) = self.first();
        let length = u8::try_from(id.len()).expect("a key's name has at most 32 bytes");
        [&[VERSION, length][..], id.as_bytes()].concat()
    }

    fn first(&self) -> &(String, RandomizedNonceKey) {
        self.keys.first().expect("a ring has a key: parse refuses one without")
    }

    /// Opens what [`Keyring::seal`] has sealed for `place`.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], [`SealError::NotOpened`].
    pub fn open(&self, sealed: &[u8], place: Place) -> Result<Vec<u8>, SealError> {
        let (id, nonce, text) = parts(sealed).ok_or(SealError::NotOpened)?;
        let found = self.keys.iter().find(|(known, _)| known == id);
        let (_, key) = found.ok_or_else(|| SealError::UnknownKey { id: id.to_owned() })?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_hidden| SealError::NotOpened)?;
        let mut text = text.to_vec();
        let plain = key
            .open_in_place(nonce, Aad::from(place.authenticated()), &mut text)
            .map_err(|_hidden| SealError::NotOpened)?;
        Ok(plain.to_vec())
    }
}

/// Name of the key, nonce, and text with its tag.
fn parts(sealed: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let ([version, length], rest) = sealed.split_first_chunk::<2>()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
    let id = std::str::from_utf8(id).ok().filter(|id| id.len() <= MAX_KEY_ID)?;
    (*version == VERSION).then_some((id, nonce, text))
}

/// Names its keys only.
impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// The text of a secret with one new key, which is called `id`.
///
/// # Errors
/// [`SealError::NotSealed`] if the system gives no chance.
pub fn new_secret(id: &str) -> Result<String, SealError> {
    let key = STANDARD.encode(chance::<KEY_BYTES>()?);
    let secret = Secret { keys: vec![SecretKey { id: id.to_owned(), key }] };
    Ok(serde_json::to_string(&secret).expect("texts have a form in JSON"))
}

/// The text of a secret with a new key before those of `text`: it seals from now on, and the others still open.
///
/// # Errors
/// [`SealError::BadKeyring`]; [`SealError::NotSealed`] if the system gives no chance.
pub fn with_new_key(text: &str) -> Result<String, SealError> {
    Keyring::parse(text)?;
    let mut keys = listed(text)?;
    let is_free = |id: &String| keys.iter().all(|key| key.id != *id);
    let id = (1..).map(|number: usize| format!("k{number}")).skip(keys.len()).find(is_free);
    let id = id.expect("of more names than there are keys one is free");
    keys.insert(0, SecretKey { id, key: STANDARD.encode(chance::<KEY_BYTES>()?) });
    Ok(serde_json::to_string(&Secret { keys }).expect("texts have a form in JSON"))
}

/// The keys of a secret as they stand there.
fn listed(text: &str) -> Result<Vec<SecretKey>, SealError> {
    let form = "it has to be {\"keys\":[{\"id\":\"k1\",\"key\":\"<32 bytes in base64>\"}]}, the newest key first";
    let listed = if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
    } else {
        serde_json::from_str(text).map(|secret: Secret| secret.keys)
    };
    listed.map_err(|_hidden| SealError::BadKeyring { problem: form })
}

/// Bytes that nobody can guess.
pub(crate) fn chance<const COUNT: usize>() -> Result<[u8; COUNT], SealError> {
    let mut bytes = [0; COUNT];
    OsRng.try_fill_bytes(&mut bytes).map_err(|_hidden| SealError::NotSealed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { org: OrgId(1), channel: ChannelId(7), kind: ChannelKind::Webhook };

    fn ring(ids: &[&str]) -> Keyring {
        let keys: Vec<String> = ids
            .iter()
            .map(|id| format!("{{\"id\":\"{id}\",\"key\":\"{}\"}}", STANDARD.encode(&id.repeat(32).as_bytes()[..32])))
            .collect();
        Keyring::parse(&format!("{{\"keys\":[{}]}}", keys.join(","))).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let ring = ring(&["k1"]);
        let sealed = ring.seal(b"hidden", PLACE).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"hidden"));
        assert_eq!(ring.open(&sealed, PLACE).unwrap(), b"hidden");
        assert_ne!(ring.seal(b"hidden", PLACE).unwrap(), sealed, "the nonce is new each time");
        for elsewhere in [
            Place { org: OrgId(2), ..PLACE },
            Place { channel: ChannelId(8), ..PLACE },
            Place { kind: ChannelKind::Slack, ..PLACE },
        ] {
            assert_eq!(ring.open(&sealed, elsewhere), Err(SealError::NotOpened), "{elsewhere:?}");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let ring = ring(&["k1"]);
        let sealed = ring.seal(b"hidden", PLACE).unwrap();
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(ring.open(&changed, PLACE).is_err(), "byte {i}");
            assert!(ring.open(&sealed[..i], PLACE).is_err(), "{i} bytes");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (old, both, new) = (ring(&["k1"]), ring(&["k2", "k1"]), ring(&["k2"]));
        let of_old = old.seal(b"hidden", PLACE).unwrap();
        let of_both = both.seal(b"hidden", PLACE).unwrap();
        assert_eq!(both.open(&of_old, PLACE).unwrap(), b"hidden");
        assert_eq!(new.open(&of_both, PLACE).unwrap(), b"hidden");
        assert_eq!(new.open(&of_old, PLACE), Err(SealError::UnknownKey { id: "k1".to_owned() }));
        assert_eq!(format!("{both:?}"), "[\"k2\", \"k1\"]");
    }

    #[test]
    fn a_new_key_goes_before_the_others_and_they_open_still() {
        let old = new_secret("k1").unwrap();
        let sealed = Keyring::parse(&old).unwrap().seal(b"hidden", PLACE).unwrap();
        let two = with_new_key(&old).unwrap();
        let three = with_new_key(&two).unwrap();
        assert_eq!(Keyring::parse(&three).unwrap().ids().collect::<Vec<_>>(), ["k3", "k2", "k1"]);
        assert_eq!(Keyring::parse(&three).unwrap().open(&sealed, PLACE).unwrap(), b"hidden");
        let named = with_new_key(&new_secret("k2").unwrap()).unwrap();
        assert_eq!(Keyring::parse(&named).unwrap().ids().collect::<Vec<_>>(), ["k3", "k2"], "no name is used twice");
        assert!(with_new_key("{\"keys\":[]}").is_err());
    }

    #[test]
    fn a_secret_that_is_no_list_of_keys_is_refused_without_showing_it() {
        let good = new_secret("k1").unwrap();
        assert_eq!(Keyring::parse(&good).unwrap().ids().collect::<Vec<_>>(), ["k1"]);
        let list = good.strip_prefix("{\"keys\":").and_then(|rest| rest.strip_suffix('}')).unwrap();
        assert_eq!(Keyring::parse(list).unwrap().ids().collect::<Vec<_>>(), ["k1"], "the list alone");
        assert_ne!(new_secret("k1").unwrap(), good);
        let short = STANDARD.encode("hidden");
        for bad in [
            String::new(),
            "hidden".to_owned(),
            "{\"keys\":[]}".to_owned(),
            format!("{{\"keys\":[{{\"id\":\"k1\",\"key\":\"{short}\"}}]}}"),
            good.replace("k1", "K 1"),
            good.replace("]}", ",{\"id\":\"k1\",\"key\":\"\"}]}"),
        ] {
            let error = Keyring::parse(&bad).unwrap_err();
            assert!(matches!(error, SealError::BadKeyring { .. }), "{bad}");
            assert!(!format!("{error:?} {error}").contains(&short), "{error}");
        }
    }
}
