//! `faas template check`: proves a template. A function is made from it, built, started and called.
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures_util::TryStreamExt;
use serde::Serialize;

use crate::artifact::ArtifactKind;
use crate::build::{self, Options, Project};
use crate::cli::Global;
use crate::context::{Context, Dirs};
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::output::{progress, table};
use crate::template::manifest::Manifest;
use crate::template::{Catalogue, Template, file};

/// The name of the function that is made.
const FUNCTION: &str = "template-check";
/// How long a function may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prove a template: its manifest is valid, and a function made from it builds, runs and answers
#[derive(Args)]
#[command(after_help = "Example:\n  faas template check template/mine")]
pub struct Check {
    /// The template's folder, or the name of one
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the function is sent
    #[arg(long, default_value = "hello", value_name = "TEXT")]
    body: String,
    /// Don't build and run its image
    #[arg(long)]
    no_image: bool,
    /// Don't build and run it as a process
    #[arg(long)]
    no_process: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Skipped,
    Failed,
}

/// A step of the proof, and how it went.
#[derive(Serialize)]
struct Proof {
    step: &'static str,
    result: Verdict,
    detail: String,
}

impl Check {
    /// Proves it.
    ///
    /// # Errors
    /// When a step failed.
    pub fn run(self, context: &Context, _: &Global) -> Result<()> {
        let place =
            tempfile::Builder::new().prefix("faas-check-").tempdir().or_fault(|| "can't make a folder".into())?;
        let mut proofs = Vec::new();
        let first = self.prove(place.path(), context, &mut proofs);
        // The embedded platform of the proof, whatever came of it.
        #[cfg(feature = "local")]
        let _ = crate::gateway::stop(&dirs(place.path(), context), Duration::from_secs(10));
        let failed = match first {
            Ok(()) => None,
            Err(fault) => {
                let (step, detail) = (STEPS.get(proofs.len()).copied().unwrap_or("?"), fault.to_string());
                proofs.push(Proof { step, result: Verdict::Failed, detail });
                Some((step, fault))
            }
        };
        context.out.result(&proofs, || {
            let word = |verdict| match verdict {
                Verdict::Ok => "ok",
                Verdict::Skipped => "skipped",
                Verdict::Failed => "FAILED",
            };
            let row = |proof: &Proof| vec![proof.step.to_owned(), word(proof.result).to_owned(), proof.detail.clone()];
            table::columns(&["STEP", "RESULT", "DETAIL"], &proofs.iter().map(row).collect::<Vec<_>>())
        })?;
        let Some((step, mut fault)) = failed else { return Ok(()) };
        fault.message = format!("the template does not hold: {step}: {}", fault.message);
        Err(fault)
    }

    fn prove(&self, place: &Path, context: &Context, proofs: &mut Vec<Proof>) -> Result<()> {
        let mut ok = |step: &'static str, detail: String| proofs.push(Proof { step, result: Verdict::Ok, detail });
        let name = self.copied(place, context)?;
        let catalogue = Catalogue::new(place);
        let template = catalogue.get(&name)?;
        let written = std::fs::read_to_string(place.join("template").join(&name).join("template.yml"));
        let slips = Manifest::slips(&written.unwrap_or_default(), &format!("template/{name}/template.yml"));
        if !slips.is_empty() {
            return Err(
                Fault::usage(format!("template/{name}/template.yml has keys that mean nothing")).problems(slips)
            );
        }
        ok(STEPS[0], manifest(&template)?);
        let function = made(&template, place)?;
        let count = walkdir::WalkDir::new(&function.build.handler).into_iter().flatten().filter(|e| e.path().is_file());
        ok(STEPS[1], format!("{} files", count.count()));
        let skip = |step, detail: &str| Proof { step, result: Verdict::Skipped, detail: detail.into() };
        let own = Context {
            env: context.env.clone(),
            cwd: place.to_owned(),
            dirs: dirs(place, context),
            out: context.out.clone(),
        };
        let project = Project::new(&own, place, &[], &catalogue);
        if self.no_process || template.manifest.native.is_none() {
            let why = if self.no_process { "by --no-process" } else { "it has no `native:`" };
            proofs.extend([skip(STEPS[2], why), skip(STEPS[3], why)]);
        } else {
            self.process(&function, &project, &own, proofs)?;
        }
        if self.no_image
            || !place.join("template").join(&name).join("Dockerfile").is_file() && template.manifest.extends.is_none()
        {
            let why = if self.no_image { "by --no-image" } else { "it has no Dockerfile" };
            proofs.extend([skip(STEPS[4], why), skip(STEPS[5], why)]);
            return Ok(());
        }
        self.image(&function, &project, context, proofs)
    }

