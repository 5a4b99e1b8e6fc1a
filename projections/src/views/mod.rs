//! The projections, one a file: its events, its rows, its SQL and its tests.

pub mod causation;
pub mod check_results;
pub mod daily_figures;
pub mod deployments;
pub mod emergency_stops;
pub mod finding_history;
pub mod findings;
pub mod policies;
pub mod remediations;
pub mod runs;

use crate::projection::Projection;

/// Every projection, alphabetical.
pub fn all() -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(causation::Causation::default()),
        Box::new(check_results::CheckResults::default()),
        Box::new(daily_figures::DailyFigures::default()),
        Box::new(deployments::Deployments::default()),
        Box::new(emergency_stops::EmergencyStops::default()),
        Box::new(finding_history::FindingHistory::default()),
        Box::new(findings::Findings::default()),
        Box::new(policies::Policies::default()),
        Box::new(remediations::Remediations::default()),
        Box::new(runs::Runs::default()),
    ]
}

/// How much of its rows a projection remembers of one table.
pub(crate) use crate::single::REMEMBERED_BYTES as ROWS_REMEMBERED;
pub(crate) use crate::single::begun;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn the_list_is_alphabetical_and_no_table_has_two_writers() {
        let names: Vec<_> = all().iter().map(|projection| projection.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
        let mut tables: Vec<_> = all().iter().flat_map(|projection| projection.tables().iter().copied()).collect();
        let count = tables.len();
        tables.sort_unstable();
        tables.dedup();
        assert_eq!(tables.len(), count);
    }

    #[test]
    fn every_file_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/views");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
            .filter(|name| !["mod", "testing"].contains(&name.as_str()))
            .collect();
        files.sort();
        let names: Vec<_> = all().iter().map(|projection| projection.name().to_owned()).collect();
        assert_eq!(files, names);
    }
}
