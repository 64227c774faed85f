//! Mailboxes and telephones in a real Postgres: nothing but a code goes there until it has come back.

use std::time::Duration;

use isotherm_alerts::channel::Address;
use isotherm_alerts::channels::{self, Channel, ChannelChange, ConfirmationCode, NewChannel};
use isotherm_alerts::deliveries::replay::{replay, test};
use isotherm_alerts::deliveries::{self, Capacity, DeliveryError, DeliveryId, Kind};
use isotherm_alerts::message::{Message, NoticeContent, TestContent};
use isotherm_alerts::seal::{Keyring, new_secret};
use isotherm_lab::postgres::TestDatabase;
use isotherm_types::{Classified as _, OrgId};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

const ORG: OrgId = OrgId(1);

struct Stage {
    _database: TestDatabase,
    conn: PgConnection,
    ring: Keyring,
}

fn email(to: &str) -> Address {
    Address::Email { to: format!("{to}@example.org") }
}

fn wrong() -> ConfirmationCode {
    ConfirmationCode::parse("00000-00000").unwrap()
}

impl Stage {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await.unwrap();
        let conn = database.connect().await.unwrap();
        Self { _database: database, conn, ring: Keyring::parse(&new_secret("k1").unwrap()).unwrap() }
    }

    async fn channel(&mut self, name: &str, address: Address) -> Channel {
        let new = NewChannel { name: name.to_owned(), address, per_minute: 60, owner_id: None };
        channels::create(&mut self.conn, ORG, new, &self.ring, "ann").await.unwrap()
    }

    async fn move_to(&mut self, channel: &Channel, address: Address) -> Channel {
        let change = ChannelChange { address: Some(address), ..ChannelChange::default() };
        channels::update(&mut self.conn, ORG, channel.id, change, &self.ring, "ann").await.unwrap()
    }

    /// Takes all that may be sent: the codes in it, and the kinds of the others.
    async fn claim(&mut self) -> (Vec<ConfirmationCode>, Vec<Kind>) {
        let (room, most) = (100, 100);
        let capacity = Capacity {
            room,
            per_channel: most,
            per_doubtful_channel: most,
            per_org: most,
            lease: Duration::from_secs(60),
            ..Capacity::default()
        };
        let claim = deliveries::claim(&mut self.conn, &capacity).await.unwrap();
        let (mut codes, mut others) = (Vec::new(), Vec::new());
        for claimed in claim.messages {
            match claimed.message {
                Message::Notice(NoticeContent::ChannelCode { code, .. }) => codes.push(code.unwrap()),
                _ => others.push(claimed.kind),
            }
        }
        (codes, others)
    }

    /// State of the channel after `code`, or the stable name of why not.
    async fn confirm(&mut self, channel: &Channel, code: &ConfirmationCode) -> Result<&'static str, &'static str> {
        let confirmed = channels::confirm(&mut self.conn, ORG, channel.id, code, "ann").await;
        confirmed.map(|channel| channel.state()).map_err(|error| error.code())
    }

    async fn run(&mut self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.conn).await.unwrap();
    }

    async fn texts(&mut self, statement: &'static str) -> Vec<String> {
        sqlx::query_scalar(statement).fetch_all(&mut self.conn).await.unwrap()
    }

    async fn state(&mut self, channel: &Channel) -> &'static str {
        channels::get(&mut self.conn, ORG, channel.id).await.unwrap().state()
    }
}

