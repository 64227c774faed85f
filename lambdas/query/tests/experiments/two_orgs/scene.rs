//! The function with one organisation or both: a chain for each, one in common, and rows of the control plane.

use std::time::{Duration, Instant};

use isotherm_access::{Role, grants, orgs};
use isotherm_control::tasks::{self, Created, NewTask};
use isotherm_types::{ChainId, Dataset, JobId, OrgId};
use lambda_query::Route;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use super::answer::Answer;
use super::chain::Chain;
use super::draw::Question;
use super::party::{Mark, PARTIES, Party};
use crate::stage::Stage;

/// Queries of an organisation at one time: none ever waits for a place.
const PLACES: u32 = 64;

/// Without the guard: what is granted to one organisation is granted to each.
const GRANTS_KNOW_NO_ORG: &str = "
    ALTER TABLE access.dataset_grants RENAME TO grants_of_orgs;
    CREATE VIEW access.dataset_grants AS
        SELECT g.id, o.id AS org_id, g.chain_id, g.dataset, g.granted_at
          FROM access.grants_of_orgs g CROSS JOIN control.orgs o;
    GRANT SELECT ON access.dataset_grants TO isotherm_tenant;";
/// Without the guards: neither a statement's condition nor the policy of the table tells organisations apart.
const SAVED_QUERIES_KNOW_NO_ORG: &str = "
    ALTER TABLE query.saved_queries RENAME TO saved_by_orgs;
    CREATE VIEW query.saved_queries AS
        SELECT o.id AS org_id, s.name, s.description, s.sql, s.parameters, s.created_by, s.created_at, s.updated_by,
               s.updated_at
          FROM query.saved_by_orgs s CROSS JOIN control.orgs o;
    GRANT SELECT ON query.saved_queries TO isotherm_tenant;";

/// Rows in every table that has rows of organisations.
const ROWS: &str = include_str!("../../../../../shared/query/tests/support/rows_of_org.sql");

const NEW_JOB: &str = "
    INSERT INTO control.jobs (org_id, name, operator, runtime, strategy, always_on, config, secrets, input_datasets,
            output_datasets, max_attempts, max_concurrency, heartbeat_timeout_seconds, config_hash)
    VALUES ($1, $2, 'noop', 'fargate', 'bulk', false, $3, '{}', '{}', '{}', 3, 1, 60, sha256('x'))
    RETURNING id";

/// The function and the organisations that are there.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    members: Vec<Member>,
}

struct Member {
    party: &'static Party,
    org: OrgId,
    /// The header that shows who its user is.
    bearer: String,
}

/// Of the query that each organisation has asked before.
pub(crate) fn query_id(mark: Mark) -> String {
    format!("0199c0de-0000-7000-8000-{}", hex::encode(mark.bytes).repeat(2))
}

/// Of the query that each has saved.
pub(crate) fn saved_name(mark: Mark) -> String {
    format!("{}-saved", mark.word)
}

