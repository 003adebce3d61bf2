//! Secrets of the datastore, in the layout that StackStorm's key files and stored values have.
//!
//! A value is AES in CBC mode with PKCS#5 padding, then HMAC-SHA1 over everything before it:
//! `"00000" ‖ IV (16) ‖ cipher text ‖ MAC (20)`, written as upper-case hex. Values and key files of a StackStorm can be
//! taken over as they are. The MAC is checked, in constant time, before anything is decrypted.
//!
//! Start reading at [`Key::load`], [`encrypt`] and [`decrypt`].

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use squall_model::Ids;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What begins every value; its meaning is lost, it is only covered by the MAC.
const HEADER: &[u8; 5] = b"00000";
const IV: usize = 16;
const MAC: usize = 20;

/// The two keys of a key file. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    aes: Vec<u8>,
    hmac: Vec<u8>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file does not exist or cannot be read or written.
    #[error("cannot use key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Everybody on this machine could read it.
    #[error("key file {} has mode {mode:04o}, so that others can read or change it: run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key file.
    #[error("{} is no key file: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Why a stored text could not be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// Not hexadecimal.
    #[error("Invalid or malformed ciphertext (not hexadecimal)")]
    NotHex,
    /// Shorter than header, IV and MAC.
    #[error("Invalid or malformed ciphertext (too short)")]
    TooShort,
    /// Written with another key, or changed since.
    #[error("the ciphertext was made with another key or has been changed: its signature does not match")]
    BadSignature,
    /// The signature holds, but what is in it is no padded text.
    #[error("the ciphertext holds no text")]
    NoText,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(********)")
    }
}

impl Key {
    /// A new key of 256 bits.
    pub fn generate(ids: &dyn Ids) -> Key {
        let mut key = Key { aes: vec![0; 32], hmac: vec![0; 32] };
        ids.fill(&mut key.aes);
        ids.fill(&mut key.hmac);
        key
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(text: &str) -> Result<Key, String> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let bytes = |name: &str, value: &serde_json::Value| {
            let text = value.as_str().ok_or_else(|| format!("`{name}` is missing"))?;
            from_base64(text).ok_or_else(|| format!("`{name}` is not URL-safe base64"))
        };
        let aes = bytes("aesKeyString", &json["aesKeyString"])?;
        let hmac = bytes("hmacKeyString", &json["hmacKey"]["hmacKeyString"])?;
        if !matches!(aes.len(), 16 | 24 | 32) {
            return Err(format!("`aesKeyString` has {} bits, not 128, 192 or 256", 8 * aes.len()));
        }
        if hmac.len() < 16 {
            return Err(format!("`hmacKeyString` has {} bits, less than 128", 8 * hmac.len()));
        }
        match json["mode"].as_str() {
            None | Some("CBC") => Ok(Key { aes, hmac }),
            Some(mode) => Err(format!("mode `{mode}` is not supported, only CBC")),
        }
    }

    /// The text of a key file.
    pub fn to_text(&self) -> String {
        let (aes, hmac) = (to_base64(&self.aes), to_base64(&self.hmac));
        let (aes_bits, hmac_bits) = (8 * self.aes.len(), 8 * self.hmac.len());
        format!(
            r#"{{"hmacKey": {{"hmacKeyString": "{hmac}", "size": {hmac_bits}}}, "aesKeyString": "{aes}", "mode": "CBC", "size": {aes_bits}}}"#
        )
    }

    /// Loads a key file; one that others can read or change is refused (its group may, as StackStorm's packages have it).
    ///
    /// # Errors
    /// When it is missing, exposed or no key file.
    pub fn load(path: &Path) -> Result<Key, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let text = std::io::read_to_string(file).map_err(failed)?;
        Key::parse(&text).map_err(|why| KeyError::Malformed { path: path.to_owned(), why })
    }

    /// Writes a new key file, for the owner alone; one that exists is left as it is and is an error.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        // A link fails where a rename would replace: nobody loses the key to what is stored.
        self.write(path, |temporary| {
            std::fs::hard_link(temporary, path)?;
            std::fs::remove_file(temporary)
        })
    }

    /// Writes a key file over one that may exist. What was encrypted with the earlier key can no longer be read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn replace(&self, path: &Path) -> Result<(), KeyError> {
        self.write(path, |temporary| std::fs::rename(temporary, path))
    }

    /// Temporary file, sync, `put` in place, sync of the directory: a power cut leaves the earlier file or the new one.
    fn write(&self, path: &Path, put: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), KeyError> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let temporary = PathBuf::from(name);
        let attempt = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            file.write_all(self.to_text().as_bytes())?;
            file.sync_all()?;
            put(&temporary)?;
            let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(directory)?.sync_all()
        };
        attempt().map_err(|source| {
            let _ = std::fs::remove_file(&temporary);
            KeyError::File { path: path.to_owned(), source }
        })
    }
}

