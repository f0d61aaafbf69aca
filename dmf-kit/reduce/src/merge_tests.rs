//! The merge against a join that holds everything, whatever the order in which streams bring it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Groups with their points, in order.
type Stream = BTreeMap<u8, Vec<(i64, f64)>>;
/// Points of one group that a stream brings at once.
type Piece = (u8, Vec<(i64, f64)>);
type Rows = Vec<(u8, i64, Vec<f64>)>;

fn tags(group: u8) -> Tags {
    vec![("room".to_owned(), format!("r{group:03}"))]
}

/// The definition: for each point of the first stream, of each other the point that is meant.
fn naive(streams: &[Stream], align: Align) -> Rows {
    let mut rows = Vec::new();
    for (group, points) in &streams[0] {
        for &(time, value) in points {
            let others = streams[1..].iter().map(|other| pick(other.get(group)?, time, align));
            if let Some(others) = others.collect::<Option<Vec<f64>>>() {
                rows.push((*group, time, std::iter::once(value).chain(others).collect()));
            }
        }
    }
    rows
}

fn pick(points: &[(i64, f64)], time: i64, align: Align) -> Option<f64> {
    let before = points.iter().rev().find(|point| point.0 <= time);
    let after = points.iter().find(|point| point.0 > time);
    match align {
        Align::Carry { max_age_ns } => before.filter(|point| time - point.0 <= max_age_ns),
        Align::Nearest { tolerance_ns } => {
            let both = before.into_iter().chain(after).filter(|point| (point.0 - time).abs() <= tolerance_ns);
            // Of equal distances the first, which is the one before.
            both.min_by_key(|point| (point.0 - time).abs())
        }
    }
    .map(|point| point.1)
}

fn stream() -> impl Strategy<Value = Stream> {
    let points = prop::collection::vec(0i64..4, 1..30).prop_flat_map(|steps| {
        let count = steps.len();
        (Just(steps), prop::collection::vec(-100i32..100, count))
    });
    let points = points.prop_map(|(steps, values)| {
        let mut time = 0;
        let step = |(step, value): (i64, i32)| {
            time += step;
            (time, f64::from(value))
        };
        steps.into_iter().zip(values).map(step).collect()
    });
    prop::collection::btree_map(0u8..6, points, 0..5)
}

fn align() -> impl Strategy<Value = Align> {
    prop_oneof![
        (0i64..6).prop_map(|max_age_ns| Align::Carry { max_age_ns }),
        (0i64..6).prop_map(|tolerance_ns| Align::Nearest { tolerance_ns }),
    ]
}

