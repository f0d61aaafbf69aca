//! Figures that the paper does not have: scaling, what waits, bursts, what others take, and where a boot's time goes.

use anyhow::Result;
use serde_json::Value;

use super::Figure;
use super::bars::{Bar, Bars};
use super::canvas::BESIDE;
use super::data::{Data, list, number, origin, word};
use super::lines::{Axis, Line, Lines, Look, Points};
use super::paper::with;
use super::scale::{Kind, written};
use super::spans::{Panel, Row, Span, Spans};

/// All of them.
pub(super) fn figures(data: &Data) -> Result<Vec<Figure>> {
    Ok(vec![
        scaling(data, "tasks_per_s", "tasks", "tasks per second")?,
        scaling(data, "mib_per_s", "volume", "points reduced, MiB per second")?,
        idle_memory(data)?,
        idle_time(data)?,
        burst(data)?,
        compare(
            data,
            "ready",
            "Asked for until ready, compared",
            "How long until a function is ready, against what others would do?",
        )?,
        compare(
            data,
            "tasks",
            "A whole task, compared",
            "How long does a whole task take, against the same work done otherwise?",
        )?,
        compare(data, "link", "A transfer alone, compared", "How long do points take from guest to guest?")?,
        waterfall(data)?,
    ])
}

fn get<'a>(data: &'a Data, part: &'static str) -> &'a Value {
    data.get("here", part).unwrap_or(&Value::Null)
}

fn from(data: &Data, part: &'static str, how: &str) -> String {
    data.get("here", part).map(|document| with(how, &origin("here", document))).unwrap_or_default()
}

/// Points of two keys of some rows.
fn points(rows: &[Value], x: &str, y: &str) -> Points {
    rows.iter().filter_map(|row| Some((number(row, x)?, number(row, y)?))).collect()
}

fn scaling(data: &Data, key: &str, name: &str, axis: &str) -> Result<Figure> {
    let points = points(list(get(data, "scaling"), "rows"), "functions", key);
    let most = points.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let seen = match (points.first(), most) {
        (Some((_, one)), Some((functions, most))) => format!(
            "One function at a time: {}; the most are {}, with {} at once, {} times as much. The machine has two cores.",
            written(*one),
            written(most),
            written(functions),
            written(most / one)
        ),
        _ => String::new(),
    };
    let title = format!("Scaling: {name}");
    let line = Line { name: axis.to_owned(), colour: 0, look: Look::Joined, points };
    let x = Axis::new("functions at the same time (log)", Kind::Doublings);
    let svg = Lines { title: title.clone(), x, y: Axis::new(axis, Kind::Linear), lines: vec![line] }.svg()?;
    let question = "What do 1 to 64 functions in parallel get done?".to_owned();
    let with = from(data, "scaling", "Tasks submitted so that always so many run, one broker");
    Ok(Figure { name: format!("scaling-{name}"), title, question, seen, with, svg })
}

fn idle_memory(data: &Data) -> Result<Figure> {
    let rows = list(get(data, "idle"), "rows");
    let of = |key, name: &str, colour| {
        let points = points(rows, "waiting", key);
        Line { name: name.to_owned(), colour, look: Look::Joined, points }
    };
    let lines = vec![
        of("private_mib_each", "private memory of its process", 0),
        of("touched_mib_each", "of that: touched by the guest", 1),
        of("own_mib_each", "of that: the monitor's own", 2),
    ];
    let last = rows.last();
    let seen = match (last, last.and_then(|row| number(row, "own_mib_each"))) {
        (Some(row), Some(own)) => format!(
            "With {} waiting each has {} MiB of private memory, {} of them beyond what its guest touched.",
            written(number(row, "waiting").unwrap_or_default()),
            written(number(row, "private_mib_each").unwrap_or_default()),
            written(own)
        ),
        _ => String::new(),
    };
    let title = "Memory of a function that waits".to_owned();
    let x = Axis::new("functions that wait (log)", Kind::Doublings);
    let svg = Lines { title: title.clone(), x, y: Axis::new("each, MiB", Kind::Linear), lines }.svg()?;
    let question = "What does a function cost that waits for its task?".to_owned();
    let with =
        from(data, "idle", "Functions started ahead and asleep; private memory as the kernel counts it");
    Ok(Figure { name: "idle-memory".to_owned(), title, question, seen, with, svg })
}

