//! `faas new` as at a prompt: what it writes, and that it writes nothing when it can't write all.

use crate::support::Test;

const STACK: &str = "version: 1.0\nprovider:\n  name: local\n  gateway: http://127.0.0.1:8080\nfunctions:\n  tax:\n    lang: python3\n    handler: ./tax\n    image: tax:latest\n";

fn new() -> Test {
    Test::new().arg("new")
}

#[test]
fn a_function_and_its_stack_file() {
    let done = new()
        .args(["tax", "--lang", "python3"])
        .stdout_has("Function created in folder: ./tax\nStack file written: stack.yml\n\nNotes:\n")
        .stdout_has("faas up")
        .stderr("")
        .run();
    assert_eq!(done.read("stack.yml"), STACK);
    assert_eq!(done.list("tax"), ["__init__.py", "handler.py", "requirements.txt", "test_handler.py"]);
    assert_eq!(done.read(".gitignore"), "build\n.secrets\n");
    assert_eq!(done.list("."), [".gitignore", "stack.yml", "tax/"]);
}

#[test]
fn flags_are_in_the_stack_file() {
    let done = new()
        .args(["tax", "--lang", "node", "--provider", "openfaas", "-g", "https://gw.example", "-p", "reg.example/me/"])
        .args(["--memory-limit", "64Mi", "--cpu-request", "50m", "--handler", "services/tax", "-q"])
        .stdout("Function created in folder: services/tax\nStack file written: stack.yml\n")
        .run();
    let stack = done.read("stack.yml");
    for part in [
        "name: openfaas",
        "gateway: https://gw.example",
        "image: reg.example/me/tax:latest",
        "handler: services/tax",
        "memory: 64Mi",
        "cpu: 50m",
    ] {
        assert!(stack.contains(part), "{part} is not in\n{stack}");
    }
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&done.read("services/tax/package.json")).unwrap()["name"],
        "tax"
    );
    done.then().arg("validate").run();
}

#[test]
fn a_function_for_lambda_names_no_image_unless_it_becomes_one() {
    let done = new().args(["tax", "--lang", "python3", "--provider", "lambda"]).stderr("").run();
    let stack = "version: 1.0\nprovider:\n  name: lambda\nfunctions:\n  tax:\n    lang: python3\n    handler: ./tax\n";
    assert_eq!(done.read("stack.yml"), stack);
    done.then().arg("validate").run();
    // The platform is the file's, whatever the environment would say of new ones.
    let more = ["new", "vat", "--lang", "node", "--append", "stack.yml", "--output", "json"];
    let done = done.then().args(more).run();
    assert_eq!(done.json().get("image"), None, "{}", done.stdout);
    assert_eq!(done.read("stack.yml"), format!("{stack}  vat:\n    lang: node\n    handler: ./vat\n"));
    let prefix = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let named = new().args(["tax", "--lang", "python3", "--provider", "lambda", "--prefix", prefix]).run();
    assert!(named.read("stack.yml").contains(&format!("image: {prefix}/tax:latest")));
    for lang in ["dockerfile", "php"] {
        let make = || new().args(["tax", "--lang", lang, "--provider", "lambda"]);
        let refused = make().status(2).stderr_has(format!("to Lambda, `{lang}` goes as an image alone"));
        assert!(refused.stderr_has("--prefix ACCOUNT.dkr.ecr.REGION.amazonaws.com").run().list(".").is_empty());
        let done = make().args(["--prefix", prefix]).stderr("").run();
        assert!(done.read("stack.yml").contains(&format!("image: {prefix}/tax:latest")), "{}", done.read("stack.yml"));
        done.then().arg("validate").stdout("stack.yml: 1 function, valid\n").stderr("").run();
    }
}

#[test]
fn the_prefix_may_come_from_the_environment() {
    let done = new().args(["tax", "--lang", "bash"]).env("OPENFAAS_PREFIX", "me").run();
    assert!(done.read("stack.yml").contains("image: me/tax:latest"));
}

#[test]
fn the_result_as_json() {
    let done = new().args(["tax", "--lang", "bash", "--output", "json"]).run();
    assert_eq!(done.json()["handler"], "./tax");
    assert_eq!(done.json()["stack"], "stack.yml");
}

