//! The codes of this room's diagnostics, each with its title; one line per code.
//!
//! A code never changes its meaning; a new problem gets a new code and a page in `docs/errors`.

/// Not YAML that can be loaded.
pub(crate) const YAML: &str = "SQ1001";
pub(crate) const DUPLICATE_KEY: &str = "SQ1002";
pub(crate) const UNREADABLE: &str = "SQ1003";
pub(crate) const NOT_A_MAP: &str = "SQ1004";
pub(crate) const UNKNOWN_KEY: &str = "SQ1005";
pub(crate) const MISSING_KEY: &str = "SQ1006";
pub(crate) const WRONG_TYPE: &str = "SQ1007";
pub(crate) const BAD_NAME: &str = "SQ1008";
pub(crate) const OTHER_PACK: &str = "SQ1009";
pub(crate) const DEFINED_TWICE: &str = "SQ1010";
pub(crate) const NO_MANIFEST: &str = "SQ1101";
pub(crate) const PACK_VERSION: &str = "SQ1102";
pub(crate) const PACK_REF: &str = "SQ1103";
pub(crate) const PACK_TWICE: &str = "SQ1104";
pub(crate) const CONFIG_SCHEMA: &str = "SQ1105";
pub(crate) const CONFIG: &str = "SQ1106";
pub(crate) const OVERRIDES: &str = "SQ1107";
pub(crate) const PARAMETER_SCHEMA: &str = "SQ1202";
pub(crate) const UNKNOWN_RUNNER: &str = "SQ1203";
pub(crate) const RUNNER_PARAMETER: &str = "SQ1204";
pub(crate) const POSITIONS: &str = "SQ1205";
pub(crate) const IMMUTABLE: &str = "SQ1206";
pub(crate) const ENTRY_POINT: &str = "SQ1207";
pub(crate) const NOTIFY: &str = "SQ1208";
pub(crate) const ALIAS_NAME_TWICE: &str = "SQ1301";
pub(crate) const FORMAT_TWICE: &str = "SQ1302";
pub(crate) const UNKNOWN_ACTION: &str = "SQ1303";
pub(crate) const FORMAT: &str = "SQ1304";
pub(crate) const CONFIRM_KEY: &str = "SQ1305";
pub(crate) const CONFIRM_BYPASS: &str = "SQ1306";
pub(crate) const PLACEHOLDER: &str = "SQ1307";
pub(crate) const TEMPLATE: &str = "SQ1308";
pub(crate) const CRITERIA: &str = "SQ1401";
pub(crate) const UNKNOWN_TRIGGER: &str = "SQ1402";
pub(crate) const POLICY_TYPE: &str = "SQ1501";
pub(crate) const POLICY_PARAMETERS: &str = "SQ1502";
pub(crate) const POLL_INTERVAL: &str = "SQ1601";

/// Every code with its title, in order.
pub const CODES: &[(&str, &str)] = &[
    (YAML, "a file is not YAML that can be loaded"),
    (DUPLICATE_KEY, "a key is written twice"),
    (UNREADABLE, "a file cannot be read"),
    (NOT_A_MAP, "a file does not hold a map"),
    (UNKNOWN_KEY, "a key has no meaning here"),
    (MISSING_KEY, "a key is missing"),
    (WRONG_TYPE, "a value has the wrong type"),
    (BAD_NAME, "a name has characters that names cannot have"),
    (OTHER_PACK, "a file names another pack than the one it lies in"),
    (DEFINED_TWICE, "two files define the same thing"),
    (NO_MANIFEST, "a pack has no manifest"),
    (PACK_VERSION, "a pack's version has not three parts"),
    (PACK_REF, "a pack has no usable reference"),
    (PACK_TWICE, "a pack is found twice"),
    (CONFIG_SCHEMA, "a configuration schema has something that it should not have"),
    (CONFIG, "a configuration does not fit its schema"),
    (OVERRIDES, "an override says more than `enabled`"),
    (PARAMETER_SCHEMA, "a parameter's schema is wrong"),
    (UNKNOWN_RUNNER, "a runner type does not exist"),
    (RUNNER_PARAMETER, "a parameter of the runner is changed in a way that it cannot be"),
    (POSITIONS, "positions of parameters collide or leave gaps"),
    (IMMUTABLE, "an immutable parameter has no default"),
    (ENTRY_POINT, "an entry point cannot be used"),
    (NOTIFY, "a notification is declared wrongly"),
    (ALIAS_NAME_TWICE, "two packs have an alias of the same name"),
    (FORMAT_TWICE, "two aliases have the same format"),
    (UNKNOWN_ACTION, "an action does not exist"),
    (FORMAT, "an alias format cannot be matched"),
    (CONFIRM_KEY, "a key that StackStorm refuses"),
    (CONFIRM_BYPASS, "a confirmation that other ways to the action go around"),
    (PLACEHOLDER, "an alias gives a parameter that its action does not take"),
    (TEMPLATE, "a template of an alias cannot be read"),
    (CRITERIA, "a rule's criteria are wrong"),
    (UNKNOWN_TRIGGER, "a trigger type does not exist"),
    (POLICY_TYPE, "a policy type does not exist"),
    (POLICY_PARAMETERS, "a policy's parameters are wrong"),
    (POLL_INTERVAL, "a sensor polls too often"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_has_a_page() {
        for (code, title) in super::CODES {
            let path = format!("{}/../../docs/errors/{code}.md", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                page.starts_with(&format!("# {code}: {title}\n")),
                "docs/errors/{code}.md is missing or has another title"
            );
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(super::CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
