//! Looks for secrets in bytes, in each form in which a program may have written them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A secret of the drive. Its name is printed, never what it is.
pub(crate) struct Canary {
    pub(crate) name: &'static str,
    secret: Vec<u8>,
}

impl Canary {
    pub(crate) fn new(name: &'static str, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref().to_vec();
        assert!(secret.len() >= 10, "{name} is so short that it would be found everywhere");
        Self { name, secret }
    }
}

/// Which canary, in which form.
pub(crate) type Hit = (&'static str, &'static str);

struct Needle {
    hit: Hit,
    bytes: Vec<u8>,
}

/// All forms of all canaries, by their first two bytes: what is searched is many times longer than what is found.
pub(crate) struct Search {
    by_beginning: Vec<Vec<Needle>>,
}

impl Search {
    pub(crate) fn new(canaries: &[Canary]) -> Self {
        let mut by_beginning: Vec<Vec<Needle>> = std::iter::repeat_with(Vec::new).take(1 << 16).collect();
        for canary in canaries {
            for (form, bytes) in forms(&canary.secret) {
                by_beginning[beginning(bytes[0], bytes[1])].push(Needle { hit: (canary.name, form), bytes });
            }
        }
        Self { by_beginning }
    }

    /// What of the canaries is in `text`.
    pub(crate) fn find(&self, text: &[u8]) -> BTreeSet<Hit> {
        let mut found = BTreeSet::new();
        for at in 1..text.len() {
            let needles = &self.by_beginning[beginning(text[at - 1], text[at])];
            if !needles.is_empty() {
                let rest = &text[at - 1..];
                found.extend(needles.iter().filter(|needle| rest.starts_with(&needle.bytes)).map(|needle| needle.hit));
            }
        }
        found
    }
}

fn beginning(first: u8, second: u8) -> usize {
    (usize::from(first) << 8) | usize::from(second)
}

/// Each way to write `secret`, with the way's name; none twice.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = hex::encode(secret);
    let percent = |is_upper: bool| -> String {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let one = |byte: &u8| match (is_plain(*byte), is_upper) {
            (true, _) => char::from(*byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        secret.iter().map(one).collect()
    };
    let numbers = |between: &str| secret.iter().map(u8::to_string).collect::<Vec<_>>().join(between);
    let mut forms = vec![
        ("plain", secret.to_vec()),
        ("percent", percent(true).into_bytes()),
        ("percent", percent(false).into_bytes()),
        ("hex", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
        ("numbers", numbers(", ").into_bytes()),
        ("numbers", numbers(",").into_bytes()),
    ];
    if let Ok(text) = std::str::from_utf8(secret) {
        let quoted = serde_json::Value::from(text).to_string();
        let escaped = &quoted[1..quoted.len() - 1];
        forms.push(("json", escaped.as_bytes().to_vec()));
        forms.push(("json", escaped.replace('/', "\\/").into_bytes()));
    }
    for before in 0..3 {
        let engines = [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
        forms.extend(engines.map(|engine| ("base64", within_base64(secret, before, |bytes| engine.encode(bytes)))));
    }
    let mut known = BTreeSet::new();
    forms.retain(|(_, bytes)| known.insert(bytes.clone()));
    forms
}

/// The digits of base64 that say nothing but `secret`, if `before` bytes stand before it; of three alignments, one fits whatever
/// those are. **Source**: RFC 4648, section 4: three bytes are four digits.
fn within_base64(secret: &[u8], before: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let padded = [vec![0; before], secret.to_vec()].concat();
    let digits = encode(&padded).into_bytes();
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    digits[first..end].to_vec()
}

mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const SECRET: &str = "pw!\"k3y/k3y+k3y";

    fn found(text: &[u8]) -> Vec<&'static str> {
        let search = Search::new(&[Canary::new("one", SECRET), Canary::new("other", [7_u8; 16])]);
        search.find(text).into_iter().filter(|(name, _)| *name == "one").map(|(_, form)| form).collect()
    }

    #[test]
    fn a_secret_is_found_in_each_form_and_wherever_it_stands() {
        let percent = "pw%21%22k3y%2Fk3y%2Bk3y";
        let numbers = format!("{:?}", SECRET.as_bytes());
        for (form, text) in [
            ("plain", SECRET.to_owned()),
            ("percent", percent.to_owned()),
            ("percent", percent.to_lowercase()),
            ("json", serde_json::json!({ "a": SECRET }).to_string()),
            ("json", "pw!\\\"k3y\\/k3y+k3y".to_owned()),
            ("hex", hex::encode(SECRET)),
            ("hex", hex::encode_upper(SECRET)),
            ("numbers", numbers.replace(' ', "")),
            ("numbers", numbers),
        ] {
            assert_eq!(found(format!("x{text}").as_bytes()), [form], "{text}");
            assert_eq!(found(format!("{text} and more").as_bytes()), [form], "{text}");
        }
        for before in ["", "a", "ab", "abc", "abcd"] {
            for behind in ["", "y", "yz", "\u{fe}\u{ff}"] {
                let text = format!("{before}{SECRET}{behind}");
                assert_eq!(found(STANDARD.encode(&text).as_bytes()), ["base64"], "{text}");
                assert_eq!(found(URL_SAFE_NO_PAD.encode(&text).as_bytes()), ["base64"], "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        for text in ["", "p", "pw!\"k3y/k3y+k3", "pw k3y", &hex::encode(&SECRET[1..])] {
            assert_eq!(found(text.as_bytes()), Vec::<&str>::new(), "{text}");
        }
    }
}