#[test]
fn append_keeps_what_is_there() {
    let first = new().args(["tax", "--lang", "python3"]).run();
    std::fs::write(first.dir().join("stack.yml"), format!("# mine\n{STACK}")).unwrap();
    let done = first.then().args(["new", "vat", "--lang", "node", "--append", "stack.yml"]).run();
    let stack = done.read("stack.yml");
    assert!(stack.starts_with(&format!("# mine\n{STACK}")), "{stack}");
    assert!(stack.contains("  vat:\n    lang: node\n"), "{stack}");
    let stderr = done.then().args(["new", "vat", "--lang", "node", "-a", "stack.yml"]).status(2).run().stderr;
    assert!(stderr.contains("vat"), "{stderr}");
    assert_eq!(done.read("stack.yml"), stack);
}

#[test]
fn nothing_is_written_over() {
    new()
        .args(["tax", "--lang", "node"])
        .file("stack.yaml", "x")
        .status(2)
        .stderr(
            "error: stack.yaml is there already\nhint: add the function to it: `faas new tax --lang node --append stack.yaml`\n",
        )
        .run();
    let done = new()
        .args(["tax", "--lang", "node"])
        .file("tax/mine.txt", "x")
        .status(2)
        .stderr_has("the folder tax is there already")
        .run();
    assert_eq!(done.list("."), ["tax/"]);
    assert_eq!(done.list("tax"), ["mine.txt"]);
}

#[test]
fn nothing_is_left_when_the_stack_file_cannot_be_written() {
    // The stack file's folder is a file's name: making the handler works, putting the stack file there does not.
    let done = new()
        .args(["tax", "--lang", "node", "--handler", "a/b/tax", "--append", "stack.yml"])
        .file("stack.yml", "functions: {tax: {image: x}}\nprovider: {name: local}\n")
        .status(2)
        .run();
    assert_eq!(done.list("."), ["stack.yml"]);
}

#[test]
fn a_bad_name_a_bad_language_and_none() {
    for name in ["Tax", "-tax", "ta_x", "../tax", "tax.py", ""] {
        // `--` so that a name with a dash is no flag.
        let done = new().args(["--lang", "node", "--", name]).status(2).run();
        assert!(done.stderr.contains("can't be a function's name"), "{}", done.stderr);
        assert!(done.list(".").is_empty());
    }
    let done = new().args(["tax", "--lang", "cobol"]).status(4).stderr_has("there is no template `cobol`").run();
    assert!(done.stderr.contains("bash, csharp, dockerfile, go, java, lua, node, "), "{}", done.stderr);
    assert!(done.list(".").is_empty());
    new()
        .arg("tax")
        .status(2)
        .stderr_has("--lang is missing: the languages are bash, csharp, dockerfile, go, java, lua, node, ")
        .run();
}

#[test]
fn a_language_that_has_ended_finds_its_heir() {
    let done = new().args(["tax", "--lang", "python"]).stderr_has("`python3` is used").run();
    assert_eq!(done.read("stack.yml"), STACK);
}

#[test]
fn templates_of_the_project_are_taken_and_listed() {
    let layout = || {
        new()
            .file("template/mine/template.yml", "language: mine\nfprocess: cat\nhandler_folder: src\n")
            .file("template/mine/src/main.txt.tera", "I am {{ name }}.\n")
            .file("template/broken/x.txt", "")
    };
    let done = layout().args(["tax", "--lang", "mine"]).run();
    assert_eq!(done.read("tax/main.txt"), "I am tax.\n");
    let done = layout().args(["--list"]).run();
    assert!(done.stdout.contains("- mine\n") && done.stdout.contains("- python3\n"), "{}", done.stdout);
    let done = layout().args(["tax", "--lang", "broken"]).status(2).run();
    assert!(done.stderr.contains("the template `broken` has no template.yml"), "{}", done.stderr);
    let list = done.then().args(["template", "list", "--output", "json"]).run().json();
    let mine = list.as_array().unwrap().iter().find(|t| t["name"] == "mine").unwrap().clone();
    assert_eq!((mine["source"].as_str(), mine["native"].as_bool()), (Some("template/mine"), Some(false)));
}

