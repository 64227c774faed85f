//! Channels in a real Postgres: what is kept of an address, who sees it, and what is left of it.

use isotherm_alerts::channel::{Address, ChannelKind};
use isotherm_alerts::channels::{self, Asker, Channel, ChannelChange, ChannelError, MOST_CHANNELS, NewChannel};
use isotherm_alerts::seal::{Keyring, SealError, new_secret};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{ChannelId, Classified as _, OrgId};
use sqlx::PgConnection;

const ADMIN: Asker<'static> = Asker { name: "user:ada", user_id: None, is_admin: true };

fn email() -> Address {
    Address::Email { to: "hidden@example.org".to_owned() }
}

fn webhook() -> Address {
    Address::Webhook { url: "https://hidden.example.com/hook".to_owned(), keys: Vec::new() }
}

fn new(name: &str, address: Address) -> NewChannel {
    NewChannel { name: name.to_owned(), address, per_minute: 60, owner_id: None }
}

fn ring() -> Keyring {
    Keyring::parse(&new_secret("k1").unwrap()).unwrap()
}

/// A ring with one key, one with a new key before it, and one with the new key only.
fn rings() -> (Keyring, Keyring, Keyring) {
    let secret = |id| serde_json::from_str::<serde_json::Value>(&new_secret(id).unwrap()).unwrap()["keys"][0].clone();
    let (old, new) = (secret("k1"), secret("k2"));
    let of = |keys: serde_json::Value| Keyring::parse(&serde_json::json!({ "keys": keys }).to_string()).unwrap();
    (of(serde_json::json!([old])), of(serde_json::json!([new, old])), of(serde_json::json!([new])))
}

async fn orgs(conn: &mut PgConnection) -> [OrgId; 2] {
    sqlx::query("INSERT INTO control.orgs (name) VALUES ('other')").execute(&mut *conn).await.unwrap();
    let ids: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM control.orgs ORDER BY id").fetch_all(&mut *conn).await.unwrap();
    [OrgId(ids[0]), OrgId(ids[1])]
}

async fn user(conn: &mut PgConnection, org: OrgId) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO access.users (org_id, issuer, subject, name, role)
         VALUES ($1, 'i', 's', 'ann', 'writer') RETURNING id",
    )
    .bind(org.0)
    .fetch_one(conn)
    .await
    .unwrap()
}

/// A rule that tells `told`.
async fn rule(conn: &mut PgConnection, org: OrgId, name: &str, told: &[ChannelId]) {
    sqlx::query(
        "WITH rule AS (INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
                       VALUES ($1, $2, 1, '{}', 0, 'test') RETURNING id)
         INSERT INTO alerts.rule_channels (org_id, rule_id, channel_id) SELECT $1, id, unnest($3::bigint[]) FROM rule",
    )
    .bind(org.0)
    .bind(name)
    .bind(told.iter().map(|channel| channel.0).collect::<Vec<_>>())
    .execute(conn)
    .await
    .unwrap();
}

async fn trail(conn: &mut PgConnection, channel: ChannelId) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT actor, action FROM control.audit_log WHERE subject = 'channel' AND subject_id = $1 ORDER BY id",
    )
    .bind(channel.0)
    .fetch_all(conn)
    .await
    .unwrap()
}

async fn everything(conn: &mut PgConnection) -> String {
    let texts: Vec<String> = sqlx::query_scalar(
        "SELECT c::text || encode(c.sealed_address, 'escape') FROM alerts.channels c WHERE c.sealed_address IS NOT NULL
          UNION ALL SELECT l::text FROM control.audit_log l",
    )
    .fetch_all(conn)
    .await
    .unwrap();
    texts.join("\n")
}

