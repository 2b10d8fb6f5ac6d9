//! The stack file: text in, [`Stack`] out. Substitution, overlay, validation, selection and editing; no network, no
//! environment, no files but those that [`Options::read`] reads.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Code, Fault, Result};
use crate::function::{Function, Resources};
use crate::problem::{Place, Problem};

mod check;
mod compose;
pub mod duration;
pub mod edit;
mod forms;
mod function;
mod inserted;
mod node;
mod overlay;
mod provider;
mod read;
mod report;
pub mod schema;
mod select;
mod source;
mod substitute;
pub mod values;

pub use check::{better_name, image as check_image, name as check_name};
use report::{Field, Report};
pub use schema::nearest;
pub use select::pattern;
use source::{Source, Span};

/// A stack file is smaller than this, in bytes.
pub const MOST_BYTES: usize = 10 * 1024 * 1024;

/// How a stack file is read.
pub struct Options<'a> {
    /// Variables for `${…}`; `None` is unset, which differs from empty.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Whether `${…}` is replaced at all.
    pub substitute: bool,
    /// The overlay under `targets:`.
    pub target: Option<&'a str>,
    /// Whether unknown keys are errors.
    pub strict: bool,
    /// Only functions whose name is this; `*` stands for anything.
    pub filter: Option<&'a str>,
    /// Only functions whose name matches this regular expression somewhere.
    pub regex: Option<&'a str>,
    /// Reads a file that the stack names (`environment_file`), by its absolute path.
    pub read: &'a dyn Fn(&Path) -> std::io::Result<String>,
}

/// Where a stack file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its name as the user gave it, for messages.
    pub name: String,
    /// What paths in it are relative to; absolute.
    pub root: PathBuf,
}

/// Which platform functions go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// The platform embedded in this binary.
    #[default]
    Local,
    /// An OpenFaaS gateway.
    OpenFaas,
    /// Knative Serving.
    Knative,
    /// AWS Lambda.
    Lambda,
}

impl ProviderKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Local, Self::OpenFaas, Self::Knative, Self::Lambda];

    /// Its name in the stack file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::OpenFaas => "openfaas",
            Self::Knative => "knative",
            Self::Lambda => "lambda",
        }
    }

    /// The kind by its name in the stack file.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// `provider:`
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Provider {
    /// `name:`
    pub kind: ProviderKind,
    /// The gateway's URL, as written.
    pub gateway: Option<String>,
    /// `knative:` as it is; `null` when there is none.
    pub knative: serde_json::Value,
    /// `lambda:` as it is; `null` when there is none.
    pub lambda: serde_json::Value,
}

/// `configuration:`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Configuration {
    /// Templates that the functions need.
    pub templates: Vec<TemplateSource>,
    /// Extra paths for every handler's folder, absolute.
    pub copy: Vec<PathBuf>,
}

/// An item of `configuration.templates:`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateSource {
    /// The template's name.
    pub name: String,
    /// The repository that it comes from; `None` is the store's.
    pub source: Option<String>,
}

/// A function to be written into a stack file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFunction {
    /// Its name.
    pub name: String,
    /// The template's name.
    pub lang: String,
    /// The handler's folder, relative to the stack file, as `./tax`.
    pub handler: String,
    /// The image's name, where it becomes one.
    pub image: Option<String>,
    /// The most it may use.
    pub limits: Resources,
    /// What it is given at least.
    pub requests: Resources,
    /// Whether it goes to Lambda as an image although its template could be packed otherwise, or not at all.
    pub lambda_image: bool,
}

/// A stack file, read.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The owner's mark on everything deployed from it: `name:`, else the folder's name.
    pub name: String,
    /// Whether `name:` says so; a folder's name may be that of another project's, too.
    pub named: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// Which platform its functions go to.
    pub provider: Provider,
    /// Templates and extra paths.
    pub configuration: Configuration,
    /// The selected functions, in the order of the file.
    pub functions: Vec<Function>,
    /// The names of all functions, those that were not selected too.
    pub names: Vec<String>,
    /// The names under `targets:`.
    pub targets: Vec<String>,
    /// The target that was laid over it.
    pub target: Option<String>,
    /// What is odd, but stops nobody.
    pub warnings: Vec<Problem>,
    source: Arc<Source>,
}

