//! Every route, for everybody who could call it.

use isotherm_access::{Role, orgs};
use isotherm_control::jobs;
use isotherm_types::OrgId;
use lambda_api::Route;
use serde_json::{Value, json};

use crate::alert_scene::{self, ALERT, DELIVERY};
use crate::stage::{ANN, Stage};

/// The expected statuses: without a token, as reader, writer and admin, and as admin of another organisation.
fn expected(route: Route) -> [u64; 5] {
    match route {
        Route::WhoAmI => [401, 200, 200, 200, 200],
        Route::ListUsers => [401, 403, 403, 200, 200],
        Route::AddUser => [401, 403, 403, 201, 201],
        // The user is of our organisation: for another one there is no such user.
        Route::ChangeUser => [401, 403, 403, 200, 404],
        Route::ListTasks => [401, 200, 200, 200, 200],
        // Nor such a trigger or job.
        Route::FireTrigger | Route::RunJob => [401, 403, 202, 202, 404],
        Route::ListRules | Route::ListAlertEvents | Route::ListChannels | Route::ListDeliveries => {
            [401, 200, 200, 200, 200]
        }
        Route::ShowRule | Route::ShowAlertEvent | Route::ShowChannel => [401, 200, 200, 200, 404],
        // The other organisation has no channel of the name that the rule tells.
        Route::CreateRule => [401, 403, 201, 201, 422],
        Route::SaveRule => [401, 403, 201, 200, 422],
        Route::DeleteRule
        | Route::TestRule
        | Route::PauseRule
        | Route::ResumeRule
        | Route::MuteRule
        | Route::DeleteChannel
        | Route::EnableChannel
        | Route::ConfirmChannel => [401, 403, 200, 200, 404],
        Route::CreateChannel => [401, 403, 201, 201, 201],
        Route::SaveChannel => [401, 403, 201, 200, 201],
        Route::TestChannel | Route::ReplayDelivery => [401, 403, 202, 202, 404],
    }
}

/// What a call of `route` as the caller at `place` says.
fn body(route: Route, place: usize) -> Value {
    match route {
        Route::AddUser => json!({ "subject": format!("new-{place}"), "role": "reader" }),
        Route::ChangeUser => json!({ "role": "writer" }),
        Route::CreateRule => alert_scene::full(&format!("new-{place}")),
        Route::SaveRule => alert_scene::full("saved"),
        Route::TestRule => json!({ "from": 0, "to": 20 }),
        Route::MuteRule => json!({ "seconds": 60 }),
        Route::CreateChannel => {
            json!({ "name": format!("new-{place}"), "address": { "kind": "sms", "number": "+15551234567" } })
        }
        Route::ConfirmChannel => json!({ "code": "4TK9Q-Z0M2A" }),
        Route::SaveChannel => json!({ "address": { "kind": "email", "to": "ann@example.org" } }),
        _ => Value::Null,
    }
}

/// What the path of `route` names: a user, an alert, a message, a rule or a channel.
fn named(route: Route, user: i64) -> (String, &'static str) {
    let id = match route {
        Route::ShowAlertEvent => ALERT.to_owned(),
        Route::ReplayDelivery => DELIVERY.to_owned(),
        _ => user.to_string(),
    };
    let name = match route {
        Route::SaveRule | Route::SaveChannel => "saved",
        Route::ShowChannel
        | Route::DeleteChannel
        | Route::TestChannel
        | Route::EnableChannel
        | Route::ConfirmChannel => "hooks",
        _ => "full",
    };
    (id, name)
}

pub(crate) fn call(route: Route, authorization: Option<&str>, body: &Value, id: i64) -> Value {
    let (id, name) = named(route, id);
    let mut headers = json!({});
    if let Some(value) = authorization {
        headers["authorization"] = json!(value);
    }
    json!({
        "version": "2.0",
        "routeKey": route.key(),
        "headers": headers,
        "pathParameters": { "trigger": "minute", "job": "work", "id": id, "name": name },
        "requestContext": { "routeKey": route.key(), "http": { "method": "GET", "path": "/" }, "timeEpoch": 0 },
        "body": if body.is_null() { String::new() } else { body.to_string() },
        "isBase64Encoded": false,
    })
}

