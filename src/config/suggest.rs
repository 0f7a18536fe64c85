//! "Did you mean": the nearest of the names that are allowed.

/// More names than this are not all listed.
const LISTED: usize = 12;

/// The allowed name that was probably meant.
pub(super) fn nearest<'a>(written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = fold(written);
    let near = allowed
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &fold(name)), name));
    near.filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// The allowed names as a line of help: the nearest ones when there are many.
pub(super) fn list(written: &str, allowed: &[&str]) -> String {
    let mut names = allowed.to_vec();
    let more = names.len().saturating_sub(LISTED);
    if more > 0 {
        let written = fold(written);
        let nearness = |name: &&str| (-1000.0 * strsim::jaro_winkler(&written, &fold(name))) as i64;
        names.sort_by_cached_key(nearness);
        names.truncate(LISTED);
        names.sort_unstable();
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}
