//! Secrets sealed for whoever has a private key: NaCl's box in the envelope that faas-cli and OpenFaaS's builder read.
//! Names stay readable, values are sealed one by one.
use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_box::aead::{Aead, AeadCore, OsRng};
use crypto_box::{PublicKey, SalsaBox, SecretKey};
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;

use crate::error::{Fault, Result};

/// The name of the file that sealed secrets are kept in.
pub const FILE: &str = "com.openfaas.secrets";
const VERSION: &str = "v1";
const ALGORITHM: &str = "nacl/box";
const NONCE: usize = 24;

/// A value in clear text, wiped when dropped.
pub type Clear = Zeroizing<Vec<u8>>;

/// A key pair, both halves in base64.
pub struct KeyPair {
    /// What secrets are sealed for.
    pub public: String,
    /// What opens them.
    pub private: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    version: String,
    #[serde(default)]
    algorithm: String,
    #[serde(default)]
    public_key: String,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

/// Makes a key pair.
#[must_use]
pub fn generate() -> KeyPair {
    let private = SecretKey::generate(&mut OsRng);
    KeyPair {
        public: STANDARD.encode(private.public_key().as_bytes()),
        private: Zeroizing::new(STANDARD.encode(Zeroizing::new(private.to_bytes()).as_slice())),
    }
}

/// Short enough to tell keys apart by: the first eight characters of the public key.
///
/// # Errors
/// When it is no key.
pub fn key_id(public: &str) -> Result<String> {
    let key = decoded(public, "public")?;
    Ok(STANDARD.encode(key.as_slice()).chars().take(8).collect())
}

/// Seals values for the owner of a public key.
///
/// # Errors
/// When it is no key.
pub fn seal(public: &str, values: &BTreeMap<String, Clear>) -> Result<String> {
    let recipient = PublicKey::from(*decoded(public, "public")?);
    let own = SecretKey::generate(&mut OsRng);
    let sealer = SalsaBox::new(&recipient, &own);
    let mut text = format!(
        "version: {VERSION}\nalgorithm: {ALGORITHM}\nkey_id: {}\npublic_key: {}\nsecrets:",
        scalar(&key_id(public)?),
        scalar(&STANDARD.encode(own.public_key().as_bytes()))
    );
    text += if values.is_empty() { " {}\n" } else { "\n" };
    for (name, value) in values {
        let nonce = SalsaBox::generate_nonce(&mut OsRng);
        let sealed =
            sealer.encrypt(&nonce, value.as_slice()).map_err(|_| Fault::failed(format!("can't seal {name}")))?;
        let value = STANDARD.encode([nonce.as_slice(), &sealed].concat());
        let _ = writeln!(text, "    {}: {}", scalar(name), scalar(&value));
    }
    Ok(text)
}

/// Opens the values of an envelope, or only the one called `name`.
///
/// # Errors
/// When the key or the envelope can't be read, or they don't fit.
pub fn unseal(private: &str, envelope: &str, name: Option<&str>) -> Result<BTreeMap<String, Clear>> {
    let key = SecretKey::from(*decoded(private, "private")?);
    let envelope: Envelope = serde_saphyr::from_str(envelope).map_err(|error| {
        let said = error.without_snippet().to_string();
        Fault::usage("invalid sealed envelope").cause(said.lines().next().unwrap_or_default())
    })?;
    if envelope.version != VERSION {
        let message = format!("unsupported envelope version: {:?}, expected {VERSION:?}", envelope.version);
        return Err(Fault::usage(message));
    }
    if envelope.algorithm != ALGORITHM {
        return Err(Fault::usage(format!("unsupported algorithm: {:?}, expected {ALGORITHM:?}", envelope.algorithm)));
    }
    let opener = SalsaBox::new(&PublicKey::from(*decoded(&envelope.public_key, "envelope's public")?), &key);
    let open = |name: &str, sealed: &str| {
        let bytes = STANDARD.decode(sealed.trim()).ok().filter(|bytes| bytes.len() >= NONCE);
        let bytes = bytes.ok_or_else(|| Fault::usage(format!("the sealed value of {name:?} is damaged")))?;
        let (nonce, sealed) = bytes.split_at(NONCE);
        let opened = opener.decrypt(nonce.into(), sealed).map(Zeroizing::new);
        opened.map_err(|_| {
            Fault::failed(format!("decryption failed for key {name:?}: invalid key or corrupted data"))
                .hint("was it sealed with the .pub of this private key?")
        })
    };
    if let Some(name) = name {
        let sealed = envelope.secrets.get(name).ok_or_else(|| {
            let known: Vec<&str> = envelope.secrets.keys().map(String::as_str).collect();
            Fault::not_found(format!("key {name:?} not found in sealed envelope"))
                .hint(format!("there are {}", known.join(", ")))
        })?;
        return Ok(BTreeMap::from([(name.to_owned(), open(name, sealed)?)]));
    }
    envelope.secrets.iter().map(|(name, sealed)| Ok((name.clone(), open(name, sealed)?))).collect()
}

fn decoded(key: &str, which: &str) -> Result<Zeroizing<[u8; 32]>> {
    let bytes = STANDARD.decode(key.trim()).map(Zeroizing::new);
    let bytes = bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    bytes.map(Zeroizing::new).ok_or_else(|| {
        Fault::usage(format!("invalid {which} key"))
            .cause("a key is 32 bytes in base64")
            .hint("`faas secret keygen` makes a pair")
    })
}

/// A text of YAML: quoted when it would be read as something else.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./+=".contains(c);
    let word =
        text.chars().all(plain) && text.chars().any(|c| c.is_ascii_alphabetic() && !"abcdefoxABCDEFOX".contains(c));
    let special = ["null", "true", "false", "yes", "no", "on", "off", "n", "y", "inf", "nan"];
    let is_special = special.iter().any(|word| text.trim_start_matches(['.', '-', '+']).eq_ignore_ascii_case(word));
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/_".contains(c));
    if word && starts && !is_special { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by faas-cli 0.18.12: keygen, and seal of text and of bytes.
    const PRIVATE: &str = include_str!("../tests/sealed/key");
    const PUBLIC: &str = include_str!("../tests/sealed/key.pub");
    const SEALED: &str = include_str!("../tests/sealed/com.openfaas.secrets");

    #[test]
    fn what_faas_cli_sealed_is_opened() {
        let values = unseal(PRIVATE, SEALED, None).unwrap();
        assert_eq!(values["token"].as_slice(), b"s3cr3t");
        assert_eq!(values["ca.crt"].as_slice(), [0, 255, b'\n', 7]);
        assert!(SEALED.contains(&format!("key_id: {}\n", key_id(PUBLIC).unwrap())));
        assert!(unseal(&generate().private, SEALED, None).unwrap_err().to_string().contains("decryption failed"));
    }

    #[test]
    fn what_is_sealed_can_be_opened() {
        let pair = generate();
        let values = BTreeMap::from([
            ("a".to_owned(), Zeroizing::new(b"x y\n".to_vec())),
            ("12".to_owned(), Zeroizing::new(Vec::new())),
        ]);
        let sealed = seal(&pair.public, &values).unwrap();
        assert_eq!(unseal(&pair.private, &sealed, None).unwrap(), values);
        assert_eq!(unseal(&pair.private, &sealed, Some("12")).unwrap().len(), 1);
        assert!(unseal(&pair.private, &sealed, Some("no")).is_err());
        let broken = sealed.replace("version: v1", "version: v2");
        assert!(unseal(&pair.private, &broken, None).unwrap_err().to_string().contains("\"v2\""));
        assert!(unseal("x", &sealed, None).is_err());
    }

    #[test]
    fn texts_stay_texts() {
        for text in ["12345678", "1e234567", "null", "", "a b", "=x", "0x12", ".inf", "+1"] {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
        for text in ["token", "/v8gHj2k", "ca.crt", "T2k="] {
            assert_eq!(scalar(text), text);
        }
    }
}
