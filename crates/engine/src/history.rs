//! The history of a workflow for people: its log as a story, and where it stood after any of its facts.
//!
//! An execution that went on with another begins its story with that one's, under negative numbers, so that `0` is always
//! the first fact of the execution itself.

use crate::people::{Principal, Wish, authorize};
use crate::refusal::Refusal;
use crate::view;
use crate::{Engine, tree};
use squall_model::{ActionRef, Execution, ExecutionId, Map, Timestamp, Value};
use squall_workflow::history::Narrator;
use squall_workflow::{Definition, Fact};

/// What of a history is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Lines of bookkeeping as well.
    pub all: bool,
    /// Where it stood after this fact, instead of the story; negative numbers lie before a re-run.
    pub at: Option<i64>,
    /// Facts from this number on.
    pub from: Option<i64>,
    /// Lines at most.
    pub limit: usize,
}

/// Lines of one answer.
pub const MOST: usize = 10_000;

impl Engine {
    /// The story `{execution, status, facts, lines: [{seq, at, text, …}]}`, or with [`Wanted::at`] the standing
    /// `{execution, seq, at, text, state}`.
    ///
    /// Inputs are shown with secrets masked; what variables hold is shown to those who may see secrets.
    pub fn history(&self, id: ExecutionId, wanted: Wanted, who: &Principal) -> Result<Value, Refusal> {
        authorize(who, Wish::View)?;
        let execution = self.store().execution(id)?.ok_or_else(|| Refusal::no_execution(id))?;
        if execution.request.definition.is_none() {
            let text = format!(
                "execution {id} is no workflow: `squall execution get {id}` shows it, with the times of its statuses"
            );
            return Err(Refusal::Invalid(text));
        }
        let mut facts = Vec::new();
        for earlier in tree::before(self.store(), &execution)?.into_iter().rev() {
            facts.extend(self.store().facts(earlier, 0)?);
        }
        let before = i64::try_from(facts.len()).unwrap_or(i64::MAX);
        facts.extend(self.store().facts(id, 0)?);
        let mut whole = Map::new();
        whole.insert("execution".into(), id.to_string().into());
        whole.insert("action".into(), execution.request.action.to_string().into());
        whole.insert("status".into(), execution.status.as_str().into());
        if facts.is_empty() {
            // Held, delayed, or refused before its first task.
            whole.insert("facts".into(), 0.into());
            whole.insert("lines".into(), Vec::new().into());
            return Ok(whole.into());
        }
        let definition = self.inner.definitions.of(self.store(), &execution)?;
        let told = Told { engine: self, execution: &execution, before, facts: &facts };
        match wanted.at {
            Some(at) => told.standing(definition, at, authorize(who, Wish::DecryptSystemItem).is_ok(), whole),
            None => told.story(definition, wanted, whole),
        }
    }
}

struct Told<'a> {
    engine: &'a Engine,
    execution: &'a Execution,
    /// How many of the facts lie before the execution's own.
    before: i64,
    facts: &'a [squall_store::Fact],
}

impl Told<'_> {
    fn read(&self, number: usize, fact: &squall_store::Fact) -> Result<Fact, Refusal> {
        serde_json::from_str(&fact.json)
            .map_err(|e| Refusal::Broken(format!("cannot read fact {number} of execution {}: {e}", self.execution.id)))
    }

    fn seq(&self, number: usize) -> i64 {
        i64::try_from(number).unwrap_or(i64::MAX) - self.before
    }

    fn story(&self, definition: Definition, wanted: Wanted, mut whole: Map) -> Result<Value, Refusal> {
        let mut narrator = Narrator::new(definition);
        let mut lines = Vec::new();
        let limit = wanted.limit.clamp(1, MOST);
        let mut more = false;
        for (number, stored) in self.facts.iter().enumerate() {
            let fact = self.read(number, stored)?;
            let line = narrator.tell(&fact);
            let seq = self.seq(number);
            if (line.minor && !wanted.all) || wanted.from.is_some_and(|from| seq < from) {
                continue;
            }
            if lines.len() == limit {
                more = true;
                break;
            }
            let mut entry = head(seq, stored.at, &line.text);
            if let Fact::Offered { offer } = &fact
                && let Some(input) = self.masked(offer.action.as_deref(), &offer.input)
            {
                entry.insert("input".into(), input);
            }
            lines.push(Value::from(entry));
        }
        whole.insert("facts".into(), self.facts.len().into());
        whole.insert("lines".into(), lines.into());
        whole.insert("more".into(), more.into());
        Ok(whole.into())
    }

    /// The input of an action, with its secrets masked; of an action that is gone everything is.
    fn masked(&self, action: Option<&str>, input: &Value) -> Option<Value> {
        let content = self.engine.content();
        let action = action?.parse::<ActionRef>().ok().and_then(|r| content.registry().action(&r).cloned());
        let input = input.as_map().filter(|map| !map.is_empty())?;
        Some(view::masked(input, action.as_deref(), &content))
    }

    fn standing(&self, definition: Definition, at: i64, values: bool, mut whole: Map) -> Result<Value, Refusal> {
        let last = self.seq(self.facts.len() - 1);
        if at < -self.before || at > last {
            let text = format!("execution {} has facts {} to {last}, not {at}", self.execution.id, -self.before);
            return Err(Refusal::Invalid(text));
        }
        let mut narrator = Narrator::new(definition);
        for (number, stored) in self.facts.iter().enumerate() {
            let line = narrator.tell(&self.read(number, stored)?);
            if self.seq(number) == at {
                whole.extend(head(at, stored.at, &line.text));
                break;
            }
        }
        whole.insert("state".into(), narrator.standing(values));
        Ok(whole.into())
    }
}

fn head(seq: i64, at: Timestamp, text: &str) -> Map {
    let pairs = [("seq", Value::from(seq)), ("at", at.to_iso().into()), ("text", text.into())];
    pairs.into_iter().map(|(name, value)| (name.into(), value)).collect()
}
