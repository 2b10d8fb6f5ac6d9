//! Whether an image is known not to be in its registry: asked once and for a short while, since it is asked for comfort.
use std::time::Duration;

use super::{Registries, Talk, parse, trouble, trust};
use crate::progress::Silent;

/// How long a registry may take.
const WAIT: Duration = Duration::from_secs(3);

/// Whether an image's registry is on this machine.
#[must_use]
pub fn is_here(image: &str) -> bool {
    trust::is_local(image.split('/').next().unwrap_or_default())
}

impl Registries {
    /// Whether the registry says that it has no such image. One that doesn't answer, or not to us, says nothing.
    pub async fn lacks(&self, image: &str) -> bool {
        tokio::time::timeout(WAIT, self.ask(image)).await.ok().flatten().unwrap_or(false)
    }

    async fn ask(&self, image: &str) -> Option<bool> {
        let talk = Talk { subject: image, progress: &Silent };
        let reference = parse(image, image).ok()?;
        let remote = self.remote(&reference, talk).await.ok()?;
        let ask = || remote.client.fetch_manifest_digest(&reference, &remote.auth);
        let mut first = None;
        // Many functions have images in one registry: where the first gets no answer, the others don't wait for one.
        let answers = remote.answers.get_or_init(|| async {
            let answer = first.insert(ask().await);
            !answer.as_ref().is_err_and(trouble::may_pass)
        });
        if !*answers.await {
            return None;
        }
        let answer = match first {
            Some(answer) => answer,
            None => ask().await,
        };
        Some(answer.is_err_and(|error| trouble::is_missing(&error)))
    }
}
