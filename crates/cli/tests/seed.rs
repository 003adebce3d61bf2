//! The pack that squall began with, unmodified, on a real server: installed with the author's command, asked, confirmed, refused,
//! killed in the middle.

mod support;

use std::time::{Duration, Instant};
use support::{Server, id_in, install_seed};

const QUESTION: &str = "Please, confirm by issuing";

#[test]
fn seed_confirmed() {
    let server = Server::start();
    install_seed(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!do_something with web1,web2 x");
    let question = alice.hears(QUESTION);
    assert!(question.starts_with("@alice, the action you have requested is dangerous."), "{question}");
    let id = id_in(&question);
    alice.say(&format!("! confirm {id}"));
    alice.hears("Confirming action!");
    alice.hears("@alice, The action is confirmed. Proceeding...");
    alice.hears(&format!("Execution ID {id} complete."));
    let execution = server.ended(&id);
    assert_eq!(execution["status"], "succeeded");
    assert_eq!(execution["parameters"]["hostlist"], "web1,web2");
    alice.listen();
    let order = ["started", QUESTION, "Confirming action!", "Proceeding", "complete."];
    let places: Vec<usize> = order
        .iter()
        .map(|part| alice.transcript().find(part).unwrap_or_else(|| panic!("{part} in\n{}", alice.transcript())))
        .collect();
    assert!(places.is_sorted(), "{places:?}\n{}", alice.transcript());
    assert_eq!(alice.said("").len(), 5, "nothing else is posted:\n{}", alice.transcript());
}

#[test]
fn seed_unconfirmed_and_confirmed_by_others() {
    let server = Server::start();
    install_seed(&server);
    let (mut alice, mut bob, mut carol) =
        (server.person("alice", "ops"), server.person("bob", "ops"), server.person("carol", "dev"));
    let begun = Instant::now();
    alice.say("!do_something with web1 x");
    carol.say("!do_something with web9 y");
    let id = id_in(&alice.hears(QUESTION));
    let other = id_in(&carol.hears(QUESTION));
    // Another person's yes does not count, and neither does one's own for another execution.
    bob.say(&format!("!confirm {id}"));
    bob.hears("Confirming action!");
    alice.say(&format!("!confirm {other}"));
    alice.hears_within("I have not received confirmation from you within 30 seconds", Duration::from_secs(120));
    assert!(begun.elapsed() >= Duration::from_secs(30), "gave up after {:?}", begun.elapsed());
    carol.hears_within("I have not received confirmation", Duration::from_secs(120));
    alice.hears(&format!("Execution ID {id} complete."));
    assert!(alice.said("Proceeding").is_empty() && carol.said("Proceeding").is_empty());
    // Everybody in a channel saw the same; nobody saw the other channel.
    bob.hears(&format!("Execution ID {id} complete."));
    assert!(alice.said(&other).is_empty(), "{}", alice.transcript());
}

#[test]
fn seed_survives_a_kill_while_it_waits() {
    let mut server = Server::start();
    install_seed(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!do_something with web1 x");
    let id = id_in(&alice.hears(QUESTION));
    server.kill();
    server.up();
    let mut alice = alice.again();
    alice.say(&format!("!confirm {id}"));
    alice.hears("The action is confirmed. Proceeding...");
    alice.hears(&format!("Execution ID {id} complete."));
    alice.listen();
    for once in [QUESTION, "Confirming action!", "Proceeding", "complete."] {
        assert_eq!(alice.said(once).len(), 1, "{once} in\n{}", alice.transcript());
    }
}

#[test]
fn two_hundred_conversations_at_once() {
    const PEOPLE: usize = 200;
    let server = Server::start();
    install_seed(&server);
    let mut people: Vec<_> = (0..PEOPLE).map(|n| server.person(&format!("p{n}"), &format!("room{}", n % 10))).collect();
    for person in &mut people {
        person.say("!do_something with web1 x");
    }
    let mut ids = Vec::new();
    for person in &mut people {
        let own = format!("@{}, the action", person.name);
        ids.push(id_in(&person.hears(&own)));
    }
    for (number, (person, id)) in people.iter_mut().zip(&ids).enumerate() {
        if number % 2 == 0 {
            person.say(&format!("!confirm {id}"));
        }
    }
    for (number, (person, id)) in people.iter_mut().zip(&ids).enumerate() {
        let patience = Duration::from_secs(180);
        let end = if number % 2 == 0 { "The action is confirmed" } else { "I have not received confirmation" };
        person.hears_within(&format!("@{}, {end}", person.name), patience);
        person.hears_within(&format!("Execution ID {id} complete."), patience);
    }
    for (number, person) in people.iter().enumerate() {
        let confirmed = person.said(&format!("@{}, The action is confirmed", person.name)).len();
        assert_eq!(confirmed, usize::from(number % 2 == 0), "{}", person.name);
    }
}
