//! Sample readings: five rooms, five sensor classes, the same for the same seed.

use std::fmt::Write;

/// Rooms of the sample building; the tag `room`.
pub const ROOMS: [&str; 5] = ["r1", "r2", "r3", "r4", "r5"];
/// Sensor classes with middle, daily swing and noise; each is a measurement with the field `value`.
pub const CLASSES: [(&str, f64, f64, f64); 5] = [
    ("temperature", 21.0, 3.0, 0.4),
    ("humidity", 45.0, 10.0, 2.0),
    ("light", 300.0, 280.0, 25.0),
    ("sound", 42.0, 8.0, 6.0),
    ("proximity", 120.0, 40.0, 60.0),
];
/// First reading: 2026-01-01T00:00:00Z, in nanoseconds since 1970.
pub const START_NS: i64 = 1_767_225_600_000_000_000;
/// Time between two readings of one sensor: 10 s.
pub const STEP_NS: i64 = 10_000_000_000;

const SEED: u64 = 0x00FA_DE50_2017;
const DAY_NS: f64 = 86_400e9;

/// The testbed's readings as blocks of InfluxDB's line protocol, at most `block` lines each.
pub struct Generator {
    points: u64,
    next: u64,
    random: u64,
}

impl Generator {
    /// `points` readings in all, spread evenly over the 25 sensors.
    pub fn new(points: u64) -> Self {
        Self { points, next: 0, random: SEED }
    }

    /// The first instant after the last reading.
    pub fn end_ns(&self) -> i64 {
        let sensors = (ROOMS.len() * CLASSES.len()) as u64;
        START_NS + i64::try_from(self.points.div_ceil(sensors)).unwrap_or(i64::MAX / STEP_NS) * STEP_NS
    }

    /// The next block, or `None` when all readings were given.
    pub fn block(&mut self, lines: u64) -> Option<String> {
        let end = self.points.min(self.next + lines);
        if self.next == end {
            return None;
        }
        let mut block = String::new();
        for number in self.next..end {
            self.line(number, &mut block);
        }
        self.next = end;
        Some(block)
    }

    fn line(&mut self, number: u64, out: &mut String) {
        let sensors = (ROOMS.len() * CLASSES.len()) as u64;
        let sensor = usize::try_from(number % sensors).unwrap_or(0);
        let step = i64::try_from(number / sensors).unwrap_or(0);
        let (room, (class, middle, swing, noise)) = (sensor % ROOMS.len(), CLASSES[sensor / ROOMS.len()]);
        #[expect(clippy::cast_precision_loss, reason = "a phase of the day needs no more than 53 bits")]
        let phase = (step * STEP_NS) as f64 / DAY_NS * std::f64::consts::TAU;
        #[expect(clippy::cast_precision_loss, reason = "room numbers are small")]
        let offset = room as f64 / ROOMS.len() as f64;
        let value = middle + swing * (phase + offset).sin() + noise * self.uniform();
        // Two or three decimals, as sensors have.
        let value = (value * 1000.0).round() / 1000.0;
        // A String takes every write.
        let _ = writeln!(out, "{class},room={} value={value} {}", ROOMS[room], START_NS + step * STEP_NS);
    }

    /// Uniform in -1..1, by SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 random bits fit a double exactly")]
        let unit = (z >> 11) as f64 / (1u64 << 53) as f64;
        unit * 2.0 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_readings_in_any_blocks() {
        let all = |lines| {
            let mut generator = Generator::new(1003);
            std::iter::from_fn(|| generator.block(lines)).collect::<String>()
        };
        assert_eq!(all(7), all(5000));
        assert_eq!(all(7).lines().count(), 1003);
        assert!(all(7).starts_with("temperature,room=r1 value="));
    }
}
