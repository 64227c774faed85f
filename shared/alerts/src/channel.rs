//! Where people are told: kinds of channels and their addresses. Pure, but for the chance of keys.
//!
//! An address is what identifies a person or lets one write to them. It is sealed where it is kept ([`crate::seal`]) and must
//! never be printed: `Debug` says the kind only, and faults say the field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::seal::{self, SealError};

/// What keys of webhooks begin with. **Source**: Standard Webhooks 1.0, "Signature scheme".
const KEY_PREFIX: &str = "whsec_";
/// Bytes of a key that somebody brings. **Source**: as [`KEY_PREFIX`].
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a key that is made here.
const NEW_KEY_BYTES: usize = 32;
/// Most keys that sign at a time: a new one and those that a receiver may still have.
pub const MAX_KEYS: usize = 3;
/// Longest address of a webhook, as `isotherm-outbound` has it.
const MAX_URL_BYTES: usize = 2048;
/// Digits of a number. **Source**: ITU-T E.164, at most 15; shorter ones than 7 are not reached from abroad.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Longest address of a mailbox, and longest part before its `@`. **Source**: RFC 5321, section 4.5.3.1, and RFC 3696 erratum 1690.
const MAX_MAILBOX: usize = 254;
const MAX_LOCAL_PART: usize = 64;

/// How a channel reaches people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Mail.
    Email,
    /// Text messages.
    Sms,
    /// Signed HTTP requests.
    Webhook,
    /// Messages into a channel of Slack.
    Slack,
}

/// A word that is no kind of channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no channel is of the kind {word:?}; the kinds are email, sms, webhook and slack")]
pub struct UnknownKind {
    /// The word that was given.
    pub word: String,
}

impl ChannelKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Email, Self::Sms, Self::Webhook, Self::Slack];

    /// The word in the database, in definitions and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
        }
    }
}

impl ChannelKind {
    /// Whether whoever has the address is asked before anything is sent there: anybody can name somebody else's mailbox or number. Who
    /// has a webhook gives its URL and its key out, and who has a Slack its bot's token.
    pub fn needs_confirmation(self) -> bool {
        match self {
            Self::Email | Self::Sms => true,
            Self::Webhook | Self::Slack => false,
        }
    }
}

impl std::str::FromStr for ChannelKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownKind { word: word.to_owned() })
    }
}

impl std::fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a channel leads, and what it needs to get there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Address {
    /// A mailbox.
    Email {
        /// Such as `ann@example.org`.
        to: String,
    },
    /// A telephone.
    Sms {
        /// In E.164: `+` and digits.
        number: String,
    },
    /// A receiver of Standard Webhooks.
    Webhook {
        /// Where to post.
        url: String,
        /// What signs, `whsec_…`, the newest first. None given: one is made.
        #[serde(default)]
        keys: Vec<String>,
    },
    /// A channel of Slack.
    Slack {
        /// Token of a bot, `xoxb-…`.
        token: String,
        /// Id of the channel, such as `C0123456789`.
        channel: String,
    },
}

/// A field of an address that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} has to be {expected}")]
pub struct AddressFault {
    /// Which one, as in a request: `address.url`.
    pub field: &'static str,
    /// What it should be.
    pub expected: &'static str,
}

