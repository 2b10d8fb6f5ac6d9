//! One entry under `functions:`, from node to [`Function`].
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::compose::compose;
use super::node::{Entry, Node, Value};
use super::read::absolute;
use super::report::{Field, Report};
use super::source::Source;
use super::{check, duration, schema};
use crate::function::{Function, Resources, Scale, UrlAccess};
use crate::problem::Problem;

/// How files named in the stack file are read.
pub type ReadFile<'o> = &'o dyn Fn(&Path) -> std::io::Result<String>;

/// Reads functions; files that several of them name are read once.
pub struct Functions<'r, 's, 'o> {
    report: &'r mut Report<'s>,
    root: &'o Path,
    read: ReadFile<'o>,
    files: HashMap<String, BTreeMap<String, String>>,
}

impl<'r, 's, 'o> Functions<'r, 's, 'o> {
    /// `root` is what paths are relative to.
    pub fn new(report: &'r mut Report<'s>, root: &'o Path, read: ReadFile<'o>) -> Self {
        Self { report, root, read, files: HashMap::new() }
    }

    /// The function, as much of it as is right.
    pub fn function(&mut self, functions: &Field, entry: &Entry) -> Function {
        let name = entry.key.as_ref();
        let field = functions.key(name);
        if let Err(why) = check::name(name) {
            let message = format!("`{name}` can't be a function's name: {why}");
            self.report.error(&field, entry.span, message).hint =
                check::better_name(name).map(|better| format!("call it `{better}`"));
        }
        let mut function = Function { name: name.into(), ..Function::default() };
        let mut files = Vec::new();
        let mut handler = None;
        for entry in self.report.entries(&field, &entry.node) {
            let (at, node) = (field.key(&entry.key), &entry.node);
            let report = &mut *self.report;
            match entry.key.as_ref() {
                "lang" | "handler" | "image" if tell_empty(report, &at, entry) => {}
                "lang" => function.lang = lang(report, &at, node),
                "handler" => handler = report.word(&at, node),
                "image" => function.build.image = image(report, &at, node),
                "fprocess" => function.process = report.word(&at, node),
                "environment" => {
                    variables(report, &at, node);
                    function.environment = report.map(&at, node);
                }
                "environment_file" => files = report.items(&at, node).iter().collect(),
                "secrets" => {
                    secrets(report, &at, node);
                    function.secrets = report.texts(&at, node);
                }
                "build_secrets" => {
                    let map = report.map(&at, node);
                    function.build.secrets = map.into_iter().map(|(k, v)| (k, absolute(self.root, &v))).collect();
                }
                "build_args" => function.build.args = report.map(&at, node),
                "build_options" => function.build.options = report.texts(&at, node),
                "skip_build" => function.build.skip = report.flag(&at, node).unwrap_or_default(),
                "constraints" => function.constraints = report.texts(&at, node),
                "labels" => function.labels = report.map(&at, node),
                "annotations" => function.annotations = report.map(&at, node),
                "limits" => function.limits = resources(report, &at, node),
                "requests" => function.requests = resources(report, &at, node),
                "readonly_root_filesystem" => function.read_only = report.flag(&at, node).unwrap_or_default(),
                "namespace" => function.namespace = namespace(report, &at, node),
                "platforms" => function.build.platforms = platforms(report, &at, node),
                "timeout" => function.timeout = report.duration(&at, node),
                "concurrency" => function.concurrency = report.count(&at, node),
                "scale" => function.scale = scale(report, &at, node),
                "schedule" => function.schedule = schedule(report, &at, node),
                "topic" => function.topics = words(report, &at, node),
                "domain" => function.domains = domains(report, &at, node),
                "url" => function.url = url(report, &at, node),
                platform @ ("knative" | "lambda") => {
                    let json = report.json(&at, node);
                    if !json.is_null() {
                        function.extra.insert(platform.into(), json);
                    }
                }
                key if schema::is_private(key) => {}
                _ => report.unknown(&at, entry.span, &schema::FUNCTION),
            }
        }
        if let Some(handler) = &handler {
            function.build.handler = absolute(self.root, handler);
        }
        for file in files {
            self.environment_file(&field, file, &mut function);
        }
        self.same_meaning(&field, &entry.node, &mut function);
        self.complete(&field, entry, &function);
        function
    }

