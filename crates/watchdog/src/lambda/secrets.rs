//! A function's secrets on Lambda, which mounts nothing: read from where they are kept before the function starts, into
//! private files.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use faas_watchdog::BoxError;
use serde_json::{Value, json};

use super::aws::Account;

/// Which secrets: `name=ssm:/path,name=secretsmanager:id`. Names and places, no values.
const LIST: &str = "FAAS_SECRETS";
/// Tells the function where they are, as on every platform where that is not `/var/openfaas/secrets`.
const FOLDER: &str = "FAAS_SECRETS_DIR";
/// `/tmp` is all that can be written on Lambda.
const DEFAULT_FOLDER: &str = "/tmp/faas-secrets";
/// How many parameters SSM gives at a time.
const AT_ONCE: usize = 10;

/// A secret and where it is kept.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    name: &'a str,
    store: Store,
    id: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Ssm,
    SecretsManager,
}

/// Reads the secrets that the environment lists, and tells the function in it where they are.
pub async fn fetch(env: &mut Vec<(String, String)>) -> Result<(), BoxError> {
    let get = |name: &str| env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let Some(list) = get(LIST).filter(|list| !list.is_empty()) else { return Ok(()) };
    let folder = PathBuf::from(get(FOLDER).unwrap_or_else(|| DEFAULT_FOLDER.to_owned()));
    let references = parse(&list)?;
    let account = Account::from_env(env)?;
    // What a process before this one left: the environment outlives a crash.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let parameters: Vec<&Reference> = references.iter().filter(|r| r.store == Store::Ssm).collect();
    if !parameters.is_empty() {
        let mut ssm = account.service("ssm")?;
        for some in parameters.chunks(AT_ONCE) {
            let names: Vec<&str> = some.iter().map(|r| r.id).collect();
            let input = json!({"Names": names, "WithDecryption": true});
            let output = ssm.call("AmazonSSM.GetParameters", &input).await?;
            for one in some {
                let found = output["Parameters"].as_array().into_iter().flatten().find(|p| p["Name"] == one.id);
                let value = found.and_then(|parameter| parameter["Value"].as_str());
                let value = value.ok_or_else(|| format!("there is no secret {} ({})", one.name, one.id))?;
                write(&folder, one.name, value.as_bytes())?;
            }
        }
    }
    let secrets: Vec<&Reference> = references.iter().filter(|r| r.store == Store::SecretsManager).collect();
    if !secrets.is_empty() {
        let mut manager = account.service("secretsmanager")?;
        for one in secrets {
            let input = json!({"SecretId": one.id});
            let output = manager.call("secretsmanager.GetSecretValue", &input).await;
            let output = output.map_err(|error| format!("the secret {} can't be read: {error}", one.name))?;
            write(&folder, one.name, &value(&output).ok_or_else(|| format!("{} has no value", one.name))?)?;
        }
    }
    env.push((FOLDER.to_owned(), folder.display().to_string()));
    Ok(())
}

fn value(output: &Value) -> Option<Vec<u8>> {
    if let Some(text) = output["SecretString"].as_str() {
        return Some(text.as_bytes().to_vec());
    }
    base64::engine::general_purpose::STANDARD.decode(output["SecretBinary"].as_str()?).ok()
}

fn parse(list: &str) -> Result<Vec<Reference<'_>>, BoxError> {
    let one = |text| -> Option<Reference<'_>> {
        let (name, place): (&str, &str) = str::split_once(text, '=')?;
        let (store, id) = place.split_once(':')?;
        let store = match store {
            "ssm" => Store::Ssm,
            "secretsmanager" => Store::SecretsManager,
            _ => return None,
        };
        // It becomes a file in the folder, and nowhere else.
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains('/');
        (plain && !id.is_empty()).then_some(Reference { name, store, id })
    };
    list.split(',').map(|text| one(text).ok_or_else(|| format!("{LIST}: `{text}` is no secret").into())).collect()
}

fn write(folder: &Path, name: &str, value: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
    file.write_all(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let of = |name, store, id| Reference { name, store, id };
        assert_eq!(
            parse("key=ssm:/faas/shop/key,db=secretsmanager:faas/shop/db").unwrap(),
            [of("key", Store::Ssm, "/faas/shop/key"), of("db", Store::SecretsManager, "faas/shop/db")]
        );
        for wrong in ["key", "key=vault:x", "=ssm:/x", "../key=ssm:/x", "..=ssm:/x", "key=ssm:", "a=ssm:/x,"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_text_or_bytes() {
        assert_eq!(value(&json!({"SecretString": "a"})).unwrap(), b"a");
        assert_eq!(value(&json!({"SecretBinary": "/wA="})).unwrap(), [0xff, 0]);
        assert_eq!(value(&json!({})), None);
    }
}