    /// The template in a project of its own; its name.
    fn copied(&self, place: &Path, context: &Context) -> Result<String> {
        let mut folder = context.absolute(&self.folder);
        if !folder.is_dir() {
            let by_name = context.cwd.join("template").join(&self.folder);
            match self.folder.to_str().map(Catalogue::built_in) {
                _ if by_name.is_dir() => folder = by_name,
                Some(Ok(template)) => {
                    template.copy_to(&place.join("template").join(&template.name))?;
                    return Ok(template.name);
                }
                _ => {
                    return Err(Fault::not_found(format!("there is no template in {}", self.folder.display()))
                        .hint("name its folder, as template/mine; `faas template new` makes one"));
                }
            }
        }
        let folder = folder.canonicalize().or_fault(|| format!("can't read {}", self.folder.display()))?;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        for file in file::walk(&folder, &folder, "the template")? {
            file.write_to(&place.join("template").join(&name).join(&file.path))?;
        }
        Ok(name)
    }

    #[cfg(feature = "local")]
    fn process(
        &self,
        function: &Function,
        project: &Project<'_>,
        own: &Context,
        proofs: &mut Vec<Proof>,
    ) -> Result<()> {
        use crate::cli::session::{GatewayFlags, Session};
        use crate::plan::run;
        let progress = progress::for_output(&own.out);
        let built = crate::runtime::block_on_parallel(build::build(
            function,
            ArtifactKind::Bundle,
            project,
            &Options::default(),
            progress.as_ref(),
        ))?;
        proofs.push(Proof { step: STEPS[2], result: Verdict::Ok, detail: built.reason });
        let address = format!("127.0.0.1:{}", free_port()?);
        crate::runtime::block_on(crate::gateway::ensure_started(&own.dirs, &address))?;
        let session = Session::with(own, &GatewayFlags::default(), None, PATIENCE)?;
        let answer = crate::runtime::block_on_parallel(async {
            let steps = run::Steps {
                project,
                options: &Options::default(),
                build_images: false,
                push: false,
                deploy: true,
                dry: false,
                unborn: false,
                how: crate::backend::How::Upsert,
                force: false,
                by_digest: false,
                canary: None,
                revision_tag: None,
                several: false,
                parallel: 1,
                builds: 1,
                stack: "",
                named: false,
                namespace: None,
                prune: false,
                names: &[],
                confirm: None,
                record: None,
            };
            let functions = [function.clone()];
            let outcomes = run::run(&functions, session.backend.as_ref(), &steps, progress.as_ref()).await?.outcomes;
            if let Some(fault) = outcomes.into_iter().find_map(|outcome| outcome.error) {
                return Err(fault);
            }
            let bytes = bytes::Bytes::from(self.body.clone());
            let call = crate::backend::Call {
                method: http::Method::POST,
                path: "/".into(),
                headers: http::HeaderMap::new(),
                length: Some(bytes.len() as u64),
                body: Box::pin(futures_util::stream::once(async { Ok(bytes) })),
                asynchronous: false,
                timeout: Some(PATIENCE),
                options: crate::backend::CallOptions::default(),
            };
            let reply = session.backend.invoke(&function.id(), call).await?;
            let status = reply.status;
            let body: Vec<bytes::Bytes> = reply.body.try_collect().await.or_fault(|| "its answer was cut".into())?;
            Ok((status, body.concat()))
        })?;
        proofs.push(answered(STEPS[3], answer.0, &answer.1)?);
        Ok(())
    }

    #[cfg(not(feature = "local"))]
    fn process(&self, _: &Function, _: &Project<'_>, _: &Context, proofs: &mut Vec<Proof>) -> Result<()> {
        let detail = "this build of faas has no embedded platform";
        proofs.extend([STEPS[2], STEPS[3]].map(|step| Proof { step, result: Verdict::Skipped, detail: detail.into() }));
        Ok(())
    }

    #[cfg(feature = "image")]
    fn image(
        &self,
        function: &Function,
        project: &Project<'_>,
        context: &Context,
        proofs: &mut Vec<Proof>,
    ) -> Result<()> {
        use crate::build::container::{self, Container};
        let name = format!("faas-{FUNCTION}-{}", std::process::id());
        let mut function = function.clone();
        function.build.image = Some(format!("{name}:latest"));
        let container = Container {
            name: name.clone(),
            image: format!("{name}:latest"),
            port: free_port()?,
            ..Container::default()
        };
        let progress = progress::for_output(&context.out);
        let looked = crate::runtime::block_on(async { project.engine().await.map(|_| ()) });
        if let Err(fault) = looked {
            let detail = fault.message;
            proofs.extend([STEPS[4], STEPS[5]].map(|step| Proof {
                step,
                result: Verdict::Skipped,
                detail: detail.clone(),
            }));
            return Ok(());
        }
        // The engine that was found belongs to a runtime that is gone.
        let project = &Project::new(context, project.root, &[], project.catalogue);
        let done = crate::runtime::block_on_parallel(async {
            let options = Options::default();
            let built = build::build(&function, ArtifactKind::Image, project, &options, progress.as_ref()).await;
            let built = built.map_err(|fault| kept(fault, &project.build_dir, &context.cwd.join("build")))?;
            proofs.push(Proof { step: STEPS[4], result: Verdict::Ok, detail: built.reason });
            let engine = project.engine().await?;
            container.start(engine).await?;
            progress.step(FUNCTION, "waiting for its answer");
            self.answer_of(container.port).await
        });
        let cleared = crate::runtime::block_on(async {
            let engine = build::engine::Engine::connect(project).await?;
            container::remove(&engine, &name).await?;
            let _ = engine
                .api
                .remove_image(&format!("{name}:latest"), None::<bollard::query_parameters::RemoveImageOptions>, None)
                .await;
            Ok(())
        });
        let (status, body) = done?;
        proofs.push(answered(STEPS[5], status, &body)?);
        cleared
    }

