//! Writing: equal values give equal bytes.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// JSON bytes of a type whose keys are text, which cannot fail.
///
/// # Panics
/// On a type that JSON cannot hold, which would be a fault in this crate.
pub(crate) fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "this crate's own types have text for keys and nothing that fails"
    )]
    let bytes = serde_json::to_vec(value).expect("own types are JSON");
    bytes
}

/// For `serialize_with`: an object with its keys sorted at every level, whatever order the map keeps (another crate of the build
/// may switch serde_json's `preserve_order` on).
pub(crate) fn serialize_object_sorted<S: Serializer>(
    map: &Map<String, Value>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(key, value)| (key, Sorted(value))).collect::<BTreeMap<_, _>>())
}

/// The same as text.
pub(crate) fn object_to_string_sorted(map: &Map<String, Value>) -> String {
    struct Object<'a>(&'a Map<String, Value>);
    impl Serialize for Object<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize_object_sorted(self.0, serializer)
        }
    }
    String::from_utf8_lossy(&to_bytes(&Object(map))).into_owned()
}

struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            Value::Object(map) => serialize_object_sorted(map, serializer),
            leaf => leaf.serialize(serializer),
        }
    }
}
