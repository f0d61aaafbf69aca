//! How long a task will take, by those that this node has run.
//!
//! A task's work is a fixed part and one that grows with the points: a line, laid through what earlier tasks took so that single
//! slow ones do not bend it (Theil, Indagationes Mathematicae 12, 1950; Sen, JASA 63, 1968).

/// What an earlier task took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Points that it read.
    pub points: u64,
    /// Function asked for to function ready, µs.
    pub boot_us: u64,
    /// The rest of its time but waiting, µs.
    pub work_us: u64,
}

/// What is expected of a task that does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Function asked for to function ready, µs.
    pub boot_us: u64,
    /// The rest of its time, µs.
    pub work_us: u64,
}

/// Expects of so many points what `past` says; nothing where that is empty. Takes time in the square of its length.
#[must_use]
pub fn forecast(past: &[Past], points: u64) -> Option<Forecast> {
    let boot_us = median(past.iter().map(|one| real(one.boot_us)).collect())?;
    let mut slopes = Vec::new();
    for (index, one) in past.iter().enumerate() {
        for other in past.iter().skip(index + 1).filter(|other| other.points != one.points) {
            slopes.push((real(other.work_us) - real(one.work_us)) / (real(other.points) - real(one.points)));
        }
    }
    // Of a single number of points no line can be laid: then all of the time counts as theirs.
    let alone = || past.iter().filter(|one| one.points > 0).map(|one| real(one.work_us) / real(one.points));
    let slope = median(slopes).or_else(|| median(alone().collect())).unwrap_or(0.0).max(0.0);
    let fixed = median(past.iter().map(|one| real(one.work_us) - slope * real(one.points)).collect())?;
    let work_us = (fixed.max(0.0) + slope * real(points)).round();
    Some(Forecast { boot_us: whole(boot_us), work_us: whole(work_us) })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

/// Exact up to 2^53, which is 285 years of µs.
#[expect(clippy::cast_precision_loss, reason = "an expectation")]
const fn real(number: u64) -> f64 {
    number as f64
}

/// Not negative, and no number means none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is not negative")]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn past(points: u64, work_us: u64) -> Past {
        Past { points, boot_us: 40_000, work_us }
    }

    #[test]
    fn a_line_through_the_past() {
        let line = [past(0, 1_000), past(10_000, 6_000), past(100_000, 51_000)];
        let expected = |work_us| Some(Forecast { boot_us: 40_000, work_us });
        assert_eq!(forecast(&line, 1_000_000), expected(501_000));
        // One that was slow for reasons of its own does not bend it.
        let disturbed = [&line[..], &[past(20_000, 11_000), past(50_000, 900_000)]].concat();
        let work_us = forecast(&disturbed, 1_000_000).unwrap().work_us;
        assert!((400_000..700_000).contains(&work_us), "{work_us}");
    }

    #[test]
    fn little_past_says_what_it_can() {
        assert_eq!(forecast(&[], 1), None);
        let work = |past: &[Past], points| forecast(past, points).unwrap().work_us;
        assert_eq!(work(&[past(1_000, 3_000)], 2_000), 6_000);
        assert_eq!(work(&[past(1_000, 3_000), past(1_000, 5_000)], 1_000), 4_000);
        assert_eq!(work(&[past(0, 3_000)], 2_000), 3_000);
        // More points were faster once: that does not make them free of time.
        assert_eq!(work(&[past(10, 5_000), past(1_000, 3_000)], 1_000_000), 4_000);
        assert_eq!(work(&[past(u64::MAX, u64::MAX), past(0, 0)], u64::MAX), u64::MAX);
    }
}
