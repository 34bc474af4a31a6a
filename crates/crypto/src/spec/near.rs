//! "Did you mean", and lists of names in a sentence.

/// The most characters of a name that are compared: a longer one is a stranger, and the distance costs the product of the
/// two lengths.
const MOST_COMPARED: usize = 64;

/// The name among `known` that is nearest to `name`, if one is near enough to be what was meant: at most two characters
/// more, less, other or swapped, and of a short name at most half of them. Case does not count.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let name: String = name.chars().take(MOST_COMPARED).collect::<String>().to_ascii_lowercase();
    let limit = (name.chars().count() / 2).min(2);
    let near = known.into_iter().map(|known| (strsim::osa_distance(&name, known), known));
    near.filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// `a, b or c`.
pub fn either(names: &[impl AsRef<str>]) -> String {
    list(names, "or")
}

/// `a, b and c`, with `and` between the last two.
pub(super) fn list(names: &[impl AsRef<str>], and: &str) -> String {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} {and} {last}", first.join(", ")),
        _ => names.concat(),
    }
}
