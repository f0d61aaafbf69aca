//! Batches on any bytes: what parses is written again to the same bytes.
#![no_main]

use fades_wire::batch::{Batch, BatchBuilder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(batch) = fades_fuzz::parse(|| Batch::parse(body)) {
        let mut builder = BatchBuilder::new(batch.series());
        for (time, value) in batch.points() {
            builder.push(time, value);
        }
        let mut again = Vec::new();
        builder.write(&mut again);
        assert_eq!(again, body);
        assert_eq!(batch.get(batch.len()), None);
    }
});
