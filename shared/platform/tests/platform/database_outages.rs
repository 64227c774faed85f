//! A database that goes away: which connections are handed on, what Postgres is told to do about clients that are lost,
//! and which refusals count as being away.

use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use isotherm_lab::fault_proxy::{FaultProxy, Mode};
use isotherm_lab::postgres::{TestDatabase, shared};
use isotherm_lab::process::eventually;
use isotherm_platform::Secret;
use isotherm_platform::database::{self, Borrowed, PATIENCE, PoolOptions, answered_within, ask, borrow, is_away};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// A pool of one connection that goes through a proxy, and a way past the proxy.
struct Scene {
    proxy: FaultProxy,
    pool: PgPool,
    watcher: PgConnection,
}

impl Scene {
    async fn new() -> Self {
        let postgres = TestDatabase::empty().await.unwrap();
        let proxy = FaultProxy::start(format!("127.0.0.1:{}", shared().await.unwrap().port())).await.unwrap();
        let options = PoolOptions { max_connections: 1, ..PoolOptions::operator("test") };
        let pool = database::connect(&Secret::new(proxy.through(&postgres.url)), options).await.unwrap();
        Self { proxy, pool, watcher: postgres.connect().await.unwrap() }
    }

    /// The pool's one connection, and the session that it is to the server.
    async fn borrow(&self) -> (Borrowed, i32) {
        let mut conn = borrow(&self.pool).await.expect("the pool has a place and the server answers");
        let session = session(&mut conn).await;
        (conn, session)
    }

    /// Waits until the server has ended the session, with all that was going on in it.
    async fn until_ended(&mut self, session: i32) {
        eventually("the end of the session", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
            let found: i64 = sqlx::query_scalar(sql).bind(session).fetch_one(&mut self.watcher).await.unwrap();
            found == 0
        })
        .await
        .unwrap();
    }

    /// Cuts the session's connection off for ever, in silence; new connections work.
    async fn lose(&mut self, session: i32) {
        self.proxy.switch(Mode::Lost);
        // By then the proxy has let go of it.
        self.until_ended(session).await;
        self.proxy.switch(Mode::Pass);
    }
}

async fn session(conn: &mut PgConnection) -> i32 {
    let asked = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(conn);
    answered_within(PATIENCE, asked).await.expect("a connection that is handed on answers")
}

#[tokio::test]
async fn a_connection_dropped_in_a_transaction_is_closed_and_one_given_back_is_handed_on() {
    let mut scene = Scene::new().await;
    let (given_back, first) = scene.borrow().await;
    given_back.give_back();
    let (mut dropped, second) = scene.borrow().await;
    assert_eq!(second, first, "the pool has no other");
    sqlx::raw_sql("BEGIN; CREATE TABLE half_done (n int)").execute(&mut *dropped).await.unwrap();
    drop(dropped);
    let (_conn, third) = scene.borrow().await;
    assert_ne!(third, first, "nobody gets it with its transaction");
    scene.until_ended(first).await;
}

#[tokio::test]
async fn a_connection_dropped_while_its_transaction_began_is_closed_too() {
    let mut scene = Scene::new().await;
    let (mut conn, first) = scene.borrow().await;
    scene.proxy.switch(Mode::Blackhole);
    let begun = answered_within(Duration::from_millis(100), async { conn.begin().await.map(|_db_tx| ()) });
    assert!(is_away(&begun.await.unwrap_err()));
    drop(conn);
    // From here on the server is asked to begin, and would say that it has.
    scene.proxy.switch(Mode::Pass);
    let (_conn, second) = scene.borrow().await;
    assert_ne!(second, first, "nobody gets it with its transaction");
    scene.until_ended(first).await;
}

#[tokio::test]
async fn a_connection_that_went_silent_in_the_pool_is_not_handed_on() {
    let mut scene = Scene::new().await;
    let (conn, first) = scene.borrow().await;
    conn.give_back();
    eventually("a connection in the pool", async || scene.pool.num_idle() == 1).await.unwrap();
    scene.lose(first).await;
    // sqlx's own question would be waited for until there is no time left for another connection.
    let (_conn, second) = scene.borrow().await;
    assert_ne!(second, first);
}

#[tokio::test]
async fn a_connection_that_went_silent_before_it_came_back_does_not_keep_its_place() {
    let mut scene = Scene::new().await;
    let (conn, first) = scene.borrow().await;
    scene.lose(first).await;
    conn.give_back();
    // sqlx's own question would be waited for without an end, and the pool's one place be taken.
    let (_conn, second) = scene.borrow().await;
    assert_ne!(second, first);
}

#[tokio::test]
async fn who_asks_one_thing_after_the_other_has_one_connection() {
    let postgres = TestDatabase::empty().await.unwrap();
    let options = PoolOptions::lambda("test");
    let pool = database::connect(&Secret::new(postgres.url.clone()), options).await.unwrap();
    for _ in 0..20 {
        ask(&pool, async |conn| session(conn).await).await.unwrap();
    }
    assert_eq!((pool.size(), options.max_connections), (1, 2));
}