    /// Says what a function lacks to be built or run.
    fn complete(&mut self, field: &Field, entry: &Entry, function: &Function) {
        let (build, name) = (&function.build, &function.name);
        // A wrong type has been told already; that the value is missing would be a second word on it.
        let source = self.report.source();
        let given = |key: &str| {
            entry.node.entry(key).is_some_and(|e| {
                let empty = matches!(&e.node.value, Value::Scalar { text, .. } if text.trim().is_empty());
                !e.node.is_null() && (!empty || source.empty_after(e.span.end).is_some())
            })
        };
        let (has_lang, has_handler) = (given("lang"), given("handler"));
        if !has_lang && has_handler && !build.skip {
            self.report
                .error(field, entry.span, format!("`{name}` has a handler, but no `lang` says how to build it"))
                .hint = Some("add `lang: python3` (`faas template list` names them all), or `skip_build: true`".into());
        } else if !has_lang && !given("image") {
            let message = format!("`{name}` says neither what to build (`lang`, `handler`) nor what to run (`image`)");
            self.report.error(field, entry.span, message).hint =
                Some(format!("add `lang: python3` and `handler: ./{name}`, or `image:`"));
        } else if has_lang && !has_handler && !build.skip {
            let message = format!("`{name}` has no `handler`, so it can't be built");
            let hint = Some(format!("add `handler: ./{name}`, or `skip_build: true` when the image is made elsewhere"));
            if given("image") {
                self.report.warning(field, entry.span, message).hint = hint;
            } else {
                self.report.error(field, entry.span, message).hint = hint;
            }
        }
    }

    /// `environment_file`: its `environment:` beats what stands inline and in files before it.
    fn environment_file(&mut self, field: &Field, node: &Node, function: &mut Function) {
        let field = field.key("environment_file");
        let Some(path) = self.report.word(&field, node) else { return };
        if !self.files.contains_key(&path) {
            let more = self.read_environment(&field, node, &path);
            self.files.insert(path.clone(), more);
        }
        let more = self.files[&path].iter().map(|(k, v)| (k.clone(), v.clone()));
        function.environment.extend(more);
    }

    fn read_environment(&mut self, field: &Field, node: &Node, path: &str) -> BTreeMap<String, String> {
        let text = match (self.read)(&absolute(self.root, path)) {
            Ok(text) => text,
            Err(error) => {
                let shown = self.report.source().shown(node.span);
                let message = format!("the environment file `{shown}` can't be read: {error}");
                self.report.error(field, node.span, message).hint =
                    Some("paths are relative to the stack file's folder".into());
                return BTreeMap::new();
            }
        };
        let source = Source::new(path, text.strip_prefix('\u{feff}').unwrap_or(&text));
        let mut inner = Report::new(&source, false);
        let mut read = BTreeMap::new();
        if let Some(root) = compose(&source, &mut inner) {
            let top = Field::ROOT;
            let file = top.key("environment_file");
            if !matches!(root.value, super::node::Value::Map(_)) && !root.is_null() {
                let message = format!("an environment file is a mapping, this is {}", root.kind());
                inner.error(&file, root.span, message).hint =
                    Some("write `environment:`, and below it lines as `  NAME: value`".into());
                self.report.take(inner.finish(), node.span);
                return read;
            }
            let entries = inner.entries(&file, &root);
            inner.unknown_keys(&top, entries, &schema::ENVIRONMENT_FILE);
            if let Some(environment) = root.get("environment") {
                variables(&mut inner, &top.key("environment"), environment);
                read = inner.map(&top.key("environment"), environment);
            }
        }
        self.report.take(inner.finish(), node.span);
        read
    }