/// Encrypts a text, with an IV from `ids`.
pub fn encrypt(key: &Key, text: &str, ids: &dyn Ids) -> String {
    let mut iv = [0; IV];
    ids.fill(&mut iv);
    seal(key, text, iv)
}

fn seal(key: &Key, text: &str, iv: [u8; IV]) -> String {
    fn cbc<C>(key: &[u8], iv: &[u8; IV], text: &[u8]) -> Vec<u8>
    where
        cbc::Encryptor<C>: KeyIvInit + BlockModeEncrypt,
        C: aes::cipher::BlockCipherEncrypt,
    {
        let cipher = cbc::Encryptor::<C>::new_from_slices(key, iv).expect("the length of the key chose the cipher");
        cipher.encrypt_padded_vec::<Pkcs7>(text)
    }
    let sealed = match key.aes.len() {
        16 => cbc::<Aes128>(&key.aes, &iv, text.as_bytes()),
        24 => cbc::<Aes192>(&key.aes, &iv, text.as_bytes()),
        _ => cbc::<Aes256>(&key.aes, &iv, text.as_bytes()),
    };
    let mut out = Vec::with_capacity(HEADER.len() + IV + sealed.len() + MAC);
    out.extend_from_slice(HEADER);
    out.extend_from_slice(&iv);
    out.extend_from_slice(&sealed);
    let signature = signer(key).chain_update(&out).finalize().into_bytes();
    out.extend_from_slice(&signature);
    out.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Decrypts what [`encrypt`] or a StackStorm with the same key file wrote.
///
/// # Errors
/// When it is malformed, was changed, or was made with another key.
pub fn decrypt(key: &Key, hex: &str) -> Result<String, CipherError> {
    let bytes = from_hex(hex).ok_or(CipherError::NotHex)?;
    if bytes.len() < HEADER.len() + IV + MAC {
        return Err(CipherError::TooShort);
    }
    let (signed, signature) = bytes.split_at(bytes.len() - MAC);
    signer(key).chain_update(signed).verify_slice(signature).map_err(|_| CipherError::BadSignature)?;
    let (iv, sealed) = signed.split_at(HEADER.len()).1.split_at(IV);
    let text = match key.aes.len() {
        16 => open::<Aes128>(&key.aes, iv, sealed),
        24 => open::<Aes192>(&key.aes, iv, sealed),
        _ => open::<Aes256>(&key.aes, iv, sealed),
    };
    text.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(CipherError::NoText)
}

fn open<C>(key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<Vec<u8>>
where
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
    C: aes::cipher::BlockCipherDecrypt,
{
    cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?.decrypt_padded_vec::<Pkcs7>(sealed).ok()
}

fn signer(key: &Key) -> Hmac<Sha1> {
    Hmac::new_from_slice(&key.hmac).expect("HMAC takes keys of any length")
}

/// SHA-256: of the text of a token before it is stored or looked up, of definitions.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// [`sha256`] in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None }).collect()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// URL-safe base64 without padding.
fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (i, byte)| bits | u32::from(*byte) << (16 - 8 * i));
        let digits = (0..=chunk.len()).map(|i| char::from(BASE64[(bits >> (18 - 6 * i)) as usize & 63]));
        out.extend(digits);
    }
    out
}