fn idle_time(data: &Data) -> Result<Figure> {
    let points = points(list(get(data, "idle"), "rows"), "waiting", "processor_ms_per_s");
    let seen = points.last().map(|(waiting, ms)| {
        format!(
            "{} that wait take {} ms of processor time in a second, all together.",
            written(*waiting),
            written(*ms)
        )
    });
    let title = "Processor time of functions that wait".to_owned();
    let line = Line { name: "all together".to_owned(), colour: 0, look: Look::Joined, points };
    let x = Axis::new("functions that wait (log)", Kind::Doublings);
    let y = Axis::new("processor time, ms per second", Kind::Linear);
    let svg = Lines { title: title.clone(), x, y, lines: vec![line] }.svg()?;
    let question = "Does who waits take processor time?".to_owned();
    let with = from(data, "idle", "Of all their monitors, over some seconds");
    Ok(Figure { name: "idle-time".to_owned(), title, question, seen: seen.unwrap_or_default(), with, svg })
}

fn burst(data: &Data) -> Result<Figure> {
    let (mut lines, mut seen) = (Vec::new(), Vec::new());
    for burst in list(get(data, "burst"), "bursts") {
        let mut ms: Vec<f64> = list(burst, "ms").iter().filter_map(Value::as_f64).collect();
        ms.sort_by(f64::total_cmp);
        let tasks = number(burst, "tasks").unwrap_or_default();
        let failed = number(burst, "failed").unwrap_or_default();
        if let (Some(p50), Some(p99)) = (number(burst, "p50"), number(burst, "p99")) {
            seen.push(format!(
                "{} at once: half within {} ms, 99 of 100 within {} ms ({} times), {} failed.",
                written(tasks),
                written(p50),
                written(p99),
                written(p99 / p50),
                written(failed)
            ));
        }
        lines.push(Line {
            name: format!("{} tasks at once", written(tasks)),
            colour: lines.len(),
            look: Look::Smooth,
            points: distribution(&ms),
        });
    }
    let title = "Tasks that come all at once".to_owned();
    let x = Axis::new("accepted until result stored, ms", Kind::Linear);
    let y = Axis::new("share of tasks that have ended, %", Kind::Linear);
    let svg = Lines { title: title.clone(), x, y, lines }.svg()?;
    let question = "How late is the last of many tasks that come at the same moment?".to_owned();
    let with = from(data, "burst", "Cumulative distribution of whole tasks");
    Ok(Figure { name: "burst".to_owned(), title, question, seen: seen.join(" "), with, svg })
}

/// Steps from nothing to all.
#[expect(clippy::cast_precision_loss, reason = "tasks are few")]
fn distribution(sorted: &[f64]) -> Points {
    let share = |count: usize| 100.0 * count as f64 / sorted.len() as f64;
    sorted.iter().enumerate().flat_map(|(at, ms)| [(*ms, share(at)), (*ms, share(at + 1))]).collect()
}

fn compare(data: &Data, key: &str, title: &str, question: &str) -> Result<Figure> {
    let rows = list(get(data, "compare"), key);
    let bar = |row: &Value| {
        let mib = number(row, "mib").map(|mib| format!(", {} MiB", written(mib)));
        let name = word(row, "name");
        Bar {
            name: format!("{name}{}", mib.unwrap_or_default()),
            value: number(row, "ms").ok_or_else(|| word(row, "not_measured").to_owned()),
            colour: match name {
                "cold" | "restored" | "awake" | "region" | "warm" => 0,
                _ => BESIDE,
            },
        }
    };
    let bars = rows.iter().map(bar).collect();
    let words: Vec<String> = rows
        .iter()
        .filter(|row| !word(row, "words").is_empty())
        .map(|row| format!("{}: {}.", word(row, "name"), word(row, "words").trim_end_matches('.')))
        .collect();
    let svg = Bars { title: title.to_owned(), axis: "time, ms (log)".to_owned(), kind: Kind::Decades, bars };
    Ok(Figure {
        name: format!("compare-{key}"),
        title: title.to_owned(),
        question: question.to_owned(),
        seen: words.join(" "),
        with: from(data, "compare", "Medians, all in one run on the same machine; ours are blue"),
        svg: svg.svg()?,
    })
}

