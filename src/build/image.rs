//! Container images: built by the engine from the context folder, unless the engine still has the one that fits.
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::Write;
use std::time::Instant;

use bollard::query_parameters::{BuildImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::StreamExt;

use super::bundle::said as took;
use super::engine::{self, Engine, FINGERPRINT_KEY, fingerprint, registry_digest, said};
use super::index::{Record, now};
use super::tree::Tree;
use super::watchdog::is_dynamic;
use super::{Built, Options, Project, archive, folder, tag};
use crate::artifact::Artifact;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::template::file::cant_write;

/// How many lines of the failing step a failure shows.
const SHOWN: usize = 20;

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
    check(function)?;
    let reference = tag::reference(function, options.tag, project.root)?;
    folder::lock_async(project, name, progress).await?;
    let (context, tree) = folder::prepare(function, project, options)?;
    let args = arguments(function, &tree, options)?;
    let wanted = wanted(function, &context.content, &args, options);
    let engine = project.engine().await?;
    let images = engine.images().await?;
    let dockerfile = std::fs::read_to_string(context.dir.join("Dockerfile")).map_err(|error| {
        Fault::usage(format!("{name}: there is no Dockerfile to build"))
            .cause(error)
            .hint(format!("the template `{}` needs one, or the handler folder with `lang: dockerfile`", function.lang))
    })?;
    let bases = engine::bases(&dockerfile, &args);
    let base_ids = |images: &engine::Images| -> String {
        let id = |base: &String| images.tagged(&short(base)).map_or("", |image| image.id.as_str()).to_owned();
        bases.iter().map(id).collect::<Vec<_>>().join(" ")
    };
    let key = format!("{name}/image");
    let known = project.index.get(&key);
    if !options.no_cache && !options.pull {
        // A newer base under the same name counts as a change; where nothing is known of the base, the label decides.
        let same_base = known.as_ref().is_none_or(|known| known.output == base_ids(images));
        let have = images.tagged(&short(&reference)).filter(|image| fingerprint(image) == Some(&wanted));
        if let Some(image) = have.filter(|_| same_base) {
            let digest = registry_digest(image, &familiar(tag::split(&reference).0)).unwrap_or(&image.id);
            let artifact = Artifact::Image { reference, digest: Some(digest.to_owned()) };
            return Ok(Built { artifact, rebuilt: false, reason: "unchanged".into() });
        }
        let untagged = known.as_ref().filter(|known| same_base && known.content == wanted);
        if let Some(image) = untagged.and_then(|known| images.by_id(&known.stamp)) {
            retag(engine, &image.id, &reference).await?;
            let digest = Some(image.id.clone());
            let reason = format!("unchanged, tagged {reference}");
            return Ok(Built { artifact: Artifact::Image { reference, digest }, rebuilt: true, reason });
        }
    }
    if let Some(watchdog) = project.watchdog_file.get().and(project.watchdog.as_ref()).filter(|path| is_dynamic(path)) {
        let text =
            format!("{} is not static: it only runs in images with the C library of this machine", watchdog.display());
        progress.warn(name, &text);
    }
    progress.step(name, &format!("building {reference}"));
    run(
        function,
        project,
        options,
        &context.dir,
        &tree,
        &Request { reference: &reference, args, wanted: &wanted },
        engine,
        progress,
    )
    .await?;
    let images = engine.list().await?;
    let id = images.tagged(&short(&reference)).map(|image| image.id.clone());
    let id = id
        .ok_or_else(|| Fault::failed(format!("{name}: the engine says it built {reference}, but has no such image")))?;
    let record = Record { stamp: id.clone(), content: wanted, output: base_ids(&images) };
    project.index.set(&key, record, 0, looked);
    let reason = format!("built {reference} in {}", took(started.elapsed()));
    Ok(Built { artifact: Artifact::Image { reference, digest: Some(id) }, rebuilt: true, reason })
}