/// Brings the streams in pieces. A stream of which points are held brings no more than a window; the dice choose among the others.
/// Gives the rows, what was left out, and how many points were held at most of any stream.
fn merged(streams: &[Stream], align: Align, window: usize, dice: &[u8]) -> (Rows, Vec<u64>, usize) {
    let mut merge = Merge::new(align, streams.len());
    let mut rows = Rows::new();
    let mut pieces: Vec<Vec<Piece>> = Vec::new();
    for stream in streams {
        let piece = |(group, points): (&u8, &Vec<(i64, f64)>)| {
            points.chunks(3).map(|chunk| (*group, chunk.to_vec())).collect::<Vec<_>>()
        };
        let mut list: Vec<_> = stream.iter().flat_map(piece).collect();
        list.reverse();
        pieces.push(list);
    }
    let (mut ended, mut most, mut turn) = (vec![false; streams.len()], 0, 0);
    while ended.iter().any(|ended| !ended) {
        let may: Vec<usize> =
            (0..streams.len()).filter(|at| !ended[*at] && merge.held(*at) < window).collect();
        assert!(!may.is_empty(), "every stream waits: {merge:?}");
        let at = may[usize::from(dice[turn % dice.len()]) % may.len()];
        turn += 1;
        match pieces[at].pop() {
            Some((group, points)) => merge.take(at, &tags(group), points.into_iter()).unwrap(),
            None => {
                merge.end(at);
                ended[at] = true;
            }
        }
        let row = |tags: &Tags, time: i64, values: &[f64]| {
            rows.push((tags[0].1[1..].parse().unwrap(), time, values.to_vec()));
            Ok(())
        };
        merge.rows(row).unwrap();
        most = most.max((0..streams.len()).map(|at| merge.held(at)).max().unwrap_or(0));
    }
    assert!((0..streams.len()).all(|at| merge.held(at) == 0), "something is held at the end: {merge:?}");
    (rows, merge.left_out(), most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_gives_what_the_definition_says_and_holds_no_more_than_a_window(
        streams in prop::collection::vec(stream(), 2..5), align in align(), dice in prop::collection::vec(any::<u8>(), 1..100),
    ) {
        let (rows, left_out, most) = merged(&streams, align, 1, &dice);
        prop_assert_eq!(&rows, &naive(&streams, align));
        // A piece of three points comes only while nothing is held.
        prop_assert!(most <= 3, "{} points were held", most);
        let (again, same, _) = merged(&streams, align, 40, &dice);
        prop_assert_eq!((again, &same), (rows.clone(), &left_out));
        let leader: usize = streams[0].values().map(Vec::len).sum();
        prop_assert_eq!(left_out[0], (leader - rows.len()) as u64);
        // Of the others a point may be in several rows, but not in fewer rows than it is said to be.
        for (other, left_out) in streams.iter().zip(&left_out).skip(1) {
            let points: usize = other.values().map(Vec::len).sum();
            prop_assert!(points as u64 >= *left_out && points as u64 - left_out <= rows.len() as u64);
        }
    }

    /// Where no two points of a group have one time or value, which were used can be counted from outside.
    #[test]
    fn what_was_in_no_row_is_counted(
        groups in prop::collection::vec((0u8..4, prop::collection::btree_set(0i64..60, 1..30)), 2..8), align in align(),
        dice in prop::collection::vec(any::<u8>(), 1..100),
    ) {
        let mut streams = vec![Stream::new(), Stream::new()];
        for (at, (group, times)) in groups.into_iter().enumerate() {
            let value = |time: i64| (time, (time * 10 + i64::from(group)) as f64);
            streams[at % 2].insert(group, times.into_iter().map(value).collect());
        }
        let (rows, left_out, _) = merged(&streams, align, 1, &dice);
        let used: std::collections::BTreeSet<u64> = rows.iter().map(|row| row.2[1].to_bits()).collect();
        let points: usize = streams[1].values().map(Vec::len).sum();
        prop_assert_eq!(left_out[1], (points - used.len()) as u64);
    }
}

#[test]
fn a_stream_out_of_order_and_another_grouping_are_refused() {
    let mut merge = Merge::new(Align::Carry { max_age_ns: 0 }, 2);
    merge.take(0, &tags(5), [(0, 0.0)].into_iter()).unwrap();
    let words = merge.take(0, &tags(4), [(0, 0.0)].into_iter()).unwrap_err().to_string();
    assert_eq!(words, "group [(\"room\", \"r004\")] comes after [(\"room\", \"r005\")]: out of order");
    let words = merge.take(1, &Tags::new(), [(0, 0.0)].into_iter()).unwrap_err().to_string();
    assert_eq!(words, "operations that are joined need the same group_by: [\"room\"] and []");
}

#[test]
fn a_value_carries_to_the_end_of_its_age_and_not_into_another_group() {
    let carry = Align::Carry { max_age_ns: 10 };
    let one = Stream::from([(0, vec![(10, 1.0), (11, 2.0), (i64::MAX, 3.0)]), (1, vec![(5, 4.0)])]);
    let other = Stream::from([(0, vec![(i64::MIN, 7.0), (0, 8.0), (0, 9.0)]), (1, vec![(6, 5.0)])]);
    assert_eq!(merged(&[one, other], carry, 1, &[0]).0, [(0, 10, vec![1.0, 9.0])]);
}