/// Our organisation and another one, with a task each.
pub(crate) async fn two_orgs(stage: &Stage) -> [OrgId; 2] {
    let mut conn = stage.pool.acquire().await.unwrap();
    let ours = jobs::org(&mut conn, jobs::DEFAULT_ORG).await.unwrap();
    let other = orgs::create(&mut conn, "other", "test").await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
                output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
         SELECT id, 'theirs', 'noop', 'fargate', 'per_update', false, '{}', '{}', '{}', '{}', 1, 1, 20,
                decode(repeat('00', 32), 'hex')
           FROM control.orgs WHERE name = 'other';
         INSERT INTO control.tasks (org_id, job_id, idempotency_key, input, attempts_left)
         SELECT org_id, id, 'k', '{}', 1 FROM control.jobs WHERE name IN ('work', 'theirs')",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    [ours, other]
}

#[tokio::test]
async fn every_route_lets_in_whom_it_should_and_writes_denials_down() {
    let stage = Stage::new().await;
    let [ours, other] = two_orgs(&stage).await;
    let (target, _) = stage.logged_in(ours, "target", Role::Reader).await;
    let (_, reader) = stage.logged_in(ours, "reader", Role::Reader).await;
    let (owner, writer) = stage.logged_in(ours, "writer", Role::Writer).await;
    let (_, admin) = stage.logged_in(ours, "admin", Role::Admin).await;
    let (_, stranger) = stage.logged_in(other, "stranger", Role::Admin).await;
    let callers = [None, Some(&reader), Some(&writer), Some(&admin), Some(&stranger)];
    alert_scene::chain(&stage).await;
    let mut denials = 0;
    for route in Route::ALL {
        for ((place, caller), status) in callers.iter().enumerate().zip(expected(route)) {
            alert_scene::put_back(&stage, ours, Some(owner.0)).await;
            let event = call(route, caller.map(String::as_str), &body(route, place), target.0);
            let response = stage.direct(event).await;
            assert_eq!(response["statusCode"], json!(status), "{} as caller {place}: {response}", route.key());
            let challenge = &response["headers"]["www-authenticate"];
            assert_eq!(challenge.is_string(), status == 401, "{response}");
            denials += i64::from(status == 403);
        }
    }
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM control.audit_log WHERE action = 'denied'")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!((written, denials > 0), (denials, true));
}

#[tokio::test]
async fn who_may_not_is_told_so_whatever_else_is_wrong_with_the_call() {
    let stage = Stage::new().await;
    let [ours, _] = two_orgs(&stage).await;
    let (_, reader) = stage.logged_in(ours, "reader", Role::Reader).await;
    for route in [Route::AddUser, Route::ChangeUser, Route::RunJob] {
        let event = call(route, Some(&reader), &json!([]), 0);
        let (status, refused) = stage.http(event).await;
        assert_eq!((status, &refused["code"]), (403, &json!("access.forbidden")), "{}", route.key());
    }
}

#[tokio::test]
async fn what_the_api_looks_like_is_told_without_a_token_and_without_the_database() {
    let stage = Stage::new().await;
    stage.set_database("postgres://u:hunter2@127.0.0.1:1/d").await;
    let mut event = call(Route::WhoAmI, None, &Value::Null, 0);
    event["requestContext"]["routeKey"] = json!(lambda_api::description::ROUTE);
    let (status, document) = stage.http(event).await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
}

#[tokio::test]
async fn lists_hold_the_callers_organisation_and_nothing_else() {
    let stage = Stage::new().await;
    let [ours, other] = two_orgs(&stage).await;
    let (_, admin) = stage.logged_in(ours, "admin", Role::Admin).await;
    let (_, stranger) = stage.logged_in(other, "stranger", Role::Admin).await;
    for (authorization, own, foreign) in [(&admin, "work", "theirs"), (&stranger, "theirs", "work")] {
        let (status, body) = stage.http(call(Route::ListTasks, Some(authorization), &Value::Null, 0)).await;
        let jobs: Vec<_> = body["tasks"].as_array().unwrap().iter().map(|task| &task["job"]).collect();
        assert_eq!((status, jobs, &body["next"]), (200, vec![&json!(own)], &Value::Null), "not {foreign}");
    }
    let (_, users) = stage.http(call(Route::ListUsers, Some(&stranger), &Value::Null, 0)).await;
    let names: Vec<_> = users["users"].as_array().unwrap().iter().map(|user| &user["name"]).collect();
    assert_eq!(names, [&json!("stranger")]);

    let mut page = call(Route::ListUsers, Some(&admin), &Value::Null, 0);
    page["queryStringParameters"] = json!({ "limit": "1" });
    let (_, first) = stage.http(page.clone()).await;
    assert_eq!((&first["users"][0]["name"], first["next"].is_i64()), (&json!("admin"), true));
    page["queryStringParameters"] = json!({ "limit": "1", "before": first["next"].to_string() });
    let (_, second) = stage.http(page).await;
    assert_eq!(second["users"][0]["name"], json!(ANN));
}

