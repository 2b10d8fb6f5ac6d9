//! `faas validate`, as a session at a prompt: everything wrong with a stack file, with its place and the way out.
use crate::support::Test;

pub const GOOD: &str = "\
version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:8080
functions:
  tax:
    lang: python3
    handler: ./tax
    image: shop/tax:latest
";

pub fn stack(text: impl AsRef<[u8]>) -> Test {
    Test::new().file("stack.yml", text).file("tax/handler.py", "").arg("validate")
}

/// A stack with these lines for its one function.
pub fn function(lines: &str) -> Test {
    let lines: String = lines.lines().map(|l| format!("    {l}\n")).collect();
    stack(format!("provider: {{name: local}}\nfunctions:\n  tax:\n    lang: python3\n    handler: ./tax\n{lines}"))
}

#[test]
fn a_file_of_faas_cli_is_valid() {
    stack(GOOD).stdout("stack.yml: 1 function, valid\n").stderr("").run();
}

#[test]
fn as_json() {
    let done = stack(GOOD).args(["--output", "json"]).stderr("").run();
    assert_eq!(
        done.json(),
        serde_json::json!({"file": "stack.yml", "valid": true, "functions": ["tax"], "targets": [], "problems": []})
    );
    let done = stack("provider: {name: lokal}\n").args(["--output", "json"]).status(2).run();
    let json = done.json();
    assert_eq!(json["valid"], false);
    assert_eq!(json["problems"][0]["field"], "provider.name");
    assert_eq!(json["problems"][0]["hint"], "did you mean `local`?");
    assert_eq!(
        json["problems"][0]["place"],
        serde_json::json!({"file": "stack.yml", "line": 1, "column": 18, "length": 5, "text": "provider: {name: lokal}"})
    );
}

#[test]
fn all_problems_in_one_go() {
    stack(
        "\
version: 2.0
provider:
  name: faas
functions:
  tax:
    lang: python3
    handler: ./tax
    timeout: soon
    enviroment:
      A: 1
  My_Func:
    image: x
    limits: {memory: 128MB}
",
    )
    .status(2)
    .stdout("")
    .stderr(
        "\
error: there is no version `2.0` of stack files
 --> stack.yml:1:10
1 | version: 2.0
  |          ^^^
  hint: write `version: 1.0`, or leave it out
error: unknown provider `faas`
 --> stack.yml:3:9
3 |   name: faas
  |         ^^^^
  hint: did you mean `openfaas`?
error: `timeout` must be a duration, not `soon`: it takes a number and a unit, as `30s`, `5m` or `1h30m`
 --> stack.yml:8:14
8 |     timeout: soon
  |              ^^^^
warning: a function has no key `enviroment`
 --> stack.yml:9:5
9 |     enviroment:
  |     ^^^^^^^^^^
  hint: did you mean `environment`?
error: `My_Func` can't be a function's name: `M` can't be in it: only a-z, 0-9 and `-` can
  --> stack.yml:11:3
11 |   My_Func:
   |   ^^^^^^^
  hint: call it `my-func`
error: `memory` must be a quantity, not `128MB`
  --> stack.yml:13:22
13 |     limits: {memory: 128MB}
   |                      ^^^^^
  hint: write it as `128Mi`, `1Gi` or `128M`
error: stack.yml is not valid: 5 errors, 1 warning
",
    )
    .run();
}

#[test]
fn an_unknown_key_is_a_warning_and_an_error_when_strict() {
    let warning = "\
warning: the stack file has no key `gateway`
 --> stack.yml:2:1
2 | gateway: http://x
  | ^^^^^^^
  hint: it belongs elsewhere: `provider.gateway`
";
    let text = "provider: {name: local}\ngateway: http://x\n";
    stack(text).stdout("stack.yml: 0 functions, valid, 1 warning\n").stderr(warning).run();
    stack(text)
        .arg("--strict")
        .status(2)
        .stdout("")
        .stderr(format!("{}error: stack.yml is not valid: 1 error\n", warning.replace("warning", "error")))
        .run();
}

