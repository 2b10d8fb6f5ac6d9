//! The pipelines of `examples/ci`: the script run for real, and what the workflow files run, step by step, in a folder of
//! its own, without a terminal, with stand-ins for secrets.
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Test, bed, copy_tree};

/// A project of one function in a git repository, the pipelines beside it, and `faas` on the PATH.
struct Sandbox {
    test: Test,
    name: String,
    env: Vec<(String, String)>,
}

impl Sandbox {
    /// `None` without the test beds.
    fn new(name: &str) -> Option<Self> {
        let registry = bed("FAAS_REGISTRY")?;
        let (url, password) = (bed("OPENFAAS_URL")?, bed("OPENFAAS_PASSWORD_FILE")?);
        let password = std::fs::read_to_string(password).expect("the password").trim().to_owned();
        let base = bed("FAAS_ECHO_IMAGE")?;
        let name = format!("t-ci-{name}");
        let stack = format!(
            "provider: {{name: openfaas}}\nfunctions:\n  {name}:\n    lang: dockerfile\n    handler: ./fn\n    \
             image: {registry}/ci/{name}:1\n"
        );
        let test = Test::new()
            .file("stack.yml", stack)
            .file("fn/Dockerfile", format!("FROM {base}\nENV WHO=pipeline\n"))
            .layout(|dir| {
                copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci"), &dir.join("examples/ci"));
                std::fs::create_dir(dir.join("bin")).expect("folder");
                std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_faas"), dir.join("bin/faas")).expect("a link");
            });
        let git = |args: &[&str]| {
            let done = Command::new("git")
                .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
                .args(args)
                .current_dir(test.dir())
                .output();
            assert!(done.expect("git").status.success(), "git {args:?}");
        };
        git(&["init", "--quiet"]);
        git(&["add", "stack.yml", "fn"]);
        git(&["commit", "--quiet", "-m", "one"]);
        let path = format!("{}:{}", test.dir().join("bin").display(), std::env::var("PATH").expect("PATH"));
        let mut env = vec![
            ("CI".to_owned(), "true".to_owned()),
            ("PATH".into(), path),
            ("HOME".into(), test.dir().join("home").display().to_string()),
            ("OPENFAAS_URL".into(), url),
            ("OPENFAAS_PASSWORD".into(), password),
        ];
        env.extend(std::env::var("DOCKER_HOST").ok().map(|host| ("DOCKER_HOST".to_owned(), host)));
        let sandbox = Self { test, name, env };
        sandbox.bash(
            "mkdir -p home; printf %s \"$OPENFAAS_PASSWORD\" | faas login --password-stdin >/dev/null 2>&1; \
                      faas remove -f stack.yml >/dev/null 2>&1; rm -rf .openfaas",
            &[],
        );
        Some(sandbox)
    }

    /// A script as a CI system runs it: the first failure ends it, and there is no terminal.
    fn bash(&self, script: &str, more: &[(String, String)]) -> Output {
        let mut command = Command::new("setsid");
        command.args(["--wait", "bash", "-eu", "-o", "pipefail", "-c", script]).current_dir(self.test.dir());
        command.env_clear().envs(self.env.iter().cloned()).envs(more.iter().cloned());
        command.stdin(Stdio::null()).output().expect("bash")
    }

    #[track_caller]
    fn good(&self, script: &str, more: &[(String, String)]) -> String {
        let done = self.bash(script, more);
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{script}: {}\n{out}\n{err}", done.status);
        let password = &self.env.iter().find(|(name, _)| name == "OPENFAAS_PASSWORD").expect("it").1;
        assert!(!out.contains(password.as_str()) && !err.contains(password.as_str()), "the password is in the log");
        assert!(!err.contains('\u{1b}') && !out.contains('\u{1b}'), "there are colours in the log: {err}");
        format!("{out}{err}")
    }

    #[track_caller]
    fn answers(&self) {
        let name = &self.name;
        assert_eq!(self.good(&format!("faas invoke {name} --path /env/WHO </dev/null"), &[]), "pipeline");
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.bash("faas remove -f stack.yml", &[]);
    }
}

#[test]
fn the_script_brings_the_functions_up_and_does_nothing_twice() {
    let Some(sandbox) = Sandbox::new("script") else { return };
    sandbox.good("examples/ci/ci.sh", &[]);
    sandbox.answers();
    let again = sandbox.good("examples/ci/ci.sh stack.yml", &[]);
    assert!(again.contains("unchanged"), "{again}");
}

#[test]
fn the_script_ends_where_something_fails() {
    let Some(sandbox) = Sandbox::new("fails") else { return };
    let wrong = [("OPENFAAS_PASSWORD".to_owned(), "not-it".to_owned())];
    let done = sandbox.bash("examples/ci/ci.sh", &wrong);
    assert_eq!(done.status.code(), Some(5), "{}", String::from_utf8_lossy(&done.stderr));
    let missing = sandbox.bash("unset OPENFAAS_URL; examples/ci/ci.sh nowhere.yml", &[]);
    assert_eq!(missing.status.code(), Some(2), "{}", String::from_utf8_lossy(&missing.stderr));
}

