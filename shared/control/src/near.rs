//! Names that somebody may have meant. Pure.

/// Names at most.
const MOST: usize = 3;

/// Those of `known` that are spelt much like `name`, the likest first.
///
/// A name is near if no more than a third of its letters (but two in any case) are added, left out, changed or swapped
/// with a neighbour, or if one of the two begins with the other.
pub(crate) fn near(name: &str, known: &[String]) -> Vec<String> {
    let mut near: Vec<(usize, &String)> = known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= (other.chars().count() / 3).max(2) || is_start(name, other))
        .collect();
    near.sort();
    near.into_iter().take(MOST).map(|(_, other)| other.clone()).collect()
}

fn is_start(one: &str, other: &str) -> bool {
    !one.is_empty() && (other.starts_with(one) || one.starts_with(other))
}

/// The end of a sentence that says that a name is not known.
pub(crate) fn hint(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_finds_what_was_meant() {
        let known: Vec<String> =
            ["compact-demo", "follow-demo", "heartbeat", "heat"].into_iter().map(str::to_owned).collect();
        let table: [(&str, &[&str]); 6] = [
            ("hearbeat", &["heartbeat"]),
            ("follow-dmeo", &["follow-demo"]),
            ("compact", &["compact-demo"]),
            ("haet", &["heat"]),
            ("billing", &[]),
            ("", &[]),
        ];
        for (name, expected) in table {
            assert_eq!(near(name, &known), expected, "{name:?}");
        }
        assert_eq!(hint(&near("hearbeat", &known)), "; near it: heartbeat");
        assert_eq!(hint(&[]), "");
    }
}
