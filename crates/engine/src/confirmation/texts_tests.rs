//! Every text as people read it, and what happens to values that want to be more than values.

use super::*;
use crate::confirmation::code::{self, Read};
use crate::confirmation::decide::{Opening, Settings, World, hold};
use crate::confirmation::declare::Show;
use crate::confirmation::declare::{Declared, Origin, declared};
use crate::confirmation::digest::Digest;
use crate::confirmation::people::{Assurance, Requester};
use crate::confirmation::policy::{Source, join};
use crate::confirmation::record::Record;
use crate::confirmation::record::{ConfirmationId, Kind, Place};
use crate::confirmation::testing::{Dice, People};
use jiff::tz::TimeZone;
use squall_model::{Timestamp, Value, from_json};
use std::time::Duration;

fn now() -> Timestamp {
    Timestamp::parse_iso("2026-02-01T13:02:20Z").unwrap()
}

fn style() -> Style {
    Style {
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        web_url: Some("https://squall.example".into()),
        ..Style::default()
    }
}

/// Schemas and parameters of the action, as JSON.
fn shown(schemas: &str, params: &str, show: &Show) -> ShownRun {
    let schemas = from_json(schemas, false).unwrap().as_map().unwrap().clone();
    let params = from_json(params, false).unwrap().as_map().unwrap().clone();
    shown_run("ops.something", Some("Do something to a list of hosts."), &schemas, &params, show)
}

fn record(confirm: &str, runs: Vec<ShownRun>) -> Record {
    let people = People::usual();
    let alice = people.get("alice");
    let action = "ops.do_something".parse().unwrap();
    let Ok(Declared::Rule(rule)) = declared(Origin::Alias(&action), &from_json(confirm, false).unwrap()) else {
        panic!("{confirm}")
    };
    let Read::Code(code) = code::read("K7Q4M9") else { panic!() };
    let mut digest = [0u8; 32];
    digest[..4].copy_from_slice(&[0x9f, 0x2a, 0x11, 0xc0]);
    let dice = Dice::new(1);
    let opening = Opening {
        id: ConfirmationId::draw(&dice, now()),
        code,
        kind: Kind::Gate,
        runs: runs.into_iter().map(|run| (squall_model::Ids::execution(&dice), run)).collect(),
        digest: Digest(digest),
        requester: Requester {
            person: alice.id.clone(),
            shown: alice.shown(),
            identities: alice.identities,
            assurance: Assurance::A2,
            agent: None,
            through: None,
            label: None,
        },
        editors: Vec::new(),
        run_as: "alice".into(),
        source: Source::Chat,
        origin: Some(Place { network: "slack".into(), channel: "C1".into(), thread: None, private: false }),
        command: None,
        joined: join(&[rule], true).unwrap(),
        places: Vec::new(),
        secrets: Vec::new(),
        epoch: None,
        task: None,
        retry_of: None,
        found: Default::default(),
        wish: None,
    };
    let settings = Settings { style: style(), ..Settings::default() };
    let world = World {
        now: now(),
        directory: &people,
        recheck: &|_| Ok(()),
        release_id: "r",
        breaks_today: 0,
        is_barred: false,
        settings: &settings,
    };
    hold(opening, &world).unwrap_or_else(|text| panic!("{}", text.plain())).record
}

const SCHEMAS: &str = r#"{"hostlist": {"type": "string", "required": true, "position": 0}, "param1": {"type": "string", "required": true, "position": 1},
    "password": {"type": "string", "secret": true}, "retries": {"type": "integer", "default": 3}, "hosts": {"type": "array"}}"#;

