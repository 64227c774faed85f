use proptest::prelude::*;

use super::*;

/// Sends whenever a bucket that is full at first has a token, looking every 50 ms; the instants in seconds.
fn instants(rate: Rate, seconds: u32) -> Vec<f64> {
    let (mut tokens, mut sent) = (rate.burst, Vec::new());
    for step in 0..seconds * 20 {
        while tokens >= 1.0 {
            tokens -= 1.0;
            sent.push(f64::from(step) / 20.0);
        }
        tokens = (tokens + rate.per_minute / 1200.0).min(rate.burst);
    }
    sent
}

#[test]
fn a_limit_holds_in_any_minute_and_half_of_it_at_least_is_used() {
    for limit in [1, 2, 3, 4, 10, 60, 600] {
        let sent = instants(Rate::of(limit), 600);
        let most = sent.iter().map(|from| sent.iter().filter(|at| **at >= *from && **at <= from + 60.0).count()).max();
        let limit_count = usize::try_from(limit).unwrap();
        assert!(most <= Some(limit_count), "{most:?} in a minute under a limit of {limit}");
        // Over ten minutes, the first burst included.
        assert!(sent.len() * 2 >= limit_count * 10, "only {} of a limit of {limit}", sent.len());
    }
}

#[test]
fn corrections_and_retries_have_half_as_much_on_top() {
    assert_eq!(Rate::in_lane(60, Lane::First), Rate { per_minute: 45.0, burst: 15.0 });
    assert_eq!(Rate::in_lane(60, Lane::Again), Rate::of(30));
    assert_eq!(Rate::in_lane(1, Lane::Again), Rate::of(1));
}

fn want(org: i64, channel: i64, lane: Lane, messages: u32) -> Want {
    Want { org: OrgId(org), channel: ChannelId(channel), lane, messages }
}

#[test]
fn a_shortage_of_an_organisation_is_shared_and_lanes_are_apart() {
    let wants = [want(1, 1, Lane::First, 100), want(1, 2, Lane::First, 2), want(1, 1, Lane::Again, 5)];
    let supply = Supply {
        tokens: BTreeMap::from([
            ((Scope::Org(OrgId(1)), Lane::First), 10),
            ((Scope::Org(OrgId(1)), Lane::Again), 3),
            ((Scope::Channel(ChannelId(1)), Lane::First), 50),
            ((Scope::Channel(ChannelId(2)), Lane::First), 50),
            ((Scope::Channel(ChannelId(1)), Lane::Again), 50),
        ]),
        places: BTreeMap::from([(ChannelId(1), 50), (ChannelId(2), 50)]),
        org_places: BTreeMap::from([(OrgId(1), 100)]),
        room: 100,
    };
    assert_eq!(split(&wants, supply.clone(), 0), [8, 2, 3]);
    assert_eq!(split(&wants, Supply { room: 2, ..supply }, 1), [0, 1, 1], "the turn decides who is first");
    assert_eq!(split(&[], Supply::default(), 7), Vec::<u32>::new());
}

/// Enough of everything for `wants` but for what is given.
fn plenty(wants: &[Want], org_places: u32, room: u32) -> Supply {
    let buckets = |want: &Want| [(Scope::Org(want.org), want.lane), (Scope::Channel(want.channel), want.lane)];
    Supply {
        tokens: wants.iter().flat_map(buckets).map(|bucket| (bucket, 1000)).collect(),
        places: wants.iter().map(|want| (want.channel, 16)).collect(),
        org_places: wants.iter().map(|want| (want.org, org_places)).collect(),
        room,
    }
}

#[test]
fn many_channels_get_an_organisation_no_larger_share() {
    let mut wants: Vec<Want> = (1..=9).map(|channel| want(1, channel, Lane::First, 100)).collect();
    wants.push(want(2, 10, Lane::First, 100));
    for turn in 0..wants.len() {
        let granted = split(&wants, plenty(&wants, 100, 20), turn);
        assert_eq!(granted[9], 10, "half of the room is that of the other: {granted:?}, turn {turn}");
        assert_eq!(granted.iter().sum::<u32>(), 20);
        assert!(
            granted[..9].iter().all(|granted| *granted >= 1),
            "nor is one of its own channels left out: {granted:?}"
        );
    }
    let alone = split(&wants[..9], plenty(&wants, 12, 100), 0);
    assert_eq!(alone.iter().sum::<u32>(), 12, "it never takes more than it may, even if nobody else is there");
}

fn wants() -> impl Strategy<Value = Vec<Want>> {
    let lane = prop_oneof![Just(Lane::First), Just(Lane::Again)];
    let all = proptest::collection::btree_map((0i64..6, lane), 0u32..40, 0..10);
    all.prop_map(|all| {
        all.into_iter().map(|((channel, lane), messages)| want(channel % 2, channel, lane, messages)).collect()
    })
}

fn supply() -> impl Strategy<Value = Supply> {
    let lane = prop_oneof![Just(Lane::First), Just(Lane::Again)];
    let scope = prop_oneof![
        (0i64..2).prop_map(|org| Scope::Org(OrgId(org))),
        (0i64..6).prop_map(|channel| Scope::Channel(ChannelId(channel)))
    ];
    let tokens = proptest::collection::btree_map((scope, lane), 0u32..40, 0..16);
    let places = proptest::collection::btree_map((0i64..6).prop_map(ChannelId), 0u32..20, 0..6);
    let org_places = proptest::collection::btree_map((0i64..2).prop_map(OrgId), 0u32..60, 0..3);
    (tokens, places, org_places, 0u32..80).prop_map(|(tokens, places, org_places, room)| Supply {
        tokens,
        places,
        org_places,
        room,
    })
}

proptest! {
    #[test]
    fn nothing_is_overdrawn_and_nothing_held_back_without_need(wants in wants(), supply in supply(), turn in 0usize..50) {
        let granted = split(&wants, supply.clone(), turn);
        let sum = |of: &dyn Fn(&Want) -> bool| -> u32 {
            wants.iter().zip(&granted).filter(|(want, _)| of(want)).map(|(_, granted)| granted).sum()
        };
        let left_of = |bucket: Bucket| {
            let (scope, lane) = bucket;
            let spent = sum(&|want| want.lane == lane && match scope {
                Scope::Org(org) => want.org == org,
                Scope::Channel(channel) => want.channel == channel,
            });
            supply.tokens.get(&bucket).copied().unwrap_or(0).checked_sub(spent)
        };
        let places_left = |channel: ChannelId| {
            supply.places.get(&channel).copied().unwrap_or(0).checked_sub(sum(&|want| want.channel == channel))
        };
        let org_places_left = |org: OrgId| {
            supply.org_places.get(&org).copied().unwrap_or(0).checked_sub(sum(&|want| want.org == org))
        };
        let room_left = supply.room.checked_sub(sum(&|_| true));
        prop_assert!(room_left.is_some());
        for (want, granted) in wants.iter().zip(&granted) {
            let left = [
                left_of((Scope::Org(want.org), want.lane)),
                left_of((Scope::Channel(want.channel), want.lane)),
                places_left(want.channel),
                org_places_left(want.org),
                room_left,
            ];
            prop_assert!(left.iter().all(Option::is_some), "overdrawn: {:?}", left);
            prop_assert!(*granted <= want.messages);
            prop_assert!(*granted == want.messages || left.contains(&Some(0)), "{:?} held back, left {:?}", want, left);
        }
    }
}