impl Address {
    /// How it reaches people.
    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::Email { .. } => ChannelKind::Email,
            Self::Sms { .. } => ChannelKind::Sms,
            Self::Webhook { .. } => ChannelKind::Webhook,
            Self::Slack { .. } => ChannelKind::Slack,
        }
    }

    /// Looks at the text of every field. Whether anything may be sent to the host of a URL, `isotherm-outbound` says.
    ///
    /// # Errors
    /// The first field that cannot be right.
    pub fn check(&self) -> Result<(), AddressFault> {
        let hold =
            |is_good: bool, field, expected| if is_good { Ok(()) } else { Err(AddressFault { field, expected }) };
        match self {
            Self::Email { to } => hold(is_mailbox(to), "address.to", "one mailbox, such as ann@example.org"),
            Self::Sms { number } => hold(
                is_e164(number),
                "address.number",
                "a telephone number in E.164: + and 7 to 15 digits, such as +15551234567",
            ),
            Self::Webhook { url, keys } => {
                hold(is_url(url), "address.url", "a URL that begins with https:// and is no longer than 2048 bytes")?;
                hold(keys.len() <= MAX_KEYS, "address.keys", "at most 3 keys, the newest first")?;
                let expected = "whsec_ and 24 to 64 bytes in base64";
                hold(keys.iter().all(|key| is_key(key)), "address.keys", expected)
            }
            Self::Slack { token, channel } => {
                hold(is_bot_token(token), "address.token", "the token of a bot, which begins with xoxb-")?;
                hold(is_slack_channel(channel), "address.channel", "the id of a channel, such as C0123456789")
            }
        }
    }

    /// Gives a webhook a key if it has none.
    ///
    /// # Errors
    /// [`SealError::NotSealed`] if the system gives no chance.
    pub fn with_key(mut self) -> Result<Self, SealError> {
        if let Self::Webhook { keys, .. } = &mut self
            && keys.is_empty()
        {
            keys.push(new_key()?);
        }
        Ok(self)
    }

    /// Puts a new key of a webhook before those that it has, and forgets the oldest beyond [`MAX_KEYS`]; nothing for other kinds.
    ///
    /// # Errors
    /// As [`Address::with_key`].
    pub fn with_another_key(mut self) -> Result<Self, SealError> {
        if let Self::Webhook { keys, .. } = &mut self {
            keys.insert(0, new_key()?);
            keys.truncate(MAX_KEYS);
        }
        Ok(self)
    }
}

/// Says the kind only.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}, hidden)", self.kind())
    }
}

fn new_key() -> Result<String, SealError> {
    Ok(format!("{KEY_PREFIX}{}", STANDARD.encode(seal::chance::<NEW_KEY_BYTES>()?)))
}

/// One mailbox as people have them: of RFC 5322 an `addr-spec` of dot-atoms in ASCII, with a full name of a host.
fn is_mailbox(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let is_atom = |part: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
        !part.is_empty() && part.bytes().all(is_letter)
    };
    text.len() <= MAX_MAILBOX && local.len() <= MAX_LOCAL_PART && local.split('.').all(is_atom) && is_host(host)
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last = host.rsplit('.').next().unwrap_or(host);
    host.contains('.') && host.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    E164_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
}