#[tokio::test]
async fn an_address_is_kept_sealed_and_each_reading_is_written_down() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, _], ring) = (orgs(&mut conn).await, ring());
    let ann = user(&mut conn, org).await;
    let made = NewChannel { owner_id: Some(ann), ..new("ops", webhook()) };
    let made = channels::create(&mut conn, org, made, &ring, "user:ann").await.unwrap();
    assert_eq!((made.name.as_str(), made.kind, made.per_minute), ("ops", ChannelKind::Webhook, 60));
    let kept = everything(&mut conn).await;
    assert!(kept.contains("ops") && !kept.contains("hidden"), "{kept}");

    let owner = Asker { name: "user:ann", user_id: Some(ann), is_admin: false };
    for asker in [&owner, &ADMIN] {
        let read = channels::open_address(&mut conn, org, made.id, &ring, asker).await.unwrap();
        let Address::Webhook { url, keys } = read else { panic!("{read:?}") };
        assert_eq!((url.as_str(), keys.len()), ("https://hidden.example.com/hook", 1));
        assert!(keys[0].starts_with("whsec_"));
    }
    for asker in [
        Asker { name: "user:bob", user_id: Some(ann + 1), is_admin: false },
        Asker { name: "arn", user_id: None, is_admin: false },
    ] {
        let refused = channels::open_address(&mut conn, org, made.id, &ring, &asker).await.unwrap_err();
        assert_eq!((refused.http_status(), refused.code()), (403, "alerts.not_channel_owner"));
    }
    let trail = trail(&mut conn, made.id).await;
    let trail: Vec<_> = trail.iter().map(|(actor, action)| (actor.as_str(), action.as_str())).collect();
    assert_eq!(
        trail,
        [
            ("user:ann", "created"),
            ("user:ann", "address_read"),
            ("user:ada", "address_read"),
            ("user:bob", "denied"),
            ("arn", "denied"),
        ]
    );
}

#[tokio::test]
async fn nobody_reaches_another_organisations_channel() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, other], ring) = (orgs(&mut conn).await, ring());
    let made = channels::create(&mut conn, org, new("ops", email()), &ring, "test").await.unwrap();
    let not_there = |result: Result<(), ChannelError>| {
        let error = result.unwrap_err();
        assert_eq!((error.http_status(), error.code()), (404, "alerts.no_such_channel"));
    };
    not_there(channels::get(&mut conn, other, made.id).await.map(drop));
    not_there(channels::open_address(&mut conn, other, made.id, &ring, &ADMIN).await.map(drop));
    not_there(channels::update(&mut conn, other, made.id, ChannelChange::default(), &ring, "test").await.map(drop));
    not_there(channels::delete(&mut conn, other, made.id, "test").await);
    not_there(channels::disable(&mut conn, other, made.id, "by_person", "test").await.map(drop));
    assert_eq!(channels::named(&mut conn, other, "ops").await.unwrap(), None);
    assert_eq!(channels::list(&mut conn, other).await.unwrap(), Vec::<Channel>::new());
    channels::create(&mut conn, other, new("ops", email()), &ring, "test").await.unwrap();
}

#[tokio::test]
async fn a_row_that_was_moved_or_changed_does_not_open_and_others_do() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, other], ring) = (orgs(&mut conn).await, ring());
    let ours = channels::create(&mut conn, org, new("ours", email()), &ring, "test").await.unwrap();
    let theirs = channels::create(&mut conn, other, new("theirs", email()), &ring, "test").await.unwrap();
    sqlx::query("UPDATE alerts.channels SET sealed_address = (SELECT sealed_address FROM alerts.channels WHERE id = $1) WHERE id = $2")
        .bind(ours.id.0)
        .bind(theirs.id.0)
        .execute(&mut conn)
        .await
        .unwrap();
    let found = channels::for_sending(&mut conn, &[ours.id, theirs.id], &ring).await.unwrap();
    assert_eq!(found[0].address, Ok(email()));
    assert_eq!(found[1].address, Err(SealError::NotOpened));
}

#[tokio::test]
async fn a_deleted_channel_has_no_address_and_no_rule_and_its_name_is_free() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, _], ring) = (orgs(&mut conn).await, ring());
    let made = channels::create(&mut conn, org, new("ops", email()), &ring, "test").await.unwrap();
    let other = channels::create(&mut conn, org, new("others", email()), &ring, "test").await.unwrap();
    rule(&mut conn, org, "r", &[made.id, other.id]).await;
    channels::delete(&mut conn, org, made.id, "test").await.unwrap();
    let (sealed, rules): (Option<Vec<u8>>, i64) = sqlx::query_as(
        "SELECT sealed_address, (SELECT count(*) FROM alerts.rule_channels) FROM alerts.channels WHERE id = $1",
    )
    .bind(made.id.0)
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!((sealed, rules), (None, 1), "the rule tells the other one still");
    assert!(channels::get(&mut conn, org, made.id).await.is_err());
    assert!(channels::for_sending(&mut conn, &[made.id], &ring).await.unwrap().is_empty());
    assert!(channels::delete(&mut conn, org, made.id, "test").await.is_err());
    channels::create(&mut conn, org, new("ops", email()), &ring, "test").await.unwrap();
}