/// The reverse; padding is let through.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = BASE64.iter().position(|b| *b == byte)?;
        bits = (bits << 6 | u32::try_from(digit).ok()?) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    // A digit alone holds less than a byte.
    (held < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::ExecutionId;

    struct Counting;

    impl Ids for Counting {
        fn execution(&self) -> ExecutionId {
            ExecutionId([0; 12])
        }
        fn fill(&self, bytes: &mut [u8]) {
            (0..).zip(bytes).for_each(|(n, byte)| *byte = n);
        }
    }

    const FILE: &str = r#"{"hmacKey": {"hmacKeyString": "dTnOkLQCUOZr4RrVPbvfzUXjpWkJVYmDxHpSsHcX3Xk", "size": 256}, "aesKeyString": "yltVUlPuBfQBV7fgPHI6iE3N7FxkU1oHXbF9xzRCvQ8", "mode": "CBC", "size": 256}"#;

    /// Values written by StackStorm itself with the key above and the IV 00…0F.
    const RECORDED: &[(&str, &str)] = &[
        (
            "confirmed",
            "3030303030000102030405060708090A0B0C0D0E0F5C47D8573D0CBFA8E3A972EC1416C67B0CD784CF24EB229CD54C01B4DC212C5423A68B9A",
        ),
        (
            "",
            "3030303030000102030405060708090A0B0C0D0E0FBA4DF35D39CB11C2A4312E3D9670DFFF8A3A11E9F78B6F8B117C26E0F0CEB522B639043E",
        ),
    ];

    #[test]
    fn writes_and_reads_what_stackstorm_wrote() {
        let key = Key::parse(FILE).unwrap();
        for (text, hex) in RECORDED {
            assert_eq!(encrypt(&key, text, &Counting), *hex);
            assert_eq!(decrypt(&key, hex).as_deref(), Ok(*text));
            assert_eq!(decrypt(&key, &hex.to_lowercase()).as_deref(), Ok(*text));
        }
        assert_eq!(key.to_text(), FILE);
    }

    #[test]
    fn every_length_and_key_size_comes_back() {
        for size in [16, 24, 32] {
            let key = Key { aes: vec![7; size], hmac: vec![9; size] };
            assert_eq!(Key::parse(&key.to_text()).as_ref(), Ok(&key));
            for length in 0..50 {
                let text = "ä".repeat(length);
                assert_eq!(decrypt(&key, &encrypt(&key, &text, &Counting)), Ok(text));
            }
        }
    }

    #[test]
    fn changed_or_foreign_texts_are_refused() {
        let key = Key::parse(FILE).unwrap();
        let hex = RECORDED[0].1;
        for place in 0..hex.len() {
            let mut changed = hex.to_owned().into_bytes();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(decrypt(&key, &changed), Err(CipherError::BadSignature), "{place}");
        }
        assert_eq!(decrypt(&Key { aes: vec![1; 32], hmac: vec![1; 32] }, hex), Err(CipherError::BadSignature));
        let short = decrypt(&key, "3030").unwrap_err();
        assert_eq!(short.to_string(), "Invalid or malformed ciphertext (too short)");
        assert_eq!(decrypt(&key, "zz"), Err(CipherError::NotHex));
        assert_eq!(decrypt(&key, "303"), Err(CipherError::NotHex));
    }

    #[test]
    fn a_key_file_is_private_and_never_overwritten_by_chance() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        let key = Key::generate(&Counting);
        key.create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::load(&path).unwrap(), key);
        let other = Key { aes: vec![1; 32], hmac: vec![1; 32] };
        assert!(other.create(&path).is_err());
        assert_eq!(Key::load(&path).unwrap(), key);
        other.replace(&path).unwrap();
        assert_eq!(Key::load(&path).unwrap(), other);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Key::load(&path).unwrap_err().to_string();
        assert!(refused.contains("has mode 0644") && refused.contains("chmod 600"), "{refused}");
        assert_eq!(format!("{key:?}"), "Key(********)");
    }

    #[test]
    fn says_what_is_wrong_with_a_key_file() {
        let wrong = |text: &str| Key::parse(text).unwrap_err();
        assert_eq!(wrong("{}"), "`aesKeyString` is missing");
        assert_eq!(wrong(&FILE.replace("CBC", "GCM")), "mode `GCM` is not supported, only CBC");
        assert_eq!(wrong(&FILE.replace("yltV", "")), "`aesKeyString` has 232 bits, not 128, 192 or 256");
        assert_eq!(wrong(&FILE.replace("yltV", "+/==")), "`aesKeyString` is not URL-safe base64");
    }
}
