//! `faas new`: a function from a template, and the stack file that it is in; all of it or nothing.
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Global, compat};
use crate::context::Context;
use crate::error::{Fault, Kind, Result};
use crate::function::Resources;
use crate::output::Dialect;
use crate::problem::Problem;
use crate::stack::{self, NewFunction, ProviderKind, edit, find};
use crate::template::{Catalogue, Template};
use platform::Fit;
use write::Wanted;

mod ask;
mod platform;
mod write;

/// Make a function from a template, and its stack file
#[derive(Args)]
#[command(after_help = "Examples:\n  faas new tax --lang python3\n  faas new vat --lang node --append stack.yml\n  \
                        faas new old --lang python3 --shape lambda --provider lambda\n  faas new --list")]
pub struct New {
    /// The function's name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The template to make it from; `--list` names them
    #[arg(long, value_name = "LANG")]
    lang: Option<String>,
    /// The handler's shape, as request, event, server or lambda, where the template has several
    #[arg(long, value_name = "SHAPE", conflicts_with = "list")]
    shape: Option<String>,
    /// The platform that it is for [default: local]
    #[arg(long, value_name = "NAME", value_parser = ["local", "openfaas", "knative", "lambda"])]
    provider: Option<String>,
    /// The folder for the handler [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    handler: Option<String>,
    /// What stands before the image's name: a registry and an account
    #[arg(short, long, env = "OPENFAAS_PREFIX", value_name = "PREFIX")]
    prefix: Option<String>,
    /// The gateway's address
    #[arg(short, long, env = "OPENFAAS_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    gateway: String,
    /// The most memory it may use, as 128Mi
    #[arg(long, value_name = "MEMORY")]
    memory_limit: Option<String>,
    /// The most CPU it may use, as 100m
    #[arg(long, value_name = "CPU")]
    cpu_limit: Option<String>,
    /// The memory it is given at least
    #[arg(long, value_name = "MEMORY")]
    memory_request: Option<String>,
    /// The CPU it is given at least
    #[arg(long, value_name = "CPU")]
    cpu_request: Option<String>,
    /// Add it to this stack file
    #[arg(short, long, value_name = "FILE")]
    append: Option<PathBuf>,
    /// List the templates
    #[arg(long)]
    list: bool,
    /// Leave out the notes
    #[arg(short = 'q')]
    brief: bool,
}

/// What was made.
#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    lang: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<&'a str>,
    handler: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    stack: String,
}

impl New {
    /// Runs it.
    pub fn run(mut self, context: &Context, global: &Global) -> Result<()> {
        let dialect = context.out.dialect;
        let stack = self.stack_path(context, global);
        self.other_provider(&stack, context);
        self.provider = self.provider.or_else(|| compat::ways::new_provider(dialect));
        let root = stack.parent().unwrap_or(&context.cwd).to_owned();
        let catalogue = Catalogue::new(&root);
        if self.list {
            return list(&catalogue, context);
        }
        let name = match self.name.take() {
            Some(name) => name,
            None => ask::name(context)?,
        };
        let name = name.as_str();
        check_name(name)?;
        let lang = match self.lang.as_deref() {
            Some(lang @ ("python" | "python27")) => {
                context.out.warn(format!("the language `{lang}` has ended: `python3` is used"));
                "python3".to_owned()
            }
            Some(lang) if lang.eq_ignore_ascii_case("dockerfile") => "dockerfile".to_owned(),
            Some(lang) => lang.to_owned(),
            None => {
                // A stack file that is there has its platform already.
                let chosen = ask::ask(
                    &catalogue,
                    context,
                    self.shape.as_deref(),
                    self.provider.is_some() || self.append.is_some(),
                )?;
                self.provider = self.provider.or(chosen.provider);
                self.shape = self.shape.or(chosen.shape);
                chosen.lang
            }
        };
        if !catalogue.has(&lang) {
            super::template::missing::TemplateFlags::complete_one(&lang, &root, context)
                .map_err(|fault| meant(fault, &lang, &catalogue))?;
        }
        let template = catalogue.get(&lang)?;
        let shape = match self.shape.as_deref() {
            Some(name) => Some(template.shape(name)?),
            None => template.shapes().first(),
        };
        if let Some(why) = &template.manifest.unproven {
            context.out.warn(format!("the template `{lang}` was never run by the tests of faas: {why}"));
        }
        let handler = match self.handler.as_deref() {
            Some(given) => compat::ways::handler(dialect, given),
            None => format!("./{name}"),
        };
        if dialect == Dialect::Faas {
            is_free(&handler, name)?;
        }
        let prefix = self.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/')).filter(|p| !p.is_empty());
        let appends = self.append.is_some();
        let fit = Fit { named: self.named(&stack), name, prefix, template: &template, appends };
        let platform = fit.platform(context);
        let image = fit.image(platform, context)?;
        let function = NewFunction {
            name: name.to_owned(),
            lang: lang.clone(),
            handler: handler.clone(),
            image: image.clone(),
            lambda_image: platform == ProviderKind::Lambda
                && template.manifest.lambda.is_none()
                && template.name != "dockerfile",
            limits: Resources { memory: self.memory_limit.clone(), cpu: self.cpu_limit.clone() },
            requests: Resources { memory: self.memory_request.clone(), cpu: self.cpu_request.clone() },
        };
        if !root.is_dir() {
            let shown = root.strip_prefix(&context.cwd).unwrap_or(&root).display();
            return Err(Fault::usage(format!("there is no folder {shown} for the stack file")).hint("make it first"));
        }
        // Held until the end: of two that add to one file at once, the second reads what the first has written.
        let lock = write::lock(&root);
        let text = self.stack_text(&stack, platform, &function, context)?;
        self.check(&text, &stack, &function, context)?;
        let folder = root.join(&handler);
        let named = shape.map(|shape| shape.name.as_str());
        let wanted = Wanted {
            root: &root,
            folder: &folder,
            stack: &stack,
            text: &text,
            template: &template,
            shape: named,
            name,
        };
        if lock.is_some() {
            write::sweep(&root);
        }
        crate::runtime::whole(|may_end| write::write(&wanted, self.append.is_some(), may_end))?;
        write::ignore(&root, compat::ways::ignored(dialect), context);
        let shown = stack.strip_prefix(&context.cwd).unwrap_or(&stack).display().to_string();
        let image = image.as_deref();
        let made = Made { name, lang: &lang, shape: named, handler: &handler, image, stack: shown };
        let notes = template.manifest.welcome_message.as_deref().filter(|_| !self.brief);
        let told = |_| compat::words::made(made.handler, &made.stack, self.append.is_some(), notes);
        context.out.answer(&made, || self.said(&made, &template, context), told)
    }

