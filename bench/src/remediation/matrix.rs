//! How long the remediations of the fault matrix took, and their undo: read from what `make matrix` wrote.

use crate::figure::Figure;
use crate::latencies::median;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

const LONGEST_BAR: f64 = 30.0;
const MEDIAN_BAR: f64 = 3.0;
const UNDO_BAR: f64 = 1.5;

/// What the matrix says of one fault; the rest of its keys is not looked at.
#[derive(Deserialize)]
struct Row {
    fault: String,
    /// None where nothing was done.
    seconds: Option<f64>,
}

/// How long one remediation and its undo took.
#[derive(Deserialize)]
struct Times {
    fault: String,
    seconds: Option<f64>,
    undo_seconds: Option<f64>,
}

/// The figures.
pub fn figures(docs: &Path) -> Result<Vec<Figure>> {
    let rows: Vec<Row> = read(&docs.join("fault-matrix.json"))?;
    let times: Vec<Times> = read(&docs.join("fault-matrix-times.json"))?;
    judged(&rows, &times)
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("read {} (`make matrix` writes it)", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}", file.display()))
}

fn judged(rows: &[Row], times: &[Times]) -> Result<Vec<Figure>> {
    let mut remedied: Vec<(f64, &str)> =
        rows.iter().filter_map(|row| Some((row.seconds?, row.fault.as_str()))).collect();
    remedied.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (longest, slowest) = *remedied.last().context("no fault of the matrix was remedied")?;
    let all: Vec<f64> = remedied.iter().map(|(seconds, _)| *seconds).collect();
    let mut undone: Vec<(f64, &str)> = times.iter().filter_map(|one| Some((ratio(one)?, one.fault.as_str()))).collect();
    undone.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (worst, of) = *undone.last().context("no remediation of the matrix was undone")?;
    ensure!(worst.is_finite(), "the remediation of {of} took no time at all");
    let ratios: Vec<f64> = undone.iter().map(|(ratio, _)| *ratio).collect();
    let beyond: Vec<&str> = undone.iter().filter(|(ratio, _)| *ratio > UNDO_BAR).map(|(_, fault)| *fault).collect();
    let beyond = if beyond.is_empty() { String::new() } else { format!("; beyond the bar: {}", beyond.join(", ")) };
    let what = "every remediation of the fault matrix, from its execution's request to its proven end";
    Ok(vec![
        Figure::below("remediation.matrix-longest", &format!("{what}: the longest"), (longest, LONGEST_BAR), "s")
            .beside(format!("{} of {} faults were remedied; the longest was {slowest}", all.len(), rows.len())),
        Figure::below("remediation.matrix-median", "the same: the median", (median(&all), MEDIAN_BAR), "s"),
        Figure::at_most(
            "remediation.matrix-undo",
            "the undo of the same, of its forward time: the worst",
            (worst, UNDO_BAR),
            "x",
        )
        .beside(format!("{} were undone; median {:.2}, worst {of}{beyond}", undone.len(), median(&ratios))),
    ])
}

fn ratio(times: &Times) -> Option<f64> {
    Some(times.undo_seconds? / times.seconds?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(value: serde_json::Value) -> Vec<Row> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_longest_the_middle_and_the_worst_undo_are_judged() {
        let matrix = rows(json!([
            {"fault": "a", "check": "A", "clean": true, "seconds": 1.0},
            {"fault": "b", "check": "B", "clean": true, "seconds": 31.0},
            {"fault": "c", "check": "C", "clean": true, "seconds": 2.0},
            {"fault": "d", "check": "D", "clean": true, "seconds": null},
        ]));
        let times = json!([
            {"fault": "a", "seconds": 1.0, "undo_seconds": 1.4},
            {"fault": "b", "seconds": 31.0, "undo_seconds": 62.0},
            {"fault": "c", "seconds": 2.0, "undo_seconds": null},
        ]);
        let figures = judged(&matrix, &serde_json::from_value::<Vec<Times>>(times).unwrap()).unwrap();
        let met: Vec<_> = figures.iter().map(|figure| (figure.value, figure.met)).collect();
        assert_eq!(met, [(31.0, Some(false)), (2.0, Some(true)), (2.0, Some(false))]);
        assert!(figures[0].beside.contains("3 of 4 faults"), "{}", figures[0].beside);
        assert!(figures[2].beside.ends_with("beyond the bar: b"), "{}", figures[2].beside);
    }

    #[test]
    fn a_matrix_without_remediations_is_no_figure() {
        assert!(judged(&rows(json!([{"fault": "a", "seconds": null}])), &[]).is_err());
        assert!(figures(Path::new("/no/such/folder")).is_err());
    }
}