impl Stack {
    /// The function of that name, among the selected ones.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }

    /// Where a field stands, by its dotted path as `functions.tax.timeout`: its value, else the nearest thing around
    /// it that is there. It reads the text again, so it is for problems only.
    #[must_use]
    pub fn place(&self, field: &str) -> Option<Place> {
        self.places(&[field]).pop().flatten()
    }

    /// The places of several fields, as [`Stack::place`] has them, for one reading of the text.
    #[must_use]
    pub fn places(&self, fields: &[&str]) -> Vec<Option<Place>> {
        let mut report = Report::new(&self.source, false);
        let Some(mut root) = compose::compose(&self.source, &mut report) else { return vec![None; fields.len()] };
        if let Some(target) = &self.target {
            overlay::apply(&mut root, target, &mut report);
        }
        fields.iter().map(|field| span_of(&root, field).map(|span| self.source.place(span))).collect()
    }
}

/// Where a field stands, or the nearest thing around it.
fn span_of(root: &node::Node, field: &str) -> Option<Span> {
    let (mut node, mut rest, mut span) = (root, field, None);
    while !rest.is_empty() {
        // Keys may have dots in them: the longest that fits is meant.
        let fits = |key: &str| rest.strip_prefix(key).is_some_and(|after| after.is_empty() || after.starts_with('.'));
        let Some(entry) = node.entries().iter().filter(|e| fits(&e.key)).max_by_key(|e| e.key.len()) else { break };
        rest = rest[entry.key.len()..].trim_start_matches('.');
        let scalar = matches!(entry.node.value, node::Value::Scalar { .. });
        span = Some(if scalar { entry.node.span } else { entry.span });
        node = &entry.node;
    }
    span
}

/// The stack file of a folder: `stack.yaml`, else `stack.yml`.
#[must_use]
pub fn find(cwd: &Path) -> Option<PathBuf> {
    ["stack.yaml", "stack.yml"].into_iter().map(|name| cwd.join(name)).find(|path| path.is_file())
}

/// Reads a stack file.
///
/// # Errors
/// Everything wrong with it, in one fault ([`crate::error::Kind::Usage`]); no function selected
/// ([`crate::error::Kind::NotFound`]).
pub fn parse(bytes: &[u8], origin: Origin, options: &Options) -> Result<Stack> {
    let source = Arc::new(source_of(bytes, &origin, options)?);
    let mut report = Report::new(&source, options.strict);
    let Some(mut root) = compose::compose(&source, &mut report) else {
        return Err(if report.failed() { invalid(&origin, report) } else { empty(&origin) });
    };
    if !matches!(root.value, node::Value::Map(_)) {
        if root.is_null() {
            return Err(empty(&origin));
        }
        let message = format!("a stack file is a mapping (`provider:`, `functions:`), this is {}", root.kind());
        report.error(&Field::ROOT, root.span, message);
        return Err(invalid(&origin, report));
    }
    report.unknown_keys_of_stack(&root);
    overlay::check(&root, &mut report);
    let targets: Vec<String> =
        root.get("targets").map(|t| t.entries().iter().map(|e| e.key.to_string()).collect()).unwrap_or_default();
    let target = options.target.filter(|t| !t.is_empty());
    if let Some(name) = target
        && !overlay::apply(&mut root, name, &mut report)
    {
        let names: Vec<&str> = targets.iter().map(String::as_str).collect();
        let hint = overlay::hint(name, &names);
        return Err(Fault::usage(format!("{} has no target `{name}`", origin.name))
            .code(Code::TARGET_MISSING)
            .hint(hint.unwrap_or_else(|| format!("add it under `targets:`, as `targets: {{{name}: {{…}}}}`"))));
    }

    provider::version(&mut report, &root);
    let name = provider::name(&mut report, &root, &origin.root);
    let named = root.get("name").is_some();
    let provider = provider::provider(&mut report, &root);
    let configuration = provider::configuration(&mut report, &root, &origin.root);
    let mut functions = Vec::new();
    if let Some(node) = root.get("functions") {
        let top = Field::ROOT;
        let field = top.key("functions");
        let entries = report.entries(&field, node);
        let mut reader = function::Functions::new(&mut report, &origin.root, options.read);
        functions = entries.iter().map(|entry| reader.function(&field, entry)).collect();
    }
    if report.failed() {
        return Err(invalid(&origin, report));
    }
    let warnings = report.finish();
    drop(root);
    let names = functions.iter().map(|function| function.name.clone()).collect();
    select::select(&mut functions, options.filter, options.regex)?;
    provider::defaults(&provider, &mut functions);
    let target = target.map(str::to_owned);
    Ok(Stack { name, named, origin, provider, configuration, functions, names, targets, target, warnings, source })
}

