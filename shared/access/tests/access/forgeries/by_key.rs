//! Algorithms and keys that are not the issuer's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::Forgery;
use crate::signer::{OTHER_ISSUER, Signer, claims, with};

/// Another algorithm in the header, the signature of the right key.
pub(super) fn algorithms(signer: &Signer) -> Vec<Forgery> {
    let names = [
        "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES256K",
        "EdDSA ", "rs256", "es256", "eddsa", "Ed25519", "",
    ];
    let mut values: Vec<Value> = names.map(Value::from).to_vec();
    values.extend([Value::Null, json!(1), json!([signer.name]), json!({ "alg": signer.name })]);
    let others = ["RS256", "ES256", "EdDSA"].into_iter().filter(|name| *name != signer.name).map(Value::from);
    values.extend(others);
    let mut forgeries: Vec<_> = values
        .into_iter()
        .map(|value| {
            let what = format!("{} signs, the header says {value}", signer.name);
            Forgery::token(what, signer.sign(&with(&signer.header(), "alg", Some(value)), &claims()))
        })
        .collect();
    forgeries.push(Forgery::token("no alg", signer.sign(&with(&signer.header(), "alg", None), &claims())));
    for name in ["none", "None", signer.name] {
        let token = signer.sign(&with(&signer.header(), "alg", Some(json!(name))), &claims());
        let (message, _) = token.rsplit_once('.').unwrap();
        forgeries.push(Forgery::token(format!("{name} without a signature"), format!("{message}.")));
        forgeries.push(Forgery::token(format!("{name} without its part"), message));
    }
    forgeries
}

/// The public key, which everybody has, taken for a secret.
pub(super) fn secrets_out_of_public_keys(signer: &Signer) -> Vec<Forgery> {
    let public = signer.public();
    let coordinate = public.get("n").or_else(|| public.get("x")).unwrap().as_str().unwrap().to_owned();
    let secrets = [
        ("as JSON", public.to_string().into_bytes()),
        ("its text", coordinate.clone().into_bytes()),
        ("its bytes", URL_SAFE_NO_PAD.decode(&coordinate).unwrap()),
        ("nothing", Vec::new()),
    ];
    let algorithms = [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)];
    let mut forgeries = Vec::new();
    for (form, secret) in &secrets {
        for (name, algorithm) in algorithms {
            let secret = EncodingKey::from_secret(secret);
            for said in [name, signer.name] {
                let header = with(&signer.header(), "alg", Some(json!(said))).to_string();
                let message = [header, claims().to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
                let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, algorithm).unwrap();
                let what = format!("{name} with the key of {} {form} as secret, as {said}", signer.name);
                forgeries.push(Forgery::token(what, format!("{message}.{signature}")));
            }
        }
    }
    forgeries
}

/// Other keys, and other names of keys.
pub(super) fn keys(signer: &Signer, impostor: &Signer) -> Vec<Forgery> {
    let name = signer.name;
    let from_b = with(&claims(), "iss", Some(json!(OTHER_ISSUER)));
    let [rsa, _, _] = Signer::impostors();
    let rsa_b = rsa.called("rsa-b");
    let mut forgeries = vec![
        Forgery::token(format!("{name} by another key of the same name"), impostor.good()),
        Forgery::token("the key of another issuer", rsa_b.sign(&rsa_b.header(), &claims())),
        Forgery::token("the same under our name", rsa_b.clone().called(&signer.id).good()),
        Forgery::token(format!("{name}: our key for another issuer"), signer.sign(&signer.header(), &from_b)),
        Forgery::token("our key, its name", signer.sign(&rsa_b.header(), &from_b)),
    ];
    let long = "k".repeat(300);
    let ids = [
        Some(json!("")),
        Some(json!("nope")),
        Some(json!(format!("{}\u{0}", signer.id))),
        Some(json!(signer.id.to_uppercase())),
        Some(json!(format!(" {}", signer.id))),
        Some(json!("../../../dev/null")),
        Some(json!("' OR '1'='1")),
        Some(json!(long)),
        Some(json!(1)),
        Some(Value::Null),
        Some(json!([signer.id])),
        None,
    ];
    forgeries.extend(ids.into_iter().map(|id| {
        let what = format!("{name} with the key id {id:?}");
        Forgery::token(what, signer.sign(&with(&signer.header(), "kid", id), &claims()))
    }));
    forgeries
}

/// Keys that the token itself brings along, or says where to find.
pub(super) fn keys_that_the_token_brings(impostor: &Signer, attacker: &str) -> Vec<Forgery> {
    let url = json!(attacker);
    let certificate = json!(["MIIBszCCAVmgAwIBAgIUQ0R0"]);
    let brought = [
        ("jku", url.clone()),
        ("x5u", url.clone()),
        ("x5c", certificate),
        ("x5t", json!("AAAA")),
        ("jwk", impostor.public()),
        ("url", url.clone()),
    ];
    let mut forgeries = Vec::new();
    for (name, value) in brought {
        for id in [Some(json!(impostor.id)), Some(json!("brought")), Some(url.clone()), None] {
            let header = with(&with(&impostor.header(), name, Some(value.clone())), "kid", id.clone());
            let what = format!("{} with {name} and the key id {id:?}", impostor.name);
            forgeries.push(Forgery::token(what, impostor.sign(&header, &claims())));
        }
    }
    forgeries
}
