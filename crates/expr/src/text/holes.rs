//! Where expressions are in a text: the shortest stretch between delimiters, on one line.

/// `<% … %>`
pub(super) const YAQL: (&str, &str) = ("<%", "%>");
/// `{{ … }}`
pub(super) const JINJA: (&str, &str) = ("{{", "}}");
/// `{% … %}`
pub(super) const BLOCK: (&str, &str) = ("{%", "%}");

/// The stretches with their delimiters, from left to right.
pub(super) fn find<'t>(text: &'t str, (open, close): (&str, &str)) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(open).map(|i| at + i) {
        let inside = start + open.len();
        let line = text[inside..].find('\n').map_or(text.len(), |i| inside + i);
        match text[inside..line].find(close) {
            Some(end) => {
                let end = inside + end + close.len();
                found.push(&text[start..end]);
                at = end;
            }
            // Another opening delimiter on the same line finds no end either, but the next line may hold one.
            None => at = start + 1,
        }
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    found
}

/// Whether there is any.
pub(super) fn any(text: &str, delimiters: (&str, &str)) -> bool {
    text.contains(delimiters.0) && !find(text, delimiters).is_empty()
}

/// The expression without delimiters: their characters are stripped in any number, and white space.
pub(super) fn inside<'t>(hole: &'t str, characters: &[char]) -> &'t str {
    hole.trim_matches(characters).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_on_one_line() {
        assert_eq!(find("a <% 1 %> <% 2 %>", YAQL), ["<% 1 %>", "<% 2 %>"]);
        assert_eq!(find("<% 'multi' +\n 'line' %>", YAQL), [""; 0]);
        assert_eq!(find("<% é\n<% 1 %>", YAQL), ["<% 1 %>"]);
        assert_eq!(find("{{ {'a': 1} }}", JINJA), ["{{ {'a': 1} }}"]);
        assert_eq!(inside("<% <a> %>", &['<', '%', '>']), "<a>");
    }
}