impl Report<'_> {
    fn unknown_keys_of_stack(&mut self, root: &node::Node) {
        for entry in root.entries() {
            let known = schema::STACK.has(&entry.key) || schema::is_private(&entry.key);
            // A mapping with an anchor is there to be merged elsewhere.
            if !known && !entry.node.anchored {
                let top = Field::ROOT;
                self.unknown(&top.key(&entry.key), entry.span, &schema::STACK);
            }
        }
    }
}

/// The text of the file, substituted.
fn source_of(bytes: &[u8], origin: &Origin, options: &Options) -> Result<Source> {
    if bytes.len() > MOST_BYTES {
        return Err(too_big(&origin.name));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Fault::usage(format!("{} is UTF-16 text", origin.name)).hint("save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text,
        result => {
            let at = result.map_or_else(|e| e.valid_up_to(), |text| text.find('\0').unwrap_or(0));
            let source = Source::new(&origin.name, String::from_utf8_lossy(bytes));
            let mut report = Report::new(&source, false);
            // Up to the first bad byte the lossy text is the same.
            report
                .error(&Field::ROOT, Span { start: at, end: at + 1 }, "this isn't text: a stack file is UTF-8")
                .hint = Some(format!("look at the file: is {} the one you meant?", origin.name));
            return Err(invalid(origin, report));
        }
    };
    let source = Source::new(&origin.name, text);
    if !options.substitute {
        return Ok(source);
    }
    match substitute::substitute(text, options.lookup) {
        Ok((_, pieces)) if pieces.is_empty() => Ok(source),
        Ok((new, _)) if new.len() > MOST_BYTES => Err(too_big(&origin.name)),
        Ok((new, pieces)) => {
            let new = new.into_owned();
            Ok(source.substituted(new, pieces))
        }
        Err(mistakes) => {
            let mut report = Report::new(&source, false);
            for mistake in mistakes {
                report.add_written(mistake.at, Problem::error("", mistake.message)).hint = Some(mistake.hint);
            }
            Err(invalid(origin, report))
        }
    }
}

/// The fault of a file that is over [`MOST_BYTES`].
#[must_use]
pub fn too_big(name: &str) -> Fault {
    Fault::usage(format!("{name} is too big for a stack file: more than {} MiB", MOST_BYTES / 1024 / 1024))
        .hint("is it the file you meant?")
}

fn empty(origin: &Origin) -> Fault {
    Fault::usage(format!("{} is empty", origin.name)).hint("`faas new NAME --lang python3` writes a stack file")
}

fn invalid(origin: &Origin, report: Report) -> Fault {
    let problems = report.finish();
    let count = |errors: bool| problems.iter().filter(|p| p.is_error() == errors).count();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut told = plural(count(true), "error");
    if count(false) > 0 {
        told += &format!(", {}", plural(count(false), "warning"));
    }
    Fault::usage(format!("{} is not valid: {told}", origin.name)).code(Code::STACK_INVALID).problems(problems)
}
