//! `faas local-run`: functions in containers on this machine's engine, without any platform, until Ctrl-C.
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use secrecy::zeroize::Zeroizing;

use super::build::BuildFlags;
use super::{Global, stack_file};
use crate::artifact::ArtifactKind;
use crate::build::container::{self, Container};
use crate::build::watch::{Touched, Watch, touched};
use crate::build::{self, Options, Project, tag};
use crate::context::Context;
use crate::error::{Fault, Kind, Result};
use crate::function::Function;
use crate::output::progress;
use crate::runtime;
use crate::stack::{Origin, Stack};
use crate::template::Catalogue;

/// Run functions in containers on this machine, without a platform
#[derive(Args)]
#[command(
    after_help = "Several functions are on ports one after the other, in a network where they find each other by name.\n\n\
                        Examples:\n  faas local-run tax --port 8081\n  faas local-run --watch\n  faas local-run tax --print"
)]
pub struct LocalRun {
    /// The functions [default: all of the stack]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    build: BuildFlags,
    /// Build first; --build=false takes the images that are there
    #[arg(long = "build", id = "build_first", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "true", action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    build_first: bool,
    /// The port of the first function, the others after it; 0 takes free ones
    #[arg(short, long, default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// The engine's network to be in; `host` takes this machine's own, and no port
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Variables, over those of the stack
    #[arg(short, long, value_delimiter = ',', value_name = "KEY=VALUE", value_parser = super::values::pair)]
    env: Vec<(String, String)>,
    /// Print docker's command lines, and do nothing
    #[arg(long)]
    print: bool,
    /// Build and start a function again when its files change
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    alone: Alone,
}

/// Flags of `build` that faas-cli takes here, too: one function without a stack file. Beside a stack file they mean nothing:
/// what is run is in it.
#[derive(Args)]
struct Alone {
    /// Without a stack file: the function's name
    #[arg(long, hide = true, value_name = "NAME")]
    name: Option<String>,
    /// Without a stack file: its template
    #[arg(long, hide = true, value_name = "LANG")]
    lang: Option<String>,
    /// Without a stack file: its handler's folder
    #[arg(long, hide = true, value_name = "DIR")]
    handler: Option<String>,
    /// Without a stack file: its image
    #[arg(long, hide = true, value_name = "IMAGE")]
    image: Option<String>,
    /// Accepted
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    shrinkwrap: Option<bool>,
}

/// Why a session ended.
enum End {
    /// All containers did.
    Done,
    /// The stack file changed.
    Reload,
}

