//! Files that nobody wrote in good faith, or at all.

use super::*;

/// Long files that cost as much as they can. What grew with the square of their length would take minutes.
#[test]
fn hostile_files_are_read_in_time_that_grows_with_their_length() {
    const LENGTH: usize = MAX_FILE_BYTES / 4;
    let fill = |head: &str, piece: &dyn Fn(usize) -> String| {
        let mut text = head.to_owned();
        for index in 0.. {
            let piece = piece(index);
            if text.len() + piece.len() > LENGTH {
                return text;
            }
            text.push_str(&piece);
        }
        text
    };
    let laughs: String = (1..30).map(|i| format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1)).collect();
    let jobs = "version: 1\njobs:\n";
    let cases = [
        ("laughs", format!("a0: &a0 lol\n{laughs}")),
        ("unknown keys", fill("version: 1\njobs: []\n", &|i| format!("k{i}: 1\n"))),
        ("same keys", fill("version: 1\njobs: []\n", &|_| "version: 1\n".to_owned())),
        ("same names", fill(jobs, &|_| " - {name: a, operator: b}\n".to_owned())),
        (
            "a chain",
            fill(jobs, &|i| {
                format!(
                    " - {{name: j{i}, operator: b, input_datasets: [{i}/logs], output_datasets: [{}/logs]}}\n",
                    i + 1
                )
            }),
        ),
        (
            "one hub",
            fill(jobs, &|i| {
                format!(" - {{name: j{i}, operator: b, input_datasets: [logs], output_datasets: [{i}/logs, blocks]}}\n")
            }),
        ),
        (
            "unknown jobs",
            fill("version: 1\njobs: []\ntriggers:\n", &|i| {
                format!(" - {{name: t{i}, job: j{i}, webhook: {{secret: s}}}}\n")
            }),
        ),
        (
            "schedules",
            fill("version: 1\njobs: []\ntriggers:\n", &|i| {
                format!(
                    " - {{name: t{i}, job: j, cron: {{schedule: cron(0 0 30 2 ? *), timezone: America/Nowhere}}}}\n"
                )
            }),
        ),
        ("one long key", format!("{}: 1", "k".repeat(LENGTH - 3))),
        ("one long text", format!("version: \"{}\"", "\\n".repeat(LENGTH / 2 - 10))),
        ("open brackets", "[".repeat(LENGTH)),
        ("dashes", "- ".repeat(LENGTH / 2)),
        ("questions", "? ".repeat(LENGTH / 2)),
        ("braces", "{".repeat(LENGTH)),
        ("flow pairs", fill("[", &|_| "a: b, ".to_owned())),
        ("anchors", fill("version: 1\njobs: []\nx: [", &|i| format!("&a{i} x,"))),
        ("documents", "--- a\n".repeat(LENGTH / 6)),
        ("comments", "#\n".repeat(LENGTH / 2)),
        (
            "a comma list",
            format!(
                "version: 1\njobs: []\ntriggers: [{{name: a, job: b, cron: {{schedule: \"cron({} 0 ? * * *)\"}}}}]",
                "*,".repeat(LENGTH / 2 - 100)
            ),
        ),
    ];
    for (name, text) in cases {
        assert!(text.len() <= LENGTH, "{name}");
        let began = std::time::Instant::now();
        let read = parse(&text);
        let took = began.elapsed();
        println!("{name}: {took:?}, {} fault(s)", read.as_ref().err().map_or(0, |error| error.faults.len()));
        assert!(took < std::time::Duration::from_secs(60), "{name} took {took:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 10_000, max_shrink_iters: 1_000, ..Default::default() })]

    #[test]
    fn random_bytes_are_no_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = parse_bytes(&bytes);
    }

    #[test]
    fn random_yaml_letters_are_no_panic(text in "[-\\[\\]{}:,?&*!|>'\"%@`#a0 ~.<\n\t\r]{0,120}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_mutated_file_is_read_or_refused_with_places_in_it(
        cuts in proptest::collection::vec((0usize..700, 0usize..12, "[-\\[\\]{}:,?&*!|>'\"#a0 \n]{0,4}"), 1..4),
    ) {
        let mut letters: Vec<char> = GOOD.chars().collect();
        for (at, length, by) in cuts {
            let at = at.min(letters.len());
            let end = (at + length).min(letters.len());
            letters.splice(at..end, by.chars());
        }
        let text: String = letters.into_iter().collect();
        match parse(&text) {
            Ok(pipeline) => {
                let again = serde_yaml_ng::to_string(&pipeline).unwrap();
                proptest::prop_assert_eq!(parse(&again).map_err(|error| error.to_string()), Ok(pipeline));
            }
            Err(error) => {
                proptest::prop_assert!(!error.faults.is_empty());
                let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
                for fault in error.faults {
                    proptest::prop_assert!(fault.line >= 1 && fault.column >= 1);
                    proptest::prop_assert!(fault.line <= lines.len() + 1, "{}", fault);
                    proptest::prop_assert!(lines.get(fault.line - 1).is_none_or(|&most| fault.column <= most + 2), "{}", fault);
                }
            }
        }
    }
}
