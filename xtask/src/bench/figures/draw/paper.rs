//! The paper's figures, on this system, with its questions.

use anyhow::Result;
use serde_json::Value;

use super::Figure;
use super::bars::{Bar, Bars};
use super::canvas::BESIDE;
use super::data::{Data, list, number, origin, word};
use super::lines::{Axis, Line, Lines, Look, Points};
use super::scale::{Kind, written};
use super::spans::{Panel, Row, Spans, stacked};

/// All of them.
pub(super) fn figures(data: &Data) -> Result<Vec<Figure>> {
    let mut figures = vec![memory(data)?, volume(data)?];
    for machine in super::MACHINES {
        figures.push(stages(data, machine)?);
    }
    figures.extend([locality_time(data)?, locality_bytes(data)?, boot(data)?]);
    Ok(figures)
}

/// How machines are called in names of lines and rows.
pub(super) fn place(machine: &str) -> &str {
    match machine {
        "here" => "",
        "kvm" => "KVM lab: ",
        "xen" => "Xen lab: ",
        other => other,
    }
}

/// Of all machines that a part was measured on.
fn origins(data: &Data, part: &'static str) -> String {
    let all: Vec<String> =
        data.machines(part).into_iter().map(|(machine, document)| origin(machine, document)).collect();
    all.join(". ")
}