#[test]
fn many_that_append_at_once_are_all_there() {
    let first = new().args(["f0", "--lang", "bash"]).run();
    let more: Vec<Test> = (1..=8)
        .map(|n| first.then().args(["new", &format!("f{n}"), "--lang", "bash", "--append", "stack.yml"]))
        .collect();
    let running: Vec<_> = more.iter().map(Test::spawn).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let validated = first.then().args(["validate", "--output", "json"]).run().json();
    assert_eq!(validated["functions"].as_array().map(Vec::len), Some(9), "{validated}");
}

#[test]
fn a_link_to_the_stack_file_stays_a_link() {
    let first = new().args(["tax", "--lang", "bash"]).run();
    let (real, link) = (first.dir().join("real"), first.dir().join("stack.yml"));
    std::fs::create_dir(&real).unwrap();
    std::fs::rename(&link, real.join("all.yml")).unwrap();
    std::os::unix::fs::symlink("real/all.yml", &link).unwrap();
    let done = first.then().args(["new", "vat", "--lang", "bash", "--append", "stack.yml"]).run();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(done.read("real/all.yml").contains("  vat:\n"), "{}", done.read("real/all.yml"));
    assert_eq!(done.list("real"), ["all.yml"]);
}

#[test]
fn what_would_not_be_valid_is_not_written() {
    for (flags, said) in [
        (["--memory-limit", "12Xi"], "`memory` must be a quantity, not `12Xi`; nothing was written"),
        (["-p", "bad prefix"], "an image's name can't have spaces"),
        (["-p", "a;b"], "`;` can't be in it"),
        (["-g", "not a url"], "`not a url` is no gateway address"),
    ] {
        let done = new().args(["tax", "--lang", "bash"]).args(flags).status(2).stderr_has(said).run();
        assert!(done.list(".").is_empty(), "{:?}", done.list("."));
    }
    let first = new().args(["tax", "--lang", "bash"]).run();
    let before = first.read("stack.yml");
    let again = first.then().args(["new", "vat", "--lang", "bash", "--append", "stack.yml", "--cpu-limit", "lots"]);
    let done = again.status(2).stderr_has("`cpu` must be a quantity").run();
    assert_eq!((done.read("stack.yml"), done.dir().join("vat").exists()), (before, false));
}

#[test]
fn the_file_that_is_wrong_is_named_and_a_missing_folder_too() {
    new()
        .args(["tax", "--lang", "bash", "--append", "bad.yml"])
        .file("bad.yml", "functions: 'x\n")
        .status(2)
        .stderr_has("bad.yml:1:")
        .stderr_has("bad.yml can't be edited")
        .run();
    let done = new().args(["tax", "--lang", "bash", "-f", "none/s.yml"]).status(2).run();
    assert!(done.stderr.starts_with("error: there is no folder none for the stack file\n"), "{}", done.stderr);
    new().args(["tax", "--lang", "bash", "--quiet"]).stdout("").stderr("").run();
}

#[test]
fn a_shape_lays_its_handler_over_the_starter() {
    let done = new().args(["old", "--lang", "python3", "--shape", "lambda"]).stdout_has("shape is `lambda`").run();
    assert!(done.read("old/handler.py").contains("def lambda_handler(event, context):"));
    assert_eq!(done.list("old"), ["__init__.py", "handler.py", "requirements.txt", "test_handler.py"]);
    let made = new().args(["web", "--lang", "php", "--shape", "server", "--output", "json"]).run();
    assert_eq!(made.json()["shape"], "server");
    assert!(made.dir().join("web/router.php").is_file() && made.dir().join("web/composer.json").is_file());
    let done = new()
        .args(["x", "--lang", "php", "--shape", "lambda"])
        .status(2)
        .stderr("error: the template `php` has no shape `lambda`\nhint: its shapes are request, event, server\n")
        .run();
    assert!(done.list(".").is_empty());
    new().args(["x", "--lang", "bash", "--shape", "event"]).status(2).stderr_has("leave --shape out").run();
}