#[tokio::test]
async fn the_last_channel_of_a_rule_is_not_deleted_and_the_rules_are_named() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, _], ring) = (orgs(&mut conn).await, ring());
    let first = channels::create(&mut conn, org, new("first", email()), &ring, "test").await.unwrap().id;
    let second = channels::create(&mut conn, org, new("second", email()), &ring, "test").await.unwrap().id;
    rule(&mut conn, org, "both", &[first, second]).await;
    for name in ["gone", "one", "two"] {
        rule(&mut conn, org, name, &[first]).await;
    }
    sqlx::query("UPDATE alerts.rules SET deleted_at = now() WHERE name = 'gone'").execute(&mut conn).await.unwrap();
    let refused = channels::delete(&mut conn, org, first, "test").await.unwrap_err();
    assert_eq!((refused.http_status(), refused.code()), (409, "alerts.last_channel"));
    assert!(refused.to_string().contains("of the rules one, two;"), "{refused}");
    assert!(channels::get(&mut conn, org, first).await.is_ok(), "nothing was changed");
    channels::delete(&mut conn, org, second, "test").await.unwrap();
    let refused = channels::delete(&mut conn, org, first, "test").await.unwrap_err();
    assert!(
        refused.to_string().contains("of the rules both, one, two;"),
        "a deleted channel is no other one: {refused}"
    );
}

#[tokio::test]
async fn a_change_keeps_the_kind_and_the_keys_and_says_nothing_of_the_address() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, _], ring) = (orgs(&mut conn).await, ring());
    let made = channels::create(&mut conn, org, new("ops", webhook()), &ring, "test").await.unwrap();
    let before = channels::open_address(&mut conn, org, made.id, &ring, &ADMIN).await.unwrap();
    let elsewhere = Address::Webhook { url: "https://hidden.example.net/".to_owned(), keys: Vec::new() };
    let change = ChannelChange { name: Some("night".to_owned()), address: Some(elsewhere), per_minute: Some(10) };
    let after = channels::update(&mut conn, org, made.id, change, &ring, "test").await.unwrap();
    assert_eq!((after.name.as_str(), after.per_minute, after.id), ("night", 10, made.id));
    let read = channels::open_address(&mut conn, org, made.id, &ring, &ADMIN).await.unwrap();
    match (before, read) {
        (Address::Webhook { keys: before, .. }, Address::Webhook { url, keys }) => {
            assert_eq!((url.as_str(), keys), ("https://hidden.example.net/", before));
        }
        other => panic!("{other:?}"),
    }
    let other_kind = ChannelChange { address: Some(email()), ..ChannelChange::default() };
    let error = channels::update(&mut conn, org, made.id, other_kind, &ring, "test").await.unwrap_err();
    assert_eq!((error.http_status(), error.code()), (422, "alerts.bad_channel"));
    let trail = trail(&mut conn, made.id).await;
    let actions: Vec<&str> = trail.iter().map(|(_, action)| action.as_str()).collect();
    assert_eq!(actions, ["created", "address_read", "address_changed", "changed", "address_read"]);
    assert!(!everything(&mut conn).await.contains("hidden"));
}

