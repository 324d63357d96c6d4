//! The reconciliation alone: two sets, real frames, nothing fetched.

use super::*;

/// What a reconciliation of two sets came to.
#[derive(Debug)]
struct Outcome {
    missing: [BTreeSet<Point>; 2],
    frames: usize,
    bytes: usize,
    steps: usize,
}

/// Id number `n` of the tests; dates rise, several ids share one.
pub(super) fn point(n: u64) -> Point {
    Point {
        unix_ms: START_UNIX_MS - 10_000_000 + n / 3,
        id: *blake3::hash(&n.to_le_bytes()).as_bytes(),
    }
}

fn messages(ids: impl IntoIterator<Item = u64>) -> Messages {
    let mut messages = Messages::new(&Restored::default(), &mut Bench::new(0).cx());
    ids.into_iter().for_each(|n| messages.put(point(n), true));
    messages
}

/// Runs a session of the first with the second; `slice` ids a step.
fn reconcile(sets: &[Messages; 2], low: Point, high: Point, slice: usize) -> Outcome {
    let key = [9; 16];
    let mut outcome = Outcome {
        missing: [BTreeSet::new(), BTreeSet::new()],
        frames: 0,
        bytes: 0,
        steps: 0,
    };
    let mut job = Job::open(&key, low, high);
    let mut me = 0;
    for _ in 0..10_000 {
        loop {
            outcome.steps += 1;
            let mut budget = slice;
            if job.step(sets[me].decided(), &mut budget) {
                break;
            }
            assert_eq!(budget, 0);
        }
        let answer = job.finish();
        outcome.missing[me].extend(&answer.missing);
        if outcome.frames > 0 && answer.ranges.is_empty() {
            return outcome;
        }
        let frame = Reconcile {
            session: 1,
            key,
            start: answer.start,
            initiator: me == 0,
            ranges: Bounded::truncated(answer.ranges),
            low_edge_ms: 0,
        };
        let bytes = wire::encode(&Message::Reconcile(Box::new(frame)));
        assert!(bytes.len() <= wire::max_len(wire::tag::RECONCILE));
        outcome.frames += 1;
        outcome.bytes += bytes.len();
        let Ok(Message::Reconcile(frame)) = wire::decode(&bytes) else {
            panic!("the frame does not decode");
        };
        me = 1 - me;
        job = Job::answer(&frame, low, high, &sets[me]);
        if !asks(&frame.ranges) {
            outcome.missing[me].extend(&job.finish().missing);
            return outcome;
        }
    }
    panic!("no end");
}

const ALL: (Point, Point) = (session::date(0), session::date(u64::MAX));

#[test]
fn one_difference_in_a_hundred_thousand_takes_few_short_frames() {
    let sets = [
        messages(0..100_000),
        messages((0..100_000).filter(|n| *n != 31_415)),
    ];
    let outcome = reconcile(&sets, ALL.0, ALL.1, 4096);
    assert_eq!(outcome.missing[1], [point(31_415)].into());
    assert!(outcome.missing[0].is_empty());
    assert!(outcome.frames <= 4, "{}", outcome.frames);
    assert!(outcome.bytes <= 1_500, "{}", outcome.bytes);
    // The whole is walked for the first frame, to compare it, for the sketch, to solve it, and to look up what it told.
    assert!(outcome.steps <= 5 * 25 + 4, "{}", outcome.steps);
}

/// What finding out costs, whoever begins, whatever part of 100,000 is missing: some scattered ones, or the newest.
#[test]
fn few_differences_in_a_hundred_thousand_cost_little_more_than_their_ids() {
    const ALL_IDS: u64 = 100_000;
    let whole = messages(0..ALL_IDS);
    let mut sets = [whole, messages(0..0)];
    // How many are missing, whether they are the newest, and the most round trips.
    for (missing, newest, round_trips) in [
        (10, false, 2),
        (10, true, 2),
        (100, false, 2),
        (800, false, 2),
        (2000, false, 7),
    ] {
        let step = ALL_IDS / missing;
        let lacks = |n: &u64| *n >= ALL_IDS - missing && newest || *n % step == 7 && !newest;
        let lost: BTreeSet<_> = (0..ALL_IDS).filter(lacks).collect();
        assert_eq!(lost.len() as u64, missing);
        sets[1] = messages((0..ALL_IDS).filter(|n| !lost.contains(n)));
        let expected: BTreeSet<_> = lost.iter().map(|n| point(*n)).collect();
        for joiner in [1, 0] {
            let outcome = reconcile(&sets, ALL.0, ALL.1, usize::MAX);
            assert_eq!(outcome.missing[joiner], expected);
            assert!(outcome.missing[1 - joiner].is_empty());
            let (frames, bytes) = (outcome.frames, outcome.bytes);
            println!("{missing} missing, newest {newest}: {bytes} bytes in {frames} frames");
            assert!(
                frames <= 2 * round_trips,
                "{missing} missing: {frames} frames"
            );
            // Beyond the largest sketch, parts of the range are sketched one by one.
            let most = 3 * 32 * missing as usize + 4096;
            let most = if missing > 800 { most * 5 / 4 } else { most };
            assert!(bytes <= most, "{missing} missing: {bytes} bytes");
            sets.reverse();
        }
    }
}

