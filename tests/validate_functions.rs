//! `faas validate`: what of functions and targets no platform or build would take.

use crate::support::Test;
use crate::validate::{GOOD, function, stack};

#[test]
fn a_handler_that_leads_out_of_the_project_and_a_template_that_is_no_yaml_are_told_with_the_cause() {
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::write(outside.path().join("handler.sh"), "echo secret\n").expect("a file");
    let text = "provider: {name: local}\nfunctions:\n  tax: {lang: bash, handler: ./h, image: tax}\n";
    let to = outside.path().to_path_buf();
    let linked = stack(text)
        .layout(move |dir| std::os::unix::fs::symlink(&to, dir.join("h")).expect("a link"))
        .status(2)
        .stderr_has("the handler `h` of `tax` is a link that leads out of the project")
        .stderr_has(" --> stack.yml:3:")
        .run();
    let built = linked.then().args(["build", "--shrinkwrap"]).status(2).stderr_has("leads out of the project").run();
    assert!(!built.dir().join("build/tax").exists());

    stack(text.replace("bash", "tt"))
        .file("h/handler.sh", "echo hi\n")
        .file("template/tt/template.yml", "language: [\n")
        .status(2)
        .stderr_has("template/tt/template.yml can't be used: ")
        .stderr_has("(template/tt/template.yml:")
        .run();
}

#[test]
fn targets_are_checked_too() {
    let text = "\
provider: {name: local}
functions:
  tax: {lang: python3, handler: ./tax}
targets:
  prod:
    provider: {name: lamda}
    scale: {min: many}
    image: x
    functions:
      tex: {timeout: 5s}
  eu: {timeout: 5s}
";
    stack(text)
        .status(2)
        .stdout("")
        .stderr(
            "\
error: a target can't set `image` for all functions
 --> stack.yml:8:5
8 |     image: x
  |     ^^^^^
  hint: set it for one: `targets.prod.functions.NAME.image`
error: the target names a function `tex` that isn't there
  --> stack.yml:10:7
10 |       tex: {timeout: 5s}
   |       ^^^
  hint: did you mean `tax`?
error: stack.yml is not valid: 2 errors
",
        )
        .run();
    let text = text.replace("    image: x\n", "").replace("tex", "tax");
    stack(&text).status(2).stderr_has("unknown provider `lamda`").stderr_has("`min` must be a whole number").run();
    stack(&text).args(["--target", "eu"]).stdout("stack.yml: 1 function, 2 targets, valid\n").stderr("").run();
    stack(&text).args(["--target", "eu, eu"]).stdout("stack.yml: 1 function, 2 targets, valid\n").run();
    for command in [&["validate"][..], &["config", "view"], &["list"], &["invoke", "tax"], &["up", "--watch"]] {
        stack(&text)
            .replace_args(command.iter().copied())
            .args(["--target", "eu,prod"])
            .status(2)
            .stdout("")
            .stderr_has("error: this takes one target at a time, not eu, prod\nhint: name one; `up`")
            .run();
    }
    stack(&text)
        .args(["--target", "prd"])
        .status(2)
        .stderr("error: stack.yml has no target `prd`\nhint: did you mean `prod`?\nmore: faas explain E0103\n")
        .run();
    for args in [["validate", "--target", ""], ["--target=", "validate", "--strict"]] {
        stack(&text).replace_args(args).status(2).stderr_has("`--target` names no target: it is empty").run();
    }
    stack(&text).env("FAAS_TARGET", "").status(2).stderr_has("unknown provider `lamda`").run();
    stack(&text).env("FAAS_TARGET", "zz").status(2).stderr_has("hint: there is: prod, eu\n").run();
}

#[test]
fn a_missing_handler_is_told_but_not_where_nothing_is_built() {
    let text =
        "provider: {name: openfaas}\nfunctions:\n  post:\n    lang: node\n    handler: ./post\n    image: shop/x\n";
    stack(text)
        .status(2)
        .stderr(
            "\
error: the handler `post` of `post` isn't there
 --> stack.yml:5:14
5 |     handler: ./post
  |              ^^^^^^
  hint: paths are relative to the stack file's folder
error: stack.yml is not valid: 1 error
",
        )
        .run();
    stack(format!("{text}    skip_build: yes\n")).stdout("stack.yml: 1 function, valid\n").stderr("").run();
}

#[test]
fn an_image_alone_is_nothing_for_the_embedded_platform() {
    let text = "provider: {name: local}\nfunctions:\n  tax:\n    image: x\n    skip_build: true\n";
    let said = "\
error: `tax` is an image, and the embedded platform runs processes
 --> stack.yml:4:12
4 |     image: x
  |            ^
  hint: give it `lang` and `handler`, without `skip_build`, or deploy it to provider `openfaas`
";
    let done = stack(text).status(2).stderr_has(said).run();
    done.then().args(["plan"]).status(2).stderr_has(said).run();
    done.then().args(["validate"]).file("stack.yml", text.replace("local", "openfaas")).run();
}

