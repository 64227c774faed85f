//! A text message: one part, and what matters most first.
//!
//! Source: Amazon SNS Developer Guide, "Publishing to a mobile phone": a part has 140 bytes, which are 160 characters of the GSM alphabet
//! (3GPP TS 23.038, 6.2.1; those of its extension count twice), or 70 of UCS-2 as soon as one is of no other alphabet. Each part is paid for.

use super::{Change, Message, NoticeContent, Retraction, cut, one_line, shown_code};

/// Characters of the GSM alphabet in a part.
const GSM: usize = 160;
/// UTF-16 units in a part that needs them.
const UCS2: usize = 70;
/// The basic alphabet, but for its control characters.
const BASIC: &str = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension: two characters each.
const EXTENSION: &str = "^{}\\[~]|€";

/// Renders `message`.
pub fn render(message: &Message) -> String {
    let text = match message {
        Message::Alert(alert) => {
            let word = match alert.change {
                Change::Fired => alert.severity.to_uppercase(),
                Change::Moved => "MOVED".to_owned(),
                Change::Retracted(Retraction::Orphaned) => "RETRACTED".to_owned(),
                // Nobody may read that it did not happen.
                Change::Retracted(Retraction::RuleChanged) => "WITHDRAWN (rule changed, look it up)".to_owned(),
                Change::Retracted(Retraction::RuleNotAtWork) => "WITHDRAWN (rule not at work, look it up)".to_owned(),
            };
            // The end is cut, so it must not matter most.
            format!("{word} {} {} block {}: {}", alert.rule, alert.chain, alert.block_number, one_line(&alert.title))
        }
        Message::Notice(NoticeContent::ChannelCode { channel, code }) => {
            format!("{} lets alerts of the channel {channel} come here, if you give it back", shown_code(code.as_ref()))
        }
        Message::Digest { .. }
        | Message::Test(_)
        | Message::Notice(NoticeContent::ChannelDisabled { .. } | NoticeContent::RuleQuarantined { .. }) => {
            message.headline()
        }
    };
    one_part(&one_line(&text))
}

fn one_part(text: &str) -> String {
    let is_gsm = septets(text).is_some();
    let limit = if is_gsm { GSM } else { UCS2 };
    let mut most = limit;
    let mut part = cut(text, most, "...");
    // Characters that count twice leave less room.
    while size(&part, is_gsm) > limit {
        most -= 1;
        part = cut(text, most, "...");
    }
    part
}

fn size(text: &str, is_gsm: bool) -> usize {
    if is_gsm { septets(text).unwrap_or(usize::MAX) } else { text.encode_utf16().count() }
}

/// What `text` takes in the GSM alphabet; `None` if it has characters that are not in it.
fn septets(text: &str) -> Option<usize> {
    text.chars()
        .map(|character| match character {
            basic if BASIC.contains(basic) => Some(1),
            extended if EXTENSION.contains(extended) => Some(2),
            _ => None,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_one_part_of_its_alphabet() {
        assert_eq!(one_part("short"), "short");
        let words = "word ".repeat(60);
        let part = one_part(words.trim());
        assert!(part.len() <= 160 && part.ends_with("word..."), "{part}");
        assert_eq!(one_part(&"x".repeat(161)).len(), 160, "a long word is cut");
        assert_eq!(one_part(&"x".repeat(160)).len(), 160);
        assert_eq!(septets(&one_part(&"€".repeat(100))), Some(159), "78 that count twice, and three points");
        assert_eq!(one_part(&"警".repeat(100)).chars().count(), 70);
        assert_eq!(one_part(&"𝒳".repeat(100)).encode_utf16().count(), 69, "33 that count twice, and three points");
    }

    proptest::proptest! {
        #[test]
        fn whatever_it_is_it_is_one_part(text in "\\PC{0,300}") {
            let part = one_part(&text);
            let fits = match septets(&part) {
                Some(septets) => septets <= GSM,
                None => part.encode_utf16().count() <= UCS2,
            };
            proptest::prop_assert!(fits, "{}", part);
        }
    }
}