/// The ids of a session are those of messages signed before its key was drawn. Under one key, ids can be found that the other
/// end cannot tell apart; under another one they are ids like any others.
#[test]
fn ids_chosen_to_collide_do_so_under_no_other_key() {
    use crate::repair::fingerprint::{Sum, session_key};
    use crate::repair::sketch::Sketch;
    let (known, drawn) = (session_key(&[9; 16]), session_key(&[10; 16]));
    let short = |key, n| Sum::of_id(key, &point(n)).short();
    let sketch = |key, ids: &[u64]| {
        let mut sketch = Sketch::new(72);
        ids.iter().for_each(|n| sketch.add(short(key, *n)));
        sketch
    };
    // Thirty ids that all go into the same two cells of the first third: no sketch of them can be solved.
    let cells = |key, n: u64| {
        let cells = sketch(key, &[n]).to_cells();
        let used = (0..72).filter(|at| cells[*at].count > 0);
        used.collect::<Vec<usize>>()
    };
    let hostile: Vec<u64> = (0..400_000)
        .filter(|n| cells(&known, *n)[..2] == cells(&known, 0)[..2])
        .take(30)
        .collect();
    assert_eq!(hostile.len(), 30);
    let solve = |key| {
        let theirs = sketch(key, &hostile[..24]).to_cells();
        sketch(key, &[]).difference(&theirs)
    };
    assert_eq!(solve(&known), None);
    let found = solve(&drawn).expect("ids like any others");
    assert_eq!(found.theirs.len(), 24);
}

#[test]
fn equal_sets_take_one_frame_each_way() {
    for n in [0, 1, 10_000] {
        let sets = [messages(0..n), messages(0..n)];
        let outcome = reconcile(&sets, ALL.0, ALL.1, 4096);
        assert_eq!(outcome.frames, 1, "the answer has nothing to say");
        assert!(outcome.bytes < 150);
    }
}

#[test]
fn an_empty_set_is_filled_a_frame_of_ids_a_round() {
    for (a, b) in [(0, 20_000), (20_000, 0)] {
        let sets = [messages(0..a), messages(0..b)];
        let outcome = reconcile(&sets, ALL.0, ALL.1, 4096);
        let missing = outcome.missing[0].len() + outcome.missing[1].len();
        assert_eq!(missing, 20_000);
        assert!(outcome.frames <= 2 * 20 + 4, "{}", outcome.frames);
        assert!(outcome.bytes <= 20_000 * 44, "{}", outcome.bytes);
    }
}

#[test]
fn what_is_pruned_is_compared_but_not_listed_as_missing_elsewhere() {
    let mut one = messages(0..500);
    for n in 500..1000 {
        one.put(point(n), false);
    }
    let outcome = reconcile(&[one, messages(0..0)], ALL.0, ALL.1, 4096);
    assert_eq!(outcome.missing[1].len(), 500);
}

