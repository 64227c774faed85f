//! Values of `Authorization` headers that are no tokens: each is refused under a stable code, at no cost.
//!
//! The door is [`Authenticator::verify`], with a key that the configuration holds. Whether a forged token is told from a good
//! one is tried elsewhere (`tests/access/forgeries`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use isotherm_access::{AccessError, Authenticator, LocalIssuer, token};
use isotherm_lab::experiment::Experiment;
use isotherm_lab::malformed::{Bytes, Json, Judge, Refusals, Verdict};
use isotherm_platform::lambda::identity;
use isotherm_types::{Classified as _, Clock as _, Disposition, SystemClock};
use serde_json::Value;

/// What readers of tokens look at.
const WORDS: [&str; 20] = [
    "Bearer ",
    "Basic ",
    ".",
    "..",
    "=",
    "e30",
    "bnVsbA",
    "W10",
    "eyJhbGciOiJub25lIn0",
    "alg",
    "none",
    "HS256",
    "kid",
    "jku",
    "crit",
    "iss",
    "aud",
    "exp",
    "sub",
    ",",
];

#[tokio::test]
async fn experiment_malformed_tokens() {
    let mut experiment = Experiment::begin("malformed_tokens", &["length"]);
    let is_bounded = !experiment.lacks("length");
    let issuer = LocalIssuer::generate().unwrap();
    let authenticator = identity::authenticator(issuer.issuers().to_string().parse().unwrap()).unwrap();
    let now = SystemClock.now();
    let good: Vec<String> = ["ann", "b", "ö@example.org"]
        .into_iter()
        .map(|subject| format!("Bearer {}", issuer.token(subject, now, TimeDelta::days(1)).unwrap()))
        .collect();
    for authorization in &good {
        authenticator.verify(Some(authorization)).await.expect("a good token is taken");
    }

    let texts = Bytes::new(good.iter().map(|text| text.clone().into_bytes()), &WORDS, 40_000);
    let parts = Json::new(good.iter().flat_map(|text| parts_of(text)));
    let mut random = experiment.random(1);
    let count = experiment.scaled(600, 10_000);
    let mut judge = Judge::new(Refusals::Final);
    for place in 0..count {
        let authorization = if place % 3 == 0 {
            let [header, claims] = [0, 1].map(|_| URL_SAFE_NO_PAD.encode(parts.draw_text(&mut random)));
            format!("Bearer {header}.{claims}.c2lnbmF0dXJl")
        } else {
            String::from_utf8_lossy(&texts.draw(&mut random)).into_owned()
        };
        let door = verify(&authenticator, &authorization, now, is_bounded);
        judge.watch_async(authorization.as_bytes(), door).await;
    }
    for authorization in huge() {
        let door = verify(&authenticator, &authorization, now, is_bounded);
        judge.watch_async(authorization.as_bytes(), door).await;
    }
    judge.report(&mut experiment, count + 3);
    experiment.finish();
}

/// Header and claims.
fn parts_of(authorization: &str) -> Vec<Value> {
    let token = authorization.strip_prefix("Bearer ").unwrap();
    let parts = token.split('.').take(2);
    parts.map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()).collect()
}

/// Megabytes that would become a hundred times as many.
fn huge() -> [String; 3] {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"a"}"#);
    let list = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":[{}1]}}"#, "1,".repeat(9 << 20)));
    [
        format!("Bearer {header}.{list}.c2lnbmF0dXJl"),
        format!("Bearer {}", ".".repeat(8 << 20)),
        format!("Bearer {}", URL_SAFE_NO_PAD.encode("[".repeat(1 << 20))),
    ]
}

async fn verify(authenticator: &Authenticator, authorization: &str, now: DateTime<Utc>, is_bounded: bool) -> Verdict {
    if is_bounded {
        return verdict(authenticator.verify(Some(authorization)).await);
    }
    let (_, token) = authorization.split_once(' ').unwrap_or_default();
    verdict(token::judge(token, authenticator.issuers(), now).map_err(AccessError::from))
}

fn verdict<T>(outcome: Result<T, AccessError>) -> Verdict {
    match outcome {
        Ok(_) => Verdict::Taken,
        Err(error) if error.http_status() == 401 => {
            let is_passing = error.disposition() != Disposition::GiveUp;
            Verdict::Refused { code: error.code().to_owned(), is_passing }
        }
        Err(error) => Verdict::Broken(format!("{} is answered with {}", error.code(), error.http_status())),
    }
}
