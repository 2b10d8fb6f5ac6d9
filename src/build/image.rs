//! Container images: built by the engine from the context folder, unless the engine still has the one that fits.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Instant;

use bollard::query_parameters::TagImageOptionsBuilder;

use super::builder::Builder;
use super::bundle::said as took;
use super::engine::{Engine, FINGERPRINT_KEY, Image, said};
use super::index::{Record, now};
use super::inputs::Inputs;
use super::tree::Tree;
use super::watchdog::is_dynamic;
use super::{
    Built, Options, Project, Secret, architecture, builder, buildkit, classic, daemon, dockerfile, folder, tag,
};
use crate::artifact::Artifact;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::progress::Progress;

/// An image that is to be built.
pub(super) struct Request<'a> {
    /// The function's name.
    pub name: &'a str,
    /// The function.
    pub function: &'a Function,
    /// Its project.
    pub project: &'a Project<'a>,
    /// How to build.
    pub options: &'a Options,
    /// The context folder.
    pub context: &'a Path,
    /// What is in the context folder.
    pub tree: &'a Tree,
    /// The text of its Dockerfile.
    pub dockerfile: &'a str,
    /// The image's name with tag.
    pub reference: &'a str,
    /// The build arguments.
    pub args: &'a BTreeMap<String, String>,
    /// The fingerprint that the image is labelled with.
    pub fingerprint: &'a str,
    /// Told what happens.
    pub progress: &'a dyn Progress,
}

impl Request<'_> {
    /// The build arguments, and the proxies of this machine.
    pub fn args_with_proxies(&self) -> BTreeMap<String, String> {
        let mut args = self.args.clone();
        for proxy in ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
            if let Some(value) = self.project.env.get(proxy) {
                args.entry(proxy.into()).or_insert_with(|| value.into());
            }
        }
        args
    }

    /// The build secrets by id: the command line's, and the function's.
    pub fn secrets(&self) -> BTreeMap<String, Secret> {
        let own = self.function.build.secrets.iter().map(|(id, path)| (id.clone(), Secret::File(path.clone())));
        own.chain(self.options.secrets.clone()).collect()
    }

    /// The labels of the image.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = super::origin::labels(self.project).clone();
        labels.extend(self.options.labels.clone());
        labels.insert(FINGERPRINT_KEY.into(), self.fingerprint.into());
        labels
    }
}

