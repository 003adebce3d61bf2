//! Two peculiarities of Mistral's own YAML loader: `&x 5` and `*x` are plain texts, and a plain text may begin with `@`.
//!
//! Only the bare language has them: StackStorm reads files with an ordinary loader first. Such scalars are put in
//! quotes before the text is parsed; what stands in quotes, comments or block scalars is left alone.

/// The text with those scalars in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut depth = 0_u32;
    let mut block: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if let Some(parent) = block {
            if line.trim().is_empty() || indent > parent {
                out.push_str(line);
                continue;
            }
            block = None;
        }
        quote_line(line, &mut depth, &mut out);
        let content = line.trim_end();
        let begins_block = content.ends_with([':', '-']) || content.ends_with(": |") || content.ends_with(": >");
        if depth == 0 && begins_block && content.ends_with(['|', '>']) {
            block = Some(indent);
        }
    }
    out
}

fn quote_line(line: &str, depth: &mut u32, out: &mut String) {
    let mut rest = line;
    let mut at_start = true;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            ' ' | '\n' | '\r' => {}
            '[' | '{' => {
                *depth += 1;
                at_start = true;
            }
            ']' | '}' => *depth = depth.saturating_sub(1),
            ',' if *depth > 0 => at_start = true,
            ':' | '-' if rest[taken..].starts_with([' ', '\n']) => at_start = true,
            '#' if out.ends_with([' ', '\n']) || out.is_empty() => taken = rest.len(),
            '\'' | '"' if at_start => {
                taken += rest[taken..].find(c).map_or(rest.len() - taken, |end| end + 1);
                at_start = false;
            }
            '@' | '&' | '*' if at_start => {
                let scalar = &rest[..scalar_end(rest, *depth > 0)];
                out.push_str(&format!("'{}'", scalar.trim_end().replace('\'', "''")));
                out.push_str(&scalar[scalar.trim_end().len()..]);
                rest = &rest[scalar.len()..];
                at_start = false;
                continue;
            }
            '<' if rest.starts_with("<%") => {
                taken = rest.find("%>").map_or(taken, |end| end + 2);
                at_start = false;
            }
            _ => at_start = false,
        }
        let (head, tail) = rest.split_at(taken);
        out.push_str(head);
        rest = tail;
    }
}

/// Where a plain scalar at the start of `text` ends.
fn scalar_end(text: &str, flow: bool) -> usize {
    let ends = [text.find('\n'), text.find(" #")];
    let in_flow = flow.then(|| text.find([',', ']', '}'])).flatten();
    ends.into_iter().chain([in_flow]).flatten().min().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn anchors_and_at_signs_become_texts() {
        assert_eq!(quoted("input: {a: &x 5, b: *x}\n"), "input: {a: '&x 5', b: '*x'}\n");
        assert_eq!(
            quoted("{m: \"x\", n: [@all], o: 1}\no: @<% $.u %> hello\n"),
            "{m: \"x\", n: ['@all'], o: 1}\no: '@<% $.u %> hello'\n"
        );
    }

    #[test]
    fn other_places_are_left_alone() {
        for text in ["a: \"@x\" # @y\n", "a: <% $.x * 2 %>\n", "a: |\n  @x\n  *y\nb: x@y\n", "m: '@a'\n"] {
            assert_eq!(quoted(text), text);
        }
    }
}
