//! What a typed line means to this client: words for the channel, for the thread of a question, for squall in private.
//!
//! Only lines that begin with `/` and a word are read here; everything else is said as it is. A plain `yes` counts as an answer only
//! in the thread of a question, so going there is always a step of its own.

use super::question::Question;
use squall_engine::confirmation::code;
use squall_model::Timestamp;

/// Where words go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// Into the channel.
    Channel,
    /// Into the thread that the message of this number began.
    Thread(i64),
    /// To squall alone.
    Private,
    /// To squall alone, in the thread that the message of this number began.
    PrivateThread(i64),
}

impl Where {
    /// The thread that a question began.
    pub fn thread_of(question: &Question) -> Where {
        if question.private { Where::PrivateThread(question.thread) } else { Where::Thread(question.thread) }
    }

    /// The question of this thread.
    pub fn question<'q>(&self, questions: &'q [Question]) -> Option<&'q Question> {
        questions.iter().find(|question| Where::thread_of(question) == *self)
    }
}

/// What a line does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Says something.
    Say(Where, String),
    /// From now on lines go there.
    Go(Where),
    /// Only this person is told.
    Tell(String),
}

/// What can be typed here besides words.
pub const HELP: &str = "\
/reply yes            answer the open question in its thread; also /reply no
/reply K7Q-4M9 yes    the same when several are open
/reply [K7Q-4M9]      talk in the thread of a question until /leave
/private [words]      talk to squall alone, for example a second factor
/leave                back to the channel
//words               say words that begin with a slash";

/// Reads a line; `here` is where lines go now.
pub fn read(line: &str, here: &Where, questions: &[Question], now: Timestamp) -> Meaning {
    let text = line.trim();
    let Some(command) = text.strip_prefix('/') else { return Meaning::Say(here.clone(), line.to_owned()) };
    if command.starts_with('/') {
        return Meaning::Say(here.clone(), command.to_owned());
    }
    let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    match word {
        "reply" => reply(rest, here, questions, now),
        "private" if rest.is_empty() => Meaning::Go(Where::Private),
        "private" => Meaning::Say(Where::Private, rest.to_owned()),
        "leave" => Meaning::Go(Where::Channel),
        "help" | "?" => Meaning::Tell(HELP.into()),
        // Paths are words like any other.
        word if !word.chars().all(char::is_alphabetic) => Meaning::Say(here.clone(), line.to_owned()),
        word => Meaning::Tell(format!("/{word} is not known here; /help lists what is, //{word} says it")),
    }
}

fn reply(rest: &str, here: &Where, questions: &[Question], now: Timestamp) -> Meaning {
    let (first, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let found = match code::read(first) {
        code::Read::Code(code) => named(&code.to_string(), questions).map(|q| (q, words.trim())),
        code::Read::Typo(_) => Err(format!("there is no question {first} here")),
        code::Read::NotACode => only(here, questions, now).map(|q| (q, rest)),
    };
    match found {
        Ok((question, "")) => Meaning::Go(Where::thread_of(question)),
        Ok((question, words)) => Meaning::Say(Where::thread_of(question), words.to_owned()),
        Err(why) => Meaning::Tell(why),
    }
}

fn named<'q>(code: &str, questions: &'q [Question]) -> Result<&'q Question, String> {
    questions.iter().rev().find(|q| q.code == code).ok_or_else(|| format!("there is no question {code} here"))
}

/// The question that is meant without a code: the one of this thread, or the only one that is open. Never a guess.
fn only<'q>(here: &Where, questions: &'q [Question], now: Timestamp) -> Result<&'q Question, String> {
    if let Some(question) = here.question(questions) {
        return Ok(question);
    }
    let open: Vec<&Question> = questions.iter().filter(|q| q.is_open(now)).collect();
    match open.as_slice() {
        [] => Err("no question is open here".into()),
        [one] => Ok(one),
        [first, ..] => {
            let codes: Vec<&str> = open.iter().map(|q| q.code.as_str()).collect();
            Err(format!(
                "{} questions are open, {}: which one? /reply {} yes",
                open.len(),
                codes.join(", "),
                first.code
            ))
        }
    }
}

/// The prompt in a place.
pub fn prompt(name: &str, here: &Where, questions: &[Question]) -> String {
    let code = here.question(questions).map_or_else(String::new, |question| format!(" {}", question.code));
    match here {
        Where::Channel => format!("{name}> "),
        Where::Private => format!("{name} (private)> "),
        Where::Thread(_) => format!("{name} ↳{code}> "),
        Where::PrivateThread(_) => format!("{name} (private) ↳{code}> "),
    }
}

