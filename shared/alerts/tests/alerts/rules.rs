//! Rules in a real Postgres.

use chrono::{DateTime, Utc};
use isotherm_alerts::definition::Definition;
use isotherm_alerts::index::{CompiledRule, RuleIndex};
use isotherm_alerts::rules::{self, ListedRule, MAX_RULES, MAX_SQL, MAX_UNINDEXED, NewRule, RuleError, RuleState};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{BlockNumber, ChainId, Classified as _, OrgId, RuleId};
use serde_json::{Value, json};
use sqlx::PgConnection;

const CHAIN: ChainId = ChainId(143);

async fn org(conn: &mut PgConnection, name: &str) -> OrgId {
    let (id,): (i64,) = sqlx::query_as("INSERT INTO control.orgs (name) VALUES ($1) RETURNING id")
        .bind(name)
        .fetch_one(conn)
        .await
        .unwrap();
    OrgId(id)
}

async fn channel(conn: &mut PgConnection, org: OrgId, name: &str) {
    sqlx::query(
        "INSERT INTO alerts.channels (org_id, name, kind, sealed_address, created_by) VALUES ($1, $2, 'email', '\\x00', 'test')",
    )
    .bind(org.0)
    .bind(name)
    .execute(conn)
    .await
    .unwrap();
}

fn definition(name: &str, more: &Value) -> Definition {
    let mut json = json!({
        "name": name,
        "chain": "monad",
        "channels": ["ops"],
        "source": { "event": "Transfer(address indexed from, address indexed to, uint256 value)" },
        "condition": "args.value > ether(\"1\")",
    });
    for (key, value) in more.as_object().unwrap() {
        json[key.as_str()] = value.clone();
    }
    Definition::parse(&json).unwrap()
}

fn new(definition: &Definition) -> NewRule<'_> {
    NewRule { definition, chain: CHAIN, tip: Some(BlockNumber(100)), actor: "user:ann", owner: None }
}

async fn create(conn: &mut PgConnection, org: OrgId, name: &str) -> ListedRule {
    rules::create(conn, org, &new(&definition(name, &json!({})))).await.unwrap()
}

/// Actions and states of the trail of one rule.
async fn trail(conn: &mut PgConnection, rule: RuleId) -> Vec<(String, String, Option<String>, Option<String>)> {
    sqlx::query_as(
        "SELECT actor, action, from_state, to_state FROM control.audit_log
          WHERE subject = 'alert_rule' AND subject_id = $1 ORDER BY id",
    )
    .bind(rule.0)
    .fetch_all(conn)
    .await
    .unwrap()
}

/// A database with two organisations that have a channel `ops` each.
async fn scene() -> (TestDatabase, PgConnection, OrgId, OrgId) {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let (ours, other) = (org(&mut conn, "ours").await, org(&mut conn, "theirs").await);
    channel(&mut conn, ours, "ops").await;
    channel(&mut conn, other, "ops").await;
    (database, conn, ours, other)
}

#[tokio::test]
async fn a_rule_is_stored_as_it_was_written_and_works_from_the_next_block_on() {
    let (_database, mut conn, org, _) = scene().await;
    let wanted =
        definition("large", &json!({ "at": "finalized", "cooldown_seconds": 60, "message": "{{ args.value }}" }));
    let made = rules::create(&mut conn, org, &new(&wanted)).await.unwrap();
    assert_eq!((made.name.as_str(), made.version, made.state), ("large", 1, RuleState::Active));
    assert_eq!((made.first_block, made.channels.as_slice()), (BlockNumber(101), &["ops".to_owned()][..]));
    assert_eq!(Definition::parse(&made.definition).unwrap(), wanted);
    assert_eq!(rules::get(&mut conn, org, made.rule_id).await.unwrap(), made);
    assert_eq!(rules::named(&mut conn, org, "large").await.unwrap(), Some(made.clone()));

    let work = rules::at_work(&mut conn, CHAIN).await.unwrap();
    assert!(work.faults.is_empty(), "{:?}", work.faults);
    assert_eq!((work.rules[0].rule_id, &work.rules[0].definition), (made.rule_id, &wanted));
    assert_eq!(rules::at_work(&mut conn, ChainId(1)).await.unwrap().rules, []);
    let index = RuleIndex::build(vec![CompiledRule::compile(work.rules[0].clone()).unwrap()]);
    assert_eq!(index.rule(made.rule_id).stored.first_block, BlockNumber(101));

    let backfill = definition("old", &json!({ "backfill": true }));
    assert_eq!(rules::create(&mut conn, org, &new(&backfill)).await.unwrap().first_block, BlockNumber(0));
    let early = definition("early", &json!({}));
    let early = rules::create(&mut conn, org, &NewRule { tip: None, ..new(&early) }).await.unwrap();
    assert_eq!(early.first_block, BlockNumber(0), "nothing is stored of the chain yet");
    let states = |from: Option<&str>, to: Option<&str>| (from.map(str::to_owned), to.map(str::to_owned));
    let (from, to) = states(None, Some("active"));
    assert_eq!(trail(&mut conn, made.rule_id).await, [("user:ann".to_owned(), "created".to_owned(), from, to)]);
}

