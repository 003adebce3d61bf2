//! Conditions: whether a rule or exemption is about a request. Who cannot tell says why.
//!
//! Start reading at [`When`].

use super::*;

/// Whether something holds; `Err` says why nobody can tell.
type Holds = Result<bool, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(pub(super) String);

impl Glob {
    fn fits(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    back = Some((p, t));
                    p += 1;
                }
                Some(c) if *c == b'?' || *c == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => match &mut back {
                    Some((star, from)) => {
                        *from += 1;
                        (p, t) = (*star + 1, *from);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

/// A comparison of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Ne,
    In,
    NotIn,
    Matches,
    Contains,
    Gt,
    Lt,
    Ge,
    Le,
    Exists,
    Absent,
    CountGt,
    IsTrue,
}

pub(super) const OPERATORS: [(&str, Operator); 14] = [
    ("eq", Operator::Eq),
    ("ne", Operator::Ne),
    ("in", Operator::In),
    ("not_in", Operator::NotIn),
    ("matches", Operator::Matches),
    ("contains", Operator::Contains),
    ("gt", Operator::Gt),
    ("lt", Operator::Lt),
    ("ge", Operator::Ge),
    ("le", Operator::Le),
    ("exists", Operator::Exists),
    ("absent", Operator::Absent),
    ("count_gt", Operator::CountGt),
    ("is_true", Operator::IsTrue),
];

/// A condition on a parameter.
#[derive(Debug)]
pub(super) struct ParamTest {
    /// Keys; `None` is any element of a list.
    pub(super) path: Vec<Option<String>>,
    pub(super) operator: Operator,
    pub(super) value: Value,
    pub(super) pattern: Option<Pattern>,
}

/// A condition in an expression language.
#[derive(Debug)]
pub(super) enum Condition {
    Yaql(yaql::Expr),
    Jinja(jinja::Template),
}

/// When a rule or exemption applies: all that is given must hold.
#[derive(Debug, Default)]
pub(super) struct When {
    pub(super) action: Vec<Glob>,
    pub(super) tag: Vec<Glob>,
    pub(super) alias: Vec<Glob>,
    pub(super) source: Vec<Source>,
    pub(super) role: Vec<String>,
    pub(super) not_role: Vec<String>,
    pub(super) user: Vec<String>,
    pub(super) channel: Vec<Glob>,
    pub(super) params: Vec<ParamTest>,
    pub(super) expr: Option<Condition>,
}

impl When {
    /// Whether it holds. What cannot be evaluated is noted in `doubts` and counts as `in_doubt`.
    pub(super) fn holds(&self, subject: &Subject<'_>, in_doubt: bool, doubts: &mut Vec<String>) -> bool {
        let any = |globs: &[Glob], text: &str| globs.iter().any(|g| g.fits(text));
        if !self.is_from(subject.source, in_doubt) {
            return false;
        }
        if !self.action.is_empty() && !any(&self.action, &subject.action.to_string()) {
            return false;
        }
        if !self.tag.is_empty()
            && !subject.tags.iter().any(|(n, v)| any(&self.tag, n) || any(&self.tag, &format!("{n}={v}")))
        {
            return false;
        }
        if !self.alias.is_empty() && !subject.alias.is_some_and(|alias| any(&self.alias, &alias.to_string())) {
            return false;
        }
        if !self.channel.is_empty() && !subject.channel.is_some_and(|channel| any(&self.channel, channel)) {
            return false;
        }
        if !self.requester_fits(subject.requester) {
            return false;
        }
        let mut settle = |holds: Holds| match holds {
            Ok(holds) => holds,
            Err(why) => {
                doubts.push(why);
                in_doubt
            }
        };
        self.params.iter().all(|test| settle(test.holds(subject)))
            && self.expr.as_ref().is_none_or(|condition| settle(condition.holds(subject)))
    }

    /// What a client calls itself only ever makes it asked more: a rule for `api` is about all of REST, and an exemption looks
    /// at what is sure.
    fn is_from(&self, source: Source, in_doubt: bool) -> bool {
        let named = |source: Source| self.source.contains(&source);
        match in_doubt {
            _ if self.source.is_empty() => source.is_held(),
            true => named(source) || source.is_rest() && named(Source::Api),
            false => named(source.proven()),
        }
    }

    fn requester_fits(&self, person: &Person) -> bool {
        let has = |roles: &[String]| roles.iter().any(|role| person.roles.contains(role));
        (self.role.is_empty() || has(&self.role))
            && !has(&self.not_role)
            && (self.user.is_empty() || person.id.user_name().is_some_and(|name| self.user.iter().any(|u| u == name)))
    }

    /// Whether it can be told from the name of a child alone.
    pub(super) fn is_static(&self) -> bool {
        self.params.is_empty() && self.expr.is_none()
    }
}

impl ParamTest {
    fn holds(&self, subject: &Subject<'_>) -> Holds {
        let Some(Some(name)) = self.path.first() else { return Err("the path of a parameter is empty".into()) };
        let is_secret = (subject.is_secret)(name);
        if is_secret && !matches!(self.operator, Operator::Exists | Operator::Absent) {
            return Err(format!("`{name}` is secret, so rules cannot look at it"));
        }
        let first = subject.params.get(name.as_str());
        let mut found: Vec<&Value> = Vec::new();
        if let Some(first) = first {
            collect(first, self.path.get(1..).unwrap_or_default(), &mut found)
                .map_err(|what| format!("`{name}` is {what} where a list was expected"))?;
        }
        found.retain(|value| !value.is_null());
        match self.operator {
            Operator::Exists => return Ok(!found.is_empty()),
            Operator::Absent => return Ok(found.is_empty()),
            Operator::Ne | Operator::NotIn if found.is_empty() => return Ok(true),
            _ => {}
        }
        let mut any = false;
        for value in found {
            any |= self.compare(value).map_err(|why| format!("`{name}` {why}"))?;
        }
        Ok(any)
    }

    fn compare(&self, found: &Value) -> Holds {
        let equal = |a: &Value, b: &Value| a == b || number(a).zip(number(b)).is_some_and(|(a, b)| a == b);
        let listed = || self.value.as_list().unwrap_or_default().iter().any(|item| equal(item, found));
        let order = |wanted: &[Ordering]| match number(found).zip(number(&self.value)) {
            Some((a, b)) => Ok(a.partial_cmp(&b).is_some_and(|o| wanted.contains(&o))),
            None => Err("is no number".to_owned()),
        };
        match self.operator {
            Operator::Eq => Ok(equal(found, &self.value)),
            Operator::Ne => Ok(!equal(found, &self.value)),
            Operator::In => Ok(listed()),
            Operator::NotIn => Ok(!listed()),
            Operator::Matches => match (found.as_str(), &self.pattern) {
                (Some(text), Some(pattern)) => pattern.is_match(text, Anchor::Anywhere).map_err(|e| e.to_string()),
                _ => Err("is no text".into()),
            },
            Operator::Contains => match found {
                Value::Str(text) => match self.value.as_str() {
                    Some(part) => Ok(text.contains(part)),
                    None => Err("is a text, which contains only texts".into()),
                },
                Value::List(items) => Ok(items.iter().any(|item| equal(item, &self.value))),
                Value::Map(map) => Ok(self.value.as_str().is_some_and(|key| map.contains_key(key))),
                _ => Err("contains nothing".into()),
            },
            Operator::Gt => order(&[Ordering::Greater]),
            Operator::Lt => order(&[Ordering::Less]),
            Operator::Ge => order(&[Ordering::Greater, Ordering::Equal]),
            Operator::Le => order(&[Ordering::Less, Ordering::Equal]),
            Operator::CountGt => {
                let count = match found {
                    Value::List(items) => items.len(),
                    Value::Map(map) => map.len(),
                    _ => return Err("is neither list nor map".into()),
                };
                Ok(self.value.as_int().is_some_and(|n| i64::try_from(count).unwrap_or(i64::MAX) > n))
            }
            Operator::IsTrue => found.as_bool().ok_or_else(|| "is neither true nor false".to_owned()),
            Operator::Exists | Operator::Absent => Ok(true),
        }
    }
}

pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

/// Everything that a path leads to. Recursion is bounded by the length of the path.
pub(super) fn collect<'v>(
    value: &'v Value,
    path: &[Option<String>],
    found: &mut Vec<&'v Value>,
) -> Result<(), &'static str> {
    let Some((first, rest)) = path.split_first() else {
        found.push(value);
        return Ok(());
    };
    match first {
        Some(key) => value.get(key).map_or(Ok(()), |inner| collect(inner, rest, found)),
        None => match value {
            Value::List(items) => items.iter().try_for_each(|item| collect(item, rest, found)),
            Value::Null => Ok(()),
            Value::Map(_) => Err("a map"),
            Value::Str(_) => Err("a text"),
            _ => Err("a single value"),
        },
    }
}

