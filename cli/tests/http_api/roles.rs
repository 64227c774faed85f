//! Who may call what: every operation of the description, asked of the running functions by everybody who could ask.

use isotherm_access::users::{self, UserChange};
use isotherm_access::{LocalIssuer, Permission, Role, UserId};
use reqwest::{Client, Method, Response};
use serde_json::Value;

use crate::document::{Document, Operation};
use crate::stage::{Stage, token};

/// Somebody who calls.
#[derive(Clone, Copy, Debug)]
enum Kind {
    NoToken,
    /// With a token of the right form that another key has signed.
    Forged,
    Of(Role),
    /// An admin who was shut out.
    ShutOut,
    /// An admin of another organisation.
    Foreign,
}

const KINDS: [Kind; 7] = [
    Kind::NoToken,
    Kind::Forged,
    Kind::Of(Role::Reader),
    Kind::Of(Role::Writer),
    Kind::Of(Role::Admin),
    Kind::ShutOut,
    Kind::Foreign,
];

/// What the description promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    Denied,
    LetIn,
}

fn promised(operation: &Operation, kind: Kind) -> Verdict {
    let needed = operation.permission.as_ref().map(|word| {
        let known = Permission::ALL.into_iter().find(|permission| permission.as_str() == word);
        known.unwrap_or_else(|| panic!("{} names {word}, which is no permission", operation.key))
    });
    let has = |role: Role| needed.is_none_or(|permission| role.may(permission));
    match kind {
        _ if operation.is_open => Verdict::LetIn,
        Kind::NoToken | Kind::Forged => Verdict::Unknown,
        Kind::ShutOut => Verdict::Denied,
        Kind::Of(role) if !has(role) => Verdict::Denied,
        Kind::Of(_) | Kind::Foreign => Verdict::LetIn,
    }
}

/// The tokens of everybody, and a user whom the others may change.
struct Cast {
    tokens: Vec<(Kind, Option<String>)>,
    target: UserId,
}

impl Cast {
    async fn of(stage: &Stage) -> Self {
        let target = stage.add_user(stage.org, "target", Role::Reader).await;
        let other = stage.other_org().await;
        stage.add_user(other, "foreign", Role::Admin).await;
        for role in Role::ALL {
            stage.add_user(stage.org, role.as_str(), role).await;
        }
        let shut_out = stage.add_user(stage.org, "shut-out", Role::Admin).await;
        let mut conn = stage.database.connect().await.unwrap();
        let change = UserChange { role: None, active: Some(false) };
        users::change(&mut conn, stage.org, shut_out, change, ("test", None)).await.unwrap();
        let forger = LocalIssuer::generate().unwrap();
        let shown = |kind| match kind {
            Kind::NoToken => None,
            Kind::Forged => Some(token(&forger, Role::Admin.as_str())),
            Kind::Of(role) => Some(stage.token(role.as_str())),
            Kind::ShutOut => Some(stage.token("shut-out")),
            Kind::Foreign => Some(stage.token("foreign")),
        };
        Self { tokens: KINDS.map(|kind| (kind, shown(kind))).into(), target }
    }
}

#[tokio::test]
async fn every_operation_lets_in_whom_the_description_says_and_writes_denials_down() {
    let stage = Stage::new().await;
    let cast = Cast::of(&stage).await;
    let (document, client) = (Document::read(), Client::new());
    let mut denials = 0;
    for operation in &document.operations {
        let (method, path) = example_call(operation, &document, cast.target);
        let url = format!("{}{path}", stage.made.api_url);
        let body = operation.example_body(&document);
        for (kind, token) in &cast.tokens {
            let mut call = client.request(method.clone(), &url);
            if let Some(token) = token {
                call = call.bearer_auth(token);
            }
            if let Some(body) = &body {
                call = call.header("content-type", "application/json").body(body.to_string());
            }
            let answer = call.send().await.unwrap();
            let (verdict, told) = judged(answer).await;
            assert_eq!(verdict, promised(operation, *kind), "{} as {kind:?}: {told}", operation.key);
            denials += i64::from(verdict == Verdict::Denied);
        }
    }
    let mut conn = stage.database.connect().await.unwrap();
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM control.audit_log WHERE action = 'denied'")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(denials > 20, "denials: {denials}");
    assert_eq!(written, denials, "each denial of a genuine caller is in the trail");
}

/// Method and path with the examples of the description; of users the one who may be changed.
fn example_call(operation: &Operation, document: &Document, target: UserId) -> (Method, String) {
    let (method, path) = operation.example_call(document);
    let path = if operation.key.ends_with("/v1/users/{id}") { format!("/v1/users/{}", target.0) } else { path };
    (method.parse().unwrap(), path)
}

/// What became of a call, and its answer for a message. Who is let in may find nothing there, or that the
/// example names what is not there either (a chain, a host), but never a fault.
async fn judged(answer: Response) -> (Verdict, String) {
    let status = answer.status().as_u16();
    let has_challenge = answer.headers().contains_key("www-authenticate");
    let bytes = answer.bytes().await.unwrap();
    let told: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let code = body["code"].as_str().unwrap_or_default();
    let verdict = match (status, code) {
        (401, "access.unauthenticated") => Verdict::Unknown,
        (403, "access.forbidden" | "access.inactive_user") => Verdict::Denied,
        (200 | 201 | 202 | 404 | 409 | 422, _) | (401, "webhook.missing_header") => Verdict::LetIn,
        _ => panic!("unexpected answer {status}: {told}"),
    };
    assert_eq!(has_challenge, verdict == Verdict::Unknown, "{status}: {told}");
    (verdict, told)
}
