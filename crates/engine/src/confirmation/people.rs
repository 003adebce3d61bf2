//! Who may answer: persons, how sure we are of them, and which requirements their answers fill.
//!
//! Nobody is known by a name here. A person is an id that squall gave, or, unlinked, the triple of network, workspace
//! and stable user id; whatever an adapter did not say counts against the answerer.
//!
//! Start reading at [`eligible`] and [`filled`].

use serde::{Deserialize, Serialize};
use squall_model::ActionRef;

/// How sure it is that an answer comes from the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Assurance {
    /// A label in a request: old bots, `st2-context`.
    A0,
    /// A stable user id in an event whose origin was verified.
    A1,
    /// The same, linked to a squall user; or a token or session of that user.
    A2,
    /// The same with a second factor for this very digest, not older than five minutes.
    A3,
}

impl Assurance {
    /// Reads `A0` … `A3`.
    pub fn parse(text: &str) -> Option<Assurance> {
        match text {
            "A0" => Some(Assurance::A0),
            "A1" => Some(Assurance::A1),
            "A2" => Some(Assurance::A2),
            "A3" => Some(Assurance::A3),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Assurance::A0 => "A0",
            Assurance::A1 => "A1",
            Assurance::A2 => "A2",
            Assurance::A3 => "A3",
        }
    }
}

/// A person as a chat network knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The network, e.g. `slack`.
    pub network: String,
    /// The workspace or server, where a network has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The stable id, never the name.
    pub user_id: String,
}

/// The id of a person: of the squall user, or made from the identity of somebody who is not linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonId(String);

impl PersonId {
    /// Of a squall user.
    pub fn user(name: &str) -> PersonId {
        PersonId(format!("user:{name}"))
    }

    /// Of somebody on a chat network without a squall account.
    pub fn unlinked(identity: &Identity) -> PersonId {
        // As JSON, so that no separator inside of a part can make two people one.
        let workspace = identity.workspace.as_deref().unwrap_or_default();
        let parts = squall_model::Value::from(vec![
            identity.network.as_str().into(),
            workspace.into(),
            identity.user_id.as_str().into(),
        ]);
        PersonId(format!("chat:{}", squall_model::to_json(&parts)))
    }

    /// Of a label that nobody verified.
    pub fn label(text: &str) -> PersonId {
        PersonId(format!("label:{text}"))
    }

    /// The squall user's name, for a linked person.
    pub fn user_name(&self) -> Option<&str> {
        self.0.strip_prefix("user:")
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Somebody, as squall knows them at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub id: PersonId,
    /// How they are called; for people to read, never compared.
    pub name: String,
    /// The handle on the network, without `@`; for people to read.
    #[serde(default)]
    pub handle: Option<String>,
    /// Every linked identity.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// Names of roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Names of groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Not deactivated. Unknown is `false`.
    pub active: bool,
    /// A guest, or a foreigner of a shared channel. Unknown is `true`.
    pub guest: bool,
    /// A bot. Unknown is `true`.
    pub bot: bool,
    /// Came with an agent's token: acts for the person but never answers.
    #[serde(default)]
    pub agent: bool,
}

impl Person {
    /// A squall user in good standing, without roles.
    pub fn user(name: &str) -> Person {
        Person {
            id: PersonId::user(name),
            name: name.into(),
            handle: None,
            identities: Vec::new(),
            roles: Vec::new(),
            groups: Vec::new(),
            active: true,
            guest: false,
            bot: false,
            agent: false,
        }
    }

