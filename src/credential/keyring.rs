//! The desktop's keyring (Secret Service over D-Bus). Every call has a time limit: a keyring that waits for somebody to
//! unlock it must not stall a command on a machine where nobody sits.
use std::sync::mpsc;
use std::time::Duration;

use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use secrecy::{ExposeSecret, SecretString};
use zbus_secret_service_keyring_store::Store;

/// Long enough to type a password into the prompt that unlocks the keyring.
const LIMIT: Duration = Duration::from_secs(60);
const SERVICE: &str = "faas";

/// Keeps a login: a user and a secret.
pub fn put(key: &str, user: &str, password: &SecretString) -> Result<(), String> {
    // One item holds both, so that they can't part.
    let login = SecretString::from(format!("{user}:{}", password.expose_secret()));
    with_entry(key, move |entry| entry.set_password(login.expose_secret()))
}

/// Reads a login.
pub fn get(key: &str) -> Result<(String, SecretString), String> {
    let login = SecretString::from(with_entry(key, |entry| entry.get_password())?);
    let (user, password) = login.expose_secret().split_once(':').ok_or("the keyring's entry is no login")?;
    Ok((user.to_owned(), SecretString::from(password)))
}

/// Removes a login.
pub fn delete(key: &str) -> Result<(), String> {
    with_entry(key, |entry| entry.delete_credential())
}

/// On a thread of its own: the store brings its own runtime, and the answer may never come.
fn with_entry<T: Send + 'static>(
    key: &str,
    work: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let key = key.to_owned();
    std::thread::spawn(move || {
        let result = Store::new().and_then(|store| store.build(SERVICE, &key, None)).and_then(|entry| work(&entry));
        // Nobody listens any more once the time is up.
        let _ = sender.send(result.map_err(|e| e.to_string()));
    });
    receiver
        .recv_timeout(LIMIT)
        .unwrap_or_else(|_| Err(format!("the keyring gave no answer for {} s", LIMIT.as_secs())))
}
