//! What points can be reduced to. Each says its formula, its units, how far its numbers may be off, what memory it takes, and
//! where it is from; `tests/reference.rs` compares each with what numpy and scipy say of the same points.

mod anomalies;
mod bivariate;
mod correlation;
mod distinct;
mod events;
mod histogram;
mod moments;
mod quantiles;
mod rate;
mod top;
mod trend;

pub use anomalies::{Anomalies, Anomaly, Outliers};
pub use correlation::{Correlation, Fit};
pub use distinct::{Distinct, Number};
pub use events::{Event, EventList, Events};
pub use histogram::{Bins, Histogram};
pub use moments::{Moments, Reading, Summary};
pub use quantiles::{Quantile, QuantileList, Quantiles};
pub use rate::{Increase, Rate};
pub use top::{Top, TopK};
pub use trend::{Line, Trend};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_take_what_they_say() {
        let sizes = [
            (size_of::<Moments>(), 120),
            (size_of::<Correlation>(), 80),
            (size_of::<Trend>(), 104),
            (size_of::<Rate>(), 88),
            (events::SPAN, 48),
        ];
        for (size, said) in sizes {
            assert_eq!(size, said);
        }
    }
}