#[test]
fn a_shape_that_the_template_lacks_the_files_of_is_told() {
    let manifest =
        "language: mine\nfprocess: cat\nshapes:\n  - {name: one, description: a}\n  - {name: two, description: b}\n";
    let layout = || new().file("template/mine/template.yml", manifest).file("template/mine/function/a.txt", "one");
    let two = "template/mine/shapes/two";
    layout().args(["x", "--lang", "mine"]).status(2).stderr_has("no files for the shape `two`").stderr_has(two).run();
    let done = layout().file(format!("{two}/a.txt"), "two").args(["x", "--lang", "mine", "--shape", "two"]).run();
    assert_eq!(done.read("x/a.txt"), "two");
}

/// On a terminal, with the keys that a user presses.
fn dialogue(test: Test) -> rexpect::session::PtySession {
    let mut command = test.env("TERM", "xterm").args(["tax"]).command();
    command.env_remove("CI");
    rexpect::session::spawn_command(command, Some(20_000)).unwrap()
}

#[test]
fn on_a_terminal_it_asks_for_language_shape_and_platform() {
    let test = new();
    let dir = test.dir();
    let mut session = dialogue(Test::clone_place(&test).arg("new"));
    session.exp_string("Language").unwrap();
    session.send("python").unwrap();
    session.send_line("").unwrap();
    session.exp_string("Shape").unwrap();
    session.send("\x1b[B").unwrap();
    session.send_line("").unwrap();
    session.exp_string("Platform").unwrap();
    session.send("\x1b[B").unwrap();
    session.send_line("").unwrap();
    session.exp_string("Function created in folder: ./tax").unwrap();
    session.exp_eof().unwrap();
    let stack = std::fs::read_to_string(dir.join("stack.yml")).unwrap();
    assert!(stack.contains("name: openfaas") && stack.contains("lang: python3"), "{stack}");
    assert!(std::fs::read_to_string(dir.join("tax/handler.py")).unwrap().contains("def handle(event, context):"));
}

#[test]
fn what_is_left_out_of_the_command_line_is_all_that_is_asked() {
    let test = new();
    let dir = test.dir();
    let mut session = dialogue(Test::clone_place(&test).args(["new", "--provider", "lambda", "--shape", "server"]));
    session.exp_string("Language").unwrap();
    session.send("ruby").unwrap();
    session.send_line("").unwrap();
    session.exp_string("Function created").unwrap();
    session.exp_eof().unwrap();
    assert!(std::fs::read_to_string(dir.join("stack.yml")).unwrap().contains("name: lambda"));
    assert!(std::fs::read_to_string(dir.join("tax/handler.rb")).unwrap().contains("TCPServer"));
}

#[test]
fn escape_ends_it_and_nothing_is_made() {
    let test = new();
    let dir = test.dir();
    let mut session = dialogue(Test::clone_place(&test).arg("new"));
    session.exp_string("Language").unwrap();
    session.send("\x1b").unwrap();
    session.flush().unwrap();
    session.exp_eof().unwrap();
    assert!(std::fs::read_dir(dir).unwrap().next().is_none());
}

#[test]
fn ctrl_c_ends_a_menu_as_escape_does_and_brings_the_cursor_back() {
    let test = new().env("TERM", "xterm");
    let dir = test.dir();
    let mut command = std::process::Command::new("sh");
    // The shell is at the same terminal, and outlives the Ctrl-C.
    let line = "stty echo; trap : INT; \"$FAAS\" new tax; echo \"ended with $?\"; stty -a";
    command.args(["-c", line]).env("FAAS", env!("CARGO_BIN_EXE_faas")).current_dir(&dir);
    for (name, value) in test.command().get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.env_remove("CI");
    let mut session = rexpect::session::spawn_command(command, Some(20_000)).unwrap();
    session.exp_string("\u{1b}[?25l").unwrap();
    session.exp_string("typescript").unwrap();
    session.send_control('c').unwrap();
    let said = session.exp_string("ended with 130").unwrap();
    assert!(said.contains("\u{1b}[?25h") && said.contains(": interrupted"), "{said:?}");
    let modes = session.exp_eof().unwrap();
    assert!(modes.contains(" echo ") && modes.contains(" icanon "), "{modes}");
    assert!(std::fs::read_dir(dir).unwrap().next().is_none());
}

