//! Whether a setting's value is the one that was asked for, however either of them is written: `4096` kB is `4MB`.

/// Units of memory and of time, with their size in bytes and in microseconds.
const MEMORY: [(&str, f64); 5] =
    [("TB", 1_099_511_627_776.0), ("GB", 1_073_741_824.0), ("MB", 1_048_576.0), ("kB", 1_024.0), ("B", 1.0)];
const TIME: [(&str, f64); 6] = [("us", 1.0), ("ms", 1e3), ("min", 60e6), ("s", 1e6), ("h", 3_600e6), ("d", 86_400e6)];

/// Compares the server's value, in its own unit, with a wanted one, which may have another.
pub(super) fn is_same(kind: &str, unit: Option<&str>, in_force: &str, wanted: &str) -> bool {
    let (in_force, wanted) = (in_force.trim(), wanted.trim());
    if in_force.eq_ignore_ascii_case(wanted) {
        return true;
    }
    match kind {
        "bool" => truth(in_force).is_some() && truth(in_force) == truth(wanted),
        "integer" | "real" => match (number(in_force, unit), number(wanted, unit)) {
            (Some(one), Some(other)) => (one - other).abs() <= one.abs().max(other.abs()) * 1e-9,
            _ => false,
        },
        _ => false,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A value in the smallest unit of its kind; one without a unit is in the setting's own.
fn number(text: &str, own: Option<&str>) -> Option<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value: f64 = digits.trim().parse().ok()?;
    // A negative value is a word in disguise: none, or no limit.
    if value < 0.0 {
        return Some(value);
    }
    let unit = if unit.is_empty() { own } else { Some(unit.trim()) };
    unit.map_or(Some(value), |unit| size(unit).map(|size| value * size))
}

/// The size of a unit; the server also has multiples of one, such as `8kB`.
fn size(unit: &str) -> Option<f64> {
    let end = unit.find(|c: char| c.is_ascii_alphabetic())?;
    let (times, unit) = unit.split_at(end);
    let times: f64 = if times.is_empty() { 1.0 } else { times.parse().ok()? };
    MEMORY.iter().chain(&TIME).find(|(name, _)| *name == unit).map(|(_, size)| times * size)
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let rows = [
            ("integer", Some("kB"), "4096", "4MB", true),
            ("integer", Some("kB"), "4096", "4096", true),
            ("integer", Some("kB"), "4096", "8MB", false),
            ("integer", Some("8kB"), "524288", "4GB", true),
            ("integer", Some("MB"), "1024", "1GB", true),
            ("integer", Some("MB"), "-1", "-1", true),
            ("integer", Some("s"), "300", "5min", true),
            ("integer", Some("ms"), "90000", "90s", true),
            ("integer", Some("ms"), "-1", "90s", false),
            ("real", Some("ms"), "2", "2ms", true),
            ("real", None, "0.2", "0.20", true),
            ("integer", None, "100", "nonsense", false),
            ("bool", None, "on", "TRUE", true),
            ("bool", None, "off", "on", false),
            ("enum", None, "pglz", "PGLZ", true),
            ("enum", None, "pglz", "lz4", false),
        ];
        for (kind, unit, in_force, wanted, same) in rows {
            assert_eq!(is_same(kind, unit, in_force, wanted), same, "{in_force} {unit:?} and {wanted}");
        }
    }
}
