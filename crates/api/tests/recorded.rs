//! The recorded calls, in process: everything that needs no process and no clock. The whole of it is played against the
//! program by the replay tool.

mod house;

use axum::body::Body;
use axum::http::Request;
use house::{Answer, House, recorded};
use regex::Regex;
use serde_json::Value as Json;
use std::collections::HashMap;

/// Steps that differ, each with the reason.
const EXCEPTIONS: &[(&str, &[u64], &str)] = &[
    ("root", &[4], "an origin that nobody allowed is not echoed"),
    ("root", &[6], "the reference fails without credentials; here is a caller, so there is an answer"),
    ("aliases", &[10], "needs a runner for Python"),
    ("actions", &[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], "actions are files of packs and change with them"),
    (
        "rules",
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17],
        "rules are files of packs and change with them",
    ),
];

/// Scenarios that are played.
const PLAYED: &[&str] = &["root", "exec-noop", "exec-bad-params", "aliases", "keys", "packs", "actions", "rules"];

struct Play {
    house: House,
    names: HashMap<String, String>,
}

fn fill(text: &str, names: &HashMap<String, String>) -> String {
    let place = Regex::new("<<([a-z_0-9]+(?::[^<>]*)?)>>").unwrap();
    place
        .replace_all(text, |found: &regex::Captures<'_>| match &found[1] {
            "run" => "r1".to_owned(),
            "number" => "42".to_owned(),
            name => names.get(name).cloned().unwrap_or_else(|| format!("unbound-{name}")),
        })
        .into_owned()
}

/// Compares as the replay tool does: what was recorded must be there; more may be.
struct Compare<'a> {
    names: &'a mut HashMap<String, String>,
    loose: Vec<String>,
    found: Vec<String>,
}

const BOUND: &[&str] = &["id", "uuid", "token", "apikey", "keyhash"];

impl Compare<'_> {
    fn differ(&mut self, path: &str, want: &Json, got: &Json) {
        let cut = |j: &Json| j.to_string().chars().take(300).collect::<String>();
        self.found.push(format!("{path}: recorded {} answered {}", cut(want), cut(got)));
    }

    fn text(&mut self, path: &str, want: &str, got: &str) {
        let place = Regex::new("<<([a-z_0-9]+(?::[^<>]*)?)>>").unwrap();
        let (mut pattern, mut last, mut groups) = ("(?s)^".to_owned(), 0, Vec::new());
        for found in place.captures_iter(want) {
            let whole = found.get(0).unwrap();
            pattern.push_str(&regex::escape(&want[last..whole.start()]));
            last = whole.end();
            let name = found[1].to_owned();
            match self.names.get(&name) {
                Some(known) if BOUND.contains(&name.split(':').next().unwrap()) => {
                    pattern.push_str(&regex::escape(known))
                }
                _ => {
                    pattern.push_str("(.*?)");
                    groups.push(name);
                }
            }
        }
        pattern.push_str(&regex::escape(&want[last..]));
        pattern.push('$');
        match Regex::new(&pattern).unwrap().captures(got) {
            None => self.differ(path, &want.into(), &got.into()),
            Some(found) => {
                for (number, name) in groups.into_iter().enumerate() {
                    self.names.insert(name, found[number + 1].to_owned());
                }
            }
        }
    }

    fn value(&mut self, path: &str, want: &Json, got: &Json) {
        match (want, got) {
            (Json::String(w), _) if w == "<<any>>" => {}
            (Json::String(w), Json::Array(_)) if w == "<<list>>" => {}
            (Json::String(w), Json::Number(n)) if w.starts_with("<<") => self.text(path, w, &n.to_string()),
            (Json::String(w), Json::String(g)) if path == "$.faultstring" && !exact(w) => {
                if g.is_empty() {
                    self.differ(path, want, got);
                }
            }
            (Json::String(w), Json::String(g)) => self.text(path, w, g),
            (Json::Object(w), Json::Object(g)) => {
                for (name, value) in w {
                    match g.get(name) {
                        Some(other) => self.value(&format!("{path}.{name}"), value, other),
                        None => self.differ(&format!("{path}.{name}"), value, &"(absent)".into()),
                    }
                }
            }
            (Json::Array(w), Json::Array(g)) => {
                let free =
                    path.ends_with(".files") || path.ends_with(".children") || self.loose.iter().any(|l| l == path);
                if free {
                    if g.len() < w.len() {
                        self.differ(path, want, got);
                    }
                } else if w.len() != g.len() {
                    self.differ(path, want, got);
                } else {
                    for (at, (one, other)) in w.iter().zip(g).enumerate() {
                        self.value(&format!("{path}[{at}]"), one, other);
                    }
                }
            }
            (Json::Number(w), Json::Number(g)) if w.is_f64() == g.is_f64() && w.as_f64() == g.as_f64() => {}
            _ if want == got => {}
            _ => self.differ(path, want, got),
        }
    }
}

