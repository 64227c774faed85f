//! Dead letters on a real SQS: looking takes nothing, and what is sent back has one effect.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use isotherm_lab::ministack::{self, Ministack, REGION};
use isotherm_platform::aws::Clients;
use isotherm_platform::dead_letters::{self, DeadLetter, DeadLetterError, Selection, Verdict};
use serde_json::json;

/// A queue whose reader may fail once, and its dead-letter queue, in an account of their own.
struct Scene {
    sqs: Client,
    source: String,
    dead: String,
}

impl Scene {
    async fn new() -> Self {
        let ministack = Ministack::shared().await.unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(ministack.endpoint_url())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(ministack::account(), "test", None, None, "lab"))
            .load()
            .await;
        let sqs = Clients::from_config(config).sqs().clone();
        let dead = create(&sqs, "events-dlq.fifo", None).await;
        let attributes = sqs.get_queue_attributes().queue_url(&dead).attribute_names(QueueAttributeName::QueueArn);
        let attributes = attributes.send().await.unwrap().attributes.unwrap();
        let policy = json!({ "deadLetterTargetArn": attributes[&QueueAttributeName::QueueArn], "maxReceiveCount": 1 });
        let source = create(&sqs, "events.fifo", Some(policy.to_string())).await;
        Self { sqs, source, dead }
    }

    /// Sends the bodies to the source, whose reader fails on each until it has moved to the dead-letter queue.
    async fn poison(&self, messages: &[(&str, &str)]) {
        for (group, body) in messages {
            let sent = self.sqs.send_message().queue_url(&self.source).message_group_id(*group).message_body(*body);
            sent.message_deduplication_id(format!("first-{group}-{body}")).send().await.unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while dead_letters::depth(&self.sqs, &self.dead).await.unwrap() < messages.len() as u64 {
            assert!(Instant::now() < deadline, "the messages do not move to the dead-letter queue");
            let read = self.sqs.receive_message().queue_url(&self.source).max_number_of_messages(10);
            read.visibility_timeout(0).send().await.unwrap();
        }
    }

    /// Group and body of what the source's reader gets, which is deleted.
    async fn read_source(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        loop {
            let read = self.sqs.receive_message().queue_url(&self.source).max_number_of_messages(10);
            let read = read.message_system_attribute_names(MessageSystemAttributeName::All).send().await.unwrap();
            let messages = read.messages.unwrap_or_default();
            if messages.is_empty() {
                return found;
            }
            for message in messages {
                let group = message.attributes.unwrap()[&MessageSystemAttributeName::MessageGroupId].clone();
                found.push((group, message.body.unwrap()));
                let delete = self.sqs.delete_message().queue_url(&self.source);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
            }
        }
    }

    async fn redrive(&self, selection: &Selection) -> Result<BTreeSet<String>, DeadLetterError> {
        let decide = async |letter: &DeadLetter| {
            dead_letters::send_back(&self.sqs, &self.source, letter).await?;
            Ok(Verdict::Delete)
        };
        dead_letters::handle(&self.sqs, &self.dead, selection, decide).await
    }

    async fn bodies(&self) -> Vec<String> {
        let seen = dead_letters::peek(&self.sqs, &self.dead).await.unwrap();
        assert_eq!(seen.unseen, 0, "{seen:?}");
        seen.letters.into_iter().map(|letter| letter.body).collect()
    }
}

async fn create(sqs: &Client, name: &str, redrive_policy: Option<String>) -> String {
    let queue = sqs.create_queue().queue_name(name).attributes(QueueAttributeName::FifoQueue, "true");
    let queue = match redrive_policy {
        Some(policy) => queue.attributes(QueueAttributeName::RedrivePolicy, policy),
        None => queue,
    };
    queue.send().await.unwrap().queue_url.unwrap()
}

fn owned(messages: &[(&str, &str)]) -> Vec<(String, String)> {
    messages.iter().map(|(group, body)| ((*group).to_owned(), (*body).to_owned())).collect()
}

