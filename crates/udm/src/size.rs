//! Sizes for people.

/// A number of bytes for a person: `1.5 MiB`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let power = UNITS.len().min((bytes.max(1).ilog2() / 10) as usize + 1) - 1;
    let number = bytes as f64 / (1u64 << (10 * power)) as f64;
    if bytes.is_multiple_of(1 << (10 * power)) {
        format!("{number:.0} {}", UNITS[power])
    } else {
        format!("{number:.1} {}", UNITS[power])
    }
}
