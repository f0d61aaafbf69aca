//! What criterion leaves on disk: `GROUP/NAME/new/estimates.json`, and in `benchmark.json` what one iteration was.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The median of the bench `name` below criterion's `folder`, in `unit`; `None` if it did not run, or was not measured in
/// what the unit needs.
#[must_use]
pub fn median(folder: &Path, name: &str, unit: &str) -> Option<f64> {
    let read = |file: &str| -> Option<Value> {
        serde_json::from_slice(&fs::read(folder.join(name).join("new").join(file)).ok()?).ok()
    };
    let ns = read("estimates.json")?["median"]["point_estimate"].as_f64()?;
    let throughput = &read("benchmark.json")?["throughput"];
    match unit {
        "1/s" => Some(throughput["Elements"].as_f64()? * 1e9 / ns),
        "GB/s" => Some(throughput["Bytes"].as_f64()? / ns),
        "ms" => Some(ns / 1e6),
        "us" => Some(ns / 1e3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_come_in_the_unit_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/b/new");
        fs::create_dir_all(&new).unwrap();
        fs::write(new.join("estimates.json"), r#"{"median":{"point_estimate":2000.0}}"#).unwrap();
        fs::write(new.join("benchmark.json"), r#"{"throughput":{"Bytes":6000}}"#).unwrap();
        let median = |name, unit| median(folder.path(), name, unit);
        assert_eq!(median("a/b", "us"), Some(2.0));
        assert_eq!(median("a/b", "GB/s"), Some(3.0));
        assert_eq!(median("a/b", "1/s"), None);
        assert_eq!(median("a/c", "us"), None);
    }
}
