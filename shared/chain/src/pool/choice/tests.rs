//! The choice by cases, and what holds of all of them.

use super::*;

const RULES: Rules = Rules { max_lag_blocks: 1, block_time: Duration::from_millis(300) };

fn ms(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

/// An endpoint that may be asked, with this head.
fn well(now: Instant, head: u64) -> View {
    View {
        state: State::Healthy,
        head: Some(SeenHead { number: BlockNumber(head), since: now }),
        token_at: now,
        has_room: true,
        is_excluded: false,
        looked_at: None,
        is_looked_at: false,
    }
}

fn cooling(now: Instant, head: u64, until_ms: u64) -> View {
    View { state: State::Cooling { until: ms(now, until_ms) }, ..well(now, head) }
}

fn limited(now: Instant, head: u64, until_ms: u64) -> View {
    View { state: State::RateLimited { until: ms(now, until_ms) }, ..well(now, head) }
}

/// Quarantined so long ago, for ten minutes.
fn quarantined(now: Instant, head: u64, ago: Duration) -> View {
    let since = now.checked_sub(ago).unwrap();
    let state = State::Quarantined { code: "chain.bad_hash", since, until: since + Duration::from_secs(600) };
    View { state, ..well(now, head) }
}

#[test]
fn the_best_endpoint_is_asked() {
    // Some time after the clock's own beginning, so that times before it can be told.
    let now = Instant::now() + Duration::from_secs(1000);
    let just_now = Duration::ZERO;
    let unknown = View { head: None, ..well(now, 0) };
    let little_room = View { has_room: false, ..well(now, 9) };
    let liar = quarantined(now, 9, Duration::from_secs(9));
    let wait = |place, until_ms| Choice::Wait { place, until: ms(now, until_ms) };
    let excluded = |view: View| View { is_excluded: true, ..view };
    let without_token = |view: View| View { token_at: ms(now, 40), ..view };
    let cases: Vec<(&str, Vec<View>, Choice)> = vec![
        ("the first of two that are well", vec![well(now, 9), well(now, 9)], Choice::Ask(0)),
        ("a lag within bounds", vec![well(now, 9), well(now, 10)], Choice::Ask(0)),
        ("a lag beyond", vec![well(now, 8), well(now, 10)], Choice::Ask(1)),
        ("a head that nobody has seen yet", vec![unknown, well(now, 10)], Choice::Ask(0)),
        ("a failure", vec![cooling(now, 9, 10), well(now, 9)], Choice::Ask(1)),
        ("the head of one that fails counts", vec![cooling(now, 9, 10), well(now, 3), well(now, 5)], Choice::Ask(2)),
        ("that of a liar does not", vec![quarantined(now, 99, just_now), well(now, 3), well(now, 4)], Choice::Ask(1)),
        ("a rate limit", vec![limited(now, 9, 10), well(now, 9)], Choice::Ask(1)),
        ("a rate limit that is over", vec![limited(now, 9, 0), well(now, 9)], Choice::Ask(0)),
        ("little room", vec![little_room, well(now, 9)], Choice::Ask(1)),
        ("little room everywhere", vec![little_room, little_room], Choice::Ask(0)),
        ("no token", vec![without_token(well(now, 9)), well(now, 9)], Choice::Ask(1)),
        ("one that lags is better than one that may fail", vec![cooling(now, 9, 0), well(now, 3)], Choice::Ask(1)),
        ("one that may be well again", vec![cooling(now, 9, 30), cooling(now, 9, 0)], Choice::Ask(1)),
        ("the soonest", vec![cooling(now, 9, 30), limited(now, 9, 20)], wait(1, 20)),
        ("the next token", vec![without_token(well(now, 9))], wait(0, 40)),
        ("a pause is worth more than a liar", vec![liar, cooling(now, 9, 30)], wait(1, 30)),
        ("a liar of just now", vec![quarantined(now, 9, just_now)], Choice::Nobody),
        ("the last resort", vec![quarantined(now, 9, just_now), quarantined(now, 9, LAST_RESORT)], Choice::Ask(1)),
        ("a quarantine that is over", vec![quarantined(now, 9, Duration::from_secs(600))], Choice::Ask(0)),
        ("one that has refused", vec![excluded(well(now, 9)), cooling(now, 9, 30)], wait(1, 30)),
        ("all have refused", vec![excluded(well(now, 9)), excluded(well(now, 9))], Choice::Nobody),
        ("nobody is there", vec![], Choice::Nobody),
    ];
    for (case, views, expected) in cases {
        assert_eq!(choose(&views, None, now, RULES), expected, "{case}: {views:?}");
    }
}

#[test]
fn who_is_known_to_have_the_block_is_asked_for_it() {
    let now = Instant::now();
    let views = [well(now, 9), well(now, 10)];
    let needs = |number| choose(&views, Some(BlockNumber(number)), now, RULES);
    assert_eq!([needs(9), needs(10), needs(11)], [Choice::Ask(0), Choice::Ask(1), Choice::Ask(1)]);
}

#[test]
fn a_stand_in_is_one_that_can_be_asked_at_once() {
    let now = Instant::now();
    let has = |other: View| has_stand_in(&[well(now, 9), other], 0, now);
    assert!(has(well(now, 9)) && has(well(now, 0)) && has(limited(now, 9, 0)));
    assert!(!has(cooling(now, 9, 0)) && !has(limited(now, 9, 1)));
    assert!(!has(View { is_excluded: true, ..well(now, 9) }) && !has_stand_in(&[well(now, 9)], 0, now));
}

#[test]
fn who_may_have_a_block_is_worth_asking_after_one_that_does_not() {
    let start = Instant::now() + Duration::from_secs(1000);
    let now = ms(start, 5000);
    let shown = |number, since_ms| {
        let head = SeenHead { number: BlockNumber(number), since: ms(start, since_ms) };
        View { head: Some(head), ..well(now, 0) }
    };
    let cases: Vec<(&str, View, bool)> = vec![
        ("it has shown the block", well(now, 9), true),
        ("it has shown a later one", well(now, 10), true),
        ("it has shown nothing yet", View { head: None, ..well(now, 0) }, true),
        ("it was below just now", well(now, 8), false),
        ("it was one block below for less than a block's time", shown(8, 4701), false),
        ("it may have come so far since", shown(8, 4700), true),
        ("it was three blocks below for less than three", shown(6, 4101), false),
        ("it may have come so far, too", shown(6, 4100), true),
        ("it opens soon", cooling(now, 9, 15_000), true),
        ("it does not", limited(now, 9, 15_001), false),
        ("it has refused", View { is_excluded: true, ..well(now, 9) }, false),
        ("its quarantine is almost over", quarantined(now, 9, Duration::from_secs(599)), false),
        ("its quarantine is over", quarantined(now, 9, Duration::from_secs(600)), true),
    ];
    for (case, view, expected) in cases {
        let asked = View { is_excluded: true, ..well(now, 9) };
        assert_eq!(may_another_have(&[asked, view], BlockNumber(9), now, RULES), expected, "{case}: {view:?}");
    }
}

#[test]
fn what_is_preferred_and_passed_over_is_looked_at_again() {
    let start = Instant::now();
    let now = ms(start, 5000);
    let looked = |view: View, at_ms| View { looked_at: Some(ms(start, at_ms)), ..view };
    let cases: Vec<(&str, Vec<View>, usize, Vec<usize>)> = vec![
        ("all is well", vec![well(now, 9), well(now, 9)], 0, vec![]),
        ("it failed, and its pause is over", vec![cooling(now, 9, 0), well(now, 9)], 1, vec![0]),
        ("its pause is not over", vec![cooling(now, 9, 1), well(now, 9)], 1, vec![]),
        ("somebody is looking", vec![View { is_looked_at: true, ..cooling(now, 9, 0) }, well(now, 9)], 1, vec![]),
        ("it was looked at just now", vec![looked(cooling(now, 9, 0), 4500), well(now, 9)], 1, vec![]),
        ("that is a while ago", vec![looked(cooling(now, 9, 0), 4000), well(now, 9)], 1, vec![0]),
        ("it lags", vec![well(now, 7), well(now, 9)], 1, vec![0]),
        ("its quarantine is over", vec![quarantined(now, 9, Duration::from_secs(600)), well(now, 9)], 1, vec![0]),
        ("its quarantine is not over", vec![quarantined(now, 9, Duration::from_secs(599)), well(now, 9)], 1, vec![]),
        ("a failed one that is not preferred", vec![well(now, 9), cooling(now, 9, 0)], 0, vec![]),
        ("it is, to one that lags", vec![well(now, 7), cooling(now, 9, 0)], 0, vec![1]),
    ];
    for (case, views, asked, expected) in cases {
        assert_eq!(looks_due(&views, asked, now, RULES), expected, "{case}: {views:?}");
    }
}

#[test]
fn the_others_are_looked_at_while_the_newest_block_stays_the_same() {
    let start = Instant::now();
    let due = |after_ms: u64, looked_at: Option<u64>| {
        let asked = View { head: Some(SeenHead { number: BlockNumber(9), since: start }), ..well(start, 9) };
        let other = View { looked_at: looked_at.map(|at| ms(start, at)), ..well(start, 9) };
        looks_due(&[asked, other], 0, ms(start, after_ms), RULES) == [1]
    };
    assert!(!due(450, None), "a block and a half");
    assert!(due(451, None));
    assert!(!due(600, Some(451)) && due(601, Some(451)), "twice in each block's time");
    assert!(!due(80_000, Some(71_000)) && due(80_000, Some(70_000)), "more seldom while the chain stands still");
    assert!(due(3_600_000, Some(3_570_000)), "but every half a minute");
}

proptest::proptest! {
    /// Whatever the endpoints do: who is asked may be asked, and nobody waits while somebody is ready.
    #[test]
    fn nobody_is_asked_out_of_turn(
        kinds in proptest::collection::vec((0u8..5, 0u64..3000, 0u64..20, proptest::bool::ANY, 0u64..3), 1..6),
        needs in proptest::option::of(0u64..20),
    ) {
        let now = Instant::now() + Duration::from_secs(1000);
        let views: Vec<View> = kinds
            .into_iter()
            .map(|(kind, span_ms, head, is_excluded, tokens_in)| {
                let view = match kind {
                    0 | 1 => well(now, head),
                    2 => cooling(now, head, span_ms),
                    3 => limited(now, head, span_ms),
                    _ => quarantined(now, head, Duration::from_millis(span_ms)),
                };
                View { is_excluded, token_at: ms(now, tokens_in), ..view }
            })
            .collect();
        let open: Vec<&View> = views.iter().filter(|view| !view.is_excluded).collect();
        let is_somebody_ready = open.iter().any(|view| view.is_ready(now));
        match choose(&views, needs.map(BlockNumber), now, RULES) {
            Choice::Ask(place) => {
                let asked = &views[place];
                proptest::prop_assert!(!asked.is_excluded && asked.token_at <= now);
                let is_last = open.iter().all(|view| view.is_quarantined(now));
                proptest::prop_assert!(!asked.is_quarantined(now) || is_last);
                proptest::prop_assert!(asked.is_ready(now) || !is_somebody_ready);
            }
            Choice::Wait { until, .. } => {
                proptest::prop_assert!(until > now && !is_somebody_ready);
            }
            Choice::Nobody => proptest::prop_assert!(open.iter().all(|view| view.is_quarantined(now))),
        }
    }
}