#[test]
fn no_stack_file() {
    let make = "make one with `faas new NAME --lang python3`";
    Test::new()
        .arg("validate")
        .status(2)
        .stdout("")
        .stderr(format!(
            "error: there is no stack.yaml or stack.yml in this folder\nhint: {make}, or name one with `-f FILE`\n\
             more: faas explain E0101\n"
        ))
        .run();
    Test::new()
        .args(["validate", "-f", "shop.yml"])
        .status(2)
        .stderr(format!(
            "error: there is no stack file `shop.yml`\nhint: look at the name, or {make}\nmore: faas explain E0101\n"
        ))
        .run();
}

#[test]
fn empty_files() {
    let empty = "error: stack.yml is empty\nhint: `faas new NAME --lang python3` writes a stack file\n";
    for text in ["", "\n\n", "# nothing\n", "---\n...\n", "\u{feff}"] {
        stack(text).status(2).stdout("").stderr(empty).run();
    }
}

#[test]
fn binary_and_utf_16_files() {
    stack(b"a: \xff\x00")
        .status(2)
        .stderr(
            "\
error: this isn't text: a stack file is UTF-8
 --> stack.yml:1:4
1 | a: \u{fffd}\u{fffd}
  |    ^
  hint: look at the file: is stack.yml the one you meant?
error: stack.yml is not valid: 1 error
",
        )
        .run();
    stack(b"\x7fELF\x02\x01\x00\x00").status(2).stderr_has("this isn't text").run();
    stack(b"\xff\xfea\x00").status(2).stderr("error: stack.yml is UTF-16 text\nhint: save it as UTF-8\n").run();
}

#[test]
fn a_hundred_megabytes_are_refused_without_reading_them() {
    let test = Test::new().arg("validate").layout(|dir| {
        std::fs::File::create(dir.join("stack.yml")).and_then(|f| f.set_len(100 << 20)).expect("file");
    });
    let start = std::time::Instant::now();
    test.status(2)
        .stdout("")
        .stderr("error: stack.yml is too big for a stack file: more than 10 MiB\nhint: is it the file you meant?\n")
        .run();
    assert!(start.elapsed() < std::time::Duration::from_secs(3), "it took {:?}", start.elapsed());
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..=8 {
        text += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
    }
    let start = std::time::Instant::now();
    stack(text)
        .status(2)
        .stdout("")
        .stderr_has("error: the aliases (`*name`) in this file expand to far too much\n --> stack.yml:")
        .run();
    assert!(start.elapsed() < std::time::Duration::from_secs(3), "it took {:?}", start.elapsed());
}

#[test]
fn unterminated_yaml() {
    stack("provider:\n  name: \"local\nfunctions: {}\n")
        .status(2)
        .stderr(
            "\
error: this isn't YAML: unclosed quote
 --> stack.yml:2:9
2 |   name: \"local
  |         ^
  hint: the quote that opens here is never closed
error: stack.yml is not valid: 1 error
",
        )
        .run();
    stack("provider: {name: local\nfunctions: {}\n").status(2).stderr_has("error: this isn't YAML: ").run();
    stack("functions: [a, b\n").status(2).stderr_has("error: this isn't YAML: ").run();
}

#[test]
fn duplicate_keys_say_where_the_first_is() {
    stack("provider: {name: local}\nfunctions:\n  tax: {image: a}\n  tax: {image: b, image: c}\n")
        .status(2)
        .stderr(
            "\
error: the key `tax` is there twice
 --> stack.yml:4:3
4 |   tax: {image: b, image: c}
  |   ^^^
  hint: the first one is on line 3; take one of them out
error: the key `image` is there twice
 --> stack.yml:4:19
4 |   tax: {image: b, image: c}
  |                   ^^^^^
  hint: the first one is on line 4; take one of them out
error: stack.yml is not valid: 2 errors
",
        )
        .run();
}

