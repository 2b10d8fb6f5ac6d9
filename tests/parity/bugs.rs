//! The bugs of faas-cli 0.18.12 that were confirmed on the real one, one test each: ours does not have them. Where the
//! real one's way is recorded, the recording shows the bug, and ours is better in just that.
use super::case::{self, Case};
use super::compare::{Verdict, judge};
use super::run::{Program, read_recordings, run};
use crate::support::Test;
#[cfg(feature = "image")]
use crate::support::bed;
use crate::support::repository::Repository;
use crate::support::server::{Server, answer};

/// Runs a case with ours: it must be better than the recording, and say that the bug is the reason.
#[track_caller]
pub fn better(command: &str, name: &str) {
    let files = case::files(&super::folder());
    let of_command = files.iter().filter(|file| file.command == command);
    let mut found = of_command.flat_map(|file| file.cases.iter().map(move |case| (file, case)));
    let (file, case): (_, &Case) = found.find(|(_, case)| case.name == name).expect("a case of that name");
    let recorded = read_recordings(&file.recordings());
    match judge(case, &recorded[&case.name], &run(case, &Program::Ours)) {
        Verdict::Better(_) => {}
        Verdict::Same => panic!("{command}: {name} is the same, bug and all"),
        Verdict::Differs(why) => panic!("{command}: {name}: {why}"),
    }
}

/// Ours under faas-cli's name.
fn faas_cli(args: &[&str]) -> Test {
    Test::new().called("faas-cli").args(args)
}

#[test]
fn bug_01_an_image_named_by_flags_is_deployed_and_not_the_stack_in_the_folder() {
    better("deploy", "bug 1, an image named beside a stack");
}

#[test]
fn bug_02_a_tag_by_git_outside_of_git_is_an_error() {
    better("deploy", "bug 2, a tag by git outside of git");
}

/// Two gateways on ports that a network of its own has free, one of them faas-cli's default; prints which was asked.
const TWO_GATEWAYS: &str = r#"
import fcntl, http.server, os, socket, struct, subprocess, sys, threading
control = socket.socket()
fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS: up
asked = []
class Gateway(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.server.server_port)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"[]")
    def log_message(self, *_):
        pass
for port in (8080, 9090):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
run = subprocess.run(sys.argv[1:])
print("asked", asked, "exit", run.returncode)
"#;

