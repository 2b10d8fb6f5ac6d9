//! Images put together without a container engine: a base image out of its registry, and layers of our own over it.
//! No daemon, no root, and the same bytes for the same files.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::bundle::{self, said as took};
use super::engine::FINGERPRINT_KEY;
use super::index::{Record, now};
use super::tree::{self, Tree};
use super::watchdog::is_dynamic;
use super::{Built, Options, Project, origin, requires, step, tag};
use crate::artifact::Artifact;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::registry::Talk;
use crate::template::manifest::{Image, Native, Step};

mod base;
mod config;
mod layer;
mod platform;
mod send;
pub mod store;

pub use layer::digest_of;
pub use platform::Platform;
pub use send::push;
pub use store::{Made, Store};

use base::Base;
use layer::Packed;
use store::{Blob, One};

/// Where functions are in their images, as in those that our Dockerfiles make.
const HOME: &str = "home/app";
/// Where the invoker is.
const INVOKER: &str = "usr/bin/faas-watchdog";
/// Files of a template that say how it is built, and are nothing to a function that runs.
const LEFT_OUT: [&str; 5] = ["Dockerfile", ".dockerignore", "template.yml", "template.yaml", "README.md"];

/// What was put together under this name, if the last build of it was one without an engine.
#[must_use]
pub fn made(project: &Project<'_>, reference: &str) -> Option<Made> {
    Store::of(project).made(reference)
}

/// An engine has built what has this name now.
pub fn forget(project: &Project<'_>, reference: &str) {
    Store::of(project).forget(reference);
}

