//! The first periods of a persistent task.

use super::*;

const TOML: &str = r#"
[[drb.operations]]
id = "temp"
source = "edison"
measurement = "temperature"
field = "value"
from = 2026-01-01T00:00:00Z
to = 2026-01-01T00:30:00Z
[[drb.operations]]
id = "wind"
source = "edison"
measurement = "wind"
field = "value"
from = 2025-12-31T00:00:00Z
to = 2026-01-01T01:00:00Z

[dmf]
image = "baseline"
lifetime = { persistent = { every_ms = 3600000, until = 2026-01-01T04:30:00Z } }
"#;

fn periods(text: &str) -> Option<Periods> {
    Periods::of(&TaskDraft::from_toml(text).unwrap().on_trial().unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn periods_are_due_at_the_latest_end_of_what_they_read() {
    let periods = periods(TOML).unwrap();
    assert_eq!((periods.count(), periods.due(0)), (4, at("2026-01-01T01:00:00Z")));
    assert_eq!(periods.due(3), at("2026-01-01T04:00:00Z"));
    for (now, due) in [
        ("2020-01-01T00:00:00Z", 0),
        ("2026-01-01T00:59:59.999999Z", 0),
        ("2026-01-01T01:00:00Z", 1),
        ("2026-01-01T03:00:00Z", 3),
        ("2030-01-01T00:00:00Z", 4),
    ] {
        assert_eq!(periods.due_by(at(now)), due, "{now}");
    }
}

#[test]
fn a_task_without_periods_says_so() {
    assert_eq!(periods(&TOML.replace("04:30:00Z", "00:59:59Z")).unwrap().count(), 0);
    let once = TaskDraft::from_toml(TOML).unwrap().once().unwrap();
    let wrapper = once.on_trial().unwrap();
    assert_eq!((wrapper.dmf.lifetime, Periods::of(&wrapper)), (Lifetime::Ephemeral, None));
    assert_eq!((once.first_periods(3).unwrap(), wrapper.in_period(7).unwrap()), (once, wrapper));
}

#[test]
fn windows_move_with_their_period() {
    let wrapper = TaskDraft::from_toml(TOML).unwrap().on_trial().unwrap();
    assert_eq!(wrapper.in_period(0).unwrap(), wrapper);
    let third = wrapper.in_period(2).unwrap();
    let [temp, wind] = &third.drb.operations[..] else { panic!("two operations") };
    assert_eq!((temp.from, temp.to), (at("2026-01-01T02:00:00Z"), at("2026-01-01T02:30:00Z")));
    assert_eq!(wind.to, at("2026-01-01T03:00:00Z"));
    assert!(wrapper.in_period(u64::MAX).is_err(), "beyond the times that there are");
}

#[test]
fn the_first_few_are_a_task_of_their_own() {
    let draft = TaskDraft::from_toml(TOML).unwrap();
    for (asked, count) in [(1, 1), (3, 3), (4, 4), (9, 4)] {
        let few = draft.first_periods(asked).unwrap();
        let wrapper = few.on_trial().unwrap();
        let periods = Periods::of(&wrapper).unwrap();
        assert_eq!((periods.count(), periods.due(0)), (count, at("2026-01-01T01:00:00Z")));
        let Lifetime::Persistent { missed, until, .. } = wrapper.dmf.lifetime else { panic!("{wrapper:?}") };
        assert_eq!((missed, until), (Missed::CatchUp, periods.due(count - 1)));
        assert_eq!(TaskDraft::from_json(&few.to_json()).unwrap(), few);
    }
}