#[test]
fn crlf_and_a_byte_order_mark() {
    let text = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    stack(&text).stdout("stack.yml: 1 function, valid\n").stderr("").run();
    stack(text.replace("image: shop/tax", "imagge: shop/tax"))
        .stderr(
            "\
warning: a function has no key `imagge`
 --> stack.yml:9:5
9 |     imagge: shop/tax:latest
  |     ^^^^^^
  hint: did you mean `image`?
",
        )
        .run();
}

#[test]
fn scalars_of_every_sort_where_text_is_wanted() {
    function(
        "\
labels:
  com.openfaas.scale.zero: true
  com.openfaas.scale.min: 0
  n: 1.10
annotations: {a: yes, b: , c: null, d: 0x1F}
environment: {A: 5, B: on, C: ~}
skip_build: off
readonly_root_filesystem: on",
    )
    .stdout("stack.yml: 1 function, valid, 1 warning\n")
    .stderr_has("a process sees this machine's file system as it is: this has no effect")
    .run();
}

#[test]
fn blank_keys_are_as_if_they_were_not_there() {
    function(
        "environment:\nenvironment_file:\nlabels:\nsecrets:\nlimits:\nscale:\ntimeout:\nknative:\nskip_build:\nurl:",
    )
    .stdout("stack.yml: 1 function, valid\n")
    .stderr("")
    .run();
    stack("provider: {name: local}\nfunctions:\nconfiguration:\ntargets:\n")
        .stdout("stack.yml: 0 functions, valid\n")
        .stderr("")
        .run();
}

#[test]
fn anchors_and_merge_keys() {
    stack(
        "\
provider: {name: local}
x-base: &base
  lang: python3
  handler: ./tax
  timeout: soon
functions:
  tax:
    <<: *base
    timeout: 5s
  other:
    <<: *base
",
    )
    .status(2)
    .stderr(
        "\
error: `timeout` must be a duration, not `soon`: it takes a number and a unit, as `30s`, `5m` or `1h30m`
 --> stack.yml:5:12
5 |   timeout: soon
  |            ^^^^
error: stack.yml is not valid: 1 error
",
    )
    .run();
}

#[test]
fn wrong_types_are_told_with_what_to_write() {
    function("secrets: key\nenvironment: [A]\nconcurrency: -1\nurl: publik\nschedule: \"* * * *\"")
        .status(2)
        .stderr(
            "\
error: `secrets` must be a list, this is text
 --> stack.yml:6:14
6 |     secrets: key
  |              ^^^
  hint: write `secrets: [key]`
error: `environment` must be a mapping, this is a list
 --> stack.yml:7:18
7 |     environment: [A]
  |                  ^^^
  hint: write `environment:` and below it `KEY: VALUE` lines, indented
error: `concurrency` must be a whole number, 0 or more, not `-1`
 --> stack.yml:8:18
8 |     concurrency: -1
  |                  ^^
error: `url` must be public, iam or none, not `publik`
 --> stack.yml:9:10
9 |     url: publik
  |          ^^^^^^
  hint: did you mean `public`?
error: `* * * *` is no schedule: it has 4 fields, and a schedule has 5: minute, hour, day of the month, month, day of the week
  --> stack.yml:10:15
10 |     schedule: \"* * * *\"
   |               ^^^^^^^^^
  hint: `*/5 * * * *` is every five minutes, `0 6 * * 1` every Monday at six
error: stack.yml is not valid: 5 errors
",
        )
        .run();
}