#[tokio::test]
async fn nobody_reaches_another_organisations_rule() {
    let (_database, mut conn, ours, other) = scene().await;
    let rule = create(&mut conn, ours, "large").await.rule_id;
    let changed = definition("mine", &json!({}));
    let errors = [
        rules::get(&mut conn, other, rule).await.map(|_| ()).unwrap_err(),
        rules::replace(&mut conn, other, rule, &new(&changed)).await.map(|_| ()).unwrap_err(),
        rules::set_channels(&mut conn, other, rule, &["ops".to_owned()], "test").await.map(|_| ()).unwrap_err(),
        rules::delete(&mut conn, other, rule, "test").await.unwrap_err(),
        rules::pause(&mut conn, other, rule, "test").await.map(|_| ()).unwrap_err(),
        rules::resume(&mut conn, other, rule, None, "test").await.map(|_| ()).unwrap_err(),
        rules::unquarantine(&mut conn, other, rule, None, "test").await.map(|_| ()).unwrap_err(),
        rules::mute(&mut conn, other, rule, None, "test").await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, RuleError::Unknown { rule: unknown } if unknown == rule), "{error}");
    }
    assert_eq!(rules::list(&mut conn, other, None, 10).await.unwrap(), []);
    assert_eq!(rules::named(&mut conn, other, "large").await.unwrap(), None);
    assert_eq!(rules::list(&mut conn, ours, None, 10).await.unwrap().len(), 1);
    assert_eq!(rules::list(&mut conn, ours, Some(rule), 10).await.unwrap(), []);
    assert_eq!(trail(&mut conn, rule).await.len(), 1, "only its making");
}

#[tokio::test]
async fn a_channel_that_is_not_there_is_named_by_its_place() {
    let (_database, mut conn, ours, _) = scene().await;
    let other_only = org(&mut conn, "third").await;
    channel(&mut conn, other_only, "night").await;
    let wanted = definition("large", &json!({ "channels": ["ops", "night"] }));
    let error = rules::create(&mut conn, ours, &new(&wanted)).await.unwrap_err();
    let RuleError::Invalid(errors) = error else { panic!("{error}") };
    assert_eq!((errors.errors.len(), errors.errors[0].field.as_str()), (1, "channels[1]"));
    let rule = create(&mut conn, ours, "large").await.rule_id;
    for names in [&["ops".to_owned(), "night".to_owned()][..], &[], &["ops".to_owned(), "ops".to_owned()]] {
        let error = rules::set_channels(&mut conn, ours, rule, names, "test").await.unwrap_err();
        assert_eq!(error.code(), "alerts.invalid_rule", "{names:?}");
    }
    channel(&mut conn, ours, "night").await;
    let after = rules::set_channels(&mut conn, ours, rule, &["night".to_owned()], "test").await.unwrap();
    assert_eq!((after.channels.as_slice(), after.version), (&["night".to_owned()][..], 1));
    assert_eq!(Definition::parse(&after.definition).unwrap().channels, ["night"]);
}

