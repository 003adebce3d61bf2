//! The codes of this room's diagnostics about chains and Mistral definitions, each with its title.
//!
//! A code never changes its meaning; a new problem gets a new code and a page in `docs/errors`.

/// Every code with its title, in order.
pub const CODES: &[(&str, &str)] = &[
    ("SQ2201", "a Mistral definition is not YAML"),
    ("SQ2202", "a Mistral definition has the wrong form"),
    ("SQ2203", "a name in a Mistral definition stands for nothing"),
    ("SQ2204", "a join can never start"),
    ("SQ2205", "an expression in a Mistral definition cannot be read"),
    ("SQ2301", "an action chain is not YAML"),
    ("SQ2302", "an action chain has the wrong form"),
    ("SQ2303", "an action chain names a node that does not exist"),
];

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn each_code_has_its_page() {
        for (code, title) in CODES {
            let path = format!("{}/../../docs/errors/{code}.md", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                page.starts_with(&format!("# {code}: {title}\n")),
                "docs/errors/{code}.md is missing or has another title"
            );
        }
    }
}
