//! Passwords: few are checked at once, and whoever guesses waits longer each time. Nobody is ever locked out.

use crate::fault::Fault;
use crate::limits::{REMEMBERED_FAILURES, WAITING_LOGINS};
use axum::http::StatusCode;
use squall_engine::{Engine, Principal};
use squall_model::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The gate in front of password hashing.
pub(crate) struct Logins {
    hashing: Semaphore,
    waiting: AtomicU64,
    failures: Mutex<HashMap<(String, Option<IpAddr>), Failures>>,
}

/// Wrong passwords of one user from one neighbourhood.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// So many wrong passwords cost nothing.
const FREE: u32 = 5;
/// The longest wait.
const LONGEST: u64 = 30;
/// After so long without a wrong password all is forgotten.
const FORGET: Duration = Duration::from_secs(3600);

impl Default for Logins {
    fn default() -> Logins {
        Logins {
            hashing: Semaphore::new(squall_engine::limits::PASSWORD_HASHES as usize),
            waiting: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }
}

impl Logins {
    /// Checks a password; `None` when it is wrong.
    pub async fn check(
        &self,
        engine: &Engine,
        user: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Option<Principal>, Fault> {
        let key = (user.to_owned(), from.map(neighbourhood));
        let now = engine.now();
        if let Some(seconds) = self.wait(&key, now) {
            let text = format!("too many wrong passwords, try again in {seconds} seconds");
            return Err(Fault::later(StatusCode::TOO_MANY_REQUESTS, seconds, text));
        }
        let who = self.hash(engine, user, password).await?;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if who.is_some() {
            failures.remove(&key);
        } else {
            note(&mut failures, key, now);
        }
        Ok(who)
    }

    async fn hash(&self, engine: &Engine, user: &str, password: &str) -> Result<Option<Principal>, Fault> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_LOGINS {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Fault::later(StatusCode::TOO_MANY_REQUESTS, 1, "too many log-ins at once"));
        }
        let permit = self.hashing.acquire().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let _permit = permit.map_err(|_| Fault::broken("the log-in gate is closed"))?;
        let (engine, user, password) = (engine.clone(), user.to_owned(), password.to_owned());
        let checked = tokio::task::spawn_blocking(move || engine.check_password(&user, &password)).await;
        Ok(checked.map_err(|e| Fault::broken(&format!("a log-in failed: {e}")))??)
    }

    /// Seconds until the next try is looked at.
    fn wait(&self, key: &(String, Option<IpAddr>), now: Timestamp) -> Option<u64> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = failures.get(key)?;
        let over = known.count.checked_sub(FREE)?;
        let pause = Duration::from_secs(1u64.checked_shl(over).unwrap_or(LONGEST).min(LONGEST));
        let left = pause.saturating_sub(now.since(known.last));
        (!left.is_zero()).then(|| left.as_secs().max(1))
    }
}

fn note(failures: &mut HashMap<(String, Option<IpAddr>), Failures>, key: (String, Option<IpAddr>), now: Timestamp) {
    if failures.len() as u64 >= REMEMBERED_FAILURES && !failures.contains_key(&key) {
        failures.retain(|_, f| now.since(f.last) < FORGET);
        let oldest = failures.iter().min_by_key(|(_, f)| f.last).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest.filter(|_| failures.len() as u64 >= REMEMBERED_FAILURES) {
            failures.remove(&oldest);
        }
    }
    let entry = failures.entry(key).or_insert(Failures { count: 0, last: now });
    if now.since(entry.last) >= FORGET {
        entry.count = 0;
    }
    entry.count = entry.count.saturating_add(1);
    entry.last = now;
}

/// The network that an address lies in: /24, or /48 for IPv6.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_gets_slower_and_time_heals() {
        let logins = Logins::default();
        let key = ("ann".to_owned(), None);
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let fail = |now| note(&mut logins.failures.lock().unwrap(), key.clone(), now);
        for _ in 0..4 {
            fail(at(0));
        }
        assert_eq!(logins.wait(&key, at(0)), None);
        fail(at(0));
        assert_eq!(logins.wait(&key, at(0)), Some(1));
        assert_eq!(logins.wait(&key, at(1)), None);
        for _ in 0..40 {
            fail(at(1));
        }
        assert_eq!(logins.wait(&key, at(1)), Some(30));
        assert_eq!(logins.wait(&key, at(31)), None);
        fail(at(10_000));
        assert_eq!(logins.wait(&key, at(10_000)), None);
        assert_eq!(logins.wait(&("bob".to_owned(), None), at(1)), None);
    }

    #[test]
    fn neighbours_are_one() {
        let same = |a: &str, b: &str| neighbourhood(a.parse().unwrap()) == neighbourhood(b.parse().unwrap());
        assert!(same("10.1.2.3", "10.1.2.200") && !same("10.1.2.3", "10.1.3.3"));
        assert!(same("2001:db8:1::1", "2001:db8:1:ffff::1") && !same("2001:db8:1::1", "2001:db8:2::1"));
    }
}