/// A setting of the pool's sessions, in its base unit.
async fn setting(pool: &PgPool, name: &str) -> i64 {
    let sql = "SELECT setting::bigint FROM pg_settings WHERE name = $1";
    sqlx::query_scalar(sql).bind(name).fetch_one(pool).await.unwrap()
}

/// A client that vanishes (a machine without power, a route that is gone) acknowledges nothing any more. Nothing on one
/// machine does that: whatever a proxy withholds, its kernel answers for it. What becomes of such a client is up to the
/// server's kernel, so what is tested is that the server has been told: over TCP it reports what it has set on the socket.
/// Source: `tcp_keepalives_*`, `tcp_user_timeout`, PostgreSQL manual, 19.3.2.
#[tokio::test]
async fn postgres_is_told_to_notice_lost_clients_and_how_long_a_transaction_may_be_idle() {
    let postgres = TestDatabase::empty().await.unwrap();
    let url = Secret::new(postgres.url.clone());
    let kinds = [
        (PoolOptions::lambda("test"), 8_000, 180_000),
        (PoolOptions::operator("test"), 300_000, 60_000),
        (PoolOptions::source("test"), 300_000, 5_000),
    ];
    for (options, statement_ms, idle_in_transaction_ms) in kinds {
        let pool = database::connect(&url, options).await.unwrap();
        let (idle_s, interval_s) =
            (setting(&pool, "tcp_keepalives_idle").await, setting(&pool, "tcp_keepalives_interval").await);
        let count = setting(&pool, "tcp_keepalives_count").await;
        let noticed_after_s = idle_s + interval_s * count;
        assert!(idle_s > 0 && interval_s > 0 && (1..=11).contains(&noticed_after_s), "{noticed_after_s} s");
        let undelivered_ms = setting(&pool, "tcp_user_timeout").await;
        assert!((1..=10_000).contains(&undelivered_ms), "{undelivered_ms} ms");
        assert_eq!(setting(&pool, "statement_timeout").await, statement_ms);
        assert_eq!(setting(&pool, "idle_in_transaction_session_timeout").await, idle_in_transaction_ms);
    }
}

/// SQLSTATE of a refusal.
fn code(error: &sqlx::Error) -> String {
    error.as_database_error().expect("Postgres refused").code().unwrap().into_owned()
}

#[tokio::test]
async fn a_session_that_is_ended_and_a_server_that_is_full_count_as_away() {
    let postgres = TestDatabase::empty().await.unwrap();
    let mut ended = postgres.connect().await.unwrap();
    let refused = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(&mut ended).await.unwrap_err();
    assert_eq!(code(&refused), "57P01");
    assert!(is_away(&refused), "{refused}");

    // The superuser has no limit.
    let role = &postgres.name;
    let sql = AssertSqlSafe(format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 1"));
    sqlx::raw_sql(sql).execute(&mut postgres.connect().await.unwrap()).await.unwrap();
    let options = postgres.url.parse::<PgConnectOptions>().unwrap().username(role);
    let _only_one = PgConnection::connect_with(&options).await.unwrap();
    let refused = PgConnection::connect_with(&options).await.unwrap_err();
    assert_eq!(code(&refused), "53300");
    assert!(is_away(&refused), "{refused}");
}

#[tokio::test]
async fn a_statement_that_fails_by_itself_does_not_count_as_away() {
    let postgres = TestDatabase::empty().await.unwrap();
    let mut conn = postgres.connect().await.unwrap();
    sqlx::raw_sql("SET statement_timeout = '500ms'").execute(&mut conn).await.unwrap();
    let table = [("SELECT 1 / 0", "22012"), ("SELECT * FROM gone", "42P01"), ("SELECT pg_sleep(60)", "57014")];
    for (sql, expected) in table {
        let refused = sqlx::raw_sql(sql).execute(&mut conn).await.unwrap_err();
        assert_eq!(code(&refused), expected);
        assert!(!is_away(&refused), "{refused}");
    }
}

/// Whether each socket of this process that leads to port `port` sends what it is given at once.
#[expect(unsafe_code, reason = "the driver does not show its sockets")]
fn sends_at_once(port: u16) -> Vec<bool> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = files.filter_map(|file| file.unwrap().file_name().to_str()?.parse().ok());
    let sockets = numbers.filter_map(|number| {
        // SAFETY: a copy is made at once; where the file is gone by then, there is none.
        let socket = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned().ok()?;
        Some(TcpStream::from(socket))
    });
    let leads_there = |socket: &TcpStream| socket.peer_addr().is_ok_and(|peer| peer.port() == port);
    sockets.filter(leads_there).map(|socket| socket.nodelay().unwrap()).collect()
}

#[tokio::test]
async fn what_is_sent_waits_for_no_acknowledgement() {
    let postgres = TestDatabase::empty().await.unwrap();
    let port = postgres.url.parse::<PgConnectOptions>().unwrap().get_port();
    let pool = database::connect(&Secret::new(postgres.url.clone()), PoolOptions::operator("test")).await.unwrap();
    let first = pool.acquire().await.unwrap();
    let second = pool.acquire().await.unwrap();
    // Connections of others may be among them.
    let sends_at_once = sends_at_once(port);
    assert!(sends_at_once.iter().filter(|at_once| **at_once).count() >= 2, "{sends_at_once:?}");
    drop((first, second));
}
