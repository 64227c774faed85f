//! Keys that change, and issuers that do not answer.

use chrono::TimeDelta;
use isotherm_access::AccessError;
use isotherm_types::Classified as _;
use serde_json::json;

use crate::signer::{Scene, Signer, claims, key_set, now, with};

#[tokio::test]
async fn a_new_key_is_found_within_a_minute_and_unknown_ones_cause_one_fetch_a_minute() {
    let scene = Scene::new().await;
    let [old, _, _] = Signer::ours();
    let [new, _, _] = Signer::impostors();
    let new = new.called("rsa-2");
    scene.verify(&old.good()).await.unwrap();
    scene.keys.answer(200, &key_set(&[old.clone(), new.clone()]));
    assert_eq!(scene.verify(&new.good()).await.unwrap_err().code(), "access.unauthenticated", "asked just now");
    assert_eq!(scene.keys.asked(), 1);

    scene.after(TimeDelta::seconds(60));
    scene.verify(&new.good()).await.unwrap();
    for place in 0..50 {
        let unknown = new.clone().called(&format!("unknown-{place}"));
        assert!(scene.verify(&unknown.sign(&unknown.header(), &claims())).await.is_err());
    }
    assert_eq!(scene.keys.asked(), 2);

    // The old key is withdrawn.
    scene.keys.answer(200, &key_set(std::slice::from_ref(&new)));
    scene.after(TimeDelta::minutes(11));
    scene.verify(&new.good()).await.unwrap();
    assert_eq!(scene.verify(&old.good()).await.unwrap_err().code(), "access.unauthenticated");
    assert_eq!(scene.keys.asked(), 3);
}

#[tokio::test]
async fn an_outage_of_the_issuer_stops_nobody_for_some_hours_and_then_everybody() {
    let scene = Scene::new().await;
    let [_, _, ours] = Signer::ours();
    let end = now().timestamp() + 86_400;
    let token = ours.sign(&ours.header(), &with(&claims(), "exp", Some(json!(end))));
    scene.verify(&token).await.unwrap();
    let answers = [(503, ""), (200, "<html>"), (200, "{\"keys\":[]}"), (302, "")];
    for (hour, (status, body)) in (1..).zip(answers) {
        scene.keys.answer(status, body);
        scene.after(TimeDelta::hours(hour));
        scene.verify(&token).await.unwrap_or_else(|error| panic!("{status} {body}: {error}"));
    }
    assert_eq!(scene.keys.asked(), 5, "it was tried again each time");
    let unknown = ours.clone().called("new");
    scene.after(TimeDelta::hours(5));
    let error = scene.verify(&unknown.sign(&unknown.header(), &with(&claims(), "exp", Some(json!(end))))).await;
    let error = error.unwrap_err();
    assert_eq!((error.http_status(), error.code()), (503, "access.issuer_unavailable"), "it may be a new key");

    scene.after(TimeDelta::hours(7));
    let error = scene.verify(&token).await.unwrap_err();
    assert!(matches!(error, AccessError::IssuerUnavailable { source: Some(_), .. }), "{error}");
    let asked = scene.keys.asked();
    let error = scene.verify(&token).await.unwrap_err();
    assert!(matches!(error, AccessError::IssuerUnavailable { source: None, .. }), "{error}");
    assert_eq!(scene.keys.asked(), asked, "not asked again within the minute");

    scene.keys.answer(200, &key_set(&Signer::ours()));
    scene.after(TimeDelta::hours(7) + TimeDelta::minutes(1));
    scene.verify(&token).await.unwrap();
}