#[tokio::test]
async fn names_rates_addresses_and_numbers_of_channels_are_limited() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, other], ring) = (orgs(&mut conn).await, ring());
    let hidden = Address::Email { to: "hidden".to_owned() };
    for (bad, field) in [
        (new("Ops", email()), "name"),
        (new("", email()), "name"),
        (NewChannel { per_minute: 0, ..new("ops", email()) }, "per_minute"),
        (NewChannel { per_minute: 6001, ..new("ops", email()) }, "per_minute"),
        (new("ops", hidden), "address.to"),
    ] {
        let error = channels::create(&mut conn, org, bad, &ring, "test").await.unwrap_err();
        assert!(matches!(error, ChannelError::BadField { field: found, .. } if found == field), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    }
    for i in 0..MOST_CHANNELS {
        channels::create(&mut conn, org, new(&format!("c{i}"), email()), &ring, "test").await.unwrap();
    }
    let more = channels::create(&mut conn, org, new("more", email()), &ring, "test").await.unwrap_err();
    assert_eq!((more.http_status(), more.code()), (409, "alerts.too_many_channels"));
    let again = channels::create(&mut conn, org, new("c0", email()), &ring, "test").await.unwrap_err();
    assert_eq!(again.code(), "alerts.channel_exists");
    channels::create(&mut conn, other, new("c0", email()), &ring, "test").await.unwrap();
}

#[tokio::test]
async fn a_disabled_channel_is_not_sent_to_and_failures_count_from_the_first() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ([org, _], ring) = (orgs(&mut conn).await, ring());
    let id = channels::create(&mut conn, org, new("ops", email()), &ring, "test").await.unwrap().id;
    channels::note_failure(&mut conn, &[id]).await.unwrap();
    let first = channels::get(&mut conn, org, id).await.unwrap().failing_since;
    channels::note_failure(&mut conn, &[id]).await.unwrap();
    assert!(first.is_some());
    assert_eq!(channels::for_sending(&mut conn, &[id], &ring).await.unwrap()[0].failing_since, first);
    channels::note_success(&mut conn, &[id]).await.unwrap();
    assert_eq!(channels::get(&mut conn, org, id).await.unwrap().failing_since, None);

    channels::note_failure(&mut conn, &[id]).await.unwrap();
    assert!(channels::disable(&mut conn, org, id, "gone", "alert_deliver").await.unwrap());
    assert!(
        !channels::disable(&mut conn, org, id, "failing", "alert_deliver").await.unwrap(),
        "the first reason stays"
    );
    assert_eq!(channels::get(&mut conn, org, id).await.unwrap().disabled_reason.as_deref(), Some("gone"));
    assert!(channels::for_sending(&mut conn, &[id], &ring).await.unwrap().is_empty());
    assert!(channels::enable(&mut conn, org, id, "user:ann").await.unwrap());
    assert!(!channels::enable(&mut conn, org, id, "user:ann").await.unwrap());
    let enabled = channels::get(&mut conn, org, id).await.unwrap();
    assert_eq!((enabled.disabled_reason, enabled.failing_since), (None, None));
    let actions: Vec<String> = trail(&mut conn, id).await.into_iter().map(|(_, action)| action).collect();
    assert_eq!(actions, ["created", "disabled", "enabled"]);
}

#[tokio::test]
async fn after_a_new_key_everything_is_sealed_anew_and_the_old_one_may_go() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let [org, _] = orgs(&mut conn).await;
    let (old, both, new_only) = rings();
    let mut ids = Vec::new();
    for i in 0..5 {
        ids.push(channels::create(&mut conn, org, new(&format!("c{i}"), email()), &old, "test").await.unwrap().id);
    }
    let spoilt = ids[2];
    sqlx::query("UPDATE alerts.channels SET sealed_address = set_byte(sealed_address, 20, get_byte(sealed_address, 20) # 1) WHERE id = $1")
        .bind(spoilt.0)
        .execute(&mut conn)
        .await
        .unwrap();
    let (mut after, mut resealed, mut unopened) = (None, 0, Vec::new());
    loop {
        let round = channels::reseal(&mut conn, &both, after, 2, "ada").await.unwrap();
        resealed += round.resealed;
        unopened.extend(round.unopened);
        after = round.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((resealed, unopened), (4, vec![spoilt]));
    let again = channels::reseal(&mut conn, &both, None, 100, "ada").await.unwrap();
    assert_eq!((again.resealed, again.unopened), (0, vec![spoilt]), "what has the new key is left alone");
    assert_eq!(trail(&mut conn, ids[0]).await.last().unwrap(), &("ada".to_owned(), "resealed".to_owned()));
    for channel in channels::for_sending(&mut conn, &ids, &new_only).await.unwrap() {
        assert_eq!(channel.address.is_ok(), channel.id != spoilt);
    }
}