    /// `Name (@handle)`
    pub fn shown(&self) -> String {
        match &self.handle {
            Some(handle) => format!("{} (@{handle})", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether both are one human: the same id, or an identity in common (linked after the question was asked).
    pub fn is(&self, id: &PersonId, identities: &[Identity]) -> bool {
        self.id == *id
            || self.identities.iter().any(|own| identities.contains(own) || PersonId::unlinked(own) == *id)
            || identities.iter().any(|other| PersonId::unlinked(other) == self.id)
    }
}

/// A set of people, as a rule names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Whoever asked for the run.
    Requester,
    /// Every linked user who may run the action.
    Anyone,
    /// This squall user.
    User(String),
    /// Everybody with this role.
    Role(String),
    /// Everybody in this group.
    Group(String),
    /// Whoever is on call, as this action answers; a failed look-up is nobody.
    OnCall(ActionRef),
}

impl Who {
    /// How people read it: `role sre`.
    pub fn shown(&self) -> String {
        match self {
            Who::Requester => "the requester".into(),
            Who::Anyone => "anyone who may run it".into(),
            Who::User(name) => name.clone(),
            Who::Role(name) => format!("role {name}"),
            Who::Group(name) => format!("group {name}"),
            Who::OnCall(action) => format!("on call ({action})"),
        }
    }
}

/// `role sre or alice`
pub fn shown_set(set: &[Who]) -> String {
    set.iter().map(Who::shown).collect::<Vec<_>>().join(" or ")
}

/// "So many different people of this set", frozen into a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Any of these.
    pub who: Vec<Who>,
    /// How many different people.
    pub count: u32,
    /// Whether the requester cannot be one of them.
    pub exclude_requester: bool,
    /// Whether whoever last edited the action, alias or rule cannot be one of them.
    #[serde(default)]
    pub exclude_editor: bool,
    /// The least assurance that counts.
    pub min_assurance: Assurance,
    /// What must be typed with the code, rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase: Option<String>,
    /// What the hint says about the phrase, e.g. `<env>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase_hint: Option<String>,
    /// Ids of the rules that want it, in a record: what one of them allows, the others need not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

impl Requirement {
    /// Whether the requester alone fills it.
    pub fn is_self(&self) -> bool {
        self.who == [Who::Requester]
    }

    /// Whether a plain yes of the requester fills it.
    pub fn is_plain(&self) -> bool {
        self.is_self() && self.phrase.is_none() && self.min_assurance <= Assurance::A1
    }

    /// `2 of role sre`
    pub fn shown(&self) -> String {
        format!("{} of {}", self.count, shown_set(&self.who))
    }
}

/// What the decision needs to know about people, as of now. Implemented over a snapshot; answers do not change
/// while one decision is made.
pub trait Directory {
    /// A person by id; `None` when the account is gone. Unlinked people are `None` too.
    fn person(&self, id: &PersonId) -> Option<Person>;
    /// Who is on call; empty when the look-up failed.
    fn on_call(&self, action: &ActionRef) -> Vec<PersonId>;
    /// Whether it is known who belongs to a set: who is on call is found out only when somebody is asked.
    fn knows(&self, who: &Who) -> bool {
        let _ = who;
        true
    }
    /// Whether somebody may run the action that waits.
    fn may_run(&self, person: &Person) -> bool;
    /// Every active person that a set can mean, for telling at once that nobody can answer.
    fn members(&self, who: &Who) -> Vec<Person>;
}

/// The requester, frozen into a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The human: for an agent's token, its owner.
    pub person: PersonId,
    /// How people read it.
    pub shown: String,
    /// Identities at that time.
    pub identities: Vec<Identity>,
    /// How sure it was.
    pub assurance: Assurance,
    /// The agent that asked in the person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The account whose token carried an unproven request; whoever holds it can have written the request alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<PersonId>,
    /// For an old bot's request: what must be equal in its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
}

impl Requester {
    /// The account by whose rights it runs: the requester's, or the one that carried an unproven request.
    pub fn account(&self) -> Option<&str> {
        self.person.user_name().or_else(|| self.through.as_ref()?.user_name())
    }

    /// Whether `person` is the requester.
    pub fn is(&self, person: &Person) -> bool {
        person.is(&self.person, &self.identities)
    }
}

/// What an old bot says about a person. Proves nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The `user` text.
    pub user: String,
    /// The `source_channel` text.
    pub channel: String,
    /// The notification route.
    pub route: String,
}

impl Label {
    /// Whether another was heard by the same bot in the same room.
    pub fn is_beside(&self, other: &Label) -> bool {
        (&self.route, &self.channel) == (&other.route, &other.channel)
    }

    /// As what an account is linked to whoever has this label: `bot:hubot:alice`.
    pub fn identity(&self) -> Option<Identity> {
        let known = !self.route.is_empty() && !self.user.is_empty();
        known.then(|| Identity {
            network: crate::bots::NETWORK.to_owned(),
            workspace: Some(self.route.clone()),
            user_id: self.user.clone(),
        })
    }
}

/// Why somebody's answer does not count for a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ineligible {
    /// It needs a second factor.
    NeedsFactor,
    /// It needs an account linked to the identity.
    NeedsLink,
    /// An old bot's word is not enough.
    OnlyLabel,
    /// Somebody else than the requester must answer.
    IsRequester,
    /// Somebody else than the last editor must answer.
    IsEditor,
    /// Not of the set.
    NotOfSet,
    /// Deactivated, a guest, a bot, or unknown.
    NotTrusted,
    /// Agents never answer.
    Agent,
}

