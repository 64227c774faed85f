//! What may be a key in an address, in each form in which an endpoint may repeat it.
//!
//! Never takes the host, nor what is too short, for a key: errors would be hard to read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use reqwest::Url;

/// Parts of an address that are shorter are no keys: `v2`, `rpc`, a user's name.
const SHORTEST_KEY: usize = 8;

/// User, password, and the parts of path and query, each as it stands there and decoded, and user and password as they
/// are sent.
///
/// Source: RFC 3986, 2.1, and HTML's `application/x-www-form-urlencoded` for the encodings; RFC 7617 for what is sent.
pub(super) fn secrets(url: &Url) -> Vec<String> {
    let (user, password) = (url.username(), url.password().unwrap_or(""));
    let path = url.path_segments().into_iter().flatten();
    let query = url.query().into_iter().flat_map(|query| query.split(['&', '=']));
    let parts = [user, password].into_iter().chain(path).chain(query);
    let forms = |part: &str| [part.to_owned(), decoded(part), decoded(&part.replace('+', " "))];
    let mut found: Vec<String> = parts.flat_map(forms).collect();
    // Its padding tells nothing.
    found.push(STANDARD_NO_PAD.encode(format!("{}:{}", decoded(user), decoded(password))));
    found.retain(|form| form.len() >= SHORTEST_KEY);
    found.sort_unstable();
    found.dedup();
    found
}

/// `text` with each `%` and its two digits read as a byte.
fn decoded(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = match (first, digit(behind.first()), digit(behind.get(1))) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        rest = if code.is_some() { &behind[2..] } else { behind };
        bytes.push(code.unwrap_or(*first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc_url::RpcUrl;

    #[test]
    fn a_key_is_hidden_in_each_form_in_which_it_may_be_repeated() {
        let address = "https://some%40user:hunter%212hunter2@node.example/v2/k3y%2Fk3yk3y?key=t0k+en%2bt0ken";
        let url = RpcUrl::parse(address).unwrap();
        for form in [
            "some%40user",
            "some@user",
            "hunter%212hunter2",
            "hunter!2hunter2",
            "k3y%2Fk3yk3y",
            "k3y/k3yk3y",
            "t0k+en%2bt0ken",
            "t0k+en+t0ken",
            "t0k en+t0ken",
            // As `Authorization: Basic` has it.
            "c29tZUB1c2VyOmh1bnRlciEyaHVudGVyMg",
        ] {
            assert_eq!(url.without_secrets(&format!("no {form}, v2"), 1000), "no [secret], v2", "{form}");
        }
    }

    #[test]
    fn what_is_no_code_stays_as_it_is() {
        let cases = [("", ""), ("a%", "a%"), ("a%4", "a%4"), ("%4g%+1", "%4g%+1"), ("%41%c3%a9%ff", "Aé\u{fffd}")];
        for (text, expected) in cases {
            assert_eq!(decoded(text), expected);
        }
    }
}