/// Puts the image of `function` together, unless it is there.
pub(super) async fn build(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Built> {
    let name = &function.name;
    let started = Instant::now();
    let looked = now();
    let talk = Talk { subject: name, progress };
    let reference = tag::reference(function, options.tag, project.root)?;
    crate::registry::parse(name, &reference)?;
    let tree = tree::assemble(function, project, options, false)?;
    let (native, image) = fits(function, &tree, options)?;
    let platforms = Platform::all(function)?;
    let store = Store::of(project);

    let key = format!("{name}/oci");
    let stamp = tree.stamp()?.to_hex().to_string();
    let content = project.index.content(&key, &stamp, || tree.digest())?;
    let base = base_name(function, image, options);
    for argument in function.build.args.keys().chain(options.args.keys()).filter(|name| *name != "BASE") {
        progress.warn(name, &format!("the build argument {argument} changes nothing without an engine"));
    }
    let anew = options.pull || options.no_cache;
    let mut parts = Vec::with_capacity(platforms.len());
    for platform in &platforms {
        let base = base::find(&base, *platform, project, &store, anew, talk).await?;
        parts.push((*platform, base, platform.invoker(name, project)?));
    }
    let fingerprint = |content: &str| -> Result<String> {
        let mut hasher = blake3::Hasher::new_derive_key("faas 1 image without an engine");
        let mut add = |text: &str| {
            hasher.update(text.as_bytes());
            hasher.update(&[0]);
        };
        add(content);
        for (platform, base, invoker) in &parts {
            add(&platform.to_string());
            add(&base.digest);
            add(invoker.digest()?.to_hex().as_str());
        }
        for (label, value) in &options.labels {
            add(label);
            add(value);
        }
        Ok(hasher.finalize().to_hex().to_string())
    };
    let built = |made: &Made, rebuilt: bool, reason: String| {
        let artifact = Artifact::Image { reference: made.reference.clone(), digest: Some(made.digest.clone()) };
        Ok(Built { artifact, rebuilt, reason })
    };
    let wanted = fingerprint(&content)?;
    let record = |content: String| {
        project.index.set(&key, Record { stamp: stamp.clone(), content, output: String::new() }, tree.newest(), looked);
    };
    if !options.no_cache {
        if let Some(made) = store.made(&reference).filter(|made| made.fingerprint == wanted && store.has(made)) {
            record(content);
            return built(&made, false, "unchanged".into());
        }
        if let Some(known) = store.by_fingerprint(&wanted).filter(|made| store.has(made)) {
            let made = Made { reference: reference.clone(), ..known };
            store.keep(&made)?;
            record(content);
            return built(&made, true, format!("unchanged, tagged {reference}"));
        }
    }

    let _lock = bundle::lock(project, &format!("{name}.image"), progress).await?;
    progress.step(name, &format!("putting {reference} together"));
    if let Some(invoker) = project.watchdog.as_ref().filter(|path| is_dynamic(path)) {
        let shown = invoker.display();
        let text = format!("{shown} is not static: it only runs in images with the C library of this machine");
        progress.warn(name, &text);
    }
    let folder = store.temporary()?;
    // What is written counts, not what was there when it was looked at before.
    let content = tree.write(folder.path())?.to_hex().to_string();
    let own = layer::files(folder.path())?;
    let mut checked = false;
    let mut images = Vec::with_capacity(parts.len());
    for (platform, base, invoker) in &parts {
        let at = store.temporary()?;
        let installed = install(&tree, (native, image), *platform, base, at.path(), talk).await?;
        if !std::mem::replace(&mut checked, true) {
            check(native, project, if installed.is_empty() { folder.path() } else { at.path() }, talk).await?;
        }
        let mut layers = vec![invoker_layer(&store, *platform, invoker)?];
        let kept = |path: &Path| keeps(image, path);
        let wanted = |files: &[layer::File]| files.iter().filter(|file| kept(&file.path)).cloned().collect::<Vec<_>>();
        let installed = wanted(&installed);
        if !installed.is_empty() {
            layers.push(store.pack(&layer::of(layer::under(HOME, &installed), "faas: the function's dependencies"))?);
        }
        let files: Vec<layer::File> = wanted(&own).into_iter().filter(|file| !is_left_out(&file.path)).collect();
        for file in installed.iter().chain(&files) {
            platform.check(name, &file.path, &file.from)?;
        }
        layers.push(store.pack(&layer::of(layer::under(HOME, &files), "faas: the function"))?);
        let labels = labels(project, options, &fingerprint(&content)?);
        images.push(assemble(&store, *platform, base, layers, &labels, (native, image), project)?);
    }
    let fingerprint = fingerprint(&content)?;
    let made = config::together(&store, &reference, fingerprint, images)?;
    store.keep(&made)?;
    record(content);
    built(&made, true, format!("put {reference} together in {}", took(started.elapsed())))
}

fn labels(project: &Project<'_>, options: &Options, fingerprint: &str) -> BTreeMap<String, String> {
    let mut labels = origin::labels(project).clone();
    labels.extend(options.labels.clone());
    labels.insert(FINGERPRINT_KEY.into(), fingerprint.into());
    labels
}

/// Whether the function can be put together, and by what of its template.
fn fits<'t>(function: &Function, tree: &'t Tree, options: &Options) -> Result<(&'t Native, &'t Image)> {
    let (name, lang) = (&function.name, &function.lang);
    let needs_engine = |why: String, hint: &str| Err(Fault::unsupported(format!("{name}: {why}")).hint(hint));
    let manifest = tree.template.as_ref().map(|template| &template.manifest);
    let parts = manifest.and_then(|manifest| Some((manifest.native.as_ref()?, manifest.image.as_ref()?)));
    let Some(parts) = parts else {
        return needs_engine(
            format!("lang {lang} needs a container engine to become an image"),
            "build it without `--engine none`, choose another `lang`, or give the template a `native:` and an `image:` block",
        );
    };
    if !parts.0.build.is_empty() {
        return needs_engine(
            format!("lang {lang} is compiled, which needs a container engine"),
            "build it without `--engine none`",
        );
    }
    if !function.build.secrets.is_empty() {
        return needs_engine("`build_secrets` need a container engine".into(), "build it without `--engine none`");
    }
    let packages = ["ADDITIONAL_PACKAGE"].iter().any(|key| {
        [&function.build.args, &options.args].iter().any(|args| args.get(*key).is_some_and(|value| !value.is_empty()))
    });
    if packages || !options.packages.is_empty() || !options.options.is_empty() || !function.build.options.is_empty() {
        return needs_engine(
            "packages of the system (`build_options`, ADDITIONAL_PACKAGE) need a container engine".into(),
            "build it without `--engine none`, or use a base image that has them: `build_args: {BASE: …}`",
        );
    }
    Ok(parts)
}

fn base_name(function: &Function, image: &Image, options: &Options) -> String {
    let given = options.args.get("BASE").or_else(|| function.build.args.get("BASE"));
    given.filter(|base| !base.is_empty()).unwrap_or(&image.base).clone()
}