fn is_url(text: &str) -> bool {
    let is_printable = |letter: char| !letter.is_control() && !letter.is_whitespace();
    text.len() <= MAX_URL_BYTES
        && text.chars().all(is_printable)
        && ["https://", "http://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

fn is_key(text: &str) -> bool {
    let bytes = text.strip_prefix(KEY_PREFIX).and_then(|key| STANDARD.decode(key).ok());
    bytes.is_some_and(|bytes| KEY_BYTES.contains(&bytes.len()))
}

/// **Source**: Slack, "Tokens": tokens of bots begin with `xoxb-`.
fn is_bot_token(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.strip_prefix("xoxb-").is_some_and(|rest| (8..=250).contains(&rest.len()) && rest.bytes().all(is_letter))
}

/// Public and private channels, and direct messages. **Source**: Slack, "Conversations API", object types.
fn is_slack_channel(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    (9..=32).contains(&text.len()) && text.starts_with(['C', 'G', 'D']) && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(address: &Address) -> Option<&'static str> {
        address.check().err().map(|fault| fault.field)
    }

    #[test]
    fn mailboxes_and_numbers_are_told_from_what_is_none() {
        let email = |to: &str| field(&Address::Email { to: to.to_owned() });
        for good in ["ann@example.org", "a.b+tag@mail.example.co.uk", "o'neill@x-1.example.com"] {
            assert_eq!(email(good), None, "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        let injected = "ann@example.org\r\nBcc: x@example.org";
        for bad in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann@localhost",
            "a..b@example.org",
            ".a@example.org",
            "a@b@example.org",
        ]
        .into_iter()
        .chain([
            "ann@example..org",
            "ann@-a.example.org",
            "ann@10.0.0.1",
            "\"a b\"@example.org",
            "Ann <ann@example.org>",
        ])
        .chain([long.as_str(), injected, "ann@example.org,b@example.org", "ann@b\u{fc}cher.example"])
        {
            assert_eq!(email(bad), Some("address.to"), "{bad}");
        }
        let sms = |number: &str| field(&Address::Sms { number: number.to_owned() });
        for good in ["+15551234567", "+4915112345678", "+1234567", "+123456789012345"] {
            assert_eq!(sms(good), None, "{good}");
        }
        for bad in ["", "15551234567", "+05551234567", "+1 555 1234567", "+123456", "+1234567890123456", "+1555123456x"]
        {
            assert_eq!(sms(bad), Some("address.number"), "{bad}");
        }
    }

    #[test]
    fn webhooks_and_slack_are_told_from_what_is_none() {
        let key = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7_u8; bytes]));
        let webhook = |url: &str, keys: Vec<String>| field(&Address::Webhook { url: url.to_owned(), keys });
        assert_eq!(webhook("https://hooks.example.com/a", vec![key(24), key(64)]), None);
        for bad in ["", "https://", "hooks.example.com", "ftp://hooks.example.com", "https://hooks.example.com/a b"] {
            assert_eq!(webhook(bad, Vec::new()), Some("address.url"), "{bad}");
        }
        for bad in [
            vec![key(23)],
            vec![key(65)],
            vec!["whsec_?".to_owned()],
            vec![STANDARD.encode([7_u8; 32])],
            vec![key(32); 4],
        ] {
            assert_eq!(webhook("https://hooks.example.com/", bad), Some("address.keys"));
        }
        let slack = |token: &str, channel: &str| {
            field(&Address::Slack { token: token.to_owned(), channel: channel.to_owned() })
        };
        assert_eq!(slack("xoxb-1234-abcdEFGH", "C0123456789"), None);
        assert_eq!(slack("xoxp-1234-abcdEFGH", "C0123456789"), Some("address.token"));
        assert_eq!(slack("xoxb-1234 abcdEFGH", "C0123456789"), Some("address.token"));
        assert_eq!(slack("xoxb-1234-abcdEFGH", "#general"), Some("address.channel"));
    }

    #[test]
    fn a_webhook_gets_a_key_and_a_new_one_comes_first() {
        let bare = Address::Webhook { url: "https://hooks.example.com/".to_owned(), keys: Vec::new() };
        let keys = |address: &Address| match address {
            Address::Webhook { keys, .. } => keys.clone(),
            _ => Vec::new(),
        };
        let first = bare.clone().with_key().unwrap();
        assert!(first.check().is_ok() && keys(&first).len() == 1);
        assert_eq!(first.clone().with_key().unwrap(), first, "a key that is there stays");
        let mut rotated = first.clone();
        for count in [2, 3, 3] {
            let before = keys(&rotated);
            rotated = rotated.with_another_key().unwrap();
            let after = keys(&rotated);
            assert_eq!((after.len(), &after[1]), (count, &before[0]));
            assert_ne!(after[0], before[0]);
        }
    }

    #[test]
    fn nothing_of_an_address_is_printed_and_its_form_is_kept() {
        let form = "{\"kind\":\"slack\",\"token\":\"xoxb-hidden-hidden\",\"channel\":\"CHIDDEN99\"}";
        let address: Address = serde_json::from_str(form).unwrap();
        assert_eq!(format!("{address:?}"), "Address(slack, hidden)");
        assert_eq!(serde_json::to_string(&address).unwrap(), form);
        assert!(serde_json::from_str::<Address>("{\"kind\":\"sms\",\"number\":\"+1\",\"to\":\"x\"}").is_err());
        for kind in ChannelKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }
}
