//! Images that were put together, to their registry: what it has is not sent, what is next door is taken over.
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::super::Project;
use super::super::push::Pushed;
use super::store::{Blob, Made, One, Store};
use crate::error::{Fault, Kind, Result};
use crate::registry::{self, Reference, Remote, Talk, by_digest};

/// How many blobs of an image are under way at once.
const AT_ONCE: usize = 4;

/// Sends an image, unless the registry has it under this name.
///
/// # Errors
/// When the registry refuses it, or a layer of its base can't be had.
pub async fn push(made: &Made, project: &Project<'_>, talk: Talk<'_>) -> Result<Pushed> {
    let image = registry::parse(talk.subject, &made.reference)?;
    let store = Store::of(project);
    let remote = project.registries.remote(&image, talk).await?;
    match remote.digest(&image, talk).await {
        Ok(there) if there.as_deref() == Some(&made.digest) => {
            return Ok(Pushed { digest: made.digest.clone(), sent: false });
        }
        // Some registries keep it secret that there is nothing; whether it may be sent is another question.
        Err(fault) if fault.kind != Kind::Unauthorized => return Err(fault),
        _ => {}
    }
    talk.progress.step(talk.subject, &format!("pushing {}", made.reference));
    let total = made.images.iter().flat_map(|one| &one.own).map(|blob| blob.size).sum();
    let sender =
        Sender { project, store: &store, remote: &remote, image: &image, talk, total, sent: AtomicU64::new(0) };
    for one in &made.images {
        sender.image(one).await?;
        if made.images.len() > 1 {
            let body = sender.read(&one.manifest.digest)?;
            remote.put_manifest(&by_digest(&image, &one.manifest.digest), body, &one.kind, talk).await?;
        }
    }
    remote.put_manifest(&image, sender.read(&made.digest)?, &made.kind, talk).await?;
    Ok(Pushed { digest: made.digest.clone(), sent: true })
}

fn gone(reference: &str) -> Fault {
    Fault::not_found(format!("a part of {reference} is not in the cache any more"))
        .hint("build it again: `faas build --engine none`")
}

struct Sender<'a> {
    project: &'a Project<'a>,
    store: &'a Store,
    remote: &'a Remote,
    image: &'a Reference,
    talk: Talk<'a>,
    total: u64,
    sent: AtomicU64,
}

impl Sender<'_> {
    fn read(&self, digest: &str) -> Result<Bytes> {
        self.store.read(digest).map(Bytes::from).ok_or_else(|| gone(&self.image.whole()))
    }

    /// Everything that a manifest names; a registry takes no manifest before that.
    async fn image(&self, one: &One) -> Result<()> {
        let base = one.base_layers.iter().map(|blob| (blob, Some(one.base.as_str())));
        let own = one.own.iter().map(|blob| (blob, None));
        futures_util::stream::iter(base.chain(own).map(|(blob, base)| self.blob(blob, base)))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await
            .map(|_| ())
    }

    async fn blob(&self, blob: &Blob, base: Option<&str>) -> Result<()> {
        let Blob { digest, size } = blob;
        // Two functions with the same layer: the second finds it there.
        let lock = self.project.registries.turn(&format!("{} {digest}", self.remote.host())).await;
        let _turn = lock.lock().await;
        if self.remote.has_blob(self.image, digest, self.talk).await? {
            self.count(*size, base.is_none());
            return Ok(());
        }
        match base {
            Some(base) => self.take_base(blob, base).await?,
            None if self.mount_next_door(digest).await => self.count(*size, true),
            None => {
                let before = AtomicU64::new(0);
                let count = |sent: u64| {
                    let new = sent.saturating_sub(before.swap(sent, Ordering::Relaxed));
                    self.count(new, true);
                };
                let path = self.store.path(digest);
                self.remote.upload(self.image, (path.as_path(), *size), digest, self.talk, &count).await?;
            }
        }
        self.store.keep_place(self.remote.host(), digest, self.image.repository());
        Ok(())
    }

    fn count(&self, bytes: u64, own: bool) {
        if own {
            let sent = self.sent.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.talk.progress.amount(self.talk.subject, "pushing", sent.min(self.total), self.total);
        }
    }

    /// From another repository of the same registry that has had it.
    async fn mount_next_door(&self, digest: &str) -> bool {
        let Some(repository) = self.store.place(self.remote.host(), digest) else { return false };
        let from = Reference::with_tag(self.image.registry().to_owned(), repository, "latest".to_owned());
        from.repository() != self.image.repository() && self.remote.mount(self.image, &from, digest).await
    }

    async fn take_base(&self, blob: &Blob, base: &str) -> Result<()> {
        let source = registry::parse(self.talk.subject, base)?;
        let from = self.project.registries.remote(&source, self.talk).await?;
        if from.host() == self.remote.host() && self.remote.mount(self.image, &source, &blob.digest).await {
            return Ok(());
        }
        let text = format!("copying a layer of {base}, {} bytes", blob.size);
        self.talk.progress.step(self.talk.subject, &text);
        let copied = self.remote.copy(self.image, &from, &source, (&blob.digest, blob.size), self.talk).await;
        copied.map_err(|fault| match fault.kind {
            Kind::NotFound => {
                fault.hint(format!("the registry has thrown {base} away: `--pull` looks for a newer one"))
            }
            _ => fault,
        })
    }
}
