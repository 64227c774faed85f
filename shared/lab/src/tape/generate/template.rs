//! JSON with holes: what is the same in every block is made once, and the block's own hash, number and time are filled
//! in.

/// Stands for the hash of the block.
pub(super) const HASH: &str = "%hash%";
/// Stands for its number.
pub(super) const NUMBER: &str = "%number%";
/// Stands for its time.
pub(super) const TIMESTAMP: &str = "%timestamp%";

/// What a hole is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    Hash,
    Number,
    Timestamp,
}

/// What stands in the holes of one block's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) hash: String,
    pub(super) number: String,
    pub(super) timestamp: String,
}

/// Text with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    /// Place in the text, ascending.
    holes: Vec<(usize, Hole)>,
}

impl Template {
    /// Cuts the marks out of `marked`.
    ///
    /// # Panics
    /// If a per cent sign is no part of a mark.
    pub(super) fn parse(marked: &str) -> Self {
        let (mut text, mut holes) = (String::with_capacity(marked.len()), Vec::new());
        // Text and names of holes in turn.
        for (place, part) in marked.split('%').enumerate() {
            let hole = match part {
                _ if place % 2 == 0 => {
                    text.push_str(part);
                    continue;
                }
                "hash" => Hole::Hash,
                "number" => Hole::Number,
                "timestamp" => Hole::Timestamp,
                other => panic!("there is no hole called {other}"),
            };
            holes.push((text.len(), hole));
        }
        Self { text, holes }
    }

    /// Appends the text with `values` in its holes.
    pub(super) fn fill(&self, values: &Values, out: &mut Vec<u8>) {
        let text = self.text.as_bytes();
        let mut start = 0;
        for &(end, hole) in &self.holes {
            let value = match hole {
                Hole::Hash => &values.hash,
                Hole::Number => &values.number,
                Hole::Timestamp => &values.timestamp,
            };
            out.extend_from_slice(&text[start..end]);
            out.extend_from_slice(value.as_bytes());
            start = end;
        }
        out.extend_from_slice(&text[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_wherever_they_are() {
        let template = Template::parse(&format!(r#"{NUMBER}["{HASH}","{TIMESTAMP}{HASH}"]{NUMBER}"#));
        let values = Values { hash: "0xab".to_owned(), number: "0x1".to_owned(), timestamp: String::new() };
        let mut out = b"_".to_vec();
        template.fill(&values, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"_0x1["0xab","0xab"]0x1"#);
    }

    #[test]
    #[should_panic(expected = "there is no hole called size")]
    fn an_unknown_mark_is_refused() {
        Template::parse("a%size%b");
    }
}