impl LocalRun {
    /// Runs them until they end, or Ctrl-C.
    ///
    /// # Errors
    /// A stack that is wrong; a build that fails; a container that can't be started, or ends badly.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let mut stack = self.stack(context, global)?;
        loop {
            let functions = self.functions(&stack)?;
            let catalogue = Catalogue::new(&stack.origin.root);
            if self.print {
                let containers = self.containers(&functions, &stack, &catalogue, context)?;
                let secrets = stack.origin.root.join(".secrets");
                let lines: Vec<String> = containers.iter().map(|one| one.command(&secrets)).collect();
                return context.out.result(&lines, || lines.iter().map(|line| format!("{line}\n")).collect());
            }
            if self.build_first {
                self.build.templates.complete(&functions, &stack.configuration, &stack.origin.root, context)?;
            }
            match self.session(&functions, &stack, context) {
                Ok(End::Done) => return Ok(()),
                Ok(End::Reload) => {}
                Err(fault) if fault.kind == Kind::Interrupted => return Ok(()),
                Err(fault) => return Err(fault),
            }
            context.out.note("The stack file changed: everything is started again");
            stack = self.stack(context, global)?;
        }
    }

    /// The stack file; without one, what the flags say as one.
    fn stack(&self, context: &Context, global: &Global) -> Result<Stack> {
        if let Some(stack) = stack_file::load(context, global)? {
            return Ok(stack);
        }
        let Alone { name: Some(name), lang: Some(lang), handler: Some(handler), image, .. } = &self.alone else {
            return Err(stack_file::missing());
        };
        super::new::check_name(name)?;
        let mut function = serde_json::json!({ "lang": lang, "handler": handler });
        if let Some(image) = image {
            function["image"] = image.as_str().into();
        }
        let mut written = serde_json::json!({ "provider": { "name": "openfaas" }, "functions": {} });
        written["functions"][name] = function;
        let origin = Origin { name: "the command line".into(), root: context.cwd.clone() };
        let document = stack_file::Document { bytes: written.to_string().into_bytes(), origin, is_file: false };
        // What the shell has put in is what is meant.
        let global = Global { envsubst: false, ..global.clone() };
        stack_file::parse(context, &global, &document, None)
    }

    fn functions(&self, stack: &Stack) -> Result<Vec<Function>> {
        if self.names.is_empty() {
            return match stack.functions.is_empty() {
                true => Err(Fault::usage("no functions found in the stack file")),
                false => Ok(stack.functions.clone()),
            };
        }
        let find = |name: &String| {
            stack.function(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = stack.functions.iter().map(|f| f.name.as_str()).collect();
                Fault::not_found(format!("no functions matching \"{name}\" in the stack file"))
                    .hint(format!("there are {}", known.join(", ")))
            })
        };
        self.names.iter().map(find).collect()
    }

    /// The functions as containers, each with what it needs.
    fn containers(
        &self,
        functions: &[Function],
        stack: &Stack,
        catalogue: &Catalogue,
        context: &Context,
    ) -> Result<Vec<Container>> {
        let network = match &self.network {
            Some(network) => Some(network.clone()).filter(|name| !name.is_empty()),
            None if functions.len() > 1 => Some(format!("faas-local-run-{}", stack.name)),
            None => None,
        };
        let mut containers = Vec::new();
        for (nth, function) in functions.iter().enumerate() {
            let name = &function.name;
            let mut environment = function.environment.clone();
            let namespace = function.namespace.clone().unwrap_or_else(|| "openfaas-fn".into());
            environment.extend(self.env.iter().cloned());
            environment.extend([
                ("OPENFAAS_NAME".to_owned(), name.clone()),
                ("OPENFAAS_NAMESPACE".to_owned(), namespace),
                ("jwt_auth_local".to_owned(), "true".to_owned()),
            ]);
            if let Some(process) = process(function, catalogue) {
                environment.entry("fprocess".to_owned()).or_insert(process);
            }
            let (memory, warning) = match &function.limits.memory {
                Some(text) => container::memory(text).map(|(bytes, warning)| (Some(bytes), warning))?,
                None => (None, None),
            };
            warning.iter().for_each(|warning| context.out.warn(format_args!("{name}: {warning}")));
            containers.push(Container {
                name: name.clone(),
                image: tag::reference(function, self.build.options(context)?.tag, &stack.origin.root)?,
                port: self.port_of(nth)?,
                network: network.clone(),
                environment,
                read_only: function.read_only,
                memory,
                nano_cpus: function.limits.cpu.as_deref().map(container::cpu).transpose()?,
                secrets: self.secrets(function, stack)?,
            });
        }
        Ok(containers)
    }

    fn port_of(&self, nth: usize) -> Result<u16> {
        let taken = || Fault::usage(format!("there is no port {nth} after {}", self.port));
        if self.port != 0 {
            return u16::try_from(nth).ok().and_then(|nth| self.port.checked_add(nth)).ok_or_else(taken);
        }
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        free.map(|address| address.port()).map_err(|e| Fault::failed("there is no free port").cause(e))
    }

    /// The function's secrets, from `.secrets/` beside the stack file. What is only printed has no values.
    fn secrets(&self, function: &Function, stack: &Stack) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>> {
        let folder = stack.origin.root.join(".secrets");
        let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
        for name in &function.secrets {
            let path = folder.join(name);
            if self.print {
                values.insert(name.clone(), Zeroizing::default());
            } else if path.is_file() {
                values.insert(name.clone(), super::secret::file::read(&path, &PathBuf::from(".secrets").join(name))?);
            } else {
                missing.push(name.as_str());
            }
        }
        match missing.is_empty() {
            true => Ok(values),
            false => Err(Fault::not_found(format!("{}: files of secrets are missing", function.name)).hint(format!(
                "create the following secrets ({}) in: {:?}",
                missing.join(", "),
                folder.display().to_string()
            ))),
        }
    }

    /// Builds, starts and follows; whatever happens, nothing of it runs afterwards.
    fn session(&self, functions: &[Function], stack: &Stack, context: &Context) -> Result<End> {
        let catalogue = Catalogue::new(&stack.origin.root);
        let project = Project::new(context, &stack.origin.root, &stack.configuration.copy, &catalogue);
        let containers = self.containers(functions, stack, &catalogue, context)?;
        if self.build_first {
            // By a project of its own, which holds the build folder no longer than that: it is built in again later.
            let project = Project::new(context, &stack.origin.root, &stack.configuration.copy, &catalogue);
            let (options, progress) = (self.build.options(context)?, progress::for_output(&context.out));
            let kind = |_: &Function| ArtifactKind::Image;
            let parallel = self.build.parallel();
            let work = build::build_all(functions, kind, &project, &options, parallel, progress.as_ref());
            runtime::block_on_parallel(async { work.await.together() })?;
        }
        let own_network = containers.first().and_then(|one| one.network.clone()).filter(|_| self.network.is_none());
        let ended = runtime::block_on_parallel(self.keep(
            functions,
            &containers,
            own_network.as_deref(),
            stack,
            &project,
            context,
        ));
        // By a runtime of its own: the first was dropped when Ctrl-C came. A new connection goes with it.
        let cleared = runtime::block_on(async {
            let engine = build::engine::Engine::connect(&project).await?;
            let gone = containers.iter().map(|one| container::remove(&engine, &one.name));
            let gone: Vec<Result<bool>> = futures_util::future::join_all(gone).await;
            if let Some(network) = &own_network {
                container::remove_network(&engine, network).await;
            }
            gone.into_iter().find_map(Result::err).map_or(Ok(()), Err)
        });
        let ended = ended?;
        cleared.map(|()| ended)
    }

    async fn keep(
        &self,
        functions: &[Function],
        containers: &[Container],
        own_network: Option<&str>,
        stack: &Stack,
        project: &Project<'_>,
        context: &Context,
    ) -> Result<End> {
        let options = self.build.options(context)?;
        let engine = project.engine().await?;
        if let Some(network) = own_network {
            container::network(engine, network).await?;
        }
        let several = containers.len() > 1;
        let (mut following, mut starts) = (FuturesUnordered::new(), HashMap::new());
        let follow = |name: String, start: u32| async move {
            let prefix = if several { format!("{name} | ") } else { String::new() };
            let code = container::follow(engine, &name, |text, is_error| say(text, &prefix, is_error)).await;
            (name, start, code)
        };
        for one in containers {
            one.start(engine).await?;
            let host = if one.network.as_deref() == Some("host") { 8080 } else { one.port };
            let line = format!("Starting local-run for: {} on: http://0.0.0.0:{host}\n\n", one.name);
            context.out.result(&serde_json::json!({ "name": one.name, "port": host, "image": one.image }), || line)?;
            starts.insert(one.name.clone(), 0);
            following.push(follow(one.name.clone(), 0));
        }
        let mut watch = match self.watch {
            true => {
                let mut watch = Watch::new()?;
                watch.cover(&stack.origin.root, functions)?;
                Some(watch)
            }
            false => None,
        };
        let file = stack.origin.root.join(PathBuf::from(&stack.origin.name).file_name().unwrap_or_default());
        loop {
            let changed = async {
                match &mut watch {
                    Some(watch) => watch.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((name, start, code)) = following.next() => {
                    // One that was started again has ended for that.
                    if starts.get(&name) != Some(&start) {
                        continue;
                    }
                    match code? {
                        0 if !self.watch && following.is_empty() => return Ok(End::Done),
                        code if self.watch => context.out.note(format_args!("{name} ended with exit code {code}")),
                        0 => {}
                        code => return Err(Fault::failed(format!("{name} ended with exit code {code}"))),
                    }
                }
                paths = changed => match touched(&paths, &stack.origin.root, &file, functions) {
                    None => {}
                    Some(Touched::Stack) => return Ok(End::Reload),
                    Some(Touched::Functions(names)) => {
                        for (function, one) in functions.iter().zip(containers).filter(|(f, _)| names.contains(&f.name)) {
                            let start = starts.entry(one.name.clone()).and_modify(|start| *start += 1).or_default();
                            match self.again(function, one, stack, project, &options, context).await {
                                Ok(()) => following.push(follow(one.name.clone(), *start)),
                                // What could not be built leaves what runs as it is.
                                Err(fault) => {
                                    *start -= 1;
                                    context.out.fault(&fault);
                                }
                            }
                        }
                    }
                },
            }
        }
    }

    /// Builds a function again, its template read anew, and puts the new container in the place of the old.
    async fn again(
        &self,
        function: &Function,
        one: &Container,
        stack: &Stack,
        project: &Project<'_>,
        options: &Options,
        context: &Context,
    ) -> Result<()> {
        let catalogue = Catalogue::new(&stack.origin.root);
        let fresh = Project::new(context, &stack.origin.root, &stack.configuration.copy, &catalogue);
        let progress = progress::for_output(&context.out);
        build::build(function, ArtifactKind::Image, &fresh, options, progress.as_ref()).await?;
        one.start(project.engine().await?).await?;
        context.out.note(format_args!("{} was started again", function.name));
        Ok(())
    }
}

/// The process that the watchdog starts: the function's own, else its template's.
fn process(function: &Function, catalogue: &Catalogue) -> Option<String> {
    let template = || {
        let is_own = function.lang.is_empty() || function.lang.eq_ignore_ascii_case("dockerfile");
        if is_own { None } else { catalogue.get(&function.lang).ok()?.manifest.fprocess.clone() }
    };
    function.process.clone().or_else(template).filter(|process| !process.is_empty())
}

/// What a container says, to where it says it; that nobody listens is no matter.
fn say(text: &[u8], prefix: &str, is_error: bool) {
    let text = String::from_utf8_lossy(text);
    let text: String = text.split_inclusive('\n').map(|line| format!("{prefix}{line}")).collect();
    let _ = match is_error {
        true => std::io::stderr().write_all(text.as_bytes()),
        false => std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()),
    };
}
