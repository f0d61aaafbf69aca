//! From values to places on an axis, and where its ticks stand.

/// How an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From 0.
    Linear,
    /// By factors of ten.
    Decades,
    /// By factors of two.
    Doublings,
}

/// An axis' range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    from: f64,
    to: f64,
}

impl Scale {
    /// Wide enough for all of these; values that a logarithm does not have are left out.
    pub(super) fn of(kind: Kind, values: impl IntoIterator<Item = f64>) -> Self {
        let has = |value: &f64| value.is_finite() && (kind == Kind::Linear || *value > 0.0);
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(has) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            (least, most) = (1.0, 1.0);
        }
        match kind {
            Kind::Linear => {
                let step = step(most.max(f64::MIN_POSITIVE));
                // Room for words behind the longest bar.
                Self { kind, from: 0.0, to: ((most / step).ceil() * step).max(step) }
            }
            Kind::Decades => Self::logarithmic(kind, 10.0, least, most),
            Kind::Doublings => Self::logarithmic(kind, 2.0, least, most),
        }
    }

    fn logarithmic(kind: Kind, base: f64, least: f64, most: f64) -> Self {
        // A value at a power's edge is that power, whatever the logarithm's last digit is.
        let from = base.powf((least.ln() / base.ln() + 1e-9).floor());
        let to = base.powf((most.ln() / base.ln() - 1e-9).ceil());
        Self { kind, from, to: to.max(from * base) }
    }

    /// The smallest value that has a place.
    pub(super) fn from(self) -> f64 {
        self.from
    }

    /// 0 to 1; what is outside is at the edge.
    pub(super) fn at(self, value: f64) -> f64 {
        let place = match self.kind {
            Kind::Linear => (value - self.from) / (self.to - self.from),
            Kind::Decades | Kind::Doublings => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// Values that are written at the axis.
    pub(super) fn ticks(self) -> Vec<f64> {
        let whole = |from: f64, to: f64, next: fn(f64, f64) -> f64, by: f64| {
            let mut ticks = vec![from];
            while let Some(last) = ticks.last().copied().filter(|last| *last < to * (1.0 - 1e-9)) {
                ticks.push(next(last, by));
            }
            ticks
        };
        match self.kind {
            Kind::Linear => {
                let step = step(self.to);
                (0_u32..)
                    .map(|count| f64::from(count) * step)
                    .take_while(|tick| *tick <= self.to * (1.0 + 1e-9))
                    .collect()
            }
            Kind::Decades => {
                let decades = whole(self.from, self.to, |last, by| last * by, 10.0);
                if decades.len() > 3 {
                    return decades;
                }
                let between = |decade: &f64| [1.0, 2.0, 5.0].map(|digit| decade * digit);
                let ticks = decades.iter().flat_map(between);
                ticks.filter(|tick| *tick <= self.to * (1.0 + 1e-9)).collect()
            }
            Kind::Doublings => {
                let all = whole(self.from, self.to, |last, by| last * by, 2.0);
                let every = all.len().div_ceil(10);
                all.into_iter().step_by(every).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten, four to nine of which make `most`.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let fits = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| most / (digit * power) <= 6.0);
    fits.unwrap_or(10.0) * power
}

/// A number as people write it: three digits, more where they are whole.
pub(super) fn written(value: f64) -> String {
    let places = match value.abs() {
        0.0 => 0,
        size if size < 0.1 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (whole, rest) = text.split_once('.').map_or((text, ""), |(whole, _)| (whole, &text[whole.len()..]));
    let digits = whole.trim_start_matches('-');
    let mut grouped = whole[..whole.len() - digits.len()].to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_within_the_axis_and_in_order() {
        for kind in [Kind::Linear, Kind::Decades, Kind::Doublings] {
            let values = [3.0, 8.0, 70.0, 512.0];
            let scale = Scale::of(kind, values);
            let places = values.map(|value| scale.at(value));
            assert!(
                places.is_sorted() && places[0] >= 0.0 && places[3] <= 1.0 && places[0] < places[3],
                "{places:?}"
            );
            let ticks = scale.ticks();
            assert!((2..=11).contains(&ticks.len()) && ticks.is_sorted(), "{kind:?} {ticks:?}");
        }
        assert_eq!(
            Scale::of(Kind::Doublings, [8.0, 512.0]).ticks(),
            [8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]
        );
        assert_eq!(Scale::of(Kind::Linear, [43.0]).ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
    }

    #[test]
    fn no_values_and_values_that_have_no_logarithm_are_no_fault() {
        for kind in [Kind::Linear, Kind::Decades, Kind::Doublings] {
            let scale = Scale::of(kind, [0.0, f64::NAN, -1.0]);
            assert!(
                scale.at(0.0) == 0.0 && scale.at(f64::NAN) == 0.0 && !scale.ticks().is_empty(),
                "{scale:?}"
            );
            assert!(!Scale::of(kind, []).ticks().is_empty());
        }
    }

    #[test]
    fn numbers_are_written_with_as_many_digits_as_they_need() {
        let cases = [
            (0.0, "0"),
            (0.25, "0.25"),
            (1.5, "1.5"),
            (12.34, "12.3"),
            (1352.5, "1,352"),
            (4_194_304.0, "4,194,304"),
            (0.0574, "0.057"),
            (100.0, "100"),
        ];
        for (value, text) in cases {
            assert_eq!(written(value), text);
        }
    }
}
