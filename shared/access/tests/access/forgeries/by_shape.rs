//! Tokens that were cut, bent, doubled, wrapped or put where no token belongs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

use super::Forgery;
use crate::signer::{Signer, claims};

pub(super) fn signatures(signer: &Signer) -> Vec<Forgery> {
    let good = signer.good();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let changed = [
        ("half", encoded(&bytes[..bytes.len() / 2])),
        ("all but a byte", encoded(&bytes[..bytes.len() - 1])),
        ("all but a letter", signature[..signature.len() - 1].to_owned()),
        ("a byte more", encoded(&[&bytes[..], &[0]].concat())),
        ("doubled", encoded(&[&bytes[..], &bytes[..]].concat())),
        ("zeros", encoded(&vec![0; bytes.len()])),
        ("ones", encoded(&vec![0xff; bytes.len()])),
        ("turned round", encoded(&bytes.iter().rev().copied().collect::<Vec<_>>())),
        ("empty", String::new()),
    ];
    changed
        .into_iter()
        .map(|(what, signature)| {
            Forgery::token(format!("{}: signature {what}", signer.name), format!("{message}.{signature}"))
        })
        .collect()
}

/// One bit of each of several bytes of each part.
pub(super) fn bit_flips(signer: &Signer) -> Vec<Forgery> {
    let good = signer.good();
    let parts: Vec<Vec<u8>> = good.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    let mut forgeries = Vec::new();
    for (part, bytes) in parts.iter().enumerate() {
        for step in 0..8 {
            let mut flipped = parts.clone();
            let place = (bytes.len() - 1) * step / 7;
            flipped[part][place] ^= 1 << step;
            let token = flipped.iter().map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).collect::<Vec<_>>().join(".");
            let what = format!("{}: bit {step} of byte {place} of part {part}", signer.name);
            forgeries.push(Forgery::token(what, token));
        }
    }
    forgeries
}

/// Genuine signatures over texts that two readers could read differently.
pub(super) fn doubled_names(signer: &Signer) -> Vec<Forgery> {
    let (header, claims) = (signer.header().to_string(), claims().to_string());
    let doubled = |text: &str, more: &str| format!("{},{more}}}", text.strip_suffix('}').unwrap());
    let by_header = ["\"alg\":\"none\"", "\"kid\":\"x\"", "\"typ\":\"JWT\"", "\"\\u0061lg\":\"none\""];
    let by_claims =
        ["\"sub\":\"eve\"", "\"exp\":9999999999", "\"iss\":\"x\"", "\"\\u0073ub\":\"eve\"", "\"aud\":\"x\""];
    let in_header = by_header.into_iter().map(|more| {
        let token = signer.sign_text(&doubled(&header, more), &claims);
        Forgery::token(format!("header with {more} too"), token)
    });
    let in_claims = by_claims.into_iter().map(|more| {
        let token = signer.sign_text(&header, &doubled(&claims, more));
        Forgery::token(format!("claims with {more} too"), token)
    });
    in_header.chain(in_claims).collect()
}

/// More parts or fewer, tokens in tokens, and parts that are no objects.
pub(super) fn parts(signer: &Signer) -> Vec<Forgery> {
    let good = signer.good();
    let [header, claims, signature] = <[&str; 3]>::try_from(good.split('.').collect::<Vec<_>>()).unwrap();
    let text = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let recoded = |part: &str| STANDARD.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
    let padded = |part: &str| URL_SAFE.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
    let long = format!("{},\"x\":\"{}\"}}", text(claims).strip_suffix('}').unwrap(), "y".repeat(9000));
    let tokens = [
        ("nothing", String::new()),
        ("a word", "token".to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts, as encrypted ones have", format!("{header}.{claims}.{signature}.{claims}.{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot behind", format!("{good}.")),
        ("dots only", "..".to_owned()),
        ("no header", format!(".{claims}.{signature}")),
        ("no claims", format!("{header}..{signature}")),
        ("header and claims exchanged", format!("{claims}.{header}.{signature}")),
        ("a token as claims", signer.sign_text(&text(header), &good)),
        ("a token as a text in claims", signer.sign_text(&text(header), &format!("\"{good}\""))),
        ("a token in the claim jwt", signer.sign_text(&text(header), &format!("{{\"jwt\":\"{good}\"}}"))),
        ("a token as header", signer.sign_text(&good, &text(claims))),
        ("a list as claims", signer.sign_text(&text(header), &format!("[{}]", text(claims)))),
        ("null as claims", signer.sign_text(&text(header), "null")),
        ("a list as header", signer.sign_text(&format!("[{}]", text(header)), &text(claims))),
        ("half an object", signer.sign_text(&text(header), "{")),
        ("two objects", signer.sign_text(&text(header), &format!("{0}{0}", text(claims)))),
        ("a byte order mark", signer.sign_text(&text(header), &format!("\u{feff}{}", text(claims)))),
        ("nothing as claims", signer.sign_text(&text(header), "")),
        ("padded", format!("{}.{}.{}==", padded(header), padded(claims), padded(signature))),
        ("the other alphabet", format!("{}+.{}/.{}", recoded(header), recoded(claims), recoded(signature))),
        ("too long", signer.sign_text(&text(header), &long)),
    ];
    tokens.into_iter().map(|(what, token)| Forgery::token(format!("{}: {what}", signer.name), token)).collect()
}

/// The right token in a header that is not.
pub(super) fn headers(signer: &Signer) -> Vec<Forgery> {
    let good = signer.good();
    let values = [
        String::new(),
        good.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer  {good}"),
        format!(" Bearer {good}"),
        format!("Bearer {good} "),
        format!("Bearer {good}\n"),
        format!("Bearer\t{good}"),
        format!("Bearer\u{a0}{good}"),
        format!("Bearer \"{good}\""),
        format!("Bearer {good}="),
        format!("Bearer {good}, Bearer {good}"),
        format!("Bearer {good},Bearer {good}"),
        format!("Bearer {good}; q=1"),
        format!("Bearer {}", good.replace('.', ". ")),
        format!("Bearer: {good}"),
        format!("Bearer token={good}"),
        format!("Basic {good}"),
        format!("Basic {}", STANDARD.encode(format!("ann:{good}"))),
        format!("Token {good}"),
        format!("JWT {good}"),
        format!("DPoP {good}"),
        format!("BearerBearer {good}"),
    ];
    values.into_iter().map(|value| Forgery::header(format!("the header {value:?}"), value)).collect()
}