#[test]
fn a_missing_variable_is_pointed_at_and_its_value_never_shown() {
    let text = "provider: {name: openfaas}\nfunctions:\n  tax: {image: \"${IMAGE:?name the image}\"}\n";
    stack(text)
        .status(2)
        .stderr(
            "\
error: the variable `IMAGE` is not set: name the image
 --> stack.yml:3:17
3 |   tax: {image: \"${IMAGE:?name the image}\"}
  |                 ^^^^^^^^^^^^^^^^^^^^^^^^
  hint: set `IMAGE` in the environment
error: stack.yml is not valid: 1 error
",
        )
        .run();
    stack(text).env("IMAGE", "x:1").stdout("stack.yml: 1 function, valid\n").stderr("").run();
    let done = stack(text).env("IMAGE", "hunter 2").status(2).run();
    assert!(!done.stderr.contains("hunter"), "{}", done.stderr);
    stack(text).arg("--envsubst=false").status(2).stderr_has("an image's name can't have spaces").run();
}

#[test]
fn a_value_that_breaks_the_text_around_it_is_named() {
    let text = "provider: {name: openfaas}\nfunctions:\n  tax:\n    image: x\n    environment:\n      PW: ${PW}\n";
    for value in ["abc #def", "a: b", "one\ntwo", "*x", "@x"] {
        let done = stack(text).env("PW", value).status(2).stdout("").run();
        assert!(done.stderr.contains(":6:11\n6 |       PW: ${PW}\n"), "{value:?}: {}", done.stderr);
        assert!(done.stderr.contains("the value of `PW`"), "{value:?}: {}", done.stderr);
        assert!(!done.stderr.contains(value), "{value:?}: {}", done.stderr);
    }
    for value in ["*hunter2", "!hunter2", "a\n      hunter2: [1]", "&hunter2", "x\n    hunter2: y"] {
        let done = stack(text).env("PW", value).status(2).stdout("").run();
        assert_eq!(done.stderr.matches("error: ").count(), 2, "{value:?}: {}", done.stderr);
        assert!(done.stderr.contains("the value of `PW`"), "{value:?}: {}", done.stderr);
        assert!(!done.stderr.contains("hunter"), "{value:?}: {}", done.stderr);
        let done = stack(text).args(["--output", "json"]).env("PW", value).status(2).run();
        assert!(!(done.stdout + &done.stderr).contains("hunter"), "{value:?}");
    }
    stack(text).env("PW", "it's, fine").stdout("stack.yml: 1 function, valid\n").stderr("").run();
}

#[test]
fn environment_files() {
    let text = "environment_file: [one.yml, two.yml]";
    function(text)
        .file("one.yml", "environment:\n  A: 1\n")
        .file("two.yml", "environment:\n  B: [1]\nenvironmentt: {}\n")
        .status(2)
        .stderr(
            "\
error: `B` must be text, this is a list
 --> two.yml:2:6
2 |   B: [1]
  |      ^^^
warning: an environment file has no key `environmentt`
 --> two.yml:3:1
3 | environmentt: {}
  | ^^^^^^^^^^^^
  hint: did you mean `environment`?
error: stack.yml is not valid: 1 error, 1 warning
",
        )
        .run();
    function(text)
        .file("one.yml", "")
        .status(2)
        .stderr(
            "\
error: the environment file `two.yml` can't be read: No such file or directory (os error 2)
 --> stack.yml:6:33
6 |     environment_file: [one.yml, two.yml]
  |                                 ^^^^^^^
  hint: paths are relative to the stack file's folder
error: stack.yml is not valid: 1 error
",
        )
        .run();
}

#[test]
fn an_empty_variable_is_named() {
    let text =
        "provider: {name: local}\nfunctions:\n  tax:\n    lang: python3\n    handler: ./tax\n    image: ${IMG}\n";
    let warning = "\
warning: `image` is empty: the variable `IMG` has no value
 --> stack.yml:6:5
6 |     image: ${IMG}
  |     ^^^^^
  hint: set it, give it a default (`${IMG:-…}`), or demand it (`${IMG:?…}`)
";
    stack(text).stdout("stack.yml: 1 function, valid, 1 warning\n").stderr(warning).run();
    stack(text.replace("${IMG}", "\"${IMG}\"")).stderr_has("the variable `IMG` has no value").run();
    stack(text.replace("${IMG}", "")).stdout("stack.yml: 1 function, valid\n").stderr("").run();
    stack(text).env("IMG", "x").stdout("stack.yml: 1 function, valid\n").stderr("").run();
}

#[test]
fn filters() {
    stack(GOOD).args(["--filter", "t*"]).stdout("stack.yml: 1 function, valid\n").stderr("").run();
    for flags in [["--filter", "ax"], ["--regex", "^ax"]] {
        stack(GOOD)
            .args(flags)
            .status(4)
            .stdout("")
            .stderr(
                "error: no functions matching --filter/--regex were found in the YAML file\nhint: did you mean `tax`?\n",
            )
            .run();
    }
    stack(GOOD)
        .args(["--regex", "("])
        .status(2)
        .stderr_has("error: `(` is no regular expression: unclosed group")
        .run();
}

#[test]
fn from_stdin_another_folder_and_a_folder() {
    Test::new().args(["validate", "-f", "-"]).stdin(GOOD).stdout("stdin: 1 function, valid\n").stderr("").run();
    let done = Test::new()
        .file("shop/stack.yaml", GOOD)
        .file("shop/tax/handler.py", "")
        .args(["validate", "-f", "shop/stack.yaml"])
        .stdout("shop/stack.yaml: 1 function, valid\n")
        .stderr("")
        .run();
    done.then().args(["validate", "-f", "shop"]).stdout("shop/stack.yaml: 1 function, valid\n").stderr("").run();
    done.then().args(["validate", "-f", "."]).status(2).stderr_has("is a folder without a stack.yaml").run();
}

#[test]
fn the_last_of_two_files_counts() {
    stack(GOOD).args(["-f", "nope.yml", "-f", "stack.yml"]).stdout("stack.yml: 1 function, valid\n").stderr("").run();
}

#[test]
fn a_thousand_functions() {
    let mut text = String::from("provider: {name: openfaas}\nfunctions:\n");
    for i in 0..1000 {
        text +=
            &format!("  f{i}:\n    image: shop/f{i}:latest\n    environment: {{N: {i}}}\n    labels:\n      a: b\n");
    }
    stack(text).stdout("stack.yml: 1000 functions, valid\n").stderr("").run();
}

/// A server that gives each request in turn one of the answers, then ends.
fn serve(answers: Vec<Vec<u8>>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("connection");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(&answer);
        }
    });
    format!("http://{address}/stack.yml")
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn from_a_url() {
    let url = serve(vec![answer("302 Found\r\nlocation: /real.yml", ""), answer("200 OK", GOOD)]);
    Test::new().args(["validate", "-f", &url]).stdout(format!("{url}: 1 function, valid\n")).stderr("").run();
    let url = serve(vec![answer("404 Not Found", "<html>")]);
    Test::new()
        .args(["validate", "-f", &url])
        .status(4)
        .stdout("")
        .stderr(format!("error: can't fetch {url}: it answers 404 Not Found\n"))
        .run();
    let url = serve(vec![answer("500 Internal Server Error", "<html>")]);
    Test::new().args(["validate", "-f", &url]).status(1).stderr_has("it answers 500 Internal Server Error").run();
    let url = serve(vec![answer("200 OK", "<html><body>Sign in</body></html>")]);
    Test::new().args(["validate", "-f", &url]).status(2).stderr_has("a stack file is a mapping").run();
}

#[test]
fn a_url_that_cant_be_fetched() {
    let url = serve(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\nprovider:".to_vec()]);
    Test::new()
        .args(["validate", "-f", &url])
        .status(1)
        .stdout("")
        .stderr_has(format!("error: can't fetch {url}: "))
        .run();
    let url = serve(vec![answer("200 OK", &"#".repeat(11 << 20))]);
    Test::new().args(["validate", "-f", &url]).status(2).stderr_has("is too big for a stack file").run();
    let url = serve(vec![answer("302 Found\r\nlocation: /", ""); 12]);
    Test::new().args(["validate", "-f", &url]).status(1).stderr_has("it redirects again and again").run();
    let url = "http://me:hunter2@127.0.0.1:1/stack.yml";
    let done = Test::new().args(["validate", "-f", url]).status(1).stderr_has("Connection refused").run();
    assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    Test::new().args(["validate", "-f", "ftp://x/y"]).status(2).stderr_has("only http and https URLs").run();
}