#[test]
fn names_that_no_process_or_folder_can_have() {
    function("environment: {\"A=B\": 1, \"\": 2, C: \"\\0\"}\nsecrets: [../key, \"a b\", ok.key_1]\nextra: !Ref x")
        .status(2)
        .stderr(
            "\
error: `A=B` can't be a variable's name
 --> stack.yml:6:19
6 |     environment: {\"A=B\": 1, \"\": 2, C: \"\\0\"}
  |                   ^^^^^
  hint: a name isn't empty and has no `=` in it
error: `` can't be a variable's name
 --> stack.yml:6:29
6 |     environment: {\"A=B\": 1, \"\": 2, C: \"\\0\"}
  |                             ^^
  hint: a name isn't empty and has no `=` in it
error: the value of `C` has a zero byte in it, which no process can be given
 --> stack.yml:6:39
6 |     environment: {\"A=B\": 1, \"\": 2, C: \"\\0\"}
  |                                       ^^^^
error: `../key` can't be a secret's name
 --> stack.yml:7:15
7 |     secrets: [../key, \"a b\", ok.key_1]
  |               ^^^^^^
  hint: a secret is named, as `api-key`; its value is set with `faas secret create`
error: `a b` can't be a secret's name
 --> stack.yml:7:23
7 |     secrets: [../key, \"a b\", ok.key_1]
  |                       ^^^^^
  hint: a secret is named, as `api-key`; its value is set with `faas secret create`
warning: a function has no key `extra`
 --> stack.yml:8:5
8 |     extra: !Ref x
  |     ^^^^^
warning: the tag `!Ref` means nothing in a stack file
 --> stack.yml:8:17
8 |     extra: !Ref x
  |                 ^
error: stack.yml is not valid: 5 errors, 2 warnings
",
        )
        .run();
}

#[test]
fn an_unknown_language_is_told_with_the_nearest_one() {
    let text = "provider: {name: openfaas}\nfunctions:\n  tax:\n    lang: pyton3\n    handler: ./tax\n";
    // Processes are built from it each time, images may be there already.
    stack(text.replace("openfaas", "local"))
        .status(2)
        .stdout("")
        .stderr_has("error: there is no template `pyton3`")
        .run();
    stack(text)
        .stdout("stack.yml: 1 function, valid, 1 warning\n")
        .stderr(
            "\
warning: there is no template `pyton3`
 --> stack.yml:4:11
4 |     lang: pyton3
  |           ^^^^^^
  hint: did you mean `python3`?
",
        )
        .run();
    for known in ["lang: node", "lang: node@v1", "lang: Dockerfile", "lang: go\n    skip_build: true"] {
        stack(text.replace("lang: pyton3", known)).stdout("stack.yml: 1 function, valid\n").stderr("").run();
    }
    stack(format!("{text}configuration: {{templates: [{{name: pyton3}}]}}\n"))
        .stdout("stack.yml: 1 function, valid\n")
        .stderr("")
        .run();
    stack(text.replace("openfaas", "local").replace("pyton3", "Dockerfile"))
        .status(2)
        .stderr_has(
            "error: `lang: dockerfile` needs a container engine; provider local runs processes\n --> stack.yml:4:11",
        )
        .run();
    stack(text.replace("pyton3", "mine"))
        .file("template/mine/index.py", "")
        .status(2)
        .stderr_has("error: the template `mine` has no template.yml")
        .run();
}

#[test]
fn what_up_would_refuse_is_not_valid() {
    function("image: registry.example/me/tax:$(id)")
        .status(2)
        .stderr_has("`registry.example/me/tax:$(id)` can't be an image's name: `$` can't be in it\n --> stack.yml:6:12")
        .run();
    stack(format!("{GOOD}configuration: {{copy: [../outside]}}\n"))
        .layout(|dir| std::fs::create_dir(dir.parent().expect("parent").join("outside")).expect("folder"))
        .status(2)
        .stderr_has("which is outside the project")
        .stderr_has(" --> stack.yml:10:")
        .run();
    stack(GOOD.replace("shop/tax", "tax"))
        .stdout("stack.yml: 1 function, valid, 1 warning\n")
        .stderr_has("warning: `tax:latest` names no registry, and so means docker.io/library/tax\n --> stack.yml:9:12")
        .stderr_has("`REGISTRY/ACCOUNT/tax:latest`")
        .run();
    function("build_options: [nope]").status(2).stderr_has("has no build option `nope`").run();
}

#[test]
fn keys_of_functions_are_looked_for_in_targets_too() {
    let stack = "provider: {name: local}\nfunctions:\n  tax: {lang: python3, handler: ./tax}\ntargets:\n  prod:\n    enviroment: {A: b}\n    timout: 1m\n    providr: {name: openfaas}\n";
    Test::new()
        .file("stack.yml", stack)
        .file("tax/handler.py", "")
        .args(["validate"])
        .stderr_has("a target has no key `enviroment`\n --> stack.yml:6:5")
        .stderr_has("did you mean `environment`?")
        .stderr_has("did you mean `timeout`?")
        .stderr_has("did you mean `provider`?")
        .run();
}
