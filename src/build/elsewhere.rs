//! A template's commands in a container of the engine: for dependencies that this machine can't get for another platform.
//! The folder goes in as an archive and comes back as one, so the engine may be on another machine.
use std::collections::{HashMap, VecDeque};
use std::path::{Component, Path, PathBuf};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
    StartContainerOptions, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::engine::{Engine, said};
use super::{Project, container, push, step};
use crate::error::{Fault, OrFault, Result};
use crate::progress::Progress;
use crate::template::manifest::Step;

/// Where the folder is in there.
const PLACE: &str = "var/task";
/// How many of the last lines a failure shows.
const SHOWN: usize = 20;

/// Where commands are run.
pub struct Elsewhere<'a> {
    /// The image.
    pub image: &'a str,
    /// Its platform, as `linux/arm64`.
    pub platform: &'a str,
    /// Variables.
    pub environment: HashMap<String, String>,
}

impl Elsewhere<'_> {
    /// Runs the steps that apply to `dir`, one after the other, on a copy of it whose files then are put over its own.
    ///
    /// # Errors
    /// When there is no engine or image, or a command fails: with the last lines that it printed.
    pub async fn run(
        &self,
        steps: &[Step],
        dir: &Path,
        name: &str,
        project: &Project<'_>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut lines = Vec::new();
        for one in steps {
            if step::applies(one, dir)? {
                let words = shell_words::split(&one.run).map_err(|error| {
                    Fault::usage(format!("the template's command `{}` can't be split", one.run)).cause(error)
                })?;
                lines.push(shell_words::join(words));
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let engine = project.engine().await?;
        let own = format!("faas-build-{name}-{}", &blake3::hash(dir.as_os_str().as_encoded_bytes()).to_hex()[..8]);
        self.pull(engine, name, project, progress).await?;
        progress.step(name, &format!("installing dependencies in {}", self.image));
        let done = self.in_container(engine, &own, &lines, dir, name, progress).await;
        let removed = container::remove(engine, &own).await;
        done?;
        removed.map(drop)
    }

    /// The image, unless the engine has it.
    async fn pull(&self, engine: &Engine, name: &str, project: &Project<'_>, progress: &dyn Progress) -> Result<()> {
        if engine.image(self.image).await?.is_some() {
            return Ok(());
        }
        progress.step(name, &format!("pulling {}", self.image));
        // Without a tag, an engine pulls all of them.
        let last = self.image.rsplit('/').next().unwrap_or(self.image);
        let tagged = if last.contains([':', '@']) { self.image.to_owned() } else { format!("{}:latest", self.image) };
        let options = CreateImageOptionsBuilder::new().from_image(&tagged).platform(self.platform).build();
        let login = push::credentials(project, &crate::registry::login::server(self.image))?;
        let mut events = std::pin::pin!(engine.api.create_image(Some(options), None, login));
        while let Some(event) = events.next().await {
            let failed = match event {
                Ok(event) => event.error_detail.and_then(|detail| detail.message),
                Err(error) => Some(said(&error)),
            };
            if let Some(cause) = failed {
                let fault = Fault::failed(format!("{name}: can't pull {}", self.image)).cause(cause);
                return Err(fault.hint("name another image for it: `lambda: {container: IMAGE}`, or --container=IMAGE"));
            }
        }
        Ok(())
    }

    async fn in_container(
        &self,
        engine: &Engine,
        own: &str,
        lines: &[String],
        dir: &Path,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<()> {
        let failed = |what: &str, error: &bollard::errors::Error| {
            Fault::failed(format!("{name}: can't {what} the container for its dependencies")).cause(said(error))
        };
        // From a run that was killed.
        if !container::remove(engine, own).await? {
            return Err(Fault::failed(format!(
                "{name}: there is a container `{own}` already, which faas did not start"
            )));
        }
        let body = ContainerCreateBody {
            image: Some(self.image.to_owned()),
            entrypoint: Some(["/bin/sh", "-ec"].map(str::to_owned).into()),
            cmd: Some(vec![lines.join("\n")]),
            env: Some(self.environment.iter().map(|(key, value)| format!("{key}={value}")).collect()),
            working_dir: Some(format!("/{PLACE}")),
            user: Some("0".into()),
            labels: Some(HashMap::from([(container::OWN_KEY.to_owned(), "true".to_owned())])),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(own).platform(self.platform).build();
        engine.api.create_container(Some(options), body).await.map_err(|error| failed("make", &error))?;
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let archive = bollard::body_full(packed(dir)?.into());
        let sent = engine.api.upload_to_container(own, Some(options), archive).await;
        sent.map_err(|error| failed("fill", &error))?;
        let started = engine.api.start_container(own, None::<StartContainerOptions>).await;
        started.map_err(|error| failed("start", &error))?;
        let mut last: VecDeque<String> = VecDeque::with_capacity(SHOWN);
        let code = container::follow(engine, own, |bytes, _| {
            for line in String::from_utf8_lossy(bytes).lines() {
                progress.line(name, line);
                if last.len() == SHOWN {
                    last.pop_front();
                }
                last.push_back(line.to_owned());
            }
        });
        let code = code.await?;
        if code != 0 {
            let said = Vec::from(last).join("\n");
            return Err(Fault::failed(format!(
                "{name}: installing dependencies in {} failed with code {code}",
                self.image
            ))
            .cause(if said.is_empty() { "it printed nothing".to_owned() } else { format!("\n{said}") }));
        }
        let options = DownloadFromContainerOptionsBuilder::new().path(&format!("/{PLACE}")).build();
        let mut archive = tempfile::tempfile().or_fault(|| format!("{name}: can't keep what the container made"))?;
        let mut stream = std::pin::pin!(engine.api.download_from_container(own, Some(options)));
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| failed("empty", &error))?;
            std::io::Write::write_all(&mut archive, &part)
                .or_fault(|| format!("{name}: can't keep what the container made"))?;
        }
        std::io::Seek::rewind(&mut archive).or_fault(|| format!("{name}: can't read what the container made"))?;
        unpack(archive, dir).or_fault(|| format!("{name}: can't read what the container made"))
    }
}

fn packed(dir: &Path) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(PLACE, dir).or_fault(|| format!("can't pack {}", dir.display()))?;
    archive.into_inner().or_fault(|| format!("can't pack {}", dir.display()))
}