#[test]
fn on_a_terminal_it_asks_for_the_name_until_it_is_one() {
    let test = new();
    let dir = test.dir();
    let mut command = Test::clone_place(&test).args(["new", "--lang", "bash"]).env("TERM", "xterm").command();
    command.env_remove("CI");
    let mut session = rexpect::session::spawn_command(command, Some(20_000)).unwrap();
    session.exp_string("Name").unwrap();
    session.send_line("Not One").unwrap();
    session.exp_string("can't be a function's name").unwrap();
    // What was typed stands there to be mended.
    session.send("\x15").unwrap();
    session.send(&"\x7f".repeat(10)).unwrap();
    session.send_line("tax").unwrap();
    session.exp_string("Function created in folder: ./tax").unwrap();
    session.exp_eof().unwrap();
    assert!(dir.join("tax/handler.sh").is_file());
}

#[test]
fn in_ci_and_without_a_terminal_it_never_asks() {
    for (name, value) in [("CI", "true"), ("CI", "1")] {
        let test = new();
        let mut command = Test::clone_place(&test).args(["new", "tax"]).env("TERM", "xterm").env(name, value).command();
        command.env(name, value);
        let mut session = rexpect::session::spawn_command(command, Some(20_000)).unwrap();
        let said = session.exp_eof().unwrap();
        assert!(said.contains("--lang is missing") && !said.contains("Language"), "{said}");
    }
    new().arg("tax").status(2).stderr_has("--lang is missing").run();
    new().args(["--lang", "bash"]).status(2).stderr_has("NAME is missing").stderr_has("faas new tax --lang").run();
}

#[test]
fn a_stack_file_in_json_stays_json() {
    let stack = "{\n  \"provider\": {\"name\": \"local\"},\n  \"functions\": {\n    \"one\": {\"lang\": \"bash\", \"handler\": \"./one\"}\n  }\n}\n";
    let done = new().file("stack.yml", stack).args(["two", "--lang", "bash", "--append", "stack.yml"]).run();
    let text = done.read("stack.yml");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(json["functions"]["two"]["handler"], "./two");
    assert!(text.contains("\n    \"two\": {"), "{text}");
}

#[test]
fn a_handler_is_not_put_where_builds_and_templates_go() {
    for (args, place) in
        [(&["build"][..], "./build"), (&["template"], "./template"), (&["tax", "--handler", "build/tax"], "build/tax")]
    {
        let done = new().args(args.iter().copied()).args(["--lang", "bash"]).status(2).stderr_has(place).run();
        assert!(done.stderr.contains("--handler ./") && done.list("").is_empty(), "{}", done.stderr);
    }
    new().args(["build", "--lang", "bash", "--handler", "./build-handler"]).run();
    new().args(["tax", "--lang", "bash", "--handler", "."]).status(2).stderr_has("own folder (`.`)").run();
    new().args(["tax", "--lang", "bash", "--handler=~/tax"]).status(2).stderr_has("not replaced by the shell").run();
}

#[test]
fn ctrl_c_leaves_all_or_nothing() {
    let layout = |dir: &std::path::Path| {
        let folder = dir.join("template/many/function");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(dir.join("template/many/template.yml"), "language: many\nfprocess: cat\n").unwrap();
        (0..4000).for_each(|n| std::fs::write(folder.join(n.to_string()), "x").unwrap());
    };
    let test = new().args(["tax", "--lang", "many"]).layout(layout);
    let mut child = test.spawn();
    let hidden =
        || std::fs::read_dir(test.dir()).unwrap().flatten().map(|entry| entry.file_name()).filter(is_hidden).count();
    fn is_hidden(name: &std::ffi::OsString) -> bool {
        name.as_encoded_bytes().starts_with(b".faas-new-")
    }
    while hidden() == 0 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(hidden(), 0);
    let made = (test.dir().join("tax").exists(), test.dir().join("stack.yml").exists());
    assert!(matches!((code, made), (Some(130), (false, false)) | (Some(0), (true, true))), "{code:?} {made:?}");
}

#[test]
fn what_a_killed_one_left_goes_with_the_next() {
    let done = new().file(".faas-new-x1/handler/a", "").file(".faas-new-x2", "").args(["tax", "--lang", "bash"]).run();
    assert_eq!(done.list(""), [".gitignore", "stack.yml", "tax/"]);
}