    /// faas-cli's `exec_timeout` and `com.openfaas.scale.*` mean the same as `timeout:` and `scale:`, which win.
    fn same_meaning(&mut self, field: &Field, node: &Node, function: &mut Function) {
        if function.timeout.is_none()
            && let Some(text) = function.environment.get("exec_timeout").filter(|t| !t.trim().is_empty())
        {
            match duration::parse(text) {
                Ok(timeout) => function.timeout = Some(timeout),
                Err(why) => self.ignored(field, node, "environment", "exec_timeout", "duration", &why),
            }
        }
        let label = |name: &str| function.labels.get(&format!("com.openfaas.scale.{name}")).map(|v| v.trim());
        let mut bad = Vec::new();
        let mut number = |name: &'static str| {
            let text = label(name).filter(|t| !t.is_empty())?;
            let value = text.parse::<u32>().ok();
            if value.is_none() {
                bad.push((name, "whole number", "it takes digits only".to_owned()));
            }
            value
        };
        let labels = Scale { min: number("min"), max: number("max"), target: number("target"), idle: None };
        let zero = label("zero").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let idle = label("zero-duration")
            .filter(|t| !t.is_empty())
            .and_then(|text| duration::parse(text).map_err(|why| bad.push(("zero-duration", "duration", why))).ok());
        let scale = &mut function.scale;
        scale.min = scale.min.or(if zero { Some(0) } else { labels.min });
        scale.max = scale.max.or(labels.max);
        scale.target = scale.target.or(labels.target);
        scale.idle = scale.idle.or(idle);
        let crossed = scale.min.zip(scale.max).filter(|(min, max)| min > max);
        for (name, wanted, why) in bad {
            self.ignored(field, node, "labels", &format!("com.openfaas.scale.{name}"), wanted, &why);
        }
        if let Some((min, max)) = crossed {
            let span = node.get("scale").map_or(node.span, |n| n.span);
            let message = format!("`scale.min` ({min}) is more than `scale.max` ({max})");
            self.report.error(&field.key("scale"), span, message);
        }
    }

    fn ignored(&mut self, field: &Field, node: &Node, map: &str, key: &str, wanted: &str, why: &str) {
        let span = node.get(map).and_then(|m| m.entry(key)).map_or(node.span, |e| e.node.span);
        let message = format!("`{key}` is no {wanted}, so it counts for nothing: {why}");
        self.report.warning(&field.key(map).key(key), span, message);
    }
}

/// Warns of a field that is empty because a variable is: the usual slip in a CI job.
fn tell_empty(report: &mut Report, field: &Field, entry: &Entry) -> bool {
    let empty = match &entry.node.value {
        Value::Null => true,
        Value::Scalar { text, .. } => text.is_empty(),
        _ => false,
    };
    let Some(variable) = report.source().empty_after(entry.span.end).filter(|_| empty).map(str::to_owned) else {
        return false;
    };
    let message = format!("`{}` is empty: the variable `{variable}` has no value", field.name());
    report.warning(field, entry.span, message).hint =
        Some(format!("set it, give it a default (`${{{variable}:-…}}`), or demand it (`${{{variable}:?…}}`)"));
    true
}

/// Tells variables that no process can be given.
fn variables(report: &mut Report, field: &Field, node: &Node) {
    for entry in node.entries() {
        let key = entry.key.as_ref();
        if key.is_empty() || key.contains(['=', '\0']) {
            let shown = report.source().shown(entry.span);
            report.error(&field.key(key), entry.span, format!("`{shown}` can't be a variable's name")).hint =
                Some("a name isn't empty and has no `=` in it".into());
        }
        if matches!(&entry.node.value, Value::Scalar { text, .. } if text.contains('\0')) {
            let message = format!("the value of `{key}` has a zero byte in it, which no process can be given");
            report.error(&field.key(key), entry.node.span, message);
        }
    }
}

/// Tells secrets that can't be files of one folder.
fn secrets(report: &mut Report, field: &Field, node: &Node) {
    let Value::List(items) = &node.value else { return };
    for item in items {
        let Value::Scalar { text, .. } = &item.value else { continue };
        if text.starts_with('.') || text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
            let shown = report.source().shown(item.span);
            report.error(field, item.span, format!("`{shown}` can't be a secret's name")).hint =
                Some("a secret is named, as `api-key`; its value is set with `faas secret create`".into());
        }
    }
}

fn lang(report: &mut Report, field: &Field, node: &Node) -> String {
    let Some(lang) = report.word(field, node) else { return String::new() };
    match lang.as_str() {
        _ if lang.eq_ignore_ascii_case("dockerfile") => "dockerfile".into(),
        "python" | "python27" => {
            let message = format!("the language `{lang}` has ended: `python3` is used");
            report.warning(field, node.span, message).hint = Some("write `lang: python3`".into());
            "python3".into()
        }
        _ => lang,
    }
}

