//! "Did you mean": the known word closest to a mistyped one.

/// The closest of `known`, if it is close enough to be a slip of the finger.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > 80 {
        return None;
    }
    let allowed = (length / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
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
