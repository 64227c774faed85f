use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What every frame has beside what its test is about.
const OWN: &str = r#""own":"0x0000000000000000000000000000000000000000000000000000""#;

fn cut_alone(text: &str) -> Result<Vec<CutFrame>, Uncut> {
    let mut steps_left = MOST_STEPS;
    cut(text, &mut steps_left)
}

/// A chain of frames, each calling the next, `length` below the top.
fn chain(length: usize) -> String {
    format!("{}{{{OWN}}}{}", format!(r#"{{{OWN},"calls":["#).repeat(length), "]}".repeat(length))
}

#[test]
fn a_frame_is_cut_out_whole_and_its_calls_are_counted() {
    let text = r#" { "id" : "calls" ,OWN, "calls" : [ {"id":1,OWN,"calls":[{OWN,"id":"]}\\\"{["}]},
        {"logs":[{"calls":[1]}],OWN,"calls":null} ] , "x":[] } "#;
    let frames = cut_alone(&text.replace("OWN", OWN)).unwrap();
    let found: Vec<(&[u32], u32, String)> = frames
        .iter()
        .map(|frame| (frame.trace_address.as_slice(), frame.calls, frame.text.replace(OWN, "OWN")))
        .collect();
    let expected: [(&[u32], u32, &str); 4] = [
        (&[], 2, r#"{"id":"calls",OWN,"calls":null,"x":[]}"#),
        (&[0], 1, r#"{"id":1,OWN,"calls":null}"#),
        (&[0, 0], 0, r#"{OWN,"id":"]}\\\"{["}"#),
        (&[1], 0, r#"{"logs":[{"calls":[1]}],OWN,"calls":null}"#),
    ];
    assert_eq!(found, expected.map(|(path, calls, text)| (path, calls, text.to_owned())));
}

#[test]
fn frames_may_be_nested_as_deep_as_the_evm_calls_and_no_deeper() {
    let frames = cut_alone(&chain(LONGEST_PATH)).unwrap();
    assert_eq!(frames.len(), LONGEST_PATH + 1);
    assert_eq!(frames.last().unwrap().trace_address, vec![0; LONGEST_PATH]);
    for length in [LONGEST_PATH + 1, 100_000] {
        assert_eq!(cut_alone(&chain(length)), Err(Uncut::TooDeep), "{length}");
    }
}

#[test]
fn the_paths_of_a_block_are_bounded_together() {
    // A top frame that calls one that calls two: 0 + 1 + 2 + 2 steps.
    let text = r#"{OWN,"calls":[{OWN,"calls":[{OWN},{OWN}]}]}"#.replace("OWN", OWN);
    let mut steps_left = 12;
    for left in [7, 2] {
        assert_eq!(cut(&text, &mut steps_left).unwrap().len(), 4);
        assert_eq!(steps_left, left);
    }
    assert_eq!(cut(&text, &mut steps_left), Err(Uncut::TooLong));
}

#[test]
fn what_is_too_short_for_a_frame_is_refused_before_a_second_is_kept() {
    let frame = format!("{{{OWN}}}");
    assert_eq!(frame.len(), SHORTEST_FRAME);
    let shorter = frame.replacen("00", "0", 1);
    for (calls, kept) in [("{}", 2), (r#"{"id":1}"#, 2), (r#"{"calls":[{}]}"#, 3), (shorter.as_str(), 2)] {
        let text = format!(r#"{{{OWN},"calls":[{}]}}"#, vec![calls; 100_000].join(","));
        let mut cutter = Cutter { steps_left: MOST_STEPS, ..Cutter::default() };
        assert_eq!(feed(&mut cutter, &text), Err(Uncut::TooShort), "{calls}");
        assert_eq!(cutter.frames.len(), kept, "{calls}");
    }
    assert_eq!(cut_alone(&format!(r#"{{{OWN},"calls":[{frame},{frame}]}}"#)).unwrap().len(), 3);
}

#[test]
fn what_is_no_frame_is_refused() {
    let no_values = ["null", "[]", "\"a\"", "1", "", "{", "{OWN}{}", "{OWN}]", r#"{"a":"b"#];
    let no_calls = [r#"{"calls":[1]}"#, r#"{"calls":["a"]}"#, r#"{"calls":[[{}]]}"#, r#"{"calls":[{OWN}}"#];
    for text in no_values.into_iter().chain(no_calls) {
        assert_eq!(cut_alone(&text.replace("OWN", OWN)), Err(Uncut::NoFrame), "{text}");
    }
}

/// A frame of its id, with noise that looks like structure.
#[derive(Clone, Debug)]
struct Tree {
    noise: String,
    calls: Vec<Tree>,
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = r#"[a-z\\"\[\]{}:, é]{0,6}"#.prop_map(|noise| Tree { noise, calls: Vec::new() });
    leaf.prop_recursive(6, 40, 4, |inner| {
        (r#"[a-z\\"\[\]{}:, é]{0,6}"#, prop::collection::vec(inner, 0..4))
            .prop_map(|(noise, calls)| Tree { noise, calls })
    })
}

impl Tree {
    /// Its JSON and, in order, what every frame of it must be cut into: path, number of calls, noise.
    fn write(&self, path: &[u32], expected: &mut Vec<(Vec<u32>, u32, String)>) -> Value {
        expected.push((path.to_vec(), u32::try_from(self.calls.len()).unwrap(), self.noise.clone()));
        let calls = (0u32..).zip(&self.calls).map(|(place, tree)| tree.write(&[path, &[place]].concat(), expected));
        let calls: Vec<Value> = calls.collect();
        if calls.is_empty() {
            serde_json::json!({ "a": [self.noise], "noise": self.noise, "own": OWN })
        } else {
            serde_json::json!({ "calls": calls, "noise": self.noise, "own": OWN })
        }
    }
}

proptest! {
    #[test]
    fn every_frame_is_found_once_with_its_path_and_its_calls(tree in trees(), is_pretty in any::<bool>()) {
        let mut expected = Vec::new();
        let json = tree.write(&[], &mut expected);
        let text = if is_pretty { serde_json::to_string_pretty(&json).unwrap() } else { json.to_string() };
        let found: Vec<(Vec<u32>, u32, String)> = cut_alone(&text).unwrap().into_iter().map(|frame| {
            let fields: Value = serde_json::from_str(&frame.text).unwrap();
            (frame.trace_address, frame.calls, fields["noise"].as_str().unwrap().to_owned())
        }).collect();
        prop_assert!(found.is_sorted_by(|left, right| left.0 < right.0), "a caller is before its calls");
        prop_assert!(found.len() * SHORTEST_FRAME <= text.len());
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[\[\]{}:," a\\é]{0,60}"#) {
        let _ = cut_alone(&text);
    }
}