#[tokio::test]
async fn a_change_of_the_definition_counts_up_and_none_does_not() {
    let (_database, mut conn, ours, _) = scene().await;
    let made = create(&mut conn, ours, "large").await;
    let same = definition("large", &json!({}));
    let kept = rules::replace(&mut conn, ours, made.rule_id, &new(&same)).await.unwrap();
    assert_eq!((kept.version, kept.updated_at), (1, made.updated_at));
    let later = NewRule { tip: Some(BlockNumber(500)), ..new(&same) };
    let changed = definition("larger", &json!({ "condition": "args.value > ether(\"2\")" }));
    let after = rules::replace(&mut conn, ours, made.rule_id, &NewRule { definition: &changed, ..later.clone() })
        .await
        .unwrap();
    assert_eq!((after.version, after.name.as_str(), after.first_block), (2, "larger", BlockNumber(501)));
    let reaching_back = definition("larger", &json!({ "backfill": true }));
    let late = NewRule { tip: Some(BlockNumber(900)), ..new(&reaching_back) };
    let after = rules::replace(&mut conn, ours, made.rule_id, &late).await.unwrap();
    assert_eq!((after.version, after.first_block), (3, BlockNumber(0)), "it asks for what was before");
    let elsewhere = NewRule { chain: ChainId(1), ..later };
    let error = rules::replace(&mut conn, ours, made.rule_id, &elsewhere).await.unwrap_err();
    assert_eq!(error.code(), "alerts.invalid_rule");

    create(&mut conn, ours, "second").await;
    let taken = definition("second", &json!({}));
    let error = rules::replace(&mut conn, ours, made.rule_id, &new(&taken)).await.unwrap_err();
    assert_eq!(error.code(), "alerts.rule_exists");
    let error = rules::create(&mut conn, ours, &new(&taken)).await.unwrap_err();
    assert_eq!(error.code(), "alerts.rule_exists");
    let actions: Vec<_> = trail(&mut conn, made.rule_id).await.into_iter().map(|row| row.1).collect();
    assert_eq!(actions, ["created", "changed", "changed"]);
}