    #[cfg(not(feature = "image"))]
    fn image(&self, _: &Function, _: &Project<'_>, _: &Context, proofs: &mut Vec<Proof>) -> Result<()> {
        let detail = "this build of faas makes no images";
        proofs.extend([STEPS[4], STEPS[5]].map(|step| Proof { step, result: Verdict::Skipped, detail: detail.into() }));
        Ok(())
    }

    /// What the function behind a port answers, once it does.
    #[cfg(feature = "image")]
    async fn answer_of(&self, port: u16) -> Result<(http::StatusCode, Vec<u8>)> {
        // A second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(PATIENCE).build();
        let client = client.or_fault(|| "can't make an HTTP client".into())?;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let sent = client.post(format!("http://127.0.0.1:{port}/")).body(self.body.clone()).send().await;
            match sent {
                // Not ready yet, by the invoker's own words.
                Ok(answer)
                    if answer.status() == http::StatusCode::SERVICE_UNAVAILABLE
                        && tokio::time::Instant::now() < until => {}
                Ok(answer) => {
                    let status = answer.status();
                    return Ok((status, answer.bytes().await.or_fault(|| "its answer was cut".into())?.to_vec()));
                }
                Err(_) if tokio::time::Instant::now() < until => {}
                Err(error) => {
                    return Err(Fault::timed_out("the container doesn't answer")
                        .cause(error.without_url())
                        .hint("an image must listen on port 8080; look at it by `faas local-run`"));
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The steps in order.
const STEPS: [&str; 6] =
    ["manifest", "new function", "build as process", "answer as process", "build image", "answer as image"];

fn dirs(place: &Path, context: &Context) -> Dirs {
    Dirs { data: place.join("data"), cache: context.dirs.cache.clone(), home: context.dirs.home.clone() }
}

fn manifest(template: &Template) -> Result<String> {
    let manifest = &template.manifest;
    let runs = manifest.native.is_some()
        || manifest.fprocess.is_some()
        || template.files().iter().any(|f| f.path == Path::new("Dockerfile"));
    if !runs {
        return Err(Fault::usage("template.yml says neither `fprocess:` nor `native:`, and there is no Dockerfile")
            .hint("one of them must say how functions run"));
    }
    let language = manifest.language.as_deref().unwrap_or("no language");
    let ways: Vec<&str> = [
        ("process", manifest.native.is_some()),
        ("image", template.files().iter().any(|f| f.path == Path::new("Dockerfile"))),
        ("lambda", manifest.lambda.is_some()),
    ]
    .into_iter()
    .filter_map(|(way, is)| is.then_some(way))
    .collect();
    Ok(format!("{language}: {}", ways.join(", ")))
}

/// The fault of a build whose folder goes away, with its log where it stays.
#[cfg(feature = "image")]
fn kept(mut fault: Fault, from: &Path, to: &Path) -> Fault {
    let log = Path::new("logs").join(format!("{FUNCTION}.log"));
    let (old, new) = (from.join(&log), to.join(&log));
    let is_kept =
        new.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok()) && std::fs::copy(&old, &new).is_ok();
    if is_kept && let Some(hint) = &mut fault.hint {
        *hint = hint.replace(&*old.to_string_lossy(), &new.to_string_lossy());
    }
    fault
}

/// A function of the template.
fn made(template: &Template, place: &Path) -> Result<Function> {
    let handler = place.join(FUNCTION);
    template.write_handler(FUNCTION, None, &handler)?;
    let is_empty = std::fs::read_dir(&handler).or_fault(|| "can't read the handler".into())?.next().is_none();
    if is_empty {
        return Err(Fault::usage(format!("the folder `{}` has nothing in it", template.manifest.handler_folder()))
            .hint("put the handler into it that new functions start with"));
    }
    let mut function = Function { name: FUNCTION.into(), lang: template.name.clone(), ..Function::default() };
    function.build.handler = handler;
    Ok(function)
}

fn answered(step: &'static str, status: http::StatusCode, body: &[u8]) -> Result<Proof> {
    let text: String = crate::output::printable(&String::from_utf8_lossy(body)).chars().take(60).collect();
    let detail = format!("{status}: {text}");
    match status.is_server_error() || status == http::StatusCode::NOT_FOUND {
        true => Err(Fault::failed(format!("the function answers {detail}"))
            .hint("its handler must answer a POST of plain text")),
        false => Ok(Proof { step, result: Verdict::Ok, detail }),
    }
}

fn free_port() -> Result<u16> {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    free.map(|address| address.port()).map_err(|error| Fault::failed("there is no free port").cause(error))
}
