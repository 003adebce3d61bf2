//! What is stored and shown, in this format and older ones.

use super::*;

#[test]
fn the_api_shows_no_code() {
    let table = Table::new("true");
    let json = squall_model::to_json(&table.record.to_value());
    assert!(!json.contains("K7Q") && json.contains(r#""state":"open""#), "{json}");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let table = Table::new("true");
    let newer = table.record.to_json().replacen("\"v\":2", "\"v\":3", 1);
    assert_eq!(
        Record::from_json(&newer).unwrap_err().to_string(),
        "the confirmation was written by a newer squall (format 3, known is 2)"
    );
}

/// An open question as the version before wrote it is answered by this one.
#[test]
fn record_of_version_1_is_answered_by_2() {
    let mut table = Table::new("true");
    let old = include_str!("../../record_v1.json").trim_end();
    table.record = Record::from_json(old).unwrap();
    assert_eq!((table.record.v, table.record.state), (1, State::Open));
    table.says("alice", Verdict::Grant);
    assert_eq!(table.record.state, State::Released);
}
