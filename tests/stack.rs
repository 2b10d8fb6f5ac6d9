//! The stack file as the other rooms see it: what every field of it comes to.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faas::error::{Fault, Kind, Result};
use faas::function::{Function, Resources, Scale, UrlAccess};
use faas::stack::{self, Options, Origin, ProviderKind, Stack};
use proptest::prelude::*;

fn read_with(text: &str, target: Option<&str>, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Stack> {
    let read = |path: &Path| match path.to_str() {
        Some("/project/one.yml") => Ok("environment:\n  A: one\n  B: one\n".to_owned()),
        Some("/project/sub/two.yml") => Ok("\u{feff}environment: {B: 2, C: }\n".to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let options = Options { lookup, substitute: true, target, strict: false, filter: None, regex: None, read: &read };
    let origin = Origin { name: "stack.yml".into(), root: PathBuf::from("/project") };
    stack::parse(text.as_bytes(), origin, &options)
}

#[track_caller]
fn read(text: &str) -> Stack {
    read_with(text, None, &|_| None).unwrap_or_else(|fault| panic!("{fault:#?}"))
}

#[track_caller]
fn target(text: &str, name: &str) -> Stack {
    read_with(text, Some(name), &|_| None).unwrap_or_else(|fault| panic!("{fault:#?}"))
}

#[track_caller]
fn one(fields: &str) -> Function {
    let fields: String = fields.lines().map(|l| format!("    {l}\n")).collect();
    let text = format!("provider: {{name: local}}\nfunctions:\n  tax:\n    image: x\n{fields}");
    read(&text).functions.remove(0)
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

#[test]
fn every_field_of_a_function() {
    let function = one("\
lang: Dockerfile
handler: ./sub/tax
fprocess: python3 index.py
environment: {A: 5, B: true, C: , D: 1.10, E: 0x1F, F: yes, G: ~}
secrets: [one, two]
build_secrets: {npm: ./.npmrc, abs: /etc/x}
build_args: {V: 1.0}
build_options: [dev]
constraints: [\"node.platform.os == linux\"]
labels: {a: true}
annotations: {topic: cron}
limits: {memory: 128Mi, cpu: 100m}
requests: {cpu: 0.5}
readonly_root_filesystem: yes
namespace: shop
platforms: linux/amd64, linux/arm64
timeout: 1m30s
concurrency: 0x10
scale: {min: 1, max: 5, target: 50, idle: 300}
schedule: '@daily'
url: iam
knative: {spec: {n: 1, s: '1', list: [true, null]}}
lambda: {}");
    let mut expected = Function {
        name: "tax".into(),
        namespace: Some("shop".into()),
        lang: "dockerfile".into(),
        process: Some("python3 index.py".into()),
        environment: map(&[
            ("A", "5"),
            ("B", "true"),
            ("C", ""),
            ("D", "1.10"),
            ("E", "0x1F"),
            ("F", "yes"),
            ("G", ""),
        ]),
        secrets: vec!["one".into(), "two".into()],
        labels: map(&[("a", "true")]),
        annotations: map(&[("topic", "cron")]),
        limits: Resources { memory: Some("128Mi".into()), cpu: Some("100m".into()) },
        requests: Resources { memory: None, cpu: Some("0.5".into()) },
        scale: Scale { min: Some(1), max: Some(5), target: Some(50), idle: Some(Duration::from_secs(300)) },
        timeout: Some(Duration::from_secs(90)),
        concurrency: Some(16),
        constraints: vec!["node.platform.os == linux".into()],
        read_only: true,
        schedule: Some("0 0 * * *".into()),
        url: Some(UrlAccess::Iam),
        ..Function::default()
    };
    expected.build.handler = "/project/sub/tax".into();
    expected.build.image = Some("x".into());
    expected.build.args = map(&[("V", "1.0")]);
    expected.build.options = vec!["dev".into()];
    expected.build.secrets = [("npm".into(), "/project/.npmrc".into()), ("abs".into(), "/etc/x".into())].into();
    expected.build.platforms = vec!["linux/amd64".into(), "linux/arm64".into()];
    let knative = serde_json::json!({"spec": {"n": 1, "s": "1", "list": [true, null]}});
    expected.extra = [("knative".to_owned(), knative)].into();
    assert_eq!(function, expected);
}

#[test]
fn the_rest_of_the_file() {
    let stack = read(
        "\
version: 1.0
name: shop
provider:
  name: lambda
  gateway: https://gw.example.com
  lambda: {region: eu-west-1}
configuration:
  templates:
  - name: golang-middleware
    source: https://github.com/openfaas/golang-http-template
  - {name: node}
  copy: [./common, lib]
functions:
  b: {image: b}
  a: {image: a}
",
    );
    assert_eq!(stack.name, "shop");
    assert_eq!(stack.provider.kind, ProviderKind::Lambda);
    assert_eq!(stack.provider.gateway.as_deref(), Some("https://gw.example.com"));
    assert_eq!(stack.provider.lambda, serde_json::json!({"region": "eu-west-1"}));
    assert!(stack.provider.knative.is_null());
    assert_eq!(stack.configuration.copy, [PathBuf::from("/project/common"), PathBuf::from("/project/lib")]);
    let templates: Vec<_> =
        stack.configuration.templates.iter().map(|t| (t.name.as_str(), t.source.is_some())).collect();
    assert_eq!(templates, [("golang-middleware", true), ("node", false)]);
    assert_eq!(stack.functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["b", "a"], "the file's order");
    assert!(stack.function("a").is_some() && stack.function("c").is_none());
    assert_eq!(stack.warnings, []);
    assert_eq!(read("provider: {name: local}\n").name, "project", "the folder's name");
}

#[test]
fn the_example_in_the_documentation_is_right() {
    let text = include_str!("../docs/stack-file.md");
    let example = text.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).expect("example");
    let stack = target(&example.replace("tax: {}", "tax: {image: x}"), "prod");
    assert_eq!(stack.warnings, []);
    assert_eq!((stack.name.as_str(), stack.functions.len(), stack.targets.len()), ("shop", 1, 1));
}

#[test]
fn labels_and_exec_timeout_mean_the_same_as_our_keys_which_win() {
    let labels = "\
labels:
  com.openfaas.scale.min: 2
  com.openfaas.scale.max: \"9\"
  com.openfaas.scale.target: 70
  com.openfaas.scale.zero-duration: 15m
environment: {exec_timeout: 10s}";
    let function = one(labels);
    let idle = Some(Duration::from_secs(900));
    assert_eq!(function.scale, Scale { min: Some(2), max: Some(9), target: Some(70), idle });
    assert_eq!(function.timeout, Some(Duration::from_secs(10)));
    assert_eq!(function.labels["com.openfaas.scale.min"], "2", "labels stay");
    let function = one(&format!("{labels}\nscale: {{min: 1, idle: 1m}}\ntimeout: 5"));
    let idle = Some(Duration::from_secs(60));
    assert_eq!(function.scale, Scale { min: Some(1), max: Some(9), target: Some(70), idle });
    assert_eq!(function.timeout, Some(Duration::from_secs(5)));
    let function = one("labels: {com.openfaas.scale.zero: true, com.openfaas.scale.min: 2}");
    assert_eq!(function.scale.min, Some(0));
    assert_eq!(one("environment: {exec_timeout: 30}").timeout, Some(Duration::from_secs(30)));
}

#[test]
fn environment_files_beat_what_is_inline_and_later_ones_win() {
    let function = one("environment: {A: inline, D: inline}\nenvironment_file: [one.yml, ./sub/two.yml]");
    assert_eq!(function.environment, map(&[("A", "one"), ("B", "2"), ("C", ""), ("D", "inline")]));
}

const TARGETS: &str = "\
provider: {name: local, gateway: http://127.0.0.1:8080}
functions:
  tax:
    lang: python3
    handler: ./tax
    image: acme/tax:1
    environment: {A: base, B: base, C: base}
    scale: {min: 1, max: 3}
    secrets: [x, y]
  post:
    lang: python3
    handler: ./post
  old: {image: old}
targets:
  prod:
    provider: {name: lambda, gateway: null, lambda: {region: eu-west-1}}
    configuration: {copy: [prod]}
    prefix: registry.example.com:5000/shop/
    namespace: live
    environment: {B: prod, C: null}
    scale: {max: 10}
    functions:
      tax:
        environment: {A: tax}
        secrets: [z]
        timeout: 5s
      post: {image: own/post:2}
      old: null
  dev: {}
";

#[test]
fn a_target_is_laid_over_the_file() {
    let stack = target(TARGETS, "prod");
    assert_eq!(stack.provider.kind, ProviderKind::Lambda);
    assert_eq!(stack.provider.gateway, None, "null takes a key away");
    assert_eq!(stack.provider.lambda["region"], "eu-west-1");
    assert_eq!(stack.configuration.copy, [PathBuf::from("/project/prod")]);
    assert_eq!(stack.target.as_deref(), Some("prod"));
    assert_eq!(stack.functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["tax", "post"]);
    let tax = stack.function("tax").expect("tax");
    assert_eq!(tax.build.image.as_deref(), Some("registry.example.com:5000/shop/tax:1"));
    assert_eq!(tax.environment, map(&[("A", "tax"), ("B", "prod")]));
    assert_eq!((tax.scale.min, tax.scale.max), (Some(1), Some(10)), "mappings merge key by key");
    assert_eq!(tax.secrets, ["z"], "lists are replaced");
    assert_eq!(tax.timeout, Some(Duration::from_secs(5)));
    let post = stack.function("post").expect("post");
    assert_eq!(post.build.image.as_deref(), Some("own/post:2"), "its own image beats the prefix");
    assert_eq!(post.namespace.as_deref(), Some("live"));
    assert_eq!(post.environment, map(&[("B", "prod")]));
    let without_post = TARGETS.replace("      post: {image: own/post:2}\n", "");
    let stack = target(&without_post, "prod");
    let post = stack.function("post").expect("post");
    assert_eq!(post.build.image.as_deref(), Some("registry.example.com:5000/shop/post:latest"));
}

#[test]
fn without_a_target_overlays_change_nothing() {
    let stack = read(TARGETS);
    assert_eq!(stack.targets, ["prod", "dev"]);
    assert_eq!(stack.provider.kind, ProviderKind::Local);
    assert_eq!(stack.functions.len(), 3);
    let same = target(TARGETS, "dev");
    assert_eq!(same.functions, stack.functions);
    let fault = read_with(TARGETS, Some("nope"), &|_| None).expect_err("unknown");
    assert_eq!((fault.kind, fault.hint.as_deref()), (Kind::Usage, Some("there is: prod, dev")));
}

#[test]
fn fields_have_places() {
    let stack = read(TARGETS);
    let place = |stack: &Stack, field: &str| stack.place(field).map(|p| (p.line, p.column));
    assert_eq!(place(&stack, "functions.tax.image"), Some((6, 12)));
    assert_eq!(place(&stack, "functions.tax.scale"), Some((8, 5)), "a mapping is shown by its key");
    assert_eq!(place(&stack, "functions.tax.scale.max"), Some((8, 26)));
    assert_eq!(place(&stack, "functions.tax.timeout"), Some((3, 3)), "what isn't there is shown by what is around it");
    assert_eq!(place(&stack, "nothing"), None);
    let stack = target(TARGETS, "prod");
    assert_eq!(place(&stack, "functions.tax.timeout"), Some((26, 18)));
    assert_eq!(place(&stack, "functions.tax.scale.max"), Some((21, 18)));
    let dotted = read("provider: {name: local}\nfunctions: {a: {image: x, labels: {a.b.c: 1, a.b: 2}}}\n");
    assert_eq!(place(&dotted, "functions.a.labels.a.b.c"), Some((2, 43)));
}

#[test]
fn ended_languages_have_heirs() {
    let stack =
        read("provider: {name: local}\nfunctions: {a: {lang: python, handler: a}, b: {lang: node@v1, handler: b}}\n");
    assert_eq!(stack.functions.iter().map(|f| f.lang.as_str()).collect::<Vec<_>>(), ["python3", "node@v1"]);
    assert_eq!(stack.warnings.len(), 1);
    assert_eq!(stack.warnings[0].field, "functions.a.lang");
}

#[test]
fn values_of_variables_are_in_the_function_but_never_in_debug_output() {
    let lookup = |name: &str| (name == "PW").then(|| "hunter2".to_owned());
    let text = "provider: {name: local}\nfunctions: {a: {image: x, secrets: [y], environment: {PW: \"${PW}\"}}}\n";
    let mut stack = read_with(text, None, &lookup).expect("stack");
    assert_eq!(stack.functions[0].environment["PW"], "hunter2");
    stack.functions.clear();
    assert!(!format!("{stack:?}").contains("hunter2"));
    let fault: Fault = read_with(&text.replace("secrets: [y]", "timeout: ${PW}"), None, &lookup).expect_err("fault");
    assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
    assert!(fault.problems[0].message.contains("not `${PW}`"), "{fault:?}");
}

#[test]
fn a_file_of_rubbish_gives_a_bounded_answer() {
    let text: String = (0..100_000).map(|i| format!("key{i}: 1\n")).collect();
    let fault = read_with(&text, None, &|_| None).expect_err("no provider");
    assert!(fault.problems.len() <= 51, "{}", fault.problems.len());
    assert!(fault.problems.last().is_some_and(|p| p.message.contains("more problems")), "{:?}", fault.problems.last());
}

/// Texts near to a stack file: tokens of YAML, keys of the schema, expressions, odd characters.
fn near_stack() -> impl Strategy<Value = String> {
    let tokens = prop::sample::select(vec![
        "provider",
        "name",
        "functions",
        "targets",
        "prod",
        "tax",
        "lang",
        "environment",
        "scale",
        "labels",
        ": ",
        ":\n  ",
        "\n",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "<<: ",
        "\"",
        "'",
        "|\n",
        ">",
        "#",
        "${",
        "}",
        "${V}",
        "${V:-",
        "${V/a/",
        "$$",
        "\\",
        "null",
        "~",
        "yes",
        "1.0",
        "local",
        "\t",
        "\r\n",
        "\u{feff}",
        "é",
        "---\n",
        "...\n",
        "!x ",
        "? ",
        "\0",
        "%YAML",
    ]);
    prop::collection::vec(tokens, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in near_stack(), value in ".{0,12}", chosen in any::<bool>()) {
        let lookup = |_: &str| Some(value.clone());
        if let Ok(stack) = read_with(&text, chosen.then_some("prod"), &lookup) {
            let _ = stack.place("functions.tax.lang");
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let origin = Origin { name: "s".into(), root: "/".into() };
        let options = Options {
            lookup: &|_| None, substitute: true, target: None, strict: true, filter: None, regex: None,
            read: &|_| Ok(String::new()),
        };
        let _ = stack::parse(&bytes, origin, &options);
    }

    #[test]
    fn an_appended_function_is_there_and_everything_else_stays(
        text in near_stack(), known in prop::collection::vec("[a-z]{1,6}", 0..4), spaces in 1..6_usize, crlf in any::<bool>(),
    ) {
        let new = stack::NewFunction {
        lambda_image: false,
            name: "new".into(), lang: "python3".into(), handler: "./new".into(), image: Some("new:latest".into()),
            limits: Resources::default(), requests: Resources::default(),
        };
        let _ = stack::edit::append(&text, "s.yml", &new);
        let known: std::collections::BTreeSet<String> = known.into_iter().filter(|n| n != "new").collect();
        let mut file = String::from("provider: {name: local}\nfunctions:\n");
        for name in &known {
            let pad = " ".repeat(spaces);
            file += &format!("{pad}{name}: # {name}\n{pad}  image: x\n");
        }
        file += "configuration:\n  copy: [a]\n";
        if crlf {
            file = file.replace('\n', "\r\n");
        }
        let edited = stack::edit::append(&file, "s.yml", &new).expect("appended");
        let names: Vec<String> = read(&edited).functions.into_iter().map(|f| f.name).collect();
        prop_assert_eq!(names, known.into_iter().chain(["new".to_owned()]).collect::<Vec<_>>());
        prop_assert!(file.lines().all(|line| edited.contains(line)));
    }
}
