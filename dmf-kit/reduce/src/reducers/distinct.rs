//! How many different values there are.
//!
//! Written here: of the crates there are, those that keep the paper's tables of measured biases are several times as long as this and hash
//! through `std`'s hasher, whose keys differ from run to run, while results must be the same for the same data.

use schemars::JsonSchema;
use serde::Serialize;

use crate::function::Error;
use crate::reducer::{NotFinite, Reducer, as_f64};

/// Counts different values: exactly while there are few, then by a HyperLogLog sketch. Values are different if their
/// bits are, but 0 is -0. What is not finite is counted and kept out.
///
/// - **Formula**: of each value a hash of 64 bits is drawn; `2^p` registers keep the longest run of zeros seen in
///   their share of the hashes, and an estimator without bias makes a number of them.
/// - **Units**: a number of values.
/// - **Error**: none up to `2^p / 8` different values (512 with the default p of 12), as the hash is a bijection;
///   beyond it a relative standard error of `1.04 / √(2^p)` (1.6 %).
/// - **Memory**: `2^p` bytes (4 KiB); less while it is exact.
/// - **Source**: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog", AofA 2007; Heule, Nunkesser, Hall, "HyperLogLog in
///   practice", EDBT 2013 (hash of 64 bits, exact while small); the estimator: Ertl, "New cardinality estimation
///   algorithms for HyperLogLog sketches", arXiv:1702.01284, algorithm 6.
#[derive(Debug, Clone, PartialEq)]
pub struct Distinct {
    precision: u32,
    seen: Seen,
    count: u64,
    left_out: NotFinite,
}

#[derive(Debug, Clone, PartialEq)]
enum Seen {
    /// Every hash, in order.
    All(Vec<u64>),
    Registers(Vec<u8>),
}

impl Default for Distinct {
    /// With 4,096 registers.
    fn default() -> Self {
        let seen = Seen::All(Vec::new());
        Self { precision: 12, seen, count: 0, left_out: NotFinite::default() }
    }
}

impl Distinct {
    /// With `2^precision` registers.
    ///
    /// # Errors
    /// It is not within 4 to 16.
    pub fn new(precision: u32) -> Result<Self, Error> {
        if !(4..=16).contains(&precision) {
            return Err(Error::new(format!("precision {precision} is not within 4..=16")));
        }
        Ok(Self { precision, ..Self::default() })
    }

    const fn exact(&self) -> usize {
        (1 << self.precision) / 8
    }

    fn add(&mut self, hash: u64) {
        match &mut self.seen {
            Seen::All(hashes) => {
                if let Err(place) = hashes.binary_search(&hash) {
                    hashes.insert(place, hash);
                    if hashes.len() > self.exact() {
                        self.spill();
                    }
                }
            }
            Seen::Registers(registers) => register(registers, self.precision, hash),
        }
    }

    /// Goes on with registers.
    fn spill(&mut self) {
        if let Seen::All(hashes) = &self.seen {
            let mut registers = vec![0; 1 << self.precision];
            hashes.iter().for_each(|hash| register(&mut registers, self.precision, *hash));
            self.seen = Seen::Registers(registers);
        }
    }
}

impl Reducer for Distinct {
    type Output = Number;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        let mut before = None;
        for (_, value) in self.left_out.sift(points) {
            self.count += 1;
            let hash = mix(if value == 0.0 { 0 } else { value.to_bits() });
            // Readings often repeat the one before.
            if before.replace(hash) != Some(hash) {
                self.add(hash);
            }
        }
    }

    fn finish(self) -> Number {
        let (distinct, error) = match &self.seen {
            Seen::All(hashes) => (as_f64(hashes.len() as u64), 0.0),
            Seen::Registers(registers) => {
                (estimate(registers, self.precision).round(), 1.04 / as_f64(1 << self.precision).sqrt())
            }
        };
        Number { count: self.count, left_out: self.left_out, distinct, relative_error: error }
    }

    fn join(&mut self, later: &Self) -> bool {
        if self.precision != later.precision {
            return false;
        }
        match &later.seen {
            Seen::All(hashes) => hashes.iter().for_each(|hash| self.add(*hash)),
            Seen::Registers(theirs) => {
                self.spill();
                if let Seen::Registers(ours) = &mut self.seen {
                    ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours = (*ours).max(*theirs));
                }
            }
        }
        self.count += later.count;
        self.left_out.join(later.left_out);
        true
    }
}

/// A bijection of 64-bit words that leaves no pattern (the finalizer of SplitMix64: Steele, Lea, Flood, OOPSLA 2014; its constants are
/// Stafford's variant 13).
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The first bits of a hash say which register, and the zeros that follow what goes into it.
fn register(registers: &mut [u8], precision: u32, hash: u64) {
    let place = usize::try_from(hash >> (64 - precision)).unwrap_or(0);
    // A one behind the hash's own bits ends the run.
    let zeros = ((hash << precision) | (1 << (precision - 1))).leading_zeros();
    let rank = u8::try_from(zeros + 1).unwrap_or(u8::MAX);
    registers[place] = registers[place].max(rank);
}

/// Ertl's algorithm 6.
fn estimate(registers: &[u8], precision: u32) -> f64 {
    let most = 64 - precision as usize;
    let mut counts = vec![0_u64; most + 2];
    registers.iter().for_each(|register| counts[usize::from(*register)] += 1);
    let m = as_f64(1 << precision);
    let mut z = m * tau(1.0 - as_f64(counts[most + 1]) / m);
    for count in counts[1..=most].iter().rev() {
        z = 0.5 * (z + as_f64(*count));
    }
    z += m * sigma(as_f64(counts[0]) / m);
    m * m / (2.0 * core::f64::consts::LN_2 * z)
}

/// `x + Σ x^(2^k) · 2^(k - 1)`
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// `(1 - x - Σ (1 - x^(2^-k))² · 2^-k) / 3`
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// How many different values there were.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Number {
    /// Finite values.
    pub count: u64,
    /// Values that were left out.
    #[serde(flatten)]
    pub left_out: NotFinite,
    /// Different ones among them, as estimated.
    pub distinct: f64,
    /// Relative standard error of the estimate; 0 if it is exact.
    pub relative_error: f64,
}