/// What eligibility is asked about.
pub struct Question<'a> {
    /// Who asked for the run.
    pub requester: &'a Requester,
    /// Who last edited the action, alias or rule.
    pub editors: &'a [PersonId],
    /// Whether old bots are trusted for the requester's own confirmation.
    pub trust_legacy_bots: bool,
    /// The people.
    pub directory: &'a dyn Directory,
}

/// Somebody with the proof that they brought.
pub struct Proof<'a> {
    /// Who.
    pub person: &'a Person,
    /// How sure.
    pub assurance: Assurance,
    /// What an old bot said.
    pub label: Option<&'a Label>,
}

/// Whether an answer counts for a requirement.
pub fn eligible(requirement: &Requirement, by: &Proof<'_>, question: &Question<'_>) -> Result<(), Ineligible> {
    let person = by.person;
    if person.agent {
        return Err(Ineligible::Agent);
    }
    if !person.active || person.guest || person.bot {
        return Err(Ineligible::NotTrusted);
    }
    if by.assurance == Assurance::A0 {
        return by_label(requirement, by, question);
    }
    let is_requester = question.requester.is(person);
    if !requirement.who.iter().any(|who| is_of(person, who, is_requester, question)) {
        return Err(if is_requester { Ineligible::IsRequester } else { Ineligible::NotOfSet });
    }
    let carried = question.requester.through.as_ref() == Some(&person.id);
    if requirement.exclude_requester && (is_requester || carried) {
        return Err(Ineligible::IsRequester);
    }
    if requirement.exclude_editor && question.editors.iter().any(|editor| person.is(editor, &[])) {
        return Err(Ineligible::IsEditor);
    }
    match requirement.min_assurance {
        needed if by.assurance >= needed => Ok(()),
        Assurance::A3 if by.assurance == Assurance::A2 => Err(Ineligible::NeedsFactor),
        _ => Err(Ineligible::NeedsLink),
    }
}

/// The one case in which an unverified label counts: the same label of the same place confirms its own request.
fn by_label(requirement: &Requirement, by: &Proof<'_>, question: &Question<'_>) -> Result<(), Ineligible> {
    let same = by.label.is_some() && by.label == question.requester.label.as_ref();
    let own = requirement.is_self() && requirement.min_assurance <= Assurance::A1 && !requirement.exclude_requester;
    if question.trust_legacy_bots && same && own { Ok(()) } else { Err(Ineligible::OnlyLabel) }
}

fn is_of(person: &Person, who: &Who, is_requester: bool, question: &Question<'_>) -> bool {
    let linked = person.id.user_name();
    match who {
        Who::Requester => is_requester,
        Who::Anyone => linked.is_some() && question.directory.may_run(person),
        Who::User(name) => linked == Some(name),
        Who::Role(name) => linked.is_some() && person.roles.contains(name),
        Who::Group(name) => linked.is_some() && person.groups.contains(name),
        Who::OnCall(action) => question.directory.on_call(action).iter().any(|id| person.is(id, &[])),
    }
}

/// How many different people could fill each requirement now, for the text M14.
pub fn possible(requirement: &Requirement, question: &Question<'_>) -> usize {
    candidates(requirement, question).len()
}