fn waterfall(data: &Data) -> Result<Figure> {
    let rows = list(get(data, "waterfall"), "rows");
    let mut stages: Vec<(String, usize)> = Vec::new();
    let mut drawn = Vec::new();
    for row in rows {
        let mut spans = Vec::new();
        for stage in list(row, "stages") {
            let name = word(stage, "name");
            let known = stages.iter().position(|(known, _)| known == name);
            let number_of = known.unwrap_or_else(|| {
                stages.push((name.to_owned(), stages.len()));
                stages.len() - 1
            });
            if let (Some(start), Some(length)) = (number(stage, "start_ms"), number(stage, "ms")) {
                spans.push(Span { stage: number_of, start, length });
            }
        }
        let spans = if spans.is_empty() { Err(word(row, "not_measured").to_owned()) } else { Ok(spans) };
        drawn.push(Row { name: word(row, "name").to_owned(), spans });
    }
    let longest = rows.iter().filter_map(|row| {
        let stage = |a: &&Value, b: &&Value| {
            number(a, "ms").unwrap_or(0.0).total_cmp(&number(b, "ms").unwrap_or(0.0))
        };
        let stage = list(row, "stages").iter().max_by(stage)?;
        Some(format!(
            "{}: most of it is {} ({} ms).",
            word(row, "name"),
            word(stage, "name"),
            written(number(stage, "ms")?)
        ))
    });
    let seen = longest.collect::<Vec<_>>().join(" ");
    let title = "From asked for until ready".to_owned();
    let panels = vec![Panel { name: String::new(), rows: drawn }];
    let svg =
        Spans { title: title.clone(), axis: "time since asked for, ms".to_owned(), stages, panels }.svg()?;
    let question = "What happens between \"asked for\" and a function that is ready?".to_owned();
    let with = from(data, "waterfall", "Stages of one kind of start each, where they began");
    Ok(Figure { name: "waterfall".to_owned(), title, question, seen, with, svg })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_distribution_rises_from_nothing_to_all() {
        assert_eq!(distribution(&[1.0, 3.0]), [(1.0, 0.0), (1.0, 50.0), (3.0, 50.0), (3.0, 100.0)]);
        assert_eq!(distribution(&[]), []);
    }

    #[test]
    fn what_others_leave_is_drawn() {
        let data = Data::default()
            .with("here", "scaling", json!({"rows": [{"functions": 1, "tasks": 9, "tasks_per_s": 2.0, "mib_per_s": 30.0}, {"functions": 2, "tasks": 9, "tasks_per_s": 3.0, "mib_per_s": 40.0}]}))
            .with("here", "idle", json!({"rows": [{"waiting": 64, "private_mib_each": 30.0, "touched_mib_each": 20.0, "own_mib_each": 10.0, "processor_ms_per_s": 0.5}]}))
            .with("here", "burst", json!({"bursts": [{"tasks": 100, "failed": 0, "ms": [10.0, 20.0], "p50": 10.0, "p99": 20.0}]}))
            .with("here", "compare", json!({"ready": [{"name": "stock", "ms": 900.0, "words": "as it comes"}, {"name": "awake", "ms": 0.1}], "tasks": [{"name": "cold", "mib": 1, "ms": 200.0}], "link": [{"name": "region", "ms": 200.0}]}))
            .with("here", "waterfall", json!({"rows": [{"name": "cold", "stages": [{"name": "monitor", "start_ms": 0.0, "ms": 40.0}, {"name": "kernel", "start_ms": 40.0, "ms": 9.0}]}]}));
        let figures = figures(&data).unwrap();
        assert_eq!(figures.len(), 9);
        for figure in &figures {
            assert!(!figure.svg.contains("not measured") && !figure.with.is_empty(), "{}", figure.name);
        }
        assert!(figures[4].seen.contains("(2 times), 0 failed"), "{}", figures[4].seen);
        assert!(figures[8].seen.contains("most of it is monitor (40 ms)"), "{}", figures[8].seen);
        assert!(figures[5].seen.contains("stock: as it comes."));
    }
}
