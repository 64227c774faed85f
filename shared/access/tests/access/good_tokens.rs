//! What has to be accepted, lest refusing everything passes for safety.

use chrono::DateTime;
use isotherm_access::{Issuers, LocalIssuer};
use isotherm_platform::lambda::identity;
use isotherm_types::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::signer::{AUDIENCE, ISSUER, OTHER_ISSUER, SUBJECT, Scene, Signer, claims, now, with};

fn good_tokens(signer: &Signer) -> Vec<(&'static str, String)> {
    let (header, claims) = (signer.header(), claims());
    let seconds = now().timestamp();
    let by_header = |name: &str, value: Option<Value>| signer.sign(&with(&header, name, value), &claims);
    let by_claims = |name: &str, value: Option<Value>| signer.sign(&header, &with(&claims, name, value));
    vec![
        ("as usual", signer.good()),
        ("no type", by_header("typ", None)),
        ("an access token", by_header("typ", Some(json!("at+jwt")))),
        ("an unknown header", by_header("x", Some(json!({ "y": 1 })))),
        ("addresses of keys, which are not looked at", by_header("jku", Some(json!("http://127.0.0.1:1/")))),
        ("several audiences", by_claims("aud", Some(json!(["x", AUDIENCE])))),
        ("no beginning", by_claims("nbf", None)),
        ("no time of issue", by_claims("iat", None)),
        ("begins within the leeway", by_claims("nbf", Some(json!(seconds + 60)))),
        ("issued within the leeway", by_claims("iat", Some(json!(seconds + 60)))),
        ("ends in a second", by_claims("exp", Some(json!(seconds + 1)))),
        ("ends in a thousand years", by_claims("exp", Some(json!(seconds + 31_557_600_000_i64)))),
        ("claims that say nothing here", by_claims("role", Some(json!("admin")))),
    ]
}

#[tokio::test]
async fn genuine_tokens_are_accepted_with_one_fetch_for_all() {
    let scene = Scene::new().await;
    let mut accepted = 0;
    for signer in Signer::ours() {
        for (what, token) in good_tokens(&signer) {
            let verified = scene.verify(&token).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((verified.issuer.as_str(), verified.subject.as_str()), (ISSUER, SUBJECT), "{what}");
            accepted += 1;
        }
        let verified = scene.authenticator.verify(Some(&format!("bEaReR {}", signer.good()))).await.unwrap();
        assert_eq!(verified.expires_at, DateTime::from_timestamp(now().timestamp() + 3600, 0).unwrap());
        accepted += 1;
        for subject in ["é".repeat(127), "x".repeat(255), "with space".to_owned()] {
            let token = signer.sign(&signer.header(), &with(&claims(), "sub", Some(json!(subject))));
            assert_eq!(scene.verify(&token).await.unwrap().subject, subject);
            accepted += 1;
        }
    }
    assert!(accepted >= 20, "{accepted}");
    let [rsa, _, _] = Signer::impostors();
    let rsa = rsa.called("rsa-b");
    let token = rsa.sign(&rsa.header(), &with(&claims(), "iss", Some(json!(OTHER_ISSUER))));
    assert_eq!(scene.verify(&token).await.unwrap().issuer, OTHER_ISSUER);
    assert_eq!((scene.keys.asked(), scene.other_keys.asked()), (1, 1));
}

#[tokio::test]
async fn tokens_of_the_local_issuer_are_accepted_by_its_own_configuration_only() {
    let (ours, other) = (LocalIssuer::generate().unwrap(), LocalIssuer::generate().unwrap());
    let issuers: Issuers = ours.issuers().to_string().parse().unwrap();
    let authenticator = identity::authenticator(issuers).unwrap();
    let made = |issuer: &LocalIssuer| {
        format!("Bearer {}", issuer.token("ann", SystemClock.now(), chrono::TimeDelta::hours(12)).unwrap())
    };
    assert_eq!(authenticator.verify(Some(&made(&ours))).await.unwrap().subject, "ann");
    assert!(authenticator.verify(Some(&made(&other))).await.is_err());
}
