//! Genuine signatures under what must not be accepted.

use serde_json::{Value, json};

use super::Forgery;
use crate::signer::{AUDIENCE, ISSUER, OTHER_ISSUER, SUBJECT, Signer, claims, now, with};

fn by_claim(signer: &Signer, name: &str, values: Vec<Option<Value>>) -> Vec<Forgery> {
    let forge = |value: Option<Value>| {
        let what = format!("{} with {name} {value:?}", signer.name);
        Forgery::token(what, signer.sign(&signer.header(), &with(&claims(), name, value)))
    };
    values.into_iter().map(forge).collect()
}

/// Headers that ask for something that is not done here.
pub(super) fn critical_headers(signer: &Signer) -> Vec<Forgery> {
    let headers = [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!("exp")),
        ("crit", Value::Null),
        ("b64", json!(false)),
        ("cty", json!("JWT")),
        ("enc", json!("A128GCM")),
        ("zip", json!("DEF")),
        ("typ", json!("JWE")),
        ("typ", json!("logout+jwt")),
        ("typ", json!(1)),
        ("typ", Value::Null),
    ];
    let forge = |(name, value): (&str, Value)| {
        let what = format!("{} with the header {name} {value}", signer.name);
        Forgery::token(what, signer.sign(&with(&signer.header(), name, Some(value)), &claims()))
    };
    headers.into_iter().map(forge).collect()
}

pub(super) fn times(signer: &Signer) -> Vec<Forgery> {
    let now = now().timestamp();
    let no_number = || {
        vec![
            Some(json!((now + 60).to_string())),
            Some(json!((now + 60) as f64)),
            Some(json!(1e300)),
            Some(json!(u64::MAX)),
            Some(json!(true)),
            Some(json!([now])),
            Some(json!({ "at": now })),
            Some(Value::Null),
        ]
    };
    let mut ends = no_number();
    ends.extend([None, Some(json!(-1)), Some(json!(0)), Some(json!(now - 1)), Some(json!(now)), Some(json!(i64::MIN))]);
    ends.push(Some(json!(i64::MAX)));
    let mut forgeries = by_claim(signer, "exp", ends);
    for name in ["nbf", "iat"] {
        let mut begins = no_number();
        begins.extend([Some(json!(now + 61)), Some(json!(now + 86_400)), Some(json!(i64::MAX))]);
        forgeries.extend(by_claim(signer, name, begins));
    }
    forgeries
}

pub(super) fn audiences(signer: &Signer) -> Vec<Forgery> {
    let values = vec![
        None,
        Some(Value::Null),
        Some(json!("")),
        Some(json!("other")),
        Some(json!(format!("{AUDIENCE} "))),
        Some(json!(AUDIENCE.to_uppercase())),
        Some(json!(&AUDIENCE[1..])),
        Some(json!([])),
        Some(json!(["other"])),
        Some(json!([AUDIENCE, 1])),
        Some(json!([[AUDIENCE]])),
        Some(json!({ AUDIENCE: true })),
        Some(json!(1)),
    ];
    by_claim(signer, "aud", values)
}

pub(super) fn issuers(signer: &Signer) -> Vec<Forgery> {
    let values = vec![
        None,
        Some(Value::Null),
        Some(json!("")),
        Some(json!(format!("{ISSUER}/"))),
        Some(json!(ISSUER.to_uppercase())),
        Some(json!(ISSUER.replace("https", "http"))),
        Some(json!(format!(" {ISSUER}"))),
        Some(json!(format!("{ISSUER}\u{0}"))),
        Some(json!([ISSUER])),
        Some(json!(OTHER_ISSUER)),
        Some(json!("aws_iam")),
    ];
    by_claim(signer, "iss", values)
}

pub(super) fn subjects(signer: &Signer) -> Vec<Forgery> {
    let values = vec![
        None,
        Some(Value::Null),
        Some(json!("")),
        Some(json!([SUBJECT])),
        Some(json!({ "sub": SUBJECT })),
        Some(json!(1)),
        Some(json!(true)),
        Some(json!("x".repeat(256))),
        Some(json!(format!("{SUBJECT}\u{0}"))),
    ];
    by_claim(signer, "sub", values)
}
