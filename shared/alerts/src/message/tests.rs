//! Golden files of every format. `ISOTHERM_BLESS=1` rewrites them instead of comparing with them.

use std::path::Path;

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::digest::DigestGroup;

fn alert(change: Change) -> Message {
    Message::Alert(AlertMessage {
        change,
        alert_id: Uuid::from_u128(0x0f0e_0d0c_0b0a_8908_8706_0504_0302_0100),
        rule: "usdc-large".to_owned(),
        severity: "critical".to_owned(),
        chain: "monad".to_owned(),
        chain_id: 143,
        block_number: 1_234_567,
        block_hash: format!("0x{}", "ab".repeat(32)),
        transaction_hash: Some(format!("0x{}", "cd".repeat(32))),
        position: 3,
        title: "Transfer of 5,000,000 USDC".to_owned(),
        message: "From <script>alert('x')</script> & Co.\nto \"somebody\".".to_owned(),
        facts: json!({ "args.from": "0x01", "args.value": "5000000000000", "note": "a`b <c>", "deep": { "x": [1, null] } }),
        state: "sent".to_owned(),
    })
}

fn digest() -> Message {
    let group = |rule: &str, kind: &str, count| DigestGroup {
        rule: rule.to_owned(),
        chain: "monad".to_owned(),
        kind: kind.to_owned(),
        severity: "warning".to_owned(),
        count,
        first_block: 7,
        last_block: 9,
    };
    let groups = vec![group("usdc-large", "fired", 9_000), group("mint", "fired", 900)];
    let content = DigestContent { of: DigestOf::Alerts, count: Some(9_998), groups };
    Message::Digest { id: DeliveryId(Uuid::from_u128(5)), content }
}

fn messages() -> [(&'static str, Message); 10] {
    [
        ("fired", alert(Change::Fired)),
        ("retracted", alert(Change::Retracted(Retraction::Orphaned))),
        ("retracted_rule_changed", alert(Change::Retracted(Retraction::RuleChanged))),
        ("retracted_rule_not_at_work", alert(Change::Retracted(Retraction::RuleNotAtWork))),
        ("moved", alert(Change::Moved)),
        ("digest", digest()),
        ("test", Message::Test(TestContent { channel: "pager".to_owned(), asked_by: "user:ann".to_owned() })),
        (
            "channel_disabled",
            Message::Notice(NoticeContent::ChannelDisabled {
                channel: "ops".to_owned(),
                channel_kind: "webhook".to_owned(),
                code: "alerts.receiver_gone".to_owned(),
            }),
        ),
        (
            "channel_code",
            Message::Notice(NoticeContent::ChannelCode {
                channel: "ops".to_owned(),
                code: Some(ConfirmationCode::parse("4TK9Q-Z0M2A").unwrap()),
            }),
        ),
        (
            "rule_quarantined",
            Message::Notice(NoticeContent::RuleQuarantined {
                rule_id: RuleId(7),
                rule: Some("usdc-large".to_owned()),
                code: "alerts.rule_too_slow".to_owned(),
                message: "it took longer than it may".to_owned(),
            }),
        ),
    ]
}

/// Compares `text` with the file called `name`.
#[expect(clippy::disallowed_methods, reason = "a switch for the person who runs the test")]
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events-fixtures/alerts").join(name);
    if std::env::var("ISOTHERM_BLESS").is_ok() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{name} has changed; if it should, run this test with ISOTHERM_BLESS=1");
}

#[test]
fn every_message_has_its_form_on_every_kind_of_channel() {
    let at = DateTime::from_timestamp_millis(1_800_000_000_123).unwrap();
    for (name, message) in messages() {
        check(&format!("{name}.webhook.json"), &format!("{}\n", webhook::body(&message, at).unwrap()));
        let email::Email { subject, text, html } = email::render(&message);
        check(&format!("{name}.email.txt"), &format!("Subject: {subject}\n\n{text}"));
        check(&format!("{name}.email.html"), &html);
        check(&format!("{name}.sms.txt"), &format!("{}\n", sms::render(&message)));
        let thread =
            matches!(&message, Message::Alert(alert) if alert.change != Change::Fired).then_some("1503435956.000247");
        let slack = slack::arguments(&message, "C0123456789", thread);
        check(&format!("{name}.slack.json"), &format!("{}\n", serde_json::to_string_pretty(&slack).unwrap()));
    }
}

