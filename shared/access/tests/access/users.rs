//! Users, organisations and grants in a real Postgres.

use isotherm_access::users::{self, NewUser, UserChange};
use isotherm_access::{AccessError, Permission, Role, authorise, callers, grants, local_issuer, orgs};
use isotherm_lab::postgres::TestDatabase;
use isotherm_lab::process::eventually;
use isotherm_types::{ChainId, Classified as _, Dataset, OrgId};
use sqlx::{Connection as _, PgConnection};

use crate::signer::{ISSUER, SUBJECT, Scene, Signer};

fn new_user(subject: &str, role: Role) -> NewUser {
    NewUser { issuer: ISSUER.to_owned(), subject: subject.to_owned(), name: subject.to_owned(), role }
}

async fn default_org(conn: &mut PgConnection) -> OrgId {
    orgs::find(conn, "default").await.unwrap()
}

async fn waits_for_a_lock(conn: &mut PgConnection) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity
                               WHERE datname = current_database() AND wait_event_type = 'Lock')";
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

async fn trail(conn: &mut PgConnection) -> Vec<(String, String, Option<String>)> {
    sqlx::query_as("SELECT actor, action, to_state FROM control.audit_log ORDER BY id").fetch_all(conn).await.unwrap()
}

/// Postgres takes no character 0: that is nobody, not a failure of the database.
#[tokio::test]
async fn a_principal_whose_name_no_text_of_postgres_can_be_is_not_known() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let unknown = callers::of_aws_principal(&mut conn, "arn:aws:iam::1:user/a\0nn").await.unwrap_err();
    assert_eq!((unknown.http_status(), unknown.code()), (403, "access.unknown_user"));
    let actors: Vec<String> = trail(&mut conn).await.into_iter().map(|(actor, _, _)| actor).collect();
    assert_eq!(actors, ["aws_iam arn:aws:iam::1:user/a\u{fffd}nn"]);
}

#[tokio::test]
async fn a_caller_is_what_the_database_says_of_the_tokens_user() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let scene = Scene::new().await;
    let bearer = format!("Bearer {}", Signer::ours()[2].good());

    let unknown = scene.authenticator.caller(&mut conn, Some(&bearer)).await.unwrap_err();
    assert_eq!((unknown.http_status(), unknown.code()), (403, "access.unknown_user"));

    let org = default_org(&mut conn).await;
    let added = users::add(&mut conn, org, &new_user(SUBJECT, Role::Writer), "test").await.unwrap();
    let caller = scene.authenticator.caller(&mut conn, Some(&bearer)).await.unwrap();
    assert_eq!((caller.org, caller.org_name.as_str(), caller.user), (org, "default", Some(added.id)));
    assert_eq!((caller.name.as_str(), caller.plain_name()), ("user:ann@example.org", SUBJECT));
    assert_eq!(caller.role, Role::Writer);
    assert!(caller.grants.allows(ChainId(143), Dataset::Traces), "the default organisation may read everything");
    let seen = users::named(&mut conn, org, SUBJECT).await.unwrap().unwrap().last_seen_at;
    assert!(seen.is_some());
    scene.authenticator.caller(&mut conn, Some(&bearer)).await.unwrap();
    assert_eq!(users::named(&mut conn, org, SUBJECT).await.unwrap().unwrap().last_seen_at, seen, "once a minute");

    let refused = authorise(&mut conn, &caller, Permission::ManageUsers, "GET /v1/users").await.unwrap_err();
    assert_eq!((refused.http_status(), refused.code()), (403, "access.forbidden"));
    authorise(&mut conn, &caller, Permission::RunJobs, "POST /v1/jobs/{job}/run").await.unwrap();

    let shut_out = UserChange { active: Some(false), role: None };
    users::change(&mut conn, org, added.id, shut_out, ("test", None)).await.unwrap();
    let inactive = scene.authenticator.caller(&mut conn, Some(&bearer)).await.unwrap_err();
    assert_eq!((inactive.http_status(), inactive.code()), (403, "access.inactive_user"));

    let denials = trail(&mut conn).await;
    let denials: Vec<_> = denials.iter().filter(|row| row.1 == "denied").map(|row| row.0.as_str()).collect();
    assert_eq!(denials, ["https://issuer.test ann@example.org", "user:ann@example.org", "user:ann@example.org"]);
}

#[tokio::test]
async fn a_subject_is_one_user_and_nobody_reaches_another_organisations() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let ours = default_org(&mut conn).await;
    let other = orgs::create(&mut conn, "other", "test").await.unwrap();
    let ann = users::add(&mut conn, ours, &new_user("ann", Role::Reader), "test").await.unwrap();
    for org in [ours, other] {
        let twice = users::add(&mut conn, org, &new_user("ann", Role::Admin), "test").await.unwrap_err();
        assert_eq!(twice.code(), "access.user_exists");
    }
    let promoted = UserChange { role: Some(Role::Admin), active: None };
    let stranger = users::change(&mut conn, other, ann.id, promoted, ("test", None)).await.unwrap_err();
    assert!(matches!(stranger, AccessError::NoSuchUser { user } if user == ann.id), "{stranger}");
    let own = users::change(&mut conn, ours, ann.id, promoted, ("user:ann", Some(ann.id))).await.unwrap_err();
    assert_eq!(own.code(), "access.own_user");
    assert_eq!(users::list(&mut conn, other, None, 10).await.unwrap(), []);
    assert_eq!(users::list(&mut conn, ours, None, 10).await.unwrap(), std::slice::from_ref(&ann));
    assert_eq!(users::list(&mut conn, ours, Some(ann.id.0), 10).await.unwrap(), []);

    let changed = users::change(&mut conn, ours, ann.id, promoted, ("test", None)).await.unwrap();
    assert_eq!(changed.role, Role::Admin);
    let rows = trail(&mut conn).await.len();
    users::change(&mut conn, ours, ann.id, promoted, ("test", None)).await.unwrap();
    assert_eq!(trail(&mut conn).await.len(), rows, "what is as it should be changes nothing");
    for bad in ["", "a\nb", "a\0b", &"x".repeat(256)] {
        let error = users::add(&mut conn, ours, &new_user(bad, Role::Reader), "test").await.unwrap_err();
        assert_eq!(error.code(), "access.bad_field", "{bad:?}");
    }
}