/// Builds the image of `function`, unless the engine has it.
pub(super) async fn build(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Built> {
    let name = &function.name;
    let started = Instant::now();
    let looked = now();
    let reference = tag::reference(function, options.tag, project.root)?;
    super::oci::forget(project, &reference);
    folder::lock_async(project, name, progress).await?;
    let (context, tree) = folder::prepare(function, project, options, progress)?;
    let args = arguments(function, &tree, options)?;
    let wanted = wanted(function, &context.content, &args, options);
    let text = std::fs::read_to_string(context.dir.join("Dockerfile")).map_err(|error| {
        Fault::usage(format!("{name}: there is no Dockerfile to build"))
            .cause(error)
            .hint(format!("the template `{}` needs one, or the handler folder with `lang: dockerfile`", function.lang))
    })?;
    let bases = dockerfile::bases(&text, &args);
    let request = Request {
        name,
        function,
        project,
        options,
        context: &context.dir,
        tree: &tree,
        dockerfile: &text,
        reference: &reference,
        args: &args,
        fingerprint: &wanted,
        progress,
    };
    // Its grammar takes tens of milliseconds to make ready, and an image that is there under the name has a right one.
    let check_name = || crate::registry::parse(name, &reference);
    let or_name = |fault: Fault| check_name().err().unwrap_or(fault);
    if let Some(host) = project.builder_host() {
        check_name()?;
        return daemon::build(&request, host, &bases).await;
    }
    let engine = project.engine().await.map_err(or_name)?;
    let tagged = short(&reference);
    let asked = async { futures_util::try_join!(engine.image(&tagged), self::base_ids(&bases, engine, false)) };
    let (there, base_ids) = asked.await.map_err(or_name)?;
    let key = format!("{name}/image");
    let known = project.index.get(&key);
    let anew = options.no_cache || options.pull;
    let same_base = is_same_base(known.as_ref(), &base_ids);
    let platform = function.build.platforms.first();
    let is_for = |have: &str| have.is_empty() || platform.is_none_or(|wanted| architecture::is_for(have, wanted));
    let fits = |image: &&Image| !anew && same_base && image.fingerprint() == Some(&wanted) && is_for(&image.platform);
    if let Some(image) = there.as_ref().filter(fits) {
        let artifact = artifact(image, reference, engine);
        return Ok(Built { artifact, rebuilt: false, reason: "unchanged".into() });
    }
    check_name()?;
    if !anew {
        let untagged = known.as_ref().filter(|known| same_base && known.content == wanted);
        let untagged = match untagged {
            Some(known) => engine.image(&known.stamp).await?,
            None => None,
        };
        if let Some(image) = untagged {
            retag(engine, &image.id, &reference).await?;
            let digest = Some(image.id.clone());
            let reason = format!("unchanged, tagged {reference}");
            return Ok(Built { artifact: Artifact::Image { reference, digest }, rebuilt: true, reason });
        }
    }
    if let Some(watchdog) = tree.invokers().find(|path| is_dynamic(path)) {
        let text =
            format!("{} is not static: it only runs in images with the C library of this machine", watchdog.display());
        progress.warn(name, &text);
    }
    if options.explain {
        let now = Inputs::of(function, &tree, &args, options, base_ids)?;
        let otherwise = match there {
            None => format!("the engine has no image {reference}"),
            Some(_) => format!("{reference} is another image than the one that was built from this"),
        };
        progress.note(name, &format!("is built because {}", now.why(project, name, options, &otherwise)));
    }
    let builder = builder::choose(&request, engine).await?;
    architecture::check(&request, Some(engine)).await?;
    builder::warn(&request);
    progress.step(name, &format!("building {reference}"));
    match builder {
        Builder::Classic => classic::run(&request, engine).await?,
        Builder::BuildKit(buildkit) => {
            let attributes = [("name".to_owned(), reference.clone())].into();
            let output = buildkit::Output { exporter: "moby", attributes, logins: HashMap::new() };
            buildkit::run(&request, buildkit, output).await?;
        }
    }
    let id = engine.image_now(&tagged).await?.map(|image| image.id);
    let id = id
        .ok_or_else(|| Fault::failed(format!("{name}: the engine says it built {reference}, but has no such image")))?;
    let have = if platform.is_some() { engine.platform_of(&id).await } else { String::new() };
    if let Some(wanted) = platform.filter(|_| !is_for(&have)) {
        return Err(Fault::failed(format!("{name}: the engine made an image for {have}, not for {wanted}"))
            .hint("its base image may not be there for that platform: leave it out, or name another base"));
    }
    let bases = self::base_ids(&bases, engine, true).await?;
    let record = Record { stamp: id.clone(), content: wanted.clone(), output: joined(&bases) };
    project.index.set(&key, record, 0, looked);
    Inputs::of(function, &tree, &args, options, bases)?.keep(project, name);
    let reason = format!("built {reference} in {}", took(started.elapsed()));
    Ok(Built { artifact: Artifact::Image { reference, digest: Some(id) }, rebuilt: true, reason })
}

/// The base images and their ids, empty where the engine has none under the name; `now` or when it was asked first.
pub(super) async fn base_ids(bases: &[String], engine: &Engine, now: bool) -> Result<BTreeMap<String, String>> {
    let mut ids = BTreeMap::new();
    for base in bases {
        let name = short(base);
        let image = if now { engine.image_now(&name).await? } else { engine.image(&name).await? };
        ids.insert(base.clone(), image.map(|image| image.id).unwrap_or_default());
    }
    Ok(ids)
}

/// Whether the bases are those of the last build. A newer one under the same name counts as a change; where nothing is
/// known of them, the image's label decides.
pub(super) fn is_same_base(known: Option<&Record>, bases: &BTreeMap<String, String>) -> bool {
    known.is_none_or(|known| known.output == joined(bases))
}

/// An image that the engine has under `reference`.
pub(super) fn artifact(image: &Image, reference: String, engine: &Engine) -> Artifact {
    // Podman tells a digest of its own, which no registry need know.
    let digest = image.registry_digest(&familiar(tag::split(&reference).0)).filter(|_| !engine.is_podman());
    Artifact::Image { digest: Some(digest.unwrap_or(&image.id).to_owned()), reference }
}

fn joined(bases: &BTreeMap<String, String>) -> String {
    bases.values().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The name as the engine lists it: without Docker Hub's own address.
pub(super) fn familiar(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name).to_owned()
}

/// The same with a tag.
pub(super) fn short(reference: &str) -> String {
    let name = familiar(reference);
    if name.contains('@') || name[name.rfind('/').map_or(0, |at| at + 1)..].contains(':') {
        return name;
    }
    format!("{name}:latest")
}

/// The build arguments: the function's, over them the command line's, and the packages of all build options.
pub(super) fn arguments(function: &Function, tree: &Tree, options: &Options) -> Result<BTreeMap<String, String>> {
    const PACKAGES: &str = "ADDITIONAL_PACKAGE";
    let mut args = function.build.args.clone();
    args.extend(options.args.clone());
    let mut packages: BTreeSet<&str> = options.packages.iter().flat_map(|given| given.split_whitespace()).collect();
    let own = args.remove(PACKAGES).unwrap_or_default();
    packages.extend(own.split_whitespace());
    let known = tree.template.as_ref().map_or(&[][..], |template| &template.manifest.build_options);
    for wanted in options.options.iter().chain(&function.build.options) {
        let Some(option) = known.iter().find(|option| option.name == *wanted) else {
            let names: Vec<&str> = known.iter().map(|option| option.name.as_str()).collect();
            let (name, lang) = (&function.name, &function.lang);
            return Err(Fault::usage(format!("{name}: the template `{lang}` has no build option `{wanted}`"))
                .hint(if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) }));
        };
        packages.extend(option.packages.iter().map(String::as_str));
    }
    // An empty one would make the engine warn about Dockerfiles that do not take it.
    if !packages.is_empty() {
        args.insert(PACKAGES.into(), packages.into_iter().collect::<Vec<_>>().join(" "));
    }
    Ok(args)
}

