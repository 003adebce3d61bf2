//! Inputs that nobody thought of: no text makes a parser or evaluator panic, overflow the stack or break what it promises.
//!
//! A driver of our own, so that the stable toolchain is enough. It mutates the recorded vectors and the kept corpus
//! (`tests/corpus/*.jsonl`, a JSON text a line) by characters, by words of the language and by crossing two inputs.
//! An input that shows a behaviour not seen before (a class and shape of error, a type of value, a size of the tree) joins
//! the pool that is mutated further. `cargo test` runs the corpus and a fixed number of mutations; with `SQUALL_FUZZ_SECONDS=60`
//! each target runs so long from a seed that is printed, and keeps what was new (`make fuzz`).

use serde_json::Value as Json;
use squall_expr::alias::{Entry, Format, Matcher, Options};
use squall_expr::jinja::{Outcome, Template};
use squall_expr::operators::Criteria;
use squall_expr::{Engine, Error, Limits, NoHost, Scope, text, yaql};
use squall_model::{Str, Value, from_json};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ENGINES: [Engine; 4] = [Engine::Mistral, Engine::Orquesta, Engine::Stack, Engine::StackLax];

/// Mutations in an ordinary test run.
const FEW: u32 = 1_500;
/// An input of a fuzzing run that takes longer has found something.
const TOO_LONG: Duration = Duration::from_secs(60);
const LONGEST: usize = 2_000;

#[test]
fn yaql_expressions() {
    let words = "$ $.a . ?. ( ) [ ] { } => -> , + - * / mod = != < > <= >= =~ !~ and or not in null true 'a' `b` \"c\" 1 2.5 -1 \
        select where let with groupBy orderBy thenBy aggregate generate def call switch range sequence repeat regex searchAll \
        replaceBy datetime timespan format join split substring dict set list toDict flatten mergeWith zip memorize str int pow";
    fuzz("yaql", ("yaql.jsonl", "expr"), words, |input| {
        let parsed = match yaql::parse(input) {
            Ok(parsed) => parsed,
            Err(error) => return located(input, &error),
        };
        let printed = parsed.to_string();
        let again = yaql::parse(&printed).unwrap_or_else(|e| panic!("what was printed is not read: {printed}: {e}"));
        assert_eq!(again.to_string(), printed, "printed and read again it is another tree");
        let shown = evaluated(|scope| parsed.eval(scope), &[Engine::Mistral, Engine::Orquesta]);
        let second = evaluated(|scope| again.eval(scope), &[Engine::Mistral, Engine::Orquesta]);
        if !printed.contains("random") && !printed.contains("now") {
            assert_eq!(shown, second, "the printed expression means something else: {printed}");
        }
        shown
    });
}

#[test]
fn jinja_templates() {
    let words = "{{ }} {% %} {# #} {%- -%} {%+ | ( ) [ ] { } : , . ~ + - * / // % ** == != < > in not and or is if else elif endif for \
        endfor set endset macro endmacro call endcall filter endfilter with endwith raw endraw recursive loop loop.index range(3) \
        namespace() x x.a l m 'a' \"b\" 1 2.5 none true upper join map select sort groupby batch slice replace format wordwrap \
        truncate indent tojson regex_replace to_yaml_string from_yaml_string jsonpath_query default round int '%s' .format( .split( .items() .append( .pop(";
    fuzz("jinja", ("jinja.jsonl", "template"), words, |input| {
        let mut shown = String::new();
        for engine in ENGINES {
            shown.push_str(&match Template::compile(input, engine) {
                Ok(template) => evaluated(|scope| template.render(scope).map(Value::from), &[engine]),
                Err(error) => located(input, &error),
            });
            if let Ok(expression) = Template::expression(input, engine) {
                shown.push_str(&evaluated(
                    |scope| match expression.value(scope)? {
                        Outcome::Value(value) => Ok(value),
                        Outcome::Undefined(message) => Ok(message.into()),
                    },
                    &[engine],
                ));
            }
        }
        shown
    });
}

