//! Completions with live values: what the shell asks for while the user types. Each value is looked up only when it is
//! asked for; what can't be looked up in a moment completes to nothing.
use std::ffi::OsStr;
use std::time::Duration;

use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::session::{GatewayFlags, Session};
use super::{Global, stack_file};
use crate::backend::Scope;
use crate::context::{Context, Dirs, Env};
use crate::error::Code;
use crate::output::{Format, Output};
use crate::stack::Stack;
use crate::template::{Catalogue, store};

/// Nobody waits longer for a completion.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Where functions' names are asked for: commands, and the argument.
const FUNCTIONS: [(&str, &str); 10] = [
    ("invoke", "name"),
    ("logs", "name"),
    ("describe", "name"),
    ("deployments", "name"),
    ("scale", "name"),
    ("ready", "name"),
    ("remove", "names"),
    ("test", "names"),
    ("rollout", "name"),
    ("revisions", "name"),
];

/// The whole tree, with what its arguments may be set to here and now.
pub fn live(tree: Command) -> Command {
    let tree = with(tree, "target", targets);
    let tree = with(tree, "filter", functions);
    let names: Vec<String> = tree.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(tree, |tree, name| {
        tree.mut_subcommand(name.clone(), |mut command| {
            for (_, argument) in FUNCTIONS.iter().filter(|(of, _)| *of == name) {
                command = everywhere(command, argument, functions);
            }
            match name.as_str() {
                "secret" => {
                    for of in ["remove", "update"] {
                        command = below(command, of, |c| with(with(c, "name", secrets), "names", secrets));
                    }
                }
                "rollout" => {
                    command = everywhere(command, "revision", revisions);
                    command = everywhere(command, "to", deployments);
                    command = everywhere(command, "shares", revisions);
                }
                "revisions" => command = everywhere(command, "revision", revisions),
                "deployments" => command = everywhere(command, "deployment", deployments),
                "target" => command = everywhere(command, "name", targets),
                "explain" => command = with(command, "key", keys),
                "completion" => command = with(with(command, "shell", shells), "shell_flag", shells),
                "generate" => command = with(command, "api", apis),
                "namespace" => command = everywhere(command, "name", namespaces),
                "template" => {
                    command = below(command, "pull", |c| with(c, "repository", repositories));
                    command = below(command, "store", |c| everywhere(c, "name", store_templates));
                }
                "new" => command = with(command, "shape", shapes),
                _ => {}
            }
            with(command, "lang", templates)
        })
    })
}

/// The command with a completer at its argument, where it has that.
fn with(command: Command, argument: &str, values: fn() -> Vec<CompletionCandidate>) -> Command {
    if !command.get_arguments().any(|have| have.get_id() == argument) {
        return command;
    }
    let completer = ArgValueCompleter::new(move |current: &OsStr| starting(current, values));
    // Each in its place: one that is taken out and put back would be the last of the positional ones.
    command.mut_args(|arg| if arg.get_id() == argument { arg.add(completer.clone()) } else { arg })
}

/// The same in the command and all below it.
fn everywhere(command: Command, argument: &str, values: fn() -> Vec<CompletionCandidate>) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = with(command, argument, values);
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |c| everywhere(c, argument, values)))
}

fn below(command: Command, name: &str, change: impl FnOnce(Command) -> Command) -> Command {
    match command.find_subcommand(name) {
        Some(_) => command.mut_subcommand(name, change),
        None => command,
    }
}

/// The values that begin as what is typed; after a comma, the next of a list.
fn starting(current: &OsStr, values: fn() -> Vec<CompletionCandidate>) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let (done, begun) = current.rfind(',').map_or(("", current), |at| current.split_at(at + 1));
    let fits = |value: &CompletionCandidate| value.get_value().to_str().is_some_and(|value| value.starts_with(begun));
    values().into_iter().filter(fits).map(|value| value.add_prefix(done)).collect()
}

/// What the command line says so far.
struct Line {
    context: Context,
    global: Global,
    words: Vec<String>,
}

impl Line {
    /// The words after the shell's own.
    fn read() -> Option<Self> {
        let words: Vec<String> = std::env::args().skip_while(|word| word != "--").skip(1).collect();
        let after = |flags: &[&str]| {
            let at = words.iter().position(|word| flags.contains(&word.as_str()))?;
            words.get(at + 1).cloned()
        };
        let env = Env::of_process();
        let out = Output::detect(Format::Table, true, &env);
        let dirs = Dirs::from_env(&env);
        let target = after(&["--target"]).or_else(|| env.get("FAAS_TARGET").map(str::to_owned));
        let global = Global { yaml: after(&["-f", "--yaml", "--file"]), target, envsubst: true, ..Global::default() };
        Some(Self { context: Context { env, cwd: std::env::current_dir().ok()?, dirs, out }, global, words })
    }

