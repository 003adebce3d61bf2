//! Passwords: hashed with Argon2id, checked at the same cost whether somebody exists or not.

use super::{ADMIN, Principal, Role, Via, audit_row, role_of};
use crate::Engine;
use crate::refusal::Refusal;
use squall_model::{Ids, Secret, Value};
use squall_store::{Batch, Op, User};

/// A password of 20 characters without look-alikes: about 100 bits.
pub fn random_password(ids: &dyn Ids) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
    let mut raw = [0u8; 20];
    ids.fill(&mut raw);
    raw.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect()
}

/// Argon2id with the parameters of the hardening rules (19 MiB, two passes).
fn argon() -> argon2::Argon2<'static> {
    argon2::Argon2::default()
}

/// Hashes a password. Takes tens of milliseconds: call it where blocking is fine.
pub fn hash_password(password: &str, ids: &dyn Ids) -> Result<String, Refusal> {
    use argon2::password_hash::PasswordHasher;
    let mut salt = [0u8; 16];
    ids.fill(&mut salt);
    argon()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|e| Refusal::Broken(format!("cannot hash a password: {e}")))
}

/// Whether `password` is the one that was hashed.
pub fn verify_password(password: &str, hash: &str) -> bool {
    use argon2::password_hash::PasswordVerifier;
    argon2::PasswordHash::new(hash).is_ok_and(|hash| argon().verify_password(password.as_bytes(), &hash).is_ok())
}

impl Engine {
    /// Makes the first user when there is none yet, with a random password that is answered once.
    pub async fn first_admin(&self) -> Result<Option<Secret<String>>, Refusal> {
        if self.store().user(ADMIN)?.is_some() {
            return Ok(None);
        }
        let password = random_password(self.ids());
        let user = User {
            password: Some(Secret::new(hash_password(&password, self.ids())?)),
            roles: vec![Role::Admin.as_str().into()],
            ..User::new(ADMIN, self.now())
        };
        let data = Value::from_pairs([("user", ADMIN), ("why", "the first start")]);
        let mut batch = Batch::from(Op::PutUser(Box::new(user)));
        batch.push(audit_row("user_created", &Principal::internal(), data, self.now()));
        self.store().commit(batch).await?;
        Ok(Some(Secret::new(password)))
    }

    /// Whether name and password belong together; costs the same for unknown names.
    pub fn check_password(&self, name: &str, password: &str) -> Result<Option<Principal>, Refusal> {
        const NOBODY: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let user = self.store().user(name)?;
        let hash = user.as_ref().and_then(|u| u.password.as_ref()).map_or(NOBODY, |h| h.expose("comparison"));
        let fits = verify_password(password, hash);
        Ok(user.filter(|u| fits && u.active).map(|u| Principal { role: role_of(&u), user: u.name, via: Via::Token }))
    }
}