/// The fingerprint of everything that decides what the image will be, but for its name and its base's content.
pub(super) fn wanted(function: &Function, content: &str, args: &BTreeMap<String, String>, options: &Options) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("faas 1 container image");
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(content);
    for (what, map) in [("arg", args), ("label", &options.labels), ("attestation", &options.attestations)] {
        for (key, value) in map {
            add(what);
            add(key);
            add(value);
        }
    }
    function.build.platforms.iter().for_each(|platform| add(platform));
    hasher.finalize().to_hex().to_string()
}

async fn retag(engine: &Engine, id: &str, reference: &str) -> Result<()> {
    let (repo, tag) = tag::split(reference);
    let options = TagImageOptionsBuilder::default().repo(repo).tag(tag).build();
    let tagged = engine.api.tag_image(id, Some(options)).await;
    tagged.map_err(|error| Fault::failed(format!("can't tag the image {reference}")).cause(said(&error)))
}

/// The engine of a project, found when it is needed.
impl Project<'_> {
    /// Its container engine.
    ///
    /// # Errors
    /// When none answers.
    pub async fn engine(&self) -> Result<&Engine> {
        self.engine.get_or_try_init(|| Engine::connect(self)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_engine_lists_them() {
        assert_eq!(short("docker.io/library/python:3.13-slim"), "python:3.13-slim");
        assert_eq!(short("docker.io/me/x"), "me/x:latest");
        assert_eq!(short("127.0.0.1:5000/x"), "127.0.0.1:5000/x:latest");
    }

    #[test]
    fn fault_packages_are_told_only_when_there_are_any() {
        let tree = Tree::default();
        let mut function = Function::default();
        let options = Options { packages: vec!["curl git".into(), "curl".into()], ..Options::default() };
        let args = arguments(&function, &tree, &options).unwrap();
        assert_eq!(args["ADDITIONAL_PACKAGE"], "curl git");
        assert!(arguments(&function, &tree, &Options::default()).unwrap().is_empty());
        function.build.options = vec!["dev".into()];
        assert!(arguments(&function, &tree, &options).unwrap_err().to_string().contains("no build option `dev`"));
    }
}