/// Everybody who could fill a requirement now, as people read them. The requester is one for requirements of their own,
/// whoever they are.
pub fn candidates(requirement: &Requirement, question: &Question<'_>) -> Vec<(PersonId, String)> {
    let mut found: Vec<(PersonId, String)> = Vec::new();
    for who in &requirement.who {
        if *who == Who::Requester && !requirement.exclude_requester {
            found.push((question.requester.person.clone(), question.requester.shown.clone()));
        }
        for person in question.directory.members(who) {
            let sure = Proof { person: &person, assurance: Assurance::A3, label: None };
            if eligible(requirement, &sure, question).is_ok() {
                found.push((person.id.clone(), person.shown()));
            }
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

/// How many votes count for each requirement: the assignment that leaves the fewest missing. Each vote, given as the
/// requirements that it fits, counts at most once.
pub fn filled(requirements: &[Requirement], votes: &[Vec<usize>]) -> Vec<u32> {
    let counts: Vec<u32> = requirements.iter().map(|requirement| requirement.count).collect();
    matched(&counts, votes)
}

/// How many of each kind of seat are taken when as many as possible sit; `fits` says for each one which kinds they fit.
pub fn matched(seats: &[u32], fits: &[Vec<usize>]) -> Vec<u32> {
    // By augmenting paths; with ten people and five requirements that is nothing.
    let mut seated: Vec<Vec<usize>> = vec![Vec::new(); seats.len()];
    for one in 0..fits.len() {
        let mut visited = vec![false; seats.len()];
        seat(one, seats, fits, &mut seated, &mut visited);
    }
    seated.iter().map(|s| s.len() as u32).collect()
}

/// Finds a seat for one, moving others where that helps. Recursion is bounded by the number of kinds.
fn seat(one: usize, seats: &[u32], fits: &[Vec<usize>], seated: &mut [Vec<usize>], visited: &mut [bool]) -> bool {
    for &at in fits.get(one).map(Vec::as_slice).unwrap_or_default() {
        let Some(count) = seats.get(at) else { continue };
        if std::mem::replace(&mut visited[at], true) {
            continue;
        }
        if seated[at].len() < *count as usize {
            seated[at].push(one);
            return true;
        }
        for taken in 0..seated[at].len() {
            let other = seated[at][taken];
            if seat(other, seats, fits, seated, visited) {
                seated[at][taken] = one;
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confirmation::testing::{People, slack};
    use proptest::prelude::*;

    fn of(who: Who, count: u32) -> Requirement {
        let own = who == Who::Requester;
        Requirement {
            who: vec![who],
            count,
            exclude_requester: !own,
            exclude_editor: false,
            min_assurance: if own { Assurance::A1 } else { Assurance::A2 },
            phrase: None,
            phrase_hint: None,
            rules: Vec::new(),
        }
    }

    fn asked_by(person: &Person) -> Requester {
        Requester {
            person: person.id.clone(),
            shown: person.shown(),
            identities: person.identities.clone(),
            assurance: Assurance::A2,
            agent: None,
            through: None,
            label: None,
        }
    }

    #[track_caller]
    fn check(
        requirement: &Requirement,
        requester: &Requester,
        person: &Person,
        assurance: Assurance,
        expected: Result<(), Ineligible>,
    ) {
        let people = People::default();
        let question = Question { requester, editors: &[], trust_legacy_bots: false, directory: &people };
        assert_eq!(eligible(requirement, &Proof { person, assurance, label: None }, &question), expected);
    }

    fn alice() -> Person {
        Person { identities: vec![slack("U1")], ..Person::user("alice") }
    }

    fn sre(name: &str) -> Person {
        Person { roles: vec!["sre".into()], ..Person::user(name) }
    }

    #[test]
    fn name_change_keeps_requester() {
        let renamed = Person { name: "Alicia".into(), handle: Some("al".into()), ..alice() };
        check(&of(Who::Requester, 1), &asked_by(&alice()), &renamed, Assurance::A1, Ok(()));
    }

    #[test]
    fn same_name_other_network_refused() {
        let other = Identity { network: "irc".into(), ..slack("U1") };
        let twin = Person { id: PersonId::unlinked(&other), identities: vec![other], ..alice() };
        check(&of(Who::Requester, 1), &asked_by(&alice()), &twin, Assurance::A1, Err(Ineligible::NotOfSet));
    }

    #[test]
    fn separators_in_ids_make_nobody_else() {
        let id = |n: &str, w: &str, u: &str| {
            PersonId::unlinked(&Identity { network: n.into(), workspace: Some(w.into()), user_id: u.into() })
        };
        assert_ne!(id("a", "b:c", "d"), id("a", "b", "c:d"));
        assert_ne!(id("a", "b\",\"c", "d"), id("a", "b", "c\",\"d"));
    }

    #[test]
    fn guest_refused() {
        let asked = asked_by(&alice());
        let role = of(Who::Role("sre".into()), 1);
        check(&role, &asked, &sre("bob"), Assurance::A2, Ok(()));
        check(&role, &asked, &Person { guest: true, ..sre("bob") }, Assurance::A2, Err(Ineligible::NotTrusted));
        check(&role, &asked, &Person { bot: true, ..sre("bob") }, Assurance::A2, Err(Ineligible::NotTrusted));
        check(&role, &asked, &Person { active: false, ..sre("bob") }, Assurance::A2, Err(Ineligible::NotTrusted));
    }

    /// However sure it is whose agent it is.
    #[test]
    fn agent_token_refused() {
        let agent = Person { agent: true, ..sre("bob") };
        let role = of(Who::Role("sre".into()), 1);
        check(&role, &asked_by(&alice()), &agent, Assurance::A3, Err(Ineligible::Agent));
    }

    #[test]
    fn the_requester_cannot_approve_by_another_handle() {
        let second = Person { roles: vec!["sre".into()], identities: vec![slack("U1"), slack("U9")], ..alice() };
        check(
            &of(Who::Role("sre".into()), 1),
            &asked_by(&alice()),
            &second,
            Assurance::A2,
            Err(Ineligible::IsRequester),
        );
        // Unlinked when asking, linked by now.
        let before = Person { id: PersonId::unlinked(&slack("U1")), identities: vec![slack("U1")], ..alice() };
        check(
            &of(Who::Role("sre".into()), 1),
            &asked_by(&before),
            &second,
            Assurance::A2,
            Err(Ineligible::IsRequester),
        );
    }

    #[test]
    fn assurance_says_what_is_missing() {
        let asked = asked_by(&alice());
        let role = of(Who::Role("sre".into()), 1);
        check(&role, &asked, &sre("bob"), Assurance::A1, Err(Ineligible::NeedsLink));
        let critical = Requirement { min_assurance: Assurance::A3, ..role };
        check(&critical, &asked, &sre("bob"), Assurance::A2, Err(Ineligible::NeedsFactor));
        check(&critical, &asked, &sre("bob"), Assurance::A3, Ok(()));
    }

    /// Whether a yes of alice that an old bot forwards from a channel counts for her own command in `#ops`.
    fn by_old_bot(requirement: &Requirement, trust: bool, channel: &str) -> bool {
        let people = People::default();
        let label = |channel: &str| Label { user: "alice".into(), channel: channel.into(), route: "hubot".into() };
        let asked = Requester {
            assurance: Assurance::A0,
            label: Some(label("#ops")),
            person: PersonId::label("alice"),
            ..asked_by(&alice())
        };
        let person = Person { id: PersonId::label("alice"), ..Person::user("alice") };
        let question = Question { requester: &asked, editors: &[], trust_legacy_bots: trust, directory: &people };
        let proof = Proof { person: &person, assurance: Assurance::A0, label: Some(&label(channel)) };
        eligible(requirement, &proof, &question).is_ok()
    }

    #[test]
    fn legacy_a0_refused() {
        assert!(!by_old_bot(&of(Who::Requester, 1), false, "#ops"));
        assert!(!by_old_bot(&of(Who::Anyone, 1), true, "#ops"), "for others it never counts");
    }

    #[test]
    fn legacy_a0_optin_same_channel() {
        assert!(by_old_bot(&of(Who::Requester, 1), true, "#ops"));
        assert!(!by_old_bot(&of(Who::Requester, 1), true, "#other"));
    }

    #[test]
    fn each_person_counts_once() {
        let both = [of(Who::Role("sre".into()), 1), of(Who::Role("dba".into()), 1)];
        assert_eq!(filled(&both, &[vec![0, 1]]), [1, 0]);
        // The first one moves over so that the second, who fits one alone, can sit.
        assert_eq!(filled(&both, &[vec![0, 1], vec![0]]), [1, 1]);
        assert_eq!(filled(&both, &[vec![0], vec![0, 1]]), [1, 1]);
        assert_eq!(filled(&both, &[vec![0], vec![0]]), [1, 0]);
    }

    /// Tries every assignment.
    fn best(counts: &mut [u32], votes: &[Vec<usize>]) -> u32 {
        let Some((first, rest)) = votes.split_first() else { return 0 };
        let mut most = best(counts, rest);
        for &at in first {
            if counts[at] > 0 {
                counts[at] -= 1;
                most = most.max(1 + best(counts, rest));
                counts[at] += 1;
            }
        }
        most
    }

    proptest! {
        #[test]
        fn no_assignment_is_better(
            counts in prop::collection::vec(1u32..3, 1..4),
            votes in prop::collection::vec(prop::collection::btree_set(0usize..3, 0..3), 0..6),
        ) {
            let requirements: Vec<_> = counts.iter().map(|c| of(Who::Anyone, *c)).collect();
            let votes: Vec<Vec<usize>> =
                votes.into_iter().map(|v| v.into_iter().filter(|at| *at < counts.len()).collect()).collect();
            let found = filled(&requirements, &votes);
            prop_assert!(found.iter().zip(&counts).all(|(n, c)| n <= c));
            prop_assert_eq!(found.iter().sum::<u32>(), best(&mut counts.clone(), &votes));
        }
    }
}
