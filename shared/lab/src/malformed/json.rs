//! JSON of the right shape but for a few places: other types, names that are missing or there twice, numbers beyond all bounds.

use rand::Rng;
use serde_json::{Map, Value, json};

/// A source of JSON that a door may be handed.
#[derive(Clone, Debug)]
pub struct Json {
    good: Vec<Value>,
}

impl Json {
    /// Draws from `good` values.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(good: impl IntoIterator<Item = Value>) -> Self {
        let good: Vec<_> = good.into_iter().collect();
        assert!(!good.is_empty(), "inputs are made of good ones");
        Self { good }
    }

    /// A good value with one to three places changed.
    pub fn draw(&self, random: &mut impl Rng) -> Value {
        let mut value = self.good[random.random_range(0..self.good.len())].clone();
        for _ in 0..random.random_range(1..=3) {
            let count = places(&value);
            let place = random.random_range(0..count);
            let other = self.part(random);
            let mut left = place;
            if let Some(found) = at(&mut value, &mut left) {
                change(found, other, random);
            }
        }
        value
    }

    /// The same as text, in which a name may be there twice.
    pub fn draw_text(&self, random: &mut impl Rng) -> String {
        let text = self.draw(random).to_string();
        if random.random_ratio(7, 8) {
            return text;
        }
        // An entry of an object once more, at its beginning: `{"a":1,…` becomes `{"a":null,"a":1,…`.
        let braces: Vec<usize> = text.match_indices("{\"").map(|(at, _)| at + 1).collect();
        if braces.is_empty() {
            return text;
        }
        let at = braces[random.random_range(0..braces.len())];
        let (before, after) = text.split_at(at);
        let name = after[1..].split('"').next().unwrap_or_default();
        format!("{before}\"{name}\":null,{after}")
    }

    /// Something out of a good value.
    fn part(&self, random: &mut impl Rng) -> Value {
        let mut value = self.good[random.random_range(0..self.good.len())].clone();
        let mut place = random.random_range(0..places(&value));
        at(&mut value, &mut place).map_or(Value::Null, Value::take)
    }
}

/// How many values there are in `value`, itself included.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum::<usize>(),
        Value::Object(entries) => entries.values().map(places).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The value that `left` others stand before.
fn at<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| at(item, left)),
        Value::Object(entries) => entries.values_mut().find_map(|item| at(item, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn change(value: &mut Value, other: Value, random: &mut impl Rng) {
    match (value, random.random_range(0..4)) {
        (Value::Object(entries), 0) => without_one(entries, random),
        (Value::Object(entries), 1) => drop(entries.insert(odd_text(random), other)),
        (Value::Array(items), 0) => {
            let count = (items.len() * random.random_range(2..200)).min(2_000);
            *items = items.iter().cycle().take(count).cloned().collect();
        }
        (Value::Array(items), 1) => items.push(other),
        (Value::String(text), 0 | 1) => {
            let at = text.char_indices().nth(random.random_range(0..20)).map_or(text.len(), |(at, _)| at);
            text.insert_str(at, &odd_text(random));
        }
        (value, 2) => *value = other,
        (value, _) => *value = odd(random),
    }
}

fn without_one(entries: &mut Map<String, Value>, random: &mut impl Rng) {
    let name = entries.keys().nth(random.random_range(0..=entries.len())).cloned();
    if let Some(name) = name {
        entries.remove(&name);
    }
}

fn odd(random: &mut impl Rng) -> Value {
    match random.random_range(0..14) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(i64::MIN),
        5 => json!(1.7e308),
        6 => json!(0.5),
        7 => json!([]),
        8 => json!({}),
        9 => json!(vec![0; random.random_range(1..3_000)]),
        10 => {
            // Readers of JSON give up at 128.
            let depth = random.random_range(1..120);
            (0..depth).fold(json!(1), |inner, _| json!([inner]))
        }
        11 => {
            let depth = random.random_range(1..120);
            (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }))
        }
        _ => Value::String(odd_text(random)),
    }
}

fn odd_text(random: &mut impl Rng) -> String {
    const TEXTS: [&str; 16] = [
        "",
        " ",
        "\0",
        "\u{feff}",
        "\u{202e}",
        "\u{1f4a5}",
        "../../etc/passwd",
        "1e999",
        "-1",
        "18446744073709551616",
        "0x",
        "0xzz",
        "'; DROP TABLE x; --",
        "{{ a }}",
        "null",
        "\"\\",
    ];
    match random.random_range(0..=TEXTS.len()) {
        place if place < TEXTS.len() => TEXTS[place].to_owned(),
        _ => "x".repeat(random.random_range(1..20_000)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn inputs_repeat_by_their_seed_and_every_place_changes() {
        let source = Json::new([json!({ "version": 1, "kind": "sweep", "list": [{ "a": 1 }, "b"] })]);
        let drawn = |seed| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            (0..400).map(|_| source.draw(&mut random)).collect::<Vec<Value>>()
        };
        assert_eq!(drawn(1), drawn(1));
        let all = drawn(1);
        let distinct: BTreeSet<String> = all.iter().map(Value::to_string).collect();
        assert!(distinct.len() > 200, "{}", distinct.len());
        let differs =
            |pointer: &str, good: Value| all.iter().filter(|value| value.pointer(pointer) != Some(&good)).count();
        for (pointer, good) in
            [("/version", json!(1)), ("/kind", json!("sweep")), ("/list/0/a", json!(1)), ("/list/1", json!("b"))]
        {
            let count = differs(pointer, good);
            assert!((10..400).contains(&count), "{pointer}: {count}");
        }
    }

    #[test]
    fn a_name_is_there_twice_now_and_then() {
        let source = Json::new([json!({ "a": 1 })]);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let twice = (0..400).filter(|_| source.draw_text(&mut random).starts_with("{\"a\":null,\"a\":")).count();
        assert!(twice > 5, "{twice}");
    }
}