/// Puts the archive's files over those of `dir`; its own topmost folder is `dir`.
fn unpack(from: impl std::io::Read, dir: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(from);
    archive.set_preserve_mtime(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.components().skip(1).collect();
        let kind = entry.header().entry_type();
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if path.as_os_str().is_empty() || !plain || !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            continue;
        }
        let to = dir.join(&path);
        if kind.is_dir() {
            std::fs::create_dir_all(&to)?;
            continue;
        }
        // A link that leads out of the folder is not followed: what is in its place goes first.
        if to.symlink_metadata().is_ok() {
            std::fs::remove_file(&to)?;
        }
        let parent = to.parent().unwrap_or(dir);
        std::fs::create_dir_all(parent)?;
        if !parent.canonicalize()?.starts_with(dir.canonicalize()?) {
            continue;
        }
        entry.unpack(&to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_and_comes_back_with_what_was_added() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("function")).unwrap();
        std::fs::write(dir.path().join("function/a.py"), "1").unwrap();
        std::os::unix::fs::symlink("a.py", dir.path().join("function/b.py")).unwrap();
        let sent = packed(dir.path()).unwrap();
        let mut names: Vec<String> = tar::Archive::new(&*sent)
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        names.sort();
        assert!(names.contains(&"var/task/function/a.py".to_owned()), "{names:?}");
        let mut back = tar::Builder::new(Vec::new());
        for (path, text) in [("task/function/a.py", "2"), ("task/.deps/x.so", "so"), ("task/function/b.py", "own")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            back.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        let back = back.into_inner().unwrap();
        unpack(&*back, dir.path()).unwrap();
        let read = |path: &str| std::fs::read_to_string(dir.path().join(path)).unwrap();
        // A link is replaced, not written through.
        assert_eq!(
            (read("function/a.py"), read(".deps/x.so"), read("function/b.py")),
            ("2".into(), "so".into(), "own".into())
        );
    }
}