/// A prompt with blanks behind it until it is as wide as another of the same name.
pub fn as_wide_as(prompt: &str, other: &str) -> String {
    let missing = other.chars().count().saturating_sub(prompt.chars().count());
    format!("{prompt}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_chat::adapters::terminal::Asks;

    fn question(code: &str, thread: i64) -> Question {
        let asks = Asks { confirmation: code.into(), code: code.into(), expires_at: "2026-02-01T14:03:20Z".into() };
        Question::new(&asks, thread, false, "⚠ x")
    }

    #[track_caller]
    fn check(line: &str, here: &Where, questions: &[Question], expected: &str) {
        let now = Timestamp::parse_iso("2026-02-01T14:03:00Z").unwrap();
        assert_eq!(format!("{:?}", read(line, here, questions, now)), expected, "{line}");
    }

    #[test]
    fn words_are_said_where_one_is() {
        check("!greet Ada", &Where::Channel, &[], r#"Say(Channel, "!greet Ada")"#);
        check("yes", &Where::Thread(3), &[], r#"Say(Thread(3), "yes")"#);
        check("/etc/hosts is broken", &Where::Channel, &[], r#"Say(Channel, "/etc/hosts is broken")"#);
        check("//reply is a word", &Where::Channel, &[], r#"Say(Channel, "/reply is a word")"#);
        check("/private confirm K7Q-4M9 123456", &Where::Channel, &[], r#"Say(Private, "confirm K7Q-4M9 123456")"#);
    }

    #[test]
    fn a_reply_goes_to_the_question_that_is_meant_and_never_to_another() {
        let (one, two) = (question("K7Q-4M9", 3), question("BR7-KDW", 5));
        check("/reply yes", &Where::Channel, std::slice::from_ref(&one), r#"Say(Thread(3), "yes")"#);
        check("/reply k7q4m9 no", &Where::Channel, &[one.clone(), two.clone()], r#"Say(Thread(3), "no")"#);
        check(
            "/reply yes",
            &Where::Channel,
            &[one.clone(), two.clone()],
            r#"Tell("2 questions are open, K7Q-4M9, BR7-KDW: which one? /reply K7Q-4M9 yes")"#,
        );
        check("/reply yes", &Where::Thread(5), &[one.clone(), two.clone()], r#"Say(Thread(5), "yes")"#);
        check("/reply", &Where::Channel, &[one], "Go(Thread(3))");
        check("/reply yes", &Where::Channel, &[], r#"Tell("no question is open here")"#);
        check("/reply K7Q-4M8 yes", &Where::Channel, &[two], r#"Tell("there is no question K7Q-4M8 here")"#);
    }

    #[test]
    fn a_question_that_was_asked_in_private_is_answered_there() {
        let mut private = question("K7Q-4M9", 3);
        private.private = true;
        let both = [question("BR7-KDW", 3), private];
        check("/reply K7Q-4M9 yes", &Where::Channel, &both, r#"Say(PrivateThread(3), "yes")"#);
        check("/reply BR7-KDW yes", &Where::Channel, &both, r#"Say(Thread(3), "yes")"#);
        assert_eq!(prompt("alice", &Where::PrivateThread(3), &both), "alice (private) ↳ K7Q-4M9> ");
    }

    #[test]
    fn an_unknown_word_is_not_said_by_mistake() {
        check(
            "/repyl yes",
            &Where::Channel,
            &[],
            r#"Tell("/repyl is not known here; /help lists what is, //repyl says it")"#,
        );
    }

    #[test]
    fn a_prompt_that_changes_keeps_its_width() {
        assert_eq!(as_wide_as("alice> ", "alice ↳ K7Q-4M9> "), "alice>           ");
        assert_eq!(as_wide_as("alice> ", "alice> "), "alice> ");
    }

    #[test]
    fn the_prompt_tells_where_one_is() {
        let one = question("K7Q-4M9", 3);
        assert_eq!(prompt("alice", &Where::Channel, &[]), "alice> ");
        assert_eq!(prompt("alice", &Where::Thread(3), &[one]), "alice ↳ K7Q-4M9> ");
        assert_eq!(prompt("alice", &Where::Private, &[]), "alice (private)> ");
    }
}
