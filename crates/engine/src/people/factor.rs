//! The second factor: time-based one-time passwords (RFC 6238, SHA-1, six digits, thirty seconds).
//!
//! A code proves one thing: that its owner agrees to this digest, now. It counts once, for five minutes, for that digest
//! alone. What is wrong too often is not looked at for a while; nobody else is locked out by it.
//!
//! Start reading at [`step_of`], then [`Engine::prove`].

use super::{Principal, Wish, audit_row, authorize};
use crate::confirmation::limits::{GUESS_SPAN, GUESSES_PER_PERSON, Window};
use crate::confirmation::people::Assurance;
use crate::refusal::Refusal;
use crate::{Engine, locked};
use hmac::{Hmac, KeyInit, Mac};
use squall_model::{Secret, Timestamp, Value};
use squall_store::{Batch, Factor, Op, Store, crypto};
use std::collections::HashMap;
use std::time::Duration;

/// How long a proof counts.
const PROOF_LIVES: Duration = Duration::from_secs(300);
/// Seconds of a time step.
const STEP: u64 = 30;
/// Steps around the present one that are taken, since clocks differ.
const DRIFT: u64 = 1;
/// Bytes of a secret: as many as SHA-1 has.
const SECRET: usize = 20;

/// A new factor, shown once. It counts from its first right code on.
pub struct Enrolled {
    /// The secret in base 32, for typing.
    pub secret: Secret<String>,
    /// The same as an address that authenticator programs read from a picture.
    pub uri: Secret<String>,
}

/// Why a code proves nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotProved {
    /// There is no factor.
    #[error("you have no second factor; `squall user factor enrol` makes one")]
    None,
    /// It is wrong, old, or was used.
    #[error("this second factor is wrong, too old, or was used before; nothing was started")]
    Wrong,
    /// Too many wrong ones.
    #[error("too many wrong factors: none is looked at for {0} seconds")]
    TooMany(u64),
    /// It could not be looked at.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Wrong codes of everybody, in memory: a restart forgives.
pub(crate) type Wrong = HashMap<String, Window>;

/// The code of a time step.
fn code(secret: &[u8], step: u64) -> u32 {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<sha1::Sha1>::new_from_slice(secret) else { return u32::MAX };
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[hash.len() - 1] & 15);
    let four: [u8; 4] = std::array::from_fn(|n| hash[at + n]);
    (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000
}

/// What an authenticator with this secret (in base 32) shows at `now`.
pub fn shown_by_authenticator(secret: &str, now: Timestamp) -> String {
    let step = now.micros().max(0).cast_unsigned() / 1_000_000 / STEP;
    format!("{:06}", code(&unbase32(secret), step))
}

/// The time step whose code was given; only steps after `used` count.
fn step_of(secret: &[u8], given: &str, now: Timestamp, used: u64) -> Option<u64> {
    let given = given.trim();
    if given.len() != 6 || !given.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let present = now.micros().max(0).cast_unsigned() / 1_000_000 / STEP;
    // Every step is looked at, whichever fits, so that time tells nothing.
    let mut found = None;
    for step in present.saturating_sub(DRIFT)..=present + DRIFT {
        let right = format!("{:06}", code(secret, step));
        let same = right.bytes().zip(given.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0;
        if same && step > used && found.is_none() {
            found = Some(step);
        }
    }
    found
}

/// RFC 4648, without padding.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in bytes {
        bits = ((bits << 8) | u32::from(*byte)) & 0xffff;
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(char::from(ALPHABET[((bits >> held) & 31) as usize]));
        }
    }
    if held > 0 {
        out.push(char::from(ALPHABET[((bits << (5 - held)) & 31) as usize]));
    }
    out
}

/// What a user's second factor adds, for an answer about `digest`.
pub(crate) fn assurance_by_factor(
    store: &dyn Store,
    user: &str,
    digest: &str,
    now: Timestamp,
) -> squall_store::Result<Assurance> {
    let proof = store.factor(user)?.filter(|factor| factor.active).and_then(|factor| factor.proof);
    // A clock that was set back makes nothing younger.
    let counts = proof.is_some_and(|(what, at)| what == digest && at <= now && now.since(at) < PROOF_LIVES);
    Ok(if counts { Assurance::A3 } else { Assurance::A2 })
}

impl Engine {
    /// Makes a second factor for oneself. One that counts already is only replaced with one of its codes.
    pub async fn enrol(&self, code: Option<&str>, who: &Principal) -> Result<Enrolled, NotProved> {
        authorize(who, Wish::Credentials { owner: &who.user })?;
        if self.store().user(&who.user).map_err(Refusal::from)?.is_none() {
            return Err(Refusal::Invalid(format!("`{}` has no account", who.user)).into());
        }
        if self.active_factor(&who.user)?.is_some() {
            self.prove(who, code.unwrap_or_default(), "").await?;
        }
        let mut secret = [0u8; SECRET];
        self.ids().fill(&mut secret);
        let text = base32(&secret);
        let now = self.now();
        let factor = Factor {
            user: who.user.clone(),
            secret: crypto::encrypt(self.factor_key()?, &text, self.ids()),
            active: false,
            created: now,
            step: 0,
            proof: None,
        };
        let mut batch = Batch::from(Op::PutFactor(Box::new(factor)));
        batch.push(audit_row("factor_enrolled", who, Value::Null, now));
        self.store().commit(batch).await.map_err(Refusal::from)?;
        let uri = format!("otpauth://totp/squall:{}?secret={text}&issuer=squall", who.user);
        Ok(Enrolled { secret: Secret::new(text), uri: Secret::new(uri) })
    }