#[test]
fn texts_with_expressions() {
    let words = "<% %> {{ }} {% %} $.a ctx() ctx(a) ctx().a _.a $ {% raw %} {% endraw %} {% if x %} {% endif %} \\n 'a' 1 [ ] ( ) | upper";
    fuzz("text", ("mistral-text.jsonl", "text"), words, |input| {
        let mut shown = String::new();
        for engine in [Engine::Mistral, Engine::Orquesta] {
            let template = text::Template::of(&input.into(), engine);
            template.problems().iter().for_each(|error| drop(located(input, error)));
            shown.push_str(&evaluated(|scope| template.eval(scope), &[engine]));
            shown.push_str(&evaluated(|scope| template.eval_again(scope), &[engine]));
        }
        shown
    });
}

#[test]
fn alias_formats() {
    let words = "{{ }} {{a}} {{b=1}} {{c='x y'}} = ( ) (?: (?P<n> (?i) [ ] | ? * + ^ $ \\d \\s \\b . run deploy to {2,3} \\1 (?= (?! \\A \\Z";
    let commands =
        ["run ls", "deploy web to prod", "", "a b c=d e='f g'", "ünï \"x y\" z", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];
    fuzz("alias_format", ("alias.jsonl", "format"), words, move |input| match Format::parse(input) {
        Ok(format) => {
            let one = |command: &&str| shape(&format.extract(command).map(Value::from));
            let all = |command: &&str| match format.extract_all(command) {
                Ok(found) => found.len().min(3).to_string(),
                Err(error) => error.class.to_string(),
            };
            commands.iter().map(one).chain(commands.iter().map(all)).collect()
        }
        Err(error) => located(input, &error),
    });
}

#[test]
fn alias_commands() {
    let formats = [
        "run {{cmd}}",
        "deploy {{app}} to {{env=prod}}",
        "{{who}} please {{what}} {{when=now}}",
        "(show|list) (?:all )?{{what}}",
        "set {{a=1}} {{b='x y'}} {{c={}}}",
        "((?P<k>[A-Z]+-\\d+)|^$)",
        "say {{text}} now",
        "",
    ];
    let parsed: Vec<Format> = formats.iter().map(|f| Format::parse(f).expect("written above")).collect();
    let entry =
        |n: usize| Entry { alias: n, representation: formats[n].into(), multiple: n == 5, parameters: Vec::new() };
    let (matcher, _) = Matcher::new((0..formats.len()).map(entry), Options::default());
    let words =
        "run deploy to please show list all set say now a=b a='b c' a={x y} a=\"q\" = ' \" { } web1 -- / ABC-12 \\n";
    fuzz("alias_command", ("alias.jsonl", "command"), words, move |input| {
        let hits: String = matcher.find(input).iter().map(|hit| format!("{},", hit.alias)).collect();
        parsed.iter().map(|format| shape(&format.extract(input).map(Value::from))).chain([hits]).collect()
    });
}

#[test]
fn operators_and_criteria() {
    let words = "{ } [ ] : , \"trigger.a\" \"trigger.l[*].k\" \"type\" \"pattern\" \"condition\" \"any\" \"all2any\" \"item.k\" \"eq\" \"regex\" \
        \"search\" \"icontains\" \"matchwildcard\" \"timediff_gt\" \"{{ trigger.a }}\" \"in\" \"exists\" \"(a+)+$\" \"[a-\" null 1 -1 2.5 true \"2020-01-01\"";
    fuzz("operators", ("operators.jsonl", "criteria"), words, |input| {
        let Ok(criteria) = from_json(input, true) else { return "not JSON".to_owned() };
        Criteria::problems(&criteria);
        let payload = context();
        match Criteria::compile(&criteria).test(&payload, &NoHost, &cheap()) {
            Ok(verdict) => {
                format!("{} {}", verdict.fires, verdict.failure.map_or_else(String::new, |e| e.class.to_string()))
            }
            Err(error) => error.class.to_string(),
        }
    });
}

// ---- what is looked at ----

