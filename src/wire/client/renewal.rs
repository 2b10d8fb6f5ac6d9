//! What calls show to be let in, and how another is got before it ends: a command may outlast a token.
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::Auth;
use crate::error::{OrFault, Result};

/// How long before its end a token is renewed: what a command needs to send its first calls.
pub const EARLY: Duration = Duration::from_secs(30);

/// Gets another login, and its end where it has one.
pub type Again = dyn Fn() -> Result<(Auth, Option<Timestamp>)> + Send + Sync;

/// How to go on when a login ends.
#[derive(Clone)]
pub struct Renewal {
    /// When it ends.
    pub ends: Timestamp,
    /// Gets another. Blocks.
    pub again: Arc<Again>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// What calls show now.
#[derive(Debug)]
pub(super) struct Shown {
    auth: RwLock<Auth>,
    /// When another is due, `None` for never; and how to get it.
    renewal: Option<(tokio::sync::Mutex<Option<Timestamp>>, Renewal)>,
}

impl Shown {
    pub fn new(auth: Auth, renewal: Option<Renewal>) -> Self {
        let renewal = renewal.map(|renewal| (tokio::sync::Mutex::new(Some(due(renewal.ends))), renewal));
        Self { auth: RwLock::new(auth), renewal }
    }

    pub fn get(&self) -> Auth {
        self.auth.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets another when it is due; whoever comes meanwhile waits for it.
    pub async fn renew(&self) -> Result<()> {
        let Some((when, renewal)) = &self.renewal else { return Ok(()) };
        let mut when = when.lock().await;
        if when.is_none_or(|when| Timestamp::now() < when) {
            return Ok(());
        }
        let again = Arc::clone(&renewal.again);
        let (auth, ends) = tokio::task::spawn_blocking(move || again())
            .await
            .or_fault(|| "the login's renewal ended before its time".into())??;
        *when = ends.map(due);
        *self.auth.write().unwrap_or_else(PoisonError::into_inner) = auth;
        Ok(())
    }
}

/// Before its end, but not at once for one that lasts no longer than that.
fn due(ends: Timestamp) -> Timestamp {
    let half = Timestamp::now().duration_until(ends) / 2;
    let early = jiff::SignedDuration::try_from(EARLY).map_or(half, |early| early.min(half));
    ends.checked_sub(early).unwrap_or(ends)
}
