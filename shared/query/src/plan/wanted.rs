//! Which bytes a scan's filters ask for: rows with others need not be fetched.
//!
//! As for blocks, a filter counts only if it is plainly that: a column of bytes, `=` or `IN`, and values as DuckDB prints
//! them. DuckDB applies every filter again. Pure.

use isotherm_hot_store::rows::Wanted;
use isotherm_types::Dataset;
use isotherm_types::schema::ColumnType;

/// Values of one column that are asked for; with more, every row is fetched.
const MOST_VALUES: usize = 64;

/// What the filters of a scan of `dataset` surely ask for.
pub(super) fn wanted(filters: &[String], dataset: Dataset) -> Wanted {
    let mut wanted = Wanted::new();
    for (column, values) in filters.iter().filter_map(|filter| values_of(filter, dataset)) {
        // Of two filters of one column either alone is enough to fetch by.
        wanted.entry(column).or_insert(values);
    }
    wanted
}

/// The column of a filter and the values that it may have. What is joined to the first part by AND only asks for less;
/// a filter with an OR says nothing.
fn values_of(filter: &str, dataset: Dataset) -> Option<(&'static str, Vec<Vec<u8>>)> {
    if filter.contains(" OR ") {
        return None;
    }
    // What DuckDB may leave out of the scan it applies behind it.
    let filter = filter.strip_prefix("optional: ").unwrap_or(filter);
    dataset.columns().iter().find_map(|column| {
        let is_bytes = matches!(column.column_type, ColumnType::Bytes | ColumnType::FixedBytes(_));
        let rest = filter.strip_prefix(column.name).filter(|_| is_bytes)?;
        let (values, rest) = match rest.strip_prefix('=') {
            Some(rest) => {
                let (value, rest) = blob(rest)?;
                (vec![value], rest)
            }
            None => list(rest.strip_prefix(" IN (")?)?,
        };
        let is_whole = rest.is_empty() || rest.starts_with(" AND ");
        (is_whole && values.len() <= MOST_VALUES).then_some((column.name, values))
    })
}

/// The values of a list, and what follows its closing parenthesis.
fn list(mut text: &str) -> Option<(Vec<Vec<u8>>, &str)> {
    let mut values = Vec::new();
    loop {
        let (value, rest) = blob(text)?;
        values.push(value);
        match rest.strip_prefix(", ") {
            Some(rest) => text = rest,
            None => return Some((values, rest.strip_prefix(')')?)),
        }
    }
}

/// The bytes of a literal, and what follows it. Printed are `'`, then characters of ASCII as they are and all else, quotes
/// and the backslash too, as `\x` and two digits, then `'::BLOB`.
fn blob(text: &str) -> Option<(Vec<u8>, &str)> {
    let (inside, rest) = text.strip_prefix('\'')?.split_once('\'')?;
    let rest = rest.strip_prefix("::BLOB")?;
    let mut bytes = Vec::with_capacity(inside.len() / 4);
    let mut left = inside.as_bytes();
    while let Some((&first, others)) = left.split_first() {
        match first {
            b'\\' => {
                let (digits, others) = others.strip_prefix(b"x")?.split_at_checked(2)?;
                bytes.extend(hex::decode(digits).ok()?);
                left = others;
            }
            b' '..=b'~' if first != b'"' => {
                bytes.push(first);
                left = others;
            }
            _ => return None,
        }
    }
    Some((bytes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(filters: &[&str]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
        let filters: Vec<String> = filters.iter().map(|&filter| filter.to_owned()).collect();
        wanted(&filters, Dataset::Logs).into_iter().collect()
    }

    /// As DuckDB 1.5.5 prints them.
    #[test]
    fn plain_questions_for_bytes_are_read() {
        let table: [(&str, &str, &[&[u8]]); 6] = [
            (r"address='\xAA\x00'::BLOB", "address", &[&[0xaa, 0]]),
            (r"address='A\x27\x5C\xDD'::BLOB", "address", &[b"A'\\\xdd"]),
            ("address=''::BLOB", "address", &[b""]),
            (r"topic0='\xAA'::BLOB AND (topic0 IS NOT NULL)", "topic0", &[&[0xaa]]),
            (r"optional: topic0 IN ('\x01'::BLOB, 'b'::BLOB)", "topic0", &[&[1], b"b"]),
            (r"topic0 IN ('\x01'::BLOB)", "topic0", &[&[1]]),
        ];
        for (filter, column, values) in table {
            let values: Vec<Vec<u8>> = values.iter().map(|value| value.to_vec()).collect();
            assert_eq!(of(&[filter]), [(column, values)], "{filter}");
        }
        let both = of(&[r"topic0='\x01'::BLOB", r"address='\x02'::BLOB", r"address='\x03'::BLOB"]);
        assert_eq!(both, [("address", vec![vec![2]]), ("topic0", vec![vec![1]])]);
    }

    #[test]
    fn whatever_is_not_plain_asks_for_every_row() {
        for filter in [
            r"address!='\xAA'::BLOB",
            r"address>'\xAA'::BLOB",
            r"((address = '\xAA'::BLOB) = false)",
            r"(address IS NOT DISTINCT FROM '\xAA'::BLOB)",
            r"optional: address='\xAA'::BLOB OR address='\xAB'::BLOB",
            r"address='\xAA'::BLOB OR block_number>5",
            r"address='\xA'::BLOB",
            r"address='\uAA'::BLOB",
            r#"address='"'::BLOB"#,
            "address='ä'::BLOB",
            "address='a'::VARCHAR",
            "address='a'::BLOB = true",
            "address='a'",
            "address IN ()",
            "address IN ('a'::BLOB",
            "address IN ('a'::BLOB, 5)",
            "address NOT IN ('a'::BLOB)",
            "block_number='a'::BLOB",
            "nobody='a'::BLOB",
            "optional: Dynamic Filter (address)",
        ] {
            assert_eq!(of(&[filter]), [], "{filter}");
        }
        let values = vec!["'a'::BLOB"; MOST_VALUES + 1].join(", ");
        assert_eq!(of(&[&format!("address IN ({values})")]), []);
    }

    proptest::proptest! {
        #[test]
        fn bytes_of_any_kind_are_read_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let printed: String = bytes.iter().map(|byte| match byte {
                b'\\' | b'\'' | b'"' => format!("\\x{byte:02X}"),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\x{byte:02X}"),
            }).collect();
            let found = of(&[&format!("address='{printed}'::BLOB")]);
            // Bytes that look like the word that a filter is given up for are asked for by nobody.
            let expected = if printed.contains(" OR ") { vec![] } else { vec![("address", vec![bytes])] };
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