fn context() -> Value {
    let text = r#"{"a": "text é", "b": true, "x": {"a": 1, "b": [1, {"c": null}]}, "l": [{"k": "v", "n": 2.5}, 3], "m": {}, "n": 7,
        "s": "aaaaaaaaaaaaaaaaaaaaaaaa!", "big": 123456789012345678901234567890, "d": "2020-02-29T12:00:00Z"}"#;
    from_json(text, false).expect("written above")
}

/// Small bounds: what costs more has shown all that it can.
fn cheap() -> Limits {
    Limits { steps: 60_000, bytes: 1 << 20, output: 1 << 18, ..Limits::default() }
}

/// How evaluation ends in each engine; the context is the same afterwards.
fn evaluated(eval: impl Fn(&Scope<'_>) -> Result<Value, Error>, engines: &[Engine]) -> String {
    let (data, limits) = (context(), cheap());
    let before = data.clone();
    let one = |engine: &Engine| shape(&eval(&Scope { engine: *engine, data: &data, host: &NoHost, limits: &limits }));
    let shown = engines.iter().map(one).collect();
    assert_eq!(data, before, "evaluation changed its context");
    shown
}

/// An outcome without its particulars: what makes an input worth keeping.
fn shape(outcome: &Result<Value, Error>) -> String {
    match outcome {
        Ok(value) => {
            let kind = squall_model::to_json(value);
            format!("{}{}", kind.chars().next().unwrap_or(' '), kind.len().max(1).ilog2())
        }
        Err(error) => {
            let words = error.message.split(|c: char| !c.is_ascii_lowercase()).filter(|w| w.len() > 3).take(2);
            format!("{} {}", error.class, words.collect::<Vec<_>>().join(" "))
        }
    }
}

/// The shape of a parser's error, whose place must lie in the text.
fn located(input: &str, error: &Error) -> String {
    if let Some(span) = &error.span {
        assert!(
            span.start <= span.end && span.end <= input.len(),
            "{span:?} is outside of a text of {} bytes",
            input.len()
        );
        assert!(input.is_char_boundary(span.start), "{span:?} is inside of a character");
    }
    shape(&Err(error.clone()))
}

// ---- the driver ----

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    fn of<'p, T>(&mut self, all: &'p [T]) -> &'p T {
        &all[self.below(all.len())]
    }
}

fn fuzz(target: &'static str, vectors: (&str, &str), words: &str, run: impl Fn(&str) -> String + Send + 'static) {
    let words: Vec<String> = words.split_whitespace().map(|w| w.replace("\\n", "\n")).collect();
    let mut pool = seeds(vectors);
    let kept = kept(target);
    pool.extend(kept.iter().cloned());
    assert!(!pool.is_empty(), "no seeds for {target}");
    // As small a stack as a worker might have; a debug build needs more.
    let size = if cfg!(debug_assertions) { 8 << 20 } else { 2 << 20 };
    let work = move || drive(target, pool, &words, &kept, &run);
    std::thread::Builder::new().stack_size(size).spawn(work).expect("a thread").join().expect("told above");
}

fn drive(target: &str, mut pool: Vec<String>, words: &[String], kept: &[String], run: &dyn Fn(&str) -> String) {
    let seconds: Option<u64> = std::env::var("SQUALL_FUZZ_SECONDS").ok().and_then(|n| n.parse().ok());
    let given = std::env::var("SQUALL_SEED").ok().and_then(|n| n.parse().ok());
    let clock = Duration::from_nanos(1);
    let fresh = || {
        std::time::SystemTime::now().elapsed().unwrap_or(clock).as_nanos() as u64 ^ u64::from(std::process::id()) << 20
    };
    let seed = given.unwrap_or(if seconds.is_some() { fresh() | 1 } else { 88_172_645_463_325_252 });
    let current = Arc::new(Mutex::new((Instant::now(), String::new())));
    if seconds.is_some() {
        println!("{target}: SQUALL_SEED={seed}");
        watch(target.to_owned(), current.clone());
    }
    let mut random = Random(seed);
    let mut seen: HashSet<String> = HashSet::new();
    let mut found = Vec::new();
    let look = |input: &str, seen: &mut HashSet<String>| {
        *current.lock().expect("nobody panics with it") = (Instant::now(), input.to_owned());
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(input)));
        let shown = shown.unwrap_or_else(|_| panic!("{target}: this input does it: {input:?} (SQUALL_SEED={seed})"));
        seen.insert(shown)
    };
    for input in &pool {
        look(input, &mut seen);
    }
    let (start, mut count) = (Instant::now(), 0_u32);
    while seconds.map_or(count < FEW, |seconds| start.elapsed().as_secs() < seconds) {
        let input = mutated(&mut random, &pool, words);
        count += 1;
        if look(&input, &mut seen) {
            found.push(input.clone());
            pool.push(input);
        }
    }
    // Nothing is looked at any more, so nothing can take too long.
    current.lock().expect("nobody panics with it").1.clear();
    if seconds.is_some() {
        println!("{target}: {count} inputs, {} behaviours, {} of them new", seen.len(), found.len());
        keep(target, kept, &found);
    }
}