    fn stack_path(&self, context: &Context, global: &Global) -> PathBuf {
        match (&self.append, &global.yaml) {
            (Some(path), _) => context.absolute(path),
            (None, Some(path)) => context.absolute(Path::new(path)),
            (None, None) => find(&context.cwd)
                .unwrap_or_else(|| context.cwd.join(compat::ways::new_stack_file(context.out.dialect))),
        }
    }

    /// Says that a stack file which is added to has its platform already.
    fn other_provider(&self, stack: &Path, context: &Context) {
        let Some(asked) = self.provider.as_deref().filter(|_| self.append.is_some()) else { return };
        let there = self.named(stack).unwrap_or(ProviderKind::Local);
        if ProviderKind::from_name(asked) != Some(there) && stack.is_file() {
            let shown = stack.strip_prefix(&context.cwd).unwrap_or(stack).display();
            let there = there.as_str();
            context.out.warn(format!("--provider {asked} is left out: {shown} is for {there}, with all its functions"));
        }
    }

    /// The platform that is named for the function: by the stack file, where one is added to.
    fn named(&self, stack: &Path) -> Option<ProviderKind> {
        match &self.append {
            Some(_) => std::fs::read_to_string(stack).ok().and_then(|text| edit::provider(&text)),
            None => self.provider.as_deref().and_then(ProviderKind::from_name),
        }
    }