/// Red switch: both are found to be admins before either is changed, and the organisation has none.
#[tokio::test]
async fn of_two_admins_who_lower_each_other_at_one_time_the_second_is_refused() {
    let database = TestDatabase::migrated().await.unwrap();
    let (mut anns, mut bobs) = (database.connect().await.unwrap(), database.connect().await.unwrap());
    let mut looking = database.connect().await.unwrap();
    let org = default_org(&mut anns).await;
    let ann = users::add(&mut anns, org, &new_user("ann", Role::Admin), "test").await.unwrap();
    let bob = users::add(&mut anns, org, &new_user("bob", Role::Admin), "test").await.unwrap();
    let lowered = UserChange { role: Some(Role::Reader), active: None };

    let mut by_ann = anns.begin().await.unwrap();
    users::change(&mut by_ann, org, bob.id, lowered, ("user:ann", Some(ann.id))).await.unwrap();
    let by_bob = users::change(&mut bobs, org, ann.id, lowered, ("user:bob", Some(bob.id)));
    let in_turn = async {
        eventually("bob's change that waits", async || waits_for_a_lock(&mut looking).await).await.unwrap();
        by_ann.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(by_bob, in_turn);
    let refused = refused.unwrap_err();
    assert_eq!((refused.http_status(), refused.code()), (403, "access.forbidden"));
    assert_eq!(users::named(&mut bobs, org, "ann").await.unwrap().unwrap().role, Role::Admin);
    let (actor, action, _) = trail(&mut bobs).await.pop().unwrap();
    assert_eq!((actor.as_str(), action.as_str()), ("user:bob", "denied"));

    let shut_out = UserChange { active: Some(false), role: Some(Role::Admin) };
    users::change(&mut bobs, org, bob.id, shut_out, ("user:ann", Some(ann.id))).await.unwrap();
    let inactive = users::change(&mut bobs, org, ann.id, lowered, ("user:bob", Some(bob.id))).await.unwrap_err();
    assert_eq!((inactive.http_status(), inactive.code()), (403, "access.inactive_user"));
}

#[tokio::test]
async fn a_new_organisation_reads_nothing_until_it_is_granted() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let org = orgs::create(&mut conn, "other", "test").await.unwrap();
    assert_eq!(orgs::create(&mut conn, "other", "test").await.unwrap_err().code(), "access.org_exists");
    for bad in ["", "Other", "-a", "a b", &"x".repeat(64)] {
        assert_eq!(orgs::create(&mut conn, bad, "test").await.unwrap_err().code(), "access.bad_field", "{bad}");
    }
    let may =
        async |conn: &mut PgConnection, dataset| grants::of_org(conn, org).await.unwrap().allows(ChainId(143), dataset);
    assert!(!may(&mut conn, Dataset::Logs).await);
    let logs = (Some(ChainId(143)), Some(Dataset::Logs));
    assert!(grants::grant(&mut conn, org, logs, "test").await.unwrap());
    assert!(!grants::grant(&mut conn, org, logs, "test").await.unwrap(), "it is there");
    assert!(may(&mut conn, Dataset::Logs).await && !may(&mut conn, Dataset::Blocks).await);
    assert!(grants::grant(&mut conn, org, (None, None), "test").await.unwrap());
    assert!(!grants::grant(&mut conn, org, (None, None), "test").await.unwrap(), "NULLs are one value here");
    assert!(may(&mut conn, Dataset::Blocks).await);
    assert!(grants::revoke(&mut conn, org, (None, None), "test").await.unwrap());
    assert!(!grants::revoke(&mut conn, org, (None, None), "test").await.unwrap());
    assert!(grants::revoke(&mut conn, org, logs, "test").await.unwrap());
    assert!(!may(&mut conn, Dataset::Logs).await);
    let actions: Vec<_> = trail(&mut conn).await.into_iter().map(|row| row.1).collect();
    assert_eq!(actions, ["created", "granted", "granted", "revoked", "revoked"]);
}

#[tokio::test]
async fn a_direct_invocation_is_an_admin_of_the_organisation_that_it_names() {
    let database = TestDatabase::migrated().await.unwrap();
    let mut conn = database.connect().await.unwrap();
    let caller = callers::of_direct_invocation(&mut conn, "default", "direct invoke r-1".to_owned()).await.unwrap();
    assert_eq!((caller.role, caller.user, caller.plain_name()), (Role::Admin, None, "direct invoke r-1"));
    for name in ["nobody", "", "default\0"] {
        let unknown = callers::of_direct_invocation(&mut conn, name, String::new()).await.unwrap_err();
        assert_eq!((unknown.http_status(), unknown.code()), (404, "access.unknown_org"));
    }
    let org = default_org(&mut conn).await;
    assert!(users::of_subject(&mut conn, local_issuer::ISSUER, "ann").await.unwrap().is_none());
    let local = NewUser { issuer: local_issuer::ISSUER.to_owned(), ..new_user("ann", Role::Admin) };
    let ann = users::add(&mut conn, org, &local, "test").await.unwrap();
    let found = users::of_subject(&mut conn, local_issuer::ISSUER, "ann").await.unwrap();
    assert_eq!(found, Some(("default".to_owned(), ann)));
}
