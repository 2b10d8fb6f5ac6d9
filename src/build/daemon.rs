//! A buildkitd of its own (`BUILDKIT_HOST`) as the engine: it keeps no images, only what it built them from, so an image
//! is pushed while it is built.
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use super::buildkit::{self, BuildKit};
use super::bundle::said as took;
use super::engine::dial::{Address, Tls};
use super::image::Request;
use super::index::{Record, now};
use super::inputs::Inputs;
use super::{Built, Project, push};
use crate::artifact::Artifact;
use crate::error::{Fault, Kind, Result};
use crate::progress::Progress;
use crate::registry::login::server;

/// buildkitd's own port.
const PORT: u16 = 1234;

impl Project<'_> {
    /// The address of the builder that is an engine of its own: `BUILDKIT_HOST`.
    #[must_use]
    pub fn builder_host(&self) -> Option<&str> {
        self.env.get("BUILDKIT_HOST")
    }

    /// Whether the builder at `BUILDKIT_HOST` answers.
    ///
    /// # Errors
    /// When it doesn't: why, and what to do.
    pub async fn reach_builder(&self, host: &str) -> Result<()> {
        self.builder(host).await.map(drop)
    }

    /// The builder at `BUILDKIT_HOST`, found when it is needed.
    async fn builder(&self, host: &str) -> Result<&BuildKit> {
        self.builder.get_or_try_init(|| connect(self, host)).await
    }
}

async fn connect(project: &Project<'_>, host: &str) -> Result<BuildKit> {
    let dir = project.env.get("BUILDKIT_TLS_DIR").map(PathBuf::from);
    let tls = dir.map(|dir| Tls { dir: project.root.join(dir), protocol: Some("h2") });
    if let Some(tls) = &tls {
        tls.check("BUILDKIT_TLS_DIR")?;
    }
    let address = Address::parse(host, tls.as_ref(), PORT).map_err(|fault| Fault {
        message: format!("BUILDKIT_HOST: `{host}` is no address of a builder"),
        hint: Some("it looks like unix:///run/buildkit/buildkitd.sock or tcp://HOST:1234".into()),
        ..fault
    })?;
    BuildKit::daemon(&address).await.map_err(|error| {
        let no_ca = tls.as_ref().map(|tls| tls.dir.join("ca.pem")).filter(|path| !path.exists());
        let no_ca = no_ca
            .filter(|_| error.contains("UnknownIssuer"))
            .map(|path| format!("put that of its CA in {}", path.display()));
        let hint = if let Some(hint) = &no_ca {
            hint.as_str()
        } else if tls.is_none() && host.starts_with("tcp:") && !error.to_lowercase().contains("refused") {
            "when it wants TLS, set BUILDKIT_TLS_DIR to a folder with ca.pem, cert.pem and key.pem"
        } else {
            "start buildkitd, or unset BUILDKIT_HOST to use a container engine"
        };
        Fault::failed(format!("no buildkitd answers at {host}")).cause(error).hint(hint)
    })
}

/// Builds the image of `request`, and pushes it when the options say so.
///
/// # Errors
/// What the builder says.
pub async fn build(request: &Request<'_>, host: &str, bases: &[String]) -> Result<Built> {
    let Request { name, project, options, reference, progress, .. } = request;
    let (started, looked) = (Instant::now(), now());
    let builder = project.builder(host).await?;
    let key = format!("{name}/builder");
    let artifact = |digest: Option<String>| Artifact::Image { reference: (*reference).to_owned(), digest };
    if options.push {
        push::check(name, reference)?;
        let known = project.index.get(&key).filter(|known| {
            known.content == request.fingerprint && known.output == *reference && !options.no_cache && !options.pull
        });
        if let Some(known) = known
            && push::digest(name, reference, project, *progress).await.is_ok_and(|digest| digest == known.stamp)
        {
            return Ok(Built { artifact: artifact(Some(known.stamp)), rebuilt: false, reason: "unchanged".into() });
        }
    }
    let bases = bases.iter().map(|base| (base.clone(), String::new())).collect();
    let inputs = Inputs::of(request.function, request.tree, request.args, options, bases)?;
    if options.explain {
        let otherwise = match options.push {
            true => format!("the registry has not the {reference} that was built from this"),
            false => format!("the builder at {host} keeps no images, only what it built them from"),
        };
        progress.note(name, &format!("is built because {}", inputs.why(project, name, options, &otherwise)));
    }
    if let Some(kind) = options.attestations.keys().next().filter(|_| !options.push) {
        return Err(Fault::usage(format!(
            "{name}: the builder at {host} puts the {kind} beside the image in a registry"
        ))
        .hint("build with --push, or leave --sbom and --provenance out"));
    }
    super::architecture::check(request, None).await?;
    super::builder::warn(request);
    let what = if options.push { "building and pushing" } else { "building" };
    progress.step(name, &format!("{what} {reference}"));
    let mut output = buildkit::Output { exporter: "", attributes: HashMap::new(), logins: HashMap::new() };
    if options.push {
        output.exporter = "image";
        output.attributes =
            [("name", *reference), ("push", "true")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let registry = server(reference);
        output.logins.extend(push::credentials(project, &registry)?.map(|login| (registry, login)));
    }
    let told = buildkit::run(request, builder, output).await.map_err(|fault| refused(fault, request))?;
    inputs.keep(project, name);
    let took = took(started.elapsed());
    if !options.push {
        let reason = format!("built {reference} in {took}; it is in the builder's cache alone: --push sends it");
        return Ok(Built { artifact: artifact(None), rebuilt: true, reason });
    }
    let digest = told.get("containerimage.digest").cloned().ok_or_else(|| {
        Fault::failed(format!("{name}: the builder at {host} did not say that {reference} was pushed"))
    })?;
    let record =
        Record { stamp: digest.clone(), content: request.fingerprint.to_owned(), output: (*reference).to_owned() };
    project.index.set(&key, record, 0, looked);
    let reason = format!("built and pushed {reference} ({digest}) in {took}");
    Ok(Built { artifact: artifact(Some(digest)), rebuilt: true, reason })
}

/// What the registry said to the builder, as a push of an engine would tell it.
fn refused(fault: Fault, request: &Request<'_>) -> Fault {
    let cause = fault.cause.clone().unwrap_or_default();
    let Some(at) = cause.find("failed to push").filter(|_| request.options.push) else { return fault };
    let registry = server(request.reference);
    let known = push::credentials(request.project, &registry).is_ok_and(|login| login.is_some());
    push::refused(request.name, request.reference, &registry, known, &cause[at..])
}

/// The digest under which the registry has what the builder pushed.
///
/// # Errors
/// [`Kind::NotFound`] when it has nothing: the builder can only push what it builds.
pub async fn pushed(subject: &str, reference: &str, project: &Project<'_>, progress: &dyn Progress) -> Result<String> {
    push::digest(subject, reference, project, progress).await.map_err(|fault| match fault.kind {
        Kind::NotFound => fault.hint("BUILDKIT_HOST's builder pushes while it builds: `faas build --push`"),
        _ => fault,
    })
}
