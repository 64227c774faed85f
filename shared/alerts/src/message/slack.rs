//! The arguments of Slack's `chat.postMessage`.
//!
//! Source: Slack Web API, `chat.postMessage`; Block Kit, section block (3,000 characters of text, ten fields) and context block; "Formatting text for
//! app surfaces": `&`, `<` and `>` are escaped, and nothing else.

use serde_json::{Value, json};

use super::{Message, cut, one_line};

/// Characters of the text that is shown where blocks are not, and of a headline.
const FALLBACK: usize = 300;
/// Characters of a section, once they are escaped; below Slack's 3,000.
const SECTION: usize = 2_900;
/// The same of a name and a value in the context below, which has 3,000 for all of them.
const NAME: usize = 40;
const VALUE: usize = 150;
/// Values that are shown at most.
const MOST_VALUES: usize = 14;

/// The arguments for `channel`; in the thread of `thread`, and in the channel as well, if it corrects that message.
pub fn arguments(message: &Message, channel: &str, thread: Option<&str>) -> Value {
    let headline = cut(&one_line(&message.headline()), FALLBACK, "…");
    let mut blocks = vec![section(&format!("*{}*", escaped(&headline)))];
    for paragraph in message.paragraphs() {
        blocks.push(section(&cut(&escaped(&paragraph), SECTION, "…")));
    }
    let details: Vec<String> = message
        .details()
        .iter()
        .take(MOST_VALUES)
        .map(|(name, value)| {
            // A backtick would end the code that it stands in.
            let value = cut(&escaped(&one_line(value)), VALUE, "…").replace('`', "'");
            format!("{}: `{value}`", cut(&escaped(&one_line(name)), NAME, "…"))
        })
        .collect();
    if !details.is_empty() {
        blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": details.join("\n") }] }));
    }
    let mut arguments = json!({
        "channel": channel,
        "text": escaped(&headline),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    if let Some(thread) = thread {
        arguments["thread_ts"] = Value::from(thread);
        // A correction that only the thread shows is not seen.
        arguments["reply_broadcast"] = Value::from(true);
    }
    arguments
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
