//! Counters, told at `/metrics` in the Prometheus text form (version 0.0.4). A few numbers need no library.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A number that is added to or set.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets to `n`.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter per label value. The values come from closed sets (codes, states), so it is bounded.
#[derive(Debug, Default)]
pub struct Family(Mutex<BTreeMap<String, u64>>);

impl Family {
    /// Counts one more of `label`.
    pub fn add(&self, label: &str) {
        self.add_many(label, 1);
    }

    /// Counts `many` more of `label`.
    pub fn add_many(&self, label: &str, many: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(label) {
            Some(count) => *count += many,
            None => {
                counts.insert(label.to_owned(), many);
            }
        }
    }

    /// How many of `label` so far.
    #[must_use]
    pub fn get(&self, label: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(label).copied().unwrap_or(0)
    }
}

macro_rules! metrics {
    (numbers { $($number:ident: $kind:literal, $help:literal;)+ } families { $($family:ident: $label:literal, $help2:literal;)+ }) => {
        /// Everything that is counted.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $help] pub $number: Number,)+
            $(#[doc = $help2] pub $family: Family,)+
        }

        impl Metrics {
            /// All of it as text.
            #[must_use]
            pub fn text(&self) -> String {
                let mut text = String::with_capacity(4096);
                $(
                    header(&mut text, stringify!($number), $kind, $help);
                    let _ = writeln!(text, "fades_{} {}", stringify!($number), self.$number.get());
                )+
                $(
                    header(&mut text, stringify!($family), "counter", $help2);
                    for (label, count) in self.$family.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                        let _ = writeln!(text, "fades_{}{{{}=\"{label}\"}} {count}", stringify!($family), $label);
                    }
                )+
                text
            }
        }
    };
}

metrics! {
    numbers {
        connections_open: "gauge", "Connections open now.";
        connections_refused: "counter", "Connections closed at once because of a cap.";
        connections_broken: "counter", "Connections that ended by a deadline or an error.";
        events_streams: "gauge", "Event streams open now.";
        tasks_accepted: "counter", "Tasks stored since start.";
        tasks_open: "gauge", "Tasks that have not ended.";
        refusals_dropped: "counter", "Refusals that were counted only, beyond the rate at which they are kept.";
        store_commits: "counter", "Transactions synced to disk since start.";
        guests_running: "gauge", "Guests that exist now.";
        guests_started: "counter", "Guests started since start.";
        broker_ready: "gauge", "1 while the broker is ready.";
        network_forwarded: "counter", "Frames that passed the virtual network.";
        network_forwarded_bytes: "counter", "Bytes of these frames.";
        network_dropped_spoofed: "counter", "Frames dropped for a foreign address.";
        network_dropped_policy: "counter", "Frames dropped by policy.";
        network_dropped_malformed: "counter", "Frames dropped as malformed.";
        network_dropped_full: "counter", "Frames dropped because a queue was full.";
        points_read: "counter", "Points read for tasks that succeeded.";
        bytes_read: "counter", "Column bytes read for tasks that succeeded.";
        bytes_out: "counter", "Bytes of results stored.";
    }
    families {
        refusals: "code", "Requests refused, by code.";
        tasks_ended: "state", "Tasks ended since start, by state.";
        periods_ended: "state", "Periods of persistent tasks that are over since start, by state.";
        guests_ended: "cause", "Guests ended since start, by cause.";
    }
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP fades_{name} {help}\n# TYPE fades_{name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_help_type_and_value() {
        let metrics = Metrics::default();
        metrics.tasks_accepted.add(3);
        metrics.refusals.add("E1203");
        metrics.refusals.add("E1203");
        let text = metrics.text();
        assert!(text.contains("# TYPE fades_tasks_accepted counter\nfades_tasks_accepted 3\n"));
        assert!(text.contains("fades_refusals{code=\"E1203\"} 2\n"));
    }
}