#[tokio::test]
async fn a_code_confirms_its_channel_and_is_in_no_row() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("ann", email("ann")).await;
    assert_eq!(channel.state(), "unconfirmed");
    assert_eq!(stage.confirm(&channel, &wrong()).await, Err("alerts.no_code_counts"), "none is sent yet");
    let (codes, _) = stage.claim().await;
    let [code] = codes.as_slice() else { panic!("one code: {}", codes.len()) };
    let kept = "SELECT d::text FROM alerts.deliveries d UNION ALL SELECT c::text FROM alerts.channel_codes c
                 UNION ALL SELECT l::text FROM control.audit_log l";
    let kept = stage.texts(kept).await.join("\n");
    let (first, second) =
        code.expose().split_once('-').map(|(first, second)| (first.to_owned(), second.to_owned())).unwrap();
    assert!(!kept.contains(&first) && !kept.contains(&second), "{kept}");

    assert_eq!(stage.confirm(&channel, &wrong()).await, Err("alerts.wrong_code"));
    assert_eq!(stage.confirm(&channel, code).await, Ok("active"));
    assert_eq!(stage.confirm(&channel, &wrong()).await, Ok("active"), "what is confirmed stays so");
    let trail = "SELECT action FROM control.audit_log WHERE subject = 'channel' ORDER BY id";
    assert_eq!(stage.texts(trail).await, ["created", "wrong_code", "confirmed"]);
    let webhook = Address::Webhook { url: "https://hooks.example.com/".to_owned(), keys: Vec::new() };
    assert_eq!(stage.channel("hooks", webhook).await.state(), "active", "a webhook needs no code");
}

#[tokio::test]
async fn a_code_counts_for_an_hour_and_a_few_tries() {
    let mut stage = Stage::new().await;
    let (guessed, late) = (stage.channel("guessed", email("a")).await, stage.channel("late", email("b")).await);
    let (codes, _) = stage.claim().await;
    assert_eq!(codes.len(), 2);
    for _ in 0..5 {
        assert_eq!(stage.confirm(&guessed, &wrong()).await, Err("alerts.wrong_code"));
    }
    for code in &codes {
        assert_eq!(stage.confirm(&guessed, code).await, Err("alerts.no_code_counts"), "nor does the right one");
    }
    let left = "SELECT extract(epoch FROM expires_at - now())::text FROM alerts.channel_codes ORDER BY id";
    let left: f64 = stage.texts(left).await[1].parse().unwrap();
    assert!((3500.0..=3600.0).contains(&left), "{left} s");
    stage.run("UPDATE alerts.channel_codes SET expires_at = now() - interval '1 second'").await;
    for code in &codes {
        assert_eq!(stage.confirm(&late, code).await, Err("alerts.no_code_counts"));
    }
}

#[tokio::test]
async fn another_address_is_confirmed_anew_and_the_same_one_is_not() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("ann", email("ann")).await;
    let (codes, _) = stage.claim().await;
    assert_eq!(stage.confirm(&channel, &codes[0]).await, Ok("active"));
    assert_eq!(stage.move_to(&channel, email("ann")).await.state(), "active");
    assert!(stage.claim().await.0.is_empty());

    assert_eq!(stage.move_to(&channel, email("eve")).await.state(), "unconfirmed");
    assert_eq!(stage.confirm(&channel, &codes[0]).await, Err("alerts.no_code_counts"), "it was for another mailbox");
    let (of_eve, _) = stage.claim().await;
    assert_eq!(stage.move_to(&channel, email("bob")).await.state(), "unconfirmed");
    assert_eq!(stage.confirm(&channel, &of_eve[0]).await, Err("alerts.no_code_counts"));
    let (of_bob, _) = stage.claim().await;
    assert_eq!(stage.confirm(&channel, &of_bob[0]).await, Ok("active"));
}

