//! "Did you mean": the known word closest to a mistyped one.

/// Longer words are no slips, and would take time.
const LONGEST: usize = 80;

/// The closest of `known`, if it is close enough to be a slip of the finger.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let allowed = (length / 3).max(1);
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        assert_eq!(nearest("runer_type", ["name", "runner_type"]), Some("runner_type"));
        assert_eq!(nearest("remote-shel-cmd", ["remote-shell-cmd", "local-shell-cmd"]), Some("remote-shell-cmd"));
        assert_eq!(nearest("item", ["items", "enum"]), Some("items"));
        assert_eq!(nearest("naem", ["name"]), Some("name"));
        assert_eq!(nearest("zebra", ["name", "pack"]), None);
        assert_eq!(nearest("a", ["b", "x1"]), None);
    }
}
