//! The names of device-mapper's targets, and "did you mean".

/// Device-mapper's targets, apart from crypt. None of them has a secret among its words.
pub(super) const TARGETS: &[&str] = &[
    "linear",
    "zero",
    "error",
    "striped",
    "mirror",
    "snapshot",
    "snapshot-origin",
    "snapshot-merge",
    "thin",
    "thin-pool",
    "cache",
    "writecache",
    "verity",
    "integrity",
    "raid",
    "delay",
    "flakey",
    "dust",
    "ebs",
    "era",
    "multipath",
    "switch",
    "unstriped",
    "zoned",
    "log-writes",
    "clone",
    "vdo",
    "pcache",
];

/// The targets that udm has.
pub(super) const OURS: [&str; 4] = ["linear", "zero", "error", "crypt"];

/// The name among `known` that is nearest to `name`, if one is near enough to be what was meant.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A longer word is a stranger, and the distance costs the product of the two lengths.
    let name: Vec<char> = name.chars().take(64).collect();
    let limit = (name.len() / 2).min(2);
    let near = known.into_iter().map(|known| (distance(&name, known), known));
    near.filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// The edits between two words: a character more, less or other, or two swapped. Case does not count.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let lower: Vec<char> = a.iter().map(char::to_ascii_lowercase).collect();
    if lower == b {
        return 0;
    }
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        let [before, last, row] = &mut rows;
        row[0] = i;
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(lower[i - 1] != b[j - 1]);
            row[j] = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && lower[i - 1] == b[j - 2] && lower[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

/// `count` of `thing`, which takes an s where there are several.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
