//! Windows against their definition, over every way to lie and both ways to be kept.

use std::collections::BTreeMap;

use fades_wire::batch::BatchBuilder;
use proptest::prelude::*;

use super::*;
use crate::function::NoParameters;
use crate::reducers::Moments;

/// Gives, per window, what its points were: joined from panes, or not.
#[derive(Debug, Clone, Default, PartialEq)]
struct Points<const JOINS: bool>(Vec<(i64, f64)>);

impl<const JOINS: bool> Reducer for Points<JOINS> {
    type Output = Vec<(i64, f64)>;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        self.0.extend(points);
    }

    fn finish(self) -> Self::Output {
        self.0
    }

    fn join(&mut self, later: &Self) -> bool {
        if JOINS {
            self.0.extend(&later.0);
        }
        JOINS
    }
}

type Rows = Vec<(Window, Vec<(i64, f64)>)>;

fn reduced<const JOINS: bool>(windows: Windows, points: &[(i64, f64)], chunk: usize) -> Rows {
    struct Keep<const J: bool>(Windows);
    impl<const J: bool> WindowFunction for Keep<J> {
        type Parameters = NoParameters;
        type Reducer = Points<J>;
        type Row = (Window, Vec<(i64, f64)>);
        type Output = ();
        fn start(_: NoParameters) -> Result<Self, Error> {
            Ok(Self(Windows::tumbling(1)?))
        }
        fn windows(&self) -> Windows {
            self.0
        }
        fn reducer(&self) -> Points<J> {
            Points::default()
        }
        fn close(
            &mut self,
            _: &Series,
            window: Window,
            points: Vec<(i64, f64)>,
        ) -> Result<Option<Self::Row>, Error> {
            Ok(Some((window, points)))
        }
        fn finish(self, _: Vec<(Group, Vec<Self::Row>)>) -> Result<(), Error> {
            Ok(())
        }
    }
    let mut windowed =
        Windowed { function: Keep::<JOINS>(windows), windows, current: None, rows: Vec::new(), kept: 0 };
    for piece in points.chunks(chunk) {
        give(&mut windowed, &series(0), piece);
    }
    // Another series closes what is open of the first, and begins anew.
    give(&mut windowed, &series(1), &points[..1]);
    windowed.close(i128::MAX).unwrap();
    assert_eq!(windowed.rows.len(), 2);
    assert!(windowed.rows[1].1.iter().all(|(_, held)| held == &points[..1]));
    windowed.rows.swap_remove(0).1
}

fn series(index: usize) -> Series {
    let (operation, measurement, field) = ("op".to_owned(), "m".to_owned(), "v".to_owned());
    Series { index, operation, measurement, field, tags: vec![] }
}

fn give<F: WindowFunction>(windowed: &mut Windowed<F>, series: &Series, points: &[(i64, f64)]) {
    let mut builder = BatchBuilder::new(0);
    for (time, value) in points {
        builder.push(*time, *value);
    }
    let mut body = Vec::new();
    builder.write(&mut body);
    windowed.batch(series, Batch::parse(&body).unwrap()).unwrap();
}

/// The definition: a window per multiple of the step, if it has points.
fn naive(size: i64, step: i64, points: &[(i64, f64)]) -> Rows {
    let mut rows = BTreeMap::<i64, Vec<(i64, f64)>>::new();
    for &(time, value) in points {
        let mut start = time.div_euclid(step) * step;
        while start > time - size {
            rows.entry(start).or_default().push((time, value));
            start -= step;
        }
    }
    rows.into_iter()
        .map(|(start, points)| (Window { start_ns: start, end_ns: start + size }, points))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn windows_have_the_points_that_lie_in_them(
        size in 1i64..40, step in 1i64..40, first in -60i64..60, steps in prop::collection::vec(prop_oneof![0i64..4, 0i64..90], 1..80), chunk in 1usize..20,
    ) {
        let step = step.min(size);
        let mut time = first;
        let points: Vec<(i64, f64)> = steps.iter().zip(0u32..).map(|(step, at)| {
            time += step;
            (time, f64::from(at))
        }).collect();
        let windows = Windows::sliding(size, step).unwrap();
        let expected = naive(size, step, &points);
        prop_assert_eq!(reduced::<true>(windows, &points, chunk), expected.clone());
        prop_assert_eq!(reduced::<false>(windows, &points, chunk), expected);
    }
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let windows = Windows::sliding(i64::MAX, i64::MAX / 7).unwrap();
    for joins in [false, true] {
        let points = [(i64::MIN, 1.0), (0, 2.0), (i64::MAX, 3.0)];
        let rows =
            if joins { reduced::<true>(windows, &points, 1) } else { reduced::<false>(windows, &points, 1) };
        assert_eq!(rows.first().unwrap().0.start_ns, i64::MIN);
        assert_eq!(rows.last().unwrap().0.end_ns, i64::MAX);
        assert!(rows.iter().all(|(window, _)| window.start_ns <= window.end_ns));
    }
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    for (size, step) in [(0, 0), (-1, -1), (1, 2), (10, 0), (1025, 1), (i64::MAX, 1)] {
        assert!(Windows::sliding(size, step).is_err(), "{size} every {step}");
    }
    assert!(Windows::sliding(1024, 1).is_ok() && Windows::sliding(i64::MAX, i64::MAX - 1).is_ok());
    assert!(Windows::tumbling(i64::MAX).is_ok());
}

#[test]
fn what_a_window_leaves_is_bounded() {
    struct Few;
    impl WindowFunction for Few {
        type Parameters = NoParameters;
        type Reducer = Moments;
        type Row = u64;
        type Output = usize;
        const MOST_ROWS: usize = 3;
        fn start(_: NoParameters) -> Result<Self, Error> {
            Ok(Self)
        }
        fn windows(&self) -> Windows {
            Windows::tumbling(10).unwrap()
        }
        fn reducer(&self) -> Moments {
            Moments::default()
        }
        fn close(
            &mut self,
            _: &Series,
            _: Window,
            reduced: crate::reducers::Summary,
        ) -> Result<Option<u64>, Error> {
            // Windows of one point are not kept, and do not count.
            Ok(Some(reduced.count).filter(|count| *count > 1))
        }
        fn finish(self, rows: Vec<(Group, Vec<u64>)>) -> Result<usize, Error> {
            Ok(rows.iter().map(|(_, rows)| rows.len()).sum())
        }
    }
    let points = |pairs: i64| -> Vec<(i64, f64)> {
        (0..10).map(|at| (at * 10, 1.0)).chain((0..2 * pairs).map(|at| (100 + at / 2 * 10, 2.0))).collect()
    };
    let mut few = Windowed::<Few>::start(NoParameters {}).unwrap();
    give(&mut few, &series(0), &points(3));
    assert_eq!(few.finish(), Ok(3));
    let mut many = Windowed::<Few>::start(NoParameters {}).unwrap();
    give(&mut many, &series(0), &points(4));
    let words = many.finish().unwrap_err().to_string();
    assert!(words.contains("rows of windows are over 3; take longer windows"), "{words}");
}