/// The name as the engine lists it: without Docker Hub's own address.
fn familiar(name: &str) -> String {
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

/// What the classic builder can't do.
fn check(function: &Function) -> Result<()> {
    let name = &function.name;
    if !function.build.secrets.is_empty() {
        return Err(Fault::unsupported(format!("{name}: `build_secrets` need BuildKit, which faas can't drive yet"))
            .hint("build it with `faas build --shrinkwrap` and your own builder"));
    }
    if function.build.platforms.len() > 1 {
        return Err(Fault::unsupported(format!("{name}: an image for several platforms at once can't be built yet"))
            .hint("name one platform"));
    }
    Ok(())
}

/// The build arguments: the function's, over them the command line's, and the packages of all build options.
fn arguments(function: &Function, tree: &Tree, options: &Options) -> Result<BTreeMap<String, String>> {
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
fn wanted(function: &Function, content: &str, args: &BTreeMap<String, String>, options: &Options) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("faas 1 container image");
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(content);
    for (what, map) in [("arg", args), ("label", &options.labels)] {
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

struct Request<'a> {
    reference: &'a str,
    args: BTreeMap<String, String>,
    wanted: &'a str,
}

#[allow(clippy::too_many_arguments)]
async fn run(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    dir: &std::path::Path,
    tree: &Tree,
    request: &Request<'_>,
    engine: &Engine,
    progress: &dyn Progress,
) -> Result<()> {
    let name = &function.name;
    let mut args: HashMap<String, String> = request.args.clone().into_iter().collect();
    for proxy in ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        if let Some(value) = project.env.get(proxy) {
            args.entry(proxy.into()).or_insert_with(|| value.into());
        }
    }
    let mut labels: HashMap<String, String> = options.labels.clone().into_iter().collect();
    labels.insert(FINGERPRINT_KEY.into(), request.wanted.into());
    let mut query = BuildImageOptionsBuilder::default()
        .dockerfile("Dockerfile")
        .t(request.reference)
        .rm(true)
        .forcerm(true)
        .nocache(options.no_cache)
        .buildargs(&args)
        .labels(&labels);
    if options.pull {
        query = query.pull("1");
    }
    if let Some(platform) = function.build.platforms.first() {
        query = query.platform(platform);
    }
    let mut log = Log::open(project, name)?;
    let body = bollard::body_try_stream(archive::stream(tree, dir)?);
    let credentials = super::push::credentials_for_bases(project, dir, &request.args);
    let mut events = std::pin::pin!(engine.api.build_image(query.build(), credentials, Some(body)));
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if let Some(detail) = event.error_detail {
                    return Err(log.failed(name, detail.message.unwrap_or_default()));
                }
                if let Some(text) = event.stream {
                    log.text(name, &text, progress);
                }
                if let (Some(status), None) = (event.status, event.progress_detail.and_then(|p| p.current)) {
                    let id = event.id.map(|id| format!("{id}: ")).unwrap_or_default();
                    log.text(name, &format!("{id}{status}\n"), progress);
                }
            }
            Err(error) => return Err(log.failed(name, said(&error))),
        }
    }
    Ok(())
}

/// The log of a build: in a file, and the lines of the step at hand for the case that it fails.
struct Log {
    file: std::fs::File,
    path: std::path::PathBuf,
    partial: String,
    step: VecDeque<String>,
}

impl Log {
    fn open(project: &Project<'_>, name: &str) -> Result<Self> {
        // Hidden, so that it is in no function's way: `logs` is a fine name for one.
        let dir = project.build_dir.join(".logs");
        std::fs::create_dir_all(&dir).map_err(|error| cant_write(&dir, &error))?;
        let path = dir.join(format!("{name}.log"));
        let file = std::fs::File::create(&path).map_err(|error| cant_write(&path, &error))?;
        Ok(Self { file, path, partial: String::new(), step: VecDeque::new() })
    }

    fn text(&mut self, name: &str, text: &str, progress: &dyn Progress) {
        self.partial += text;
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.line(name, line.trim_end(), progress);
        }
    }

    fn line(&mut self, name: &str, line: &str, progress: &dyn Progress) {
        if line.is_empty() {
            return;
        }
        // A log that can't be kept must not end the build.
        let _ = writeln!(self.file, "{line}");
        if line.starts_with("Step ") {
            self.step.clear();
            progress.step(name, line);
        } else {
            progress.line(name, line);
        }
        // What the engine says of its own work is in the log, and no help here.
        if line.starts_with(" ---> ") || line.starts_with("Removing intermediate container") {
            return;
        }
        if self.step.len() > SHOWN {
            self.step.remove(1);
        }
        self.step.push_back(line.to_owned());
    }

    fn failed(&mut self, name: &str, error: String) -> Fault {
        let mut said: Vec<String> = self.step.drain(..).collect();
        said.extend(Some(std::mem::take(&mut self.partial)).filter(|rest| !rest.trim().is_empty()));
        let error = error.strip_prefix("Docker stream error: ").unwrap_or(&error);
        let _ = writeln!(self.file, "{error}");
        said.push(error.to_owned());
        Fault::failed(format!("{name}: the image can't be built"))
            .cause(said.join("\n"))
            .hint(format!("the whole log is in {}", self.path.display()))
    }
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
    fn packages_are_sorted_and_told_only_when_there_are_any() {
        let tree = Tree { files: Vec::new(), template: None };
        let mut function = Function::default();
        let options = Options { packages: vec!["curl git".into(), "curl".into()], ..Options::default() };
        let args = arguments(&function, &tree, &options).unwrap();
        assert_eq!(args["ADDITIONAL_PACKAGE"], "curl git");
        assert!(arguments(&function, &tree, &Options::default()).unwrap().is_empty());
        function.build.options = vec!["dev".into()];
        assert!(arguments(&function, &tree, &options).unwrap_err().to_string().contains("no build option `dev`"));
    }
}