/// What pipelines of faas-cli's users do, in its words.
const THEIRS: &str = r#"
ln -sf faas bin/faas-cli
faas-cli version --short-version
printf %s "$OPENFAAS_PASSWORD" | faas-cli login -g "$OPENFAAS_URL" --password-stdin
faas-cli secret create "$NAME-key" --from-literal v
faas-cli secret list | grep "$NAME-key"
faas-cli up --tag sha -f stack.yml --secret "$NAME-key"
faas-cli ready "$NAME" --attempts 30
faas-cli list -q | grep -x "$NAME"
faas-cli describe "$NAME" | grep "Status: *Ready"
test -n "$(echo hi | faas-cli invoke "$NAME")"
faas-cli logs "$NAME" --tail=false --lines 3
faas-cli deploy -f stack.yml --tag sha --filter "$NAME" -e WHO=again
faas-cli diff --tag sha --env all && exit 9
test "$(faas-cli invoke "$NAME" -H 'X-A: b' </dev/null | wc -c)" -gt 0
faas-cli generate -f stack.yml --tag sha | grep "kind: Function"
faas-cli remove -f stack.yml
faas-cli secret remove "$NAME-key"
faas-cli logout -g "$OPENFAAS_URL"
"#;

#[test]
fn a_script_of_faas_clis_users_runs_to_its_end() {
    let Some(sandbox) = Sandbox::new("theirs") else { return };
    let name = [("NAME".to_owned(), sandbox.name.clone())];
    sandbox.bash("faas secret remove \"$NAME-key\" -g \"$OPENFAAS_URL\"", &name);
    let said = sandbox.good(THEIRS, &name);
    assert!(said.contains("attempting rolling-update") && said.contains("credentials removed for"), "{said}");
}

fn workflow(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name);
    serde_saphyr::from_str(&std::fs::read_to_string(path).expect("it")).expect("YAML")
}

/// The value that a CI system would put in; one that it would not know fails the test. Without a registry's login: the
/// bed's has none, and images must stay where it can be reached.
fn filled(text: &str, known: &[(&str, &str)]) -> Option<String> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Some((*value).to_owned());
    }
    assert!(!text.contains('$'), "nobody knows {text}");
    None
}

#[test]
fn the_github_workflow_runs_step_by_step() {
    let Some(sandbox) = Sandbox::new("github") else { return };
    let workflow = workflow("github.yml");
    let jobs = workflow["jobs"].as_object().expect("jobs");
    let own = |name: &str| sandbox.env.iter().find(|(known, _)| known == name).expect("it").1.clone();
    let (url, password) = (own("OPENFAAS_URL"), own("OPENFAAS_PASSWORD"));
    let known = [
        ("${{ vars.OPENFAAS_URL }}", url.as_str()),
        ("${{ secrets.OPENFAAS_PASSWORD }}", password.as_str()),
        ("${{ github.actor }}", "me"),
        ("${{ secrets.GITHUB_TOKEN }}", "token"),
    ];
    let mut ran = 0;
    for step in jobs.values().flat_map(|job| job["steps"].as_array().expect("steps")) {
        if let Some(uses) = step["uses"].as_str() {
            assert!(["actions/checkout@v4", "actions/cache@v4"].contains(&uses), "{uses} is not stood in for");
            continue;
        }
        let mut env = Vec::new();
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            let value = value.as_str().expect("text");
            let given = filled(value, &known).unwrap_or_else(|| value.to_owned());
            if !name.starts_with("REGISTRY") {
                env.push((name.clone(), given));
            }
        }
        sandbox.good(step["run"].as_str().expect("a step runs something"), &env);
        ran += 1;
    }
    assert_eq!(ran, 2);
    sandbox.answers();
}

#[test]
fn the_gitlab_pipeline_runs_line_by_line() {
    let Some(sandbox) = Sandbox::new("gitlab") else { return };
    let workflow = workflow("gitlab.yml");
    let job = &workflow["functions"];
    let cache = sandbox.test.dir().join(".cache").display().to_string();
    let known = [
        ("$CI_PROJECT_DIR/.cache", cache.as_str()),
        ("$CI_REGISTRY", "registry.example.com"),
        ("$CI_REGISTRY_USER", "me"),
        ("$CI_REGISTRY_PASSWORD", "token"),
    ];
    let mut env = Vec::new();
    for (name, value) in job["variables"].as_object().expect("variables") {
        let value = value.as_str().expect("text");
        let given = filled(value, &known).unwrap_or_else(|| value.to_owned());
        if !name.starts_with("REGISTRY") && !name.starts_with("DOCKER") {
            env.push((name.clone(), given));
        }
    }
    for line in job["script"].as_array().expect("a script") {
        sandbox.good(line.as_str().expect("text"), &env);
    }
    sandbox.answers();
    assert!(Path::new(&cache).join("faas").is_dir(), "what the job's cache keeps is there");
}

/// The login that the script writes for a registry is what pushes use.
#[test]
fn a_registry_login_of_the_script_is_for_this_folder_only() {
    let Some(sandbox) = Sandbox::new("registry") else { return };
    let login = "printf hunter2 | faas registry-login --server registry.example.com -u me --password-stdin";
    sandbox.good(login, &[]);
    assert!(sandbox.test.dir().join("credentials/config.json").is_file());
    assert!(!sandbox.test.dir().join("home/.docker").exists());
}
