//! Images put together without a container engine: a base image out of its registry, and layers of our own over it.
//! No daemon, no root, and the same bytes for the same files.
use std::collections::{BTreeMap, BTreeSet};
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

pub use base::platforms;
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
    // Who compiles it decides what it will be.
    let programs = if image.build.is_empty() { Vec::new() } else { requires::find(native, name, project.env)? };
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
    let fingerprint = |content: &str, programs: &[requires::Program]| -> Result<String> {
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
        for program in programs {
            add(&program.identity());
        }
        Ok(hasher.finalize().to_hex().to_string())
    };
    let built = |made: &Made, rebuilt: bool, reason: String| {
        let artifact = Artifact::Image { reference: made.reference.clone(), digest: Some(made.digest.clone()) };
        Ok(Built { artifact, rebuilt, reason })
    };
    let wanted = fingerprint(&content, &programs)?;
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
    for program in &programs {
        program.check_version(native, name).await?;
    }
    let folder = store.temporary()?;
    // What is written counts, not what was there when it was looked at before.
    let content = tree.write(folder.path())?.to_hex().to_string();
    let own = layer::files(folder.path())?;
    let mut checked = false;
    let mut images = Vec::with_capacity(parts.len());
    for (platform, base, invoker) in &parts {
        let at = store.temporary()?;
        let Added { dependencies, compiled } =
            make(&tree, (native, image), (*platform, base), project, at.path(), talk).await?;
        if !std::mem::replace(&mut checked, true) {
            let made = !dependencies.is_empty() || !compiled.is_empty();
            check(native, project, if made { at.path() } else { folder.path() }, talk).await?;
        }
        let mut layers = vec![invoker_layer(&store, *platform, invoker)?];
        let kept = |path: &Path| keeps(image, path);
        let wanted = |files: &[layer::File]| files.iter().filter(|file| kept(&file.path)).cloned().collect::<Vec<_>>();
        let dependencies = wanted(&dependencies);
        if !dependencies.is_empty() {
            let content = layer::of(layer::under(HOME, &dependencies), "faas: the function's dependencies");
            layers.push(store.pack(&content)?);
        }
        let mut files: Vec<layer::File> = wanted(&own).into_iter().filter(|file| !is_left_out(&file.path)).collect();
        files.extend(wanted(&compiled));
        for file in dependencies.iter().chain(&files) {
            platform.check(name, &file.path, &file.from)?;
        }
        layers.push(store.pack(&layer::of(layer::under(HOME, &files), "faas: the function"))?);
        // The same files make the same image with the same compiler, wherever that is installed.
        let labels = labels(project, options, &fingerprint(&content, &[])?);
        images.push(assemble(&store, *platform, base, layers, &labels, (native, image), project)?);
    }
    let fingerprint = fingerprint(&content, &programs)?;
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
    if !parts.0.build.is_empty() && parts.1.build.is_empty() {
        return needs_engine(
            format!("lang {lang} is compiled, and its template does not say how for an image"),
            "build it without `--engine none`, or give the template `image: {build: …}`",
        );
    }
    if !function.build.secrets.is_empty() {
        return needs_engine("`build_secrets` need a container engine".into(), "build it without `--engine none`");
    }
    if let Some(id) = options.ssh.keys().next() {
        let what = format!("the ssh agent `{id}` needs a container engine");
        return needs_engine(what, "build it without `--engine none`");
    }
    if let Some(id) = options.secrets.keys().next() {
        let what = format!("the build secret `{id}` needs a container engine");
        return needs_engine(what, "build it without `--engine none`");
    }
    if let Some(cache) = options.cache_to.iter().chain(&options.cache_from).next() {
        return needs_engine(
            format!("without an engine, the cache `{cache}` is of no use"),
            "leave --cache-to and --cache-from out, or build with BUILDKIT_HOST set",
        );
    }
    if let Some(kind) = options.attestations.keys().next() {
        return needs_engine(
            format!("without an engine, no {kind} is put beside the image"),
            "leave --sbom and --provenance out, or build with BUILDKIT_HOST set and --push",
        );
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

/// What came to the files of a function in its folder.
#[derive(Default)]
struct Added {
    dependencies: Vec<layer::File>,
    compiled: Vec<layer::File>,
}

/// Installs the dependencies for the platform in `at`, and compiles the function there.
async fn make(
    tree: &Tree,
    (native, image): (&Native, &Image),
    (platform, base): (Platform, &Base),
    project: &Project<'_>,
    at: &Path,
    talk: Talk<'_>,
) -> Result<Added> {
    let (cache, home) = (step::cache(project, talk.subject), project.home.display().to_string());
    // What was compiled for one platform is nothing to another.
    let cache = format!("{cache}-{}", platform.architecture());
    let mut words = platform.words().to_vec();
    words.extend([("cache", cache.as_str()), ("home", home.as_str())]);
    let for_base = |steps: &[Step]| -> Option<Vec<Step>> {
        let filled = |step: &Step| Some(Step { run: base.fill(&step.run)?, ..step.clone() }.filled(&words));
        steps.iter().map(filled).collect()
    };
    let own = for_base(&image.install).filter(|own| !own.is_empty());
    let fits_base = own.is_some();
    let install = own.unwrap_or_else(|| native.install.iter().map(|step| step.filled(&words)).collect());
    let Some(build) = for_base(&image.build) else {
        let message = format!("{}: the base image {} lacks a variable", talk.subject, base.name);
        return Err(Fault::failed(message).hint("the template's `image: {build: …}` names it; use another BASE"));
    };
    if install.is_empty() && build.is_empty() {
        return Ok(Added::default());
    }
    tree.write(at)?;
    let paths = || -> Result<BTreeSet<_>> { Ok(layer::files(at)?.into_iter().map(|file| file.path).collect()) };
    let before = paths()?;
    run(&install, "installing dependencies", at, talk).await?;
    let installed = paths()?;
    run(&build, "compiling", at, talk).await?;
    let new = layer::files(at)?.into_iter().filter(|file| !before.contains(&file.path));
    let (dependencies, compiled): (Vec<_>, Vec<_>) = new.partition(|file| installed.contains(&file.path));
    let program = dependencies.iter().find(|file| platform::machine(&file.from).is_some());
    if let Some(program) = program.filter(|_| !fits_base) {
        let shown = program.path.display();
        let text =
            format!("{shown} was built for this machine; the base image {} must have the same runtime", base.name);
        talk.progress.warn(talk.subject, &text);
    }
    Ok(Added { dependencies, compiled })
}

async fn run(steps: &[Step], what: &str, at: &Path, talk: Talk<'_>) -> Result<()> {
    for one in steps {
        if step::applies(one, at)? {
            step::run(one, at, talk.subject, what, talk.progress).await?;
        }
    }
    Ok(())
}

/// Looks for mistakes, where the programs for it are at hand: the image does not need them here.
async fn check(native: &Native, project: &Project<'_>, at: &Path, talk: Talk<'_>) -> Result<()> {
    if requires::find(native, talk.subject, project.env).is_err() {
        return Ok(());
    }
    run(&native.check, "checking", at, talk).await
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
    let mut environment = BTreeMap::from([
        ("fprocess".to_owned(), image.run.as_ref().unwrap_or(&native.run).clone()),
        ("mode".to_owned(), native.mode.clone()),
    ]);
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
