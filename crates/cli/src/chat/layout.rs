//! Texts as rows: cut at blanks, wrapped with an indentation, measured as a terminal measures them.
//!
//! Nothing here knows what a row says. Styles come later, so that they never count as width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How far the rest of a wrapped line is indented.
const HANG: usize = 2;
/// So many blanks part things that stand side by side; those break apart first.
const GAP: &str = "    ";
/// No row is narrower, whatever the terminal says.
const NARROWEST: usize = 16;

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text as rows of at most `columns`.
pub fn rows(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(NARROWEST);
    text.split('\n').flat_map(|line| line_rows(line, columns)).collect()
}

/// One line: as it is when it fits, else its parts side by side as far as they fit, else word by word.
fn line_rows(line: &str, columns: usize) -> Vec<String> {
    let line = line.replace('\t', "    ");
    let line = line.trim_end();
    if width(line) <= columns {
        return vec![line.to_owned()];
    }
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    let body = line.get(indent.len()..).unwrap_or_default();
    let mut all: Vec<String> = Vec::new();
    for part in body.split(GAP).map(str::trim).filter(|part| !part.is_empty()) {
        let joined = all.last().map(|row| format!("{row}{GAP} {part}")).filter(|row| width(row) <= columns);
        match (joined, all.last_mut()) {
            (Some(joined), Some(last)) => *last = joined,
            _ => all.extend(word_rows(part, &indent, columns)),
        }
    }
    all
}

fn word_rows(part: &str, indent: &str, columns: usize) -> Vec<String> {
    // A deep indentation would leave no room for words.
    let indent = if indent.len() * 2 > columns { "" } else { indent };
    let hang = format!("{indent}{}", " ".repeat(HANG));
    let mut all = Vec::new();
    let mut row = indent.to_owned();
    let mut is_empty = true;
    for word in part.split_inclusive(' ') {
        if !is_empty && width(&row) + width(word.trim_end()) > columns {
            all.push(row.trim_end().to_owned());
            row.clone_from(&hang);
            is_empty = true;
        }
        for piece in pieces(word, columns - width(&row), columns - hang.len()) {
            if !is_empty && width(&row) + width(piece.trim_end()) > columns {
                all.push(row.trim_end().to_owned());
                row.clone_from(&hang);
            }
            row.push_str(&piece);
            is_empty = false;
        }
    }
    all.push(row.trim_end().to_owned());
    all
}

/// A word that is longer than a row, in pieces: the first fits into what is left of the row.
fn pieces(word: &str, first: usize, columns: usize) -> Vec<String> {
    if width(word.trim_end()) <= columns.min(first) {
        return vec![word.to_owned()];
    }
    let (mut all, mut piece, mut room) = (Vec::new(), String::new(), first);
    for c in word.chars() {
        let wide = c.width().unwrap_or(0);
        if width(&piece) + wide > room && !piece.is_empty() {
            all.push(std::mem::take(&mut piece));
            room = columns;
        }
        piece.push(c);
    }
    all.push(piece);
    all
}

/// How far the lines of a message are indented below its author.
fn indent(columns: usize) -> usize {
    if columns >= 70 { 9 } else { HANG }
}

/// A message: `head` and the first line, the other lines indented below.
pub fn block(head: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = indent(columns);
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let blanks = " ".repeat(indent);
    let mut all = rows(&format!("{head}{first}"), columns.saturating_sub(indent - HANG));
    for row in all.iter_mut().skip(1) {
        *row = format!("{blanks}{}", row.trim_start());
    }
    if !rest.is_empty() {
        all.extend(rows(rest, columns.saturating_sub(indent)).into_iter().map(|row| format!("{blanks}{row}")));
    }
    all.iter_mut().for_each(|row| row.truncate(row.trim_end().len()));
    all
}

/// A message as exactly `count` rows, so that what stands below stays where it is.
pub fn block_of(head: &str, text: &str, columns: usize, count: usize) -> Vec<String> {
    let mut all = block(head, text, columns);
    if all.len() > count {
        // Only the first line can have grown, and that is said in full in a message of its own.
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let room = columns.saturating_sub(width(head));
        all = block(head, &format!("{}\n{rest}", cut(first, room)), columns);
    }
    all.resize(count, String::new());
    all
}

/// A text cut to a width, with `…` for what is missing.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        if width(&out) + c.width().unwrap_or(0) + 1 > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Where the cursor of a terminal stands after a text that begins at the left edge: row and column from 0.
pub fn after(text: &str, columns: usize) -> (usize, usize) {
    let (mut row, mut column) = (0, 0);
    for c in text.chars() {
        if c == '\n' {
            (row, column) = (row + 1, 0);
            continue;
        }
        let wide = c.width().unwrap_or(0);
        if column + wide > columns {
            (row, column) = (row + 1, 0);
        }
        column += wide;
    }
    // The line editor goes on to the next row when one is full.
    if column >= columns { (row + 1, 0) } else { (row, column) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, columns: usize, expected: &[&str]) {
        assert_eq!(rows(text, columns), expected, "{text}");
        for row in rows(text, columns) {
            assert!(width(&row) <= columns.max(NARROWEST), "{row:?}");
        }
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        check("a  b\n  c", 20, &["a  b", "  c"]);
        check("", 20, &[""]);
    }

    #[test]
    fn what_stands_side_by_side_breaks_apart_first() {
        let line = "Confirm: !confirm K7Q-4M9     Stop: !deny K7Q-4M9     (60 s left, until 14:03:20 CET)";
        check(line, 90, &[line]);
        check(line, 60, &["Confirm: !confirm K7Q-4M9     Stop: !deny K7Q-4M9", "(60 s left, until 14:03:20 CET)"]);
        check(line, 40, &["Confirm: !confirm K7Q-4M9", "Stop: !deny K7Q-4M9", "(60 s left, until 14:03:20 CET)"]);
    }

    #[test]
    fn words_wrap_with_an_indentation() {
        check(
            "Rule: alias ops.x — asked by the command itself",
            30,
            &["Rule: alias ops.x — asked by", "  the command itself"],
        );
        check("  hosts  web1, web2, web3, web4", 20, &["  hosts  web1, web2,", "    web3, web4"]);
    }

    #[test]
    fn a_word_without_an_end_is_cut_to_rows() {
        check("xxxxxxxxxxxxxxxxxxxxxxxxx", 16, &["xxxxxxxxxxxxxxxx", "  xxxxxxxxx"]);
        check("日本日本日本日本日本", 16, &["日本日本日本日本", "  日本"]);
    }

    #[test]
    fn the_cursor_is_where_a_terminal_has_it() {
        assert_eq!(after("alice> ", 20), (0, 7));
        assert_eq!(after("0123456789", 10), (1, 0));
        assert_eq!(after("012345678日", 10), (1, 2));
        assert_eq!(after("ab\ncd", 10), (1, 2));
    }

    #[test]
    fn a_message_is_indented_below_its_author_as_far_as_there_is_room() {
        assert_eq!(block("12:00:00 al: ", "one\n  two", 80), ["12:00:00 al: one", "           two"]);
        assert_eq!(block("12:00:00 al: ", "one\n  two", 50), ["12:00:00 al: one", "    two"]);
        let long = block("12:00:00 al: ", "words and words and words", 30);
        assert_eq!(long, ["12:00:00 al: words and words", "  and words"]);
        assert_eq!(
            block_of("al: ", "a much longer first line than before\nb", 20, 3),
            ["al: a much longer f…", "  b", ""]
        );
    }

    #[test]
    fn cutting_keeps_the_width() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
