//! Spans of time on the command line: `90s`, `15m`, `1h`, `7d`.

use std::time::Duration;

/// Reads a whole number and its unit.
///
/// # Errors
/// A sentence for the person who typed it.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is no span of time; write a whole number and s, m, h or d, such as 90s, 15m, 1h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_unreadable| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "1", "1 h", "-1h", "1.5h", "1w", "1hh", "9999999999d", "1ü"] {
            assert!(span(text).unwrap_err().contains("such as 90s"), "{text}");
        }
    }
}