#[test]
fn m1() {
    let run = shown(SCHEMAS, r#"{"param1": "x", "hostlist": "web1,web2"}"#, &Show::default());
    assert_eq!(
        question(&record("true", vec![run]), now(), &style()).plain(),
        "⚠ Alice (@alice), please confirm.\n\
         ops.something — Do something to a list of hosts.\n\
         \x20 hostlist  web1,web2\n\
         \x20 param1    x\n\
         Rule: alias ops.do_something — asked by the command itself\n\
         Fingerprint 9f2a-11c0. Nothing has been started.\n\
         Confirm: !confirm K7Q-4M9     Stop: !deny K7Q-4M9     (60 s left, until 14:03:20 CET)"
    );
}

#[test]
fn m2_with_secrets_defaults_and_impact() {
    let mut run = shown(
        SCHEMAS,
        r#"{"password": "hunter2", "hosts": ["web1", "web2", "web3"], "retries": 3, "hostlist": "x", "param1": "y"}"#,
        &Show { hide: vec!["param1".into()], ..Show::default() },
    );
    run.impact.push(dry_run(Ok(("would stop 3 machines\n", Duration::from_millis(3_100)))));
    let text = question(
        &record(r#"{"by": "role:sre", "count": 2, "why": "Deletes machines for good."}"#, vec![run]),
        now(),
        &style(),
    );
    assert_eq!(
        text.plain(),
        "⚠ Alice (@alice) wants to run ops.something.\n\
         \x20 hostlist  x\n\
         \x20 hosts     web1, web2, web3\n\
         \x20 password  ••••••\n\
         \x20 + 1 defaults\n\
         \x20 + 1 hidden\n\
         hosts: 3 (web1 … web3)\n\
         Dry run (3.1 s): would stop 3 machines\n\
         Rule: alias ops.do_something — Deletes machines for good. Needs 2 of role sre; Alice (@alice) does not count.\n\
         Approve: !confirm K7Q-4M9     Refuse: !deny K7Q-4M9 <reason>     Details: !show K7Q-4M9\n\
         Fingerprint 9f2a-11c0. (15 min left, until 14:17:20 CET)"
    );
    assert!(!serde_json::to_string(&text).unwrap().contains("hunter2"), "secret_mask");
}

#[test]
fn several_runs_are_one_question() {
    let run = |host: &str| shown(SCHEMAS, &format!(r#"{{"hostlist": "{host}"}}"#), &Show::default());
    let text = question(&record("true", vec![run("web1"), run("web2")]), now(), &style()).plain();
    assert!(text.contains("• ops.something\n  hostlist  web1\n• ops.something\n  hostlist  web2\n"), "{text}");
}

#[test]
fn a_phrase_is_hinted_at() {
    let record =
        record(r#"{"by": "requester", "phrase": "{{ params.env }}"}"#, vec![shown("{}", "{}", &Show::default())]);
    assert!(question(&record, now(), &style()).plain().contains("Confirm: !confirm K7Q-4M9 <env>     Stop:"));
}

#[test]
fn m27() {
    let record = record("true", vec![shown("{}", "{}", &Show::default())]);
    assert_eq!(
        pending(std::slice::from_ref(&record), now()).plain(),
        "code     asked by        action         needs               left\n\
         K7Q-4M9  Alice (@alice)  ops.something  1 of the requester  60 s"
    );
    assert_eq!(pending(&[], now()).plain(), "Nothing waits for you.");
}

/// Each text with every placeholder filled by its own name in brackets.
#[test]
fn the_catalogue() {
    let mut all = String::new();
    for (name, template) in CATALOGUE {
        let keys: Vec<&str> =
            template.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(key, _)| key).collect();
        let fills: Vec<(&str, Fill<'_>)> = keys.iter().map(|key| (*key, Fill::Ours(format!("[{key}]")))).collect();
        let filled = text(name, &fills).plain();
        assert!(!filled.contains(['{', '}']), "{name}: {filled}");
        for key in &keys {
            assert!(filled.contains(&format!("[{key}]")), "{name}: {key}");
        }
        all.push_str(&format!("{name}: {filled}\n"));
    }
    for golden in [
        "M3: ✔ [by] approved [code] ([n] of [m]). [left] left.",
        "M4: ▶ Confirmed by [by]. Started [action] as [id]. [url]",
        "M5: ✖ [by] refused [code]: [reason]. [action] was not run.",
        "M6: ⌛ No confirmation for [code] within [timeout]. [action] was not run. Ask again: [command]",
        "M7: ↩ [by] withdrew [code]. [action] was not run.",
        "M8: ⛔ [code] is void: [cause]. [action] was not run. Ask again to see the current version.",
        "M9: ⌛ Too late: [code] ended [delta] before your answer ([state]). [action] was not run.",
        "M10: I do not know the code “[input]”. Codes look like K7Q-4M9. Open here: [codes]",
        "M11: There is no open confirmation [code].",
        "M12: [who], you cannot approve [code]: it needs [set].",
        "M12-self: [who], you asked for it, so somebody else must approve [code].",
        "M13: You already approved [code]. ([n] of [m])",
        "M13-final: [code] is already finished: [state] by [by] at [time].",
        "M14: [action] needs [m] of [set], but only [n] such people exist besides you. It was not started. Ask an administrator.",
        "M15: The same request is already waiting as [code] ([left] left).",
        "M16: ⏳ [code] still waits for [missing]: [action]. [left] left.",
        "M17: ⏫ [code] now also asks [set]: nobody answered for [delta].",
        "M18: [who], I do not know your squall account yet. Link it: [url] (or [prefix]link), then confirm [code] again. [left] left.",
        "M19: This needs a second factor. Open [url] or send me in private: confirm [code] <6 digits>.",
        "M19-public: Never post factors in a channel. That code is now useless.",
        "M20: Type the confirmation with the name: [prefix]confirm [code] [hint]",
        "M20-wrong: That does not match. Nothing was started.",
        "M21: Too many wrong codes. I ignore confirmations from you for [delta].",
        "M22: 🚨 BREAK GLASS by [by]: [action] started as [id] without [missing]. Reason: [reason]. Review until [date]: [url]",
        "M23: I was away for [delta]. [code] is still open, [left] left.",
        "M27-none: Nothing waits for you.",
    ] {
        assert!(all.lines().any(|line| line == golden), "{golden}\n---\n{all}");
    }
}

#[track_caller]
fn shows(value: &str, expected: &str) {
    assert_eq!(shown_text(value), expected);
}

#[test]
fn inject_mention() {
    shows("@here @Channel @all! @allan", "\\u{40}here \\u{40}Channel \\u{40}all! @allan");
    shows("a@here.org <!channel> <@U1>", "a\\u{40}here.org \\u{3C}!channel> \\u{3C}@U1>");
}

#[test]
fn inject_link() {
    shows("[click](https://evil.example)", "[click]\\u{28}https://evil.example)");
}

#[test]
fn bidi() {
    shows("a\u{202e}b\u{2066}c\u{2069}", "a\\u{202E}b\\u{2066}c\\u{2069}");
}

#[test]
fn zero_width() {
    shows("pro\u{200b}d\u{feff}\u{2060}", "pro\\u{200B}d\\u{FEFF}\\u{2060}");
}

#[test]
fn newline() {
    shows("x\nConfirm: !confirm\ty\r", "x⏎Confirm: !confirm⇥y\\u{D}");
}

#[test]
fn backticks_do_not_end_monospace() {
    shows("a`b`", "a\\u{60}b\\u{60}");
}

#[test]
fn jinja_inert() {
    shows("{{ st2kv.system.password }} {code}", "{{ st2kv.system.password }} {code}");
    // A filled value is never filled again.
    let told = text("M11", &[("code", Fill::Value("{left} {code}"))]).plain();
    assert_eq!(told, "There is no open confirmation {left} {code}.");
}

#[test]
fn secret_mask() {
    for secret in ["hunter1", "hunter2", "a much longer one than the others"] {
        let run = shown(SCHEMAS, &format!(r#"{{"password": "{secret}"}}"#), &Show::default());
        let text = question(&record("true", vec![run]), now(), &style());
        assert!(text.plain().contains("password  ••••••\n"), "{}", text.plain());
        assert!(!text.plain().contains(secret));
    }
}

#[test]
fn what_is_harmless_stays_as_it_is() {
    shows("rm -rf /tmp/x && echo <ok> ünïcode 日本", "rm -rf /tmp/x && echo <ok> ünïcode 日本");
}

#[test]
fn long_value() {
    let shown = shown_text(&"x".repeat(1_000));
    assert!(
        shown.starts_with(&"x".repeat(160)) && shown.contains(" … xxxxxxxxxxxxxxxxxxxx (1000 characters, sha256 "),
        "{shown}"
    );
    assert_eq!(shown_text(&"x".repeat(200)), "x".repeat(200));
}

#[test]
fn big_list() {
    let list = |n: i64| Value::from((1..=n).map(Value::Int).collect::<Vec<_>>());
    assert_eq!(shown_value(&list(10)), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10");
    assert_eq!(shown_value(&list(11)), "1, 2, 3, 4, 5, 6, 7, 8, … and 3 more");
    assert_eq!(shown_value(&list(0)), "[]");
    assert_eq!(shown_value(&from_json(r#"{"b": [1, {"a": null}]}"#, false).unwrap()), r#"{"b":[1,{"a":null}]}"#);
}

#[test]
fn a_whole_message_is_bounded() {
    let params: String = (0..200).map(|n| format!("\"p{n:03}\": \"{}\",", "y".repeat(150))).collect();
    let run = shown("{}", &format!("{{{}}}", params.trim_end_matches(',')), &Show::default());
    let text = question(&record("true", vec![run]), now(), &style()).plain();
    assert!(text.chars().count() <= MESSAGE, "{}", text.chars().count());
    assert!(text.contains("!confirm K7Q-4M9") && text.contains("!show K7Q-4M9"), "{}", &text[text.len() - 400..]);
}

#[test]
fn nested_secrets_are_masked_whole() {
    let schemas = r#"{"login": {"type": "object", "properties": {"user": {}, "password": {"secret": true}}}}"#;
    let run = shown(schemas, r#"{"login": {"user": "a", "password": "hunter2"}}"#, &Show::default());
    assert_eq!(run.params, [("login".to_owned(), MASK.to_owned())]);
}

#[test]
fn networks_mark_values_up() {
    let text = text(
        "M5",
        &[
            ("by", Fill::Name("A_b <x>")),
            ("reason", Fill::Value("a & b <c>")),
            ("code", "K".into()),
            ("action", Fill::Value("ops.x")),
        ],
    );
    assert_eq!(text.marked_up(Markup::Slack), "✖ A_b &lt;x&gt; refused K: `a &amp; b &lt;c&gt;`. `ops.x` was not run.");
    assert_eq!(text.marked_up(Markup::Markdown), "✖ A\\_b \\<x\\> refused K: `a & b <c>`. `ops.x` was not run.");
}

#[test]
fn durations_as_people_say_them() {
    for (ms, said) in [
        (400, "1 s"),
        (60_000, "60 s"),
        (119_000, "119 s"),
        (120_000, "2 min"),
        (870_000, "14 min 30 s"),
        (3_900_000, "1 h 5 min"),
        (183_600_000, "2 d 3 h"),
    ] {
        assert_eq!(human(Duration::from_millis(ms)), said);
    }
}

#[test]
fn other_days_have_their_date() {
    let later = now().after(Duration::from_secs(2 * 86_400));
    assert_eq!(clock(later, now(), &style().zone), "2026-02-03 14:02:20 CET");
}

/// What stands for each placeholder in the golden texts.
const SAMPLES: &[(&str, &str)] = &[
    ("action", "ops.restart"),
    ("by", "Bob (@bob)"),
    ("cause", "the action changed since you were asked"),
    ("code", "K7Q-4M9"),
    ("codes", "BR7-KDW"),
    ("command", "restart web1"),
    ("date", "2026-02-04 14:03:20 CET"),
    ("delta", "3 s"),
    ("excluded", "; Alice (@alice) does not count"),
    ("fp", "9f2a-11c0"),
    ("head", "ops.restart — Restart a host."),
    ("hint", " <env>"),
    ("id", "66f000000000000000000001"),
    ("impact", "hosts: 3 (web1 … web3)"),
    ("input", "K7Q4M8"),
    ("left", "42 s"),
    ("m", "2"),
    ("missing", "1 of role sre"),
    ("n", "1"),
    ("need", "2 of role sre"),
    ("params", "  host  web1"),
    ("prefix", "!"),
    ("reason", "not today"),
    ("requester", "Alice (@alice)"),
    ("rows", "K7Q-4M9  Alice (@alice)  ops.restart  1 of the requester  42 s"),
    ("rules", "action ops.restart — asked by the action itself"),
    ("scope", "of yours"),
    ("set", "role sre"),
    ("state", "expired"),
    ("time", "14:03:20 CET"),
    ("timeout", "60 s"),
    ("url", "https://squall.example/x"),
    ("ways", "command, cli"),
    ("who", "Alice (@alice)"),
    ("word", "deny"),
];

/// Every text as people read it, one below the other in `texts_golden.txt`. A text that changes is changed there too, and is read there.
#[test]
fn golden() {
    let fills: Vec<(&str, Fill<'_>)> = SAMPLES.iter().map(|(key, text)| (*key, Fill::Ours((*text).into()))).collect();
    let written: Vec<String> =
        CATALOGUE.iter().map(|(name, _)| format!("== {name}\n{}\n", text(name, &fills).plain())).collect();
    let golden = include_str!("texts_golden.txt").replace("\r\n", "\n");
    for (written, golden) in written.iter().zip(golden.split("\n== ").enumerate()) {
        let golden = if golden.0 == 0 { golden.1.to_owned() } else { format!("== {}", golden.1) };
        assert_eq!(written.trim_end(), golden.trim_end());
    }
    assert_eq!(written.len(), golden.matches("== ").count(), "each text has a golden one");
    // Those of the reference that are told by a text; M24 to M26 say where the others go.
    for number in (1..=23).chain([27]) {
        assert!(CATALOGUE.iter().any(|(name, _)| *name == format!("M{number}")), "M{number}");
    }
}