fn is_left_out(path: &Path) -> bool {
    LEFT_OUT.iter().any(|name| path == Path::new(name))
}

/// Whether the template's `keep` takes the file along; without one, all are.
fn keeps(image: &Image, path: &Path) -> bool {
    image.keep.is_empty() || image.keep.iter().any(|kept| path.starts_with(kept))
}

/// Installs the dependencies for the platform in `at`; gives the files that came with them.
async fn install(
    tree: &Tree,
    (native, image): (&Native, &Image),
    platform: Platform,
    base: &Base,
    at: &Path,
    talk: Talk<'_>,
) -> Result<Vec<layer::File>> {
    let steps = |steps: &[Step]| -> Option<Vec<Step>> {
        steps.iter().map(|step| Some(Step { run: base.fill(&platform.fill(&step.run))?, ..step.clone() })).collect()
    };
    let own = steps(&image.install).filter(|own| !own.is_empty());
    let for_base = own.is_some();
    let steps = own.unwrap_or_else(|| native.install.clone());
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    tree.write(at)?;
    let before: std::collections::BTreeSet<_> = layer::files(at)?.into_iter().map(|file| file.path).collect();
    for one in &steps {
        if step::applies(one, at)? {
            step::run(one, at, talk.subject, "installing dependencies", talk.progress).await?;
        }
    }
    let after: Vec<layer::File> = layer::files(at)?.into_iter().filter(|file| !before.contains(&file.path)).collect();
    if !for_base && let Some(compiled) = after.iter().find(|file| platform::machine(&file.from).is_some()) {
        let shown = compiled.path.display();
        let text =
            format!("{shown} was built for this machine; the base image {} must have the same runtime", base.name);
        talk.progress.warn(talk.subject, &text);
    }
    Ok(after)
}

/// Looks for mistakes, where the programs for it are at hand: the image does not need them here.
async fn check(native: &Native, project: &Project<'_>, at: &Path, talk: Talk<'_>) -> Result<()> {
    if requires::find(native, talk.subject, project.env).is_err() {
        return Ok(());
    }
    for one in &native.check {
        if step::applies(one, at)? {
            step::run(one, at, talk.subject, "checking", talk.progress).await?;
        }
    }
    Ok(())
}

/// The layer with the invoker: the same for all functions, so made once.
fn invoker_layer(store: &Store, platform: Platform, invoker: &crate::template::File) -> Result<Packed> {
    let key = format!("{platform} {} {INVOKER}", invoker.digest()?.to_hex());
    store.pack_once(&key, || {
        let bytes = invoker.content.read()?.into_owned();
        Ok(layer::single(INVOKER, bytes, "faas: the invoker"))
    })
}

/// Configuration and manifest over the layers.
fn assemble(
    store: &Store,
    platform: Platform,
    base: &Base,
    layers: Vec<Packed>,
    labels: &BTreeMap<String, String>,
    (native, image): (&Native, &Image),
    project: &Project<'_>,
) -> Result<One> {
    let mut environment =
        BTreeMap::from([("fprocess".to_owned(), native.run.clone()), ("mode".to_owned(), native.mode.clone())]);
    environment.extend(native.ready_path.iter().map(|path| ("ready_path".to_owned(), path.clone())));
    environment.extend(native.environment.clone());
    environment.extend(image.environment.clone());
    let created = config::created(project.env, &base.config)?;
    let text = config::configuration(base, &layers, &environment, labels, &created);
    let kinds = base.kinds();
    let config = store.put(serde_json::to_vec(&text).unwrap_or_default())?;
    let mut described: Vec<Value> = base.layers.clone();
    let own: Vec<Blob> = layers.iter().map(|layer| layer.blob.clone()).collect();
    described.extend(own.iter().map(|blob| blob.described(kinds.layer)));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": kinds.manifest,
        "config": config.described(kinds.config),
        "layers": described,
    });
    let manifest = store.put(serde_json::to_vec(&manifest).unwrap_or_default())?;
    Ok(One {
        platform: platform.to_string(),
        manifest,
        kind: kinds.manifest.to_owned(),
        base: base.name.clone(),
        base_layers: base.blobs()?,
        own: own.into_iter().chain([config]).collect(),
    })
}