fn image(report: &mut Report, field: &Field, node: &Node) -> Option<String> {
    let image = report.word(field, node)?;
    if image.contains(char::is_whitespace) {
        let shown = report.source().shown(node.span);
        report.error(field, node.span, format!("an image's name can't have spaces, as `{shown}` has"));
    } else if let Err(why) = check::image(&image) {
        let shown = report.source().shown(node.span);
        report.error(field, node.span, format!("`{shown}` can't be an image's name: {why}")).hint =
            Some("write it as `registry.example.com/me/tax:1.0`".into());
    }
    Some(image)
}

fn namespace(report: &mut Report, field: &Field, node: &Node) -> Option<String> {
    let namespace = report.word(field, node)?;
    if let Err(why) = check::name(&namespace) {
        let shown = report.source().shown(node.span);
        report.error(field, node.span, format!("`{shown}` can't be a namespace: {why}"));
    }
    Some(namespace)
}

fn resources(report: &mut Report, field: &Field, node: &Node) -> Resources {
    let entries = report.entries(field, node);
    report.unknown_keys(field, entries, &schema::RESOURCES);
    let mut quantity = |name: &str, example: &str| {
        let node = node.get(name)?;
        let at = field.key(name);
        let text = report.word(&at, node)?;
        if !check::is_quantity(&text) {
            let shown = report.source().shown(node.span);
            report.error(&at, node.span, format!("`{name}` must be a quantity, not `{shown}`")).hint =
                Some(format!("write it as {example}"));
        }
        Some(text)
    };
    Resources { memory: quantity("memory", "`128Mi`, `1Gi` or `128M`"), cpu: quantity("cpu", "`100m` or `0.5`") }
}

fn scale(report: &mut Report, field: &Field, node: &Node) -> Scale {
    let entries = report.entries(field, node);
    report.unknown_keys(field, entries, &schema::SCALE);
    let mut count = |name: &str| node.get(name).and_then(|n| report.count(&field.key(name), n));
    let (min, max, target) = (count("min"), count("max"), count("target"));
    let idle = node.get("idle").and_then(|n| report.duration(&field.key("idle"), n));
    Scale { min, max, target, idle }
}

fn schedule(report: &mut Report, field: &Field, node: &Node) -> Option<String> {
    let text = report.word(field, node)?;
    match check::cron(&text) {
        Ok(schedule) => Some(schedule),
        Err(why) => {
            let shown = report.source().shown(node.span);
            report.error(field, node.span, format!("`{shown}` is no schedule: {why}")).hint =
                Some("`*/5 * * * *` is every five minutes, `0 6 * * 1` every Monday at six".into());
            None
        }
    }
}

fn url(report: &mut Report, field: &Field, node: &Node) -> Option<UrlAccess> {
    match report.text(field, node)? {
        "public" => Some(UrlAccess::Public),
        "iam" => Some(UrlAccess::Iam),
        "none" => Some(UrlAccess::None),
        other => {
            let hint = schema::nearest(other, ["public", "iam", "none"]).map(|near| format!("did you mean `{near}`?"));
            let shown = report.source().shown(node.span);
            report.error(field, node.span, format!("`url` must be public, iam or none, not `{shown}`")).hint = hint;
            None
        }
    }
}

/// One, several parted by commas, or a list.
fn words(report: &mut Report, field: &Field, node: &Node) -> Vec<String> {
    match &node.value {
        Value::Scalar { text, .. } => text.split(',').map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()).collect(),
        _ => report.texts(field, node),
    }
}

fn domains(report: &mut Report, field: &Field, node: &Node) -> Vec<String> {
    let all = words(report, field, node);
    for domain in &all {
        let fits = domain.contains('.') && domain.len() <= 253 && domain.split('.').all(|l| check::name(l).is_ok());
        if !fits {
            let message = format!("`{}` is no domain", super::source::shown(domain));
            report.add(node.span, Problem::error(field.to_string(), message)).hint =
                Some("write it as `tax.example.com`".into());
        }
    }
    all
}

fn platforms(report: &mut Report, field: &Field, node: &Node) -> Vec<String> {
    let given = words(report, field, node);
    crate::platform::all(given.iter().map(String::as_str)).unwrap_or_else(|wrong| {
        let message = format!("`{}` is no platform", super::source::shown(wrong));
        report.add(node.span, Problem::error(field.to_string(), message)).hint = Some(crate::platform::HINT.into());
        Vec::new()
    })
}