    /// The first code of a new factor: from now on it counts.
    pub async fn confirm_factor(&self, code: &str, who: &Principal) -> Result<(), NotProved> {
        authorize(who, Wish::Credentials { owner: &who.user })?;
        let factor = self.store().factor(&who.user).map_err(Refusal::from)?.ok_or(NotProved::None)?;
        self.take_code(who, &factor, code, None, "factor_confirmed").await
    }

    /// Removes a second factor: one's own with one of its codes, another's by whoever manages people.
    pub async fn remove_factor(&self, user: &str, code: Option<&str>, who: &Principal) -> Result<(), NotProved> {
        authorize(who, Wish::Credentials { owner: user })?;
        if self.store().factor(user).map_err(Refusal::from)?.is_none() {
            return Err(Refusal::Unknown(format!("`{user}` has no second factor")).into());
        }
        if user == who.user && self.active_factor(user)?.is_some() {
            self.prove(who, code.unwrap_or_default(), "").await?;
        }
        let mut batch = Batch::from(Op::DeleteFactor { user: user.to_owned() });
        batch.push(audit_row("factor_removed", who, Value::from_pairs([("user", user)]), self.now()));
        Ok(self.store().commit(batch).await.map_err(Refusal::from)?)
    }

    /// Proves by a code that its owner means this digest. A right code is used up, whatever follows.
    pub async fn prove(&self, who: &Principal, code: &str, digest: &str) -> Result<(), NotProved> {
        authorize(who, Wish::Credentials { owner: &who.user })?;
        let factor = self.active_factor(&who.user)?.ok_or(NotProved::None)?;
        let proof = (!digest.is_empty()).then(|| (digest.to_owned(), self.now()));
        self.take_code(who, &factor, code, proof, "factor_used").await
    }

    fn active_factor(&self, user: &str) -> Result<Option<Factor>, Refusal> {
        Ok(self.store().factor(user)?.filter(|factor| factor.active))
    }

    fn factor_key(&self) -> Result<&crypto::Key, Refusal> {
        let key = self.settings().datastore_key.as_ref();
        key.ok_or_else(|| Refusal::Unavailable("no datastore key is loaded, so second factors cannot be used".into()))
    }

    async fn take_code(
        &self,
        who: &Principal,
        factor: &Factor,
        given: &str,
        proof: Option<(String, Timestamp)>,
        event: &str,
    ) -> Result<(), NotProved> {
        let now = self.now();
        if let Some(left) = self.factor_pause(&factor.user, now) {
            return Err(NotProved::TooMany(left.as_secs().max(1)));
        }
        let text = crypto::decrypt(self.factor_key()?, &factor.secret)
            .map_err(|e| Refusal::Broken(format!("second factor of `{}`: {e}", factor.user)))?;
        let secret = unbase32(&text);
        let Some(step) = step_of(&secret, given, now, factor.step) else { return self.wrong_code(who, now).await };
        let mut batch = Batch::from(Op::UseFactor { user: factor.user.clone(), step, proof: proof.clone() });
        let told = Value::from_pairs([("digest", proof.map(|(digest, _)| digest))]);
        batch.push(audit_row(event, who, told, now));
        match self.store().commit(batch).await {
            // The same code twice at the same moment: it counted once.
            Err(squall_store::Error::Conflict { .. }) => Err(NotProved::Wrong),
            other => Ok(other.map_err(Refusal::from)?),
        }
    }

    async fn wrong_code(&self, who: &Principal, now: Timestamp) -> Result<(), NotProved> {
        {
            let mut wrong = locked(&self.inner.wrong_factors);
            wrong.retain(|_, window| window.count(now, GUESS_SPAN) > 0);
            wrong.entry(who.user.clone()).or_default().add(now, GUESS_SPAN);
        }
        self.note("factor_wrong", who, Value::Null).await?;
        Err(NotProved::Wrong)
    }

    /// How long no code of a user is looked at, after too many wrong ones.
    fn factor_pause(&self, user: &str, now: Timestamp) -> Option<Duration> {
        let wrong = locked(&self.inner.wrong_factors);
        let window = wrong.get(user).filter(|window| window.count(now, GUESS_SPAN) >= GUESSES_PER_PERSON)?;
        Some(GUESS_SPAN.saturating_sub(now.since(window.last()?)))
    }
}

/// Reads what [`base32`] wrote.
fn unbase32(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => continue,
        };
        bits = ((bits << 5) | u32::from(value)) & 0xffff;
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds.cast_signed() * 1_000_000)
    }

    /// RFC 6238, appendix B: eight digits there, of which six are ours.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(format!("{:06}", code(secret, seconds / STEP)), expected, "{seconds}");
            assert_eq!(step_of(secret, expected, at(seconds), 0), Some(seconds / STEP));
        }
    }

    #[test]
    fn neighbours_count_replays_do_not() {
        let secret = b"12345678901234567890";
        let step = 1_111_111_111 / STEP;
        let given = format!("{:06}", code(secret, step));
        for (seconds, used, expected) in [
            (step * STEP - 1, 0, Some(step)),
            (step * STEP + 59, 0, Some(step)),
            (step * STEP + 60, 0, None),
            (step * STEP - 31, 0, None),
            (step * STEP, step - 1, Some(step)),
            (step * STEP, step, None),
        ] {
            assert_eq!(step_of(secret, &given, at(seconds), used), expected, "{seconds} {used}");
        }
        for wrong in ["", "12345", "1234567", "12345a", "٠٠٠"] {
            assert_eq!(step_of(secret, wrong, at(step * STEP), 0), None, "{wrong}");
        }
    }

    /// RFC 4648, section 10.
    #[test]
    fn base_32_is_that_of_the_rfc() {
        for (bytes, expected) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(bytes.as_bytes()), expected);
            assert_eq!(unbase32(expected), bytes.as_bytes());
        }
    }
}