/// Texts that clients show or tell apart.
fn exact(text: &str) -> bool {
    let known = "^(Command ['\"]|Action alias with name|Action \".*\" cannot be found|Unable to execute|'.*' is a required property$\
        |Override of immutable|Dependency unsatisfied|Action cannot be canceled|Execution is already|Unauthorized|Invalid or missing\
        |TTL specified|Inquiry|User \"|Webhook|Resource with a re|Unable to identify|The key|The resource)";
    Regex::new(known).unwrap().is_match(text)
}

impl Play {
    async fn send(&self, method: &str, path: &str, headers: &Json, body: Option<String>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers.as_object().into_iter().flatten() {
            request = request.header(name, fill(value.as_str().unwrap(), &self.names));
        }
        self.house.send(request.body(body.map_or_else(Body::empty, Body::from)).unwrap()).await
    }

    async fn operation(&mut self, operation: &Json) -> Option<()> {
        if let Some(call) = operation.get("call") {
            let path = fill(call["path"].as_str()?, &self.names);
            let body = call.get("body").map(|b| fill(&b.to_string(), &self.names));
            self.send(call["method"].as_str()?, &path, &Json::Null, body).await;
            return operation.get("pick").is_none().then_some(());
        }
        None
    }

    async fn step(&mut self, step: &Json) -> Result<(), Vec<String>> {
        for operation in step["setup"].as_array().into_iter().flatten() {
            if self.operation(operation).await.is_none() {
                return Err(vec!["its preparation needs the whole program".into()]);
            }
        }
        if let Some(id) = step["wait"]["execution"].as_str() {
            let path = format!("/v1/squall/executions/{}/wait?timeout=2", fill(id, &self.names));
            self.send("GET", &path, &Json::Null, None).await;
        }
        let asked = &step["request"];
        let body = match (asked.get("body"), asked.get("body_text")) {
            (Some(body), _) => Some(fill(&body.to_string(), &self.names)),
            (None, Some(text)) => Some(fill(text.as_str().unwrap(), &self.names)),
            (None, None) => None,
        };
        let path = fill(asked["path"].as_str().unwrap(), &self.names);
        let answer = self.send(asked["method"].as_str().unwrap(), &path, &asked["headers"], body).await;
        let recorded = &step["response"];
        let list =
            |name: &str| step[name].as_array().into_iter().flatten().filter_map(|p| p.as_str()).map(str::to_owned);
        let loose = list("unordered").chain(list("subset")).collect();
        let mut names = self.names.clone();
        let mut compare = Compare { names: &mut names, loose, found: Vec::new() };
        if recorded["status"] != answer.status.as_u16() {
            let said: Json = answer.text.chars().take(300).collect::<String>().into();
            compare.differ("(status)", &recorded["status"], &format!("{} {said}", answer.status).into());
        }
        for name in ["x-total-count", "x-limit", "content-disposition", "content-type"] {
            let Some(want) = recorded["headers"][name].as_str() else { continue };
            let got = answer.headers.get(name).map_or("(absent)", |v| v.to_str().unwrap());
            if !(name == "content-type" && answer.text.is_empty()) {
                compare.text(&format!("(header {name})"), want, got);
            }
        }
        if let Some(body) = recorded.get("body") {
            compare.value("$", body, &answer.json());
        } else if let Some(text) = recorded["body_text"].as_str() {
            compare.text("(text)", text, &answer.text);
        }
        let found = compare.found;
        self.names = names;
        if found.is_empty() || step["loose"] == true { Ok(()) } else { Err(found) }
    }
}

#[tokio::test]
async fn recorded_calls_get_their_recorded_answers() {
    let lines = recorded();
    let mut wrong = Vec::new();
    for scenario in PLAYED {
        let mut play = Play { house: House::open(), names: HashMap::new() };
        let (mut passed, mut all) = (0, 0);
        for step in lines.iter().filter(|line| line["scenario"] == *scenario) {
            all += 1;
            let number = step["step"].as_u64().unwrap();
            let excepted = EXCEPTIONS.iter().any(|(s, steps, _)| s == scenario && steps.contains(&number));
            match play.step(step).await {
                Ok(()) => passed += 1,
                Err(_) if excepted => {}
                Err(found) => wrong.push(format!(
                    "{scenario} {number} {} {}\n    {}",
                    step["request"]["method"],
                    step["request"]["path"],
                    found.join("\n    ")
                )),
            }
        }
        println!("{scenario}: {passed}/{all}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
