//! CSV with a header.

use std::collections::BTreeMap;

use csv::{ReaderBuilder, StringRecord};
use jiff::Timestamp;

use crate::{Fault, Fixture};

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Time,
    Measurement,
    Field(String),
    Tag(String),
    /// A field if every cell is a number.
    Unsaid(String),
}

pub(crate) fn read(bytes: &[u8], measurement: &str) -> Result<Fixture, Fault> {
    let mut reader = ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| fault(&error, 1))?.clone();
    let mut rows = Vec::new();
    for row in reader.into_records() {
        let row = row.map_err(|error| fault(&error, rows.len() as u64 + 2))?;
        let line = row.position().map_or(0, csv::Position::line);
        rows.push((line, row));
    }
    let columns = columns(&header, &rows)?;
    let mut fixture = Fixture::default();
    for (line, row) in &rows {
        point(&columns, row, measurement, &mut fixture).map_err(|words| Fault::line(*line, words))?;
    }
    Ok(fixture)
}

fn fault(error: &csv::Error, line: u64) -> Fault {
    Fault::line(error.position().map_or(line, csv::Position::line), error.to_string())
}

fn columns(header: &StringRecord, rows: &[(u64, StringRecord)]) -> Result<Vec<Column>, Fault> {
    let said = |cell: &str| match (cell, cell.rsplit_once(':')) {
        ("time", _) => Column::Time,
        ("measurement", _) => Column::Measurement,
        (_, Some((name, "field"))) => Column::Field(name.to_owned()),
        (_, Some((name, "tag"))) => Column::Tag(name.to_owned()),
        (name, _) => Column::Unsaid(name.to_owned()),
    };
    let columns: Vec<Column> = header.iter().map(said).collect();
    if columns.iter().filter(|column| **column == Column::Time).count() != 1 {
        return Err(Fault::line(1, format!("of the columns {header:?} one must be `time`")));
    }
    let is_number = |at: usize| {
        let mut cells =
            rows.iter().filter_map(|(_, row)| row.get(at)).filter(|cell| !cell.is_empty()).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    };
    let decide = |(at, column)| match column {
        Column::Unsaid(name) if is_number(at) => Column::Field(name),
        Column::Unsaid(name) => Column::Tag(name),
        said => said,
    };
    let columns: Vec<Column> = columns.into_iter().enumerate().map(decide).collect();
    if !rows.is_empty() && !columns.iter().any(|column| matches!(column, Column::Field(_))) {
        return Err(Fault::line(
            1,
            format!("none of the columns {header:?} has numbers only; write NAME:field"),
        ));
    }
    Ok(columns)
}

fn point(
    columns: &[Column],
    row: &StringRecord,
    measurement: &str,
    fixture: &mut Fixture,
) -> Result<(), String> {
    let (mut at, mut measurement, mut tags, mut values) = (None, measurement, BTreeMap::new(), Vec::new());
    for (column, cell) in columns.iter().zip(row) {
        match column {
            Column::Time => at = Some(time(cell)?),
            Column::Measurement => measurement = cell,
            _ if cell.is_empty() => {}
            Column::Tag(name) | Column::Unsaid(name) => drop(tags.insert(name.clone(), cell.to_owned())),
            Column::Field(name) => {
                let number = cell.parse::<f64>().ok().filter(|number| number.is_finite());
                values.push((name, number.ok_or_else(|| format!("{name} {cell:?} is no number"))?));
            }
        }
    }
    let time = at.ok_or("it has no time")?;
    for (field, value) in values {
        fixture.push(measurement, field, &tags, time, value);
    }
    Ok(())
}

/// RFC 3339, or nanoseconds since 1970.
fn time(cell: &str) -> Result<i64, String> {
    if let Ok(ns) = cell.parse::<i64>() {
        return Ok(ns);
    }
    let refused = || format!("time {cell:?} is neither RFC 3339 nor nanoseconds since 1970");
    let at: Timestamp = cell.parse().map_err(|_| refused())?;
    i64::try_from(at.as_nanosecond()).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fields_and_the_rest_are_tags() {
        let text = "time,room,temp,hum,floor:tag\n1970-01-01T00:00:01Z,r1,20.5,,3\n2,\"r,2\",21,40,3\n";
        let fixture = read(text.as_bytes(), "climate").unwrap();
        let seen: Vec<_> = fixture
            .series()
            .map(|series| {
                (
                    series.field.to_owned(),
                    series.tags["room"].clone(),
                    series.tags["floor"].clone(),
                    series.points.clone(),
                )
            })
            .collect();
        let points = |time: i64, value: f64| BTreeMap::from([(time, value)]);
        let row =
            |field: &str, room: &str, points| (field.to_owned(), room.to_owned(), "3".to_owned(), points);
        assert_eq!(
            seen,
            [
                row("hum", "r,2", points(2, 40.0)),
                row("temp", "r,2", points(2, 21.0)),
                row("temp", "r1", points(1_000_000_000, 20.5))
            ]
        );
        assert!(fixture.series().all(|series| series.measurement == "climate"));
    }

    #[test]
    fn a_measurement_may_stand_in_a_column() {
        let fixture = read(b"measurement,time,v\na,1,1\nb,1,2\n", "file").unwrap();
        assert_eq!(
            fixture.series().map(|series| series.measurement.to_owned()).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn faults_name_their_line_and_value() {
        for (text, words) in [
            ("v\n1\n", "one must be `time`"),
            ("time,v\nyesterday,1\n", "line 2: time \"yesterday\" is neither"),
            ("time,v:field\n1,x\n", "line 2: v \"x\" is no number"),
            ("time,v\n1\n", "line 2"),
            ("time,room\n1,r1\n", "none of the columns"),
        ] {
            let fault = read(text.as_bytes(), "m").unwrap_err().to_string();
            assert!(fault.contains(words), "{text}: {fault}");
        }
        let fault = read(b"time,room,v\n1,r1,1\n2,K\xf6ln,1\n", "m").unwrap_err().to_string();
        assert!(fault.starts_with("line 3: ") && fault.contains("UTF-8"), "{fault}");
    }
}