/// F3.
fn memory(data: &Data) -> Result<Figure> {
    let (mut lines, mut crosses, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for (machine, document) in data.machines("memory") {
        for row in list(document, "rows") {
            let path = if word(row, "guest") == "unikernel" { "shared memory" } else { "TCP" };
            let name = format!("{}{}, {path}", place(machine), word(row, "backend"));
            let sizes = list(row, "sizes");
            let usable = |size: &Value| Some((number(size, "allocated")?, number(size, "usable")?));
            let points: Points = sizes.iter().filter_map(usable).collect();
            let failed = |size: &&Value| number(size, "usable").is_none();
            crosses.extend(
                sizes.iter().filter(failed).filter_map(|size| Some((number(size, "allocated")?, 0.0))),
            );
            if let (Some(least), Some((most, left))) = (number(row, "least_mib"), points.last()) {
                seen.push(format!(
                    "{name}: the least that boots is {} MiB; of {} MiB the function has {}.",
                    written(least),
                    written(*most),
                    written(*left)
                ));
            }
            lines.push(Line { name, colour: lines.len(), look: Look::Joined, points });
        }
    }
    let all = lines.iter().flat_map(|line| line.points.iter()).chain(&crosses).map(|(x, _)| (*x, *x));
    let mut all: Points = all.collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.dedup();
    // From where there is something usable: a line that begins far below would press the rest together.
    let bound = all.into_iter().filter(|(x, _)| {
        *x >= 16.0 || lines.iter().any(|line| line.points.iter().any(|point| point.0 <= *x))
    });
    lines.push(Line {
        name: "all of it".to_owned(),
        colour: BESIDE,
        look: Look::Dashed,
        points: bound.collect(),
    });
    lines.push(Line {
        name: "refused, or does not boot".to_owned(),
        colour: 4,
        look: Look::Crosses,
        points: crosses,
    });
    let title = "Usable memory of a function".to_owned();
    let svg = Lines {
        title: title.clone(),
        x: Axis::new("memory of the guest, MiB (log)", Kind::Doublings),
        y: Axis::new("usable by the function, MiB (log)", Kind::Doublings),
        lines,
    };
    Ok(Figure {
        name: "f3-memory".to_owned(),
        title,
        question: "How much of the memory that a function is given can it use?".to_owned(),
        seen: seen.join(" "),
        with: with(
            "A function takes pieces of 16 KiB, writes every byte, and goes on until its allocator has no more",
            &origins(data, "memory"),
        ),
        svg: svg.svg()?,
    })
}

/// F4.
fn volume(data: &Data) -> Result<Figure> {
    let (mut lines, mut seen, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    for (machine, document) in data.machines("volume") {
        let rows = list(document, "rows");
        let done = |row: &&Value| number(row, "seconds").is_some();
        let point = |row: &Value| Some((number(row, "memory_mib")?, number(row, "mib")?));
        let points: Points = rows.iter().filter(done).filter_map(point).collect();
        memories.extend(points.iter().map(|(memory, _)| *memory));
        let most = rows.iter().filter(done).max_by(|a, b| {
            let ratio = |row: &Value| point(row).map_or(0.0, |(memory, mib)| mib / memory);
            ratio(a).total_cmp(&ratio(b))
        });
        if let Some((memory, mib)) = most.and_then(point) {
            let row = most.unwrap_or(&Value::Null);
            let took = number(row, "seconds").unwrap_or_default();
            let resident = number(row, "resident_mib").map(|mib| {
                format!(
                    " Its whole process, emulator included, never had more than {} MiB resident.",
                    written(mib)
                )
            });
            seen.push(format!(
                "{}{} MiB went through a function of {} MiB in {} s, {} times its memory, without an error; no bound was met.{}",
                place(machine),
                written(mib),
                written(memory),
                written(took),
                written(mib / memory),
                resident.unwrap_or_default()
            ));
        }
        let name = format!("{}reduced, {}", place(machine), word(document, "backend"));
        lines.push(Line { name, colour: lines.len(), look: Look::Dots, points });
        let failed = rows.iter().filter(|row| !done(row)).filter_map(point).map(|(memory, _)| (memory, 0.0));
        lines.push(Line {
            name: "failed".to_owned(),
            colour: 4,
            look: Look::Crosses,
            points: failed.collect(),
        });
    }
    memories.sort_by(f64::total_cmp);
    memories.dedup();
    let bound = memories.into_iter().map(|memory| (memory, memory)).collect();
    lines.push(Line {
        name: "bound of the paper: data ≤ memory".to_owned(),
        colour: BESIDE,
        look: Look::Dashed,
        points: bound,
    });
    let title = "Data that a function can reduce".to_owned();
    let svg = Lines {
        title: title.clone(),
        x: Axis::new("memory of the guest, MiB (log)", Kind::Doublings),
        y: Axis::new("points reduced in one task, MiB (log)", Kind::Doublings),
        lines,
    };
    Ok(Figure {
        name: "f4-volume".to_owned(),
        title,
        question: "What is the largest amount of data that a function of given memory can process?"
            .to_owned(),
        seen: seen.join(" "),
        with: with(
            "The whole line, from a signed wrapper to a stored result; the source makes its points while it is read. \
             16 bytes a point. Each dot is one task whose count and means were checked",
            &origins(data, "volume"),
        ),
        svg: svg.svg()?,
    })
}

/// Stages of a task one behind another, as far as they do not overlap.
const STAGES: [(&str, usize); 6] = [
    ("boot", 0),
    ("retrieve, until points flow", 1),
    ("transfer", 2),
    ("compute", 3),
    ("all else", 5),
    ("plain process: all", BESIDE),
];

/// F5, of a machine.
fn stages(data: &Data, machine: &'static str) -> Result<Figure> {
    let document = data.get(machine, "stages").unwrap_or(&Value::Null);
    let mut panels: Vec<Panel> = Vec::new();
    let mut seen = Vec::new();
    for plain in list(document, "plain") {
        let Some(mib) = number(plain, "mib") else { continue };
        let same = |row: &&Value| number(row, "mib") == Some(mib);
        let mut rows: Vec<Row> = list(document, "rows").iter().filter(same).map(staged).collect();
        let total = number(plain, "total");
        let of_plain =
            total.map(|total| stacked([(5, total)])).ok_or_else(|| word(plain, "not_measured").to_owned());
        rows.push(Row { name: "plain process".to_owned(), spans: of_plain });
        panels.push(Panel { name: format!("{} MiB of points", written(mib)), rows });
        let first = list(document, "rows").iter().find(same);
        if let (Some(total), Some(task)) = (total, first.and_then(|row| number(row, "total"))) {
            seen.push(format!("{} MiB {}", written(mib), written(task / total)));
        }
    }
    let first = list(document, "rows").first();
    let seen = match first {
        Some(row) if !seen.is_empty() => format!(
            "A whole task ({}, {}) takes so many times as long as the same code as a plain process without isolation: {}.",
            word(row, "backend"),
            word(row, "path"),
            seen.join(", ")
        ),
        _ => String::new(),
    };
    let where_from = if document.is_null() { String::new() } else { origin(machine, document) };
    let title = format!(
        "Stages of a task{}",
        match machine {
            "here" => ", QEMU translating",
            "kvm" => ", KVM lab",
            _ => ", Xen lab",
        }
    );
    let stages = STAGES.iter().map(|(name, colour)| ((*name).to_owned(), *colour)).collect();
    let svg = Spans { title: title.clone(), axis: "time, ms".to_owned(), stages, panels }.svg()?;
    Ok(Figure {
        name: format!("f5-stages-{machine}"),
        title,
        question: "Where does a task's time go, as its payload grows?".to_owned(),
        seen,
        with: with(
            "Medians of tasks over an InfluxDB on the same machine, each function booted for its task. Stages overlap: of \
             retrieving only what comes before the first points is drawn, of transfer what is not computing. Each payload \
             has an axis of its own",
            &where_from,
        ),
        svg,
    })
}

fn staged(row: &Value) -> Row {
    let name = format!("{}, {}", word(row, "backend"), word(row, "path"));
    let of = |stage| number(row, stage).unwrap_or_default();
    let spans = number(row, "total").map(|total| {
        let (boot, retrieve, transfer, compute) = (of("boot"), of("retrieve"), of("transfer"), of("compute"));
        let before = (retrieve - transfer).max(0.0);
        let moving = (transfer - compute).max(0.0);
        let rest = total - boot - before - moving - compute;
        stacked([(0, boot), (1, before), (2, moving), (3, compute), (4, rest)])
    });
    Row { name, spans: spans.ok_or_else(|| word(row, "not_measured").to_owned()) }
}

/// Points of one way of F6.
fn way(data: &Data, way: &str, value: impl Fn(&Value) -> Option<f64>) -> Points {
    let rows = data.get("here", "locality").map_or(&[][..], |document| list(document, "rows"));
    rows.iter().filter_map(|row| Some((number(row, "mib")?, value(&row[way])?))).collect()
}

/// F6, its time.
fn locality_time(data: &Data) -> Result<Figure> {
    let seconds = |row: &Value| Some(number(row, "ms")? / 1e3);
    let (edge, pulled) = (way(data, "edge", seconds), way(data, "pulled", seconds));
    let seen = match (edge.last(), pulled.last()) {
        (Some((mib, edge)), Some((_, pulled))) => format!(
            "{} MiB take {} s as a task at the edge and {} s pulled: {} times as long. What is pulled grows with the data; a \
             task's way over the link does not.",
            written(*mib),
            written(*edge),
            written(*pulled),
            written(pulled / edge)
        ),
        _ => String::new(),
    };
    locality(
        data,
        "f6-locality-time",
        "Data locality: time",
        "from the question to the aggregate, s (log)",
        (edge, pulled),
        seen,
    )
}

/// F6, its bytes.
fn locality_bytes(data: &Data) -> Result<Figure> {
    let up = |row: &Value| Some(number(row, "up_bytes")? / 1e3);
    let (edge, pulled) = (way(data, "edge", up), way(data, "pulled", up));
    let down = way(data, "edge", |row| Some(number(row, "down_bytes")? / 1e3));
    let seen = match (edge.last(), pulled.last(), down.last()) {
        (Some((mib, edge)), Some((_, pulled)), Some((_, down))) => format!(
            "For {} MiB of points {} kB leave the edge pulled, and {} kB as a task (result, receipt, events; {} kB come in).",
            written(*mib),
            written(*pulled),
            written(*edge),
            written(*down)
        ),
        _ => String::new(),
    };
    locality(
        data,
        "f6-locality-bytes",
        "Data locality: bytes",
        "bytes that leave the edge, kB (log)",
        (edge, pulled),
        seen,
    )
}

fn locality(
    data: &Data,
    name: &str,
    title: &str,
    axis: &str,
    (edge, pulled): (Points, Points),
    seen: String,
) -> Result<Figure> {
    let line =
        |name: &str, colour, points| Line { name: name.to_owned(), colour, look: Look::Joined, points };
    let lines = vec![line("task at the edge", 0, edge), line("points pulled to the cloud", 1, pulled)];
    let x = Axis::new("points, MiB (log)", Kind::Doublings);
    let svg = Lines { title: title.to_owned(), x, y: Axis::new(axis, Kind::Decades), lines };
    let document = data.get("here", "locality");
    let rate = |key| {
        document.and_then(|document| number(document, key)).map(|rate| format!("{rate}")).unwrap_or_default()
    };
    let how = format!(
        "A link of {} Mbit/s to the edge and {} Mbit/s from it, shaped in user space without latency. At the edge: a signed \
         wrapper goes down, the result comes up. Pulled: a plain process asks the same InfluxDB through the same link",
        rate("down_mbit_s"),
        rate("up_mbit_s")
    );
    Ok(Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        question: "Is it better to bring the computation to the data, or the data to the computation?"
            .to_owned(),
        seen,
        with: with(&how, &origins(data, "locality")),
        svg: svg.svg()?,
    })
}

/// Unikernel and Linux guest.
fn boot(data: &Data) -> Result<Figure> {
    let (mut bars, mut seen) = (Vec::new(), Vec::new());
    for (machine, document) in data.machines("boot") {
        let rows = list(document, "rows");
        for row in rows {
            let (backend, guest) = (word(row, "backend"), word(row, "guest"));
            let colour = match guest {
                "unikernel" => 0,
                "linux" => 1,
                _ => 5,
            };
            let value = number(row, "boot").ok_or_else(|| word(row, "not_measured").to_owned());
            bars.push(Bar { name: format!("{}{backend}, {guest}", place(machine)), value, colour });
            let unikernel =
                rows.iter().find(|row| word(row, "backend") == backend && word(row, "guest") == "unikernel");
            if let ("linux", Some(linux), Some(ours)) =
                (guest, number(row, "boot"), unikernel.and_then(|row| number(row, "boot")))
            {
                seen.push(format!("{}{backend} {} times", place(machine), written(linux / ours)));
            }
        }
    }
    let title = "Asked for until ready".to_owned();
    let seen = if seen.is_empty() {
        String::new()
    } else {
        format!("A Linux guest takes longer than the unikernel: {}.", seen.join(", "))
    };
    let svg = Bars {
        title: title.clone(),
        axis: "asked for until ready, ms (log)".to_owned(),
        kind: Kind::Decades,
        bars,
    };
    Ok(Figure {
        name: "boot".to_owned(),
        title,
        question: "What does a unikernel save against a Linux guest that the same monitor boots for the same function?".to_owned(),
        seen,
        with: with("Medians. Only bars of one machine may be compared", &origins(data, "boot")),
        svg: svg.svg()?,
    })
}

/// How it was measured and on what; nothing if it was not.
pub(super) fn with(how: &str, origins: &str) -> String {
    if origins.is_empty() { String::new() } else { format!("{how}. {origins}.") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_seen_follows_from_the_data() {
        let document = |ms: f64| {
            let way = |ms: f64, up: f64| json!({"ms": ms, "up_bytes": up, "down_bytes": 2000.0});
            json!({"rows": [{"mib": 4.0, "edge": way(400.0, 3000.0), "pulled": way(ms, 5e6)}]})
        };
        let figure = |ms| locality_time(&Data::default().with("here", "locality", document(ms))).unwrap();
        assert!(figure(40_000.0).seen.contains("100 times as long"), "{}", figure(40_000.0).seen);
        assert_ne!(figure(40_000.0).svg, figure(400_000.0).svg);
    }

    #[test]
    fn stages_fill_the_total() {
        let row = staged(
            &json!({"backend": "xen", "path": "TCP", "boot": 100.0, "retrieve": 500.0, "transfer": 400.0, "compute": 50.0, "total": 620.0}),
        );
        let spans = row.spans.unwrap();
        let last = spans.last().unwrap();
        assert!((last.start + last.length - 620.0).abs() < 1e-9, "{spans:?}");
        assert!(staged(&json!({"not_measured": "late"})).spans.is_err());
    }
}