    /// The text of the stack file with the function in it.
    fn stack_text(
        &self,
        stack: &Path,
        platform: ProviderKind,
        function: &NewFunction,
        context: &Context,
    ) -> Result<String> {
        let shown = stack.strip_prefix(&context.cwd).unwrap_or(stack).display();
        if self.append.is_some() {
            let text = std::fs::read_to_string(stack).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Fault::not_found(format!("there is no stack file {shown} to add to"))
                    .hint("leave --append out to make one"),
                _ => Fault::usage(format!("can't read {shown}")).cause(error),
            })?;
            return edit::append(&text, &shown.to_string(), function);
        }
        if stack.exists() {
            return Err(Fault::usage(format!("{shown} is there already")).hint(format!(
                "add the function to it: `faas new {} --lang {} --append {shown}`",
                function.name, function.lang
            )));
        }
        Ok(edit::fresh(platform, &self.gateway, function))
    }

    /// That `faas validate` will take what is about to be written. What was wrong in the file before is not looked at.
    fn check(&self, text: &str, stack: &Path, function: &NewFunction, context: &Context) -> Result<()> {
        let fresh = self.append.is_none();
        if fresh && !self.gateway.is_empty() {
            crate::wire::client::parse_address(&self.gateway)?;
        }
        let shown = stack.strip_prefix(&context.cwd).unwrap_or(stack).display().to_string();
        let lookup = |name: &str| context.env.raw(name).map(str::to_owned);
        let unread = |_: &Path| Ok(String::new());
        let options = stack::Options {
            lookup: &lookup,
            substitute: true,
            target: None,
            strict: false,
            filter: None,
            regex: None,
            read: &unread,
        };
        let root = stack.parent().unwrap_or(&context.cwd).to_owned();
        let Err(fault) = stack::parse(text.as_bytes(), stack::Origin { name: shown, root }, &options) else {
            return Ok(());
        };
        let own = format!("functions.{}.", function.name);
        let problems: Vec<Problem> =
            fault.problems.into_iter().filter(|p| p.is_error() && (fresh || p.field.starts_with(&own))).collect();
        let Some(first) = problems.first() else { return Ok(()) };
        let mut fault = Fault::usage(format!("{}; nothing was written", first.message));
        fault.hint.clone_from(&first.hint);
        Err(fault)
    }

    fn said(&self, made: &Made<'_>, template: &Template, context: &Context) -> String {
        if context.out.quiet {
            return String::new();
        }
        let mut text = format!("Function created in folder: {}\nStack file written: {}\n", made.handler, made.stack);
        if self.brief {
            return text;
        }
        let first = template.shapes().first().map(|shape| shape.name.as_str());
        let other = template.shapes().iter().find(|shape| made.shape == Some(&*shape.name) && made.shape != first);
        if let Some(shape) = other {
            text += &format!("\nNotes:\nYour function's shape is `{}`: {}\n", shape.name, shape.description);
        } else if let Some(notes) = &template.manifest.welcome_message {
            text += &format!("\nNotes:\n{}\n", notes.trim_end());
        }
        // The stack file that commands find here by themselves needs no word.
        let found = find(&context.cwd).is_some_and(|found| found == context.cwd.join(&made.stack));
        let file = if found { String::new() } else { format!(" -f {}", shell_words::quote(&made.stack)) };
        text += &format!("\nNext:\n  faas up{file}\n  echo hello | faas invoke {}{file}\n", made.name);
        text
    }
}

fn list(catalogue: &Catalogue, context: &Context) -> Result<()> {
    let list = catalogue.list();
    let names: Vec<&str> = list.iter().map(|summary| summary.name.as_str()).collect();
    context.out.result(&names, || {
        let unproven = |why: &str| if why.is_empty() { String::new() } else { format!(" (never run by tests: {why})") };
        let lines: String = list.iter().map(|one| format!("- {}{}\n", one.name, unproven(&one.unproven))).collect();
        format!("Languages available as templates:\n{lines}")
    })
}

/// The fault of a language that nobody knows, with the one that was probably meant; its number may be missing.
fn meant(fault: Fault, lang: &str, catalogue: &Catalogue) -> Fault {
    let list = catalogue.list();
    let names = || list.iter().map(|one| one.name.as_str());
    let plain = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let bare: Vec<String> = names().map(plain).collect();
    let near = stack::nearest(lang, names()).or_else(|| {
        let near = stack::nearest(&plain(lang), bare.iter().map(String::as_str))?;
        names().find(|name| plain(name) == near)
    });
    match near.filter(|_| fault.kind == Kind::NotFound) {
        Some(near) => fault.hint(format!("did you mean `{near}`? `faas new --list` names all")),
        None => fault,
    }
}

/// Refuses what can't be a function's name, with one that can.
///
/// # Errors
/// A usage fault.
pub(super) fn check_name(name: &str) -> Result<()> {
    stack::check_name(name).map_err(|why| {
        let mut fault = Fault::usage(format!("`{name}` can't be a function's name: {why}"));
        fault.hint = stack::better_name(name).map(|better| format!("`{better}` can"));
        fault
    })
}

/// Refuses a handler's folder in one that is kept for something else.
fn is_free(handler: &str, name: &str) -> Result<()> {
    let first = Path::new(handler).components().find(|part| *part != std::path::Component::CurDir);
    let what = match first.and_then(|part| part.as_os_str().to_str()) {
        None => {
            let fault = Fault::usage(format!("the handler can't be in the stack file's own folder (`{handler}`)"));
            return Err(fault.hint(format!("give it a folder of its own, as by `--handler ./{name}`")));
        }
        Some("~") => {
            return Err(Fault::usage(format!("`{handler}` is no folder: `~` was not replaced by the shell"))
                .hint("it is at the start of a word only: `--handler ~/FOLDER`, or write $HOME"));
        }
        Some("build") => "where builds go, which git ignores",
        Some("template") => "where templates are",
        _ => return Ok(()),
    };
    Err(Fault::usage(format!("the handler can't be in {handler}: that folder is {what}"))
        .hint(format!("choose another folder, as by `--handler ./{name}-handler`")))
}