impl Scene {
    /// With the organisations `present`.
    pub(crate) async fn create(present: &[&'static Party]) -> Self {
        let mut stage = Stage::new().await;
        stage.function.places = PLACES;
        stage.function.place_wait = Duration::from_secs(10);
        let mut scene = Self { stage, members: Vec::new() };
        let mut conn = scene.stage.pool.acquire().await.unwrap();
        let engine = &scene.stage.function.engine;
        let common = Chain::common();
        common.store(&mut conn, &engine.objects, &engine.sandbox.spill_folder).await;
        for party in present {
            let mark = party.mark;
            let chain = Chain::of(mark);
            chain.store(&mut conn, &engine.objects, &engine.sandbox.spill_folder).await;
            let actor = format!("{}-actor", mark.word);
            let org = orgs::create(&mut conn, &format!("{}-org", mark.word), &actor).await.unwrap();
            for grant in granted(party, &common) {
                grants::grant(&mut conn, org, grant, &actor).await.unwrap();
            }
            plant_rows(&mut conn, org, mark).await;
            plant_task(&mut conn, org, mark).await;
            let bearer = scene.stage.logged_in(org, &format!("{}-user", mark.word), Role::Admin).await;
            scene.members.push(Member { party, org, bearer });
        }
        drop(conn);
        for party in present {
            scene.plant_queries(party).await;
        }
        scene
    }

    /// Takes a guard of the database out.
    pub(crate) async fn remove(&self, guard: &str) {
        let sql = match guard {
            "grants" => GRANTS_KNOW_NO_ORG,
            "rows" => SAVED_QUERIES_KNOW_NO_ORG,
            other => panic!("there is no guard {other}"),
        };
        sqlx::raw_sql(sql).execute(&self.stage.pool).await.unwrap();
    }

    fn member(&self, party: &Party) -> &Member {
        self.members.iter().find(|member| member.party == party).expect("the organisation is there")
    }

    pub(crate) async fn ask(&self, party: &Party, question: &Question) -> Answer {
        self.call(party, Route::Ask, &[], question.body()).await
    }

    /// What the user of an organisation gets from a route.
    pub(crate) async fn call(&self, party: &Party, route: Route, path: &[&str], body: &Value) -> Answer {
        let began = Instant::now();
        let response = self.stage.response(route, path, body, Some(&self.member(party).bearer)).await;
        Answer::of(&response, began.elapsed())
    }

    /// Every query of an organisation, as it is listed.
    pub(crate) async fn listed(&self, party: &Party) -> Vec<Value> {
        let org = format!("{}-org", party.mark.word);
        let (mut found, mut before) = (Vec::new(), Value::Null);
        loop {
            let action = json!({ "action": "list_queries", "limit": 500, "before": before, "org": org });
            let page = self.stage.direct(action).await;
            found.extend(page["queries"].as_array().expect("queries are listed").iter().cloned());
            before = page["next"].clone();
            if before.is_null() {
                return found;
            }
        }
    }

    /// Queries of an organisation in the database.
    pub(crate) async fn recorded(&self, party: &Party) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM query.queries WHERE org_id = $1")
            .bind(self.member(party).org.0)
            .fetch_one(&self.stage.pool)
            .await
            .unwrap()
    }

    async fn plant_queries(&self, party: &Party) {
        let sql = format!("select '{}' as word", party.mark.word);
        let asked = json!({ "sql": sql, "query_id": query_id(party.mark) });
        assert_eq!(self.call(party, Route::Ask, &[], &asked).await.status(), 200);
        let saved = json!({ "sql": sql, "description": party.mark.word });
        let name = saved_name(party.mark);
        assert_eq!(self.call(party, Route::SaveQuery, &[&name], &saved).await.status(), 201);
    }
}

/// All of its own chain; of the common one what holds its mark.
fn granted(party: &Party, common: &Chain) -> Vec<(Option<ChainId>, Option<Dataset>)> {
    let own = (Some(ChainId(party.mark.chain_id())), None);
    let datasets: &[Dataset] =
        if *party == PARTIES[0] { &[Dataset::Logs] } else { &[Dataset::Blocks, Dataset::Transactions] };
    let of_common = datasets.iter().map(|dataset| (Some(common.id()), Some(*dataset)));
    std::iter::once(own).chain(of_common).collect()
}

/// Two rows in each table: in what each says, or in the chain that it is about, stands the mark.
async fn plant_rows(conn: &mut PgConnection, org: OrgId, mark: Mark) {
    let sql = ROWS.replace("@org", &org.0.to_string()).replace("@chain", &mark.chain_id().to_string());
    let sql = sql.replace("@mark", mark.word).replace("@count", "2");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

/// A job, a task of it and what the audit trail says of both.
async fn plant_task(conn: &mut PgConnection, org: OrgId, mark: Mark) {
    let note = json!({ "note": format!("{}-note", mark.word) });
    let job: i64 = sqlx::query_scalar(NEW_JOB)
        .bind(org.0)
        .bind(format!("{}-job", mark.word))
        .bind(&note)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    let idempotency_key = format!("{}-task", mark.word);
    let task = NewTask { job_id: JobId(job), idempotency_key, input: note, delay: Duration::ZERO };
    let made = tasks::create(conn, &task, &format!("{}-actor", mark.word)).await.unwrap();
    assert!(matches!(made, Created::New(_)), "the key is new");
}
