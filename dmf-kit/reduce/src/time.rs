//! Times and durations as results and parameters write them.

use crate::function::Error;

const SECOND: i64 = 1_000_000_000;

/// An instant in nanoseconds since 1970, UTC, as RFC 3339 with as many decimals as it needs.
#[must_use]
pub fn rfc3339(unix_ns: i64) -> String {
    let (seconds, nanos) = (unix_ns.div_euclid(SECOND), unix_ns.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let fraction = match nanos {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a day counted from 1970-01-01 in the proleptic Gregorian calendar. Counts in eras of 400 years
/// (146,097 days) that begin on 1 March, so that the leap day is the last of its year.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let calendar_month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + (calendar_month <= 2) as i64, calendar_month, day)
}

/// A positive duration such as `15m`: a whole number and one of `ns us ms s m h d w`, in nanoseconds.
///
/// # Errors
/// When it is not of this form, zero, or does not fit in 64 bits.
pub fn duration_ns(text: &str) -> Result<i64, Error> {
    let refused = || {
        Error::new(format!(
            "{text:?} is no duration; write a whole number and one of ns us ms s m h d w, like 15m"
        ))
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        "d" => 86_400 * SECOND,
        "w" => 7 * 86_400 * SECOND,
        _ => return Err(refused()),
    };
    let number = number.parse::<i64>().ok().filter(|&n| n > 0);
    number.and_then(|n| n.checked_mul(unit)).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
            (1_709_251_199 * SECOND + 500_000_000, "2024-02-29T23:59:59.5Z"),
            (4_107_542_400 * SECOND, "2100-03-01T00:00:00Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ] {
            assert_eq!(rfc3339(ns), text);
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration_ns("15m"), Ok(900 * SECOND));
        assert_eq!(duration_ns("1w"), Ok(604_800 * SECOND));
        for bad in ["", "m", "0s", "1.5h", "-1s", "15", "1y", "9223372036854775807w", "１s"] {
            assert!(duration_ns(bad).is_err(), "{bad}");
        }
    }
}
