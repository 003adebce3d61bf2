//! How a confirmation is opened: what is frozen, whether anybody could answer, what is due when.
//!
//! Start reading at [`hold`].

use super::*;

/// A request that is to be held.
pub struct Opening {
    /// The record's id.
    pub id: ConfirmationId,
    /// Its code.
    pub code: Code,
    /// What it holds back.
    pub kind: Kind,
    /// The executions, with what is shown of them.
    pub runs: Vec<(ExecutionId, ShownRun)>,
    /// The digest of all of them.
    pub digest: Digest,
    /// Who asks.
    pub requester: Requester,
    /// Who last edited action, alias or rule.
    pub editors: Vec<PersonId>,
    /// The user that it runs as.
    pub run_as: String,
    /// From where.
    pub source: Source,
    /// The place of the command.
    pub origin: Option<Place>,
    /// The command as typed.
    pub command: Option<String>,
    /// What all rules want, with phrases rendered.
    pub joined: Joined,
    /// Where else to ask: `ask.also` and direct messages, as the engine resolved them.
    pub places: Vec<Place>,
    /// Secrets that the parameters were made of.
    pub secrets: Vec<SecretVersion>,
    /// The life of the store.
    pub epoch: Option<String>,
    /// What a task or an inquiry asks.
    pub task: Option<Task>,
    /// The attempt before.
    pub retry_of: Option<ConfirmationId>,
    /// What was found out before.
    pub found: Found,
    /// The digest without what the dry runs showed.
    pub wish: Option<Digest>,
}

/// Opens a confirmation, or says (M14) why nobody could ever answer it.
pub fn hold(opening: Opening, world: &World<'_>) -> Result<Decision, Text> {
    let joined = opening.joined;
    let action = opening.runs.first().map_or_else(String::new, |(_, run)| run.action.clone());
    if joined.ways.is_empty() {
        return Err(text("M14-ways", &[("action", Fill::Value(&action))]));
    }
    let question = Question {
        requester: &opening.requester,
        editors: &opening.editors,
        trust_legacy_bots: world.settings.trust_legacy_bots,
        directory: world.directory,
    };
    // An inquiry waits for whoever may come, as it always did.
    let known = |r: &&Requirement| r.who.iter().all(|who| world.directory.knows(who));
    for requirement in joined.requirements.iter().filter(|_| opening.kind != Kind::Inquiry).filter(known) {
        let n = possible(requirement, &question);
        if n < requirement.count as usize {
            return Err(text(
                "M14",
                &[
                    ("action", Fill::Value(&action)),
                    ("m", requirement.count.into()),
                    ("set", shown_set(&requirement.who).into()),
                    ("n", n.to_string().into()),
                ],
            ));
        }
    }
    let timeout = Duration::from_secs(joined.timeout);
    let mut places: Vec<Place> = Vec::new();
    let asked = opening.origin.iter().filter(|_| joined.ask_origin).chain(&opening.places);
    for place in asked {
        if !places.contains(place) {
            places.push(place.clone());
        }
    }
    let mut record = Record {
        v: VERSION,
        id: opening.id,
        code: opening.code,
        state: State::Open,
        version: 0,
        kind: opening.kind,
        runs: opening.runs,
        digest: opening.digest,
        requester: opening.requester,
        editors: opening.editors,
        run_as: opening.run_as,
        source: opening.source,
        origin: opening.origin,
        command: opening.command,
        rules: joined.rules,
        requirements: joined.requirements,
        ways: joined.ways,
        deny_count: joined.deny_count,
        deny_reason: joined.deny_reason,
        grant_reason: joined.grant_reason,
        remind: joined.remind,
        escalate: joined.escalate,
        reminded: 0,
        escalated: 0,
        break_glass: joined.break_glass,
        timeout_ms: timeout.as_millis() as u64,
        held_at: world.now,
        expires_at: world.now.after(timeout),
        moved: false,
        start_within: joined.start_within,
        copies: Vec::new(),
        votes: Vec::new(),
        ending: None,
        release_id: None,
        bypassed: false,
        secrets: opening.secrets,
        epoch: opening.epoch,
        task: opening.task,
        retry_of: opening.retry_of,
        recheck_dry_run: joined.show.recheck_dry_run && opening.found.has_told(),
        found: opening.found,
        looking: false,
        wish: opening.wish,
    };
    let asked = texts::question(&record, world.now, &world.settings.style);
    let shown_sha = crate::confirmation::digest::sha256_hex(&asked.plain());
    record.copies = places
        .into_iter()
        .map(|place| Copy {
            place,
            message: None,
            failed: false,
            shown_sha: shown_sha.clone(),
            collected: false,
            reposted: false,
            not_before: None,
        })
        .collect();
    let mut deciding = Deciding::new(&record, world);
    deciding.occasion = "asked".into();
    let mut says: Vec<(To, Text)> = (0..record.copies.len()).map(|n| (To::Ask(n), asked.clone())).collect();
    if record.origin.is_none() {
        says.push((To::Caller, asked.clone()));
    }
    deciding.says = says;
    deciding.due = schedule(&record);
    deciding.audit(
        "held",
        None,
        Value::from_pairs([
            ("digest", Value::from(record.digest.hex())),
            ("requester", record.requester.person.as_str().into()),
            ("rules", record.rules.iter().map(|r| Value::from(r.id.as_str())).collect::<Vec<_>>().into()),
            ("shown_sha", shown_sha.into()),
            ("shown", asked.plain().into()),
            ("expires_at", record.expires_at.to_iso().into()),
        ]),
    );
    Ok(deciding.done(Outcome::Noted))
}

/// The rows of an open record.
fn schedule(record: &Record) -> Vec<(Due, Timestamp)> {
    let timeout = Duration::from_millis(record.timeout_ms);
    let mut due = vec![(Due::Expire, record.expires_at)];
    for (n, remind) in record.remind.iter().enumerate() {
        let at = match remind {
            Remind::Percent(percent) => record.held_at.after(timeout * u32::from(*percent) / 100),
            Remind::Left(seconds) => record.held_at.after(timeout.saturating_sub(Duration::from_secs(*seconds))),
        };
        due.push((Due::Remind(n as u32), at));
    }
    for (n, escalation) in record.escalate.iter().enumerate() {
        due.push((Due::Escalate(n as u32), record.held_at.after(Duration::from_secs(escalation.after))));
    }
    due
}