#[tokio::test]
async fn a_look_takes_nothing() {
    let scene = Scene::new().await;
    scene.poison(&[("a", "1"), ("a", "2"), ("b", "3")]).await;
    let first = dead_letters::peek(&scene.sqs, &scene.dead).await.unwrap();
    let second = dead_letters::peek(&scene.sqs, &scene.dead).await.unwrap();
    let words = |seen: &dead_letters::Seen| {
        let mut words: Vec<_> =
            seen.letters.iter().map(|letter| (letter.message_id.clone(), letter.body.clone())).collect();
        words.sort();
        words
    };
    assert_eq!((first.letters.len(), first.unseen), (3, 0), "{first:?}");
    assert_eq!(words(&first), words(&second), "what was looked at can be looked at again at once");
    let letter = first.letters.iter().find(|letter| letter.body == "3").unwrap();
    assert_eq!((letter.group_id.as_str(), letter.receive_count > 0), ("b", true), "{letter:?}");
    assert!(letter.sent_at.is_some() && letter.first_received_at.is_some(), "{letter:?}");
    assert_eq!(dead_letters::depth(&scene.sqs, &scene.dead).await.unwrap(), 3);
}

#[tokio::test]
async fn what_a_look_did_not_reach_is_counted() {
    let scene = Scene::new().await;
    let bodies: Vec<String> = (0..12).map(|i| i.to_string()).collect();
    let messages: Vec<(&str, &str)> = bodies.iter().map(|body| ("a", body.as_str())).collect();
    scene.poison(&messages).await;
    let seen = dead_letters::peek(&scene.sqs, &scene.dead).await.unwrap();
    assert_eq!((seen.letters.len(), seen.unseen), (10, 2), "the rest is behind the first ten of its group");
    let handled = scene.redrive(&Selection::All).await.unwrap();
    assert_eq!(handled.len(), 12, "each page that is deleted shows the next");
    assert_eq!(scene.read_source().await, owned(&messages), "in the order of the group");
}

#[tokio::test]
async fn poison_that_was_mended_goes_back_to_its_queue_and_group() {
    let scene = Scene::new().await;
    scene.poison(&[("a", "1"), ("b", "2")]).await;
    assert_eq!(scene.redrive(&Selection::All).await.unwrap().len(), 2);
    assert!(scene.bodies().await.is_empty());
    let mut read = scene.read_source().await;
    read.sort();
    assert_eq!(read, owned(&[("a", "1"), ("b", "2")]));
    assert!(scene.redrive(&Selection::All).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redrive_killed_between_sending_and_deleting_has_no_second_effect() {
    let scene = Scene::new().await;
    scene.poison(&[("a", "1")]).await;
    let letter = dead_letters::peek(&scene.sqs, &scene.dead).await.unwrap().letters.remove(0);
    // The first redrive got so far; whoever made it is gone, and the message is there again.
    dead_letters::send_back(&scene.sqs, &scene.source, &letter).await.unwrap();
    assert_eq!(scene.redrive(&Selection::All).await.unwrap().len(), 1);
    assert_eq!(scene.read_source().await, owned(&[("a", "1")]), "one message, not two");
    assert!(scene.bodies().await.is_empty());
}

#[tokio::test]
async fn only_what_is_meant_is_touched() {
    let scene = Scene::new().await;
    scene.poison(&[("a", "1"), ("a", "2"), ("b", "3")]).await;
    let letters = dead_letters::peek(&scene.sqs, &scene.dead).await.unwrap().letters;
    let second = letters.iter().find(|letter| letter.body == "2").unwrap();
    let ids = Selection::Ids(BTreeSet::from([second.message_id.clone(), "unknown".to_owned()]));
    let handled = scene.redrive(&ids).await.unwrap();
    assert_eq!(handled, BTreeSet::from([second.message_id.clone()]));
    assert_eq!(scene.read_source().await, owned(&[("a", "2")]));
    let mut left = scene.bodies().await;
    left.sort();
    assert_eq!(left, ["1", "3"]);
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_back_stays_and_so_do_those_after_it() {
    let mut scene = Scene::new().await;
    scene.poison(&[("a", "1"), ("a", "2")]).await;
    let gone = format!("{}-gone", scene.source);
    let source = std::mem::replace(&mut scene.source, gone);
    assert!(scene.redrive(&Selection::All).await.is_err());
    scene.source = source;
    assert_eq!(scene.bodies().await, ["1", "2"], "visible again at once");
}