    /// The stack file, whatever state it is in; with the target only where it has that.
    fn stack(&self) -> Option<Stack> {
        let document = stack_file::read(&self.context, &self.global).ok()??;
        let with = |target| stack_file::parse(&self.context, &self.global, &document, target).ok();
        with(self.global.target.as_deref()).or_else(|| with(None))
    }

    /// The function that the line names: one of the stack's, else the first word that is no command.
    fn function(&self) -> Option<String> {
        const VERBS: [&str; 13] = [
            "faas",
            "rollout",
            "revisions",
            "deployments",
            "set",
            "undo",
            "promote",
            "status",
            "list",
            "show",
            "remove",
            "pause",
            "resume",
        ];
        let known: Vec<String> = self.stack().map(|stack| stack.names).unwrap_or_default();
        let named = |word: &&String| !word.starts_with('-') && !VERBS.contains(&word.as_str());
        self.words.iter().find(|word| known.contains(word)).or_else(|| self.words.iter().find(named)).cloned()
    }

    /// Asks the platform, for a moment.
    fn ask<T>(&self, question: impl AsyncFnOnce(&Session) -> Option<T>) -> Option<T> {
        let session = Session::open(&self.context, &self.global, &GatewayFlags::default()).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, question(&session)).await });
        runtime.shutdown_background();
        answer.ok()?
    }
}

fn candidate(name: impl Into<std::ffi::OsString>, help: impl Into<String>) -> CompletionCandidate {
    let help: String = help.into();
    CompletionCandidate::new(name.into()).help((!help.is_empty()).then(|| help.into()))
}

fn functions() -> Vec<CompletionCandidate> {
    let Some(line) = Line::read() else { return Vec::new() };
    if let Some(stack) = line.stack().filter(|stack| !stack.functions.is_empty()) {
        return stack.functions.iter().map(|f| candidate(&f.name, f.lang.clone())).collect();
    }
    let deployed = line.ask(async |session| {
        session.backend.observe(&Scope { namespace: session.namespace(), ..Scope::default() }).await.ok()
    });
    deployed.unwrap_or_default().into_iter().map(|f| candidate(f.name, f.image)).collect()
}

fn targets() -> Vec<CompletionCandidate> {
    let stack = Line::read().and_then(|line| line.stack());
    stack.map(|stack| stack.targets).unwrap_or_default().into_iter().map(|name| candidate(name, "")).collect()
}

fn templates() -> Vec<CompletionCandidate> {
    let Some(line) = Line::read() else { return Vec::new() };
    let root = line.stack().map_or_else(|| line.context.cwd.clone(), |stack| stack.origin.root.clone());
    Catalogue::new(&root).list().into_iter().map(|one| candidate(one.name, one.description)).collect()
}

fn secrets() -> Vec<CompletionCandidate> {
    let Some(line) = Line::read() else { return Vec::new() };
    let all = line.ask(async |session| {
        let namespace = session.namespace();
        session.backend.secrets()?.list(namespace.as_deref()).await.ok()
    });
    all.unwrap_or_default().into_iter().map(|secret| candidate(secret.name, "")).collect()
}

/// Those of the function that the line names.
fn revisions() -> Vec<CompletionCandidate> {
    let Some(line) = Line::read() else { return Vec::new() };
    let Some(name) = line.function() else { return Vec::new() };
    let all = line.ask(async |session| {
        let id = session.named(&name).ok()?;
        session.backend.traffic()?.revisions(&id).await.ok()
    });
    all.unwrap_or_default().into_iter().map(|one| candidate(one.name, format!("{} %", one.share))).collect()
}

/// Those of the function that the line names.
fn deployments() -> Vec<CompletionCandidate> {
    let Some(line) = Line::read() else { return Vec::new() };
    let Some(name) = line.function() else { return Vec::new() };
    let all = line.ask(async |session| session.backend.deployments(&session.named(&name).ok()?).await.ok());
    let words = |one: &crate::history::Record| [one.at.clone(), one.source()].into_iter().flatten().collect::<Vec<_>>();
    all.unwrap_or_default().into_iter().map(|one| candidate(one.id, words(&one.record).join(" "))).collect()
}

