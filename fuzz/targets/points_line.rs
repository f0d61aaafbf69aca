//! Any text as line protocol: no panic; every point is a finite number, and what is read and fits the recorded form is read from
//! that again.

#![no_main]

use fades_points::Fixture;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(fixture) = fades_fuzz::parse(|| Fixture::from_line_protocol(text)) else { return };
    assert!(fixture.series().all(|series| series.points.values().all(|value| value.is_finite())));
    let told = fixture.contents();
    if let Ok(recorded) = fixture.to_fpt() {
        let again = Fixture::from_fpt(&recorded).expect("what was recorded is read");
        assert!(again.series().eq(fixture.series()));
        assert_eq!(again.contents(), told);
    }
});
