//! What a result must keep to before it leaves.
//!
//! The function is the issuer's, and may write what it likes into its result, raw data too. So what leaves is bounded outside of
//! it: by size, by the number of fields, by what it is to what was read, by how much must have been read, and by the schema that the
//! image itself states. Counts of what was read are the broker's.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use fades_api::codes;
use fades_wire::control::OperationEnded;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::fault::Fault;

/// What a result must keep to; decided when its task is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Most bytes.
    pub bytes: u64,
    /// Most fields: members of objects and elements of arrays, at every depth.
    pub fields: Option<u32>,
    /// Most bytes for 1,000 bytes read.
    pub per_mille: Option<u32>,
    /// Fewest points of every series that was read.
    pub group_points: Option<u64>,
    /// Fewest series of every operation.
    pub group_series: Option<u32>,
}

impl Terms {
    /// Holds a result, which is within [`bytes`](Self::bytes) already, and what was read for it against these.
    ///
    /// # Errors
    /// The first that is not kept to.
    pub(crate) fn hold(&self, result: &str, names: &[String], read: &[OperationEnded]) -> Result<(), Fault> {
        let fields = fields(result).map_err(|error| {
            Fault::new(codes::RESULT_NOT_JSON, format!("the result is not JSON: {error}"))
        })?;
        if let Some(most) = self.fields.filter(|most| fields > u64::from(*most)) {
            let why = format!("the result has {fields} fields, the task allows {most}");
            return Err(Fault::new(codes::RESULT_TOO_DETAILED, why));
        }
        for (name, ended) in names.iter().zip(read) {
            self.hold_group(ended).map_err(|why| {
                Fault::new(codes::GROUP_TOO_SMALL, format!("operation {name:?}: {why} is the least allowed"))
            })?;
        }
        let (sent, read) = (result.len() as u64, bytes_read(read));
        let within = |most: u32| u128::from(sent) * 1000 <= u128::from(read) * u128::from(most);
        match self.per_mille.filter(|most| !within(*most)) {
            Some(most) => {
                let why =
                    format!("a result of {sent} bytes out of {read} read, {most} for 1,000 are allowed");
                Err(Fault::new(codes::RESULT_ABOVE_LEAK_BUDGET, why))
            }
            None => Ok(()),
        }
    }

    fn hold_group(&self, ended: &OperationEnded) -> Result<(), String> {
        let series = ended.summary.series;
        if let Some(least) = self.group_series.filter(|least| series < *least) {
            return Err(format!("{series} series were read, {least}"));
        }
        match self.group_points.filter(|least| ended.fewest < *least) {
            Some(least) if series == 0 => Err(format!("no series was read, one with {least} points")),
            Some(least) => Err(format!("a series has {} points, {least}", ended.fewest)),
            None => Ok(()),
        }
    }
}

/// Bytes of columns that all operations read.
fn bytes_read(read: &[OperationEnded]) -> u64 {
    read.iter().fold(0, |sum, ended| sum.saturating_add(ended.summary.bytes))
}

/// What an image says that its results are. To hold a document against a schema takes a library that this crate is without.
pub trait ResultSchema: fmt::Debug + Send + Sync {
    /// Holds a JSON document, which has so many fields, against it.
    ///
    /// # Errors
    /// Where it is something else, in words.
    fn hold(&self, result: &str) -> Result<(), String>;
}

/// A schema that is shared between an image and its tasks.
#[derive(Debug, Clone)]
pub struct Shape(pub Arc<dyn ResultSchema>);

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shape {}

/// Counts a JSON document's fields and keeps none. A key that stands twice in one object is refused: readers differ in which of
/// both they show, and what one of them does not show could be anything.
fn fields(text: &str) -> Result<u64, serde_json::Error> {
    let (mut count, mut reader) = (0, serde_json::Deserializer::from_str(text));
    Fields(&mut count).deserialize(&mut reader)?;
    reader.end()?;
    Ok(count)
}

struct Fields<'a>(&'a mut u64);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Fields(&mut *self.0))?.is_some() {
            *self.0 += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            members.next_value_seed(Fields(&mut *self.0))?;
            *self.0 += 1;
            if !keys.insert(key) {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fades_wire::control::OperationTimes;
    use fades_wire::data::StreamSummary;

    use super::*;

    fn read(points: u64, series: u32, fewest: u64) -> OperationEnded {
        let (bytes, digest) = (points * 16, [0; 32]);
        let summary = StreamSummary {
            operation: 0,
            points,
            bytes,
            chunks: 1,
            series,
            first_ns: None,
            last_ns: None,
            digest,
        };
        OperationEnded {
            task: fades_wire::ids::TaskKey([0; 16]),
            operation: 0,
            summary,
            fewest,
            times: OperationTimes::default(),
        }
    }

    #[test]
    fn fields_are_counted_at_every_depth() {
        for (text, count) in [
            ("1.5", 0),
            ("null", 0),
            ("\"text\"", 0),
            ("[]", 0),
            ("{}", 0),
            ("[1,true,-1]", 3),
            (r#"{"a":1,"b":[1,{"c":null}]}"#, 5),
        ] {
            assert_eq!(fields(text).unwrap(), count, "{text}");
        }
        for text in ["", "{", "[1,]", "{}{}", r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(fields(text).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(fields(&deep).is_err());
    }

    #[test]
    fn g12_each_term_is_kept_to_by_the_last_that_may_pass() {
        let bytes = Terms { bytes: 1000, ..Terms::default() };
        let enough = [read(100, 4, 20)];
        let names = ["op".to_owned(), "more".to_owned()];
        let ten = "[1,2,3,4,5,6,7,8,9,10]";
        let code = |terms: Terms, read: &[OperationEnded]| {
            terms.hold(ten, &names, read).map_err(|fault| fault.code).err()
        };
        // 22 bytes of 1,600
        for (terms, read, expected) in [
            (bytes, &enough[..], None),
            (Terms { fields: Some(10), ..bytes }, &enough, None),
            (Terms { fields: Some(9), ..bytes }, &enough, Some(codes::RESULT_TOO_DETAILED)),
            (Terms { per_mille: Some(14), ..bytes }, &enough, None),
            (Terms { per_mille: Some(13), ..bytes }, &enough, Some(codes::RESULT_ABOVE_LEAK_BUDGET)),
            (Terms { per_mille: Some(1000), ..bytes }, &[], Some(codes::RESULT_ABOVE_LEAK_BUDGET)),
            (Terms { group_points: Some(20), ..bytes }, &enough, None),
            (Terms { group_points: Some(21), ..bytes }, &enough, Some(codes::GROUP_TOO_SMALL)),
            (Terms { group_points: Some(1), ..bytes }, &[read(0, 0, 0)], Some(codes::GROUP_TOO_SMALL)),
            (Terms { group_series: Some(4), ..bytes }, &enough, None),
            (Terms { group_series: Some(5), ..bytes }, &enough, Some(codes::GROUP_TOO_SMALL)),
            (
                Terms { group_series: Some(2), ..bytes },
                &[read(100, 4, 20), read(100, 1, 100)],
                Some(codes::GROUP_TOO_SMALL),
            ),
        ] {
            assert_eq!(code(terms, read), expected, "{terms:?}");
        }
        let words = Terms { group_series: Some(2), ..bytes }
            .hold(ten, &names, &[read(100, 4, 20), read(100, 1, 100)])
            .unwrap_err()
            .message;
        assert!(words.contains("operation \"more\": 1 series were read, 2 is the least allowed"), "{words}");
    }
}
