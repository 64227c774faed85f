//! Some hundred tokens that must be refused, made one rule at a time, and what they may cost: not one request more than
//! genuine tokens would cause, and none to an address that a token names.

use chrono::TimeDelta;
use isotherm_types::Classified as _;

use crate::key_server::KeyServer;
use crate::signer::{Scene, Signer, claims};

mod by_claims;
mod by_key;
mod by_shape;

/// A call that must be refused: what is wrong with it, and the value of its `Authorization` header.
pub(crate) struct Forgery {
    pub(crate) what: String,
    pub(crate) authorization: Option<String>,
}

impl Forgery {
    pub(crate) fn token(what: impl Into<String>, token: impl AsRef<str>) -> Self {
        Self { what: what.into(), authorization: Some(format!("Bearer {}", token.as_ref())) }
    }

    pub(crate) fn header(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self { what: what.into(), authorization: Some(value.into()) }
    }
}

fn all(attacker: &str) -> Vec<Forgery> {
    let mut forgeries = vec![Forgery { what: "no header".to_owned(), authorization: None }];
    for (signer, impostor) in Signer::ours().iter().zip(&Signer::impostors()) {
        let made = [
            by_key::algorithms(signer),
            by_key::secrets_out_of_public_keys(signer),
            by_key::keys(signer, impostor),
            by_key::keys_that_the_token_brings(impostor, attacker),
            by_claims::critical_headers(signer),
            by_claims::times(signer),
            by_claims::audiences(signer),
            by_claims::issuers(signer),
            by_claims::subjects(signer),
            by_shape::signatures(signer),
            by_shape::bit_flips(signer),
            by_shape::doubled_names(signer),
            by_shape::parts(signer),
            by_shape::headers(signer),
        ];
        forgeries.extend(made.into_iter().flatten());
    }
    forgeries
}

#[tokio::test]
async fn every_forged_token_is_refused_and_none_causes_a_fetch() {
    let scene = Scene::new().await;
    let attacker = KeyServer::start(String::new()).await;
    let forgeries = all(attacker.url());
    assert!(forgeries.len() >= 300, "{}", forgeries.len());
    for forgery in &forgeries {
        let verdict = scene.authenticator.verify(forgery.authorization.as_deref()).await;
        let error = verdict.expect_err(&forgery.what);
        assert_eq!((error.http_status(), error.code()), (401, "access.unauthenticated"), "{}", forgery.what);
        let hidden = forgery.authorization.as_deref().unwrap_or("-").trim();
        assert!(hidden.len() < 40 || !error.to_string().contains(hidden), "{} is repeated", forgery.what);
    }
    let asked = (scene.keys.asked(), scene.other_keys.asked(), attacker.asked());
    assert!(asked.0 == 1 && asked.1 <= 1 && asked.2 == 0, "{asked:?}");
    for signer in Signer::ours() {
        scene.verify(&signer.good()).await.expect("the scene accepts what is right");
    }

    // A minute later, names of keys that nobody has cause one request for all.
    scene.after(TimeDelta::seconds(61));
    let [rsa, _, _] = Signer::ours();
    for place in 0..20 {
        let unknown = rsa.clone().called(&format!("key-{place}"));
        assert!(scene.verify(&unknown.sign(&unknown.header(), &claims())).await.is_err());
    }
    assert_eq!(scene.keys.asked(), 2);
}
