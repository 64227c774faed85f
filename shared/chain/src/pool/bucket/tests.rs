//! The bucket against made-up endpoints that limit in the ways that real ones do, in virtual time.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn rate(calls: u32, per_ms: u64) -> CallRate {
    CallRate { calls, per: Duration::from_millis(per_ms) }
}

/// How an endpoint limits `calls` a second.
#[derive(Clone, Debug)]
enum Limiter {
    /// No second, wherever it begins, has more.
    Sliding { calls: usize, accepted: VecDeque<(Instant, usize)> },
    /// No second of its clock has more.
    Fixed { calls: usize, start: Instant, second: u64, accepted: usize },
    /// Tokens drip into a bucket of its own.
    Dripping { calls: usize, tokens: f64, filled_at: Instant },
}

impl Limiter {
    fn sliding(calls: usize) -> Self {
        Self::Sliding { calls, accepted: VecDeque::new() }
    }

    fn accepts(&mut self, at: Instant, asked: usize) -> bool {
        match self {
            Self::Sliding { calls, accepted } => {
                accepted.retain(|(then, _)| *then + WINDOW > at);
                let is_within = accepted.iter().map(|(_, calls)| calls).sum::<usize>() + asked <= *calls;
                if is_within {
                    accepted.push_back((at, asked));
                }
                is_within
            }
            Self::Fixed { calls, start, second, accepted } => {
                let now = at.duration_since(*start).as_secs();
                if now != *second {
                    (*second, *accepted) = (now, 0);
                }
                let is_within = *accepted + asked <= *calls;
                *accepted += if is_within { asked } else { 0 };
                is_within
            }
            Self::Dripping { calls, tokens, filled_at } => {
                let dripped = at.duration_since(*filled_at).as_secs_f64() * *calls as f64;
                (*tokens, *filled_at) = ((*tokens + dripped).min(*calls as f64), at);
                let is_within = *tokens >= asked as f64;
                *tokens -= if is_within { asked as f64 } else { 0.0 };
                is_within
            }
        }
    }
}

/// What became of the calls of a client that always has another question of `question` calls.
#[derive(Debug, Default)]
struct Log {
    accepted: Vec<(Duration, usize)>,
    refused: Vec<Duration>,
}

impl Log {
    /// Calls accepted in a second, on the average between these seconds.
    fn rate_between(&self, from: u64, to: u64) -> f64 {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        let calls: usize = self.accepted.iter().filter(|(at, _)| from < *at && *at <= to).map(|(_, calls)| calls).sum();
        calls as f64 / (to - from).as_secs_f64()
    }
}

/// Runs that client for `seconds`; `ways` gives how long the next calls and their answer are under way.
fn run(
    bucket: &mut TokenBucket,
    limiter: &mut Limiter,
    question: usize,
    seconds: u64,
    told: Option<Duration>,
    mut ways: impl FnMut() -> (Duration, Duration),
) -> Log {
    let start = match limiter {
        Limiter::Fixed { start, .. } | Limiter::Dripping { filled_at: start, .. } => *start,
        Limiter::Sliding { .. } => Instant::now(),
    };
    let mut now = start + 370 * MS;
    let (mut log, mut rest) = (Log::default(), question);
    while now < start + Duration::from_secs(seconds) {
        let (ticket, calls) = match bucket.take(now, rest) {
            Permit::Wait(until) => {
                assert!(until > now);
                now = until;
                continue;
            }
            Permit::Go { ticket, calls } => (ticket, calls),
        };
        assert!((1..=rest).contains(&calls));
        let (there, back) = ways();
        let arrived = now + there;
        now = arrived + back;
        if limiter.accepts(arrived, calls) {
            bucket.accepted(ticket, now);
            log.accepted.push((arrived - start, calls));
            rest = if rest == calls { question } else { rest - calls };
        } else {
            bucket.refused(ticket, now, told);
            log.refused.push(arrived - start);
        }
    }
    log
}

/// How far an endpoint is away, one way, and how many calls a question has.
fn clients() -> impl Iterator<Item = (Duration, usize)> {
    [500, 1000, 5000].into_iter().flat_map(|us| [3, 8, 64].map(move |question| (Duration::from_micros(us), question)))
}

