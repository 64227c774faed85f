//! An email: its subject, a text, and the same as HTML.

use super::{Change, Message, cut, one_line};

/// Longest subject in characters. Source: RFC 5322, 2.1.1: a line has at most 998; readers show far fewer.
const SUBJECT: usize = 150;

/// What an email says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// One line without control characters.
    pub subject: String,
    /// As text.
    pub text: String,
    /// As HTML.
    pub html: String,
}

/// Renders `message`.
///
/// A correction has its original's subject behind `Re:`, since some readers go by that and not by `References`.
pub fn render(message: &Message) -> Email {
    let headline = message.headline();
    let (paragraphs, details) = (message.paragraphs(), message.details());
    let width = details.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);

    let mut text = format!("{headline}\n");
    for paragraph in &paragraphs {
        text.push_str(&format!("\n{}\n", printable(paragraph)));
    }
    if !details.is_empty() {
        text.push('\n');
    }
    for (name, value) in &details {
        text.push_str(&format!("{:<width$}  {}\n", one_line(name), one_line(value)));
    }

    let mut html = String::from("<!DOCTYPE html>\n<html><body style=\"font-family:sans-serif\">\n");
    html.push_str(&format!("<h3>{}</h3>\n", escaped(&headline)));
    for paragraph in &paragraphs {
        html.push_str(&format!("<p>{}</p>\n", escaped(&printable(paragraph)).replace('\n', "<br>\n")));
    }
    if !details.is_empty() {
        html.push_str("<table>\n");
        for (name, value) in &details {
            let (name, value) = (escaped(&one_line(name)), escaped(&one_line(value)));
            html.push_str(&format!("<tr><td>{name}</td><td><code>{value}</code></td></tr>\n"));
        }
        html.push_str("</table>\n");
    }
    html.push_str("</body></html>\n");
    Email { subject: subject(message), text, html }
}

fn subject(message: &Message) -> String {
    let Message::Alert(alert) = message else { return cut(&one_line(&message.headline()), SUBJECT, "…") };
    let original = format!("[{}] {}: {}", alert.severity, alert.rule, one_line(&alert.title));
    let original = cut(&one_line(&original), SUBJECT, "…");
    match alert.change {
        Change::Fired => original,
        Change::Retracted(_) | Change::Moved => format!("Re: {original}"),
    }
}

/// `text` without control characters but line feeds.
fn printable(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).collect()
}

/// `text` as text of HTML, or as a value between quotes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn nothing_of_a_text_is_markup(text in "\\PC*") {
            let html = escaped(&text);
            proptest::prop_assert!(!html.contains(['<', '>', '"', '\'']));
            let back = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&");
            proptest::prop_assert_eq!(back, text);
        }
    }
}