#[test]
fn a_webhook_says_what_it_is_about_and_keeps_the_alerts_id() {
    let at = DateTime::UNIX_EPOCH;
    let body = |change| serde_json::from_str::<Value>(&webhook::body(&alert(change), at).unwrap()).unwrap();
    let (fired, mut retracted) = (body(Change::Fired), body(Change::Retracted(Retraction::Orphaned)));
    let reason = retracted["data"].as_object_mut().unwrap().remove("reason");
    assert_eq!(reason, Some(json!("orphaned")));
    assert_eq!((fired["type"].as_str(), retracted["type"].as_str()), (Some("alert.fired"), Some("alert.retracted")));
    assert_eq!(fired["timestamp"], "1970-01-01T00:00:00.000Z");
    assert_eq!(fired["data"], retracted["data"], "but for what has happened they say the same");
    assert_eq!(fired["data"]["alert_id"], "0f0e0d0c-0b0a-8908-8706-050403020100");
    assert_eq!(fired["data"]["facts"]["args.value"], "5000000000000");
}

#[test]
fn only_a_rule_that_looked_says_that_something_did_not_happen() {
    for (reason, is_changed, expected) in [
        (None, false, Retraction::Orphaned),
        (None, true, Retraction::RuleChanged),
        (Some("orphaned"), true, Retraction::Orphaned),
        (Some("rule_changed"), false, Retraction::RuleChanged),
        (Some("rule_not_at_work"), false, Retraction::RuleNotAtWork),
        (Some("rule_not_at_work"), true, Retraction::RuleNotAtWork),
        (Some("a reason of later"), false, Retraction::RuleNotAtWork),
    ] {
        assert_eq!(Retraction::of_history(reason, is_changed), expected, "{reason:?} {is_changed}");
    }
    for why in Retraction::ALL {
        let message = alert(Change::Retracted(why));
        let did_not_happen = email::render(&message).text.contains("it did not happen");
        assert_eq!(did_not_happen, why == Retraction::Orphaned, "{why:?}");
        assert_eq!(sms::render(&message).starts_with("RETRACTED "), why == Retraction::Orphaned, "{why:?}");
    }
}

#[test]
fn a_rule_in_quarantine_is_named_and_an_old_row_is_read_all_the_same() {
    let stored = json!({ "type": "rule.quarantined", "rule_id": 7, "code": "alerts.x", "message": "m" });
    let mut content: NoticeContent = serde_json::from_value(stored).unwrap();
    assert_eq!(Message::Notice(content.clone()).headline(), "The rule with the number 7 was quarantined");
    let NoticeContent::RuleQuarantined { rule, .. } = &mut content else { panic!("{content:?}") };
    *rule = Some("usdc\nlarge".to_owned());
    assert_eq!(Message::Notice(content).headline(), "The rule usdc large (number 7) was quarantined");
}

#[test]
fn nothing_of_a_rule_or_a_chain_is_markup_or_a_second_line() {
    let Message::Alert(mut hostile) = alert(Change::Retracted(Retraction::Orphaned)) else { unreachable!() };
    hostile.title = "a\r\nBcc: everybody@example.com\u{0}\u{1b}[31m".to_owned();
    let message = Message::Alert(hostile);
    let rendered = email::render(&message);
    assert!(!rendered.subject.contains(char::is_control), "{}", rendered.subject);
    assert!(rendered.subject.starts_with("Re: [critical] usdc-large: a Bcc: "), "{}", rendered.subject);
    assert!(!rendered.html.contains("<script") && !rendered.text.contains('\u{1b}'));
    let slack = slack::arguments(&message, "C1", None).to_string();
    assert!(!slack.contains("<script") && slack.contains("&lt;script&gt;"));
    assert!(!sms::render(&message).contains(char::is_control));
}

#[test]
fn a_digest_counts_every_message_and_says_how_many_it_does_not_name() {
    let body: Value = serde_json::from_str(&webhook::body(&digest(), DateTime::UNIX_EPOCH).unwrap()).unwrap();
    assert_eq!((body["data"]["count"].as_u64(), body["data"]["more"].as_u64()), (Some(9_998), Some(98)));
    let text = email::render(&digest()).text;
    assert!(text.contains("9998 alerts in one message") && text.contains("98 more are of other rules."), "{text}");
}

#[test]
fn long_texts_are_cut_at_a_word() {
    assert_eq!(cut("one two three", 13, "…"), "one two three");
    assert_eq!(cut("one two three", 12, "…"), "one two…");
    assert_eq!(cut(&"x".repeat(50), 10, "…"), format!("{}…", "x".repeat(9)));
    assert_eq!(cut("ééé ééé", 5, "…"), "ééé…");
}
