//! The text of a workflow as it was when the content was loaded.

use squall_model::Str;

/// A workflow definition, shared by the runs that started with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The whole text.
    pub text: Str,
    /// SHA-256 of the text in hexadecimal digits.
    pub sha: String,
    /// Its file, for messages.
    pub path: String,
}

impl Definition {
    pub(crate) fn new(text: &str, path: String) -> Definition {
        Definition { text: Str::from(text), sha: hex_sha256(text.as_bytes()), path }
    }
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