#[test]
fn a_frame_without_end_of_differences_is_answered_within_the_limits() {
    // 128 ranges that all differ: what does not fit is looked at again, oldest first.
    let mine = messages(0..20_000);
    let ranges = (1..=128u64)
        .map(|n| wire::Range {
            end: session::date(START_UNIX_MS - 10_000_000 + n * 52),
            content: wire::RangeContent::Fingerprint {
                count: 7,
                fingerprint: [0; 16],
            },
        })
        .collect();
    let frame = Reconcile {
        session: 1,
        key: [0; 16],
        start: session::date(0),
        initiator: true,
        ranges: Bounded::truncated(ranges),
        low_edge_ms: 0,
    };
    let mut job = Job::answer(&frame, ALL.0, ALL.1, &mine);
    let mut budget = usize::MAX;
    assert!(job.step(mine.decided(), &mut budget));
    let answer = job.finish();
    assert!((113..=128).contains(&answer.ranges.len()));
    let last = answer.ranges.last().unwrap();
    assert_eq!(
        last.end,
        session::date(START_UNIX_MS - 10_000_000 + 128 * 52)
    );
    let frame = Reconcile {
        ranges: Bounded::truncated(answer.ranges),
        ..frame
    };
    let bytes = wire::encode(&Message::Reconcile(Box::new(frame)));
    assert!(wire::decode(&bytes).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any two sets learn exactly what each of them lacks, in the same session, through real frames, whatever the slice.
    #[test]
    fn any_two_sets_converge(
        common in 0u64..4000,
        blocks in prop::collection::vec((0u64..5000, 0u64..600, 0u8..3), 0..8),
        singles in prop::collection::vec((0u64..5000, 0u8..3), 0..40),
        slice in 1usize..5000,
    ) {
        let mut sets = [BTreeSet::new(), BTreeSet::new()];
        sets.iter_mut().for_each(|set| set.extend(0..common));
        let singles = singles.into_iter().map(|(n, whose)| (n, 1, whose));
        for (start, length, whose) in blocks.into_iter().chain(singles) {
            for n in start..start + length {
                for (at, set) in sets.iter_mut().enumerate() {
                    if whose == at as u8 || whose == 2 {
                        set.insert(n);
                    } else {
                        set.remove(&n);
                    }
                }
            }
        }
        let rooms = [messages(sets[0].iter().copied()), messages(sets[1].iter().copied())];
        let outcome = reconcile(&rooms, ALL.0, ALL.1, slice);
        for me in 0..2 {
            let lacks: BTreeSet<_> = sets[1 - me].difference(&sets[me]).map(|n| point(*n)).collect();
            prop_assert_eq!(&outcome.missing[me], &lacks);
        }
    }

    /// Frames that no honest node would send are answered within the limits, or not at all.
    #[test]
    fn any_frame_is_answered_within_the_limits(
        mine in 0u64..3000,
        ends in prop::collection::btree_set(0u64..1200, 0..128),
        contents in prop::collection::vec((0u8..4, any::<u32>(), 0u64..3000, any::<bool>()), 128),
        low in 0u64..1000,
        high in 0u64..1000,
    ) {
        let mine = messages(0..mine);
        let base = START_UNIX_MS - 10_000_000;
        let mut left = wire::MAX_RANGE_IDS;
        let mut from = session::date(0);
        let mut ranges = Vec::new();
        for (end, (kind, count, id, answer)) in ends.into_iter().zip(contents) {
            let end = session::date(base + end);
            let content = match kind {
                0 => wire::RangeContent::Skip,
                1 => wire::RangeContent::Fingerprint { count, fingerprint: [count as u8; 16] },
                _ => {
                    let ids: BTreeSet<_> = (id..id + 50).map(point).filter(|point| (from..end).contains(point)).collect();
                    let ids: Vec<_> = ids.into_iter().take(left).collect();
                    left -= ids.len();
                    wire::RangeContent::Ids { ids: Bounded::truncated(ids), answer }
                }
            };
            if end > from {
                ranges.push(wire::Range { end, content });
                from = end;
            }
        }
        let frame = Reconcile {
            session: 1, key: [0; 16], start: session::date(0), initiator: true,
            ranges: Bounded::truncated(ranges), low_edge_ms: 0,
        };
        let mut job = Job::answer(&frame, session::date(base + low), session::date(base + high), &mine);
        let mut budget = usize::MAX;
        prop_assert!(job.step(mine.decided(), &mut budget));
        let answer = job.finish();
        prop_assert!(answer.ranges.len() <= wire::MAX_RANGES);
        let bytes = wire::encode(&Message::Reconcile(Box::new(Reconcile {
            start: answer.start, ranges: Bounded::truncated(answer.ranges), ..frame
        })));
        prop_assert!(wire::decode(&bytes).is_ok());
        prop_assert!(bytes.len() <= wire::max_len(wire::tag::RECONCILE));
    }
}