#[test]
fn no_home_is_needed() {
    let test = new().args(["tax", "--lang", "python3"]);
    let mut command = test.command();
    assert!(command.env_remove("HOME").env_remove("FAAS_HOME").output().unwrap().status.success());
    let mut validate = Test::clone_place(&test).arg("validate").command();
    assert!(validate.env_remove("HOME").env_remove("FAAS_HOME").output().unwrap().status.success());
}

#[test]
fn what_to_do_next_names_the_stack_file_where_it_is_not_found_by_itself() {
    let done = new().args(["tax", "--lang", "python3", "-f", "other.yml"]).run();
    assert!(done.stdout.contains("  faas up -f other.yml\n"), "{}", done.stdout);
    assert!(done.stdout.contains("| faas invoke tax -f other.yml\n"), "{}", done.stdout);
    let added = done.then().args(["new", "vat", "--lang", "python3", "--append", "other.yml"]).run();
    assert!(added.stdout.contains("  faas up -f other.yml\n"), "{}", added.stdout);
    let blank = new().args(["tax", "--lang", "python3", "-f", "my stack.yml"]).run();
    assert!(blank.stdout.contains("  faas up -f 'my stack.yml'\n"), "{}", blank.stdout);
    new().args(["tax", "--lang", "python3"]).stdout_has("  faas up\n").run();
}

#[test]
fn a_language_that_is_misspelt_finds_the_one_that_is_meant() {
    for (lang, meant) in [("pyton", "python3"), ("Python3", "python3"), ("nod", "node")] {
        let hint = format!("hint: did you mean `{meant}`?");
        let done = new().args(["tax", "--lang", lang]).status(4).stderr_has(hint).run();
        assert!(done.list(".").is_empty());
    }
    let done = new().args(["tax", "--lang", "Dockerfile"]).run();
    assert!(done.read("stack.yml").contains("lang: dockerfile"), "{}", done.read("stack.yml"));
}

#[test]
fn a_platform_that_the_stack_file_has_not_is_told_of() {
    let first = new().args(["tax", "--lang", "python3", "--provider", "openfaas"]).run();
    let add = |name: &'static str, provider: &'static str| {
        first.then().args(["new", name, "--lang", "python3", "--append", "stack.yml", "--provider", provider])
    };
    add("vat", "lambda").stderr_has("--provider lambda is left out: stack.yml is for openfaas").run();
    add("post", "openfaas").args(["--prefix", "me"]).stderr("").run();
}

#[test]
fn what_is_made_for_a_platform_is_valid_there_or_it_is_said_what_it_lacks() {
    for provider in ["local", "openfaas", "knative", "lambda"] {
        for lang in ["python3", "node", "bash", "dockerfile"] {
            let make = || new().args(["tax", "--lang", lang, "--provider", provider]);
            let images = ["openfaas", "knative"].contains(&provider);
            if lang == "dockerfile" && !images {
                assert!(make().status(2).run().list(".").is_empty(), "{provider}");
                continue;
            }
            let done = make().run();
            assert_eq!(done.stderr.contains("the image `tax:latest` names no registry"), images, "{}", done.stderr);
            let stack = done.read("stack.yml");
            assert_eq!(stack.contains("gateway:"), ["local", "openfaas"].contains(&provider), "{stack}");
            for command in ["validate", "plan"] {
                if !images && command == "plan" {
                    continue;
                }
                let told = done.then().arg(command).command().output().expect("it runs");
                let told = String::from_utf8_lossy(&told.stderr).into_owned();
                let line =
                    "warning: `tax:latest` names no registry, and so means docker.io/library/tax\n --> stack.yml:";
                assert_eq!(told.contains(line), images, "{provider} {lang}: {told}");
            }
            let named = make().args(["--prefix", "registry.example/me"]);
            if images {
                let named = named.stderr("").run();
                named.then().arg("validate").stdout("stack.yml: 1 function, valid\n").stderr("").run();
            }
        }
    }
    // Where nobody names a platform, it is one that can run it.
    let done = new().args(["tax", "--lang", "dockerfile"]).stderr_has("the stack file is for provider openfaas").run();
    assert!(done.read("stack.yml").contains("name: openfaas"));
}
