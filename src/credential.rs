//! Logins: `~/.openfaas/config.yml`, the keyring, and values that no `Debug` shows.