/// By its whole path, and by the end of it that people say.
fn keys() -> Vec<CompletionCandidate> {
    let paths = crate::stack::schema::explain::paths();
    let ends = paths.iter().filter_map(|path| path.strip_prefix("functions.NAME.")).map(str::to_owned);
    let mut all: Vec<String> = ends.chain(paths.iter().cloned()).collect();
    all.extend(Code::ALL.iter().map(|code| code.short()));
    all.into_iter().map(|key| candidate(key, "")).collect()
}

fn shells() -> Vec<CompletionCandidate> {
    clap_complete::env::Shells::builtins().names().map(|name| candidate(name, "")).collect()
}

fn apis() -> Vec<CompletionCandidate> {
    super::generate::APIS.into_iter().map(|name| candidate(name, "")).collect()
}

fn namespaces() -> Vec<CompletionCandidate> {
    let Some(line) = Line::read() else { return Vec::new() };
    let all = line.ask(async |session| session.backend.namespaces()?.list().await.ok());
    all.unwrap_or_default().into_iter().map(|name| candidate(name, "")).collect()
}

/// Those of the template that the line names, else all that there are.
fn shapes() -> Vec<CompletionCandidate> {
    let Some(line) = Line::read() else { return Vec::new() };
    let catalogue = Catalogue::new(&line.context.cwd);
    let named = line.words.iter().position(|word| word == "--lang").and_then(|at| line.words.get(at + 1));
    let names = match named {
        Some(lang) => vec![lang.clone()],
        None => catalogue.list().into_iter().map(|one| one.name).collect(),
    };
    let templates = names.iter().filter_map(|name| catalogue.get(name).ok());
    let mut all: Vec<(String, String)> = templates
        .flat_map(|one| one.shapes().iter().map(|s| (s.name.clone(), s.description.clone())).collect::<Vec<_>>())
        .collect();
    all.sort();
    all.dedup_by(|one, before| one.0 == before.0);
    all.into_iter().map(|(name, about)| candidate(name, if named.is_some() { about } else { String::new() })).collect()
}

/// What the catalogues have, or those inside this binary where the others don't answer in a moment.
fn catalogued() -> Vec<store::Entry> {
    let Some(line) = Line::read() else { return Vec::new() };
    let listed = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let store = super::template::catalogues(&line.context);
        let listed = runtime.block_on(async { tokio::time::timeout(PATIENCE, store.list()).await });
        runtime.shutdown_background();
        Some(listed.ok()?.ok()?.entries)
    };
    listed().unwrap_or_else(store::built_in)
}

fn store_templates() -> Vec<CompletionCandidate> {
    catalogued().into_iter().map(|entry| candidate(entry.name, entry.description)).collect()
}

/// What can be pulled as a whole: what the stack file names, and the repositories of the catalogues.
fn repositories() -> Vec<CompletionCandidate> {
    let mut all: Vec<String> = catalogued().into_iter().filter(|one| !one.built_in).map(|one| one.repository).collect();
    all.sort();
    all.dedup();
    let stack = candidate("stack", "those under configuration.templates");
    [stack].into_iter().chain(all.into_iter().map(|repository| candidate(repository, ""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An argument that was given another name would complete to nothing, and nobody would see it.
    #[test]
    fn every_argument_that_has_live_values_is_there() {
        fn has(command: &Command, argument: &str) -> bool {
            command.get_arguments().any(|arg| arg.get_id() == argument)
                || command.get_subcommands().any(|below| has(below, argument))
        }
        let tree = super::super::command();
        let others = [
            ("new", "lang"),
            ("new", "shape"),
            ("explain", "key"),
            ("target", "name"),
            ("completion", "shell"),
            ("completion", "shell_flag"),
            ("generate", "api"),
            ("namespace", "name"),
            ("template", "repository"),
            ("template", "name"),
        ];
        for (name, argument) in FUNCTIONS.into_iter().chain(others) {
            let command = tree.find_subcommand(name).unwrap_or_else(|| panic!("no {name}"));
            assert!(has(command, argument), "{name} has no {argument}");
        }
        live(tree).build();
    }

    #[test]
    fn a_list_goes_on_after_its_comma() {
        let values = || ["eu", "us"].into_iter().map(|name| candidate(name, "")).collect();
        let texts = |typed: &str| -> Vec<String> {
            let all = starting(OsStr::new(typed), values);
            all.iter().map(|value| value.get_value().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(texts("e"), ["eu"]);
        assert_eq!(texts("eu,"), ["eu,eu", "eu,us"]);
    }
}
