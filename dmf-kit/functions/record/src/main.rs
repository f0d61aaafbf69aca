//! `record`: gives the points themselves, for fixtures that functions are tried on. Whoever may ask for it may take raw data
//! out, so no issuer has it unless its policy names it, and what a task may send out bounds it.
//!
//! Parameters: none. Result: `fades.record.v1`, per group its times (nanoseconds since 1970, i64) and its values (f64), both as
//! little-endian bytes in base64url without padding: 21.4 bytes a point, and exact. The state is as large as the data.

#![forbid(unsafe_code)]

use base64ct::{Base64UrlUnpadded, Encoding};
use dmf_kit::prelude::*;

/// Most points of one task: more than fit a result of 4 MiB, and less than 32 MiB in all with state, texts and result, as a guest of
/// 64 MiB has for them.
const MOST: u64 = 1 << 18;

/// The state: all points.
#[derive(Default)]
struct Record {
    points: u64,
    groups: Groups<Columns>,
}

#[derive(Default)]
struct Columns {
    times: Vec<u8>,
    values: Vec<u8>,
}

/// The result.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    group: Group,
    /// Base64url of i64, little-endian, nanoseconds since 1970.
    times: String,
    /// Base64url of f64, little-endian.
    values: String,
}

impl Function for Record {
    type Parameters = NoParameters;
    type Output = Report;

    fn start(NoParameters {}: NoParameters) -> Result<Self, Error> {
        Ok(Self::default())
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.points += batch.len() as u64;
        if self.points > MOST {
            return Err(Error::new(format!("over {MOST} points; record a shorter range, or less at once")));
        }
        let columns = self.groups.state(series, Columns::default);
        columns.times.extend(batch.times().flat_map(i64::to_le_bytes));
        columns.values.extend(batch.values().flat_map(f64::to_le_bytes));
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let text = |bytes: Vec<u8>| Base64UrlUnpadded::encode_string(&bytes);
        let row = |(group, columns): (Group, Columns)| Row {
            group,
            times: text(columns.times),
            values: text(columns.values),
        };
        Ok(Report { schema: "fades.record.v1", groups: self.groups.into_rows().map(row).collect() })
    }
}

dmf_kit::main!(Record);

#[cfg(test)]
mod tests {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use dmf_kit::testkit::{Feed, reduce};

    use super::Record;

    #[test]
    fn points_come_back_to_the_bit() {
        let points = [(i64::MIN, 0.1), (0, -0.0), (7, f64::MAX), (i64::MAX, 1e-310)];
        let feeds =
            [Feed::new("temp", &points).tag("room", "r1"), Feed::new("temp", &[(1, 2.0)]).tag("room", "r2")];
        let report = reduce::<Record>("{}", &feeds).unwrap();
        let group = &report["groups"][0];
        let words = |key: &str| -> Vec<[u8; 8]> {
            let bytes = Base64UrlUnpadded::decode_vec(group[key].as_str().unwrap()).unwrap();
            bytes.as_chunks::<8>().0.to_vec()
        };
        let times: Vec<i64> = words("times").into_iter().map(i64::from_le_bytes).collect();
        let bits: Vec<u64> = words("values").into_iter().map(u64::from_le_bytes).collect();
        assert_eq!(times, points.map(|(time, _)| time));
        assert_eq!(bits, points.map(|(_, value)| value.to_bits()));
        assert_eq!((&group["tags"]["room"], &group["operation"]), (&"r1".into(), &"temp".into()));
        assert_eq!(report["groups"].as_array().unwrap().len(), 2);
    }
}