#[tokio::test]
async fn a_definition_that_means_nothing_is_not_stored() {
    let (_database, mut conn, ours, _) = scene().await;
    let bad = definition("large", &json!({ "condition": "args.vale > 1" }));
    let error = rules::create(&mut conn, ours, &new(&bad)).await.unwrap_err();
    let RuleError::Invalid(errors) = error else { panic!("{error}") };
    assert_eq!(errors.errors[0].field, "condition");
    assert_eq!(errors.errors[0].position.map(|position| position.column), Some(1));
    assert_eq!(rules::list(&mut conn, ours, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_deleted_rule_is_not_there_and_its_name_is_free() {
    let (_database, mut conn, ours, _) = scene().await;
    let first = create(&mut conn, ours, "large").await.rule_id;
    rules::delete(&mut conn, ours, first, "user:ann").await.unwrap();
    assert!(matches!(rules::get(&mut conn, ours, first).await, Err(RuleError::Unknown { .. })));
    assert!(matches!(rules::delete(&mut conn, ours, first, "test").await, Err(RuleError::Unknown { .. })));
    assert_eq!(rules::at_work(&mut conn, CHAIN).await.unwrap().rules, []);
    assert!(!rules::quarantine(&mut conn, first, None, "alerts.condition_failed", "x").await.unwrap());
    let second = create(&mut conn, ours, "large").await.rule_id;
    assert_ne!(first, second);
    let (kept,): (bool,) = sqlx::query_as("SELECT deleted_at IS NOT NULL FROM alerts.rules WHERE id = $1")
        .bind(first.0)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(kept, "the row stays, as its alerts refer to it");
}

#[tokio::test]
async fn states_change_only_from_where_they_may_and_each_change_is_noted() {
    let (_database, mut conn, ours, _) = scene().await;
    let rule = create(&mut conn, ours, "large").await.rule_id;
    assert!(!rules::resume(&mut conn, ours, rule, None, "ann").await.unwrap());
    assert!(!rules::unquarantine(&mut conn, ours, rule, None, "ann").await.unwrap());
    assert!(rules::pause(&mut conn, ours, rule, "ann").await.unwrap());
    assert!(!rules::pause(&mut conn, ours, rule, "ann").await.unwrap());
    assert_eq!(rules::at_work(&mut conn, CHAIN).await.unwrap().rules, []);
    assert!(
        !rules::quarantine(&mut conn, rule, None, "alerts.condition_failed", "x").await.unwrap(),
        "it is not at work"
    );
    assert!(rules::resume(&mut conn, ours, rule, None, "ann").await.unwrap());

    assert!(rules::quarantine(&mut conn, rule, None, "alerts.condition_failed", "at block 5: \0").await.unwrap());
    assert!(!rules::quarantine(&mut conn, rule, None, "alerts.condition_failed", "again").await.unwrap());
    let failed = rules::get(&mut conn, ours, rule).await.unwrap();
    assert_eq!(
        (failed.state, failed.quarantine_code.as_deref()),
        (RuleState::Quarantined, Some("alerts.condition_failed"))
    );
    assert_eq!(failed.quarantine_message.as_deref(), Some("at block 5: \u{fffd}"));
    assert!(!rules::resume(&mut conn, ours, rule, None, "ann").await.unwrap(), "a pause is another thing");
    assert!(rules::unquarantine(&mut conn, ours, rule, None, "ann").await.unwrap());

    assert!(rules::quarantine(&mut conn, rule, None, "alerts.condition_too_slow", "slow").await.unwrap());
    let same = definition("large", &json!({}));
    let back = rules::replace(&mut conn, ours, rule, &new(&same)).await.unwrap();
    assert_eq!((back.state, back.quarantine_message, back.version), (RuleState::Active, None, 1));

    let until = DateTime::<Utc>::from_timestamp(2_000_000_000, 0);
    rules::mute(&mut conn, ours, rule, until, "ann").await.unwrap();
    assert_eq!(rules::at_work(&mut conn, CHAIN).await.unwrap().rules[0].muted_until, until);
    rules::mute(&mut conn, ours, rule, None, "ann").await.unwrap();
    assert_eq!(rules::get(&mut conn, ours, rule).await.unwrap().muted_until, None);
    let actions: Vec<_> = trail(&mut conn, rule).await.into_iter().map(|row| row.1).collect();
    let expected =
        ["created", "paused", "resumed", "quarantined", "unquarantined", "quarantined", "changed", "muted", "unmuted"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_rule_that_is_put_to_work_again_does_not_look_back_unless_it_asks_to() {
    let (_database, mut conn, ours, _) = scene().await;
    let rule = create(&mut conn, ours, "large").await.rule_id;
    let first_block = async |conn: &mut PgConnection| rules::get(conn, ours, rule).await.unwrap().first_block.0;
    assert_eq!(first_block(&mut conn).await, 101);
    rules::pause(&mut conn, ours, rule, "ann").await.unwrap();
    assert_eq!(first_block(&mut conn).await, 101);
    assert!(rules::resume(&mut conn, ours, rule, Some(BlockNumber(200)), "ann").await.unwrap());
    assert_eq!(first_block(&mut conn).await, 201);
    rules::quarantine(&mut conn, rule, None, "alerts.condition_failed", "x").await.unwrap();
    assert!(rules::unquarantine(&mut conn, ours, rule, Some(BlockNumber(300)), "ann").await.unwrap());
    assert_eq!(first_block(&mut conn).await, 301);
    rules::quarantine(&mut conn, rule, None, "alerts.condition_failed", "x").await.unwrap();
    let same = definition("large", &json!({}));
    let later = NewRule { tip: Some(BlockNumber(400)), ..new(&same) };
    rules::replace(&mut conn, ours, rule, &later).await.unwrap();
    assert_eq!(first_block(&mut conn).await, 401, "saved again as it was");

    let all = definition("all", &json!({ "backfill": true }));
    let all = rules::create(&mut conn, ours, &new(&all)).await.unwrap();
    rules::pause(&mut conn, ours, all.rule_id, "ann").await.unwrap();
    rules::resume(&mut conn, ours, all.rule_id, Some(BlockNumber(200)), "ann").await.unwrap();
    assert_eq!(rules::get(&mut conn, ours, all.rule_id).await.unwrap().first_block, BlockNumber(0));
}

#[tokio::test]
async fn one_unreadable_definition_is_a_fault_and_not_the_end_of_all() {
    let (_database, mut conn, ours, other) = scene().await;
    let bad = create(&mut conn, ours, "bad").await.rule_id;
    let good = create(&mut conn, other, "good").await.rule_id;
    sqlx::query("UPDATE alerts.rules SET definition = definition || '{\"severity\": \"loud\"}' WHERE id = $1")
        .bind(bad.0)
        .execute(&mut conn)
        .await
        .unwrap();
    let work = rules::at_work(&mut conn, CHAIN).await.unwrap();
    assert_eq!(work.rules.iter().map(|rule| rule.rule_id).collect::<Vec<_>>(), [good]);
    let [(fault, version)] = work.faults.as_slice() else { panic!("{:?}", work.faults) };
    assert_eq!((fault.rule_id, fault.code, *version), (bad, "alerts.unreadable_rule", 1));
    assert!(fault.message.contains("severity"), "{}", fault.message);
}

#[tokio::test]
async fn an_organisation_has_as_many_rules_as_it_may_and_no_more() {
    let (_database, mut conn, ours, other) = scene().await;
    let wide = |number: i64| {
        let source = json!({ "source": { "dataset": "logs" }, "condition": "size(data) > 5" });
        definition(&format!("wide-{number}"), &source)
    };
    for number in 0..MAX_UNINDEXED {
        rules::create(&mut conn, ours, &new(&wide(number))).await.unwrap();
    }
    let error = rules::create(&mut conn, ours, &new(&wide(99))).await.unwrap_err();
    assert_eq!(error.code(), "alerts.too_many_unindexed");
    let narrow = create(&mut conn, ours, "narrow").await;
    let widened = definition("narrow", &json!({ "source": { "dataset": "traces" }, "condition": "has(error)" }));
    let error = rules::replace(&mut conn, ours, narrow.rule_id, &new(&widened)).await.unwrap_err();
    assert_eq!(error.code(), "alerts.too_many_unindexed");
    let blocks = definition("blocks", &json!({ "source": { "dataset": "blocks" }, "condition": "gas_used > 5" }));
    rules::create(&mut conn, ours, &new(&blocks)).await.unwrap();
    let one = rules::named(&mut conn, ours, "wide-0").await.unwrap().unwrap();
    rules::replace(&mut conn, ours, one.rule_id, &new(&wide(0))).await.unwrap();

    sqlx::query(
        "INSERT INTO alerts.rules (org_id, name, chain_id, definition, first_block, created_by)
         SELECT $1, 'bulk-' || n, 143, definition, 0, 'test'
           FROM generate_series(1, $2 - (SELECT count(*) FROM alerts.rules WHERE org_id = $1)) n,
                (SELECT definition FROM alerts.rules WHERE id = $3) one",
    )
    .bind(ours.0)
    .bind(MAX_RULES)
    .bind(narrow.rule_id.0)
    .execute(&mut conn)
    .await
    .unwrap();
    let error = rules::create(&mut conn, ours, &new(&definition("one-more", &json!({})))).await.unwrap_err();
    assert_eq!(error.code(), "alerts.too_many_rules");
    create(&mut conn, other, "theirs").await;
}

#[tokio::test]
async fn an_organisation_has_as_many_rules_with_sql_as_it_may_and_no_more() {
    let (_database, mut conn, ours, other) = scene().await;
    let asking = |name: &str| {
        let source = json!({ "sql": "SELECT 1 AS n", "every_seconds": 60 });
        let rule = json!({ "name": name, "chain": "monad", "channels": ["ops"], "source": source });
        Definition::parse(&rule).unwrap()
    };
    for number in 0..MAX_SQL {
        rules::create(&mut conn, ours, &new(&asking(&format!("sql-{number}")))).await.unwrap();
    }
    let error = rules::create(&mut conn, ours, &new(&asking("one-more"))).await.unwrap_err();
    assert_eq!(error.code(), "alerts.too_many_sql");
    let rows = create(&mut conn, ours, "rows").await;
    let error = rules::replace(&mut conn, ours, rows.rule_id, &new(&asking("rows"))).await.unwrap_err();
    assert_eq!(error.code(), "alerts.too_many_sql");
    let first = rules::named(&mut conn, ours, "sql-0").await.unwrap().unwrap();
    rules::replace(&mut conn, ours, first.rule_id, &new(&asking("sql-0"))).await.unwrap();
    rules::delete(&mut conn, ours, first.rule_id, "test").await.unwrap();
    rules::create(&mut conn, ours, &new(&asking("one-more"))).await.unwrap();
    rules::create(&mut conn, other, &new(&asking("theirs"))).await.unwrap();
}

#[tokio::test]
async fn a_fault_of_an_earlier_definition_takes_none_out_of_work_that_has_taken_its_place() {
    let (_database, mut conn, ours, _) = scene().await;
    let made = create(&mut conn, ours, "large").await;
    let mended = definition("large", &json!({ "condition": "args.value > ether(\"2\")" }));
    let after = rules::replace(&mut conn, ours, made.rule_id, &new(&mended)).await.unwrap();
    assert_eq!((made.version, after.version), (1, 2));
    let code = "alerts.condition_failed";
    assert!(!rules::quarantine(&mut conn, made.rule_id, Some(made.version), code, "x").await.unwrap());
    assert!(rules::quarantine(&mut conn, made.rule_id, Some(after.version), code, "x").await.unwrap());
}