#[test]
fn bug_03_an_explicit_gateway_beats_the_stack_even_when_it_is_the_default() {
    let stack = "provider:\n  name: openfaas\n  gateway: http://127.0.0.1:9090\nfunctions: {}\n";
    let asked = |args: &[&str]| {
        let test = faas_cli(args).file("stack.yml", stack).file("two.py", TWO_GATEWAYS);
        let faas = test.command();
        let mut command = std::process::Command::new("unshare");
        command.args(["--map-root-user", "--net", "python3", "two.py"]).current_dir(test.dir()).env_clear();
        command.envs(faas.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.arg(faas.get_program()).args(args).output().expect("unshare");
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{wrong}");
        said.lines().last().expect("a line").to_owned()
    };
    assert_eq!(asked(&["list", "-q", "-g", "http://127.0.0.1:8080"]), "asked [8080] exit 0");
    assert_eq!(asked(&["list", "-q"]), "asked [9090] exit 0");
}

#[test]
fn bug_04_a_token_counts_where_a_login_is_saved() {
    better("list", "bug 4, a token is what is asked with even where a login is saved");
}

#[test]
fn bug_05_a_gateways_path_is_kept_by_invoke() {
    better("invoke", "bug 5, the gateway's path");
}

#[test]
fn bug_06_a_gateways_path_keeps_its_case() {
    better("list", "bug 6, a gateway's path keeps its case");
}

#[test]
fn bug_07_created_is_a_success() {
    better("deploy", "bug 7, answered with 201");
}

#[test]
fn bug_08_a_secret_that_is_gone_without_a_body_is_gone() {
    better("secret", "bug 8, remove answered with 204");
}

#[test]
fn bug_09_secrets_that_were_not_written_are_failures() {
    better("secret", "bug 9, create of one that is there");
    better("secret", "bug 9, create with a server error");
    better("secret", "bug 9, update of an unknown one");
}

#[test]
fn bug_10_remove_fails_where_it_failed_and_takes_every_name() {
    better("remove", "bug 10, a failure of one of the stack");
    better("remove", "bug 10, several names");
}

#[test]
fn bug_11_an_unknown_method_is_an_error() {
    better("invoke", "bug 11, an unknown method");
}

#[test]
fn bug_12_a_call_may_take_longer_than_a_minute() {
    let server = Server::new(|_| {
        std::thread::sleep(std::time::Duration::from_secs(61));
        answer("200 OK", &[], "late")
    });
    faas_cli(&["invoke", "tax", "-g", &server.url]).stdout("late").run();
}

#[test]
fn bug_13_new_with_a_reference_takes_that_state_of_the_template() {
    let repository = Repository::new().template("lua").committed();
    repository.git(["tag", "old"]);
    repository.write("template/lua/function/handler.txt", "of today\n");
    repository.commit();
    let daemon = repository.serve();
    let catalogue = format!(
        r#"[{{"template":"lua","platform":"x86_64","language":"Lua","source":"acme","repo":"{}","official":"false"}}]"#,
        daemon.url
    );
    let new = faas_cli(&["new", "tax", "--lang", "lua@old"]).file("store.json", catalogue);
    let store = new.dir().join("store.json").display().to_string();
    let done = new.env("OPENFAAS_TEMPLATE_STORE_URL", store).run();
    assert_eq!(done.read("tax/handler.txt"), "lua\n");
    assert!(done.read("stack.yaml").contains("lang: lua@old"), "{}", done.read("stack.yaml"));
}

#[test]
fn bug_14_a_template_under_another_name_is_pulled_or_an_error() {
    better("template pull", "bug 14, a template under a name of one's own");
}

#[test]
fn bug_15_lang_dockerfile_is_read_in_any_case() {
    better("build", "bug 15, lang Dockerfile");
}

#[test]
fn bug_16_a_folder_that_begins_like_the_project_is_outside_of_it() {
    better("build", "bug 16, a path outside that begins alike");
}

#[test]
fn bug_17_a_build_argument_without_a_value_is_an_error() {
    better("build", "bug 17, an argument that is none");
}

#[test]
fn bug_18_what_is_skipped_is_named() {
    better("build", "bug 18, what is skipped has a name");
}

#[test]
fn bug_19_a_stack_file_that_a_server_has_not_is_an_error_and_stdout_stays_clean() {
    let server = Server::new(|asked| match asked.line.as_str() {
        "GET /stack.yml" => answer("200 OK", &[], "provider:\n  name: openfaas\nfunctions: {}\n"),
        "GET /system/functions" => answer("200 OK", &[("Content-Type", "application/json")], "[]"),
        _ => answer("404 Not Found", &[], "provider:\n  name: openfaas\nfunctions: {}\n"),
    });
    let url = |path: &str| format!("{}{path}", server.url);
    faas_cli(&["list", "-j", "-f", &url("/no.yml"), "-g", &server.url]).status(1).stdout("").stderr_has("404").run();
    faas_cli(&["list", "-j", "-f", &url("/stack.yml"), "-g", &server.url]).stdout("[]\n").run();
}

#[test]
fn bug_20_a_printed_command_is_all_that_is_printed_and_nothing_is_built() {
    let stack = "provider:\n  name: openfaas\nfunctions:\n  tax:\n    lang: dockerfile\n    handler: ./tax\n    \
                 image: reg/tax:1\n    environment: {LEVEL: debug}\n";
    // Whatever asked an engine would fail here.
    let done = faas_cli(&["local-run", "tax", "--print"])
        .file("stack.yml", stack)
        .file("tax/Dockerfile", "FROM scratch\n")
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .run();
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(lines.len() == 1 && lines[0].starts_with("docker run "), "{}", done.stdout);
    assert!(lines[0].contains("LEVEL=debug") && lines[0].ends_with("reg/tax:1"), "{}", done.stdout);
    assert_eq!(done.list("."), ["stack.yml", "tax/"]);
}

#[test]
fn bug_21_no_empty_token_is_sent_without_a_login() {
    let server = Server::always("200 OK", "application/json", "[]");
    faas_cli(&["list", "-g", &server.url]).run();
    assert_eq!(server.asked()[0].header("authorization"), None);
}

#[test]
fn bug_22_a_required_variable_is_required() {
    better("deploy", "bug 22, a required variable");
    let server = Server::always("200 OK", "application/json", "[]");
    let stack = "provider:\n  name: openfaas\nfunctions:\n  a:\n    lang: dockerfile\n    handler: ./a\n    \
                 image: reg/a:${TAG:+set}${NONE-unset}\n";
    let dir = faas_cli(&["diff", "-g", &server.url]).env("TAG", "v1").file("stack.yml", stack).file("a/Dockerfile", "");
    dir.status(1).stdout_has("function: not deployed").run();
}

#[test]
fn bug_23_a_debug_variable_shows_no_secret_and_no_login() {
    let server = Server::new(|asked| match asked.line.starts_with("GET") {
        true => answer("200 OK", &[("Content-Type", "application/json")], "[]"),
        false => answer("202 Accepted", &[], ""),
    });
    let done = faas_cli(&["secret", "create", "key", "--from-literal", "hush-hush", "-g", &server.url, "-k", "to-ken"])
        .env("FAAS_DEBUG", "1")
        .env("OPENFAAS_DUMP_HTTP", "true")
        .run();
    for word in ["hush-hush", "aHVzaC1odXNo", "to-ken"] {
        assert!(!done.stdout.contains(word) && !done.stderr.contains(word), "{word}: {}{}", done.stdout, done.stderr);
    }
}

#[test]
fn bug_24_there_is_one_count_of_invocations() {
    better("describe", "as JSON");
}

#[test]
fn bug_25_a_single_label_is_shown() {
    better("namespace", "bug 25, get shows a single label");
}

#[test]
fn bug_26_a_label_at_the_prompt_beats_the_stores() {
    better("store", "bug 26, a label at the prompt counts");
}

#[test]
fn bug_27_update_sends_a_files_bytes() {
    better("secret", "update from a file");
}

#[test]
fn bug_28_a_change_in_one_folder_is_not_taken_for_one_that_begins_alike() {
    use faas::build::watch::{Touched, touched};
    let root = std::path::Path::new("/p");
    let functions = ["fn", "fn2"].map(|name| {
        let mut function = faas::function::Function { name: name.into(), ..Default::default() };
        function.build.handler = root.join(name);
        function
    });
    let paths = [root.join("fn2/handler.py")].into();
    let Some(Touched::Functions(names)) = touched(&paths, root, &root.join("stack.yml"), &functions) else {
        panic!("no function is touched");
    };
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["fn2"]);
}