#[tokio::test]
async fn a_user_is_what_the_database_says_and_no_longer() {
    let stage = Stage::new().await;
    let [ours, _] = two_orgs(&stage).await;
    let (own_id, admin) = stage.logged_in(ours, "admin", Role::Admin).await;
    let (ann_id, ann) = stage.logged_in(ours, "ann", Role::Reader).await;
    let ask = async |route, caller: &str, body: Value, id: i64| stage.http(call(route, Some(caller), &body, id)).await;

    let (_, me) = ask(Route::WhoAmI, &ann, Value::Null, 0).await;
    assert_eq!((&me["org"], &me["user"], &me["role"]), (&json!("default"), &json!("ann"), &json!("reader")));
    assert_eq!(me["permissions"], json!(["run_queries", "read_org"]));
    assert_eq!(me["grants"], json!([{ "chain_id": null, "dataset": null }]));
    assert!(me["expires_at"].is_string());

    let promoted = ask(Route::ChangeUser, &admin, json!({ "role": "writer" }), ann_id.0).await;
    assert_eq!((promoted.0, &promoted.1["role"]), (200, &json!("writer")));
    assert_eq!(ask(Route::RunJob, &ann, Value::Null, 0).await.0, 202, "at once, with the same token");
    assert_eq!(ask(Route::ChangeUser, &admin, json!({ "active": false }), ann_id.0).await.0, 200);
    let (status, refused) = ask(Route::WhoAmI, &ann, Value::Null, 0).await;
    assert_eq!((status, &refused["code"]), (403, &json!("access.inactive_user")));
    let (status, refused) = ask(Route::ChangeUser, &admin, json!({ "active": false }), own_id.0).await;
    assert_eq!((status, &refused["code"]), (409, &json!("access.own_user")));
    let (status, refused) = ask(Route::AddUser, &admin, json!({ "subject": "ann", "role": "admin" }), 0).await;
    assert_eq!((status, &refused["code"]), (409, &json!("access.user_exists")));
    let elsewhere = json!({ "subject": "eve", "role": "admin", "issuer": "https://elsewhere" });
    assert_eq!(ask(Route::AddUser, &admin, elsewhere, 0).await.1["code"], "access.bad_field");

    let nobody = stage.bearer("nobody");
    let (status, refused) = ask(Route::WhoAmI, &nobody, Value::Null, 0).await;
    assert_eq!((status, &refused["code"]), (403, &json!("access.unknown_user")));
    let trail: Vec<(String, String)> = sqlx::query_as(
        "SELECT actor, action FROM control.audit_log WHERE subject = 'user' AND actor <> 'test' ORDER BY id",
    )
    .fetch_all(&stage.pool)
    .await
    .unwrap();
    let trail: Vec<_> = trail.iter().map(|(actor, action)| (actor.as_str(), action.as_str())).collect();
    let expected = [
        ("user:admin", "role"),
        ("user:admin", "deactivated"),
        ("user:ann", "denied"),
        ("urn:isotherm:local nobody", "denied"),
    ];
    assert_eq!(trail, expected);
}

#[tokio::test]
async fn an_aws_principal_is_a_user_too_or_is_not_let_in() {
    let stage = Stage::new().await;
    let as_principal = |arn: &str| {
        let mut event = call(Route::WhoAmI, None, &Value::Null, 0);
        event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": arn } });
        event
    };
    let (status, me) = stage.http(as_principal(ANN)).await;
    assert_eq!((status, &me["user"], &me["role"]), (200, &json!(ANN), &json!("writer")));
    let (status, refused) = stage.http(as_principal("arn:aws:iam::123456789012:user/eve")).await;
    assert_eq!((status, &refused["code"]), (403, &json!("access.unknown_user")));
    let (status, refused) = stage.http(as_principal("")).await;
    assert_eq!((status, &refused["code"]), (401, &json!("access.unauthenticated")));
}