#[test]
fn a_learnt_limit_is_used_and_never_exceeded_again() {
    for calls in [10, 15, 25, 50, 100] {
        for ((way, question), told_seconds) in clients().flat_map(|client| [(client, 1), (client, 3)]) {
            let (mut bucket, mut limiter) = (TokenBucket::new(None), Limiter::sliding(calls));
            let told = Some(Duration::from_secs(told_seconds));
            let log = run(&mut bucket, &mut limiter, question, 60, told, || (way, way));
            let case = format!("{calls} calls a second, {question} a question, {way:?} away, told {told:?}");
            let used = log.rate_between(20, 60) / calls as f64;
            assert!(used >= 0.9, "{case}: {used} of what is permitted was used");
            let last = log.refused.last().copied();
            assert!(last.is_some_and(|last| last < Duration::from_secs(20)), "{case}: refused at {last:?}");
            assert!(log.refused.len() <= 3, "{case}: {:?}", log.refused);
        }
    }
}

#[test]
fn limits_of_other_kinds_are_learnt_too() {
    for calls in [15, 25, 100] {
        for (way, question) in clients() {
            let start = Instant::now();
            let limiters = [
                Limiter::Fixed { calls, start, second: 0, accepted: 0 },
                Limiter::Dripping { calls, tokens: calls as f64, filled_at: start },
            ];
            for mut limiter in limiters {
                let case = format!("{limiter:?}, {question} calls a question, {way:?} away");
                let mut bucket = TokenBucket::new(None);
                let log = run(&mut bucket, &mut limiter, question, 60, Some(1000 * MS), || (way, way));
                let used = log.rate_between(20, 60) / calls as f64;
                assert!((0.85..=1.05).contains(&used), "{case}: {used} of what is permitted was used");
                assert!(log.refused.len() <= 10, "{case}: {:?}", log.refused);
            }
        }
    }
}

#[test]
fn a_configured_limit_is_used_and_not_exceeded() {
    for (way_ms, question) in [(1, 3), (1, 64), (20, 16), (50, 64)] {
        let (mut bucket, mut limiter) = (TokenBucket::new(Some(rate(25, 1000))), Limiter::sliding(25));
        let way = way_ms * MS;
        let log = run(&mut bucket, &mut limiter, question, 60, None, || (way, way));
        assert_eq!(log.refused, [], "{way_ms} ms away");
        assert!(log.rate_between(0, 60) >= 0.9 * 25.0, "{way_ms} ms away: {}", log.rate_between(0, 60));
    }
}

#[test]
fn a_limit_over_a_longer_span_lets_bursts_pass() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(Some(rate(300, 10_000)));
    assert_eq!(bucket.take(start, 400), Permit::Go { ticket: 0, calls: 300 });
    bucket.accepted(0, start + 20 * MS);
    assert_eq!(bucket.take(start + 20 * MS, 1), Permit::Wait(start + 10_100 * MS));
    assert_eq!(bucket.take(start + 10_100 * MS, 400), Permit::Go { ticket: 1, calls: 300 });
}

#[test]
fn tokens_of_calls_without_an_answer_come_back_too() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(Some(rate(2, 1000)));
    assert_eq!(bucket.take(start, 1), Permit::Go { ticket: 0, calls: 1 });
    assert_eq!(bucket.take(start + 5 * MS, 9), Permit::Go { ticket: 1, calls: 1 });
    assert!(!bucket.has_room(start + 6 * MS, 1) && bucket.has_room(start + 1110 * MS, 1));
    assert!(!bucket.has_room(start + 1110 * MS, 2) && bucket.has_room(start + 1115 * MS, 2));
    assert_eq!(bucket.next_token(start + 6 * MS), start + 1110 * MS);
    assert_eq!(bucket.next_token(start + 1110 * MS), start + 1110 * MS);
}

#[test]
fn a_single_refusal_is_waited_out_and_teaches_nothing() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(None);
    assert_eq!(bucket.take(start, 8), Permit::Go { ticket: 0, calls: 8 });
    assert_eq!(bucket.refused(0, start + MS, Some(2000 * MS)), start + 2001 * MS);
    assert_eq!((bucket.take(start + 2 * MS, 8), bucket.rate()), (Permit::Wait(start + 2001 * MS), None));
    // Then in small steps, and after a while as before.
    assert_eq!(bucket.take(start + 2001 * MS, 8), Permit::Go { ticket: 1, calls: 1 });
    bucket.accepted(1, start + 2002 * MS);
    assert_eq!(bucket.take(start + 13_000 * MS, 8), Permit::Go { ticket: 2, calls: 8 });
}

#[test]
fn an_endpoint_that_goes_on_refusing_is_left_alone_for_longer_and_longer() {
    let mut now = Instant::now();
    let mut bucket = TokenBucket::new(None);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let Permit::Go { ticket, .. } = bucket.take(now, 1) else { panic!("closed at {now:?}") };
        let until = bucket.refused(ticket, now, Some(1000 * MS));
        waits.push((until - now).as_secs());
        now = until;
    }
    assert_eq!(waits, [1u64, 2, 4, 8, 16, 30, 30]);
    assert_eq!(bucket.rate(), None, "nothing was accepted, so nothing is known of a limit");
    assert_eq!(wait(None, 1), FIRST_WAIT);
    assert_eq!(wait(Some(Duration::MAX), 1), LONGEST_TOLD_WAIT);
}

