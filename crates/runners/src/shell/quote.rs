//! Quoting for a POSIX shell.

/// A text that no shell command can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} contains a NUL character, which no command line can carry")]
pub(crate) struct HasNul(pub(crate) String);

/// `text` as one word of a shell command: as it is when every character is harmless, else in single quotes.
pub(crate) fn quote(text: &str) -> Result<String, HasNul> {
    if text.contains('\0') {
        return Err(HasNul(text.chars().take(40).collect()));
    }
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_harmless) {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', r#"'"'"'"#)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    #[test]
    fn r01_only_when_needed() {
        for (text, expected) in [
            ("", "''"),
            ("/usr/bin/x-y_z,1=2%3+4:5@6.7", "/usr/bin/x-y_z,1=2%3+4:5@6.7"),
            ("a b", "'a b'"),
            ("it's", r#"'it'"'"'s'"#),
            ("[1, 'q']", r#"'[1, '"'"'q'"'"']'"#),
            ("ä", "'ä'"),
        ] {
            assert_eq!(quote(text).as_deref(), Ok(expected));
        }
        assert!(quote("a\0b").is_err());
    }

    fn through(shell: &str, words: &str, times: usize) -> Vec<u8> {
        let mut command = format!("printf '%s\\0' {words}");
        for _ in 1..times {
            command = format!("{shell} -c {}", quote(&command).unwrap());
        }
        Command::new(shell).args(["-c", &command]).output().unwrap().stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        // Many texts per shell, since starting one is what takes the time.
        #[test]
        fn r01_shells_give_back_what_was_quoted(texts in proptest::collection::vec("[^\0]{0,12}|[ '\"\\\\$`!\n*;&|<>()#~-]{0,12}", 1..60)) {
            let words: Vec<String> = texts.iter().map(|text| quote(text).unwrap()).collect();
            let expected: Vec<u8> = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
            for (shell, times) in [("sh", 1), ("sh", 2), ("bash", 2)] {
                prop_assert_eq!(through(shell, &words.join(" "), times), expected.clone());
            }
        }
    }
}