/// Ends the process when one input takes far too long: a hang cannot be caught otherwise.
fn watch(target: String, current: Arc<Mutex<(Instant, String)>>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let (since, input) = current.lock().map(|c| c.clone()).unwrap_or((Instant::now(), String::new()));
            if since.elapsed() > TOO_LONG && !input.is_empty() {
                eprintln!("{target}: this input does not end: {input:?}");
                std::process::abort();
            }
        }
    });
}

fn mutated(random: &mut Random, pool: &[String], words: &[String]) -> String {
    let mut text: Vec<char> = random.of(pool).chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let end = (at + 1 + random.below(8)).min(text.len());
        match random.below(8) {
            0 => drop(text.drain(at..end.max(at))),
            1 | 2 => drop(text.splice(at..at, random.of(words).chars().chain([' ']).collect::<Vec<_>>())),
            3 => drop(text.splice(at..end.max(at), random.of(words).chars().collect::<Vec<_>>())),
            4 => {
                let other: Vec<char> = random.of(pool).chars().collect();
                let from = random.below(other.len() + 1);
                drop(text.splice(at.., other[from..].to_vec()));
            }
            5 => {
                let part: Vec<char> = text[at..end.max(at)].to_vec();
                let many = 1 + random.below(40);
                drop(text.splice(at..at, std::iter::repeat_n(part, many).flatten().collect::<Vec<_>>()));
            }
            6 => {
                let odd = [
                    '\0', '\'', '"', '\\', 'é', '𝄞', '\u{2028}', 'ß', '9', '-', '{', '}', '(', ')', '\n', '\t', '%',
                    '`',
                ];
                text.insert(at, *random.of(&odd));
            }
            _ => {
                let numbers =
                    ["0", "-1", "9223372036854775807", "-9223372036854775808", "1e308", "99999999999999999999", "0.1"];
                drop(text.splice(at..at, random.of(&numbers).chars().collect::<Vec<_>>()));
            }
        }
        text.truncate(LONGEST);
    }
    text.into_iter().collect()
}

/// Inputs of the recorded vectors.
fn seeds((file, field): (&str, &str)) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let input = |line: Json| match line.get(field)? {
        Json::String(text) => Some(text.clone()),
        Json::Object(map) => Some(Json::Object(map.clone()).to_string()),
        _ => None,
    };
    lines.filter_map(input).filter(|text| text.len() < LONGEST).collect()
}

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(format!("{target}.jsonl"))
}

fn kept(target: &str) -> Vec<String> {
    let text = std::fs::read_to_string(corpus(target)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Adds what showed something new, up to a size that a reader can still look through.
fn keep(target: &str, kept: &[String], found: &[String]) {
    const MOST: usize = 400;
    let room = MOST.saturating_sub(kept.len());
    let short = found.iter().filter(|text| text.len() <= 200);
    let all: Vec<Str> = kept.iter().chain(short.take(room)).map(|text| text.as_str().into()).collect();
    let lines: String = all.iter().map(|text| format!("{}\n", Json::from(&**text))).collect();
    if let Err(error) = std::fs::write(corpus(target), lines) {
        println!("{target}: what was found cannot be kept: {error}");
    }
}