#[test]
fn what_a_refusal_tells() {
    let cases = [
        (None, 30, 8, false, None),
        (None, 25, 1, true, Some(25)),
        (None, 16, 8, true, Some(20)),
        (None, 0, 1, true, None),
        (Some(40), 25, 1, true, Some(25)),
        (Some(40), 0, 1, true, Some(40)),
        (Some(100), 3, 1, true, Some(50)),
        (Some(26), 25, 1, true, Some(23)),
        (Some(25), 3, 8, false, Some(22)),
        (Some(1), 1, 1, true, Some(1)),
        (Some(1), 0, 1, false, Some(1)),
    ];
    for (limit, accepted, refused, was_careful, expected) in cases {
        let refusal = Refusal { accepted, refused, was_careful };
        assert_eq!(after_refusal(limit, &refusal), expected, "{limit:?}, {refusal:?}");
    }
}

#[test]
fn a_limit_that_was_learnt_too_low_is_raised_again_but_not_above_the_configured_one() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(Some(rate(100, 1000)));
    let Permit::Go { ticket, .. } = bucket.take(start, 1) else { panic!("a full bucket") };
    let reopened = bucket.refused(ticket, start, None);
    assert_eq!(bucket.rate(), Some(rate(90, 1000)));
    let raised = |bucket: &mut TokenBucket, seconds: u64| {
        bucket.take(reopened + Duration::from_secs(seconds), 1);
        bucket.rate().unwrap().calls
    };
    assert_eq!(raised(&mut bucket, 59), 90);
    assert_eq!(raised(&mut bucket, 60), 100);
    assert_eq!(raised(&mut bucket, 9999), 100);
}

#[test]
fn a_raise_that_is_refused_is_tried_again_after_twice_as_long() {
    let mut bucket = TokenBucket::new(None);
    let mut limiter = Limiter::sliding(25);
    let log = run(&mut bucket, &mut limiter, 8, 600, Some(1000 * MS), || (MS, MS));
    let late: Vec<u64> = log.refused.iter().map(Duration::as_secs).filter(|second| *second > 20).collect();
    assert_eq!(late.len(), 3, "after about 60 s, then after 120 s and 240 s: {late:?}");
    let gaps = [late[1] - late[0], late[2] - late[1]];
    assert!((118..=130).contains(&gaps[0]) && (238..=250).contains(&gaps[1]), "{late:?}");
    assert!(log.rate_between(20, 600) >= 0.9 * 25.0);
}

proptest::proptest! {
    /// Calls and answers are under way for as long as they like, up to what the bucket reckons with.
    #[test]
    fn no_window_at_the_endpoint_sees_more_than_the_limit(
        calls in 1u32..60, base_ms in 0u64..80, question in 1usize..100,
        ways_ms in proptest::collection::vec((0u64..45, 0u64..45), 1..40),
    ) {
        let mut bucket = TokenBucket::new(Some(rate(calls, 1000)));
        let mut limiter = Limiter::sliding(usize::try_from(calls).unwrap());
        // The first answer is the quickest.
        let mut ways = std::iter::once((0, 0)).chain(ways_ms.into_iter().cycle());
        let log = run(&mut bucket, &mut limiter, question, 15, None, || {
            let (there, back) = ways.next().unwrap();
            (Duration::from_millis(base_ms + there), Duration::from_millis(base_ms + back))
        });
        proptest::prop_assert!(log.refused.is_empty(), "{:?}", log.refused);
    }
}

#[test]
fn of_a_limit_that_others_use_too_only_the_share_is_taken() {
    for (thousandths, permitted) in [(500, 12), (250, 6), (1, 1), (1000, 25)] {
        for question in [3, 8, 64] {
            let (mut bucket, mut limiter) = (TokenBucket::new(Some(rate(25, 1000))), Limiter::sliding(permitted));
            bucket.set_share(RateShare::of_thousand(thousandths));
            let log = run(&mut bucket, &mut limiter, question, 30, None, || (MS, MS));
            assert_eq!(log.refused, [], "{thousandths} thousandths, {question} a question");
            let used = log.rate_between(5, 30) / permitted as f64;
            assert!(used >= 0.8, "{thousandths} thousandths, {question} a question: {used} was used");
            assert_eq!(bucket.rate().map(|rate| rate.calls), Some(25), "the limit is known as before");
        }
    }
}