#[cfg(feature = "image")]
#[test]
fn bug_29_builds_at_once_lose_no_failure_and_share_no_builder() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let names: Vec<String> = (0..6).map(|n| format!("f{n}")).collect();
    let mut stack = "provider:\n  name: openfaas\nfunctions:\n".to_owned();
    for name in &names {
        let image = format!("{registry}/bug29-{}/{name}:1", std::process::id());
        stack += &format!("  {name}:\n    lang: dockerfile\n    handler: ./{name}\n    image: {image}\n");
    }
    let run = |args: &[&str], dockerfile: &dyn Fn(&str) -> String| {
        let all = names.iter().fold(faas_cli(args).file("stack.yml", &stack), |test, name| {
            test.file(format!("{name}/Dockerfile"), dockerfile(name)).file(format!("{name}/x"), name)
        });
        match std::env::var("DOCKER_HOST") {
            Ok(host) => all.env("DOCKER_HOST", host),
            Err(_) => all,
        }
    };
    let broken = |name: &str| format!("FROM scratch\nCOPY not-in-{name} /\n");
    let done = run(&["build", "--parallel", "6"], &broken).status(1).run();
    for name in &names {
        assert!(done.stderr.contains(&format!("not-in-{name}")), "{name} is not told of: {}", done.stderr);
    }
    let good = |_: &str| "FROM scratch\nCOPY x /\n".to_owned();
    run(&["publish", "--parallel", "6"], &good).run();
}

#[test]
fn bug_30_an_answer_comes_without_a_word_of_logins() {
    better("invoke", "a body");
}