/// What conditions see: parameters by name and through `ctx()`; everything else from the engine's host.
pub(super) struct Facts<'a> {
    data: &'a Value,
    host: &'a dyn Host,
}

impl Host for Facts<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        match (name, args) {
            ("ctx", []) => Some(Ok(self.data.clone())),
            ("ctx", [Value::Str(key)]) => Some(Ok(self.data.get(key).cloned().unwrap_or_default())),
            _ => self.host.call(name, args, named),
        }
    }
    fn has(&self, name: &str) -> bool {
        name == "ctx" || self.host.has(name)
    }
    fn kv(&self, scope: &str, key: &str, _: bool) -> Result<Option<Value>, Error> {
        // Rules never see secrets in clear.
        self.host.kv(scope, key, false)
    }
    fn name(&self, name: &str) -> Option<Value> {
        self.host.name(name)
    }
    fn now(&self) -> Timestamp {
        self.host.now()
    }
    fn random(&self, bytes: &mut [u8]) {
        self.host.random(bytes);
    }
    fn limits(&self) -> &squall_expr::Limits {
        self.host.limits()
    }
}

impl Condition {
    fn holds(&self, subject: &Subject<'_>) -> Holds {
        let visible = subject.params.iter().filter(|(name, _)| !(subject.is_secret)(name));
        let data = Value::from(visible.map(|(k, v)| (k.clone(), v.clone())).collect::<Map>());
        let facts = Facts { data: &data, host: subject.host };
        let limits = Limits { steps: EXPRESSION_STEPS, ..subject.host.limits().clone() };
        let scope = |engine| Scope { engine, data: &data, host: &facts, limits: &limits };
        let value = match self {
            Condition::Yaql(expression) => expression.eval(&scope(Engine::Mistral)).map_err(|e| e.to_string())?,
            Condition::Jinja(template) => match template.value(&scope(Engine::Stack)).map_err(|e| e.to_string())? {
                jinja::Outcome::Value(value) => value,
                jinja::Outcome::Undefined(why) => return Err(why.to_string()),
            },
        };
        value.as_bool().ok_or_else(|| "the expression gives neither true nor false".to_owned())
    }
}