#[tokio::test]
async fn codes_are_few_and_the_last_one_counts() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("pager", Address::Sms { number: "+15551234567".to_owned() }).await;
    let soon = channels::request_code(&mut stage.conn, ORG, channel.id, "ann").await.unwrap_err();
    assert_eq!((soon.http_status(), soon.code()), (409, "alerts.too_many_codes"));
    for _ in 0..4 {
        stage.run("UPDATE alerts.channel_codes SET requested_at = requested_at - interval '61 seconds'").await;
        channels::request_code(&mut stage.conn, ORG, channel.id, "ann").await.unwrap();
    }
    stage.run("UPDATE alerts.channel_codes SET requested_at = requested_at - interval '61 seconds'").await;
    let more = channels::request_code(&mut stage.conn, ORG, channel.id, "ann").await.unwrap_err();
    assert!(more.to_string().contains("five a day"), "{more}");
    let change =
        ChannelChange { address: Some(Address::Sms { number: "+15557654321".to_owned() }), ..ChannelChange::default() };
    let moved = channels::update(&mut stage.conn, ORG, channel.id, change, &stage.ring, "ann").await.unwrap_err();
    assert_eq!(moved.code(), "alerts.too_many_codes", "nor by another number");

    let (codes, _) = stage.claim().await;
    assert_eq!(codes.len(), 1, "those that were overtaken are not sent");
    let void = "SELECT state || ' ' || last_error_code FROM alerts.deliveries WHERE last_error_code IS NOT NULL";
    assert_eq!(stage.texts(void).await, vec!["cancelled alerts.code_void"; 4]);
    assert_eq!(stage.confirm(&channel, &codes[0]).await, Ok("active"));
    let needless = channels::request_code(&mut stage.conn, ORG, channel.id, "ann").await.unwrap_err();
    assert_eq!(needless.code(), "alerts.nothing_to_confirm");

    // As many as an organisation may have sent in a day, to channels that are gone.
    stage
        .run(
            "WITH messages AS (
                 INSERT INTO alerts.deliveries (id, org_id, channel_id, kind, content)
                 SELECT gen_random_uuid(), 1, id, 'notice', '{}' FROM alerts.channels, generate_series(1, 195) RETURNING *
             )
             INSERT INTO alerts.channel_codes (org_id, channel_id, delivery_id) SELECT org_id, channel_id, id FROM messages",
        )
        .await;
    let new = NewChannel { name: "more".to_owned(), address: email("more"), per_minute: 60, owner_id: None };
    let refused = channels::create(&mut stage.conn, ORG, new, &stage.ring, "ann").await.unwrap_err();
    assert!(refused.to_string().contains("200 a day"), "{refused}");
}

#[tokio::test]
async fn nothing_but_the_code_goes_to_a_channel_that_is_not_confirmed() {
    let mut stage = Stage::new().await;
    let channel = stage.channel("ann", email("ann")).await;
    let content = TestContent { channel: "ann".to_owned(), asked_by: "ann".to_owned() };
    let early = test(&mut stage.conn, ORG, channel.id, &content).await.unwrap();
    let (codes, others) = stage.claim().await;
    assert_eq!((codes.len(), others), (1, Vec::new()));
    let ended =
        "SELECT kind || ' ' || state || ' ' || last_error_code FROM alerts.deliveries WHERE state = 'cancelled'";
    assert_eq!(stage.texts(ended).await, ["test cancelled alerts.channel_unconfirmed"], "and says so");
    let refused = replay(&mut stage.conn, ORG, early, "ann").await.unwrap_err();
    assert!(matches!(refused, DeliveryError::ChannelNotActive { .. }), "{refused:?}");

    assert_eq!(stage.confirm(&channel, &codes[0]).await, Ok("active"));
    assert_eq!(stage.state(&channel).await, "active");
    replay(&mut stage.conn, ORG, early, "ann").await.unwrap();
    assert_eq!(stage.claim().await.1, [Kind::Test]);
    let code = stage.texts("SELECT id::text FROM alerts.deliveries WHERE kind = 'notice'").await;
    let code = DeliveryId(code[0].parse::<Uuid>().unwrap());
    stage.run("UPDATE alerts.deliveries SET state = 'delivered', finished_at = now(), lease_expires_at = NULL").await;
    let refused = replay(&mut stage.conn, ORG, code, "ann").await.unwrap_err();
    assert!(matches!(refused, DeliveryError::CarriesCode { .. }), "what limits codes would be got around: {refused:?}");
}

#[tokio::test]
async fn what_an_older_program_makes_counts_as_confirmed() {
    let mut stage = Stage::new().await;
    stage
        .run(
            "INSERT INTO alerts.channels (org_id, name, kind, sealed_address, created_by)
             VALUES (1, 'old', 'email', '\\x00', 'before')",
        )
        .await;
    let old = channels::named(&mut stage.conn, ORG, "old").await.unwrap().unwrap();
    assert_eq!(old.state(), "active");
}
